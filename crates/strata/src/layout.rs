//! The columns of a file and how they are encoded.
//!
//! One row per sample, sorted by series and time, so that any Parquet tool reads it. Rows of a series are
//! neighbours: their times and mantissas differ by little, which the delta encoding packs into few bits (the
//! figures are in the README); the rest of a column costs next to nothing where it repeats or is null.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
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
}";

/// The schema of all files.
pub(crate) fn schema() -> Result<TypePtr> {
    Ok(Arc::new(parse_message_type(SCHEMA)?))
}

/// How files are written.
pub(crate) fn properties() -> WriterPropertiesPtr {
    let path = |name: &str| ColumnPath::from(name);
    let mut builder = WriterProperties::builder()
        .set_created_by("luma-strata".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_sorting_columns(Some(vec![
            SortingColumn { column_idx: Column::Series as i32, descending: false, nulls_first: false },
            SortingColumn { column_idx: Column::Time as i32, descending: false, nulls_first: false },
        ]));
    for name in ["series", "ts", "mantissa", "start"] {
        builder = builder.set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    builder = builder.set_column_encoding(path("value"), Encoding::BYTE_STREAM_SPLIT);
    for name in ["scale", "labels"] {
        builder = builder.set_column_dictionary_enabled(path(name), true);
    }
    builder = builder.set_column_dictionary_page_size_limit(path("labels"), 16 << 20);
    for name in ["payload", "labels"] {
        builder = builder.set_column_statistics_enabled(path(name), EnabledStatistics::Chunk);
    }
    Arc::new(builder.build())
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
        ] {
            assert_eq!(schema.get_fields()[column as usize].name(), name);
        }
        assert_eq!(schema.get_fields().len(), 8);
    }
}
