//! Write batches, and the bytes of a commit in the log.
//!
//! ```text
//! record = 1, u64 sequence, operation*
//! operation = varint keyspace, kind (0 put, 1 delete), varint length, key [, varint length, value]
//!           | varint keyspace, kind 3 (delete a range), varint length, first key, bounded (0 or 1)
//!             [, varint length, key that it ends before]
//! ```
//!
//! Invariant: in a commit a range deletes what was there before, and nothing that the commit itself puts.

use std::ops::Bound;
use std::sync::Arc;

use crate::codec::{Reader, put_bytes, put_varint};
use crate::keep::stamp;
use crate::key_range::KeyRange;
use crate::keyspace::{Keyspace, KeyspaceInner};
use crate::options::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::view::KeyspaceId;
use crate::write_set::WriteSet;
use crate::{Error, Result};

const COMMIT: u8 = 1;
const PUT: u8 = 0;
const DELETE: u8 = 1;
const DELETE_RANGE: u8 = 3;
/// Bytes of a record before its operations.
pub(crate) const RECORD_HEADER: usize = 9;

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Put(&'a [u8]),
    Delete,
    /// It and all after it are deleted, up to the one before this if there is one.
    DeleteRange(Option<&'a [u8]>),
}

/// One change of one key, or of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation<'a> {
    pub(crate) keyspace: KeyspaceId,
    /// The first one of a range.
    pub(crate) key: &'a [u8],
    pub(crate) change: Change<'a>,
}

impl<'a> Operation<'a> {
    /// The new value, if there is one.
    #[inline]
    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        match self.change {
            Change::Put(value) => Some(value),
            Change::Delete | Change::DeleteRange(_) => None,
        }
    }

    /// The keys that are deleted together, if it does that.
    pub(crate) fn range(&self) -> Option<KeyRange> {
        match self.change {
            Change::DeleteRange(end) => {
                Some(KeyRange { start: self.key.to_vec(), end: end.map(<[u8]>::to_vec) })
            }
            Change::Put(_) | Change::Delete => None,
        }
    }
}

/// Whether a key and a value may be stored.
pub(crate) fn check_sizes(key: &[u8], value: Option<&[u8]>) -> Result<()> {
    if key.len() > KEY_BYTES_MAX {
        let (bytes, limit) = (key.len() as u64, KEY_BYTES_MAX as u64);
        return Err(Error::TooLarge { what: "a key", bytes, limit });
    }
    let bytes = value.map_or(0, |value| value.len() as u64);
    if bytes > VALUE_BYTES_MAX {
        return Err(Error::TooLarge { what: "a value", bytes, limit: VALUE_BYTES_MAX });
    }
    Ok(())
}

/// The range between two bounds that may be keys.
pub(crate) fn check_bounds(start: Bound<&[u8]>, end: Bound<&[u8]>) -> Result<KeyRange> {
    for bound in [start, end] {
        if let Bound::Included(key) | Bound::Excluded(key) = bound {
            check_sizes(key, None)?;
        }
    }
    Ok(KeyRange::from_bounds(start, end))
}

/// Operations as they go to the log, and the keyspaces they are for.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) bytes: Vec<u8>,
    pub(crate) keyspaces: Vec<Arc<KeyspaceInner>>,
}

impl Operations {
    fn start(&mut self, keyspace: &Arc<KeyspaceInner>) {
        if !self.keyspaces.iter().rev().any(|known| known.id == keyspace.id) {
            self.keyspaces.push(Arc::clone(keyspace));
        }
        put_varint(&mut self.bytes, keyspace.id);
    }

    /// Adds the deletion of a range. It comes before what the commit puts there.
    pub(crate) fn push_range(&mut self, keyspace: &Arc<KeyspaceInner>, range: &KeyRange) {
        self.start(keyspace);
        self.bytes.push(DELETE_RANGE);
        range.encode(&mut self.bytes);
    }

    pub(crate) fn push(&mut self, keyspace: &Arc<KeyspaceInner>, key: &[u8], value: Option<&[u8]>) {
        self.start(keyspace);
        self.bytes.push(if value.is_some() { PUT } else { DELETE });
        put_bytes(&mut self.bytes, key);
        if let Some(value) = value {
            put_bytes(&mut self.bytes, value);
        }
    }

    /// Gives the values that expire the time of their commit.
    pub(crate) fn stamp(&mut self, millis: u64) {
        let expires = |id: KeyspaceId| {
            self.keyspaces.iter().any(|keyspace| keyspace.id == id && keyspace.options.ttl.is_some())
        };
        let mut places = Vec::new();
        let mut operations = self.iter();
        while let Some(operation) = operations.next() {
            if let Change::Put(value) = operation.change
                && expires(operation.keyspace)
            {
                let end = self.bytes.len() - operations.left();
                places.push(end - value.len()..end);
            }
        }
        for place in places {
            stamp(self.bytes.get_mut(place).unwrap_or_default(), millis);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn iter(&self) -> OperationsIter<'_> {
        OperationsIter { reader: Reader::new(&self.bytes) }
    }
}

/// The start of a commit's record.
pub(crate) fn record_header(sequence: u64) -> [u8; RECORD_HEADER] {
    let mut header = [COMMIT; RECORD_HEADER];
    header[1..].copy_from_slice(&sequence.to_le_bytes());
    header
}

/// The sequence and the operations of a record; `None` when it is no commit.
pub(crate) fn decode_record(record: &[u8]) -> Option<(u64, OperationsIter<'_>)> {
    let mut reader = Reader::new(record);
    if reader.u8()? != COMMIT {
        return None;
    }
    Some((reader.u64()?, OperationsIter { reader }))
}

/// The operation at the start of `bytes`.
#[inline]
pub(crate) fn decode_operation(bytes: &[u8]) -> Option<Operation<'_>> {
    OperationsIter { reader: Reader::new(bytes) }.next()
}

/// Reads operations one by one.
pub(crate) struct OperationsIter<'a> {
    reader: Reader<'a>,
}

impl OperationsIter<'_> {
    /// Bytes not read yet.
    pub(crate) fn left(&self) -> usize {
        self.reader.rest.len()
    }

    /// Whether there is something left: after `None`, that it is malformed.
    pub(crate) fn is_at_end(&self) -> bool {
        self.reader.rest.is_empty()
    }
}

impl<'a> Iterator for OperationsIter<'a> {
    type Item = Operation<'a>;

    #[inline]
    fn next(&mut self) -> Option<Operation<'a>> {
        let mut reader = self.reader;
        let keyspace = reader.varint()?;
        let kind = reader.u8()?;
        let key = reader.bytes()?;
        let change = match kind {
            PUT => Change::Put(reader.bytes()?),
            DELETE => Change::Delete,
            DELETE_RANGE => match reader.u8()? {
                0 => Change::DeleteRange(None),
                1 => Change::DeleteRange(Some(reader.bytes()?)),
                _ => return None,
            },
            _ => return None,
        };
        self.reader = reader;
        Some(Operation { keyspace, key, change })
    }
}

/// Changes that are made together, without reading anything.
#[derive(Default)]
pub struct WriteBatch {
    pub(crate) operations: Operations,
    pub(crate) error: Option<Error>,
    count: usize,
    /// Whether a range is deleted after something else was done.
    range_after: bool,
}

impl std::fmt::Debug for WriteBatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WriteBatch").field("len", &self.count).finish_non_exhaustive()
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put. One that is too large makes the whole batch fail when it is written.
    pub fn put(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        self.push(keyspace, key, Some(value));
    }

    /// Adds a merge of an operand into a key, of a keyspace with a merge operator; without that the whole batch
    /// fails when it is written.
    pub fn merge(&mut self, keyspace: &Keyspace, key: &[u8], operand: &[u8]) {
        let stored = check_sizes(key, Some(operand)).and_then(|()| keyspace.inner.stored_merge(operand));
        match stored {
            Ok(stored) => {
                self.operations.push(&keyspace.inner, key, Some(&stored));
                self.count += 1;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Adds a delete.
    pub fn delete(&mut self, keyspace: &Keyspace, key: &[u8]) {
        self.push(keyspace, key, None);
    }

    /// Adds the deletion of all keys between two, at a cost that does not depend on how many there are.
    /// What the batch puts there afterwards stays.
    pub fn delete_range(&mut self, keyspace: &Keyspace, start: Bound<&[u8]>, end: Bound<&[u8]>) {
        let range = check_bounds(start, end);
        match range.and_then(|range| keyspace.inner.check_merges().map(|()| range)) {
            Ok(range) if range.is_empty() => {}
            Ok(range) => {
                self.range_after |= self.count > 0;
                self.operations.push_range(&keyspace.inner, &range);
                self.count += 1;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// What is committed: of each key what was done last.
    pub(crate) fn into_operations(self) -> Result<Operations> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.range_after {
            return Ok(self.operations);
        }
        let mut writes = WriteSet::new();
        for operation in self.operations.iter() {
            let known = |keyspace: &&Arc<KeyspaceInner>| keyspace.id == operation.keyspace;
            let Some(keyspace) = self.operations.keyspaces.iter().find(known) else { continue };
            match operation.range() {
                Some(range) => writes.erase(keyspace, &range),
                None => writes.put(keyspace, operation.key, operation.value()),
            }
        }
        writes.operations()
    }

    fn push(&mut self, keyspace: &Keyspace, key: &[u8], value: Option<&[u8]>) {
        match check_sizes(key, value).and_then(|()| keyspace.inner.check_merges()) {
            Ok(()) => {
                let stored = value.map(|value| keyspace.inner.stored(value));
                self.operations.push(&keyspace.inner, key, stored.as_deref());
                self.count += 1;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.operations.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn operations_come_back(
            sequence: u64,
            operations in proptest::collection::vec((0u64..300, any::<Vec<u8>>(), any::<Option<Vec<u8>>>(), any::<bool>()), 0..20),
        ) {
            let mut written = Operations::default();
            for (id, key, value, range) in &operations {
                let keyspace = Arc::new(KeyspaceInner::new(*id, 0, "k", crate::KeyspaceOptions::default()));
                if *range {
                    written.push_range(&keyspace, &KeyRange { start: key.clone(), end: value.clone() });
                } else {
                    written.push(&keyspace, key, value.as_deref());
                }
            }
            let record = [record_header(sequence).as_slice(), &written.bytes].concat();
            let (found, mut iter) = decode_record(&record).unwrap();
            prop_assert_eq!(found, sequence);
            let read: Vec<_> = iter.by_ref().map(|op| match op.range() {
                Some(range) => (op.keyspace, range.start, range.end, true),
                None => (op.keyspace, op.key.to_vec(), op.value().map(<[u8]>::to_vec), false),
            }).collect();
            prop_assert!(iter.is_at_end());
            prop_assert_eq!(read, operations);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Some((_, operations)) = decode_record(&bytes) {
                operations.for_each(drop);
            }
        }
    }
}
