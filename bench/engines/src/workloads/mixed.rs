//! W11 (random overwrites), W12 (YCSB), W17 (the tail of a steady mix).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::data::{Random, Zipf, key, value};
use crate::engine::{Class, Engine, Result};
use crate::measure::{Limit, disk_bytes, timed, timed_threads, written_bytes};

use super::{Run, Sizes, fill, settle, with_periodic_sync};

const KEY: usize = 16;
const VALUE: usize = 100;

fn load(run: &Run, class: Class, count: u64) -> Result<Box<dyn Engine>> {
    {
        let engine = run.open(Class::None)?;
        let sizes = Sizes { key: KEY, value: VALUE, batch: 1000, compressible: run.compressed };
        fill(engine.as_ref(), 0..count, sizes)?;
        settle(engine.as_ref())?;
    }
    run.open(class)
}

fn put(run: &Run, engine: &dyn Engine, number: u64, round: u64) -> Result<()> {
    let value = value(number ^ round << 40, VALUE, run.compressed);
    engine.write(&[(&key(number, KEY), Some(&value))])
}

pub fn overwrite(run: &Run) -> Result<()> {
    let count = run.scaled(10_000_000);
    let engine = load(run, Class::Periodic, count)?;
    let engine = engine.as_ref();
    let before = written_bytes();
    let mut random = Random::new(11);
    let done = with_periodic_sync(engine, || {
        timed(Limit { operations: 2 * count, time: run.time * 2 }, 4, |step| {
            put(run, engine, random.below(count), step)
        })
    })?;
    run.recorder.rate("W11 random overwrites", &done)?;
    settle(engine)?;
    let payload = (done.operations * (KEY + VALUE) as u64) as f64;
    let written = (written_bytes() - before) as f64;
    run.recorder.record("W18 written during W11", written / payload, "x data", false)?;
    let data = (count * (KEY + VALUE) as u64) as f64;
    run.recorder.record("W18 disk after W11", disk_bytes(run.directory)? as f64 / data, "x data", false)
}

/// Shares in hundredths of reads, updates, inserts, scans; the rest reads, then writes the same key.
const YCSB: &[(&str, [u64; 4])] = &[
    ("A", [50, 50, 0, 0]),
    ("B", [95, 5, 0, 0]),
    ("C", [100, 0, 0, 0]),
    ("D", [95, 0, 5, 0]),
    ("E", [0, 0, 5, 95]),
    ("F", [50, 0, 0, 0]),
];

pub fn ycsb(run: &Run) -> Result<()> {
    let count = run.scaled(10_000_000);
    let engine = load(run, Class::Periodic, count)?;
    let engine = engine.as_ref();
    let (zipf, present) = (Zipf::new(count), AtomicU64::new(count));
    let operations = run.scaled(5_000_000);
    for (name, [reads, updates, inserts, scans]) in YCSB {
        let (updates, inserts) = (reads + updates, reads + updates + inserts);
        let scans = inserts + scans;
        let done = with_periodic_sync(engine, || {
            timed_threads(2, |thread| {
                let mut random = Random::new(1200 + thread);
                timed(run.limit(operations), 4, |step| {
                    let kind = random.below(100);
                    let rank = zipf.rank(&mut random);
                    // D reads what was inserted last; the others spread the favourites.
                    let number = if *name == "D" {
                        let present = present.load(Ordering::Relaxed);
                        present - 1 - rank.min(present - 1)
                    } else {
                        crate::data::mix(rank) % count
                    };
                    if kind < *reads {
                        engine.reader()?.get(&key(number, KEY), &mut |_| ())?;
                    } else if kind < updates {
                        put(run, engine, number, step)?;
                    } else if kind < inserts {
                        put(run, engine, present.fetch_add(1, Ordering::Relaxed), 0)?;
                    } else if kind < scans {
                        let rows = 1 + random.below(100) as usize;
                        engine.reader()?.scan(&key(number, KEY), false, rows, &mut |_, _| ())?;
                    } else {
                        engine.reader()?.get(&key(number, KEY), &mut |_| ())?;
                        put(run, engine, number, step)?;
                    }
                    Ok(())
                })
            })
        })?;
        run.recorder.rate(&format!("W12 YCSB {name}"), &done)?;
    }
    Ok(())
}

pub fn tail(run: &Run) -> Result<()> {
    let count = run.scaled(20_000_000);
    let engine = load(run, Class::Periodic, count)?;
    let engine = engine.as_ref();
    let limit = Limit { operations: u64::MAX, time: run.time * 5 };
    let start = Instant::now();
    let per_second: Vec<AtomicU64> = (0..3600).map(|_| AtomicU64::new(0)).collect();
    let done = with_periodic_sync(engine, || {
        timed_threads(2, |thread| {
            let mut random = Random::new(1700 + thread);
            timed(limit, 1, |step| {
                let number = random.below(count);
                if random.below(100) < 80 {
                    engine.reader()?.get(&key(number, KEY), &mut |_| ())?;
                } else {
                    put(run, engine, number, step)?;
                }
                if let Some(second) = per_second.get(start.elapsed().as_secs() as usize) {
                    second.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
    })?;
    run.recorder.rate("W17 80 % reads, 20 % writes", &done)?;
    let tail = done.latency.value_at_quantile(0.999) as f64 / 1000.0;
    run.recorder.record("W17 latency, 99.9 %", tail, "us", false)?;
    let whole = (limit.time.as_secs() as usize).max(1);
    let floor = per_second.iter().take(whole).map(|second| second.load(Ordering::Relaxed)).min();
    run.recorder.record("W17 slowest second", floor.unwrap_or(0) as f64, "1/s", true)
}
