//! Correlated subqueries that DataFusion can't turn into joins.
//!
//! Such a subquery becomes a function of the outer columns it names. The function plans and runs the
//! subquery once for each different combination of their values in a batch: what PostgreSQL does with
//! a subplan. Subqueries that can be joined with the rows around them are left to the joins, which are
//! much faster.
//!
//! Two rules find them: one among what DataFusion would refuse before it optimises, and one among
//! what is left after its rules for subqueries.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue, exec_datafusion_err, plan_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Subquery, TypeSignature, Volatility, check_subquery_expr,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::collect;
use luma_model::{Error, ErrorKind};

use crate::database::Shared;
use crate::error::to_datafusion;
use crate::plan::{lateral_rows, lifted, run, three_valued};
use crate::session::SessionExtension;

/// Takes what DataFusion would refuse.
#[derive(Debug)]
pub(crate) struct ApplyRefused;

impl AnalyzerRule for ApplyRefused {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> PlanResult<LogicalPlan> {
        let refused = |outer: &LogicalPlan, expr: &Expr, subquery: &Subquery| {
            check_subquery_expr(outer, &subquery.subquery, expr).is_err()
                || reaches_out(&subquery.subquery)
                || names_behind_alias(&subquery.subquery)
                || reaches_further(outer, &subquery.subquery)
                || waits_for_outer(&subquery.subquery)
        };
        let settle = |plan| {
            three_valued::rewrite(plan)?
                .transform_data(|plan| rewrite(plan, &refused, false))?
                .transform_data(|plan| lateral_rows::rewrite(plan, lateral_rows::is_refused))
        };
        plan.transform_up_with_subqueries(|plan| {
            lifted::rewrite(plan, &|below| settle(below).map(|done| done.data))?.transform_data(settle)
        })
        .map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "apply_refused_subqueries"
    }
}

/// Whether a plan names outer columns elsewhere than in conditions, the only place from which
/// DataFusion pulls them into a join.
pub(super) fn reaches_out(plan: &LogicalPlan) -> bool {
    plan.exists(|node| {
        let condition = matches!(node, LogicalPlan::Filter(_));
        Ok(!condition && node.expressions().iter().any(Expr::contains_outer))
    })
    .unwrap_or(false)
}

/// Whether a subquery names columns of a query further out than the one around it, which no join with that one's rows has.
fn reaches_further(outer: &LogicalPlan, subquery: &LogicalPlan) -> bool {
    free_references(subquery)
        .is_ok_and(|references| references.iter().any(|(column, _)| !is_column_of(outer, column)))
}

/// Whether a subquery calls another one with outer columns: a join would take the call into its condition, where nothing can
/// wait for it.
pub(super) fn waits_for_outer(plan: &LogicalPlan) -> bool {
    let waits = |expr: &Expr| match expr {
        Expr::ScalarFunction(call) => {
            Ok(call.func.name() == Apply::NAME && call.args.iter().any(Expr::contains_outer))
        }
        _ => Ok(false),
    };
    plan.exists(|node| Ok(node.expressions().iter().any(|expr| expr.exists(waits).unwrap_or(false))))
        .unwrap_or(false)
}

/// Whether a subquery in FROM names outer columns: DataFusion takes its conditions to where its columns have other names.
pub(super) fn names_behind_alias(plan: &LogicalPlan) -> bool {
    plan.exists(|node| match node {
        LogicalPlan::SubqueryAlias(alias) => Ok(!free_references(&alias.input)?.is_empty()),
        _ => Ok(false),
    })
    .unwrap_or(false)
}

/// Takes what DataFusion's rules for subqueries left.
#[derive(Debug)]
pub(crate) struct ApplyLeft;

impl OptimizerRule for ApplyLeft {
    fn name(&self) -> &'static str {
        "apply_left_subqueries"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> PlanResult<Transformed<LogicalPlan>> {
        rewrite(plan, &|_, _, _| true, true)
    }
}

type Wanted<'a> = &'a dyn Fn(&LogicalPlan, &Expr, &Subquery) -> bool;

/// The subquery that an expression is.
pub(super) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. }) => Some(subquery),
        _ => None,
    }
}

/// Replaces the wanted correlated subqueries in the expressions of one node, and with `conditions` also
/// EXISTS and IN whose subqueries name nothing outside: these are no joins outside of a filter.
fn rewrite(plan: LogicalPlan, wanted: Wanted<'_>, conditions: bool) -> PlanResult<Transformed<LogicalPlan>> {
    // Only these two run functions that wait for others.
    if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Filter(_)) {
        return Ok(Transformed::no(plan));
    }
    let taken = |outer: &LogicalPlan, expr: &Expr| -> PlanResult<bool> {
        let Some(subquery) = subquery_of(expr) else { return Ok(false) };
        if !wanted(outer, expr, subquery) {
            return Ok(false);
        }
        let condition = conditions && matches!(expr, Expr::Exists(_) | Expr::InSubquery(_));
        Ok(condition || !free_references(&subquery.subquery)?.is_empty())
    };
    let mut any = false;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            any |= taken(&plan, expr)?;
            Ok(if any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    if !any {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let outer = plan.clone();
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let replaced = expr.transform_up(|expr| {
            let wanted = taken(&outer, &expr)?;
            if wanted { Ok(Transformed::yes(call(&outer, expr)?)) } else { Ok(Transformed::no(expr)) }
        })?;
        Ok(replaced.update_data(|expr| name.restore(expr)))
    })?
    .map_data(LogicalPlan::recompute_schema)
}

fn is_column_of(node: &LogicalPlan, column: &Column) -> bool {
    node.inputs().iter().any(|input| input.schema().has_column(column))
}

/// The columns of outer queries that a plan names, each once: its own references, and those of
/// subqueries in it that reach beyond it.
pub(super) fn free_references(plan: &LogicalPlan) -> PlanResult<Vec<(Column, FieldRef)>> {
    let mut found: Vec<(Column, FieldRef)> = Vec::new();
    let mut add = |column: &Column, field: &FieldRef| {
        if !found.iter().any(|(known, _)| known == column) {
            found.push((column.clone(), Arc::clone(field)));
        }
    };
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(field, column) = expr {
                    add(column, field);
                }
                if let Some(inner) = subquery_of(expr) {
                    for (column, field) in free_references(&inner.subquery)? {
                        if !is_column_of(node, &column) {
                            add(&column, &field);
                        }
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The call that stands for a subquery.
pub(super) fn call(outer: &LogicalPlan, expr: Expr) -> PlanResult<Expr> {
    let (kind, subquery, tested) = match expr {
        Expr::ScalarSubquery(subquery) => (Kind::Value, subquery, None),
        Expr::Exists(Exists { subquery, negated }) => (Kind::Exists { negated }, subquery, None),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            (Kind::In { negated }, subquery, Some(*expr))
        }
        other => return Ok(other),
    };
    let mut columns: Vec<(Column, FieldRef)> = Vec::new();
    let mut arguments: Vec<Expr> = tested.into_iter().collect();
    for (column, field) in free_references(&subquery.subquery)? {
        // What is no column of the node itself belongs to a query further out.
        arguments.push(if is_column_of(outer, &column) {
            Expr::Column(column.clone())
        } else {
            Expr::OuterReferenceColumn(Arc::clone(&field), column.clone())
        });
        columns.push((column, field));
    }
    let returns = match kind {
        Kind::Value => {
            subquery.subquery.schema().field(0).as_ref().clone().with_name("subquery").with_nullable(true)
        }
        Kind::Exists { .. } | Kind::In { .. } => Field::new("subquery", ArrowType::Boolean, true),
    };
    let plan = match kind {
        Kind::Exists { .. } => LogicalPlanBuilder::from(subquery.subquery).limit(0, Some(1))?.build()?,
        Kind::Value | Kind::In { .. } => Arc::unwrap_or_clone(subquery.subquery),
    };
    // Volatile, so that it is neither moved into a join nor computed ahead of its rows.
    let signature = match arguments.len() {
        0 => Signature::nullary(Volatility::Volatile),
        count => Signature::new(TypeSignature::Any(count), Volatility::Volatile),
    };
    let apply = Apply { plan, columns, kind, returns: Arc::new(returns), signature };
    Ok(AsyncScalarUDF::new(Arc::new(apply)).into_scalar_udf().call(arguments))
}

/// What a subquery is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Value,
    Exists { negated: bool },
    In { negated: bool },
}

/// A subquery as a function of the outer columns it names, after the tested value of an IN.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Apply {
    plan: LogicalPlan,
    columns: Vec<(Column, FieldRef)>,
    kind: Kind,
    returns: FieldRef,
    signature: Signature,
}

impl Apply {
    const NAME: &'static str = "subquery";
}

impl ScalarUDFImpl for Apply {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(exec_datafusion_err!("a subquery was called where nothing can wait for it"))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Apply {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let info = args.config_options.extensions.get::<SessionExtension>();
        let info = info.map(|session| Arc::clone(&session.info));
        let info = info.ok_or_else(|| exec_datafusion_err!("a subquery was run outside of a session"))?;
        let state = Arc::new(crate::execute::state_for(&info.shared, &info));
        let arrays = args
            .args
            .iter()
            .map(|argument| argument.to_array(args.number_rows))
            .collect::<PlanResult<Vec<ArrayRef>>>()?;
        let tested = matches!(self.kind, Kind::In { .. }).then(|| arrays.first()).flatten();
        let outer = arrays.get(usize::from(tested.is_some())..).unwrap_or_default();
        let mut known: HashMap<Vec<ScalarValue>, Answer> = HashMap::new();
        let mut results = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let values = outer
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row))
                .collect::<PlanResult<Vec<_>>>()?;
            let answer = match known.entry(values) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => {
                    let rows = self.run(&info.shared, &state, free.key()).await?;
                    free.insert(self.answer(&rows)?)
                }
            };
            let tested = tested.map(|array| ScalarValue::try_from_array(array, row)).transpose()?;
            results.push(answer.to(tested.as_ref())?);
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(
                self.returns.data_type(),
            )));
        }
        ScalarValue::iter_to_array(results).map(ColumnarValue::Array)
    }
}

impl Apply {
    /// The subquery's first column for one combination of outer values. It runs as a task of its own, so that subqueries in one
    /// another do not stand upon one stack.
    async fn run(
        &self,
        shared: &Shared,
        state: &Arc<SessionState>,
        values: &[ScalarValue],
    ) -> PlanResult<ArrayRef> {
        let plan = bind(&self.plan, &self.columns, values)?;
        let task = Arc::clone(state);
        let all = run::apart(shared, async move {
            let analysed = run::analysed(&task, &plan).map_err(to_datafusion)?;
            let physical = run::physical(&task, analysed).await.map_err(to_datafusion)?;
            let schema = physical.schema();
            let batches: Vec<RecordBatch> = collect(physical, task.task_ctx()).await?;
            Ok(datafusion::arrow::compute::concat_batches(&schema, &batches)?)
        })
        .await?;
        match all.columns().first() {
            Some(column) => Ok(Arc::clone(column)),
            // EXISTS (SELECT FROM …): only the number of rows counts.
            None => Ok(datafusion::arrow::array::new_null_array(&ArrowType::Null, all.num_rows())),
        }
    }

    /// What the subquery's rows say.
    fn answer(&self, rows: &ArrayRef) -> PlanResult<Answer> {
        match self.kind {
            Kind::Exists { negated } => {
                Ok(Answer::Value(ScalarValue::Boolean(Some(rows.is_empty() == negated))))
            }
            Kind::Value => match rows.len() {
                0 => ScalarValue::try_from(self.returns.data_type()).map(Answer::Value),
                1 => {
                    let value = ScalarValue::try_from_array(rows, 0)?;
                    value.cast_to(self.returns.data_type()).map(Answer::Value)
                }
                _ => Err(to_datafusion(Error::new(
                    ErrorKind::CardinalityViolation,
                    "more than one row returned by a subquery used as an expression",
                ))),
            },
            Kind::In { negated } => {
                let present = (0..rows.len()).filter(|row| rows.is_valid(*row));
                let values = present.map(|row| ScalarValue::try_from_array(rows, row));
                Ok(Answer::Members {
                    values: values.collect::<PlanResult<HashSet<_>>>()?,
                    has_null: rows.null_count() > 0,
                    data_type: rows.data_type().clone(),
                    negated,
                })
            }
        }
    }
}

/// What a subquery says for one combination of outer values.
enum Answer {
    Value(ScalarValue),
    /// The values that an IN looks among.
    Members {
        values: HashSet<ScalarValue>,
        has_null: bool,
        data_type: ArrowType,
        negated: bool,
    },
}

impl Answer {
    /// The answer for a tested value.
    fn to(&self, tested: Option<&ScalarValue>) -> PlanResult<ScalarValue> {
        let (values, has_null, data_type, negated) = match self {
            Self::Value(value) => return Ok(value.clone()),
            Self::Members { values, has_null, data_type, negated } => {
                (values, *has_null, data_type, *negated)
            }
        };
        let tested = tested.ok_or_else(|| plan_datafusion_err!("IN has nothing to test"))?;
        if values.is_empty() && !has_null {
            return Ok(ScalarValue::Boolean(Some(negated)));
        }
        let tested = tested.cast_to(data_type)?;
        if tested.is_null() {
            return Ok(ScalarValue::Boolean(None));
        }
        if values.contains(&tested) {
            return Ok(ScalarValue::Boolean(Some(!negated)));
        }
        Ok(ScalarValue::Boolean((!has_null).then_some(negated)))
    }
}

/// A subquery's plan with values in the place of the outer columns.
pub(super) fn bind(
    plan: &LogicalPlan,
    columns: &[(Column, FieldRef)],
    values: &[ScalarValue],
) -> PlanResult<LogicalPlan> {
    let place = |column: &Column| columns.iter().position(|(known, _)| known == column);
    let value = |column: &Column| {
        let place = place(column)?;
        let (_, field) = columns.get(place)?;
        Some(Expr::Literal(values.get(place)?.clone(), Some(FieldMetadata::from(field.as_ref()))))
    };
    let bound = plan.clone().transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|expr| match expr {
                Expr::OuterReferenceColumn(field, column) => match value(&column) {
                    Some(literal) => Ok(Transformed::yes(literal)),
                    None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
                },
                other => Ok(Transformed::no(without(other, &place))),
            })?;
            Ok(replaced.update_data(|expr| name.restore(expr)))
        })?
        // A lateral query that names nothing outside any more is a table like others. One in an expression stays what it is.
        .transform_data(|plan| {
            plan.map_children(|child| match child {
                LogicalPlan::Subquery(lateral) if free_references(&lateral.subquery)?.is_empty() => {
                    Ok(Transformed::yes(Arc::unwrap_or_clone(lateral.subquery)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(bound.data)
}

/// A subquery without the outer references that were replaced.
fn without(expr: Expr, place: &dyn Fn(&Column) -> Option<usize>) -> Expr {
    let keep = |subquery: Subquery| {
        let left = subquery.outer_ref_columns.into_iter().filter(|reference| match reference {
            Expr::OuterReferenceColumn(_, column) => place(column).is_none(),
            _ => true,
        });
        Subquery { outer_ref_columns: left.collect(), subquery: subquery.subquery, spans: subquery.spans }
    };
    match expr {
        Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(keep(subquery)),
        Expr::Exists(Exists { subquery, negated }) => {
            Expr::Exists(Exists { subquery: keep(subquery), negated })
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            Expr::InSubquery(InSubquery { expr, subquery: keep(subquery), negated })
        }
        other => other,
    }
}
