//! What equal numbers have in common, however many digits they show.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, ListArray, StringArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// A number's bytes without what does not count when numbers are compared; of a list, a list of them.
pub(crate) fn comparison_key(expr: Expr) -> Expr {
    key(expr, false)
}

/// The same as text, which may be what a window's rows are ordered by.
pub(crate) fn peer_key(expr: Expr) -> Expr {
    key(expr, true)
}

fn key(expr: Expr, text: bool) -> Expr {
    let function = NumberKey { text, signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumberKey {
    text: bool,
    signature: Signature,
}

impl NumberKey {
    fn type_of(&self, argument: Option<&ArrowType>) -> ArrowType {
        match argument {
            Some(ArrowType::List(_)) => {
                ArrowType::List(Arc::new(Field::new_list_field(ArrowType::Binary, true)))
            }
            _ if self.text => ArrowType::Utf8,
            _ => ArrowType::Binary,
        }
    }

    fn keys(&self, numbers: &dyn Array) -> PlanResult<ArrayRef> {
        match numbers.data_type() {
            ArrowType::List(_) => {
                let list = numbers.as_list::<i32>();
                let field = Arc::new(Field::new_list_field(ArrowType::Binary, true));
                let values = binary(list.values().as_ref());
                Ok(Arc::new(ListArray::try_new(
                    field,
                    list.offsets().clone(),
                    values,
                    list.nulls().cloned(),
                )?))
            }
            ArrowType::LargeBinary if self.text => {
                let text = |bytes: &[u8]| {
                    let key = luma_model::arrow::canonical_numeric(bytes);
                    key.iter().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
                        // Writing to a string cannot fail.
                        let _ = write!(text, "{byte:02x}");
                        text
                    })
                };
                let keys: StringArray =
                    numbers.as_binary::<i64>().iter().map(|bytes| bytes.map(text)).collect();
                Ok(Arc::new(keys))
            }
            ArrowType::LargeBinary => Ok(binary(numbers)),
            other => exec_err!("a column of type {other} has no numbers of any digits"),
        }
    }
}

fn binary(numbers: &dyn Array) -> ArrayRef {
    let keys: BinaryArray = numbers
        .as_binary::<i64>()
        .iter()
        .map(|bytes| bytes.map(luma_model::arrow::canonical_numeric))
        .collect();
    Arc::new(keys)
}

impl ScalarUDFImpl for NumberKey {
    fn name(&self) -> &'static str {
        if self.text { "numeric_peer_key" } else { "numeric_key" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(self.type_of(arguments.first()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [numbers] = arrays.as_slice() else { return exec_err!("{} has one argument", self.name()) };
        let keys = self.keys(numbers.as_ref())?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&keys, 0)?));
        }
        Ok(ColumnarValue::Array(keys))
    }
}
