//! Any sequence of operations gives what sorted maps give, whatever the layout.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use lightning::{
    Append, CachePolicy, CompactionStrategy, Compression, Database, Direction, Durability, Keyspace,
    KeyspaceOptions, Layout, MergeOperator, Options, Prefix, Readable, Snapshot, Transaction,
    TransactionOptions, WriteBatch,
};
use luma_vfs::{RealDisk, SimDisk, Vfs};
use proptest::prelude::*;

const LAYOUTS: [Layout; 2] = [Layout::Lsm, Layout::BTree];
const NAMES: [&str; 3] = ["left", "right", "merged"];
/// The keyspace with a merge operator.
const MERGED: usize = 2;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Model = [Map; 3];
/// Keyspace, key, and what is done to it.
type Write = (usize, Vec<u8>, Change);

#[derive(Clone, Debug)]
enum Change {
    Put(Vec<u8>),
    Delete,
    /// A put where there is no merge operator.
    Merge(Vec<u8>),
    /// From the key on.
    DeleteRange(Bound<Vec<u8>>),
}

#[derive(Clone, Debug)]
enum Step {
    /// Writes to both keyspaces in one batch.
    Batch(Vec<Write>, u8),
    /// The same in a transaction, with a savepoint after some writes; true undoes the rest.
    Transaction(Vec<Write>, usize, bool),
    Flush,
    Compact(usize),
    Reopen,
    /// Keeps a snapshot to look at in the end.
    Keep,
    /// Reads a range.
    Scan(usize, Bound<Vec<u8>>, Bound<Vec<u8>>, bool),
    Prefix(usize, Vec<u8>, bool),
    /// Loads ascending keys if none lie there.
    Ingest(usize, Vec<u8>, u8),
    Recreate(usize),
    /// Converts a keyspace to a layout, with writes and perhaps a flush in the middle.
    Convert(usize, bool, Vec<Write>, bool),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(0u8..4, 0..4), proptest::collection::vec(any::<u8>(), 0..12)]
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let change = prop_oneof![
        18 => proptest::collection::vec(any::<u8>(), 0..80).prop_map(Change::Put),
        5 => Just(Change::Delete),
        6 => proptest::collection::vec(any::<u8>(), 0..30).prop_map(Change::Merge),
        2 => bound().prop_map(Change::DeleteRange),
    ];
    proptest::collection::vec((0usize..3, key(), change), 1..12)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (writes(), 0u8..3).prop_map(|(writes, kind)| Step::Batch(writes, kind)),
        6 => (writes(), 0usize..12, any::<bool>()).prop_map(|(writes, at, undo)| Step::Transaction(writes, at, undo)),
        1 => Just(Step::Flush),
        1 => (0usize..3).prop_map(Step::Compact),
        1 => Just(Step::Reopen),
        1 => Just(Step::Keep),
        4 => (0usize..3, bound(), bound(), any::<bool>()).prop_map(|(space, start, end, back)| Step::Scan(space, start, end, back)),
        2 => (0usize..3, proptest::collection::vec(0u8..4, 0..3), any::<bool>()).prop_map(|(space, prefix, back)| Step::Prefix(space, prefix, back)),
        1 => (0usize..3, key(), any::<u8>()).prop_map(|(space, prefix, count)| Step::Ingest(space, prefix, count)),
        1 => (0usize..3).prop_map(Step::Recreate),
        2 => (0usize..3, any::<bool>(), writes(), any::<bool>())
            .prop_map(|(space, tree, writes, flush)| Step::Convert(space, tree, writes, flush)),
    ]
}

fn direction(back: bool) -> Direction {
    if back { Direction::Reverse } else { Direction::Forward }
}

fn entries(
    reader: &impl Readable,
    keyspace: &Keyspace,
    start: Bound<&[u8]>,
    end: Bound<&[u8]>,
    back: bool,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut range = reader.range(keyspace, start, end, direction(back)).unwrap();
    let mut found = Vec::new();
    while let Some((key, value)) = range.next().unwrap() {
        found.push((key.to_vec(), value.to_vec()));
    }
    assert!(range.next().unwrap().is_none(), "an ended range stays ended");
    found
}

fn expected(map: &Map, start: Bound<&[u8]>, end: Bound<&[u8]>, back: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let after_start = |key: &[u8]| match start {
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
        Bound::Unbounded => true,
    };
    let before_end = |key: &[u8]| match end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    let inside = map.iter().filter(|(key, _)| after_start(key) && before_end(key));
    let mut all: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if back {
        all.reverse();
    }
    all
}

fn check(reader: &impl Readable, spaces: &[Keyspace], model: &Model) {
    for (keyspace, map) in spaces.iter().zip(model) {
        let absent: Vec<Vec<u8>> = map.keys().map(|key| [key.as_slice(), &[9]].concat()).collect();
        let asked: Vec<&[u8]> = map.keys().chain(&absent).map(Vec::as_slice).collect();
        let wanted: Vec<_> = asked.iter().map(|key| map.get(*key).cloned()).collect();
        assert_eq!(reader.multi_get(keyspace, &asked).unwrap(), wanted);
        for back in [false, true] {
            let found = entries(reader, keyspace, Bound::Unbounded, Bound::Unbounded, back);
            assert_eq!(found, expected(map, Bound::Unbounded, Bound::Unbounded, back));
        }
        for (key, value) in map {
            assert_eq!(reader.get(keyspace, key).unwrap().as_ref(), Some(value));
            let absent = [key.as_slice(), &[7]].concat();
            assert_eq!(reader.get(keyspace, &absent).unwrap().as_ref(), map.get(&absent));
        }
    }
}

fn apply(model: &mut Model, writes: &[Write]) {
    for (space, key, change) in writes {
        match change {
            Change::Put(value) => drop(model[*space].insert(key.clone(), value.clone())),
            Change::Delete => drop(model[*space].remove(key)),
            Change::Merge(operand) if *space == MERGED => {
                model[*space].entry(key.clone()).or_default().extend_from_slice(operand);
            }
            Change::Merge(value) => drop(model[*space].insert(key.clone(), value.clone())),
            Change::DeleteRange(end) => {
                let end = end.as_ref().map(Vec::as_slice);
                let deleted = (Bound::Included(key.as_slice()), end);
                model[*space].retain(|key, _| !deleted.contains(&key.as_slice()));
            }
        }
    }
}

fn put_all(transaction: &mut Transaction, spaces: &[Keyspace], writes: &[Write]) {
    for (space, key, change) in writes {
        match change {
            Change::Put(value) => transaction.put(&spaces[*space], key, value).unwrap(),
            Change::Delete => transaction.delete(&spaces[*space], key).unwrap(),
            Change::Merge(operand) if *space == MERGED => {
                transaction.merge(&spaces[*space], key, operand).unwrap();
            }
            Change::Merge(value) => transaction.put(&spaces[*space], key, value).unwrap(),
            Change::DeleteRange(end) => {
                let end = end.as_ref().map(Vec::as_slice);
                transaction.delete_range(&spaces[*space], Bound::Included(key), end).unwrap();
            }
        }
    }
}

/// The values of one expire, but not while the test runs.
fn of_space(space: usize, layout: Layout) -> KeyspaceOptions {
    let ttl = (space == 1).then(|| std::time::Duration::from_hours(24));
    let compaction = if space == 1 { CompactionStrategy::universal() } else { CompactionStrategy::Leveled };
    let merge_operator = (space == MERGED).then(|| "at times".into());
    let prefix = Some(if space == 0 { Prefix::Bytes(1) } else { Prefix::UpTo(2) });
    KeyspaceOptions { layout, ttl, merge_operator, compaction, prefix, ..KeyspaceOptions::default() }
}

/// Appends, and puts two operands together at times.
#[derive(Debug)]
struct AtTimes;

impl MergeOperator for AtTimes {
    fn name(&self) -> &'static str {
        "at times"
    }

    fn full_merge(&self, key: &[u8], value: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Append.full_merge(key, value, operands)
    }

    fn partial_merge(&self, key: &[u8], older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
        if newer.len().is_multiple_of(2) { Append.partial_merge(key, older, newer) } else { None }
    }
}

struct World {
    vfs: Arc<dyn Vfs>,
    path: std::path::PathBuf,
    options: Options,
    layout: Layout,
    database: Database,
    spaces: Vec<Keyspace>,
    model: Model,
    kept: Vec<(Snapshot, Vec<Keyspace>, Model)>,
}

impl World {
    fn new(vfs: Arc<dyn Vfs>, path: std::path::PathBuf, options: Options, layout: Layout) -> Self {
        let database = Database::open_with_vfs(Arc::clone(&vfs), &path, options.clone()).unwrap();
        let spaces = [0, 1, MERGED]
            .map(|space| database.create_keyspace(NAMES[space], of_space(space, layout)).unwrap())
            .to_vec();
        Self { vfs, path, options, layout, database, spaces, model: Model::default(), kept: Vec::new() }
    }

    fn reopen(&mut self) {
        self.spaces.clear();
        self.database.clone().close().unwrap();
        // Snapshots of a closed database still read.
        for (snapshot, spaces, model) in self.kept.drain(..) {
            check(&snapshot, &spaces, &model);
        }
        self.database =
            Database::open_with_vfs(Arc::clone(&self.vfs), &self.path, self.options.clone()).unwrap();
        self.spaces = NAMES.map(|name| self.database.keyspace(name).unwrap()).to_vec();
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Batch(writes, durability) => {
                let mut batch = WriteBatch::new();
                for (space, key, change) in writes {
                    let is_merged = *space == MERGED;
                    let space = &self.spaces[*space];
                    match change {
                        Change::Merge(operand) if is_merged => batch.merge(space, key, operand),
                        Change::Merge(value) => batch.put(space, key, value),
                        Change::Put(value) => batch.put(space, key, value),
                        Change::Delete => batch.delete(space, key),
                        Change::DeleteRange(end) => {
                            batch.delete_range(space, Bound::Included(key), end.as_ref().map(Vec::as_slice));
                        }
                    }
                }
                let durability =
                    [Durability::Sync, Durability::Buffered, Durability::Unlogged][usize::from(*durability)];
                self.database.write(batch, durability).unwrap();
                apply(&mut self.model, writes);
            }
            Step::Transaction(writes, at, undo) => {
                let (first, rest) = writes.split_at(writes.len().min(*at));
                let mut transaction = self.database.begin(TransactionOptions::default());
                put_all(&mut transaction, &self.spaces, first);
                apply(&mut self.model, first);
                let point = transaction.savepoint();
                let reader = transaction.reader();
                let at_point = self.model.clone();
                put_all(&mut transaction, &self.spaces, rest);
                if *undo {
                    transaction.rollback_to(&point).unwrap();
                } else {
                    apply(&mut self.model, rest);
                }
                check(&transaction, &self.spaces, &self.model);
                check(&reader, &self.spaces, &at_point);
                transaction.commit().unwrap();
            }
            Step::Flush => self.database.flush().unwrap(),
            Step::Compact(space) => self.spaces[*space].compact().unwrap(),
            Step::Reopen => self.reopen(),
            Step::Keep => {
                self.kept.push((self.database.snapshot(), self.spaces.clone(), self.model.clone()));
            }
            Step::Scan(space, start, end, back) => {
                let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
                let found = entries(&self.database.snapshot(), &self.spaces[*space], start, end, *back);
                assert_eq!(found, expected(&self.model[*space], start, end, *back));
                // Estimates never fail.
                self.spaces[*space].approximate_range(start, end);
                let points = self.spaces[*space].split_points(4);
                assert!(points.len() < 4 && points.is_sorted());
            }
            Step::Prefix(space, prefix, back) => {
                let snapshot = self.database.snapshot();
                let mut range = snapshot.prefix(&self.spaces[*space], prefix, direction(*back)).unwrap();
                let mut wanted: Vec<_> =
                    self.model[*space].iter().filter(|(key, _)| key.starts_with(prefix)).collect();
                if *back {
                    wanted.reverse();
                }
                for (key, value) in wanted {
                    assert_eq!(range.next().unwrap(), Some((key.as_slice(), value.as_slice())));
                }
                assert_eq!(range.next().unwrap(), None);
            }
            Step::Ingest(space, prefix, count) => {
                let keys: Vec<Vec<u8>> =
                    (0..*count).map(|number| [prefix.as_slice(), &[number]].concat()).collect();
                let mut ingestion = self.database.ingest(&self.spaces[*space]).unwrap();
                for key in &keys {
                    ingestion.put(key, key).unwrap();
                }
                // Deleted keys may lie there too, so a refusal is fine, a wrong answer is not.
                if ingestion.finish().is_ok() {
                    for key in keys {
                        assert!(self.model[*space].insert(key.clone(), key).is_none());
                    }
                }
            }
            Step::Convert(space, tree, writes, flush) => {
                let layout = if *tree { Layout::BTree } else { Layout::Lsm };
                let mut begun = false;
                self.spaces[*space]
                    .convert(layout, &mut |_| {
                        if !std::mem::replace(&mut begun, true) {
                            let mut transaction = self.database.begin(TransactionOptions::default());
                            put_all(&mut transaction, &self.spaces, writes);
                            transaction.commit().unwrap();
                            if *flush {
                                self.spaces[*space].flush().unwrap();
                            }
                        }
                    })
                    .unwrap();
                if begun {
                    apply(&mut self.model, writes);
                }
                assert_eq!(self.spaces[*space].options().layout, layout);
            }
            Step::Recreate(space) => {
                self.database.drop_keyspace(NAMES[*space]).unwrap();
                let options = of_space(*space, self.layout);
                self.spaces[*space] = self.database.create_keyspace(NAMES[*space], options).unwrap();
                self.model[*space].clear();
            }
        }
    }

    fn finish(&mut self) {
        check(&self.database.snapshot(), &self.spaces, &self.model);
        self.database.verify(&mut |_| {}).unwrap();
        self.reopen();
        check(&self.database.snapshot(), &self.spaces, &self.model);
        self.database.verify(&mut |_| {}).unwrap();
    }
}

fn options(background_threads: usize, compression: Compression) -> Options {
    Options {
        cache_bytes: 16 << 10,
        history_bytes: 2 << 10,
        memtable_bytes: 1 << 10,
        write_buffer_bytes: 4 << 10,
        max_wal_bytes: 16 << 10,
        wal_segment_bytes: 4096,
        background_threads,
        block_bytes: 200,
        index_part_bytes: 64,
        blob_threshold: 20,
        table_bytes: 1 << 10,
        level_bytes: 1 << 10,
        level0_tables: 2,
        compression,
        merge_operators: vec![Arc::new(AtTimes)],
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn without_threads_a_database_is_sorted_maps(
        steps in proptest::collection::vec(step(), 1..120),
        compression in prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)],
        cache_policy in prop_oneof![Just(CachePolicy::S3Fifo), Just(CachePolicy::Arc)],
    ) {
        for layout in LAYOUTS {
            let ribbon_filters = compression == Compression::Lz4;
            let options = Options { cache_policy, ribbon_filters, ..options(0, compression) };
            let mut world = World::new(Arc::new(SimDisk::new()), "/db".into(), options, layout);
            for step in &steps {
                world.run(step);
            }
            world.finish();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn with_threads_and_real_files_too(steps in proptest::collection::vec(step(), 1..80)) {
        for layout in LAYOUTS {
            let directory = tempfile::tempdir().unwrap();
            let mut world = World::new(Arc::new(RealDisk), directory.path().into(), options(2, Compression::Lz4), layout);
            for step in &steps {
                world.run(step);
            }
            world.finish();
        }
    }
}
