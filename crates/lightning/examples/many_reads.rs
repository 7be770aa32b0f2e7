//! Prints how fast many keys are read: gets one after another and `get_each`, where everything is in memory.
//!
//! `cargo run --release -p lightning --example many_reads [keys] [lsm|btree]`
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::time::Duration;

use lightning::{
    Database, Durability, Keyspace, KeyspaceOptions, Layout, Options, Readable, Snapshot, WriteBatch,
};

/// Of a small row.
const VALUE: [u8; 16] = *b"sixteen bytes ok";
/// Keys that are read together.
const BATCH: u64 = 1000;
const ROUNDS: u64 = 1000;

/// How long this thread was on a processor: fair on a machine that others use too.
fn computed() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place that is written to is there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn one_by_one(snapshot: &Snapshot, keyspace: &Keyspace, keys: &[&[u8]]) -> usize {
    keys.iter().map(|key| snapshot.get_with(keyspace, key, <[u8]>::len).unwrap().unwrap()).sum()
}

fn together(snapshot: &Snapshot, keyspace: &Keyspace, keys: &[&[u8]]) -> usize {
    let mut bytes = 0;
    snapshot.get_each(keyspace, keys, |_, value| bytes += value.unwrap().len()).unwrap();
    bytes
}

/// Both ways by turns, over other keys each time; nanoseconds a key.
fn compare(what: &str, database: &Database, keyspace: &Keyspace, keys: u64) {
    let snapshot = database.snapshot();
    let mut taken = [Duration::ZERO; 2];
    for round in 0..ROUNDS {
        // Far from each other, as rows are that an index names.
        let wanted = (0..BATCH).map(|number| ((number * (keys / BATCH) + round * 7919) % keys).to_be_bytes());
        let wanted: Vec<[u8; 8]> = wanted.collect();
        let wanted: Vec<&[u8]> = wanted.iter().map(<[u8; 8]>::as_slice).collect();
        let way = (round % 2) as usize;
        let start = computed();
        let bytes = [one_by_one, together][way](&snapshot, keyspace, &wanted);
        taken[way] += computed().saturating_sub(start);
        assert_eq!(bytes as u64, BATCH * VALUE.len() as u64);
    }
    let [single, each] = taken.map(|taken| taken.as_nanos() as f64 / (ROUNDS / 2 * BATCH) as f64);
    println!(
        "{what:<30} get {single:>6.0} ns   get_each {each:>6.0} ns   {:>5.2} times as fast",
        single / each
    );
}

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let layout = match std::env::args().nth(2).as_deref() {
        None | Some("lsm") => Layout::Lsm,
        Some("btree") => Layout::BTree,
        Some(other) => panic!("the layouts are lsm and btree, not {other}"),
    };
    let options = Options { cache_bytes: 2 << 30, write_buffer_bytes: 1 << 30, ..Options::default() };
    let database = Database::open(directory.path(), options).unwrap();
    let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("many", options).unwrap();
    for first in (0..keys).step_by(1000) {
        let mut batch = WriteBatch::new();
        for number in first..(first + 1000).min(keys) {
            batch.put(&keyspace, &number.to_be_bytes(), &VALUE);
        }
        database.write(batch, Durability::Unlogged).unwrap();
    }
    compare("in the memtable", &database, &keyspace, keys);
    keyspace.flush().unwrap();
    compare("flushed, first", &database, &keyspace, keys);
    compare("flushed", &database, &keyspace, keys);
    keyspace.compact().unwrap();
    compare("compacted, first", &database, &keyspace, keys);
    compare("compacted", &database, &keyspace, keys);
}
