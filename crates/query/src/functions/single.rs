//! The value of a subquery that may give one row: an aggregate that refuses a second one.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use luma_model::{Error, ErrorKind};

use crate::error::to_datafusion;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Single {
    signature: Signature,
}

impl Single {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Single {
    fn name(&self) -> &'static str {
        "luma_single"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(arguments[0].clone())
    }

    fn return_field(&self, arguments: &[FieldRef]) -> PlanResult<FieldRef> {
        Ok(Arc::new(arguments[0].as_ref().clone().with_name(self.name()).with_nullable(true)))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        Ok(Box::new(SingleValue { value: ScalarValue::try_from(args.return_field.data_type())?, rows: 0 }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new(
                format!("{}[value]", args.name),
                args.return_field.data_type().clone(),
                true,
            )),
            Arc::new(Field::new(format!("{}[rows]", args.name), ArrowType::Int64, true)),
        ])
    }
}

#[derive(Debug)]
struct SingleValue {
    value: ScalarValue,
    rows: i64,
}

impl SingleValue {
    fn count(&mut self, rows: i64) -> PlanResult<()> {
        self.rows += rows;
        if self.rows > 1 {
            return Err(to_datafusion(Error::new(
                ErrorKind::CardinalityViolation,
                "more than one row returned by a subquery used as an expression",
            )));
        }
        Ok(())
    }
}

impl Accumulator for SingleValue {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.count(values[0].len() as i64)?;
        if !values[0].is_empty() {
            self.value = ScalarValue::try_from_array(&values[0], 0)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(Some(self.rows))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        for row in 0..states[0].len() {
            if let ScalarValue::Int64(Some(rows @ 1..)) = ScalarValue::try_from_array(&states[1], row)? {
                self.count(rows)?;
                self.value = ScalarValue::try_from_array(&states[0], row)?;
            }
        }
        Ok(())
    }
}
