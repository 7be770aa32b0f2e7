//! The check of a domain's conditions: gives the value back, or says which condition it breaks.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{ScalarValue, exec_datafusion_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use luma_model::{Error, ErrorKind};

use crate::error::to_datafusion;
use crate::plan::user_type::CHECK_FUNCTION;

/// The function; `plan/user_type` makes its calls.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DomainCheck {
    signature: Signature,
}

impl DomainCheck {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

/// The error of a NULL in a domain that refuses it.
pub(crate) fn null_refused(domain: &str) -> Error {
    Error::new(ErrorKind::NotNullViolation, format!("domain {domain} does not allow null values"))
}

/// The error of a value that breaks a condition.
pub(crate) fn broken(domain: &str, constraint: &str) -> Error {
    let message = format!("value for domain {domain} violates check constraint \"{constraint}\"");
    Error::new(ErrorKind::CheckViolation, message).constraint(constraint)
}

fn text(value: Option<&ColumnarValue>) -> PlanResult<&str> {
    match value {
        Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)))) => {
            Ok(text)
        }
        _ => Err(exec_datafusion_err!("a domain's conditions have names")),
    }
}

impl ScalarUDFImpl for DomainCheck {
    fn name(&self) -> &'static str {
        CHECK_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(arguments.first().cloned().unwrap_or(ArrowType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let value = args.arg_fields.first();
        value.cloned().ok_or_else(|| exec_datafusion_err!("a domain's conditions are about a value"))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let [value, domain, not_null, conditions @ ..] = args.args.as_slice() else {
            return Err(exec_datafusion_err!("a domain's conditions are about a value"));
        };
        let domain = text(Some(domain))?;
        if matches!(not_null, ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))) {
            let nulls = match value {
                ColumnarValue::Scalar(value) => usize::from(value.is_null()),
                ColumnarValue::Array(values) => values.logical_null_count(),
            };
            if nulls > 0 {
                return Err(to_datafusion(null_refused(domain)));
            }
        }
        for condition in conditions.chunks(2) {
            let constraint = text(condition.first())?;
            let fails = match condition.get(1) {
                Some(ColumnarValue::Scalar(ScalarValue::Boolean(outcome))) => *outcome == Some(false),
                Some(ColumnarValue::Array(outcomes)) if outcomes.as_boolean_opt().is_some() => {
                    as_boolean_array(outcomes)?.iter().any(|outcome| outcome == Some(false))
                }
                _ => false,
            };
            if fails {
                return Err(to_datafusion(broken(domain, constraint)));
            }
        }
        Ok(value.clone())
    }
}
