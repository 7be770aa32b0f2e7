#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::interval::{Interval, MICROS_PER_DAY};

const HOUR: i64 = 3_600_000_000;

fn parse(data_type: &DataType, text: &str, context: &TextContext) -> Value {
    parse_text(data_type, text, context).unwrap()
}

fn show(value: &Value, data_type: &DataType, context: &TextContext) -> String {
    let mut out = Vec::new();
    format_text(value.as_ref(), data_type, context, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn now_and_today_are_those_of_the_session() {
    // 2024-01-02 03:00 UTC is still the first of January in New York.
    let now = 19_724 * MICROS_PER_DAY + 3 * HOUR;
    let context = TextContext {
        timezone: chrono_tz::America::New_York.into(),
        now_micros: now,
        ..TextContext::default()
    };
    let shown =
        |data_type: DataType, text: &str| show(&parse(&data_type, text, &context), &data_type, &context);
    assert_eq!(shown(DataType::TimestampTz, "now"), "2024-01-01 22:00:00-05");
    assert_eq!(shown(DataType::Timestamp, "now"), "2024-01-01 22:00:00");
    assert_eq!(shown(DataType::Time, "now"), "22:00:00");
    assert_eq!(shown(DataType::Date, "now"), "2024-01-01");
    assert_eq!(shown(DataType::Date, "yesterday"), "2023-12-31");
    assert_eq!(shown(DataType::Date, "tomorrow"), "2024-01-02");
    assert_eq!(shown(DataType::TimestampTz, "today"), "2024-01-01 00:00:00-05");
    assert_eq!(shown(DataType::Timestamp, "tomorrow 04:05"), "2024-01-02 04:05:00");
}

#[test]
fn a_day_out_of_range_comes_with_a_hint() {
    let error = parse_text(&DataType::Date, "13/13/2024", &TextContext::default()).unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("Perhaps you need a different \"datestyle\" setting."));
}

#[test]
fn char_is_kept_without_its_padding_and_shown_with_it() {
    let context = TextContext::default();
    let value = parse(&DataType::Char(4), "ab  ", &context);
    assert_eq!(value, Value::Text("ab".into()));
    assert_eq!(show(&value, &DataType::Char(4), &context), "ab  ");
    assert_eq!(show(&Value::Text("é".into()), &DataType::Char(2), &context), "é ");
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let context = TextContext::default();
    let error = parse_text(&DataType::Varchar(Some(3)), "abcd", &context).unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.message.as_str()),
        ("22001", "value too long for type character varying(3)")
    );
    assert_eq!(parse(&DataType::Varchar(Some(3)), "abc   ", &context), Value::Text("abc".into()));
    assert_eq!(parse(&DataType::Varchar(Some(3)), "äöü", &context), Value::Text("äöü".into()));
}

#[test]
fn bytes_that_are_no_text_are_named() {
    assert_eq!(text_from_utf8(b"a\0").unwrap_err().sqlstate(), "22021");
    let error = text_from_utf8(b"ab\xff").unwrap_err();
    assert_eq!(error.message, "invalid byte sequence for encoding \"UTF8\": 0xff");
    assert!(parse_text(&DataType::Text, "a\0b", &TextContext::default()).is_err());
}

#[test]
fn arrays_of_more_dimensions_are_refused_and_not_flattened() {
    let ints = DataType::Int4.array_of();
    for text in ["{{1,2},{3,4}}", "[0:1]={1,2}"] {
        assert_eq!(
            parse_text(&ints, text, &TextContext::default()).unwrap_err().sqlstate(),
            "0A000",
            "{text}"
        );
    }
}

#[test]
fn a_shortest_float_is_nearer_to_its_number_than_to_any_other() {
    let context = TextContext::default();
    assert_eq!(show(&Value::Float8(1e23), &DataType::Float8, &context), "9.999999999999999e+22");
    assert_eq!(show(&Value::Float4(-41_393_952.0), &DataType::Float4, &context), "-4.1393952e+07");
}

fn survives(data_type: &DataType, value: &Value, context: &TextContext) {
    let text = show(value, data_type, context);
    let back = parse(data_type, &text, context);
    assert_eq!(format!("{back:?}"), format!("{value:?}"), "{text}");
}

proptest! {
    #[test]
    fn dates_and_times_survive_their_text(
        day in crate::calendar::DATE_MIN..=crate::calendar::DATE_MAX,
        time in 0i64..=MICROS_PER_DAY,
        micros in crate::calendar::TIMESTAMP_MIN + MICROS_PER_DAY..i64::MAX - MICROS_PER_DAY,
        zone in proptest::sample::select(vec!["UTC", "Asia/Kathmandu", "Pacific/Apia"]),
    ) {
        let context = TextContext { timezone: crate::zone::find(zone).unwrap().into(), ..TextContext::default() };
        survives(&DataType::Date, &Value::Date(day), &context);
        survives(&DataType::Time, &Value::Time(time), &context);
        survives(&DataType::Timestamp, &Value::Timestamp(micros), &context);
        survives(&DataType::TimestampTz, &Value::TimestampTz(micros), &context);
    }

    #[test]
    fn intervals_survive_their_text(months in any::<i32>(), days in any::<i32>(), micros in any::<i64>()) {
        // The most negative length has no text that reads back, in PostgreSQL either.
        prop_assume!(micros > i64::MIN);
        survives(&DataType::Interval, &Value::Interval(Interval::new(months, days, micros)), &TextContext::default());
    }

    #[test]
    fn floats_survive_their_text(double in any::<f64>(), single in any::<f32>()) {
        survives(&DataType::Float8, &Value::Float8(double), &TextContext::default());
        survives(&DataType::Float4, &Value::Float4(single), &TextContext::default());
    }

    #[test]
    fn bytes_uuids_and_arrays_survive_their_text(
        bytes in proptest::collection::vec(any::<u8>(), 0..20),
        uuid in any::<[u8; 16]>(),
        words in proptest::collection::vec(proptest::option::of("[a-zA-Z\"\\\\{}, \u{e9}]{0,6}"), 0..6),
    ) {
        let context = TextContext::default();
        survives(&DataType::Bytea, &Value::Bytea(bytes), &context);
        survives(&DataType::Uuid, &Value::Uuid(uuid), &context);
        let elements: Vec<Value> = words.into_iter().map(|word| word.map_or(Value::Null, Value::Text)).collect();
        survives(&DataType::Text.array_of(), &Value::Array(elements.into()), &context);
    }

    #[test]
    fn reading_any_text_as_any_type_never_panics(
        text in "[-+0-9a-zA-Z:./,{}\"\\\\ \u{e9}]{0,30}",
        data_type in proptest::sample::select(DataType::SCALARS.to_vec()),
        array in any::<bool>(),
    ) {
        let data_type = if array { data_type.array_of() } else { data_type };
        let context = TextContext { timezone: chrono_tz::Europe::Berlin.into(), now_micros: 0, ..TextContext::default() };
        if let Ok(value) = parse_text(&data_type, &text, &context) {
            show(&value, &data_type, &context);
        }
    }

    #[test]
    fn showing_any_number_as_a_time_never_panics(number in any::<i64>()) {
        let context = TextContext { timezone: chrono_tz::America::New_York.into(), now_micros: number, ..TextContext::default() };
        for value in [Value::Timestamp(number), Value::TimestampTz(number), Value::Date(number as i32)] {
            show(&value, &DataType::Text, &context);
        }
        let _ = parse_text(&DataType::Timestamp, "tomorrow", &context);
        let _ = parse_text(&DataType::TimestampTz, "now", &context);
    }
}
