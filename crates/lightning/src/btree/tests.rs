//! Trees of several levels against sorted maps, on a disk that loses power.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use luma_vfs::{SimDisk, Vfs};
use proptest::prelude::*;

use super::pages::PAGE_BYTES;
use super::{BTree, TreeCursor, TreeFile};
use crate::cache::Cache;
use crate::keep::Keep;
use crate::key_range::{KeyRange, KeyRanges};
use crate::memtable::{Memtable, MemtableCursor};
use crate::merge::{Merge, Source};
use crate::{Direction, Error, Result};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
/// A key and its value, or none to delete it.
type Change = (Vec<u8>, Option<Vec<u8>>);

const PATH: &str = "/t/0000000007.tree";

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/t")).unwrap();
    disk
}

fn open(disk: &SimDisk, generation: u64) -> Result<Arc<BTree>> {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    TreeFile::open(
        &vfs,
        Path::new("/t"),
        7,
        generation,
        &Arc::new(Cache::new(crate::CachePolicy::default(), 1 << 20, 1)),
    )
}

fn source(changes: &[Change]) -> Merge {
    let memtable = Memtable::new(1024);
    for (number, (key, value)) in changes.iter().enumerate() {
        memtable.insert(key, number as u64 + 1, value.as_deref());
    }
    let cursor = MemtableCursor::over_all(Arc::new(memtable));
    Merge::new(vec![Source::Memory(cursor)], Direction::Forward, None).unwrap()
}

fn checkpoint(tree: &Arc<BTree>, changes: &[Change]) -> Result<Arc<BTree>> {
    tree.prepare(&mut source(changes), &KeyRanges::default(), &Keep::default(), &mut |_| Ok(()))?.install()
}

fn apply(map: &mut Map, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

fn walk(tree: &Arc<BTree>, direction: Direction, from: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = TreeCursor::new(Arc::clone(tree), direction, true);
    match from {
        Some(key) => cursor.seek(key).unwrap(),
        None => cursor.seek_first().unwrap(),
    }
    let mut all = Vec::new();
    while let Some(key) = cursor.key() {
        all.push((key.to_vec(), cursor.value().unwrap().to_vec()));
        cursor.advance().unwrap();
    }
    assert!(cursor.value().is_none());
    all
}

fn check(tree: &Arc<BTree>, map: &Map, probes: &[Vec<u8>]) {
    let all: Vec<_> = map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(tree.entries as usize, map.len());
    assert!(walk(tree, Direction::Forward, None) == all);
    assert!(walk(tree, Direction::Reverse, None) == all.iter().rev().cloned().collect::<Vec<_>>());
    for key in map.keys().step_by(7).chain(probes) {
        let found = tree.get(key, |value| value.map(<[u8]>::to_vec)).unwrap().ok().flatten();
        assert_eq!(found.as_ref(), map.get(key));
    }
    for probe in probes {
        let forward = map.range(probe.clone()..).map(|(key, value)| (key.clone(), value.clone()));
        assert!(walk(tree, Direction::Forward, Some(probe)) == forward.collect::<Vec<_>>());
        let reverse = map.range(..=probe.clone()).rev().map(|(key, value)| (key.clone(), value.clone()));
        assert!(walk(tree, Direction::Reverse, Some(probe)) == reverse.collect::<Vec<_>>());
        let overlaps = map.range(probe.clone()..=[probe.as_slice(), &[1]].concat()).next().is_some();
        assert_eq!(tree.overlaps(probe, &[probe.as_slice(), &[1]].concat()).unwrap(), overlaps);
    }
    tree.verify(&mut |_| {}).unwrap();
    // Each leaf's end lies between its keys and the next leaf's.
    let mut before = 0;
    for leaf in 0..tree.leaves() {
        let end = tree.key_after(leaf);
        assert_eq!(end.is_none(), leaf + 1 == tree.leaves());
        let until = end.map_or(map.len(), |end| {
            assert_eq!(tree.leaves_before(&end), leaf + 1);
            map.range(..end).count()
        });
        assert!(until > before, "a leaf is empty");
        before = until;
    }
}

/// Long keys with much in common, so that a few hundred make several levels.
fn key(number: u32) -> Vec<u8> {
    let mut key = vec![(number >> 6) as u8 % 3; 400 + number as usize % 200];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<(u32, usize)>),
    Delete(u32, u32),
    /// Erases ranges and then puts some keys.
    Erase(Vec<(u32, u32)>, Vec<(u32, usize)>),
    Reopen,
    Hold,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![20 => 0usize..200, 1 => 3000usize..12_000];
    prop_oneof![
        6 => proptest::collection::vec((0u32..600, size), 1..120).prop_map(Step::Put),
        3 => (0u32..600, 0u32..400).prop_map(|(from, count)| Step::Delete(from, count)),
        3 => (proptest::collection::vec((0u32..600, 0u32..500), 1..4), proptest::collection::vec((0u32..600, 0usize..200), 0..6))
            .prop_map(|(ranges, puts)| Step::Erase(ranges, puts)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Hold),
        2 => Just(Step::Sweep),
    ]
}

fn erase(tree: &Arc<BTree>, ranges: &KeyRanges, changes: &[Change]) -> Result<Arc<BTree>> {
    tree.prepare(&mut source(changes), ranges, &Keep::default(), &mut |_| Ok(()))?.install()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_checkpoints_read_as_a_map_and_held_trees_stay_as_they_were(
        steps in proptest::collection::vec(step(), 1..14),
        probes in proptest::collection::vec(0u32..600, 4),
    ) {
        let disk = disk();
        let mut tree = open(&disk, 0).unwrap();
        let mut map = Map::new();
        let mut held: Vec<(Arc<BTree>, Map)> = Vec::new();
        let probes: Vec<_> = probes.into_iter().map(key).chain([Vec::new(), vec![9]]).collect();
        for step in steps {
            let changes: Vec<Change> = match step {
                Step::Put(puts) => puts.into_iter().map(|(number, size)| (key(number), Some(vec![size as u8; size]))).collect(),
                Step::Erase(ranges, puts) => {
                    let range = |(from, length)| match length {
                        0..450 => KeyRange { start: key(from), end: Some(key(from + length)) },
                        450..480 => KeyRange { start: Vec::new(), end: Some(key(from)) },
                        _ => KeyRange { start: key(from), end: None },
                    };
                    let ranges = ranges.into_iter().map(range).collect();
                    let changes: Vec<Change> =
                        puts.into_iter().map(|(number, size)| (key(number), Some(vec![size as u8; size]))).collect();
                    tree = erase(&tree, &ranges, &changes).unwrap();
                    map.retain(|key, _| !ranges.contains(key));
                    apply(&mut map, &changes);
                    Vec::new()
                }
                Step::Delete(from, count) => (from..from + count).map(|number| (key(number), None)).collect(),
                Step::Reopen => {
                    held.clear();
                    let generation = tree.generation;
                    tree = open(&disk, generation).unwrap();
                    Vec::new()
                }
                Step::Sweep => {
                    if let Some(prepared) = tree.sweep(&mut |_| Ok(())).unwrap() {
                        tree = prepared.install().unwrap();
                    }
                    Vec::new()
                }
                Step::Hold => {
                    held.push((Arc::clone(&tree), map.clone()));
                    Vec::new()
                }
            };
            if !changes.is_empty() {
                tree = checkpoint(&tree, &changes).unwrap();
                apply(&mut map, &changes);
            }
            check(&tree, &map, &probes);
            for (tree, map) in &held {
                check(tree, map, &probes[..1]);
            }
        }
    }
}

fn numbered(range: impl Iterator<Item = u32>, round: u32) -> Vec<Change> {
    range.map(|number| (key(number), Some((number ^ round).to_le_bytes().repeat(9)))).collect()
}

#[test]
fn the_file_stays_bounded_while_keys_change_and_gets_short_when_they_go() {
    let disk = disk();
    let mut tree = checkpoint(&open(&disk, 0).unwrap(), &numbered(0..2000, 0)).unwrap();
    let full = tree.bytes;
    for round in 1..60 {
        tree = checkpoint(&tree, &numbered((round * 97 % 1900)..(round * 97 % 1900 + 100), round)).unwrap();
        assert!(tree.bytes < full * 2, "{} bytes after {full}", tree.bytes);
        assert_eq!(disk.open(Path::new(PATH)).unwrap().len().unwrap(), tree.bytes);
    }
    let delete: Vec<Change> = (0..2000).map(|number| (key(number), None)).collect();
    for part in delete.chunks(300) {
        tree = checkpoint(&tree, part).unwrap();
    }
    for _ in 0..3 {
        tree = checkpoint(&tree, &numbered(0..1, 0)).unwrap();
    }
    assert!(tree.bytes <= 8 * PAGE_BYTES as u64, "{} bytes for one key", tree.bytes);
    check(&tree, &numbered(0..1, 0).into_iter().map(|(key, value)| (key, value.unwrap())).collect(), &[]);
}

#[test]
fn nodes_move_down_a_bounded_number_at_a_time_until_the_file_is_short() {
    let disk = disk();
    let mut tree = checkpoint(&open(&disk, 0).unwrap(), &numbered(0..12_000, 0)).unwrap();
    let full = tree.bytes;
    // Every leaf keeps something at the end of the file, and nothing before.
    let delete: Vec<Change> = (0..10_000).map(|number| (key(number), None)).collect();
    tree = checkpoint(&tree, &delete).unwrap();
    let map: Map =
        numbered(10_000..12_000, 0).into_iter().map(|(key, value)| (key, value.unwrap())).collect();
    let held = Arc::clone(&tree);
    let mut last = tree.bytes;
    for _ in 0..4 {
        tree = checkpoint(&tree, &numbered(10_000..10_001, 0)).unwrap();
        assert!(tree.bytes <= last + 16 * PAGE_BYTES as u64, "what a reader holds does not move");
        last = tree.bytes;
    }
    drop(held);
    for round in 0..40 {
        let written = disk.used_bytes();
        tree = checkpoint(&tree, &numbered(10_000..10_001, 0)).unwrap();
        assert!(disk.used_bytes() <= written + 600 * PAGE_BYTES as u64, "round {round}");
    }
    assert!(tree.bytes < full / 4, "{} bytes of {full}", tree.bytes);
    check(&tree, &map, &[key(3)]);
    while let Some(prepared) = tree.sweep(&mut |_| Ok(())).unwrap() {
        tree = prepared.install().unwrap();
    }
    let content = map.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    assert!((tree.bytes as usize) < content + content / 4, "{} bytes for {content}", tree.bytes);
    assert_eq!(disk.open(Path::new(PATH)).unwrap().len().unwrap(), tree.bytes);
    check(&tree, &map, &[key(3)]);
    check(&open(&disk, tree.generation).unwrap(), &map, &[]);
}

#[test]
fn what_is_erased_whole_is_not_read() {
    let disk = disk();
    let tree = checkpoint(&open(&disk, 0).unwrap(), &numbered(0..3000, 0)).unwrap();
    let Some(first) = tree.key_after(0) else { panic!("there is one leaf") };
    let erase_damaged = |range: KeyRange, changes: &[Change]| {
        let damaged = disk.fork();
        let tree = open(&damaged, tree.generation).unwrap();
        // Inner nodes were read when it was opened.
        for page in 2..tree.bytes / PAGE_BYTES as u64 {
            damaged.flip_bit(Path::new(PATH), page * PAGE_BYTES as u64 + 20, 3).unwrap();
        }
        assert!(tree.get(&key(7), |_| ()).is_err());
        erase(&tree, &KeyRanges::from_iter([range]), changes).unwrap().entries
    };
    assert_eq!(erase_damaged(KeyRange { start: Vec::new(), end: None }, &numbered(5..6, 1)), 1);
    // The first leaf stays as it is, unread, too.
    let rest = erase_damaged(KeyRange { start: first, end: None }, &[]);
    assert!(rest > 0 && rest < 30, "{rest} keys");
}

#[test]
fn a_bulk_load_fills_its_pages() {
    let tree = checkpoint(&open(&disk(), 0).unwrap(), &numbered(0..5000, 0)).unwrap();
    let content: usize = (0..5000).map(|number| key(number).len() + 36).sum();
    // Keys share prefixes within a page, so less is stored than there is.
    assert!((tree.bytes as usize) < content + content / 8, "{} bytes for {content}", tree.bytes);
}

#[test]
fn a_power_loss_at_any_change_leaves_the_checkpoint_before_or_after() {
    let disk = disk();
    disk.record();
    let mut tree = open(&disk, 0).unwrap();
    let mut map = Map::new();
    let mut states = vec![(0, 0, map.clone())];
    for round in 0..8u32 {
        let mut changes = numbered((round * 40)..(round * 40 + 120), round);
        changes.extend((0..round * 20).map(|number| (key(number), None)));
        tree = checkpoint(&tree, &changes).unwrap();
        apply(&mut map, &changes);
        states.push((disk.recorded(), tree.generation, map.clone()));
        if let Some(prepared) = tree.sweep(&mut |_| Ok(())).unwrap() {
            tree = prepared.install().unwrap();
            states.push((disk.recorded(), tree.generation, map.clone()));
        }
    }
    assert!(states.len() > 10, "some sweeps were among them");
    let shadow = SimDisk::new();
    shadow.create_dir_all(Path::new("/t")).unwrap();
    for (index, op) in disk.take_record().iter().enumerate() {
        shadow.apply(op).unwrap();
        let done = states.iter().rposition(|(at, ..)| *at <= index + 1).unwrap();
        for seed in 0..6 {
            let after = shadow.crash_image(seed);
            let found = open(&after, states[done].1)
                .unwrap_or_else(|error| panic!("change {index} seed {seed}: {error}"));
            let reached = states.iter().find(|(_, generation, _)| *generation == found.generation).unwrap();
            assert_eq!(found.generation, states[done].1, "the one that the manifest knows");
            check(&found, &reached.2, &[key(50)]);
            // And it goes on from there.
            let more = numbered(10..60, 99);
            let mut map = reached.2.clone();
            apply(&mut map, &more);
            check(&checkpoint(&found, &more).unwrap(), &map, &[]);
        }
    }
}

#[test]
fn every_flipped_bit_of_the_file_is_an_error_or_harmless() {
    let disk = disk();
    let mut tree = checkpoint(&open(&disk, 0).unwrap(), &numbered(0..300, 0)).unwrap();
    tree = checkpoint(&tree, &numbered(100..160, 1)).unwrap();
    let expected = walk(&tree, Direction::Forward, None);
    let mut errors = 0;
    for offset in (0..tree.bytes).step_by(61).chain(0..48).chain(4096..4144) {
        let damaged = disk.fork();
        damaged.flip_bit(Path::new(PATH), offset, (offset % 8) as u8).unwrap();
        let read = open(&damaged, tree.generation).and_then(|tree| {
            let mut cursor = TreeCursor::new(Arc::clone(&tree), Direction::Forward, true);
            cursor.seek_first()?;
            let mut all = Vec::new();
            while let Some(key) = cursor.key() {
                all.push((key.to_vec(), cursor.value().unwrap().to_vec()));
                cursor.advance()?;
            }
            tree.verify(&mut |_| {})?;
            Ok(all)
        });
        match read {
            Ok(all) => assert!(all == expected, "offset {offset}"),
            Err(Error::Corruption { file, .. }) => {
                assert_eq!(file, Path::new(PATH));
                errors += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(errors > 48);
}

#[test]
fn what_was_fetched_together_is_not_read_again() {
    let disk = disk();
    let generation = checkpoint(&open(&disk, 0).unwrap(), &numbered(0..300, 0)).unwrap().generation;
    let tree = open(&disk, generation).unwrap();
    let keys: Vec<Vec<u8>> = (0..40).map(|number| key(number * 23)).collect();
    tree.prefetch(keys.iter().map(Vec::as_slice)).unwrap();
    let before = disk.operations();
    let found =
        keys.iter().filter(|key| tree.get(key, |value| value.is_some()).unwrap().unwrap_or(false)).count();
    assert_eq!((found, disk.operations()), (14, before));
    // A walk reads more and more at a time, and everything once.
    let tree = open(&disk, generation).unwrap();
    let before = disk.operations();
    assert_eq!(walk(&tree, Direction::Reverse, None).len(), 300);
    let reads = disk.operations() - before;
    assert!(reads <= 2 * tree.leaves() + 2, "{reads} operations for {} leaves", tree.leaves());
}

#[test]
fn a_missing_file_and_a_lost_checkpoint_are_errors() {
    let disk = disk();
    let tree = checkpoint(&open(&disk, 0).unwrap(), &numbered(0..3, 0)).unwrap();
    assert!(matches!(open(&disk, tree.generation + 1), Err(Error::Corruption { .. })));
    disk.remove_file(Path::new(PATH)).unwrap();
    assert!(matches!(open(&disk, tree.generation), Err(Error::Corruption { .. })));
}
