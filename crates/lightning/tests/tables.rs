//! What only the layout with tables does: many files, filters, merges, and the figures about them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ops::Bound;

use lightning::{
    CachePolicy, Compression, Database, Direction, Durability, KeyspaceOptions, Layout, Options, Prefix,
    Range, Readable, WriteBatch,
};

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

/// How many tables of a database this process has open.
fn open_tables(path: &std::path::Path) -> usize {
    let tables = path.join("tables");
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let files = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    files.filter(|file| file.starts_with(&tables)).count()
}

#[test]
fn hundreds_of_tables_are_read_with_few_open_files() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_open_files: 8, table_bytes: 4 << 10, cache_bytes: 64 << 10, ..small() };
    let mut database = Database::open(directory.path(), options.clone()).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut load = database.ingest(&keyspace).unwrap();
    for number in 0..20_000u32 {
        load.put(&number.to_be_bytes(), &number.wrapping_mul(0x9e37_79b9).to_le_bytes().repeat(20)).unwrap();
    }
    load.finish().unwrap();
    assert!(database.stats().keyspaces[0].tables.iter().sum::<usize>() > 100);
    drop(keyspace);
    for _ in 0..2 {
        let keyspace = database.keyspace("k").unwrap();
        let snapshot = database.snapshot();
        for number in (0..20_000u32).step_by(37) {
            let found = snapshot.get(&keyspace, &number.to_be_bytes()).unwrap().unwrap();
            assert_eq!(found[..4], number.wrapping_mul(0x9e37_79b9).to_le_bytes());
        }
        let all = collect(
            snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Reverse).unwrap(),
        );
        assert_eq!(all.len(), 20_000);
        let stats = database.stats();
        assert!(stats.open_files <= 8 && open_tables(directory.path()) <= 8, "{stats:?}");
        drop((keyspace, snapshot));
        drop(database);
        database = Database::open(directory.path(), options.clone()).unwrap();
    }
}

#[test]
fn the_figures_tell_hits_misses_filters_and_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { cache_bytes: 8 << 20, compression: Compression::None, ..small() };
    let database = Database::open(directory.path(), options).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let before = database.stats().written;
    for round in 0..2u8 {
        for number in 0..2000u32 {
            let mut batch = WriteBatch::new();
            batch.put(&keyspace, &(number * 2).to_be_bytes(), &[round; 100]);
            database.write(batch, Durability::Buffered).unwrap();
        }
        keyspace.flush().unwrap();
    }
    keyspace.compact().unwrap();
    let stats = database.stats();
    let written = stats.written;
    let user = 2 * 2000 * 104;
    assert!(
        written.log_bytes - before.log_bytes > user && written.log_bytes - before.log_bytes < user * 3 / 2
    );
    assert!(written.flush_bytes > user, "{written:?}");
    assert!(written.compaction_bytes > user / 2, "{written:?}");
    assert!(written.total_bytes > written.log_bytes + written.flush_bytes + written.compaction_bytes);
    assert!(written.syncs >= before.syncs + 3 * stats.flushes);
    // One sorted run is left: each block is read from the file once.
    let snapshot = database.snapshot();
    let reads = |numbers: &dyn Fn(u32) -> u32| {
        let before = database.stats().cache;
        for number in 0..2000 {
            let _ = snapshot.get(&keyspace, &numbers(number).to_be_bytes()).unwrap();
        }
        let after = database.stats().cache;
        let filters = (
            after.filter_negatives - before.filter_negatives,
            after.filter_false_positives - before.filter_false_positives,
        );
        (after.hits - before.hits, after.misses - before.misses, filters)
    };
    let (hits, misses, filters) = reads(&|number| number * 2);
    assert_eq!(hits + misses, 2000);
    assert!(misses > 20 && misses < 200, "{misses}");
    assert_eq!(filters, (0, 0));
    assert_eq!(reads(&|number| number * 2), (2000, 0, (0, 0)));
    // Keys between the stored ones: nearly all end at the filter, and those that do not are counted.
    let (hits, misses, (negatives, false_positives)) = reads(&|number| (number * 2 + 1).min(3997));
    // A key between two tables asks none.
    let tables: usize = stats.keyspaces[0].tables.iter().sum();
    assert_eq!(negatives + false_positives, 2000 - (tables as u64 - 1));
    assert_eq!(hits + misses, false_positives);
    assert!(negatives > 1800, "{negatives}");
}

#[test]
fn indexes_and_filters_take_no_more_memory_than_the_cache_has() {
    let directory = tempfile::tempdir().unwrap();
    // Blocks of one key: the indexes of all tables are several times as large as the cache.
    let options = Options {
        cache_bytes: 256 << 10,
        block_bytes: 128,
        index_part_bytes: 4 << 10,
        compression: Compression::None,
        ..small()
    };
    let database = Database::open(directory.path(), options.clone()).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let key = |number: u32| {
        let scattered = number.wrapping_mul(0x9e37_79b9);
        [&scattered.to_be_bytes()[..], &[scattered as u8; 90], &number.to_be_bytes()].concat()
    };
    for first in (0..40_000).step_by(100) {
        let mut batch = WriteBatch::new();
        for number in first..first + 100 {
            batch.put(&keyspace, &key(number), &number.to_le_bytes());
        }
        database.write(batch, Durability::Buffered).unwrap();
    }
    keyspace.flush().unwrap();
    let read_all = |database: &Database| {
        let keyspace = database.keyspace("k").unwrap();
        let snapshot = database.snapshot();
        for number in (0..40_000).step_by(7) {
            let found = snapshot.get(&keyspace, &key(number)).unwrap();
            assert_eq!(found, Some(number.to_le_bytes().to_vec()));
        }
    };
    read_all(&database);
    drop(keyspace);
    drop(database);
    let database = Database::open(directory.path(), options.clone()).unwrap();
    let opened = database.stats().cache;
    assert!(opened.used_bytes < options.cache_bytes / 2, "{opened:?}");
    read_all(&database);
    let stats = database.stats().cache;
    assert!(stats.index_misses > 100, "{stats:?}");
    assert!(stats.used_bytes <= options.cache_bytes + (64 << 10), "{stats:?}");
}

#[test]
fn a_table_of_tombstones_is_merged_down_unless_that_writes_much() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        Options { background_threads: 0, memtable_bytes: 8 << 20, compression: Compression::None, ..small() };
    let database = Database::open(directory.path(), options).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut load = database.ingest(&keyspace).unwrap();
    (0..8000u32).for_each(|number| load.put(&number.to_be_bytes(), &[7; 100]).unwrap());
    load.finish().unwrap();
    let delete = |numbers: &mut dyn Iterator<Item = u32>| {
        let mut batch = WriteBatch::new();
        numbers.for_each(|number| batch.delete(&keyspace, &number.to_be_bytes()));
        database.write(batch, Durability::Buffered).unwrap();
        keyspace.flush().unwrap();
        let stats = database.stats();
        let read = |direction| {
            let range = database.snapshot().range(&keyspace, Bound::Unbounded, Bound::Unbounded, direction);
            collect(range.unwrap()).len()
        };
        assert_eq!(read(Direction::Forward), read(Direction::Reverse));
        (stats.written.compaction_bytes, stats.keyspaces[0].tables.clone(), read(Direction::Forward))
    };
    let (written, tables, left) = delete(&mut (0..8000).step_by(80));
    assert_eq!(left, 7900);
    assert!(written < 64 << 10, "so few deletions are not worth it: {written} {tables:?}");
    let (written, tables, left) = delete(&mut (0..8000).filter(|number| number % 2 == 1));
    assert!(written > 300 << 10, "{written} {tables:?}");
    assert_eq!((left, database.stats().keyspaces[0].approximate_entries), (3900, 3900));
    let (_, tables, left) = delete(&mut (0..8000));
    assert_eq!((tables.iter().sum::<usize>(), left), (0, 0));
}

#[test]
fn the_policy_that_was_asked_for_decides_what_stays_in_the_cache_and_both_keep_its_budget() {
    for layout in [Layout::Lsm, Layout::BTree] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { compression: Compression::None, cache_bytes: 256 << 10, ..small() };
        let database = Database::open(directory.path(), options.clone()).unwrap();
        let of = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        let keyspace = database.create_keyspace("k", of).unwrap();
        let mut load = database.ingest(&keyspace).unwrap();
        for number in 0..1000u32 {
            load.put(&number.to_be_bytes(), &number.to_le_bytes().repeat(900)).unwrap();
        }
        load.finish().unwrap();
        drop((keyspace, database));
        let hits = |cache_policy: CachePolicy| {
            let database =
                Database::open(directory.path(), Options { cache_policy, ..options.clone() }).unwrap();
            let keyspace = database.keyspace("k").unwrap();
            let mut random = 1u64;
            for _ in 0..20_000u32 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // The smaller, the more often.
                let (left, right) = ((random >> 24) as u32 % 1000, (random >> 44) as u32 % 1000);
                let number = left * right / 1000 * right / 1000;
                let found = database.snapshot().get(&keyspace, &number.to_be_bytes()).unwrap().unwrap();
                assert_eq!(found[..4], number.to_le_bytes());
                let used = database.stats().cache.used_bytes;
                assert!(used <= options.cache_bytes + 16 * 4096, "{cache_policy:?}: {used} bytes");
            }
            database.stats().cache.hits
        };
        let [s3, arc] = [CachePolicy::S3Fifo, CachePolicy::Arc].map(hits);
        assert!(s3 > 5000 && arc > 5000, "what is read most stays: {s3}, {arc} hits");
        assert_ne!(s3, arc, "{layout:?}: the policies choose differently");
    }
}

#[test]
fn ribbon_filters_make_tables_at_the_bottom_smaller_and_spare_as_many_reads() {
    let mut measured = Vec::new();
    for ribbon_filters in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { ribbon_filters, table_bytes: 4 << 20, ..small() };
        let database = Database::open(directory.path(), options).unwrap();
        let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
        for half in 0..2 {
            for first in (half..60_000u32).step_by(2000) {
                let mut batch = WriteBatch::new();
                for number in (first..first + 2000).step_by(2) {
                    batch.put(&keyspace, &number.wrapping_mul(0x9e37_79b9).to_be_bytes(), b"value");
                }
                database.write(batch, Durability::Unlogged).unwrap();
            }
        }
        keyspace.compact().unwrap();
        database.verify(&mut |_| {}).unwrap();
        // With the other setting, too: the tables say what they have.
        drop((keyspace, database));
        let options = Options { ribbon_filters: !ribbon_filters, ..small() };
        let database = Database::open(directory.path(), options).unwrap();
        let keyspace = database.keyspace("k").unwrap();
        let before = database.stats();
        let snapshot = database.snapshot();
        for number in 0..60_000u32 {
            let key = number.wrapping_mul(0x9e37_79b9);
            assert!(number % 10 > 0 || snapshot.get(&keyspace, &key.to_be_bytes()).unwrap().is_some());
            let absent = [&key.to_be_bytes()[..], b"x"].concat();
            assert!(snapshot.get(&keyspace, &absent).unwrap().is_none());
        }
        let cache = database.stats().cache;
        let wrong = cache.filter_false_positives - before.cache.filter_false_positives;
        assert!(cache.filter_negatives > 58_000 && wrong < 1_000, "{cache:?}");
        measured.push(before.keyspaces[0].disk_bytes);
    }
    // 60,000 keys, 2.5 bits less for each.
    assert!(measured[1] + 60_000 / 4 < measured[0], "{measured:?} bytes");
}

#[test]
fn a_walk_over_a_prefix_passes_over_tables_that_have_none_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { background_threads: 0, level0_tables: 100, memtable_bytes: 8 << 20, ..small() };
    let database = Database::open(directory.path(), options).unwrap();
    let of = |prefix| KeyspaceOptions { prefix, ..KeyspaceOptions::default() };
    let plain = database.create_keyspace("plain", of(None)).unwrap();
    let cut = database.create_keyspace("cut", of(Some(Prefix::UpTo(b'/')))).unwrap();
    let key = |user: u32, number: u32| format!("user {user:03}/{number:05}").into_bytes();
    for table in 0..12u32 {
        for keyspace in [&plain, &cut] {
            let mut batch = WriteBatch::new();
            // Each table has keys from the first to the last, of a few users.
            for user in (0..200).filter(|user| user % 12 == table || user % 199 == 0) {
                (0..40).for_each(|number| batch.put(keyspace, &key(user, number * 12 + table), &[7; 30]));
            }
            batch.delete(keyspace, &key(table * 12 + 1, 0));
            database.write(batch, Durability::Buffered).unwrap();
            keyspace.flush().unwrap();
        }
    }
    assert_eq!(cut.stats().tables[0], 12);
    let read = |keyspace, start: &[u8], end: Bound<&[u8]>, direction| {
        let before = database.stats().cache.filter_negatives;
        let range = database.snapshot().range(keyspace, Bound::Included(start), end, direction).unwrap();
        (collect(range), database.stats().cache.filter_negatives - before)
    };
    for user in [0, 1, 5, 77, 198, 199, 300] {
        let (first, next) = (format!("user {user:03}/"), format!("user {user:03}0"));
        let middle = format!("{first}00300");
        for direction in [Direction::Forward, Direction::Reverse] {
            for (start, end) in [
                (first.clone(), Bound::Excluded(next.as_bytes())),
                (format!("{first}00100"), Bound::Included(middle.as_bytes())),
            ] {
                let (expected, none) = read(&plain, start.as_bytes(), end, direction);
                let (found, skipped) = read(&cut, start.as_bytes(), end, direction);
                assert!(found == expected && none == 0, "{user}");
                let skipped_min = if user % 199 == 0 || user > 199 { 0 } else { 9 };
                assert!(skipped >= skipped_min, "{user}: {skipped} of 12 tables were passed over");
            }
        }
        let found = database.snapshot().prefix(&cut, first.as_bytes(), Direction::Forward).unwrap();
        let expected = database.snapshot().prefix(&plain, first.as_bytes(), Direction::Forward).unwrap();
        assert!(collect(found) == collect(expected));
        // Bounds of two users have no prefix in common.
        let (found, skipped) = read(&cut, first.as_bytes(), Bound::Excluded(b"user 301"), Direction::Forward);
        let (expected, _) = read(&plain, first.as_bytes(), Bound::Excluded(b"user 301"), Direction::Forward);
        assert!(found == expected && skipped == 0);
    }
}
