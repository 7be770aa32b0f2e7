//! Prints how fast what is left is walked over after many keys were deleted one by one, in either layout.
//!
//! `cargo run --release -p lightning --example deleted_scans [keys, 1000000 if not given]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::ops::Bound;
use std::time::{Duration, Instant};

use lightning::{
    Compression, Database, Direction, Durability, Keyspace, KeyspaceOptions, Layout, Options, Readable,
    SyncMode, WriteBatch,
};

fn key(number: u64) -> [u8; 24] {
    let mut key = [0; 24];
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key[..8].copy_from_slice(&mixed.to_be_bytes());
    key[8..16].copy_from_slice(&number.to_be_bytes());
    key
}

/// Seconds this thread was on a processor: fair on a machine that others use too.
fn computed() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

fn wait_for_flushes(database: &Database) {
    while database.stats().keyspaces.iter().any(|keyspace| keyspace.frozen_memtables > 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn scan(database: &Database, keyspace: &Keyspace, what: &str, expected: u64) {
    let start = (Instant::now(), computed());
    for direction in [Direction::Forward, Direction::Reverse] {
        let snapshot = database.snapshot();
        let mut range = snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, direction).unwrap();
        let mut found = 0;
        while range.next().unwrap().is_some() {
            found += 1;
        }
        assert_eq!(found, expected);
        if direction == Direction::Forward {
            let (clock, seconds) = (start.0.elapsed().as_secs_f64(), computed() - start.1);
            let figures = database.stats();
            let tables = &figures.keyspaces[0].tables;
            println!(
                "{what:<15} {expected:>8} left, forward {:>6.0} ms, {:>5.0} ms of thread time, {tables:?}",
                clock * 1e3,
                seconds * 1e3
            );
        }
    }
    let (clock, seconds) = (start.0.elapsed().as_secs_f64(), computed() - start.1);
    println!(
        "{what:<15}         and backward {:>6.0} ms, {:>5.0} ms of thread time",
        clock * 1e3,
        seconds * 1e3
    );
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    for layout in [Layout::Lsm, Layout::BTree] {
        for share in [2, 1] {
            println!("{layout:?}, one key in {share} is deleted");
            let directory = tempfile::tempdir().unwrap();
            let options = Options {
                cache_bytes: 2 << 30,
                compression: Compression::None,
                sync: SyncMode::Async,
                ..Options::default()
            };
            let database = Database::open(directory.path(), options).unwrap();
            let keyspace_options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
            let keyspace = database.create_keyspace("k", keyspace_options).unwrap();
            for first in (0..keys).step_by(10_000) {
                let mut batch = WriteBatch::new();
                for number in first..(first + 10_000).min(keys) {
                    batch.put(&keyspace, &key(number), &[7; 150]);
                }
                database.write(batch, Durability::Buffered).unwrap();
            }
            wait_for_flushes(&database);
            scan(&database, &keyspace, "before", keys);
            scan(&database, &keyspace, "before, again", keys);
            let start = Instant::now();
            let gone: Vec<u64> = (0..keys).step_by(share).collect();
            for numbers in gone.chunks(1000) {
                let mut batch = WriteBatch::new();
                for number in numbers {
                    batch.delete(&keyspace, &key(*number));
                }
                database.write(batch, Durability::Buffered).unwrap();
            }
            println!("deleting took {:>4.0} ms", start.elapsed().as_secs_f64() * 1e3);
            let left = keys - gone.len() as u64;
            scan(&database, &keyspace, "at once", left);
            scan(&database, &keyspace, "again", left);
            keyspace.flush().unwrap();
            scan(&database, &keyspace, "once flushed", left);
            keyspace.compact().unwrap();
            scan(&database, &keyspace, "once merged", left);
        }
    }
}
