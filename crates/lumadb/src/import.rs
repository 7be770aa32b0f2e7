//! `lumadb import`: files into tables and collections.
//!
//! ```text
//! reading thread: file ─▶ records ─▶ COPY rows ─▶ (two batches at most) ─▶ connection: COPY + progress
//! ```
//!
//! Invariants: a batch and the record of how far the import is commit in one transaction, so an
//! import that was killed continues without doubling or losing a row; a row that does not fit is
//! reported with its line and reason and never dropped silently; memory is bounded by the batches
//! on their way.

mod columnar_source;
mod csv_reader;
mod csv_source;
mod encode;
mod json_scanner;
mod json_source;
mod load;
mod progress;
mod rejects;
mod source;
mod target;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::Failure;
use crate::client::{block_on, open};
use crate::command::Target;
use crate::config::Config;

/// Form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// Comma-separated values with a header.
    Csv,
    /// A JSON array of objects, a GeoJSON feature collection, or objects one after the other.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, as a file or a stream.
    Arrow,
}

impl FileFormat {
    /// The format of a file: the one given, or what its extension says.
    pub(crate) fn of(file: &Path, given: Option<Self>) -> Result<Self, Failure> {
        if let Some(format) = given {
            return Ok(format);
        }
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "txt" => Ok(Self::Csv),
            "json" | "geojson" => Ok(Self::Json),
            "ndjson" | "jsonl" => Ok(Self::Ndjson),
            "parquet" | "pq" => Ok(Self::Parquet),
            "arrow" | "arrows" | "feather" | "ipc" => Ok(Self::Arrow),
            _ => Err(Failure::new(format!(
                "the extension of {} does not say its format; give --format csv, json, ndjson, parquet or arrow",
                file.display()
            ))),
        }
    }
}

/// What `lumadb import` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The table or collection.
    table: String,
    /// The files, imported one after the other.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Form of the files, if their extensions do not say.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Make the table (for JSON, the collection) with types found in the first file.
    #[arg(long)]
    create: bool,
    /// Columns of the primary key of a table that is made, separated by commas.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "create")]
    key: Vec<String>,
    /// How a table that is made keeps its rows.
    #[arg(long, value_enum, default_value = "row", requires = "create")]
    engine: target::Engine,
    /// Unquoted text that means NULL in CSV; may be given more than once [default: empty and NA].
    #[arg(long, value_name = "STRING")]
    null: Vec<String>,
    /// What separates values in CSV; a tab in files that end in .tsv.
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<String>,
    /// Rows per transaction.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batch_rows: u64,
    /// Stop once more rows than this do not fit.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_rejects: u64,
    /// Where rows that do not fit are listed [default: FILE.rejects.csv in this directory].
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Forget how far an earlier import of the same file came, and begin anew.
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    target: Target,
}

/// How files are read.
#[derive(Clone, Debug)]
struct ReadOptions {
    nulls: Vec<String>,
    delimiter: Option<u8>,
    batch_rows: usize,
}

/// Runs the command.
pub(crate) fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let options = ReadOptions {
        nulls: if arguments.null.is_empty() {
            vec![String::new(), "NA".to_owned()]
        } else {
            arguments.null.clone()
        },
        delimiter: arguments.delimiter.as_deref().map(delimiter).transpose()?,
        batch_rows: arguments.batch_rows as usize,
    };
    let mut jobs = Vec::new();
    for file in &arguments.files {
        jobs.push((file.clone(), FileFormat::of(file, arguments.format)?));
    }
    let database = open(config, &arguments.target)?;
    let done = block_on(async {
        let mut client = database.connect().await?;
        progress::Progress::prepare(&mut client).await?;
        let mut finished = Vec::new();
        for (place, (file, format)) in jobs.iter().enumerate() {
            finished.push(load::file(&mut client, &arguments, &options, file, *format, place == 0).await?);
        }
        for progress in finished {
            progress.forget(&mut client).await?;
        }
        Ok(())
    });
    done.and(database.close())
}

fn delimiter(text: &str) -> Result<u8, Failure> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err(Failure::new("--delimiter takes one character that is not a quote or a line break")),
    }
}
