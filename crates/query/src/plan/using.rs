//! `JOIN … USING (a)` and `NATURAL JOIN`.
//!
//! The two columns that such a join compares are one column of its result: the left one, of a right join the right one,
//! and of a full join whichever is there. DataFusion keeps both and takes the left one, which is NULL where a right or full
//! join found nothing there, and finds the name ambiguous in WHERE. So these joins become joins ON, the name alone becomes
//! the value it means, and `*` the columns in PostgreSQL's order: what was joined by first, then the rest of the left side,
//! then that of the right. A query some of whose columns can't be known stays as it is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, OrderByKind, Query, Select,
    SelectItem, SetExpr, TableFactor, TableWithJoins, VisitMut, Visitor, VisitorMut,
};
use luma_model::{Error, ErrorKind, Result};

use crate::names::{identifier, qualified};
use crate::plan::context::Names;
use crate::plan::from_items::{FromItems, name_of};
use crate::plan::rewrite::column_name;

/// Puts joins ON in the place of joins USING.
pub(super) fn rewrite(names: &Names<'_>, statement: &mut ast::Statement) -> Result<()> {
    if ast::Visit::visit(statement, &mut Finder).is_break() {
        let mut rewriter =
            Rewriter { items: FromItems::new(names), prepared: Vec::new(), scopes: Vec::new() };
        if let ControlFlow::Break(error) = VisitMut::visit(statement, &mut rewriter) {
            return Err(error);
        }
    }
    Ok(())
}

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.from.iter().any(joins_using) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn joins_using(from: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => joins_using(table_with_joins),
        _ => false,
    };
    let using = |join: &Join| {
        let constraint = parts(&join.join_operator).map(|(_, constraint)| constraint);
        matches!(constraint, Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
            || nested(&join.relation)
    };
    nested(&from.relation) || from.joins.iter().any(using)
}

/// Which side's value a merged column has.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Either,
}

fn parts(operator: &JoinOperator) -> Option<(Side, &JoinConstraint)> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => Some((Side::Left, constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            Some((Side::Right, constraint))
        }
        JoinOperator::FullOuter(constraint) => Some((Side::Either, constraint)),
        _ => None,
    }
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// A column of a FROM clause as its name alone means it.
#[derive(Clone)]
struct Column {
    name: String,
    value: Expr,
    merged: bool,
}

/// What the names of a query mean.
struct Scope {
    columns: Vec<Column>,
}

impl Scope {
    /// The value of a merged column; `Err` where the name is another's here.
    fn find(&self, name: &str) -> std::result::Result<Option<&Expr>, ()> {
        let mut found = self.columns.iter().filter(|column| column.name == name);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(column), None) if column.merged => Ok(Some(&column.value)),
            _ => Err(()),
        }
    }
}

/// What is known of a query before its SELECT is visited.
enum Prepared {
    Nothing,
    Joined(Option<Scope>),
}

struct Rewriter<'a, 'n> {
    items: FromItems<'a, 'n>,
    /// Of each query around, its scope until its SELECT is come to.
    prepared: Vec<Prepared>,
    scopes: Vec<Around>,
}

/// What is known of the names where an expression stands, and of those around.
enum Around {
    /// Beside a query's SELECT, as ORDER BY stands.
    Beside,
    /// In a SELECT of whose FROM not all is known, or needs to be.
    Unknown,
    Known(Scope),
}

impl VisitorMut for Rewriter<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.items.withs.push(query.with.clone());
        // What stands beside a query's SELECT, as ORDER BY does, is none of the query around it.
        self.scopes.push(Around::Beside);
        let prepared = match query.body.as_mut() {
            SetExpr::Select(select) => {
                let outputs: Vec<String> = select.projection.iter().filter_map(output_name).collect();
                let scope = match self.join(select) {
                    Ok(scope) => scope,
                    Err(error) => return ControlFlow::Break(error),
                };
                if let (Some(scope), Some(order)) = (&scope, &mut query.order_by)
                    && let OrderByKind::Expressions(keys) = &mut order.kind
                {
                    for key in keys {
                        let is_output = matches!(&key.expr, Expr::Identifier(name) if outputs.contains(&identifier(name)));
                        if !is_output {
                            replace(&mut key.expr, scope);
                        }
                    }
                }
                Prepared::Joined(scope)
            }
            _ => Prepared::Nothing,
        };
        self.prepared.push(prepared);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.items.withs.pop();
        self.scopes.pop();
        self.prepared.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let prepared =
            self.prepared.last_mut().map(|prepared| std::mem::replace(prepared, Prepared::Nothing));
        let scope = match prepared {
            Some(Prepared::Joined(scope)) => scope,
            _ => match self.join(select) {
                Ok(scope) => scope,
                Err(error) => return ControlFlow::Break(error),
            },
        };
        let merged_around = self.scopes.iter().any(|scope| matches!(scope, Around::Known(_)));
        let scope = if scope.is_none() && merged_around { self.plain(select) } else { scope };
        self.scopes.push(scope.map_or(Around::Unknown, Around::Known));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<Error> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Identifier(name) = expr else { return ControlFlow::Continue(()) };
        let name = identifier(name);
        if matches!(self.scopes.last(), Some(Around::Beside)) {
            return ControlFlow::Continue(());
        }
        for scope in self.scopes.iter().rev() {
            match scope {
                Around::Beside => {}
                Around::Unknown => break,
                Around::Known(scope) => match scope.find(&name) {
                    Ok(Some(value)) => {
                        *expr = value.clone();
                        break;
                    }
                    // A column of the query around only if it is none here.
                    Ok(None) => {}
                    Err(()) => break,
                },
            }
        }
        ControlFlow::Continue(())
    }
}

/// The columns of a function in FROM that has an alias: those it names, or the alias itself.
fn function_columns(factor: &TableFactor) -> Option<Vec<String>> {
    let (TableFactor::Table { args: Some(_), alias: Some(alias), .. }
    | TableFactor::Function { alias: Some(alias), .. }
    | TableFactor::UNNEST { alias: Some(alias), .. }) = factor
    else {
        return None;
    };
    let named = alias.columns.iter().map(|column| identifier(&column.name));
    Some(named.chain([identifier(&alias.name)]).collect())
}

/// What a column of the result is called.
fn output_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(identifier(alias)),
        SelectItem::UnnamedExpr(expr) => Some(column_name(expr)),
        _ => None,
    }
}

/// Puts values in the place of merged columns, not in subqueries.
fn replace(expr: &mut Expr, scope: &Scope) {
    struct Replacer<'s> {
        scope: &'s Scope,
        depth: usize,
    }
    impl VisitorMut for Replacer<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if self.depth == 0
                && let Expr::Identifier(name) = expr
                && let Ok(Some(value)) = self.scope.find(&identifier(name))
            {
                *expr = value.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(expr, &mut Replacer { scope, depth: 0 });
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A value as a column of the result. A column has its name, and may share it with another.
fn named(value: &Expr, name: &str) -> SelectItem {
    match value {
        Expr::CompoundIdentifier(_) => SelectItem::UnnamedExpr(value.clone()),
        value => SelectItem::ExprWithAlias { expr: value.clone(), alias: quoted(name) },
    }
}

impl Rewriter<'_, '_> {
    /// The names of a SELECT that merges no columns; `None` where not all are known.
    fn plain(&self, select: &Select) -> Option<Scope> {
        let factors = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        let mut columns = Vec::new();
        for factor in factors {
            let names = function_columns(factor).or_else(|| self.items.columns(factor))?;
            let value = Expr::Value(ast::Value::Null.with_empty_span());
            columns.extend(names.into_iter().map(|name| Column {
                name,
                value: value.clone(),
                merged: false,
            }));
        }
        Some(Scope { columns })
    }

    /// Rewrites the joins, `*` and the names of the result's columns; what names mean then.
    fn join(&self, select: &mut Select) -> Result<Option<Scope>> {
        if !select.from.iter().any(joins_using) {
            return Ok(None);
        }
        let (mut columns, mut names) = (Vec::new(), Vec::new());
        let mut from = select.from.clone();
        for from in &mut from {
            let Some(found) = self.tree(from, &mut names)? else { return Ok(None) };
            columns.extend(found);
        }
        let scope = Scope { columns };
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Ok(None);
        }
        select.from = from;
        let mut projection = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(options) if options == ast::WildcardAdditionalOptions::default() => {
                    projection.extend(scope.columns.iter().map(|column| named(&column.value, &column.name)));
                }
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                    let name = identifier(&name);
                    projection.push(match scope.find(&name) {
                        Ok(Some(value)) => named(value, &name),
                        _ => SelectItem::UnnamedExpr(Expr::Identifier(quoted(&name))),
                    });
                }
                item => projection.push(item),
            }
        }
        select.projection = projection;
        // A name in GROUP BY is a column of FROM first, as everywhere but in ORDER BY.
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            for key in keys {
                replace(key, &scope);
            }
        }
        Ok(Some(scope))
    }

    /// The columns of a tree of joins, which becomes one of joins ON.
    fn tree(&self, from: &mut TableWithJoins, names: &mut Vec<String>) -> Result<Option<Vec<Column>>> {
        let Some(mut left) = self.factor(&mut from.relation, names)? else { return Ok(None) };
        for join in &mut from.joins {
            let Some(right) = self.factor(&mut join.relation, names)? else { return Ok(None) };
            let (side, constraint) = match parts(&join.join_operator) {
                Some((side, constraint)) => (side, Some(constraint)),
                None => (Side::Left, None),
            };
            let common: Vec<String> = match constraint {
                Some(JoinConstraint::Using(using)) => {
                    using.iter().map(|name| Ok(qualified(name)?.name)).collect::<Result<_>>()?
                }
                Some(JoinConstraint::Natural) => {
                    let there = |name: &str| right.iter().any(|column| column.name == name);
                    left.iter().map(|column| column.name.clone()).filter(|name| there(name)).collect()
                }
                _ => {
                    if !matches!(
                        join.join_operator,
                        JoinOperator::Join(_)
                            | JoinOperator::Inner(_)
                            | JoinOperator::Left(_)
                            | JoinOperator::LeftOuter(_)
                            | JoinOperator::Right(_)
                            | JoinOperator::RightOuter(_)
                            | JoinOperator::FullOuter(_)
                            | JoinOperator::CrossJoin(_)
                    ) {
                        return Ok(None);
                    }
                    left.extend(right);
                    continue;
                }
            };
            let natural = matches!(constraint, Some(JoinConstraint::Natural));
            if natural && common.is_empty() {
                become_on(join, truth());
                left.extend(right);
                continue;
            }
            let (mut merged, mut conditions) = (Vec::new(), Vec::new());
            for name in &common {
                let (one, other) = (only(&left, name, "left")?, only(&right, name, "right")?);
                conditions.push(Expr::BinaryOp {
                    left: Box::new(one.clone()),
                    op: ast::BinaryOperator::Eq,
                    right: Box::new(other.clone()),
                });
                let value = match side {
                    Side::Left => one,
                    Side::Right => other,
                    Side::Either => super::rewrite::call("coalesce", vec![one, other]),
                };
                merged.push(Column { name: name.clone(), value, merged: true });
            }
            let condition = conditions.into_iter().reduce(|one, other| Expr::BinaryOp {
                left: Box::new(one),
                op: ast::BinaryOperator::And,
                right: Box::new(other),
            });
            let condition = condition.unwrap_or_else(truth);
            become_on(join, condition);
            let rest = |columns: Vec<Column>| {
                columns.into_iter().filter(|column| !common.contains(&column.name)).collect::<Vec<_>>()
            };
            merged.extend(rest(left));
            merged.extend(rest(right));
            left = merged;
        }
        Ok(Some(left))
    }

    /// The columns of a FROM item.
    fn factor(&self, factor: &mut TableFactor, names: &mut Vec<String>) -> Result<Option<Vec<Column>>> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                return self.tree(table_with_joins, names);
            }
            TableFactor::NestedJoin { table_with_joins, alias: Some(alias) } => {
                // Its columns have the alias alone, so it is a query of its own.
                let star = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
                let query =
                    crate::execute::select_query(vec![star], vec![(**table_with_joins).clone()], None);
                *factor = TableFactor::Derived {
                    lateral: false,
                    subquery: Box::new(query),
                    alias: Some(alias.clone()),
                    sample: None,
                };
            }
            _ => {}
        }
        let (Some(name), Some(columns)) = (name_of(factor), self.items.columns(factor)) else {
            return Ok(None);
        };
        let value = |column: &str| Expr::CompoundIdentifier(vec![quoted(&name), quoted(column)]);
        let columns = columns
            .iter()
            .map(|column| Column { name: column.clone(), value: value(column), merged: false })
            .collect();
        names.push(name);
        Ok(Some(columns))
    }
}

/// The value of the one column of that name.
///
/// # Errors
/// 42703 if there is none, 42702 if there are several.
fn only(columns: &[Column], name: &str, side: &str) -> Result<Expr> {
    let mut found = columns.iter().filter(|column| column.name == name);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column.value.clone()),
        (None, _) => {
            let message =
                format!("column \"{name}\" specified in USING clause does not exist in {side} table");
            Err(Error::new(ErrorKind::UndefinedColumn, message))
        }
        _ => {
            let message = format!("common column name \"{name}\" appears more than once in {side} table");
            Err(Error::new(ErrorKind::AmbiguousColumn, message))
        }
    }
}

fn become_on(join: &mut Join, condition: Expr) {
    if let Some(constraint) = constraint_of(&mut join.join_operator) {
        *constraint = JoinConstraint::On(condition);
    }
}

fn truth() -> Expr {
    Expr::Value(ast::Value::Boolean(true).with_empty_span())
}
