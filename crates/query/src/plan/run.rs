//! From a logical plan to batches, on threads of their own.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use futures::stream::BoxStream;
use luma_model::arrow::{ColumnBuilder, data_type, field};
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};
use tokio::sync::mpsc;

use crate::database::Shared;
use crate::error::{from_datafusion, to_datafusion};
use crate::outcome::Column;
use crate::plan::rewrite::visible_name;
use crate::plan::{keyless, lifted, modifier, order, origin};

/// Most columns of a result; PostgreSQL's limit.
const COLUMNS_MAX: usize = 1664;

/// A plan with PostgreSQL's types applied to it.
///
/// # Errors
/// Of operators and functions that there are not for the types.
pub(crate) fn analysed(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let options = state.config_options();
    state.analyzer().execute_and_check(plan.clone(), options, |_, _| {}).map_err(from_datafusion)
}

/// The columns a plan gives: its types are those of the same plan with PostgreSQL's types applied, its
/// lengths and precisions those that the statement gives.
///
/// # Errors
/// 54011 for more columns than clients take.
pub(crate) fn columns(typed: &LogicalPlan, plan: &LogicalPlan) -> Result<Vec<Column>> {
    if typed.schema().fields().len() > COLUMNS_MAX {
        let message = format!("target lists can have at most {COLUMNS_MAX} entries");
        return Err(Error::new(ErrorKind::TooManyColumns, message));
    }
    typed
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| {
            let known = modifier::declared(data_type(field)?, plan, place);
            let mut column = Column::new(visible_name(field.name()), known);
            (column.table_oid, column.attribute) = origin::of_column(typed, place).unwrap_or_default();
            Ok(column)
        })
        .collect()
}

/// A value as DataFusion's constant, with its type's metadata kept in the plan's field.
pub(crate) fn scalar(value: &Value, wanted: &DataType) -> Result<ScalarValue> {
    let mut builder = ColumnBuilder::new(wanted, 1);
    match value.as_ref() {
        ValueRef::Null => builder.append_null(),
        value => builder.append(value)?,
    }
    ScalarValue::try_from_array(&builder.finish(), 0).map_err(from_datafusion)
}

/// Puts parameter values in the place of `$1`, `$2`, …
pub(crate) fn bind(plan: LogicalPlan, types: &[DataType], values: &[Value]) -> Result<LogicalPlan> {
    if types.is_empty() {
        return Ok(plan);
    }
    let scalars = types
        .iter()
        .zip(values)
        .map(|(wanted, value)| {
            let metadata = datafusion::common::metadata::FieldMetadata::from(&field("", wanted, true));
            Ok(datafusion::common::metadata::ScalarAndMetadata::new(scalar(value, wanted)?, Some(metadata)))
        })
        .collect::<Result<Vec<_>>>()?;
    plan.replace_params_with_values(&ParamValues::List(scalars)).map_err(from_datafusion)
}

/// Optimises an analysed plan and makes it physical.
pub(crate) async fn physical(state: &SessionState, analysed: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let optimized = state.optimizer().optimize(analysed, state, |_, _| {}).map_err(from_datafusion)?;
    let optimized = keyless::removed(optimized)
        .and_then(lifted::out_of_joins)
        .and_then(order::once_each)
        .map_err(from_datafusion)?;
    state.query_planner().create_physical_plan(&optimized, state).await.map_err(from_datafusion)
}

/// Runs a physical plan on the query threads. Dropping the stream stops it; one batch is computed
/// ahead of the reader.
pub(crate) fn stream(
    shared: &Shared,
    state: &SessionState,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let (sender, receiver) = mpsc::channel(1);
    let context = state.task_ctx();
    let task = shared.runtime()?.spawn(async move {
        let mut batches = match execute_stream(plan, context) {
            Ok(batches) => batches,
            Err(error) => {
                let _ = sender.send(Err(from_datafusion(error))).await;
                return;
            }
        };
        while let Some(batch) = batches.next().await {
            let failed = batch.is_err();
            if sender.send(batch.map_err(from_datafusion)).await.is_err() || failed {
                return;
            }
        }
    });
    let guard = AbortOnDrop(task);
    let batches =
        futures::stream::unfold((receiver, guard, false), |(mut receiver, mut guard, ended)| async move {
            if ended {
                return None;
            }
            match receiver.recv().await {
                Some(batch) => Some((batch, (receiver, guard, false))),
                // The end, or a panic in an operator, which must not pass for an end.
                None => match (&mut guard.0).await {
                    Ok(()) => None,
                    Err(error) => {
                        let error =
                            Error::new(ErrorKind::Internal, format!("the query failed inside: {error}"));
                        Some((Err(error), (receiver, guard, true)))
                    }
                },
            }
        });
    // A cursor may ask again after the end.
    Ok(batches.fuse().boxed())
}

/// Runs a plan and keeps all of its batches.
pub(crate) async fn collect(
    shared: &Shared,
    state: &SessionState,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Vec<RecordBatch>> {
    let mut batches = stream(shared, state, plan)?;
    let mut all = Vec::new();
    while let Some(batch) = batches.next().await {
        all.push(batch?);
    }
    Ok(all)
}

/// Runs a part of a query as a task of its own, which ends with the future that waits for it.
pub(crate) async fn apart<T: Send + 'static>(
    shared: &Shared,
    work: impl Future<Output = PlanResult<T>> + Send + 'static,
) -> PlanResult<T> {
    let mut task = AbortOnDrop(shared.runtime().map_err(to_datafusion)?.spawn(work));
    match (&mut task.0).await {
        Ok(done) => done,
        Err(error) => {
            Err(to_datafusion(Error::new(ErrorKind::Internal, format!("a subquery failed inside: {error}"))))
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
