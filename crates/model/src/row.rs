//! Rows as bytes, with any column read without decoding the others.
//!
//! `FORMAT.md` shows the layout: a version, the number of columns, a bitmap of NULLs, where each
//! column ends, and the columns' bytes. Ends take one byte each when the row is short, and two, four
//! or eight when it is not. The types are not in the row; who reads it knows them.
//!
//! Opening a row looks at its head only. Reading a column checks that column: damaged bytes give an
//! error, never a panic. Cost: a few nanoseconds per column, and for text the check that it is UTF-8.

mod codec;

use crate::error::{Error, Result};
use crate::types::DataType;
use crate::value::{ArrayRef, ValueKind, ValueRef};

const VERSION: u8 = 1;

/// Appends the encoding of a row with these values.
pub fn encode_row(values: &[ValueRef<'_>], out: &mut Vec<u8>) {
    encode_row_iter(values.iter().copied(), out);
}

/// Appends the encoding of a row with the values that the iterator gives.
pub fn encode_row_iter<'a>(values: impl ExactSizeIterator<Item = ValueRef<'a>>, out: &mut Vec<u8>) {
    let count = values.len();
    let start = out.len();
    out.push(VERSION);
    if let Ok(short) = u8::try_from(count) {
        out.push(short);
    } else {
        out[start] |= WIDE_COUNT;
        out.extend_from_slice(&(count as u32).to_le_bytes());
    }
    let bitmap = out.len();
    let ends = bitmap + count.div_ceil(8);
    let data = ends + count;
    out.resize(data, 0);
    // Ends are first written in one byte; if the row turns out longer they are widened at the end.
    let mut long: Option<Vec<u64>> = None;
    for (place, value) in values.take(count).enumerate() {
        if value.is_null() {
            out[bitmap + place / 8] |= 1 << (place % 8);
        } else {
            codec::write(value, out);
        }
        let end = out.len() - data;
        match (&mut long, u8::try_from(end)) {
            (None, Ok(end)) => out[ends + place] = end,
            (Some(ends), _) => ends.push(end as u64),
            (None, Err(_)) => {
                let mut wide: Vec<u64> = Vec::with_capacity(count);
                wide.extend(out[ends..ends + place].iter().map(|end| u64::from(*end)));
                wide.push(end as u64);
                long = Some(wide);
            }
        }
    }
    if let Some(wide) = long {
        widen(start, ends, data, &wide, out);
    }
}

/// Replaces the one-byte ends of a row by ends as wide as the last one needs.
fn widen(start: usize, ends: usize, data: usize, wide: &[u64], out: &mut Vec<u8>) {
    let last = wide.last().copied().unwrap_or(0);
    let (code, width) = if u16::try_from(last).is_ok() {
        (1, 2)
    } else if u32::try_from(last).is_ok() {
        (2, 4)
    } else {
        (3, 8)
    };
    out[start] |= code << WIDTH_SHIFT;
    let length = out.len();
    let grown = wide.len() * (width - 1);
    out.resize(length + grown, 0);
    out.copy_within(data..length, data + grown);
    for (place, end) in wide.iter().enumerate() {
        let at = ends + place * width;
        out[at..at + width].copy_from_slice(&end.to_le_bytes()[..width]);
    }
}

const VERSION_MASK: u8 = 0x0f;
const WIDTH_SHIFT: u8 = 4;
const WIDTH_MASK: u8 = 0x03;
const WIDE_COUNT: u8 = 0x40;
const UNUSED_BITS: u8 = 0x80;

/// An encoded row.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    count: usize,
    width: usize,
    bitmap: &'a [u8],
    ends: &'a [u8],
    data: &'a [u8],
}

impl<'a> RowView<'a> {
    /// Opens an encoded row.
    ///
    /// # Errors
    /// XX001 when the bytes are no row of a version known here.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        Self::open(bytes).ok_or_else(|| damaged(bytes))
    }

    #[inline]
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first()?;
        if head & VERSION_MASK != VERSION || head & UNUSED_BITS != 0 {
            return None;
        }
        let (count, rest) = if head & WIDE_COUNT == 0 {
            let (count, rest) = rest.split_first()?;
            (usize::from(*count), rest)
        } else {
            let (count, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*count) as usize, rest)
        };
        let width = 1 << ((head >> WIDTH_SHIFT) & WIDTH_MASK);
        let (bitmap, rest) = rest.split_at_checked(count.div_ceil(8))?;
        let (ends, data) = rest.split_at_checked(count.checked_mul(width)?)?;
        let view = Self { count, width, bitmap, ends, data };
        // The last end is the length: a row cut short, or with something after it, is told apart.
        (view.end(count)? == data.len()).then_some(view)
    }

    /// How many columns were stored.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no columns were stored.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the column at that place is NULL; `None` past the last one.
    #[inline]
    pub fn is_null(&self, place: usize) -> Option<bool> {
        (place < self.count).then(|| self.bitmap[place / 8] & (1 << (place % 8)) != 0)
    }

    /// The value of the column at that place, which has that type; `None` past the last one, where
    /// the column was added after the row was stored.
    ///
    /// # Errors
    /// XX001 when the column's bytes are no value of the type.
    #[inline]
    pub fn get(&self, place: usize, data_type: &DataType) -> Result<Option<ValueRef<'a>>> {
        let Some(bytes) = self.column(place)? else { return Ok(None) };
        let Some(bytes) = bytes else { return Ok(Some(ValueRef::Null)) };
        if let Some(element) = data_type.element() {
            return Self::array(bytes, element.value_kind()).map(Some);
        }
        read(bytes, data_type.value_kind()).map(Some)
    }

    /// The value of the column at that place, which is of that kind and no array; `None` past the last one.
    ///
    /// # Errors
    /// XX001 when the column's bytes are no value of the kind.
    #[inline(always)]
    pub fn get_kind(&self, place: usize, kind: ValueKind) -> Result<Option<ValueRef<'a>>> {
        match self.column(place)? {
            None => Ok(None),
            Some(None) => Ok(Some(ValueRef::Null)),
            Some(Some(bytes)) => read(bytes, kind).map(Some),
        }
    }

    /// The bytes of a column: `None` past the last one, `Some(None)` for NULL.
    #[allow(clippy::option_option)]
    #[inline(always)]
    fn column(&self, place: usize) -> Result<Option<Option<&'a [u8]>>> {
        match self.is_null(place) {
            None => return Ok(None),
            Some(true) => return Ok(Some(None)),
            Some(false) => {}
        }
        let bytes = match (self.end(place), self.end(place + 1)) {
            (Some(start), Some(end)) => self.data.get(start..end),
            _ => None,
        };
        bytes.map(|bytes| Some(Some(bytes))).ok_or_else(|| Error::corrupted("a stored row's columns overlap"))
    }

    /// Where the first `count` columns end.
    #[inline]
    fn end(&self, count: usize) -> Option<usize> {
        let Some(place) = count.checked_sub(1) else { return Some(0) };
        let at = place * self.width;
        let bytes = self.ends.get(at..at + self.width)?;
        Some(match *bytes {
            [end] => usize::from(end),
            [a, b] => usize::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()?,
        })
    }

    /// Arrays are rows inside of rows; all elements are checked here, so that reading them later
    /// cannot fail.
    fn array(bytes: &'a [u8], kind: ValueKind) -> Result<ValueRef<'a>> {
        let row = RowView::new(bytes)?;
        for place in 0..row.len() {
            row.get_kind(place, kind)?;
        }
        Ok(ValueRef::Array(ArrayRef::from_row(row, kind)))
    }
}

// Where rows are read by the thousand, values that go through memory in parts cost more than their decoding.
#[inline(always)]
fn read(bytes: &[u8], kind: ValueKind) -> Result<ValueRef<'_>> {
    codec::read(bytes, kind).ok_or_else(|| no_value(bytes, kind))
}

#[cold]
fn no_value(bytes: &[u8], kind: ValueKind) -> Error {
    Error::corrupted(format!("a stored column of {} bytes is no {kind:?}", bytes.len()))
}

#[cold]
fn damaged(bytes: &[u8]) -> Error {
    Error::corrupted(format!("{} stored bytes are no row", bytes.len()))
}

#[cfg(test)]
mod tests;
