//! Write batches, and the bytes of a commit in the log.
//!
//! ```text
//! record = 1, u64 sequence, operation*
//! operation = varint keyspace, kind (0 put, 1 delete), varint length, key [, varint length, value]
//! ```

use std::sync::Arc;

use crate::codec::{Reader, put_bytes, put_varint};
use crate::keyspace::{Keyspace, KeyspaceInner};
use crate::options::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::view::KeyspaceId;
use crate::{Error, Result};

const COMMIT: u8 = 1;
const PUT: u8 = 0;
const DELETE: u8 = 1;
/// Bytes of a record before its operations.
pub(crate) const RECORD_HEADER: usize = 9;

/// One change of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation<'a> {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: &'a [u8],
    /// `None` deletes.
    pub(crate) value: Option<&'a [u8]>,
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

/// Operations as they go to the log, and the keyspaces they are for.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) bytes: Vec<u8>,
    pub(crate) keyspaces: Vec<Arc<KeyspaceInner>>,
}

impl Operations {
    pub(crate) fn push(&mut self, keyspace: &Arc<KeyspaceInner>, key: &[u8], value: Option<&[u8]>) {
        if !self.keyspaces.iter().rev().any(|known| known.id == keyspace.id) {
            self.keyspaces.push(Arc::clone(keyspace));
        }
        put_varint(&mut self.bytes, keyspace.id);
        self.bytes.push(if value.is_some() { PUT } else { DELETE });
        put_bytes(&mut self.bytes, key);
        if let Some(value) = value {
            put_bytes(&mut self.bytes, value);
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
        let value = match kind {
            PUT => Some(reader.bytes()?),
            DELETE => None,
            _ => return None,
        };
        self.reader = reader;
        Some(Operation { keyspace, key, value })
    }
}

/// Changes that are made together, without reading anything.
#[derive(Default)]
pub struct WriteBatch {
    pub(crate) operations: Operations,
    pub(crate) error: Option<Error>,
    count: usize,
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

    /// Adds a delete.
    pub fn delete(&mut self, keyspace: &Keyspace, key: &[u8]) {
        self.push(keyspace, key, None);
    }

    fn push(&mut self, keyspace: &Keyspace, key: &[u8], value: Option<&[u8]>) {
        match check_sizes(key, value) {
            Ok(()) => {
                self.operations.push(&keyspace.inner, key, value);
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
            operations in proptest::collection::vec((0u64..300, any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..20),
        ) {
            let mut written = Operations::default();
            for (id, key, value) in &operations {
                written.push(&Arc::new(KeyspaceInner::new(*id, 0, "k", crate::KeyspaceOptions::default())), key, value.as_deref());
            }
            let record = [record_header(sequence).as_slice(), &written.bytes].concat();
            let (found, mut iter) = decode_record(&record).unwrap();
            prop_assert_eq!(found, sequence);
            let read: Vec<_> = iter.by_ref().map(|op| (op.keyspace, op.key.to_vec(), op.value.map(<[u8]>::to_vec))).collect();
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
