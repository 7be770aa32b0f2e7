//! Lightning and its peers under the same load, on this machine, in one run.
//!
//! `run` measures, `report` prints the table of ratios and draws the plots. Every engine works in a process
//! of its own; rounds go over all engines in turn, so that what the machine does meanwhile hits all.

mod data;
mod driver;
mod engine;
mod engines;
mod losses;
mod measure;
mod plot;
mod report;
mod workloads;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::engine::Result;
use crate::measure::Recorder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Compares Lightning with other embedded engines")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Measures and keeps the figures as lines of JSON
    Run(driver::Plan),
    /// Prints the table of a run and draws its plots beside it
    Report {
        /// The figures; the newest ones if not given
        results: Option<PathBuf>,
    },
    /// Runs one group of workloads on one engine (`run` calls this)
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        engine: String,
        #[arg(long)]
        group: String,
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        scale: f64,
        #[arg(long)]
        seconds: f64,
        #[arg(long)]
        round: u32,
        #[arg(long)]
        compressed: bool,
    },
    /// Writes and is killed (a worker calls this)
    #[command(hide = true)]
    WriteAndDie {
        #[arg(long)]
        engine: String,
        #[arg(long)]
        count: u64,
        #[arg(long)]
        directory: PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        What::Run(plan) => driver::run(&plan),
        What::Report { results } => report::report(results),
        What::Worker { engine, group, directory, scale, seconds, round, compressed } => {
            let (_, work, _) = workloads::GROUPS
                .iter()
                .find(|(name, ..)| *name == group)
                .ok_or_else(|| format!("there is no group {group}"))?;
            work(&workloads::Run {
                engine: &engine,
                directory: &directory,
                scale,
                time: Duration::from_secs_f64(seconds),
                compressed,
                recorder: Recorder { engine: engine.clone(), round },
            })
        }
        What::WriteAndDie { engine, count, directory } => {
            workloads::write_and_die(&engine, &directory, count)
        }
    }
}
