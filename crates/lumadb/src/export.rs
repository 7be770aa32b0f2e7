//! `lumadb export`: a table or the rows of a query into a file.
//!
//! Rows are written as they come; the file appears under its name only once it is whole.

use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::Failure;
use crate::client::{Client, Event, block_on, open, quote_name};
use crate::command::Target;
use crate::config::Config;
use crate::import::FileFormat;
use crate::output::{ArrowFile, Csv, Json, Ndjson, Output, Parquet};

/// What `lumadb export` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A table, a collection, or a query.
    #[arg(value_name = "QUERY|TABLE")]
    source: String,
    /// The file; its extension gives the format.
    file: PathBuf,
    /// Form of the file, if its extension does not say.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let format = FileFormat::of(&arguments.file, arguments.format)?;
    let partial = partial_name(&arguments.file);
    let file = File::create(&partial)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", partial.display())))?;
    let database = open(config, &arguments.target)?;
    let exported = block_on(async {
        let mut client = database.connect().await?;
        export(&mut client, &query(&arguments.source), format, file).await
    });
    let exported = database.close().and(exported);
    match exported {
        Ok(rows) => {
            std::fs::rename(&partial, &arguments.file)?;
            println!("{rows} rows in {}", arguments.file.display());
            Ok(())
        }
        Err(failure) => {
            let _ = std::fs::remove_file(&partial);
            Err(failure)
        }
    }
}

async fn export(client: &mut Client, sql: &str, format: FileFormat, file: File) -> Result<u64, Failure> {
    let progress =
        if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{spinner} {human_pos} rows, {per_sec}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let disk = file.try_clone()?;
    let mut output = writer(format, file);
    let (mut rows, mut failed, mut began) = (0, None, false);
    client.send(sql).await?;
    loop {
        match client.event().await? {
            Event::Columns(columns) => {
                output.begin(&columns)?;
                began = true;
            }
            Event::Row(row) => {
                output.row(&row)?;
                rows += 1;
                progress.inc(1);
            }
            Event::Error(error) => failed = Some(error.show(sql)),
            Event::CopyIn => client.copy_refuse().await?,
            Event::Ready => break,
            _ => {}
        }
    }
    progress.finish_and_clear();
    match failed {
        Some(message) => Err(Failure::new(message)),
        None if !began => Err(Failure::new("the statement gives no rows to export")),
        None => {
            output.end()?;
            drop(output);
            disk.sync_all()?;
            Ok(rows)
        }
    }
}

fn writer(format: FileFormat, file: File) -> Box<dyn Output> {
    let out = Box::new(BufWriter::with_capacity(256 << 10, file));
    match format {
        FileFormat::Csv => Box::new(Csv::new(out)),
        FileFormat::Json => Box::new(Json::new(out)),
        FileFormat::Ndjson => Box::new(Ndjson::new(out)),
        FileFormat::Arrow => Box::new(ArrowFile::new(out)),
        FileFormat::Parquet => Box::new(Parquet::new(out)),
    }
}

/// The query that a source means: a name stands for all of its rows.
fn query(source: &str) -> String {
    let source = source.trim().trim_end_matches(';');
    let is_name =
        !source.contains(|letter: char| letter.is_whitespace() || letter == '(') || source.starts_with('"');
    if is_name { format!("SELECT * FROM {}", quote_name(source)) } else { source.to_owned() }
}

fn partial_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_all_rows_and_a_query_for_itself() {
        assert_eq!(query("weather"), "SELECT * FROM \"weather\"");
        assert_eq!(query("a.b"), "SELECT * FROM \"a\".\"b\"");
        assert_eq!(query("SELECT 1;"), "SELECT 1");
        assert_eq!(query("\"my table\""), "SELECT * FROM \"my table\"");
    }
}
