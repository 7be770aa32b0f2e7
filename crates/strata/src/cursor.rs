//! Reads the runs of some series and some time from one file, in the order of series.
//!
//! Statistics tell which row groups, and the page index which pages of the series column may have a wanted
//! series. Those pages tell the rows; of the other columns only pages with such rows are read and unpacked.
//! The files are sorted, so this is exact to a page, and a Bloom filter would only save looking at that page
//! for a series that the file has not.
//!
//! Memory: a page of each column, the row ranges of one row group, and one run.

use std::sync::Arc;

use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;
use roaring::RoaringBitmap;

use luma_codec::decimal;

use crate::error::{Error, Result};
use crate::layout::Column;
use crate::open_file::{Opened, TableFile};
use crate::run::Run;
use crate::tombstone::Hidden;

type ParquetResult<T> = Result<T, ParquetError>;

/// Which samples, and what of them.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Which series; all if not given.
    pub series: Option<Arc<RoaringBitmap>>,
    pub from: i64,
    pub to: i64,
    /// Whether a run begins one sample before `from`, if its rows do.
    pub previous: bool,
    pub labels: bool,
}

impl Wanted {
    /// Whether one of the series from `first` to `last` is wanted.
    pub fn any_of(&self, first: u32, last: u32) -> bool {
        self.series.as_ref().is_none_or(|series| series.range_cardinality(first..=last) > 0)
    }

    fn has(&self, series: u32) -> bool {
        self.series.as_ref().is_none_or(|wanted| wanted.contains(series))
    }
}

/// A run and, if they were wanted, the labels of its series.
#[derive(Debug)]
pub(crate) struct Found {
    pub run: Run,
    pub labels: Option<String>,
}

/// A place in a file.
pub(crate) struct Cursor {
    file: Arc<TableFile>,
    opened: Arc<Opened>,
    wanted: Wanted,
    hidden: Hidden,
    next_group: usize,
    group: Option<Group>,
}

impl Cursor {
    pub fn new(file: Arc<TableFile>, wanted: Wanted, hidden: Hidden) -> Result<Self> {
        let opened = file.open()?;
        Ok(Self { file, opened, wanted, hidden, next_group: 0, group: None })
    }

    pub fn order(&self) -> u64 {
        self.file.entry.order
    }

    /// The next run with a wanted sample.
    pub fn next(&mut self) -> Result<Option<Found>> {
        self.advance().map_err(|error| Error::parquet(self.file.path(), error))
    }

    fn advance(&mut self) -> ParquetResult<Option<Found>> {
        loop {
            if let Some(group) = &mut self.group {
                if let Some(mut found) = group.next(&self.wanted)? {
                    if !self.hidden.is_empty() {
                        self.hidden.apply(&mut found.run);
                    }
                    if found.run.is_empty() {
                        continue;
                    }
                    return Ok(Some(found));
                }
                self.group = None;
            }
            let at = self.next_group;
            if at >= self.opened.metadata.num_row_groups() {
                return Ok(None);
            }
            self.next_group += 1;
            let metadata = self.opened.metadata.row_group(at);
            let series = bounds(metadata, Column::Series).unwrap_or((0, i64::from(u32::MAX)));
            let times = bounds(metadata, Column::Time).unwrap_or((i64::MIN, i64::MAX));
            if times.0 <= self.wanted.to
                && times.1 >= self.wanted.from
                && self.wanted.any_of(number(series.0)?, number(series.1)?)
            {
                self.group = Some(Group::new(&self.opened, at, &self.wanted)?);
            }
        }
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

/// The pages of a column of one row group.
fn pages(opened: &Opened, group: usize, column: Column) -> ParquetResult<Box<dyn PageReader>> {
    let metadata = opened.metadata.row_group(group);
    let index = opened.metadata.offset_index().and_then(|index| index.get(group)?.get(column as usize));
    let Some(index) = index else { return Err(ParquetError::General("it has no page index".to_owned())) };
    Ok(Box::new(SerializedPageReader::new(
        Arc::clone(&opened.input),
        metadata.column(column as usize),
        metadata.num_rows() as usize,
        Some(index.page_locations().clone()),
    )?))
}

/// A column of a row group, read from its beginning to its end with gaps.
struct Values<T: DataType> {
    reader: ColumnReaderImpl<T>,
    at: usize,
}

impl<T: DataType> Values<T> {
    fn new(opened: &Opened, group: usize, column: Column) -> ParquetResult<Self> {
        let descriptor = opened.metadata.row_group(group).column(column as usize).column_descr_ptr();
        Ok(Self { reader: ColumnReaderImpl::new(descriptor, pages(opened, group, column)?), at: 0 })
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
    fn read(&mut self, rows: std::ops::Range<usize>) -> ParquetResult<(Vec<i16>, Vec<T::T>)> {
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

/// A row group that is being read.
struct Group {
    /// The rows of wanted series, the last first.
    ranges: Vec<(u32, std::ops::Range<usize>)>,
    times: Values<Int64Type>,
    values: Option<Values<DoubleType>>,
    mantissas: Option<Values<Int64Type>>,
    scales: Option<Values<Int32Type>>,
    starts: Option<Values<Int64Type>>,
    payloads: Option<Values<ByteArrayType>>,
    labels: Option<Values<ByteArrayType>>,
    residuals: Option<Values<DoubleType>>,
    bases: Option<Values<Int64Type>>,
}

impl Group {
    fn new(opened: &Opened, group: usize, wanted: &Wanted) -> ParquetResult<Self> {
        let mut ranges = ranges(opened, group, wanted)?;
        ranges.reverse();
        Ok(Self {
            ranges,
            times: Values::new(opened, group, Column::Time)?,
            values: Values::optional(opened, group, Column::Value)?,
            mantissas: Values::optional(opened, group, Column::Mantissa)?,
            scales: Values::optional(opened, group, Column::Scale)?,
            starts: Values::optional(opened, group, Column::Start)?,
            payloads: Values::optional(opened, group, Column::Payload)?,
            labels: wanted.labels.then(|| Values::new(opened, group, Column::Labels)).transpose()?,
            residuals: Values::optional(opened, group, Column::Residual)?,
            bases: Values::optional(opened, group, Column::Base)?,
        })
    }

    fn next(&mut self, wanted: &Wanted) -> ParquetResult<Option<Found>> {
        while let Some((series, rows)) = self.ranges.pop() {
            let (_, mut times) = self.times.read(rows.clone())?;
            let from = times.partition_point(|t| *t < wanted.from);
            let to = times.partition_point(|t| *t <= wanted.to);
            if from >= to {
                continue;
            }
            let from = from - usize::from(wanted.previous && from > 0);
            times.truncate(to);
            times.drain(..from);
            let rows = rows.start + from..rows.start + to;
            let mut run = Run { series, times, values: vec![0.0; rows.len()], ..Run::default() };
            self.read_values(&mut run, &rows)?;
            let labels = match &mut self.labels {
                Some(labels) => {
                    let (_, found) = labels.read(rows.start..rows.start + 1)?;
                    found.first().map(|text| String::from_utf8_lossy(text.data()).into_owned())
                }
                None => None,
            };
            return Ok(Some(Found { run, labels }));
        }
        Ok(None)
    }

    fn read_values(&mut self, run: &mut Run, rows: &std::ops::Range<usize>) -> ParquetResult<()> {
        if let (Some(mantissas), Some(scales)) = (&mut self.mantissas, &mut self.scales) {
            let (levels, mut found) = mantissas.read(rows.clone())?;
            if let Some(bases) = &mut self.bases {
                let (_, bases) = bases.read(rows.clone())?;
                found
                    .iter_mut()
                    .zip(bases)
                    .for_each(|(mantissa, base)| *mantissa = mantissa.wrapping_sub(base));
            }
            let (_, scales) = scales.read(rows.clone())?;
            let mut found = found.into_iter().zip(scales);
            for (value, _) in run.values.iter_mut().zip(levels).filter(|(_, level)| *level > 0) {
                let number = found.next().and_then(|(mantissa, scale)| decimal::number(mantissa, scale));
                *value = number.ok_or_else(|| {
                    ParquetError::General("a mantissa has no scale, or one that is unknown".to_owned())
                })?;
            }
        }
        if let Some(residuals) = &mut self.residuals {
            let (levels, found) = residuals.read(rows.clone())?;
            let places = run.values.iter_mut().zip(levels).filter(|(_, level)| *level > 0);
            places.zip(found).for_each(|((value, _), residual)| *value += residual);
        }
        if let Some(values) = &mut self.values {
            let (levels, found) = values.read(rows.clone())?;
            let places = run.values.iter_mut().zip(levels).filter(|(_, level)| *level > 0);
            places.zip(found).for_each(|((value, _), found)| *value = found);
        }
        if let Some(starts) = &mut self.starts {
            let (levels, found) = starts.read(rows.clone())?;
            if !found.is_empty() {
                run.starts = vec![0; rows.len()];
                let places = run.starts.iter_mut().zip(levels).filter(|(_, level)| *level > 0);
                places.zip(found).for_each(|((start, _), found)| *start = found);
            }
        }
        if let Some(payloads) = &mut self.payloads {
            let (levels, found) = payloads.read(rows.clone())?;
            let places = (0u32..).zip(levels).filter(|(_, level)| *level > 0);
            run.payloads = places.zip(found).map(|((at, _), bytes)| (at, bytes.data().to_vec())).collect();
        }
        Ok(())
    }
}

/// The rows of wanted series in a row group.
fn ranges(
    opened: &Opened,
    group: usize,
    wanted: &Wanted,
) -> ParquetResult<Vec<(u32, std::ops::Range<usize>)>> {
    let column = Column::Series as usize;
    let rows = opened.metadata.row_group(group).num_rows() as usize;
    let offsets = opened.metadata.offset_index().and_then(|index| index.get(group)?.get(column));
    let bounds = opened.metadata.column_index().and_then(|index| index.get(group)?.get(column));
    let (Some(offsets), Some(ColumnIndexMetaData::INT64(bounds))) = (offsets, bounds) else {
        return Err(ParquetError::General("it has no page index".to_owned()));
    };
    let starts: Vec<usize> =
        offsets.page_locations().iter().map(|page| page.first_row_index as usize).collect();
    let mut column = Values::<Int64Type>::new(opened, group, Column::Series)?;
    let mut ranges: Vec<(u32, std::ops::Range<usize>)> = Vec::new();
    for (page, start) in starts.iter().enumerate() {
        let end = starts.get(page + 1).copied().unwrap_or(rows);
        let (Some(first), Some(last)) = (bounds.min_value(page), bounds.max_value(page)) else { continue };
        if !wanted.any_of(number(*first)?, number(*last)?) {
            continue;
        }
        let (_, found) = column.read(*start..end)?;
        let mut at = 0;
        while let Some(series) = found.get(at).copied() {
            let length = found.get(at..).unwrap_or_default().partition_point(|other| *other <= series);
            let series = number(series)?;
            if wanted.has(series) {
                let rows = start + at..start + at + length;
                match ranges.last_mut() {
                    Some((before, range)) if *before == series && range.end == rows.start => {
                        range.end = rows.end;
                    }
                    _ => ranges.push((series, rows)),
                }
            }
            at += length;
        }
    }
    Ok(ranges)
}
