//! A change to the catalog inside a transaction.
//!
//! The edit applies to a snapshot of its own at once, so that later statements of the transaction
//! see it, and to the transaction's write set, so that it commits with everything else.

use std::sync::Arc;

use lightning::{Keyspace, Transaction};
use luma_model::{Error, ErrorKind, Result};

use crate::engine::engine_error;
use crate::object::{Object, Oid};
use crate::snapshot::Snapshot;

/// A snapshot being changed.
#[derive(Debug)]
pub struct Edit<'a> {
    snapshot: Snapshot,
    transaction: &'a mut Transaction,
    keyspace: &'a Keyspace,
}

impl<'a> Edit<'a> {
    pub(crate) fn new(
        base: &Snapshot,
        version: u64,
        transaction: &'a mut Transaction,
        keyspace: &'a Keyspace,
    ) -> Self {
        let snapshot = Snapshot { version, ..base.clone() };
        Self { snapshot, transaction, keyspace }
    }

    /// Stores the object, replacing the one with its identifier.
    pub fn put(&mut self, object: Object) -> Result<()> {
        let bytes = serde_json::to_vec(&object)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("catalog entry: {error}")))?;
        self.transaction.put(self.keyspace, &object.oid().to_be_bytes(), &bytes).map_err(engine_error)?;
        self.snapshot.insert(object);
        Ok(())
    }

    /// Removes the object with that identifier.
    pub fn remove(&mut self, oid: Oid) -> Result<()> {
        self.transaction.delete(self.keyspace, &oid.to_be_bytes()).map_err(engine_error)?;
        self.snapshot.remove(oid);
        Ok(())
    }

    /// The state with the changes made so far.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Ends the edit; the result is what the transaction's later statements resolve names against.
    pub fn finish(self) -> Arc<Snapshot> {
        Arc::new(self.snapshot)
    }
}
