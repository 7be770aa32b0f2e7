//! A thread that keeps a store small: flushes when it is time, merges files, and removes what is past keeping.
//!
//! What it does it says in log lines. After a failure it tries again at its next turn: everything is in the log
//! then as before.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::store::Metrics;

/// When samples move to files, and how long they are kept.
#[derive(Debug, Clone)]
pub struct MaintenanceOptions {
    /// How often samples move to files.
    pub flush_interval: Duration,
    /// They move sooner when the log has so many bytes.
    pub flush_log_bytes: u64,
    /// How long they also stay in memory, for queries about what is new.
    pub hot: Duration,
    /// How long they are kept; for ever if not given.
    pub retention: Option<Duration>,
    /// How many bytes all files together may have; the oldest go first.
    pub bytes_max: Option<u64>,
    /// How long ago a series' newest sample was when memory lets go of it; its samples stay in files, where queries find them.
    pub dormant: Duration,
    /// How often it looks whether there is something to do.
    pub turn: Duration,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_hours(1),
            flush_log_bytes: 512 << 20,
            hot: Duration::from_hours(1),
            retention: None,
            bytes_max: None,
            dormant: Duration::from_hours(3),
            turn: Duration::from_secs(5),
        }
    }
}

/// The thread; it ends when this is dropped, after what it is doing.
#[derive(Debug)]
pub struct Maintenance {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(metrics: Arc<Metrics>, options: MaintenanceOptions) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let mut flushed = Instant::now();
            let (stopped, woken) = &*stopped;
            let mut stop = stopped.lock();
            while !*stop {
                woken.wait_for(&mut stop, options.turn);
                if !*stop {
                    parking_lot::MutexGuard::unlocked(&mut stop, || {
                        turn(&metrics, &options, &mut flushed, stopped);
                    });
                }
            }
        };
        let thread = std::thread::Builder::new().name("luma-metrics".into()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        let (stopped, woken) = &*self.stop;
        *stopped.lock() = true;
        woken.notify_all();
        if let Some(thread) = self.thread.take() {
            // It says in log lines what went wrong.
            let _ = thread.join();
        }
    }
}

fn turn(metrics: &Metrics, options: &MaintenanceOptions, flushed: &mut Instant, stopped: &Mutex<bool>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let ago = |by: Duration| now.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    let moved = flushed.elapsed() >= options.flush_interval || metrics.log_bytes() >= options.flush_log_bytes;
    if moved {
        *flushed = Instant::now();
        let began = Instant::now();
        match metrics.flush(ago(options.hot)) {
            Ok(done) if done.samples == 0 => {}
            Ok(done) => tracing::info!(
                series = done.series,
                samples = done.samples,
                files = done.files,
                bytes = done.bytes,
                log_bytes = metrics.log_bytes(),
                milliseconds = began.elapsed().as_millis() as u64,
                "moved metrics to files"
            ),
            Err(error) => {
                tracing::error!(%error, "metrics could not be moved to files; they stay in the log");
            }
        }
    }
    if moved {
        match metrics.put_to_sleep(ago(options.dormant)) {
            Ok(0) => {}
            Ok(series) => tracing::info!(series, "series that ended left memory"),
            Err(error) => tracing::error!(%error, "series that ended are still in memory"),
        }
    }
    if options.retention.is_some() || options.bytes_max.is_some() {
        match metrics.retain(options.retention.map(ago), options.bytes_max) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => tracing::info!(
                files = removed.len(),
                samples = removed.iter().map(|file| file.rows).sum::<u64>(),
                bytes = removed.iter().map(|file| file.bytes).sum::<u64>(),
                "removed metrics past keeping"
            ),
            Err(error) => tracing::error!(%error, "metrics past keeping could not be removed"),
        }
    }
    match metrics.forget_ended() {
        Ok(0) => {}
        Ok(ended) => tracing::info!(series = ended, "series without samples went"),
        Err(error) => tracing::error!(%error, "series without samples are still in the registry"),
    }
    while !*stopped.lock() {
        match merge(metrics, now) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                tracing::error!(%error, "files of metrics could not be merged; they stay as they are");
                break;
            }
        }
    }
}

/// Merges once; whether there was something to merge.
fn merge(metrics: &Metrics, now: i64) -> Result<bool> {
    let began = Instant::now();
    let done = match metrics.compact(now.saturating_sub(metrics.out_of_order_window_ms)) {
        Ok(done) => done,
        // Something was deleted or removed meanwhile: the next turn sees what is left.
        Err(Error::Files(luma_strata::Error::Outdated { .. })) => None,
        Err(error) => return Err(error),
    };
    if let Some(done) = &done {
        tracing::info!(
            files_before = done.files.0,
            files = done.files.1,
            samples_before = done.rows.0,
            samples = done.rows.1,
            bytes_before = done.bytes.0,
            bytes = done.bytes.1,
            milliseconds = began.elapsed().as_millis() as u64,
            "merged files of metrics"
        );
    }
    Ok(done.is_some())
}
