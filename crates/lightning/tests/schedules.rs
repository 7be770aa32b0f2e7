//! The engine under a model checker: thousands of schedules of its threads, each decided by a seed.
//!
//! Built only with `RUSTFLAGS="--cfg shuttle"` (see `luma-sync`), on a simulated disk. A schedule in which
//! somebody waits for ever is found as a deadlock. `LIGHTNING_SCHEDULES` is the number of schedules of each test.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::ops::Bound;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Error, Keyspace, KeyspaceOptions, Layout, LockMode, Options, Readable,
    Snapshot, Transaction, TransactionMode, TransactionOptions,
};
use luma_sync::atomic::{AtomicU64, Ordering};
use luma_sync::thread;
use luma_vfs::{FaultPlan, SimDisk};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

const LAYOUTS: [Layout; 2] = [Layout::Lsm, Layout::BTree];

/// Half of the schedules are uniformly random, half change the thread at a few chosen places only, which
/// finds rarer orders (Burckhardt and others, "A Randomized Scheduler with Probabilistic Guarantees", 2010).
fn check(test: impl Fn(Layout) + Send + Sync + 'static) {
    let schedules = std::env::var("LIGHTNING_SCHEDULES").map_or(60, |count| count.parse().unwrap());
    let test = Arc::new(test);
    let config = || {
        let mut config = Config::new();
        config.stack_size = 4 << 20;
        config
    };
    for layout in LAYOUTS {
        let here = Arc::clone(&test);
        Runner::new(RandomScheduler::new(schedules / 2), config()).run(move || here(layout));
        let here = Arc::clone(&test);
        Runner::new(PctScheduler::new(3, schedules / 2), config()).run(move || here(layout));
    }
}

fn options() -> Options {
    Options {
        memtable_bytes: 512,
        write_buffer_bytes: 2 << 10,
        wal_segment_bytes: 4096,
        max_wal_bytes: 16 << 10,
        cache_bytes: 4 << 10,
        background_threads: 2,
        block_bytes: 256,
        table_bytes: 1 << 10,
        level_bytes: 1 << 10,
        level0_tables: 2,
        ..Options::default()
    }
}

fn open(disk: &SimDisk) -> Result<Database, Error> {
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options())
}

fn create(database: &Database, name: &str, layout: Layout) -> Keyspace {
    database.create_keyspace(name, KeyspaceOptions { layout, ..KeyspaceOptions::default() }).unwrap()
}

fn begin(database: &Database, durability: Durability, mode: TransactionMode) -> Transaction {
    database.begin(TransactionOptions { durability, mode, ..TransactionOptions::default() })
}

fn number(database: &impl Readable, keyspace: &Keyspace, key: &[u8]) -> u64 {
    let value = database.get(keyspace, key).unwrap();
    value.map_or(0, |value| u64::from_le_bytes(value[..8].try_into().unwrap()))
}

#[test]
fn what_was_acknowledged_is_visible_whole_in_order_and_survives_a_power_loss() {
    check(|layout| {
        let disk = SimDisk::new();
        let database = Arc::new(open(&disk).unwrap());
        let (left, right) = (create(&database, "left", layout), create(&database, "right", layout));
        let writers: Vec<_> = (0..2u8)
            .map(|writer| {
                let (database, left, right) = (Arc::clone(&database), left.clone(), right.clone());
                thread::spawn(move || {
                    for round in 1..=3u64 {
                        let durability = if round == 2 { Durability::Buffered } else { Durability::Sync };
                        let mut transaction = begin(&database, durability, TransactionMode::Optimistic);
                        transaction.put(&left, &[writer], &round.to_le_bytes()).unwrap();
                        transaction.put(&right, &[writer], &round.to_le_bytes()).unwrap();
                        transaction.commit().unwrap();
                        assert_eq!(number(&database.snapshot(), &left, &[writer]), round);
                    }
                })
            })
            .collect();
        let reader = {
            let (database, left, right) = (Arc::clone(&database), left.clone(), right.clone());
            thread::spawn(move || {
                let mut last = [0; 2];
                for _ in 0..4 {
                    let snapshot = database.snapshot();
                    for writer in 0..2u8 {
                        let seen = number(&snapshot, &left, &[writer]);
                        assert_eq!(seen, number(&snapshot, &right, &[writer]), "half of a commit");
                        assert!(seen >= last[usize::from(writer)], "time went back");
                        last[usize::from(writer)] = seen;
                    }
                }
            })
        };
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        reader.join().unwrap();
        let after_power_loss = disk.crash_image(7);
        drop((left, right, database));
        let database = open(&after_power_loss).unwrap();
        for name in ["left", "right"] {
            let keyspace = database.keyspace(name).unwrap();
            assert!((0..2).all(|writer| number(&database.snapshot(), &keyspace, &[writer]) == 3));
        }
    });
}

#[test]
fn a_snapshot_shows_one_moment_while_memtables_are_replaced() {
    check(|layout| {
        let disk = SimDisk::new();
        // Without threads of its own: fewer schedules, of which more matter.
        let options = Options { background_threads: 0, memtable_bytes: 256, ..options() };
        let database = Arc::new(Database::open_with_vfs(Arc::new(disk), "/db", options).unwrap());
        let (left, right) = (create(&database, "left", layout), create(&database, "right", layout));
        let writer = {
            let (database, left, right) = (Arc::clone(&database), left.clone(), right.clone());
            thread::spawn(move || {
                for round in 1..=6u64 {
                    let mut transaction = begin(&database, Durability::Unlogged, TransactionMode::Optimistic);
                    // Long, so that one keyspace changes its memtable while the other stays.
                    let long = [round.to_le_bytes().as_slice(), &[1; 200]].concat();
                    transaction.put(&left, b"k", &long).unwrap();
                    transaction.put(&right, b"k", &round.to_le_bytes()).unwrap();
                    transaction.commit().unwrap();
                }
            })
        };
        for _ in 0..6 {
            let snapshot = database.snapshot();
            assert_eq!(number(&snapshot, &left, b"k"), number(&snapshot, &right, b"k"), "half of a commit");
        }
        writer.join().unwrap();
    });
}

#[test]
fn flushes_and_merges_hide_nothing_from_readers() {
    check(|layout| {
        let disk = SimDisk::new();
        let database = Arc::new(open(&disk).unwrap());
        let keyspace = create(&database, "k", layout);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writer = {
            let (database, keyspace, acknowledged) =
                (Arc::clone(&database), keyspace.clone(), Arc::clone(&acknowledged));
            thread::spawn(move || {
                for round in 1..=10u64 {
                    let mut transaction = begin(&database, Durability::Unlogged, TransactionMode::Optimistic);
                    for key in 0..3u8 {
                        let value = [round.to_le_bytes().as_slice(), &[key; 60]].concat();
                        transaction.put(&keyspace, &[key], &value).unwrap();
                    }
                    transaction.commit().unwrap();
                    acknowledged.store(round, Ordering::SeqCst);
                    if round % 4 == 0 {
                        keyspace.flush().unwrap();
                    }
                }
            })
        };
        let reader = {
            let (database, keyspace) = (Arc::clone(&database), keyspace.clone());
            thread::spawn(move || {
                for _ in 0..6 {
                    let at_least = acknowledged.load(Ordering::SeqCst);
                    let snapshot = database.snapshot();
                    let round = |value: &[u8]| u64::from_le_bytes(value[..8].try_into().unwrap());
                    let first = snapshot.get(&keyspace, &[0]).unwrap().map_or(0, |value| round(&value));
                    assert!(first >= at_least, "{at_least} was acknowledged, {first} is seen");
                    let mut range = snapshot
                        .range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
                        .unwrap();
                    let mut found = 0;
                    while let Some((_, value)) = range.next().unwrap() {
                        assert_eq!(round(value), first, "a range mixes two moments");
                        found += 1;
                    }
                    assert_eq!(found, if first == 0 { 0 } else { 3 });
                }
            })
        };
        writer.join().unwrap();
        reader.join().unwrap();
        drop(database);
    });
}

#[test]
fn old_snapshots_read_the_same_while_what_they_hold_goes_to_files() {
    let spilled = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let of_all = Arc::clone(&spilled);
    check(move |layout| {
        let options = Options { history_bytes: 512, background_threads: 1, ..options() };
        let disk = SimDisk::new();
        let database = Arc::new(Database::open_with_vfs(Arc::new(disk), "/db", options).unwrap());
        let keyspace = create(&database, "k", layout);
        let writer = {
            let (database, keyspace) = (Arc::clone(&database), keyspace.clone());
            thread::spawn(move || {
                for round in 1..=12u64 {
                    let mut transaction = begin(&database, Durability::Unlogged, TransactionMode::Optimistic);
                    for key in 0..3u8 {
                        let value = [round.to_le_bytes().as_slice(), &[key; 90]].concat();
                        transaction.put(&keyspace, &[key], &value).unwrap();
                    }
                    transaction.commit().unwrap();
                }
                keyspace.flush().unwrap();
            })
        };
        let look = |snapshot: &Snapshot| {
            let mut found = vec![number(snapshot, &keyspace, &[1])];
            let mut range =
                snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Reverse).unwrap();
            while let Some((_, value)) = range.next().unwrap() {
                found.push(u64::from_le_bytes(value[..8].try_into().unwrap()));
            }
            found
        };
        let mut kept: Vec<(Snapshot, Vec<u64>)> = Vec::new();
        for _ in 0..4 {
            let snapshot = database.snapshot();
            let found = look(&snapshot);
            assert!(found.iter().all(|round| *round == found[0]), "two moments in one snapshot: {found:?}");
            kept.push((snapshot, found));
            for (snapshot, found) in &kept {
                assert_eq!(look(snapshot), *found, "a snapshot changed");
            }
        }
        writer.join().unwrap();
        for (snapshot, found) in &kept {
            assert_eq!(look(snapshot), *found, "a snapshot changed");
        }
        let bytes = database.stats().written.spilled_bytes;
        of_all.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(spilled.load(std::sync::atomic::Ordering::Relaxed) > 0, "nothing ever went to files");
}

#[test]
fn row_locks_keep_every_transfer_whole_and_nobody_waits_for_ever() {
    check(|layout| {
        let disk = SimDisk::new();
        let database = Arc::new(open(&disk).unwrap());
        let accounts = create(&database, "accounts", layout);
        let mut start = begin(&database, Durability::Buffered, TransactionMode::Optimistic);
        (0..3u8).for_each(|account| {
            start.put(&accounts, &[account], &100u64.to_le_bytes()).unwrap();
        });
        start.commit().unwrap();
        let clerks: Vec<_> = (0..3u8)
            .map(|clerk| {
                let (database, accounts) = (Arc::clone(&database), accounts.clone());
                thread::spawn(move || {
                    let (from, to) = (clerk, (clerk + 1) % 3);
                    loop {
                        let mut transaction =
                            begin(&database, Durability::Buffered, TransactionMode::Pessimistic);
                        let locked = transaction
                            .lock_blocking(accounts.id(), &[from], LockMode::Exclusive, None)
                            .and_then(|()| {
                                transaction.lock_blocking(accounts.id(), &[to], LockMode::Exclusive, None)
                            });
                        match locked {
                            Ok(()) => {
                                let now = transaction.latest_reader();
                                let give = number(&now, &accounts, &[from]) - 10;
                                let take = number(&now, &accounts, &[to]) + 10;
                                transaction.put(&accounts, &[from], &give.to_le_bytes()).unwrap();
                                transaction.put(&accounts, &[to], &take.to_le_bytes()).unwrap();
                                transaction.commit().unwrap();
                                return;
                            }
                            Err(Error::Deadlock) => drop(transaction),
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        clerks.into_iter().for_each(|clerk| clerk.join().unwrap());
        let now = database.snapshot();
        assert!((0..3u8).all(|account| number(&now, &accounts, &[account]) == 100));
    });
}

#[test]
fn optimistic_increments_are_never_lost() {
    check(|layout| {
        let disk = SimDisk::new();
        let database = Arc::new(open(&disk).unwrap());
        let keyspace = create(&database, "k", layout);
        let counters: Vec<_> = (0..3)
            .map(|_| {
                let (database, keyspace) = (Arc::clone(&database), keyspace.clone());
                thread::spawn(move || {
                    let mut done = 0;
                    while done < 2 {
                        let mut transaction =
                            begin(&database, Durability::Buffered, TransactionMode::Optimistic);
                        let next = number(&transaction, &keyspace, b"n") + 1;
                        transaction.put(&keyspace, b"n", &next.to_le_bytes()).unwrap();
                        match transaction.commit() {
                            Ok(_) => done += 1,
                            Err(Error::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        counters.into_iter().for_each(|counter| counter.join().unwrap());
        assert_eq!(number(&database.snapshot(), &keyspace, b"n"), 6);
    });
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_and_takes_nothing_that_was_acknowledged() {
    check(|layout| {
        let disk = SimDisk::new();
        let database = Arc::new(open(&disk).unwrap());
        let keyspace = create(&database, "k", layout);
        disk.set_faults(FaultPlan { sync_error_at: Some(disk.operations() + 4), ..FaultPlan::default() });
        let writers: Vec<_> = (0..3u8)
            .map(|writer| {
                let (database, keyspace) = (Arc::clone(&database), keyspace.clone());
                thread::spawn(move || {
                    let mut acknowledged = 0u64;
                    for round in 1..=3u64 {
                        let mut transaction = begin(&database, Durability::Sync, TransactionMode::Optimistic);
                        transaction.put(&keyspace, &[writer], &round.to_le_bytes()).unwrap();
                        match transaction.commit() {
                            Ok(_) => acknowledged = round,
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let acknowledged: Vec<u64> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        assert!(
            database.begin(TransactionOptions::default()).commit().is_ok(),
            "an empty commit needs no disk"
        );
        let after_power_loss = disk.crash_image(3);
        drop((keyspace, database));
        let database = open(&after_power_loss).unwrap();
        let keyspace = database.keyspace("k").unwrap();
        for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
            assert!(number(&database.snapshot(), &keyspace, &[writer as u8]) >= acknowledged);
        }
    });
}
