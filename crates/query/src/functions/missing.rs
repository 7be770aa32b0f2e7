//! The function that is not there.
//!
//! DataFusion says that a function is missing before it knows the arguments' types, which
//! PostgreSQL's message has. Standing in for any unknown name, this lets planning come that far.

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use luma_model::{DataType, Result};

use crate::error::to_datafusion;
use crate::functions::overload::{argument_type, undefined};

/// A name that no function has.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Missing {
    name: String,
    signature: Signature,
}

impl Missing {
    pub(crate) fn new(name: &str) -> Self {
        let counts = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Self { name: name.to_owned(), signature: Signature::one_of(counts, Volatility::Volatile) }
    }
}

/// Literals are bigint until the statement's types are settled; PostgreSQL sees an integer.
fn settled(known: Option<DataType>, literal: Option<&ScalarValue>) -> Option<DataType> {
    match literal {
        Some(ScalarValue::Int64(Some(number))) if i32::try_from(*number).is_ok() => Some(DataType::Int4),
        _ => known,
    }
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        internal_err!("{} has no type", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let given = args
            .arg_fields
            .iter()
            .zip(args.scalar_arguments)
            .map(|(argument, literal)| Ok(settled(argument_type(argument, *literal)?, *literal)))
            .collect::<Result<Vec<_>>>()
            .map_err(to_datafusion)?;
        Err(to_datafusion(undefined(&self.name, &given)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        internal_err!("{} does nothing", self.name)
    }
}
