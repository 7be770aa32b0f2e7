//! The keys of rows that are looked up: those that several indexes name together, and those that are said.

use std::ops::Bound;

use lightning::{Direction, Readable, TransactionReader};
use luma_catalog::engine_error;
use luma_model::{DataType, KeyOrder, Result, decode_key, prefix_successor};

use crate::access::{KeyRange, KeySet};
use crate::index;
use crate::table::OpenTable;

/// Bytes of keys past which all rows are read instead.
const BYTES_MAX: usize = 32 << 20;

/// Ascending, each key once.
type Keys = Vec<Box<[u8]>>;

/// The keys, ascending; `None` where they are too many for memory.
pub(crate) fn collect(table: &OpenTable, reader: &TransactionReader, set: &KeySet) -> Result<Option<Keys>> {
    match set {
        KeySet::Rows(ranges) => walk(&table.rows, reader, ranges, |key, _| Ok(key)),
        KeySet::Index(place, ranges) => walk(&table.indexes[*place].entries, reader, ranges, index::row_key),
        KeySet::Any(sets) => {
            let mut all = Keys::new();
            for set in sets {
                let Some(more) = collect(table, reader, set)? else { return Ok(None) };
                all.extend(more);
            }
            Ok(sorted(all))
        }
        KeySet::All(sets) => {
            let mut left: Option<Keys> = None;
            for set in sets {
                let Some(more) = collect(table, reader, set)? else { return Ok(None) };
                left = Some(match left {
                    None => more,
                    Some(mut left) => {
                        left.retain(|key| more.binary_search(key).is_ok());
                        left
                    }
                });
            }
            Ok(left)
        }
    }
}

/// The keys that ranges stand for, if each is that of one whole key.
pub(crate) fn whole(table: &OpenTable, ranges: &[KeyRange]) -> Option<Keys> {
    ranges.iter().map(|range| whole_key(table, range).map(Box::from)).collect()
}

fn whole_key<'a>(table: &OpenTable, range: &'a KeyRange) -> Option<&'a [u8]> {
    let Bound::Included(key) = &range.start else { return None };
    let Bound::Excluded(end) = &range.end else { return None };
    // It is followed at once by what ends all that begins with it.
    if table.key_ordinals().is_empty() || prefix_successor(key).as_ref() != Some(end) {
        return None;
    }
    let mut rest = key.as_slice();
    for ordinal in table.key_ordinals() {
        let data_type = match table.collator(*ordinal) {
            Some(_) => &DataType::Bytea,
            None => table.data_type(*ordinal),
        };
        let (_, length) = decode_key(rest, data_type, KeyOrder::default()).ok()?;
        rest = rest.get(length..)?;
    }
    rest.is_empty().then_some(key)
}

fn walk(
    keyspace: &lightning::Keyspace,
    reader: &TransactionReader,
    ranges: &[KeyRange],
    row_key: impl for<'k> Fn(&'k [u8], &'k [u8]) -> Result<&'k [u8]>,
) -> Result<Option<Keys>> {
    let (mut keys, mut bytes) = (Keys::new(), 0);
    for range in ranges {
        let mut entries =
            reader.range(keyspace, range.start(), range.end(), Direction::Forward).map_err(engine_error)?;
        while let Some((key, value)) = entries.next().map_err(engine_error)? {
            let key: Box<[u8]> = row_key(key, value)?.into();
            bytes += key.len() + size_of::<Box<[u8]>>();
            if bytes > BYTES_MAX {
                return Ok(None);
            }
            keys.push(key);
        }
    }
    Ok(sorted(keys))
}

fn sorted(mut keys: Keys) -> Option<Keys> {
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}
