//! A keyspace that is converted from one layout to the other while it is in use.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lightning::{
    Database, Direction, Durability, Error, Keyspace, KeyspaceOptions, Layout, Options, Readable, Snapshot,
    WriteBatch,
};
use luma_vfs::{FaultPlan, SimDisk, Vfs};

const BOTH_WAYS: [[Layout; 2]; 2] = [[Layout::Lsm, Layout::BTree], [Layout::BTree, Layout::Lsm]];

fn small(background_threads: usize) -> Options {
    Options {
        memtable_bytes: 16 << 10,
        write_buffer_bytes: 64 << 10,
        wal_segment_bytes: 32 << 10,
        max_wal_bytes: 128 << 10,
        table_bytes: 16 << 10,
        level_bytes: 32 << 10,
        cache_bytes: 128 << 10,
        background_threads,
        ..Options::default()
    }
}

fn of_layout(layout: Layout) -> KeyspaceOptions {
    KeyspaceOptions { layout, ..KeyspaceOptions::default() }
}

fn content(snapshot: &Snapshot, keyspace: &Keyspace) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut range = snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    let mut all = BTreeMap::new();
    while let Some((key, value)) = range.next().unwrap() {
        all.insert(key.to_vec(), value.to_vec());
    }
    all
}

fn fill(database: &Database, keyspace: &Keyspace, keys: std::ops::Range<u32>, value: u8) {
    for key in keys {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &key.to_be_bytes(), &[value; 40]);
        database.write(batch, Durability::Buffered).unwrap();
    }
}

fn stored(disk: &SimDisk) -> Vec<String> {
    disk.read_dir(Path::new("/db/tables")).unwrap()
}

#[test]
fn the_files_of_the_old_layout_go_with_the_last_snapshot_that_reads_them() {
    for [from, to] in BOTH_WAYS {
        let disk = SimDisk::new();
        let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", small(0)).unwrap();
        let keyspace = database.create_keyspace("k", of_layout(from)).unwrap();
        fill(&database, &keyspace, 0..2000, 1);
        database.flush().unwrap();
        let (before, old_files) = (database.snapshot(), stored(&disk));
        let expected = content(&before, &keyspace);
        let mut told = Vec::new();
        keyspace.convert(to, &mut |progress| told.push(progress)).unwrap();
        assert!(told.windows(2).all(|pair| pair[0].done_keys <= pair[1].done_keys));
        assert!(told.iter().all(|progress| progress.total_keys == 2000), "{told:?}");
        assert_eq!(keyspace.options().layout, to);
        assert!(old_files.iter().all(|name| stored(&disk).contains(name)));
        fill(&database, &keyspace, 0..2000, 2);
        // There and back: the old snapshot's files are not written again.
        keyspace.convert(from, &mut |_| {}).unwrap();
        keyspace.convert(to, &mut |_| {}).unwrap();
        assert!(content(&before, &keyspace) == expected);
        assert!(content(&database.snapshot(), &keyspace).values().all(|value| *value == [2; 40]));
        drop(before);
        database.flush().unwrap();
        let left = stored(&disk);
        assert!(old_files.iter().all(|name| !left.contains(name)), "{old_files:?} {left:?}");
        let end = if to == Layout::BTree { ".tree" } else { ".table" };
        assert!(left.iter().all(|name| name.ends_with(end)), "{left:?}");
        database.verify(&mut |_| {}).unwrap();
        drop(keyspace);
        database.close().unwrap();
        let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", small(0)).unwrap();
        let keyspace = database.keyspace("k").unwrap();
        assert_eq!(keyspace.options().layout, to);
        assert_eq!(content(&database.snapshot(), &keyspace).len(), 2000);
        assert_eq!(stored(&disk), left);
    }
}

#[test]
fn writers_readers_flushes_and_merges_go_on_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small(2)).unwrap();
    let keyspace = database.create_keyspace("k", of_layout(Layout::Lsm)).unwrap();
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    // Each commit writes its number under two keys far apart, and deletes those of an earlier one.
    let key = |side: u8, number: u64| [&[side][..], &number.wrapping_mul(0x9e37_79b9).to_be_bytes()].concat();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let mut batch = WriteBatch::new();
                for side in [b'a', b'z'] {
                    batch.put(&keyspace, &key(side, number), &[7; 60]);
                    if number % 3 == 0 {
                        batch.delete(&keyspace, &key(side, number / 3));
                    }
                }
                database.write(batch, Durability::Buffered).unwrap();
                rounds.store(number + 1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let all = content(&database.snapshot(), &keyspace);
                let sides = all.keys().partition::<Vec<_>, _>(|key| key[0] == b'a');
                assert_eq!(sides.0.len(), sides.1.len(), "a commit is there whole or not at all");
            }
        });
        for layout in BOTH_WAYS.as_flattened().iter().chain(BOTH_WAYS.as_flattened()) {
            keyspace.convert(*layout, &mut |_| {}).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let made = rounds.load(Ordering::Relaxed);
    assert!(made > 100);
    let check = |database: &Database| {
        let keyspace = database.keyspace("k").unwrap();
        let all = content(&database.snapshot(), &keyspace);
        for number in 0..made {
            let deleted = number * 3 < made;
            assert_eq!(all.contains_key(&key(b'a', number)), !deleted, "{number} of {made}");
        }
        database.verify(&mut |_| {}).unwrap();
    };
    check(&database);
    drop(keyspace);
    database.close().unwrap();
    check(&Database::open(directory.path(), small(2)).unwrap());
}

#[test]
fn a_bulk_load_waits_for_the_conversion_and_is_whole_afterwards() {
    for [from, to] in BOTH_WAYS {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), small(2)).unwrap();
        let keyspace = database.create_keyspace("k", of_layout(from)).unwrap();
        fill(&database, &keyspace, 0..3000, 1);
        let mut ingestion = database.ingest(&keyspace).unwrap();
        for number in 5000..6000u32 {
            ingestion.put(&number.to_be_bytes(), &[2; 40]).unwrap();
        }
        std::thread::scope(|scope| {
            let mut ingestion = Some(ingestion);
            keyspace
                .convert(to, &mut |_| {
                    if let Some(ingestion) = ingestion.take() {
                        scope.spawn(|| ingestion.finish().unwrap());
                    }
                })
                .unwrap();
        });
        assert_eq!(content(&database.snapshot(), &keyspace).len(), 4000);
        database.verify(&mut |_| {}).unwrap();
    }
}

#[test]
fn a_conversion_that_fails_leaves_the_keyspace_as_it_was_and_writers_go_on() {
    for [from, to] in BOTH_WAYS {
        let disk = SimDisk::new();
        let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", small(0)).unwrap();
        let keyspace = database.create_keyspace("k", of_layout(from)).unwrap();
        fill(&database, &keyspace, 0..1000, 1);
        database.flush().unwrap();
        let files = stored(&disk);
        disk.set_faults(FaultPlan { space_bytes: Some(disk.used_bytes() + 1_000), ..FaultPlan::default() });
        let failure = keyspace.convert(to, &mut |_| {}).unwrap_err();
        assert!(failure.to_string().contains("no space left"), "{failure}");
        disk.set_faults(FaultPlan::default());
        assert_eq!((keyspace.options().layout, stored(&disk)), (from, files));
        fill(&database, &keyspace, 0..1000, 2);
        database.flush().unwrap();
        assert!(content(&database.snapshot(), &keyspace).values().all(|value| *value == [2; 40]));
        keyspace.convert(to, &mut |_| {}).unwrap();
        database.clone().close().unwrap();
        assert!(matches!(keyspace.convert(from, &mut |_| {}), Err(Error::Closed)));
    }
}

#[test]
fn a_keyspace_that_is_dropped_while_it_is_converted_is_gone_with_all_its_files() {
    for [from, to] in BOTH_WAYS {
        let disk = SimDisk::new();
        let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", small(0)).unwrap();
        let keyspace = database.create_keyspace("k", of_layout(from)).unwrap();
        fill(&database, &keyspace, 0..1000, 1);
        let dropped = keyspace.convert(to, &mut |_| {
            let _ = database.drop_keyspace("k");
        });
        assert!(matches!(dropped, Err(Error::KeyspaceNotFound { .. })), "{dropped:?}");
        database.sync().unwrap();
        assert_eq!(stored(&disk), [""; 0]);
    }
}
