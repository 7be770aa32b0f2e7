//! Lists of values.
//!
//! An array has one dimension, counted from 1. A borrowed array reads its elements where they are:
//! in a list of values, in a stored row, or in a column.

use std::fmt;

use super::{Value, ValueKind, ValueRef};
use crate::arrow::CellReader;
use crate::row::RowView;

/// An owned list of values of one type, NULL among them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ArrayValue {
    /// The elements in order.
    pub elements: Vec<Value>,
}

impl ArrayValue {
    /// A list of these elements.
    pub fn new(elements: Vec<Value>) -> Self {
        Self { elements }
    }

    /// Borrows it.
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(&self) -> ArrayRef<'_> {
        ArrayRef(Source::Values(&self.elements))
    }
}

impl From<Vec<Value>> for ArrayValue {
    fn from(elements: Vec<Value>) -> Self {
        Self { elements }
    }
}

/// A borrowed list of values of one type.
#[derive(Clone, Copy)]
pub struct ArrayRef<'a>(Source<'a>);

/// Where the elements are.
#[derive(Clone, Copy)]
enum Source<'a> {
    Values(&'a [Value]),
    /// Elements stored as the columns of a row; every one of them was checked.
    Row(RowView<'a>, ValueKind),
    /// Cells of a column from a place on; every one of them was checked.
    Cells(&'a CellReader, usize, usize),
}

impl<'a> ArrayRef<'a> {
    /// A list of these elements.
    pub fn from_values(elements: &'a [Value]) -> Self {
        Self(Source::Values(elements))
    }

    /// A list stored as a row, all of whose columns can be read as that kind.
    pub(crate) fn from_row(row: RowView<'a>, kind: ValueKind) -> Self {
        Self(Source::Row(row, kind))
    }

    /// A list that is part of a column, all of whose cells can be read.
    pub(crate) fn from_cells(cells: &'a CellReader, start: usize, length: usize) -> Self {
        Self(Source::Cells(cells, start, length))
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self.0 {
            Source::Values(elements) => elements.len(),
            Source::Row(row, _) => row.len(),
            Source::Cells(_, _, length) => length,
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at that place, counted from 0.
    pub fn get(&self, place: usize) -> Option<ValueRef<'a>> {
        match self.0 {
            Source::Values(elements) => elements.get(place).map(Value::as_ref),
            Source::Row(row, kind) => row.get_kind(place, kind).ok().flatten(),
            Source::Cells(cells, start, length) => {
                (place < length).then(|| cells.get(start + place).ok()).flatten()
            }
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        let array = *self;
        (0..array.len()).map(move |place| array.get(place).unwrap_or_default())
    }

    /// Copies it.
    #[allow(clippy::should_implement_trait, clippy::wrong_self_convention)]
    pub fn to_owned(&self) -> ArrayValue {
        ArrayValue { elements: self.iter().map(|element| element.to_owned()).collect() }
    }
}

impl PartialEq for ArrayRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
