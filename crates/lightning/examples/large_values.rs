//! Prints how fast values of several lengths are written and read, in tables and in blob files.
//!
//! `cargo run --release -p lightning --example large_values [MiB of values per line, 256 if not given]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use lightning::{Compression, Database, Durability, KeyspaceOptions, Options, Readable, WriteBatch};

const LENGTHS: [usize; 6] = [1 << 10, 4 << 10, 8 << 10, 20 << 10, 128 << 10, 2 << 20];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn main() {
    let mebibytes: usize = std::env::args().nth(1).map_or(256, |text| text.parse().unwrap());
    println!(
        "bytes of a value, where: MB/s written once, written again in random order with merges, read; written to disk by bytes of values"
    );
    for length in LENGTHS {
        for threshold in [u32::MAX, 1] {
            let directory = tempfile::tempdir().unwrap();
            let options = Options {
                cache_bytes: 64 << 20,
                compression: Compression::None,
                blob_threshold: threshold,
                ..Options::default()
            };
            let database = Database::open(directory.path(), options).unwrap();
            let keyspace = database.create_keyspace("values", KeyspaceOptions::default()).unwrap();
            let keys = ((mebibytes << 20) / length) as u64;
            let mut random = Random(1);
            let mut value = vec![0; length];
            let mut write = |key: u64, durability| {
                value.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next().to_le_bytes()));
                let mut batch = WriteBatch::new();
                batch.put(&keyspace, &key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), &value);
                database.write(batch, durability).unwrap();
            };
            let rate = |start: Instant| (keys as usize * length) as f64 / 1e6 / start.elapsed().as_secs_f64();
            let start = Instant::now();
            (0..keys).for_each(|key| write(key, Durability::Buffered));
            keyspace.flush().unwrap();
            let once = rate(start);
            let start = Instant::now();
            let mut order = Random(7);
            (0..keys).for_each(|_| write(order.next() % keys, Durability::Buffered));
            keyspace.flush().unwrap();
            keyspace.compact().unwrap();
            let again = rate(start);
            let written =
                database.stats().written.total_bytes as f64 / (2.0 * (keys as usize * length) as f64);
            let start = Instant::now();
            for _ in 0..keys {
                let key = (order.next() % keys).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                let found = database.snapshot().get_with(&keyspace, &key, <[u8]>::len).unwrap();
                assert_eq!(found, Some(length));
            }
            let place = if threshold == 1 { "blob files" } else { "tables" };
            println!("{length:>8} {place:<10} {once:>8.0} {again:>8.0} {:>8.0} {written:>8.2}", rate(start));
        }
    }
}
