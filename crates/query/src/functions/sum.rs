//! `sum` with numbers of any scale beside what DataFusion's own sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use luma_model::arrow::{CellReader, ColumnBuilder};
use luma_model::{DataType, Numeric, NumericRef, Result, ValueRef};

use crate::error::to_datafusion;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PostgresSum {
    plain: Sum,
    signature: Signature,
}

impl PostgresSum {
    pub(crate) fn new() -> Self {
        Self { plain: Sum::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn is_number(arrow: Option<&ArrowType>) -> bool {
    arrow == Some(&ArrowType::LargeBinary)
}

fn sums_numbers(args: &AccumulatorArgs<'_>) -> bool {
    is_number(Some(args.return_field.data_type()))
}

impl AggregateUDFImpl for PostgresSum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[ArrowType]) -> PlanResult<Vec<ArrowType>> {
        let [argument] = arguments else {
            return Err(to_datafusion(crate::functions::overload::undefined("sum", &[])));
        };
        Ok(vec![match argument {
            ArrowType::LargeBinary
            | ArrowType::Float64
            | ArrowType::Decimal128(..)
            | ArrowType::Interval(_) => argument.clone(),
            ArrowType::Null | ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64 => {
                ArrowType::Int64
            }
            ArrowType::UInt8 | ArrowType::UInt16 | ArrowType::UInt32 | ArrowType::UInt64 => ArrowType::Int64,
            ArrowType::Float16 | ArrowType::Float32 => ArrowType::Float64,
            other => {
                let field = Field::new("", other.clone(), true);
                let given = luma_model::arrow::data_type(&field).ok();
                return Err(to_datafusion(crate::functions::overload::undefined("sum", &[given])));
            }
        }])
    }

    fn return_type(&self, arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        if is_number(arguments.first()) {
            Ok(ArrowType::LargeBinary)
        } else {
            self.plain.return_type(arguments)
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        if sums_numbers(&args) {
            return Ok(Box::new(NumberSum { distinct: args.is_distinct, ..NumberSum::default() }));
        }
        self.plain.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        if is_number(Some(args.return_field.data_type())) {
            if args.is_distinct {
                let item = Field::new_list_field(ArrowType::LargeBinary, true);
                return Ok(vec![Arc::new(Field::new_list(format!("{}[numbers]", args.name), item, true))]);
            }
            return Ok(vec![Arc::new(Field::new(
                format!("{}[sum]", args.name),
                ArrowType::LargeBinary,
                true,
            ))]);
        }
        self.plain.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !sums_numbers(&args) && self.plain.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn GroupsAccumulator>> {
        self.plain.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        if sums_numbers(&args) {
            let (distinct, scales) = (args.is_distinct, Scales::counted());
            return Ok(Box::new(NumberSum { scales, distinct, ..NumberSum::default() }));
        }
        self.plain.create_sliding_accumulator(args)
    }
}

/// How many numbers of each scale a sliding window has: as they leave, a sum shows fewer digits again.
#[derive(Debug, Default)]
pub(super) struct Scales(Option<BTreeMap<u32, i64>>);

impl Scales {
    /// Scales of a window; without counting there is nothing to cut.
    pub(super) fn counted() -> Self {
        Self(Some(BTreeMap::new()))
    }

    /// Counts a finite number in or out.
    pub(super) fn change(&mut self, number: NumericRef<'_>, sign: i64) {
        let (Some(counts), Some(scale)) = (&mut self.0, number.scale()) else { return };
        let count = counts.entry(scale).or_insert(0);
        *count += sign;
        if *count == 0 {
            counts.remove(&scale);
        }
    }

    /// A sum of products of so many numbers with the digits that those in the window have.
    pub(super) fn cut(&self, sum: NumericRef<'_>, factors: u32) -> Result<Numeric> {
        match &self.0 {
            None => Ok(sum.to_owned()),
            Some(counts) => {
                let scale = counts.last_key_value().map_or(0, |(scale, _)| scale * factors);
                sum.round(scale.try_into().unwrap_or(i32::MAX))
            }
        }
    }
}

/// The sum of numbers of any scale.
#[derive(Debug, Default)]
struct NumberSum {
    sum: Numeric,
    count: i64,
    /// How many were NaN, infinity and -infinity: they can be taken out again.
    special: [i64; 3],
    scales: Scales,
    distinct: bool,
    /// What a distinct sum has counted.
    seen: std::collections::HashSet<Numeric>,
}

impl NumberSum {
    fn add(&mut self, array: &dyn Array, sign: i64) -> Result<()> {
        let reader = CellReader::new(array, &DataType::Numeric(None))?;
        for row in 0..array.len() {
            let ValueRef::Numeric(number) = reader.get(row)? else { continue };
            if self.distinct && !self.seen.insert(number.to_owned()) {
                continue;
            }
            self.count += sign;
            if number.is_finite() {
                self.scales.change(number, sign);
                let sum = self.sum.as_ref();
                self.sum = if sign < 0 { sum.sub(number)? } else { sum.add(number)? };
                continue;
            }
            let place = match number.signum() {
                _ if number.is_nan() => 0,
                1 => 1,
                _ => 2,
            };
            self.special[place] += sign;
        }
        Ok(())
    }

    fn result(&self) -> Result<Numeric> {
        Ok(match self.special {
            [0, 0, 0] => self.scales.cut(self.sum.as_ref(), 1)?,
            [0, _, 0] => Numeric::infinity(),
            [0, 0, _] => Numeric::negative_infinity(),
            _ => Numeric::nan(),
        })
    }
}

/// Numbers as a column.
pub(super) fn column(numbers: &mut dyn Iterator<Item = Numeric>) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(&DataType::Numeric(None), 1);
    for number in numbers {
        builder.append(ValueRef::Numeric(number.as_ref()))?;
    }
    Ok(builder.finish())
}

impl Accumulator for NumberSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.add(values[0].as_ref(), 1).map_err(to_datafusion)
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&ArrowType::LargeBinary);
        }
        let result = self.result().map_err(to_datafusion)?;
        let column = column(&mut std::iter::once(result)).map_err(to_datafusion)?;
        ScalarValue::try_from_array(&column, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.capacity() * size_of::<Numeric>()
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        if self.distinct {
            let column = column(&mut self.seen.iter().cloned()).map_err(to_datafusion)?;
            let list = datafusion::common::utils::SingleRowListArrayBuilder::new(column).build_list_scalar();
            return Ok(vec![list]);
        }
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        if self.distinct {
            use datafusion::arrow::array::AsArray;
            for list in states[0].as_list::<i32>().iter().flatten() {
                self.add(list.as_ref(), 1).map_err(to_datafusion)?;
            }
            return Ok(());
        }
        self.add(states[0].as_ref(), 1).map_err(to_datafusion)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.add(values[0].as_ref(), -1).map_err(to_datafusion)
    }

    fn supports_retract_batch(&self) -> bool {
        !self.distinct
    }
}
