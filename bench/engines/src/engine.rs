//! What every engine must be able to do, and how each is opened.

use std::path::Path;

use crate::engines;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// When what was written must survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// At the end: no engine syncs before [`Engine::sync`] is called.
    None,
    /// Every half second.
    Periodic,
    /// When a commit returns.
    EachCommit,
}

/// How an engine is opened.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub cache_bytes: usize,
    pub class: Class,
    /// LZ4 where the engine has it; else nothing is compressed.
    pub compressed: bool,
}

/// One change: `None` deletes.
pub type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// An open database with one map of bytes.
pub trait Engine: Send + Sync {
    /// Makes changes together, as durable as the class asks.
    fn write(&self, changes: &[Change]) -> Result<()>;
    /// A reader of what is there now.
    fn reader(&self) -> Result<Box<dyn Reader + '_>>;
    /// Moves one unit between two little-endian counters in a transaction; `false` when it lost a conflict.
    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool>;
    /// Fills an empty map from sorted entries in the engine's fastest way.
    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()>;
    /// Deletes the keys from one (included) to another (excluded), natively or key by key.
    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        delete_key_by_key(self, from, to)
    }
    /// Makes everything durable.
    fn sync(&self) -> Result<()>;
    /// Whether background work (flushes, merges) is done.
    fn is_settled(&self) -> bool {
        true
    }
}

/// Shows one state.
pub trait Reader {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool>;
    /// Up to `count` entries from a key on, up or down; returns how many there were.
    fn scan(
        &self,
        from: &[u8],
        reverse: bool,
        count: usize,
        use_entry: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize>;
}

/// Deletes a range the way a user must where the engine has no call for it.
pub fn delete_key_by_key<E: Engine + ?Sized>(engine: &E, from: &[u8], to: &[u8]) -> Result<()> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut next = from.to_vec();
    loop {
        keys.clear();
        let mut ended = false;
        let found = engine.reader()?.scan(&next, false, 10_000, &mut |key, _| {
            if key < to && !ended {
                keys.push(key.to_vec());
            } else {
                ended = true;
            }
        })?;
        let changes: Vec<Change> = keys.iter().map(|key| (key.as_slice(), None)).collect();
        if !changes.is_empty() {
            engine.write(&changes)?;
        }
        if ended || found < 10_000 {
            return Ok(());
        }
        next.clone_from(&keys[keys.len() - 1]);
    }
}

/// Loads by batches of 10,000.
pub fn load_by_batches<E: Engine + ?Sized>(
    engine: &E,
    entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Result<()> {
    loop {
        let batch: Vec<(Vec<u8>, Vec<u8>)> = entries.take(10_000).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change> =
            batch.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))).collect();
        engine.write(&changes)?;
    }
}

/// The counter after moving `by`.
pub fn moved(value: Option<&[u8]>, by: i64) -> [u8; 8] {
    let before = value.and_then(|value| value.try_into().ok()).map_or(0, i64::from_le_bytes);
    (before + by).to_le_bytes()
}

/// The engines that are compiled in, as they are named on the command line.
pub const NAMES: &[&str] = &[
    "lightning-btree",
    "lightning-lsm",
    "lmdb",
    "redb",
    "canopydb",
    "sqlite",
    "fjall",
    #[cfg(feature = "rocksdb")]
    "rocksdb",
];

/// Opens an engine's database in a directory.
pub fn open(name: &str, directory: &Path, settings: Settings) -> Result<Box<dyn Engine>> {
    Ok(match name {
        "lightning-btree" => {
            Box::new(engines::lightning::open(directory, settings, ::lightning::Layout::BTree)?)
        }
        "lightning-lsm" => Box::new(engines::lightning::open(directory, settings, ::lightning::Layout::Lsm)?),
        "lmdb" => Box::new(engines::lmdb::open(directory, settings)?),
        "redb" => Box::new(engines::redb::open(directory, settings)?),
        "canopydb" => Box::new(engines::canopydb::open(directory, settings)?),
        "sqlite" => Box::new(engines::sqlite::open(directory, settings)?),
        "fjall" => Box::new(engines::fjall::open(directory, settings)?),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Box::new(engines::rocksdb::open(directory, settings)?),
        other => return Err(format!("there is no engine {other}; there are {}", NAMES.join(", ")).into()),
    })
}
