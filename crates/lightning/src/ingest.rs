//! Bulk loads: sorted keys straight into tables.
//!
//! The tables are written aside and become visible and durable with one edit of the manifest. The
//! keys must lie apart from all others of the keyspace, which is checked when the load is finished.

use std::sync::Arc;

use crate::batch::check_sizes;
use crate::engine::Engine;
use crate::keyspace::KeyspaceInner;
use crate::table::{Table, TableMeta, TableWriter};
use crate::{Error, Result};

/// A bulk load. Dropping it unfinished leaves nothing.
pub struct Ingestion {
    engine: Arc<Engine>,
    keyspace: Arc<KeyspaceInner>,
    writer: Option<TableWriter>,
    finished: Vec<TableMeta>,
    last: Option<Vec<u8>>,
}

impl std::fmt::Debug for Ingestion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ingestion").field("keyspace", &self.keyspace.name).finish_non_exhaustive()
    }
}

impl Ingestion {
    pub(crate) fn new(engine: Arc<Engine>, keyspace: Arc<KeyspaceInner>) -> Result<Self> {
        engine.check_writable()?;
        keyspace.check()?;
        Ok(Self { engine, keyspace, writer: None, finished: Vec::new(), last: None })
    }

    /// Adds a key after all before it.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], [`Error::TooLarge`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check_sizes(key, Some(value))?;
        if self.last.as_deref().is_some_and(|last| last >= key) {
            return Err(Error::OutOfOrder { key: key.to_vec() });
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.engine.new_table(&self.keyspace)?),
        };
        writer.add(key, Some(&self.keyspace.stored_now(value)))?;
        if writer.is_full(self.engine.options.table_bytes)
            && let Some(full) = self.writer.take()
        {
            self.finished.push(full.finish()?);
        }
        Ok(())
    }

    /// Makes all keys durable and visible at once.
    ///
    /// # Errors
    /// [`Error::Overlap`] when the keyspace has keys in the range.
    pub fn finish(mut self) -> Result<()> {
        if let Some(last) = self.writer.take() {
            self.finished.push(last.finish()?);
        }
        let mut tables: Vec<Arc<Table>> = Vec::with_capacity(self.finished.len());
        for meta in std::mem::take(&mut self.finished) {
            let table = self.engine.open_table(meta)?;
            // Until the manifest has it, the file goes if this fails.
            table.set_obsolete();
            tables.push(table);
        }
        self.engine.adopt_tables(&self.keyspace, &tables)
    }
}

impl Drop for Ingestion {
    fn drop(&mut self) {
        for meta in &self.finished {
            if let Ok(table) = self.engine.open_table(meta.clone()) {
                table.set_obsolete();
            }
        }
    }
}
