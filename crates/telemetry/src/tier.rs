//! What is on disk besides the log: files of samples, and the registry of series in the same database as their
//! manifest, so that both change in one transaction.
//!
//! The registry has the series in groups, as records that define them, and for each block of references the
//! newest sample of each series in it, as a record of samples (`FORMAT.md`).

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Keyspace, KeyspaceOptions, Readable, Transaction, TransactionMode,
    TransactionOptions,
};
use luma_log::{Flusher, Lsn};
use luma_promql::{Labels, Sample};
use luma_strata::{Run, Table};
use luma_vfs::Vfs;
use roaring::RoaringBitmap;

use crate::batch::Point;
use crate::dormant;
use crate::error::{Error, Result};
use crate::record::{Entry, RecordReader, RecordWriter, histogram_of_bytes, histogram_to_bytes};
use crate::shard::Last;
use crate::store::MetricsOptions;

/// Series of one block of newest samples.
pub(crate) const BLOCK_SERIES: u32 = 4096;
/// Bytes of a group of series, and of the transactions that write them.
const GROUP_BYTES: usize = 256 << 10;
const TRANSACTION_BYTES: usize = 8 << 20;
/// Bytes of the registry that are in memory at once while it is loaded.
const LOAD_BYTES: usize = 32 << 20;

const SERIES: &str = "metrics.series";
const NEWEST: &str = "metrics.newest";
const SAVED_KEY: &[u8] = b"saved";
const NEXT_KEY: &[u8] = b"next reference";
const CACHE_BYTES: usize = 16 << 20;

/// How much of the log is in files, and which series are in the registry.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// All samples that the log has up to here are in files.
    pub to: Lsn,
    /// The series that the registry has as being awake.
    pub registered: RoaringBitmap,
}

/// Files and registry.
#[derive(Debug)]
pub(crate) struct Tier {
    pub table: Table,
    pub vfs: Arc<dyn Vfs>,
    database: Database,
    series: Keyspace,
    newest: Keyspace,
}

impl Tier {
    /// What the table of files is called.
    pub const TABLE: &str = "metrics";

    pub fn open(vfs: &Arc<dyn Vfs>, directory: &Path, options: &MetricsOptions) -> Result<Self> {
        let inline = options.log.flusher == Flusher::Inline;
        let database = open_database(vfs, &directory.join("manifest"), inline)?;
        let keyspace = |name: &str| match database.keyspace(name) {
            Some(keyspace) => Ok(keyspace),
            None => database.create_keyspace(name, KeyspaceOptions::default()),
        };
        let (series, newest) = (keyspace(SERIES)?, keyspace(NEWEST)?);
        let files = directory.join("files");
        let table = Table::open(Arc::clone(vfs), &files, &database, Self::TABLE, options.warm.clone())?;
        Ok(Self { table, vfs: Arc::clone(vfs), database, series, newest })
    }

    /// The database of the manifest and the registry.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads everything and compares it with its checksums.
    pub fn verify(&self) -> Result<()> {
        self.database.verify(&mut |_| ())?;
        Ok(self.table.snapshot().verify()?)
    }

    /// Hands all records of the registry to `put`, many at a time: those that define series, then those with newest samples.
    pub fn load(&self, put: &mut dyn FnMut(&[Vec<u8>]) -> Result<()>) -> Result<()> {
        let snapshot = self.database.snapshot();
        for keyspace in [&self.series, &self.newest] {
            let (mut records, mut bytes) = (Vec::new(), 0);
            let mut range =
                snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
            while let Some((key, record)) = range.next()? {
                if key == SAVED_KEY || key == NEXT_KEY {
                    continue;
                }
                bytes += record.len();
                records.push(record.to_vec());
                if bytes >= LOAD_BYTES {
                    put(&records)?;
                    (records, bytes) = (Vec::new(), 0);
                }
            }
            put(&records)?;
        }
        Ok(())
    }

    /// A reference from which on none is known to have been given.
    pub fn next_reference(&self) -> Result<u32> {
        let bytes = self.database.snapshot().get(&self.newest, NEXT_KEY)?;
        let Some(bytes) = bytes else { return Ok(0) };
        let next = bytes.try_into().map_err(|_| Error::DamagedRegistry("its next reference".to_owned()))?;
        Ok(u32::from_le_bytes(next))
    }

    /// How far the log is in files.
    pub fn saved(&self) -> Result<Lsn> {
        let bytes = self.database.snapshot().get(&self.newest, SAVED_KEY)?;
        let Some(bytes) = bytes else { return Ok(Lsn(0)) };
        let to = bytes.try_into().map_err(|_| Error::DamagedRegistry("its place in the log".to_owned()))?;
        Ok(Lsn(u64::from_le_bytes(to)))
    }

    /// Removes series from the registry, with their newest samples. All references that were given are below `next`;
    /// `newest` has the newest samples of the series that stay in their blocks.
    pub fn remove_series(&self, gone: &RoaringBitmap, next: u32, newest: &[NewestOfBlock]) -> Result<()> {
        let mut transaction = self.begin();
        transaction.put(&self.newest, NEXT_KEY, &next.to_le_bytes())?;
        let snapshot = self.database.snapshot();
        let mut range =
            snapshot.range(&self.series, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
        while let Some((key, record)) = range.next()? {
            let Some(left) = without(record, gone).map_err(Error::DamagedRegistry)? else { continue };
            match left.finish() {
                Some(left) => transaction.put(&self.series, key, &left)?,
                None => transaction.delete(&self.series, key)?,
            }
            if transaction.write_set_bytes() >= TRANSACTION_BYTES {
                std::mem::replace(&mut transaction, self.begin()).commit()?;
            }
        }
        for of_block in newest {
            self.put_newest(&mut transaction, of_block)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// A transaction of the one who writes series: there is nothing to check, however much was written before. What it writes
    /// may come to the disk later.
    fn begin(&self) -> Transaction {
        self.database.begin(TransactionOptions {
            mode: TransactionMode::Pessimistic,
            durability: Durability::Buffered,
            ..TransactionOptions::default()
        })
    }

    /// Adds series to the registry, in the order of their references. They may get there before anything
    /// else of a flush does: the log has them as well. Those of a flush up to `of` are in groups of their own, beside those
    /// that had these references before.
    pub fn add_series<'a>(&self, of: Lsn, series: impl Iterator<Item = (u32, &'a Labels)>) -> Result<()> {
        let mut transaction = self.begin();
        let mut group: Option<(u32, RecordWriter)> = None;
        let mut series = series.peekable();
        while let Some((reference, labels)) = series.next() {
            let (first, mut record) =
                group.take().unwrap_or_else(|| (reference, RecordWriter::with_capacity(GROUP_BYTES)));
            record.series(reference, &key_of(labels));
            if record.len() < GROUP_BYTES && series.peek().is_some() {
                group = Some((first, record));
                continue;
            }
            if let Some(record) = record.finish() {
                let key = [&first.to_be_bytes()[..], &of.0.to_be_bytes()].concat();
                transaction.put(&self.series, &key, &record)?;
            }
            if transaction.write_set_bytes() >= TRANSACTION_BYTES {
                std::mem::replace(&mut transaction, self.begin()).commit()?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Copies the registry into a database that has none; its log is empty, so no place in one is copied.
    pub fn copy_registry(&self, to: &Database) -> Result<()> {
        let snapshot = self.database.snapshot();
        for name in [SERIES, NEWEST, dormant::GROUPS, dormant::BY_LABELS] {
            let Some(keyspace) = &self.database.keyspace(name) else { continue };
            let target = to.create_keyspace(name, KeyspaceOptions::default())?;
            let mut transaction = to.begin(TransactionOptions::default());
            let mut range =
                snapshot.range(keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
            while let Some((key, record)) = range.next()? {
                if key == SAVED_KEY {
                    continue;
                }
                transaction.put(&target, key, record)?;
                if transaction.write_set_bytes() >= TRANSACTION_BYTES {
                    std::mem::replace(&mut transaction, to.begin(TransactionOptions::default())).commit()?;
                }
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// Notes in a transaction the newest samples of the series of a block.
    pub fn put_newest(&self, transaction: &mut Transaction, of: &NewestOfBlock) -> lightning::Result<()> {
        match &of.record {
            Some(record) => transaction.put(&self.newest, &of.block.to_be_bytes(), record),
            None => transaction.delete(&self.newest, &of.block.to_be_bytes()),
        }
    }

    /// Notes in a transaction how far the log is in files.
    pub fn put_saved(&self, transaction: &mut Transaction, to: Lsn) -> lightning::Result<()> {
        transaction.put(&self.newest, SAVED_KEY, &to.0.to_le_bytes())
    }
}

/// The newest samples of the series of a block, as the registry has them.
#[derive(Debug)]
pub(crate) struct NewestOfBlock {
    block: u32,
    /// None if no series of the block has one.
    record: Option<Vec<u8>>,
}

impl NewestOfBlock {
    pub fn new(block: u32, newest: &[(u32, Last)]) -> Self {
        let mut record = RecordWriter::with_capacity(newest.len() * 16);
        for (reference, (t, sample)) in newest {
            match sample {
                Some(point) => record.sample(*reference, point),
                None => record.deleted(*reference, *t),
            }
        }
        Self { block, record: record.finish() }
    }
}

/// A record that defines series without some of them; `None` if it has none of these.
fn without(record: &[u8], gone: &RoaringBitmap) -> std::result::Result<Option<RecordWriter>, String> {
    let mut left = RecordWriter::with_capacity(record.len());
    let (mut reader, mut any) = (RecordReader::new(record)?, false);
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Series { reference, .. } if gone.contains(reference) => any = true,
            Entry::Series { reference, key } => left.series(reference, key),
            _ => return Err("a group of series has something else".to_owned()),
        }
    }
    Ok(any.then_some(left))
}

/// Opens the database of a manifest and a registry; without threads of its own if `inline`.
pub(crate) fn open_database(
    vfs: &Arc<dyn Vfs>,
    directory: &Path,
    inline: bool,
) -> lightning::Result<Database> {
    let options = lightning::Options {
        cache_bytes: CACHE_BYTES,
        max_wal_bytes: 32 << 20,
        wal_segment_bytes: 4 << 20,
        background_threads: usize::from(!inline),
        ..lightning::Options::default()
    };
    Database::open_with_vfs(Arc::clone(vfs), directory, options)
}

/// The key of labels, as batches and records have it.
pub(crate) fn key_of(labels: &Labels) -> Vec<u8> {
    let mut key = Vec::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        luma_codec::varint::write(text.len() as u64, &mut key);
        key.extend_from_slice(text.as_bytes());
    }
    key
}

/// The samples of a series as files have them.
pub(crate) fn run_of(series: u32, points: &[Point]) -> Run {
    let mut run = Run { series, ..Run::default() };
    for point in points {
        match &point.sample {
            Sample::Float(v) => run.push_value(point.t, point.start, *v),
            Sample::Histogram(h) => run.push_payload(point.t, point.start, histogram_to_bytes(h)),
        }
    }
    run
}

/// The samples of a run.
pub(crate) fn points_of(run: &Run) -> Result<Vec<Point>> {
    let mut points = Vec::with_capacity(run.len());
    for (t, start, value, payload) in run.samples() {
        let sample = match payload {
            None => Sample::Float(value),
            Some(bytes) => {
                let histogram =
                    histogram_of_bytes(bytes).ok_or(Error::DamagedHistogram { series: run.series, t })?;
                Sample::Histogram(Arc::new(histogram))
            }
        };
        points.push(Point { t, start, sample });
    }
    Ok(points)
}

/// Labels as a JSON object, as files have them for other tools.
pub(crate) fn json_of(labels: &Labels) -> String {
    let mut json = String::from("{");
    for (at, text) in labels.iter().flat_map(|(name, value)| [name, value]).enumerate() {
        json.push_str(match at {
            0 => "\"",
            _ if at % 2 == 0 => ",\"",
            _ => ":\"",
        });
        for c in text.chars() {
            match c {
                '"' | '\\' => json.extend(['\\', c]),
                '\u{0}'..='\u{1f}' => json.push_str(&format!("\\u{:04x}", c as u32)),
                _ => json.push(c),
            }
        }
        json.push('"');
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_json_whatever_is_in_them() {
        let labels = Labels::new([("__name__", "up"), ("path", "C:\\a\n\"b\""), ("ü", "😀")]);
        let expected = r#"{"__name__":"up","path":"C:\\a\u000a\"b\"","ü":"😀"}"#;
        assert_eq!(json_of(&labels), expected);
        assert_eq!(json_of(&Labels::default()), "{}");
    }
}
