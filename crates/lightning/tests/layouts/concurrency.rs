//! What transactions that run at the same time do to each other, and what they share.

use std::future::Future;
use std::ops::Bound;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use lightning::{
    Database, Direction, Durability, Error, Isolation, Keyspace, KeyspaceOptions, Layout, LockAttempt,
    LockMode, Options, Readable, TransactionMode, TransactionOptions, WriteBatch,
};
use luma_vfs::{FileLock, LockError, RealDisk, Vfs, VfsFile};

/// This file is a module per layout.
fn layout() -> Layout {
    if module_path!().ends_with("::btree") { Layout::BTree } else { Layout::Lsm }
}

fn keyspace_options() -> KeyspaceOptions {
    KeyspaceOptions { layout: layout(), ..KeyspaceOptions::default() }
}

fn small() -> Options {
    Options {
        memtable_bytes: 32 << 10,
        write_buffer_bytes: 128 << 10,
        wal_segment_bytes: 64 << 10,
        max_wal_bytes: 256 << 10,
        table_bytes: 32 << 10,
        level_bytes: 64 << 10,
        cache_bytes: 256 << 10,
        ..Options::default()
    }
}

fn optimistic() -> TransactionOptions {
    TransactionOptions::default()
}

fn pessimistic() -> TransactionOptions {
    TransactionOptions { mode: TransactionMode::Pessimistic, ..TransactionOptions::default() }
}

fn database(directory: &Path, options: Options) -> (Database, Keyspace) {
    let database = Database::open(directory, options).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    (database, keyspace)
}

fn put(database: &Database, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put(keyspace, key, value);
    database.write(batch, Durability::Buffered).unwrap();
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

#[test]
fn of_two_that_write_one_key_the_first_committer_wins_and_the_error_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    for flushed in [false, true] {
        put(&database, &keyspace, b"x", b"0");
        let mut first = database.begin(optimistic());
        let mut second = database.begin(optimistic());
        first.put(&keyspace, b"x", b"1").unwrap();
        second.put(&keyspace, b"x", b"2").unwrap();
        first.commit().unwrap();
        if flushed {
            // The first's version is in a table now, where it has no number.
            keyspace.flush().unwrap();
        }
        match second.commit() {
            Err(Error::Conflict { keyspace, key }) => {
                assert_eq!((keyspace.as_str(), key.as_slice()), ("k", &b"x"[..]));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(database.snapshot().get(&keyspace, b"x").unwrap().unwrap(), b"1");
    }
}

#[test]
fn a_transaction_older_than_a_flush_commits_when_nothing_it_wrote_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    put(&database, &keyspace, b"x", b"0");
    let mut old = database.begin(optimistic());
    old.put(&keyspace, b"x", b"1").unwrap();
    put(&database, &keyspace, b"y", b"0");
    keyspace.flush().unwrap();
    old.commit().unwrap();
}

#[test]
fn a_key_that_was_changed_and_changed_back_is_a_conflict_after_flushes_and_merges_too() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    put(&database, &keyspace, b"x", b"0");
    for flushed in [false, true] {
        let mut old = database.begin(optimistic());
        let mut untouched = database.begin(optimistic());
        assert_eq!(old.get(&keyspace, b"x").unwrap().unwrap(), b"0");
        for value in [b"1", b"0"] {
            put(&database, &keyspace, b"x", value);
            if flushed {
                keyspace.flush().unwrap();
                keyspace.compact().unwrap();
            }
        }
        assert!(old.changed_since_snapshot(&keyspace, b"x").unwrap());
        assert!(!old.changed_since_snapshot(&keyspace, b"y").unwrap());
        old.put(&keyspace, b"x", b"2").unwrap();
        assert!(matches!(old.commit(), Err(Error::Conflict { .. })), "flushed: {flushed}");
        untouched.put(&keyspace, b"y", b"0").unwrap();
        untouched.commit().unwrap();
    }
    // Nobody is left who could ask; only background work may still look at an old view.
    assert!((0..100).any(|_| {
        put(&database, &keyspace, b"x", b"3");
        keyspace.flush().unwrap();
        database.stats().history_bytes == 0
    }));
}

#[test]
fn a_bulk_loaded_key_conflicts_and_its_neighbours_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    let mut clash = database.begin(optimistic());
    let mut neighbour = database.begin(optimistic());
    let mut load = database.ingest(&keyspace).unwrap();
    load.put(b"b", b"loaded").unwrap();
    load.put(b"d", b"loaded").unwrap();
    load.finish().unwrap();
    assert!(clash.changed_since_snapshot(&keyspace, b"b").unwrap());
    assert!(!clash.changed_since_snapshot(&keyspace, b"c").unwrap());
    clash.put(&keyspace, b"b", b"mine").unwrap();
    assert!(matches!(clash.commit(), Err(Error::Conflict { .. })));
    neighbour.put(&keyspace, b"c", b"mine").unwrap();
    neighbour.commit().unwrap();
}

#[test]
fn past_the_history_budget_old_transactions_are_told_so_and_readers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { history_bytes: 100 << 10, ..small() };
    let (database, keyspace) = database(directory.path(), options);
    put(&database, &keyspace, b"x", b"0");
    let mut old = database.begin(optimistic());
    for round in 0..40u32 {
        let mut batch = WriteBatch::new();
        for number in 0..100u32 {
            batch.put(&keyspace, &(round * 100 + number).to_be_bytes(), &[7; 100]);
        }
        database.write(batch, Durability::Buffered).unwrap();
        keyspace.flush().unwrap();
        // One more than the budget holds may be in the hands of background work.
        assert!(database.stats().history_bytes <= 130 << 10);
    }
    assert!(database.stats().history_bytes > 50 << 10);
    // The newest changes are remembered, and that something was changed before.
    assert!(old.changed_since_snapshot(&keyspace, &3999u32.to_be_bytes()).unwrap());
    assert_eq!(old.get(&keyspace, &0u32.to_be_bytes()).unwrap(), None);
    assert_eq!(old.get(&keyspace, b"x").unwrap().unwrap(), b"0");
    old.put(&keyspace, b"x", b"1").unwrap();
    assert!(matches!(old.commit(), Err(Error::TransactionTooOld)));
    let mut again = database.begin(optimistic());
    again.put(&keyspace, b"x", b"1").unwrap();
    again.commit().unwrap();
}

#[test]
fn write_skew_is_allowed_under_snapshot_isolation() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    let mut first = database.begin(optimistic());
    let mut second = database.begin(optimistic());
    assert_eq!(first.get(&keyspace, b"y").unwrap(), None);
    assert_eq!(second.get(&keyspace, b"x").unwrap(), None);
    first.put(&keyspace, b"x", b"1").unwrap();
    second.put(&keyspace, b"y", b"1").unwrap();
    first.commit().unwrap();
    second.commit().unwrap();
}

#[test]
fn a_snapshot_does_not_move_until_it_is_refreshed_and_own_writes_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    let mut reader = database.begin(pessimistic());
    put(&database, &keyspace, b"x", b"1");
    keyspace.flush().unwrap();
    put(&database, &keyspace, b"x", b"2");
    assert_eq!(reader.get(&keyspace, b"x").unwrap(), None);
    assert!(reader.changed_since_snapshot(&keyspace, b"x").unwrap());
    assert_eq!(reader.get_latest(&keyspace, b"x").unwrap().unwrap(), b"2");
    reader.put(&keyspace, b"x", b"own").unwrap();
    assert_eq!(reader.get(&keyspace, b"x").unwrap().unwrap(), b"own");
    assert_eq!(reader.get_latest(&keyspace, b"x").unwrap().unwrap(), b"own");
    reader.refresh();
    assert!(!reader.changed_since_snapshot(&keyspace, b"x").unwrap());
    assert_eq!(reader.snapshot().get(&keyspace, b"x").unwrap().unwrap(), b"2");
    reader.commit().unwrap();
    assert_eq!(database.snapshot().get(&keyspace, b"x").unwrap().unwrap(), b"own");
}

#[test]
fn counters_incremented_optimistically_by_many_threads_lose_no_update() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    let conflicts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (database, keyspace, conflicts) = (&database, &keyspace, &conflicts);
            scope.spawn(move || {
                let mut done = 0;
                while done < 250 {
                    let options = TransactionOptions { durability: Durability::Buffered, ..optimistic() };
                    let mut transaction = database.begin(options);
                    let key = [((done + thread) % 3) as u8];
                    let value = transaction.get(keyspace, &key).unwrap();
                    let value = value.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
                    transaction.put(keyspace, &key, &(value + 1).to_le_bytes()).unwrap();
                    // Fills memtables, so that flushes come between.
                    transaction
                        .put(
                            keyspace,
                            &[b"fill", &thread.to_be_bytes()[..], &[done as u8]].concat(),
                            &[0; 300],
                        )
                        .unwrap();
                    match transaction.commit() {
                        Ok(_) => done += 1,
                        Err(Error::Conflict { .. }) => {
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let snapshot = database.snapshot();
    let total: u64 = (0..3u8)
        .map(|key| u64::from_le_bytes(snapshot.get(&keyspace, &[key]).unwrap().unwrap().try_into().unwrap()))
        .sum();
    assert_eq!(total, 1000);
    assert!(database.stats().flushes > 0);
}

#[test]
fn money_moves_between_accounts_under_locks_and_every_snapshot_has_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    const ACCOUNTS: u64 = 12;
    let mut batch = WriteBatch::new();
    for account in 0..ACCOUNTS {
        batch.put(&keyspace, &account.to_be_bytes(), &100u64.to_le_bytes());
    }
    database.write(batch, Durability::Sync).unwrap();
    let stop = AtomicBool::new(false);
    let total = |reader: &lightning::Snapshot| {
        let mut range =
            reader.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
        let mut total = 0;
        while let Some((_, value)) = range.next().unwrap() {
            total += u64::from_le_bytes(value.try_into().unwrap());
        }
        total
    };
    std::thread::scope(|scope| {
        let auditor = scope.spawn(|| {
            let mut audits = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(total(&database.snapshot()), ACCOUNTS * 100);
                audits += 1;
            }
            audits
        });
        let movers: Vec<_> = (0..4u64)
            .map(|thread| {
                let (database, keyspace) = (&database, &keyspace);
                scope.spawn(move || {
                    let mut seed = thread + 1;
                    let mut moved = 0;
                    while moved < 300 {
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let (from, to) = ((seed >> 33) % ACCOUNTS, (seed >> 45) % ACCOUNTS);
                        if from == to {
                            continue;
                        }
                        let durability = if moved % 8 == 0 { Durability::Sync } else { Durability::Buffered };
                        let mut transaction =
                            database.begin(TransactionOptions { durability, ..pessimistic() });
                        let locked = [from, to].iter().try_for_each(|account| {
                            transaction.lock_blocking(7, &account.to_be_bytes(), LockMode::Exclusive, None)
                        });
                        if locked.is_err() {
                            assert!(matches!(locked, Err(Error::Deadlock)));
                            continue;
                        }
                        let read = |account: u64| {
                            let bytes =
                                transaction.get_latest(keyspace, &account.to_be_bytes()).unwrap().unwrap();
                            u64::from_le_bytes(bytes.try_into().unwrap())
                        };
                        let (left, right) = (read(from), read(to));
                        let amount = left.min(seed % 30);
                        transaction
                            .put(keyspace, &from.to_be_bytes(), &(left - amount).to_le_bytes())
                            .unwrap();
                        transaction
                            .put(keyspace, &to.to_be_bytes(), &(right + amount).to_le_bytes())
                            .unwrap();
                        transaction.commit().unwrap();
                        moved += 1;
                    }
                })
            })
            .collect();
        for mover in movers {
            mover.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(auditor.join().unwrap() > 0);
    });
    assert_eq!(total(&database.snapshot()), ACCOUNTS * 100);
    assert_eq!(database.stats().locks, 0);
}

#[test]
fn a_deadlock_is_told_to_the_one_that_closes_it_and_a_timeout_comes_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let (database, _keyspace) = database(directory.path(), small());
    let first = database.begin(pessimistic());
    let second = database.begin(pessimistic());
    block_on(first.lock(1, b"a", LockMode::Exclusive, None)).unwrap();
    block_on(second.lock(1, b"b", LockMode::Exclusive, None)).unwrap();
    let waiting = first.lock(1, b"b", LockMode::Shared, None);
    assert!(matches!(block_on(second.lock(1, b"a", LockMode::Shared, None)), Err(Error::Deadlock)));
    let timed = database.begin(pessimistic());
    let timeout = Some(Duration::from_millis(10));
    assert!(matches!(block_on(timed.lock(1, b"a", LockMode::Shared, timeout)), Err(Error::LockTimeout)));
    second.rollback();
    block_on(waiting).unwrap();
    assert!(matches!(first.try_lock(1, b"b", LockMode::Exclusive).unwrap(), LockAttempt::Granted));
}

/// Counts the syncs of files, and holds them up while the gate is locked.
#[derive(Clone, Debug, Default)]
struct Counting {
    syncs: Arc<AtomicU64>,
    gate: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn VfsFile>,
    disk: Counting,
}

impl Counting {
    fn wrap(&self, file: std::io::Result<Arc<dyn VfsFile>>) -> std::io::Result<Arc<dyn VfsFile>> {
        file.map(|file| Arc::new(CountingFile { file, disk: self.clone() }) as Arc<dyn VfsFile>)
    }

    fn count(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }
}

impl Vfs for Counting {
    fn open(&self, path: &Path) -> std::io::Result<Arc<dyn VfsFile>> {
        self.wrap(RealDisk.open(path))
    }
    fn open_write(&self, path: &Path) -> std::io::Result<Arc<dyn VfsFile>> {
        self.wrap(RealDisk.open_write(path))
    }
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn VfsFile>> {
        self.wrap(RealDisk.create(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn link(&self, file: &Path, name: &Path) -> std::io::Result<()> {
        RealDisk.link(file, name)
    }
    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove_file(path)
    }
    fn read_dir(&self, path: &Path) -> std::io::Result<Vec<String>> {
        RealDisk.read_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        RealDisk.lock(path)
    }
}

impl VfsFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.disk.gate.lock().unwrap());
        // As slow as a disk, whatever this machine has.
        std::thread::sleep(Duration::from_millis(1));
        self.file.sync_data()
    }
    fn sync_all(&self) -> std::io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync_all()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.file.set_len(length)
    }
    fn preallocate(&self, length: u64) -> std::io::Result<()> {
        self.file.preallocate(length)
    }
}

#[test]
fn committers_share_syncs_whether_they_block_or_await() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Counting::default();
    let database =
        Database::open_with_vfs(Arc::new(disk.clone()), directory.path(), Options::default()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let before = disk.count();
    std::thread::scope(|scope| {
        for thread in 0..32u64 {
            let (database, keyspace) = (&database, &keyspace);
            scope.spawn(move || {
                for number in 0..20u64 {
                    let mut transaction = database.begin(optimistic());
                    let key = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    transaction.put(keyspace, &key, b"v").unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
    });
    let blocking = disk.count() - before;
    assert!(blocking < 640 / 4, "{blocking} syncs for 640 commits");

    // 32 futures on one thread: none of them may block it while the log is synced.
    let before = disk.count();
    let mut commits: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = (0..32u64)
        .map(|number| {
            let mut transaction = database.begin(optimistic());
            transaction.put(&keyspace, &number.to_le_bytes(), b"v").unwrap();
            Box::pin(transaction.commit_async()) as Pin<Box<dyn Future<Output = _> + Send>>
        })
        .collect();
    block_on(std::future::poll_fn(|context| {
        commits.retain_mut(|commit| match commit.as_mut().poll(context) {
            Poll::Ready(result) => {
                let _: lightning::CommitInfo = Result::unwrap(result);
                false
            }
            Poll::Pending => true,
        });
        if commits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }));
    let awaiting = disk.count() - before;
    assert!(awaiting <= 16, "{awaiting} syncs for 32 commits that were made at once");
}

#[test]
fn a_commit_that_waits_for_the_disk_has_given_its_exclusive_locks_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Counting::default();
    let database =
        Database::open_with_vfs(Arc::new(disk.clone()), directory.path(), Options::default()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    put(&database, &keyspace, b"counter", b"1");
    let closed = disk.gate.lock().unwrap();
    let poll = |future: &mut Pin<Box<dyn Future<Output = _> + Send>>| {
        future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    };
    let granted = |transaction: &lightning::Transaction, key: &[u8], mode| {
        matches!(transaction.try_lock(1, key, mode).unwrap(), LockAttempt::Granted)
    };
    let commit = |value: &[u8]| {
        let mut transaction = database.begin(pessimistic());
        assert!(granted(&transaction, value, LockMode::Shared));
        assert!(granted(&transaction, b"counter", LockMode::Exclusive), "{value:?}");
        transaction.put(&keyspace, b"counter", value).unwrap();
        let mut commit: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(transaction.commit_async());
        assert!(poll(&mut commit).is_pending());
        commit
    };
    let first = commit(b"2");
    // A shared lock stays until others see the commit.
    assert!(!granted(&database.begin(pessimistic()), b"2", LockMode::Exclusive));

    // Whoever has the lock sees the commit, in each way of reading; others do not.
    let mut second = database.begin(pessimistic());
    assert!(granted(&second, b"counter", LockMode::Exclusive));
    assert_eq!(second.get(&keyspace, b"counter").unwrap().unwrap(), b"1", "its snapshot is from before");
    assert!(second.changed_since_snapshot(&keyspace, b"counter").unwrap());
    assert_eq!(second.get_latest(&keyspace, b"counter").unwrap().unwrap(), b"2");
    assert_eq!(second.latest_reader().get(&keyspace, b"counter").unwrap().unwrap(), b"2");
    second.refresh();
    assert_eq!(second.get(&keyspace, b"counter").unwrap().unwrap(), b"2");
    assert_eq!(database.snapshot().get(&keyspace, b"counter").unwrap().unwrap(), b"1");
    assert_eq!(database.begin(pessimistic()).get(&keyspace, b"counter").unwrap().unwrap(), b"1");

    // It wrote nothing, but read what is not on the disk: neither end comes before that is.
    let mut settled: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(second.settled());
    let mut read_only: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(second.commit_async());
    assert!(poll(&mut read_only).is_pending());
    let mut waiting = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(settled.as_mut().poll(&mut waiting).is_pending());
    drop(read_only);

    let third = commit(b"3");
    let fourth = commit(b"4");
    drop(closed);
    block_on(settled).unwrap();
    let order = [block_on(first), block_on(third), block_on(fourth)].map(|info| info.unwrap().sequence);
    assert!(order.is_sorted());
    assert_eq!(database.snapshot().get(&keyspace, b"counter").unwrap().unwrap(), b"4");
    drop(database);
    let database = Database::open(directory.path(), Options::default()).unwrap();
    let keyspace = database.keyspace("k").unwrap();
    assert_eq!(database.snapshot().get(&keyspace, b"counter").unwrap().unwrap(), b"4");
}

#[test]
fn writing_behind_does_not_wait_for_the_disk_and_keeps_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Counting::default();
    let database =
        Database::open_with_vfs(Arc::new(disk.clone()), directory.path(), Options::default()).unwrap();
    let keyspace = database.create_keyspace("k", keyspace_options()).unwrap();
    let closed = disk.gate.lock().unwrap();
    let before = disk.count();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut batch = WriteBatch::new();
            batch.put(&keyspace, b"first", b"1");
            database.write(batch, Durability::Sync).unwrap();
        });
        while disk.count() == before {
            std::thread::yield_now();
        }
        // The disk works on the first commit, and will until the gate opens.
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"second", b"2");
        database.write_behind(batch).unwrap();
        let snapshot = database.snapshot();
        assert!(snapshot.get(&keyspace, b"first").unwrap().is_none());
        assert!(snapshot.get(&keyspace, b"second").unwrap().is_none(), "overtook a commit before it");
        drop(closed);
        first.join().unwrap();
    });
    // Whoever commits later finds it there.
    put(&database, &keyspace, b"third", b"3");
    let snapshot = database.snapshot();
    for key in [&b"first"[..], b"second", b"third"] {
        assert!(snapshot.get(&keyspace, key).unwrap().is_some());
    }
}

#[test]
fn readers_that_race_with_flushes_and_merges_always_see_whole_commits() {
    let directory = tempfile::tempdir().unwrap();
    let (database, left) = database(directory.path(), small());
    let right = database.create_keyspace("right", keyspace_options()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let snapshot = database.snapshot();
                let read = |keyspace| {
                    let value = snapshot.get(keyspace, b"number").unwrap();
                    value.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
                };
                let (one, two) = (read(&left), read(&right));
                assert_eq!(one, two, "a commit was seen in part");
                assert!(one >= last, "time went backwards");
                last = one;
            }
        });
        for number in 1..6000u64 {
            let mut batch = WriteBatch::new();
            batch.put(&left, b"number", &number.to_le_bytes());
            batch.put(&left, &number.to_be_bytes(), &[1; 100]);
            batch.put(&right, b"number", &number.to_le_bytes());
            if number.is_multiple_of(3) {
                batch.put(&right, &number.to_le_bytes(), &[2; 200]);
            }
            database.write(batch, Durability::Buffered).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let stats = database.stats();
    assert!(stats.flushes > 4, "{stats:?}");
    assert!(stats.compactions > 0 || layout() == Layout::BTree, "{stats:?}");
    database.verify(&mut |_| {}).unwrap();
}

#[test]
fn a_keyspace_that_is_idle_does_not_keep_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (database, busy) = database(directory.path(), small());
    let idle = database.create_keyspace("idle", keyspace_options()).unwrap();
    put(&database, &idle, b"once", b"1");
    for number in 0..20_000u64 {
        put(&database, &busy, &number.to_be_bytes(), &[3; 100]);
    }
    database.flush().unwrap();
    let kept = database.stats().wal_bytes;
    assert!(kept <= small().max_wal_bytes, "{kept} bytes of log are kept");
    assert_eq!(database.snapshot().get(&idle, b"once").unwrap().unwrap(), b"1");
}

#[test]
fn a_read_committed_transaction_sees_what_others_commit_and_is_never_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = database(directory.path(), small());
    let options = TransactionOptions { isolation: Isolation::ReadCommitted, ..optimistic() };
    let mut transaction = database.begin(options);
    put(&database, &keyspace, b"a", b"1");
    assert_eq!(transaction.get(&keyspace, b"a").unwrap().unwrap(), b"1");
    transaction.put(&keyspace, b"a", b"mine").unwrap();
    transaction.delete_range(&keyspace, Bound::Included(b"x"), Bound::Unbounded).unwrap();
    let reader = transaction.reader();
    for key in [&b"a"[..], b"b", b"x"] {
        put(&database, &keyspace, key, b"2");
    }
    let keys = |reader: &dyn Fn() -> lightning::Range| {
        let (mut range, mut found) = (reader(), Vec::new());
        while let Some((key, value)) = range.next().unwrap() {
            found.push((key.to_vec(), value.to_vec()));
        }
        found
    };
    let all = (Bound::Unbounded, Bound::Unbounded);
    let now = keys(&|| transaction.range(&keyspace, all.0, all.1, Direction::Forward).unwrap());
    assert_eq!(now, [(b"a".to_vec(), b"mine".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
    let then = keys(&|| reader.range(&keyspace, all.0, all.1, Direction::Forward).unwrap());
    assert_eq!(then, [(b"a".to_vec(), b"mine".to_vec())], "a reader stays at its moment");
    transaction.commit().unwrap();
    let snapshot = database.snapshot();
    assert_eq!(snapshot.get(&keyspace, b"a").unwrap().unwrap(), b"mine");
    assert_eq!(snapshot.get(&keyspace, b"x").unwrap(), None);
    // Nothing that is not committed is ever seen.
    let mut other = database.begin(optimistic());
    other.put(&keyspace, b"b", b"dirty").unwrap();
    assert_eq!(database.begin(options).get(&keyspace, b"b").unwrap().unwrap(), b"2");
}
