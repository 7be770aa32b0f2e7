//! Universal and FIFO compaction, and changing from one strategy to another.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use lightning::{
    CompactionStrategy, Compression, Database, Direction, Durability, Keyspace, KeyspaceOptions, Options,
    Readable, WriteBatch,
};
use luma_vfs::{Observed, Observer, SimDisk, Vfs};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Work is done inside of the calls, so that every run does the same.
fn open(disk: &SimDisk) -> Database {
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options()).unwrap()
}

fn options() -> Options {
    Options {
        background_threads: 0,
        memtable_bytes: 8 << 10,
        write_buffer_bytes: 64 << 10,
        table_bytes: 16 << 10,
        level_bytes: 32 << 10,
        level0_tables: 2,
        compression: Compression::None,
        ..Options::default()
    }
}

fn of(compaction: CompactionStrategy) -> KeyspaceOptions {
    KeyspaceOptions { compaction, ..KeyspaceOptions::default() }
}

/// Overwrites and deletes scattered keys; `salt` is in every value.
fn churn(database: &Database, keyspace: &Keyspace, map: &mut Map, salt: u32) {
    for number in 0..1500u32 {
        let key = (number.wrapping_mul(0x9e37_79b9) % 700).to_be_bytes().to_vec();
        let mut batch = WriteBatch::new();
        if number % 11 == 0 {
            batch.delete(keyspace, &key);
            map.remove(&key);
        } else {
            let value = [number.to_le_bytes(), salt.to_le_bytes()].concat().repeat(12);
            batch.put(keyspace, &key, &value);
            map.insert(key, value);
        }
        database.write(batch, Durability::Buffered).unwrap();
    }
}

fn content(database: &Database, keyspace: &Keyspace) -> Map {
    let snapshot = database.snapshot();
    let mut range = snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    let mut all = Map::new();
    while let Some((key, value)) = range.next().unwrap() {
        all.insert(key.to_vec(), value.to_vec());
    }
    for (key, value) in &all {
        assert_eq!(&*snapshot.get(keyspace, key).unwrap().unwrap(), value.as_slice());
    }
    all
}

#[test]
fn universal_compaction_gives_the_same_answers_and_writes_less() {
    let mut written = Vec::new();
    for strategy in [CompactionStrategy::Leveled, CompactionStrategy::universal()] {
        let disk = SimDisk::new();
        let database = open(&disk);
        let keyspace = database.create_keyspace("k", of(strategy)).unwrap();
        let mut map = Map::new();
        // Much more than a first level.
        let mut load = |salt: u32| {
            for number in 0..4000u32 {
                let key = number.wrapping_mul(0x9e37_79b9).wrapping_add(salt).to_be_bytes().to_vec();
                let value = key.repeat(25);
                let mut batch = WriteBatch::new();
                batch.put(&keyspace, &key, &value);
                database.write(batch, Durability::Buffered).unwrap();
                map.insert(key, value);
            }
        };
        (0..3).for_each(&mut load);
        assert_eq!(content(&database, &keyspace), map, "{strategy:?}");
        assert!(database.stats().keyspaces[0].tables.first().is_none_or(|level0| *level0 < 2));
        written.push(database.stats().written.compaction_bytes);
        keyspace.compact().unwrap();
        assert_eq!(content(&database, &keyspace), map, "{strategy:?}");
        database.verify(&mut |_| {}).unwrap();
    }
    assert!(written[1] < written[0], "levels: {} bytes, universal: {} bytes", written[0], written[1]);
}

#[test]
fn fifo_drops_the_oldest_whole_tables_and_snapshots_keep_what_they_saw() {
    const BYTES_MAX: u64 = 100 << 10;
    let disk = SimDisk::new();
    let database = open(&disk);
    let strategy = CompactionStrategy::Fifo { bytes_max: BYTES_MAX };
    let keyspace = database.create_keyspace("k", of(strategy)).unwrap();
    let write = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let mut batch = WriteBatch::new();
            batch.put(&keyspace, &number.to_be_bytes(), &[7; 200]);
            database.write(batch, Durability::Buffered).unwrap();
            let stats = database.stats();
            assert!(stats.keyspaces[0].disk_bytes <= BYTES_MAX, "{stats:?}");
        }
    };
    write(0..300);
    keyspace.flush().unwrap();
    let early = database.snapshot();
    write(300..3000);
    keyspace.flush().unwrap();
    let left: Vec<Vec<u8>> = content(&database, &keyspace).into_keys().collect();
    let first = u32::from_be_bytes(*left[0].first_chunk().unwrap());
    assert!(first > 2000 && left.len() > 200, "from {first} on {} keys are left", left.len());
    let expected: Vec<Vec<u8>> = (first..3000).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(left, expected, "what is left is what was written last");
    for number in 0..300u32 {
        assert!(early.get(&keyspace, &number.to_be_bytes()).unwrap().is_some());
    }
    let stats = database.stats();
    assert!(stats.dropped_tables > 10 && stats.compactions == 0, "{stats:?}");
    keyspace.compact().unwrap();
    assert_eq!(content(&database, &keyspace).len(), left.len(), "compacting does not merge");
    drop((early, keyspace, database));
    let database = open(&disk);
    let keyspace = database.keyspace("k").unwrap();
    assert_eq!(keyspace.options().compaction, strategy);
    assert_eq!(content(&database, &keyspace).into_keys().collect::<Vec<_>>(), left);
    let tables = database.stats().keyspaces[0].tables[0];
    let files = luma_vfs::Vfs::read_dir(&disk, std::path::Path::new("/db/tables")).unwrap();
    assert_eq!(files.len(), tables, "the files of dropped tables are gone");
}

#[test]
fn a_strategy_is_changed_at_any_time_and_remembered() {
    let disk = SimDisk::new();
    let mut database = open(&disk);
    let mut keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut map = Map::new();
    let universal = CompactionStrategy::universal();
    let eager =
        CompactionStrategy::Universal { size_ratio_percent: 100, space_amplification_percent_max: 20 };
    let large = CompactionStrategy::Fifo { bytes_max: 1 << 30 };
    let leveled = CompactionStrategy::Leveled;
    for (salt, strategy) in
        [universal, leveled, large, eager, large, leveled, universal].into_iter().enumerate()
    {
        keyspace.set_compaction(strategy).unwrap();
        churn(&database, &keyspace, &mut map, salt as u32);
        assert_eq!(content(&database, &keyspace), map, "{strategy:?}");
        drop((keyspace, database));
        database = open(&disk);
        keyspace = database.keyspace("k").unwrap();
        assert_eq!(keyspace.options().compaction, strategy);
        assert_eq!(content(&database, &keyspace), map, "{strategy:?} after a start");
    }
    database.verify(&mut |_| {}).unwrap();
}

#[test]
fn what_fifo_drops_never_uncovers_an_older_value() {
    let disk = SimDisk::new();
    let database = open(&disk);
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut map = Map::new();
    // Merges gave old values to tables with high numbers.
    (0..4).for_each(|salt| churn(&database, &keyspace, &mut map, salt));
    for bytes_max in [90 << 10, 60 << 10, 30 << 10, 1] {
        keyspace.set_compaction(CompactionStrategy::Fifo { bytes_max }).unwrap();
        churn(&database, &keyspace, &mut map, bytes_max as u32);
        let left = content(&database, &keyspace);
        assert!(left.len() < map.len() && !left.is_empty());
        for (key, value) in left {
            assert_eq!(map.get(&key), Some(&value), "an old value of {key:?}");
        }
    }
}

/// Which threads write tables.
#[derive(Debug, Default)]
struct Writers(Mutex<HashSet<ThreadId>>);

impl Observer for Writers {
    fn writing(&self, path: &Path, _bytes: usize) {
        if path.extension().is_some_and(|extension| extension == "table") {
            self.0.lock().unwrap().insert(std::thread::current().id());
        }
    }
}

#[test]
fn a_large_merge_is_done_on_all_threads_that_are_free() {
    let disk = Arc::new(Observed::with(Arc::new(SimDisk::new()), Writers::default()));
    // Nothing is merged unless it is asked for.
    let options = Options { background_threads: 4, level0_tables: 10_000, ..options() };
    let database = Database::open_with_vfs(Arc::clone(&disk) as Arc<dyn Vfs>, "/db", options).unwrap();
    let keyspace = database.create_keyspace("k", of(CompactionStrategy::Leveled)).unwrap();
    let mut map = Map::new();
    let mut writers = 0;
    // A thread that just looked whether there is something to do is not free.
    for salt in 0..50 {
        churn(&database, &keyspace, &mut map, salt);
        keyspace.flush().unwrap();
        disk.observer().0.lock().unwrap().clear();
        keyspace.compact().unwrap();
        assert_eq!(content(&database, &keyspace), map);
        writers = disk.observer().0.lock().unwrap().len();
        if writers > 1 {
            break;
        }
    }
    assert!(writers > 1, "the merge was done in parts");
    database.verify(&mut |_| {}).unwrap();
}
