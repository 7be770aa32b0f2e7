//! Lightning, either layout.

use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

use lightning::{
    Compression, Database, Direction, Durability, Error as LightningError, Keyspace, KeyspaceOptions, Layout,
    Options, Readable, Snapshot, SyncMode, TransactionOptions, WriteBatch,
};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, moved};

pub struct Lightning {
    database: Database,
    keyspace: Keyspace,
    durability: Durability,
}

pub fn open(directory: &Path, settings: Settings, layout: Layout) -> Result<Lightning> {
    let options = Options {
        cache_bytes: settings.cache_bytes,
        compression: if settings.compressed { Compression::Lz4 } else { Compression::None },
        sync: match settings.class {
            Class::None => SyncMode::Async,
            Class::Periodic => SyncMode::Periodic(Duration::from_millis(500)),
            Class::EachCommit => SyncMode::Sync,
        },
        ..Options::default()
    };
    let database = Database::open(directory, options)?;
    let keyspace = match database.keyspace("main") {
        Some(there) => there,
        None => database.create_keyspace("main", KeyspaceOptions { layout, ..KeyspaceOptions::default() })?,
    };
    let durability =
        if settings.class == Class::EachCommit { Durability::Sync } else { Durability::Buffered };
    Ok(Lightning { database, keyspace, durability })
}

impl Engine for Lightning {
    fn write(&self, changes: &[Change]) -> Result<()> {
        let mut batch = WriteBatch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(&self.keyspace, key, value),
                None => batch.delete(&self.keyspace, key),
            }
        }
        Ok(self.database.write(batch, self.durability)?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { snapshot: self.database.snapshot(), keyspace: &self.keyspace }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let options = TransactionOptions { durability: self.durability, ..TransactionOptions::default() };
        let mut transaction = self.database.begin(options);
        for (key, by) in [(from, -1), (to, 1)] {
            let after = transaction.get_with(&self.keyspace, key, |value| moved(Some(value), by))?;
            transaction.put(&self.keyspace, key, &after.unwrap_or(moved(None, by)))?;
        }
        match transaction.commit() {
            Ok(_) => Ok(true),
            Err(LightningError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        let mut load = self.database.ingest(&self.keyspace)?;
        for (key, value) in entries {
            load.put(&key, &value)?;
        }
        Ok(load.finish()?)
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete_range(&self.keyspace, Bound::Included(from), Bound::Excluded(to));
        Ok(self.database.write(batch, self.durability)?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.sync()?)
    }

    fn is_settled(&self) -> bool {
        self.database.stats().keyspaces.iter().all(|keyspace| keyspace.frozen_memtables == 0)
    }
}

struct View<'a> {
    snapshot: Snapshot,
    keyspace: &'a Keyspace,
}

impl Reader for View<'_> {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.snapshot.get_with(self.keyspace, key, use_value)?.is_some())
    }

    fn scan(
        &self,
        from: &[u8],
        reverse: bool,
        count: usize,
        use_entry: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let (start, end, direction) = if reverse {
            (Bound::Unbounded, Bound::Included(from), Direction::Reverse)
        } else {
            (Bound::Included(from), Bound::Unbounded, Direction::Forward)
        };
        let mut range = self.snapshot.range(self.keyspace, start, end, direction)?;
        for found in 0..count {
            let Some((key, value)) = range.next()? else { return Ok(found) };
            use_entry(key, value);
        }
        Ok(count)
    }
}
