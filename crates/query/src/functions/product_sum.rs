//! `sum(a * b)` over decimals whose product has no fixed type.
//!
//! The digits of two columns together may be more than a decimal of 128 bits always holds, so that products are
//! numbers of any scale, which are computed one by one. Their sum needs none of them: it is kept in 256 bits,
//! where it always fits, and only what comes out is such a number.

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal256Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType as ArrowType, Decimal128Type, Decimal256Type, Field, FieldRef, i256,
};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use luma_model::arrow::ColumnBuilder;
use luma_model::{DECIMAL_DIGITS_MAX, DataType, Decimal, Error, ErrorKind, Numeric, Result, ValueRef};

use crate::error::to_datafusion;

/// Most digits of both factors together: a sum of 10 billion products fits in 256 bits then.
const DIGITS_MAX: u8 = 66;
/// Digits of sums.
const SUM_DIGITS: u8 = 76;

/// `sum(left * right)`, called `name`, of decimals of these precisions and scales; `None` where sums may not fit.
pub(crate) fn product_sum(
    name: String,
    (left, left_type): (Expr, (u8, u8)),
    (right, right_type): (Expr, (u8, u8)),
    filter: Option<Box<Expr>>,
) -> Option<Expr> {
    let scale = left_type.1 + right_type.1;
    if left_type.0 + right_type.0 > DIGITS_MAX || scale > DECIMAL_DIGITS_MAX {
        return None;
    }
    let sum = ProductSum { name, scale, signature: Signature::any(2, Volatility::Immutable) };
    let function = Arc::new(AggregateUDF::new_from_impl(sum));
    let sum = AggregateFunction::new_udf(function, vec![left, right], false, filter, Vec::new(), None);
    Some(Expr::AggregateFunction(sum))
}

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ProductSum {
    /// What the sum was called before it was this.
    name: String,
    /// Digits after the point.
    scale: u8,
    signature: Signature,
}

impl ProductSum {
    fn sums(&self) -> Sums {
        Sums { scale: self.scale, ..Sums::default() }
    }
}

impl AggregateUDFImpl for ProductSum {
    fn name(&self) -> &'static str {
        "sum_of_products"
    }

    fn schema_name(&self, _params: &AggregateFunctionParams) -> PlanResult<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::LargeBinary)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        let state = ArrowType::Decimal256(SUM_DIGITS, self.scale as i8);
        Ok(vec![Arc::new(Field::new(format!("{}[sum]", args.name), state, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        Ok(Box::new(OneSum { sums: self.sums(), group: Vec::new() }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> PlanResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.sums()))
    }
}

/// A sum for each group.
#[derive(Debug, Default)]
struct Sums {
    scale: u8,
    totals: Vec<i256>,
    /// Which groups have a value.
    filled: Vec<bool>,
}

impl Sums {
    fn resize(&mut self, groups: usize) {
        self.totals.resize(groups, i256::ZERO);
        self.filled.resize(groups, false);
    }

    fn add(&mut self, group: usize, value: i256) {
        if let (Some(sum), Some(filled)) = (self.totals.get_mut(group), self.filled.get_mut(group)) {
            *sum = sum.wrapping_add(value);
            *filled = true;
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<i256>, Vec<bool>) {
        (emit_to.take_needed(&mut self.totals), emit_to.take_needed(&mut self.filled))
    }

    fn states(&self, sums: Vec<i256>, filled: Vec<bool>) -> PlanResult<ArrayRef> {
        let sums = Decimal256Array::new(sums.into(), Some(NullBuffer::from(filled)));
        Ok(Arc::new(sums.with_precision_and_scale(SUM_DIGITS, self.scale as i8)?))
    }
}

/// Both factors of products.
fn factors(values: &[ArrayRef]) -> PlanResult<(&[i128], &[i128], Option<NullBuffer>)> {
    let [left, right] = values else { return internal_err!("a product has two factors") };
    let (Some(one), Some(other)) =
        (left.as_primitive_opt::<Decimal128Type>(), right.as_primitive_opt::<Decimal128Type>())
    else {
        return internal_err!("the factors of a sum of products are decimals");
    };
    Ok((one.values(), other.values(), NullBuffer::union(one.nulls(), other.nulls())))
}

fn product(one: i128, other: i128) -> i256 {
    match one.checked_mul(other) {
        Some(product) => i256::from_i128(product),
        None => i256::from_i128(one).wrapping_mul(i256::from_i128(other)),
    }
}

/// The rows that count: those that are no NULL and that the filter lets through.
fn counted(nulls: Option<NullBuffer>, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter.map(|filter| {
        let passes =
            filter.nulls().map_or_else(|| filter.values().clone(), |valid| filter.values() & valid.inner());
        NullBuffer::new(passes)
    });
    NullBuffer::union(nulls.as_ref(), filter.as_ref())
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> PlanResult<()> {
        let (left, right, nulls) = factors(values)?;
        self.resize(total);
        let rows = groups.iter().zip(left.iter().zip(right));
        match counted(nulls, filter) {
            None => rows.for_each(|(group, (one, other))| self.add(*group, product(*one, *other))),
            Some(counted) => {
                for (counts, (group, (one, other))) in counted.iter().zip(rows) {
                    if counts {
                        self.add(*group, product(*one, *other));
                    }
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> PlanResult<ArrayRef> {
        let (sums, filled) = self.take(emit_to);
        let mut builder = ColumnBuilder::new(&DataType::Numeric(None), sums.len());
        for (sum, filled) in sums.into_iter().zip(filled) {
            if filled {
                let number = number(sum, self.scale).map_err(to_datafusion)?;
                builder.append(ValueRef::Numeric(number.as_ref())).map_err(to_datafusion)?;
            } else {
                builder.append_null();
            }
        }
        Ok(builder.finish())
    }

    fn state(&mut self, emit_to: EmitTo) -> PlanResult<Vec<ArrayRef>> {
        let (sums, filled) = self.take(emit_to);
        Ok(vec![self.states(sums, filled)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> PlanResult<()> {
        let Some(states) = values.first().and_then(|states| states.as_primitive_opt::<Decimal256Type>())
        else {
            return internal_err!("the state of a sum of products is a decimal");
        };
        self.resize(total);
        for (group, sum) in groups.iter().zip(states) {
            if let Some(sum) = sum {
                self.add(*group, sum);
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> PlanResult<Vec<ArrayRef>> {
        let (left, right, nulls) = factors(values)?;
        let sums: Vec<i256> = left.iter().zip(right).map(|(one, other)| product(*one, *other)).collect();
        let filled =
            counted(nulls, filter).map_or_else(|| vec![true; sums.len()], |rows| rows.iter().collect());
        Ok(vec![self.states(sums, filled)?])
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i256>() + self.filled.capacity()
    }
}

/// A sum in units of 10^-scale.
fn number(sum: i256, scale: u8) -> Result<Numeric> {
    let decimal = sum.to_i128().and_then(|unscaled| Decimal::new(unscaled, scale).rescale(scale));
    match decimal {
        Some(decimal) => Ok(decimal.into()),
        None => Numeric::parse(&format!("{sum}e-{scale}"))
            .map_err(|_| Error::new(ErrorKind::OutOfRange, "value overflows numeric format")),
    }
}

/// The sum of all rows: that of a group that all are in.
#[derive(Debug)]
struct OneSum {
    sums: Sums,
    /// The group of each row of a batch.
    group: Vec<usize>,
}

impl OneSum {
    fn groups(&mut self, rows: usize) -> Vec<usize> {
        let mut groups = std::mem::take(&mut self.group);
        groups.resize(rows, 0);
        groups
    }
}

impl Accumulator for OneSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        let groups = self.groups(values.first().map_or(0, Array::len));
        self.sums.update_batch(values, &groups, None, 1)?;
        self.group = groups;
        Ok(())
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        self.sums.resize(1);
        ScalarValue::try_from_array(&self.sums.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.size() + self.group.capacity() * size_of::<usize>()
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        self.sums.resize(1);
        let states = self.sums.state(EmitTo::All)?;
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let groups = self.groups(states.first().map_or(0, Array::len));
        self.sums.merge_batch(states, &groups, 1)?;
        self.group = groups;
        Ok(())
    }
}
