#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder, UInt32Builder};
use arrow_array::types::Int8Type;
use arrow_array::*;
use arrow_schema::{DataType as ArrowType, Field, Fields};

use super::*;
use crate::interval::Interval;
use crate::numeric::{Numeric, NumericRef};
use crate::text::{TextContext, parse_text};
use crate::types::DataType;
use crate::value::{Value, ValueRef};

fn column(data_type: &DataType, values: &[Value]) -> ArrayRef {
    let mut builder = ColumnBuilder::new(data_type, values.len());
    for value in values {
        builder.append(value.as_ref()).unwrap();
    }
    builder.finish()
}

fn read(array: &dyn Array, data_type: &DataType) -> Vec<Value> {
    let reader = CellReader::new(array, data_type).unwrap();
    (0..array.len()).map(|row| reader.get(row).unwrap().to_owned()).collect()
}

fn natural(array: &dyn Array) -> Vec<Value> {
    read(array, &data_type(&Field::new("c", array.data_type().clone(), true)).unwrap())
}

#[test]
fn every_type_survives_its_column() {
    let samples = [
        (DataType::Bool, "t"),
        (DataType::Int2, "-5"),
        (DataType::Int4, "70000"),
        (DataType::Int8, "-9223372036854775808"),
        (DataType::Float4, "1.5"),
        (DataType::Float8, "-Infinity"),
        (DataType::Numeric(None), "123.45"),
        (DataType::Numeric(Some((10, 2))), "123.40"),
        (DataType::Numeric(Some((60, 2))), "123456789012345678901234567890123456789012345678.40"),
        (DataType::Numeric(None), "-Infinity"),
        (DataType::Text, "a text that is longer than twelve bytes"),
        (DataType::Varchar(Some(9)), "é"),
        (DataType::Char(5), "ab"),
        (DataType::Bytea, "\\x00ff"),
        (DataType::Date, "infinity"),
        (DataType::Time, "24:00"),
        (DataType::Timestamp, "-infinity"),
        (DataType::TimestampTz, "2024-01-02 03:04:05.6+07"),
        (DataType::Interval, "1 year 2 days -3 hours"),
        (DataType::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (DataType::Json, "{ }"),
        (DataType::Jsonb, "{\"a\": 1}"),
        (DataType::Oid, "4294967295"),
        (DataType::Name, "x"),
        (DataType::InternalChar, "y"),
    ];
    for (data_type, text) in samples {
        let value = parse_text(&data_type, text, &TextContext::default()).unwrap();
        let values = [value.clone(), Value::Null, value.clone()];
        let array = column(&data_type, &values);
        assert_eq!(array.data_type(), field("c", &data_type, true).data_type());
        assert_eq!(format!("{:?}", read(array.as_ref(), &data_type)), format!("{values:?}"));

        let list = data_type.array_of();
        let values = [Value::Array(values.to_vec().into()), Value::Null, Value::Array(vec![].into())];
        let array = column(&list, &values);
        assert_eq!(array.data_type(), field("c", &list, true).data_type());
        assert_eq!(format!("{:?}", read(array.as_ref(), &list)), format!("{values:?}"));
        let part = array.slice(0, 1);
        assert_eq!(format!("{:?}", read(part.as_ref(), &list)), format!("{:?}", &values[..1]));
    }
}

#[test]
fn text_and_bytes_are_borrowed_from_the_column() {
    let array = column(&DataType::Text, &[Value::Text("a text that is longer than twelve bytes".into())]);
    let reader = CellReader::new(array.as_ref(), &DataType::Text).unwrap();
    let (ValueRef::Text(one), ValueRef::Text(other)) = (reader.get(0).unwrap(), reader.get(0).unwrap())
    else {
        panic!("no text");
    };
    assert_eq!(one.as_ptr(), other.as_ptr());
}

#[test]
fn a_number_that_the_column_cannot_hold_is_refused_by_name() {
    let mut builder = ColumnBuilder::new(&DataType::Numeric(Some((6, 2))), 1);
    let error = builder.append(ValueRef::Numeric(NumericRef::new(10_000, 0))).unwrap_err();
    assert_eq!(error.sqlstate(), "22003");
    assert!(error.message.contains("numeric(6,2)"), "{error}");
    builder.append(ValueRef::Numeric(NumericRef::new(9_999, 0))).unwrap();
    assert_eq!(builder.len(), 1);
    assert!(builder.append(ValueRef::Text("1")).is_err());
}

#[test]
fn an_interval_that_has_too_many_nanoseconds_is_refused() {
    let mut builder = ColumnBuilder::new(&DataType::Interval, 1);
    let error = builder.append(ValueRef::Interval(Interval::new(0, 0, i64::MAX))).unwrap_err();
    assert_eq!(error.sqlstate(), "22008");
}

#[test]
fn what_a_query_engine_produces_is_read() {
    assert_eq!(natural(&UInt64Array::from(vec![7])), [Value::Int8(7)]);
    assert_eq!(natural(&UInt32Array::from(vec![Some(7), None])), [Value::Int8(7), Value::Null]);
    assert_eq!(natural(&UInt8Array::from(vec![7])), [Value::Int2(7)]);
    assert_eq!(natural(&NullArray::new(2)), [Value::Null, Value::Null]);
    assert_eq!(natural(&StringArray::from(vec!["a"])), [Value::Text("a".into())]);
    assert_eq!(natural(&LargeStringArray::from(vec!["a"])), [Value::Text("a".into())]);
    assert_eq!(natural(&BinaryArray::from(vec![&b"a"[..]])), [Value::Bytea(b"a".to_vec())]);
    assert_eq!(natural(&TimestampSecondArray::from(vec![2])), [Value::Timestamp(2_000_000)]);
    assert_eq!(natural(&TimestampNanosecondArray::from(vec![-1])), [Value::Timestamp(-1)]);
    assert_eq!(
        natural(&TimestampMillisecondArray::from(vec![2]).with_timezone("UTC")),
        [Value::TimestampTz(2000)]
    );
    assert_eq!(natural(&Date64Array::from(vec![-1])), [Value::Date(-1)]);
    assert_eq!(
        natural(&DurationSecondArray::from(vec![86_401])),
        [Value::Interval(Interval::new(0, 1, 1_000_000))]
    );
    let decimal = Decimal128Array::from(vec![150]).with_precision_and_scale(38, 10).unwrap();
    assert_eq!(format!("{:?}", natural(&decimal)), format!("{:?}", [Value::Numeric(Numeric::new(150, 10))]));
    let decimal =
        Decimal256Array::from(vec![arrow_buffer::i256::from(150)]).with_precision_and_scale(70, 3).unwrap();
    assert_eq!(natural(&decimal), [Value::Numeric(Numeric::new(150, 3))]);
}

#[test]
fn dictionaries_and_runs_are_looked_up() {
    let mut words = StringDictionaryBuilder::<Int8Type>::new();
    words.append_value("a");
    words.append_null();
    words.append_value("b");
    words.append_value("a");
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(natural(&words.finish()), [text("a"), Value::Null, text("b"), text("a")]);
    let empty = StringDictionaryBuilder::<Int8Type>::new().finish();
    assert_eq!(natural(&empty), []);
    let runs =
        RunArray::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec![Some("a"), None])).unwrap();
    assert_eq!(natural(&runs), [text("a"), text("a"), Value::Null]);
}

#[test]
fn structs_and_maps_and_lists_of_lists_are_read_as_json() {
    let fields = Fields::from(vec![
        Field::new("bb", ArrowType::Int32, true),
        Field::new("a", ArrowType::Utf8, true),
        Field::new("c", ArrowType::Boolean, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None])),
        Arc::new(StringArray::from(vec!["x\"", "y"])),
        Arc::new(BooleanArray::from(vec![true, false])),
    ];
    let structs = StructArray::new(fields, columns, None);
    assert_eq!(
        natural(&structs),
        [
            Value::Text(r#"{"a": "x\"", "c": true, "bb": 1}"#.into()),
            Value::Text(r#"{"a": "y", "c": false, "bb": null}"#.into())
        ]
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), UInt32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(5);
    map.append(true).unwrap();
    assert_eq!(natural(&map.finish()), [Value::Text(r#"{"k": 5}"#.into())]);
    let mut lists = ListBuilder::new(ListBuilder::new(UInt32Builder::new()));
    lists.values().values().append_value(1);
    lists.values().append(true);
    lists.append(true);
    assert_eq!(natural(&lists.finish()), [Value::Text("[[1]]".into())]);
}

#[test]
fn a_column_is_read_as_another_type_where_a_cast_exists() {
    assert_eq!(read(&Int64Array::from(vec![5]), &DataType::Int4), [Value::Int4(5)]);
    assert!(CellReader::new(&Int64Array::from(vec![i64::MAX]), &DataType::Int4).is_err());
    assert_eq!(read(&Int64Array::from(vec![5]), &DataType::Text), [Value::Text("5".into())]);
    let uuid = StringArray::from(vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]);
    assert!(matches!(read(&uuid, &DataType::Uuid)[0], Value::Uuid(_)));
}

#[test]
fn a_place_past_the_end_is_an_error() {
    let array = Int64Array::from(vec![5]);
    assert!(CellReader::new(&array, &DataType::Int8).unwrap().get(1).is_err());
}
