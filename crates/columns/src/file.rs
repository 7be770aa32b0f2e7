//! A file of a table.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array, new_null_array};
use luma_catalog::StorageId;
use luma_model::{Error, Result};
use luma_strata::open_file::{OpenFiles, Opened, StoredFile};
use luma_vfs::Vfs;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::ParquetMetaData;
use roaring::RoaringBitmap;

use crate::cache::ColumnCache;
use crate::entry::FileEntry;
use crate::file_error;

/// A file that a manifest has, or had while somebody may read it.
#[derive(Debug)]
pub struct ColumnFile {
    entry: FileEntry,
    key: u64,
    stored: StoredFile,
    cache: Arc<ColumnCache>,
    summaries: Mutex<HashMap<u16, Option<Arc<ColumnSummary>>>>,
}

impl ColumnFile {
    pub(crate) fn new(
        path: PathBuf,
        storage: StorageId,
        entry: FileEntry,
        vfs: Arc<dyn Vfs>,
        files: Arc<OpenFiles>,
        cache: Arc<ColumnCache>,
    ) -> Self {
        let content = (entry.bytes, Arc::clone(&entry.sums));
        let key = u64::from(storage) << 32 | entry.number;
        let stored = StoredFile::new(path, key, content, vfs, files);
        Self { stored, key, cache, entry, summaries: Mutex::default() }
    }

    /// Unpacked columns of all files.
    pub(crate) fn cache(&self) -> &ColumnCache {
        &self.cache
    }

    /// Its number among the files of all tables.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn make_obsolete(&self) {
        self.cache.forget(self.key);
        self.stored.make_obsolete();
    }

    /// What the manifest says about it.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.stored.path()
    }

    /// Opens it: its bytes and its footer.
    ///
    /// # Errors
    /// XX001 when it is missing or damaged.
    pub fn open(&self) -> Result<Arc<Opened>> {
        self.stored.open().map_err(file_error)
    }

    /// How many row groups it has.
    ///
    /// # Errors
    /// XX001 when it is missing or damaged.
    pub fn groups(&self) -> Result<usize> {
        Ok(self.open()?.metadata.num_row_groups())
    }

    /// How many rows a row group has, the deleted ones too.
    ///
    /// # Errors
    /// XX001 when it is missing or damaged.
    pub fn group_rows(&self, group: usize) -> Result<u64> {
        let opened = self.open()?;
        Ok(opened.metadata.row_groups().get(group).map_or(0, |group| group.num_rows() as u64))
    }

    /// Compares all bytes with their checksums.
    ///
    /// # Errors
    /// XX001 when it is missing or damaged.
    pub fn verify(&self) -> Result<()> {
        self.stored.verify().map_err(file_error)
    }

    /// What the Parquet library says about it.
    pub(crate) fn parquet_error(&self, error: parquet::errors::ParquetError) -> Error {
        file_error(luma_strata::Error::parquet(self.path(), error))
    }
}

/// Where the column with that number is among a file's columns; `None` in files that are older than the column.
pub(crate) fn place_of(metadata: &ParquetMetaData, number: u16) -> Option<usize> {
    let fields = metadata.file_metadata().schema_descr().root_schema().get_fields();
    fields.iter().position(|field| {
        let info = field.get_basic_info();
        info.has_id() && info.id() == i32::from(number)
    })
}

/// A file as one transaction sees it.
#[derive(Clone, Debug)]
pub struct FileView {
    /// The file.
    pub file: Arc<ColumnFile>,
    /// The places of its deleted rows; none if there are none.
    pub deleted: Option<Arc<RoaringBitmap>>,
}

impl FileView {
    /// How many rows are not deleted.
    pub fn live_rows(&self) -> u64 {
        let deleted = self.deleted.as_ref().map_or(0, |deleted| deleted.len());
        self.file.entry.rows.saturating_sub(deleted)
    }
}

impl Deref for FileView {
    type Target = ColumnFile;

    fn deref(&self) -> &ColumnFile {
        &self.file
    }
}

/// What a file's footer says about a column: a value for each row group.
#[derive(Debug)]
pub struct ColumnSummary {
    /// No value is smaller; NULL where that is not known.
    pub minima: ArrayRef,
    /// No value is larger; NULL where that is not known.
    pub maxima: ArrayRef,
    /// How many NULLs there are.
    pub nulls: UInt64Array,
}

impl ColumnFile {
    /// What the footer says about the column with that number; `None` if the file does not have it, or nothing
    /// is known of it.
    ///
    /// # Errors
    /// XX001 when the file is missing or damaged.
    pub fn summary(&self, number: u16) -> Result<Option<Arc<ColumnSummary>>> {
        if let Some(known) = self.summaries.lock().get(&number) {
            return Ok(known.clone());
        }
        let opened = self.open()?;
        let summary = self.read_summary(&opened, number)?.map(Arc::new);
        self.summaries.lock().insert(number, summary.clone());
        Ok(summary)
    }

    fn read_summary(&self, opened: &Opened, number: u16) -> Result<Option<ColumnSummary>> {
        let failed = |error| self.parquet_error(error);
        let metadata = &opened.metadata;
        let Some(place) = place_of(metadata, number) else { return Ok(None) };
        let arrow =
            ArrowReaderMetadata::try_new(Arc::clone(metadata), ArrowReaderOptions::new()).map_err(failed)?;
        let Some(field) = arrow.schema().fields().get(place) else { return Ok(None) };
        if field.data_type().is_nested() {
            return Ok(None);
        }
        let parquet = metadata.file_metadata().schema_descr();
        let converter =
            StatisticsConverter::try_new(field.name(), arrow.schema(), parquet).map_err(failed)?;
        let groups = metadata.row_groups();
        let maxima = converter.row_group_maxes(groups).map_err(failed)?;
        // The largest number that is one: NaN is larger, and not counted there.
        let maxima = if field.data_type().is_floating() {
            new_null_array(field.data_type(), groups.len())
        } else {
            maxima
        };
        Ok(Some(ColumnSummary {
            minima: converter.row_group_mins(groups).map_err(failed)?,
            maxima,
            nulls: converter.row_group_null_counts(groups).map_err(failed)?,
        }))
    }
}
