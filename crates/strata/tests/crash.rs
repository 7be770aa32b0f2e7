//! A crash at every change of the disk: the table has the files of the changes that were acknowledged, or of one
//! more, none in part, and nothing else lies around.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "table/world.rs"]
mod world;

use std::path::Path;

use luma_strata::{Change, Tombstone};
use luma_vfs::{FaultPlan, SimDisk, Vfs};

use world::{Content, DAY, FILES, WINDOW, World, run_of};

/// Changes of all kinds, one after another; `None` at the end.
fn step(world: &World, number: i64) -> luma_strata::Result<Option<()>> {
    let add = |times: std::ops::Range<i64>| -> luma_strata::Result<()> {
        let mut samples = run_of(1, times.clone());
        samples.extend(run_of(7, times));
        world.table.commit(Change { add: vec![world.file(&samples)?], ..Change::default() }, |_| Ok(()))
    };
    match number {
        0..4 => add(number * WINDOW..number * WINDOW + 30)?,
        4 => add(10..50)?,
        5 => world.table.compact(0).map(|done| assert!(done.is_some()))?,
        6 => {
            let tombstone = Tombstone::new([7].into(), 0, 2 * WINDOW, 0);
            world.table.commit(Change { tombstones: vec![tombstone], ..Change::default() }, |_| Ok(()))?;
        }
        7 => world.table.compact(DAY).map(|done| assert!(done.is_some()))?,
        8 => world.table.forget_tombstones(0).map(|count| assert_eq!(count, 1))?,
        9 => add(DAY..DAY + 30)?,
        10 => world.table.retain(Some(DAY), None).map(|removed| assert_eq!(removed.len(), 1))?,
        _ => return Ok(None),
    }
    Ok(Some(()))
}

fn files(disk: &SimDisk) -> usize {
    disk.read_dir(Path::new(FILES)).unwrap().len()
}

#[test]
fn a_crash_at_every_change_leaves_the_files_of_a_prefix_of_the_changes_and_no_orphan() {
    let disk = SimDisk::new();
    disk.record();
    let world = World::open(&disk);
    let mut states: Vec<(usize, Content)> = vec![(0, Content::new())];
    for number in 0.. {
        if step(&world, number).unwrap().is_none() {
            break;
        }
        states.push((disk.recorded(), world.all()));
    }
    drop(world);
    let mut replayed = SimDisk::new();
    for (index, op) in disk.take_record().iter().enumerate() {
        replayed.apply(op).unwrap();
        let done = states.iter().filter(|(at, _)| *at <= index + 1).count() - 1;
        for seed in 0..3 {
            let after = replayed.crash_image(seed * 1000 + index as u64);
            let world = World::open(&after);
            let there = world.all();
            let next = states.get(done + 1).map(|(_, content)| content);
            assert!(there == states[done].1 || Some(&there) == next, "change {index} seed {seed}");
            assert_eq!(files(&after), world.table.snapshot().stats().files, "change {index} seed {seed}");
            world.table.snapshot().verify().unwrap();
            // It goes on, and another crash takes nothing.
            let mut more = there;
            let late = run_of(3, 9 * DAY..9 * DAY + 5);
            world
                .table
                .commit(Change { add: vec![world.file(&late).unwrap()], ..Change::default() }, |_| Ok(()))
                .unwrap();
            more.extend(late);
            let again = after.crash_image(seed);
            drop(world);
            assert_eq!(World::open(&again).all(), more, "change {index} seed {seed}");
        }
        if index % 64 == 0 {
            replayed = replayed.fork();
        }
    }
}

#[test]
fn after_a_failed_operation_nothing_that_was_acknowledged_is_gone() {
    let clean = World::open(&SimDisk::new());
    let mut states = vec![Content::new()];
    for number in 0..5 {
        step(&clean, number).unwrap();
        states.push(clean.all());
    }
    for at in 0.. {
        let disk = SimDisk::new();
        let world = World::open(&disk);
        disk.set_faults(FaultPlan { error_at: Some(disk.operations() + at), ..FaultPlan::default() });
        let done = (0..5).take_while(|number| step(&world, *number).is_ok()).count();
        if done == 5 {
            assert!(at > 30, "{at} operations were tried");
            break;
        }
        let left = disk.crash_image(at);
        drop(world);
        let there = World::open(&left).all();
        assert!(there == states[done] || there == states[done + 1], "operation {at}");
    }
}
