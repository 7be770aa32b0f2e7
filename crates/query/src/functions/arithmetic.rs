//! `+ - * / %` on numbers, checked as PostgreSQL checks them.
//!
//! Both operands come in one Arrow type. Whole numbers and decimals of a fixed scale run on Arrow's
//! checked kernels; numbers of any scale are computed value by value; floats are looked over for
//! results that left their range.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::internal_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;
use luma_model::arrow::{CellReader, ColumnBuilder, field};
use luma_model::{DataType, Error, ErrorKind, Numeric, NumericRef, Result, ValueRef};

use crate::error::to_datafusion;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// `left operation right`, both of the type `operands`, giving `result`.
pub(crate) fn arithmetic(
    operation: Operation,
    left: Expr,
    right: Expr,
    operands: &DataType,
    result: &DataType,
) -> Expr {
    let function = Arithmetic {
        operation,
        operands: operands.clone(),
        result: result.clone(),
        signature: Signature::any(2, Volatility::Immutable),
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::new_from_impl(function)),
        vec![left, right],
    ))
}

/// The two sides of a product of numbers of any scale.
pub(crate) fn factors(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let arithmetic = function.func.inner().as_ref().downcast_ref::<Arithmetic>()?;
    let [left, right] = function.args.as_slice() else { return None };
    let product =
        arithmetic.operation == Operation::Multiply && arithmetic.operands == DataType::Numeric(None);
    product.then_some((left, right))
}

/// The type, operation and two sides of arithmetic that was planned for numbers of a fixed form.
pub(crate) fn on_fixed(function: &ScalarFunction) -> Option<(&DataType, Operation, &Expr, &Expr)> {
    let arithmetic = function.func.inner().as_ref().downcast_ref::<Arithmetic>()?;
    let [left, right] = function.args.as_slice() else { return None };
    let is_fixed = arithmetic.operands.is_integer() || arithmetic.operands.decimal().is_some();
    is_fixed.then_some((&arithmetic.operands, arithmetic.operation, left, right))
}

/// Whether a number is sure to be computed, so that it may be where a condition would have left it out.
pub(crate) fn cannot_fail(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Cast(cast) => {
            matches!(cast.field.data_type(), ArrowType::Decimal128(..)) && cannot_fail(&cast.expr)
        }
        Expr::ScalarFunction(function) => {
            let arithmetic = function.func.inner().as_ref().downcast_ref::<Arithmetic>();
            // Results of a fixed type always fit in it.
            arithmetic.is_some_and(|arithmetic| arithmetic.result.decimal().is_some())
                && function.args.iter().all(cannot_fail)
        }
        _ => false,
    }
}

#[derive(Debug)]
struct Arithmetic {
    operation: Operation,
    operands: DataType,
    result: DataType,
    signature: Signature,
}

impl PartialEq for Arithmetic {
    fn eq(&self, other: &Self) -> bool {
        (self.operation, &self.operands, &self.result) == (other.operation, &other.operands, &other.result)
    }
}

impl Eq for Arithmetic {}

impl Hash for Arithmetic {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.operation.hash(state);
        self.operands.hash(state);
        self.result.hash(state);
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::Remainder => "%",
        }
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(names.join(&format!(" {} ", self.name())))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(field("", &self.result, true).data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::new(field(self.name(), &self.result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return internal_err!("an operator has two operands");
        };
        apply(left, right, |left, right| self.compute(left, right)).map_err(|error| match error {
            datafusion::error::DataFusionError::ArrowError(inner, _) => match *inner {
                ArrowError::ArithmeticOverflow(_) => to_datafusion(out_of_range(&self.operands)),
                ArrowError::DivideByZero => {
                    to_datafusion(Error::new(ErrorKind::DivisionByZero, "division by zero"))
                }
                other => other.into(),
            },
            other => other,
        })
    }
}

impl Arithmetic {
    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        match self.operands {
            DataType::Numeric(None) => {
                self.numbers(left, right).map_err(|error| ArrowError::ExternalError(Box::new(error)))
            }
            DataType::Float4 | DataType::Float8 => self.floats(left, right),
            _ => kernel(self.operation)(left, right),
        }
    }

    fn floats(&self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        let divides = matches!(self.operation, Operation::Divide | Operation::Remainder);
        if divides && has_zero(right.get().0) {
            return Err(ArrowError::DivideByZero);
        }
        let result = kernel(self.operation)(left, right)?;
        if infinite(result.as_ref()) && !infinite(left.get().0) && !infinite(right.get().0) {
            let error = Error::new(ErrorKind::OutOfRange, "value out of range: overflow");
            return Err(ArrowError::ExternalError(Box::new(error)));
        }
        Ok(result)
    }

    fn numbers(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
        let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
        let rows = if left_scalar { right.len() } else { left.len() };
        let (one, other) = (CellReader::new(left, &self.operands)?, CellReader::new(right, &self.operands)?);
        let mut builder = ColumnBuilder::new(&self.result, rows);
        for row in 0..rows {
            let values =
                (one.get(if left_scalar { 0 } else { row })?, other.get(if right_scalar { 0 } else { row })?);
            let (ValueRef::Numeric(one), ValueRef::Numeric(other)) = values else {
                builder.append_null();
                continue;
            };
            let result = numeric_operation(self.operation, one, other)?;
            builder.append(ValueRef::Numeric(result.as_ref()))?;
        }
        Ok(builder.finish())
    }
}

/// One operation on exact numbers.
fn numeric_operation(operation: Operation, one: NumericRef<'_>, other: NumericRef<'_>) -> Result<Numeric> {
    match operation {
        Operation::Add => one.add(other),
        Operation::Subtract => one.sub(other),
        Operation::Multiply => one.mul(other),
        Operation::Divide => one.div(other),
        Operation::Remainder => one.rem(other),
    }
}

type Kernel = fn(&dyn Datum, &dyn Datum) -> std::result::Result<ArrayRef, ArrowError>;

fn kernel(operation: Operation) -> Kernel {
    match operation {
        Operation::Add => numeric::add,
        Operation::Subtract => numeric::sub,
        Operation::Multiply => numeric::mul,
        Operation::Divide => numeric::div,
        Operation::Remainder => numeric::rem,
    }
}

fn infinite(array: &dyn Array) -> bool {
    match array.data_type() {
        ArrowType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().any(f32::is_infinite),
        ArrowType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().any(f64::is_infinite),
        _ => false,
    }
}

fn has_zero(array: &dyn Array) -> bool {
    match array.data_type() {
        ArrowType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().any(|value| value == 0.0),
        ArrowType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().any(|value| value == 0.0),
        _ => false,
    }
}

/// The error of a number that its type does not hold.
pub(crate) fn out_of_range(data_type: &DataType) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("{} out of range", data_type.base_name()))
}
