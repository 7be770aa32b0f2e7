//! Merges: changes of a value that are written without reading it.
//!
//! In a keyspace with an operator each stored value begins with a byte that tells what it is:
//!
//! ```text
//! stored   = 0, value
//!          | 1, operand*                      over whatever is older
//!          | 2, operand*                      over nothing
//!          | 3, varint length, value, operand*
//! operand  = varint length, bytes             oldest first
//! ```
//! A merge is the put of one operand over whatever is older. A read gathers operands down to the first value or
//! deletion and has the operator make one value of them; a flush, a merge of tables and a checkpoint do the
//! same with what they see, and put operands together where the value is not among it.
//!
//! Invariants: operands of a key are never reordered or left out. What an operator can't do, or is not there to
//! do, leaves the operands as they are: nothing is lost, and reads say why they fail.
//! Cost: a byte per value; a read walks over the operands since the last flush, and those in tables.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use crate::codec::{Reader, put_bytes};
use crate::options::VALUE_BYTES_MAX;
use crate::{Error, Result};

const VALUE: u8 = 0;
const OVER_OLDER: u8 = 1;
const OVER_NOTHING: u8 = 2;
const OVER_VALUE: u8 = 3;

/// Makes one value of a value and operands.
///
/// Called by reads, flushes, merges and checkpoints, from several threads, and never under a lock that commits
/// need. The same operands must always give the same value: what a read shows must be what files will have.
pub trait MergeOperator: Debug + Send + Sync {
    /// The name that keyspaces refer to it by. One that works differently needs another name.
    fn name(&self) -> &str;

    /// The value that operands, oldest first, make of a value, or of none. `None` if they can't: reads of the
    /// key fail then until something else is put there.
    fn full_merge(&self, key: &[u8], value: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>>;

    /// One operand that does the same as two, the older first; `None` if there is none.
    fn partial_merge(&self, key: &[u8], older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
        let _ = (key, older, newer);
        None
    }
}

/// Adds numbers: values and operands are `u64`, little-endian. No value counts as 0; past the largest it
/// begins at 0 again. Always there, as `u64 add`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddU64;

impl MergeOperator for AddU64 {
    fn name(&self) -> &'static str {
        "u64 add"
    }

    fn full_merge(&self, _key: &[u8], value: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        let mut sum = 0u64;
        for number in value.iter().chain(operands) {
            sum = sum.wrapping_add(u64::from_le_bytes((*number).try_into().ok()?));
        }
        Some(sum.to_le_bytes().to_vec())
    }

    fn partial_merge(&self, key: &[u8], older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
        self.full_merge(key, None, &[older, newer])
    }
}

/// Appends operands to the value. Always there, as `append`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Append;

impl MergeOperator for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn full_merge(&self, _key: &[u8], value: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some([&[value.unwrap_or_default()], operands].concat().concat())
    }

    fn partial_merge(&self, _key: &[u8], older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
        Some([older, newer].concat())
    }
}

/// Whether something stored waits for what is older.
#[inline]
pub(crate) fn is_open(stored: &[u8]) -> bool {
    stored.first() == Some(&OVER_OLDER)
}

/// Whether something stored is a value as it was put.
#[inline]
pub(crate) fn is_value(stored: &[u8]) -> bool {
    stored.first() == Some(&VALUE)
}

/// What is stored of a value.
pub(crate) fn stored_value(value: &[u8]) -> Vec<u8> {
    [&[VALUE], value].concat()
}

/// What is stored of a merge.
pub(crate) fn stored_operand(operand: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(operand.len() + 11);
    stored.push(OVER_OLDER);
    put_bytes(&mut stored, operand);
    stored
}

/// What operands lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below<'a> {
    /// That is not known here.
    Older,
    Nothing,
    /// Something that is stored.
    Stored(&'a [u8]),
}

/// Operands as they are found: the newest first.
#[derive(Default)]
pub(crate) struct Operands {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Operands {
    /// Adds something stored that is open.
    pub(crate) fn push(&mut self, stored: &[u8]) {
        self.bytes.extend_from_slice(stored.get(1..).unwrap_or_default());
        self.ends.push(self.bytes.len());
    }

    /// What is stored of all of them.
    pub(crate) fn over(&self, below: Below<'_>) -> Vec<u8> {
        let mut stored = Vec::with_capacity(self.bytes.len() + 16);
        match below {
            Below::Older => stored.push(OVER_OLDER),
            Below::Nothing => stored.push(OVER_NOTHING),
            Below::Stored(below) => match below.split_first() {
                Some((&VALUE, value)) => {
                    stored.push(OVER_VALUE);
                    put_bytes(&mut stored, value);
                }
                _ => stored.extend_from_slice(below),
            },
        }
        for at in (0..self.ends.len()).rev() {
            let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            stored.extend_from_slice(&self.bytes[from..self.ends[at]]);
        }
        stored
    }
}

/// Something stored, put over what is below it.
pub(crate) fn over<'a>(stored: Cow<'a, [u8]>, below: Below<'_>) -> Cow<'a, [u8]> {
    if !is_open(&stored) {
        return stored;
    }
    let mut operands = Operands::default();
    operands.push(&stored);
    Cow::Owned(operands.over(below))
}

/// A value, if there is one, and the operands that lie on it.
type Apart<'a> = (Option<&'a [u8]>, Vec<&'a [u8]>);

fn taken_apart(stored: &[u8]) -> Option<Apart<'_>> {
    let (kind, rest) = stored.split_first()?;
    let mut reader = Reader::new(rest);
    let value = if *kind == OVER_VALUE { Some(reader.bytes()?) } else { None };
    let mut operands = Vec::new();
    while !reader.rest.is_empty() {
        operands.push(reader.bytes()?);
    }
    Some((value, operands))
}

/// The operator of a keyspace.
#[derive(Clone, Debug)]
pub(crate) struct Merges {
    keyspace: Arc<str>,
    name: Arc<str>,
    /// None if the program did not give it.
    operator: Option<Arc<dyn MergeOperator>>,
}

impl Merges {
    /// The operator of a keyspace with this name, if it is among those given or always there.
    pub(crate) fn find(keyspace: &str, name: &Arc<str>, given: &[Arc<dyn MergeOperator>]) -> Self {
        let always: [Arc<dyn MergeOperator>; 2] = [Arc::new(AddU64), Arc::new(Append)];
        let found = given.iter().chain(&always).find(|operator| operator.name() == name.as_ref());
        Self { keyspace: keyspace.into(), name: Arc::clone(name), operator: found.cloned() }
    }

    /// Fails if the operator is not there.
    pub(crate) fn check(&self) -> Result<()> {
        self.operator().map(|_| ())
    }

    fn operator(&self) -> Result<&dyn MergeOperator> {
        self.operator.as_deref().ok_or_else(|| Error::MergeOperatorMissing {
            keyspace: self.keyspace.to_string(),
            operator: self.name.to_string(),
        })
    }

    fn made(&self, key: &[u8], stored: &[u8]) -> Result<Vec<u8>> {
        let operator = self.operator()?;
        let made = taken_apart(stored)
            .and_then(|(value, operands)| operator.full_merge(key, value, &operands))
            .filter(|value| value.len() as u64 <= VALUE_BYTES_MAX);
        made.ok_or_else(|| Error::MergeFailed {
            keyspace: self.keyspace.to_string(),
            operator: self.name.to_string(),
            key: key.to_vec(),
        })
    }

    /// What readers are shown of something stored under which nothing is.
    ///
    /// # Errors
    /// [`Error::MergeOperatorMissing`], [`Error::MergeFailed`].
    pub(crate) fn shown(&self, key: &[u8], stored: &[u8]) -> Result<Option<Vec<u8>>> {
        if is_value(stored) { Ok(None) } else { self.made(key, stored).map(Some) }
    }

    /// What goes to a file for something stored, where as much is done as can be.
    pub(crate) fn settled<'a>(&self, key: &[u8], stored: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        if is_value(&stored) {
            return stored;
        }
        let together = if is_open(&stored) {
            self.put_together(key, &stored)
        } else {
            self.made(key, &stored).ok().map(|value| stored_value(&value))
        };
        together.map_or(stored, Cow::Owned)
    }

    /// Fewer operands, if there can be.
    fn put_together(&self, key: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
        let operator = self.operator.as_deref()?;
        let (_, operands) = taken_apart(stored)?;
        let before = operands.len();
        let mut fewer: Vec<Cow<'_, [u8]>> = Vec::new();
        for operand in operands {
            match fewer.last().and_then(|older| operator.partial_merge(key, older, operand)) {
                Some(both) => {
                    fewer.pop();
                    fewer.push(Cow::Owned(both));
                }
                None => fewer.push(Cow::Borrowed(operand)),
            }
        }
        if fewer.len() == before {
            return None;
        }
        let mut out = vec![OVER_OLDER];
        for operand in &fewer {
            put_bytes(&mut out, operand);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Cannot put operands together, nor bear one that is empty.
    #[derive(Debug)]
    struct Whole;

    impl MergeOperator for Whole {
        fn name(&self) -> &'static str {
            "whole"
        }

        fn full_merge(&self, _key: &[u8], value: Option<&[u8]>, operands: &[&[u8]]) -> Option<Vec<u8>> {
            let all = operands.iter().all(|operand| !operand.is_empty());
            all.then(|| [&[value.unwrap_or(b"-")], operands].concat().concat())
        }
    }

    fn merges(operator: Arc<dyn MergeOperator>) -> Merges {
        let name: Arc<str> = operator.name().into();
        Merges::find("k", &name, &[operator])
    }

    proptest! {
        #[test]
        fn operands_give_the_same_wherever_they_are_put_together(
            value in proptest::option::of(any::<Vec<u8>>()),
            operands in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..4), 1..12),
            cuts in proptest::collection::vec(any::<bool>(), 12),
            whole: bool,
        ) {
            let merges = if whole { merges(Arc::new(Whole)) } else { merges(Arc::new(Append)) };
            let first = value.as_deref().unwrap_or(if whole { b"-" } else { b"" });
            let expected = [first, &operands.concat()].concat();
            // Pieces of operands, each put together by itself, the newest first.
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            for (at, operand) in operands.iter().enumerate() {
                let stored = stored_operand(operand);
                match pieces.last_mut().filter(|_| cuts[at]) {
                    Some(older) => {
                        *older = over(Cow::Owned(stored), Below::Stored(older)).into_owned();
                        *older = merges.settled(b"k", Cow::Borrowed(older)).into_owned();
                    }
                    None => pieces.push(stored),
                }
            }
            let mut all = Operands::default();
            pieces.iter().rev().for_each(|piece| all.push(piece));
            let below = value.as_deref().map(stored_value);
            let stored = all.over(below.as_deref().map_or(Below::Nothing, Below::Stored));
            prop_assert_eq!(merges.shown(b"k", &stored).unwrap().unwrap(), expected.clone());
            prop_assert_eq!(merges.settled(b"k", Cow::Owned(stored)).into_owned(), stored_value(&expected));
        }

        #[test]
        fn arbitrary_bytes_never_panic(stored: Vec<u8>) {
            for merges in [merges(Arc::new(AddU64)), merges(Arc::new(Append))] {
                let _ = merges.shown(b"k", &stored);
                let _ = merges.settled(b"k", Cow::Borrowed(&stored));
            }
        }
    }

    #[test]
    fn what_an_operator_cannot_do_stays_as_it_is_and_reads_say_so() {
        let failing = over(Cow::Owned(stored_operand(b"")), Below::Nothing);
        let merges_whole = merges(Arc::new(Whole));
        assert!(matches!(merges_whole.shown(b"k", &failing), Err(Error::MergeFailed { .. })));
        assert_eq!(merges_whole.settled(b"k", failing.clone()), failing);
        let missing = Merges::find("k", &"nobody's".into(), &[]);
        assert!(matches!(missing.shown(b"k", &failing), Err(Error::MergeOperatorMissing { .. })));
        assert_eq!(missing.settled(b"k", failing.clone()), failing);
        assert!(missing.check().is_err());
        let wrong = over(Cow::Owned(stored_operand(&[1; 8])), Below::Stored(&stored_value(b"no number")));
        assert!(merges(Arc::new(AddU64)).shown(b"k", &wrong).is_err());
    }
}
