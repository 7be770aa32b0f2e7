//! Bulk loads: whole tables into keyspaces that no committed table names yet.
//!
//! Rows are encoded by whoever has them and taken in by [`Load`], on another thread perhaps. Nothing is locked and nothing
//! logged: nobody can see the keyspaces until a catalog change that names them commits.

use std::sync::Arc;

use luma_model::{Collator, DataType, Error, KeyOrder, Result, Value, ValueRef, decode_key, text_of_key};

use crate::filler::Filler;
use crate::index::Entry;
use crate::store::Store;
use crate::table::{OpenIndex, OpenTable};
use crate::write::{Expressions, encode_stored, text_of};

/// A row or an entry of an index in [`EncodedRows`].
#[derive(Clone, Copy, Debug)]
struct Encoded {
    /// 0 for rows, then the indexes in the order of the table's.
    place: usize,
    key_bytes: usize,
    value_bytes: usize,
}

/// Rows with the entries of their indexes, in the form in which they are stored.
#[derive(Debug, Default)]
pub struct EncodedRows {
    bytes: Vec<u8>,
    pairs: Vec<Encoded>,
}

impl EncodedRows {
    /// How long they are.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn add(&mut self, place: usize, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.pairs.push(Encoded { place, key_bytes: key.len(), value_bytes: value.len() });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.pairs.clear();
    }
}

/// Encodes rows of a table that a [`Load`] takes in.
#[derive(Debug)]
pub struct RowEncoder {
    table: Arc<OpenTable>,
    key: Vec<u8>,
    row: Vec<u8>,
    document: Vec<u8>,
    entry: Entry,
}

impl RowEncoder {
    /// An encoder of the table that is loaded.
    pub fn new(table: &Arc<OpenTable>) -> Self {
        Self {
            table: Arc::clone(table),
            key: Vec::new(),
            row: Vec::new(),
            document: Vec::new(),
            entry: Entry::default(),
        }
    }

    /// Adds a complete row, whose conditions were checked.
    ///
    /// # Errors
    /// Of keys that are too long and of the indexes' expressions.
    pub fn add(
        &mut self,
        values: &[ValueRef<'_>],
        expressions: &dyn Expressions,
        out: &mut EncodedRows,
    ) -> Result<()> {
        self.key.clear();
        self.table.row_key(values, &mut self.key)?;
        encode_stored(&self.table, values, &mut self.document, &mut self.row)?;
        out.add(0, &self.key, &self.row);
        for (place, index) in self.table.indexes.iter().enumerate() {
            if self.entry.build(&self.table, index, values, &self.key, expressions)? {
                out.add(place + 1, &self.entry.key, &self.entry.value);
            }
        }
        Ok(())
    }
}

/// What the load is for, which is what a key that comes twice is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// New rows.
    Insert,
    /// Rows that were there, with another key or other indexes.
    Rewrite,
}

/// Takes encoded rows into the keyspaces of a table.
#[derive(Debug)]
pub struct Load {
    table: Arc<OpenTable>,
    fillers: Vec<Filler>,
    kind: LoadKind,
    rows: u64,
}

impl Load {
    /// A load of an empty table that nobody sees; `budget_bytes` of memory are for what has to be sorted.
    pub fn new(store: &Store, table: &Arc<OpenTable>, budget_bytes: usize, kind: LoadKind) -> Self {
        let share = budget_bytes / (1 + table.indexes.len());
        let keyspaces = std::iter::once(&table.rows).chain(table.indexes.iter().map(|index| &index.entries));
        let fillers = keyspaces.map(|keyspace| Filler::new(store.engine(), keyspace, share)).collect();
        Self { table: Arc::clone(table), fillers, kind, rows: 0 }
    }

    /// Takes in rows, which are empty then.
    ///
    /// # Errors
    /// 23505 when a key came twice, which may be noticed later; what the engine says.
    pub fn take(&mut self, rows: &mut EncodedRows) -> Result<()> {
        let mut rest = rows.bytes.as_slice();
        for pair in &rows.pairs {
            let (Some((key, after)), Some(filler)) =
                (rest.split_at_checked(pair.key_bytes), self.fillers.get_mut(pair.place))
            else {
                return Err(Error::internal("rows for a load are of another table"));
            };
            let (value, after) = after.split_at(pair.value_bytes.min(after.len()));
            rest = after;
            self.rows += u64::from(pair.place == 0);
            if let Some(twice) = filler.add(key, value)? {
                return Err(self.came_twice(pair.place, &twice));
            }
        }
        rows.clear();
        Ok(())
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// As [`Load::take`].
    pub fn finish(mut self) -> Result<()> {
        for (place, filler) in std::mem::take(&mut self.fillers).into_iter().enumerate() {
            if let Some(twice) = filler.finish()? {
                return Err(self.came_twice(place, &twice));
            }
        }
        if self.kind == LoadKind::Insert {
            self.table.changes.insert(self.rows);
        }
        Ok(())
    }

    fn came_twice(&self, place: usize, key: &[u8]) -> Error {
        let table = self.table.as_ref();
        let (constraint, shown) = match place.checked_sub(1).and_then(|place| table.indexes.get(place)) {
            Some(index) => (index.definition.name.as_str(), index_key_text(table, index, key)),
            None => {
                let name = table.definition.primary_key.as_ref().map_or("", |key| key.name.as_str());
                let parts =
                    table.key_ordinals().iter().map(|ordinal| part_of(table, *ordinal, KeyOrder::default()));
                (name, stored_key_text(parts, key))
            }
        };
        match self.kind {
            LoadKind::Insert => crate::write::duplicate_of(table, constraint, &shown),
            LoadKind::Rewrite => crate::build::not_unique(table, constraint, &shown),
        }
    }
}

/// `(a, b)=(1, 2)` of an index's key.
pub(crate) fn index_key_text(table: &OpenTable, index: &OpenIndex, key: &[u8]) -> String {
    let mut computed = index.definition.expressions.iter();
    let parts = index.definition.columns.iter().filter_map(|part| {
        let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
        match usize::from(part.column).checked_sub(1) {
            Some(ordinal) => Some(part_of(table, ordinal, order)),
            None => computed.next().map(|part| (part.expression.as_str(), &part.data_type, order, None)),
        }
    });
    stored_key_text(parts, key)
}

/// A part of a key: its name, its type, its order, and what its text was made a key by.
type Part<'a> = (&'a str, &'a DataType, KeyOrder, Option<&'a Collator>);

fn part_of(table: &OpenTable, ordinal: usize, order: KeyOrder) -> Part<'_> {
    let column = &table.columns()[ordinal];
    (&column.name, &column.data_type, order, table.collator(ordinal))
}

/// `(a, b)=(1, 2)`, its values decoded from the key.
fn stored_key_text<'a>(parts: impl Iterator<Item = Part<'a>>, key: &[u8]) -> String {
    let mut rest = key;
    let (mut names, mut shown) = (Vec::new(), Vec::new());
    for (name, data_type, order, collator) in parts {
        let stored = if collator.is_some() { &DataType::Bytea } else { data_type };
        let Ok((value, used)) = decode_key(rest, stored, order) else { break };
        names.push(name);
        shown.push(match (&value, collator) {
            // What several texts have in common is none of them.
            (Value::Bytea(_), Some(collator)) if !collator.is_deterministic() => "…".to_owned(),
            (Value::Bytea(key), Some(_)) => text_of_key(key).unwrap_or_default().to_owned(),
            _ => text_of(data_type, value.as_ref()),
        });
        rest = rest.get(used..).unwrap_or_default();
    }
    format!("({})=({})", names.join(", "), shown.join(", "))
}
