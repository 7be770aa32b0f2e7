//! A stretch of a file's rows, decoded as a whole: those of one page of its series column.
//!
//! Statistics tell which row groups, and the page index which pages of the series column may have a wanted series at a
//! wanted time. Of the other columns only pages with such rows are read and unpacked. The files are sorted, so this is
//! exact to a page, and a Bloom filter would only save looking at that page for a series that the file has not.
//!
//! Who needs a unit first decodes it, for all who need it; nobody waits for another as long as there are others to decode.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use luma_codec::decimal;

use crate::error::{Error, Result};
use crate::layout::Column;
use crate::open_file::{Opened, TableFile};
use crate::rows::Rows;
use crate::scan::Wanted;

type ParquetResult<T> = Result<T, ParquetError>;

/// Which rows of which file.
#[derive(Debug)]
pub(crate) struct Unit {
    file: Arc<TableFile>,
    group: usize,
    rows: Range<usize>,
    /// The first and the last of its series.
    pub series: (u32, u32),
    decoded: Mutex<Option<Arc<Rows>>>,
}

impl Unit {
    /// The units of a file that may have what is wanted, in their order.
    pub fn of_file(file: &Arc<TableFile>, wanted: &Wanted) -> Result<Vec<Self>> {
        let opened = file.open()?;
        let groups = 0..opened.metadata.num_row_groups();
        let mut units = Vec::new();
        for group in groups {
            Self::of_group(file, &opened, group, wanted, &mut units)
                .map_err(|error| Error::parquet(file.path(), error))?;
        }
        Ok(units)
    }

    fn of_group(
        file: &Arc<TableFile>,
        opened: &Opened,
        group: usize,
        wanted: &Wanted,
        units: &mut Vec<Self>,
    ) -> ParquetResult<()> {
        let metadata = opened.metadata.row_group(group);
        let series = bounds(metadata, Column::Series).unwrap_or((0, i64::from(u32::MAX)));
        let times = bounds(metadata, Column::Time).unwrap_or((i64::MIN, i64::MAX));
        if !wanted.overlaps(times) || !wanted.any_of(number(series.0)?, number(series.1)?) {
            return Ok(());
        }
        let rows = metadata.num_rows() as usize;
        let no_index = || ParquetError::General("it has no page index".to_owned());
        let (starts, bounds) = pages(opened, group, Column::Series).ok_or_else(no_index)?;
        // Both columns have a page index; mostly their pages have the same rows.
        let times = pages(opened, group, Column::Time).filter(|(of_times, _)| *of_times == starts);
        for (page, start) in starts.iter().enumerate() {
            let end = starts.get(page + 1).copied().unwrap_or(rows);
            let (Some((first, last)), true) = (bounds.get(page), *start < end) else { continue };
            let times = times.as_ref().and_then(|(_, times)| times.get(page));
            let series = (number(*first)?, number(*last)?);
            if wanted.any_of(series.0, series.1) && times.is_none_or(|times| wanted.overlaps(*times)) {
                let file = Arc::clone(file);
                units.push(Self { file, group, rows: *start..end, series, decoded: Mutex::default() });
            }
        }
        Ok(())
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Its rows with the labels of each series.
    pub fn labelled(&self) -> Result<Rows> {
        self.decode(true)
    }

    /// Its rows; kept for others who read the file, if `keep`.
    pub fn rows(&self, keep: bool) -> Result<Arc<Rows>> {
        let mut decoded = self.decoded.lock();
        self.decoded(&mut decoded, keep)
    }

    /// Decodes it unless somebody is at it.
    pub fn prepare(&self, keep: bool) -> Result<()> {
        let Some(mut decoded) = self.decoded.try_lock() else { return Ok(()) };
        self.decoded(&mut decoded, keep).map(drop)
    }

    /// Whether somebody is decoding it.
    pub fn is_busy(&self) -> bool {
        self.decoded.is_locked()
    }

    /// Whether it is decoded.
    pub fn is_ready(&self) -> bool {
        self.decoded.try_lock().is_some_and(|decoded| decoded.is_some())
    }

    fn decoded(&self, decoded: &mut Option<Arc<Rows>>, keep: bool) -> Result<Arc<Rows>> {
        if let Some(rows) = decoded {
            return Ok(Arc::clone(rows));
        }
        let key = (self.file.entry.number, self.group as u32, self.rows.start as u32);
        let rows = match self.file.decoded.get(key) {
            Some(rows) => rows,
            None => {
                let rows = Arc::new(self.decode(false)?);
                if keep {
                    self.file.decoded.put(key, &rows);
                }
                rows
            }
        };
        *decoded = Some(Arc::clone(&rows));
        Ok(rows)
    }

    fn decode(&self, labels: bool) -> Result<Rows> {
        let opened = self.file.open()?;
        decode(&opened, self.group, self.rows.clone(), labels)
            .map_err(|error| Error::parquet(self.file.path(), error))
    }
}

fn number(series: i64) -> ParquetResult<u32> {
    u32::try_from(series).map_err(|_| ParquetError::General(format!("it has a series {series}")))
}

fn bounds(metadata: &RowGroupMetaData, column: Column) -> Option<(i64, i64)> {
    match metadata.column(column as usize).statistics()? {
        Statistics::Int64(of) => Some((*of.min_opt()?, *of.max_opt()?)),
        _ => None,
    }
}

/// The first row of each page of a column, and the smallest and the largest number.
type Pages = (Vec<usize>, Vec<(i64, i64)>);

/// Where the pages of a column of whole numbers begin, and the smallest and the largest number of each.
fn pages(opened: &Opened, group: usize, column: Column) -> Option<Pages> {
    let offsets = opened.metadata.offset_index()?.get(group)?.get(column as usize)?;
    let ColumnIndexMetaData::INT64(bounds) =
        opened.metadata.column_index()?.get(group)?.get(column as usize)?
    else {
        return None;
    };
    let starts =
        offsets.page_locations().iter().map(|page| page.first_row_index as usize).collect::<Vec<_>>();
    let bounds = (0..starts.len()).map(|page| Some((*bounds.min_value(page)?, *bounds.max_value(page)?)));
    Some((starts.clone(), bounds.collect::<Option<_>>()?))
}

/// A column of a row group, read from its beginning to its end with gaps.
struct Values<T: DataType> {
    reader: ColumnReaderImpl<T>,
    at: usize,
}

impl<T: DataType> Values<T> {
    fn new(opened: &Opened, group: usize, column: Column) -> ParquetResult<Self> {
        let metadata = opened.metadata.row_group(group);
        let index = opened.metadata.offset_index().and_then(|index| index.get(group)?.get(column as usize));
        let Some(index) = index else {
            return Err(ParquetError::General("it has no page index".to_owned()));
        };
        let pages: Box<dyn PageReader> = Box::new(SerializedPageReader::new(
            Arc::clone(&opened.input),
            metadata.column(column as usize),
            metadata.num_rows() as usize,
            Some(index.page_locations().clone()),
        )?);
        let descriptor = metadata.column(column as usize).column_descr_ptr();
        Ok(Self { reader: ColumnReaderImpl::new(descriptor, pages), at: 0 })
    }

    /// The column, unless all of its rows are null.
    fn optional(opened: &Opened, group: usize, column: Column) -> ParquetResult<Option<Self>> {
        let metadata = opened.metadata.row_group(group);
        let Some(of_column) = metadata.columns().get(column as usize) else {
            return Err(ParquetError::General(format!("it has no column {column:?}")));
        };
        let statistics = of_column.statistics();
        let nulls = statistics.and_then(Statistics::null_count_opt);
        if nulls == Some(metadata.num_rows() as u64) {
            return Ok(None);
        }
        Self::new(opened, group, column).map(Some)
    }

    /// Reads rows that are behind all that were read: which of them have a value, and these.
    fn read(&mut self, rows: Range<usize>) -> ParquetResult<(Vec<i16>, Vec<T::T>)> {
        let missing = || ParquetError::General("a column ends before its last row".to_owned());
        let gap = rows.start.checked_sub(self.at).ok_or_else(missing)?;
        if gap > 0 && self.reader.skip_records(gap)? != gap {
            return Err(missing());
        }
        let (mut levels, mut values) = (Vec::new(), Vec::with_capacity(rows.len()));
        let (read, ..) = self.reader.read_records(rows.len(), Some(&mut levels), None, &mut values)?;
        self.at = rows.end;
        if read == rows.len() { Ok((levels, values)) } else { Err(missing()) }
    }
}

/// The places of those rows that have a value, each with its value.
fn present<T>(levels: Vec<i16>, values: Vec<T>) -> impl Iterator<Item = (usize, T)> {
    let places = levels.into_iter().enumerate().filter(|(_, level)| *level > 0);
    places.zip(values).map(|((at, _), value)| (at, value))
}

fn decode(opened: &Opened, group: usize, rows: Range<usize>, labels: bool) -> ParquetResult<Rows> {
    let count = rows.len();
    let (_, series) = Values::<Int64Type>::new(opened, group, Column::Series)?.read(rows.clone())?;
    let (_, times) = Values::<Int64Type>::new(opened, group, Column::Time)?.read(rows.clone())?;
    let mut decoded = Rows { times, values: decode_values(opened, group, &rows)?, ..Rows::default() };
    let mut at = 0;
    while let Some(of_run) = series.get(at).copied() {
        let length = series.get(at..).unwrap_or_default().partition_point(|other| *other <= of_run);
        decoded.runs.push((number(of_run)?, at..at + length));
        at += length;
    }
    if let Some(mut starts) = Values::<Int64Type>::optional(opened, group, Column::Start)? {
        let (levels, found) = starts.read(rows.clone())?;
        if !found.is_empty() {
            decoded.starts = vec![0; count];
            present(levels, found).for_each(|(at, start)| decoded.starts[at] = start);
        }
    }
    if let Some(mut payloads) = Values::<ByteArrayType>::optional(opened, group, Column::Payload)? {
        let (levels, found) = payloads.read(rows.clone())?;
        let found = present(levels, found);
        decoded.payloads = found.map(|(at, bytes)| (at as u32, bytes.data().to_vec())).collect();
    }
    if labels {
        let mut column = Values::<ByteArrayType>::new(opened, group, Column::Labels)?;
        for (_, of_run) in &decoded.runs {
            let at = rows.start + of_run.start;
            let (_, found) = column.read(at..at + 1)?;
            let text = found.first().map(|text| String::from_utf8_lossy(text.data()).into_owned());
            decoded.labels.push(text.unwrap_or_default());
        }
    }
    Ok(decoded)
}

fn decode_values(opened: &Opened, group: usize, rows: &Range<usize>) -> ParquetResult<Vec<f64>> {
    let mut decoded = vec![0.0; rows.len()];
    let mantissas = Values::<Int64Type>::optional(opened, group, Column::Mantissa)?;
    let scales = Values::<Int32Type>::optional(opened, group, Column::Scale)?;
    if let (Some(mut mantissas), Some(mut scales)) = (mantissas, scales) {
        let (levels, mut found) = mantissas.read(rows.clone())?;
        if let Some(mut bases) = Values::<Int64Type>::optional(opened, group, Column::Base)? {
            let (_, bases) = bases.read(rows.clone())?;
            let both = found.iter_mut().zip(bases);
            both.for_each(|(mantissa, base)| *mantissa = mantissa.wrapping_sub(base));
        }
        let (_, scales) = scales.read(rows.clone())?;
        if scales.len() != found.len() {
            return Err(ParquetError::General("a mantissa has no scale".to_owned()));
        }
        let unknown = || ParquetError::General("a mantissa has a scale that is unknown".to_owned());
        for (at, (mantissa, scale)) in present(levels, found.into_iter().zip(scales).collect()) {
            decoded[at] = decimal::number(mantissa, scale).ok_or_else(unknown)?;
        }
    }
    if let Some(mut residuals) = Values::<DoubleType>::optional(opened, group, Column::Residual)? {
        let (levels, found) = residuals.read(rows.clone())?;
        present(levels, found).for_each(|(at, residual)| decoded[at] += residual);
    }
    if let Some(mut values) = Values::<DoubleType>::optional(opened, group, Column::Value)? {
        let (levels, found) = values.read(rows.clone())?;
        present(levels, found).for_each(|(at, value)| decoded[at] = value);
    }
    Ok(decoded)
}
