//! LMDB through heed. It has no cache of its own: the kernel's page cache is it.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, WithTls};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, moved};

pub struct Lmdb {
    env: Env,
    map: Database<'static, Bytes, Bytes>,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Lmdb> {
    let mut options = EnvOpenOptions::new();
    options.map_size(64 << 30).max_readers(256);
    if settings.class != Class::EachCommit {
        // SAFETY: a database that a crash breaks is fine here; nothing else opens it.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: no other process changes the file while it is mapped.
    let env = unsafe { options.open(directory)? };
    let map = env
        .create_databases_and_commit(env.write_txn()?, |opener, transaction| {
            opener
                .database_options()
                .types::<Bytes, Bytes>()
                .create(transaction)
                .map(CommitOrAbort::<_, ()>::Commit)
        })?
        .commit()
        .ok_or("LMDB made no database")?;
    Ok(Lmdb { env, map })
}

impl Engine for Lmdb {
    fn write(&self, changes: &[Change]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in changes {
            match value {
                Some(value) => self.map.put(&mut transaction, key, value)?,
                None => {
                    self.map.delete(&mut transaction, key)?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { transaction: self.env.read_txn()?, map: self.map }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let mut transaction = self.env.write_txn()?;
        for (key, by) in [(from, -1), (to, 1)] {
            let after = moved(self.map.get(&transaction, key)?, by);
            self.map.put(&mut transaction, key, &after)?;
        }
        transaction.commit()?;
        Ok(true)
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in entries {
            self.map.put_with_flags(&mut transaction, PutFlags::APPEND, &key, &value)?;
        }
        Ok(transaction.commit()?)
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.map.delete_range(&mut transaction, &(Bound::Included(from), Bound::Excluded(to)))?;
        Ok(transaction.commit()?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }
}

struct View<'a> {
    transaction: RoTxn<'a, WithTls>,
    map: Database<'static, Bytes, Bytes>,
}

impl Reader for View<'_> {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.map.get(&self.transaction, key)?;
        found.map(use_value);
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
        // LMDB takes no empty key.
        let start = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
        if reverse {
            for entry in self.map.rev_range(&self.transaction, &(Bound::Unbounded, start))?.take(count) {
                let (key, value) = entry?;
                use_entry(key, value);
                found += 1;
            }
        } else {
            for entry in self.map.range(&self.transaction, &(start, Bound::Unbounded))?.take(count) {
                let (key, value) = entry?;
                use_entry(key, value);
                found += 1;
            }
        }
        Ok(found)
    }
}
