//! Reads that are done together: many gets, and what a walk comes to next.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use lightning::{
    Compression, Database, Direction, Durability, Error, Keyspace, KeyspaceOptions, Layout, Options,
    Readable, WriteBatch,
};
use luma_vfs::{SimDisk, Vfs};

const LAYOUTS: [Layout; 2] = [Layout::Lsm, Layout::BTree];
const KEYS: u32 = 4000;

fn open(disk: &SimDisk) -> (Database, Keyspace) {
    let options = Options {
        background_threads: 0,
        compression: Compression::None,
        table_bytes: 256 << 10,
        wal_segment_bytes: 4096,
        ..Options::default()
    };
    let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", options).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    (database, keyspace)
}

fn key(number: u32) -> [u8; 8] {
    u64::from(number * 7).to_be_bytes()
}

/// A database in which some keys are in other tables than the rest.
fn filled(layout: Layout) -> SimDisk {
    let disk = SimDisk::new();
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let options = Options { background_threads: 0, level0_tables: 100, ..Options::default() };
    let database = Database::open_with_vfs(vfs, "/db", options).unwrap();
    let keyspace =
        database.create_keyspace("k", KeyspaceOptions { layout, ..KeyspaceOptions::default() }).unwrap();
    for step in [1, 13, 29] {
        let mut batch = WriteBatch::new();
        for number in (0..KEYS).step_by(step) {
            batch.put(&keyspace, &key(number), &(number + step as u32).to_le_bytes().repeat(50));
        }
        database.write(batch, Durability::Sync).unwrap();
        keyspace.flush().unwrap();
    }
    drop(keyspace);
    database.close().unwrap();
    disk
}

#[test]
fn what_many_gets_need_is_read_before_them_and_once() {
    for layout in LAYOUTS {
        let disk = filled(layout);
        let wanted: Vec<[u8; 8]> = (0..60).map(|number| key(number * 61 + number % 3)).collect();
        // Some lie between keys.
        let between: Vec<[u8; 8]> =
            (0..20u32).map(|number| (u64::from(number) * 999 + 1).to_be_bytes()).collect();
        let keys: Vec<&[u8]> = wanted.iter().chain(&between).map(<[u8; 8]>::as_slice).collect();
        let (database, keyspace) = open(&disk);
        let one_by_one: Vec<_> =
            keys.iter().map(|key| database.snapshot().get(&keyspace, key).unwrap()).collect();
        drop((database, keyspace));
        let (database, keyspace) = open(&disk);
        let snapshot = database.snapshot();
        snapshot.prefetch(&keyspace, &keys).unwrap();
        let before = disk.operations();
        assert!(snapshot.multi_get(&keyspace, &keys).unwrap() == one_by_one);
        let read = disk.operations() - before;
        // One of a filter's mistakes by itself is left to its get.
        assert!(read <= 4, "{layout:?}: {read} operations");
        assert!(one_by_one.iter().filter(|value| value.is_some()).count() >= 60);
    }
}

#[test]
fn a_walk_reads_many_blocks_at_a_time_and_a_seek_one() {
    for layout in LAYOUTS {
        let disk = filled(layout);
        for direction in [Direction::Forward, Direction::Reverse] {
            let (database, keyspace) = open(&disk);
            let mut range =
                database.snapshot().range(&keyspace, Bound::Unbounded, Bound::Unbounded, direction).unwrap();
            let before = disk.operations();
            let mut found = 0;
            while range.next().unwrap().is_some() {
                found += 1;
            }
            assert_eq!(found, KEYS);
            let read = disk.operations() - before;
            if layout == Layout::Lsm {
                // Two megabytes of blocks of 4 KiB.
                assert!(read < 120, "{read} operations");
            }
            drop((range, database, keyspace));
            let (database, keyspace) = open(&disk);
            let before = disk.operations();
            let middle = key(KEYS / 2);
            let (start, end) = match direction {
                Direction::Forward => (Bound::Included(&middle[..]), Bound::Unbounded),
                Direction::Reverse => (Bound::Unbounded, Bound::Included(&middle[..])),
            };
            let mut range = database.snapshot().range(&keyspace, start, end, direction).unwrap();
            for _ in 0..5 {
                range.next().unwrap();
            }
            let read = disk.operations() - before;
            assert!(read <= 20, "{layout:?}: {read} operations for five entries");
        }
    }
}

#[test]
fn a_damaged_block_is_told_of_when_a_walk_comes_to_it_and_not_before() {
    for layout in LAYOUTS {
        let whole = filled(layout);
        let expected: Vec<Vec<u8>> = (0..KEYS).map(|number| key(number).to_vec()).collect();
        let names = whole.read_dir(&PathBuf::from("/db/tables")).unwrap();
        let path = PathBuf::from("/db/tables").join(&names[0]);
        let length = whole.open(&path).unwrap().len().unwrap();
        let mut given = Vec::new();
        for part in 1..8 {
            let disk = whole.fork();
            disk.flip_bit(&path, length * part / 10, 1).unwrap();
            let (database, keyspace) = open(&disk);
            let mut range = database
                .snapshot()
                .range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
                .unwrap();
            let mut found = 0;
            let end = loop {
                match range.next() {
                    Ok(Some((key, _))) => {
                        assert_eq!(key, expected[found]);
                        found += 1;
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            match end {
                Some(Error::Corruption { file, .. }) => assert_eq!(file, path),
                // Free pages of a tree matter to nobody.
                None => assert_eq!((layout, found), (Layout::BTree, expected.len())),
                Some(other) => panic!("{other}"),
            }
            given.push(found);
        }
        assert!(given.windows(2).filter(|pair| pair[0] < pair[1]).count() >= 3, "{layout:?}: {given:?}");
    }
}
