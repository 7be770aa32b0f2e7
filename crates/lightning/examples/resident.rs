//! How much memory a process with a database takes at most, under one kind of work after another.
//!
//! `cargo run --release -p lightning --example resident [lsm|btree] [MiB of cache] [keys]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::ops::Bound;

use lightning::{
    Database, Direction, Durability, Keyspace, KeyspaceOptions, Layout, Options, Readable, Snapshot,
    WriteBatch,
};

const VALUE_BYTES: usize = 400;

/// The most this process had in memory since it was asked last, in MiB.
fn peak_since_last() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    // 5: the peak begins anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kibibytes.unwrap_or_default() / 1024
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&number.to_be_bytes());
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

/// Writes scattered keys, and calls `between` now and then.
fn write(database: &Database, keyspace: &Keyspace, keys: u64, salt: u64, between: &mut dyn FnMut()) {
    let mut seed = salt;
    let mut value = vec![0; VALUE_BYTES];
    for round in 0..keys / 100 {
        let mut batch = WriteBatch::new();
        for _ in 0..100 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for part in value.chunks_mut(8) {
                seed ^= seed >> 27;
                seed = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
                part.copy_from_slice(&seed.to_le_bytes());
            }
            batch.put(keyspace, &key((seed >> 20) % keys), &value);
        }
        database.write(batch, Durability::Buffered).unwrap();
        if round % (keys / 1000).max(1) == 0 {
            between();
        }
    }
}

fn read(snapshot: &Snapshot, keyspace: &Keyspace, keys: u64) {
    for number in 0..keys {
        snapshot.get_with(keyspace, &key(number * 7 % keys), <[u8]>::len).unwrap();
    }
    let mut range = snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    while range.next().unwrap().is_some() {}
}

fn main() {
    let argument =
        |at: usize, default: u64| std::env::args().nth(at).map_or(default, |text| text.parse().unwrap());
    let (cache, keys) = (argument(2, 128), argument(3, 1_000_000));
    let layout =
        if std::env::args().nth(1).is_some_and(|name| name == "btree") { Layout::BTree } else { Layout::Lsm };
    println!("{cache} MiB of cache, {} MiB of data", (keys * (16 + VALUE_BYTES as u64)) >> 20);
    let directory = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: (cache as usize) << 20, ..Options::default() };
    let database = Database::open(directory.path(), options).unwrap();
    let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("k", options).unwrap();
    let said = |what: &str| println!("{layout:?} {what:<34} {:>5} MiB at most", peak_since_last());
    write(&database, &keyspace, keys, 1, &mut || ());
    said("scattered writes");
    read(&database.snapshot(), &keyspace, keys);
    said("reads and a scan");
    write(&database, &keyspace, keys, 2, &mut || read(&database.snapshot(), &keyspace, keys / 1000));
    said("writes and reads in turns");
    let mut held = Vec::new();
    write(&database, &keyspace, keys, 3, &mut || held.push(database.snapshot()));
    said("writes while snapshots are kept");
    drop(held);
    keyspace.compact().unwrap();
    said("a merge of all");
}
