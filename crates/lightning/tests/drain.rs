//! A B+Tree's memtable that nobody writes to.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use lightning::{Database, Durability, KeyspaceOptions, Layout, Options, Readable, WriteBatch};

#[test]
fn a_memtable_that_rests_goes_into_its_tree_and_a_small_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), Options::default()).unwrap();
    let options = KeyspaceOptions { layout: Layout::BTree, ..KeyspaceOptions::default() };
    let large = database.create_keyspace("large", options.clone()).unwrap();
    let small = database.create_keyspace("small", options).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..1000u32 {
        batch.put(&large, &number.to_be_bytes(), &[number as u8; 200]);
    }
    batch.put(&small, b"key", b"value");
    database.write(batch, Durability::Buffered).unwrap();

    let give_up = Instant::now() + Duration::from_mins(1);
    while database.stats().keyspaces[0].memory_bytes > 0 {
        assert!(Instant::now() < give_up, "the memtable was not drained");
        std::thread::sleep(Duration::from_millis(20));
    }
    let stats = database.stats();
    assert_eq!((stats.keyspaces[0].name.as_str(), stats.keyspaces[0].approximate_entries), ("large", 1000));
    assert!(stats.keyspaces[1].memory_bytes > 0, "the small one was drained, too");
    let snapshot = database.snapshot();
    assert_eq!(snapshot.get(&large, &999u32.to_be_bytes()).unwrap(), Some(vec![231; 200]));
    assert_eq!(snapshot.get(&small, b"key").unwrap(), Some(b"value".to_vec()));
}
