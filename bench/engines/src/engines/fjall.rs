//! fjall: batches on the plain database, transfers as optimistic transactions.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticTxKeyspace, PersistMode,
    Readable, Snapshot,
};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, moved};

pub struct Fjall {
    database: OptimisticTxDatabase,
    keyspace: OptimisticTxKeyspace,
    class: Class,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Fjall> {
    let compression = if settings.compressed { CompressionType::Lz4 } else { CompressionType::None };
    let database = OptimisticTxDatabase::builder(directory)
        .cache_size(settings.cache_bytes as u64)
        .journal_compression(compression)
        .manual_journal_persist(true)
        .open()?;
    let keyspace = database.keyspace("main", || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .data_block_compression_policy(CompressionPolicy::all(compression))
    })?;
    Ok(Fjall { database, keyspace, class: settings.class })
}

impl Fjall {
    fn durability(&self) -> Option<PersistMode> {
        Some(if self.class == Class::EachCommit { PersistMode::SyncData } else { PersistMode::Buffer })
    }
}

impl Engine for Fjall {
    fn write(&self, changes: &[Change]) -> Result<()> {
        let keyspace = self.keyspace.inner();
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.database.inner().clone(), changes.len())
            .durability(self.durability());
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(keyspace, *key, *value),
                None => batch.remove(keyspace, *key),
            }
        }
        Ok(batch.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { snapshot: self.database.read_tx(), keyspace: &self.keyspace }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let mut transaction = self.database.write_tx()?.durability(self.durability());
        for (key, by) in [(from, -1), (to, 1)] {
            let after = moved(transaction.get(&self.keyspace, key)?.as_deref(), by);
            transaction.insert(&self.keyspace, key, after);
        }
        Ok(transaction.commit()?.is_ok())
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        let mut load = self.keyspace.inner().start_ingestion()?;
        for (key, value) in entries {
            load.write(key, value)?;
        }
        Ok(load.finish()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn is_settled(&self) -> bool {
        self.database.inner().outstanding_flushes() == 0 && self.database.inner().active_compactions() == 0
    }
}

struct View<'a> {
    snapshot: Snapshot,
    keyspace: &'a OptimisticTxKeyspace,
}

impl Reader for View<'_> {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.snapshot.get(self.keyspace, key)?;
        found.as_deref().map(use_value);
        Ok(found.is_some())
    }

    fn scan(
        &self,
        from: &[u8],
        reverse: bool,
        count: usize,
        use_entry: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut found = 0;
        if reverse {
            for entry in self.snapshot.range(self.keyspace, ..=from).rev().take(count) {
                let (key, value) = entry.into_inner()?;
                use_entry(&key, &value);
                found += 1;
            }
        } else {
            for entry in self.snapshot.range(self.keyspace, from..).take(count) {
                let (key, value) = entry.into_inner()?;
                use_entry(&key, &value);
                found += 1;
            }
        }
        Ok(found)
    }
}
