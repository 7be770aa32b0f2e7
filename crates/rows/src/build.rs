//! New indexes and rewritten tables.
//!
//! Both fill keyspaces that no committed table names yet, so nothing is logged and nobody can see
//! them half done: entries are sorted in memory and ingested; past `budget_bytes` they go in sorted
//! unlogged batches instead and the engine's own merging orders them. The keyspaces are durable
//! when these functions return, before the catalog change that names them commits.

use std::ops::Bound;
use std::sync::Arc;

use lightning::{Direction, Durability, Readable, TransactionReader, WriteBatch};
use luma_catalog::engine_error;
use luma_model::{DataType, Error, ErrorKind, KeyOrder, Result, Value, ValueRef, decode_key};

use crate::index::{Entry, claim};
use crate::store::Store;
use crate::table::{OpenIndex, OpenTable, encode_row};
use crate::write::{Expressions, text_of};

/// Pairs on their way into an unseen keyspace.
struct Filler<'a> {
    store: &'a Store,
    keyspace: lightning::Keyspace,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    budget_bytes: usize,
    spilled: bool,
}

impl<'a> Filler<'a> {
    fn new(store: &'a Store, keyspace: lightning::Keyspace, budget_bytes: usize) -> Self {
        Self { store, keyspace, pairs: Vec::new(), bytes: 0, budget_bytes, spilled: false }
    }

    /// Adds a pair; the key of an earlier pair with the same key comes back as an error value.
    fn add(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<Option<Vec<u8>>> {
        self.bytes += key.len() + value.len() + 64;
        self.pairs.push((key, value));
        if self.bytes >= self.budget_bytes { self.spill() } else { Ok(None) }
    }

    fn sort(&mut self) -> Option<Vec<u8>> {
        self.pairs.sort_unstable();
        self.pairs.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0.clone())
    }

    fn spill(&mut self) -> Result<Option<Vec<u8>>> {
        let engine = self.store.engine();
        if let Some(key) = self.sort() {
            return Ok(Some(key));
        }
        let snapshot = engine.snapshot();
        let mut batch = WriteBatch::new();
        for (count, (key, value)) in self.pairs.drain(..).enumerate() {
            if self.spilled && snapshot.get(&self.keyspace, &key).map_err(engine_error)?.is_some() {
                return Ok(Some(key));
            }
            batch.put(&self.keyspace, &key, &value);
            if count % 1024 == 1023 {
                engine.write(std::mem::take(&mut batch), Durability::Unlogged).map_err(engine_error)?;
            }
        }
        engine.write(batch, Durability::Unlogged).map_err(engine_error)?;
        self.spilled = true;
        self.bytes = 0;
        Ok(None)
    }

    /// Makes everything durable.
    fn finish(mut self) -> Result<Option<Vec<u8>>> {
        if self.spilled {
            if let Some(key) = self.spill()? {
                return Ok(Some(key));
            }
            self.keyspace.flush().map_err(engine_error)?;
            return Ok(None);
        }
        if let Some(key) = self.sort() {
            return Ok(Some(key));
        }
        let mut ingestion = self.store.engine().ingest(&self.keyspace).map_err(engine_error)?;
        for (key, value) in &self.pairs {
            ingestion.put(key, value).map_err(engine_error)?;
        }
        ingestion.finish().map_err(engine_error)?;
        Ok(None)
    }
}

/// Fills the keyspace of a new index from the rows that `reader` sees.
///
/// # Errors
/// 23505 when the index is unique and two rows share a key.
pub fn build_index(
    store: &Store,
    table: &OpenTable,
    index: &OpenIndex,
    reader: &TransactionReader,
    budget_bytes: usize,
    expressions: &dyn Expressions,
) -> Result<()> {
    let mut filler = Filler::new(store, index.entries.clone(), budget_bytes);
    let mut entry = Entry::default();
    let mut twice = None;
    let mut rows = reader
        .range(&table.rows, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
        .map_err(engine_error)?;
    while let Some((key, bytes)) = rows.next().map_err(engine_error)? {
        let values = table.row(bytes)?.values()?;
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        if !entry.build(table, index, &values, key, expressions)? {
            continue;
        }
        twice = filler.add(entry.key.clone(), entry.value.clone())?;
        if twice.is_some() {
            break;
        }
    }
    if twice.is_none() {
        twice = filler.finish()?;
    }
    match twice {
        None => check_claims(store, table, index),
        Some(key) => Err(not_unique_in(table, index, &key)),
    }
}

/// Looks for a key that two rows have in the filled keyspace of a deferrable index.
fn check_claims(store: &Store, table: &OpenTable, index: &OpenIndex) -> Result<()> {
    if !index.definition.is_deferrable() {
        return Ok(());
    }
    let snapshot = store.engine().snapshot();
    let mut entries = snapshot
        .range(&index.entries, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
        .map_err(engine_error)?;
    let mut last: Option<Vec<u8>> = None;
    while let Some((key, value)) = entries.next().map_err(engine_error)? {
        let claimed = claim(key, value);
        if claimed.is_some() && claimed == last.as_deref() {
            return Err(not_unique_in(table, index, claimed.unwrap_or_default()));
        }
        last = claimed.map(<[u8]>::to_vec);
    }
    Ok(())
}

/// Copies the rows that `reader` sees into the unseen keyspaces of `new`, the same table with
/// another key, other columns or other indexes. `convert` turns an old row's values into new ones.
///
/// # Errors
/// 23505 when two rows share a new key; whatever `convert` finds.
pub fn rewrite(
    store: &Store,
    old: &Arc<OpenTable>,
    new: &OpenTable,
    reader: &TransactionReader,
    budget_bytes: usize,
    expressions: &dyn Expressions,
    convert: &mut dyn FnMut(Vec<Value>) -> Result<Vec<Value>>,
) -> Result<()> {
    let share = budget_bytes / (1 + new.indexes.len());
    let mut rows = Filler::new(store, new.rows.clone(), share);
    let mut indexes: Vec<Filler<'_>> =
        new.indexes.iter().map(|index| Filler::new(store, index.entries.clone(), share)).collect();
    let mut entry = Entry::default();
    old.for_each_row(reader, 1, &mut |values| {
        let values = convert(values)?;
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        let mut key = Vec::new();
        new.row_key(&values, &mut key)?;
        let mut bytes = Vec::new();
        encode_row(&values, None, &mut bytes);
        for (filler, index) in indexes.iter_mut().zip(&new.indexes) {
            if !entry.build(new, index, &values, &key, expressions)? {
                continue;
            }
            if let Some(key) = filler.add(entry.key.clone(), entry.value.clone())? {
                return Err(not_unique_in(new, index, &key));
            }
        }
        match rows.add(key, bytes)? {
            Some(key) => Err(key_not_unique(new, &key)),
            None => Ok(()),
        }
    })?;
    if let Some(key) = rows.finish()? {
        return Err(key_not_unique(new, &key));
    }
    for (filler, index) in indexes.into_iter().zip(&new.indexes) {
        if let Some(key) = filler.finish()? {
            return Err(not_unique_in(new, index, &key));
        }
        check_claims(store, new, index)?;
    }
    Ok(())
}

/// The error of two rows with one key of an index.
fn not_unique_in(table: &OpenTable, index: &OpenIndex, key: &[u8]) -> Error {
    let mut computed = index.definition.expressions.iter();
    let parts = index.definition.columns.iter().filter_map(|part| {
        let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
        match table.definition.column_by_number(part.column) {
            Some(column) => Some((column.name.as_str(), &column.data_type, order)),
            None => computed.next().map(|part| (part.expression.as_str(), &part.data_type, order)),
        }
    });
    not_unique(table, &index.definition.name, parts, key)
}

/// The error of two rows with one primary key.
fn key_not_unique(table: &OpenTable, key: &[u8]) -> Error {
    let name = table.definition.primary_key.as_ref().map_or("", |key| key.name.as_str());
    let parts = table.key_ordinals().iter().map(|ordinal| {
        let column = &table.columns()[*ordinal];
        (column.name.as_str(), &column.data_type, KeyOrder::default())
    });
    not_unique(table, name, parts, key)
}

/// The error of two rows with one key, its values decoded from the key.
fn not_unique<'a>(
    table: &OpenTable,
    constraint: &str,
    parts: impl Iterator<Item = (&'a str, &'a DataType, KeyOrder)>,
    key: &[u8],
) -> Error {
    let mut rest = key;
    let (mut names, mut shown) = (Vec::new(), Vec::new());
    for (name, data_type, order) in parts {
        let Ok((value, used)) = decode_key(rest, data_type, order) else { break };
        names.push(name);
        shown.push(text_of(data_type, value.as_ref()));
        rest = rest.get(used..).unwrap_or_default();
    }
    Error::new(ErrorKind::UniqueViolation, format!("could not create unique index \"{constraint}\""))
        .detail(format!("Key ({})=({}) is duplicated.", names.join(", "), shown.join(", ")))
        .table(&table.definition.name)
        .constraint(constraint)
}
