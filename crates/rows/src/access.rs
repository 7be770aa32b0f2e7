//! How rows are reached: ranges of row keys, or of an index's entries.

use std::ops::Bound;

use luma_model::prefix_successor;

/// A range of encoded keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Where it starts.
    pub start: Bound<Vec<u8>>,
    /// Where it ends.
    pub end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Everything.
    pub fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// All keys that start with these bytes.
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let end = match prefix_successor(&prefix) {
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        Self { start: Bound::Included(prefix), end }
    }

    /// The start, borrowed.
    pub fn start(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(Vec::as_slice)
    }

    /// The end, borrowed.
    pub fn end(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(Vec::as_slice)
    }
}

/// The way to a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Ranges of row keys, in order.
    Rows(Vec<KeyRange>),
    /// Ranges of an index's entries (its place in the table's indexes), then the rows they name.
    Index(usize, Vec<KeyRange>),
    /// Rows by their keys, each once.
    Keys(KeySet),
}

/// A set of row keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// Those in ranges.
    Rows(Vec<KeyRange>),
    /// Those that an index's entries in ranges name.
    Index(usize, Vec<KeyRange>),
    /// Those in one of the sets.
    Any(Vec<KeySet>),
    /// Those in each of the sets.
    All(Vec<KeySet>),
}

impl Access {
    /// Every row.
    pub fn all() -> Self {
        Self::Rows(vec![KeyRange::all()])
    }
}
