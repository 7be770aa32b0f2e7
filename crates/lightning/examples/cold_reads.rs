//! Prints how fast data is read that is on the disk only: single gets, gets in batches, a scan.
//!
//! `cargo run --release -p lightning --example cold_reads [keys] [lsm|btree] [direct]`
//!
//! Before each measurement the kernel is asked to forget the files; the engine's cache is small.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::ops::Bound;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use lightning::{
    Database, Direction, Durability, Keyspace, KeyspaceOptions, Layout, Options, Readable, WriteBatch,
};

const READS: u64 = 20_000;
const BATCH: u64 = 100;

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ number
}

fn forget_files(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = std::fs::File::open(entry.unwrap().path()).unwrap();
        file.sync_all().unwrap();
        // SAFETY: the file is open, and no memory is passed.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

fn measure(path: &Path, what: &str, count: u64, read: impl Fn(&Database, &Keyspace)) {
    forget_files(&path.join("tables"));
    let direct_io = std::env::args().nth(3).as_deref() == Some("direct");
    let options = Options { cache_bytes: 16 << 20, direct_io, ..Options::default() };
    let database = Database::open(path, options).unwrap();
    let keyspace = database.keyspace("cold").unwrap();
    let start = Instant::now();
    read(&database, &keyspace);
    println!("{what:<40} {:>11.0} /s", count as f64 / start.elapsed().as_secs_f64());
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(2_000_000, |text| text.parse().unwrap());
    let layout = match std::env::args().nth(2).as_deref() {
        None | Some("lsm") => Layout::Lsm,
        Some("btree") => Layout::BTree,
        Some(other) => panic!("the layouts are lsm and btree, not {other}"),
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let database = Database::open(path, Options::default()).unwrap();
    let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("cold", options).unwrap();
    for first in (0..keys).step_by(1000) {
        let mut batch = WriteBatch::new();
        for number in first..(first + 1000).min(keys) {
            let value: Vec<u8> = (0..13).flat_map(|part| mixed(number * 13 + part).to_le_bytes()).collect();
            batch.put(&keyspace, &number.to_be_bytes(), &value);
        }
        database.write(batch, Durability::Unlogged).unwrap();
    }
    keyspace.compact().unwrap();
    drop(keyspace);
    database.close().unwrap();

    let key = |number: u64| (mixed(number) % keys).to_be_bytes();
    measure(path, "random gets, one after the other", READS, |database, keyspace| {
        for number in 0..READS {
            assert!(database.snapshot().get(keyspace, &key(number)).unwrap().is_some());
        }
    });
    measure(path, "random gets, batches of 100", READS, |database, keyspace| {
        for first in (0..READS).step_by(BATCH as usize) {
            let wanted: Vec<[u8; 8]> = (first..first + BATCH).map(key).collect();
            let wanted: Vec<&[u8]> = wanted.iter().map(<[u8; 8]>::as_slice).collect();
            let found = database.snapshot().multi_get(keyspace, &wanted).unwrap();
            assert!(found.iter().all(Option::is_some));
        }
    });
    measure(path, "entries of a scan", keys, |database, keyspace| {
        let snapshot = database.snapshot();
        let mut range =
            snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
        let mut found = 0;
        while range.next().unwrap().is_some() {
            found += 1;
        }
        assert_eq!(found, keys);
    });
}
