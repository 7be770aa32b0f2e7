//! What goes by itself: values that have expired, and those that a filter removes or changes.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use lightning::{
    CompactionFilter, Database, Direction, Durability, Filtered, Keyspace, KeyspaceOptions, Layout, Options,
    Readable, TransactionOptions, WriteBatch,
};
use luma_vfs::SimDisk;

/// This file is a module per layout.
fn layout() -> Layout {
    if module_path!().ends_with("::btree") { Layout::BTree } else { Layout::Lsm }
}

/// Long enough to look before it is over, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);

fn open(disk: &SimDisk, options: Options, ttl: Option<Duration>) -> (Database, Keyspace) {
    let options = Options { background_threads: 0, ..options };
    let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", options).unwrap();
    let keyspace_options = KeyspaceOptions { layout: layout(), ttl, ..KeyspaceOptions::default() };
    let keyspace =
        database.keyspace("k").unwrap_or_else(|| database.create_keyspace("k", keyspace_options).unwrap());
    (database, keyspace)
}

fn put(database: &Database, keyspace: &Keyspace, numbers: std::ops::Range<u32>) {
    let mut batch = WriteBatch::new();
    numbers.for_each(|number| batch.put(keyspace, &number.to_be_bytes(), &number.to_le_bytes()));
    database.write(batch, Durability::Sync).unwrap();
}

fn numbers(reader: &impl Readable, keyspace: &Keyspace) -> Vec<u32> {
    let mut range = reader.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    let mut found = Vec::new();
    while let Some((key, value)) = range.next().unwrap() {
        let number = u32::from_be_bytes(key.try_into().unwrap());
        assert_eq!(value, number.to_le_bytes(), "a value is shown as it was written");
        found.push(number);
    }
    for number in &found {
        let value = reader.get(keyspace, &number.to_be_bytes()).unwrap();
        assert_eq!(value.unwrap(), number.to_le_bytes());
    }
    found
}

#[test]
fn a_value_that_lives_is_shown_as_it_was_written_wherever_it_is() {
    let disk = SimDisk::new();
    let hour = Some(Duration::from_hours(1));
    let (database, keyspace) = open(&disk, Options::default(), hour);
    put(&database, &keyspace, 0..10);
    keyspace.flush().unwrap();
    let mut transaction = database.begin(TransactionOptions::default());
    transaction.put(&keyspace, &10u32.to_be_bytes(), &10u32.to_le_bytes()).unwrap();
    let all: Vec<u32> = (0..=10).collect();
    assert_eq!(numbers(&transaction, &keyspace), all);
    assert_eq!(numbers(&transaction.reader(), &keyspace), all);
    assert_eq!(
        transaction.get_latest(&keyspace, &10u32.to_be_bytes()).unwrap().unwrap(),
        10u32.to_le_bytes()
    );
    transaction.commit().unwrap();
    let mut load = database.ingest(&keyspace).unwrap();
    load.put(&11u32.to_be_bytes(), &11u32.to_le_bytes()).unwrap();
    load.finish().unwrap();
    let all: Vec<u32> = (0..=11).collect();
    assert_eq!(numbers(&database.snapshot(), &keyspace), all);
    // From the log, and from files.
    disk.kill((database, keyspace));
    let (database, keyspace) = open(&disk, Options::default(), None);
    assert_eq!(keyspace.options().ttl, hour, "the option is kept with the keyspace");
    assert_eq!(numbers(&database.snapshot(), &keyspace), all);
    keyspace.compact().unwrap();
    assert_eq!(numbers(&database.snapshot(), &keyspace), all);
}

#[test]
fn a_value_is_gone_the_moment_it_expires_for_all_readers_and_in_memory_as_in_files() {
    let disk = SimDisk::new();
    let (database, keyspace) = open(&disk, Options::default(), Some(SHORT));
    let started = std::time::Instant::now();
    put(&database, &keyspace, 0..10);
    keyspace.flush().unwrap();
    put(&database, &keyspace, 10..20);
    let before = database.snapshot();
    let found = numbers(&database.snapshot(), &keyspace);
    // On a machine that stood still meanwhile there is nothing to see.
    assert!(found == (0..20).collect::<Vec<_>>() || started.elapsed() > SHORT);
    std::thread::sleep(SHORT + Duration::from_millis(20));
    for reader in [&before, &database.snapshot()] {
        assert_eq!(numbers(reader, &keyspace), [0; 0]);
        assert!(reader.get(&keyspace, &3u32.to_be_bytes()).unwrap().is_none());
    }
    // A new write is a new life, and an older value does not come back.
    put(&database, &keyspace, 5..6);
    assert!(numbers(&database.snapshot(), &keyspace) == [5] || started.elapsed() > 2 * SHORT);
    keyspace.flush().unwrap();
    keyspace.compact().unwrap();
    std::thread::sleep(SHORT + Duration::from_millis(20));
    assert_eq!(numbers(&database.snapshot(), &keyspace), [0; 0]);
    keyspace.compact().unwrap();
    put(&database, &keyspace, 100..101);
    keyspace.flush().unwrap();
    assert!(keyspace.stats().approximate_entries <= 2, "{:?}", keyspace.stats());
    database.verify(&mut |_| {}).unwrap();
}

/// Removes every third number, doubles the value of every fourth.
#[derive(Debug)]
struct Thirds;

impl CompactionFilter for Thirds {
    fn filter(&self, key: &[u8], value: &[u8]) -> Filtered {
        match key.try_into().map_or(0, u32::from_be_bytes) {
            number if number % 3 == 0 => Filtered::Remove,
            number if number % 4 == 0 && value.len() == 4 => Filtered::Change(value.repeat(2)),
            _ => Filtered::Keep,
        }
    }
}

#[test]
fn a_filter_removes_and_changes_what_is_written_to_files_and_nothing_that_a_snapshot_sees() {
    let disk = SimDisk::new();
    let (database, keyspace) = open(&disk, Options::default(), None);
    put(&database, &keyspace, 0..60);
    keyspace.flush().unwrap();
    drop(keyspace);
    database.close().unwrap();
    let filter: Arc<dyn CompactionFilter> = Arc::new(Thirds);
    let compaction_filters = HashMap::from([("k".to_owned(), filter)]);
    let (database, keyspace) = open(&disk, Options { compaction_filters, ..Options::default() }, None);
    put(&database, &keyspace, 30..90);
    let before = database.snapshot();
    for _ in 0..3 {
        keyspace.flush().unwrap();
        keyspace.compact().unwrap();
        assert_eq!(numbers(&before, &keyspace), (0..90).collect::<Vec<_>>());
        let after = database.snapshot();
        // Files from before that nothing touches may stay as they are.
        let from = if layout() == Layout::BTree { 30 } else { 0 };
        for number in from..90u32 {
            let expected = match number {
                number if number % 3 == 0 => None,
                number if number % 4 == 0 => Some(number.to_le_bytes().repeat(2)),
                number => Some(number.to_le_bytes().to_vec()),
            };
            assert_eq!(after.get(&keyspace, &number.to_be_bytes()).unwrap(), expected, "{number}");
        }
    }
    database.verify(&mut |_| {}).unwrap();
}

#[test]
fn what_is_overwritten_and_then_removed_by_a_filter_does_not_come_back() {
    let filter: Arc<dyn CompactionFilter> = Arc::new(Thirds);
    let compaction_filters =
        HashMap::from([("other".to_owned(), Arc::clone(&filter)), ("k".to_owned(), filter)]);
    let disk = SimDisk::new();
    {
        // Written without the filter.
        let (database, keyspace) = open(&disk, Options::default(), None);
        put(&database, &keyspace, 0..9);
        drop(keyspace);
        database.close().unwrap();
    }
    let (database, keyspace) = open(&disk, Options { compaction_filters, ..Options::default() }, None);
    put(&database, &keyspace, 3..4);
    keyspace.flush().unwrap();
    assert!(database.snapshot().get(&keyspace, &3u32.to_be_bytes()).unwrap().is_none());
    keyspace.compact().unwrap();
    assert!(database.snapshot().get(&keyspace, &3u32.to_be_bytes()).unwrap().is_none());
}
