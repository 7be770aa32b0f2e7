//! `promql('…', start, end, step)` in FROM: the answer of a query, a row for each sample.
//!
//! It is one array of records that is unnested, so it takes columns of other tables and parameters as any function does.
//! A query is evaluated on a thread where it may take long, and stops when its statement does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::{
    Array, ArrayRef, Float64Array, ListArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Fields};
use datafusion::common::{exec_datafusion_err, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use luma_model::arrow::{CellReader, arrow_type, data_type, field};
use luma_model::{DataType, Error, ErrorKind, Interval, Result, ValueRef};
use luma_promql::{Labels, Options, Sample, Value, answer, instant, range};
use luma_telemetry::Metrics;

use crate::error::to_datafusion;
use crate::metrics::{failure, jsonb, micros};
use crate::session::SessionExtension;

/// The name under which the rewriter calls it.
pub(crate) const NAME: &str = "luma_promql";

/// The name of what gives a column of a record.
pub(crate) const FIELD: &str = "luma_promql_field";

/// What a row has.
pub(crate) const COLUMNS: [(&str, DataType); 4] = [
    ("ts", DataType::TimestampTz),
    ("value", DataType::Float8),
    ("labels", DataType::Jsonb),
    ("histogram", DataType::Jsonb),
];

/// The function of a query, a time, and for a range its end and its step; and what takes its records apart.
pub(crate) fn functions() -> [ScalarUDF; 2] {
    let function = PromQl { signature: Signature::any(4, Volatility::Volatile) };
    let part = RecordField { signature: Signature::any(2, Volatility::Immutable) };
    [AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf(), ScalarUDF::new_from_impl(part)]
}

fn fields() -> Fields {
    COLUMNS.iter().map(|(name, data_type)| field(name, data_type, true)).collect()
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(ArrowType::Struct(fields()), true))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PromQl {
    signature: Signature,
}

impl ScalarUDFImpl for PromQl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::List(item()))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(exec_datafusion_err!("promql was called where nothing can wait for it"))
    }
}

/// A column of a record; DataFusion's own function for that loses the type that SQL gives it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordField {
    signature: Signature,
}

impl ScalarUDFImpl for RecordField {
    fn name(&self) -> &'static str {
        FIELD
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[ArrowType]) -> PlanResult<ArrowType> {
        internal_err!("the type of a record's column depends on its name")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let name =
            args.scalar_arguments.get(1).copied().flatten().and_then(|name| name.try_as_str().flatten());
        let found = COLUMNS.iter().find(|(known, _)| Some(*known) == name);
        let (name, data_type) = found.ok_or_else(|| exec_datafusion_err!("a record has no such column"))?;
        Ok(Arc::new(field(name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let records = args.args.first().map(|records| records.to_array(args.number_rows)).transpose()?;
        let column = records.as_ref().and_then(|records| {
            records.as_any().downcast_ref::<StructArray>()?.column_by_name(args.return_field.name()).cloned()
        });
        column.map(ColumnarValue::Array).ok_or_else(|| exec_datafusion_err!("that is no record of PromQL"))
    }
}

/// One query.
struct Query {
    text: String,
    /// Milliseconds since 1970.
    start: i64,
    /// The last time and the step, in milliseconds, of a range.
    range: Option<(i64, i64)>,
}

impl Query {
    /// The query that arguments make; none where the text or the time is NULL.
    fn of(values: &[ValueRef<'_>; 4]) -> Result<Option<Self>> {
        let time = |value: ValueRef<'_>| match value {
            ValueRef::TimestampTz(micros) => Some(micros.div_euclid(1000)),
            _ => None,
        };
        let [ValueRef::Text(text), start, end, step] = *values else { return Ok(None) };
        let Some(start) = time(start) else { return Ok(None) };
        let range = match (time(end), step) {
            (Some(end), ValueRef::Interval(step)) => Some((end, step_of(step)?)),
            _ => None,
        };
        Ok(Some(Self { text: text.to_owned(), start, range }))
    }

    fn run(&self, store: &Metrics, cancel: Arc<AtomicBool>) -> Result<Rows> {
        let options = Options { cancel: Some(cancel), ..Options::default() };
        let answer = match self.range {
            Some((end, step)) => range(store, &self.text, self.start, end, step, &options),
            None => instant(store, &self.text, self.start, &options),
        };
        let mut rows = Rows::default();
        match answer.map_err(failure)?.value {
            Value::Scalar(point) => {
                let labels = labels_of(&Labels::default())?;
                rows.add(point.t, &labels, &Sample::Float(point.v))?;
            }
            Value::String(..) => {
                let message = "this query gives a text, which is no sample";
                return Err(Error::new(ErrorKind::InvalidParameterValue, message));
            }
            Value::Vector(t, samples) => {
                for sample in samples {
                    let labels = labels_of(&sample.labels)?;
                    rows.add(t, &labels, &sample.value)?;
                }
            }
            Value::Matrix(series) => {
                for series in series {
                    let labels = labels_of(&series.labels)?;
                    for point in &series.floats {
                        rows.add(point.t, &labels, &Sample::Float(point.v))?;
                    }
                    for point in series.histograms {
                        rows.add(point.t, &labels, &Sample::Histogram(point.h))?;
                    }
                }
            }
        }
        Ok(rows)
    }
}

fn step_of(step: Interval) -> Result<i64> {
    let millis = step.total_micros() / 1000;
    i64::try_from(millis).ok().filter(|millis| *millis > 0).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidParameterValue,
            "the step of a range of PromQL must be a millisecond or more",
        )
    })
}

fn labels_of(labels: &Labels) -> Result<Arc<str>> {
    jsonb(|out| answer::write_labels(labels, out)).map(Arc::from)
}

/// Samples, one after another.
#[derive(Default)]
struct Rows {
    times: Vec<i64>,
    values: Vec<Option<f64>>,
    labels: Vec<Arc<str>>,
    histograms: Vec<Option<String>>,
}

impl Rows {
    fn add(&mut self, t: i64, labels: &Arc<str>, sample: &Sample) -> Result<()> {
        let (value, histogram) = match sample {
            Sample::Float(value) => (Some(*value), None),
            Sample::Histogram(histogram) => {
                (None, Some(jsonb(|out| answer::write_histogram(histogram, out))?))
            }
        };
        self.times.push(micros(t)?);
        self.values.push(value);
        self.labels.push(Arc::clone(labels));
        self.histograms.push(histogram);
        Ok(())
    }
}

/// Says to stop when nobody waits any more.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn answer_of(store: Arc<Metrics>, query: Query) -> PlanResult<Rows> {
    let cancel = Arc::new(AtomicBool::new(false));
    let _stop = StopWhenDropped(Arc::clone(&cancel));
    let running = tokio::task::spawn_blocking(move || query.run(&store, cancel));
    let answer = running.await.map_err(|error| exec_datafusion_err!("a query of metrics failed: {error}"))?;
    answer.map_err(to_datafusion)
}

#[async_trait]
impl AsyncScalarUDFImpl for PromQl {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let session = args.config_options.extensions.get::<SessionExtension>();
        let store = session.and_then(|session| session.info.shared.metrics().cloned());
        let store = store.ok_or_else(|| {
            let error = Error::new(ErrorKind::FeatureNotSupported, "this database has no metrics");
            to_datafusion(error.hint("The server has them where prometheus.enabled or otlp.enabled is set."))
        })?;
        let arrays: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|argument| argument.to_array(args.number_rows))
            .collect::<PlanResult<_>>()?;
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|of| data_type(of)).collect::<Result<_>>().map_err(to_datafusion)?;
        let mut all = Rows::default();
        let (mut lengths, mut present) = (Vec::new(), Vec::new());
        for row in 0..args.number_rows {
            let query = {
                let readers: Vec<CellReader> = arrays
                    .iter()
                    .zip(&types)
                    .map(|(array, given)| CellReader::new(array.as_ref(), given))
                    .collect::<Result<_>>()
                    .map_err(to_datafusion)?;
                let mut values = [ValueRef::Null; 4];
                for (value, reader) in values.iter_mut().zip(&readers) {
                    *value = reader.get(row).map_err(to_datafusion)?;
                }
                Query::of(&values).map_err(to_datafusion)?
            };
            let before = all.times.len();
            present.push(query.is_some());
            if let Some(query) = query {
                let rows = answer_of(Arc::clone(&store), query).await?;
                all.times.extend(rows.times);
                all.values.extend(rows.values);
                all.labels.extend(rows.labels);
                all.histograms.extend(rows.histograms);
            }
            lengths.push(all.times.len() - before);
        }
        let times =
            TimestampMicrosecondArray::from(all.times).with_data_type(arrow_type(&DataType::TimestampTz));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(times),
            Arc::new(Float64Array::from(all.values)),
            Arc::new(StringViewArray::from_iter_values(all.labels)),
            Arc::new(StringViewArray::from_iter(all.histograms)),
        ];
        let records = StructArray::try_new(fields(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::try_new(item(), offsets, Arc::new(records), Some(NullBuffer::from(present)))?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}
