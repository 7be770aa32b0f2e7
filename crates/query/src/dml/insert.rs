//! INSERT.
//!
//! Rows of literals and parameters are compiled (and cached with the prepared statement); any
//! other source is a query. Every row is completed with defaults, converted to the columns' types,
//! checked, and written by the row store.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, OnConflictAction, OnInsert, SetExpr};
use futures::StreamExt;
use luma_catalog::{Identity, Relation, Table};
use luma_model::arrow::{CellReader, data_type};
use luma_model::{CastKind, DataType, Error, ErrorKind, Result, TextContext, Value, ValueRef, cast};
use luma_rows::{ConflictTarget, InsertOutcome, OpenTable, Writer};

use crate::dml::columns::ColumnInsert;
use crate::dml::inference;
use crate::dml::returning::{Collector, Returning};
use crate::dml::target::Target;
use crate::dml::written::{Command, ViewRows, Written};
use crate::execute;
use crate::expression::{Assigned, RowExpression, Source, TableExpressions};
use crate::fast::compile::Context;
use crate::fast::scalar::{Compiler, Environment, NoColumns, Typed, assignable, not_assignable};
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{CommandTag, Outcome};
use crate::plan::context::Names;
use crate::session::{Session, SessionInfo};
use crate::statement::conflict;
use crate::statement::overriding::overrides;

/// Rows between checks of the transaction's size.
const CHECK_EVERY: usize = 256;

/// A value given for a column.
#[derive(Clone, Debug)]
enum Cell {
    Default,
    Value(Typed),
}

/// `INSERT … VALUES` of expressions the fast evaluator knows, without ON CONFLICT or RETURNING.
#[derive(Debug)]
pub(crate) struct InsertPlan {
    table: Arc<Table>,
    /// Ordinals of the columns given.
    columns: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

/// Compiles the plain form; `None` when the statement has another.
pub(crate) fn compile(insert: &ast::Insert, context: &mut Context<'_>) -> Result<Option<InsertPlan>> {
    if insert.on.is_some() || insert.returning.is_some() || insert.overwrite || insert.or.is_some() {
        return Ok(None);
    }
    let Some(values) = plain_values(insert) else { return Ok(None) };
    let Some(table) = find_table(insert, &context.scope) else { return Ok(None) };
    if table.kind == luma_catalog::TableKind::Collection {
        return Ok(None);
    }
    let mut columns = columns(insert, &table)?;
    fit_columns(insert, &values, &mut columns)?;
    let overriding = table.columns.iter().any(|column| column.identity.is_some());
    if overriding || table.completes_rows() {
        return Ok(None);
    }
    let nothing = |_: Option<&str>, _: &str| None;
    let mut compiler = Compiler { resolve: &nothing, parameters: context.parameters };
    let mut rows = Vec::with_capacity(values.len());
    for row in values {
        check_width(row.len(), columns.len(), insert.columns.is_empty())?;
        let mut cells = Vec::with_capacity(row.len());
        for (expr, ordinal) in row.iter().zip(&columns) {
            if is_default(expr) {
                cells.push(Cell::Default);
                continue;
            }
            let column = &table.columns[*ordinal];
            let Some(typed) = compiler.compile(expr)? else { return Ok(None) };
            cells.push(Cell::Value(compiler.assign(typed, &column.name, &column.data_type)?));
        }
        rows.push(cells);
    }
    Ok(Some(InsertPlan { table, columns, rows }))
}

/// Runs the plain form.
pub(crate) async fn run(session: &mut Session, plan: &InsertPlan, parameters: &[Value]) -> Result<Outcome> {
    let target = Target::open(session, &plan.table).await?;
    let table = Arc::clone(&target.table);
    let expressions = target.info.shared.expressions(&table.definition, &target.info)?;
    let given = given(&table, &plan.columns);
    let mut writer = target.writer(session)?;
    let environment = Environment { parameters, columns: &NoColumns, info: &target.info };
    let mut values = vec![Value::Null; table.columns().len()];
    for (count, row) in plan.rows.iter().enumerate() {
        for ordinal in 0..values.len() {
            if !given[ordinal] {
                values[ordinal] = target.evaluator.default_of(&expressions, ordinal)?;
            }
        }
        for (cell, ordinal) in row.iter().zip(&plan.columns) {
            values[*ordinal] = match cell {
                Cell::Default => target.evaluator.default_of(&expressions, *ordinal)?,
                Cell::Value(typed) => typed.evaluate(&environment)?,
            };
        }
        insert_row(&mut writer, &table, &values, &ConflictTarget::None).await?;
        if count % CHECK_EVERY == CHECK_EVERY - 1 {
            target.check_size(&writer)?;
        }
    }
    target.check_size(&writer)?;
    writer.finish().await?;
    Ok(Outcome::Complete(CommandTag::Insert(plan.rows.len() as u64)))
}

pub(crate) async fn insert_row(
    writer: &mut Writer<'_>,
    table: &OpenTable,
    values: &[Value],
    conflict: &ConflictTarget,
) -> Result<InsertOutcome> {
    const INLINE: usize = 32;
    if values.len() <= INLINE {
        let mut refs = [ValueRef::Null; INLINE];
        for (place, value) in refs.iter_mut().zip(values) {
            *place = value.as_ref();
        }
        return writer.insert(table, &refs[..values.len()], conflict).await;
    }
    let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
    writer.insert(table, &refs, conflict).await
}

/// What ON CONFLICT does.
struct OnConflict {
    target: ConflictTarget,
    update: Option<ConflictUpdate>,
}

struct ConflictUpdate {
    assignments: Vec<(usize, Option<Assigned>)>,
    filter: Option<RowExpression>,
}

/// Runs any INSERT.
pub(crate) async fn run_general(
    session: &mut Session,
    insert: &ast::Insert,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    let info = session.new_info();
    let scope = info.scope();
    let written = written(insert, &scope)?;
    let target = Target::open(session, &written.table).await?;
    let table = Arc::clone(&target.table);
    let info = Arc::clone(&target.info);
    let mut columns = columns(insert, &written.columns)?;
    if let Some(values) = plain_values(insert) {
        fit_columns(insert, &values, &mut columns)?;
    } else if insert.source.is_none() {
        // DEFAULT VALUES: every column is left to itself.
        columns.clear();
    }
    for ordinal in &mut columns {
        *ordinal = written.assigned(*ordinal, Command::Insert)?;
    }
    refuse_twice(&columns, &table.definition)?;
    let own = own_identities(insert, &columns, &table.definition);
    refuse_identity(insert, &table.definition, &columns)?;
    let expressions = info.shared.expressions(&table.definition, &info)?;
    let mut known: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
    let alias = insert
        .table_alias
        .as_ref()
        .map_or_else(|| written.columns.name.clone(), |alias| identifier(&alias.alias));
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let (conflict, returning, view) = {
        let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
        let conflict = on_conflict(insert, &table, &written, &alias, &names, &mut known)?;
        let returning = match &insert.returning {
            Some(items) => Some(Returning::compile(
                items,
                &[Source { name: &alias, table: &written.columns }],
                &names,
                &mut known,
            )?),
            None => None,
        };
        let updates = conflict.as_ref().is_some_and(|conflict| conflict.update.is_some());
        let view = written.rows(&names, returning.is_some() || updates)?;
        (conflict, returning, view)
    };
    let mut source = RowSource::open(session, insert, &table, &columns, types, parameters, &info).await?;
    if let RowSource::Query { columns: planned, .. } = &source {
        columns.truncate(planned.len());
    }
    let mut run = InsertRun {
        target: &target,
        table: &table,
        expressions: &expressions,
        given: given(&table, &columns),
        columns: &columns,
        conflict: &conflict,
        view: &view,
        parameters,
        inserted: 0,
        collector: returning.as_ref().map(Returning::collector),
        met: HashSet::new(),
        own: HashSet::new(),
    };
    let mut writer = target.writer(session)?;
    if run.conflict.is_none()
        && run.collector.is_none()
        && !written.is_view()
        && own.is_empty()
        && let RowSource::Query { batches, unknown, .. } = &mut source
        && let Some(insert) = ColumnInsert::new(&table, &expressions, &columns, unknown, &info)
    {
        let rows = insert.run(&target, &mut writer, batches).await?;
        writer.finish().await?;
        return Ok(Outcome::Complete(CommandTag::Insert(rows)));
    }
    let mut count = 0usize;
    while let Some(mut row) = source.next().await? {
        for place in &own {
            if let Some(value) = row.get_mut(*place) {
                *value = None;
            }
        }
        run.insert(&mut writer, row).await?;
        count += 1;
        if count.is_multiple_of(CHECK_EVERY) {
            target.check_size(&writer)?;
        }
    }
    target.check_size(&writer)?;
    writer.finish().await?;
    let tag = CommandTag::Insert(run.inserted);
    match run.collector {
        Some(collector) => Ok(Outcome::Rows(collector.finish(tag)?)),
        None => Ok(Outcome::Complete(tag)),
    }
}

struct InsertRun<'a> {
    target: &'a Target,
    table: &'a Arc<OpenTable>,
    expressions: &'a TableExpressions,
    given: Vec<bool>,
    columns: &'a [usize],
    conflict: &'a Option<OnConflict>,
    view: &'a ViewRows,
    parameters: &'a [Value],
    inserted: u64,
    collector: Option<Collector<'a>>,
    /// Rows that ON CONFLICT DO UPDATE may not meet again: those it changed, by their keys, and those
    /// that this statement inserted.
    met: HashSet<Vec<u8>>,
    own: HashSet<Vec<u8>>,
}

impl InsertRun<'_> {
    async fn insert(&mut self, writer: &mut Writer<'_>, row: Vec<Option<Value>>) -> Result<()> {
        let mut values = vec![Value::Null; self.table.columns().len()];
        for (ordinal, value) in values.iter_mut().enumerate() {
            if !self.given[ordinal] {
                *value = self.target.evaluator.default_of(self.expressions, ordinal)?;
            }
        }
        for (value, ordinal) in row.into_iter().zip(self.columns) {
            values[*ordinal] = match value {
                Some(value) => value,
                None => self.target.evaluator.default_of(self.expressions, *ordinal)?,
            };
        }
        if self.table.is_collection() {
            crate::collection::complete(&mut values, self.table, &self.target.info, None)?;
        }
        self.expressions.complete(&mut values, &self.target.info)?;
        let none = ConflictTarget::None;
        let conflict = self.conflict.as_ref().map_or(&none, |conflict| &conflict.target);
        match insert_row(writer, self.table, &values, conflict).await? {
            InsertOutcome::Inserted => {
                if self.conflict.as_ref().is_some_and(|conflict| conflict.update.is_some()) {
                    let mut row = Vec::new();
                    luma_model::encode_row_iter(values.iter().map(Value::as_ref), &mut row);
                    self.own.insert(row);
                }
                self.changed(&values)
            }
            InsertOutcome::Conflict(found) => {
                let Some(update) = self.conflict.as_ref().and_then(|conflict| conflict.update.as_ref())
                else {
                    return Ok(());
                };
                let old = self.table.row(&found.row)?.values()?;
                let old_refs: Vec<ValueRef<'_>> = old.iter().map(Value::as_ref).collect();
                let info = &self.target.info;
                let (seen, excluded) = (self.view.seen(&old, info)?, self.view.seen(&values, info)?);
                let seen: Vec<ValueRef<'_>> = seen.iter().map(Value::as_ref).collect();
                let excluded: Vec<ValueRef<'_>> = excluded.iter().map(Value::as_ref).collect();
                let rows: [&[ValueRef<'_>]; 2] = [&seen, &excluded];
                if !self.met.insert(found.row_key.clone()) || self.own.contains(found.row.as_slice()) {
                    return Err(Error::new(
                        ErrorKind::CardinalityViolation,
                        "ON CONFLICT DO UPDATE command cannot affect row a second time",
                    )
                    .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values."));
                }
                if let Some(filter) = &update.filter
                    && !matches!(filter.evaluate(&rows, self.parameters, info)?, Value::Bool(true))
                {
                    return Ok(());
                }
                let mut new = old.clone();
                for (ordinal, value) in &update.assignments {
                    new[*ordinal] = match value {
                        Some(value) => value.evaluate(&rows, self.parameters, info)?,
                        None => self.target.evaluator.default_of(self.expressions, *ordinal)?,
                    };
                }
                if self.table.is_collection() {
                    crate::collection::complete(&mut new, self.table, info, Some(&old))?;
                }
                self.expressions.complete(&mut new, info)?;
                let new_refs: Vec<ValueRef<'_>> = new.iter().map(Value::as_ref).collect();
                writer.update(self.table, &found.row_key, &old_refs, &new_refs).await?;
                self.changed(&new)
            }
        }
    }

    fn changed(&mut self, values: &[Value]) -> Result<()> {
        self.inserted += 1;
        let seen = self.view.written(values, &self.target.info)?;
        if let Some(collector) = &mut self.collector {
            let refs: Vec<ValueRef<'_>> = seen.iter().map(Value::as_ref).collect();
            collector.add(&[&refs], self.parameters, &self.target.info)?;
        }
        Ok(())
    }
}

/// Where the rows come from; a value of `None` is DEFAULT.
enum RowSource {
    Values(std::vec::IntoIter<Vec<Option<Value>>>),
    Query {
        batches: futures::stream::BoxStream<'static, Result<datafusion::arrow::array::RecordBatch>>,
        ready: std::vec::IntoIter<Vec<Option<Value>>>,
        columns: Vec<(String, DataType)>,
        unknown: Vec<bool>,
        info: Arc<SessionInfo>,
    },
}

impl RowSource {
    async fn open(
        session: &mut Session,
        insert: &ast::Insert,
        table: &OpenTable,
        columns: &[usize],
        types: &[DataType],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<Self> {
        let Some(source) = &insert.source else {
            return Ok(Self::Values(vec![Vec::new()].into_iter()));
        };
        if let Some(rows) = plain_values(insert) {
            let state = execute::state_for(&info.shared, info);
            let reader = session.active()?.engine.reader();
            let names = Names::new(&info.shared, &state, info, &info.catalog, &info.search_path, reader);
            let mut known: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
            let mut values = Vec::with_capacity(rows.len());
            for row in rows {
                check_width(row.len(), columns.len(), insert.columns.is_empty())?;
                let mut cells = Vec::with_capacity(row.len());
                for (expr, ordinal) in row.iter().zip(columns) {
                    if is_default(expr) {
                        cells.push(None);
                        continue;
                    }
                    if matches!(expr, Expr::Subquery(_)) {
                        return Self::query(session, insert, source, table, columns, types, parameters, info)
                            .await;
                    }
                    let compiled = RowExpression::compile(expr, &[], &names, &mut known)?;
                    let assigned = compiled.assign(&table.columns()[*ordinal], &mut known)?;
                    cells.push(Some(assigned.evaluate(&[], parameters, info)?));
                }
                values.push(cells);
            }
            return Ok(Self::Values(values.into_iter()));
        }
        Self::query(session, insert, source, table, columns, types, parameters, info).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn query(
        session: &mut Session,
        insert: &ast::Insert,
        source: &ast::Query,
        table: &OpenTable,
        columns: &[usize],
        types: &[DataType],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<Self> {
        let (planned, batches) = execute::run_query(session, source, types, parameters, info).await?;
        check_width(planned.len(), columns.len(), insert.columns.is_empty())?;
        let mut wanted = Vec::new();
        for (given, ordinal) in planned.iter().zip(columns) {
            let column = &table.columns()[*ordinal];
            if !assignable(&given.data_type, &column.data_type) && given.data_type != DataType::Text {
                return Err(not_assignable(&column.name, &given.data_type, &column.data_type));
            }
            wanted.push((column.name.clone(), column.data_type.clone()));
        }
        let unknown = literal_columns(source);
        Ok(Self::Query {
            batches,
            ready: Vec::new().into_iter(),
            columns: wanted,
            unknown,
            info: Arc::clone(info),
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<Option<Value>>>> {
        match self {
            Self::Values(rows) => Ok(rows.next()),
            Self::Query { batches, ready, columns, unknown, info } => loop {
                if let Some(row) = ready.next() {
                    return Ok(Some(row));
                }
                let Some(batch) = batches.next().await else { return Ok(None) };
                *ready = convert(&batch?, columns, unknown, info)?.into_iter();
            },
        }
    }
}

/// A batch's rows as values of the columns' types.
fn convert(
    batch: &datafusion::arrow::array::RecordBatch,
    columns: &[(String, DataType)],
    unknown: &[bool],
    info: &Arc<SessionInfo>,
) -> Result<Vec<Vec<Option<Value>>>> {
    let context = info.text_context();
    let mut rows: Vec<Vec<Option<Value>>> = vec![Vec::with_capacity(columns.len()); batch.num_rows()];
    for (place, (name, wanted)) in columns.iter().enumerate() {
        let given = data_type(batch.schema().field(place))?;
        let unknown = unknown.get(place).copied().unwrap_or(false);
        let reader = CellReader::new(batch.column(place).as_ref(), &given)?;
        for (at, row) in rows.iter_mut().enumerate() {
            row.push(Some(assigned(reader.get(at)?, name, &given, wanted, unknown, &context)?));
        }
    }
    Ok(rows)
}

/// A value of a query as one of a column; `unknown` says that it is a literal without a type.
///
/// # Errors
/// 42804 where there is no such conversion, and what the conversion says.
pub(crate) fn assigned(
    value: ValueRef<'_>,
    name: &str,
    given: &DataType,
    wanted: &DataType,
    unknown: bool,
    context: &TextContext,
) -> Result<Value> {
    let kind = match (assignable(given, wanted), unknown) {
        (true, _) => CastKind::Assignment,
        (false, true) => CastKind::Explicit,
        (false, false) => return Err(not_assignable(name, given, wanted)),
    };
    match value {
        ValueRef::Null => Ok(Value::Null),
        value => cast(value, given, wanted, kind, context),
    }
}

/// Which columns of a query are literals without a type, or NULL.
fn literal_columns(query: &ast::Query) -> Vec<bool> {
    let literal = |expr: &Expr| match expr {
        Expr::Value(value) => !matches!(value.value, ast::Value::Number(..) | ast::Value::Boolean(_)),
        _ => false,
    };
    match query.body.as_ref() {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .map(|item| match item {
                ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                    literal(expr)
                }
                _ => false,
            })
            .collect(),
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            (0..width)
                .map(|at| values.rows.iter().all(|row| row.content.get(at).is_some_and(literal)))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Two rows may share a deferrable key for a while, so there is no one row that is in the way.
fn refuse_deferrable(table: &OpenTable, target: &ConflictTarget) -> Result<()> {
    let mut indexes = match target {
        ConflictTarget::Any => table.indexes.as_slice(),
        ConflictTarget::Index(place) => table.indexes.get(*place..=*place).unwrap_or_default(),
        ConflictTarget::None | ConflictTarget::PrimaryKey => &[],
    }
    .iter();
    let Some(index) = indexes.find(|index| index.definition.is_deferrable()) else { return Ok(()) };
    let message =
        "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters";
    Err(Error::new(ErrorKind::ObjectNotInPrerequisiteState, message)
        .table(&table.definition.name)
        .constraint(&index.definition.name))
}

fn on_conflict(
    insert: &ast::Insert,
    table: &OpenTable,
    written: &Written,
    alias: &str,
    names: &Names<'_>,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<Option<OnConflict>> {
    let clause = match &insert.on {
        None => return Ok(None),
        Some(OnInsert::OnConflict(clause)) => clause,
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Syntax,
                "ON DUPLICATE KEY is not PostgreSQL's; use ON CONFLICT",
            ));
        }
    };
    let definition = &table.definition;
    let target = match &clause.conflict_target {
        None => ConflictTarget::Any,
        Some(ast::ConflictTarget::OnConstraint(name)) if let Some(target) = conflict::target_of(name) => {
            inference::find(table, written, &target?)?
        }
        Some(ast::ConflictTarget::OnConstraint(name)) => {
            let name = qualified(name)?.name;
            let is_primary = definition.primary_key.as_ref().is_some_and(|key| key.name == name);
            if is_primary && !written.is_view() {
                ConflictTarget::PrimaryKey
            } else {
                let place = table
                    .indexes
                    .iter()
                    .position(|index| index.definition.name == name && index.definition.unique)
                    .filter(|_| !written.is_view());
                ConflictTarget::Index(place.ok_or_else(|| {
                    let message = format!(
                        "constraint \"{name}\" for table \"{}\" does not exist",
                        written.columns.name
                    );
                    Error::new(ErrorKind::UndefinedObject, message)
                })?)
            }
        }
        Some(ast::ConflictTarget::Columns(columns)) => {
            let parts = columns.iter().cloned().map(ast::Expr::Identifier).collect();
            inference::find(table, written, &conflict::Target { parts, condition: None })?
        }
    };
    refuse_deferrable(table, &target)?;
    let update = match &clause.action {
        OnConflictAction::DoNothing => None,
        OnConflictAction::DoUpdate(_) if target == ConflictTarget::Any => {
            return Err(Error::new(
                ErrorKind::Syntax,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            )
            .hint("For example, ON CONFLICT (column_name)."));
        }
        OnConflictAction::DoUpdate(update) => {
            let seen = &written.columns;
            let sources = [Source { name: alias, table: seen }, Source { name: "excluded", table: seen }];
            let mut assignments = Vec::new();
            for assignment in &update.assignments {
                for (ordinal, expr) in assigned_columns(assignment, seen)? {
                    let ordinal = written.assigned(ordinal, Command::Update)?;
                    let value = if is_default(expr) {
                        None
                    } else {
                        let compiled = RowExpression::compile(expr, &sources, names, parameters)?;
                        Some(compiled.assign(&definition.columns[ordinal], parameters)?)
                    };
                    assignments.push((ordinal, value));
                }
            }
            let filter = match &update.selection {
                Some(filter) => Some(RowExpression::compile(filter, &sources, names, parameters)?),
                None => None,
            };
            Some(ConflictUpdate { assignments, filter })
        }
    };
    Ok(Some(OnConflict { target, update }))
}

/// The columns an assignment sets, each with its expression.
pub(crate) fn assigned_columns<'e>(
    assignment: &'e ast::Assignment,
    table: &Table,
) -> Result<Vec<(usize, &'e Expr)>> {
    match &assignment.target {
        ast::AssignmentTarget::ColumnName(name) => {
            // `t.a` is the field `a` of a column `t`.
            let first = match name.0.as_slice() {
                [ast::ObjectNamePart::Identifier(first), ..] => identifier(first),
                _ => last_name(name)?,
            };
            let ordinal = ordinal(table, &first)?;
            if name.0.len() > 1 {
                let message = format!("cannot assign to a field of column \"{first}\"");
                return Err(Error::new(ErrorKind::FeatureNotSupported, message));
            }
            Ok(vec![(ordinal, &assignment.value)])
        }
        ast::AssignmentTarget::Tuple(names) => {
            let Expr::Tuple(values) = &assignment.value else {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    "assigning several columns takes a list of expressions in parentheses",
                ));
            };
            if names.len() != values.len() {
                return Err(Error::new(
                    ErrorKind::Syntax,
                    "number of columns does not match number of values",
                ));
            }
            names
                .iter()
                .zip(values)
                .map(|(name, value)| Ok((ordinal(table, &last_name(name)?)?, value)))
                .collect()
        }
    }
}

fn last_name(name: &ast::ObjectName) -> Result<String> {
    Ok(qualified(name)?.name)
}

/// The ordinal of a column that a statement sets.
pub(crate) fn ordinal(table: &Table, name: &str) -> Result<usize> {
    match table.column(name) {
        Some(column) => Ok(usize::from(column.number) - 1),
        None => {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            let error = Error::new(ErrorKind::UndefinedColumn, message);
            let known = table.live_columns().map(|column| column.name.as_str());
            Err(match crate::names::nearest(name, known) {
                Some(near) => error.hint(format!("Perhaps you meant to reference the column \"{near}\".")),
                None => error,
            })
        }
    }
}

fn find_table(insert: &ast::Insert, scope: &Scope<'_>) -> Option<Arc<Table>> {
    let ast::TableObject::TableName(name) = &insert.table else { return None };
    match scope.find(&qualified(name).ok()?)? {
        Relation::Table(table) => Some(Arc::clone(table)),
        _ => None,
    }
}

/// What an INSERT writes to.
fn written(insert: &ast::Insert, scope: &Scope<'_>) -> Result<Written> {
    match &insert.table {
        ast::TableObject::TableName(name) => Written::find(scope, &qualified(name)?, Command::Insert),
        _ => Err(Error::new(ErrorKind::Syntax, "INSERT takes the name of a table")),
    }
}

/// Ordinals of the columns that the statement gives values for.
fn columns(insert: &ast::Insert, table: &Table) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok(table.live_columns().map(|column| usize::from(column.number) - 1).collect());
    }
    let mut ordinals = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let name = last_name(name)?;
        let ordinal = ordinal(table, &name)?;
        if ordinals.contains(&ordinal) {
            return Err(Error::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        ordinals.push(ordinal);
    }
    Ok(ordinals)
}

/// Two columns of a view may be one of its table.
fn refuse_twice(ordinals: &[usize], table: &Table) -> Result<()> {
    let twice = ordinals.iter().enumerate().find(|(at, ordinal)| ordinals[..*at].contains(ordinal));
    match twice.and_then(|(_, ordinal)| table.columns.get(*ordinal)) {
        Some(column) => Err(Error::new(
            ErrorKind::Syntax,
            format!("multiple assignments to same column \"{}\"", column.name),
        )),
        None => Ok(()),
    }
}

fn given(table: &OpenTable, columns: &[usize]) -> Vec<bool> {
    let mut given = vec![false; table.columns().len()];
    for ordinal in columns {
        given[*ordinal] = true;
    }
    given
}

/// `OVERRIDING USER VALUE`: the places of values that give way to the column's own.
fn own_identities(insert: &ast::Insert, columns: &[usize], table: &Table) -> Vec<usize> {
    if overrides(insert) != Some("user") {
        return Vec::new();
    }
    let identity = |ordinal: &usize| table.columns.get(*ordinal).is_some_and(|it| it.identity.is_some());
    (0..columns.len()).filter(|place| columns.get(*place).is_some_and(identity)).collect()
}

/// `GENERATED ALWAYS` takes no value of the user's, unless told so.
fn refuse_identity(insert: &ast::Insert, table: &Table, columns: &[usize]) -> Result<()> {
    let all_default = |ordinal: usize| {
        plain_values(insert).is_some_and(|rows| {
            let at = columns.iter().position(|column| *column == ordinal);
            rows.iter().all(|row| at.and_then(|at| row.get(at)).is_none_or(is_default))
        })
    };
    if insert.columns.is_empty() && insert.source.is_none() {
        return Ok(());
    }
    let overriding = overrides(insert).is_some();
    for ordinal in columns {
        let column = &table.columns[*ordinal];
        if column.generated.is_some() && !all_default(*ordinal) {
            return Err(Error::new(
                ErrorKind::GeneratedAlways,
                format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
            )
            .detail(format!("Column \"{}\" is a generated column.", column.name))
            .column(&column.name));
        }
        if column.identity == Some(Identity::Always) && !overriding && !all_default(*ordinal) {
            return Err(Error::new(
                ErrorKind::GeneratedAlways,
                format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name),
            )
            .detail(format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name))
            .hint("Use OVERRIDING SYSTEM VALUE to override.")
            .column(&column.name));
        }
    }
    Ok(())
}

/// The rows of a plain VALUES list; fewer values than columns are allowed without a column list.
fn plain_values(insert: &ast::Insert) -> Option<Vec<&[Expr]>> {
    let source = insert.source.as_ref()?;
    if source.with.is_some() || source.order_by.is_some() || source.limit_clause.is_some() {
        return None;
    }
    match source.body.as_ref() {
        SetExpr::Values(values) => Some(values.rows.iter().map(|row| row.content.as_slice()).collect()),
        _ => None,
    }
}

/// Whether an expression is the word DEFAULT.
pub(crate) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

/// Without a column list, columns past the values get their defaults.
fn fit_columns(insert: &ast::Insert, rows: &[&[Expr]], columns: &mut Vec<usize>) -> Result<()> {
    let width = rows.first().map_or(0, |row| row.len());
    if rows.iter().any(|row| row.len() != width) {
        return Err(Error::new(ErrorKind::Syntax, "VALUES lists must all be the same length"));
    }
    check_width(width, columns.len(), insert.columns.is_empty())?;
    columns.truncate(width);
    Ok(())
}

fn check_width(values: usize, columns: usize, implicit: bool) -> Result<()> {
    if values > columns {
        return Err(Error::new(ErrorKind::Syntax, "INSERT has more expressions than target columns"));
    }
    if values < columns && !implicit {
        return Err(Error::new(ErrorKind::Syntax, "INSERT has more target columns than expressions"));
    }
    Ok(())
}
