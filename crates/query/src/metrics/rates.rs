//! Aggregates over samples: `increase(value, ts)`, `rate(value, ts)` and `delta(value, ts)`.
//!
//! `increase` is what a counter grew by from the first sample of a group to the last: where it falls it began again from
//! zero. `rate` is that by the seconds between the two. `delta` is the last less the first. Nothing is extrapolated to the
//! ends of the group's time, which PromQL does; who wants its numbers asks `promql`.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType as ArrowType, Field, FieldRef, Float64Type, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use luma_model::DataType;
use luma_model::arrow::{arrow_type, data_type};

use crate::error::to_datafusion;
use crate::functions::overload::undefined;

/// What of a group's samples is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Increase,
    Rate,
    Delta,
}

/// All of them.
pub(crate) fn functions() -> impl Iterator<Item = AggregateUDF> {
    [("increase", Kind::Increase), ("rate", Kind::Rate), ("delta", Kind::Delta)].into_iter().map(
        |(name, kind)| {
            AggregateUDF::new_from_impl(Rate {
                name,
                kind,
                signature: Signature::user_defined(Volatility::Immutable),
            })
        },
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rate {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl AggregateUDFImpl for Rate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[ArrowType]) -> PlanResult<Vec<ArrowType>> {
        let [value, time] = arguments else {
            return Err(to_datafusion(undefined(self.name, &[])));
        };
        let number = value.is_numeric() || *value == ArrowType::Null;
        if number && matches!(time, ArrowType::Timestamp(..) | ArrowType::Date32) {
            return Ok(vec![ArrowType::Float64, arrow_type(&DataType::Timestamp)]);
        }
        let known = |arrow: &ArrowType| data_type(&Field::new("", arrow.clone(), true)).ok();
        Err(to_datafusion(undefined(self.name, &[known(value), known(time)])))
    }

    fn return_type(&self, _: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::Float64)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        Ok(Box::new(Samples { kind: self.kind, samples: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        let list = |what: &str, of: ArrowType| {
            let item = Field::new_list_field(of, true);
            Arc::new(Field::new_list(format!("{}[{what}]", args.name), item, true))
        };
        Ok(vec![list("values", ArrowType::Float64), list("times", arrow_type(&DataType::Timestamp))])
    }
}

/// The samples of a group: which one is followed by which is known when all are there.
#[derive(Debug)]
struct Samples {
    kind: Kind,
    samples: Vec<(i64, f64)>,
}

impl Samples {
    fn add(&mut self, values: &dyn Array, times: &dyn Array) {
        let values = values.as_primitive::<Float64Type>();
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let pairs = values.iter().zip(times.iter());
        self.samples.extend(pairs.filter_map(|(value, time)| Some((time?, value?))));
    }

    fn result(&mut self) -> Option<f64> {
        self.samples.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.total_cmp(b)));
        self.samples.dedup_by(|(one, _), (other, _)| one == other);
        let ((first_time, first), (last_time, last)) = (self.samples.first()?, self.samples.last()?);
        if first_time == last_time {
            return None;
        }
        let falls = self.samples.windows(2).filter_map(|pair| match pair {
            [(_, before), (_, after)] if after.partial_cmp(before) == Some(Ordering::Less) => Some(*before),
            _ => None,
        });
        let increase = || last - first + falls.sum::<f64>();
        Some(match self.kind {
            Kind::Delta => last - first,
            Kind::Increase => increase(),
            Kind::Rate => increase() / ((last_time - first_time) as f64 / 1e6),
        })
    }
}

impl Accumulator for Samples {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        if let [values, times] = values {
            self.add(values.as_ref(), times.as_ref());
        }
        Ok(())
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        Ok(ScalarValue::Float64(self.result()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.samples.capacity() * size_of::<(i64, f64)>()
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> =
            self.samples.iter().map(|(_, value)| ScalarValue::Float64(Some(*value))).collect();
        let times: Vec<ScalarValue> =
            self.samples.iter().map(|(t, _)| ScalarValue::TimestampMicrosecond(Some(*t), None)).collect();
        Ok(vec![
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &ArrowType::Float64)),
            ScalarValue::List(ScalarValue::new_list_nullable(&times, &arrow_type(&DataType::Timestamp))),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        if let [values, times] = states {
            let (values, times) = (values.as_list::<i32>(), times.as_list::<i32>());
            for (values, times) in values.iter().zip(times.iter()) {
                if let (Some(values), Some(times)) = (values, times) {
                    self.add(values.as_ref(), times.as_ref());
                }
            }
        }
        Ok(())
    }
}
