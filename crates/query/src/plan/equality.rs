//! Equal numbers of different digits: 1.5 and 1.50 are one group, one distinct row, one peer. And `jsonb`, which is
//! told apart and sorted by its meaning.
//!
//! A `numeric` cell's bytes keep how many digits are shown. Where rows are put together or told apart, their
//! keys without those decide; what is shown of a group is the number with the fewest digits. Sorting by
//! the cells is sorting by the numbers, so that only what is sorted by after them needs their keys. A `jsonb` cell
//! is text, and has a key of its own everywhere.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::expr::{AggregateFunction, GroupingSet, InSubquery, WindowFunctionParams};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, WindowFrameBound, WindowFrameUnits, lit, when,
};
use luma_model::DataType;

use crate::functions::collation::{Purpose, collated, sort_key};
use crate::functions::json;
use crate::functions::number_key::{comparison_key, peer_key};
use crate::plan::collation::{self, merging};
use crate::plan::operator::{Operand, call, convert};
use crate::plan::typing::logical_type;
use crate::plan::unify::{self, labelled};

/// Whether the expression gives numbers that keep their digits.
fn is_wide(expr: &Expr, schema: &DFSchema) -> bool {
    logical_type(expr, schema).is_some_and(|known| known.is_wide_numeric())
}

fn is_json(expr: &Expr, schema: &DFSchema) -> bool {
    logical_type(expr, schema) == Some(DataType::Jsonb)
}

/// Whether the cells that the expression gives do not compare as they should.
fn needs_key(expr: &Expr, schema: &DFSchema) -> bool {
    is_wide(expr, schema) || is_json(expr, schema) || merging(expr, schema).is_some()
}

fn keyed(expr: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    if is_wide(&expr, schema) {
        Ok(comparison_key(expr))
    } else if is_json(&expr, schema) {
        Ok(call(&json::order::ORDER, vec![expr]))
    } else if let Some(by) = merging(&expr, schema) {
        sort_key(expr, &by, Purpose::Compared)
    } else {
        Ok(expr)
    }
}

/// The plan's node with keys where numbers are told apart.
pub(crate) fn node(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => match collation::extremes(aggregate)? {
            LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
            // Its own input is grouped when it comes to it.
            LogicalPlan::Projection(read) => {
                let below = node(read.input.as_ref().clone())?;
                Ok(LogicalPlanBuilder::from(below).project(read.expr)?.build()?)
            }
            other => Ok(other),
        },
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns = input.schema().columns();
            if !columns.iter().any(|column| needs_key(&Expr::Column(column.clone()), input.schema())) {
                return Ok(LogicalPlan::Distinct(Distinct::All(input)));
            }
            let all = columns.into_iter().map(Expr::Column).collect();
            grouped(Aggregate::try_new(input, all, Vec::new())?)
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let schema = Arc::clone(on.input.schema());
            for expr in &mut on.on_expr {
                // Rows are told apart by what they are sorted by.
                *expr = match collation::order_of(expr, &schema)? {
                    Some(by) => sort_key(expr.clone(), &by, Purpose::Compared)?,
                    None => keyed(expr.clone(), &schema)?,
                };
            }
            for item in on.sort_expr.iter_mut().flatten() {
                collation::sorted(std::slice::from_mut(item), &schema, Purpose::Compared)?;
                item.expr = keyed(item.expr.clone(), &schema)?;
            }
            // The engine counts what it sorts by, and leaves out what comes again.
            let mut seen = HashSet::new();
            on.on_expr.retain(|expr| seen.insert(expr.clone()));
            seen.clear();
            if let Some(order) = &mut on.sort_expr {
                order.retain(|item| seen.insert(item.expr.clone()));
            }
            Ok(LogicalPlan::Distinct(Distinct::On(on)))
        }
        LogicalPlan::Sort(mut sort) => {
            let last = sort.expr.len().saturating_sub(1);
            let schema = sort.input.schema();
            collation::sorted(&mut sort.expr, schema, Purpose::Compared)?;
            for (place, item) in sort.expr.iter_mut().enumerate() {
                if place < last || is_json(&item.expr, schema) {
                    item.expr = keyed(item.expr.clone(), schema)?;
                }
            }
            Ok(LogicalPlan::Sort(sort))
        }
        // What INTERSECT and EXCEPT are made of.
        LogicalPlan::Join(join) => {
            let mut join = match unify::compared_rows(join)? {
                LogicalPlan::Join(join) => join,
                other => return Ok(other),
            };
            for (left, right) in &mut join.on {
                let (one, other) = (join.left.schema(), join.right.schema());
                if (is_wide(left, one) && is_wide(right, other))
                    || (is_json(left, one) && is_json(right, other))
                {
                    *left = keyed(left.clone(), one)?;
                    *right = keyed(right.clone(), other)?;
                } else if let Some(by) = merging(left, one).or_else(|| merging(right, other)) {
                    *left = sort_key(left.clone(), &by, Purpose::Compared)?;
                    *right = sort_key(right.clone(), &by, Purpose::Compared)?;
                }
            }
            Ok(LogicalPlan::Join(join))
        }
        other => Ok(other),
    }
}

/// A number and what a subquery gives as values that are told apart as numbers are; `None` when they are none.
pub(crate) fn in_subquery(list: InSubquery, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let plan = list.subquery.subquery.as_ref();
    let given = plan.schema().columns().into_iter().next().map(Expr::Column);
    let known = given.as_ref().and_then(|given| logical_type(given, plan.schema()));
    let (Some(given), Some(one), Some(other)) = (given, logical_type(&list.expr, schema), known) else {
        return Ok(Transformed::no(Expr::InSubquery(list)));
    };
    let exact = |known: &DataType| known.is_integer() || matches!(known, DataType::Numeric(_));
    let any = DataType::Numeric(None);
    if !exact(&one) || !exact(&other) || !(one.is_wide_numeric() || other.is_wide_numeric()) {
        return Ok(Transformed::no(Expr::InSubquery(list)));
    }
    let given = comparison_key(convert(given, &Operand::Known(other), &any));
    let keys = LogicalPlanBuilder::from(plan.clone()).project(vec![given])?.build()?;
    let expr = comparison_key(convert(*list.expr, &Operand::Known(one), &any));
    Ok(Transformed::yes(Expr::InSubquery(InSubquery {
        expr: Box::new(expr),
        subquery: list.subquery.with_plan(Arc::new(keys)),
        negated: list.negated,
    })))
}

/// A part of GROUPING SETS, ROLLUP and CUBE with something else in the place of each expression.
fn in_sets(set: GroupingSet, replace: &dyn Fn(Expr) -> Expr) -> GroupingSet {
    let list = |list: Vec<Expr>| list.into_iter().map(replace).collect::<Vec<_>>();
    match set {
        GroupingSet::Rollup(parts) => GroupingSet::Rollup(list(parts)),
        GroupingSet::Cube(parts) => GroupingSet::Cube(list(parts)),
        GroupingSet::GroupingSets(sets) => GroupingSet::GroupingSets(sets.into_iter().map(list).collect()),
    }
}

/// Groups by keys, and shows of each the number with the fewest digits.
fn grouped(aggregate: Aggregate) -> PlanResult<LogicalPlan> {
    let groups: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
    let input_schema = aggregate.input.schema();
    let wide: Vec<bool> = groups.iter().map(|expr| needs_key(expr, input_schema)).collect();
    let documents: Vec<bool> = groups.iter().map(|expr| is_json(expr, input_schema)).collect();
    let collations: Vec<_> = groups.iter().map(|expr| merging(expr, input_schema)).collect();
    let types: Vec<_> = groups.iter().map(|expr| logical_type(expr, input_schema)).collect();
    let input_schema = Arc::clone(input_schema);
    let sets = aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
    if !wide.contains(&true) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let shown = |place: usize| format!("luma_shown_{place}");
    let mut group = Vec::with_capacity(wide.len());
    let mut aggregates = aggregate.aggr_expr.clone();
    for (place, (expr, wide)) in groups.iter().zip(&wide).enumerate() {
        if *wide {
            aggregates.push(min(expr.clone()).alias(shown(place)));
            group.push(keyed(expr.clone(), &input_schema)?);
        } else {
            group.push(expr.clone());
        }
    }
    if sets {
        let key = |expr: Expr| {
            let place = groups.iter().position(|known| *known == expr);
            place.and_then(|place| group.get(place)).cloned().unwrap_or(expr)
        };
        for item in &mut aggregates {
            if let Expr::AggregateFunction(function) = item
                && function.func.name() == "grouping"
            {
                function.params.args =
                    std::mem::take(&mut function.params.args).into_iter().map(key).collect();
            }
        }
        let written = aggregate.group_expr.iter().cloned().map(|expr| match expr {
            Expr::GroupingSet(set) => Expr::GroupingSet(in_sets(set, &key)),
            other => key(other),
        });
        group = written.collect();
    }
    let keyed = Aggregate::try_new(aggregate.input, group, aggregates)?;
    // The columns that the aggregate had before, by the same names.
    let inner = keyed.schema.columns();
    let named = aggregate.schema.columns().into_iter().enumerate().map(|(place, column)| {
        let found = match wide.get(place) {
            Some(true) => {
                let cell = Expr::Column(Column::new_unqualified(shown(place)));
                let cell = match inner.get(place) {
                    // Where the set does not group by it, it is NULL.
                    Some(key) if sets => when(Expr::Column(key.clone()).is_not_null(), cell).end()?,
                    _ => cell,
                };
                match (collations.get(place), types.get(place)) {
                    _ if documents.get(place) == Some(&true) => call(&json::order::SHOWN, vec![cell]),
                    (Some(Some(by)), _) => collated(cell, by),
                    (_, Some(Some(known))) => labelled(cell, known),
                    _ => cell,
                }
            }
            _ => Expr::Column(inner.get(place).cloned().unwrap_or_else(|| column.clone())),
        };
        Ok(found.alias_qualified(column.relation, column.name))
    });
    let named = named.collect::<PlanResult<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(keyed)).project(named)?.build()
}

/// Keys for what a window function's rows are told apart by.
pub(crate) fn window(params: &mut WindowFunctionParams, schema: &DFSchema) -> bool {
    let frame = &params.window_frame;
    let offset = |bound: &WindowFrameBound| matches!(bound, WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) if !value.is_null());
    // A distance is counted from the numbers themselves.
    let counts =
        frame.units == WindowFrameUnits::Range && (offset(&frame.start_bound) || offset(&frame.end_bound));
    let mut changed = false;
    let ordered = params.order_by.iter_mut().map(|item| &mut item.expr).filter(|_| !counts);
    for expr in params.partition_by.iter_mut().chain(ordered) {
        if is_wide(expr, schema) {
            *expr = peer_key(expr.clone());
            changed = true;
        } else if is_json(expr, schema) {
            *expr = call(&json::order::PEER, vec![expr.clone()]);
            changed = true;
        }
    }
    changed
}

/// Keys for what `count(DISTINCT …)` counts. A sum finds the distinct numbers itself; with a filter it is not
/// made one over groups, whose bytes would be compared.
pub(crate) fn distinct(function: &mut AggregateFunction, schema: &DFSchema) -> bool {
    let params = &mut function.params;
    if !params.distinct || !params.args.iter().any(|argument| needs_key(argument, schema)) {
        return false;
    }
    match function.func.name() {
        "count" => {
            for argument in &mut params.args {
                if let Ok(key) = keyed(argument.clone(), schema) {
                    *argument = key;
                }
            }
            true
        }
        "sum" if params.filter.is_none() => {
            params.filter = Some(Box::new(lit(true)));
            true
        }
        _ => false,
    }
}
