//! Casts as PostgreSQL does them, value by value.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, Date32Type, FieldRef};
use datafusion::common::exec_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use luma_model::arrow::{CellReader, ColumnBuilder, data_type, field};
use luma_model::{CastKind, DataType, TextContext, ValueRef, cast};

use crate::error::to_datafusion;

/// `expr` converted to `to`.
pub(crate) fn cast_to(expr: Expr, to: &DataType) -> Expr {
    Expr::ScalarFunction(datafusion::logical_expr::expr::ScalarFunction::new_udf(
        Arc::new(ScalarUDF::new_from_impl(PostgresCast::new(to.clone()))),
        vec![expr],
    ))
}

/// What is converted to a number of any scale; the expression itself where it is no such conversion.
pub(crate) fn before_number(expr: &Expr) -> &Expr {
    let Expr::ScalarFunction(function) = expr else { return expr };
    match (function.func.inner().as_ref().downcast_ref::<PostgresCast>(), function.args.first()) {
        (Some(cast), Some(argument)) if cast.to == DataType::Numeric(None) => argument,
        _ => expr,
    }
}

/// The conversion to one type.
#[derive(Debug, Clone)]
pub(crate) struct PostgresCast {
    to: DataType,
    signature: Signature,
}

impl PostgresCast {
    fn new(to: DataType) -> Self {
        // Text with a zone depends on the session; everything else is fixed.
        Self { to, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl PartialEq for PostgresCast {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to
    }
}

impl Eq for PostgresCast {}

impl Hash for PostgresCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to.hash(state);
    }
}

impl ScalarUDFImpl for PostgresCast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        let inner = args.first().map_or_else(String::new, |arg| arg.schema_name().to_string());
        Ok(format!("{inner}::{}", self.to.sql_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(field("", &self.to, true).data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let nullable = args.arg_fields.iter().any(|argument| argument.is_nullable());
        Ok(Arc::new(field(self.name(), &self.to, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let (Some(argument), Some(given)) = (args.args.first(), args.arg_fields.first()) else {
            return exec_err!("cast takes one argument");
        };
        let from = data_type(given).map_err(to_datafusion)?;
        let context = args
            .config_options
            .extensions
            .get::<crate::session::SessionExtension>()
            .map_or_else(TextContext::default, |session| session.info.text_context());
        let scalar = matches!(argument, ColumnarValue::Scalar(_));
        let array = argument.to_array(if scalar { 1 } else { args.number_rows })?;
        if !scalar
            && self.to == DataType::Timestamp
            && let Some(midnights) = midnights(&array)
        {
            return Ok(ColumnarValue::Array(midnights));
        }
        let reader = CellReader::new(array.as_ref(), &from).map_err(to_datafusion)?;
        let mut builder = ColumnBuilder::new(&self.to, array.len());
        for row in 0..array.len() {
            let value = reader.get(row).map_err(to_datafusion)?;
            if matches!(value, ValueRef::Null) {
                builder.append_null();
                continue;
            }
            let converted =
                cast(value, &from, &self.to, CastKind::Explicit, &context).map_err(to_datafusion)?;
            builder.append(converted.as_ref()).map_err(to_datafusion)?;
        }
        let converted = builder.finish();
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
                &converted, 0,
            )?));
        }
        Ok(ColumnarValue::Array(converted))
    }
}

/// Dates as timestamps, all at once, since whole columns are compared with timestamps; `None` where some need a closer look: none
/// of years far away, and no infinities.
fn midnights(dates: &ArrayRef) -> Option<ArrayRef> {
    const PLAIN: std::ops::Range<i32> = -2_000_000..100_000_000;
    const MICROS: i64 = 86_400_000_000;
    let dates = dates.as_primitive_opt::<Date32Type>()?;
    if !dates.values().iter().all(|days| PLAIN.contains(days)) {
        return None;
    }
    let micros = dates.values().iter().map(|days| i64::from(*days) * MICROS).collect();
    Some(Arc::new(TimestampMicrosecondArray::new(micros, dates.nulls().cloned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use datafusion::arrow::array::Date32Array;
    use luma_model::Value;

    use super::*;

    #[test]
    fn whole_columns_of_dates_become_what_each_of_them_does() {
        let context = TextContext::default();
        for days in
            [vec![Some(0), None, Some(-719_162), Some(20_000)], vec![Some(1_999_999), Some(99_999_999)]]
        {
            let given: ArrayRef = Arc::new(Date32Array::from(days.clone()));
            let together = midnights(&given).expect("plain dates");
            let wanted = DataType::Timestamp;
            let mut builder = ColumnBuilder::new(&wanted, days.len());
            for day in days {
                let one = day.map_or(Value::Null, |day| {
                    cast(ValueRef::Date(day), &DataType::Date, &wanted, CastKind::Explicit, &context)
                        .expect("in range")
                });
                builder.append(one.as_ref()).expect("a timestamp");
            }
            assert_eq!(&together, &builder.finish());
        }
        let far: ArrayRef = Arc::new(Date32Array::from(vec![0, i32::MAX]));
        assert!(midnights(&far).is_none(), "infinity is looked at by itself");
    }
}
