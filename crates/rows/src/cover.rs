//! Rows from an index alone: when its entries have all that a scan wants, the rows are not looked up.
//!
//! An entry has the indexed columns, the row's key, and the INCLUDE columns (`index.rs`). A value is taken from keys only
//! where its sorting bytes tell exactly what it was: 1.00 and 1.0 have the same, and so do texts that a language takes for equal.

use luma_model::{DataType, KeyOrder, Result, RowView, Value, decode_key};

use crate::index;
use crate::scan::ScanColumn;
use crate::table::{OpenIndex, OpenTable};

/// A column in an entry's key, or in the row's key.
#[derive(Debug)]
struct Part {
    data_type: DataType,
    order: KeyOrder,
    /// The places among the scan's columns that want it.
    wanted_at: Vec<usize>,
}

/// How a scan's columns are read from the entries of an index.
#[derive(Debug)]
pub(crate) struct Cover {
    /// Of the indexed columns, up to the last one that is wanted.
    indexed: Vec<Part>,
    /// The same of the row's key.
    row_key: Vec<Part>,
    /// The place among the INCLUDE columns, the type, and the place among the scan's columns.
    included: Vec<(usize, DataType, usize)>,
}

/// Whether sorting bytes of the type have exactly one value.
fn is_exact(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Bool
            | DataType::Int2
            | DataType::Int4
            | DataType::Int8
            | DataType::Date
            | DataType::Time
            | DataType::Timestamp
            | DataType::TimestampTz
            | DataType::Uuid
            | DataType::Enum(_)
            | DataType::Text
            | DataType::Varchar(_)
            | DataType::Bytea
    )
}

/// Whether the entries of an index have all that a scan wants.
pub fn covers(table: &OpenTable, index: &OpenIndex, columns: &[ScanColumn]) -> bool {
    Cover::of(table, index, columns).is_some()
}

impl Cover {
    /// `None` when rows have to be read.
    pub(crate) fn of(table: &OpenTable, index: &OpenIndex, columns: &[ScanColumn]) -> Option<Self> {
        if table.is_collection() {
            return None;
        }
        let exact = |ordinal: usize| is_exact(table.data_type(ordinal)) && table.collator(ordinal).is_none();
        let mut computed = index.definition.expressions.iter();
        let mut indexed = Vec::new();
        let mut known: Vec<Option<usize>> = Vec::new();
        for part in &index.definition.columns {
            let ordinal = usize::from(part.column).checked_sub(1);
            let data_type = match ordinal {
                // What a language's rules make of a text is bytes.
                Some(ordinal) if table.collator(ordinal).is_some() => DataType::Bytea,
                Some(ordinal) => table.data_type(ordinal).clone(),
                None => computed.next()?.data_type.clone(),
            };
            let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
            indexed.push(Part { data_type, order, wanted_at: Vec::new() });
            known.push(ordinal.filter(|ordinal| exact(*ordinal)));
        }
        let mut row_key = Vec::new();
        for &ordinal in table.key_ordinals() {
            let collated = table.collator(ordinal).is_some();
            let data_type = if collated { DataType::Bytea } else { table.data_type(ordinal).clone() };
            row_key.push(Part { data_type, order: KeyOrder::ASCENDING, wanted_at: Vec::new() });
        }
        let mut included = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            match *column {
                ScanColumn::Key => {}
                ScanColumn::Image => return None,
                ScanColumn::Value(wanted) => {
                    if let Some(place) = known.iter().position(|known| *known == Some(wanted)) {
                        indexed[place].wanted_at.push(at);
                        continue;
                    }
                    let place = table.key_ordinals().iter().position(|known| *known == wanted);
                    if let Some(place) = place.filter(|_| exact(wanted)) {
                        row_key[place].wanted_at.push(at);
                        continue;
                    }
                    let mut include = index.definition.include.iter();
                    let place = include.position(|number| usize::from(*number) == wanted + 1)?;
                    included.push((place, table.data_type(wanted).clone(), at));
                }
            }
        }
        for parts in [&mut indexed, &mut row_key] {
            let last = parts.iter().rposition(|part| !part.wanted_at.is_empty());
            parts.truncate(last.map_or(0, |last| last + 1));
        }
        Some(Self { indexed, row_key, included })
    }

    /// Hands out the values of an entry, each with its place among the scan's columns; `false`, and nothing is handed out, if
    /// the entry has not all of them.
    pub(crate) fn values(
        &self,
        key: &[u8],
        value: &[u8],
        mut give: impl FnMut(usize, Value) -> Result<()>,
    ) -> Result<bool> {
        if !self.included.is_empty() {
            let Some(included) = index::included(value) else { return Ok(false) };
            let view = RowView::new(included)?;
            for (place, data_type, at) in &self.included {
                give(*at, view.get(*place, data_type)?.map_or(Value::Null, |value| value.to_owned()))?;
            }
        }
        for (parts, mut bytes) in [(&self.indexed, key), (&self.row_key, index::row_key(key, value)?)] {
            for part in parts {
                let (value, length) = decode_key(bytes, &part.data_type, part.order)?;
                bytes = &bytes[length..];
                if let Some((last, others)) = part.wanted_at.split_last() {
                    for at in others {
                        give(*at, value.clone())?;
                    }
                    give(*last, value)?;
                }
            }
        }
        Ok(true)
    }
}
