//! COPY to and from files of the server.
//!
//! A file is written beside its name and renamed when it is whole and on disk. Text, CSV, JSON and the binary form
//! are the same bytes as those of STDIN and STDOUT; a Parquet file is a query's batches, and reading one is
//! `INSERT … SELECT … FROM read_parquet(…)`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{self, CopySource};
use futures::StreamExt;
use luma_model::arrow::{CellReader, ColumnBuilder, field};
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value, ValueRef, format_text};
use luma_vfs::{Vfs, VfsFile};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::Length;

use crate::copy::options::{CopyFormat, CopyOptions};
use crate::copy::{copied_query, copy_in, copy_out, source_table};
use crate::external::location::{self, failed};
use crate::external::remote::{Remote, Upload, is_remote};
use crate::external::{FileBytes, Format};
use crate::outcome::{Column, CommandTag, Outcome};
use crate::session::Session;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// Rows of a row group.
const GROUP_ROWS: usize = 128 << 10;

/// Runs COPY … TO 'path'.
pub(super) async fn write(
    session: &mut Session,
    source: &CopySource,
    options: CopyOptions,
    location: &str,
) -> Result<CommandTag> {
    location::require_administrator(session.new_info().as_ref(), "COPY to a file")?;
    let path = if is_remote(location) { PathBuf::from(location) } else { location::path(location)? };
    if options.format == CopyFormat::Parquet {
        return write_parquet(session, source, &path).await;
    }
    let mut copy = copy_out(session, source, options).await?;
    let mut file = Written::create(session, &path)?;
    while let Some(bytes) = copy.next().await? {
        file.write_all(&bytes).map_err(|error| failed("write", &path, &error))?;
    }
    file.finish(&path)?;
    Ok(copy.tag())
}

/// Runs COPY … FROM 'path'.
pub(super) async fn read(
    session: &mut Session,
    source: &CopySource,
    options: CopyOptions,
    location: &str,
) -> Result<CommandTag> {
    location::require_administrator(session.new_info().as_ref(), "COPY from a file")?;
    if options.format == CopyFormat::Parquet {
        return read_parquet(session, source, location).await;
    }
    let disk = session.shared.engine.vfs();
    let (vfs, path) = if is_remote(location) {
        let remote = Remote::of(location).map_err(|error| failed("open", Path::new(location), &error))?;
        (Arc::new(remote) as Arc<dyn Vfs>, PathBuf::from(location))
    } else {
        (disk, location::path(location)?)
    };
    let bytes = FileBytes::open(vfs.as_ref(), &path)?;
    let mut copy = copy_in(session, source, options).await?;
    let mut at = 0;
    while at < bytes.len() {
        let piece = bytes.read(at, READ_BYTES as u64).map_err(|error| failed("read", &path, &error))?;
        at += piece.len() as u64;
        if piece.is_empty() {
            break;
        }
        copy.write(session, &piece).await?;
    }
    copy.finish(session).await
}

async fn write_parquet(session: &mut Session, source: &CopySource, path: &Path) -> Result<CommandTag> {
    let query = copied_query(session, source)?;
    let info = session.new_info();
    let (columns, mut batches) = crate::execute::run_query(session, &query, &[], &[], &info).await?;
    let context = info.text_context();
    let fields: Vec<Field> = columns.iter().map(stored_field).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let wrong = |error: parquet::errors::ParquetError| {
        Error::new(ErrorKind::IoError, format!("could not write file \"{}\": {error}", path.display()))
    };
    let file = Written::create(session, path)?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(wrong)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = stored(&batch?, &columns, &schema, &context)?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(wrong)?;
    }
    writer.into_inner().map_err(wrong)?.finish(path)?;
    Ok(CommandTag::Copy(rows))
}

/// Whether other tools know values of the type in a Parquet file; the others are written as texts.
fn is_known(data_type: &DataType) -> bool {
    match data_type {
        DataType::Numeric(None) | DataType::Interval => false,
        other => other.element().is_none_or(is_known),
    }
}

fn stored_field(column: &Column) -> Field {
    let stored = if is_known(&column.data_type) { &column.data_type } else { &DataType::Text };
    field(&column.name, stored, true)
}

fn stored(
    batch: &RecordBatch,
    columns: &[Column],
    schema: &SchemaRef,
    context: &TextContext,
) -> Result<RecordBatch> {
    let arrays = columns
        .iter()
        .zip(batch.columns())
        .zip(schema.fields())
        .map(|((column, array), wanted)| {
            let known = is_known(&column.data_type);
            if known && array.data_type() == wanted.data_type() {
                return Ok(Arc::clone(array));
            }
            rebuilt(array, &column.data_type, known, context)
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(schema), arrays)
        .map_err(|error| Error::internal(format!("rows for a file: {error}")))
}

/// A column in the form of its type, or as texts.
fn rebuilt(array: &ArrayRef, data_type: &DataType, known: bool, context: &TextContext) -> Result<ArrayRef> {
    let reader = CellReader::new(array.as_ref(), data_type)?;
    let mut builder = ColumnBuilder::new(if known { data_type } else { &DataType::Text }, array.len());
    let mut text = Vec::new();
    for row in 0..array.len() {
        match reader.get(row)? {
            ValueRef::Null => builder.append_null(),
            value if known => builder.append(value)?,
            value => {
                text.clear();
                format_text(value, data_type, context, &mut text);
                let value = Value::Text(String::from_utf8_lossy(&text).into_owned());
                builder.append(value.as_ref())?;
            }
        }
    }
    Ok(builder.finish())
}

async fn read_parquet(session: &mut Session, source: &CopySource, location: &str) -> Result<CommandTag> {
    let CopySource::Table { table_name, columns } = source else {
        return Err(Error::new(ErrorKind::Syntax, "COPY FROM takes a table"));
    };
    let (table, ordinals) = source_table(session, table_name, columns)?;
    let info = session.new_info();
    let files = crate::external::columns(&info, Format::Parquet, location, &[])?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for ordinal in ordinals {
        let Some(column) = table.columns.get(ordinal) else { continue };
        if column.generated.is_some() && columns.is_empty() {
            continue;
        }
        let (_, found) = files.iter().find(|(name, _)| *name == column.name).ok_or_else(|| {
            let message = format!("\"{location}\" has no column \"{}\"", column.name);
            Error::new(ErrorKind::UndefinedColumn, message)
                .hint("Name the columns that it has: COPY table (a, b) FROM …")
        })?;
        let name = ast::Ident::with_quote('"', column.name.clone()).to_string();
        let same = *found == column.data_type || *found != DataType::Text;
        let text =
            if same { name.clone() } else { format!("CAST({name} AS {})", column.data_type.sql_name()) };
        names.push(name);
        values.push(text);
    }
    let literal = location.replace('\'', "''");
    let text = format!(
        "INSERT INTO {table_name} ({}) SELECT {} FROM read_parquet('{literal}')",
        names.join(", "),
        values.join(", ")
    );
    let mut statements = crate::statement::parse(&text)?;
    let Some(crate::statement::Body::Sql(insert)) = statements.pop().map(|statement| statement.body) else {
        return Err(Error::internal("COPY of a file made no statement"));
    };
    match Box::pin(crate::execute::execute_body(session, &insert, &[], &[])).await? {
        Outcome::Complete(CommandTag::Insert(rows)) => Ok(CommandTag::Copy(rows)),
        _ => Err(Error::internal("COPY of a file gave no count")),
    }
}

/// What COPY writes to.
enum Written {
    File(NewFile),
    Object(Upload),
}

impl Written {
    fn create(session: &Session, path: &Path) -> Result<Self> {
        match path.to_str().filter(|location| is_remote(location)) {
            Some(location) => {
                let upload = Remote::of(location).and_then(|remote| remote.create(path));
                upload.map(Self::Object).map_err(|error| failed("open", path, &error))
            }
            None => NewFile::create(session.shared.engine.vfs(), path).map(Self::File),
        }
    }

    /// Makes it durable and shows it.
    fn finish(self, path: &Path) -> Result<()> {
        match self {
            Self::File(file) => file.finish(),
            Self::Object(upload) => upload.finish().map_err(|error| failed("write", path, &error)),
        }
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Object(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            // Its own blocks are written when they are full.
            Self::File(file) => file.flush(),
            Self::Object(upload) => upload.flush(),
        }
    }
}

/// A file that gets its name when it is whole; dropped before, it goes.
struct NewFile {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    partial: PathBuf,
    file: Arc<dyn VfsFile>,
    at: u64,
    buffer: Vec<u8>,
    finished: bool,
}

impl NewFile {
    fn create(vfs: Arc<dyn Vfs>, path: &Path) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        let file = vfs.create(&partial).map_err(|error| failed("open", path, &error))?;
        let buffer = Vec::with_capacity(WRITE_BYTES);
        Ok(Self { vfs, path: path.to_owned(), partial, file, at: 0, buffer, finished: false })
    }

    /// Makes it durable and gives it its name.
    fn finish(mut self) -> Result<()> {
        let named = self
            .flush()
            .and_then(|()| self.file.sync_all())
            .and_then(|()| self.vfs.rename(&self.partial, &self.path))
            .and_then(|()| self.path.parent().map_or(Ok(()), |parent| self.vfs.sync_dir(parent)));
        named.map_err(|error| failed("write", &self.path, &error))?;
        self.finished = true;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = self.vfs.remove_file(&self.partial)
        {
            tracing::warn!("could not remove file \"{}\": {error}", self.partial.display());
        }
    }
}
