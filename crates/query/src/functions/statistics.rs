//! `variance`, `stddev` and their kin: exact over exact numbers, and over floats with the same steps as
//! PostgreSQL takes, so that the last digit is the same.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, not_impl_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use luma_model::arrow::CellReader;
use luma_model::{DataType, Numeric, Result, ValueRef, variance};

use crate::error::to_datafusion;
use crate::functions::sum::{Scales, column};

/// One of the aggregates.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Statistics {
    name: &'static str,
    signature: Signature,
}

/// What is asked of the numbers.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// Whether the numbers are a sample of more.
    sample: bool,
    /// Whether the square root is wanted.
    root: bool,
}

impl Statistics {
    /// Their names.
    pub(crate) const NAMES: [&'static str; 6] =
        ["stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"];

    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn accumulate(&self, args: &AccumulatorArgs<'_>, scales: Scales) -> PlanResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{}(DISTINCT ...) beside other aggregates is not supported", self.name);
        }
        let question =
            Question { sample: !self.name.ends_with("_pop"), root: self.name.starts_with("stddev") };
        Ok(if args.return_field.data_type() == &ArrowType::LargeBinary {
            let (sum, squares) = (Numeric::ZERO, Numeric::ZERO);
            Box::new(Exact { question, count: 0, sum, squares, special: 0, scales })
        } else {
            Box::new(Floats { question, count: 0.0, sum: 0.0, spread: 0.0 })
        })
    }
}

impl AggregateUDFImpl for Statistics {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[ArrowType]) -> PlanResult<Vec<ArrowType>> {
        let undefined = |given: &[Option<DataType>]| {
            Err(to_datafusion(crate::functions::overload::undefined(self.name, given)))
        };
        let [argument] = arguments else { return undefined(&[]) };
        match argument {
            ArrowType::LargeBinary => Ok(vec![argument.clone()]),
            ArrowType::Float16 | ArrowType::Float32 | ArrowType::Null => Ok(vec![ArrowType::Float64]),
            // The analyzer makes the exact ones numbers of any count of digits.
            number if number.is_numeric() => Ok(vec![number.clone()]),
            other => undefined(&[luma_model::arrow::data_type(&Field::new("", other.clone(), true)).ok()]),
        }
    }

    fn return_type(&self, arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(match arguments {
            [ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 | ArrowType::Null] => {
                ArrowType::Float64
            }
            _ => ArrowType::LargeBinary,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        self.accumulate(&args, Scales::default())
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        self.accumulate(&args, Scales::counted())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        let part = |name: &str, arrow: ArrowType| {
            std::sync::Arc::new(Field::new(format!("{}[{name}]", args.name), arrow, true))
        };
        let (count, number) = match args.return_field.data_type() {
            ArrowType::LargeBinary => (ArrowType::Int64, ArrowType::LargeBinary),
            _ => (ArrowType::Float64, ArrowType::Float64),
        };
        let mut fields =
            vec![part("count", count), part("sum", number.clone()), part("squares", number.clone())];
        if number == ArrowType::LargeBinary {
            fields.push(part("special", ArrowType::Int64));
        }
        Ok(fields)
    }
}

/// Over exact numbers.
#[derive(Debug)]
struct Exact {
    question: Question,
    count: i64,
    sum: Numeric,
    squares: Numeric,
    /// How many were not finite.
    special: i64,
    scales: Scales,
}

impl Exact {
    fn change(&mut self, array: &dyn Array, add: bool) -> Result<()> {
        let reader = CellReader::new(array, &DataType::Numeric(None))?;
        let sign = if add { 1 } else { -1 };
        for row in 0..array.len() {
            let ValueRef::Numeric(number) = reader.get(row)? else { continue };
            self.count += sign;
            if !number.is_finite() {
                self.special += sign;
                continue;
            }
            self.scales.change(number, sign);
            let square = number.mul(number)?;
            (self.sum, self.squares) = if add {
                (self.sum.as_ref().add(number)?, self.squares.as_ref().add(square.as_ref())?)
            } else {
                (self.sum.as_ref().sub(number)?, self.squares.as_ref().sub(square.as_ref())?)
            };
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [counts, sums, squares, specials] = states else { return Ok(()) };
        let numeric = DataType::Numeric(None);
        let (sums, squares) =
            (CellReader::new(sums.as_ref(), &numeric)?, CellReader::new(squares.as_ref(), &numeric)?);
        for row in 0..counts.len() {
            let (ValueRef::Numeric(sum), ValueRef::Numeric(square)) = (sums.get(row)?, squares.get(row)?)
            else {
                continue;
            };
            self.count += counts.as_primitive::<Int64Type>().value(row);
            self.special += specials.as_primitive::<Int64Type>().value(row);
            self.sum = self.sum.as_ref().add(sum)?;
            self.squares = self.squares.as_ref().add(square)?;
        }
        Ok(())
    }
}

/// A number, or NULL, as a scalar.
fn scalar(number: Option<Numeric>) -> PlanResult<ScalarValue> {
    let Some(number) = number else { return ScalarValue::try_from(&ArrowType::LargeBinary) };
    let column = column(&mut std::iter::once(number)).map_err(to_datafusion)?;
    ScalarValue::try_from_array(&column, 0)
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.change(values[0].as_ref(), true).map_err(to_datafusion)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.change(values[0].as_ref(), false).map_err(to_datafusion)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        let Question { sample, root } = self.question;
        let result = || {
            let (sum, squares) =
                (self.scales.cut(self.sum.as_ref(), 1)?, self.scales.cut(self.squares.as_ref(), 2)?);
            let sum = if self.special > 0 { Numeric::nan() } else { sum };
            variance(self.count, sum.as_ref(), squares.as_ref(), sample, root)
        };
        scalar(result().map_err(to_datafusion)?)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Int64(Some(self.count)),
            scalar(Some(self.sum.clone()))?,
            scalar(Some(self.squares.clone()))?,
            ScalarValue::Int64(Some(self.special)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        self.merge(states).map_err(to_datafusion)
    }
}

/// Over floats, by the method of Youngs and Cramer.
#[derive(Debug)]
struct Floats {
    question: Question,
    count: f64,
    sum: f64,
    /// The sum of the squares of the differences to the mean.
    spread: f64,
}

impl Accumulator for Floats {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            let before = self.count;
            self.count += 1.0;
            self.sum += value;
            if before > 0.0 {
                let difference = value * self.count - self.sum;
                self.spread += difference * difference / (self.count * before);
            } else if !value.is_finite() {
                self.spread = f64::NAN;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            let before = self.count - 1.0;
            if before > 0.0 {
                let difference = value * self.count - self.sum;
                self.spread -= difference * difference / (self.count * before);
                self.sum -= value;
            } else {
                (self.sum, self.spread) = (0.0, 0.0);
            }
            self.count = before;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        let divisor = if self.question.sample { self.count - 1.0 } else { self.count };
        if divisor <= 0.0 {
            return Ok(ScalarValue::Float64(None));
        }
        let variance = self.spread / divisor;
        Ok(ScalarValue::Float64(Some(if self.question.root { variance.sqrt() } else { variance })))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        Ok([self.count, self.sum, self.spread].map(|part| ScalarValue::Float64(Some(part))).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let [counts, sums, spreads] = states else { return Ok(()) };
        let part = |array: &ArrayRef, row: usize| array.as_primitive::<Float64Type>().value(row);
        for row in 0..counts.len() {
            let (count, sum, spread) = (part(counts, row), part(sums, row), part(spreads, row));
            if count == 0.0 {
                continue;
            }
            if self.count == 0.0 {
                (self.count, self.sum, self.spread) = (count, sum, spread);
                continue;
            }
            let total = self.count + count;
            let difference = self.sum / self.count - sum / count;
            self.spread += spread + self.count * count * difference * difference / total;
            self.sum += sum;
            self.count = total;
        }
        Ok(())
    }
}
