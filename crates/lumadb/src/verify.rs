//! `lumadb verify`: reads every stored byte and checks it.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::Failure;
use crate::config::Config;
use crate::database::open_engine;
use crate::metrics;

/// What `lumadb verify` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Directory of a database that no server has open; that of the configuration if not given.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let directory = arguments.data_dir.clone().unwrap_or_else(|| config.data_dir());
    if !directory.is_dir() {
        return Err(Failure::new(format!("{} is not a directory", directory.display())));
    }
    let engine = open_engine(config, &directory)?;
    let progress = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let report = engine.verify(&mut |step| {
        progress.set_length(step.total_bytes);
        progress.set_position(step.done_bytes);
    });
    progress.finish_and_clear();
    let columns = report.is_ok().then(|| luma_query::verify_columns(&engine));
    let closed = engine.close();
    let report = report?;
    closed?;
    println!(
        "good: {} keys of {} keyspaces in {} files, {} bytes",
        report.entries, report.keyspaces, report.tables, report.bytes
    );
    if let Some(files) = columns.transpose()?
        && files.files > 0
    {
        println!("good: {} rows in {} files of columns, {} bytes", files.rows, files.files, files.bytes);
    }
    if metrics::exist(&directory) {
        let store = metrics::open(config, &directory)?;
        let files = store.verify().map_err(|error| Failure::new(format!("metrics: {error}")))?;
        println!("good: {} samples in {} files, {} bytes", files.rows, files.files, files.bytes);
    }
    Ok(())
}
