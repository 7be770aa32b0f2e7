//! What a database promises to one process: durability, isolation, names, limits.

use std::ops::Bound;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Error, KeyspaceOptions, Layout, LockMode, Options, Range, Readable,
    TransactionMode, TransactionOptions, WriteBatch,
};
use luma_vfs::{FaultPlan, SimDisk};

/// This file is a module per layout.
fn layout() -> Layout {
    if module_path!().ends_with("::btree") { Layout::BTree } else { Layout::Lsm }
}

fn keyspace_options() -> KeyspaceOptions {
    KeyspaceOptions { layout: layout(), ..KeyspaceOptions::default() }
}

fn small() -> Options {
    Options {
        memtable_bytes: 64 << 10,
        write_buffer_bytes: 1 << 20,
        wal_segment_bytes: 64 << 10,
        max_wal_bytes: 512 << 10,
        table_bytes: 64 << 10,
        level_bytes: 128 << 10,
        cache_bytes: 1 << 20,
        ..Options::default()
    }
}

fn collect(mut range: Range) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((key, value)) = range.next().unwrap() {
        all.push((key.to_vec(), value.to_vec()));
    }
    all
}

fn pessimistic() -> TransactionOptions {
    TransactionOptions { mode: TransactionMode::Pessimistic, ..TransactionOptions::default() }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    {
        let database = Database::open(directory.path(), small()).unwrap();
        let one = database.create_keyspace("one", keyspace_options()).unwrap();
        let two = database.create_keyspace("two", keyspace_options()).unwrap();
        for number in 0..5000u32 {
            let mut batch = WriteBatch::new();
            batch.put(&one, &number.to_be_bytes(), &[number as u8; 100]);
            if number % 3 == 0 {
                batch.delete(&one, &(number / 3).to_be_bytes());
            }
            batch.put(&two, &number.to_be_bytes(), b"two");
            let durability = if number % 100 == 0 { Durability::Sync } else { Durability::Buffered };
            database.write(batch, durability).unwrap();
        }
    }
    let database = Database::open(directory.path(), small()).unwrap();
    assert_eq!(database.keyspace_names(), ["one", "two"]);
    let one = database.keyspace("one").unwrap();
    let snapshot = database.snapshot();
    for number in 0..5000u32 {
        let expected = (number > 4999 / 3).then(|| vec![number as u8; 100]);
        assert_eq!(snapshot.get(&one, &number.to_be_bytes()).unwrap(), expected, "{number}");
    }
    let all = collect(snapshot.range(&one, Bound::Unbounded, Bound::Unbounded, Direction::Reverse).unwrap());
    assert_eq!(all.len(), 5000 - 1667);
    database.verify(&mut |_| {}).unwrap();
    database.close().unwrap();
}

#[test]
fn a_log_longer_than_the_write_buffer_is_read_back_and_then_flushed_while_writers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = std::collections::BTreeMap::new();
    {
        let options = Options { memtable_bytes: 64 << 20, max_wal_bytes: 64 << 20, ..small() };
        let database =
            Database::open(directory.path(), Options { write_buffer_bytes: 64 << 20, ..options }).unwrap();
        let one = database.create_keyspace("one", keyspace_options()).unwrap();
        let two = database.create_keyspace("two", keyspace_options()).unwrap();
        for number in 0..30_000u32 {
            let key = [b"key:", &(number.wrapping_mul(2_654_435_761) % 20_000).to_be_bytes()[..]].concat();
            let value = vec![number as u8; (number % 150) as usize];
            let mut batch = WriteBatch::new();
            if number % 7 == 0 {
                batch.delete(&one, &key);
                expected.remove(&key);
            } else {
                batch.put(&one, &key, &value);
                expected.insert(key, value);
            }
            batch.put(&two, &number.to_be_bytes(), b"");
            database.write(batch, Durability::Buffered).unwrap();
        }
    }
    let expected: Vec<_> = expected.into_iter().collect();
    let options = Options { write_buffer_bytes: 128 << 10, ..small() };
    let database = Database::open(directory.path(), options).unwrap();
    let one = database.keyspace("one").unwrap();
    let two = database.keyspace("two").unwrap();
    let before = database.snapshot();
    let mut batch = WriteBatch::new();
    batch.put(&one, &expected[0].0, b"later");
    database.write(batch, Durability::Sync).unwrap();
    for flushed in [false, true] {
        let all =
            |direction| collect(before.range(&one, Bound::Unbounded, Bound::Unbounded, direction).unwrap());
        assert_eq!(all(Direction::Forward), expected, "flushed: {flushed}");
        assert_eq!(all(Direction::Reverse), expected.iter().rev().cloned().collect::<Vec<_>>());
        let now = database.snapshot();
        assert_eq!(now.get(&one, &expected[0].0).unwrap().unwrap(), b"later");
        for (key, value) in &expected[1..] {
            assert_eq!(now.get(&one, key).unwrap().as_ref(), Some(value));
        }
        assert!((0..30_000u32).all(|number| now.get(&two, &number.to_be_bytes()).unwrap().is_some()));
        database.flush().unwrap();
    }
}

#[test]
fn a_reader_of_a_transaction_does_not_see_later_writes_and_savepoints_undo() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let mut transaction = database.begin(pessimistic());
    transaction.put(&keyspace, b"a", b"1").unwrap();
    let reader = transaction.reader();
    let point = transaction.savepoint();
    transaction.put(&keyspace, b"a", b"2").unwrap();
    transaction.put(&keyspace, b"b", b"2").unwrap();
    let later = transaction.savepoint();
    assert_eq!(reader.get(&keyspace, b"a").unwrap().unwrap(), b"1");
    assert_eq!(collect(reader.prefix(&keyspace, b"", Direction::Forward).unwrap()).len(), 1);
    assert_eq!(transaction.get(&keyspace, b"b").unwrap().unwrap(), b"2");
    transaction.rollback_to(&point).unwrap();
    assert!(matches!(transaction.rollback_to(&later), Err(Error::SavepointNotFound)));
    assert_eq!(transaction.get(&keyspace, b"a").unwrap().unwrap(), b"1");
    assert_eq!(transaction.get(&keyspace, b"b").unwrap(), None);
    transaction.put(&keyspace, b"c", b"3").unwrap();
    transaction.rollback_to(&point).unwrap();
    transaction.commit().unwrap();
    let all = collect(database.snapshot().prefix(&keyspace, b"", Direction::Forward).unwrap());
    assert_eq!(all, [(b"a".to_vec(), b"1".to_vec())]);
}

#[test]
fn a_savepoint_made_right_after_going_back_can_be_gone_back_to() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let mut transaction = database.begin(pessimistic());
    transaction.put(&keyspace, b"a", b"1").unwrap();
    let first = transaction.savepoint();
    for round in 0..3 {
        transaction.put(&keyspace, b"b", &[round]).unwrap();
        transaction.rollback_to(&first).unwrap();
        let second = transaction.savepoint();
        // With nothing written since, and with something.
        transaction.rollback_to(&second).unwrap();
        transaction.put(&keyspace, b"c", &[round]).unwrap();
        let third = transaction.savepoint();
        transaction.put(&keyspace, b"d", &[round]).unwrap();
        transaction.rollback_to(&second).unwrap();
        assert!(matches!(transaction.rollback_to(&third), Err(Error::SavepointNotFound)));
        assert_eq!(collect(transaction.prefix(&keyspace, b"", Direction::Forward).unwrap()).len(), 1);
    }
    transaction.commit().unwrap();
    assert_eq!(collect(database.snapshot().prefix(&keyspace, b"", Direction::Forward).unwrap()).len(), 1);
}

#[test]
fn a_transaction_that_undid_everything_is_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let mut transaction = database.begin(pessimistic());
    let point = transaction.savepoint();
    transaction.put(&keyspace, b"a", b"1").unwrap();
    assert!(!transaction.is_read_only());
    transaction.rollback_to(&point).unwrap();
    assert!(transaction.is_read_only());
    let sequence = database.stats().visible_sequence;
    assert_eq!(transaction.commit().unwrap().sequence, sequence);
}

#[test]
fn a_keyspace_made_during_a_transaction_can_be_written_and_read_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let mut transaction = database.begin(pessimistic());
    let keyspace = database.create_keyspace("new", keyspace_options()).unwrap();
    assert_eq!(transaction.get(&keyspace, b"a").unwrap(), None);
    transaction.put(&keyspace, b"a", b"1").unwrap();
    assert_eq!(transaction.reader().get(&keyspace, b"a").unwrap().unwrap(), b"1");
    assert!(!transaction.changed_since_snapshot(&keyspace, b"a").unwrap());
    transaction.commit().unwrap();
    assert_eq!(database.snapshot().get(&keyspace, b"a").unwrap().unwrap(), b"1");
}

#[test]
fn a_dropped_keyspace_stays_for_those_who_read_it_and_its_files_go() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    assert!(matches!(
        database.create_keyspace("k", keyspace_options()),
        Err(Error::KeyspaceExists { name }) if name == "k"
    ));
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, b"a", b"1");
    database.write(batch, Durability::Unlogged).unwrap();
    keyspace.flush().unwrap();
    let tables = || std::fs::read_dir(directory.path().join("tables")).unwrap().count();
    assert_eq!(tables(), 1);
    let snapshot = database.snapshot();
    database.drop_keyspace("k").unwrap();
    assert_eq!(snapshot.get(&keyspace, b"a").unwrap().unwrap(), b"1");
    assert!(matches!(database.snapshot().get(&keyspace, b"a"), Err(Error::KeyspaceNotFound { .. })));
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, b"a", b"2");
    assert!(matches!(database.write(batch, Durability::Sync), Err(Error::KeyspaceNotFound { .. })));
    assert!(matches!(database.drop_keyspace("k"), Err(Error::KeyspaceNotFound { .. })));
    drop(snapshot);
    assert_eq!(tables(), 0);
    assert!(database.keyspace("k").is_none());
}

#[test]
fn an_ingestion_is_visible_at_once_and_refused_where_data_is() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let before = database.snapshot();
    let mut ingestion = database.ingest(&keyspace).unwrap();
    for number in 0..10_000u32 {
        ingestion.put(&number.to_be_bytes(), &[7; 50]).unwrap();
    }
    assert!(matches!(ingestion.put(&[0], b""), Err(Error::OutOfOrder { .. })));
    assert_eq!(database.snapshot().get(&keyspace, &5u32.to_be_bytes()).unwrap(), None);
    ingestion.finish().unwrap();
    assert_eq!(before.get(&keyspace, &5u32.to_be_bytes()).unwrap(), None);
    assert_eq!(database.snapshot().get(&keyspace, &5u32.to_be_bytes()).unwrap().unwrap(), [7; 50]);
    let mut again = database.ingest(&keyspace).unwrap();
    again.put(&77u32.to_be_bytes(), b"x").unwrap();
    assert!(matches!(again.finish(), Err(Error::Overlap { .. })));
    let points = keyspace.split_points(4);
    assert_eq!(points.len(), 3);
    for (point, wanted) in points.iter().zip([2500u32, 5000, 7500]) {
        let found = u32::from_be_bytes([point[0], point[1], point[2], *point.get(3).unwrap_or(&0)]);
        assert!(found.abs_diff(wanted) < 1000, "{found} is far from {wanted}");
    }
    let estimate = keyspace.approximate_range(Bound::Unbounded, Bound::Excluded(&5000u32.to_be_bytes()));
    assert!(estimate.entries.abs_diff(5000) < 500, "{estimate:?}");
    drop(database);
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    assert_eq!(database.snapshot().get(&keyspace, &5u32.to_be_bytes()).unwrap().unwrap(), [7; 50]);
    let mut dropped = database.ingest(&keyspace).unwrap();
    dropped.put(&70_000u32.to_be_bytes(), b"x").unwrap();
    drop(dropped);
    assert_eq!(database.verify(&mut |_| {}).unwrap().entries, 10_000);
}

#[test]
fn unlogged_writes_are_durable_after_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    {
        let database = Database::open(directory.path(), small()).unwrap();
        let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"kept", b"1");
        database.write(batch, Durability::Unlogged).unwrap();
        keyspace.flush().unwrap();
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"lost", b"1");
        database.write(batch, Durability::Unlogged).unwrap();
    }
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    assert_eq!(database.snapshot().get(&keyspace, b"kept").unwrap().unwrap(), b"1");
    assert_eq!(database.snapshot().get(&keyspace, b"lost").unwrap(), None);
}

#[test]
fn a_second_opening_names_the_process_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    match Database::open(directory.path(), small()) {
        Err(Error::Locked { path, pid }) => {
            assert_eq!(path, directory.path());
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    drop(database);
    Database::open(directory.path(), small()).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let error = Database::open(directory.path(), small()).unwrap_err();
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(directory.path().join("notes.txt")).unwrap(), "mine");
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["notes.txt"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_named_in_the_error_and_opens_once_it_can() {
    let disk = SimDisk::new();
    let open = || Database::open_with_vfs(Arc::new(disk.clone()), "/db", small());
    let read_only = || disk.set_faults(FaultPlan { read_only: true, ..FaultPlan::default() });
    let refused = || {
        let error = open().unwrap_err();
        assert!(matches!(&error, Error::ReadOnly { path, .. } if path.ends_with("db")), "{error}");
        assert!(error.to_string().starts_with("/db can't be written"), "{error}");
    };
    read_only();
    refused();
    disk.set_faults(FaultPlan::default());
    let database = open().unwrap();
    database.create_keyspace("k", keyspace_options()).unwrap();
    drop(database);
    read_only();
    refused();
    disk.set_faults(FaultPlan::default());
    assert_eq!(open().unwrap().keyspace_names(), ["k"]);
}

#[test]
fn keys_that_are_too_long_are_refused_and_the_longest_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let mut transaction = database.begin(TransactionOptions::default());
    let long = vec![1; lightning::KEY_BYTES_MAX];
    assert!(matches!(
        transaction.put(&keyspace, &[long.as_slice(), b"x"].concat(), b""),
        Err(Error::TooLarge { .. })
    ));
    transaction.put(&keyspace, &long, b"v").unwrap();
    transaction.put(&keyspace, b"", b"empty key").unwrap();
    transaction.put(&keyspace, b"large", &vec![3; 3 << 20]).unwrap();
    transaction.commit().unwrap();
    for _ in 0..2 {
        let snapshot = database.snapshot();
        assert_eq!(snapshot.get(&keyspace, &long).unwrap().unwrap(), b"v");
        assert_eq!(snapshot.get(&keyspace, b"").unwrap().unwrap(), b"empty key");
        assert_eq!(snapshot.get(&keyspace, b"large").unwrap().unwrap().len(), 3 << 20);
        keyspace.flush().unwrap();
    }
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, b"ok", b"1");
    batch.put(&keyspace, &[long.as_slice(), b"x"].concat(), b"1");
    assert!(matches!(database.write(batch, Durability::Sync), Err(Error::TooLarge { .. })));
    assert_eq!(database.snapshot().get(&keyspace, b"ok").unwrap(), None);
}

#[test]
fn after_close_reads_of_a_snapshot_go_on_and_writes_fail() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, b"a", b"1");
    database.write(batch, Durability::Sync).unwrap();
    let snapshot = database.snapshot();
    let mut transaction = database.begin(pessimistic());
    transaction.put(&keyspace, b"b", b"2").unwrap();
    database.close().unwrap();
    assert_eq!(snapshot.get(&keyspace, b"a").unwrap().unwrap(), b"1");
    assert!(matches!(transaction.commit(), Err(Error::Closed)));
    Database::open(directory.path(), small()).unwrap();
}

#[test]
fn callbacks_run_at_publication_before_locks_are_released() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let seen = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut first = database.begin(pessimistic());
    first.lock_blocking(1, b"x", LockMode::Exclusive, None).unwrap();
    first.put(&keyspace, b"a", b"1").unwrap();
    let store = Arc::clone(&seen);
    first.on_publish(move || store.store(7, std::sync::atomic::Ordering::SeqCst));
    let second = database.begin(pessimistic());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            second.lock_blocking(1, b"x", LockMode::Exclusive, None).unwrap();
            seen.load(std::sync::atomic::Ordering::SeqCst)
        });
        first.commit().unwrap();
        assert_eq!(waiter.join().unwrap(), 7);
    });
    assert_eq!(second.get_latest(&keyspace, b"a").unwrap().unwrap(), b"1");
    assert_eq!(second.get(&keyspace, b"a").unwrap(), None);
    assert!(second.changed_since_snapshot(&keyspace, b"a").unwrap());
}

#[test]
fn a_database_of_another_release_is_refused_by_name_and_number() {
    let directory = tempfile::tempdir().unwrap();
    drop(Database::open(directory.path(), small()).unwrap());
    let current = std::fs::read_to_string(directory.path().join("CURRENT")).unwrap();
    let manifest = directory.path().join(current.trim());
    let mut bytes = std::fs::read(&manifest).unwrap();
    for wanted in [1, 70u32] {
        bytes[8..12].copy_from_slice(&wanted.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(&manifest, &bytes).unwrap();
        match Database::open(directory.path(), small()) {
            Err(Error::UnsupportedVersion { file, version, .. }) => {
                assert_eq!((file, version), (manifest.clone(), wanted));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_damaged_block_is_an_error_with_file_and_offset_and_other_keys_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..1000u32 {
        batch.put(&keyspace, &number.to_be_bytes(), &[number as u8; 40]);
    }
    database.write(batch, Durability::Sync).unwrap();
    database.close().unwrap();
    let table = std::fs::read_dir(directory.path().join("tables")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&table).unwrap();
    // A B+Tree begins with two pages for its roots.
    let first = if layout() == Layout::BTree { 8192 } else { 0 };
    bytes[first + 100] ^= 4;
    std::fs::write(&table, bytes).unwrap();
    let database = Database::open(directory.path(), small()).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    match database.snapshot().get(&keyspace, &0u32.to_be_bytes()) {
        Err(Error::Corruption { file, offset, .. }) => assert_eq!((file, offset), (table, first as u64)),
        other => panic!("{other:?}"),
    }
    assert_eq!(database.snapshot().get(&keyspace, &999u32.to_be_bytes()).unwrap().unwrap(), [231; 40]);
    assert!(matches!(database.verify(&mut |_| {}), Err(Error::Corruption { .. })));
}

#[test]
fn writers_wait_so_that_memtables_stay_within_twice_the_write_buffer() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { background_threads: 1, ..small() };
    let database = Database::open(directory.path(), options.clone()).unwrap();
    let keyspaces: Vec<_> = (0..20)
        .map(|number| database.create_keyspace(&format!("k{number}"), keyspace_options()).unwrap())
        .collect();
    let mut highest = 0;
    for number in 0..30_000u32 {
        let mut batch = WriteBatch::new();
        let keyspace = &keyspaces[(number.wrapping_mul(2_654_435_761) >> 16) as usize % keyspaces.len()];
        batch.put(keyspace, &number.to_be_bytes(), &[1; 300]);
        database.write(batch, Durability::Unlogged).unwrap();
        highest = highest.max(database.stats().memtable_bytes);
    }
    let bound = 2 * options.write_buffer_bytes as u64 + 1024;
    assert!(highest <= bound, "{highest} bytes in memtables");
}

#[test]
fn writers_wait_so_that_the_log_stays_within_twice_its_limit() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        Options { background_threads: 1, memtable_bytes: 64 << 20, write_buffer_bytes: 256 << 20, ..small() };
    let database = Database::open(directory.path(), options.clone()).unwrap();
    let keyspaces: Vec<_> = (0..20)
        .map(|number| database.create_keyspace(&format!("k{number}"), keyspace_options()).unwrap())
        .collect();
    let mut longest = 0;
    for number in 0..2000u32 {
        let mut batch = WriteBatch::new();
        for (at, keyspace) in keyspaces.iter().enumerate() {
            batch.put(keyspace, &[number.to_be_bytes(), [at as u8; 4]].concat(), &[1; 600]);
        }
        database.write(batch, Durability::Buffered).unwrap();
        longest = longest.max(database.stats().wal_bytes);
    }
    let bound = 2 * options.max_wal_bytes + 8 * options.wal_segment_bytes;
    assert!(longest <= bound, "{longest} bytes of log, more than {bound}");
}

#[test]
fn a_failure_in_the_background_stops_writers_with_its_cause_and_readers_go_on() {
    let disk = luma_vfs::SimDisk::new();
    let options = Options { background_threads: 2, ..small() };
    let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", options.clone()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let put = |number: u32| {
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, &number.to_be_bytes(), &[1; 1000]);
        database.write(batch, Durability::Unlogged)
    };
    put(0).unwrap();
    let space_bytes = Some(disk.used_bytes() + 10_000);
    disk.set_faults(luma_vfs::FaultPlan { space_bytes, ..luma_vfs::FaultPlan::default() });
    let error = (1..).find_map(|number| put(number).err()).unwrap();
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(matches!(error, Error::Poisoned(_)));
    assert_eq!(database.snapshot().get(&keyspace, &0u32.to_be_bytes()).unwrap().unwrap(), [1; 1000]);
    assert!(matches!(keyspace.flush(), Err(Error::Poisoned(_))));
    disk.set_faults(luma_vfs::FaultPlan::default());
    drop(database);
    let database = Database::open_with_vfs(Arc::new(disk), "/db", options).unwrap();
    assert_eq!(database.keyspace_names(), ["k"]);
}
