//! One import: from the target's definition to its last row.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::Failure;
use crate::client::{Client, ServerErrorOr, quote_identifier, quote_name};
use crate::import::columnar_source::{self, ColumnarSource};
use crate::import::csv_source::{self, CsvSource};
use crate::import::json_source::JsonSource;
use crate::import::progress::Progress;
use crate::import::rejects::Rejects;
use crate::import::source::{Batch, Reject, RowEnd, Source};
use crate::import::target::{self, Shape};
use crate::import::{Arguments, FileFormat, ReadOptions, encode};

/// Batches on their way between the reading thread and the connection.
const BATCHES_WAITING: usize = 2;

/// Imports a file; the record of it stays until the whole command is done.
pub(super) async fn file(
    client: &mut Client,
    arguments: &Arguments,
    options: &ReadOptions,
    path: &Path,
    format: FileFormat,
    first: bool,
) -> Result<Progress, Failure> {
    let about = |failure: Failure| failure.context(path.display());
    let mut progress = Progress::new(&arguments.table, path).map_err(about)?;
    if arguments.restart {
        progress.forget(client).await?;
    }
    let earlier = progress.earlier(client).await.map_err(about)?;
    let shape = match target::find(client, &arguments.table).await? {
        Some(_) if arguments.create && first && earlier.is_none() => {
            return Err(Failure::new(format!(
                "{} exists already; leave out --create to add rows to it",
                arguments.table
            )));
        }
        Some(shape) => shape,
        None if !arguments.create => {
            return Err(Failure::new(format!("{} does not exist; --create makes it", arguments.table)));
        }
        None => {
            let shape = infer(path, format, options).map_err(about)?;
            let definition = target::definition(&arguments.table, &shape, &arguments.key, arguments.engine)?;
            // One message and so one transaction: the target exists exactly if the import has begun.
            client.run(&format!("{definition}; {}", progress.record())).await?;
            shape
        }
    };
    let from = earlier.as_ref().map(|earlier| earlier.place).filter(|place| place.offset > 0);
    if let Some(earlier) = earlier {
        progress = earlier;
    }
    if progress.done {
        println!("{}: imported already by the command that was broken off", path.display());
        return Ok(progress);
    }
    if from.is_some() {
        println!("{}: going on after {} rows", path.display(), progress.rows);
    }
    let source: Box<dyn Source> = match (format, &shape) {
        (FileFormat::Json | FileFormat::Ndjson, shape) => {
            Box::new(JsonSource::open(path, format, options, shape, from).map_err(about)?)
        }
        (_, Shape::Collection) => {
            return Err(Failure::new(format!("{} is a collection, which takes JSON", arguments.table)));
        }
        (FileFormat::Csv, Shape::Table(columns)) => {
            Box::new(CsvSource::open(path, options, columns, from).map_err(about)?)
        }
        (_, Shape::Table(columns)) => {
            Box::new(ColumnarSource::open(path, format, options, columns, from).map_err(about)?)
        }
    };
    let rejects = Rejects::new(arguments.rejects.clone(), path, progress.rejected, arguments.max_rejects);
    let mut load = Load::new(client, &arguments.table, source.as_ref(), progress, rejects);
    load.run(source, path).await.map_err(about)?;
    Ok(load.progress)
}

fn infer(path: &Path, format: FileFormat, options: &ReadOptions) -> Result<Shape, Failure> {
    match format {
        FileFormat::Csv => csv_source::infer(path, options).map(Shape::Table),
        FileFormat::Json | FileFormat::Ndjson => Ok(Shape::Collection),
        FileFormat::Arrow | FileFormat::Parquet => columnar_source::infer(path, format).map(Shape::Table),
    }
}

/// An import under way.
struct Load<'a> {
    client: &'a mut Client,
    copy: String,
    progress: Progress,
    rejects: Rejects,
    bar: ProgressBar,
}

impl<'a> Load<'a> {
    fn new(
        client: &'a mut Client,
        table: &str,
        source: &dyn Source,
        progress: Progress,
        rejects: Rejects,
    ) -> Self {
        let columns: Vec<_> = source.columns().iter().map(|column| quote_identifier(&column.name)).collect();
        let copy = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", quote_name(table), columns.join(", "));
        let bar = match (std::io::stderr().is_terminal(), source.total()) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(total)) => ProgressBar::new(total),
            (true, None) => ProgressBar::no_length(),
        };
        let style = ProgressStyle::with_template("{wide_bar} {percent}% {msg} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { client, copy, progress, rejects, bar }
    }

    async fn run(&mut self, mut source: Box<dyn Source>, path: &Path) -> Result<(), Failure> {
        let (started, rows_before) = (Instant::now(), self.progress.rows);
        let (sender, mut batches) = mpsc::channel::<Result<Batch, Failure>>(BATCHES_WAITING);
        let reading = std::thread::spawn(move || {
            while let Some(batch) = source.next_batch().transpose() {
                let failed = batch.is_err();
                if sender.blocking_send(batch).is_err() || failed {
                    return;
                }
            }
        });
        // No batch waits for the disk: rows and record are kept or lost together, so an import that is
        // broken off goes on from what was kept. The last record is durable, and all before it with it.
        self.client.run("SET synchronous_commit = off").await?;
        while let Some(batch) = batches.recv().await {
            self.batch(batch?).await?;
        }
        self.client.run("RESET synchronous_commit").await?;
        if reading.join().is_err() {
            return Err(Failure::new("reading ended by a defect"));
        }
        self.progress.done = true;
        self.client.run(&self.progress.record()).await?;
        self.bar.finish_and_clear();
        let (rows, seconds) = (self.progress.rows - rows_before, started.elapsed().as_secs_f64());
        println!(
            "{}: {rows} rows in {seconds:.2} s, {:.0} per second; {} rejected{}",
            path.display(),
            rows as f64 / seconds.max(1e-9),
            self.rejects.count,
            if self.rejects.count > 0 {
                format!(", see {}", self.rejects.path().display())
            } else {
                String::new()
            }
        );
        Ok(())
    }

    /// Sends a batch; rows that the server refuses are found by halving and rejected one by one.
    async fn batch(&mut self, batch: Batch) -> Result<(), Failure> {
        for reject in &batch.rejects {
            self.rejects.add(reject)?;
        }
        let mut ranges = vec![(0, batch.rows.len())];
        while let Some((first, end)) = ranges.pop() {
            let refused = match self.rows(&batch, first, end).await {
                Ok(()) => continue,
                Err(ServerErrorOr::Server(error)) if is_about_data(&error.code) => error,
                Err(other) => return Err(other.into()),
            };
            if end - first > 1 {
                let middle = usize::midpoint(first, end);
                ranges.extend([(middle, end), (first, middle)]);
                continue;
            }
            let detail = refused.detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            let line = batch.rows.get(first).map_or(0, |row| row.line);
            let reason = format!("{}{detail}", refused.message);
            self.rejects.add(&Reject { line, reason, record: String::new() })?;
        }
        self.progress.place = batch.next;
        self.bar.set_position(batch.next.offset);
        self.bar.set_message(format!("{} rows", self.progress.rows));
        Ok(())
    }

    /// Sends some rows of a batch and the record of it in one transaction.
    async fn rows(&mut self, batch: &Batch, first: usize, end: usize) -> Result<(), ServerErrorOr> {
        if first == end {
            // Nothing but rejects: the next batch or the end records them.
            return Ok(());
        }
        let ends: &[RowEnd] = &batch.rows[first..end];
        let start = if first == 0 { 0 } else { batch.rows[first - 1].data };
        let mut after = self.progress.clone();
        after.place = ends.last().map_or(batch.next, |row| row.next);
        after.rows += ends.len() as u64;
        after.rejected = self.rejects.count;
        let stop = ends.last().map_or(start, |row| row.data);
        let sql = format!("{}; {}", self.copy, after.record());
        self.client.copy_in(&sql).await.map_err(ServerErrorOr::Failure)?;
        let data = [encode::HEADER, &batch.data[start..stop], encode::TRAILER];
        for part in data {
            self.client.copy_data(part).await.map_err(ServerErrorOr::Failure)?;
        }
        self.client.copy_end().await?;
        self.progress = after;
        Ok(())
    }
}

/// Whether an error is about a row, or about too many at once, so that fewer may go well.
fn is_about_data(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23") || matches!(code, "53400" | "54000")
}
