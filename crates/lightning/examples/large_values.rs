//! Prints how fast values of several lengths are written and read, in tables and in blob files.
//!
//! `cargo run --release -p lightning --example large_values [MiB of values per line, 256 if not given] [lengths]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::ops::Bound;
use std::time::{Duration, Instant};

use lightning::{
    Compression, Database, Direction, Durability, Keyspace, KeyspaceOptions, Options, Readable, SyncMode,
    WriteBatch,
};

const LENGTHS: [usize; 4] = [4 << 10, 20 << 10, 200 << 10, 2 << 20];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn options(threshold: u32, cache_bytes: usize) -> Options {
    Options {
        cache_bytes,
        compression: Compression::None,
        sync: SyncMode::Periodic(Duration::from_millis(500)),
        blob_threshold: threshold,
        ..Options::default()
    }
}

fn key(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// Reads as many values as there are, at random places.
fn read(database: &Database, keyspace: &Keyspace, (keys, length): (u64, usize)) -> Duration {
    let mut order = Random(7);
    let start = Instant::now();
    for _ in 0..keys {
        let found = database.snapshot().get_with(keyspace, &key(order.next() % keys), <[u8]>::len).unwrap();
        assert_eq!(found, Some(length));
    }
    start.elapsed()
}

fn scan(database: &Database, keyspace: &Keyspace, keys: u64) -> Duration {
    let start = Instant::now();
    let all = (Bound::Unbounded, Bound::Unbounded);
    let mut range = database.snapshot().range(keyspace, all.0, all.1, Direction::Forward).unwrap();
    let mut found = 0;
    while let Some((_, value)) = range.next().unwrap() {
        found += u64::from(!value.is_empty());
    }
    assert_eq!(found, keys);
    start.elapsed()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mebibytes: usize = arguments.next().map_or(256, |text| text.parse().unwrap());
    let mut lengths: Vec<usize> = arguments.map(|text| text.parse().unwrap()).collect();
    if lengths.is_empty() {
        lengths = LENGTHS.to_vec();
    }
    println!(
        "MB/s: written once; again in random order, with merges; read from the cache; walked there; read with a"
    );
    println!("small cache; walked so; and bytes written to disk by bytes of values");
    for length in lengths {
        for threshold in [u32::MAX, 1] {
            let directory = tempfile::tempdir().unwrap();
            let keys = ((mebibytes << 20) / length) as u64;
            let total = keys as usize * length;
            let rate = |time: Duration| total as f64 / 1e6 / time.as_secs_f64();
            let database = Database::open(directory.path(), options(threshold, 4 * total)).unwrap();
            let keyspace = database.create_keyspace("values", KeyspaceOptions::default()).unwrap();
            let mut random = Random(1);
            let mut value = vec![0; length];
            value.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next().to_le_bytes()));
            let mut write = |number: u64| {
                value[..8].copy_from_slice(&random.next().to_le_bytes());
                let mut batch = WriteBatch::new();
                batch.put(&keyspace, &key(number), &value);
                database.write(batch, Durability::Buffered).unwrap();
            };
            let start = Instant::now();
            (0..keys).for_each(&mut write);
            keyspace.flush().unwrap();
            let once = rate(start.elapsed());
            let start = Instant::now();
            let mut order = Random(7);
            (0..keys).for_each(|_| write(order.next() % keys));
            keyspace.flush().unwrap();
            keyspace.compact().unwrap();
            let again = rate(start.elapsed());
            let written = database.stats().written.total_bytes as f64 / (2.0 * total as f64);
            read(&database, &keyspace, (keys, length));
            let cached = rate(read(&database, &keyspace, (keys, length)));
            scan(&database, &keyspace, keys);
            let walked = rate(scan(&database, &keyspace, keys));
            drop(keyspace);
            database.close().unwrap();
            let database = Database::open(directory.path(), options(threshold, total / 16)).unwrap();
            let keyspace = database.keyspace("values").unwrap();
            read(&database, &keyspace, (keys, length));
            let missed = rate(read(&database, &keyspace, (keys, length)));
            let walked_cold = rate(scan(&database, &keyspace, keys));
            let place = if threshold == 1 { "blob files" } else { "tables" };
            println!(
                "{length:>8} {place:<10} {once:>7.0} {again:>7.0} {cached:>9.0} {walked:>9.0} {missed:>7.0} \
                 {walked_cold:>7.0} {written:>6.2}"
            );
        }
    }
}
