//! Where the rows of a scan go: into the columns of a batch, or to a caller one by one.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::BinaryBuilder;
use luma_model::{ColumnBuilder, Result, Value, ValueRef};

use crate::cover::Cover;
use crate::index;
use crate::scan::ScanColumn;
use crate::table::OpenTable;

/// Takes the rows of a scan.
pub(crate) trait Taker {
    /// Takes a stored row.
    fn stored(&mut self, table: &OpenTable, key: &[u8], row: &[u8]) -> Result<()>;

    /// Takes what an entry of an index has of a row; `false`, and nothing is taken, if that is not all.
    fn entry(&mut self, cover: &Cover, key: &[u8], value: &[u8]) -> Result<bool>;
}

enum Builder {
    Value(usize, ColumnBuilder),
    Key(BinaryBuilder),
    Image(BinaryBuilder),
}

/// The columns of a batch.
pub(crate) struct Batch(Vec<Builder>);

impl Batch {
    pub(crate) fn new(table: &OpenTable, columns: &[ScanColumn], capacity: usize) -> Self {
        let builder = |column: &ScanColumn| match *column {
            ScanColumn::Value(ordinal) => {
                Builder::Value(ordinal, ColumnBuilder::new(table.data_type(ordinal), capacity))
            }
            ScanColumn::Key => Builder::Key(BinaryBuilder::with_capacity(capacity, capacity * 16)),
            ScanColumn::Image => Builder::Image(BinaryBuilder::with_capacity(capacity, capacity * 64)),
        };
        Self(columns.iter().map(builder).collect())
    }

    pub(crate) fn finish(self) -> Vec<ArrayRef> {
        let finish = |builder| match builder {
            Builder::Value(_, builder) => builder.finish(),
            Builder::Key(mut builder) | Builder::Image(mut builder) => Arc::new(builder.finish()) as ArrayRef,
        };
        self.0.into_iter().map(finish).collect()
    }
}

impl Taker for Batch {
    fn stored(&mut self, table: &OpenTable, key: &[u8], bytes: &[u8]) -> Result<()> {
        let row = table.row(bytes)?;
        for builder in &mut self.0 {
            match builder {
                Builder::Value(ordinal, builder) if row.is_plain() => builder.append(row.get(*ordinal)?)?,
                Builder::Value(ordinal, builder) => builder.append(row.value(*ordinal)?.as_ref())?,
                Builder::Key(builder) => builder.append_value(key),
                Builder::Image(builder) => builder.append_value(bytes),
            }
        }
        Ok(())
    }

    fn entry(&mut self, cover: &Cover, key: &[u8], value: &[u8]) -> Result<bool> {
        let all = cover.values(key, value, |at, value| match &mut self.0[at] {
            Builder::Value(_, builder) => builder.append(value.as_ref()),
            Builder::Key(_) | Builder::Image(_) => Ok(()),
        })?;
        if all {
            let row_key = index::row_key(key, value)?;
            for builder in &mut self.0 {
                if let Builder::Key(builder) = builder {
                    builder.append_value(row_key);
                }
            }
        }
        Ok(all)
    }
}

/// A caller that takes the values of each row; for scans of columns alone.
pub(crate) struct OneByOne<F> {
    ordinals: Vec<usize>,
    /// Those of an entry.
    values: Vec<Value>,
    give: F,
}

impl<F: FnMut(&[ValueRef<'_>]) -> Result<()>> OneByOne<F> {
    /// `None` when the scan gives more than columns.
    pub(crate) fn new(columns: &[ScanColumn], give: F) -> Option<Self> {
        let ordinal = |column: &ScanColumn| match *column {
            ScanColumn::Value(ordinal) => Some(ordinal),
            ScanColumn::Key | ScanColumn::Image => None,
        };
        let ordinals: Vec<usize> = columns.iter().map(ordinal).collect::<Option<_>>()?;
        let values = vec![Value::Null; ordinals.len()];
        Some(Self { ordinals, values, give })
    }
}

impl<F: FnMut(&[ValueRef<'_>]) -> Result<()>> Taker for OneByOne<F> {
    fn stored(&mut self, table: &OpenTable, _: &[u8], bytes: &[u8]) -> Result<()> {
        const INLINE: usize = 16;
        let row = table.row(bytes)?;
        if row.is_plain() && self.ordinals.len() <= INLINE {
            let mut values = [ValueRef::Null; INLINE];
            for (value, ordinal) in values.iter_mut().zip(&self.ordinals) {
                *value = row.get(*ordinal)?;
            }
            return (self.give)(&values[..self.ordinals.len()]);
        }
        for (value, ordinal) in self.values.iter_mut().zip(&self.ordinals) {
            *value = row.value(*ordinal)?;
        }
        (self.give)(&self.values.iter().map(Value::as_ref).collect::<Vec<_>>())
    }

    fn entry(&mut self, cover: &Cover, key: &[u8], value: &[u8]) -> Result<bool> {
        let all = cover.values(key, value, |at, value| {
            self.values[at] = value;
            Ok(())
        })?;
        if all {
            (self.give)(&self.values.iter().map(Value::as_ref).collect::<Vec<_>>())?;
        }
        Ok(all)
    }
}
