//! Groups by a value and by a cast of it: `GROUP BY at::date, at`.
//!
//! DataFusion calls a cast like what is cast, and takes no two groups of one name. So the cast becomes a call that has its text for a
//! name, wherever it stands in the query.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, OrderByKind, Query, Select,
    SelectItem, SetExpr, VisitMut, VisitorMut,
};

use super::expression::{call, text};
use super::position;
use crate::plan::deferred::NAMED;

/// Names such casts in a SELECT.
pub(super) fn rewrite(select: &mut Select) {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return };
    if groups.len() < 2 {
        return;
    }
    let meant: Vec<&Expr> =
        groups.iter().map(|group| selected(group, &select.projection).unwrap_or(group)).collect();
    let twice = |cast: &Expr| meant.iter().filter(|other| value(other) == value(cast)).count() > 1;
    let casts: Vec<Expr> =
        meant.iter().filter(|group| is_cast(group) && twice(group)).map(|group| (*group).clone()).collect();
    for cast in &casts {
        let mut namer = Namer { cast, named: named(cast) };
        let _ = VisitMut::visit(&mut select.projection, &mut namer);
        let _ = VisitMut::visit(&mut select.group_by, &mut namer);
        let _ = VisitMut::visit(&mut select.having, &mut namer);
    }
}

/// Names those that a query is ordered by.
pub(super) fn order(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return };
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) else {
        return;
    };
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    for cast in groups.iter().chain(items).filter_map(cast_of) {
        let _ = VisitMut::visit(keys, &mut Namer { cast, named: named(cast) });
    }
}

fn selected<'a>(group: &Expr, projection: &'a [SelectItem]) -> Option<&'a Expr> {
    match projection.get(position::place(group)?.checked_sub(1)?)? {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

fn is_cast(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_cast(inner),
        expr => matches!(expr, Expr::Cast { .. }) && position::place(expr).is_none(),
    }
}

/// What is cast.
fn value(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => value(inner),
        other => other,
    }
}

fn named(cast: &Expr) -> Expr {
    call(NAMED, vec![text(cast.to_string()), cast.clone()])
}

/// The cast of such a call.
fn cast_of(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(cast))] if function.name.to_string() == NAMED => {
            Some(cast)
        }
        _ => None,
    }
}

struct Namer<'a> {
    cast: &'a Expr,
    named: Expr,
}

impl VisitorMut for Namer<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if expr == self.cast {
            *expr = self.named.clone();
        }
        ControlFlow::Continue(())
    }
}
