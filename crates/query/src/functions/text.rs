//! Functions on text and bytes where DataFusion's are missing or differ.

use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::functions::numbers::int;
use crate::functions::overload::Kind::{Any, Bytea, Int4, Int8, Text};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload, VALUE_BYTES_MAX, too_long};
use crate::functions::regex::first_match;

pub(super) fn string(value: ValueRef<'_>) -> &str {
    match value {
        ValueRef::Text(text) => text,
        _ => "",
    }
}

fn bytes<'a>(value: &ValueRef<'a>) -> &'a [u8] {
    match value {
        ValueRef::Bytea(bytes) => bytes,
        ValueRef::Text(text) => text.as_bytes(),
        _ => &[],
    }
}

pub(super) fn text(text: impl Into<String>) -> Result<Value> {
    Ok(Value::Text(text.into()))
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidParameterValue, message.into())
}

/// Where a part begins and ends, both counted from zero.
fn range(length: usize, start: i64, count: Option<i64>) -> Result<(usize, usize)> {
    let end = match count {
        Some(count) if count < 0 => {
            return Err(Error::new(ErrorKind::SubstringError, "negative substring length not allowed"));
        }
        Some(count) => start.saturating_add(count),
        None => i64::MAX,
    };
    let inside = |place: i64| usize::try_from(place.max(1) - 1).unwrap_or(0).min(length);
    let (start, end) = (inside(start), inside(end));
    Ok((start, end.max(start)))
}

fn part(values: &[ValueRef<'_>]) -> Result<Value> {
    let all = string(values[0]);
    let (first, count) = (int(values[1]), values.get(2).map(|count| int(*count)));
    // As many characters as bytes: each is at its place.
    if all.is_ascii() {
        let (start, end) = range(all.len(), first, count)?;
        return text(&all[start..end]);
    }
    let (start, end) = range(all.chars().count(), first, count)?;
    text(all.chars().skip(start).take(end - start).collect::<String>())
}

fn part_of_bytes(values: &[ValueRef<'_>]) -> Result<Value> {
    let all = bytes(&values[0]);
    let (start, end) = range(all.len(), int(values[1]), values.get(2).map(|count| int(*count)))?;
    Ok(Value::Bytea(all[start..end].to_vec()))
}

fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if value.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// `format('%s %I %L %%', …)`.
fn format(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    if values[0].is_null() {
        return Ok(Value::Null);
    }
    let mut out = String::new();
    let mut characters = string(values[0]).chars().peekable();
    let mut next = 1;
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        if characters.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut number = String::new();
        let mut left = false;
        loop {
            match characters.peek() {
                Some('-') if number.is_empty() => left = true,
                Some(digit) if digit.is_ascii_digit() => number.push(*digit),
                Some('$') => {
                    next = number.parse().unwrap_or(0);
                    if next == 0 {
                        return Err(invalid(
                            "format specifies argument 0, but arguments are numbered from 1",
                        ));
                    }
                    number.clear();
                }
                _ => break,
            }
            characters.next();
        }
        let width: usize = number.parse().unwrap_or(0);
        let Some(kind) = characters.next() else {
            return Err(
                invalid("unterminated format() type specifier").hint("For a single \"%\" use \"%%\".")
            );
        };
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(invalid(format!("unrecognized format() type specifier \"{kind}\""))
                .hint("For a single \"%\" use \"%%\"."));
        }
        let Some(value) = values.get(next) else { return Err(invalid("too few arguments for format()")) };
        let plain = if value.is_null() { String::new() } else { info.shown(*value, &types[next]) };
        let piece = match kind {
            'I' if value.is_null() => {
                return Err(Error::new(
                    ErrorKind::NullNotAllowed,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            'I' => crate::ddl::quoted(&plain),
            'L' if value.is_null() => "NULL".to_owned(),
            'L' => literal(&plain),
            _ => plain,
        };
        let padding = " ".repeat(width.min(1 << 20).saturating_sub(piece.chars().count()));
        if left {
            out.push_str(&piece);
            out.push_str(&padding);
        } else {
            out.push_str(&padding);
            out.push_str(&piece);
        }
        next += 1;
    }
    text(out)
}

fn trimmed(values: &[ValueRef<'_>], start: bool, end: bool) -> Result<Value> {
    let set: Vec<char> = values.get(1).map_or_else(|| vec![' '], |set| string(*set).chars().collect());
    let mut kept = string(values[0]);
    if start {
        kept = kept.trim_start_matches(set.as_slice());
    }
    if end {
        kept = kept.trim_end_matches(set.as_slice());
    }
    text(kept)
}

fn trimmed_bytes(values: &[ValueRef<'_>]) -> Value {
    let (all, set) = (bytes(&values[0]), bytes(&values[1]));
    let start = all.iter().position(|byte| !set.contains(byte)).unwrap_or(all.len());
    let end = all.iter().rposition(|byte| !set.contains(byte)).map_or(start, |last| last + 1);
    Value::Bytea(all[start..end].to_vec())
}

fn position(haystack: &[u8], needle: &[u8]) -> usize {
    if needle.is_empty() {
        return 1;
    }
    haystack.windows(needle.len()).position(|part| part == needle).map_or(0, |at| at + 1)
}

/// How many characters come before that byte, and one.
pub(super) fn character_place(text: &str, place: usize) -> i32 {
    if place == 0 { 0 } else { text[..place - 1].chars().count() as i32 + 1 }
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
    let value = |digit: char| {
        digit.to_digit(16).ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{digit}\"")))
    };
    let values = digits.iter().map(|digit| value(*digit)).collect::<Result<Vec<_>>>()?;
    if values.len() % 2 == 1 {
        return Err(invalid("invalid hexadecimal data: odd number of digits"));
    }
    Ok(values.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (at, chunk) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            out.push('\n');
        }
        let part = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = part(0) << 16 | part(1) << 8 | part(2);
        for place in 0..4 {
            let digit = BASE64[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place > chunk.len() { '=' } else { digit.into() });
        }
    }
    out
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let (mut group, mut count) = (0u32, 0);
    for character in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let Some(digit) = BASE64.iter().position(|known| *known == character) else {
            return Err(invalid(format!(
                "invalid symbol \"{}\" found while decoding base64 sequence",
                character as char
            )));
        };
        group = group << 6 | digit as u32;
        count += 1;
        if count % 4 == 0 {
            out.extend_from_slice(&group.to_be_bytes()[1..]);
            group = 0;
        }
    }
    match count % 4 {
        2 => out.push((group >> 4) as u8),
        3 => out.extend_from_slice(&((group >> 2) as u16).to_be_bytes()),
        _ => {}
    }
    Ok(out)
}

fn encode(values: &[ValueRef<'_>]) -> Result<Value> {
    let all = bytes(&values[0]);
    text(match string(values[1]).to_lowercase().as_str() {
        "hex" => all
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
            .collect::<String>(),
        "base64" => to_base64(all),
        "escape" => all
            .iter()
            .map(|byte| match byte {
                b'\\' => "\\\\".to_owned(),
                0 | 0x80.. => format!("\\{byte:03o}"),
                byte => char::from(*byte).to_string(),
            })
            .collect(),
        other => return Err(invalid(format!("unrecognized encoding: \"{other}\""))),
    })
}

fn decode(values: &[ValueRef<'_>]) -> Result<Value> {
    let source = string(values[0]);
    Ok(match string(values[1]).to_lowercase().as_str() {
        "hex" => Value::Bytea(hex(source)?),
        "base64" => Value::Bytea(from_base64(source)?),
        "escape" => luma_model::parse_text(&DataType::Bytea, source, &luma_model::TextContext::default())?,
        other => return Err(invalid(format!("unrecognized encoding: \"{other}\""))),
    })
}

fn split_part(values: &[ValueRef<'_>]) -> Result<Value> {
    let (source, separator, field) = (string(values[0]), string(values[1]), int(values[2]));
    if field == 0 {
        return Err(invalid("field position must not be zero"));
    }
    let parts: Vec<&str> =
        if separator.is_empty() { vec![source] } else { source.split(separator).collect() };
    let place = if field > 0 { field - 1 } else { parts.len() as i64 + field };
    text(usize::try_from(place).ok().and_then(|place| parts.get(place)).copied().unwrap_or_default())
}

/// Everything but NULL, one after the other.
fn concat(
    values: &[ValueRef<'_>],
    types: &[DataType],
    separator: &str,
    info: &Surroundings,
) -> Result<Value> {
    let mut out = Vec::new();
    let mut any = false;
    for (value, data_type) in values.iter().zip(types).filter(|(value, _)| !value.is_null()) {
        if std::mem::replace(&mut any, true) {
            out.extend_from_slice(separator.as_bytes());
        }
        luma_model::format_text(*value, data_type, info.text_context(), &mut out);
        if out.len() > VALUE_BYTES_MAX {
            return Err(too_long());
        }
    }
    text(String::from_utf8_lossy(&out))
}

const SUBSTRING: &[Overload] = &[
    Overload::new(&[Text, Int4, Int4], Text, |_, values, _| part(values)).optional(1),
    Overload::new(&[Bytea, Int4, Int4], Bytea, |_, values, _| part_of_bytes(values)).optional(1),
    Overload::new(&[Text, Text], Text, |_, values, _| first_match(values[0], values[1])),
];

const POSITION: &[Overload] = &[
    Overload::new(&[Text, Text], Int4, |_, values, _| {
        let (text, part) = (string(values[0]), string(values[1]));
        Ok(Value::Int4(character_place(text, position(text.as_bytes(), part.as_bytes()))))
    }),
    Overload::new(&[Bytea, Bytea], Int4, |_, values, _| {
        Ok(Value::Int4(position(bytes(&values[0]), bytes(&values[1])) as i32))
    }),
];

/// A LIKE pattern with another escape character as one with the backslash.
pub(crate) fn escaped_with_backslash(pattern: &str, escape: &str) -> String {
    let escape = escape.chars().next();
    let mut characters = pattern.chars();
    let mut escaped = String::new();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            escaped.push('\\');
            escaped.extend(characters.next());
        } else if character == '\\' {
            escaped.push_str("\\\\");
        } else {
            escaped.push(character);
        }
    }
    escaped
}

pub(crate) static FUNCTIONS: &[&Function] = &[
    &Function::new(
        "luma_like_pattern",
        &[Overload::new(&[Text, Text], Text, |_, values, _| {
            Ok(Value::Text(escaped_with_backslash(string(values[0]), string(values[1]))))
        })],
    ),
    &Function::new("substring", SUBSTRING),
    &Function::new(
        "substr",
        &[
            Overload::new(&[Text, Int4, Int4], Text, |_, values, _| part(values)).optional(1),
            Overload::new(&[Bytea, Int4, Int4], Bytea, |_, values, _| part_of_bytes(values)).optional(1),
        ],
    ),
    &Function::new("strpos", POSITION),
    &Function::new(
        "length",
        &[
            Overload::new(&[Text], Int4, |_, values, _| {
                Ok(Value::Int4(string(values[0]).chars().count() as i32))
            }),
            Overload::new(&[Bytea], Int4, |_, values, _| Ok(Value::Int4(bytes(&values[0]).len() as i32))),
        ],
    ),
    &Function::new(
        "octet_length",
        &[
            Overload::new(&[Text], Int4, |_, values, _| Ok(Value::Int4(string(values[0]).len() as i32))),
            Overload::new(&[Bytea], Int4, |_, values, _| Ok(Value::Int4(bytes(&values[0]).len() as i32))),
        ],
    ),
    &Function::new(
        "btrim",
        &[
            Overload::new(&[Text, Text], Text, |_, values, _| trimmed(values, true, true)).optional(1),
            Overload::new(&[Bytea, Bytea], Bytea, |_, values, _| Ok(trimmed_bytes(values))),
        ],
    ),
    &Function::new(
        "ltrim",
        &[Overload::new(&[Text, Text], Text, |_, values, _| trimmed(values, true, false)).optional(1)],
    ),
    &Function::new(
        "rtrim",
        &[Overload::new(&[Text, Text], Text, |_, values, _| trimmed(values, false, true)).optional(1)],
    ),
    &Function::new(
        "split_part",
        &[Overload::new(&[Text, Text, Int4], Text, |_, values, _| split_part(values))],
    ),
    &Function::new(
        "concat",
        &[Overload::new(&[Any], Text, |info, values, types| concat(values, types, "", info))
            .variadic()
            .takes_null()],
    ),
    &Function::new(
        "concat_ws",
        &[Overload::new(&[Text, Any], Text, |info, values, types| {
            if values[0].is_null() {
                return Ok(Value::Null);
            }
            concat(&values[1..], &types[1..], string(values[0]), info)
        })
        .variadic()
        .takes_null()],
    ),
    &Function::new(
        "chr",
        &[Overload::new(&[Int4], Text, |_, values, _| match int(values[0]) {
            0 => Err(Error::new(ErrorKind::ProgramLimit, "null character not permitted")),
            code => match u32::try_from(code).ok().and_then(char::from_u32) {
                Some(character) => text(character),
                None => Err(Error::new(
                    ErrorKind::ProgramLimit,
                    format!("requested character not valid for encoding: {code}"),
                )),
            },
        })],
    ),
    &Function::new(
        "quote_literal",
        &[Overload::new(&[Any], Text, |info, values, types| {
            text(literal(&info.shown(values[0], &types[0])))
        })],
    ),
    &Function::new(
        "quote_nullable",
        &[Overload::new(&[Any], Text, |info, values, types| {
            text(if values[0].is_null() { "NULL".into() } else { literal(&info.shown(values[0], &types[0])) })
        })
        .takes_null()],
    ),
    &Function::new(
        "format",
        &[
            Overload::new(&[Text], Text, format).takes_null(),
            Overload::new(&[Text, Any], Text, format).variadic().takes_null(),
        ],
    ),
    &Function::new("encode", &[Overload::new(&[Bytea, Text], Text, |_, values, _| encode(values))]),
    &Function::new("decode", &[Overload::new(&[Text, Text], Bytea, |_, values, _| decode(values))]),
    &Function::new(
        "get_byte",
        &[Overload::new(&[Bytea, Int4], Int4, |_, values, _| {
            let all = bytes(&values[0]);
            let found = usize::try_from(int(values[1])).ok().and_then(|at| all.get(at));
            found.map(|byte| Value::Int4((*byte).into())).ok_or_else(|| byte_range(values[1], all.len()))
        })],
    ),
    &Function::new(
        "get_bit",
        &[Overload::new(&[Bytea, Int8], Int4, |_, values, _| {
            let (all, at) = (bytes(&values[0]), int(values[1]));
            let found = usize::try_from(at / 8).ok().filter(|_| at >= 0).and_then(|byte| all.get(byte));
            let bit = found.map(|byte| Value::Int4((byte >> (at % 8) & 1).into()));
            bit.ok_or_else(|| byte_range(values[1], all.len() * 8))
        })],
    ),
    &Function::new(
        "set_bit",
        &[Overload::new(&[Bytea, Int8, Int4], Bytea, |_, values, _| {
            let (mut all, at, bit) = (bytes(&values[0]).to_vec(), int(values[1]), int(values[2]));
            let bits = all.len() * 8;
            let found = usize::try_from(at / 8).ok().filter(|_| at >= 0).and_then(|byte| all.get_mut(byte));
            let Some(byte) = found else { return Err(byte_range(values[1], bits)) };
            match bit {
                0 => *byte &= !(1 << (at % 8)),
                1 => *byte |= 1 << (at % 8),
                _ => return Err(Error::new(ErrorKind::InvalidParameterValue, "new bit must be 0 or 1")),
            }
            Ok(Value::Bytea(all))
        })],
    ),
    &Function::new(
        "set_byte",
        &[Overload::new(&[Bytea, Int4, Int4], Bytea, |_, values, _| {
            let mut all = bytes(&values[0]).to_vec();
            let length = all.len();
            match usize::try_from(int(values[1])).ok().and_then(|at| all.get_mut(at)) {
                Some(byte) => *byte = int(values[2]) as u8,
                None => return Err(byte_range(values[1], length)),
            }
            Ok(Value::Bytea(all))
        })],
    ),
    &Function::new(
        "bit_count",
        &[Overload::new(&[Bytea], Int8, |_, values, _| {
            Ok(Value::Int8(bytes(&values[0]).iter().map(|byte| i64::from(byte.count_ones())).sum()))
        })],
    ),
    &Function::new(
        "convert_from",
        &[Overload::new(&[Bytea, Text], Text, |_, values, _| {
            text(luma_model::text_from_utf8(bytes(&values[0]))?)
        })],
    ),
    &Function::new(
        "convert_to",
        &[Overload::new(&[Text, Text], Bytea, |_, values, _| Ok(Value::Bytea(bytes(&values[0]).to_vec())))],
    ),
];

fn byte_range(place: ValueRef<'_>, length: usize) -> Error {
    Error::new(
        ErrorKind::ArraySubscript,
        format!("index {} out of valid range, 0..{}", int(place), length as i64 - 1),
    )
}
