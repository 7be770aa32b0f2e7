//! Back-pressure: writers slow down as what waits to be flushed and merged grows, and never stand still.
//!
//! The load of a keyspace is what is due of it by what may be: bytes of merges by `merge_debt_bytes`, level-0
//! tables by three times those that start a merge, bytes of frozen memtables by `write_buffer_bytes`. Past a
//! load of 1, commits to such keyspaces share a rate of bytes per second, which falls with each flush after which
//! the load is higher, faster past a load of 2, and rises when it is lower. A commit waits for as long as its
//! bytes take at that rate, in order of arrival.
//!
//! Invariants: the rate is at least [`RATE_MIN`], so a wait has an end whatever the disk does; when the load falls
//! below 1 all who wait go on. While nothing is due a commit pays one atomic load.

use luma_sync::Mutex;
use luma_sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Engine;
use crate::keyspace::KeyspaceInner;
use crate::stats::BackPressure;
use crate::view::KeyspaceView;

/// Bytes per second that are always let through.
pub(super) const RATE_MIN: f64 = 65_536.0;
/// Bytes per second with which slowing down begins.
const RATE_MAX: f64 = 33_554_432.0;
/// So many times the level-0 tables that start a merge are a load of 1.
const LEVEL0_FACTOR: usize = 3;
/// Waits shorter than this are not worth it.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// The rate after a look at the load, given that before.
fn next_rate(rate: f64, load_before: f64, load: f64) -> f64 {
    let factor = if load < load_before || load < 1.0 {
        1.25
    } else if load >= 2.0 {
        0.6
    } else if load > load_before {
        0.8
    } else {
        1.0
    };
    (rate * factor).clamp(RATE_MIN, RATE_MAX)
}

/// What writers asked for and what was let through, in bytes since the start.
struct Ledger {
    rate: f64,
    load: f64,
    asked: f64,
    admitted: f64,
    looked: Instant,
}

impl Ledger {
    /// Lets through what the time since the last look allows. Time in which nobody asks is not saved up.
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.looked).as_secs_f64();
        self.admitted = self.asked.min(self.admitted + passed * self.rate);
        self.looked = now;
    }

    /// How long until those who asked up to here may go, at the present rate; `None` for no more.
    fn wait(&self, place: f64) -> Option<Duration> {
        let wait = Duration::from_secs_f64(((place - self.admitted) / self.rate).max(0.0));
        (wait >= WAIT_MIN).then_some(wait)
    }
}

/// What holds writers back.
pub(super) struct Pressure {
    /// Bytes per second of those who are held back; 0 while nobody is.
    rate: AtomicU64,
    debt_bytes: AtomicU64,
    delayed_commits: AtomicU64,
    delayed_nanos: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl Default for Pressure {
    fn default() -> Self {
        let ledger =
            Ledger { rate: RATE_MAX, load: 0.0, asked: 0.0, admitted: 0.0, looked: luma_sync::now() };
        Self {
            rate: AtomicU64::new(0),
            debt_bytes: AtomicU64::new(0),
            delayed_commits: AtomicU64::new(0),
            delayed_nanos: AtomicU64::new(0),
            ledger: Mutex::new(ledger),
        }
    }
}

impl Pressure {
    /// Whether anybody is held back.
    pub(super) fn is_on(&self) -> bool {
        self.rate.load(Ordering::Relaxed) != 0
    }

    fn look(&self, load: f64, debt_bytes: u64) {
        let mut ledger = self.ledger.lock();
        ledger.advance(luma_sync::now());
        ledger.rate = next_rate(ledger.rate, ledger.load, load);
        ledger.load = load;
        let on = load >= 1.0;
        if !on {
            ledger.admitted = ledger.asked;
        }
        self.rate.store(if on { ledger.rate as u64 } else { 0 }, Ordering::Relaxed);
        self.debt_bytes.store(debt_bytes, Ordering::Relaxed);
    }

    /// A place in the line for so many bytes.
    pub(super) fn ask(&self, bytes: usize) -> f64 {
        let mut ledger = self.ledger.lock();
        ledger.advance(luma_sync::now());
        ledger.asked += bytes as f64;
        ledger.asked
    }

    /// How long who has a place must wait, as it looks now.
    pub(super) fn wait(&self, place: f64) -> Option<Duration> {
        let mut ledger = self.ledger.lock();
        ledger.advance(luma_sync::now());
        ledger.wait(place).filter(|_| self.is_on())
    }

    /// Counts a commit that waited since a moment.
    pub(super) fn count_wait(&self, began: Instant) {
        self.delayed_commits.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(luma_sync::since(began).as_nanos()).unwrap_or(u64::MAX);
        self.delayed_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> BackPressure {
        let rate = self.rate.load(Ordering::Relaxed);
        BackPressure {
            debt_bytes: self.debt_bytes.load(Ordering::Relaxed),
            rate_bytes_per_second: Some(rate).filter(|rate| *rate != 0),
            delayed_commits: self.delayed_commits.load(Ordering::Relaxed),
            delayed: Duration::from_nanos(self.delayed_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Engine {
    /// Looks at what is due after it changed, and lets writers go faster or slower.
    pub(super) fn look_at_debt(&self) {
        let options = &self.options;
        let tables_max = (options.level0_tables.max(1) * LEVEL0_FACTOR) as f64;
        let keyspaces = self.keyspaces();
        let (mut highest, mut due_bytes) = (0.0f64, 0);
        let view = self.view();
        let found = |keyspace: &KeyspaceInner| view.get(keyspace.slot, keyspace.id);
        let frozen_of =
            |view: &KeyspaceView| view.frozen.iter().map(|table| table.written_bytes()).sum::<usize>();
        let frozen: usize =
            keyspaces.iter().filter_map(|keyspace| found(keyspace)).map(|view| frozen_of(view)).sum();
        let memory_load = frozen as f64 / options.write_buffer_bytes.max(1) as f64;
        for keyspace in &keyspaces {
            let Some(found) = found(keyspace) else { continue };
            let strategy = *keyspace.strategy.lock();
            let due = found.tree.debt_bytes(options, strategy);
            let merges = due as f64 / options.merge_debt_bytes.max(1) as f64;
            let tables = found.tree.unmerged_tables(strategy) as f64 / tables_max;
            let waits = if frozen_of(found) > 0 { memory_load } else { 0.0 };
            let load = merges.max(tables).max(waits);
            keyspace.indebted.store(load >= 1.0, Ordering::Relaxed);
            highest = highest.max(load);
            due_bytes += due;
        }
        self.pressure.look(highest, due_bytes + frozen as u64);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_rate_falls_while_the_load_grows_and_rises_when_it_falls_within_its_bounds() {
        let mut rate = RATE_MAX;
        let mut load = 1.0;
        for _ in 0..100 {
            let next = next_rate(rate, load, load + 0.1);
            assert!(next < rate || rate == RATE_MIN);
            (rate, load) = (next, load + 0.1);
        }
        assert_eq!(rate, RATE_MIN);
        assert!(next_rate(rate, load, load - 0.1) > rate);
        assert_eq!(next_rate(RATE_MAX, 1.0, 0.5), RATE_MAX);
        assert!(next_rate(RATE_MAX, 2.5, 2.5) < RATE_MAX, "past twice what may be it falls anyway");
        assert_eq!(next_rate(RATE_MIN * 4.0, 1.5, 1.5), RATE_MIN * 4.0);
    }

    #[test]
    fn a_wait_is_as_long_as_the_bytes_before_it_take_and_idle_time_is_not_saved_up() {
        let now = luma_sync::now();
        let mut ledger = Ledger { rate: 1000.0, load: 1.0, asked: 0.0, admitted: 0.0, looked: now };
        ledger.advance(now + Duration::from_mins(1));
        ledger.asked += 500.0;
        assert_eq!(ledger.wait(500.0), Some(Duration::from_millis(500)));
        ledger.asked += 250.0;
        assert_eq!(ledger.wait(750.0), Some(Duration::from_millis(750)), "after the one before");
        ledger.advance(now + Duration::from_millis(60_500));
        assert_eq!((ledger.wait(500.0), ledger.wait(750.0)), (None, Some(Duration::from_millis(250))));
        ledger.rate = 2000.0;
        assert_eq!(ledger.wait(750.0), Some(Duration::from_millis(125)), "at the rate of the moment");
    }

    #[test]
    fn below_a_load_of_one_everybody_goes_on() {
        let pressure = Pressure::default();
        pressure.look(1.5, 100);
        let place = pressure.ask(1 << 30);
        assert!(pressure.wait(place).unwrap() > Duration::from_secs(1));
        pressure.look(0.9, 50);
        assert_eq!(pressure.wait(place), None);
        assert!(!pressure.is_on());
        // The next in line does not wait for what the first was let off.
        pressure.look(1.1, 100);
        let place = pressure.ask(1 << 20);
        assert!(pressure.wait(place).unwrap() < Duration::from_secs(1));
    }
}
