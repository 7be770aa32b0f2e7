//! Reads past the system's cache.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ops::Bound;

use lightning::{
    Compression, Database, Direction, Durability, KeyspaceOptions, Layout, Options, Readable, WriteBatch,
};

/// As long as its number says, so that values begin and end anywhere in a sector; some are blobs.
fn value(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(1 + (number % 97 * number % 1500) as usize)
}

#[test]
fn everything_is_read_as_with_the_systems_cache() {
    for layout in [Layout::Lsm, Layout::BTree] {
        for compression in [Compression::None, Compression::Lz4] {
            let directory = tempfile::tempdir().unwrap();
            // The cache holds little, so reads go to the disk.
            let options =
                Options { direct_io: true, cache_bytes: 64 << 10, compression, ..Options::default() };
            let of = KeyspaceOptions { layout, blob_threshold: Some(4000), ..KeyspaceOptions::default() };
            let database = Database::open(directory.path(), options.clone()).unwrap();
            let keyspace = database.create_keyspace("k", of).unwrap();
            for first in (0..4000u32).step_by(100) {
                let mut batch = WriteBatch::new();
                (first..first + 100)
                    .for_each(|number| batch.put(&keyspace, &number.to_be_bytes(), &value(number)));
                database.write(batch, Durability::Buffered).unwrap();
                if first % 1000 == 0 {
                    keyspace.flush().unwrap();
                }
            }
            keyspace.compact().unwrap();
            drop(keyspace);
            database.close().unwrap();
            for direct_io in [true, false, true] {
                let database =
                    Database::open(directory.path(), Options { direct_io, ..options.clone() }).unwrap();
                let keyspace = database.keyspace("k").unwrap();
                let snapshot = database.snapshot();
                for number in (0..4000u32).step_by(37) {
                    let found = snapshot.get(&keyspace, &number.to_be_bytes()).unwrap();
                    assert!(found == Some(value(number)), "{number}");
                }
                let keys: Vec<[u8; 4]> = (0..4100u32).step_by(13).map(u32::to_be_bytes).collect();
                let wanted: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
                for (key, found) in keys.iter().zip(snapshot.multi_get(&keyspace, &wanted).unwrap()) {
                    let number = u32::from_be_bytes(*key);
                    assert!(found == (number < 4000).then(|| value(number)), "{number}");
                }
                for direction in [Direction::Forward, Direction::Reverse] {
                    let mut range =
                        snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, direction).unwrap();
                    let mut count = 0u32;
                    while let Some((key, found)) = range.next().unwrap() {
                        let number = if direction == Direction::Forward { count } else { 3999 - count };
                        assert!(key == number.to_be_bytes() && found == value(number), "{number}");
                        count += 1;
                    }
                    assert_eq!(count, 4000);
                }
            }
        }
    }
}
