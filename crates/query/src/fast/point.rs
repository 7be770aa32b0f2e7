//! Runs compiled statements about one row.

use std::cell::RefCell;
use std::sync::Arc;

use lightning::Readable;
use luma_catalog::engine_error;
use luma_model::{KeyOrder, Result, Value, ValueRef, encode_key};
use luma_rows::{OpenTable, Row, Writer};

use crate::fast::compile::{Output, Point, PointDelete, PointKey, PointSelect, PointUpdate};
use crate::fast::scalar::{Columns, Environment, Node, Typed};
use crate::outcome::RowSink;
use crate::session::SessionInfo;

thread_local! {
    /// Buffers for keys, so that a point read allocates nothing.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A stored row as a source of columns.
struct StoredRow<'a>(Row<'a>);

impl Columns for StoredRow<'_> {
    fn value(&self, _source: usize, ordinal: usize) -> Result<Value> {
        self.0.value(ordinal)
    }
}

/// Encodes a key; `false` when a part is NULL, which equals nothing.
fn encode(
    parts: &[Typed],
    orders: impl Iterator<Item = KeyOrder>,
    environment: &Environment<'_>,
    key: &mut Vec<u8>,
) -> Result<bool> {
    for (part, order) in parts.iter().zip(orders) {
        // A parameter or constant is used in place; anything else is evaluated.
        let owned;
        let value = match &part.node {
            Node::Parameter(place) => {
                environment.parameters.get(*place).map_or(ValueRef::Null, Value::as_ref)
            }
            Node::Constant(value) => value.as_ref(),
            _ => {
                owned = part.evaluate(environment)?;
                owned.as_ref()
            }
        };
        if matches!(value, ValueRef::Null) {
            return Ok(false);
        }
        encode_key(value, &part.data_type, order, key)?;
    }
    Ok(true)
}

/// The key of the row that the point names, in what `reader` sees; `false` when there is none.
fn row_key(
    point: &Point,
    reader: &impl Readable,
    environment: &Environment<'_>,
    key: &mut Vec<u8>,
) -> Result<bool> {
    key.clear();
    match &point.key {
        PointKey::Row(parts) => encode(parts, std::iter::repeat(KeyOrder::default()), environment, key),
        PointKey::Unique(place, parts) => {
            let index = &point.table.indexes[*place];
            let orders = index
                .definition
                .columns
                .iter()
                .map(|part| KeyOrder { descending: part.descending, nulls_first: part.nulls_first });
            if !encode(parts, orders, environment, key)? {
                return Ok(false);
            }
            let Some(value) = reader.get(&index.entries, key).map_err(engine_error)? else {
                return Ok(false);
            };
            let found = luma_rows::entry_row_key(key, &value)?.to_vec();
            *key = found;
            Ok(true)
        }
    }
}

/// Reads the row and gives it to the sink; the answer is the number of rows, 0 or 1.
pub(crate) fn select(
    plan: &PointSelect,
    reader: &impl Readable,
    environment: &Environment<'_>,
    sink: &mut dyn RowSink,
) -> Result<u64> {
    KEY.with_borrow_mut(|key| {
        if !row_key(&plan.point, reader, environment, key)? {
            return Ok(0);
        }
        let table = &plan.point.table;
        let found = reader
            .get_with(&table.rows, key, |bytes| give(plan, table, bytes, environment, sink))
            .map_err(engine_error)?;
        found.unwrap_or(Ok(0))
    })
}

fn give(
    plan: &PointSelect,
    table: &OpenTable,
    bytes: &[u8],
    environment: &Environment<'_>,
    sink: &mut dyn RowSink,
) -> Result<u64> {
    let row = table.row(bytes)?;
    let source = StoredRow(row);
    let environment = Environment { columns: &source, ..*environment };
    if let Some(residual) = &plan.point.residual
        && !residual.is_true(&environment)?
    {
        return Ok(0);
    }
    const INLINE: usize = 16;
    if plan.plain && plan.outputs.len() <= INLINE {
        let mut values = [ValueRef::Null; INLINE];
        for (place, output) in values.iter_mut().zip(&plan.outputs) {
            if let Output::Column(ordinal) = output {
                *place = row.get(*ordinal)?;
            }
        }
        sink.row(&values[..plan.outputs.len()])?;
        return Ok(1);
    }
    let values: Vec<Value> = plan
        .outputs
        .iter()
        .map(|output| match output {
            Output::Column(ordinal) => row.value(*ordinal),
            Output::Computed(typed) => typed.evaluate(&environment),
        })
        .collect::<Result<_>>()?;
    let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
    sink.row(&values)?;
    Ok(1)
}

/// Locks the row that the point names and reads it as it is now; `None` when there is none or it
/// no longer passes the filter.
async fn locked_row(
    point: &Point,
    writer: &mut Writer<'_>,
    info: &Arc<SessionInfo>,
    parameters: &[Value],
) -> Result<Option<(Vec<u8>, Vec<Value>)>> {
    let mut key = Vec::new();
    {
        let environment = Environment { parameters, columns: &crate::fast::scalar::NoColumns, info };
        let reader = writer.latest_reader();
        if !row_key(point, &reader, &environment, &mut key)? {
            return Ok(None);
        }
    }
    let Some(bytes) = writer.lock_row(&point.table, &key).await? else { return Ok(None) };
    let row = point.table.row(&bytes)?;
    let source = StoredRow(row);
    let environment = Environment { parameters, columns: &source, info };
    if let PointKey::Unique(place, parts) = &point.key {
        // Between the look-up and the lock the row may have taken another key.
        let index = &point.table.indexes[*place];
        for (part, wanted) in index.definition.columns.iter().zip(parts) {
            if row.value(usize::from(part.column) - 1)? != wanted.evaluate(&environment)? {
                return Ok(None);
            }
        }
    }
    if let Some(residual) = &point.residual
        && !residual.is_true(&environment)?
    {
        return Ok(None);
    }
    let values = row.values()?;
    Ok(Some((key, values)))
}

/// Updates the row; the answer is the number of rows, 0 or 1.
pub(crate) async fn update(
    plan: &PointUpdate,
    writer: &mut Writer<'_>,
    info: &Arc<SessionInfo>,
    parameters: &[Value],
) -> Result<u64> {
    let Some((key, old)) = locked_row(&plan.point, writer, info, parameters).await? else { return Ok(0) };
    let old_refs: Vec<ValueRef<'_>> = old.iter().map(Value::as_ref).collect();
    let mut assigned = Vec::with_capacity(plan.assignments.len());
    {
        let sources = [old_refs.as_slice()];
        let rows = crate::fast::scalar::Rows(&sources);
        let environment = Environment { parameters, columns: &rows, info };
        for (ordinal, value) in &plan.assignments {
            assigned.push((*ordinal, value.evaluate(&environment)?));
        }
    }
    let mut new_refs = old_refs.clone();
    for (ordinal, value) in &assigned {
        new_refs[*ordinal] = value.as_ref();
    }
    writer.update(&plan.point.table, &key, &old_refs, &new_refs).await?;
    Ok(1)
}

/// Deletes the row; the answer is the number of rows, 0 or 1.
pub(crate) async fn delete(
    plan: &PointDelete,
    writer: &mut Writer<'_>,
    info: &Arc<SessionInfo>,
    parameters: &[Value],
) -> Result<u64> {
    let Some((key, old)) = locked_row(&plan.point, writer, info, parameters).await? else { return Ok(0) };
    let old_refs: Vec<ValueRef<'_>> = old.iter().map(Value::as_ref).collect();
    writer.delete(&plan.point.table, &key, &old_refs)?;
    Ok(1)
}
