//! Prints what a short scan costs where the entries are in a memtable, in a tree and in tables.
//!
//! `cargo run --release -p lightning --example short_scans [keys] [tree|memtable|tables]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::ops::Bound;

use lightning::{
    Database, Direction, Durability, Keyspace, KeyspaceOptions, Layout, Options, Readable, WriteBatch,
};

const VALUE: [u8; 150] = [b'v'; 150];
const SCANS: u32 = 200_000;

/// Seconds this thread was on a processor: fair on a machine that others use too.
fn computed_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

/// 24 bytes, in an order that has nothing to do with the numbers'.
fn key(number: u64) -> [u8; 24] {
    let mut key = *b"0123456789abcdef--------";
    key[16..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

fn measure(what: &str, database: &Database, keyspace: &Keyspace, keys: u64) {
    if std::env::args().nth(2).is_some_and(|only| only != what) {
        return;
    }
    let snapshot = database.snapshot();
    let start = computed_seconds();
    let mut seed = 1u64;
    let mut found = 0;
    for _ in 0..SCANS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        snapshot.get_with(keyspace, &key((seed >> 20) % keys), |value| found += value.len()).unwrap();
    }
    assert!(found > 0);
    let spent = computed_seconds() - start;
    println!("{what:<12} a point read:      {:>8.0} ns", spent * 1e9 / f64::from(SCANS));
    for rows in [1, 10, 100] {
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut seed = 1u64;
            let mut found = 0;
            let scans = if rows == 100 { SCANS / 5 } else { SCANS };
            let start = computed_seconds();
            for _ in 0..scans {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let from = key((seed >> 20) % keys);
                let (low, high) = match direction {
                    Direction::Forward => (Bound::Included(&from[..]), Bound::Unbounded),
                    Direction::Reverse => (Bound::Unbounded, Bound::Included(&from[..])),
                };
                let mut range = snapshot.range(keyspace, low, high, direction).unwrap();
                for _ in 0..rows {
                    let Some((key, value)) = range.next().unwrap() else { break };
                    found += key.len() + value.len();
                }
            }
            let spent = computed_seconds() - start;
            assert!(found > 0);
            println!(
                "{what:<12} {rows:>4} rows {direction:?}: {:>8.0} ns a scan",
                spent * 1e9 / f64::from(scans)
            );
        }
    }
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let only_tree = std::env::args().nth(2).is_some_and(|only| only == "tree");
    let layouts = if only_tree { &[Layout::BTree][..] } else { &[Layout::BTree, Layout::Lsm] };
    for layout in layouts.iter().copied() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { cache_bytes: 1 << 30, ..Options::default() };
        let database = Database::open(directory.path(), options).unwrap();
        let keyspace_options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        let keyspace = database.create_keyspace("scans", keyspace_options).unwrap();
        for first in (0..keys).step_by(1000) {
            let mut batch = WriteBatch::new();
            for number in first..(first + 1000).min(keys) {
                batch.put(&keyspace, &key(number), &VALUE);
            }
            database.write(batch, Durability::Unlogged).unwrap();
        }
        if layout == Layout::Lsm {
            measure("memtable", &database, &keyspace, keys);
        }
        keyspace.compact().unwrap();
        let what = if layout == Layout::Lsm { "tables" } else { "tree" };
        measure(what, &database, &keyspace, keys);
    }
}
