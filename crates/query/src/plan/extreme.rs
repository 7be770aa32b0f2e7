//! `min` and `max` of a column that a key orders: the first row in that order, and not all rows.
//!
//! `SELECT max(id) FROM t WHERE …` becomes `SELECT max(id) FROM (SELECT … WHERE … AND id IS NOT NULL ORDER BY id DESC
//! LIMIT 1)`, which `plan/index_order` reads along the key. Several of them, as in `min(id), max(id)`, are read one by one
//! and put side by side.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Sort, SortExpr, TableScan,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use luma_model::DataType;
use luma_rows::{OpenIndex, OpenTable};

use crate::plan::provider::RowTable;

/// Fewer rows are read as fast as they are looked for.
const ROWS_MIN: u64 = 256;
/// More than so many are better read once.
const AGGREGATES_MAX: usize = 4;

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct ExtremesFromKeys;

impl OptimizerRule for ExtremesFromKeys {
    fn name(&self) -> &'static str {
        "extremes_from_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        Ok(match from_keys(aggregate)? {
            Some(read) => Transformed::yes(read),
            None => Transformed::no(plan),
        })
    }
}

fn from_keys(aggregate: &Aggregate) -> PlanResult<Option<LogicalPlan>> {
    let calls = &aggregate.aggr_expr;
    if !aggregate.group_expr.is_empty() || calls.is_empty() || calls.len() > AGGREGATES_MAX {
        return Ok(None);
    }
    let input = &aggregate.input;
    let mut sides = Vec::with_capacity(calls.len());
    for call in calls {
        let Some((least, column)) = extreme(call, input) else { return Ok(None) };
        let known = Filter::try_new(column.clone().is_not_null(), Arc::clone(input))?;
        let order = SortExpr { expr: column.clone(), asc: least, nulls_first: !least };
        let input = Arc::new(LogicalPlan::Filter(known));
        let first = LogicalPlan::Sort(Sort { expr: vec![order], input, fetch: Some(1) });
        sides.push(Aggregate::try_new(Arc::new(first), Vec::new(), vec![call.clone()])?);
    }
    let mut sides = sides.into_iter().map(LogicalPlan::Aggregate);
    let Some(first) = sides.next() else { return Ok(None) };
    let joined = sides.try_fold(LogicalPlanBuilder::from(first), LogicalPlanBuilder::cross_join)?;
    joined.build().map(Some)
}

/// Whether a call is `min` rather than `max`, and of which column, if a key has its order.
fn extreme<'a>(call: &'a Expr, input: &LogicalPlan) -> Option<(bool, &'a Expr)> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = call else { return None };
    let least = match func.name() {
        "min" => true,
        "max" => false,
        _ => return None,
    };
    let [Expr::Column(column)] = params.args.as_slice() else { return None };
    if params.filter.is_some() || !params.order_by.is_empty() {
        return None;
    }
    let place = input.schema().maybe_index_of_column(column)?;
    is_ordered(input, vec![place]).then(|| (least, &params.args[0]))
}

/// Whether rows of one table with the first of these columns in order come from a key, where the others have one
/// value each.
fn is_ordered(plan: &LogicalPlan, mut places: Vec<usize>) -> bool {
    let mut plan = plan;
    loop {
        match plan {
            LogicalPlan::Filter(filter) => {
                if filter.predicate.is_volatile() {
                    return false;
                }
                places.extend(fixed(&filter.predicate, plan));
                plan = &filter.input;
            }
            LogicalPlan::SubqueryAlias(alias) => plan = &alias.input,
            LogicalPlan::Projection(projection) => {
                let below = |place: &usize| {
                    let mut expr = projection.expr.get(*place)?;
                    while let Expr::Alias(alias) = expr {
                        expr = &alias.expr;
                    }
                    let column = expr.try_as_col()?;
                    projection.input.schema().maybe_index_of_column(column)
                };
                let Some(wanted) = places.first().and_then(below) else { return false };
                places = std::iter::once(wanted).chain(places[1..].iter().filter_map(below)).collect();
                plan = &projection.input;
            }
            LogicalPlan::TableScan(scan) => {
                places.extend(scan.filters.iter().flat_map(|filter| fixed(filter, plan)));
                return has_key(scan, &places).unwrap_or(false);
            }
            _ => return false,
        }
    }
}

/// The columns to which a condition gives one value.
fn fixed(predicate: &Expr, plan: &LogicalPlan) -> Vec<usize> {
    let column = |side: &Expr| plan.schema().maybe_index_of_column(side.try_as_col()?);
    let conjuncts = split_conjunction(predicate).into_iter();
    conjuncts
        .filter_map(|conjunct| match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
                (side, Expr::Literal(..)) | (Expr::Literal(..), side) => column(side),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// Whether a key of the table has the first of these columns after others of them.
fn has_key(scan: &TableScan, places: &[usize]) -> Option<bool> {
    let provider = source_as_provider(&scan.source).ok()?;
    let rows = provider.downcast_ref::<RowTable>()?;
    let table = &rows.table;
    if scan.fetch.is_some() || rows.rows() < ROWS_MIN {
        return None;
    }
    let ordinal = |place: &usize| {
        let place = scan.projection.as_ref().map_or(Some(*place), |kept| kept.get(*place).copied())?;
        rows.origin(place).map(|(_, number)| number as usize - 1)
    };
    let ordinals: Vec<usize> = places.iter().filter_map(ordinal).collect();
    let (wanted, fixed) = ordinals.split_first()?;
    if places.first().and_then(ordinal) != Some(*wanted) || !is_comparable(table, *wanted) {
        return None;
    }
    let leads = |key: &[usize]| key.iter().find(|ordinal| !fixed.contains(ordinal)) == Some(wanted);
    let by_index = |index: &OpenIndex| {
        let columns =
            index.definition.plain_columns().map(|numbers| numbers.map(|number| usize::from(number) - 1));
        columns.is_some_and(|columns| leads(&columns.collect::<Vec<_>>()))
    };
    Some(leads(table.key_ordinals()) || table.indexes.iter().any(by_index))
}

/// Whether keys order the values of a column as `min` and `max` compare them.
fn is_comparable(table: &OpenTable, ordinal: usize) -> bool {
    let known = matches!(
        table.data_type(ordinal),
        DataType::Int2
            | DataType::Int4
            | DataType::Int8
            | DataType::Float4
            | DataType::Float8
            | DataType::Numeric(_)
            | DataType::Date
            | DataType::Time
            | DataType::Timestamp
            | DataType::TimestampTz
            | DataType::Text
            | DataType::Varchar(_)
    );
    known && table.collator(ordinal).is_none()
}
