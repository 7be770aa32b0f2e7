//! redb. Commits that need not be durable are followed by one that is, every half second or at the end.

use std::path::Path;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, load_by_batches, moved};

const MAP: TableDefinition<&[u8], &[u8]> = TableDefinition::new("main");

pub struct Redb {
    database: Database,
    durability: Durability,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Redb> {
    let database = Database::builder().set_cache_size(settings.cache_bytes).create(directory.join("redb"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(MAP)?;
    transaction.commit()?;
    let durability =
        if settings.class == Class::EachCommit { Durability::Immediate } else { Durability::None };
    Ok(Redb { database, durability })
}

impl Engine for Redb {
    fn write(&self, changes: &[Change]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        {
            let mut map = transaction.open_table(MAP)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(map.insert(key, value)?),
                    None => drop(map.remove(key)?),
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { map: self.database.begin_read()?.open_table(MAP)? }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        {
            let mut map = transaction.open_table(MAP)?;
            for (key, by) in [(from, -1), (to, 1)] {
                let after = moved(map.get(key)?.as_ref().map(|value| value.value()), by);
                map.insert(key, after.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(true)
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        load_by_batches(self, entries)
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        transaction.open_table(MAP)?.retain_in(from..to, |_, _| false)?;
        Ok(transaction.commit()?)
    }

    fn sync(&self) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction.commit()?)
    }
}

struct View {
    map: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Reader for View {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.map.get(key)?;
        if let Some(value) = &found {
            use_value(value.value());
        }
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
            for entry in self.map.range(..=from)?.rev().take(count) {
                let (key, value) = entry?;
                use_entry(key.value(), value.value());
                found += 1;
            }
        } else {
            for entry in self.map.range(from..)?.take(count) {
                let (key, value) = entry?;
                use_entry(key.value(), value.value());
                found += 1;
            }
        }
        Ok(found)
    }
}
