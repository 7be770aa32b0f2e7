//! What samples take in files, and how fast they are read back:
//! `cargo run --release -p luma-telemetry --example warm -- SERIES DAYS STEP_SECONDS [DIRECTORY OF CSV FILES]`.
//!
//! A fleet of which a quarter stands still, half are counters and a quarter walks at random with two decimals, flushed every two hours of its time and merged by days; then
//! series from CSV files (`timestamp,value`), if a directory is given. On a real disk in a temporary directory. Where
//! `EXPORT` names a directory, all samples are written there as VictoriaMetrics imports them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use luma_promql::{MatchOp, Matcher, Select, Source};
use luma_telemetry::{Batch, Metrics, MetricsOptions};
use luma_vfs::RealDisk;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DAY_MS: i64 = 86_400_000;

/// Bytes of memory that are the process' own and in use.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn open(directory: &Path) -> Outcome<Metrics> {
    let options = MetricsOptions { out_of_order_window_ms: i64::MAX, ..MetricsOptions::default() };
    Ok(Metrics::open(Arc::new(RealDisk), directory, options)?)
}

fn report(what: &str, metrics: &Metrics) {
    let stats = metrics.files();
    let each = stats.bytes as f64 / stats.rows.max(1) as f64;
    println!("{what}: {} samples in {} files, {each:.3} bytes each", stats.rows, stats.files);
}

/// A number that looks like chance: the mixer of SplitMix64.
fn scrambled(of: u64) -> u64 {
    let z = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes all samples of a store as lines of JSON: the labels of a series, its numbers and their times.
fn export(metrics: &Metrics, name: &str) -> Outcome<()> {
    let Some(directory) = std::env::var_os("EXPORT") else { return Ok(()) };
    let mut file = BufWriter::new(File::create(Path::new(&directory).join(name))?);
    let all = [Matcher::new(MatchOp::Regex, "__name__", ".+")?];
    for data in metrics.select(&Select { matchers: &all, start: i64::MIN, end: i64::MAX })? {
        let data = data?;
        let mut labels = String::new();
        luma_promql::answer::write_labels(&data.labels, &mut labels);
        let values: Vec<String> = data.floats.iter().map(|point| point.v.to_string()).collect();
        let times: Vec<String> = data.floats.iter().map(|point| point.t.to_string()).collect();
        let (values, times) = (values.join(","), times.join(","));
        writeln!(file, r#"{{"metric":{labels},"values":[{values}],"timestamps":[{times}]}}"#)?;
    }
    Ok(file.flush()?)
}

fn fleet(directory: &Path, series: usize, days: i64, step_ms: i64) -> Outcome<()> {
    let metrics = open(directory)?;
    let mut values = vec![0.0f64; series];
    let (mut batch, mut flushing) = (Batch::default(), 0.0);
    let (mut ingested, began) = (0u64, Instant::now());
    for round in 0..days * DAY_MS / step_ms {
        batch.clear();
        for (at, value) in values.iter_mut().enumerate() {
            let chance = (scrambled((at as u64) << 32 | round as u64) % 97) as i64;
            match at % 4 {
                0 => {}
                3 => *value = ((*value * 100.0).round() + (chance - 48) as f64) / 100.0,
                kind => *value += (kind as i64 * chance) as f64,
            }
            let (name, host) =
                (format!("node_metric_{}_total", at % 100), format!("host-{:04}.example.com:9100", at / 100));
            let mode = ["idle", "user", "system", "iowait"][at % 4];
            let labels = [("__name__", name.as_str()), ("instance", &host), ("job", "node"), ("mode", mode)];
            let id = batch.series(labels)?;
            batch.float(id, round * step_ms + at as i64 % 100, 0, *value);
        }
        ingested += batch.len() as u64;
        let pending = metrics.begin_append(&batch)?;
        if (round + 1) * step_ms % (DAY_MS / 12) == 0 {
            pending.wait()?;
            let began = Instant::now();
            metrics.flush(i64::MAX)?;
            flushing += began.elapsed().as_secs_f64();
            if round * step_ms < DAY_MS / 12 {
                report("first flush", &metrics);
            }
        }
    }
    let whole = began.elapsed().as_secs_f64();
    report("two hours a file", &metrics);
    println!("flushed {:.0} samples/s; {:.1} of {whole:.1} s", ingested as f64 / flushing, flushing);
    let began = Instant::now();
    while metrics.compact(i64::MAX)?.is_some() {}
    report("merged by days", &metrics);
    println!("merged {:.0} samples/s", ingested as f64 / began.elapsed().as_secs_f64());
    export(&metrics, "fleet.jsonl")?;
    drop(metrics);
    let (before, began) = (resident_bytes(), Instant::now());
    let metrics = open(directory)?;
    let each = resident_bytes().saturating_sub(before) / metrics.series_len().max(1) as u64;
    println!(
        "opened with {} series in {:.3} s, {each} bytes of memory each",
        metrics.series_len(),
        began.elapsed().as_secs_f64()
    );
    let one = [
        Matcher::equal("__name__", "node_metric_7_total"),
        Matcher::equal("instance", "host-0003.example.com:9100"),
    ];
    let many = [Matcher::new(MatchOp::Regex, "instance", "host-000.*")?];
    for (what, matchers) in [("one series", &one[..]), ("up to 1000 series", &many[..])] {
        for (span, start) in [("everything", 0), ("the last day", (days - 1) * DAY_MS)] {
            for attempt in ["first", "again"] {
                let began = Instant::now();
                let (mut found, mut samples) = (0, 0);
                for data in metrics.select(&Select { matchers, start, end: i64::MAX })? {
                    found += 1;
                    samples += data?.floats.len();
                }
                let took = began.elapsed().as_secs_f64();
                println!(
                    "{what}, {span}, {attempt}: {found} series, {samples} samples in {:.1} ms",
                    took * 1000.0
                );
            }
        }
    }
    Ok(())
}

/// Days since 1970 of a date, and the milliseconds of a time of day.
fn milliseconds(text: &str) -> Option<i64> {
    let mut numbers = text.split(['-', ' ', ':']).map(|part| part.split('.').next()?.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
}

fn csv(directory: &Path, files: &Path) -> Outcome<()> {
    let metrics = open(directory)?;
    for file in std::fs::read_dir(files)? {
        let path = file?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.replace(|character: char| !character.is_ascii_alphanumeric(), "_");
        let mut batch = Batch::default();
        let series = batch.series([("__name__", name.as_str())])?;
        for line in std::fs::read_to_string(&path)?.lines() {
            let Some((t, value)) = line.split_once(',') else { continue };
            if let (Some(t), Ok(value)) = (milliseconds(t), value.parse()) {
                batch.float(series, t, 0, value);
            }
        }
        metrics.append(&batch)?;
    }
    metrics.flush(i64::MAX)?;
    report("real series, two hours a file", &metrics);
    while metrics.compact(i64::MAX)?.is_some() {}
    report("real series, merged by days", &metrics);
    export(&metrics, "real.jsonl")
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: i64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (series, days, step) = (number(1000)?.max(1), number(30)?.max(1), number(60)?.max(1));
    let directory = tempfile::tempdir()?;
    fleet(&directory.path().join("fleet"), series as usize, days, step * 1000)?;
    arguments.next().map_or(Ok(()), |files| csv(&directory.path().join("real"), Path::new(&files)))
}
