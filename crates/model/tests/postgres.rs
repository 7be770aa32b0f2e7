//! Text, casts, binary forms and arithmetic against what PostgreSQL 15 answered to the same input.
//!
//! Each file in `tests/postgres` is a table with tabs between its columns; in texts, `\t`, `\n`, `\r` and
//! `\\` stand for those characters. Where this crate differs on purpose, `differs` says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use luma_model::{
    CastKind, DataType, Error, Numeric, TextContext, Value, cast, find_time_zone, format_text, from_binary,
    parse_text, to_binary,
};

fn table(text: &str) -> impl Iterator<Item = Vec<String>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').map(unescape).collect())
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                _ => '\\',
            },
            other => other,
        });
    }
    out
}

fn data_type(name: &str) -> DataType {
    DataType::parse(name).unwrap_or_else(|| panic!("type {name}"))
}

fn context(zone: &str) -> TextContext {
    TextContext { timezone: find_time_zone(zone).unwrap().into(), ..TextContext::default() }
}

fn shown(value: &Value, data_type: &DataType, context: &TextContext) -> String {
    if value.is_null() {
        // The reference was made by format('%s'), which shows NULL as nothing.
        return String::new();
    }
    let mut out = Vec::new();
    format_text(value.as_ref(), data_type, context, &mut out);
    String::from_utf8(out).unwrap()
}

fn answer(result: Result<String, Error>) -> String {
    result.unwrap_or_else(|error| format!("!{} {}", error.sqlstate(), error.message))
}

/// What is refused or kept differently on purpose.
fn differs(wanted: &str, got: &str) -> bool {
    // 38 digits; no NaN in numeric; arrays of one dimension; no hexadecimal floats.
    let refused = [
        "numeric value \"",
        "numeric values NaN",
        "arrays with more than one dimension",
        "numeric value has more",
    ];
    !wanted.starts_with('!') && got.starts_with('!') && refused.iter().any(|reason| got.contains(reason))
}

fn report(failures: Vec<String>, count: usize) {
    assert!(count > 50, "only {count} cases");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn text_goes_in_and_comes_out_as_in_postgresql() {
    let mut failures = Vec::new();
    let mut count = 0;
    for row in table(&std::fs::read_to_string("tests/postgres/input.tsv").unwrap()) {
        let [name, zone, text, wanted] = row.as_slice() else { panic!("{row:?}") };
        let (data_type, context) = (data_type(name), context(zone));
        let parsed = match text.strip_prefix('@') {
            Some(seconds) if zone != "UTC" || data_type == DataType::TimestampTz && !text.contains(' ') => {
                Ok(Value::TimestampTz(seconds.parse::<i64>().unwrap() * 1_000_000))
            }
            _ => parse_text(&data_type, text, &context),
        };
        let got = answer(parsed.map(|value| shown(&value, &data_type, &context)));
        count += 1;
        if got != *wanted && !differs(wanted, &got) {
            failures.push(format!("{name} {zone} {text:?}: wanted {wanted:?}, got {got:?}"));
        }
    }
    report(failures, count);
}

#[test]
fn explicit_casts_answer_as_in_postgresql() {
    let mut failures = Vec::new();
    let mut count = 0;
    for row in table(&std::fs::read_to_string("tests/postgres/cast.tsv").unwrap()) {
        let [from, to, zone, text, wanted] = row.as_slice() else { panic!("{row:?}") };
        let (from_type, to_type, context) = (data_type(from), data_type(to), context(zone));
        // A literal is cut to its type's length by the cast that gives it the type.
        let got = answer(
            cast(
                Value::Text(text.clone()).as_ref(),
                &DataType::Text,
                &from_type,
                CastKind::Explicit,
                &context,
            )
            .and_then(|value| cast(value.as_ref(), &from_type, &to_type, CastKind::Explicit, &context))
            .map(|value| shown(&value, &to_type, &context)),
        );
        count += 1;
        if got != *wanted && !differs(wanted, &got) {
            failures.push(format!("{from} -> {to} {zone} {text:?}: wanted {wanted:?}, got {got:?}"));
        }
    }
    report(failures, count);
}

#[test]
fn binary_forms_are_those_that_postgresql_sends() {
    let mut failures = Vec::new();
    let mut count = 0;
    let context = TextContext::default();
    for row in table(&std::fs::read_to_string("tests/postgres/binary.tsv").unwrap()) {
        let [name, text, wanted] = row.as_slice() else { panic!("{row:?}") };
        let data_type = data_type(name);
        let value = parse_text(&data_type, text, &context).unwrap();
        let mut bytes = Vec::new();
        to_binary(value.as_ref(), &data_type, &mut bytes);
        let got = shown(&Value::Bytea(bytes.clone()), &DataType::Bytea, &context).replace("\\x", "");
        count += 1;
        if got != *wanted {
            failures.push(format!("{name} {text:?}: wanted {wanted}, got {got}"));
        }
        let back = from_binary(&data_type, &bytes).unwrap();
        if format!("{back:?}") != format!("{value:?}") {
            failures.push(format!("{name} {text:?}: {value:?} came back as {back:?}"));
        }
    }
    report(failures, count);
}

#[test]
fn arithmetic_gives_the_digits_that_postgresql_gives() {
    let mut failures = Vec::new();
    let mut count = 0;
    for row in table(&std::fs::read_to_string("tests/postgres/arithmetic.tsv").unwrap()) {
        let [one, operator, other, wanted] = row.as_slice() else { panic!("{row:?}") };
        let (left, right) = (Numeric::parse(one).unwrap(), Numeric::parse(other).unwrap());
        let result = match operator.as_str() {
            "+" => left.as_ref().add(right.as_ref()),
            "-" => left.as_ref().sub(right.as_ref()),
            "*" => left.as_ref().mul(right.as_ref()),
            "/" => left.as_ref().div(right.as_ref()),
            _ => left.as_ref().rem(right.as_ref()),
        };
        let got = match result {
            Ok(number) => number.to_string(),
            Err(error) => format!("!{} {}", error.sqlstate(), error.message),
        };
        count += 1;
        if got != *wanted {
            failures.push(format!("{one} {operator} {other}: wanted {wanted}, got {got}"));
        }
    }
    report(failures, count);
}
