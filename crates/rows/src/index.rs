//! Index entries.
//!
//! | entry | key | value |
//! |---|---|---|
//! | of a unique index, no NULL | indexed columns | `1`, row key |
//! | the same with INCLUDE | indexed columns | `3`, length of the row key (u16, big endian), row key, included |
//! | of a deferrable unique index, no NULL | indexed columns, row key | `2`, length of the indexed columns (u16, big endian), included |
//! | any other | indexed columns, row key | `0`, length of the indexed columns (u16, big endian), included |
//!
//! *Included* are the values of the INCLUDE columns, encoded as a row; entries from before they were stored have none.
//!
//! So two rows with one unique key meet in one entry, and rows whose key has a NULL never do; entries of a
//! deferrable key stand beside each other until they are checked.
//! A row that does not satisfy an index's predicate has no entry in it.

use luma_model::{Error, ErrorKind, KeyOrder, Result, Value, ValueRef, encode_key};

use crate::table::{OpenIndex, OpenTable};
use crate::write::Expressions;

const IN_KEY: u8 = 0;
const IN_VALUE: u8 = 1;
const CLAIM: u8 = 2;
const IN_VALUE_WITH_INCLUDED: u8 = 3;

/// An entry ready to be stored; reused from row to row.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// Whether the key alone must be unique.
    pub(crate) exclusive: bool,
    /// How many bytes of the key must be unique once a deferrable constraint is checked; 0 for none.
    pub(crate) claimed: usize,
}

impl Entry {
    /// Builds the entry of a row; says whether the row has one.
    pub(crate) fn build(
        &mut self,
        table: &OpenTable,
        index: &OpenIndex,
        values: &[ValueRef<'_>],
        row_key: &[u8],
        expressions: &dyn Expressions,
    ) -> Result<bool> {
        self.key.clear();
        self.value.clear();
        self.exclusive = false;
        self.claimed = 0;
        let definition = &index.definition;
        let computed = if definition.is_plain() {
            Vec::new()
        } else {
            let Some(computed) = expressions.index_values(table, definition, values)? else {
                return Ok(false);
            };
            computed
        };
        let mut has_null = false;
        let mut computed = computed.iter().zip(&definition.expressions);
        for part in &definition.columns {
            let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
            if let Some(ordinal) = usize::from(part.column).checked_sub(1) {
                has_null |= matches!(values[ordinal], ValueRef::Null);
                table.encode_part(ordinal, values[ordinal], order, &mut self.key)?;
                continue;
            }
            let Some((value, expression)) = computed.next() else {
                return Err(Error::new(ErrorKind::Internal, "an index misses an expression"));
            };
            has_null |= matches!(value, Value::Null);
            encode_key(value.as_ref(), &expression.data_type, order, &mut self.key)?;
        }
        self.exclusive = index.definition.is_always_unique() && !has_null;
        let length_of =
            |part: &[u8]| u16::try_from(part.len()).map_err(|_| too_large(&index.definition.name));
        if self.exclusive && definition.include.is_empty() {
            self.value.push(IN_VALUE);
            self.value.extend_from_slice(row_key);
        } else if self.exclusive {
            self.value.push(IN_VALUE_WITH_INCLUDED);
            self.value.extend_from_slice(&length_of(row_key)?.to_be_bytes());
            self.value.extend_from_slice(row_key);
        } else {
            let length = length_of(&self.key)?;
            let claims = index.definition.is_deferrable() && !has_null;
            if claims {
                self.claimed = self.key.len();
            }
            self.value.push(if claims { CLAIM } else { IN_KEY });
            self.value.extend_from_slice(&length.to_be_bytes());
            self.key.extend_from_slice(row_key);
        }
        if !definition.include.is_empty() {
            let included = definition.include.iter().map(|number| values[usize::from(*number) - 1]);
            luma_model::encode_row_iter(included, &mut self.value);
        }
        table.check_key_size(&self.key)?;
        Ok(true)
    }
}

/// The row key that an entry names.
pub fn row_key<'a>(key: &'a [u8], value: &'a [u8]) -> Result<&'a [u8]> {
    match value {
        [IN_VALUE, row_key @ ..] => Ok(row_key),
        [IN_KEY | CLAIM, high, low, ..] => key.get(length(*high, *low)..).ok_or_else(damaged),
        [IN_VALUE_WITH_INCLUDED, high, low, rest @ ..] => rest.get(..length(*high, *low)).ok_or_else(damaged),
        _ => Err(damaged()),
    }
}

/// The encoded values of the INCLUDE columns; `None` if the entry is from before they were stored.
pub(crate) fn included(value: &[u8]) -> Option<&[u8]> {
    let included = match value {
        [IN_KEY | CLAIM, _, _, included @ ..] => included,
        [IN_VALUE_WITH_INCLUDED, high, low, rest @ ..] => rest.get(length(*high, *low)..)?,
        _ => return None,
    };
    (!included.is_empty()).then_some(included)
}

fn length(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high, low]))
}

/// The part of an entry's key that no other may have once a deferrable constraint is checked.
pub(crate) fn claim<'a>(key: &'a [u8], value: &[u8]) -> Option<&'a [u8]> {
    match value {
        [CLAIM, high, low, ..] => key.get(..length(*high, *low)),
        _ => None,
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::DataCorrupted, "an index entry has no readable row key")
        .hint("Drop the index and create it again.")
}

fn too_large(index: &str) -> Error {
    Error::new(ErrorKind::ProgramLimit, format!("an entry of index \"{index}\" is larger than 60000 bytes"))
}
