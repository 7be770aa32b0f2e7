//! The columns of a file and how they are encoded.
//!
//! One row per sample, sorted by series and time, so that any Parquet tool reads it. Rows of a series are
//! neighbours: their times differ by little, and mostly their mantissas, which the delta encoding packs into few bits (the
//! figures are in the README); the rest of a column costs next to nothing where it repeats or is null. Which encoding the
//! mantissas of a file get is tried out on some of them: those that are noise take less as streams of bytes.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::Int64Type;
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

/// Rows of a row group: what a writer holds in memory.
pub(crate) const GROUP_ROWS: usize = 1 << 20;
/// Rows of a page: what a reader unpacks to find one series.
pub(crate) const PAGE_ROWS: usize = 32 << 10;

/// The columns by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Series,
    Time,
    Value,
    Mantissa,
    Scale,
    Start,
    Payload,
    Labels,
    Residual,
    Base,
}

const SCHEMA: &str = "
message samples {
  required int64 series;
  required int64 ts (TIMESTAMP(MILLIS, true));
  optional double value;
  optional int64 mantissa;
  optional int32 scale;
  optional int64 start (TIMESTAMP(MILLIS, true));
  optional binary payload;
  required binary labels (STRING);
  optional double residual;
  optional int64 base;
}";

/// The schema of all files.
pub(crate) fn schema() -> Result<TypePtr> {
    Ok(Arc::new(parse_message_type(SCHEMA)?))
}

fn compression() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default())
}

/// How the mantissas of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mantissas {
    /// As differences. Each series goes on where the one before ended: a jump would cost hundreds of bytes, since
    /// neighbouring differences get one width. `base` is what was added to a series for that.
    Chained,
    /// As streams of bytes.
    Streams,
}

impl Mantissas {
    fn encoding(self) -> Encoding {
        match self {
            Self::Chained => Encoding::DELTA_BINARY_PACKED,
            Self::Streams => Encoding::BYTE_STREAM_SPLIT,
        }
    }
}

/// How a file is written.
pub(crate) fn properties(mantissas: Mantissas) -> WriterPropertiesPtr {
    let path = |name: &str| ColumnPath::from(name);
    let mut builder = WriterProperties::builder()
        .set_created_by("luma-strata".to_owned())
        .set_compression(compression())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(false)
        .set_sorting_columns(Some(vec![
            SortingColumn { column_idx: Column::Series as i32, descending: false, nulls_first: false },
            SortingColumn { column_idx: Column::Time as i32, descending: false, nulls_first: false },
        ]));
    for name in ["series", "ts"] {
        builder = builder.set_column_statistics_enabled(path(name), EnabledStatistics::Page);
    }
    for name in ["series", "ts", "start"] {
        builder = builder.set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    builder = builder.set_column_encoding(path("value"), Encoding::BYTE_STREAM_SPLIT);
    builder = builder.set_column_encoding(path("mantissa"), mantissas.encoding());
    for name in ["scale", "labels", "residual", "base"] {
        builder = builder.set_column_dictionary_enabled(path(name), true);
    }
    builder = builder.set_column_dictionary_page_size_limit(path("labels"), 16 << 20);
    Arc::new(builder.build())
}

/// Mantissas that encodings are tried on: so many neighbours from so many places.
const TRIAL: (usize, usize) = (4096, 8);

/// How mantissas take the fewest bytes, as far as some of them tell: given are they themselves and chained.
pub(crate) fn smallest(mantissas: &[i64], chained: &[i64]) -> Result<Mantissas> {
    let (rows, places) = TRIAL;
    let step = (mantissas.len() / places).max(rows);
    let size = |of: &[i64], how: Mantissas| -> Result<i64> {
        let some: Vec<i64> = of.chunks(step).flat_map(|chunk| chunk.iter().take(rows)).copied().collect();
        let properties =
            WriterProperties::builder().set_dictionary_enabled(false).set_compression(compression());
        let properties = Arc::new(properties.set_encoding(how.encoding()).build());
        let schema = Arc::new(parse_message_type("message trial { required int64 mantissa; }")?);
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
        let mut group = writer.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int64Type>().write_batch(&some, None, None)?;
            column.close()?;
        }
        Ok(group.close()?.compressed_size())
    };
    let streams = size(mantissas, Mantissas::Streams)? < size(chained, Mantissas::Chained)?;
    Ok(if streams { Mantissas::Streams } else { Mantissas::Chained })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_places_of_columns_are_those_of_the_schema() {
        let schema = schema().unwrap();
        for (column, name) in [
            (Column::Series, "series"),
            (Column::Time, "ts"),
            (Column::Value, "value"),
            (Column::Mantissa, "mantissa"),
            (Column::Scale, "scale"),
            (Column::Start, "start"),
            (Column::Payload, "payload"),
            (Column::Labels, "labels"),
            (Column::Residual, "residual"),
            (Column::Base, "base"),
        ] {
            assert_eq!(schema.get_fields()[column as usize].name(), name);
        }
        assert_eq!(schema.get_fields().len(), 10);
    }

    #[test]
    fn counters_are_chained_and_noise_is_streams_of_bytes() {
        let counter: Vec<i64> = (0..50_000).map(|at| at * 700 + at % 7).collect();
        assert_eq!(smallest(&counter, &counter).unwrap(), Mantissas::Chained);
        // Few different numbers, in an order that says nothing.
        let noise: Vec<i64> = (0..50_000i64).map(|at| 1_000_003 * (at * at % 31)).collect();
        assert_eq!(smallest(&noise, &noise).unwrap(), Mantissas::Streams);
        assert_eq!(smallest(&[], &[]).unwrap(), Mantissas::Chained);
    }
}
