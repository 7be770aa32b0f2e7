#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::interval::Interval;
use crate::numeric::Numeric;
use crate::value::{ArrayValue, Value};

fn any_value() -> impl Strategy<Value = (DataType, Value)> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(|v| (DataType::Bool, Value::Bool(v))),
        any::<i16>().prop_map(|v| (DataType::Int2, Value::Int2(v))),
        any::<i32>().prop_map(|v| (DataType::Int4, Value::Int4(v))),
        any::<i64>().prop_map(|v| (DataType::Int8, Value::Int8(v))),
        any::<f32>().prop_map(|v| (DataType::Float4, Value::Float4(v))),
        any::<f64>().prop_map(|v| (DataType::Float8, Value::Float8(v))),
        (any::<i128>(), 0u8..=38)
            .prop_map(|(v, s)| { (DataType::Numeric(None), Value::Numeric(Numeric::new(v, s))) }),
        (any::<i16>(), 0u8..=5)
            .prop_map(|(v, s)| { (DataType::Numeric(None), Value::Numeric(Numeric::new(v.into(), s))) }),
        "-?[0-9]{30,60}(\\.[0-9]{0,60})?|NaN|-?Infinity"
            .prop_map(|text| (DataType::Numeric(None), Value::Numeric(Numeric::parse(&text).unwrap()))),
        ".{0,40}".prop_map(|v| (DataType::Text, Value::Text(v))),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|v| (DataType::Bytea, Value::Bytea(v))),
        any::<i32>().prop_map(|v| (DataType::Date, Value::Date(v))),
        any::<i64>().prop_map(|v| (DataType::Time, Value::Time(v))),
        any::<i64>().prop_map(|v| (DataType::Timestamp, Value::Timestamp(v))),
        any::<i64>().prop_map(|v| (DataType::TimestampTz, Value::TimestampTz(v))),
        any::<(i32, i32, i64)>()
            .prop_map(|(m, d, u)| (DataType::Interval, Value::Interval(Interval::new(m, d, u)))),
        any::<[u8; 16]>().prop_map(|v| (DataType::Uuid, Value::Uuid(v))),
        any::<u32>().prop_map(|v| (DataType::Oid, Value::Oid(v))),
        Just((DataType::Text, Value::Null)),
        proptest::collection::vec(proptest::option::of(".{0,9}"), 0..9).prop_map(|v| {
            let elements = v.into_iter().map(|v| v.map_or(Value::Null, Value::Text)).collect();
            (DataType::Text.array_of(), Value::Array(ArrayValue { elements }))
        }),
    ];
    scalar
}

proptest! {
    #[test]
    fn a_row_gives_back_every_column(columns in proptest::collection::vec(any_value(), 0..20)) {
        let values: Vec<ValueRef<'_>> = columns.iter().map(|(_, value)| value.as_ref()).collect();
        let mut bytes = vec![7, 7];
        encode_row(&values, &mut bytes);
        let view = RowView::new(&bytes[2..]).unwrap();
        prop_assert_eq!(view.len(), values.len());
        for (place, (data_type, value)) in columns.iter().enumerate() {
            let read = view.get(place, data_type).unwrap().unwrap();
            prop_assert_eq!(format!("{:?}", read.to_owned()), format!("{value:?}"));
        }
        prop_assert!(view.get(columns.len(), &DataType::Text).unwrap().is_none());
    }

    #[test]
    fn damaged_rows_give_errors_and_never_panic(
        columns in proptest::collection::vec(any_value(), 1..9),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let values: Vec<ValueRef<'_>> = columns.iter().map(|(_, value)| value.as_ref()).collect();
        let mut bytes = Vec::new();
        encode_row(&values, &mut bytes);
        let cut = length.index(bytes.len());
        prop_assert!(RowView::new(&bytes[..cut]).is_err());
        let at = place.index(bytes.len());
        bytes[at] = byte;
        if let Ok(view) = RowView::new(&bytes) {
            for (place, (data_type, _)) in columns.iter().enumerate() {
                if let Ok(Some(ValueRef::Array(array))) = view.get(place, data_type) {
                    let _ = array.to_owned();
                }
            }
        }
    }
}

#[test]
fn ends_grow_with_the_row() {
    for length in [0usize, 1, 254, 255, 256, 65_535, 65_536, 70_000] {
        let text = "x".repeat(length);
        let values = [ValueRef::Int4(5), ValueRef::Text(&text), ValueRef::Null, ValueRef::Bool(true)];
        let mut bytes = Vec::new();
        encode_row(&values, &mut bytes);
        let view = RowView::new(&bytes).unwrap();
        assert_eq!(view.get(0, &DataType::Int4).unwrap(), Some(ValueRef::Int4(5)));
        assert_eq!(view.get(1, &DataType::Text).unwrap(), Some(ValueRef::Text(&text)));
        assert_eq!(view.get(2, &DataType::Text).unwrap(), Some(ValueRef::Null));
        assert_eq!(view.get(3, &DataType::Bool).unwrap(), Some(ValueRef::Bool(true)));
    }
}

#[test]
fn a_short_row_costs_three_bytes_and_one_per_column() {
    let mut bytes = Vec::new();
    encode_row(&[ValueRef::Int4(1), ValueRef::Int4(2), ValueRef::Text("abc")], &mut bytes);
    assert_eq!(bytes, [1, 3, 0, 4, 8, 11, 1, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', b'c']);
}

#[test]
fn many_columns_are_counted_in_four_bytes() {
    let values = vec![ValueRef::Int2(3); 1000];
    let mut bytes = Vec::new();
    encode_row(&values, &mut bytes);
    let view = RowView::new(&bytes).unwrap();
    assert_eq!(view.len(), 1000);
    assert_eq!(view.get(999, &DataType::Int2).unwrap(), Some(ValueRef::Int2(3)));
}
