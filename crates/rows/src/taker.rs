//! Where the rows of a scan go: into the columns of a batch, or to a caller one by one.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::BinaryBuilder;
use luma_model::{ColumnBuilder, Result, Value, ValueKind, ValueRef};
use smallvec::SmallVec;

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

/// Values of a row for which no memory is asked.
const INLINE: usize = 8;

/// A caller that takes the values of each row; for scans of columns alone.
pub(crate) struct OneByOne<F> {
    columns: Columns,
    /// Those of an entry.
    values: Vec<Value>,
    give: F,
}

/// Columns by their ordinals.
enum Columns {
    /// With the kinds of their values, which can be read as they are stored.
    Plain(Vec<(usize, ValueKind)>),
    Any(Vec<usize>),
}

impl<F: FnMut(&[ValueRef<'_>]) -> Result<()>> OneByOne<F> {
    /// `None` when the scan gives more than columns.
    pub(crate) fn new(table: &OpenTable, columns: &[ScanColumn], give: F) -> Option<Self> {
        let ordinal = |column: &ScanColumn| match *column {
            ScanColumn::Value(ordinal) => Some(ordinal),
            ScanColumn::Key | ScanColumn::Image => None,
        };
        let ordinals: Vec<usize> = columns.iter().map(ordinal).collect::<Option<_>>()?;
        let values = vec![Value::Null; ordinals.len()];
        let plain = ordinals.iter().map(|ordinal| Some((*ordinal, table.plain_kind(*ordinal)?)));
        let columns = match plain.collect() {
            Some(plain) => Columns::Plain(plain),
            None => Columns::Any(ordinals),
        };
        Some(Self { columns, values, give })
    }
}

impl<F: FnMut(&[ValueRef<'_>]) -> Result<()>> Taker for OneByOne<F> {
    fn stored(&mut self, table: &OpenTable, _: &[u8], bytes: &[u8]) -> Result<()> {
        let row = table.row(bytes)?;
        match &self.columns {
            Columns::Plain(columns) => {
                let mut values = SmallVec::<[ValueRef<'_>; INLINE]>::new();
                for (ordinal, kind) in columns {
                    values.push(row.get_kind(*ordinal, *kind)?);
                }
                (self.give)(&values)
            }
            Columns::Any(ordinals) => {
                for (value, ordinal) in self.values.iter_mut().zip(ordinals) {
                    *value = row.value(*ordinal)?;
                }
                (self.give)(&self.values.iter().map(Value::as_ref).collect::<SmallVec<[_; INLINE]>>())
            }
        }
    }

    fn entry(&mut self, cover: &Cover, key: &[u8], value: &[u8]) -> Result<bool> {
        let all = cover.values(key, value, |at, value| {
            self.values[at] = value;
            Ok(())
        })?;
        if all {
            (self.give)(&self.values.iter().map(Value::as_ref).collect::<SmallVec<[_; INLINE]>>())?;
        }
        Ok(all)
    }
}
