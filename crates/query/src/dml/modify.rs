//! UPDATE and DELETE of any rows.
//!
//! The statement is planned as a query for the rows' keys, their stored images and the new values.
//! Each row is then locked; when it changed since the statement's snapshot, the whole statement
//! starts over on a newer one (its locks stay), so that conditions and new values are computed from
//! what is really there. A row already changed by this statement is not changed again.

use std::collections::HashSet;

use datafusion::arrow::array::{Array, BinaryArray, RecordBatch};
use datafusion::sql::sqlparser::ast::{
    self, Expr, FromTable, Ident, SelectItem, TableFactor, TableWithJoins,
};
use futures::StreamExt;
use lightning::LockMode;
use luma_catalog::Table;
use luma_model::arrow::{CellReader, data_type};
use luma_model::{CastKind, DataType, Error, ErrorKind, Result, Value, ValueRef, cast};
use luma_rows::Writer;

use crate::dml::insert::{assigned_columns, is_default};
use crate::dml::returning::{self, Collector, Returning};
use crate::dml::target::Target;
use crate::dml::written::{Command, ViewRows, Written};
use crate::execute;
use crate::expression::Source;
use crate::fast::scalar::{assignable, not_assignable};
use crate::names::{identifier, qualified};
use crate::outcome::{CommandTag, Outcome};
use crate::plan::context::Names;
use crate::plan::provider::{IMAGE_COLUMN, KEY_COLUMN};
use crate::session::Session;

/// How often a statement starts over before it gives up.
pub(crate) const ATTEMPTS_MAX: usize = 100;

/// What happens to each row found.
enum Change<'e> {
    /// Ordinals and their new expressions; `None` is DEFAULT.
    Update(Vec<(usize, Option<&'e Expr>)>),
    Delete,
}

/// Runs an UPDATE.
pub(crate) async fn update(
    session: &mut Session,
    update: &ast::Update,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    if update.or.is_some() || update.limit.is_some() {
        return Err(Error::new(ErrorKind::Syntax, "UPDATE takes no OR or LIMIT"));
    }
    let (written, alias) = target_table(session, &update.table, Command::Update)?;
    let table = &written.table;
    let mut assignments = Vec::new();
    for assignment in &update.assignments {
        for (ordinal, expr) in assigned_columns(assignment, &written.columns)? {
            let ordinal = written.assigned(ordinal, Command::Update)?;
            if assignments.iter().any(|(known, _)| *known == ordinal) {
                return Err(Error::new(
                    ErrorKind::Syntax,
                    format!("multiple assignments to same column \"{}\"", table.columns[ordinal].name),
                ));
            }
            let column = &table.columns[ordinal];
            let computed =
                column.generated.is_some() || column.identity == Some(luma_catalog::Identity::Always);
            if computed && !is_default(expr) {
                return Err(Error::new(
                    ErrorKind::GeneratedAlways,
                    format!("column \"{}\" can only be updated to DEFAULT", column.name),
                ));
            }
            assignments.push((ordinal, if is_default(expr) { None } else { Some(expr) }));
        }
    }
    let mut from = vec![update.table.clone()];
    match &update.from {
        Some(ast::UpdateTableFromKind::BeforeSet(more) | ast::UpdateTableFromKind::AfterSet(more)) => {
            from.extend(more.iter().cloned());
        }
        None => {}
    }
    let statement = Modify {
        written,
        alias,
        from,
        filter: update.selection.clone(),
        returning: update.returning.as_deref(),
        change: Change::Update(assignments),
    };
    statement.run(session, types, parameters).await
}

/// Runs a DELETE.
pub(crate) async fn delete(
    session: &mut Session,
    delete: &ast::Delete,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [first] = from.as_slice() else {
        return Err(Error::new(ErrorKind::Syntax, "DELETE takes one table; name others after USING"));
    };
    if !delete.order_by.is_empty() || delete.limit.is_some() || !delete.tables.is_empty() {
        return Err(Error::new(ErrorKind::Syntax, "DELETE takes no ORDER BY or LIMIT"));
    }
    let (written, alias) = target_table(session, first, Command::Delete)?;
    let mut tables = vec![first.clone()];
    tables.extend(delete.using.iter().flatten().cloned());
    let statement = Modify {
        written,
        alias,
        from: tables,
        filter: delete.selection.clone(),
        returning: delete.returning.as_deref(),
        change: Change::Delete,
    };
    statement.run(session, types, parameters).await
}

/// The table or view a statement changes, and the name it goes by.
pub(crate) fn target_table(
    session: &Session,
    from: &TableWithJoins,
    command: Command,
) -> Result<(Written, String)> {
    let TableFactor::Table { name, alias, .. } = &from.relation else {
        return Err(Error::new(ErrorKind::Syntax, "only a table can be changed"));
    };
    let name = qualified(name)?;
    let catalog = session.catalog();
    let scope = crate::names::Scope { catalog: &catalog, search_path: session.search_path() };
    let written = Written::find(&scope, &name, command)?;
    let alias = alias.as_ref().map_or(name.name, |alias| identifier(&alias.name));
    Ok((written, alias))
}

struct Modify<'e> {
    written: Written,
    alias: String,
    from: Vec<TableWithJoins>,
    filter: Option<Expr>,
    returning: Option<&'e [SelectItem]>,
    change: Change<'e>,
}

/// A statement that found a row changed and must start over.
struct Stale;

impl Modify<'_> {
    async fn run(&self, session: &mut Session, types: &[DataType], parameters: &[Value]) -> Result<Outcome> {
        let target = Target::open(session, &self.written.table).await?;
        let mut known: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
        let mut joined = Vec::new();
        let (returning, view) = {
            let info = &target.info;
            let state = execute::state_for(&info.shared, info);
            let reader = session.active()?.engine.reader();
            let mut names = Names::new(&info.shared, &state, info, &info.catalog, &info.search_path, reader);
            names.parameters.clone_from(&known);
            let returning = match self.returning {
                Some(items) => {
                    joined = returning::joined(&self.from[1..], &names, &state, &known)?;
                    let own = Source { name: &self.alias, table: self.columns(&target) };
                    let others = joined.iter().map(|table| Source { name: &table.name, table });
                    let sources: Vec<Source<'_>> = std::iter::once(own).chain(others).collect();
                    Some(Returning::compile(items, &sources, &names, &mut known)?)
                }
                None => None,
            };
            (returning, self.written.rows(&names, self.returning.is_some())?)
        };
        let place = session.active()?.engine.savepoint();
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                let transaction = session.active()?;
                transaction.engine.rollback_to(&place).map_err(luma_catalog::engine_error)?;
                transaction.engine.refresh();
                if session.frozen.is_some() {
                    session.frozen = Some(session.active()?.engine.reader());
                }
            }
            let mut collector = returning.as_ref().map(Returning::collector);
            match self.attempt(session, &target, types, parameters, (&joined, &view, &mut collector)).await? {
                Err(Stale) => {}
                Ok(rows) => {
                    let tag = match self.change {
                        Change::Update(_) => CommandTag::Update(rows),
                        Change::Delete => CommandTag::Delete(rows),
                    };
                    return match collector {
                        Some(collector) => Ok(Outcome::Rows(collector.finish(tag)?)),
                        None => Ok(Outcome::Complete(tag)),
                    };
                }
            }
        }
        Err(Error::new(
            ErrorKind::SerializationFailure,
            "could not serialize access due to concurrent updates of the same rows",
        )
        .hint("Run the transaction again."))
    }

    async fn attempt(
        &self,
        session: &mut Session,
        target: &Target,
        types: &[DataType],
        parameters: &[Value],
        (joined, view, collector): (&[Table], &ViewRows, &mut Option<Collector<'_>>),
    ) -> Result<std::result::Result<u64, Stale>> {
        let query = self.query(joined);
        let (columns, mut batches) =
            execute::run_modify_query(session, &query, types, parameters, &target.info, &self.written)
                .await?;
        let assigned = self.assigned(&columns)?;
        let expressions = target.info.shared.expressions(&target.table.definition, &target.info)?;
        let mut writer = target.writer(session)?;
        let mut changed: HashSet<Vec<u8>> = HashSet::new();
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let (keys, images) = (binary(&batch, 0)?, binary(&batch, 1)?);
            let mut readers = Vec::new();
            for place in 2..batch.num_columns() {
                let given = data_type(batch.schema().field(place))?;
                readers.push((CellReader::new(batch.column(place).as_ref(), &given)?, given));
            }
            for at in 0..batch.num_rows() {
                let key = keys.value(at);
                if changed.contains(key) {
                    continue;
                }
                let image = images.value(at);
                if !writer.lock_seen(&target.table, key, image, LockMode::Exclusive).await? {
                    return Ok(Err(Stale));
                }
                changed.insert(key.to_vec());
                let old = target.table.row(image)?.values()?;
                let new = match &self.change {
                    Change::Delete => None,
                    Change::Update(_) => {
                        let mut new = old.clone();
                        for (ordinal, given) in &assigned {
                            new[*ordinal] = match given {
                                // A view's columns have no defaults of their own.
                                None if self.written.is_view() => Value::Null,
                                None => target.evaluator.default_of(&expressions, *ordinal)?,
                                Some(place) => {
                                    let (reader, from) = &readers[*place];
                                    self.convert(target, *ordinal, reader.get(at)?, from)?
                                }
                            };
                        }
                        expressions.complete(&mut new, &target.info)?;
                        if target.table.is_collection() {
                            crate::collection::complete(&mut new, &target.table, &target.info, Some(&old))?;
                        }
                        Some(new)
                    }
                };
                apply(&mut writer, target, key, &old, new.as_deref()).await?;
                let seen = match &new {
                    Some(new) => view.written(new, &target.info)?,
                    None => view.seen(&old, &target.info)?,
                };
                if let Some(collector) = collector {
                    let left: Vec<ValueRef<'_>> = seen.iter().map(Value::as_ref).collect();
                    let given = joined.iter().map(|table| table.columns.len()).sum::<usize>();
                    let others = readers[readers.len() - given..].iter();
                    let others: Vec<ValueRef<'_>> =
                        others.map(|(reader, _)| reader.get(at)).collect::<Result<_>>()?;
                    let mut rest = others.as_slice();
                    let mut rows = vec![left.as_slice()];
                    for table in joined {
                        let (row, after) = rest.split_at(table.columns.len());
                        rows.push(row);
                        rest = after;
                    }
                    collector.add(&rows, parameters, &target.info)?;
                }
                rows += 1;
            }
            target.check_size(&writer)?;
        }
        writer.finish().await?;
        Ok(Ok(rows))
    }

    /// The columns that RETURNING names.
    fn columns<'t>(&'t self, target: &'t Target) -> &'t Table {
        if self.written.is_view() { &self.written.columns } else { &target.table.definition }
    }

    /// `SELECT key, image, new values, columns that are returned of others FROM … WHERE …`.
    fn query(&self, joined: &[Table]) -> ast::Query {
        let mut projection = vec![hidden(&self.alias, KEY_COLUMN), hidden(&self.alias, IMAGE_COLUMN)];
        if let Change::Update(assignments) = &self.change {
            let values = assignments.iter().filter_map(|(_, expr)| *expr);
            projection.extend(values.enumerate().map(|(place, expr)| SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: Ident::with_quote('"', format!("__luma_new_{place}")),
            }));
        }
        let columns =
            joined.iter().flat_map(|table| table.columns.iter().map(|column| (&table.name, &column.name)));
        projection.extend(columns.enumerate().map(|(place, (table, column))| {
            let column = Ident::with_quote('"', column);
            let expr = match table.as_str() {
                "" => Expr::Identifier(column),
                table => Expr::CompoundIdentifier(vec![Ident::with_quote('"', table), column]),
            };
            let alias = Ident::with_quote('"', format!("__luma_joined_{place}"));
            SelectItem::ExprWithAlias { expr, alias }
        }));
        execute::select_query(projection, self.from.clone(), self.filter.clone())
    }

    /// For each assignment its ordinal and the place of its value among the new values, after
    /// checking that the value can be assigned.
    fn assigned(&self, columns: &[crate::outcome::Column]) -> Result<Vec<(usize, Option<usize>)>> {
        let Change::Update(assignments) = &self.change else { return Ok(Vec::new()) };
        let mut next = 0;
        let mut assigned = Vec::new();
        for (ordinal, expr) in assignments {
            let Some(expr) = expr else {
                assigned.push((*ordinal, None));
                continue;
            };
            let column = &self.written.table.columns[*ordinal];
            let given = &columns[next + 2].data_type;
            if !is_literal(expr) && !assignable(given, &column.data_type) {
                return Err(not_assignable(&column.name, given, &column.data_type));
            }
            assigned.push((*ordinal, Some(next)));
            next += 1;
        }
        Ok(assigned)
    }

    fn convert(
        &self,
        target: &Target,
        ordinal: usize,
        value: ValueRef<'_>,
        from: &DataType,
    ) -> Result<Value> {
        if matches!(value, ValueRef::Null) {
            return Ok(Value::Null);
        }
        let wanted = &self.written.table.columns[ordinal].data_type;
        let kind = if assignable(from, wanted) { CastKind::Assignment } else { CastKind::Explicit };
        cast(value, from, wanted, kind, &target.info.text_context())
    }
}

pub(crate) async fn apply(
    writer: &mut Writer<'_>,
    target: &Target,
    key: &[u8],
    old: &[Value],
    new: Option<&[Value]>,
) -> Result<()> {
    let old: Vec<ValueRef<'_>> = old.iter().map(Value::as_ref).collect();
    match new {
        Some(new) => {
            let new: Vec<ValueRef<'_>> = new.iter().map(Value::as_ref).collect();
            writer.update(&target.table, key, &old, &new).await
        }
        None => writer.delete(&target.table, key, &old),
    }
}

/// A column of a table that only the database's own queries see.
pub(crate) fn hidden(alias: &str, name: &str) -> SelectItem {
    let table = Ident::with_quote('"', alias);
    let column = Ident::with_quote('"', name);
    SelectItem::ExprWithAlias {
        expr: Expr::CompoundIdentifier(vec![table, column]),
        alias: Ident::with_quote('"', name),
    }
}

/// A literal or parameter takes the column's type.
pub(crate) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => !matches!(value.value, ast::Value::Number(..) | ast::Value::Boolean(_)),
        Expr::Nested(inner) => is_literal(inner),
        _ => false,
    }
}

pub(crate) fn binary(batch: &RecordBatch, place: usize) -> Result<&BinaryArray> {
    batch
        .column(place)
        .as_any()
        .downcast_ref::<BinaryArray>()
        .filter(|array| array.null_count() == 0)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the rows to change came without their keys"))
}
