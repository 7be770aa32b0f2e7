//! The keyspaces behind the catalog's tables.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use lightning::{Database, Direction, Keyspace, KeyspaceOptions, Readable};
use luma_catalog::{Oid, Snapshot, StorageId, Table, engine_error};
use luma_columns::{ColumnStore, FileView};
use luma_model::{DataType, Error, ErrorKind, KeyOrder, Result, Value, decode_key};
use parking_lot::Mutex;

use crate::changes::Changes;
use crate::columnar::TableFiles;
use crate::sequence::Sequences;
use crate::table::{OpenIndex, OpenTable};

/// The lock spaces of the house; rows and unique keys are locked in the space of their storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockSpace {
    /// A row of, or a key in, the relation with that storage.
    Storage(StorageId),
    /// Whole tables, by identifier: shared by writers, exclusive for changes of the definition.
    Tables,
    /// The catalog, one key: exclusive for whoever changes it.
    Catalog,
}

impl LockSpace {
    /// The number Lightning's lock table knows it by.
    pub fn number(self) -> u64 {
        match self {
            Self::Storage(storage) => u64::from(storage),
            Self::Tables => 1 << 32,
            Self::Catalog => 2 << 32,
        }
    }
}

/// All row tables of a database.
#[derive(Debug)]
pub struct Store {
    engine: Database,
    columns: Arc<ColumnStore>,
    sequences: Sequences,
    row_numbers: Mutex<HashMap<StorageId, Arc<AtomicI64>>>,
    changes: Mutex<HashMap<Oid, Arc<Changes>>>,
}

impl Store {
    /// Opens the store and removes keyspaces that no table owns (left by a change that a crash cut off).
    /// Unpacked columns of columnar tables may take `column_cache_bytes`.
    pub fn open(engine: Database, catalog: &Snapshot, column_cache_bytes: usize) -> Result<Self> {
        let owned: std::collections::HashSet<String> = catalog
            .tables()
            .flat_map(|table| table.storages().map(keyspace_name).collect::<Vec<_>>())
            .collect();
        for name in engine.keyspace_names() {
            let ours = name.strip_prefix('r').is_some_and(|digits| digits.parse::<u32>().is_ok());
            if ours && !owned.contains(&name) {
                engine.drop_keyspace(&name).map_err(engine_error)?;
            }
        }
        let columnar = catalog.tables().filter_map(|table| table.columnar.as_ref());
        let live: Vec<(StorageId, Keyspace)> = columnar
            .filter_map(|columnar| Some((columnar.files, engine.keyspace(&keyspace_name(columnar.files))?)))
            .collect();
        let columns = Arc::new(ColumnStore::open(&engine, &live, column_cache_bytes)?);
        let sequences = Sequences::open(&engine)?;
        Ok(Self { engine, columns, sequences, row_numbers: Mutex::default(), changes: Mutex::default() })
    }

    /// The engine below.
    pub fn engine(&self) -> &Database {
        &self.engine
    }

    /// The files of columnar tables.
    pub fn columns(&self) -> &Arc<ColumnStore> {
        &self.columns
    }

    /// Positions of sequences.
    pub fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// Makes the keyspace of a new relation. It stays unseen until a table that names it commits;
    /// when that never happens the next start removes it.
    pub fn create_storage(&self, storage: StorageId) -> Result<Keyspace> {
        self.engine.create_keyspace(&keyspace_name(storage), KeyspaceOptions::default()).map_err(engine_error)
    }

    /// Removes a relation's keyspace; readers that hold it go on.
    pub fn drop_storage(&self, storage: StorageId) -> Result<()> {
        self.row_numbers.lock().remove(&storage);
        if let Some(manifest) = self.engine.keyspace(&keyspace_name(storage)) {
            self.columns.give_up_all(storage, &manifest, &self.engine)?;
        }
        match self.engine.drop_keyspace(&keyspace_name(storage)) {
            Ok(()) | Err(lightning::Error::KeyspaceNotFound { .. }) => Ok(()),
            Err(error) => Err(engine_error(error)),
        }
    }

    /// The keyspace of a relation.
    pub fn storage(&self, storage: StorageId, of: &str) -> Result<Keyspace> {
        self.engine.keyspace(&keyspace_name(storage)).ok_or_else(|| {
            Error::new(ErrorKind::DataCorrupted, format!("the storage of relation \"{of}\" is missing"))
        })
    }

    /// Opens a table.
    pub fn table(&self, definition: &Arc<Table>) -> Result<OpenTable> {
        let rows = self.storage(definition.storage, &definition.name)?;
        let indexes = definition
            .indexes
            .iter()
            .map(|index| {
                let entries = self.storage(index.storage, &index.name)?;
                Ok(OpenIndex { definition: index.clone(), entries })
            })
            .collect::<Result<_>>()?;
        let files = definition.columnar.as_ref().map(|columnar| {
            let manifest = self.storage(columnar.files, &definition.name)?;
            Ok(TableFiles { store: Arc::clone(&self.columns), manifest, columnar: columnar.clone() })
        });
        let last = self.last_row_number(definition, &rows)?;
        let changes = self.changes(definition.oid);
        OpenTable::new(Arc::clone(definition), rows, indexes, files.transpose()?, changes, last)
    }

    /// How much was changed in a table since the database was opened.
    pub fn changes(&self, oid: Oid) -> Arc<Changes> {
        Arc::clone(self.changes.lock().entry(oid).or_default())
    }

    /// Forgets how much was changed in a dropped table.
    pub fn forget_changes(&self, oid: Oid) {
        self.changes.lock().remove(&oid);
    }

    /// The counter of row numbers; after a start it goes on from the largest stored one.
    fn last_row_number(&self, definition: &Table, rows: &Keyspace) -> Result<Arc<AtomicI64>> {
        if definition.primary_key.is_some() {
            return Ok(Arc::default());
        }
        let mut counters = self.row_numbers.lock();
        if let Some(counter) = counters.get(&definition.storage) {
            return Ok(Arc::clone(counter));
        }
        let mut last = 0;
        let snapshot = self.engine.snapshot();
        let mut newest = snapshot
            .range(rows, Bound::Unbounded, Bound::Unbounded, Direction::Reverse)
            .map_err(engine_error)?;
        if let Some((key, _)) = newest.next().map_err(engine_error)?
            && let (Value::Int8(number), _) = decode_key(key, &DataType::Int8, KeyOrder::default())?
        {
            last = number;
        }
        let counter = Arc::new(AtomicI64::new(last));
        counters.insert(definition.storage, Arc::clone(&counter));
        Ok(counter)
    }

    /// About how many rows a table has: from the engine's counts, in which older versions are rows too, or what ANALYZE counted
    /// and what was inserted and deleted since.
    pub fn approximate_rows(&self, table: &OpenTable) -> u64 {
        let files = table.files.as_ref().and_then(|files| files.views(&self.engine.snapshot()).ok());
        let in_files: u64 = files.iter().flatten().map(FileView::live_rows).sum();
        let entries = table.rows.stats().approximate_entries + in_files;
        match (&table.definition.statistics, table.changes.growth()) {
            (Some(known), Some(growth)) => known.row_count.saturating_add_signed(growth).min(entries),
            _ => entries,
        }
    }

    /// The lock key of a table or other object.
    pub fn object_key(oid: Oid) -> [u8; 4] {
        oid.to_be_bytes()
    }
}

pub(crate) fn keyspace_name(storage: StorageId) -> String {
    format!("r{storage}")
}
