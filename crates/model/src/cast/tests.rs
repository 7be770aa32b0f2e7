#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::numeric::Numeric;
use proptest::prelude::*;

fn assign(value: &Value, from: &DataType, to: &DataType) -> Result<Value> {
    cast(value.as_ref(), from, to, CastKind::Assignment, &TextContext::default())
}

#[test]
fn assignment_refuses_what_would_be_lost_and_a_cast_cuts_it() {
    let text = Value::Text("abcd".into());
    let to = DataType::Varchar(Some(3));
    assert_eq!(assign(&text, &DataType::Text, &to).unwrap_err().sqlstate(), "22001");
    let cut = cast(text.as_ref(), &DataType::Text, &to, CastKind::Explicit, &TextContext::default());
    assert_eq!(cut.unwrap(), Value::Text("abc".into()));
}

#[test]
fn a_number_that_overflows_its_column_is_explained() {
    let error = assign(&Value::Int4(1000), &DataType::Int4, &DataType::Numeric(Some((5, 2)))).unwrap_err();
    assert_eq!((error.sqlstate(), error.message.as_str()), ("22003", "numeric field overflow"));
    assert_eq!(
        error.detail.as_deref(),
        Some("A field with precision 5, scale 2 must round to an absolute value less than 10^3.")
    );
    let error = Numeric::new(1, 0).as_ref().fit(2, 2).unwrap_err();
    assert!(error.detail.as_deref().unwrap().ends_with("less than 1."));
}

#[test]
fn an_unconstrained_column_keeps_a_number_as_it_was_written() {
    let numeric = DataType::Numeric(None);
    let context = TextContext::default();
    for text in ["0.00000000001", "1.50", "12345678901234567890123456789012345678"] {
        let given = Value::Text(text.into());
        let Value::Numeric(stored) = coerce_for_storage(given, &DataType::Text, &numeric, &context).unwrap()
        else {
            panic!("no number");
        };
        assert_eq!(stored.to_string(), text);
    }
}

#[test]
fn impossible_conversions_say_which_kind_they_are() {
    let day = Value::Date(1);
    let context = TextContext::default();
    let explicit = cast(day.as_ref(), &DataType::Date, &DataType::Int4, CastKind::Explicit, &context);
    let explicit = explicit.unwrap_err();
    assert_eq!(
        (explicit.sqlstate(), explicit.message.as_str()),
        ("42846", "cannot cast type date to integer")
    );
    assert_eq!(assign(&day, &DataType::Date, &DataType::Int4).unwrap_err().sqlstate(), "42804");
    assert_eq!(assign(&Value::Bool(true), &DataType::Bool, &DataType::Int4).unwrap_err().sqlstate(), "42804");
}

#[test]
fn storing_a_value_of_its_own_type_gives_back_the_same_text() {
    let text = "x".repeat(100);
    let pointer = text.as_ptr();
    let stored =
        coerce_for_storage(Value::Text(text), &DataType::Text, &DataType::Text, &TextContext::default());
    let Value::Text(stored) = stored.unwrap() else { panic!("no text") };
    assert_eq!(stored.as_ptr(), pointer);
}

#[test]
fn null_converts_to_null() {
    assert_eq!(assign(&Value::Null, &DataType::Date, &DataType::Int4).unwrap(), Value::Null);
}

proptest! {
    #[test]
    fn casting_never_panics(
        text in "[-+0-9a-z:.{}\" ]{0,20}",
        from in proptest::sample::select(DataType::SCALARS.to_vec()),
        to in proptest::sample::select(DataType::SCALARS.to_vec()),
        number in any::<i64>(),
        explicit in any::<bool>(),
    ) {
        let kind = if explicit { CastKind::Explicit } else { CastKind::Assignment };
        let context = TextContext { timezone: chrono_tz::Asia::Tokyo.into(), now_micros: 0, ..TextContext::default() };
        if let Ok(value) = parse_text(&from, &text, &context) {
            let _ = cast(value.as_ref(), &from, &to, kind, &context);
        }
        for (value, from) in [
            (Value::Timestamp(number), DataType::Timestamp),
            (Value::TimestampTz(number), DataType::TimestampTz),
            (Value::Date(number as i32), DataType::Date),
            (Value::Float8(f64::from_bits(number as u64)), DataType::Float8),
            (Value::Numeric(Numeric::new(i128::from(number) << 60, 20)), DataType::Numeric(None)),
        ] {
            let _ = cast(value.as_ref(), &from, &to, kind, &context);
        }
    }
}
