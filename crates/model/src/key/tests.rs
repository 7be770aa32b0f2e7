#![allow(clippy::unwrap_used, clippy::panic)]

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::interval::Interval;
use crate::numeric::Numeric;
use crate::types::DataType;
use crate::value::{ArrayValue, Value, ValueRef};

fn key(value: &Value, data_type: &DataType, order: KeyOrder) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(value.as_ref(), data_type, order, &mut out).unwrap();
    out
}

/// The order that keys must have, written without regard to bytes.
fn wanted(one: &Value, other: &Value, order: KeyOrder) -> Ordering {
    let nulls = |before: bool| if before == order.nulls_first { Ordering::Less } else { Ordering::Greater };
    match (one, other) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => nulls(true),
        (_, Value::Null) => nulls(false),
        _ if order.descending => natural(other, one),
        _ => natural(one, other),
    }
}

fn float(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
}

fn natural(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Int2(one), Value::Int2(other)) => one.cmp(other),
        (Value::Int4(one), Value::Int4(other)) | (Value::Date(one), Value::Date(other)) => one.cmp(other),
        (Value::Int8(one), Value::Int8(other)) | (Value::Timestamp(one), Value::Timestamp(other)) => {
            one.cmp(other)
        }
        (Value::Float4(one), Value::Float4(other)) => float((*one).into(), (*other).into()),
        (Value::Float8(one), Value::Float8(other)) => float(*one, *other),
        (Value::Numeric(one), Value::Numeric(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Bytea(one), Value::Bytea(other)) => one.cmp(other),
        (Value::Interval(one), Value::Interval(other)) => one.cmp(other),
        (Value::Uuid(one), Value::Uuid(other)) => one.cmp(other),
        (Value::Oid(one), Value::Oid(other)) => one.cmp(other),
        (Value::Array(one), Value::Array(other)) => {
            let pairs = one.elements.iter().zip(&other.elements);
            let first = pairs.map(|(one, other)| wanted(one, other, KeyOrder::ASCENDING)).find(|o| o.is_ne());
            first.unwrap_or_else(|| one.elements.len().cmp(&other.elements.len()))
        }
        _ => panic!("two types"),
    }
}

fn null_or(strategy: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 9 => strategy].boxed()
}

fn numeric() -> impl Strategy<Value = Numeric> {
    prop_oneof![
        (-200i128..200, 0u8..5).prop_map(|(n, s)| Numeric::new(n, s)),
        (any::<i64>(), 0u8..20).prop_map(|(n, s)| Numeric::new(n.into(), s)),
        (-(10i128.pow(38) - 1)..10i128.pow(38), 0u8..=38).prop_map(|(n, s)| Numeric::new(n, s)),
        "-?[0-9]{1,60}(\\.[0-9]{0,60})?|NaN|-?Infinity|-?[1-9]e-?[0-9]{1,4}"
            .prop_map(|text| Numeric::parse(&text).unwrap()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[\\x00ab\u{e9}]{0,6}"
}

fn of_type(data_type: &DataType) -> BoxedStrategy<Value> {
    match data_type {
        DataType::Bool => null_or(any::<bool>().prop_map(Value::Bool)),
        DataType::Int2 => null_or(any::<i16>().prop_map(Value::Int2)),
        DataType::Int4 => null_or(any::<i32>().prop_map(Value::Int4)),
        DataType::Int8 => null_or(any::<i64>().prop_map(Value::Int8)),
        DataType::Float4 => null_or(proptest::num::f32::ANY.prop_map(Value::Float4)),
        DataType::Float8 => null_or(
            prop_oneof![proptest::num::f64::ANY, Just(0.0), Just(-0.0), Just(f64::NAN)]
                .prop_map(Value::Float8),
        ),
        DataType::Numeric(_) => null_or(numeric().prop_map(Value::Numeric)),
        DataType::Text => null_or(text().prop_map(Value::Text)),
        DataType::Bytea => null_or(
            proptest::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..6)
                .prop_map(Value::Bytea),
        ),
        DataType::Date => null_or(any::<i32>().prop_map(Value::Date)),
        DataType::Timestamp => null_or(any::<i64>().prop_map(Value::Timestamp)),
        DataType::Interval => null_or(
            (-3i32..3, -90i32..90, any::<i64>())
                .prop_map(|(m, d, u)| Value::Interval(Interval::new(m, d, u))),
        ),
        DataType::Uuid => null_or(any::<[u8; 16]>().prop_map(Value::Uuid)),
        DataType::Oid => null_or(any::<u32>().prop_map(Value::Oid)),
        DataType::Array(element) => null_or(
            proptest::collection::vec(of_type(element), 0..4)
                .prop_map(|elements| Value::Array(ArrayValue { elements })),
        ),
        _ => panic!("not generated"),
    }
}

fn any_type() -> impl Strategy<Value = DataType> {
    proptest::sample::select(vec![
        DataType::Bool,
        DataType::Int2,
        DataType::Int4,
        DataType::Int8,
        DataType::Float4,
        DataType::Float8,
        DataType::Numeric(None),
        DataType::Text,
        DataType::Bytea,
        DataType::Date,
        DataType::Timestamp,
        DataType::Interval,
        DataType::Uuid,
        DataType::Oid,
        DataType::Text.array_of(),
        DataType::Numeric(None).array_of(),
    ])
}

fn any_order() -> impl Strategy<Value = KeyOrder> {
    any::<(bool, bool)>().prop_map(|(descending, nulls_first)| KeyOrder { descending, nulls_first })
}

fn two_tuples() -> impl Strategy<Value = (Vec<(DataType, KeyOrder)>, Vec<Value>, Vec<Value>)> {
    proptest::collection::vec((any_type(), any_order()), 1..4).prop_flat_map(|columns| {
        let strategies = || columns.iter().map(|(data_type, _)| of_type(data_type)).collect::<Vec<_>>();
        (Just(columns.clone()), strategies(), strategies())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn tuples_sort_as_their_columns((columns, one, other) in two_tuples(), same in 0usize..3) {
        let mut other = other;
        let same = same.min(one.len());
        other[..same].clone_from_slice(&one[..same]);
        let encode = |values: &[Value]| -> Vec<u8> {
            values.iter().zip(&columns).flat_map(|(value, (data_type, order))| key(value, data_type, *order)).collect()
        };
        let order = one.iter().zip(&other).zip(&columns)
            .map(|((one, other), (_, order))| wanted(one, other, *order))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal);
        prop_assert_eq!(encode(&one).cmp(&encode(&other)), order);
    }

    #[test]
    fn a_tuple_comes_back_equal((columns, values, _) in two_tuples()) {
        let mut bytes = Vec::new();
        for (value, (data_type, order)) in values.iter().zip(&columns) {
            encode_key(value.as_ref(), data_type, *order, &mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for (value, (data_type, order)) in values.iter().zip(&columns) {
            let (back, used) = decode_key(rest, data_type, *order).unwrap();
            rest = &rest[used..];
            prop_assert_eq!(wanted(&back, value, *order), Ordering::Equal);
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn reading_foreign_bytes_never_panics(
        data_type in any_type(), order in any_order(), bytes in proptest::collection::vec(any::<u8>(), 0..40)
    ) {
        let _ = decode_key(&bytes, &data_type, order);
    }

    #[test]
    fn the_successor_is_above_all_that_begins_so(prefix in proptest::collection::vec(prop_oneof![Just(255u8), any::<u8>()], 0..5), tail in proptest::collection::vec(any::<u8>(), 0..5)) {
        let mut longer = prefix.clone();
        longer.extend(tail);
        match prefix_successor(&prefix) {
            Some(successor) => prop_assert!(longer < successor && prefix < successor),
            None => prop_assert!(prefix.iter().all(|byte| *byte == 255)),
        }
    }
}

#[test]
fn equal_values_have_equal_bytes() {
    let same = |data_type: DataType, one: Value, other: Value| {
        assert_eq!(key(&one, &data_type, KeyOrder::ASCENDING), key(&other, &data_type, KeyOrder::ASCENDING));
    };
    same(DataType::Float8, Value::Float8(0.0), Value::Float8(-0.0));
    same(DataType::Float8, Value::Float8(f64::NAN), Value::Float8(-f64::NAN));
    same(DataType::Numeric(None), Value::Numeric(Numeric::new(10, 1)), Value::Numeric(Numeric::new(100, 2)));
    same(
        DataType::Interval,
        Value::Interval(Interval::new(1, 0, 0)),
        Value::Interval(Interval::new(0, 30, 0)),
    );
    same(DataType::Char(4), Value::Text("a".into()), Value::Text("a  ".into()));
    same(DataType::Int8, Value::Int4(7), Value::Int8(7));
}

#[test]
fn a_value_of_another_type_is_refused() {
    let mut out = Vec::new();
    assert!(encode_key(ValueRef::Int8(1), &DataType::Int4, KeyOrder::default(), &mut out).is_err());
    assert!(encode_key(ValueRef::Text("1"), &DataType::Int4, KeyOrder::default(), &mut out).is_err());
}

#[test]
fn a_bigint_key_takes_nine_bytes() {
    assert_eq!(key(&Value::Int8(1), &DataType::Int8, KeyOrder::default()), [1, 128, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn the_bytes_of_a_numeric_are_those_of_the_format_page() {
    let bytes = |text: &str| {
        let value = Value::Numeric(Numeric::parse(text).unwrap());
        key(&value, &DataType::Numeric(None), KeyOrder::default())[1..].to_vec()
    };
    assert_eq!(bytes("12.5"), [0x02, 0x82, 0x19, 0x64]);
    assert_eq!(bytes("1.00"), [0x02, 0x81, 0x14]);
    assert_eq!(bytes("-1"), [0x00, 0x7e, 0xeb]);
    assert_eq!(bytes("0"), [0x01]);
    assert_eq!(bytes("1e300"), [0x02, 0xf0, 0x00, 0x01, 0x2d, 0x14]);
    assert_eq!(bytes("1e-300"), [0x02, 0x10, 0x7f, 0xfe, 0xd5, 0x14]);
    assert_eq!(bytes("-Infinity"), [0x00, 0x00]);
    assert_eq!(bytes("Infinity"), [0x02, 0xff]);
    assert_eq!(bytes("NaN"), [0x03]);
}
