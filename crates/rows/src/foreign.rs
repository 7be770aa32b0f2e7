//! Foreign keys, settled at the end of each statement.
//!
//! A changed or deleted parent is followed to its children first (cascade, set null, set default;
//! work done here may change further parents), then every reference made by the statement must
//! have its parent, and no child may be left without one. What a deferred key is to check waits for
//! the end of the transaction, or until the transaction wants it checked. A child locks its parent's row shared
//! until commit, so that a concurrent delete of the parent waits and then sees the child.

use std::ops::Bound;
use std::sync::Arc;

use lightning::{Direction, LockMode, Readable};
use luma_catalog::{ForeignKey, Oid, ReferentialAction, Table, engine_error};
use luma_model::{Error, ErrorKind, KeyOrder, Result, Value, ValueRef};

use crate::access::KeyRange;
use crate::index;
use crate::store::LockSpace;
use crate::table::OpenTable;
use crate::write::{Writer, key_text};

/// A parent's row whose values changed (`new`) or which is gone.
#[derive(Debug)]
pub(crate) struct KeyChange {
    pub(crate) parent: Arc<Table>,
    pub(crate) old: Vec<Value>,
    pub(crate) new: Option<Vec<Value>>,
}

/// A reference whose parent must exist when the statement ends.
#[derive(Debug)]
struct Reference {
    child: Arc<Table>,
    key: usize,
    values: Vec<Value>,
}

/// References that wait for the end of the statement.
#[derive(Debug, Default)]
pub struct ForeignKeys {
    references: Vec<Reference>,
}

impl ForeignKeys {
    /// Notes the references of a new row; those that `old` had already need no check.
    pub(crate) fn require_parents(
        &mut self,
        child: &OpenTable,
        values: &[ValueRef<'_>],
        old: Option<&[ValueRef<'_>]>,
    ) {
        for (place, key) in child.definition.foreign_keys.iter().enumerate() {
            let mut ordinals = key.columns.iter().map(|number| usize::from(*number) - 1);
            if ordinals.clone().any(|ordinal| matches!(values[ordinal], ValueRef::Null)) {
                continue;
            }
            if old.is_some_and(|old| ordinals.clone().all(|ordinal| old[ordinal] == values[ordinal])) {
                continue;
            }
            let values = ordinals.by_ref().map(|ordinal| values[ordinal].to_owned()).collect();
            self.references.push(Reference { child: Arc::clone(&child.definition), key: place, values });
        }
    }
}

/// A key that a child must not have without a parent when the transaction ends.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) child: Oid,
    constraint: Oid,
    values: Vec<Value>,
    /// Whether it was the parent that changed.
    parent_changed: bool,
}

/// Checks the keys that waited and are not deferred any more; all of them at the end of the transaction.
pub(crate) async fn check_waiting(writer: &mut Writer<'_>, waiting: Vec<Waiting>, end: bool) -> Result<()> {
    for waiting in waiting {
        // A table or key that was dropped since has nothing to say.
        let Some(child) = writer.catalog.table(waiting.child).map(Arc::clone) else { continue };
        let Some(key) = child.foreign_keys.iter().find(|key| key.oid == waiting.constraint) else { continue };
        if !end && writer.deferred.defers(key.oid, key.timing) {
            writer.deferred.add(waiting);
            continue;
        }
        if parent_exists(writer, key, &waiting.values).await? {
            continue;
        }
        let open = writer.store.table(&child)?;
        if find(writer, &open, &ordinals(&key.columns), &waiting.values)?.is_empty() {
            continue;
        }
        return Err(if waiting.parent_changed {
            still_referenced(writer, &open, key, &waiting.values)
        } else {
            dangling(writer, &child, key, &waiting.values)
        });
    }
    Ok(())
}

/// Follows changed parents and checks new references until nothing is left to do.
pub(crate) async fn settle(writer: &mut Writer<'_>) -> Result<()> {
    // Children that must have gone by the end of the statement, unless the parent's key is back.
    let mut unsettled: Vec<(Arc<Table>, usize, Vec<Value>)> = Vec::new();
    while let Some(change) = writer.changes.pop_front() {
        let referencing: Vec<Arc<Table>> =
            writer.catalog.referencing_tables(change.parent.oid).map(Arc::clone).collect();
        for child in referencing {
            for (place, key) in child.foreign_keys.iter().enumerate() {
                if key.referenced_table == change.parent.oid {
                    follow(writer, &change, &child, place, key, &mut unsettled).await?;
                }
            }
        }
    }
    for (child, place, values) in unsettled {
        let key = &child.foreign_keys[place];
        if parent_exists(writer, key, &values).await? {
            continue;
        }
        let open = writer.store.table(&child)?;
        if !find(writer, &open, &ordinals(&key.columns), &values)?.is_empty() {
            return Err(still_referenced(writer, &open, key, &values));
        }
    }
    let references = std::mem::take(&mut writer.foreign.references);
    for reference in references {
        let key = &reference.child.foreign_keys[reference.key];
        if writer.deferred.defers(key.oid, key.timing) {
            let (child, constraint) = (reference.child.oid, key.oid);
            writer.deferred.add(Waiting {
                child,
                constraint,
                values: reference.values,
                parent_changed: false,
            });
            continue;
        }
        if !parent_exists(writer, key, &reference.values).await? {
            return Err(dangling(writer, &reference.child, key, &reference.values));
        }
    }
    Ok(())
}

async fn follow(
    writer: &mut Writer<'_>,
    change: &KeyChange,
    child: &Arc<Table>,
    place: usize,
    key: &ForeignKey,
    unsettled: &mut Vec<(Arc<Table>, usize, Vec<Value>)>,
) -> Result<()> {
    let referenced = ordinals(&key.referenced_columns);
    let old: Vec<Value> = referenced.iter().map(|ordinal| change.old[*ordinal].clone()).collect();
    if old.iter().any(|value| matches!(value, Value::Null)) {
        return Ok(());
    }
    let new: Option<Vec<Value>> =
        change.new.as_ref().map(|new| referenced.iter().map(|ordinal| new[*ordinal].clone()).collect());
    if new.as_ref() == Some(&old) {
        return Ok(());
    }
    let action = if new.is_some() { key.on_update } else { key.on_delete };
    let open = writer.store.table(child)?;
    match action {
        ReferentialAction::NoAction if writer.deferred.defers(key.oid, key.timing) => {
            let (child, constraint) = (child.oid, key.oid);
            writer.deferred.add(Waiting { child, constraint, values: old, parent_changed: true });
            return Ok(());
        }
        ReferentialAction::NoAction | ReferentialAction::Restrict => {
            unsettled.push((Arc::clone(child), place, old));
            return Ok(());
        }
        ReferentialAction::Cascade | ReferentialAction::SetNull | ReferentialAction::SetDefault => {}
    }
    let columns = ordinals(&key.columns);
    for row_key in find(writer, &open, &columns, &old)? {
        let Some(bytes) = writer.lock_row(&open, &row_key).await? else { continue };
        let current = open.row(&bytes)?.values()?;
        if columns.iter().zip(&old).any(|(ordinal, value)| current[*ordinal] != *value) {
            continue;
        }
        let current_refs: Vec<ValueRef<'_>> = current.iter().map(Value::as_ref).collect();
        if action == ReferentialAction::Cascade && new.is_none() {
            writer.delete(&open, &row_key, &current_refs)?;
            continue;
        }
        let mut changed = current.clone();
        for (position, ordinal) in columns.iter().enumerate() {
            changed[*ordinal] = match (action, &new) {
                (ReferentialAction::Cascade, Some(new)) => new[position].clone(),
                (ReferentialAction::SetDefault, _) => {
                    writer.expressions.default_value(&open, &open.columns()[*ordinal])?
                }
                _ => Value::Null,
            };
        }
        if action == ReferentialAction::SetDefault && changed == current {
            // The default is what goes: nothing changes, and the row is left without its parent.
            unsettled.push((Arc::clone(child), place, old));
            return Ok(());
        }
        let changed_refs: Vec<ValueRef<'_>> = changed.iter().map(Value::as_ref).collect();
        writer.update(&open, &row_key, &current_refs, &changed_refs).await?;
    }
    Ok(())
}

/// Whether a row with these referenced values exists; locks it shared, so that it stays.
async fn parent_exists(writer: &mut Writer<'_>, key: &ForeignKey, values: &[Value]) -> Result<bool> {
    let Some(parent) = writer.catalog.table(key.referenced_table).map(Arc::clone) else { return Ok(false) };
    let parent = writer.store.table(&parent)?;
    let columns = ordinals(&key.referenced_columns);
    let Some(row_key) = unique_row_key(writer, &parent, &columns, values)? else { return Ok(false) };
    writer.lock(LockSpace::Storage(parent.definition.storage), &row_key, LockMode::Shared).await?;
    let Some(row) = writer.transaction.get_latest(&parent.rows, &row_key).map_err(engine_error)? else {
        return Ok(false);
    };
    // Between the look-up and the lock the row may have changed its key.
    let row = parent.row(&row)?;
    for (ordinal, value) in columns.iter().zip(values) {
        if row.value(*ordinal)? != *value {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The key of the row with these values in the columns of a primary key or unique index.
fn unique_row_key(
    writer: &Writer<'_>,
    table: &OpenTable,
    columns: &[usize],
    values: &[Value],
) -> Result<Option<Vec<u8>>> {
    let value_of =
        |ordinal: usize| columns.iter().position(|column| *column == ordinal).map(|at| &values[at]);
    if same_set(table.key_ordinals(), columns) {
        let mut key = Vec::new();
        for &ordinal in table.key_ordinals() {
            let value = value_of(ordinal).map_or(ValueRef::Null, Value::as_ref);
            table.encode_part(ordinal, value, KeyOrder::default(), &mut key)?;
        }
        return Ok(Some(key));
    }
    for index in table.indexes.iter().filter(|index| index.definition.is_always_unique()) {
        let Some(numbers) = index.definition.plain_columns() else { continue };
        let indexed: Vec<usize> = numbers.map(|number| usize::from(number) - 1).collect();
        if !same_set(&indexed, columns) {
            continue;
        }
        let mut key = Vec::new();
        for part in &index.definition.columns {
            let ordinal = usize::from(part.column) - 1;
            let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
            let value = value_of(ordinal).map_or(ValueRef::Null, Value::as_ref);
            table.encode_part(ordinal, value, order, &mut key)?;
        }
        let entry = writer.transaction.get_latest(&index.entries, &key).map_err(engine_error)?;
        return entry.map(|value| index::row_key(&key, &value).map(<[u8]>::to_vec)).transpose();
    }
    Err(Error::new(
        ErrorKind::InvalidForeignKey,
        format!("no unique constraint matches the referenced columns of table \"{}\"", table.definition.name),
    ))
}

/// Keys of all rows with these values in these columns, in the newest state: by an index where one leads
/// with the columns, else by reading the table.
fn find(writer: &Writer<'_>, table: &OpenTable, columns: &[usize], values: &[Value]) -> Result<Vec<Vec<u8>>> {
    let reader = writer.transaction.latest_reader();
    let value_of =
        |ordinal: usize| columns.iter().position(|column| *column == ordinal).map(|at| &values[at]);
    let encode = |parts: &mut dyn Iterator<Item = (usize, KeyOrder)>| -> Result<Vec<u8>> {
        let mut prefix = Vec::new();
        for (ordinal, order) in parts {
            let value = value_of(ordinal).map_or(ValueRef::Null, Value::as_ref);
            table.encode_part(ordinal, value, order, &mut prefix)?;
        }
        Ok(prefix)
    };
    let mut found = Vec::new();
    let mut take = |key: &[u8], bytes: &[u8]| -> Result<()> {
        let row = table.row(bytes)?;
        for (ordinal, value) in columns.iter().zip(values) {
            if row.value(*ordinal)? != *value {
                return Ok(());
            }
        }
        found.push(key.to_vec());
        Ok(())
    };
    let leading = |ordinals: &mut dyn Iterator<Item = usize>| {
        let leading: Vec<usize> = ordinals.take(columns.len()).collect();
        same_set(&leading, columns)
    };
    if leading(&mut table.key_ordinals().iter().copied()) {
        let mut parts =
            table.key_ordinals().iter().take(columns.len()).map(|ordinal| (*ordinal, KeyOrder::default()));
        let range = KeyRange::prefix(encode(&mut parts)?);
        let mut rows = reader
            .range(&table.rows, range.start(), range.end(), Direction::Forward)
            .map_err(engine_error)?;
        while let Some((key, bytes)) = rows.next().map_err(engine_error)? {
            take(key, bytes)?;
        }
        return Ok(found);
    }
    let by_index = table.indexes.iter().find(|index| {
        let numbers = index.definition.plain_columns();
        numbers.is_some_and(|numbers| leading(&mut numbers.map(|number| usize::from(number) - 1)))
    });
    if let Some(index) = by_index {
        let mut parts = index.definition.columns.iter().take(columns.len()).map(|part| {
            let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
            (usize::from(part.column) - 1, order)
        });
        let range = KeyRange::prefix(encode(&mut parts)?);
        let mut entries = reader
            .range(&index.entries, range.start(), range.end(), Direction::Forward)
            .map_err(engine_error)?;
        while let Some((key, value)) = entries.next().map_err(engine_error)? {
            let row_key = index::row_key(key, value)?;
            if let Some(bytes) = reader.get(&table.rows, row_key).map_err(engine_error)? {
                take(row_key, &bytes)?;
            }
        }
        return Ok(found);
    }
    let mut rows = reader
        .range(&table.rows, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
        .map_err(engine_error)?;
    while let Some((key, bytes)) = rows.next().map_err(engine_error)? {
        take(key, bytes)?;
    }
    Ok(found)
}

fn ordinals(numbers: &[u16]) -> Vec<usize> {
    numbers.iter().map(|number| usize::from(*number) - 1).collect()
}

fn same_set(one: &[usize], other: &[usize]) -> bool {
    one.len() == other.len() && one.iter().all(|item| other.contains(item))
}

fn dangling(writer: &Writer<'_>, child: &Table, key: &ForeignKey, values: &[Value]) -> Error {
    let parent = writer.catalog.table(key.referenced_table).map_or("", |table| table.name.as_str());
    let detail = describe(writer, child, &key.columns, values);
    Error::new(
        ErrorKind::ForeignKeyViolation,
        format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            child.name, key.name
        ),
    )
    .detail(format!("Key {detail} is not present in table \"{parent}\"."))
    .table(&child.name)
    .constraint(&key.name)
}

fn still_referenced(writer: &Writer<'_>, child: &OpenTable, key: &ForeignKey, values: &[Value]) -> Error {
    let child = &child.definition;
    let parent = writer.catalog.table(key.referenced_table);
    let parent_name = parent.map_or("", |table| table.name.as_str());
    let detail =
        parent.map_or_else(String::new, |parent| describe(writer, parent, &key.referenced_columns, values));
    Error::new(
        ErrorKind::ForeignKeyViolation,
        format!(
            "update or delete on table \"{parent_name}\" violates foreign key constraint \"{}\" on table \"{}\"",
            key.name, child.name
        ),
    )
    .detail(format!("Key {detail} is still referenced from table \"{}\".", child.name))
    .table(&child.name)
    .constraint(&key.name)
}

/// `(a, b)=(1, 2)` for values that stand in these columns.
fn describe(writer: &Writer<'_>, table: &Table, columns: &[u16], values: &[Value]) -> String {
    let Some(definition) = writer.catalog.table(table.oid) else { return String::new() };
    let Ok(open) = writer.store.table(definition) else { return String::new() };
    let mut row = vec![ValueRef::Null; table.columns.len()];
    let ordinals = ordinals(columns);
    for (ordinal, value) in ordinals.iter().zip(values) {
        row[*ordinal] = value.as_ref();
    }
    key_text(&open, ordinals.iter().copied(), &row)
}
