//! `sum` of decimals whose sum has no fixed type, and of products of such.
//!
//! The digits of a sum, or of two factors together, may be more than a decimal of 128 bits always holds; numbers of
//! any scale are computed one by one. A sum needs none of them: it is kept in 256 bits, where it always fits, and only
//! what comes out is such a number.
//!
//! `sum(CASE WHEN condition THEN … ELSE 0 END)` is such a sum with a condition. The 0 has no digits after the point,
//! so a sum of nothing else has none either.

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

/// Most digits of all factors together: a sum of 10 billion products fits in 256 bits then.
const DIGITS_MAX: u8 = 66;
/// Digits of sums.
const SUM_DIGITS: u8 = 76;

/// Digits of values up to which the sum of 10 billion of them fits in 38.
const PLAIN_DIGITS_MAX: u8 = 28;

/// A factor, with its precision and its scale.
pub(crate) type Factor = (Expr, (u8, u8));

/// What is summed: one factor or a product of two, and where it is not 0.
pub(crate) struct Term {
    pub one: Factor,
    pub other: Option<Factor>,
    pub condition: Option<Expr>,
}

/// `sum(term)`, called `name`; `None` where another sum does, or none is sure to.
pub(crate) fn wide_sum(name: String, term: Term, filter: Option<Box<Expr>>) -> Option<Expr> {
    let Term { one, other, condition } = term;
    let types = [Some(one.1), other.as_ref().map(|other| other.1)];
    let digits: u8 = types.iter().flatten().map(|(precision, _)| precision).sum();
    let scale: u8 = types.iter().flatten().map(|(_, scale)| scale).sum();
    let plain = other.is_none() && condition.is_none() && digits <= PLAIN_DIGITS_MAX;
    if plain || digits > DIGITS_MAX || scale > DECIMAL_DIGITS_MAX {
        return None;
    }
    let factors = std::iter::once(one.0).chain(other.map(|other| other.0));
    let arguments: Vec<Expr> = factors.chain(condition).collect();
    let signature = Signature::any(arguments.len(), Volatility::Immutable);
    let function = Arc::new(AggregateUDF::new_from_impl(WideSum { name, scale, signature }));
    let sum = AggregateFunction::new_udf(function, arguments, false, filter, Vec::new(), None);
    Some(Expr::AggregateFunction(sum))
}

/// Whether an aggregate is one of [`wide_sum`].
pub(crate) fn is(function: &AggregateUDF) -> bool {
    function.inner().downcast_ref::<WideSum>().is_some()
}

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WideSum {
    /// What the sum was called before it was this.
    name: String,
    /// Digits after the point.
    scale: u8,
    signature: Signature,
}

impl WideSum {
    fn sums(&self) -> Sums {
        Sums { scale: self.scale, ..Sums::default() }
    }
}

impl AggregateUDFImpl for WideSum {
    fn name(&self) -> &'static str {
        "wide_sum"
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
        Ok(vec![
            Arc::new(Field::new(format!("{}[sum]", args.name), state, true)),
            Arc::new(Field::new(format!("{}[scaled]", args.name), ArrowType::Boolean, true)),
        ])
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

/// What a group has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Filled {
    /// No value.
    #[default]
    No,
    /// The 0 of a condition that did not hold.
    Zero,
    /// Values with digits after the point.
    Scaled,
}

/// A sum for each group.
#[derive(Debug, Default)]
struct Sums {
    scale: u8,
    totals: Vec<i256>,
    /// What each group has.
    filled: Vec<Filled>,
}

impl Sums {
    fn resize(&mut self, groups: usize) {
        self.totals.resize(groups, i256::ZERO);
        self.filled.resize(groups, Filled::No);
    }

    fn add(&mut self, group: usize, value: i256, with: Filled) {
        if let (Some(sum), Some(filled)) = (self.totals.get_mut(group), self.filled.get_mut(group)) {
            *sum = sum.wrapping_add(value);
            *filled = with.max(*filled);
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<i256>, Vec<Filled>) {
        (emit_to.take_needed(&mut self.totals), emit_to.take_needed(&mut self.filled))
    }

    fn states(&self, sums: Vec<i256>, filled: &[Filled]) -> PlanResult<Vec<ArrayRef>> {
        let valid: NullBuffer = filled.iter().map(|filled| *filled != Filled::No).collect();
        let scaled: BooleanArray = filled.iter().map(|filled| Some(*filled == Filled::Scaled)).collect();
        let sums = Decimal256Array::new(sums.into(), Some(valid));
        let sums = sums.with_precision_and_scale(SUM_DIGITS, self.scale as i8)?;
        Ok(vec![Arc::new(sums), Arc::new(scaled)])
    }
}

/// What is summed: the values of one column, or the products of two, where a condition holds, and 0 elsewhere.
struct Terms<'a> {
    one: &'a [i128],
    other: Option<&'a [i128]>,
    nulls: Option<NullBuffer>,
    condition: Option<&'a BooleanArray>,
}

impl<'a> Terms<'a> {
    fn new(values: &'a [ArrayRef]) -> PlanResult<Self> {
        let decimals = |array: &'a ArrayRef| array.as_primitive_opt::<Decimal128Type>();
        let (values, condition) = match values {
            [factors @ .., last] if let Some(condition) = last.as_boolean_opt() => (factors, Some(condition)),
            factors => (factors, None),
        };
        match values {
            [one] if let Some(one) = decimals(one) => {
                Ok(Self { one: one.values(), other: None, nulls: one.nulls().cloned(), condition })
            }
            [one, other] if let (Some(one), Some(other)) = (decimals(one), decimals(other)) => {
                let nulls = NullBuffer::union(one.nulls(), other.nulls());
                Ok(Self { one: one.values(), other: Some(other.values()), nulls, condition })
            }
            _ => internal_err!("a sum is of decimals"),
        }
    }

    /// Gives each term with its row to `visit`; NULLs, and those that the filter leaves out, are none.
    fn for_each(&self, filter: Option<&BooleanArray>, mut visit: impl FnMut(usize, i256, Filled)) {
        let term = |row: usize, one: &i128| match self.other.and_then(|other| other.get(row)) {
            Some(other) => product(*one, *other),
            None => i256::from_i128(*one),
        };
        let Some(condition) = self.condition else {
            let counted = counted(self.nulls.clone(), filter);
            for (row, one) in self.one.iter().enumerate() {
                if counted.as_ref().is_none_or(|counted| counted.is_valid(row)) {
                    visit(row, term(row, one), Filled::Scaled);
                }
            }
            return;
        };
        let counted = counted(None, filter);
        for (row, one) in self.one.iter().enumerate() {
            if !counted.as_ref().is_none_or(|counted| counted.is_valid(row)) {
                continue;
            }
            if !(condition.is_valid(row) && condition.value(row)) {
                visit(row, i256::ZERO, Filled::Zero);
            } else if self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                visit(row, term(row, one), Filled::Scaled);
            }
        }
    }
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
        let terms = Terms::new(values)?;
        self.resize(total);
        terms.for_each(filter, |row, term, with| {
            if let Some(group) = groups.get(row) {
                self.add(*group, term, with);
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> PlanResult<ArrayRef> {
        let (sums, filled) = self.take(emit_to);
        let mut builder = ColumnBuilder::new(&DataType::Numeric(None), sums.len());
        for (sum, filled) in sums.into_iter().zip(filled) {
            match filled {
                Filled::No => builder.append_null(),
                Filled::Zero => {
                    builder.append(ValueRef::Numeric(Numeric::ZERO.as_ref())).map_err(to_datafusion)?;
                }
                Filled::Scaled => {
                    let number = number(sum, self.scale).map_err(to_datafusion)?;
                    builder.append(ValueRef::Numeric(number.as_ref())).map_err(to_datafusion)?;
                }
            }
        }
        Ok(builder.finish())
    }

    fn state(&mut self, emit_to: EmitTo) -> PlanResult<Vec<ArrayRef>> {
        let (sums, filled) = self.take(emit_to);
        self.states(sums, &filled)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> PlanResult<()> {
        let [sums, scaled] = values else { return internal_err!("the state of a sum has two parts") };
        let (Some(sums), Some(scaled)) = (sums.as_primitive_opt::<Decimal256Type>(), scaled.as_boolean_opt())
        else {
            return internal_err!(
                "the state of a sum is a decimal and whether it has digits after the point"
            );
        };
        self.resize(total);
        for ((group, sum), scaled) in groups.iter().zip(sums).zip(scaled) {
            if let Some(sum) = sum {
                self.add(*group, sum, if scaled == Some(true) { Filled::Scaled } else { Filled::Zero });
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> PlanResult<Vec<ArrayRef>> {
        let terms = Terms::new(values)?;
        let mut sums = vec![i256::ZERO; terms.one.len()];
        let mut filled = vec![Filled::No; sums.len()];
        terms.for_each(filter, |row, term, with| {
            if let (Some(sum), Some(filled)) = (sums.get_mut(row), filled.get_mut(row)) {
                (*sum, *filled) = (term, with);
            }
        });
        self.states(sums, &filled)
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i256>() + self.filled.capacity()
    }
}

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
