//! A row group that is read from unpacked columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Int64Array};
use arrow::compute::concat;
use luma_model::{Error, Result};
use roaring::RoaringBitmap;

use crate::cache::Pieces;
use crate::read::{Evaluate, Wanted, constant};

/// Rows of a piece.
pub(crate) const PIECE_ROWS: usize = 8192;

/// A column of the group.
pub(crate) enum Column {
    Kept(Pieces),
    /// One that is younger than the file.
    Missing(Wanted),
}

/// The batches of a row group.
pub(crate) struct KeptBatches {
    pub columns: Vec<Column>,
    /// What rows must satisfy, one after another, and the columns it looks at.
    pub predicates: Vec<(Vec<Column>, Evaluate)>,
    pub deleted: Option<Arc<RoaringBitmap>>,
    /// The group's rows in its file.
    pub rows: Range<u64>,
    pub row_numbers: bool,
    /// The next piece.
    pub piece: usize,
}

impl KeptBatches {
    /// The next rows, as those of the file's reader: few of a piece wait for those of the next.
    pub fn next_columns(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let mut gathered: Vec<Vec<ArrayRef>> = Vec::new();
        let mut count = 0;
        while count < PIECE_ROWS / 2 {
            let first = self.piece * PIECE_ROWS;
            let length = usize::try_from(self.rows.end - self.rows.start).unwrap_or(0).saturating_sub(first);
            if length == 0 {
                break;
            }
            let passed = self.read(self.piece, length.min(PIECE_ROWS))?;
            self.piece += 1;
            if let Some((columns, rows)) = passed {
                gathered.push(columns);
                count += rows;
            }
        }
        let columns = match gathered.len() {
            0 => return Ok(None),
            1 => gathered.pop().unwrap_or_default(),
            _ => {
                let width = gathered.first().map_or(0, Vec::len);
                (0..width)
                    .map(|place| {
                        let parts: Vec<&dyn Array> = gathered
                            .iter()
                            .filter_map(|columns| columns.get(place))
                            .map(AsRef::as_ref)
                            .collect();
                        concat(&parts)
                            .map_err(|error| Error::internal(format!("pieces of a column: {error}")))
                    })
                    .collect::<Result<Vec<_>>>()?
            }
        };
        Ok(Some((columns, count)))
    }

    /// The rows of a piece that are wanted; `None` if there are none.
    fn read(&mut self, piece: usize, rows: usize) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let first = self.rows.start + (piece * PIECE_ROWS) as u64;
        let mut chosen = self.undeleted(first, rows);
        for (columns, evaluate) in &mut self.predicates {
            let count = chosen.as_ref().map_or(rows, BooleanArray::true_count);
            if count == 0 {
                return Ok(None);
            }
            let columns = take(columns, piece, rows, chosen.as_ref())?;
            let passed = evaluate(columns, count)?;
            if passed.true_count() < count {
                chosen = Some(match chosen {
                    Some(before) => both(&before, &passed),
                    None => passed,
                });
            }
        }
        let count = chosen.as_ref().map_or(rows, BooleanArray::true_count);
        if count == 0 {
            return Ok(None);
        }
        let mut columns = take(&self.columns, piece, rows, chosen.as_ref())?;
        if self.row_numbers {
            let number = |row: usize| (first + row as u64) as i64;
            let numbers: Int64Array = match &chosen {
                Some(chosen) => Int64Array::from_iter_values(chosen.values().set_indices().map(number)),
                None => Int64Array::from_iter_values((0..rows).map(number)),
            };
            columns.push(Arc::new(numbers));
        }
        Ok(Some((columns, count)))
    }

    /// Which rows of a piece are not deleted; `None` if all are there.
    fn undeleted(&self, first: u64, rows: usize) -> Option<BooleanArray> {
        let deleted = self.deleted.as_ref()?;
        let from = u32::try_from(first).ok()?;
        let range = from..from.saturating_add(u32::try_from(rows).ok()?);
        if deleted.range_cardinality(range.clone()) == 0 {
            return None;
        }
        let mut there = BooleanBufferBuilder::new(rows);
        there.append_n(rows, true);
        for row in deleted.range(range) {
            there.set_bit((row - from) as usize, false);
        }
        Some(BooleanArray::new(there.finish(), None))
    }
}

fn take(
    columns: &[Column],
    piece: usize,
    rows: usize,
    chosen: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let count = chosen.map_or(rows, BooleanArray::true_count);
    columns
        .iter()
        .map(|column| match column {
            Column::Missing(wanted) => constant(wanted, count),
            Column::Kept(pieces) => {
                let piece = pieces.get(piece).ok_or_else(|| Error::internal("a column lacks a piece"))?;
                match chosen {
                    Some(chosen) => piece.chosen(chosen),
                    None => piece.all(),
                }
            }
        })
        .collect()
}

/// What is chosen of `before` and then of what that chose.
fn both(before: &BooleanArray, after: &BooleanArray) -> BooleanArray {
    let mut chosen = BooleanBufferBuilder::new(before.len());
    chosen.append_n(before.len(), false);
    for (row, passed) in before.values().set_indices().zip(after.values().iter()) {
        if passed {
            chosen.set_bit(row, true);
        }
    }
    BooleanArray::new(chosen.finish(), None)
}
