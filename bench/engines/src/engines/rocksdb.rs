//! RocksDB: batches on the plain calls, transfers as optimistic transactions.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, IngestExternalFileOptions, OptimisticTransactionDB, Options,
    ReadOptions, SnapshotWithThreadMode, SstFileWriter, WriteBatchWithTransaction, WriteOptions,
};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, load_by_batches, moved};

pub struct Rocks {
    database: OptimisticTransactionDB,
    class: Class,
    options: Options,
    directory: std::path::PathBuf,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Rocks> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(settings.cache_bytes));
    table.set_bloom_filter(10.0, false);
    table.set_format_version(6);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.increase_parallelism(2);
    options.set_compression_type(if settings.compressed {
        DBCompressionType::Lz4
    } else {
        DBCompressionType::None
    });
    let database = OptimisticTransactionDB::open(&options, directory)?;
    Ok(Rocks { database, class: settings.class, options, directory: directory.into() })
}

impl Rocks {
    fn write_options(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.class == Class::EachCommit);
        options
    }
}

impl Engine for Rocks {
    fn write(&self, changes: &[Change]) -> Result<()> {
        let mut batch = WriteBatchWithTransaction::<true>::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        Ok(self.database.write_opt(batch, &self.write_options())?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(View { snapshot: self.database.snapshot() }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        let transaction = self.database.transaction_opt(&self.write_options(), &Default::default());
        for (key, by) in [(from, -1), (to, 1)] {
            let after = moved(transaction.get_for_update(key, true)?.as_deref(), by);
            transaction.put(key, after)?;
        }
        match transaction.commit() {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), rocksdb::ErrorKind::Busy | rocksdb::ErrorKind::TryAgain) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        let path = self.directory.join("load.sst");
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&path)?;
        let mut any = false;
        for (key, value) in entries {
            writer.put(key, value)?;
            any = true;
        }
        if !any {
            return load_by_batches(self, &mut std::iter::empty());
        }
        writer.finish()?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        Ok(self.database.ingest_external_file_opts(&options, vec![path])?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.flush_wal(true)?)
    }

    fn is_settled(&self) -> bool {
        let running = |name| self.database.property_int_value(name).ok().flatten().unwrap_or(0);
        running("rocksdb.num-running-compactions") == 0
            && running("rocksdb.num-running-flushes") == 0
            && running("rocksdb.compaction-pending") == 0
    }
}

struct View<'a> {
    snapshot: SnapshotWithThreadMode<'a, OptimisticTransactionDB>,
}

impl Reader for View<'_> {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.snapshot.get_pinned(key)?;
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
        // The plain iterator copies each entry.
        let mut iterator = self.snapshot.raw_iterator_opt(ReadOptions::default());
        if reverse {
            iterator.seek_for_prev(from)
        } else {
            iterator.seek(from)
        }
        let mut found = 0;
        while found < count
            && let Some((key, value)) = iterator.item()
        {
            use_entry(key, value);
            found += 1;
            if reverse { iterator.prev() } else { iterator.next() }
        }
        iterator.status()?;
        Ok(found)
    }
}
