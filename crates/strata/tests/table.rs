//! What a table promises: every bit comes back, in order and once, whatever files it is in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "table/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use luma_strata::{Change, Error, Run, Scan, TableOptions, Tombstone};
use luma_vfs::{SimDisk, Vfs};
use proptest::prelude::*;

use world::{Content, DAY, WINDOW, World, content, run_of, runs, runs_of};

fn sample() -> impl Strategy<Value = (u32, i64, (i64, u64, Option<Vec<u8>>))> {
    let number = prop_oneof![
        any::<u64>(),
        (-1000i64..1000).prop_map(|n| (n as f64 / 100.0).to_bits()),
        Just(f64::NAN.to_bits()),
        Just(0x7ff0_0000_0000_0002),
        Just((-0.0f64).to_bits()),
    ];
    let start = prop_oneof![3 => Just(0), 1 => any::<i64>()];
    let payload = proptest::option::weighted(0.1, proptest::collection::vec(any::<u8>(), 0..40));
    (0u32..6, 0i64..3 * DAY, (start, number, payload))
}

/// Writes samples as files of one window each, as a flush does.
fn write(world: &World, samples: &Content) {
    let mut windows: BTreeMap<i64, Content> = BTreeMap::new();
    for ((series, t), sample) in samples {
        windows.entry(t.div_euclid(WINDOW)).or_default().insert((*series, *t), sample.clone());
    }
    let add = windows.values().map(|content| world.file(content).unwrap()).collect();
    world.table.commit(Change { add, ..Change::default() }, |_| Ok(())).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_table_reads_as_a_map_that_keeps_what_came_first_through_compaction_deletes_and_restarts(
        batches in proptest::collection::vec(proptest::collection::vec(sample(), 1..60), 1..6),
        deletes in proptest::collection::vec((0usize..6, 0u32..6, 0i64..3 * DAY, 0i64..DAY), 0..3),
        asked in (proptest::collection::btree_set(0u32..8, 0..5), 0i64..3 * DAY, 0i64..2 * DAY),
        decoded_bytes in prop_oneof![Just(0), 600usize..9000, Just(64 << 20)],
    ) {
        let disk = SimDisk::new();
        let options = TableOptions { decoded_bytes, ..world::options() };
        let mut world = World::open_with(&disk, options.clone());
        let mut expected = Content::new();
        for (number, batch) in batches.iter().enumerate() {
            let mut samples = Content::new();
            for (series, t, sample) in batch {
                let (start, bits, payload) = sample.clone();
                let bits = if payload.is_some() { 0 } else { bits };
                samples.entry((*series, *t)).or_insert((start, bits, payload));
            }
            write(&world, &samples);
            for (key, sample) in samples {
                expected.entry(key).or_insert(sample);
            }
            for (_, series, from, length) in deletes.iter().filter(|(when, ..)| *when == number) {
                let tombstone = Tombstone::new([*series].into(), *from, from + length, 0);
                let change = Change { tombstones: vec![tombstone], ..Change::default() };
                world.table.commit(change, |_| Ok(())).unwrap();
                expected.retain(|(s, t), _| s != series || !(*from..=from + length).contains(t));
            }
            prop_assert_eq!(&world.all(), &expected);
            if number % 2 == 1 {
                let done = world.table.compact(DAY * (number as i64 % 3)).unwrap();
                prop_assert_eq!(&world.all(), &expected);
                prop_assert!(done.is_none_or(|done| done.rows.1 <= done.rows.0));
            }
        }
        drop(world);
        world = World::open_with(&disk, options);
        let (series, from, length) = asked;
        let chosen: Content = expected
            .iter()
            .filter(|((s, t), _)| series.contains(s) && (from..=from + length).contains(t))
            .map(|(key, sample)| (*key, sample.clone()))
            .collect();
        let found = runs(&world.table.snapshot(), series.iter().copied(), from, from + length).unwrap();
        prop_assert_eq!(content(found), chosen);
        while world.table.compact(4 * DAY).unwrap().is_some() {}
        prop_assert_eq!(&world.all(), &expected);
        let stats = world.table.snapshot().stats();
        prop_assert_eq!(stats.rows, expected.len() as u64, "compaction drops what is hidden");
        world.table.forget_tombstones(0).unwrap();
        prop_assert_eq!(world.table.snapshot().stats().tombstones, 0);
        world.table.snapshot().verify().unwrap();
    }
}

#[test]
fn rows_over_many_pages_and_groups_come_back_and_one_series_needs_few_of_them() {
    let disk = SimDisk::new();
    let world = World::open(&disk);
    let mut file = world.table.new_file().unwrap();
    let (series, rows) = (40u32, 30_000i64);
    let value = |series: u32, row: i64| f64::from(series) + (row * row % 9973) as f64 / 8.0;
    for series in 0..series {
        let mut run = Run { series, ..Run::default() };
        (0..rows).for_each(|row| run.push_value(row * 100, 0, value(series, row)));
        file.push("{}", &run).unwrap();
    }
    let finished = file.finish().unwrap().unwrap();
    let bytes = finished.entry().bytes;
    world.table.commit(Change { add: vec![finished], ..Change::default() }, |_| Ok(())).unwrap();
    let read = |world: &World, chosen: u32| -> Result<Vec<Run>, Error> {
        runs(&world.table.snapshot(), [chosen], 0, i64::MAX)
    };
    let path = world.table.snapshot().paths().next().unwrap().to_owned();
    drop(world);
    for chosen in [0, 17, 39] {
        let runs = read(&World::open(&disk), chosen).unwrap();
        let expected: Vec<f64> = (0..rows).map(|row| value(chosen, row)).collect();
        assert_eq!(runs.iter().map(|run| &run.values).collect::<Vec<_>>(), [&expected]);
        // A block is read if it is noticed that it is damaged.
        let needed = (0..bytes).step_by(32 << 10).filter(|offset| {
            disk.flip_bit(&path, *offset, 0).unwrap();
            let failed = read(&World::open(&disk), chosen).is_err();
            disk.flip_bit(&path, *offset, 0).unwrap();
            failed
        });
        let (needed, blocks) = (needed.count(), bytes.div_ceil(32 << 10) as usize);
        assert!(needed * 5 < blocks, "{needed} of {blocks} blocks are read for one of {series} series");
    }
    let world = World::open(&disk);
    let whole: usize = world.everything().iter().map(Run::len).sum();
    assert_eq!(whole as i64, i64::from(series) * rows);
}

#[test]
fn a_file_that_is_missing_or_damaged_is_named() {
    let disk = SimDisk::new();
    let world = World::open(&disk);
    write(&world, &run_of(1, 0..50));
    write(&world, &run_of(2, 0..50));
    let paths: Vec<_> = world.table.snapshot().paths().map(std::path::Path::to_owned).collect();
    drop(world);
    let length = disk.open(&paths[0]).unwrap().len().unwrap();
    for offset in (0..length).step_by(5) {
        disk.flip_bit(&paths[0], offset, (offset % 8) as u8).unwrap();
        let world = World::open(&disk);
        let error = world.scan_error().expect("damage is noticed").to_string();
        assert!(error.contains("000000000001.parquet is damaged"), "{error}");
        assert!(matches!(world.table.snapshot().verify(), Err(Error::Damaged { .. })));
        // What does not need the file goes on.
        assert_eq!(runs(&world.table.snapshot(), [2], 0, i64::MAX).unwrap().len(), 1);
        disk.flip_bit(&paths[0], offset, (offset % 8) as u8).unwrap();
    }
    disk.open_write(&paths[0]).unwrap().set_len(length - 1).unwrap();
    assert!(World::open(&disk).scan_error().unwrap().to_string().contains("bytes"));
    disk.remove_file(&paths[0]).unwrap();
    let error = World::open(&disk).scan_error().unwrap().to_string();
    assert!(error.contains("000000000001.parquet is missing"), "{error}");
}

#[test]
fn a_file_stays_while_a_snapshot_has_it_and_goes_with_the_last() {
    let disk = SimDisk::new();
    let world = World::open(&disk);
    write(&world, &run_of(1, 0..50));
    write(&world, &run_of(1, 50..90));
    let held = world.table.snapshot();
    let paths: Vec<_> = held.paths().map(std::path::Path::to_owned).collect();
    assert!(world.table.compact(DAY * 2).unwrap().is_some());
    assert!(paths.iter().all(|path| disk.exists(path)));
    assert_eq!(content(runs(&held, [1], i64::MIN, i64::MAX).unwrap()), world.all());
    let scan = Scan { series: Arc::new([1].into()), from: i64::MIN, to: i64::MAX, previous: false };
    let mut found = held.scan(&scan).unwrap();
    drop(held);
    assert!(paths.iter().all(|path| disk.exists(path)), "a scan holds files, too");
    let unread = found.find(1).unwrap();
    drop(found);
    assert!(paths.iter().all(|path| disk.exists(path)), "and what was found does");
    assert_eq!(unread.read().unwrap().len(), 90);
    assert!(!paths.iter().any(|path| disk.exists(path)));
    assert_eq!(world.all().len(), 90);
}

#[test]
fn a_scan_gives_the_sample_before_the_first_if_it_is_asked_to() {
    let world = World::open(&SimDisk::new());
    write(&world, &run_of(1, 0..50));
    let times = |from, previous| -> Vec<i64> {
        let scan = Scan { series: Arc::new([1].into()), from, to: 30, previous };
        runs_of(&world.table.snapshot(), scan).unwrap().into_iter().flat_map(|run| run.times).collect()
    };
    assert_eq!(times(28, false), [28, 29, 30]);
    assert_eq!(times(28, true), [27, 28, 29, 30]);
    assert_eq!(times(0, true).len(), 31);
    assert!(times(31, true).is_empty());
}

#[test]
fn the_sample_before_the_first_is_found_on_the_page_before_and_several_read_one_page() {
    let world = World::open(&SimDisk::new());
    let rows = 150_000;
    let mut file = world.table.new_file().unwrap();
    for series in 0..3 {
        let mut run = Run { series, ..Run::default() };
        (0..rows).for_each(|t| run.push_value(t, 0, (t * t % 1009) as f64));
        file.push("{}", &run).unwrap();
    }
    let add = vec![file.finish().unwrap().unwrap()];
    world.table.commit(Change { add, ..Change::default() }, |_| Ok(())).unwrap();
    for from in (0..rows).step_by(9973).chain([32 << 10, 64 << 10, (64 << 10) - rows % (32 << 10)]) {
        let scan = Scan { series: Arc::new([0, 2].into()), from, to: rows, previous: true };
        let found = runs_of(&world.table.snapshot(), scan).unwrap();
        let at_hand = from > 0 && found.iter().all(|run| run.times[0] == from - 1);
        // Pages that end before it are not read.
        assert!(at_hand || found.iter().any(|run| run.times[0] == from), "{from}");
        for run in found {
            let value = |t: &i64| (t * t % 1009) as f64;
            assert_eq!(run.times.iter().map(value).collect::<Vec<_>>(), run.values);
            assert_eq!(run.times.last(), Some(&(rows - 1)));
        }
    }
    let scan = Scan { series: Arc::new((0..3).collect()), from: 0, to: rows, previous: false };
    let mut found = world.table.snapshot().scan(&scan).unwrap();
    let unread: Vec<_> = (0..3).filter_map(|series| found.find(series)).collect();
    std::thread::scope(|scope| {
        let reading: Vec<_> =
            unread.into_iter().map(|unread| scope.spawn(|| unread.read().unwrap())).collect();
        let runs = reading.into_iter().map(|reading| reading.join().unwrap());
        assert_eq!(runs.map(|run| run.len() as i64).collect::<Vec<_>>(), [rows; 3]);
    });
}

#[test]
fn retention_removes_the_oldest_files_by_time_and_by_size() {
    let world = World::open(&SimDisk::new());
    for window in 0..6 {
        write(&world, &run_of(1, window * WINDOW..window * WINDOW + 40));
    }
    let removed = world.table.retain(Some(2 * WINDOW), None).unwrap();
    assert_eq!(removed.len(), 2);
    assert_eq!(world.all().keys().next(), Some(&(1, 2 * WINDOW)));
    let bytes = world.table.snapshot().stats().bytes;
    assert_eq!(world.table.retain(None, Some(bytes)).unwrap().len(), 0);
    assert_eq!(world.table.retain(None, Some(bytes - 1)).unwrap().len(), 1);
    assert_eq!(world.all().keys().next(), Some(&(1, 3 * WINDOW)));
    assert_eq!(world.table.retain(None, Some(0)).unwrap().len(), 3);
    assert!(world.all().is_empty());
}

#[test]
fn what_is_out_of_order_or_uneven_is_refused_and_leaves_no_file() {
    let disk = SimDisk::new();
    let world = World::open(&disk);
    let run = |series, times: &[i64]| {
        let mut run = Run { series, ..Run::default() };
        for t in times {
            run.push_value(*t, 0, 1.0);
        }
        run
    };
    let mut uneven = run(3, &[1, 2]);
    uneven.values.pop();
    let mut astray = run(3, &[1, 2]);
    astray.payloads.push((2, vec![1]));
    for bad in [run(2, &[5]), run(1, &[9]), run(2, &[6, 6]), run(3, &[2, 1]), uneven, astray] {
        let mut file = world.table.new_file().unwrap();
        file.push("{}", &run(2, &[5])).unwrap();
        assert!(matches!(file.push("{}", &bad), Err(Error::BadRows { .. })), "{bad:?}");
    }
    assert!(world.table.new_file().unwrap().finish().unwrap().is_none());
    assert_eq!(disk.read_dir(std::path::Path::new(world::FILES)).unwrap(), Vec::<String>::new());
}

#[test]
fn a_series_with_more_samples_than_a_reader_may_hold_is_refused_by_name() {
    let disk = SimDisk::new();
    let options = TableOptions { rows_max: 60, ..world::options() };
    let world = World::open_with(&disk, options);
    write(&world, &run_of(1, 0..50));
    write(&world, &run_of(1, 50..90));
    let error = world.scan_error().unwrap().to_string();
    assert!(error.contains("series 1 has more than 60 samples"), "{error}");
}

#[test]
fn what_was_removed_already_is_refused_to_be_removed_again() {
    let world = World::open(&SimDisk::new());
    write(&world, &run_of(1, 0..50));
    let number = world.table.snapshot().entries().next().unwrap().number;
    let remove = || Change { remove: vec![number], ..Change::default() };
    world.table.commit(remove(), |_| Ok(())).unwrap();
    assert!(matches!(world.table.commit(remove(), |_| Ok(())), Err(Error::Outdated { .. })));
}
