//! How fast background work writes: one bucket of bytes for flushes and merges, and flushes go first.
//!
//! Files that are made through [`limited`] take what they write out of the bucket before they write it, so neither
//! tables nor trees know of it. A write larger than what is there takes it all and leaves the bucket in debt; the
//! next waits until that is paid back. So each write waits a bounded time, and over time no more than the rate is
//! written, plus a tenth of a second's worth at once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_sync::{Condvar, Mutex};
use luma_vfs::{Observed, Observer, Vfs};

/// What may be written at once after a rest, in seconds of the rate.
const BURST_SECONDS: f64 = 0.1;
/// Who waits looks again at least this often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Flush,
    Merge,
}

#[derive(Debug)]
struct Bucket {
    /// Below zero when more was written than there was.
    bytes: f64,
    looked: Instant,
    flushes_waiting: usize,
    open: bool,
}

impl Bucket {
    fn refill(&mut self, now: Instant, rate: f64) {
        let passed = now.saturating_duration_since(self.looked).as_secs_f64();
        self.bytes = (self.bytes + passed * rate).min(rate * BURST_SECONDS);
        self.looked = now;
    }

    /// Takes bytes, or tells how long to wait before trying again.
    fn take(&mut self, bytes: usize, rate: f64, urgency: Urgency) -> Result<(), Duration> {
        if self.open {
            return Ok(());
        }
        if urgency == Urgency::Merge && self.flushes_waiting > 0 {
            return Err(LOOK_AGAIN);
        }
        if self.bytes <= 0.0 {
            return Err(Duration::from_secs_f64((-self.bytes + 1.0) / rate).min(LOOK_AGAIN));
        }
        self.bytes -= bytes as f64;
        Ok(())
    }
}

/// The bucket.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: f64,
    bucket: Mutex<Bucket>,
    changed: Condvar,
}

impl Limiter {
    /// Lets so many bytes per second through.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        let rate = bytes_per_second.max(1) as f64;
        let bucket =
            Bucket { bytes: rate * BURST_SECONDS, looked: luma_sync::now(), flushes_waiting: 0, open: false };
        Self { rate, bucket: Mutex::new(bucket), changed: Condvar::default() }
    }

    fn wait_for(&self, bytes: usize, urgency: Urgency) {
        let mut bucket = self.bucket.lock();
        let urgent = usize::from(urgency == Urgency::Flush);
        bucket.flushes_waiting += urgent;
        loop {
            bucket.refill(luma_sync::now(), self.rate);
            match bucket.take(bytes, self.rate, urgency) {
                Ok(()) => break,
                Err(wait) => {
                    self.changed.wait_for(&mut bucket, wait);
                }
            }
        }
        bucket.flushes_waiting -= urgent;
        if urgent > 0 && bucket.flushes_waiting == 0 {
            self.changed.notify_all();
        }
    }

    /// Lets everything through from now on: the database closes.
    pub(super) fn open(&self) {
        self.bucket.lock().open = true;
        self.changed.notify_all();
    }
}

/// What one kind of work takes of a limiter.
#[derive(Debug)]
struct Share {
    limiter: Arc<Limiter>,
    urgency: Urgency,
}

impl Observer for Share {
    fn writing(&self, _path: &Path, bytes: usize) {
        self.limiter.wait_for(bytes, self.urgency);
    }
}

/// The file system for one kind of work, whose new files are written no faster than the limiter says; the same one
/// if there is no limiter.
pub(super) fn limited(
    inner: &Arc<dyn Vfs>,
    limiter: Option<&Arc<Limiter>>,
    urgency: Urgency,
) -> Arc<dyn Vfs> {
    let inner = Arc::clone(inner);
    match limiter {
        None => inner,
        Some(limiter) => Arc::new(Observed::with(inner, Share { limiter: Arc::clone(limiter), urgency })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> (Bucket, Instant) {
        let now = luma_sync::now();
        (Bucket { bytes: 100.0, looked: now, flushes_waiting: 0, open: false }, now)
    }

    #[test]
    fn no_more_than_the_rate_and_a_short_burst_gets_through() {
        let (mut bucket, mut now) = bucket();
        let end = now + Duration::from_mins(1);
        let mut taken = 0;
        while now < end {
            bucket.refill(now, 1000.0);
            match bucket.take(77, 1000.0, Urgency::Merge) {
                Ok(()) => taken += 77,
                Err(wait) => now += wait,
            }
        }
        assert!((59_000..=60_200).contains(&taken), "{taken} bytes in 60 seconds at 1000 per second");
    }

    #[test]
    fn a_write_larger_than_the_bucket_gets_through_and_the_next_waits_for_it() {
        let (mut bucket, now) = bucket();
        assert_eq!(bucket.take(5100, 1000.0, Urgency::Flush), Ok(()));
        assert!(bucket.take(1, 1000.0, Urgency::Flush).is_err());
        bucket.refill(now + Duration::from_millis(4900), 1000.0);
        assert!(bucket.take(1, 1000.0, Urgency::Flush).is_err());
        bucket.refill(now + Duration::from_millis(5100), 1000.0);
        assert_eq!(bucket.take(1, 1000.0, Urgency::Flush), Ok(()));
    }

    #[test]
    fn merges_wait_while_a_flush_does_and_nobody_once_it_is_open() {
        let (mut bucket, _) = bucket();
        bucket.flushes_waiting = 1;
        assert!(bucket.take(1, 1000.0, Urgency::Merge).is_err());
        assert_eq!(bucket.take(200, 1000.0, Urgency::Flush), Ok(()));
        bucket.open = true;
        assert_eq!(bucket.take(1 << 20, 1000.0, Urgency::Merge), Ok(()));
    }
}
