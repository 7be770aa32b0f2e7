//! New indexes and rewritten tables.
//!
//! Both fill keyspaces that no committed table names yet, so nothing is logged and nobody can see
//! them half done. The keyspaces are durable when these functions return, before the catalog change that
//! names them commits.

use std::ops::Bound;
use std::sync::Arc;

use lightning::{Direction, Readable, TransactionReader};
use luma_catalog::engine_error;
use luma_model::{Error, ErrorKind, Result, Value, ValueRef};

use crate::filler::Filler;
use crate::index::{Entry, claim};
use crate::load::{EncodedRows, Load, LoadKind, RowEncoder, index_key_text};
use crate::store::Store;
use crate::table::{OpenIndex, OpenTable};
use crate::write::Expressions;

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
    let mut filler = Filler::new(store.engine(), &index.entries, budget_bytes);
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
        twice = filler.add(&entry.key, &entry.value)?;
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
    new: &Arc<OpenTable>,
    reader: &TransactionReader,
    budget_bytes: usize,
    expressions: &dyn Expressions,
    convert: &mut dyn FnMut(Vec<Value>) -> Result<Vec<Value>>,
) -> Result<()> {
    let mut load = Load::new(store, new, budget_bytes, LoadKind::Rewrite);
    let mut encoder = RowEncoder::new(new);
    let mut encoded = EncodedRows::default();
    old.for_each_row(reader, 1, &mut |values| {
        let values = convert(values)?;
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        encoder.add(&values, expressions, &mut encoded)?;
        load.take(&mut encoded)
    })?;
    load.finish()?;
    new.indexes.iter().try_for_each(|index| check_claims(store, new, index))
}

fn not_unique_in(table: &OpenTable, index: &OpenIndex, key: &[u8]) -> Error {
    not_unique(table, &index.definition.name, &index_key_text(table, index, key))
}

/// The error of two rows with one key, where they were there before.
pub(crate) fn not_unique(table: &OpenTable, constraint: &str, key: &str) -> Error {
    Error::new(ErrorKind::UniqueViolation, format!("could not create unique index \"{constraint}\""))
        .detail(format!("Key {key} is duplicated."))
        .table(&table.definition.name)
        .constraint(constraint)
}
