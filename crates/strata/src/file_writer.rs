//! A new file: runs in, Parquet out.
//!
//! Rows gather until there is a row group of them; its columns are then encoded one after another. A file counts
//! once the manifest has it: until then it is an orphan, which the next start removes.
//!
//! Memory: a row group, some 60 MB, and its encoded columns.

use std::sync::Arc;

use luma_codec::decimal;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use crate::blocks::Output;
use crate::error::{Error, Result};
use crate::layout::{GROUP_ROWS, Mantissas, properties, schema, smallest};
use crate::manifest::FileEntry;
use crate::place::Place;
use crate::run::Run;

/// Bytes of different label texts that end a row group early, so that their dictionary stays small.
const GROUP_LABEL_BYTES: usize = 8 << 20;
/// Chained mantissas are not moved further than this; they themselves have 53 bits at most.
const CHAINED_MAX: i64 = 1 << 60;
/// Rows of the labels column that are handed over at once.
const LABEL_ROWS: usize = 8192;

/// An optional column: which rows have a value, and these.
struct Optional<T> {
    levels: Vec<i16>,
    values: Vec<T>,
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self { levels: Vec::new(), values: Vec::new() }
    }
}

impl<T> Optional<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.values.clear();
    }
}

/// The rows of the row group that comes next.
#[derive(Default)]
struct Group {
    series: Vec<i64>,
    times: Vec<i64>,
    values: Optional<f64>,
    mantissas: Optional<i64>,
    /// Where among the mantissas those of a run begin.
    run_starts: Vec<usize>,
    scales: Optional<i32>,
    starts: Optional<i64>,
    payloads: Optional<ByteArray>,
    labels: Vec<(ByteArray, usize)>,
    residuals: Optional<f64>,
    label_bytes: usize,
}

impl Group {
    fn push(&mut self, labels: &ByteArray, run: &Run, rows: std::ops::Range<usize>) {
        let count = rows.len();
        self.series.resize(self.series.len() + count, i64::from(run.series));
        self.times.extend(run.times.get(rows.clone()).unwrap_or_default());
        let scale = decimal::scale_of(run.values.get(rows.clone()).unwrap_or_default().iter().copied());
        let from = run.payloads.partition_point(|(at, _)| (*at as usize) < rows.start);
        self.run_starts.push(self.mantissas.values.len());
        let mut payloads = run.payloads.get(from..).unwrap_or_default().iter().peekable();
        for at in rows {
            let payload = payloads.next_if(|(place, _)| *place as usize == at);
            let value = run.values.get(at).copied().filter(|_| payload.is_none());
            let parts = scale.zip(value).and_then(|(scale, value)| decimal::parts(value, scale));
            self.values.push(value.filter(|_| parts.is_none()));
            self.mantissas.push(parts.map(|(mantissa, _)| mantissa));
            self.scales.push(parts.and(scale).map(|scale| scale as i32));
            self.residuals.push(parts.map(|(_, residual)| residual).filter(|residual| *residual != 0.0));
            self.starts.push(run.starts.get(at).copied().filter(|start| *start != 0));
            self.payloads.push(payload.map(|(_, bytes)| ByteArray::from(bytes.as_slice())));
        }
        self.labels.push((labels.clone(), count));
        self.label_bytes += labels.len();
    }

    /// The mantissas chained: each, and what was added to it.
    fn chained(&self) -> (Vec<i64>, Vec<i64>) {
        let mut starts = self.run_starts.iter().copied().peekable();
        let (mut all, mut bases) = (Vec::with_capacity(self.mantissas.values.len()), Vec::new());
        let mut base = 0;
        for (at, mantissa) in self.mantissas.values.iter().enumerate() {
            let mut begins = false;
            while starts.next_if(|start| *start <= at).is_some() {
                begins = true;
            }
            if begins {
                // Sums stay so small that no reader has to think of overflows.
                base = all.last().map_or(0, |last: &i64| last - mantissa);
                base = if base.abs() < CHAINED_MAX { base } else { 0 };
            }
            all.push(mantissa + base);
            bases.push(base);
        }
        (all, bases)
    }

    fn write(
        &mut self,
        mut group: SerializedRowGroupWriter<'_, Output>,
        mantissas: Option<(Vec<i64>, Vec<i64>)>,
    ) -> parquet::errors::Result<()> {
        let bases = match mantissas {
            Some((chained, bases)) => {
                self.mantissas.values = chained;
                Optional { levels: self.mantissas.levels.clone(), values: bases }
            }
            None => Optional { levels: vec![0; self.mantissas.levels.len()], values: Vec::new() },
        };
        write_column::<_, Int64Type>(&mut group, &self.series, None)?;
        write_column::<_, Int64Type>(&mut group, &self.times, None)?;
        write_column::<_, DoubleType>(&mut group, &self.values.values, Some(&self.values.levels))?;
        write_column::<_, Int64Type>(&mut group, &self.mantissas.values, Some(&self.mantissas.levels))?;
        write_column::<_, Int32Type>(&mut group, &self.scales.values, Some(&self.scales.levels))?;
        write_column::<_, Int64Type>(&mut group, &self.starts.values, Some(&self.starts.levels))?;
        write_column::<_, ByteArrayType>(&mut group, &self.payloads.values, Some(&self.payloads.levels))?;
        if let Some(mut column) = group.next_column()? {
            let mut rows: Vec<ByteArray> = Vec::with_capacity(LABEL_ROWS);
            for (labels, count) in &self.labels {
                let mut left = *count;
                while left > 0 {
                    let taken = left.min(LABEL_ROWS - rows.len());
                    rows.resize(rows.len() + taken, labels.clone());
                    left -= taken;
                    if rows.len() == LABEL_ROWS {
                        column.typed::<ByteArrayType>().write_batch(&rows, None, None)?;
                        rows.clear();
                    }
                }
            }
            column.typed::<ByteArrayType>().write_batch(&rows, None, None)?;
            column.close()?;
        }
        write_column::<_, DoubleType>(&mut group, &self.residuals.values, Some(&self.residuals.levels))?;
        write_column::<_, Int64Type>(&mut group, &bases.values, Some(&bases.levels))?;
        group.close()?;
        self.series.clear();
        self.times.clear();
        self.values.clear();
        self.mantissas.clear();
        self.run_starts.clear();
        self.scales.clear();
        self.starts.clear();
        self.payloads.clear();
        self.labels.clear();
        self.residuals.clear();
        self.label_bytes = 0;
        Ok(())
    }
}

fn write_column<W: std::io::Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> parquet::errors::Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()?;
    }
    Ok(())
}

/// A file that is being written. It goes when it is dropped before it is committed.
pub struct NewFile {
    number: u64,
    place: Place,
    /// What the file is written to, until its first row group tells how.
    output: Option<Output>,
    writer: Option<(SerializedFileWriter<Output>, Mantissas)>,
    group: Group,
    rows: u64,
    first_series: u32,
    last: Option<(u32, i64)>,
    times: (i64, i64),
    labels: ByteArray,
}

impl std::fmt::Debug for NewFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewFile")
            .field("path", &self.place.path())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// A file that is written and durable but not in the manifest yet.
#[derive(Debug)]
#[must_use = "a file counts when it is committed"]
pub struct Finished {
    pub(crate) entry: FileEntry,
    pub(crate) place: Place,
}

impl Finished {
    /// What the manifest will say about it.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Says that it replaces files with this order and has been merged so often.
    pub(crate) fn replacing(mut self, order: u64, level: u8) -> Self {
        self.entry.order = order;
        self.entry.level = level;
        self
    }
}

impl NewFile {
    pub(crate) fn new(number: u64, place: Place, output: Output) -> Self {
        Self {
            number,
            place,
            output: Some(output),
            writer: None,
            group: Group::default(),
            rows: 0,
            first_series: 0,
            last: None,
            times: (i64::MAX, i64::MIN),
            labels: ByteArray::from(""),
        }
    }

    /// Adds samples of a series: behind all that are there in the order of series and time.
    ///
    /// # Errors
    /// When they are not, or the file cannot be written.
    pub fn push(&mut self, labels: &str, run: &Run) -> Result<()> {
        let (Some(first), Some(last)) = (run.times.first(), run.times.last()) else { return Ok(()) };
        self.check(run, *first)?;
        if self.last.is_none() {
            self.first_series = run.series;
        }
        self.last = Some((run.series, *last));
        self.times = (self.times.0.min(*first), self.times.1.max(*last));
        if self.labels.data() != labels.as_bytes() {
            self.labels = ByteArray::from(labels);
        }
        let mut at = 0;
        while at < run.len() {
            let rows = (run.len() - at).min(GROUP_ROWS - self.group.times.len());
            self.group.push(&self.labels, run, at..at + rows);
            at += rows;
            self.rows += rows as u64;
            if self.group.times.len() == GROUP_ROWS || self.group.label_bytes >= GROUP_LABEL_BYTES {
                self.write_group()?;
            }
        }
        Ok(())
    }

    fn check(&self, run: &Run, first: i64) -> Result<()> {
        let bad = |what: &str| Error::BadRows { path: self.place.path().to_owned(), what: what.to_owned() };
        if self.last.is_some_and(|last| last >= (run.series, first)) {
            return Err(bad("series or times are not in ascending order"));
        }
        if !run.times.is_sorted_by(|a, b| a < b) {
            return Err(bad("the times of a run are not in ascending order"));
        }
        if run.values.len() != run.len() || !(run.starts.is_empty() || run.starts.len() == run.len()) {
            return Err(bad("the columns of a run differ in length"));
        }
        if !run.payloads.is_sorted_by(|a, b| a.0 < b.0)
            || run.payloads.last().is_some_and(|(at, _)| *at as usize >= run.len())
        {
            return Err(bad("the payloads of a run are at places that do not exist, or not in order"));
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        let Self { output, writer, group, .. } = self;
        let mut write = || {
            let known = writer.as_ref().map(|(_, how)| *how);
            let chained = (known != Some(Mantissas::Streams)).then(|| group.chained());
            if let (Some(output), Some((chained, _))) = (output.take(), &chained) {
                let how = smallest(&group.mantissas.values, chained)?;
                *writer = Some((SerializedFileWriter::new(output, schema()?, properties(how))?, how));
            }
            let Some((writer, how)) = writer else { return Ok(()) };
            group.write(writer.next_row_group()?, chained.filter(|_| *how == Mantissas::Chained))
        };
        write().map_err(|error| Error::parquet(self.place.path(), error))
    }

    /// How many bytes have been written.
    pub fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |(writer, _)| writer.bytes_written() as u64)
    }

    /// How many samples have been added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what is left and makes the file's content durable; its name is when it is committed. `None`, and no
    /// file, if nothing was added.
    pub fn finish(mut self) -> Result<Option<Finished>> {
        let Some((last_series, _)) = self.last else { return Ok(None) };
        if !self.group.times.is_empty() {
            self.write_group()?;
        }
        let Some((writer, _)) = self.writer else { return Ok(None) };
        let output = writer.into_inner().map_err(|error| Error::parquet(self.place.path(), error))?;
        let (bytes, sums) = output.finish().map_err(|error| Error::io(self.place.path(), error))?;
        let entry = FileEntry {
            number: self.number,
            order: self.number,
            level: 0,
            times: self.times,
            series: (self.first_series, last_series),
            rows: self.rows,
            bytes,
            sums: Arc::from(sums),
        };
        Ok(Some(Finished { entry, place: self.place }))
    }
}
