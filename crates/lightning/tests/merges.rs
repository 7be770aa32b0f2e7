//! Merge operators: what is merged into a key is seen as one value everywhere, and conflicts with nothing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::ops::Bound;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Error, Filtered, Isolation, Keyspace, KeyspaceOptions, Layout,
    MergeOperator, Options, Readable, TransactionMode, TransactionOptions, WriteBatch,
};
use luma_vfs::{SimDisk, Vfs};

const LAYOUTS: [Layout; 2] = [Layout::Lsm, Layout::BTree];

/// Keeps the larger number; can't do anything with other bytes.
#[derive(Debug)]
struct Largest;

impl MergeOperator for Largest {
    fn name(&self) -> &'static str {
        "largest"
    }

    fn full_merge(&self, _key: &[u8], value: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        let number = |bytes: &&[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
        let all: Option<Vec<u64>> = value.iter().chain(operands).map(number).collect();
        Some(all?.into_iter().max()?.to_string().into_bytes())
    }
}

fn options() -> Options {
    Options {
        background_threads: 0,
        merge_operators: vec![Arc::new(Largest)],
        level0_tables: 100,
        ..Options::default()
    }
}

fn open(disk: &SimDisk, options: Options) -> Database {
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options).unwrap()
}

fn with_operator(layout: Layout, operator: &str) -> KeyspaceOptions {
    KeyspaceOptions { layout, merge_operator: Some(operator.into()), ..KeyspaceOptions::default() }
}

fn merge(database: &Database, keyspace: &Keyspace, key: &[u8], operands: &[&[u8]]) {
    let mut batch = WriteBatch::new();
    for operand in operands {
        batch.merge(keyspace, key, operand);
    }
    database.write(batch, Durability::Buffered).unwrap();
}

fn get(reader: &impl Readable, keyspace: &Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    let found = reader.get(keyspace, key).unwrap();
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut range =
            reader.range(keyspace, Bound::Included(key), Bound::Included(key), direction).unwrap();
        assert_eq!(range.next().unwrap().map(|(_, value)| value.to_vec()), found);
    }
    found
}

#[test]
fn counters_add_up_wherever_their_operands_are() {
    for layout in LAYOUTS {
        let disk = SimDisk::new();
        let mut database = open(&disk, options());
        let mut keyspace = database.create_keyspace("k", with_operator(layout, "u64 add")).unwrap();
        let (mut sum, mut before) = (0u64, Vec::new());
        for round in 1..40u64 {
            merge(&database, &keyspace, b"key", &[&round.to_le_bytes(), &1u64.to_le_bytes()]);
            sum += round + 1;
            match round % 8 {
                2 | 5 => keyspace.flush().unwrap(),
                3 => before.push((database.snapshot(), keyspace.clone(), sum)),
                7 => keyspace.compact().unwrap(),
                6 => {
                    drop(keyspace);
                    before.clear();
                    database.close().unwrap();
                    database = open(&disk, options());
                    keyspace = database.keyspace("k").unwrap();
                }
                _ => {}
            }
            assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(sum.to_le_bytes().to_vec()));
            for (snapshot, keyspace, sum) in &before {
                assert_eq!(get(snapshot, keyspace, b"key"), Some(sum.to_le_bytes().to_vec()));
            }
        }
    }
}

#[test]
fn merges_into_one_key_conflict_with_nothing_and_none_is_lost() {
    for (layout, isolation) in LAYOUTS
        .into_iter()
        .flat_map(|layout| [(layout, Isolation::Snapshot), (layout, Isolation::Serializable)])
    {
        let database = open(&SimDisk::new(), options());
        let keyspace = database.create_keyspace("k", with_operator(layout, "append")).unwrap();
        let begin = || {
            let mode = TransactionMode::Optimistic;
            database.begin(TransactionOptions { mode, isolation, ..TransactionOptions::default() })
        };
        let (mut first, mut second, mut put, mut reader) = (begin(), begin(), begin(), begin());
        first.merge(&keyspace, b"key", b"1").unwrap();
        second.merge(&keyspace, b"key", b"2").unwrap();
        put.put(&keyspace, b"key", b"0").unwrap();
        put.merge(&keyspace, b"key", b"+").unwrap();
        assert_eq!(get(&put, &keyspace, b"key"), Some(b"0+".to_vec()));
        assert_eq!(get(&reader, &keyspace, b"key"), None);
        reader.merge(&keyspace, b"key", b"r").unwrap();
        assert_eq!(get(&reader, &keyspace, b"key"), Some(b"r".to_vec()));
        second.commit().unwrap();
        first.commit().unwrap();
        assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"21".to_vec()));
        // This one would take the others' merges away.
        assert!(matches!(put.commit(), Err(Error::Conflict { .. })));
        // This one looked at the value, which counts if it is serializable.
        match isolation {
            Isolation::Serializable => assert!(matches!(reader.commit(), Err(Error::Conflict { .. }))),
            _ => {
                reader.commit().unwrap();
                assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"21r".to_vec()));
            }
        }
    }
}

#[test]
fn deletions_end_what_operands_lie_on_and_savepoints_take_them_back() {
    for layout in LAYOUTS {
        for flushes in [false, true] {
            let database = open(&SimDisk::new(), options());
            let keyspace = database.create_keyspace("k", with_operator(layout, "append")).unwrap();
            let flush = || {
                if flushes {
                    keyspace.flush().unwrap();
                }
            };
            merge(&database, &keyspace, b"key", &[b"a", b"b"]);
            flush();
            let mut transaction = database.begin(TransactionOptions::default());
            transaction.delete_range(&keyspace, Bound::Included(b"k"), Bound::Unbounded).unwrap();
            transaction.merge(&keyspace, b"key", b"c").unwrap();
            assert_eq!(get(&transaction, &keyspace, b"key"), Some(b"c".to_vec()));
            let point = transaction.savepoint();
            transaction.delete(&keyspace, b"key").unwrap();
            assert_eq!(get(&transaction, &keyspace, b"key"), None);
            transaction.merge(&keyspace, b"key", b"x").unwrap();
            assert_eq!(get(&transaction, &keyspace, b"key"), Some(b"x".to_vec()));
            transaction.rollback_to(&point).unwrap();
            transaction.merge(&keyspace, b"key", b"d").unwrap();
            transaction.commit().unwrap();
            assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"cd".to_vec()));
            flush();
            let mut batch = WriteBatch::new();
            batch.merge(&keyspace, b"key", b"e");
            batch.delete(&keyspace, b"key");
            batch.merge(&keyspace, b"key", b"f");
            batch.merge(&keyspace, b"key", b"g");
            database.write(batch, Durability::Sync).unwrap();
            assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"fg".to_vec()));
            flush();
            merge(&database, &keyspace, b"key", &[b"h"]);
            keyspace.compact().unwrap();
            assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"fgh".to_vec()));
        }
    }
}

#[test]
fn a_keyspace_without_its_operator_refuses_and_loses_nothing() {
    for layout in LAYOUTS {
        let disk = SimDisk::new();
        let database = open(&disk, options());
        let keyspace = database.create_keyspace("k", with_operator(layout, "largest")).unwrap();
        let other = database.create_keyspace("other", KeyspaceOptions::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"key", b"5");
        batch.put(&other, b"key", b"5");
        database.write(batch, Durability::Buffered).unwrap();
        keyspace.flush().unwrap();
        merge(&database, &keyspace, b"key", &[b"7", b"6"]);
        drop((keyspace, other));
        database.close().unwrap();

        let without = Options { merge_operators: Vec::new(), ..options() };
        let database = open(&disk, without);
        let keyspace = database.keyspace("k").unwrap();
        let refused_in = |name: &str, error: Error| {
            let Error::MergeOperatorMissing { keyspace, operator } = error else { panic!("{error}") };
            assert_eq!((keyspace.as_str(), operator.as_str()), (name, "largest"));
        };
        let refused = |error| refused_in("k", error);
        refused(database.snapshot().get(&keyspace, b"key").unwrap_err());
        let all = (Bound::Unbounded, Bound::Unbounded);
        refused(database.snapshot().range(&keyspace, all.0, all.1, Direction::Forward).unwrap_err());
        let mut transaction = database.begin(TransactionOptions::default());
        refused(transaction.put(&keyspace, b"key", b"1").unwrap_err());
        refused(transaction.merge(&keyspace, b"key", b"1").unwrap_err());
        refused(transaction.delete(&keyspace, b"key").unwrap_err());
        refused(transaction.delete_range(&keyspace, all.0, all.1).unwrap_err());
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"key", b"1");
        refused(database.write(batch, Durability::Sync).unwrap_err());
        refused_in("new", database.create_keyspace("new", with_operator(layout, "largest")).unwrap_err());
        let other = database.keyspace("other").unwrap();
        assert_eq!(database.snapshot().get(&other, b"key").unwrap(), Some(b"5".to_vec()));
        // What needs no values goes on.
        keyspace.flush().unwrap();
        keyspace.compact().unwrap();
        keyspace.convert(Layout::BTree, &mut |_| {}).unwrap();
        keyspace.convert(Layout::Lsm, &mut |_| {}).unwrap();
        database.verify(&mut |_| {}).unwrap();
        drop((keyspace, other, transaction));
        database.close().unwrap();

        let database = open(&disk, options());
        let keyspace = database.keyspace("k").unwrap();
        assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"7".to_vec()));
        keyspace.compact().unwrap();
        assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"7".to_vec()));
    }
}

#[test]
fn what_cannot_be_merged_fails_where_it_is_read_until_it_is_replaced() {
    for layout in LAYOUTS {
        let database = open(&SimDisk::new(), options());
        let keyspace = database.create_keyspace("k", with_operator(layout, "largest")).unwrap();
        merge(&database, &keyspace, b"key", &[b"5", b"no number"]);
        for _ in 0..2 {
            let found = database.snapshot().get(&keyspace, b"key");
            let Err(error @ Error::MergeFailed { .. }) = found else { panic!("{found:?}") };
            assert!(error.to_string().contains("largest") && error.to_string().contains("key"), "{error}");
            keyspace.compact().unwrap();
        }
        merge(&database, &keyspace, b"other", &[b"3"]);
        assert_eq!(get(&database.snapshot(), &keyspace, b"other"), Some(b"3".to_vec()));
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"key", b"8");
        batch.merge(&keyspace, b"key", b"9");
        database.write(batch, Durability::Buffered).unwrap();
        keyspace.compact().unwrap();
        assert_eq!(get(&database.snapshot(), &keyspace, b"key"), Some(b"9".to_vec()));
    }
}

#[test]
fn options_that_exclude_each_other_and_keyspaces_without_an_operator_are_told() {
    let database = open(&SimDisk::new(), options());
    let ttl = Some(std::time::Duration::from_hours(1));
    let both = KeyspaceOptions { ttl, ..with_operator(Layout::Lsm, "append") };
    assert!(matches!(database.create_keyspace("k", both), Err(Error::MergesExpire)));
    let plain = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut transaction = database.begin(TransactionOptions::default());
    assert!(matches!(transaction.merge(&plain, b"key", b"1"), Err(Error::NoMergeOperator { .. })));
    let mut batch = WriteBatch::new();
    batch.merge(&plain, b"key", b"1");
    assert!(matches!(database.write(batch, Durability::Sync), Err(Error::NoMergeOperator { .. })));
    assert_eq!(database.snapshot().get(&plain, b"key").unwrap(), None);
}

/// Removes values that begin with an `x`.
#[derive(Debug)]
struct WithoutX;

impl lightning::CompactionFilter for WithoutX {
    fn filter(&self, _key: &[u8], value: &[u8]) -> Filtered {
        match value {
            [b'x', ..] => Filtered::Remove,
            [b'c', rest @ ..] => Filtered::Change(rest.to_vec()),
            _ => Filtered::Keep,
        }
    }
}

#[test]
fn a_filter_judges_what_is_merged_and_large_values_are_merged_too() {
    for layout in LAYOUTS {
        let disk = SimDisk::new();
        let filter: Arc<dyn lightning::CompactionFilter> = Arc::new(WithoutX);
        let options = Options {
            compaction_filters: [("k".to_owned(), filter)].into(),
            blob_threshold: 100,
            ..options()
        };
        let database = open(&disk, options);
        let keyspace = database.create_keyspace("k", with_operator(layout, "append")).unwrap();
        merge(&database, &keyspace, b"x", &[b"x"]);
        merge(&database, &keyspace, b"c", &[b"c", b"hanged"]);
        merge(&database, &keyspace, b"large", &[&[b'1'; 300]]);
        keyspace.flush().unwrap();
        merge(&database, &keyspace, b"x", &[b"y"]);
        merge(&database, &keyspace, b"large", &[&[b'2'; 300]]);
        let large = [[b'1'; 300], [b'2'; 300]].concat();
        assert_eq!(get(&database.snapshot(), &keyspace, b"large"), Some(large.clone()));
        keyspace.flush().unwrap();
        assert_eq!(get(&database.snapshot(), &keyspace, b"large"), Some(large.clone()));
        keyspace.compact().unwrap();
        let snapshot = database.snapshot();
        assert_eq!(get(&snapshot, &keyspace, b"large"), Some(large));
        assert_eq!(get(&snapshot, &keyspace, b"c"), Some(b"hanged".to_vec()));
        // The first part was removed before the second came.
        assert_eq!(get(&snapshot, &keyspace, b"x"), Some(b"y".to_vec()));
        let blobs = Vfs::read_dir(&disk, std::path::Path::new("/db/tables")).unwrap();
        let blobs = blobs.iter().filter(|name| name.contains(".blob")).count();
        assert_eq!(blobs > 0, layout == Layout::Lsm);
    }
}
