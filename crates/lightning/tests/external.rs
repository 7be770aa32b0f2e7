//! A database without a log of its own: the program has one, and writes its entries again after a crash.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Error, Keyspace, KeyspaceOptions, Layout, Options, Readable, Result,
    TransactionOptions, WriteBatch,
};
use luma_vfs::{FaultPlan, SimDisk, Vfs};

const SPACES: [(&str, Layout); 4] =
    [("a", Layout::Lsm), ("b", Layout::BTree), ("c", Layout::Lsm), ("d", Layout::BTree)];

type State = BTreeMap<(usize, Vec<u8>), Vec<u8>>;
/// Keyspace, key, and value or deletion.
type Change = (usize, Vec<u8>, Option<Vec<u8>>);

fn options(background_threads: usize) -> Options {
    Options {
        external_log: true,
        cache_bytes: 32 << 10,
        memtable_bytes: 1 << 10,
        write_buffer_bytes: 8 << 10,
        wal_segment_bytes: 4096,
        background_threads,
        block_bytes: 256,
        table_bytes: 1 << 10,
        level_bytes: 1 << 10,
        level0_tables: 2,
        ..Options::default()
    }
}

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The entry of the external log at an index: the same each time. Some have no changes.
fn entry(seed: u64, index: u64) -> Vec<Change> {
    let random = |at: u64| mixed(seed.wrapping_mul(1_000_003) + index * 64 + at);
    (0..random(0) % 5)
        .map(|at| {
            let pick = random(at * 4 + 1);
            // The first keyspaces change often, the last rarely: they would be flushed at other times.
            let space = [0, 0, 0, 1, 1, 2, 3, 0][pick as usize % 8];
            let key = format!("key{:03}", random(at * 4 + 2) % 60).into_bytes();
            let value = (random(at * 4 + 3) % 4 > 0).then(|| vec![index as u8; (pick % 90) as usize]);
            (space, key, value)
        })
        .collect()
}

fn states(seed: u64, entries: u64) -> Vec<State> {
    let mut states = vec![State::new()];
    for index in 1..=entries {
        let mut state = states.last().unwrap().clone();
        for (space, key, value) in entry(seed, index) {
            match value {
                Some(value) => state.insert((space, key), value),
                None => state.remove(&(space, key)),
            };
        }
        states.push(state);
    }
    states
}

fn open(disk: &SimDisk) -> Result<Database> {
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options(0))
}

fn keyspaces(database: &Database) -> Result<Vec<Keyspace>> {
    let made = |(name, layout)| {
        let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        database.keyspace(name).map_or_else(|| database.create_keyspace(name, options), Ok)
    };
    SPACES.into_iter().map(made).collect()
}

fn content(database: &Database) -> State {
    let snapshot = database.snapshot();
    let mut state = State::new();
    for (number, (name, _)) in SPACES.iter().enumerate() {
        let Some(keyspace) = database.keyspace(name) else { continue };
        let mut range =
            snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
        while let Some((key, value)) = range.next().unwrap() {
            state.insert((number, key.to_vec()), value.to_vec());
        }
    }
    state
}

/// Writes entries from one index to another, in batches and transactions.
fn apply(database: &Database, spaces: &[Keyspace], seed: u64, from: u64, to: u64) -> Result<()> {
    for index in from..=to {
        if index % 3 == 0 {
            let mut transaction = database.begin(TransactionOptions::default());
            for (space, key, value) in entry(seed, index) {
                match value {
                    Some(value) => transaction.put(&spaces[space], &key, &value)?,
                    None => transaction.delete(&spaces[space], &key)?,
                }
            }
            transaction.commit_at(index)?;
        } else {
            let mut batch = WriteBatch::new();
            for (space, key, value) in entry(seed, index) {
                match value {
                    Some(value) => batch.put(&spaces[space], &key, &value),
                    None => batch.delete(&spaces[space], &key),
                }
            }
            database.write_at(batch, index)?;
        }
        match mixed(seed * 7 + index) % 50 {
            0 => database.flush()?,
            1 => spaces[1].flush()?,
            2 => spaces[0].compact()?,
            3 => spaces[2].convert(SPACES[index as usize % 2].1, &mut |_| {})?,
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn after_any_power_loss_the_state_is_exactly_that_of_the_reported_index_in_all_keyspaces() {
    const ENTRIES: u64 = 150;
    let (mut points, mut between) = (0, 0);
    for seed in 0..8 {
        let states = states(seed, ENTRIES);
        let disk = SimDisk::new();
        disk.record();
        // After how many changes of the disk which index was durable.
        let mut durable = vec![(0, 0)];
        {
            let database = open(&disk).unwrap();
            let spaces = keyspaces(&database).unwrap();
            for first in (1..=ENTRIES).step_by(5) {
                apply(&database, &spaces, seed, first, first + 4).unwrap();
                durable.push((disk.recorded(), database.applied_index()));
            }
            assert!(content(&database) == states[ENTRIES as usize]);
            drop(spaces);
            database.close().unwrap();
        }
        durable.push((disk.recorded(), ENTRIES));
        let shadow = SimDisk::new();
        for (number, op) in disk.take_record().iter().enumerate() {
            shadow.apply(op).unwrap();
            let after = shadow.crash_image(seed * 1_000_003 + number as u64);
            let what = || format!("seed {seed}, change {number} ({op:?})");
            let database = open(&after).unwrap_or_else(|error| panic!("{}: {error}", what()));
            let index = database.applied_index();
            let known = durable.iter().rev().find(|(at, _)| *at <= number + 1).unwrap().1;
            assert!((known..=ENTRIES).contains(&index), "{}: {index} after {known}", what());
            assert!(content(&database) == states[index as usize], "{}: not as after {index}", what());
            points += 1;
            between += u64::from(index > 0 && index < ENTRIES);
            if number % 10 == 0 {
                // The program writes what comes after, and nothing twice.
                let spaces = keyspaces(&database).unwrap();
                apply(&database, &spaces, seed, index + 1, ENTRIES).unwrap();
                assert!(content(&database) == states[ENTRIES as usize], "{}", what());
                database.flush().unwrap();
                assert_eq!(database.applied_index(), ENTRIES);
                database.verify(&mut |_| {}).unwrap();
            }
        }
    }
    assert!(points > 3000 && between > points / 2, "{points} crash points, {between} of them between");
}

#[test]
fn a_failing_operation_leaves_the_state_of_the_reported_index() {
    const ENTRIES: u64 = 60;
    let states = states(1, ENTRIES);
    let run = |disk: &SimDisk| -> Result<()> {
        let database = open(disk)?;
        let spaces = keyspaces(&database)?;
        apply(&database, &spaces, 1, database.applied_index() + 1, ENTRIES)?;
        drop(spaces);
        database.close()
    };
    let whole = SimDisk::new();
    run(&whole).unwrap();
    for at in 0..whole.operations() {
        for plan in [
            FaultPlan { error_at: Some(at), ..FaultPlan::default() },
            FaultPlan { sync_error_at: Some(at), ..FaultPlan::default() },
        ] {
            let disk = SimDisk::new();
            disk.set_faults(plan);
            // Not every failure stops it: a file that can't be removed is left for the next start.
            let _ = run(&disk);
            disk.set_faults(FaultPlan::default());
            disk.kill(());
            let after = disk.crash_image(at);
            let database = open(&after).unwrap_or_else(|error| panic!("operation {at}: {error}"));
            assert!(content(&database) == states[database.applied_index() as usize], "operation {at}");
            drop(database);
            run(&after).unwrap();
        }
    }
}

#[test]
fn an_index_counts_once_and_ascends_and_commits_without_one_are_refused() {
    let disk = SimDisk::new();
    let database = open(&disk).unwrap();
    let spaces = keyspaces(&database).unwrap();
    let batch = |value: u8| {
        let mut batch = WriteBatch::new();
        batch.put(&spaces[0], b"k", &[value]);
        batch
    };
    database.write_at(batch(1), 10).unwrap();
    assert_eq!(database.applied_index(), 0, "nothing is durable yet");
    for index in [0, 9, 10] {
        let refused = database.write_at(batch(2), index);
        assert!(matches!(refused, Err(Error::OutOfTurn { applied: 10, .. })), "{refused:?}");
    }
    for refused in [
        database.write(batch(2), Durability::Sync),
        database.write_behind(batch(2)),
        database.ingest(&spaces[0]).and_then(|mut load| load.put(b"z", b"1").and_then(|()| load.finish())),
    ] {
        assert!(matches!(refused, Err(Error::ExternalLog(_))), "{refused:?}");
    }
    let mut transaction = database.begin(TransactionOptions::default());
    transaction.put(&spaces[1], b"k", b"t").unwrap();
    transaction.commit_at(11).unwrap();
    // Entries without changes count, too, whether or not there is something to flush.
    database.begin(TransactionOptions::default()).commit_at(12).unwrap();
    database.flush().unwrap();
    assert_eq!(database.applied_index(), 12);
    database.write_at(WriteBatch::new(), 20).unwrap();
    database.flush().unwrap();
    assert_eq!(database.snapshot().get(&spaces[0], b"k").unwrap().unwrap(), [1]);
    drop(spaces);
    database.close().unwrap();
    let again = open(&disk).unwrap();
    assert_eq!(again.applied_index(), 20);
    let logging = SimDisk::new();
    let options = Options { external_log: false, ..options(0) };
    let logging = Database::open_with_vfs(Arc::new(logging) as Arc<dyn Vfs>, "/db", options).unwrap();
    assert!(matches!(logging.write_at(WriteBatch::new(), 1), Err(Error::ExternalLog(_))));
}

#[test]
fn with_threads_memory_stays_bounded_and_a_killed_process_goes_on_from_the_reported_index() {
    const ENTRIES: u64 = 20_000;
    let states = states(3, ENTRIES);
    let directory = tempfile::tempdir().unwrap();
    let killed = directory.path().join("killed");
    {
        let database = Database::open(directory.path().join("db"), options(2)).unwrap();
        let spaces = keyspaces(&database).unwrap();
        for first in (1..=ENTRIES).step_by(100) {
            apply(&database, &spaces, 3, first, first + 99).unwrap();
            assert!(database.stats().memtable_bytes < 64 << 10, "{:?}", database.stats());
        }
        assert!(database.applied_index() > ENTRIES / 2, "{}", database.applied_index());
        assert!(database.stats().wal_bytes < 8 << 10, "nothing is logged");
        assert!(content(&database) == states[ENTRIES as usize]);
        // What a kill leaves: the files of this moment, once no flush is under way.
        database.flush().unwrap();
        std::process::Command::new("cp")
            .arg("-r")
            .arg(directory.path().join("db"))
            .arg(&killed)
            .status()
            .unwrap();
    }
    let database = Database::open(&killed, options(2)).unwrap();
    assert!(content(&database) == states[database.applied_index() as usize]);
}
