//! Large values: written once, collected when they are garbage, and checked.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lightning::{
    Compression, Database, Direction, Durability, Error, Keyspace, KeyspaceOptions, KeyspaceStats, Layout,
    Options, Readable, WriteBatch,
};
use luma_vfs::{FaultPlan, SimDisk, Vfs};

const KEYS: u32 = 60;

fn options() -> Options {
    Options {
        background_threads: 0,
        memtable_bytes: 64 << 10,
        write_buffer_bytes: 1 << 20,
        table_bytes: 16 << 10,
        level_bytes: 32 << 10,
        blob_threshold: 1000,
        compression: Compression::None,
        ..Options::default()
    }
}

fn open(disk: &SimDisk, options: Options) -> Result<Database, Error> {
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options)
}

fn value(key: u32, round: u32) -> Vec<u8> {
    let length = 900 + (key as usize * 37 + round as usize * 101) % 4000;
    (0..length).map(|at| (key as usize * 7 + round as usize * 13 + at) as u8).collect()
}

fn write(database: &Database, keyspace: &Keyspace, keys: impl Iterator<Item = u32>, round: u32) {
    for key in keys {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &key.to_be_bytes(), &value(key, round));
        database.write(batch, Durability::Buffered).unwrap();
    }
    keyspace.flush().unwrap();
}

fn check(database: &Database, keyspace: &Keyspace, rounds: &dyn Fn(u32) -> u32) {
    let snapshot = database.snapshot();
    for key in 0..KEYS {
        let found = snapshot.get(keyspace, &key.to_be_bytes()).unwrap();
        assert_eq!(found, Some(value(key, rounds(key))));
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut range = snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, direction).unwrap();
        let mut keys = Vec::new();
        while let Some((key, found)) = range.next().unwrap() {
            let key = u32::from_be_bytes(key.try_into().unwrap());
            assert_eq!(found, value(key, rounds(key)));
            keys.push(key);
        }
        if direction == Direction::Reverse {
            keys.reverse();
        }
        assert!(keys.into_iter().eq(0..KEYS));
    }
}

fn stats(database: &Database) -> KeyspaceStats {
    database.stats().keyspaces[0].clone()
}

/// A database on a disk of its own, with a keyspace.
fn made() -> (SimDisk, Database, Keyspace) {
    let disk = SimDisk::new();
    let database = open(&disk, options()).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    (disk, database, keyspace)
}

fn blob_files(disk: &SimDisk) -> Vec<PathBuf> {
    let directory = Path::new("/db/tables");
    let paths = disk.read_dir(directory).unwrap().into_iter().map(|name| directory.join(name));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "blob")).collect()
}

#[test]
fn merges_leave_large_values_where_they_are() {
    let (_disk, database, keyspace) = made();
    write(&database, &keyspace, 0..KEYS, 0);
    let written = database.stats().written;
    let large: u64 = (0..KEYS).map(|key| value(key, 0).len() as u64).filter(|length| *length >= 1000).sum();
    assert!(stats(&database).blob_bytes > large && stats(&database).blob_garbage_bytes < 100);
    keyspace.compact().unwrap();
    let after = database.stats().written;
    assert!(after.compaction_bytes > written.compaction_bytes, "a merge was made");
    assert!(after.compaction_bytes - written.compaction_bytes < large / 8, "{after:?}");
    check(&database, &keyspace, &|_| 0);
    database.verify(&mut |_| {}).unwrap();
}

#[test]
fn garbage_is_collected_and_what_is_left_is_right_also_after_opening_again() {
    let (disk, mut database, mut keyspace) = made();
    for round in 0..12 {
        // Some keys stay as they were first.
        write(&database, &keyspace, (0..KEYS).filter(|key| round == 0 || key % 5 != 0), round);
        let rounds = move |key| if key % 5 == 0 { 0 } else { round };
        check(&database, &keyspace, &rounds);
        if round % 4 == 3 {
            drop(keyspace);
            drop(database);
            database = open(&disk, options()).unwrap();
            keyspace = database.keyspace("k").unwrap();
            check(&database, &keyspace, &rounds);
        }
    }
    keyspace.compact().unwrap();
    let now = stats(&database);
    assert!(now.blob_files > 0 && now.blob_garbage_bytes * 2 <= now.blob_bytes, "{now:?}");
    assert_eq!(blob_files(&disk).len(), now.blob_files);
    database.verify(&mut |_| {}).unwrap();
    // Without keys there is nothing to keep.
    let mut batch = WriteBatch::new();
    for key in 0..KEYS {
        batch.delete(&keyspace, &key.to_be_bytes());
    }
    database.write(batch, Durability::Buffered).unwrap();
    keyspace.flush().unwrap();
    keyspace.compact().unwrap();
    assert_eq!((stats(&database).blob_bytes, blob_files(&disk).len()), (0, 0));
}

#[test]
fn a_snapshot_reads_values_whose_file_was_emptied() {
    let (disk, database, keyspace) = made();
    write(&database, &keyspace, 0..KEYS, 0);
    let before = database.snapshot();
    write(&database, &keyspace, 0..KEYS, 1);
    keyspace.compact().unwrap();
    let files = blob_files(&disk).len();
    for key in 0..KEYS {
        assert_eq!(before.get(&keyspace, &key.to_be_bytes()).unwrap(), Some(value(key, 0)));
    }
    drop(before);
    write(&database, &keyspace, 0..KEYS, 2);
    keyspace.compact().unwrap();
    check(&database, &keyspace, &|_| 2);
    assert!(blob_files(&disk).len() < files);
}

#[test]
fn a_dropped_keyspace_takes_its_blob_files_along() {
    let (disk, database, keyspace) = made();
    write(&database, &keyspace, 0..KEYS, 0);
    assert!(!blob_files(&disk).is_empty());
    drop(keyspace);
    database.drop_keyspace("k").unwrap();
    database.create_keyspace("other", KeyspaceOptions::default()).unwrap();
    assert_eq!(blob_files(&disk).len(), 0);
}

#[test]
fn the_keyspace_says_which_values_are_large_and_keeps_it() {
    let disk = SimDisk::new();
    let database = open(&disk, options()).unwrap();
    let never = KeyspaceOptions { blob_threshold: Some(u32::MAX), ..KeyspaceOptions::default() };
    let keyspace = database.create_keyspace("k", never).unwrap();
    write(&database, &keyspace, 0..KEYS, 0);
    drop(keyspace);
    drop(database);
    let database = open(&disk, options()).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    write(&database, &keyspace, 0..KEYS, 1);
    check(&database, &keyspace, &|_| 1);
    assert_eq!(blob_files(&disk).len(), 0);
}

#[test]
fn a_damaged_or_missing_blob_file_is_an_error_that_names_it() {
    let (disk, database, keyspace) = made();
    write(&database, &keyspace, 0..KEYS, 0);
    drop(keyspace);
    database.close().unwrap();
    let path = blob_files(&disk).remove(0);
    let names_it = |error: Error| matches!(error, Error::Corruption { file, .. } if file == path);

    let damaged = disk.fork();
    damaged.flip_bit(&path, 100, 3).unwrap();
    let database = open(&damaged, options()).unwrap();
    assert!(names_it(database.verify(&mut |_| {}).unwrap_err()));
    drop(database);

    let missing = disk.fork();
    missing.remove_file(&path).unwrap();
    let others = blob_files(&missing);
    assert!(!others.is_empty());
    assert!(names_it(open(&missing, options()).unwrap_err()));
    assert_eq!(blob_files(&missing), others, "a failed start removes nothing");
}

#[test]
fn a_bulk_load_brings_its_blob_files_or_leaves_none() {
    let (disk, database, keyspace) = made();
    let load = || {
        let mut load = database.ingest(&keyspace).unwrap();
        (0..KEYS).for_each(|key| load.put(&key.to_be_bytes(), &value(key, 3)).unwrap());
        load
    };
    drop(load());
    assert!(blob_files(&disk).is_empty());
    load().finish().unwrap();
    check(&database, &keyspace, &|_| 3);
    assert_eq!(blob_files(&disk).len(), stats(&database).blob_files);
    database.verify(&mut |_| {}).unwrap();
}

#[test]
fn a_blob_file_of_one_small_value_is_not_taken_for_garbage() {
    let disk = SimDisk::new();
    let database = open(&disk, Options { blob_threshold: 1, ..options() }).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, b"key", b"v");
    database.write(batch, Durability::Buffered).unwrap();
    keyspace.flush().unwrap();
    assert_eq!((database.stats().compactions, blob_files(&disk).len()), (0, 1));
}

fn all_keys() -> Vec<[u8; 4]> {
    (0..KEYS).map(u32::to_be_bytes).collect()
}

/// A database that was just opened, so that nothing of it is in memory.
fn reopened(cache_bytes: usize) -> (SimDisk, Database, Keyspace) {
    let (disk, database, keyspace) = made();
    write(&database, &keyspace, 0..KEYS, 0);
    drop(keyspace);
    database.close().unwrap();
    let database = open(&disk, Options { cache_bytes, ..options() }).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    (disk, database, keyspace)
}

#[test]
fn a_value_that_was_read_is_in_memory_and_the_budget_is_kept() {
    for cache_bytes in [64 << 20, 96 << 10] {
        let (disk, database, keyspace) = reopened(cache_bytes);
        let read_all = || {
            let before = disk.operations();
            check(&database, &keyspace, &|_| 0);
            disk.operations() - before
        };
        let (first, second) = (read_all(), read_all());
        let cache = database.stats().cache;
        assert!(cache.used_bytes <= cache.capacity_bytes, "{cache:?}");
        if cache_bytes > 1 << 20 {
            assert!(first > u64::from(KEYS) / 2);
            assert_eq!(second, 0, "everything is in memory");
        } else {
            assert!(second > 0, "not everything is in memory");
        }
    }
}

#[test]
fn a_value_that_would_take_much_of_the_cache_is_read_each_time() {
    let (disk, database, keyspace) = reopened(16 << 10);
    let key = (0..KEYS).find(|key| value(*key, 0).len() > 2000).unwrap();
    let read = || {
        let before = disk.operations();
        let found = database.snapshot().get(&keyspace, &key.to_be_bytes()).unwrap();
        assert_eq!(found, Some(value(key, 0)));
        disk.operations() - before
    };
    read();
    let used = database.stats().cache.used_bytes;
    assert!(read() > 0);
    assert_eq!(database.stats().cache.used_bytes, used);
}

#[test]
fn what_many_gets_need_from_blob_files_is_read_before_them() {
    let (disk, database, keyspace) = reopened(64 << 20);
    let keys = all_keys();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
    let snapshot = database.snapshot();
    snapshot.prefetch(&keyspace, &keys).unwrap();
    let before = disk.operations();
    let found = snapshot.multi_get(&keyspace, &keys).unwrap();
    assert!(found.into_iter().enumerate().all(|(key, found)| found == Some(value(key as u32, 0))));
    assert_eq!(disk.operations() - before, 0);
}

/// Values of some pages each, of which the log has little else; compressible or not.
fn logged_value(key: u32, round: u32, compressible: bool) -> Vec<u8> {
    let mut state = u64::from(key) << 32 | u64::from(round) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if compressible { 7 } else { (state >> 33) as u8 }
    };
    (0..5000 + key * 731 % 9000).map(|_| next()).collect()
}

fn logged_options() -> Options {
    Options {
        memtable_bytes: 600 << 10,
        write_buffer_bytes: 4 << 20,
        wal_segment_bytes: 256 << 10,
        max_wal_bytes: 1 << 20,
        compression: Compression::Lz4,
        ..options()
    }
}

fn write_logged(database: &Database, keyspace: &Keyspace, keys: impl Iterator<Item = u32>, round: u32) {
    for key in keys {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &key.to_be_bytes(), &logged_value(key, round, false));
        database.write(batch, Durability::Buffered).unwrap();
    }
}

fn check_logged(database: &Database, keyspace: &Keyspace, keys: impl Iterator<Item = u32>, round: u32) {
    let snapshot = database.snapshot();
    for key in keys {
        let found = snapshot.get(keyspace, &key.to_be_bytes()).unwrap();
        assert!(found == Some(logged_value(key, round, false)), "key {key} of round {round}");
    }
}

fn logged(disk: &SimDisk) -> (Database, Keyspace) {
    let database = open(disk, logged_options()).unwrap();
    let keyspace = database.keyspace("k");
    let keyspace =
        keyspace.unwrap_or_else(|| database.create_keyspace("k", KeyspaceOptions::default()).unwrap());
    (database, keyspace)
}

#[test]
fn large_values_stay_in_the_log_and_are_written_once() {
    let disk = SimDisk::new();
    let (database, keyspace) = logged(&disk);
    write_logged(&database, &keyspace, 0..600, 0);
    keyspace.flush().unwrap();
    let bytes: u64 = (0..600).map(|key| logged_value(key, 0, false).len() as u64).sum();
    let written = database.stats().written;
    assert!(
        written.log_bytes > bytes && written.flush_bytes < bytes / 3,
        "{written:?}, {bytes} bytes of values"
    );
    check_logged(&database, &keyspace, 0..600, 0);
    keyspace.compact().unwrap();
    assert!(database.stats().written.compaction_bytes < bytes / 4);
    database.verify(&mut |_| {}).unwrap();
    drop(keyspace);
    drop(database);
    let (database, keyspace) = logged(&disk);
    check_logged(&database, &keyspace, 0..600, 0);
    let keys: Vec<[u8; 4]> = (0..600u32).map(u32::to_be_bytes).collect();
    let keys: Vec<&[u8]> = keys.iter().map(<[u8; 4]>::as_slice).collect();
    let found = database.snapshot().multi_get(&keyspace, &keys).unwrap();
    assert!(found.iter().zip(0..).all(|(found, key)| *found == Some(logged_value(key, 0, false))));
    database.verify(&mut |_| {}).unwrap();
    // Garbage goes as that of other blob files does.
    for round in 1..6 {
        write_logged(&database, &keyspace, (0..600).filter(|key| key % 7 > 0), round);
        keyspace.flush().unwrap();
    }
    keyspace.compact().unwrap();
    check_logged(&database, &keyspace, (0..600).filter(|key| key % 7 == 0), 0);
    check_logged(&database, &keyspace, (0..600).filter(|key| key % 7 > 0), 5);
    let now = stats(&database);
    assert!(
        now.blob_garbage_bytes * 2 <= now.blob_bytes && blob_files(&disk).len() == now.blob_files,
        "{now:?}"
    );
    assert!(disk.used_bytes() < bytes * 4, "{} bytes on disk for {bytes}", disk.used_bytes());
    database.verify(&mut |_| {}).unwrap();
}

#[test]
fn where_files_have_one_name_large_values_are_written_to_blob_files() {
    let disk = SimDisk::new();
    disk.set_faults(FaultPlan { no_links: true, ..FaultPlan::default() });
    let (database, keyspace) = logged(&disk);
    write_logged(&database, &keyspace, 0..100, 0);
    keyspace.flush().unwrap();
    let bytes: u64 = (0..100).map(|key| logged_value(key, 0, false).len() as u64).sum();
    assert!(database.stats().written.flush_bytes > bytes && database.stats().keyspaces[0].blob_bytes > bytes);
    check_logged(&database, &keyspace, 0..100, 0);
}

#[test]
fn a_keyspace_that_is_dropped_or_converted_lets_go_of_the_log_s_segments() {
    for drops in [true, false] {
        let disk = SimDisk::new();
        let (database, keyspace) = logged(&disk);
        // Less than a memtable, and more than a segment.
        write_logged(&database, &keyspace, 0..55, 0);
        keyspace.flush().unwrap();
        assert!(!blob_files(&disk).is_empty());
        if drops {
            database.drop_keyspace("k").unwrap();
        } else {
            keyspace.convert(Layout::BTree, &mut |_| {}).unwrap();
            write_logged(&database, &keyspace, 0..55, 1);
            keyspace.flush().unwrap();
            check_logged(&database, &keyspace, 0..55, 1);
        }
        // Views of before go with the next change.
        database.create_keyspace("other", KeyspaceOptions::default()).unwrap();
        assert_eq!(blob_files(&disk), Vec::<PathBuf>::new(), "dropped: {drops}");
    }
}

#[test]
fn what_compresses_is_written_compressed_and_not_left_in_the_log() {
    let disk = SimDisk::new();
    let (database, keyspace) = logged(&disk);
    for key in 0..200u32 {
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, &key.to_be_bytes(), &logged_value(key, 0, true));
        database.write(batch, Durability::Buffered).unwrap();
    }
    keyspace.flush().unwrap();
    let files = blob_files(&disk);
    let bytes: u64 = files.iter().map(|path| disk.open(path).unwrap().len().unwrap()).sum();
    assert!(!files.is_empty() && bytes < 100_000, "{bytes} bytes");
}

#[test]
fn a_damaged_log_segment_that_is_a_blob_file_gives_right_values_or_an_error_that_names_it() {
    let disk = SimDisk::new();
    let (database, keyspace) = logged(&disk);
    write_logged(&database, &keyspace, 0..100, 0);
    keyspace.flush().unwrap();
    drop(keyspace);
    database.close().unwrap();
    let paths = blob_files(&disk);
    let mut errors = 0;
    for path in &paths {
        let length = disk.open(path).unwrap().len().unwrap();
        for offset in (0..length).step_by(20_011) {
            let damaged = disk.fork();
            damaged.flip_bit(path, offset, 3).unwrap();
            let verified = open(&damaged, logged_options())
                .and_then(|database| database.verify(&mut |_| {}).map(|_| database));
            match verified {
                Ok(database) => check_logged(&database, &database.keyspace("k").unwrap(), 0..100, 0),
                // The last segments are the log's, too.
                Err(Error::Corruption { file, .. }) => {
                    assert!(file == *path || file.starts_with("/db/log"), "{}", file.display());
                    errors += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(errors > 10, "{errors} flips were noticed in {} files", paths.len());
}

#[test]
fn small_values_among_large_ones_and_a_log_without_them_are_flushed_as_ever() {
    let disk = SimDisk::new();
    let (database, keyspace) = logged(&disk);
    let small = database.create_keyspace("small", KeyspaceOptions::default()).unwrap();
    for key in 0..400u32 {
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, &key.to_be_bytes(), &logged_value(key, 1, false));
        (0..4u32).for_each(|of| batch.put(&small, &(key * 4 + of).to_be_bytes(), &[of as u8; 300]));
        database.write(batch, Durability::Buffered).unwrap();
    }
    database.flush().unwrap();
    drop((keyspace, small));
    drop(database);
    let (database, keyspace) = logged(&disk);
    check_logged(&database, &keyspace, 0..400, 1);
    let (snapshot, small) = (database.snapshot(), database.keyspace("small").unwrap());
    for key in 0..1600u32 {
        assert_eq!(snapshot.get(&small, &key.to_be_bytes()).unwrap(), Some(vec![(key % 4) as u8; 300]));
    }
}
