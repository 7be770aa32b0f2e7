//! What `EXPLAIN (VERBOSE, FORMAT JSON)` shows of a query before it is optimised: joins, and the columns that each
//! side of them gives.
//!
//! Programs read it to know which columns of a result an outer join can make NULL (sqlx's `query!` does): a column
//! that the inner side of a left join gives has the same name in the `Output` of that side and of the whole. What
//! only passes rows on is a part of the node below it, and right joins are left joins the other way round.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use serde_json::{Value, json};

/// The plan as PostgreSQL's nodes.
pub(super) fn outline(plan: &LogicalPlan) -> Value {
    node(plan, None)
}

fn node(plan: &LogicalPlan, relationship: Option<&str>) -> Value {
    let core = core(plan);
    let name = core.display().to_string();
    let kind = name.split([':', ' ']).next().unwrap_or_default();
    let mut node = json!({ "Node Type": kind, "Output": outputs(plan) });
    if let Some(relationship) = relationship {
        node["Parent Relationship"] = relationship.into();
    }
    let children = match core {
        LogicalPlan::Join(join) => {
            let (kind, swapped) = join_type(join.join_type);
            node["Node Type"] = "Join".into();
            node["Join Type"] = kind.into();
            let (outer, inner) = if swapped { (&join.right, &join.left) } else { (&join.left, &join.right) };
            vec![self::node(outer, Some("Outer")), self::node(inner, Some("Inner"))]
        }
        LogicalPlan::Union(union) => {
            union.inputs.iter().map(|input| self::node(input, Some("Member"))).collect()
        }
        other => other.inputs().into_iter().map(|input| self::node(input, Some("Outer"))).collect(),
    };
    if !children.is_empty() {
        node["Plans"] = Value::Array(children);
    }
    node
}

/// PostgreSQL's name of a join, and whether its sides change places.
fn join_type(kind: JoinType) -> (&'static str, bool) {
    match kind {
        JoinType::Inner => ("Inner", false),
        JoinType::Left | JoinType::LeftMark => ("Left", false),
        JoinType::Right | JoinType::RightMark => ("Left", true),
        JoinType::Full => ("Full", false),
        JoinType::LeftSemi => ("Semi", false),
        JoinType::RightSemi => ("Semi", true),
        JoinType::LeftAnti => ("Anti", false),
        JoinType::RightAnti => ("Anti", true),
    }
}

/// The input of a node that gives rows of it on, with other columns at most.
fn passed(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Projection(projection) => Some(&projection.input),
        LogicalPlan::Filter(filter) => Some(&filter.input),
        LogicalPlan::Sort(sort) => Some(&sort.input),
        LogicalPlan::Limit(limit) => Some(&limit.input),
        LogicalPlan::SubqueryAlias(alias) => Some(&alias.input),
        LogicalPlan::Distinct(Distinct::All(input)) => Some(input),
        _ => None,
    }
}

fn core(mut plan: &LogicalPlan) -> &LogicalPlan {
    while let Some(input) = passed(plan) {
        plan = input;
    }
    plan
}

/// The columns of a node by the tables that they come from; what is computed by its expression.
fn outputs(plan: &LogicalPlan) -> Vec<String> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let below = outputs(&projection.input);
            let source = |expr: &Expr| {
                let Expr::Column(column) = expr else { return None };
                below.get(projection.input.schema().maybe_index_of_column(column)?).cloned()
            };
            let shown = projection.expr.iter().map(|expr| {
                let expr = expr.clone().unalias();
                source(&expr).unwrap_or_else(|| expr.to_string())
            });
            shown.collect()
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                outputs(&join.left).into_iter().chain(outputs(&join.right)).collect()
            }
            _ => named(plan),
        },
        other => match passed(other) {
            Some(input) => outputs(input),
            None => named(other),
        },
    }
}

fn named(plan: &LogicalPlan) -> Vec<String> {
    let columns = plan.schema().iter().map(|(table, field)| match table {
        Some(table) => format!("{}.{}", table.table(), field.name()),
        None => field.name().clone(),
    });
    columns.collect()
}
