//! What is measured: rates, latencies, bytes written and held.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::engine::Result;

/// One figure of one engine in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub engine: String,
    pub round: u32,
    /// The row of the table.
    pub workload: String,
    pub value: f64,
    pub unit: String,
    pub higher_is_better: bool,
    /// Microseconds at 50, 99, 99.9 % and the longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<[f64; 4]>,
    /// Processor seconds of the whole process during the measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_s: Option<f64>,
}

/// Writes figures as lines of JSON.
pub struct Recorder {
    pub engine: String,
    pub round: u32,
}

impl Recorder {
    pub fn record(&self, workload: &str, value: f64, unit: &str, higher_is_better: bool) -> Result<()> {
        self.write(&Figure {
            engine: self.engine.clone(),
            round: self.round,
            workload: workload.into(),
            value,
            unit: unit.into(),
            higher_is_better,
            latency_us: None,
            cpu_s: None,
        })
    }

    pub fn rate(&self, workload: &str, run: &Timed) -> Result<()> {
        let at = |quantile| run.latency.value_at_quantile(quantile) as f64 / 1000.0;
        self.write(&Figure {
            engine: self.engine.clone(),
            round: self.round,
            workload: workload.into(),
            value: run.operations as f64 / run.wall.as_secs_f64(),
            unit: "1/s".into(),
            higher_is_better: true,
            latency_us: (!run.latency.is_empty()).then(|| [at(0.5), at(0.99), at(0.999), at(1.0)]),
            cpu_s: Some(run.cpu.as_secs_f64()),
        })
    }

    fn write(&self, figure: &Figure) -> Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, figure)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

/// A finished measurement.
pub struct Timed {
    pub operations: u64,
    pub wall: Duration,
    pub cpu: Duration,
    pub latency: Histogram<u64>,
}

/// How long something is measured: until either is reached.
#[derive(Clone, Copy)]
pub struct Limit {
    pub operations: u64,
    pub time: Duration,
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000_000, 3)?)
}

/// Runs `step(n)` for n = 0, 1, 2, ... and times every `sample`-th.
pub fn timed(limit: Limit, sample: u64, mut step: impl FnMut(u64) -> Result<()>) -> Result<Timed> {
    let mut latency = histogram()?;
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut operations = 0;
    while operations < limit.operations {
        if operations % sample == 0 {
            let before = Instant::now();
            step(operations)?;
            let after = Instant::now();
            latency.saturating_record((after - before).as_nanos() as u64);
            if after - start > limit.time {
                operations += 1;
                break;
            }
        } else {
            step(operations)?;
        }
        operations += 1;
    }
    Ok(Timed { operations, wall: start.elapsed(), cpu: cpu_time() - cpu, latency })
}

/// Runs a measurement on several threads and adds them up; `work` gets the thread's number.
pub fn timed_threads(threads: u64, work: impl Fn(u64) -> Result<Timed> + Sync) -> Result<Timed> {
    let (start, cpu) = (Instant::now(), cpu_time());
    let parts: Vec<Result<Timed>> = std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect()
    });
    let wall = start.elapsed();
    let mut sum = Timed { operations: 0, wall, cpu: cpu_time() - cpu, latency: histogram()? };
    for part in parts {
        let part = part?;
        sum.operations += part.operations;
        sum.latency.add(part.latency)?;
    }
    Ok(sum)
}

/// Processor time of this process.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux and the pointer is to a local.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn field_of(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes that this process had written to the disk, or to files that are still to be written.
pub fn written_bytes() -> u64 {
    field_of("/proc/self/io", "write_bytes:")
}

/// Memory of this process that is resident, mapped files included.
pub fn resident_bytes() -> u64 {
    field_of("/proc/self/status", "VmRSS:") << 10
}

/// Bytes that files in a directory take on the disk, a file of two names once.
pub fn disk_bytes(directory: &Path) -> Result<u64> {
    let mut files = HashSet::new();
    disk_bytes_unless(directory, &mut files)
}

fn disk_bytes_unless(directory: &Path, counted: &mut HashSet<u64>) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // A file may go while it is looked at.
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            sum += disk_bytes_unless(&entry.path(), counted)?;
        } else if counted.insert(about.ino()) {
            sum += about.blocks() * 512;
        }
    }
    Ok(sum)
}

/// Asks the kernel to forget what it has cached of the files in a directory.
pub fn drop_page_cache(directory: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_page_cache(&path)?;
        } else if let Ok(file) = std::fs::File::open(&path) {
            file.sync_all()?;
            // SAFETY: the descriptor is open.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
    Ok(())
}
