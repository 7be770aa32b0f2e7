//! Reading what was there before: as long as it is kept, exactly what it was; a clear error afterwards.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lightning::{
    Database, Direction, Durability, Error, Keyspace, KeyspaceOptions, Layout, Options, Readable,
    TransactionOptions,
};
use luma_vfs::SimDisk;

/// This file is a module per layout.
fn layout() -> Layout {
    if module_path!().ends_with("::btree") { Layout::BTree } else { Layout::Lsm }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(options: Options) -> (Database, Keyspace) {
    let options = Options {
        background_threads: 0,
        memtable_bytes: 2 << 10,
        table_bytes: 2 << 10,
        level_bytes: 4 << 10,
        level0_tables: 2,
        ..options
    };
    let database = Database::open_with_vfs(Arc::new(SimDisk::new()), "/db", options).unwrap();
    let keyspace_options = KeyspaceOptions { layout: layout(), ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("k", keyspace_options).unwrap();
    (database, keyspace)
}

/// Commits a change of a few keys; returns its sequence.
fn change(database: &Database, keyspace: &Keyspace, round: u32, model: &mut Map) -> u64 {
    let options = TransactionOptions { durability: Durability::Buffered, ..TransactionOptions::default() };
    let mut transaction = database.begin(options);
    let key = |number: u32| (number.wrapping_mul(2_654_435_761) % 50).to_be_bytes();
    if round % 7 == 3 {
        let (from, to) = (key(round).min(key(round + 1)), key(round).max(key(round + 1)));
        transaction.delete_range(keyspace, Bound::Included(&from), Bound::Excluded(&to)).unwrap();
        model.retain(|key, _| key.as_slice() < &from[..] || key.as_slice() >= &to[..]);
    } else if round % 3 == 1 {
        transaction.delete(keyspace, &key(round)).unwrap();
        model.remove(&key(round)[..]);
    } else {
        let value = round.to_le_bytes().repeat(9);
        transaction.put(keyspace, &key(round), &value).unwrap();
        model.insert(key(round).to_vec(), value);
    }
    transaction.put(keyspace, b"round", &round.to_le_bytes()).unwrap();
    model.insert(b"round".to_vec(), round.to_le_bytes().to_vec());
    transaction.commit().unwrap().sequence
}

fn content(reader: &impl Readable, keyspace: &Keyspace) -> Map {
    let mut range = reader.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    let mut all = Map::new();
    while let Some((key, value)) = range.next().unwrap() {
        all.insert(key.to_vec(), value.to_vec());
    }
    for (key, value) in &all {
        assert_eq!(reader.get(keyspace, key).unwrap().as_ref(), Some(value));
    }
    all
}

#[test]
fn every_commit_that_is_kept_reads_as_it_was_by_number_and_by_time() {
    let options = Options { version_retention: Duration::from_hours(1), ..Options::default() };
    let (database, keyspace) = open(options);
    let mut model = Map::new();
    let mut states = Vec::new();
    for round in 0..400 {
        let sequence = change(&database, &keyspace, round, &mut model);
        states.push((sequence, SystemTime::now(), model.clone()));
        match round % 90 {
            40 => keyspace.flush().unwrap(),
            80 => keyspace.compact().unwrap(),
            _ => {}
        }
    }
    assert!(database.stats().flushes > 10);
    for (sequence, time, expected) in &states {
        let found = content(&database.snapshot_at(*sequence).unwrap(), &keyspace);
        assert_eq!(found, *expected, "at {sequence}");
        let by_time = database.snapshot_at(*time).unwrap();
        assert!(by_time.sequence() >= *sequence, "what was acknowledged before is there");
        assert_eq!(content(&by_time, &keyspace), states[(by_time.sequence() - states[0].0) as usize].2);
    }
    let last = &states.last().unwrap().2;
    assert_eq!(content(&database.snapshot_at(u64::MAX).unwrap(), &keyspace), *last);
    let later = SystemTime::now() + Duration::from_mins(1);
    assert_eq!(content(&database.snapshot_at(later).unwrap(), &keyspace), *last);
    let before = SystemTime::now() - Duration::from_mins(1);
    assert!(matches!(database.snapshot_at(before), Err(Error::SnapshotTooOld)));
}

#[test]
fn what_is_past_the_retention_is_refused_and_its_memory_is_given_back() {
    let (database, keyspace) =
        open(Options { version_retention: Duration::from_millis(1), ..Options::default() });
    let mut model = Map::new();
    let first = change(&database, &keyspace, 0, &mut model);
    for round in 1..200 {
        change(&database, &keyspace, round, &mut model);
    }
    keyspace.flush().unwrap();
    std::thread::sleep(Duration::from_millis(5));
    match database.snapshot_at(first) {
        Err(error @ Error::SnapshotTooOld) => assert!(error.to_string().contains("version_retention")),
        other => panic!("{other:?}"),
    }
    keyspace.flush().unwrap();
    change(&database, &keyspace, 200, &mut model);
    keyspace.flush().unwrap();
    std::thread::sleep(Duration::from_millis(5));
    change(&database, &keyspace, 201, &mut model);
    keyspace.flush().unwrap();
    assert!(database.stats().history_bytes < 3 << 10, "{}", database.stats().history_bytes);
}

#[test]
fn the_past_goes_to_files_when_it_would_take_too_much_memory() {
    let options =
        Options { version_retention: Duration::from_hours(1), history_bytes: 16 << 10, ..Options::default() };
    let (database, keyspace) = open(options);
    let mut model = Map::new();
    let mut states = Vec::new();
    for round in 0..1500 {
        let sequence = change(&database, &keyspace, round, &mut model);
        states.push((sequence, model.clone()));
        assert!(database.stats().history_bytes <= 20 << 10, "{}", database.stats().history_bytes);
    }
    assert!(database.stats().written.spilled_bytes > 16 << 10);
    for (sequence, expected) in &states {
        assert_eq!(content(&database.snapshot_at(*sequence).unwrap(), &keyspace), *expected, "at {sequence}");
    }
}

#[test]
fn without_retention_only_what_is_still_in_the_current_view_can_be_read() {
    let (database, keyspace) = open(Options::default());
    let mut model = Map::new();
    let first = change(&database, &keyspace, 0, &mut model);
    keyspace.flush().unwrap();
    change(&database, &keyspace, 1, &mut model);
    keyspace.flush().unwrap();
    assert!(matches!(database.snapshot_at(first), Err(Error::SnapshotTooOld)));
    let past = SystemTime::now() - Duration::from_secs(1);
    assert!(matches!(database.snapshot_at(past), Err(Error::SnapshotTooOld)));
}
