//! Functions in FROM whose arguments are columns of what stands before them.
//!
//! DataFusion plans `FROM a, unnest(a.tags) t` as a join with a subquery that it can't run. Such a
//! subquery has no rows of its own: it unnests arrays computed from each row on its left. So it is
//! grafted onto the left side, whose columns it carries along.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, ScalarValue, TableReference};
use datafusion::error::Result as PlanResult;
use datafusion::functions_nested::expr_fn::array_empty;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, when};

/// A join with a function of its left side, without the join; other plans stay.
pub(crate) fn unnest_joins(plan: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let (alias, subquery) = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => (Some(alias.alias.clone()), &subquery.subquery),
            _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        LogicalPlan::Subquery(subquery) => (None, &subquery.subquery),
        _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
    };
    let left = columns(&join.left);
    let grafted = graft(subquery, &join, &left)?;
    let Some(grafted) = grafted else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    let own = qualified(subquery, alias.as_ref());
    let builder = LogicalPlanBuilder::from(grafted).project(left.into_iter().chain(own))?;
    let builder = match &join.filter {
        Some(filter) if join.join_type == JoinType::Inner => builder.filter(filter.clone())?,
        _ => builder,
    };
    Ok(Transformed::yes(builder.build()?))
}

/// A plan's columns as expressions.
fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// A plan's columns under an alias.
fn qualified(plan: &LogicalPlan, alias: Option<&TableReference>) -> Vec<Expr> {
    plan.schema()
        .columns()
        .into_iter()
        .map(|column| match alias {
            Some(alias) => {
                let name = column.name.clone();
                Expr::Column(column).alias_qualified(Some(alias.clone()), name)
            }
            None => Expr::Column(column),
        })
        .collect()
}

/// The plan over the join's left side instead of nothing; `None` for a plan of another form.
fn graft(plan: &LogicalPlan, join: &Join, left: &[Expr]) -> PlanResult<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some(join.left.as_ref().clone()),
        LogicalPlan::Subquery(subquery) => graft(&subquery.subquery, join, left)?,
        LogicalPlan::Projection(projection) => {
            let Some(input) = graft(&projection.input, join, left)? else { return Ok(None) };
            let own = projection.expr.iter().cloned().map(inner).collect::<PlanResult<Vec<_>>>()?;
            let expressions = left.iter().cloned().chain(own);
            Some(LogicalPlanBuilder::from(input).project(expressions)?.build()?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = graft(&alias.input, join, left)? else { return Ok(None) };
            let own = qualified(&alias.input, Some(&alias.alias));
            let expressions = left.iter().cloned().chain(own);
            Some(LogicalPlanBuilder::from(input).project(expressions)?.build()?)
        }
        LogicalPlan::Unnest(unnest) => {
            let Some(mut input) = graft(&unnest.input, join, left)? else { return Ok(None) };
            let outer = join.join_type == JoinType::Left;
            let columns: Vec<Column> = unnest.exec_columns.clone();
            if outer {
                input = without_empty_arrays(input, &columns)?;
            }
            // LEFT JOIN keeps a row whose array has nothing.
            let options = unnest.options.clone().with_preserve_nulls(outer);
            Some(LogicalPlanBuilder::from(input).unnest_columns_with_options(columns, options)?.build()?)
        }
        _ => None,
    })
}

/// The plan with NULL for arrays without elements: of those an outer join keeps the row.
fn without_empty_arrays(plan: LogicalPlan, arrays: &[Column]) -> PlanResult<LogicalPlan> {
    let named = plan.schema().columns().into_iter().map(|column| {
        let expr = Expr::Column(column.clone());
        if !arrays.iter().any(|array| array.name == column.name) {
            return Ok(expr);
        }
        let nothing = Expr::Literal(ScalarValue::Null, None);
        let kept = when(array_empty(expr.clone()), nothing).otherwise(expr)?;
        Ok(kept.alias_qualified(column.relation, column.name))
    });
    let named = named.collect::<PlanResult<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(named)?.build()
}

/// The expression with the outer columns as columns, under its name.
fn inner(expr: Expr) -> PlanResult<Expr> {
    let name = expr.schema_name().to_string();
    let plain = matches!(expr, Expr::Column(_));
    let expr = expr
        .transform(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
            other => Ok(Transformed::no(other)),
        })?
        .data;
    let same = plain || expr.schema_name().to_string() == name;
    Ok(if same { expr } else { expr.alias(name) })
}

/// Applies the above to a plan and all of its subqueries.
pub(crate) fn rewrite(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    plan.transform_up_with_subqueries(unnest_joins).map(|done| done.data)
}
