//! The command that measures: writes, point reads and short scans, by threads of this process.
//!
//! Keys are 16 bytes in an order that looks random and is the same each time; values are half noise,
//! half repetition, so that compression finds what it finds in rows.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lightning::{Database, Direction, Durability, Keyspace, KeyspaceOptions, Readable, WriteBatch};
use serde_json::{Value, json};

use crate::Done;
use crate::arguments::{Bench, Options};
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::output::print;
use crate::progress::{Progress, percent};

const KEYSPACE: &str = "lightning-bench";
/// Entries of one scan.
const SCANNED: usize = 10;
/// A thread tells how far it is each so many operations.
const TELL_EVERY: u64 = 256;

fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed(number).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn value(bytes: usize) -> Vec<u8> {
    let noise = (0..).flat_map(|number| mixed(number).to_le_bytes());
    noise.take(bytes.div_ceil(2)).chain(std::iter::repeat(b'v')).take(bytes).collect()
}

/// A database of this process alone, which goes with it.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays is in the directory for what may be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What one kind of operation took.
struct Measured {
    name: &'static str,
    elapsed: Duration,
    latencies: Histogram,
}

impl Measured {
    fn per_second(&self) -> f64 {
        self.latencies.count() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn quantiles(&self) -> [(&'static str, f64); 5] {
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let at = |part| micros(self.latencies.quantile(part));
        [
            ("p50", at(0.5)),
            ("p95", at(0.95)),
            ("p99", at(0.99)),
            ("p999", at(0.999)),
            ("max", micros(self.latencies.max())),
        ]
    }

    fn text(&self) -> String {
        let quantiles: Vec<String> =
            self.quantiles().iter().map(|(name, micros)| format!("{name} {micros:.1}")).collect();
        format!(
            "{:<6} {:>12.0} ops/s   latency in µs: {}\n",
            self.name,
            self.per_second(),
            quantiles.join("  ")
        )
    }

    fn json(&self) -> Value {
        let latencies: serde_json::Map<String, Value> =
            self.quantiles().iter().map(|(name, micros)| ((*name).to_owned(), json!(micros))).collect();
        json!({
            "name": self.name,
            "ops": self.latencies.count(),
            "seconds": self.elapsed.as_secs_f64(),
            "ops_per_second": self.per_second(),
            "latency_us": latencies,
        })
    }
}

/// Does each number of operations once, on all threads together.
fn measure(
    name: &'static str,
    wanted: &Bench,
    quiet: bool,
    operation: &(dyn Fn(u64) -> lightning::Result<()> + Sync),
) -> Result<Measured, Failure> {
    let done = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    let work = || {
        let mut latencies = Histogram::new();
        loop {
            let first = next.fetch_add(TELL_EVERY, Ordering::Relaxed);
            if first >= wanted.ops {
                return Ok((latencies, Instant::now()));
            }
            let last = (first + TELL_EVERY).min(wanted.ops);
            for number in first..last {
                let start = Instant::now();
                operation(number)?;
                latencies.add(start.elapsed().as_nanos() as u64);
            }
            done.fetch_add(last - first, Ordering::Relaxed);
        }
    };
    let results: Vec<lightning::Result<(Histogram, Instant)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..wanted.threads).map(|_| scope.spawn(work)).collect();
        let mut progress = Progress::new(quiet);
        while threads.iter().any(|thread| !thread.is_finished()) {
            progress.say(&|| format!("{name}: {} %", percent(done.load(Ordering::Relaxed), wanted.ops)));
            std::thread::sleep(Duration::from_millis(1));
        }
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    let (mut latencies, mut elapsed) = (Histogram::new(), Duration::ZERO);
    for result in results {
        let (its, ended) = result?;
        latencies.merge(&its);
        elapsed = elapsed.max(ended.duration_since(begun));
    }
    Ok(Measured { name, elapsed, latencies })
}

fn measure_all(
    options: &Options,
    wanted: &Bench,
    database: &Database,
    keyspace: &Keyspace,
) -> Result<Vec<Measured>, Failure> {
    let value = value(wanted.value_size as usize);
    let durability = if wanted.sync { Durability::Sync } else { Durability::Buffered };
    let quiet = options.quiet;
    let write = measure("write", wanted, quiet, &|number| {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &key(number), &value);
        database.write(batch, durability)
    })?;
    database.sync()?;
    let read = measure("read", wanted, quiet, &|number| {
        let key = key(mixed(number) % wanted.ops);
        let found = database.snapshot().get_with(keyspace, &key, <[u8]>::len)?;
        debug_assert_eq!(found, Some(value.len()));
        Ok(())
    })?;
    let scan = measure("scan", wanted, quiet, &|number| {
        let key = key(mixed(number) % wanted.ops);
        let mut range = database.snapshot().range(
            keyspace,
            Bound::Included(&key),
            Bound::Unbounded,
            Direction::Forward,
        )?;
        for _ in 0..SCANNED {
            range.next()?;
        }
        Ok(())
    })?;
    Ok(vec![write, read, scan])
}

pub(crate) fn run(options: &Options, wanted: &Bench) -> Done {
    let temporary = wanted
        .path
        .is_none()
        .then(|| Temporary(std::env::temp_dir().join(format!("lightning-bench-{}", std::process::id()))));
    let path: &Path =
        wanted.path.as_deref().or(temporary.as_ref().map(|made| made.0.as_path())).unwrap_or(Path::new("."));
    let database = Database::open(path, lightning::Options::default())?;
    let keyspace_options = KeyspaceOptions { layout: wanted.layout.into(), ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace(KEYSPACE, keyspace_options)?;
    let measured = measure_all(options, wanted, &database, &keyspace);
    drop(keyspace);
    let dropped = database.drop_keyspace(KEYSPACE);
    let measured = measured?;
    dropped?;
    drop(database);
    let text = || measured.iter().map(Measured::text).collect::<String>();
    let value = json!({
        "ops": wanted.ops,
        "threads": wanted.threads,
        "value_size": wanted.value_size,
        "layout": format!("{:?}", wanted.layout).to_lowercase(),
        "sync": wanted.sync,
        "results": measured.iter().map(Measured::json).collect::<Vec<_>>(),
    });
    Ok(print(options.format, &text, value)?)
}
