//! The catalog as it lives in Lightning: one keyspace, one JSON document per object.
//!
//! Invariants: an identifier is never given twice, not even after a crash (the next one is above
//! every stored one and above every keyspace's number); `current` holds only what is durable.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use lightning::{
    Database, Direction, Durability, Keyspace, KeyspaceOptions, Readable, Transaction, WriteBatch,
};
use luma_model::{Error, ErrorKind, Result};

use crate::edit::Edit;
use crate::engine::engine_error;
use crate::object::{Object, Oid, Schema};
use crate::snapshot::Snapshot;
use crate::{FIRST_USER_OID, PUBLIC};

const KEYSPACE: &str = "catalog";
/// PostgreSQL's number for `public`, which tools take for granted.
const PUBLIC_OID: Oid = 2200;

/// The catalog of one database directory.
#[derive(Debug)]
pub struct Catalog {
    keyspace: Keyspace,
    current: ArcSwap<Snapshot>,
    next_oid: AtomicU32,
    next_version: AtomicU64,
}

impl Catalog {
    /// Reads the catalog, or makes an empty one with the schema `public`.
    ///
    /// # Errors
    /// When the engine fails or a stored object can't be read.
    pub fn open(engine: &Database) -> Result<Self> {
        let keyspace = match engine.keyspace(KEYSPACE) {
            Some(keyspace) => keyspace,
            None => {
                let keyspace =
                    engine.create_keyspace(KEYSPACE, KeyspaceOptions::default()).map_err(engine_error)?;
                let public = Object::Schema(Schema { oid: PUBLIC_OID, name: PUBLIC.into(), owner: 10 });
                let mut batch = WriteBatch::new();
                let bytes = serde_json::to_vec(&public).map_err(|error| unreadable(PUBLIC_OID, &error))?;
                batch.put(&keyspace, &PUBLIC_OID.to_be_bytes(), &bytes);
                engine.write(batch, Durability::Sync).map_err(engine_error)?;
                keyspace
            }
        };
        let mut snapshot = Snapshot { version: 1, ..Snapshot::default() };
        let mut largest = FIRST_USER_OID - 1;
        let mut objects = engine
            .snapshot()
            .range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
            .map_err(engine_error)?;
        while let Some((key, value)) = objects.next().map_err(engine_error)? {
            let oid = key.try_into().map(u32::from_be_bytes).unwrap_or_default();
            let object: Object = serde_json::from_slice(value).map_err(|error| unreadable(oid, &error))?;
            largest = largest.max(largest_number(&object));
            snapshot.insert(object);
        }
        for name in engine.keyspace_names() {
            let number = name.get(1..).and_then(|digits| digits.parse().ok());
            largest = largest.max(number.unwrap_or_default());
        }
        Ok(Self {
            keyspace,
            current: ArcSwap::from_pointee(snapshot),
            next_oid: AtomicU32::new(largest + 1),
            next_version: AtomicU64::new(2),
        })
    }

    /// The newest durable state.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The version of the newest durable state, without pinning it.
    pub fn version(&self) -> u64 {
        self.current.load().version
    }

    /// A number for a new object or keyspace, never given before.
    pub fn allocate_oid(&self) -> Oid {
        self.next_oid.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts a change on top of `base` inside `transaction`.
    pub fn edit<'a>(&'a self, base: &Snapshot, transaction: &'a mut Transaction) -> Edit<'a> {
        let version = self.next_version.fetch_add(1, Ordering::Relaxed);
        Edit::new(base, version, transaction, &self.keyspace)
    }

    /// Makes a committed change visible to everyone. Callers hold the catalog's lock from the first
    /// edit until here, so that changes can't overtake each other.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
    }
}

/// The largest identifier or keyspace number an object uses.
fn largest_number(object: &Object) -> u32 {
    let mut largest = object.oid();
    if let Object::Table(table) = object {
        largest = table.storages().fold(largest, u32::max);
        let parts = table.indexes.iter().map(|index| index.oid);
        let parts = parts.chain(table.checks.iter().map(|check| check.oid));
        let parts = parts.chain(table.foreign_keys.iter().map(|key| key.oid));
        largest = parts.chain(table.primary_key.iter().map(|key| key.oid)).fold(largest, u32::max);
    }
    if let Object::Type(made) = object {
        let labels = made.as_enum().into_iter().flat_map(|known| known.labels.iter().map(|label| label.oid));
        let checks =
            made.as_domain().into_iter().flat_map(|domain| domain.checks.iter().map(|check| check.oid));
        largest = labels.chain(checks).fold(largest.max(made.array_oid), u32::max);
    }
    largest
}

fn unreadable(oid: Oid, error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::DataCorrupted, format!("catalog entry {oid} can't be read: {error}"))
}
