//! Power loss at every change of the disk.
//!
//! A workload runs once on a simulated disk that keeps its changes. The disk is then rebuilt change by
//! change; after each one it loses power in seeded ways, the database is opened on what is left, and
//! its whole content must be that after some number of commits, no fewer than were acknowledged as
//! durable. Then it goes on: it writes, some of the time loses power again, and is checked again.
//!
//! Everything runs without threads of the database's own, so a seed always gives the same changes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lightning::{
    CompactionStrategy, Compression, Database, Direction, Durability, Error, Keyspace, KeyspaceOptions,
    Layout, Options, Prefix, Readable, Snapshot, TransactionOptions, WriteBatch,
};
use luma_vfs::{FaultPlan, SimDisk, SimOp, Vfs};

/// A third of a run is taking and giving back memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LAYOUTS: [Layout; 2] = [Layout::Lsm, Layout::BTree];
const PATH: &str = "/db";
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The keyspace to whose values something is appended.
const MERGED: usize = 2;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setup {
    layout: Layout,
    /// Whether many values are so large that they stay in the log, whose files then go on as blob files.
    large: bool,
}

const SETUPS: [Setup; 3] = [
    Setup { layout: Layout::Lsm, large: false },
    Setup { layout: Layout::BTree, large: false },
    Setup { layout: Layout::Lsm, large: true },
];

fn options(setup: Setup) -> Options {
    let times = if setup.large { 16 } else { 1 };
    Options {
        cache_bytes: 32 << 10,
        history_bytes: 2 << 10,
        // Of large values, some segments.
        memtable_bytes: if setup.large { 40 << 10 } else { 1 << 10 },
        write_buffer_bytes: (4 * times) << 10,
        max_wal_bytes: (12 * times as u64) << 10,
        wal_segment_bytes: if setup.large { 16 << 10 } else { 4096 },
        background_threads: 0,
        block_bytes: 256,
        index_part_bytes: 64,
        blob_threshold: 24,
        table_bytes: 1 << 10,
        level_bytes: 1 << 10,
        level0_tables: 2,
        compression: Compression::Lz4,
        ..Options::default()
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, bound: u64) -> Vec<u8> {
        (0..self.below(bound)).map(|_| self.next() as u8).collect()
    }
}

/// All content: keyspace, key, value.
type State = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// The key, in the first keyspace, whose value is the number of commits so far.
const COUNTER: &[u8] = b"counter";

fn content(database: &Database) -> Result<State, Error> {
    content_of(&database.snapshot(), database)
}

fn content_of(snapshot: &Snapshot, database: &Database) -> Result<State, Error> {
    let mut state = State::new();
    for (number, name) in NAMES.iter().enumerate() {
        let Some(keyspace) = database.keyspace(name) else { continue };
        let mut range = snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            state.insert((number, key.to_vec()), value.to_vec());
        }
    }
    Ok(state)
}

fn commits_in(state: &State) -> usize {
    state
        .get(&(0, COUNTER.to_vec()))
        .map_or(0, |bytes| u32::from_le_bytes(bytes.as_slice().try_into().unwrap()) as usize)
}

fn open(disk: &SimDisk, setup: Setup) -> Result<Database, Error> {
    Database::open_with_vfs(Arc::new(disk.clone()), PATH, options(setup))
}

fn keyspaces(database: &Database, setup: Setup) -> Result<Vec<Keyspace>, Error> {
    let options = |number: usize| KeyspaceOptions {
        layout: setup.layout,
        merge_operator: (number == MERGED).then(|| "append".into()),
        compaction: if number == 1 { CompactionStrategy::universal() } else { CompactionStrategy::Leveled },
        prefix: (number == 0).then_some(Prefix::Bytes(4)),
        ..KeyspaceOptions::default()
    };
    let open = |(number, name): (usize, &&str)| {
        database.keyspace(name).map_or_else(|| database.create_keyspace(name, options(number)), Ok)
    };
    NAMES.iter().enumerate().map(open).collect()
}

/// What is done to a key.
enum Change {
    Put(Vec<u8>),
    /// Where something can be merged.
    Append(Vec<u8>),
    Delete,
    /// From the key on and before this one.
    DeleteRange(Vec<u8>),
}

/// What ran, and what must be true after it.
struct History {
    /// The content after each number of commits.
    states: Vec<State>,
    /// After how many changes of the disk so many commits were acknowledged as durable.
    durable: Vec<(usize, usize)>,
}

impl History {
    fn new() -> Self {
        Self { states: vec![State::new()], durable: vec![(0, 0)] }
    }

    fn commits(&self) -> usize {
        self.states.len() - 1
    }

    fn durable_at(&self, changes: usize) -> usize {
        let known = self.durable.partition_point(|(at, _)| *at <= changes);
        self.durable[..known].iter().map(|(_, commits)| *commits).max().unwrap_or(0)
    }

    fn check(&self, found: &State, durable: usize, what: &dyn Fn() -> String) -> usize {
        let commits = commits_in(found);
        assert!(commits >= durable, "{}: {durable} commits were durable, {commits} are there", what());
        assert!(commits < self.states.len(), "{}: more commits than were made", what());
        assert!(*found == self.states[commits], "{}: not the content after commit {commits}", what());
        commits
    }
}

/// Commits once; the acknowledgement of a durable commit covers all before it.
fn commit(
    database: &Database,
    spaces: &[Keyspace],
    history: &mut History,
    random: &mut Random,
    (disk, setup): (&SimDisk, Setup),
) -> Result<(), Error> {
    let mut state = history.states.last().unwrap().clone();
    let number = history.states.len();
    let mut changes: Vec<(usize, Vec<u8>, Change)> = Vec::new();
    for _ in 0..=random.below(4) {
        let space = random.below(NAMES.len() as u64) as usize;
        let number = random.below(60);
        let key = format!("key{number:03}").into_bytes();
        let change = match random.below(20) {
            0 => Change::DeleteRange(format!("key{:03}", number + random.below(30)).into_bytes()),
            1..5 => Change::Delete,
            5..15 if space == MERGED => Change::Append(random.bytes(20)),
            5..12 if setup.large => {
                let length = 4090 + random.below(1000);
                Change::Put((0..length).map(|_| random.next() as u8).collect())
            }
            _ => Change::Put(random.bytes(120)),
        };
        changes.push((space, key, change));
    }
    if random.below(60) == 0 {
        changes.push((1, b"large".to_vec(), Change::Put(vec![number as u8; 9000])));
    }
    changes.push((0, COUNTER.to_vec(), Change::Put((number as u32).to_le_bytes().to_vec())));
    let durability = if random.below(3) == 0 { Durability::Buffered } else { Durability::Sync };
    for (space, key, change) in &changes {
        match change {
            Change::Put(value) => drop(state.insert((*space, key.clone()), value.clone())),
            Change::Append(operand) => {
                state.entry((*space, key.clone())).or_default().extend_from_slice(operand);
            }
            Change::Delete => drop(state.remove(&(*space, key.clone()))),
            Change::DeleteRange(end) => {
                state.retain(|(other, found), _| other != space || found < key || found >= end);
            }
        }
    }
    // A commit that fails may still have reached the log, so it counts as made.
    history.states.push(state);
    if random.below(2) == 0 {
        let mut batch = WriteBatch::new();
        for (space, key, change) in &changes {
            let space = &spaces[*space];
            match change {
                Change::Put(value) => batch.put(space, key, value),
                Change::Append(operand) => batch.merge(space, key, operand),
                Change::Delete => batch.delete(space, key),
                Change::DeleteRange(end) => {
                    batch.delete_range(space, Bound::Included(key), Bound::Excluded(end));
                }
            }
        }
        if durability == Durability::Buffered && random.below(2) == 0 {
            database.write_behind(batch)?;
        } else {
            database.write(batch, durability)?;
        }
    } else {
        let mut transaction =
            database.begin(TransactionOptions { durability, ..TransactionOptions::default() });
        for (space, key, change) in &changes {
            let space = &spaces[*space];
            match change {
                Change::Put(value) => transaction.put(space, key, value)?,
                Change::Append(operand) => transaction.merge(space, key, operand)?,
                Change::Delete => transaction.delete(space, key)?,
                Change::DeleteRange(end) => {
                    transaction.delete_range(space, Bound::Included(key), Bound::Excluded(end))?;
                }
            }
        }
        transaction.commit()?;
    }
    if durability == Durability::Sync {
        history.durable.push((disk.recorded(), history.commits()));
    }
    Ok(())
}

/// Opens, commits, flushes, merges, closes and opens again.
fn workload(disk: &SimDisk, setup: Setup, seed: u64, steps: usize) -> (History, Result<(), Error>) {
    let mut history = History::new();
    let result = run(disk, setup, seed, steps, &mut history);
    (history, result)
}

fn run(disk: &SimDisk, setup: Setup, seed: u64, steps: usize, history: &mut History) -> Result<(), Error> {
    let mut random = Random(seed);
    let mut database = open(disk, setup)?;
    let mut spaces = keyspaces(&database, setup)?;
    // Old snapshots, which have what they read written to files.
    let mut kept = Vec::new();
    for _ in 0..steps {
        match random.below(40) {
            0 => database.flush()?,
            1 => spaces[random.below(3) as usize].flush()?,
            2 => spaces[random.below(3) as usize].compact()?,
            3 => {
                kept.clear();
                database.close()?;
                history.durable.push((disk.recorded(), history.commits()));
                database = open(disk, setup)?;
                spaces = keyspaces(&database, setup)?;
            }
            4 => {
                // As a killed process leaves it: what it wrote is in the page cache, the rest is gone.
                disk.kill((database, spaces, std::mem::take(&mut kept)));
                database = open(disk, setup)?;
                spaces = keyspaces(&database, setup)?;
                let kept = commits_in(&content(&database)?);
                assert!(kept >= history.durable_at(usize::MAX));
                history.states.truncate(kept + 1);
            }
            6 | 7 => {
                let snapshot = database.snapshot();
                let state = content_of(&snapshot, &database)?;
                kept.push((snapshot, state));
                let (snapshot, state) = &kept[random.below(kept.len() as u64) as usize];
                assert!(content_of(snapshot, &database)? == *state, "a snapshot changed");
            }
            5 => convert(&database, &spaces, history, &mut random, (disk, setup))?,
            _ => commit(&database, &spaces, history, &mut random, (disk, setup))?,
        }
    }
    Ok(())
}

/// Converts a keyspace while commits and flushes go on.
fn convert(
    database: &Database,
    spaces: &[Keyspace],
    history: &mut History,
    random: &mut Random,
    (disk, setup): (&SimDisk, Setup),
) -> Result<(), Error> {
    let space = &spaces[random.below(3) as usize];
    let layout = LAYOUTS[random.below(2) as usize];
    let mut meanwhile = Ok(());
    space.convert(layout, &mut |_| {
        for _ in 0..random.below(4) {
            if meanwhile.is_ok() {
                meanwhile = commit(database, spaces, history, random, (disk, setup));
            }
        }
        if meanwhile.is_ok() && random.below(2) == 0 {
            meanwhile = database.flush();
        }
    })?;
    assert!(meanwhile.is_err() || space.options().layout == layout);
    meanwhile
}

/// Opens what a power loss left and checks it, then goes on for a few commits, perhaps through
/// another power loss, and checks again.
fn recover_and_go_on(
    after: &SimDisk,
    history: &History,
    durable: usize,
    setup: Setup,
    seed: u64,
    what: &dyn Fn() -> String,
) -> usize {
    let mut random = Random(seed);
    if random.below(200) == 0 {
        return crash_recovery(after, history, durable, setup, seed, what);
    }
    let database = open(after, setup).unwrap_or_else(|error| panic!("{}: {error}", what()));
    let found = content(&database).unwrap_or_else(|error| panic!("{}: {error}", what()));
    let commits = history.check(&found, durable, what);
    if random.below(4) > 0 {
        return 1;
    }
    let mut later = History { states: history.states[..=commits].to_vec(), durable: vec![(0, 0)] };
    let spaces = keyspaces(&database, setup).unwrap();
    for _ in 0..random.below(8) {
        commit(&database, &spaces, &mut later, &mut random, (after, setup)).unwrap();
    }
    let mut durable = later.durable_at(usize::MAX);
    if random.below(2) == 0 {
        after.crash(random.next());
        // The handles belong to a process that is gone.
        drop((database, spaces));
    } else {
        durable = later.commits();
        drop(spaces);
        database.close().unwrap();
    }
    let database = open(after, setup).unwrap_or_else(|error| panic!("{} again: {error}", what()));
    let found = content(&database).unwrap_or_else(|error| panic!("{} again: {error}", what()));
    later.check(&found, durable, &|| format!("{} again", what()));
    1
}

/// The power goes again at every change that recovery makes.
fn crash_recovery(
    after: &SimDisk,
    history: &History,
    durable: usize,
    setup: Setup,
    seed: u64,
    what: &dyn Fn() -> String,
) -> usize {
    let shadow = after.fork();
    let recovering = after.fork();
    recovering.record();
    let recovered = open(&recovering, setup).unwrap_or_else(|error| panic!("{}: {error}", what()));
    let ops = recovering.take_record();
    drop(recovered);
    for (index, op) in ops.iter().enumerate() {
        shadow.apply(op).unwrap();
        let again = shadow.crash_image(seed + index as u64);
        let what = || format!("{}, then change {index} of recovery ({op:?})", what());
        let database = open(&again, setup).unwrap_or_else(|error| panic!("{}: {error}", what()));
        let found = content(&database).unwrap_or_else(|error| panic!("{}: {error}", what()));
        history.check(&found, durable, &what);
    }
    ops.len()
}

/// Crashes a workload's disk after each change for which `wanted` gives a number of ways.
fn crash_everywhere(setup: Setup, seed: u64, steps: usize, wanted: &dyn Fn(&mut Random) -> u64) -> usize {
    let disk = SimDisk::new();
    disk.record();
    let (history, result) = workload(&disk, setup, seed, steps);
    result.unwrap();
    let shadow = SimDisk::new();
    let mut random = Random(seed ^ 0xdead);
    let mut points = 0;
    for (index, op) in disk.take_record().iter().enumerate() {
        shadow.apply(op).unwrap();
        for way in 0..wanted(&mut random) {
            let crash_seed = seed.wrapping_mul(1_000_003) + index as u64 * 31 + way;
            let after = shadow.crash_image(crash_seed);
            let what = || format!("{setup:?} workload {seed}, change {index} ({op:?}), crash {crash_seed}");
            let durable = history.durable_at(index + 1);
            points += recover_and_go_on(&after, &history, durable, setup, crash_seed, &what);
        }
    }
    points
}

/// Runs jobs on two threads and adds up what they give.
fn in_parallel(jobs: std::ops::Range<u64>, job: impl Fn(u64) -> usize + Sync) -> usize {
    let next = AtomicUsize::new(jobs.start as usize);
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if number >= jobs.end {
                        return;
                    }
                    let points = job(number);
                    let points = total.fetch_add(points, Ordering::Relaxed) + points;
                    if factor() > 1 && number.is_multiple_of(50) {
                        println!("workload {number} of {}: {points} crash points", jobs.end);
                    }
                }
            });
        }
    });
    total.into_inner()
}

/// More seeds than by default when `LIGHTNING_CRASH_FACTOR` says so.
fn factor() -> u64 {
    std::env::var("LIGHTNING_CRASH_FACTOR").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn a_power_loss_after_any_change_loses_nothing_that_was_durable() {
    for setup in SETUPS {
        // Pages are larger than the tests' blocks, and a tree shares the log and the manifest with tables.
        let part = if setup == SETUPS[0] { 1 } else { 4 };
        let small = in_parallel(0..110 * factor() / part, |seed| crash_everywhere(setup, seed, 40, &|_| 3));
        let large = in_parallel(1000..1000 + 12 * factor() / part, |seed| {
            crash_everywhere(setup, seed, 600, &|random| u64::from(random.below(6) == 0))
        });
        println!("{setup:?}: {small} crash points in small workloads, {large} in large ones");
        assert!(small + large >= if setup == SETUPS[0] { 100_000 } else { 15_000 });
    }
}

#[test]
fn workloads_with_large_values_leave_them_in_the_log() {
    let disk = SimDisk::new();
    disk.record();
    workload(&disk, SETUPS[2], 7, 400).1.unwrap();
    let links = disk.take_record().iter().filter(|op| matches!(op, SimOp::Link { .. })).count();
    assert!(links > 5, "{links} segments became blob files");
}

#[test]
fn the_same_seed_gives_the_same_changes() {
    let record = || {
        let disk = SimDisk::new();
        disk.record();
        workload(&disk, SETUPS[2], 5, 300).1.unwrap();
        disk.take_record()
    };
    assert_eq!(record(), record());
}

/// Runs a workload with a fault, takes the power, and checks what is left.
fn survive(setup: Setup, seed: u64, steps: usize, plan: FaultPlan) {
    let disk = SimDisk::new();
    disk.record();
    disk.set_faults(plan.clone());
    let (history, result) = workload(&disk, setup, seed, steps);
    let what = || format!("{setup:?} workload {seed} with {plan:?}, which ended in {result:?}");
    disk.set_faults(FaultPlan::default());
    let durable = history.durable_at(usize::MAX);
    for crash in 0..2 {
        let after = disk.crash_image(seed + crash);
        recover_and_go_on(&after, &history, durable, setup, seed * 7 + crash + 1, &what);
    }
    // A process that ends without a power loss.
    disk.kill(());
    recover_and_go_on(&disk, &history, durable, setup, seed, &what);
}

#[test]
fn any_single_failing_operation_loses_nothing_that_was_durable() {
    for setup in SETUPS {
        in_parallel(0..4, |seed| {
            let disk = SimDisk::new();
            disk.record();
            workload(&disk, setup, seed, 40).1.unwrap();
            for at in 0..disk.operations() {
                survive(setup, seed, 40, FaultPlan { error_at: Some(at), ..FaultPlan::default() });
                if at % 3 == 0 {
                    survive(setup, seed, 40, FaultPlan { sync_error_at: Some(at), ..FaultPlan::default() });
                    survive(setup, seed, 40, FaultPlan { crash_at: Some(at), ..FaultPlan::default() });
                }
            }
            0
        });
    }
}

#[test]
fn a_full_disk_stops_writes_not_reads_and_loses_nothing() {
    for setup in SETUPS {
        in_parallel(0..40, |seed| {
            for space in (6_000..60_000).step_by(4_000) {
                survive(setup, seed, 80, FaultPlan { space_bytes: Some(space), ..FaultPlan::default() });
            }
            0
        });
        let disk = SimDisk::new();
        let database = open(&disk, setup).unwrap();
        let spaces = keyspaces(&database, setup).unwrap();
        let mut history = History::new();
        let mut random = Random(1);
        for _ in 0..30 {
            commit(&database, &spaces, &mut history, &mut random, (&disk, setup)).unwrap();
        }
        disk.set_faults(FaultPlan { space_bytes: Some(disk.used_bytes()), ..FaultPlan::default() });
        let acknowledged = loop {
            let before = history.commits();
            if let Err(error) = commit(&database, &spaces, &mut history, &mut random, (&disk, setup)) {
                assert!(matches!(error, Error::Poisoned(_)), "{error}");
                assert!(error.to_string().contains("no space left"), "{error}");
                break before;
            }
        };
        history.check(&content(&database).unwrap(), acknowledged, &|| "full disk".to_owned());
        disk.set_faults(FaultPlan::default());
        drop((database, spaces));
        let database = open(&disk, setup).unwrap();
        // The last ones may have been buffered, and not written when the disk was full.
        let durable = history.durable_at(usize::MAX);
        assert!(durable > 0);
        let commits = history.check(&content(&database).unwrap(), durable, &|| "space again".to_owned());
        let spaces = keyspaces(&database, setup).unwrap();
        history.states.truncate(commits + 1);
        commit(&database, &spaces, &mut history, &mut random, (&disk, setup)).unwrap();
    }
}

#[test]
fn a_flipped_bit_gives_the_right_answer_or_an_error_that_names_the_file() {
    let files = |disk: &SimDisk| {
        let mut files = Vec::new();
        for directory in [PATH.to_owned(), format!("{PATH}/tables"), format!("{PATH}/log")] {
            for name in disk.read_dir(Path::new(&directory)).unwrap() {
                let path = Path::new(&directory).join(name);
                if let Ok(file) = disk.open(&path) {
                    let length = file.len().unwrap();
                    files.push((path, length));
                }
            }
        }
        files
    };
    for setup in SETUPS {
        let disk = SimDisk::new();
        let (history, result) = workload(&disk, setup, 3, 120);
        result.unwrap();
        // A clean end, so that every flip can be told from a torn write.
        disk.kill(());
        open(&disk, setup).unwrap().close().unwrap();
        let mut errors = 0;
        for (path, length) in files(&disk) {
            for offset in (0..length).step_by(if length > 20_000 { 131 } else { 17 }) {
                let damaged = disk.fork();
                damaged.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
                let read = open(&damaged, setup).and_then(|database| content(&database));
                match read {
                    Ok(found) => {
                        assert_eq!(
                            found,
                            history.states[history.commits()],
                            "{} at {offset}",
                            path.display()
                        );
                    }
                    Err(Error::Corruption { file, .. } | Error::UnsupportedVersion { file, .. }) => {
                        assert!(file.starts_with(PATH), "{}", file.display());
                        errors += 1;
                    }
                    Err(error) => panic!("{} at {offset}: {error}", path.display()),
                }
            }
        }
        assert!(errors > 100, "only {errors} flips were noticed");
    }
}

/// A disk on which a bulk load was finished, or failed with `plan`, and the number of its operations by then.
fn bulk_load(setup: Setup, plan: FaultPlan) -> (SimDisk, bool) {
    let disk = SimDisk::new();
    let database = open(&disk, setup).unwrap();
    let keyspace = keyspaces(&database, setup).unwrap().remove(0);
    disk.set_faults(plan);
    let load = || {
        let mut load = database.ingest(&keyspace)?;
        for number in 0..100u32 {
            load.put(&number.to_be_bytes(), &[7; 50])?;
        }
        load.finish()
    };
    let loaded = load().is_ok();
    drop((keyspace, database));
    disk.set_faults(FaultPlan::default());
    disk.kill(());
    (disk, loaded)
}

#[test]
fn a_bulk_load_that_fails_is_there_whole_or_not_at_all() {
    for setup in SETUPS {
        let operations = bulk_load(setup, FaultPlan::default()).0.operations();
        let mut failed = 0;
        for at in 0..operations {
            for plan in [
                FaultPlan { error_at: Some(at), ..FaultPlan::default() },
                FaultPlan { sync_error_at: Some(at), ..FaultPlan::default() },
            ] {
                let (disk, loaded) = bulk_load(setup, plan);
                failed += usize::from(!loaded);
                for after in [disk.fork(), disk.crash_image(at)] {
                    let database =
                        open(&after, setup).unwrap_or_else(|error| panic!("{setup:?}, {at}: {error}"));
                    let found = content(&database).unwrap().len();
                    assert!(found == 100 || found == 0 && !loaded, "{setup:?}, {at}: {found} keys");
                }
            }
        }
        assert!(failed > 10, "{failed} loads failed");
    }
}
