//! `pg_sleep` and `pg_sleep_for`: they wait without holding a thread, so that a cancel or a time limit
//! ends them at once and other statements run meanwhile.

use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use luma_model::arrow::{CellReader, ColumnBuilder, arrow_type, data_type, field};
use luma_model::{DataType, Error, ErrorKind, ValueRef};

use crate::error::to_datafusion;
use crate::functions::row::text;

/// The longest sleep; who wants to wait longer is told sooner.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = ScalarUDF> {
    ["pg_sleep", "pg_sleep_for"].into_iter().map(|name| {
        let sleep = Sleep { name, signature: Signature::any(1, Volatility::Volatile) };
        AsyncScalarUDF::new(std::sync::Arc::new(sleep)).into_scalar_udf()
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    name: &'static str,
    signature: Signature,
}

impl Sleep {
    /// How long one row's value says; nothing for NULL and for less than nothing.
    fn duration(&self, value: ValueRef<'_>, of: &DataType) -> Result<Duration, Error> {
        let seconds = match value {
            ValueRef::Null => return Ok(Duration::ZERO),
            ValueRef::Interval(span) => span.total_micros() as f64 / 1e6,
            value => {
                let text = text(value, of);
                let seconds = if self.name == "pg_sleep" { text.trim().parse().ok() } else { span(&text) };
                seconds.ok_or_else(|| {
                    let message = format!("{} takes no value like \"{text}\"", self.name);
                    Error::new(ErrorKind::InvalidText, message)
                })?
            }
        };
        Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST).min(LONGEST))
    }
}

/// Seconds of an interval as text.
fn span(text: &str) -> Option<f64> {
    let parsed =
        luma_model::parse_text(&DataType::Interval, text, &luma_model::TextContext::default()).ok()?;
    match parsed.as_ref() {
        ValueRef::Interval(span) => Some(span.total_micros() as f64 / 1e6),
        _ => None,
    }
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(arrow_type(&DataType::Void))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(std::sync::Arc::new(field(self.name, &DataType::Void, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(exec_datafusion_err!("{} was called where nothing can wait for it", self.name))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let (Some(argument), Some(given)) = (args.args.first(), args.arg_fields.first()) else {
            return Err(exec_datafusion_err!("{} takes one argument", self.name));
        };
        let given = data_type(given).map_err(to_datafusion)?;
        let array = argument.to_array(args.number_rows)?;
        let mut builder = ColumnBuilder::new(&DataType::Void, args.number_rows);
        for row in 0..args.number_rows {
            let reader = CellReader::new(array.as_ref(), &given).map_err(to_datafusion)?;
            let value = reader.get(row).map_err(to_datafusion)?;
            let (null, wait) = (value.is_null(), self.duration(value, &given).map_err(to_datafusion)?);
            if null {
                builder.append_null();
                continue;
            }
            tokio::time::sleep(wait).await;
            builder.append(ValueRef::Text("")).map_err(to_datafusion)?;
        }
        Ok(ColumnarValue::Array(builder.finish()))
    }
}
