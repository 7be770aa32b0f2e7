//! Deleting all keys of a range at once: what others see of it, what it conflicts with, what it costs.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Error, Isolation, Keyspace, KeyspaceOptions, Layout, Options, Readable,
    Result, Transaction, TransactionMode, TransactionOptions, WriteBatch,
};
use luma_vfs::{SimDisk, Vfs};

/// This file is a module per layout.
fn layout() -> Layout {
    if module_path!().ends_with("::btree") { Layout::BTree } else { Layout::Lsm }
}

fn open(disk: &SimDisk, options: Options) -> (Database, Keyspace) {
    let options = Options { background_threads: 0, ..options };
    let database = Database::open_with_vfs(Arc::new(disk.clone()), "/db", options).unwrap();
    let keyspace_options = KeyspaceOptions { layout: layout(), ..KeyspaceOptions::default() };
    let keyspace =
        database.keyspace("k").unwrap_or_else(|| database.create_keyspace("k", keyspace_options).unwrap());
    (database, keyspace)
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn fill(database: &Database, keyspace: &Keyspace, numbers: std::ops::Range<u32>) {
    let mut batch = WriteBatch::new();
    numbers.for_each(|number| batch.put(keyspace, &key(number), &[number as u8; 100]));
    database.write(batch, Durability::Sync).unwrap();
}

fn delete(database: &Database, keyspace: &Keyspace, from: u32, to: u32) {
    let mut batch = WriteBatch::new();
    batch.delete_range(keyspace, Bound::Included(&key(from)), Bound::Excluded(&key(to)));
    database.write(batch, Durability::Sync).unwrap();
}

fn read(reader: &impl Readable, keyspace: &Keyspace, direction: Direction) -> Result<Vec<u32>> {
    let mut range = reader.range(keyspace, Bound::Unbounded, Bound::Unbounded, direction)?;
    let mut found = Vec::new();
    while let Some((key, _)) = range.next()? {
        found.push(u32::from_be_bytes(key.try_into().unwrap()));
    }
    Ok(found)
}

fn numbers(reader: &impl Readable, keyspace: &Keyspace) -> Vec<u32> {
    let forward = read(reader, keyspace, Direction::Forward).unwrap();
    let mut reverse = read(reader, keyspace, Direction::Reverse).unwrap();
    reverse.reverse();
    assert_eq!(forward, reverse);
    forward
}

fn erase(transaction: &mut Transaction, keyspace: &Keyspace, from: u32, to: u32) {
    transaction.delete_range(keyspace, Bound::Included(&key(from)), Bound::Excluded(&key(to))).unwrap();
}

#[test]
fn readers_from_before_see_the_range_and_readers_from_after_do_not() {
    let disk = SimDisk::new();
    let (database, keyspace) = open(&disk, Options::default());
    fill(&database, &keyspace, 0..100);
    keyspace.flush().unwrap();
    let before = database.snapshot();
    delete(&database, &keyspace, 10, 90);
    fill(&database, &keyspace, 50..52);
    let expected: Vec<u32> = (0..10).chain(50..52).chain(90..100).collect();
    let after = database.snapshot();
    for step in 0..3 {
        assert_eq!(numbers(&before, &keyspace), (0..100).collect::<Vec<_>>());
        assert_eq!(numbers(&after, &keyspace), expected);
        assert_eq!(numbers(&database.snapshot(), &keyspace), expected);
        assert!(before.get(&keyspace, &key(20)).unwrap().is_some());
        assert!(after.get(&keyspace, &key(20)).unwrap().is_none());
        if step == 0 {
            keyspace.flush().unwrap();
        } else {
            keyspace.compact().unwrap();
        }
    }
    drop((before, after, keyspace));
    database.close().unwrap();
    let (database, keyspace) = open(&disk, Options::default());
    assert_eq!(numbers(&database.snapshot(), &keyspace), expected);
}

#[test]
fn a_transaction_sees_what_it_deleted_and_a_savepoint_brings_it_back() {
    let (database, keyspace) = open(&SimDisk::new(), Options::default());
    fill(&database, &keyspace, 0..10);
    let mut transaction = database.begin(TransactionOptions::default());
    transaction.put(&keyspace, &key(3), b"mine").unwrap();
    let point = transaction.savepoint();
    erase(&mut transaction, &keyspace, 2, 8);
    let reader = transaction.reader();
    transaction.put(&keyspace, &key(5), b"later").unwrap();
    assert_eq!(numbers(&transaction, &keyspace), [0, 1, 5, 8, 9]);
    assert_eq!(numbers(&reader, &keyspace), [0, 1, 8, 9]);
    assert!(transaction.get(&keyspace, &key(3)).unwrap().is_none());
    transaction.rollback_to(&point).unwrap();
    assert_eq!(numbers(&transaction, &keyspace), (0..10).collect::<Vec<_>>());
    assert_eq!(transaction.get(&keyspace, &key(3)).unwrap().unwrap(), b"mine");
    // What was undone conflicts with nobody.
    fill(&database, &keyspace, 6..7);
    transaction.commit().unwrap();
    assert_eq!(numbers(&database.snapshot(), &keyspace), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_batch_deletes_what_it_put_before_and_keeps_what_it_puts_after() {
    let disk = SimDisk::new();
    let (database, keyspace) = open(&disk, Options::default());
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, &key(1), b"before");
    batch.delete_range(&keyspace, Bound::Excluded(&key(0)), Bound::Included(&key(2)));
    batch.put(&keyspace, &key(2), b"after");
    assert_eq!(batch.len(), 3);
    database.write(batch, Durability::Sync).unwrap();
    assert_eq!(numbers(&database.snapshot(), &keyspace), [2]);
    let mut empty = WriteBatch::new();
    empty.delete_range(&keyspace, Bound::Included(&key(5)), Bound::Excluded(&key(5)));
    assert!(empty.is_empty());
    disk.kill();
    assert_eq!(numbers(&database.snapshot(), &keyspace), [2]);
    std::mem::forget((database, keyspace));
    let (database, keyspace) = open(&disk, Options::default());
    assert_eq!(numbers(&database.snapshot(), &keyspace), [2], "after replaying the log");
}

#[test]
fn a_bound_that_is_too_long_is_refused() {
    let (database, keyspace) = open(&SimDisk::new(), Options::default());
    let long = vec![0; lightning::KEY_BYTES_MAX + 1];
    let mut transaction = database.begin(TransactionOptions::default());
    let refused = transaction.delete_range(&keyspace, Bound::Included(&long), Bound::Unbounded);
    assert!(matches!(refused, Err(Error::TooLarge { what: "a key", .. })));
    let mut batch = WriteBatch::new();
    batch.delete_range(&keyspace, Bound::Unbounded, Bound::Excluded(&long));
    assert!(matches!(database.write(batch, Durability::Sync), Err(Error::TooLarge { .. })));
}

/// What one transaction does while another runs.
type Act = fn(&mut Transaction, &Keyspace);

/// Commits `second`, which began before `first` committed.
fn race(isolation: Isolation, flushed: bool, first: Act, second: Act, late: bool) -> Result<()> {
    let (database, keyspace) = open(&SimDisk::new(), Options::default());
    fill(&database, &keyspace, 0..100);
    let options = TransactionOptions { isolation, ..TransactionOptions::default() };
    let mut one = database.begin(TransactionOptions::default());
    let mut two = database.begin(options);
    if !late {
        second(&mut two, &keyspace);
    }
    first(&mut one, &keyspace);
    one.commit().unwrap();
    if flushed {
        keyspace.flush().unwrap();
    }
    if late {
        second(&mut two, &keyspace);
    }
    two.commit().map(drop)
}

#[test]
fn a_range_conflicts_with_what_others_changed_in_it_and_with_nothing_else() {
    let put: Act = |transaction, keyspace| transaction.put(keyspace, &key(20), b"x").unwrap();
    let put_apart: Act = |transaction, keyspace| transaction.put(keyspace, &key(40), b"x").unwrap();
    let range: Act = |transaction, keyspace| erase(transaction, keyspace, 10, 30);
    let range_apart: Act = |transaction, keyspace| erase(transaction, keyspace, 30, 40);
    let range_across: Act = |transaction, keyspace| erase(transaction, keyspace, 29, 50);
    for late in [false, true] {
        for flushed in [false, true] {
            let conflict = |first, second| match race(Isolation::Snapshot, flushed, first, second, late) {
                Ok(()) => None,
                Err(Error::Conflict { keyspace, key }) => {
                    assert_eq!(keyspace, "k");
                    Some(u32::from_be_bytes(key.try_into().unwrap()))
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(conflict(put, range), Some(20));
            assert_eq!(conflict(range, put), Some(20));
            assert_eq!(conflict(range, range_across), Some(29));
            assert_eq!(conflict(put_apart, range), None);
            assert_eq!(conflict(range, put_apart), None);
            assert_eq!(conflict(range, range_apart), None);
        }
    }
}

#[test]
fn a_serializable_transaction_that_read_a_deleted_key_or_range_is_refused() {
    let deletes: Act = |transaction, keyspace| erase(transaction, keyspace, 10, 30);
    let reads_key: Act = |transaction, keyspace| {
        transaction.get(keyspace, &key(12)).unwrap();
        transaction.put(keyspace, &key(77), b"x").unwrap();
    };
    let reads_range: Act = |transaction, keyspace| {
        let mut range = transaction
            .range(keyspace, Bound::Included(&key(25)), Bound::Excluded(&key(35)), Direction::Forward)
            .unwrap();
        while range.next().unwrap().is_some() {}
        drop(range);
        transaction.put(keyspace, &key(77), b"x").unwrap();
    };
    let reads_apart: Act = |transaction, keyspace| {
        transaction.get(keyspace, &key(30)).unwrap();
        transaction.put(keyspace, &key(77), b"x").unwrap();
    };
    for (second, refused) in [(reads_key, true), (reads_range, true), (reads_apart, false)] {
        let result = race(Isolation::Serializable, false, deletes, second, false);
        assert_eq!(matches!(result, Err(Error::Conflict { .. })), refused, "{result:?}");
        race(Isolation::Snapshot, false, deletes, second, false).unwrap();
    }
}

#[test]
fn a_refreshed_or_pessimistic_transaction_does_not_conflict_with_what_it_has_seen() {
    let (database, keyspace) = open(&SimDisk::new(), Options::default());
    let mut refreshed = database.begin(TransactionOptions::default());
    erase(&mut refreshed, &keyspace, 10, 30);
    fill(&database, &keyspace, 15..16);
    refreshed.refresh();
    refreshed.commit().unwrap();
    assert!(numbers(&database.snapshot(), &keyspace).is_empty());

    let pessimistic =
        TransactionOptions { mode: TransactionMode::Pessimistic, ..TransactionOptions::default() };
    let mut locked = database.begin(pessimistic);
    erase(&mut locked, &keyspace, 10, 30);
    fill(&database, &keyspace, 15..16);
    locked.commit().unwrap();
    assert!(numbers(&database.snapshot(), &keyspace).is_empty());
}

#[test]
fn what_is_not_remembered_any_more_can_not_be_compared_with() {
    let (database, keyspace) = open(&SimDisk::new(), Options { history_bytes: 0, ..Options::default() });
    let mut old = database.begin(TransactionOptions::default());
    fill(&database, &keyspace, 50..51);
    keyspace.flush().unwrap();
    erase(&mut old, &keyspace, 10, 30);
    assert!(matches!(old.commit(), Err(Error::TransactionTooOld)));
}

/// Damages everything that is stored of the keyspace but what opening reads.
fn damage_data(disk: &SimDisk, from_byte: u64) {
    let directory = Path::new("/db/tables");
    for name in disk.read_dir(directory).unwrap() {
        let path = directory.join(name);
        let length = disk.open(&path).unwrap().len().unwrap();
        for offset in (from_byte..length.saturating_sub(80_000)).step_by(500) {
            disk.flip_bit(&path, offset, 1).unwrap();
        }
    }
}

#[test]
fn what_lies_in_a_deleted_range_is_neither_read_by_scans_nor_by_a_flush() {
    let disk = SimDisk::new();
    let options = Options { compression: lightning::Compression::None, ..Options::default() };
    let (database, keyspace) = open(&disk, options.clone());
    fill(&database, &keyspace, 0..20_000);
    drop(keyspace);
    database.close().unwrap();
    let (database, keyspace) = open(&disk, options);
    damage_data(&disk, 200_000);
    assert!(read(&database.snapshot(), &keyspace, Direction::Forward).is_err(), "the damage is there");
    // A few keys of the damaged part are written before and after.
    fill(&database, &keyspace, 9_000..9_003);
    delete(&database, &keyspace, 1_000, 19_900);
    fill(&database, &keyspace, 9_500..9_501);
    let expected: Vec<u32> = (0..1_000).chain(9_500..9_501).chain(19_900..20_000).collect();
    assert_eq!(numbers(&database.snapshot(), &keyspace), expected, "fresh in memory");
    keyspace.flush().unwrap();
    assert_eq!(numbers(&database.snapshot(), &keyspace), expected, "flushed");
    delete(&database, &keyspace, 0, u32::MAX);
    keyspace.flush().unwrap();
    assert_eq!(numbers(&database.snapshot(), &keyspace), [0; 0]);
    if layout() == Layout::Lsm {
        assert!(disk.read_dir(Path::new("/db/tables")).unwrap().is_empty(), "covered tables are gone");
    }
}

#[test]
fn a_deleted_range_has_room_for_a_bulk_load() {
    let (database, keyspace) = open(&SimDisk::new(), Options::default());
    fill(&database, &keyspace, 0..1000);
    keyspace.flush().unwrap();
    for _ in 0..3 {
        delete(&database, &keyspace, 100, 900);
        let mut load = database.ingest(&keyspace).unwrap();
        (200..300).for_each(|number| load.put(&key(number), b"loaded").unwrap());
        load.finish().unwrap();
        let expected: Vec<u32> = (0..100).chain(200..300).chain(900..1000).collect();
        assert_eq!(numbers(&database.snapshot(), &keyspace), expected);
    }
    keyspace.compact().unwrap();
    database.verify(&mut |_| {}).unwrap();
    assert_eq!(numbers(&database.snapshot(), &keyspace).len(), 300);
}

#[test]
fn what_many_deleted_ranges_take_on_disk_is_given_back() {
    let disk = SimDisk::new();
    let options = Options { table_bytes: 64 << 10, level_bytes: 1 << 30, ..Options::default() };
    let (database, keyspace) = open(&disk, options);
    fill(&database, &keyspace, 0..20_000);
    keyspace.compact().unwrap();
    let full = keyspace.stats().disk_bytes;
    for start in (0..20_000).step_by(20) {
        delete(&database, &keyspace, start, start + 19);
        if start % 2000 == 0 {
            keyspace.flush().unwrap();
        }
    }
    keyspace.flush().unwrap();
    let left = keyspace.stats().disk_bytes;
    // A file of pages keeps what a reader of the checkpoint before could need.
    let part = if layout() == Layout::BTree { 1 } else { 4 };
    assert!(left <= full / part, "{left} bytes of {full}");
    let expected: Vec<u32> = (0..20_000).filter(|number| number % 20 == 19).collect();
    assert_eq!(numbers(&database.snapshot(), &keyspace), expected);
}

#[test]
fn commits_and_deleted_ranges_of_many_threads_leave_what_their_order_says() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        memtable_bytes: 32 << 10,
        write_buffer_bytes: 128 << 10,
        table_bytes: 32 << 10,
        level_bytes: 64 << 10,
        ..Options::default()
    };
    let database = Database::open(directory.path(), options).unwrap();
    let keyspace_options = KeyspaceOptions { layout: layout(), ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("k", keyspace_options).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let (database, keyspace) = (&database, &keyspace);
            scope.spawn(move || {
                // Each has its own keys, and its reads must be what it did itself.
                let base = thread * 1_000_000;
                for round in 0..120 {
                    fill(database, keyspace, base + round * 50..base + round * 50 + 80);
                    delete(database, keyspace, base + round * 50, base + round * 50 + 49);
                    let snapshot = database.snapshot();
                    for number in [0, 20, 48, 49, 79] {
                        let found = snapshot.get(keyspace, &key(base + round * 50 + number)).unwrap();
                        assert_eq!(found.is_some(), number >= 49, "round {round}, key {number}");
                    }
                }
            });
        }
    });
    // Of each round the last key stays, and of the last one all after it.
    let of_thread = |thread: u32| {
        let base = thread * 1_000_000;
        (0..119).map(move |round| base + round * 50 + 49).chain(base + 119 * 50 + 49..base + 119 * 50 + 80)
    };
    assert_eq!(numbers(&database.snapshot(), &keyspace), (0..3).flat_map(of_thread).collect::<Vec<_>>());
    database.verify(&mut |_| {}).unwrap();
}
