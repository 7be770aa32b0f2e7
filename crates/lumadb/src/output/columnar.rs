//! Results as Arrow and Parquet, batch by batch.

use std::io::Write;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::record_batch::RecordBatch;
use luma_model::arrow::field;
use luma_model::{ColumnBuilder, TextContext, parse_text};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::Failure;
use crate::client::{Column, Row};
use crate::output::Output;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Gathers rows into batches.
struct Batches {
    columns: Vec<Column>,
    schema: SchemaRef,
    builders: Vec<ColumnBuilder>,
    rows: usize,
}

impl Batches {
    fn new(columns: &[Column]) -> Self {
        let fields: Vec<_> =
            columns.iter().map(|column| field(&column.name, &column.data_type, true)).collect();
        let mut batches = Self {
            columns: columns.to_vec(),
            schema: Arc::new(Schema::new(fields)),
            builders: Vec::new(),
            rows: 0,
        };
        batches.renew();
        batches
    }

    fn renew(&mut self) -> Vec<ColumnBuilder> {
        let fresh = self.columns.iter().map(|column| ColumnBuilder::new(&column.data_type, BATCH_ROWS));
        self.rows = 0;
        std::mem::replace(&mut self.builders, fresh.collect())
    }

    /// Takes a row; gives a batch when it is full.
    fn push(&mut self, row: &Row) -> Result<Option<RecordBatch>, Failure> {
        let context = TextContext::default();
        for ((builder, column), text) in self.builders.iter_mut().zip(&self.columns).zip(row.values()) {
            match text {
                None => builder.append_null(),
                Some(text) => {
                    let value = parse_text(&column.data_type, text, &context)?;
                    builder.append(value.as_ref())?;
                }
            }
        }
        self.rows += 1;
        if self.rows < BATCH_ROWS { Ok(None) } else { self.take() }
    }

    /// What is left.
    fn take(&mut self) -> Result<Option<RecordBatch>, Failure> {
        if self.rows == 0 {
            return Ok(None);
        }
        let arrays = self.renew().into_iter().map(ColumnBuilder::finish).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map(Some)
            .map_err(|error| Failure::new(error.to_string()))
    }
}

/// Defines an output over a writer of batches.
macro_rules! columnar {
    ($(#[$doc:meta])* $name:ident, $writer:ty, $open:expr, $finish:expr) => {
        $(#[$doc])*
        pub(crate) struct $name<'a> {
            out: Option<Box<dyn Write + Send + 'a>>,
            state: Option<(Batches, $writer)>,
        }

        impl<'a> $name<'a> {
            pub(crate) fn new(out: Box<dyn Write + Send + 'a>) -> Self {
                Self { out: Some(out), state: None }
            }
        }

        impl Output for $name<'_> {
            fn begin(&mut self, columns: &[Column]) -> Result<(), Failure> {
                let out = self.out.take().ok_or_else(|| {
                    Failure::new("this format holds one result; run one statement at a time")
                })?;
                let batches = Batches::new(columns);
                let writer = $open(out, &batches.schema).map_err(failed)?;
                self.state = Some((batches, writer));
                Ok(())
            }

            fn row(&mut self, row: &Row) -> Result<(), Failure> {
                if let Some((batches, writer)) = &mut self.state
                    && let Some(batch) = batches.push(row)?
                {
                    writer.write(&batch).map_err(failed)?;
                }
                Ok(())
            }

            fn end(&mut self) -> Result<(), Failure> {
                let Some((mut batches, mut writer)) = self.state.take() else { return Ok(()) };
                if let Some(batch) = batches.take()? {
                    writer.write(&batch).map_err(failed)?;
                }
                $finish(writer).map_err(failed)
            }
        }
    };
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

columnar!(
    /// Writes an Arrow IPC stream.
    ArrowStream,
    StreamWriter<Box<dyn Write + Send + 'a>>,
    |out, schema: &SchemaRef| StreamWriter::try_new(out, schema),
    |mut writer: StreamWriter<_>| writer.finish()
);
columnar!(
    /// Writes an Arrow IPC file.
    ArrowFile,
    FileWriter<Box<dyn Write + Send + 'a>>,
    |out, schema: &SchemaRef| FileWriter::try_new(out, schema),
    |mut writer: FileWriter<_>| writer.finish()
);
columnar!(
    /// Writes a Parquet file, compressed with Zstd.
    Parquet,
    ArrowWriter<Box<dyn Write + Send + 'a>>,
    |out, schema: &SchemaRef| {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        ArrowWriter::try_new(out, Arc::clone(schema), Some(properties.build()))
    },
    |writer: ArrowWriter<_>| writer.close().map(drop)
);
