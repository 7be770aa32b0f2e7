//! Functions over enum types: `enum_first`, `enum_last` and `enum_range`.
//!
//! They ask for the type of their argument, whose value may be NULL.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use luma_model::arrow::{CellReader, ColumnBuilder, data_type, field};
use luma_model::{ArrayValue, DataType, EnumType, Error, ErrorKind, Value, ValueRef};

use crate::error::to_datafusion;

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct EnumFunction {
    name: &'static str,
    signature: Signature,
}

impl EnumFunction {
    /// Their names.
    pub(crate) const NAMES: [&'static str; 3] = ["enum_first", "enum_last", "enum_range"];

    pub(crate) fn new(name: &'static str) -> Self {
        let counts = if name == "enum_range" { vec![1, 2] } else { vec![1] };
        let counts = counts.into_iter().map(TypeSignature::Any).collect();
        Self { name, signature: Signature::one_of(counts, Volatility::Immutable) }
    }

    fn known(&self, fields: &[FieldRef]) -> PlanResult<Arc<EnumType>> {
        let types = fields.iter().map(|field| data_type(field)).collect::<Result<Vec<_>, _>>();
        let types = types.map_err(to_datafusion)?;
        let found = types.iter().find_map(|known| match known {
            DataType::Enum(known) => Some(known),
            _ => None,
        });
        found.map(Arc::clone).ok_or_else(|| {
            let given: Vec<String> = types.iter().map(DataType::base_name).collect();
            to_datafusion(
                Error::new(
                    ErrorKind::UndefinedFunction,
                    format!("function {}({}) does not exist", self.name, given.join(", ")),
                )
                .hint("The argument must be of an enum type; cast a NULL to it."),
            )
        })
    }

    fn returned(&self, known: &Arc<EnumType>) -> DataType {
        let scalar = DataType::Enum(Arc::clone(known));
        if self.name == "enum_range" { scalar.array_of() } else { scalar }
    }

    fn value(&self, known: &EnumType, bounds: &[ValueRef<'_>]) -> Value {
        let at = |place: usize| match bounds.get(place) {
            Some(ValueRef::Int8(position)) => Some(*position),
            _ => None,
        };
        let position = |label: Option<&luma_model::EnumLabel>| {
            label.map_or(Value::Null, |label| Value::Int8(label.position))
        };
        match self.name {
            "enum_first" => position(known.labels.first()),
            "enum_last" => position(known.labels.last()),
            _ => {
                // With one argument there are no bounds: it only names the type.
                let (low, high) = if bounds.len() == 2 { (at(0), at(1)) } else { (None, None) };
                let within = known.labels.iter().map(|label| label.position).filter(|position| {
                    low.is_none_or(|low| *position >= low) && high.is_none_or(|high| *position <= high)
                });
                Value::Array(ArrayValue { elements: within.map(Value::Int8).collect() })
            }
        }
    }
}

impl ScalarUDFImpl for EnumFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::Int64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let known = self.known(args.arg_fields)?;
        Ok(Arc::new(field(self.name, &self.returned(&known), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let known = self.known(&args.arg_fields)?;
        let scalar = DataType::Enum(Arc::clone(&known));
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays =
            args.args.iter().map(|argument| argument.to_array(rows)).collect::<PlanResult<Vec<_>>>()?;
        let readers = arrays.iter().map(|array| CellReader::new(array.as_ref(), &scalar));
        let readers = readers.collect::<Result<Vec<_>, _>>().map_err(to_datafusion)?;
        let mut builder = ColumnBuilder::new(&self.returned(&known), rows);
        for row in 0..rows {
            let bounds = readers.iter().map(|reader| reader.get(row)).collect::<Result<Vec<_>, _>>();
            let value = self.value(&known, &bounds.map_err(to_datafusion)?);
            builder.append(value.as_ref()).map_err(to_datafusion)?;
        }
        let result = builder.finish();
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
