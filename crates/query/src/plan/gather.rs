//! What a subquery orders, `array_agg` gathers in that order.
//!
//! `SELECT json_agg(t) FROM (SELECT … ORDER BY …) t`: PostgreSQL gathers rows as they come, and numbers them so where
//! `row_number() OVER ()` asks for no order. DataFusion drops an order that nothing asks for, so the order becomes that of
//! the aggregate or window, which asks.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Filter, Limit, Projection, SubqueryAlias, Window};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};

/// Gives aggregates the order of their input, in a plan and all of its subqueries.
pub(crate) fn rewrite(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(gather).map(|done| done.data)
}

/// Whether what an aggregate gives depends on the order of its rows.
fn gathers(function: &AggregateFunction) -> bool {
    matches!(function.func.name(), "array_agg" | "string_agg")
}

fn gather(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => gather_groups(aggregate),
        LogicalPlan::Window(window) => number_rows(window),
        other => Ok(Transformed::no(other)),
    }
}

/// Gives `row_number() OVER ()` the order of the window's input.
fn number_rows(window: Window) -> PlanResult<Transformed<LogicalPlan>> {
    let numbers = |expr: &Expr| match expr {
        Expr::WindowFunction(function) => {
            function.fun.name() == "row_number" && function.params.order_by.is_empty()
        }
        _ => false,
    };
    if !window.window_expr.iter().any(|expr| numbers(unaliased(expr))) {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let Some((input, keys)) = sorted(&window.input)? else {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    };
    let order: Vec<SortExpr> = keys.into_iter().map(Key::sort).collect();
    let names = NamePreserver::new(&LogicalPlan::Window(window.clone()));
    let given = window.window_expr.iter().cloned().map(|expr| {
        let name = names.save(&expr);
        let given = expr.transform_up(|part| match part {
            Expr::WindowFunction(mut function) if function.fun.name() == "row_number" => {
                if function.params.order_by.is_empty() {
                    function.params.order_by.clone_from(&order);
                }
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(name.restore(given.data))
    });
    let given = given.collect::<PlanResult<Vec<_>>>()?;
    let kept: Vec<Expr> = window.schema.columns().into_iter().map(Expr::Column).collect();
    let numbered = LogicalPlan::Window(Window::try_new(given, Arc::new(input))?);
    LogicalPlanBuilder::from(numbered).project(kept)?.build().map(Transformed::yes)
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

fn gather_groups(aggregate: Aggregate) -> PlanResult<Transformed<LogicalPlan>> {
    let (mut wanting, mut ordered) = (false, false);
    for expr in &aggregate.aggr_expr {
        expr.exists(|part| {
            if let Expr::AggregateFunction(function) = part {
                let free = function.params.order_by.is_empty();
                wanting |= free && !function.params.distinct && gathers(function);
                ordered |= !free;
            }
            Ok(false)
        })?;
    }
    if !wanting || ordered {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let Some((input, keys)) = sorted(&aggregate.input)? else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let order: Vec<SortExpr> = keys.into_iter().map(Key::sort).collect();
    let Aggregate { group_expr, aggr_expr, .. } = &aggregate;
    let names = NamePreserver::new(&LogicalPlan::Aggregate(aggregate.clone()));
    let aggr_expr = aggr_expr.iter().cloned().map(|expr| {
        let name = names.save(&expr);
        let given = expr.transform_up(|part| match part {
            Expr::AggregateFunction(mut function) if gathers(&function) => {
                function.params.order_by.clone_from(&order);
                Ok(Transformed::yes(Expr::AggregateFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(name.restore(given.data))
    });
    let aggr_expr = aggr_expr.collect::<PlanResult<Vec<_>>>()?;
    let given = Aggregate::try_new(Arc::new(input), group_expr.clone(), aggr_expr)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(given)))
}

/// A column by which a plan's rows are ordered.
struct Key {
    column: Column,
    asc: bool,
    nulls_first: bool,
}

impl Key {
    fn sort(self) -> SortExpr {
        Expr::Column(self.column).sort(self.asc, self.nulls_first)
    }

    fn renamed(self, column: Column) -> Self {
        Self { column, ..self }
    }
}

/// The plan with what orders its rows among its columns; `None` where nothing orders them.
fn sorted(plan: &LogicalPlan) -> PlanResult<Option<(LogicalPlan, Vec<Key>)>> {
    match plan {
        LogicalPlan::Sort(sort) => {
            let mut below: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
            let (own, mut keys, mut order) = (below.len(), Vec::new(), Vec::new());
            for part in &sort.expr {
                let column = match &part.expr {
                    Expr::Column(column) => column.clone(),
                    other => {
                        let name = format!("luma_gathered_{}", below.len());
                        below.push(other.clone().alias(&name));
                        Column::new_unqualified(name)
                    }
                };
                let key = Key { column, asc: part.asc, nulls_first: part.nulls_first };
                order.push(Expr::Column(key.column.clone()).sort(key.asc, key.nulls_first));
                keys.push(key);
            }
            let input = LogicalPlanBuilder::from(sort.input.as_ref().clone());
            let input = if below.len() > own { input.project(below)? } else { input };
            Ok(Some((input.sort_with_limit(order, sort.fetch)?.build()?, keys)))
        }
        LogicalPlan::Limit(limit) => {
            let Some((input, keys)) = sorted(&limit.input)? else { return Ok(None) };
            let limit = Limit { input: Arc::new(input), ..limit.clone() };
            Ok(Some((LogicalPlan::Limit(limit), keys)))
        }
        LogicalPlan::Filter(filter) => {
            let Some((input, keys)) = sorted(&filter.input)? else { return Ok(None) };
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok(Some((LogicalPlan::Filter(filter), keys)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, keys)) = sorted(&alias.input)? else { return Ok(None) };
            // Two tables' columns of one name would be one under the alias.
            let name = |key: &Key| Column::new(Some(alias.alias.clone()), key.column.name.clone());
            let keys: Vec<Key> = keys
                .into_iter()
                .map(|key| {
                    let column = name(&key);
                    key.renamed(column)
                })
                .collect();
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some((LogicalPlan::SubqueryAlias(alias), keys)))
        }
        LogicalPlan::Projection(projection) => {
            let Some((input, keys)) = sorted(&projection.input)? else { return Ok(None) };
            let mut given = projection.expr.clone();
            let keys = keys
                .into_iter()
                .map(|key| {
                    let shown = projection.expr.iter().zip(projection.schema.columns());
                    let is_key = |expr: &Expr| matches!(expr, Expr::Column(column) if *column == key.column);
                    let same = shown.into_iter().find_map(|(expr, column)| match expr {
                        Expr::Alias(alias) if is_key(&alias.expr) => Some(column),
                        expr if is_key(expr) => Some(column),
                        _ => None,
                    });
                    let column = same.unwrap_or_else(|| {
                        let name = format!("luma_gathered_{}", given.len());
                        given.push(Expr::Column(key.column.clone()).alias(&name));
                        Column::new_unqualified(name)
                    });
                    key.renamed(column)
                })
                .collect();
            let projection = Projection::try_new(given, Arc::new(input))?;
            Ok(Some((LogicalPlan::Projection(projection), keys)))
        }
        _ => Ok(None),
    }
}
