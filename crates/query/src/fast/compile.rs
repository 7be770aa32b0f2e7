//! Compiles statements about rows named by their key.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FromTable, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
};
use luma_catalog::Table;
use luma_model::{DataType, Result};
use luma_rows::OpenTable;

use crate::database::Shared;
use crate::fast::scalar::{Compiler, Resolve, Typed};
use crate::names::{Scope, identifier, qualified};
use crate::outcome::Column;

/// How the one row is found.
#[derive(Clone, Debug)]
pub(crate) enum PointKey {
    /// By the primary key: an expression per key column, in key order.
    Row(Vec<Typed>),
    /// By the unique index at that place.
    Unique(usize, Vec<Typed>),
}

/// The row a statement is about.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) table: Arc<OpenTable>,
    pub(crate) key: PointKey,
    /// What else the row must satisfy.
    pub(crate) residual: Option<Typed>,
}

impl Point {
    /// For EXPLAIN.
    pub(crate) fn description(&self) -> String {
        let table = &self.table.definition;
        let key = match &self.key {
            PointKey::Row(_) => table.primary_key.as_ref().map_or("", |key| key.name.as_str()),
            PointKey::Unique(place, _) => table.indexes[*place].name.as_str(),
        };
        let filter = if self.residual.is_some() { ", then a filter" } else { "" };
        format!("fast path: one row of {} by {key}{filter}", table.name)
    }
}

/// An output of a point read.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// The column at that ordinal, as it is stored.
    Column(usize),
    /// Anything else.
    Computed(Typed),
}

/// `SELECT … FROM table WHERE key = …`.
#[derive(Clone, Debug)]
pub(crate) struct PointSelect {
    pub(crate) point: Point,
    pub(crate) outputs: Vec<Output>,
    pub(crate) columns: Arc<[Column]>,
    /// Whether no output or filter needs more than stored columns.
    pub(crate) plain: bool,
}

/// `UPDATE table SET … WHERE key = …`.
#[derive(Clone, Debug)]
pub(crate) struct PointUpdate {
    pub(crate) point: Point,
    pub(crate) assignments: Vec<(usize, Typed)>,
}

/// `DELETE FROM table WHERE key = …`.
#[derive(Clone, Debug)]
pub(crate) struct PointDelete {
    pub(crate) point: Point,
}

/// What compiling needs to know.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) scope: Scope<'a>,
    pub(crate) parameters: &'a mut Vec<Option<DataType>>,
}

/// A query of one table with a filter, ORDER BY, LIMIT, and nothing else.
pub(crate) struct Selected<'q> {
    pub(crate) table: Arc<OpenTable>,
    /// The name the table goes by.
    pub(crate) alias: String,
    pub(crate) filter: Option<&'q Expr>,
    pub(crate) projection: &'q [SelectItem],
}

/// What a query selects, if it is such a one.
pub(crate) fn selected<'q>(query: &'q Query, context: &Context<'_>) -> Result<Option<Selected<'q>>> {
    let plain = query.with.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(None) };
    if !plain || !is_plain_select(select) {
        return Ok(None);
    }
    let [from] = select.from.as_slice() else { return Ok(None) };
    let Some((table, alias)) = single_table(from, context) else { return Ok(None) };
    let table = context.shared.open_table(&table)?;
    let filter = select.selection.as_ref();
    Ok(Some(Selected { table, alias, filter, projection: &select.projection }))
}

/// Compiles what a query gives of each row; `None` where it is not simple.
pub(crate) fn outputs(
    open: &OpenTable,
    projection: &[SelectItem],
    compiler: &mut Compiler<'_>,
) -> Result<Option<(Vec<Output>, Vec<Column>)>> {
    let table = &open.definition;
    let mut outputs = Vec::new();
    let mut columns = Vec::new();
    for item in projection {
        let (expr, name) = match item {
            SelectItem::Wildcard(options) if *options == ast::WildcardAdditionalOptions::default() => {
                for column in table.live_columns() {
                    outputs.push(Output::Column(usize::from(column.number) - 1));
                    columns.push(table_column(table, usize::from(column.number) - 1));
                }
                continue;
            }
            SelectItem::UnnamedExpr(expr) => (expr, crate::plan::rewrite::column_name(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr, identifier(alias)),
            _ => return Ok(None),
        };
        let Some(typed) = compiler.compile(expr)? else { return Ok(None) };
        if let crate::fast::scalar::Node::Column(0, ordinal) = typed.node {
            outputs.push(Output::Column(ordinal));
            columns.push(Column { name, ..table_column(table, ordinal) });
        } else if typed.unknown {
            let Some(typed) = compiler.as_type(typed, &DataType::Text)? else { return Ok(None) };
            columns.push(Column::new(name, DataType::Text));
            outputs.push(Output::Computed(typed));
        } else {
            columns.push(Column::new(name, typed.data_type.clone()));
            outputs.push(Output::Computed(typed));
        }
    }
    Ok(Some((outputs, columns)))
}

/// Compiles a query about one row; `None` when it is not one.
pub(crate) fn select(query: &Query, context: &mut Context<'_>) -> Result<Option<PointSelect>> {
    if query.order_by.is_some() || query.limit_clause.is_some() {
        return Ok(None);
    }
    let Some(Selected { table: open, alias, filter: Some(filter), projection }) = selected(query, context)?
    else {
        return Ok(None);
    };
    let resolve = resolver(&open, &alias);
    let Some(point) = point(&open, filter, &resolve, context.parameters)? else { return Ok(None) };
    let mut compiler = Compiler { resolve: &resolve, parameters: context.parameters };
    let Some((outputs, columns)) = outputs(&open, projection, &mut compiler)? else { return Ok(None) };
    let stored = outputs.iter().all(|output| matches!(output, Output::Column(_)));
    let plain = stored && !open.is_collection();
    Ok(Some(PointSelect { point, outputs, columns: columns.into(), plain }))
}

/// Compiles an UPDATE of one row; `None` when it is not one.
pub(crate) fn update(update: &ast::Update, context: &mut Context<'_>) -> Result<Option<PointUpdate>> {
    if update.from.is_some() || update.returning.is_some() || update.or.is_some() || update.limit.is_some() {
        return Ok(None);
    }
    let (Some(filter), Some((table, alias))) = (&update.selection, single_table(&update.table, context))
    else {
        return Ok(None);
    };
    let open = context.shared.open_table(&table)?;
    if open.is_collection() || table.completes_rows() {
        return Ok(None);
    }
    let resolve = resolver(&open, &alias);
    let Some(point) = point(&open, filter, &resolve, context.parameters)? else { return Ok(None) };
    let mut compiler = Compiler { resolve: &resolve, parameters: context.parameters };
    let mut assignments: Vec<(usize, Typed)> = Vec::new();
    for assignment in &update.assignments {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else { return Ok(None) };
        let [ast::ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return Ok(None) };
        let Some(column) = table.column(&identifier(name)) else { return Ok(None) };
        if column.identity.is_some()
            || assignments.iter().any(|(known, _)| known + 1 == usize::from(column.number))
        {
            return Ok(None);
        }
        let Some(value) = compiler.compile(&assignment.value)? else { return Ok(None) };
        if column.data_type.object_kind().is_some() {
            return Ok(None);
        }
        let value = compiler.assign(value, &column.name, &column.data_type)?;
        assignments.push((usize::from(column.number) - 1, value));
    }
    Ok(Some(PointUpdate { point, assignments }))
}

/// Compiles a DELETE of one row; `None` when it is not one.
pub(crate) fn delete(delete: &ast::Delete, context: &mut Context<'_>) -> Result<Option<PointDelete>> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [from] = from.as_slice() else { return Ok(None) };
    if delete.using.is_some()
        || delete.returning.is_some()
        || !delete.tables.is_empty()
        || !delete.order_by.is_empty()
        || delete.limit.is_some()
    {
        return Ok(None);
    }
    let (Some(filter), Some((table, alias))) = (&delete.selection, single_table(from, context)) else {
        return Ok(None);
    };
    let open = context.shared.open_table(&table)?;
    let resolve = resolver(&open, &alias);
    let point = point(&open, filter, &resolve, context.parameters)?;
    Ok(point.map(|point| PointDelete { point }))
}

/// The result column of a table's column.
pub(crate) fn table_column(table: &Table, ordinal: usize) -> Column {
    let column = &table.columns[ordinal];
    Column {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        table_oid: table.oid,
        attribute: i16::try_from(column.number).unwrap_or(0),
    }
}

/// What a table's column names mean, the table under its name or alias.
pub(crate) fn resolver<'t>(
    table: &'t OpenTable,
    alias: &'t str,
) -> impl Fn(Option<&str>, &str) -> Option<(usize, usize, DataType)> + 't {
    move |qualifier, name| {
        if qualifier.is_some_and(|qualifier| qualifier != alias) {
            return None;
        }
        let column = table.definition.column(name)?;
        Some((0, usize::from(column.number) - 1, column.data_type.clone()))
    }
}

fn is_plain_select(select: &Select) -> bool {
    select.distinct.is_none()
        && select.top.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(list, modifiers) if list.is_empty() && modifiers.is_empty())
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.having.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none()
}

/// The one table of a FROM clause and the name it goes by.
fn single_table(from: &TableWithJoins, context: &Context<'_>) -> Option<(Arc<Table>, String)> {
    if !from.joins.is_empty() {
        return None;
    }
    let TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints,
        version: None,
        partitions,
        sample: None,
        ..
    } = &from.relation
    else {
        return None;
    };
    if !with_hints.is_empty() || !partitions.is_empty() {
        return None;
    }
    let name = qualified(name).ok()?;
    let luma_catalog::Relation::Table(table) = context.scope.find(&name)? else { return None };
    let by_bytes = table.live_columns().all(|column| column.collation.is_none());
    if !table.is_populated() || !by_bytes {
        return None;
    }
    let alias = match alias {
        Some(alias) if alias.columns.is_empty() => identifier(&alias.name),
        Some(_) => return None,
        None => name.name,
    };
    Some((Arc::clone(table), alias))
}

/// Finds the key among the conjuncts of a filter.
fn point(
    table: &Arc<OpenTable>,
    filter: &Expr,
    resolve: &Resolve<'_>,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<Option<Point>> {
    let mut conjuncts = Vec::new();
    split(filter, &mut conjuncts);
    // Which conjunct names which column, and the other side of its equality.
    let equalities: Vec<Option<(usize, &Expr)>> = conjuncts
        .iter()
        .map(|conjunct| match conjunct {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                let column = |side: &Expr| column_of(side, resolve);
                match (column(left), column(right)) {
                    (Some(ordinal), None) => Some((ordinal, right.as_ref())),
                    (None, Some(ordinal)) => Some((ordinal, left.as_ref())),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect();
    let unique = table.indexes.iter().enumerate().filter(|(_, index)| index.definition.is_always_unique());
    let unique = unique.filter_map(|(place, index)| {
        let ordinals = index.definition.plain_columns()?.map(|number| usize::from(number) - 1);
        Some((Some(place), ordinals.collect::<Vec<usize>>()))
    });
    for (place, ordinals) in std::iter::once((None, table.key_ordinals().to_vec())).chain(unique) {
        if ordinals.is_empty() {
            continue;
        }
        let mut compiler = Compiler { resolve, parameters };
        let mut used = vec![false; conjuncts.len()];
        let mut key = Vec::with_capacity(ordinals.len());
        for &ordinal in &ordinals {
            let found = equalities.iter().enumerate().find_map(|(at, equality)| match equality {
                Some((column, value)) if *column == ordinal => Some((at, *value)),
                _ => None,
            });
            let Some((at, value)) = found else { break };
            let Some(value) = constant(&mut compiler, value, table.data_type(ordinal))? else { break };
            used[at] = true;
            key.push(value);
        }
        if key.len() < ordinals.len() {
            continue;
        }
        let mut residual: Option<Typed> = None;
        for (conjunct, _) in conjuncts.iter().zip(&used).filter(|(_, used)| !**used) {
            let Some(next) = compiler.compile(conjunct)? else { return Ok(None) };
            let Some(next) = compiler.as_type(next, &DataType::Bool)? else { return Ok(None) };
            residual = Some(match residual {
                None => next,
                Some(before) => Typed::new(
                    crate::fast::scalar::Node::And(Box::new(before), Box::new(next)),
                    DataType::Bool,
                ),
            });
        }
        let key = match place {
            None => PointKey::Row(key),
            Some(place) => PointKey::Unique(place, key),
        };
        return Ok(Some(Point { table: Arc::clone(table), key, residual }));
    }
    Ok(None)
}

/// The column that one side of a comparison is.
pub(crate) fn column_of(side: &Expr, resolve: &Resolve<'_>) -> Option<usize> {
    let found = match strip(side) {
        Expr::Identifier(name) => resolve(None, &identifier(name)),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => resolve(Some(&identifier(table)), &identifier(name)),
            _ => None,
        },
        _ => None,
    };
    found.map(|(_, ordinal, _)| ordinal)
}

/// A key's value: without columns, and of a type whose keys equal exactly when the values do.
pub(crate) fn constant(
    compiler: &mut Compiler<'_>,
    value: &Expr,
    wanted: &DataType,
) -> Result<Option<Typed>> {
    if matches!(wanted, DataType::Json | DataType::Jsonb | DataType::Char(_) | DataType::Array(_)) {
        return Ok(None);
    }
    let nothing = |_: Option<&str>, _: &str| None;
    let mut alone = Compiler { resolve: &nothing, parameters: compiler.parameters };
    let Some(typed) = alone.compile(value)? else { return Ok(None) };
    if typed.unknown {
        return alone.as_type(typed, wanted);
    }
    let integer = |data_type: &DataType| match data_type {
        DataType::Int2 => 1,
        DataType::Int4 => 2,
        DataType::Int8 => 3,
        _ => 0,
    };
    let (given, key) = (integer(&typed.data_type), integer(wanted));
    let same = typed.data_type == *wanted
        || matches!(
            (&typed.data_type, wanted),
            (DataType::Text | DataType::Varchar(_), DataType::Text | DataType::Varchar(_))
        );
    if same {
        return Ok(Some(Typed { data_type: wanted.clone(), ..typed }));
    }
    // A narrower integer widens; a wider constant must fit, else DataFusion finds no row.
    if given > 0 && key > 0 {
        let fits = match &typed.node {
            crate::fast::scalar::Node::Constant(luma_model::Value::Int4(number)) => {
                key > 1 || i16::try_from(*number).is_ok()
            }
            _ => given < key,
        };
        return if fits { alone.as_type(typed, wanted) } else { Ok(None) };
    }
    Ok(None)
}

/// The conditions that all have to be true.
pub(crate) fn split<'e>(filter: &'e Expr, conjuncts: &mut Vec<&'e Expr>) {
    match filter {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(left, conjuncts);
            split(right, conjuncts);
        }
        Expr::Nested(inner) => split(inner, conjuncts),
        other => conjuncts.push(other),
    }
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}
