//! Subqueries as values, in forms that DataFusion can join with the rows around them.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query,
    Select, SelectItem, SetExpr, Value,
};

use super::expression::call;
use crate::names::identifier;

fn hole() -> Expr {
    Expr::Identifier(Ident::new("_"))
}

fn aggregate(name: &str, argument: Expr, order: Vec<ast::OrderByExpr>) -> Expr {
    let mut call = call(name, vec![argument]);
    if !order.is_empty()
        && let Expr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.clauses = vec![ast::FunctionArgumentClause::OrderBy(order)];
    }
    call
}

/// A SELECT that gives one row per row of what it reads.
fn plain(query: &mut Query) -> Option<&mut Select> {
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty());
    let simple = !grouped && select.having.is_none() && select.distinct.is_none() && !select.from.is_empty();
    (simple && !select.projection.iter().any(aggregates)).then_some(select)
}

/// Whether a function is an aggregate by its name.
pub(super) fn is_per_group(function: &ast::Function) -> bool {
    const PER_GROUP: [&str; 25] = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
        "bool_and",
        "bool_or",
        "every",
        "stddev",
        "variance",
        "bit_and",
        "bit_or",
        "bit_xor",
        "percentile_cont",
        "percentile_disc",
        "mode",
        "corr",
        "first_value",
        "luma_single",
    ];
    let name = function.name.to_string().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let statistics = ["stddev_", "var_", "regr_", "covar_"].iter().any(|start| name.starts_with(start));
    statistics || PER_GROUP.contains(&name)
}

/// Whether an item calls a function that gives rows.
pub(crate) fn is_set(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return false };
    ast::visit_expressions(expr, |expr| match expr {
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let set = super::relation::set_function(&name).is_some() || name == "unnest";
            if set { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        }
        _ => std::ops::ControlFlow::Continue(()),
    })
    .is_break()
}

/// Whether an item calls an aggregate, a window or something else that is not about one row.
pub(crate) fn aggregates(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return true };
    let mut found = false;
    let _ = ast::visit_expressions(expr, |expr| {
        if let Expr::Function(function) = expr {
            let name = function.name.to_string().to_lowercase();
            let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
            found |= function.over.is_some()
                || is_per_group(function)
                || super::relation::set_function(name).is_some()
                || name == "unnest";
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

/// `LIMIT 1` and nothing else.
fn is_limited_to_one(query: &Query) -> bool {
    matches!(
        &query.limit_clause,
        Some(ast::LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, .. })
            if matches!(&limit.value, Value::Number(digits, _) if digits == "1")
    )
}

/// A subquery used as a value becomes an aggregate over its rows: the only one, or the first one.
pub(super) fn scalar(query: &mut Query) {
    let one = is_limited_to_one(query);
    if query.with.is_some() || query.limit_clause.is_some() && !one || query.fetch.is_some() {
        return;
    }
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(ast::OrderByKind::Expressions(order)) => order.clone(),
        Some(ast::OrderByKind::All(_)) => return,
        None => Vec::new(),
    };
    let Some(select) = plain(query) else { return };
    let [item] = select.projection.as_mut_slice() else { return };
    let (expr, alias) = match item {
        SelectItem::UnnamedExpr(expr) => {
            let name = super::column_name(expr);
            (std::mem::replace(expr, hole()), Ident::with_quote('"', name))
        }
        SelectItem::ExprWithAlias { expr, alias } => (std::mem::replace(expr, hole()), alias.clone()),
        _ => return,
    };
    let mut order = order;
    for item in &mut order {
        // The only column by its place or name; inside of an aggregate nothing has that name.
        let means_result = match &item.expr {
            Expr::Value(value) => matches!(&value.value, Value::Number(..)),
            Expr::Identifier(name) => identifier(name) == identifier(&alias),
            _ => false,
        };
        if means_result {
            item.expr = Expr::Nested(Box::new(expr.clone()));
        }
    }
    let expr =
        if one { aggregate("first_value", expr, order) } else { aggregate("luma_single", expr, Vec::new()) };
    *item = SelectItem::ExprWithAlias { expr, alias };
    query.order_by = None;
    query.limit_clause = None;
}

/// `SELECT count(*)` over a query's rows.
fn counted(mut query: Query) -> Option<Expr> {
    query.order_by = None;
    query.limit_clause = None;
    if query.with.is_some() {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty());
    if grouped || select.having.is_some() || select.from.is_empty() || select.projection.iter().any(of_group)
    {
        return None;
    }
    select.distinct = None;
    let mut count = call("count", Vec::new());
    if let Expr::Function(function) = &mut count
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
    select.projection = vec![SelectItem::UnnamedExpr(count)];
    Some(Expr::Subquery(Box::new(query)))
}

fn of_group(item: &SelectItem) -> bool {
    matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }) && aggregates(item)
}

/// EXISTS as a value of a result: what it finds is counted. In conditions it stays.
pub(super) fn as_value(expr: &mut Expr) {
    match expr {
        Expr::Exists { subquery, negated } => {
            let op = if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
            if let Some(count) = counted(subquery.as_ref().clone()) {
                let zero = Box::new(Expr::value(Value::Number("0".into(), false)));
                *expr = Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(count), op, right: zero }));
            }
        }
        Expr::BinaryOp { left, right, .. } => {
            as_value(left);
            as_value(right);
        }
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) | Expr::Cast { expr, .. } => as_value(expr),
        Expr::Case { conditions, else_result, .. } => {
            for branch in conditions {
                as_value(&mut branch.condition);
                as_value(&mut branch.result);
            }
            if let Some(result) = else_result {
                as_value(result);
            }
        }
        Expr::Function(function) => {
            if let FunctionArguments::List(list) = &mut function.args {
                for argument in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                        as_value(expr);
                    }
                }
            }
        }
        _ => {}
    }
}
