//! Rows next to each other by a key: `WHERE a = … AND b BETWEEN … AND … ORDER BY b LIMIT …` without planning.
//!
//! Taken are plain columns of one table, whose conditions are equalities with the first columns of a key and one range or list of the
//! next, in the order of the key if in any, and nothing else. By an index that has not all of the columns only few rows are taken: the planner may know a
//! better way to many.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::Query;
use lightning::{Direction, TransactionReader};
use luma_model::arrow::field;
use luma_model::{KeyOrder, Result};
use luma_rows::{Access, OpenTable, RowScan, ScanColumn};

use crate::fast::bounds::{Bounds, Condition, Last, condition};
use crate::fast::compile::{Context, Output, Selected, column_of, selected, split};
use crate::fast::scalar::{Compiler, Environment};
use crate::fast::tail::Tail;
use crate::outcome::{Column, CommandTag, Outcome, RowSink, RowSource, RowStream, Sunk};
use crate::plan::access::{self, KeyPart};

/// Rows of a batch: what is read before others on the thread get their turn.
const BATCH_ROWS: usize = 1024;
/// Rows that are written as they are read before those are sent and others get their turn.
const SINK_ROWS: usize = 512;
/// Rows that may be looked up one by one, whatever the table has.
const INDEX_ROWS_MAX: u64 = 10_000;
/// One part in so many of a table's rows may always be.
const INDEX_SHARE: u64 = 8;

/// `SELECT columns FROM table WHERE …` of rows next to each other.
#[derive(Clone, Debug)]
pub(crate) struct RangeSelect {
    table: Arc<OpenTable>,
    /// The place of the index; none is the primary key.
    index: Option<usize>,
    /// Most entries of the index that rows may be looked up for; none where that is known to be few, or needless.
    look_ups_max: Option<u64>,
    bounds: Bounds,
    direction: Direction,
    tail: Tail,
    outputs: Vec<ScanColumn>,
    schema: SchemaRef,
    pub(crate) columns: Arc<[Column]>,
}

/// Compiles a query about rows next to each other; `None` when it is not one.
pub(crate) fn select(query: &Query, context: &mut Context<'_>) -> Result<Option<RangeSelect>> {
    let Some(Selected { table, alias, filter, projection }) = selected(query, context)? else {
        return Ok(None);
    };
    if table.is_collection() || table.files.is_some() {
        return Ok(None);
    }
    let resolve = crate::fast::compile::resolver(&table, &alias);
    let mut conjuncts = Vec::new();
    if let Some(filter) = filter {
        split(filter, &mut conjuncts);
    } else if query.limit_clause.is_none() {
        return Ok(None);
    }
    let conditions: Option<Vec<Condition<'_>>> =
        conjuncts.iter().map(|expr| condition(expr, &|side| column_of(side, &resolve))).collect();
    let Some(conditions) = conditions else { return Ok(None) };
    let rows = context.shared.rows.approximate_rows(&table);
    let indexes = table.indexes.iter().enumerate().filter_map(|(place, index)| {
        let ordinals = index.definition.plain_columns()?.map(|number| usize::from(number) - 1);
        Some((Some(place), ordinals.collect::<Vec<usize>>()))
    });
    let keys = std::iter::once((None, table.key_ordinals().to_vec())).chain(indexes).collect::<Vec<_>>();
    for (index, ordinals) in keys {
        let mut compiler = Compiler { resolve: &resolve, parameters: context.parameters };
        let Some(bounds) = Bounds::compile(&table, &ordinals, &conditions, &mut compiler)? else { continue };
        let fixed = bounds.equal.len();
        let Some((outputs, columns)) = crate::fast::compile::outputs(&table, projection, &mut compiler)?
        else {
            return Ok(None);
        };
        let outputs: Option<Vec<ScanColumn>> = outputs
            .iter()
            .map(|output| match output {
                Output::Column(ordinal) => Some(ScanColumn::Value(*ordinal)),
                Output::Computed(_) => None,
            })
            .collect();
        let Some(outputs) = outputs else { return Ok(None) };
        let Some(tail) = Tail::compile(query, (&outputs, &columns), &resolve, &mut compiler)? else {
            return Ok(None);
        };
        let key = key_parts(&table, index);
        let Some(direction) = access::direction(&table, &key, fixed, &tail.order) else { continue };
        if conditions.is_empty() && !tail.has_limit() {
            return Ok(None);
        }
        let mut look_ups_max = None;
        if let Some(place) = index
            && !luma_rows::covers(&table, &table.indexes[place], &outputs)
        {
            let unsure = !matches!(bounds.last, Last::Nothing) || tail.has_limit();
            if unsure || expected(&table, &ordinals[..fixed], rows) > INDEX_ROWS_MAX {
                look_ups_max = Some(INDEX_ROWS_MAX.max(rows / INDEX_SHARE));
            }
        }
        let fields: Vec<_> =
            columns.iter().map(|column| field(&column.name, &column.data_type, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        return Ok(Some(RangeSelect {
            table: Arc::clone(&table),
            index,
            look_ups_max,
            bounds,
            direction,
            tail,
            outputs,
            schema,
            columns: columns.into(),
        }));
    }
    Ok(None)
}

/// How many rows equal values of these columns have, about.
fn expected(table: &OpenTable, ordinals: &[usize], rows: u64) -> u64 {
    let known = table.definition.statistics.iter().flat_map(|statistics| &statistics.columns);
    let most = known
        .filter(|column| ordinals.contains(&(usize::from(column.column) - 1)))
        .map(|column| column.distinct)
        .max();
    // Nothing is known before ANALYZE: a table that has few rows anyway is taken.
    rows / most.unwrap_or(1).max(1)
}

/// What the keys of the primary key, or of the index at a place, are made of.
fn key_parts(table: &OpenTable, index: Option<usize>) -> Vec<KeyPart> {
    let indexed = index.and_then(|place| table.indexes.get(place)).into_iter();
    let indexed = indexed.flat_map(|index| &index.definition.columns).map(|part| KeyPart {
        ordinal: usize::from(part.column).checked_sub(1),
        order: KeyOrder { descending: part.descending, nulls_first: part.nulls_first },
    });
    let row_key = table.key_ordinals().iter();
    let row_key = row_key.map(|ordinal| KeyPart { ordinal: Some(*ordinal), order: KeyOrder::ASCENDING });
    indexed.chain(row_key).collect()
}

impl RangeSelect {
    /// For EXPLAIN.
    pub(crate) fn description(&self) -> String {
        let table = &self.table.definition;
        let (kind, key) = match self.index.and_then(|place| self.table.indexes.get(place)) {
            Some(index) if luma_rows::covers(&self.table, index, &self.outputs) => {
                ("index only", index.definition.name.as_str())
            }
            Some(index) => ("index", index.definition.name.as_str()),
            None => ("key", table.primary_key.as_ref().map_or("", |key| key.name.as_str())),
        };
        let backward = if self.direction == Direction::Reverse { ", backward" } else { "" };
        format!("fast path: rows of {} next to each other, {kind} {key}{backward}", table.name)
    }

    fn order(&self, place: usize) -> KeyOrder {
        let index = self.index.and_then(|place| self.table.indexes.get(place));
        let part = index.and_then(|index| index.definition.columns.get(place));
        part.map_or_else(KeyOrder::default, |part| KeyOrder {
            descending: part.descending,
            nulls_first: part.nulls_first,
        })
    }

    /// The rows, read on the thread that asks for them, the first of them into the sink; `None` if they are better
    /// planned for.
    pub(crate) fn rows(
        &self,
        reader: TransactionReader,
        environment: &Environment<'_>,
        sink: Option<&mut dyn RowSink>,
    ) -> Result<Option<Outcome>> {
        let slice = self.tail.slice(environment)?;
        let ranges = self.bounds.ranges(|place| self.order(place), environment)?;
        if ranges.is_empty() {
            return Ok(Some(self.empty()));
        }
        if let (Some(most), Some(index)) = (self.look_ups_max, self.index)
            && slice.read().is_none_or(|read| read as u64 > most)
        {
            let entries = &self.table.indexes[index].entries;
            let found =
                ranges.iter().map(|range| entries.approximate_range(range.start(), range.end()).entries);
            if found.sum::<u64>() > most {
                return Ok(None);
            }
        }
        let access = match self.index {
            Some(index) => Access::Index(index, ranges),
            None => Access::Rows(ranges),
        };
        let (table, schema) = (Arc::clone(&self.table), Arc::clone(&self.schema));
        let outputs = self.outputs.clone();
        let scan = RowScan::new(table, reader, access, self.direction, outputs, schema, slice.read());
        let mut source = Neighbours { scan, skip: slice.offset };
        let mut sunk = 0;
        if let Some(sink) = sink {
            let given = source.sink(SINK_ROWS, sink)?;
            if given.ended {
                return Ok(Some(Outcome::Complete(CommandTag::Select(given.rows))));
            }
            sunk = given.rows;
        }
        Ok(Some(self.stream(source, sunk)))
    }

    fn empty(&self) -> Outcome {
        Outcome::Rows(RowStream::ready(Arc::clone(&self.columns), Vec::new(), CommandTag::Select(0)))
    }

    fn stream(&self, source: impl RowSource + 'static, sunk: u64) -> Outcome {
        Outcome::Rows(RowStream::from_source(Arc::clone(&self.columns), Box::new(source), sunk))
    }
}

/// What is left of the rows.
struct Neighbours {
    scan: RowScan,
    /// How many of the next are not wanted.
    skip: usize,
}

impl RowSource for Neighbours {
    fn sink(&mut self, rows: usize, sink: &mut dyn RowSink) -> Result<Sunk> {
        let mut sunk = 0;
        let read = self.scan.each_row(rows, |values| {
            if self.skip > 0 {
                self.skip -= 1;
                return Ok(());
            }
            sunk += 1;
            sink.row(values)
        })?;
        Ok(Sunk { rows: sunk, ended: read < rows })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.scan.next_batch(BATCH_ROWS)? else { return Ok(None) };
        let skipped = self.skip.min(batch.num_rows());
        self.skip -= skipped;
        Ok(Some(batch.slice(skipped, batch.num_rows() - skipped)))
    }
}
