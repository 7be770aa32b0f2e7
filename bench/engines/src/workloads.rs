//! The workloads. Each group runs in a process of its own, on a fresh database, and records figures.

mod bulk;
mod cold;
mod commits;
mod contention;
mod deletes;
mod large;
mod mixed;
mod reads;
mod restart;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data;
use crate::engine::{self, Change, Class, Engine, Result, Settings};
use crate::measure::{Limit, Recorder, written_bytes};

/// What a worker was told to do.
pub struct Run<'a> {
    pub engine: &'a str,
    pub directory: &'a Path,
    /// 1.0 is the full size.
    pub scale: f64,
    /// The longest one measurement may take.
    pub time: Duration,
    pub compressed: bool,
    pub recorder: Recorder,
}

type Group = fn(&Run) -> Result<()>;

/// The groups by name, and whether a quick comparison has them.
pub const GROUPS: &[(&str, Group, bool)] = &[
    ("reads", reads::run, true),
    ("bulk", bulk::run, true),
    ("commits", commits::run, true),
    ("overwrite", mixed::overwrite, true),
    ("ycsb", mixed::ycsb, true),
    ("tail", mixed::tail, true),
    ("large", large::run, true),
    ("deletes", deletes::run, true),
    ("contention", contention::run, true),
    ("restart", restart::run, true),
    ("cold", cold::run, false),
];

pub use restart::write_and_die;

impl Run<'_> {
    fn settings(&self, class: Class) -> Settings {
        Settings { cache_bytes: 2 << 30, class, compressed: self.compressed }
    }

    fn open(&self, class: Class) -> Result<Box<dyn Engine>> {
        engine::open(self.engine, self.directory, self.settings(class))
    }

    /// A count at this scale, never so small that it says nothing.
    fn scaled(&self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(1000)
    }

    fn limit(&self, operations: u64) -> Limit {
        Limit { operations, time: self.time }
    }
}

/// Puts numbered entries, many per commit.
fn fill(engine: &dyn Engine, numbers: std::ops::Range<u64>, sizes: Sizes) -> Result<()> {
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let entries: Vec<(Vec<u8>, Vec<u8>)> =
            numbers.by_ref().take(sizes.batch).map(|number| sizes.entry(number)).collect();
        let changes: Vec<Change> =
            entries.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))).collect();
        engine.write(&changes)?;
    }
    Ok(())
}

/// How large entries are, and how many go together.
#[derive(Clone, Copy)]
struct Sizes {
    key: usize,
    value: usize,
    batch: usize,
    compressible: bool,
}

impl Sizes {
    fn entry(&self, number: u64) -> (Vec<u8>, Vec<u8>) {
        (data::key(number, self.key), data::value(number, self.value, self.compressible))
    }
}

/// Waits until background work is done: nothing runs and nothing was written for half a second.
fn settle(engine: &dyn Engine) -> Result<()> {
    engine.sync()?;
    let start = Instant::now();
    let mut written = written_bytes();
    let mut quiet_since = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(50));
        let now = written_bytes();
        if now != written || !engine.is_settled() {
            written = now;
            quiet_since = Instant::now();
        } else if quiet_since.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    Ok(())
}

/// Runs `work` while another thread makes everything durable each half second, and once after.
fn with_periodic_sync<R>(engine: &dyn Engine, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| -> Result<()> {
            let mut next = Instant::now() + Duration::from_millis(500);
            while !ended.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(10));
                if Instant::now() >= next {
                    engine.sync()?;
                    next = Instant::now() + Duration::from_millis(500);
                }
            }
            engine.sync()
        });
        let done = work();
        ended.store(true, Ordering::Release);
        syncing.join().map_err(|_| "the syncing thread panicked")??;
        done
    })
}
