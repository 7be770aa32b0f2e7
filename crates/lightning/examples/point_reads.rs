//! Prints how fast this machine reads and writes: sorted puts, point reads, scans, opening.
//!
//! `cargo run --release -p lightning --example point_reads [keys] [lsm|btree]`
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::ops::Bound;
use std::time::Instant;

use lightning::{
    Database, Direction, Durability, KeyspaceOptions, Layout, Options, Readable, TransactionOptions,
    WriteBatch,
};

const VALUE: [u8; 100] =
    *b"a hundred bytes of value, as a small row would have, with some repetition: value, value, small row!!";

/// When something began, by the clock and by what this thread has computed.
struct Start(Instant, f64);

impl Start {
    fn now() -> Self {
        Self(Instant::now(), computed_seconds())
    }
}

/// Seconds this thread was on a processor: fair on a machine that others use too.
fn computed_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

fn report(what: &str, count: u64, start: Start) {
    let (clock, computed) = (start.0.elapsed().as_secs_f64(), computed_seconds() - start.1);
    println!(
        "{what:<46} {:>11.0} /s {:>11.0} /s of thread time",
        count as f64 / clock,
        count as f64 / computed
    );
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: 1 << 30, ..Options::default() };
    let database = Database::open(directory.path(), options.clone()).unwrap();
    let layout = match std::env::args().nth(2).as_deref() {
        None | Some("lsm") => Layout::Lsm,
        Some("btree") => Layout::BTree,
        Some(other) => panic!("the layouts are lsm and btree, not {other}"),
    };
    let keyspace_options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("points", keyspace_options).unwrap();

    let start = Start::now();
    for first in (0..keys).step_by(1000) {
        let mut batch = WriteBatch::new();
        for number in first..(first + 1000).min(keys) {
            batch.put(&keyspace, &number.to_be_bytes(), &VALUE);
        }
        database.write(batch, Durability::Unlogged).unwrap();
    }
    report("sorted puts, unlogged batches of 1000", keys, start);
    keyspace.flush().unwrap();

    let read = |what: &str| {
        let mut seed = 1u64;
        let mut sum = 0usize;
        let start = Start::now();
        for _ in 0..keys {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = ((seed >> 20) % keys).to_be_bytes();
            sum += database.snapshot().get_with(&keyspace, &key, <[u8]>::len).unwrap().unwrap();
        }
        report(what, keys, start);
        assert_eq!(sum as u64, keys * 100);
    };
    read("random point reads, first time");
    read("random point reads, cached, a snapshot each");
    keyspace.compact().unwrap();
    read("  after a merge, first time");
    read("  after a merge, cached");

    for direction in [Direction::Forward, Direction::Reverse] {
        let start = Start::now();
        let mut range =
            database.snapshot().range(&keyspace, Bound::Unbounded, Bound::Unbounded, direction).unwrap();
        let mut rows = 0;
        while range.next().unwrap().is_some() {
            rows += 1;
        }
        report(&format!("scan, cached, {direction:?}"), rows, start);
    }

    let start = Start::now();
    for first in (0..keys).step_by(2000) {
        let mut batch = WriteBatch::new();
        for number in (first..(first + 2000).min(keys)).step_by(2) {
            batch.delete(&keyspace, &number.to_be_bytes());
        }
        database.write(batch, Durability::Buffered).unwrap();
    }
    report("deletes of every other key, batches of 1000", keys / 2, start);
    for what in ["scan over what was just deleted", "  once more"] {
        let start = Start::now();
        let mut range = database
            .snapshot()
            .range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
            .unwrap();
        let mut rows = 0;
        while range.next().unwrap().is_some() {
            rows += 1;
        }
        report(what, rows, start);
    }
    let start = Start::now();
    let mut batch = WriteBatch::new();
    let (from, to) = ((keys / 10 * 4).to_be_bytes(), (keys / 10 * 5).to_be_bytes());
    batch.delete_range(&keyspace, Bound::Included(&from), Bound::Excluded(&to));
    database.write(batch, Durability::Buffered).unwrap();
    report("a deleted range of a tenth, keys", keys / 20, start);
    let mut batch = WriteBatch::new();
    for number in 0..keys {
        if number % 2 == 0 || (keys / 10 * 4..keys / 10 * 5).contains(&number) {
            batch.put(&keyspace, &number.to_be_bytes(), &VALUE);
        }
    }
    database.write(batch, Durability::Buffered).unwrap();

    let start = Start::now();
    for number in 0..keys / 10 {
        let mut transaction = database
            .begin(TransactionOptions { durability: Durability::Buffered, ..TransactionOptions::default() });
        transaction.put(&keyspace, &(number * 7 % keys).to_be_bytes(), &VALUE).unwrap();
        transaction.commit().unwrap();
    }
    report("transactions of one put, buffered", keys / 10, start);

    let start = Start::now();
    std::thread::scope(|scope| {
        for thread in 0..32u64 {
            let (database, keyspace) = (&database, &keyspace);
            scope.spawn(move || {
                for number in 0..100u64 {
                    let mut transaction = database.begin(TransactionOptions::default());
                    transaction.put(keyspace, &(thread * 1000 + number).to_be_bytes(), &VALUE).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
    });
    report("transactions of one put, synced, 32 threads", 3200, start);

    drop((database, keyspace));
    let logged = Database::open(
        directory.path(),
        Options {
            memtable_bytes: 1 << 30,
            write_buffer_bytes: 1 << 30,
            max_wal_bytes: 1 << 30,
            ..options.clone()
        },
    )
    .unwrap();
    let keyspace = logged.keyspace("points").unwrap();
    for first in (0..keys * 4).step_by(1000) {
        let mut batch = WriteBatch::new();
        for number in first..first + 1000 {
            batch.put(&keyspace, &(number % keys).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), &VALUE);
        }
        logged.write(batch, Durability::Buffered).unwrap();
    }
    let bytes = logged.stats().wal_bytes;
    drop((logged, keyspace));
    let start = Start::now();
    let database = Database::open(directory.path(), options).unwrap();
    println!("opening with {} MiB of log took {:.3} s", bytes >> 20, start.0.elapsed().as_secs_f64());
    drop(database);
}
