//! Runs every engine through every group, each in a process of its own, in rounds.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;

use crate::engine::{NAMES, Result};
use crate::report;
use crate::workloads::GROUPS;

/// What is run.
#[derive(Args)]
pub struct Plan {
    /// Share of the full size; 0.02 is a run of minutes, 1.0 one of hours
    #[arg(long, default_value_t = 0.02)]
    scale: f64,
    /// Rounds over all engines; the table shows medians
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// The longest one measurement may take (overwrites twice, the tail five times that)
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Engines, separated by commas; all if not given
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Groups of workloads, separated by commas; all that suit a small scale if not given
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// LZ4 where the engine has it, and values that can be compressed by half
    #[arg(long)]
    compressed: bool,
    /// Where databases are made; a temporary directory if not given
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Past this a worker is ended, and the engine has no figure.
const WORKER_TIME_MAX: Duration = Duration::from_secs(3600);

fn chosen<'a>(
    what: &str,
    wanted: &'a [String],
    all: Vec<&'a str>,
    default: Vec<&'a str>,
) -> Result<Vec<&'a str>> {
    if wanted.is_empty() {
        return Ok(default);
    }
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(format!("there is no {what} {unknown}; there are {}", all.join(", ")).into());
    }
    Ok(wanted.iter().map(String::as_str).collect())
}

/// The folder of results, beside the sources.
pub fn results_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

pub fn run(plan: &Plan) -> Result<()> {
    let engines = chosen("engine", &plan.engines, NAMES.to_vec(), NAMES.to_vec())?;
    let all = GROUPS.iter().map(|(name, ..)| *name).collect();
    let quick =
        GROUPS.iter().filter(|(.., quick)| *quick || plan.scale >= 0.1).map(|(name, ..)| *name).collect();
    let groups = chosen("group", &plan.groups, all, quick)?;
    let results = results_directory();
    std::fs::create_dir_all(&results)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let path = results.join(format!("{now}.jsonl"));
    let mut out = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let start = Instant::now();
    for group in &groups {
        for round in 0..plan.rounds {
            for engine in &engines {
                eprintln!("[{:5.0} s] {group}, round {}, {engine}", start.elapsed().as_secs_f64(), round + 1);
                match worker(plan, engine, group, round) {
                    Ok(lines) => out.write_all(&lines)?,
                    // An engine that fails has no figure in these rows; the others go on.
                    Err(error) => eprintln!("{engine} failed in {group}: {error}"),
                }
            }
        }
    }
    drop(out);
    report::report(Some(path))
}

fn worker(plan: &Plan, engine: &str, group: &str, round: u32) -> Result<Vec<u8>> {
    let directory = match &plan.directory {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let out = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["worker", "--engine", engine, "--group", group, "--round", &round.to_string()]);
    command.args(["--scale", &plan.scale.to_string(), "--seconds", &plan.seconds.to_string()]);
    command.arg("--directory").arg(directory.path());
    if plan.compressed {
        command.arg("--compressed");
    }
    let mut child = command.stdin(Stdio::null()).stdout(out.reopen()?).spawn()?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if start.elapsed() > WORKER_TIME_MAX => {
                child.kill()?;
                break child.wait()?;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let lines = std::fs::read(out.path())?;
    if !status.success() {
        eprintln!("{engine} ended with {status} in {group}; what it measured before is kept");
    }
    Ok(lines)
}
