//! Prints what filters cost and spare, Bloom and Ribbon: bytes, wrong answers, reads per second.
//!
//! `cargo run --release -p lightning --example filters [keys]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use lightning::{Compression, Database, Durability, KeyspaceOptions, Options, Readable, WriteBatch};

/// A number's key: scattered, and never that of another number.
fn key(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    println!("| filter | bytes of tables | merge, s | present keys/s | absent keys/s | wrong |");
    println!("|---|---|---|---|---|---|");
    for (name, bloom_bits_per_key, ribbon_filters) in [
        ("none", 0, false),
        ("Bloom", 10, false),
        ("Ribbon", 10, true),
        ("Bloom", 10, false),
        ("Ribbon", 10, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            bloom_bits_per_key,
            ribbon_filters,
            cache_bytes: 1 << 30,
            compression: Compression::None,
            ..Options::default()
        };
        let database = Database::open(directory.path(), options).unwrap();
        let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
        for first in (0..keys).step_by(1000) {
            let mut batch = WriteBatch::new();
            for number in first..(first + 1000).min(keys) {
                batch.put(&keyspace, &key(number), &[b'v'; 40]);
            }
            database.write(batch, Durability::Unlogged).unwrap();
        }
        keyspace.flush().unwrap();
        let start = Instant::now();
        keyspace.compact().unwrap();
        let merge = start.elapsed().as_secs_f64();
        let read = |from: u64| {
            let (snapshot, mut found) = (database.snapshot(), 0);
            let start = Instant::now();
            for number in 0..keys {
                let number = from + number.wrapping_mul(7_919) % keys;
                found +=
                    usize::from(snapshot.get_with(&keyspace, &key(number), <[u8]>::len).unwrap().is_some());
            }
            (keys as f64 / start.elapsed().as_secs_f64(), found)
        };
        read(0);
        let (present, found) = read(0);
        assert_eq!(found as u64, keys);
        let before = database.stats().cache;
        let (absent, _) = read(1 << 40);
        let stats = database.stats();
        let wrong = (stats.cache.filter_false_positives - before.filter_false_positives) as f64 / keys as f64;
        let bytes = stats.keyspaces[0].disk_bytes;
        println!("| {name} | {bytes} | {merge:.2} | {present:.0} | {absent:.0} | {:.2} % |", wrong * 100.0);
    }
}
