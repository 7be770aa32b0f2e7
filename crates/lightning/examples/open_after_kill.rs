//! How long opening takes after a kill -9, by the size of the log.
//!
//! A child process fills the log with unflushed commits and kills itself; then this process opens the
//! database, reads a key and checks all of them. `cargo run --release -p lightning --example
//! open_after_kill [MiB of log] [bytes per value]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::ops::Bound;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use lightning::{Database, Direction, Durability, KeyspaceOptions, Options, Readable, WriteBatch};

/// Nothing is flushed before the log has its size.
fn writing(log_bytes: u64) -> Options {
    let bytes = log_bytes as usize * 4;
    Options {
        memtable_bytes: bytes,
        write_buffer_bytes: bytes,
        max_wal_bytes: log_bytes * 4,
        ..Options::default()
    }
}

fn key(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// Commits until the log is long enough, says how many keys there are, and dies.
fn fill(path: &Path, log_bytes: u64, value_bytes: usize) {
    let database = Database::open(path, writing(log_bytes)).unwrap();
    let spaces: Vec<_> = ["one", "two"]
        .iter()
        .map(|name| database.create_keyspace(name, KeyspaceOptions::default()).unwrap())
        .collect();
    let value = vec![7; value_bytes];
    let mut written = 0;
    let mut keys = 0u64;
    while written < log_bytes {
        let mut batch = WriteBatch::new();
        for _ in 0..16 {
            batch.put(&spaces[(keys % 2) as usize], &key(keys), &value);
            keys += 1;
        }
        written += batch.bytes() as u64 + 13;
        database.write(batch, Durability::Buffered).unwrap();
    }
    let mut batch = WriteBatch::new();
    batch.put(&spaces[0], b"keys", &keys.to_le_bytes());
    database.write(batch, Durability::Sync).unwrap();
    let status = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
    unreachable!("the process lives on after {status:?}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (mebibytes, value_bytes) = (number(1, 512), number(2, 100));
    if let Some(path) = arguments.get(3) {
        fill(Path::new(path), mebibytes << 20, value_bytes as usize);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([mebibytes.to_string(), value_bytes.to_string(), path.to_owned()])
        .status()
        .unwrap();
    assert!(!child.success(), "the child was to kill itself");

    let start = Instant::now();
    let database = Database::open(path, Options::default()).unwrap();
    let opened = start.elapsed();
    let one = database.keyspace("one").unwrap();
    let two = database.keyspace("two").unwrap();
    let counter = database.snapshot().get(&one, b"keys").unwrap().unwrap();
    let read = start.elapsed();
    let mut batch = WriteBatch::new();
    batch.put(&one, b"keys", &counter);
    database.write(batch, Durability::Sync).unwrap();
    let written = start.elapsed();
    println!(
        "opening after kill -9 with {mebibytes} MiB of log: {:.3} s, until the first read {:.3} s, until the \
         first synced commit {:.3} s",
        opened.as_secs_f64(),
        read.as_secs_f64(),
        written.as_secs_f64(),
    );
    let keys = u64::from_le_bytes(counter.try_into().unwrap());
    let mut rows = 0;
    for keyspace in [&one, &two] {
        let mut range = database
            .snapshot()
            .range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
            .unwrap();
        while range.next().unwrap().is_some() {
            rows += 1;
        }
    }
    assert_eq!(rows, keys + 1);
    println!("all {keys} keys are there");
}
