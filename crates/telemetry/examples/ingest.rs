//! How many samples go in per second, and what a series takes:
//! `cargo run --release -p luma-telemetry --example ingest -- SERIES SAMPLES_PER_BATCH`.
//!
//! A fleet sends its series every 15 seconds. The batches of one round share a sync, as those of senders that
//! send at the same time do, and are acknowledged before the next round. The log is on a real disk in a
//! temporary directory.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_promql::{Options, range};
use luma_telemetry::{Batch, Metrics, MetricsOptions};
use luma_vfs::RealDisk;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: i64 = 241;
const INTERVAL_MS: i64 = 15_000;

struct Fleet {
    labels: Vec<Vec<(String, String)>>,
    values: Vec<f64>,
}

impl Fleet {
    fn new(series: usize) -> Self {
        let labels = (0..series).map(|n| {
            let pair = |name: &str, value: String| (name.to_owned(), value);
            vec![
                pair("__name__", format!("node_metric_{}_total", n % 100)),
                pair("cluster", "production".into()),
                pair("cpu", (n % 8).to_string()),
                pair("instance", format!("host-{:04}.example.com:9100", n / 100)),
                pair("job", "node".into()),
                pair("mode", ["idle", "user", "system", "iowait"][n % 4].into()),
                pair("region", "eu-central".into()),
            ]
        });
        Self { labels: labels.collect(), values: vec![0.0; series] }
    }

    /// The samples of a part of the series: a quarter stands still, others grow by whole steps of their own.
    fn fill(
        &mut self,
        batch: &mut Batch,
        part: std::ops::Range<usize>,
        round: i64,
    ) -> Result<(), luma_telemetry::LabelError> {
        batch.clear();
        for at in part {
            let step = (at as i64 % 4) * ((at as i64 * 31 + round * 17) % 97);
            self.values[at] += step as f64;
            let series = batch.series(self.labels[at].iter().map(|(n, v)| (n.as_str(), v.as_str())))?;
            batch.float(series, round * INTERVAL_MS + at as i64 % 100, 0, self.values[at]);
        }
        Ok(())
    }
}

/// Bytes of memory that are the process' own and in use.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 =
        fields.get(11..13).unwrap_or_default().iter().filter_map(|f| f.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn run(directory: &Path, series: usize, per_batch: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut fleet = Fleet::new(series);
    let before = resident_bytes();
    let metrics = Metrics::open(Arc::new(RealDisk), directory, MetricsOptions::default())?;
    let mut batch = Batch::default();
    let (began, processor) = (Instant::now(), processor_time());
    for round in 0..ROUNDS {
        let mut pending = None;
        for start in (0..series).step_by(per_batch) {
            fleet.fill(&mut batch, start..(start + per_batch).min(series), round)?;
            pending = Some(metrics.begin_append(&batch)?);
        }
        if let Some(pending) = pending {
            pending.wait()?;
        }
        if round % 120 == 0 && round > 0 {
            let bytes = resident_bytes().saturating_sub(before);
            println!("{} samples a series: {} bytes a series", round + 1, bytes / series as u64);
        }
    }
    let samples = series as f64 * ROUNDS as f64;
    let (took, used) = (began.elapsed(), processor_time().saturating_sub(processor));
    println!(
        "{per_batch} samples a batch: {:.0} samples/s, {:.0} per second of processor time",
        samples / took.as_secs_f64(),
        samples / used.as_secs_f64()
    );
    for query in ["sum by (instance) (rate(node_metric_1_total[5m]))", "count({instance=~\"host-00.*\"})"] {
        let began = Instant::now();
        range(&metrics, query, 0, ROUNDS * INTERVAL_MS, 60_000, &Options::default())?;
        println!("{query}: {:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    }
    drop(metrics);
    let began = Instant::now();
    let metrics = Metrics::open(Arc::new(RealDisk), directory, MetricsOptions::default())?;
    println!("opened again with {} series in {:.2} s", metrics.series_len(), began.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (series, per_batch) = (number(10_000)?.max(1), number(1000)?.max(1));
    let directory = tempfile::tempdir()?;
    run(directory.path(), series, per_batch)
}
