//! Recorded histories of concurrent transactions, checked against what their isolation promises.
//!
//! Every commit has a number. Replaying the committed writes in that order gives the state at each number.
//! What a transaction saw must be the state at its snapshot; for a serializable one that wrote, the state
//! right before its own commit, too, at every key and in every range it read. That is what running them
//! one after the other would have shown. For the others, no key that they wrote may have changed between.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lightning::{
    Database, Direction, Durability, Error, Isolation, Keyspace, KeyspaceOptions, Layout, LockMode, Options,
    Readable, TransactionMode, TransactionOptions,
};

type State = BTreeMap<u8, u64>;

/// Something a transaction saw of others' writes.
#[derive(Debug)]
enum Seen {
    Key(u8, Option<u64>),
    /// The keys from one to another, both in.
    Range(u8, u8, State),
}

#[derive(Debug)]
struct Committed {
    sequence: u64,
    snapshot: u64,
    serializable: bool,
    seen: Vec<Seen>,
    wrote: BTreeMap<u8, Option<u64>>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

const KEYS: u64 = 12;

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().unwrap())
}

/// Reads a range without what the transaction wrote itself, either to its end or for a few entries.
fn read_range(
    transaction: &impl Readable,
    keyspace: &Keyspace,
    wrote: &BTreeMap<u8, Option<u64>>,
    random: &mut Random,
) -> Seen {
    let first = random.below(KEYS) as u8;
    let last = first + random.below(KEYS) as u8;
    let direction = if random.below(2) == 0 { Direction::Forward } else { Direction::Reverse };
    let mut range =
        transaction.range(keyspace, Bound::Included(&[first]), Bound::Included(&[last]), direction).unwrap();
    let (mut found, mut seen_to) = (State::new(), None);
    let wanted = random.below(6) as usize;
    while let Some((key, value)) = range.next().unwrap() {
        found.insert(key[0], number(value));
        if found.len() > wanted {
            seen_to = Some(key[0]);
            break;
        }
    }
    found.retain(|key, _| !wrote.contains_key(key));
    match (seen_to, direction) {
        (None, _) => Seen::Range(first, last, found),
        (Some(to), Direction::Forward) => Seen::Range(first, to, found),
        (Some(to), Direction::Reverse) => Seen::Range(to, last, found),
    }
}

/// One transaction; `None` when it lost a conflict or wrote nothing.
fn transact(
    database: &Database,
    keyspace: &Keyspace,
    mode: TransactionMode,
    unique: &AtomicU64,
    random: &mut Random,
) -> Option<Committed> {
    let serializable = random.below(4) > 0;
    let options = TransactionOptions {
        mode,
        isolation: if serializable { Isolation::Serializable } else { Isolation::Snapshot },
        durability: if random.below(2) == 0 { Durability::Sync } else { Durability::Buffered },
    };
    let mut transaction = database.begin(options);
    let snapshot = transaction.snapshot().sequence();
    let (mut seen, mut wrote) = (Vec::new(), BTreeMap::new());
    for _ in 0..=random.below(5) {
        let key = random.below(KEYS) as u8;
        match random.below(4) {
            0 if !wrote.contains_key(&key) => {
                let found = transaction.get(keyspace, &[key]).unwrap();
                seen.push(Seen::Key(key, found.as_deref().map(number)));
            }
            // A reader may be used elsewhere; what it reads counts as well.
            1 => seen.push(read_range(&transaction.reader(), keyspace, &wrote, random)),
            2 => seen.push(read_range(&transaction, keyspace, &wrote, random)),
            _ => {
                if mode == TransactionMode::Pessimistic {
                    // As SQL does it: the lock, then whether the row is still the one that was seen.
                    transaction.lock_blocking(1, &[key], LockMode::Exclusive, None).ok()?;
                    if transaction.changed_since_snapshot(keyspace, &[key]).unwrap() {
                        return None;
                    }
                }
                if random.below(4) == 0 {
                    transaction.delete(keyspace, &[key]).unwrap();
                    wrote.insert(key, None);
                } else {
                    let value = unique.fetch_add(1, Ordering::Relaxed);
                    transaction.put(keyspace, &[key], &value.to_le_bytes()).unwrap();
                    wrote.insert(key, Some(value));
                }
            }
        }
        if random.below(3) == 0 {
            std::thread::yield_now();
        }
    }
    if random.below(50) == 0 {
        keyspace.flush().unwrap();
    }
    match transaction.commit() {
        Ok(commit) => Some(Committed { sequence: commit.sequence, snapshot, serializable, seen, wrote }),
        Err(Error::Conflict { key, .. }) => {
            assert!(u64::from(key[0]) < KEYS, "the error names no key of the test");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What was seen, as a state would have shown it.
fn agrees(seen: &Seen, state: &State, wrote: &BTreeMap<u8, Option<u64>>) -> bool {
    match seen {
        Seen::Key(key, value) => state.get(key) == value.as_ref(),
        Seen::Range(first, last, found) => {
            // A key that the transaction writes later was not its own yet when the range was read.
            let unwritten = |map: &State| -> State {
                map.iter()
                    .filter(|(key, _)| (*first..=*last).contains(key) && !wrote.contains_key(key))
                    .map(|(key, value)| (*key, *value))
                    .collect()
            };
            unwritten(state) == unwritten(found)
        }
    }
}

fn check(history: &mut [Committed]) {
    history.sort_by_key(|transaction| transaction.sequence);
    let mut states: BTreeMap<u64, State> = BTreeMap::from([(0, State::new())]);
    for transaction in history.iter().filter(|transaction| !transaction.wrote.is_empty()) {
        let mut state = states.last_key_value().unwrap().1.clone();
        for (key, value) in &transaction.wrote {
            match value {
                Some(value) => state.insert(*key, *value),
                None => state.remove(key),
            };
        }
        assert!(states.insert(transaction.sequence, state).is_none(), "two commits have one number");
    }
    let at = |sequence: u64| states.range(..=sequence).next_back().unwrap().1;
    for transaction in history.iter() {
        let Committed { sequence, snapshot, serializable, seen, wrote } = transaction;
        for seen in seen {
            assert!(agrees(seen, at(*snapshot), wrote), "not its snapshot: {seen:?} in {transaction:?}");
            if *serializable && !wrote.is_empty() {
                assert!(agrees(seen, at(sequence - 1), wrote), "not serial: {seen:?} in {transaction:?}");
            }
        }
        for key in wrote.keys() {
            let (before, now) = (at(*snapshot).get(key), at(sequence - 1).get(key));
            assert_eq!(before, now, "an update of key {key} was lost in {transaction:?}");
        }
    }
}

#[test]
fn histories_of_concurrent_transactions_are_what_their_isolation_promises() {
    // Who locks and who does not must not write the same keys, so each mode has a history of its own.
    let modes = [TransactionMode::Optimistic, TransactionMode::Pessimistic];
    for (layout, mode) in
        [Layout::Lsm, Layout::BTree].into_iter().flat_map(|layout| modes.map(|mode| (layout, mode)))
    {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), Options::default()).unwrap();
        let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        let keyspace = database.create_keyspace("k", options).unwrap();
        let (unique, history) = (AtomicU64::new(1), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (database, keyspace, unique, history) = (&database, &keyspace, &unique, &history);
                scope.spawn(move || {
                    let mut random = Random(thread);
                    for _ in 0..700 {
                        let committed = transact(database, keyspace, mode, unique, &mut random);
                        history.lock().unwrap().extend(committed);
                    }
                });
            }
        });
        let mut history = history.into_inner().unwrap();
        let serializable = history.iter().filter(|one| one.serializable && !one.wrote.is_empty()).count();
        assert!(serializable > 100, "only {serializable} serializable transactions committed");
        check(&mut history);
    }
}

#[test]
#[should_panic(expected = "not serial")]
fn the_checker_notices_write_skew() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), Options::default()).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let mut skewed = [(0u8, 1u8), (1, 0)]
        .map(|(read, written)| {
            let mut transaction = database.begin(TransactionOptions::default());
            assert_eq!(transaction.get(&keyspace, &[read]).unwrap(), None);
            transaction.put(&keyspace, &[written], &7u64.to_le_bytes()).unwrap();
            (transaction, read, written)
        })
        .map(|(transaction, read, written)| Committed {
            snapshot: transaction.snapshot().sequence(),
            sequence: transaction.commit().unwrap().sequence,
            serializable: true,
            seen: vec![Seen::Key(read, None)],
            wrote: BTreeMap::from([(written, Some(7))]),
        });
    check(&mut skewed);
}

fn serializable(mode: TransactionMode) -> TransactionOptions {
    TransactionOptions { mode, isolation: Isolation::Serializable, ..TransactionOptions::default() }
}

#[test]
fn write_skew_is_a_conflict_that_names_the_key_in_both_modes() {
    for mode in [TransactionMode::Optimistic, TransactionMode::Pessimistic] {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), Options::default()).unwrap();
        let keyspace = database.create_keyspace("doctors", KeyspaceOptions::default()).unwrap();
        let mut one = database.begin(serializable(mode));
        let mut other = database.begin(serializable(mode));
        assert_eq!(one.get(&keyspace, b"bob").unwrap(), None);
        assert_eq!(other.get(&keyspace, b"ann").unwrap(), None);
        one.put(&keyspace, b"ann", b"off").unwrap();
        other.put(&keyspace, b"bob", b"off").unwrap();
        one.commit().unwrap();
        match other.commit() {
            Err(Error::Conflict { keyspace, key }) => {
                assert_eq!((keyspace.as_str(), key.as_slice()), ("doctors", &b"ann"[..]));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_phantom_in_what_was_walked_over_is_a_conflict_and_one_beyond_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), Options::default()).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let put = |key: u8| {
        let mut transaction = database.begin(TransactionOptions::default());
        transaction.put(&keyspace, &[key], b"").unwrap();
        transaction.commit().unwrap();
    };
    [10, 20, 30].into_iter().for_each(put);
    for (phantom, conflicts) in [(15, true), (25, false)] {
        let mut reading = database.begin(serializable(TransactionMode::Optimistic));
        let mut range =
            reading.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
        range.next().unwrap();
        assert_eq!(range.next().unwrap().unwrap().0[0] / 10, if phantom == 15 { 2 } else { 1 });
        drop(range);
        reading.put(&keyspace, &[99], b"").unwrap();
        put(phantom);
        assert_eq!(reading.commit().is_err(), conflicts, "phantom {phantom}");
    }
    // One that is still open counts altogether.
    let mut reading = database.begin(serializable(TransactionMode::Optimistic));
    let range = reading.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    reading.put(&keyspace, &[98], b"").unwrap();
    put(40);
    assert!(matches!(reading.commit(), Err(Error::Conflict { .. })));
    drop(range);
}

#[test]
fn what_a_serializable_transaction_only_reads_is_never_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path(), Options::default()).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    let reading = database.begin(serializable(TransactionMode::Optimistic));
    assert_eq!(reading.get(&keyspace, b"x").unwrap(), None);
    let mut writing = database.begin(serializable(TransactionMode::Optimistic));
    writing.put(&keyspace, b"x", b"1").unwrap();
    writing.commit().unwrap();
    assert_eq!(reading.get(&keyspace, b"x").unwrap(), None);
    reading.commit().unwrap();
}

#[test]
fn one_whose_history_was_let_go_is_told_and_keys_it_did_not_read_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { history_bytes: 10_000, ..Options::default() };
    let database = Database::open(directory.path(), options).unwrap();
    let keyspace = database.create_keyspace("k", KeyspaceOptions::default()).unwrap();
    for (commits, too_old) in [(5, false), (20, true)] {
        let mut old = database.begin(serializable(TransactionMode::Pessimistic));
        old.get(&keyspace, b"read").unwrap();
        old.put(&keyspace, b"written", b"").unwrap();
        for number in 0..commits {
            let mut transaction = database.begin(TransactionOptions::default());
            transaction.put(&keyspace, &[number], &[0; 1000]).unwrap();
            transaction.commit().unwrap();
        }
        let result = old.commit();
        assert_eq!(matches!(&result, Err(Error::TransactionTooOld)), too_old, "{result:?}");
        assert_eq!(result.is_ok(), !too_old);
    }
}
