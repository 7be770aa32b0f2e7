//! One file into batches.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use luma_model::arrow::{CellReader, ColumnBuilder, arrow_type, data_type};
use luma_model::{DataType, Error, ErrorKind, Result, Value};
use luma_vfs::{Vfs, VfsFile};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::copy::decode::Decoder;
use crate::external::Format;
use crate::external::location::failed;
use crate::external::source::Source;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Bytes read at a time from text files.
const CHUNK_BYTES: u64 = 256 << 10;
/// Bytes read at a time from pages of Parquet files.
const READ_BYTES: u64 = 64 << 10;

/// The bytes of a file for the Parquet library.
#[derive(Clone, Debug)]
pub(crate) struct FileBytes {
    file: Arc<dyn VfsFile>,
    length: u64,
}

impl FileBytes {
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path) -> Result<Self> {
        let opened = vfs.open(path).and_then(|file| Ok((file.len()?, file)));
        let (length, file) = opened.map_err(|error| failed("open", path, &error))?;
        Ok(Self { file, length })
    }

    /// Bytes from a place on, fewer at the end.
    pub(crate) fn read(&self, start: u64, length: u64) -> std::io::Result<Bytes> {
        let length = length.min(self.length.saturating_sub(start));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        self.length
    }
}

/// A file read from a place on.
#[derive(Debug)]
pub(crate) struct From {
    bytes: FileBytes,
    at: u64,
    ready: Cursor<Bytes>,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.ready.position() >= self.ready.get_ref().len() as u64 {
            let next = self.bytes.read(self.at, READ_BYTES)?;
            self.at += next.len() as u64;
            self.ready = Cursor::new(next);
        }
        self.ready.read(buffer)
    }
}

impl ChunkReader for FileBytes {
    type T = From;

    fn get_read(&self, start: u64) -> parquet::errors::Result<From> {
        Ok(From { bytes: self.clone(), at: start, ready: Cursor::new(Bytes::new()) })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are past the end of the file")));
        }
        Ok(self.read(start, length as u64)?)
    }
}

/// A file from its beginning to its end.
pub(super) struct Chunks {
    path: PathBuf,
    bytes: FileBytes,
    at: u64,
}

impl Chunks {
    pub(super) fn open(vfs: &dyn Vfs, path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), bytes: FileBytes::open(vfs, path)?, at: 0 })
    }

    /// How many bytes were given.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The next bytes; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes =
            self.bytes.read(self.at, CHUNK_BYTES).map_err(|error| failed("read", &self.path, &error))?;
        self.at += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::BadCopyFormat,
        format!("{}: not a Parquet file that can be read: {error}", path.display()),
    )
}

/// What a Parquet file's footer says, with texts in the form that queries have.
fn footer(vfs: &dyn Vfs, path: &Path) -> Result<(FileBytes, ArrowReaderMetadata)> {
    let bytes = FileBytes::open(vfs, path)?;
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())
        .map_err(|error| damaged(path, &error))?;
    let viewed = |field: &Field| match field.data_type() {
        ArrowType::Utf8 | ArrowType::LargeUtf8 => field.clone().with_data_type(ArrowType::Utf8View),
        ArrowType::Binary | ArrowType::LargeBinary => field.clone().with_data_type(ArrowType::BinaryView),
        _ => field.clone(),
    };
    let fields: Vec<Field> = metadata.schema().fields().iter().map(|field| viewed(field)).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata.schema().metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options);
    Ok((bytes, metadata.map_err(|error| damaged(path, &error))?))
}

/// The columns of a Parquet file.
pub(super) fn parquet_columns(vfs: &dyn Vfs, path: &Path) -> Result<Vec<(String, DataType)>> {
    let (_, metadata) = footer(vfs, path)?;
    metadata.schema().fields().iter().map(|field| Ok((field.name().clone(), data_type(field)?))).collect()
}

/// Rows of each row group of a Parquet file.
pub(super) fn group_rows(vfs: &dyn Vfs, path: &Path) -> Result<Vec<u64>> {
    let (_, metadata) = footer(vfs, path)?;
    Ok(metadata.metadata().row_groups().iter().map(|group| group.num_rows() as u64).collect())
}

/// A part of a source that is read by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Which file.
    pub file: usize,
    /// Which row group of it; the whole file without.
    pub group: Option<usize>,
}

/// A part on its way.
pub(super) enum Batches {
    Parquet {
        path: PathBuf,
        reader: Box<ParquetRecordBatchReader>,
        /// For each column wanted, where it is in what the reader gives.
        places: Vec<usize>,
        types: Vec<DataType>,
    },
    Text(Box<TextBatches>),
}

/// A text file on its way.
pub(super) struct TextBatches {
    chunks: Chunks,
    decoder: Decoder,
    /// Which of the row's values are wanted.
    places: Vec<usize>,
    types: Vec<DataType>,
    source: Arc<Source>,
}

impl Batches {
    /// Begins to read the columns at these places of the source's.
    pub(super) fn open(source: &Arc<Source>, part: Part, places: &[usize]) -> Result<Self> {
        let path = source.files.get(part.file).ok_or_else(|| Error::internal("no such file"))?;
        let wanted: Vec<&(String, DataType)> =
            places.iter().filter_map(|place| source.columns.get(*place)).collect();
        let types = wanted.iter().map(|(_, data_type)| data_type.clone()).collect();
        if source.format != Format::Parquet {
            let decoder = Decoder::new(&source.options, path.display().to_string(), source.columns.clone());
            let chunks = Chunks::open(source.vfs.as_ref(), path)?;
            let (places, source) = (places.to_vec(), Arc::clone(source));
            return Ok(Self::Text(Box::new(TextBatches { chunks, decoder, places, types, source })));
        }
        let (bytes, metadata) = footer(source.vfs.as_ref(), path)?;
        let fields = metadata.schema().fields();
        let mut roots = Vec::with_capacity(wanted.len());
        for (name, data_type) in wanted {
            let found = fields.iter().position(|field| field.name() == name).ok_or_else(|| {
                let message = format!("{}: the file has no column \"{name}\"", path.display());
                Error::new(ErrorKind::UndefinedColumn, message)
                    .hint("The columns are those of the first file, or those that were declared.")
            })?;
            if let Some(field) = fields.get(found) {
                check_type(path, field, data_type)?;
            }
            roots.push(found);
        }
        let mut chosen = roots.clone();
        chosen.sort_unstable();
        chosen.dedup();
        let places = roots.iter().filter_map(|root| chosen.binary_search(root).ok()).collect();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), chosen);
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS);
        if let Some(group) = part.group {
            builder = builder.with_row_groups(vec![group]);
        }
        let reader = Box::new(builder.build().map_err(|error| damaged(path, &error))?);
        Ok(Self::Parquet { path: path.clone(), reader, places, types })
    }

    /// The next rows as a batch of that schema; `None` at the end.
    pub(super) fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let (columns, rows) = match self {
            Self::Parquet { path, reader, places, types } => {
                let Some(batch) = reader.next() else { return Ok(None) };
                let batch = batch.map_err(|error| damaged(path, &error))?;
                let schema = batch.schema();
                let columns = places
                    .iter()
                    .zip(types)
                    .filter_map(|(place, wanted)| {
                        Some((batch.columns().get(*place)?, schema.field(*place), wanted))
                    })
                    .map(|(array, field, wanted)| as_type(array, field, wanted))
                    .collect::<Result<Vec<_>>>()
                    .map_err(|error| error.context(path.display().to_string()))?;
                (columns, batch.num_rows())
            }
            Self::Text(text) => match text.next()? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map(Some)
            .map_err(|error| Error::internal(format!("rows of a file: {error}")))
    }
}

impl TextBatches {
    fn next(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let mut builders: Vec<ColumnBuilder> =
            self.types.iter().map(|data_type| ColumnBuilder::new(data_type, BATCH_ROWS)).collect();
        let (mut rows, mut row) = (0, Vec::new());
        while rows < BATCH_ROWS {
            if !self.decoder.next(&self.source.context, &mut row)? {
                match self.chunks.next()? {
                    Some(bytes) => self.decoder.push(&bytes),
                    None if self.decoder.is_ended() => break,
                    None => self.decoder.end(),
                }
                continue;
            }
            for (builder, place) in builders.iter_mut().zip(&self.places) {
                match row.get(*place).map_or(luma_model::ValueRef::Null, Value::as_ref) {
                    luma_model::ValueRef::Null => builder.append_null(),
                    value => builder.append(value)?,
                }
            }
            rows += 1;
        }
        Ok((rows > 0).then(|| (builders.into_iter().map(ColumnBuilder::finish).collect(), rows)))
    }
}

/// Refuses a file's column of another type than the source has.
fn check_type(path: &Path, field: &Field, wanted: &DataType) -> Result<()> {
    let found = data_type(field)?;
    let wider = |data_type: &DataType| matches!(data_type, DataType::Int2 | DataType::Int4 | DataType::Int8);
    let numeric = |data_type: &DataType| matches!(data_type, DataType::Numeric(_));
    let fits = found == *wanted
        || (wider(&found) && wider(wanted))
        || (numeric(wanted) && (numeric(&found) || wider(&found)))
        || (found.is_string() && wanted.is_string())
        || (found == DataType::Float4 && *wanted == DataType::Float8)
        || (matches!(found, DataType::Text | DataType::Jsonb) && *wanted == DataType::Jsonb);
    if fits {
        return Ok(());
    }
    let (name, found, wanted) = (field.name(), found.sql_name(), wanted.sql_name());
    let message = format!("{}: column \"{name}\" has the type {found}, not {wanted}", path.display());
    Err(Error::new(ErrorKind::DatatypeMismatch, message).column(name))
}

/// A file's column as queries have it.
pub(crate) fn as_type(array: &ArrayRef, field: &Field, wanted: &DataType) -> Result<ArrayRef> {
    let arrow = arrow_type(wanted);
    let found = data_type(field)?;
    if *array.data_type() == arrow && found == *wanted {
        return Ok(Arc::clone(array));
    }
    // What Arrow converts without another meaning.
    let plain = |arrow: &ArrowType| {
        arrow.is_integer() || matches!(arrow, ArrowType::Timestamp(..) | ArrowType::Float32)
    };
    let dictionary = matches!(array.data_type(), ArrowType::Dictionary(..));
    if found == *wanted && (dictionary || (plain(array.data_type()) && plain(&arrow))) {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        return cast_with_options(array.as_ref(), &arrow, &options).map_err(|error| {
            Error::new(ErrorKind::OutOfRange, format!("column \"{}\": {error}", field.name()))
        });
    }
    let reader = CellReader::new(array.as_ref(), &found)?;
    let mut builder = ColumnBuilder::new(wanted, array.len());
    let context = luma_model::TextContext::default();
    for row in 0..array.len() {
        match reader.get(row)? {
            luma_model::ValueRef::Null => builder.append_null(),
            value if found == *wanted => builder.append(value)?,
            value => {
                let value =
                    luma_model::cast(value, &found, wanted, luma_model::CastKind::Assignment, &context);
                builder.append(value.map_err(|error| error.column(field.name()))?.as_ref())?;
            }
        }
    }
    Ok(builder.finish())
}
