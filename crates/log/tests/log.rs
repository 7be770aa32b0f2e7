//! What the log promises, on a simulated disk and with real threads.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use luma_log::{Error, Flusher, Log, LogObserver, LogOptions, Lsn};
use luma_vfs::{FaultPlan, RealDisk, SimDisk, Vfs};
use proptest::prelude::*;

const DIRECTORY: &str = "/log";

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4096, flusher: Flusher::Inline, ..LogOptions::default() }
}

type Records = Vec<(Lsn, Vec<u8>)>;

fn open(disk: &SimDisk) -> Result<(Log, Records), Error> {
    let mut records = Vec::new();
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIRECTORY), options(), &mut |lsn, record| {
        records.push((lsn, record.to_vec()));
        Ok(())
    })?;
    Ok((log, records))
}

fn bytes(records: &[(Lsn, Vec<u8>)]) -> Vec<Vec<u8>> {
    records.iter().map(|(_, record)| record.clone()).collect()
}

#[test]
fn records_come_back_in_order_over_many_openings_and_segments() {
    let disk = SimDisk::new();
    let mut expected = Vec::new();
    for round in 0..6u8 {
        let (log, records) = open(&disk).unwrap();
        assert_eq!(records, expected);
        for size in [0, 1, 100, 5000, 13_000] {
            let record = vec![round; size];
            let lsn = log.append(&[&record[..size / 2], &record[size / 2..]]).unwrap();
            expected.push((lsn, record));
        }
        let last = log.end();
        log.wait_durable(last).unwrap();
        if round % 2 == 0 {
            log.close().unwrap();
            assert!(matches!(log.append(&[b"x"]), Err(Error::Closed)));
        }
    }
}

#[test]
fn released_segments_are_used_again_and_their_old_records_stay_away() {
    let disk = SimDisk::new();
    let mut highest = 0;
    for round in 0..30u32 {
        let (log, records) = open(&disk).unwrap();
        assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for record in &records {
            assert_eq!(record.1, record.0.0.to_le_bytes().repeat(40)[..record.1.len()], "round {round}");
        }
        for _ in 0..40 {
            let end = log.end().0 + 4 + 320;
            log.append(&[&end.to_le_bytes().repeat(40)]).unwrap();
        }
        log.wait_durable(log.end()).unwrap();
        log.truncate_before(Lsn(log.end().0 - 1000)).unwrap();
        highest = highest.max(disk.used_bytes());
    }
    assert!(highest < 20 * 4096, "the files did not stay bounded: {highest}");
}

#[test]
fn a_small_log_takes_little_space_and_a_full_segment_no_more_than_its_size() {
    let disk = SimDisk::new();
    let options = LogOptions { segment_bytes: 4 << 20, ..options() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIRECTORY), options, &mut |_, _| Ok(())).unwrap();
    log.append(&[b"first"]).unwrap();
    log.wait_durable(log.end()).unwrap();
    assert!(disk.used_bytes() < 40 << 10, "{} bytes", disk.used_bytes());
    for _ in 0..300 {
        log.append(&[&[7; 9000]]).unwrap();
        log.wait_durable(log.end()).unwrap();
    }
    assert!(disk.used_bytes() <= 4 << 20, "{} bytes", disk.used_bytes());
    log.close().unwrap();
}

#[test]
fn syncs_in_turn_and_by_the_flusher_make_all_records_durable() {
    let disk = SimDisk::new();
    let options = LogOptions { flusher: Flusher::Thread, ..options() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIRECTORY), options, &mut |_, _| Ok(())).unwrap();
    for number in 0..20u8 {
        let lsn = log.append_quietly(&[&[number; 100]]).unwrap();
        log.sync_in_turn(lsn);
        log.wait_durable(lsn).unwrap();
        assert!(log.durable_end() >= lsn);
    }
    // Several at once are left to the flusher, who has all of them synced as well.
    let lsns: Vec<Lsn> = (0..5u8).map(|number| log.append_quietly(&[&[number; 100]]).unwrap()).collect();
    log.sync_in_turn(lsns[4]);
    log.wait_durable(lsns[4]).unwrap();
    log.close().unwrap();
    let mut found = 0;
    let again = Log::open(Arc::new(disk.clone()), Path::new(DIRECTORY), self::options(), &mut |_, _| {
        found += 1;
        Ok(())
    });
    drop(again.unwrap());
    assert_eq!(found, 25);
}

/// Appends records and notes after how many disk changes each was acknowledged.
fn workload(disk: &SimDisk) -> (Vec<Vec<u8>>, Vec<(usize, usize)>) {
    let (log, _) = open(disk).unwrap();
    let mut records = Vec::new();
    let mut acknowledged = Vec::new();
    for number in 0..40usize {
        let record = vec![number as u8 + 1; [3, 700, 40, 1500, 9000][number % 5]];
        let lsn = log.append(&[&record]).unwrap();
        records.push(record);
        if number % 3 == 2 {
            log.wait_durable(lsn).unwrap();
            acknowledged.push((disk.recorded(), records.len()));
        }
    }
    (records, acknowledged)
}

#[test]
fn a_crash_at_every_change_leaves_a_prefix_with_all_that_was_acknowledged() {
    let disk = SimDisk::new();
    disk.record();
    let (records, acknowledged) = workload(&disk);
    let mut replayed = SimDisk::new();
    for (index, op) in disk.take_record().iter().enumerate() {
        replayed.apply(op).unwrap();
        let done = acknowledged.iter().filter(|(at, _)| *at <= index + 1).map(|(_, count)| *count).max();
        for seed in 0..12 {
            let after = replayed.crash_image(seed * 1000 + index as u64);
            let (log, found) =
                open(&after).unwrap_or_else(|error| panic!("change {index} seed {seed}: {error}"));
            assert!(found.len() >= done.unwrap_or(0), "an acknowledged record is gone");
            assert_eq!(bytes(&found), records[..found.len()], "change {index} seed {seed}");
            // Going on after the crash, and crashing again, loses nothing either.
            let lsn = log.append(&[b"after"]).unwrap();
            log.wait_durable(lsn).unwrap();
            let again = after.crash_image(seed);
            drop(log);
            let (_, later) = open(&again).unwrap();
            assert_eq!(bytes(&later[..found.len()]), bytes(&found));
            assert_eq!(later.last().unwrap().1, b"after");
            assert_eq!(later.len(), found.len() + 1);
        }
        if index % 64 == 0 {
            replayed = replayed.fork();
        }
    }
}

#[test]
fn what_a_killed_process_had_written_survives_a_power_loss_after_the_next_start() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let lsn = log.append(&[&[7; 100]]).unwrap();
    log.wait_durable(lsn).unwrap();
    std::mem::forget(log);
    let (log, found) = open(&disk).unwrap();
    std::mem::forget(log);
    for seed in 0..20 {
        assert_eq!(open(&disk.crash_image(seed)).unwrap().1, found);
    }
}

fn segment_files(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.read_dir(Path::new(DIRECTORY)).unwrap();
    names.iter().filter(|name| name.contains(".wal")).map(|name| Path::new(DIRECTORY).join(name)).collect()
}

#[test]
fn a_flipped_bit_is_an_error_with_file_and_offset_or_harmless() {
    let disk = SimDisk::new();
    let (records, _) = workload(&disk);
    let mut errors = 0;
    for path in segment_files(&disk) {
        for offset in (0..4096).step_by(37) {
            let damaged = disk.fork();
            damaged.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
            match open(&damaged) {
                Ok((_, found)) => assert_eq!(bytes(&found), records, "{} at {offset}", path.display()),
                Err(Error::Corruption { file, .. }) => {
                    assert_eq!(file.parent(), Some(Path::new(DIRECTORY)));
                    errors += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(errors > 100);
}

#[test]
fn a_missing_segment_is_an_error() {
    let disk = SimDisk::new();
    workload(&disk);
    let files = segment_files(&disk);
    disk.remove_file(&files[2]).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, Error::Corruption { file, .. } if *file == files[2]), "{error}");
}

#[test]
fn a_failed_sync_or_write_stops_the_log_for_good_with_the_first_cause() {
    for plan in [
        FaultPlan { sync_error_at: Some(0), ..FaultPlan::default() },
        FaultPlan { space_bytes: Some(0), ..FaultPlan::default() },
    ] {
        let disk = SimDisk::new();
        let (log, _) = open(&disk).unwrap();
        let kept = log.append(&[b"kept"]).unwrap();
        log.wait_durable(kept).unwrap();
        disk.set_faults(plan);
        let lsn = log.append(&[&[1; 9000]]).unwrap();
        let first = log.wait_durable(lsn).unwrap_err();
        assert!(matches!(first, Error::Poisoned(_)), "{first}");
        disk.set_faults(FaultPlan::default());
        assert_eq!(log.append(&[b"more"]).unwrap_err().to_string(), first.to_string());
        assert_eq!(log.wait_durable(lsn).unwrap_err().to_string(), first.to_string());
        log.wait_durable(kept).unwrap();
        drop(log);
        let (_, found) = open(&disk).unwrap();
        assert_eq!(found[0].1, b"kept");
    }
}

#[test]
fn each_failing_operation_is_reported_and_loses_nothing_acknowledged() {
    for at in 0..120 {
        let disk = SimDisk::new();
        disk.set_faults(FaultPlan { error_at: Some(at), ..FaultPlan::default() });
        let mut acknowledged = 0;
        if let Ok((log, _)) = open(&disk) {
            for number in 0..30u8 {
                let Ok(lsn) = log.append(&[&[number; 600]]) else { break };
                if log.wait_durable(lsn).is_err() {
                    break;
                }
                acknowledged += 1;
                if log.truncate_before(Lsn(0)).is_err() {
                    break;
                }
            }
        }
        disk.crash(at);
        let (_, found) = open(&disk).unwrap();
        assert!(found.len() >= acknowledged, "fault at {at}");
    }
}

#[derive(Default)]
struct Watcher {
    last: AtomicU64,
    calls: AtomicU64,
}

impl LogObserver for Watcher {
    fn durable(&self, lsn: Lsn) {
        assert!(self.last.swap(lsn.0, Ordering::SeqCst) <= lsn.0, "progress goes forward");
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    fn poisoned(&self, _: &Error) {}
}

#[test]
fn threads_that_commit_together_share_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let watcher = Arc::new(Watcher::default());
    let options =
        LogOptions { segment_bytes: 1 << 20, observer: Some(watcher.clone()), ..LogOptions::default() };
    let vfs: Arc<dyn Vfs> = Arc::new(RealDisk);
    let log =
        Log::open(Arc::clone(&vfs), directory.path(), options.clone(), &mut |_, _| panic!("empty")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16u64 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..50u64 {
                    let lsn = log.append(&[&thread.to_le_bytes(), &number.to_le_bytes()]).unwrap();
                    log.wait_durable(lsn).unwrap();
                }
            });
        }
    });
    assert!(watcher.calls.load(Ordering::SeqCst) < 800 / 2, "syncs were not shared");
    drop(log);
    let mut next = [0u64; 16];
    let log = Log::open(vfs, directory.path(), options, &mut |_, record| {
        let (thread, number) = record.split_at(8);
        let thread = u64::from_le_bytes(thread.try_into().unwrap()) as usize;
        assert_eq!(next[thread].to_le_bytes(), number);
        next[thread] += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(next, [50; 16]);
    drop(log);
}

#[test]
fn records_nobody_waits_for_become_durable_by_themselves_and_a_future_completes() {
    let directory = tempfile::tempdir().unwrap();
    let log =
        Log::open(Arc::new(RealDisk), directory.path(), LogOptions::default(), &mut |_, _| Ok(())).unwrap();
    let lsn = log.append(&[b"quiet"]).unwrap();
    while log.durable_end() < lsn {
        std::thread::yield_now();
    }
    let lsn = log.append(&[b"awaited"]).unwrap();
    let mut future = Box::pin(log.durable(lsn));
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    while future.as_mut().poll(&mut context).is_pending() {
        std::thread::park();
    }
    assert!(log.durable_end() >= lsn);
}

use std::future::Future as _;

#[test]
fn a_record_far_longer_than_a_segment_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
    let vfs: Arc<dyn Vfs> = Arc::new(RealDisk);
    let record: Vec<u8> =
        (0..20u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let log = Log::open(Arc::clone(&vfs), directory.path(), options.clone(), &mut |_, _| Ok(())).unwrap();
    log.append(&[b"small"]).unwrap();
    log.append(&[&record]).unwrap();
    log.append(&[b"last"]).unwrap();
    log.close().unwrap();
    drop(log);
    let mut found = Vec::new();
    Log::open(vfs, directory.path(), options, &mut |_, bytes| {
        found.push(bytes.to_vec());
        Ok(())
    })
    .unwrap();
    assert!(found == [b"small".to_vec(), record, b"last".to_vec()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_mix_of_appends_syncs_releases_and_crashes_keeps_the_promises(
        steps in proptest::collection::vec((0u8..12, 0usize..6000, any::<u64>()), 1..60),
    ) {
        let disk = SimDisk::new();
        let (mut log, _) = open(&disk).unwrap();
        // Every record by where it ends, what was acknowledged, and from where on records must exist.
        let mut records: Records = Vec::new();
        let mut acknowledged = Lsn(0);
        let mut released = Lsn(0);
        for (kind, size, seed) in steps {
            match kind {
                0..=6 => {
                    let record = vec![seed as u8; size];
                    let lsn = log.append(&[&record]).unwrap();
                    records.push((lsn, record));
                }
                7..=8 => {
                    log.wait_durable(log.end()).unwrap();
                    acknowledged = log.end();
                }
                9 => {
                    let upto = records.get(records.len() / 2).map_or(Lsn(0), |(lsn, _)| *lsn);
                    let upto = upto.min(acknowledged);
                    log.truncate_before(upto).unwrap();
                    released = released.max(upto);
                }
                _ => {
                    if kind == 10 {
                        let after = disk.crash_image(seed);
                        std::mem::forget(std::mem::replace(&mut log, open(&after).unwrap().0));
                        disk.crash(seed);
                    } else {
                        log.close().unwrap();
                        acknowledged = log.end();
                    }
                    let (next, found) = open(&disk).unwrap();
                    log = next;
                    let last = found.last().map_or(released, |(lsn, _)| *lsn);
                    prop_assert!(last >= acknowledged);
                    records.retain(|(lsn, _)| *lsn <= last);
                    let expected: Vec<_> = records.iter().filter(|(lsn, _)| found.first().is_some_and(|first| *lsn >= first.0)).cloned().collect();
                    prop_assert!(found.first().is_none_or(|first| records.iter().all(|(lsn, _)| *lsn <= released || *lsn >= first.0)));
                    prop_assert_eq!(&found, &expected);
                    acknowledged = last;
                }
            }
        }
    }
}
