//! ORDER BY beside a function that gives rows in the SELECT list: `SELECT name, unnest(tags) AS tag FROM t ORDER BY id, tag`.
//!
//! Rows are made before they are ordered, so what they are ordered by has to go through the making of rows with them: it
//! becomes a column of a subquery, around which a query orders and takes it away. So does a subquery in ORDER BY, which may
//! name columns that are not selected.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor,
    TableWithJoins,
};

use super::{column_name, is_set};
use crate::execute::select_query;
use crate::names::identifier;

/// Puts such a query into one that orders it; others stay.
pub(super) fn rewrite(query: &mut Query) {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) else {
        return;
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let looks_up = keys.iter().any(|key| has_subquery(&key.expr));
    if select.distinct.is_some() || !looks_up && !select.projection.iter().any(is_set) {
        return;
    }
    let Some(outputs) = outputs(select) else { return };
    let hidden = |expr: &Expr| match expr {
        Expr::Value(_) => false,
        Expr::Identifier(name) => !outputs.contains(&identifier(name)),
        expr => !select.projection.iter().any(|item| is_item(item, expr)),
    };
    if !keys.iter().any(|key| hidden(&key.expr)) {
        return;
    }
    let column = |place: usize| Ident::new(format!("luma_c{place}"));
    let mut items: Vec<SelectItem> = Vec::new();
    for (place, item) in select.projection.iter().enumerate() {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            items.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: column(place) });
        }
    }
    for key in keys.iter_mut() {
        let place = match &key.expr {
            Expr::Value(_) => continue,
            Expr::Identifier(name) if outputs.contains(&identifier(name)) => {
                outputs.iter().position(|output| *output == identifier(name))
            }
            expr => select.projection.iter().position(|item| is_item(item, expr)),
        };
        let place = place.unwrap_or_else(|| {
            items.push(SelectItem::ExprWithAlias { expr: key.expr.clone(), alias: column(items.len()) });
            items.len() - 1
        });
        key.expr = Expr::Identifier(column(place));
    }
    let shown = outputs.iter().enumerate().map(|(place, name)| SelectItem::ExprWithAlias {
        expr: Expr::Identifier(column(place)),
        alias: Ident::with_quote('"', name),
    });
    let shown = shown.collect();
    select.projection = items;
    let alias = TableAlias { explicit: true, name: Ident::new("luma_rows"), columns: Vec::new(), at: None };
    let inner = ast::Query { body: query.body.clone(), ..select_query(Vec::new(), Vec::new(), None) };
    let relation =
        TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    query.body = select_query(shown, from, None).body;
}

fn has_subquery(expr: &Expr) -> bool {
    ast::visit_expressions(expr, |part| match part {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// What the columns are called; `None` where the text does not say it.
fn outputs(select: &Select) -> Option<Vec<String>> {
    let names = select.projection.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) => Some(column_name(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(identifier(alias)),
        _ => None,
    });
    names.collect()
}

fn is_item(item: &SelectItem, expr: &Expr) -> bool {
    matches!(item, SelectItem::UnnamedExpr(own) | SelectItem::ExprWithAlias { expr: own, .. } if own == expr)
}
