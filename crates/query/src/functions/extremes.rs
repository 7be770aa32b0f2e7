//! The least and the greatest float of each group, as PostgreSQL orders them: NaN above all other numbers, infinity included.
//!
//! DataFusion's own begin with the greatest finite number, and compare with NaN neither way.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array};
use datafusion::arrow::compute::{not, nullif, prep_null_mask_filter};
use datafusion::arrow::datatypes::{DataType as ArrowType, Float32Type, Float64Type};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// Whether the aggregate is one of these.
pub(super) fn applies(name: &str, given: &ArrowType) -> bool {
    matches!(name, "min" | "max") && matches!(given, ArrowType::Float32 | ArrowType::Float64)
}

/// The state of all groups.
pub(super) struct Extremes {
    greatest: bool,
    single: bool,
    /// Of each group; `None` before its first value.
    found: Vec<Option<f64>>,
}

impl Extremes {
    pub(super) fn new(greatest: bool, given: &ArrowType) -> Self {
        Self { greatest, single: *given == ArrowType::Float32, found: Vec::new() }
    }

    fn replaces(&self, new: f64, known: f64) -> bool {
        let above = |one: f64, other: f64| one > other || (one.is_nan() && !other.is_nan());
        if self.greatest { above(new, known) } else { above(known, new) }
    }

    fn take(&mut self, group: usize, new: f64) {
        let replaces = self.found.get(group).copied().flatten().is_none_or(|known| self.replaces(new, known));
        if let (true, Some(place)) = (replaces, self.found.get_mut(group)) {
            *place = Some(new);
        }
    }

    fn array(&mut self, emit_to: EmitTo) -> ArrayRef {
        let values = emit_to.take_needed(&mut self.found);
        if self.single {
            Arc::new(
                values.into_iter().map(|value| value.map(|value| value as f32)).collect::<Float32Array>(),
            )
        } else {
            Arc::new(values.into_iter().collect::<Float64Array>())
        }
    }
}

impl GroupsAccumulator for Extremes {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> PlanResult<()> {
        self.found.resize(groups, None);
        let [values] = values else { return Err(exec_datafusion_err!("min and max take one argument")) };
        let wanted = |row: usize| {
            values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        };
        if let Some(values) = values.as_primitive_opt::<Float64Type>() {
            for (row, (value, group)) in values.values().iter().zip(group_indices).enumerate() {
                if wanted(row) {
                    self.take(*group, *value);
                }
            }
        } else if let Some(values) = values.as_primitive_opt::<Float32Type>() {
            for (row, (value, group)) in values.values().iter().zip(group_indices).enumerate() {
                if wanted(row) {
                    self.take(*group, (*value).into());
                }
            }
        } else {
            return Err(exec_datafusion_err!("the least of {} is not that of floats", values.data_type()));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> PlanResult<ArrayRef> {
        Ok(self.array(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> PlanResult<Vec<ArrayRef>> {
        Ok(vec![self.array(emit_to)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> PlanResult<()> {
        self.update_batch(values, group_indices, None, groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> PlanResult<Vec<ArrayRef>> {
        // The state of a group of one row is its value.
        let [values] = values else { return Err(exec_datafusion_err!("min and max take one argument")) };
        let Some(filter) = filter else { return Ok(vec![Arc::clone(values)]) };
        let left_out = not(&prep_null_mask_filter(filter))?;
        Ok(vec![nullif(values, &left_out)?])
    }

    fn size(&self) -> usize {
        self.found.capacity() * size_of::<Option<f64>>()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_above_infinity_in_whatever_order_they_come() {
        let (nan, infinity) = (f64::NAN, f64::INFINITY);
        for values in [[nan, 1.0, -infinity], [1.0, nan, -infinity], [-infinity, 1.0, nan]] {
            let array: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
            let mut greatest = Extremes::new(true, &ArrowType::Float64);
            let mut least = Extremes::new(false, &ArrowType::Float64);
            for state in [&mut greatest, &mut least] {
                state.update_batch(&[Arc::clone(&array)], &[0, 0, 0], None, 2).unwrap();
            }
            let shown = |state: &mut Extremes| {
                let array = state.evaluate(EmitTo::All).unwrap();
                assert!(array.is_null(1), "a group without values has none");
                array.as_primitive::<Float64Type>().value(0)
            };
            assert!(shown(&mut greatest).is_nan());
            assert_eq!(shown(&mut least), -infinity);
        }
        let lonely: ArrayRef = Arc::new(Float32Array::from(vec![f32::NEG_INFINITY]));
        let mut greatest = Extremes::new(true, &ArrowType::Float32);
        greatest.update_batch(&[lonely], &[0], None, 1).unwrap();
        let array = greatest.evaluate(EmitTo::All).unwrap();
        assert_eq!(array.as_primitive::<Float32Type>().value(0), f32::NEG_INFINITY);
    }
}
