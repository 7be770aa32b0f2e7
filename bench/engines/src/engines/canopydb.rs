//! canopydb, with its write-ahead log and concurrent write transactions.

use std::path::Path;
use std::time::Duration;

use canopydb::{Database, DbOptions, EnvOptions, ReadTransaction};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, load_by_batches, moved};

const MAP: &[u8] = b"main";

pub struct Canopy {
    database: Database,
    durable: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Canopy> {
    let mut env = EnvOptions::new(directory);
    env.page_cache_size = settings.cache_bytes;
    env.use_checksums = true;
    env.wal_background_sync_interval =
        (settings.class == Class::Periodic).then_some(Duration::from_millis(500));
    let database = Database::with_options(env, DbOptions::default())?;
    let transaction = database.begin_write()?;
    transaction.get_or_create_tree(MAP)?;
    transaction.commit()?;
    Ok(Canopy { database, durable: settings.class == Class::EachCommit })
}

impl Engine for Canopy {
    fn write(&self, changes: &[Change]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut map = transaction.get_or_create_tree(MAP)?;
            for (key, value) in changes {
                match value {
                    Some(value) => map.insert(key, value)?,
                    None => {
                        map.delete(key)?;
                    }
                }
            }
        }
        transaction.commit_with(self.durable)?;
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { transaction: self.database.begin_read()? }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let transaction = self.database.begin_write_concurrent()?;
        {
            let mut map = transaction.get_or_create_tree(MAP)?;
            for (key, by) in [(from, -1), (to, 1)] {
                let after = moved(map.get(key)?.as_deref(), by);
                map.insert(key, &after)?;
            }
        }
        match transaction.commit_with(self.durable) {
            Ok(_) => Ok(true),
            Err(canopydb::Error::WriteConflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        load_by_batches(self, entries)
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        transaction.get_or_create_tree(MAP)?.delete_range(from..to)?;
        transaction.commit_with(self.durable)?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.sync()?)
    }
}

struct View {
    transaction: ReadTransaction,
}

impl View {
    fn map(&self) -> Result<canopydb::Tree<'_>> {
        self.transaction.get_tree(MAP)?.ok_or_else(|| "the tree is missing".into())
    }
}

impl Reader for View {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.map()?.get(key)?;
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
        let map = self.map()?;
        let mut found = 0;
        if reverse {
            for entry in map.range(..=from)?.rev().take(count) {
                let (key, value) = entry?;
                use_entry(&key, &value);
                found += 1;
            }
        } else {
            for entry in map.range(from..)?.take(count) {
                let (key, value) = entry?;
                use_entry(&key, &value);
                found += 1;
            }
        }
        Ok(found)
    }
}
