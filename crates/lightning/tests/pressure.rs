//! Writers that are faster than the disk: they slow down, what waits stays bounded, and nobody stands still.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lightning::{Compression, Database, Durability, KeyspaceOptions, Layout, Options, Readable, WriteBatch};
use luma_vfs::{Observed, Observer, SimDisk};

/// Takes its time to write tables and trees; the log is on a fast disk.
#[derive(Debug)]
struct Slow {
    bytes_per_second: u64,
}

impl Observer for Slow {
    fn writing(&self, path: &Path, bytes: usize) {
        let is_slow = path.components().any(|part| part.as_os_str() == "tables");
        let bytes_per_second = if is_slow { self.bytes_per_second } else { u64::MAX };
        std::thread::sleep(Duration::from_secs(1) * bytes as u32 / bytes_per_second.min(1 << 30) as u32);
    }
}

fn open(bytes_per_second: u64, changed: impl FnOnce(&mut Options)) -> Database {
    let mut options = Options {
        memtable_bytes: 16 << 10,
        write_buffer_bytes: 256 << 10,
        table_bytes: 32 << 10,
        level_bytes: 64 << 10,
        level0_tables: 2,
        merge_debt_bytes: 512 << 10,
        compression: Compression::None,
        ..Options::default()
    };
    changed(&mut options);
    let disk = Observed::with(Arc::new(SimDisk::new()), Slow { bytes_per_second });
    Database::open_with_vfs(Arc::new(disk), "/db", options).unwrap()
}

/// Writes so many values of 1 KiB under scattered keys.
fn write(database: &Database, keyspace: &lightning::Keyspace, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &number.wrapping_mul(0x9e37_79b9).to_be_bytes(), &[number as u8; 1024]);
        database.write(batch, Durability::Buffered).unwrap();
    }
}

#[test]
fn on_a_slow_disk_level_0_stays_bounded_and_every_writer_goes_on() {
    let database = open(2 << 20, |_| {});
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let done = AtomicBool::new(false);
    let mut most = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::scope(|writers| {
                for writer in 0..4 {
                    let (database, keyspace) = (&database, &keyspace);
                    writers.spawn(move || write(database, keyspace, writer * 500..(writer + 1) * 500));
                }
            });
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            most = most.max(database.stats().keyspaces[0].tables.first().copied().unwrap_or(0));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let stats = database.stats();
    assert!(stats.back_pressure.delayed_commits > 0 && !stats.back_pressure.delayed.is_zero(), "{stats:?}");
    // 2 MiB are 125 memtables.
    assert!(most < 40, "level 0 had {most} tables");
    while database.stats().back_pressure.rate_bytes_per_second.is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    for number in (0..2000u32).step_by(7) {
        let key = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        assert_eq!(database.snapshot().get(&keyspace, &key).unwrap().unwrap()[0], number as u8);
    }
}

#[test]
fn a_disk_that_hardly_writes_at_all_lets_writers_through_at_the_lowest_rate() {
    let database = open(64 << 10, |options| {
        options.merge_debt_bytes = 1;
    });
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    write(&database, &keyspace, 0..200);
    let behind = database.stats().keyspaces[0].frozen_memtables;
    assert!(behind > 0, "the disk can't keep up");
}

#[test]
fn who_writes_elsewhere_does_not_wait() {
    for layout in [Layout::Lsm, Layout::BTree] {
        let database = open(256 << 10, |_| {});
        let indebted = database.create_keyspace("indebted", KeyspaceOptions::default()).unwrap();
        let other = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        let other = database.create_keyspace("other", other).unwrap();
        while database.stats().back_pressure.rate_bytes_per_second.is_none() {
            write(&database, &indebted, 0..64);
        }
        let before = database.stats().back_pressure.delayed_commits;
        write(&database, &other, 0..8);
        assert_eq!(database.stats().back_pressure.delayed_commits, before);
    }
}

#[test]
fn flushes_and_merges_together_write_no_faster_than_they_may() {
    const RATE: u64 = 400_000;
    for layout in [Layout::Lsm, Layout::BTree] {
        let database = open(u64::MAX, |options| options.background_bytes_per_second = RATE);
        let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        let keyspace = database.create_keyspace("k", options).unwrap();
        let start = std::time::Instant::now();
        write(&database, &keyspace, 0..400);
        keyspace.flush().unwrap();
        keyspace.compact().unwrap();
        let passed = start.elapsed().as_secs_f64();
        let written = database.stats().written;
        let background = written.flush_bytes + written.compaction_bytes;
        // A slow machine makes it slower, nothing makes it faster; a tenth of a second's worth and the last
        // write come on top.
        let allowed = RATE as f64 * (passed + 0.1) + 300_000.0;
        assert!((background as f64) < allowed, "{layout:?}: {background} bytes in {passed} s");
        assert!(background > 400_000, "{layout:?}: only {background} bytes were written");
        database.close().unwrap();
    }
}

#[test]
fn closing_does_not_wait_for_the_limiter() {
    let database = open(u64::MAX, |options| {
        options.background_bytes_per_second = 1;
        options.write_buffer_bytes = 1 << 20;
    });
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    // More than a year's worth at that rate.
    write(&database, &keyspace, 0..64);
    drop(keyspace);
    database.close().unwrap();
}
