//! Subqueries in FROM that read the row before them, where no join says what they mean.
//!
//! `FROM customers c, LATERAL (SELECT … WHERE o.customer = c.id ORDER BY … LIMIT 3) o` becomes a function of the columns of
//! `c` that the subquery names. It gives the list of the subquery's rows, which is unnested beside `c`:
//!
//! ```text
//! Projection c.*, row['c0'] AS o.id, …
//!   Unnest row
//!     Projection c.*, lateral_rows(c.id) AS row
//! ```
//!
//! The function plans and runs the subquery once for each different combination of its columns in a batch, as `plan/apply`
//! does for subqueries in expressions. What DataFusion makes a join of is left to it, which is much faster for many rows.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, ListArray, StructArray, new_empty_array};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast, concat, concat_batches};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Fields};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, ScalarValue, TableReference, UnnestOptions, exec_datafusion_err};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_plan::collect;

use luma_model::arrow::data_type;

use crate::error::to_datafusion;
use crate::plan::apply::{bind, free_references, names_behind_alias, reaches_out, waits_for_outer};
use crate::plan::unify::labelled;
use crate::plan::{keyless, run};
use crate::session::SessionExtension;

/// The column of the lists between the two projections.
const ROWS: &str = "luma_lateral";

/// Takes what DataFusion's rule for lateral joins left.
#[derive(Debug)]
pub(crate) struct ApplyLeftLateral;

impl OptimizerRule for ApplyLeftLateral {
    fn name(&self) -> &'static str {
        "apply_left_lateral_joins"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> PlanResult<Transformed<LogicalPlan>> {
        rewrite(plan, |_| true)
    }
}

/// Whether DataFusion refuses to make a join of the subquery, or makes one that means something else: it pulls conditions
/// up past what counts rows.
pub(super) fn is_refused(subquery: &LogicalPlan) -> bool {
    let counts = |node: &LogicalPlan| match node {
        // Of no rows, some sets give a row.
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
        }
        node => matches!(
            node,
            LogicalPlan::Limit(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::Values(_)
                | LogicalPlan::Unnest(_)
                | LogicalPlan::RecursiveQuery(_)
        ),
    };
    reaches_out(subquery)
        || names_behind_alias(subquery)
        || waits_for_outer(subquery)
        || subquery.exists(|node| Ok(counts(node))).unwrap_or(true)
}

/// The subquery of a lateral join, and its alias.
fn lateral(plan: &LogicalPlan) -> Option<(&Arc<LogicalPlan>, Option<&TableReference>)> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some((&subquery.subquery, None)),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some((&subquery.subquery, Some(&alias.alias))),
            _ => None,
        },
        _ => None,
    }
}

/// Puts a list of rows in the place of a lateral join whose subquery is wanted; other plans stay.
pub(super) fn rewrite(
    plan: LogicalPlan,
    wanted: impl Fn(&LogicalPlan) -> bool,
) -> PlanResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &plan else { return Ok(Transformed::no(plan)) };
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(Transformed::no(plan));
    }
    let Some((subquery, alias)) = lateral(&join.right) else { return Ok(Transformed::no(plan)) };
    if free_references(subquery)?.is_empty() || !wanted(subquery) {
        return Ok(Transformed::no(plan));
    }
    let applied = apply(join, subquery, alias)?;
    Ok(Transformed::yes(applied))
}

/// The rows of the left side, each with those of the subquery that the join's condition takes.
pub(super) fn apply(
    join: &Join,
    subquery: &LogicalPlan,
    alias: Option<&TableReference>,
) -> PlanResult<LogicalPlan> {
    let left = join.left.as_ref();
    let right = join.right.schema();
    let plan = conditional(join, subquery, alias)?;
    let fields: Fields = right
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| field.as_ref().clone().with_name(member(place)).with_nullable(true))
        .collect();
    let columns = free_references(&plan)?;
    // What is no column of the left side belongs to a query further out.
    let arguments: Vec<Expr> = columns
        .iter()
        .map(|(column, field)| {
            if left.schema().has_column(column) {
                Expr::Column(column.clone())
            } else {
                Expr::OuterReferenceColumn(Arc::clone(field), column.clone())
            }
        })
        .collect();
    // Volatile, so that it is neither moved nor computed ahead of its rows.
    let signature = Signature::new(TypeSignature::Any(arguments.len()), Volatility::Volatile);
    let function = LateralRows { plan, columns, fields, signature };
    let rows = AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf().call(arguments).alias(ROWS);
    let own: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
    let outer = join.join_type == JoinType::Left;
    let listed =
        LogicalPlanBuilder::from(left.clone()).project(own.iter().cloned().chain([rows]))?.build()?;
    let options = UnnestOptions::new().with_preserve_nulls(outer);
    let unnested = LogicalPlanBuilder::from(keyless::without_keys(listed)?)
        .unnest_column_with_options(Column::new_unqualified(ROWS), options)?;
    let row = Expr::Column(Column::new_unqualified(ROWS));
    let given = right.iter().enumerate().map(|(place, (qualifier, field))| {
        let value = get_field(row.clone(), member(place));
        let value = match data_type(field) {
            Ok(known) => labelled(value, &known),
            Err(_) => value,
        };
        value.alias_qualified(qualifier.cloned(), field.name())
    });
    unnested.project(own.into_iter().chain(given))?.build()
}

/// What a column of the subquery is called in its rows.
fn member(place: usize) -> String {
    format!("c{place}")
}

/// The subquery's rows that the join's condition takes.
fn conditional(
    join: &Join,
    subquery: &LogicalPlan,
    alias: Option<&TableReference>,
) -> PlanResult<LogicalPlan> {
    let builder = LogicalPlanBuilder::from(subquery.clone());
    let builder = match alias {
        Some(alias) => builder.alias(alias.clone())?,
        None => builder,
    };
    let equal = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let Some(condition) = equal.chain(join.filter.clone()).reduce(Expr::and) else { return builder.build() };
    let left = join.left.schema();
    let own = Arc::clone(builder.schema());
    let condition = condition.transform(|expr| match expr {
        Expr::Column(column) if !own.has_column(&column) && left.has_column(&column) => {
            let (_, field) = Expr::Column(column.clone()).to_field(left.as_ref())?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    builder.filter(condition.data)?.build()
}

/// A subquery as a function of the columns that it names of the row before it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LateralRows {
    plan: LogicalPlan,
    columns: Vec<(Column, FieldRef)>,
    fields: Fields,
    signature: Signature,
}

impl LateralRows {
    fn item(&self) -> FieldRef {
        Arc::new(Field::new("item", ArrowType::Struct(self.fields.clone()), true))
    }

    /// The subquery's rows for one combination of values.
    async fn run(&self, state: &SessionState, values: &[ScalarValue]) -> PlanResult<ArrayRef> {
        let plan = bind(&self.plan, &self.columns, values)?;
        let analysed = run::analysed(state, &plan).map_err(to_datafusion)?;
        let physical = run::physical(state, analysed).await.map_err(to_datafusion)?;
        let schema = physical.schema();
        let batches = collect(physical, state.task_ctx()).await?;
        let all = concat_batches(&schema, &batches)?;
        if self.fields.is_empty() {
            return Ok(Arc::new(StructArray::new_empty_fields(all.num_rows(), None)));
        }
        let columns = all
            .columns()
            .iter()
            .zip(&self.fields)
            .map(|(column, field)| cast(column, field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new(self.fields.clone(), columns, None)?))
    }
}

impl ScalarUDFImpl for LateralRows {
    fn name(&self) -> &'static str {
        "lateral_rows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::List(self.item()))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), ArrowType::List(self.item()), true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(exec_datafusion_err!("a lateral subquery was called where nothing can wait for it"))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for LateralRows {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let info = args.config_options.extensions.get::<SessionExtension>();
        let info = info.map(|session| Arc::clone(&session.info));
        let info = info.ok_or_else(|| exec_datafusion_err!("a subquery was run outside of a session"))?;
        let state = crate::execute::state_for(&info.shared, &info);
        let arrays = args
            .args
            .iter()
            .map(|argument| argument.to_array(args.number_rows))
            .collect::<PlanResult<Vec<ArrayRef>>>()?;
        let mut known: HashMap<Vec<ScalarValue>, ArrayRef> = HashMap::new();
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let values = arrays
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row))
                .collect::<PlanResult<Vec<_>>>()?;
            let rows = match known.get(&values) {
                Some(rows) => Arc::clone(rows),
                None => {
                    let rows = self.run(&state, &values).await?;
                    known.insert(values, Arc::clone(&rows));
                    rows
                }
            };
            parts.push(rows);
        }
        // A list without rows is NULL: an outer join keeps the row of such a one.
        let some = parts.iter().map(|part| !part.is_empty()).collect::<NullBuffer>();
        let offsets = OffsetBuffer::from_lengths(parts.iter().map(Array::len));
        let borrowed: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let rows = if borrowed.is_empty() {
            new_empty_array(&ArrowType::Struct(self.fields.clone()))
        } else {
            concat(&borrowed)?
        };
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(self.item(), offsets, rows, Some(some))?)))
    }
}
