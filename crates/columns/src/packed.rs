//! A column's values in memory, in no more bytes than they need.
//!
//! Numbers of a table are mostly small: prices in cents, keys below two thousand millions. They are kept in 32 or 64 bits where that is
//! enough and made as wide as their type when they are read, which takes less time than reading memory for the wide ones.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array,
    PrimitiveArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::filter;
use arrow::datatypes::{DataType as ArrowType, Decimal128Type, Int32Type, Int64Type};
use luma_model::{Error, Result};

/// Some rows of a column.
#[derive(Debug)]
pub(crate) enum Packed {
    /// As they are given.
    Plain(ArrayRef),
    /// Whole numbers or decimals of a wider type.
    Small(Int32Array, ArrowType),
    Middle(Int64Array, ArrowType),
}

impl Packed {
    pub fn new(array: ArrayRef) -> Self {
        let data_type = array.data_type().clone();
        let (small, middle) = match data_type {
            ArrowType::Int64 => {
                (narrowed(array.as_primitive::<Int64Type>(), |value| i32::try_from(value).ok()), None)
            }
            ArrowType::Decimal128(..) => {
                let wide = array.as_primitive::<Decimal128Type>();
                let small = narrowed(wide, |value| i32::try_from(value).ok());
                let middle =
                    if small.is_none() { narrowed(wide, |value| i64::try_from(value).ok()) } else { None };
                (small, middle)
            }
            _ => (None, None),
        };
        match (small, middle) {
            (Some(small), _) => Self::Small(small, data_type),
            (None, Some(middle)) => Self::Middle(middle, data_type),
            (None, None) => Self::Plain(fitting(array)),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Plain(array) => array.get_array_memory_size(),
            Self::Small(array, _) => array.get_array_memory_size(),
            Self::Middle(array, _) => array.get_array_memory_size(),
        }
    }

    /// All values.
    pub fn all(&self) -> Result<ArrayRef> {
        match self {
            Self::Plain(array) => Ok(Arc::clone(array)),
            Self::Small(array, data_type) => widened(array, data_type),
            Self::Middle(array, data_type) => widened(array, data_type),
        }
    }

    /// The values of some rows.
    pub fn chosen(&self, rows: &BooleanArray) -> Result<ArrayRef> {
        let failed = |error: arrow::error::ArrowError| Error::internal(format!("rows of a column: {error}"));
        match self {
            Self::Plain(array) => filter(array, rows).map_err(failed),
            Self::Small(array, data_type) => {
                widened(filter(array, rows).map_err(failed)?.as_primitive::<Int32Type>(), data_type)
            }
            Self::Middle(array, data_type) => {
                widened(filter(array, rows).map_err(failed)?.as_primitive::<Int64Type>(), data_type)
            }
        }
    }
}

/// An array that holds no more memory than its values.
fn fitting(mut array: ArrayRef) -> ArrayRef {
    array.shrink_to_fit();
    array
}

fn narrowed<From, To>(
    wide: &PrimitiveArray<From>,
    narrow: impl Fn(From::Native) -> Option<To::Native>,
) -> Option<PrimitiveArray<To>>
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType,
{
    let mut values = Vec::with_capacity(wide.len());
    for (row, value) in wide.values().iter().enumerate() {
        // What stands where there is no value may be anything.
        match narrow(*value) {
            Some(value) => values.push(value),
            None if wide.is_null(row) => values.push(To::Native::default()),
            None => return None,
        }
    }
    Some(PrimitiveArray::new(values.into(), wide.nulls().cloned()))
}

fn widened<From>(array: &PrimitiveArray<From>, data_type: &ArrowType) -> Result<ArrayRef>
where
    From: ArrowPrimitiveType,
    From::Native: Into<i64> + Into<i128>,
{
    let nulls = array.nulls().cloned();
    match data_type {
        ArrowType::Int64 => {
            let values: ScalarBuffer<i64> = array.values().iter().map(|value| (*value).into()).collect();
            Ok(Arc::new(Int64Array::new(values, nulls)))
        }
        ArrowType::Decimal128(precision, scale) => {
            let values: ScalarBuffer<i128> = array.values().iter().map(|value| (*value).into()).collect();
            let decimals = Decimal128Array::new(values, nulls).with_precision_and_scale(*precision, *scale);
            let decimals = decimals.map_err(|error| Error::internal(format!("decimals: {error}")))?;
            Ok(Arc::new(decimals))
        }
        other => Err(Error::internal(format!("{other} is not kept narrow"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{StringArray, new_null_array};

    use super::*;

    fn arrays() -> Vec<ArrayRef> {
        let decimals = |values: Vec<Option<i128>>| -> ArrayRef {
            Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, 2).unwrap())
        };
        vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(-7)])),
            Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)])),
            decimals(vec![Some(5), None, Some(i128::from(i32::MIN))]),
            decimals(vec![Some(5), None, Some(i128::from(i32::MAX) + 1)]),
            decimals(vec![Some(5), None, Some(i128::from(i64::MIN) - 1)]),
            Arc::new(StringArray::from(vec![Some("größe"), None, Some("")])),
            new_null_array(&ArrowType::Boolean, 3),
        ]
    }

    #[test]
    fn values_come_back_as_they_were() {
        let rows = BooleanArray::from(vec![true, true, false]);
        for array in arrays() {
            let packed = Packed::new(Arc::clone(&array));
            assert_eq!(&packed.all().unwrap(), &array);
            assert_eq!(&packed.chosen(&rows).unwrap(), &filter(&array, &rows).unwrap());
        }
    }

    #[test]
    fn small_numbers_take_few_bytes() {
        let packed: Vec<Packed> = arrays().into_iter().map(Packed::new).collect();
        assert!(matches!(packed[0], Packed::Small(..)));
        assert!(matches!(packed[1], Packed::Plain(..)));
        assert!(matches!(packed[2], Packed::Small(..)));
        assert!(matches!(packed[3], Packed::Middle(..)));
        assert!(matches!(packed[4], Packed::Plain(..)));
    }
}
