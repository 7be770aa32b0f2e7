//! W1 (load in random order), W3 to W7 (reads in cache), and what the loaded data takes.

use crate::data::{Random, Zipf, belongs, key};
use crate::engine::{Class, Engine, Result};
use crate::measure::{Limit, Timed, disk_bytes, resident_bytes, timed, timed_threads, written_bytes};

use super::{Run, Sizes, fill, settle};

const KEY: usize = 24;
const VALUE: usize = 150;

pub fn run(run: &Run) -> Result<()> {
    let engine = run.open(Class::None)?;
    let engine = engine.as_ref();
    let count = run.scaled(5_000_000);
    let sizes = Sizes { key: KEY, value: VALUE, batch: 10_000, compressible: run.compressed };
    let loaded = timed(Limit { operations: 1, time: run.time }, 1, |_| {
        fill(engine, 0..count, sizes)?;
        engine.sync()
    })?;
    run.recorder.rate("W1 load, random order", &Timed { operations: count, ..loaded })?;
    settle(engine)?;
    let payload = (count * (KEY + VALUE) as u64) as f64;
    run.recorder.record("W18 disk after W1", disk_bytes(run.directory)? as f64 / payload, "x data", false)?;
    run.recorder.record("W18 written during W1", written_bytes() as f64 / payload, "x data", false)?;

    let hits = run.limit(run.scaled(2_000_000));
    // What a cache has, it has after this.
    full_scan(engine, count)?;
    gets(engine, count, 99, Limit { operations: hits.operations / 2, ..hits })?;
    run.recorder.rate("W3 get, uniform", &gets(engine, count, 1, hits)?)?;
    let two = timed_threads(2, |thread| gets(engine, count, 100 + thread, hits))?;
    run.recorder.rate("W3 get, uniform, 2 threads", &two)?;
    run.recorder.rate("W4 get, Zipf, 10 % absent", &zipf_gets(engine, count, hits)?)?;
    run.recorder.rate("W5 get, absent", &absent_gets(engine, count, hits)?)?;
    for (rows, full) in [(10, 500_000), (100, 100_000)] {
        for (name, reverse) in [("", false), (", reverse", true)] {
            let scans = scans(engine, count, rows, reverse, run.limit(run.scaled(full)))?;
            run.recorder.rate(&format!("W6 scan of {rows}{name}"), &scans)?;
        }
    }
    let scan = timed(Limit { operations: 1, time: run.time }, 1, |_| full_scan(engine, count))?;
    run.recorder.rate("W7 full scan", &Timed { operations: count, ..scan })?;
    run.recorder.record("W18 memory after reads", resident_bytes() as f64 / payload, "x data", false)
}

/// Every reader is used for so many gets: a new one per get would measure its making.
const GETS_PER_READER: u64 = 10_000;

fn gets(engine: &dyn Engine, count: u64, seed: u64, limit: Limit) -> Result<Timed> {
    let mut random = Random::new(seed);
    let mut reader = None;
    timed(limit, 8, |step| {
        if step % GETS_PER_READER == 0 {
            // LMDB has one reader per thread, so the old one goes first.
            drop(reader.take());
        }
        let reader = match &mut reader {
            Some(reader) => reader,
            None => reader.insert(engine.reader()?),
        };
        let number = random.below(count);
        let mut right = false;
        reader.get(&key(number, KEY), &mut |value| right = belongs(value, number))?;
        if right { Ok(()) } else { Err(format!("the value of key {number} is missing or wrong").into()) }
    })
}

fn zipf_gets(engine: &dyn Engine, count: u64, limit: Limit) -> Result<Timed> {
    let (mut random, zipf) = (Random::new(4), Zipf::new(count));
    let reader = engine.reader()?;
    timed(limit, 8, |step| {
        let absent = step % 10 == 9;
        let number = zipf.rank(&mut random) + if absent { count } else { 0 };
        if reader.get(&key(number, KEY), &mut |_| ())? == absent {
            return Err(format!("key {number} is there or not, and should not or should").into());
        }
        Ok(())
    })
}

fn absent_gets(engine: &dyn Engine, count: u64, limit: Limit) -> Result<Timed> {
    let mut random = Random::new(5);
    let reader = engine.reader()?;
    timed(limit, 8, |_| {
        let number = count + random.below(count);
        match reader.get(&key(number, KEY), &mut |_| ())? {
            true => Err(format!("key {number} should not be there").into()),
            false => Ok(()),
        }
    })
}

fn scans(engine: &dyn Engine, count: u64, rows: usize, reverse: bool, limit: Limit) -> Result<Timed> {
    let mut random = Random::new(6);
    let reader = engine.reader()?;
    let mut bytes = 0;
    timed(limit, 4, |_| {
        let from = key(random.below(count), KEY);
        reader.scan(&from, reverse, rows, &mut |key, value| bytes += key.len() + value.len())?;
        Ok(())
    })
}

fn full_scan(engine: &dyn Engine, count: u64) -> Result<()> {
    let mut bytes = 0;
    let found = engine.reader()?.scan(&[], false, usize::MAX, &mut |key, value| {
        bytes += key.len() + value.len();
    })?;
    if found as u64 == count { Ok(()) } else { Err(format!("{found} entries instead of {count}").into()) }
}
