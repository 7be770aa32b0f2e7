//! What a statement that changes rows names: a table, or a view of one.
//!
//! A view whose rows are rows of one table (columns of it and expressions, with or without a condition) takes INSERT,
//! UPDATE and DELETE, which go to the table. Such views may read each other, so that there is a chain of levels from
//! the table up to the view that the statement names:
//!
//! ```text
//! UPDATE w        w: SELECT a AS x FROM v        v: SELECT a, b + 1 AS c FROM t WHERE b > 0        t
//! ```
//!
//! Names in the statement are those of the view's columns. The rows to change are found by the view's query, to which the
//! table's keys are added; what the statement sees of a changed row (RETURNING, `excluded`) and the conditions of WITH CHECK
//! OPTION are computed upwards from the table's row.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SetExpr, TableFactor, Visit, Visitor,
};
use luma_catalog::{CheckOption, Column, Oid, Relation, Table, View};
use luma_model::{Error, ErrorKind, Result, Value, ValueRef};

use crate::dml::modify::hidden;
use crate::execute;
use crate::expression::{RowExpression, Source};
use crate::names::{QualifiedName, Scope, identifier, qualified};
use crate::plan::context::{Names, parse_query};
use crate::plan::provider::{IMAGE_COLUMN, KEY_COLUMN};
use crate::plan::rewrite::{is_aggregate, is_set};
use crate::session::SessionInfo;

/// Deepest chain of views.
const LEVELS_MAX: usize = 64;

/// What a statement does to the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Insert,
    Update,
    Delete,
}

impl Command {
    fn on(self, what: &str) -> String {
        match self {
            Self::Insert => format!("cannot insert into {what}"),
            Self::Update => format!("cannot update {what}"),
            Self::Delete => format!("cannot delete from {what}"),
        }
    }
}

/// What a statement that changes rows names.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The columns that the statement sees: the table's, or the view's in the form of a table.
    pub(crate) columns: Arc<Table>,
    /// The table whose rows are changed.
    pub(crate) table: Arc<Table>,
    /// For each of the columns its ordinal in the table; none for expressions. Empty where there are no levels.
    places: Vec<Option<usize>>,
    /// From the table upwards; none where the statement names the table itself.
    levels: Vec<Level>,
}

/// One query of the chain.
#[derive(Clone, Debug)]
struct Level {
    /// The view whose query it is; none for a query in FROM, which stands in for a column's new name.
    view: Option<Arc<View>>,
    /// What it reads, under the name that it has for it.
    below: Arc<Table>,
    alias: String,
    /// The query with its columns spelled out.
    select: ast::Select,
    columns: Vec<(String, Expr)>,
    search_path: Vec<String>,
}

impl Written {
    /// A table that is named itself.
    pub(crate) fn table(table: Arc<Table>) -> Self {
        Self { columns: Arc::clone(&table), table, places: Vec::new(), levels: Vec::new() }
    }

    /// Finds what a name means to a statement that changes rows.
    ///
    /// # Errors
    /// 42P01 when there is no such relation, 42809 when it is neither table nor view, 55000 when it is a view
    /// that cannot be written to.
    pub(crate) fn find(scope: &Scope<'_>, name: &QualifiedName, command: Command) -> Result<Self> {
        match scope.find(name) {
            Some(Relation::View(view)) if view.external.is_none() => {
                let found = Self::of_view(scope, view, 0).and_then(|written| {
                    if command == Command::Delete || written.has_assignable() {
                        return Ok(written);
                    }
                    Err("Views that have no updatable columns are not automatically updatable.".into())
                });
                found.map_err(|reason| {
                    Error::new(
                        ErrorKind::ObjectNotInPrerequisiteState,
                        command.on(&format!("view \"{}\"", view.name)),
                    )
                    .detail(reason)
                    .hint("Change the tables that the view reads.")
                })
            }
            _ => scope.table(name).map(|table| Self::table(Arc::clone(table))),
        }
    }

    /// A view as what is written to, or why it is not.
    pub(crate) fn of_view(
        scope: &Scope<'_>,
        view: &Arc<View>,
        depth: usize,
    ) -> std::result::Result<Self, String> {
        if depth >= LEVELS_MAX {
            return Err("Views are nested too deeply.".into());
        }
        let query = parse_query(&view.query).map_err(|error| error.message.clone())?;
        let search_path = search_path(scope, view);
        let inner = Scope { catalog: scope.catalog, search_path: &search_path };
        let names: Vec<String> = view.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut written = Self::of_query(&inner, query, Some(&names), depth)?;
        let mut table = Table::new(view.oid, view.schema, view.name.clone(), 0, Vec::new());
        for (number, (name, data_type)) in (1..).zip(&view.columns) {
            table.columns.push(Column::new(number, name.clone(), data_type.clone()));
        }
        written.columns = Arc::new(table);
        if let Some(level) = written.levels.last_mut() {
            level.view = Some(Arc::clone(view));
        }
        Ok(written)
    }

    /// A query over one table or view that is written to, under new names for its columns.
    fn of_query(
        scope: &Scope<'_>,
        query: Query,
        names: Option<&[String]>,
        depth: usize,
    ) -> std::result::Result<Self, String> {
        let select = simple(query)?;
        let from = select.from.first().filter(|from| from.joins.is_empty() && select.from.len() == 1);
        let (mut written, alias) = match from.map(|from| &from.relation) {
            Some(TableFactor::Table { name, alias, args: None, sample: None, .. }) => {
                let name = qualified(name).map_err(|error| error.message.clone())?;
                let below = match scope.find(&name) {
                    Some(Relation::Table(table)) => Self::table(Arc::clone(table)),
                    Some(Relation::View(view)) if view.external.is_none() => {
                        Self::of_view(scope, view, depth + 1)?
                    }
                    _ => return Err(NOT_ONE.into()),
                };
                (below, alias.as_ref().map_or(name.name, |alias| identifier(&alias.name)))
            }
            Some(TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None })
                if alias.columns.is_empty() && depth < LEVELS_MAX =>
            {
                let below = Self::of_query(scope, subquery.as_ref().clone(), None, depth + 1)?;
                if below.places.contains(&None) {
                    return Err(NOT_ONE.into());
                }
                (below, identifier(&alias.name))
            }
            _ => return Err(NOT_ONE.into()),
        };
        let columns = columns_of(&select, &written.columns, &alias, names);
        let mut made = Table::new(0, 0, alias.clone(), 0, Vec::new());
        let mut places = Vec::with_capacity(columns.len());
        for (number, (name, expr)) in (1..).zip(&columns) {
            let below = column_meant(expr, &written.columns, &alias);
            places.push(below.and_then(|ordinal| written.place(ordinal)));
            let data_type = below
                .and_then(|ordinal| written.columns.columns.get(ordinal))
                .map_or(luma_model::DataType::Text, |column| column.data_type.clone());
            made.columns.push(Column::new(number, name.clone(), data_type));
        }
        written.levels.push(Level {
            view: None,
            below: Arc::clone(&written.columns),
            alias,
            select,
            columns,
            search_path: scope.search_path.to_vec(),
        });
        written.columns = Arc::new(made);
        written.places = places;
        Ok(written)
    }

    /// The table's ordinal of one of the columns.
    fn place(&self, ordinal: usize) -> Option<usize> {
        if self.levels.is_empty() { Some(ordinal) } else { self.places.get(ordinal).copied().flatten() }
    }

    fn has_assignable(&self) -> bool {
        self.levels.is_empty() || self.places.iter().any(Option::is_some)
    }

    /// Whether one of the columns can be assigned to.
    pub(crate) fn is_assignable(&self, ordinal: usize) -> bool {
        self.place(ordinal).is_some()
    }

    /// The table's ordinal of a column that the statement assigns to.
    ///
    /// # Errors
    /// 0A000 when it is an expression of a view.
    pub(crate) fn assigned(&self, ordinal: usize, command: Command) -> Result<usize> {
        self.place(ordinal).ok_or_else(|| {
            let name = self.columns.columns.get(ordinal).map_or("", |column| column.name.as_str());
            let what = format!("column \"{name}\" of view \"{}\"", self.columns.name);
            Error::new(ErrorKind::FeatureNotSupported, command.on(&what))
                .detail("View columns that are not columns of their base relation are not updatable.")
        })
    }

    /// The table's name of one of the columns, if it has one.
    pub(crate) fn table_name_of(&self, name: &str) -> Option<&str> {
        let ordinal = usize::from(self.columns.column(name)?.number) - 1;
        self.table.columns.get(self.place(ordinal)?).map(|column| column.name.as_str())
    }

    /// Whether the statement names a view.
    pub(crate) fn is_view(&self) -> bool {
        !self.levels.is_empty()
    }

    /// The query of one of the views on the way, with the keys of the table's rows beside its columns.
    pub(crate) fn query_with_keys(&self, view: Oid) -> Option<Query> {
        let at = self.levels.iter().position(|level| level.view.as_ref().is_some_and(|it| it.oid == view))?;
        Some(self.query_of(at))
    }

    fn query_of(&self, at: usize) -> Query {
        let Some(level) = self.levels.get(at) else {
            return execute::select_query(Vec::new(), Vec::new(), None);
        };
        let mut select = level.select.clone();
        let column = |(name, expr): &(String, Expr)| SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('"', name),
        };
        select.projection = level.columns.iter().map(column).collect();
        select.projection.extend([hidden(&level.alias, KEY_COLUMN), hidden(&level.alias, IMAGE_COLUMN)]);
        if let Some(from) = select.from.first_mut()
            && let TableFactor::Derived { subquery, .. } = &mut from.relation
            && let Some(below) = at.checked_sub(1)
        {
            **subquery = self.query_of(below);
        }
        let mut query = execute::select_query(Vec::new(), Vec::new(), None);
        *query.body = SetExpr::Select(Box::new(select));
        query
    }

    /// What a statement needs to see changed rows as the view shows them, and to check them; `whole` where it names columns
    /// of them.
    ///
    /// # Errors
    /// 0A000 where that would take a subquery.
    pub(crate) fn rows(&self, names: &Names<'_>, whole: bool) -> Result<ViewRows> {
        let mut cascaded = false;
        let mut levels = Vec::with_capacity(self.levels.len());
        for level in self.levels.iter().rev() {
            let option = level.view.as_ref().and_then(|view| view.check_option);
            cascaded |= option == Some(CheckOption::Cascaded);
            let checked = cascaded || option.is_some();
            levels.push((level, level.select.selection.as_ref().filter(|_| checked)));
        }
        levels.reverse();
        let highest = levels.iter().rposition(|(_, condition)| condition.is_some()).map_or(0, |at| at + 1);
        let wanted = if whole { levels.len() } else { highest };
        let mut rows = ViewRows { levels: Vec::with_capacity(wanted) };
        for (at, (level, condition)) in levels.into_iter().take(wanted).enumerate() {
            let sources = [Source { name: &level.alias, table: &level.below }];
            let names = names.inside(&level.search_path);
            let mut compiled = |expr: &Expr| {
                if has_subquery(expr) {
                    let message = "a view with a subquery is not checked and not returned from";
                    return Err(Error::new(ErrorKind::FeatureNotSupported, message)
                        .hint("Change the view's table, or leave out RETURNING and WITH CHECK OPTION."));
                }
                RowExpression::compile(expr, &sources, &names, &mut Vec::new())
            };
            let condition = condition.map(&mut compiled).transpose()?;
            let needed = whole || at + 1 < wanted;
            let columns = level.columns.iter().filter(|_| needed).map(|(_, expr)| compiled(expr));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let view = level.view.as_ref().map_or_else(String::new, |view| view.name.clone());
            rows.levels.push(CompiledLevel { view, condition, columns });
        }
        Ok(rows)
    }
}

/// Why a view is not written to that reads something else.
const NOT_ONE: &str = "Views that do not select from a single table or view are not automatically updatable.";

/// Bits of [`events`].
pub(crate) const UPDATES: i32 = 1 << 2;
pub(crate) const INSERTS: i32 = 1 << 3;
pub(crate) const DELETES: i32 = 1 << 4;
const ALL: i32 = UPDATES | INSERTS | DELETES;

/// The statements that change a relation's rows, as `pg_relation_is_updatable` has them.
pub(crate) fn events(scope: &Scope<'_>, oid: Oid) -> i32 {
    if let Some(table) = scope.catalog.table(oid) {
        return if table.filled_by.is_none() { ALL } else { 0 };
    }
    let view = scope.catalog.view(oid).filter(|view| view.external.is_none());
    let Some(Ok(written)) = view.map(|view| Written::of_view(scope, view, 0)) else { return 0 };
    if written.table.filled_by.is_some() {
        return 0;
    }
    if written.has_assignable() { ALL } else { DELETES }
}

/// A view's names mean what they meant where it was made: its own schema first.
pub(crate) fn search_path(scope: &Scope<'_>, view: &View) -> Vec<String> {
    let schema = scope.catalog.schema_by_oid(view.schema).map(|schema| schema.name.clone());
    schema.into_iter().chain(scope.search_path.iter().cloned()).collect()
}

/// The SELECT of a query that takes rows of its source as they are, or what it does with them.
fn simple(query: Query) -> std::result::Result<ast::Select, String> {
    let refused = |what: &str| Err(format!("Views {what} are not automatically updatable."));
    if query.with.is_some() {
        return refused("containing WITH");
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return refused("containing LIMIT or OFFSET");
    }
    let select = match *query.body {
        SetExpr::Select(select) => *select,
        SetExpr::Query(inner) => return simple(*inner),
        SetExpr::SetOperation { .. } => return refused("containing UNION, INTERSECT, or EXCEPT"),
        _ => return Err(NOT_ONE.into()),
    };
    if select.distinct.is_some() {
        return refused("containing DISTINCT");
    }
    if !matches!(&select.group_by, ast::GroupByExpr::Expressions(groups, more) if groups.is_empty() && more.is_empty())
    {
        return refused("containing GROUP BY");
    }
    if select.having.is_some() {
        return refused("containing HAVING");
    }
    if select.projection.iter().any(has_window) {
        return refused("that return window functions");
    }
    let computed =
        |item: &&SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    if select.projection.iter().filter(computed).any(is_aggregate) {
        return refused("that return aggregate functions");
    }
    if select.projection.iter().any(is_set) {
        return refused("that return set-returning functions");
    }
    Ok(select)
}

fn has_window(item: &SelectItem) -> bool {
    ast::visit_expressions(item, |expr| match expr {
        Expr::Function(function) if function.over.is_some() => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The names and expressions of a query's columns; stars stand for the columns below.
fn columns_of(
    select: &ast::Select,
    below: &Table,
    alias: &str,
    names: Option<&[String]>,
) -> Vec<(String, Expr)> {
    let mut columns = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                columns.extend(below.live_columns().map(|column| {
                    let parts = [alias, &column.name].map(|part| Ident::with_quote('"', part));
                    (column.name.clone(), Expr::CompoundIdentifier(parts.to_vec()))
                }));
            }
            SelectItem::UnnamedExpr(expr) => {
                columns.push((crate::plan::rewrite::column_name(expr), expr.clone()));
            }
            SelectItem::ExprWithAlias { expr, alias } => columns.push((identifier(alias), expr.clone())),
            SelectItem::ExprWithAliases { .. } => {}
        }
    }
    if let Some(names) = names {
        // Columns that the table has since the view was made are none of the view's.
        columns.truncate(names.len());
        for ((name, _), known) in columns.iter_mut().zip(names) {
            name.clone_from(known);
        }
    }
    columns
}

/// The ordinal of the column that an expression is.
fn column_meant(expr: &Expr, below: &Table, alias: &str) -> Option<usize> {
    let name = match expr {
        Expr::Identifier(name) => identifier(name),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] if identifier(table) == alias => identifier(name),
            [_, table, name] if identifier(table) == alias => identifier(name),
            _ => return None,
        },
        Expr::Nested(inner) => return column_meant(inner, below, alias),
        _ => return None,
    };
    below.column(&name).map(|column| usize::from(column.number) - 1)
}

fn has_subquery(expr: &Expr) -> bool {
    struct Queries;
    impl Visitor for Queries {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Queries).is_break()
}

/// Rows of a table as a view over it shows them, and what the view asks of them.
#[derive(Debug)]
pub(crate) struct ViewRows {
    levels: Vec<CompiledLevel>,
}

#[derive(Debug)]
struct CompiledLevel {
    view: String,
    condition: Option<RowExpression>,
    columns: Vec<RowExpression>,
}

impl ViewRows {
    /// A row of the table as the statement sees it.
    ///
    /// # Errors
    /// Of the view's expressions.
    pub(crate) fn seen<'v>(&self, row: &'v [Value], info: &Arc<SessionInfo>) -> Result<Cow<'v, [Value]>> {
        self.upwards(row, info, false)
    }

    /// As [`seen`](Self::seen), for a row that the statement wrote.
    ///
    /// # Errors
    /// 44000 when the view would not show it and was made WITH CHECK OPTION.
    pub(crate) fn written<'v>(&self, row: &'v [Value], info: &Arc<SessionInfo>) -> Result<Cow<'v, [Value]>> {
        self.upwards(row, info, true)
    }

    fn upwards<'v>(
        &self,
        row: &'v [Value],
        info: &Arc<SessionInfo>,
        checked: bool,
    ) -> Result<Cow<'v, [Value]>> {
        let mut row = Cow::Borrowed(row);
        for level in &self.levels {
            let refs: Vec<ValueRef<'_>> = row.iter().map(Value::as_ref).collect();
            if checked
                && let Some(condition) = &level.condition
                && condition.evaluate(&[&refs], &[], info)? != Value::Bool(true)
            {
                return Err(Error::new(
                    ErrorKind::WithCheckOptionViolation,
                    format!("new row violates check option for view \"{}\"", level.view),
                ));
            }
            let above = level.columns.iter().map(|column| column.evaluate(&[&refs], &[], info));
            row = Cow::Owned(above.collect::<Result<_>>()?);
        }
        Ok(row)
    }
}
