//! PostgreSQL's text forms: what a client writes and reads.
//!
//! Output is that of PostgreSQL 15 with `bytea_output` `hex` and `extra_float_digits` 1; [`Style`] has the
//! forms of dates and intervals. Input takes all of its spellings, and errors have its
//! words and codes. Where a type here is narrower than PostgreSQL's (numbers of 38 digits, arrays of
//! one dimension, timestamps up to the year 294247) the input is refused.

mod array;
mod bytea;
mod datetime;
mod error;
mod interval;
mod number;
mod record;
mod style;
mod uuid;

pub use style::{DateOrder, DateStyle, IntervalStyle, Style};
pub(crate) use uuid::{format_uuid, parse_uuid};

use std::sync::Arc;

use crate::cast;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::numeric::{Numeric, NumericParseError};
use crate::types::{DataType, ObjectKind, ObjectNames};
use crate::value::{Value, ValueRef};
use crate::zone::Zone;

/// Bytes of a `name`.
const NAME_BYTES_MAX: usize = 63;

/// What text forms depend on beside the value: the session's zone and styles, its clock and what it names things. The default is UTC
/// at the beginning of 1970, with PostgreSQL's default styles.
#[derive(Clone, Debug, Default)]
pub struct TextContext {
    /// The zone in which timestamps are read and shown.
    pub timezone: Zone,
    /// The forms of dates and intervals.
    pub style: Style,
    /// The time that `now` means, in microseconds since 1970 UTC; that of the transaction's start.
    pub now_micros: i64,
    /// The names of objects; without them `regclass` and its kin are numbers.
    pub objects: Option<Arc<dyn ObjectNames>>,
}

impl TextContext {
    /// The object that a text means: one by its number, `-` for none, otherwise one by its name.
    fn object(&self, kind: ObjectKind, text: &str) -> Result<u32> {
        if text == "-" {
            return Ok(0);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return number::parse_oid(text);
        }
        match &self.objects {
            Some(objects) => objects.find(kind, text),
            None => Err(Error::new(
                ErrorKind::FeatureNotSupported,
                format!("the name \"{text}\" of an object means nothing outside of a session"),
            )
            .hint("Give the object's number instead.")),
        }
    }

    fn write_object(&self, kind: ObjectKind, oid: u32, out: &mut Vec<u8>) {
        match self.objects.as_ref().and_then(|objects| objects.name(kind, oid)) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None if oid == 0 => out.push(b'-'),
            None => out.extend_from_slice(itoa::Buffer::new().format(oid).as_bytes()),
        }
    }
}

/// Reads a value of that type from its text.
///
/// # Errors
/// PostgreSQL's: 22P02, 22003, 22007, 22008, 22001 and others, by what is wrong.
pub fn parse_text(data_type: &DataType, text: &str, context: &TextContext) -> Result<Value> {
    Ok(match data_type {
        DataType::Bool => Value::Bool(number::parse_bool(text)?),
        DataType::Int2 => {
            let (least, most) = (i16::MIN.into(), i16::MAX.into());
            Value::Int2(number::parse_integer(text, "smallint", least, most)? as i16)
        }
        DataType::Int4 => {
            let (least, most) = (i32::MIN.into(), i32::MAX.into());
            Value::Int4(number::parse_integer(text, "integer", least, most)? as i32)
        }
        DataType::Int8 => Value::Int8(number::parse_integer(text, "bigint", i64::MIN, i64::MAX)?),
        DataType::Oid | DataType::Xid => Value::Oid(number::parse_oid(text)?),
        DataType::Reg(kind) => Value::Oid(context.object(*kind, text)?),
        DataType::Int2Vector => Value::Array(array::parse_vector(&DataType::Int2, text, context)?),
        DataType::OidVector => Value::Array(array::parse_vector(&DataType::Oid, text, context)?),
        DataType::Float4 => Value::Float4(number::parse_float4(text)?),
        DataType::Float8 => Value::Float8(number::parse_float8(text)?),
        DataType::Numeric(modifier) => Value::Numeric(parse_numeric(text, *modifier)?),
        DataType::Text | DataType::Void => Value::Text(checked_text(text)?.to_owned()),
        DataType::NodeTree => {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "cannot accept a value of type pg_node_tree",
            ));
        }
        DataType::Record => return Err(crate::record::anonymous()),
        DataType::Varchar(_) | DataType::Char(_) => {
            cast::fit_text(checked_text(text)?, data_type, cast::CastKind::Assignment)?
        }
        DataType::Name => Value::Text(truncate_name(checked_text(text)?).to_owned()),
        DataType::InternalChar => Value::Text(internal_char(checked_text(text)?)?),
        DataType::Bytea => Value::Bytea(bytea::parse(text)?),
        DataType::Date => Value::Date(datetime::parse_date(text, context)?),
        DataType::Time => Value::Time(datetime::parse_time(text, context)?),
        DataType::Timestamp => Value::Timestamp(datetime::parse_timestamp(text, context)?),
        DataType::TimestampTz => Value::TimestampTz(datetime::parse_timestamptz(text, context)?),
        DataType::Interval => Value::Interval(interval::parse(text, context.style.interval)?),
        DataType::Uuid => Value::Uuid(parse_uuid(text)?),
        DataType::Json => {
            json::validate(checked_text(text)?)?;
            Value::Text(text.to_owned())
        }
        DataType::Jsonb => Value::Text(json::canonical(checked_text(text)?)?),
        DataType::Array(element) => Value::Array(array::parse(element, text, context)?),
        DataType::Enum(known) => Value::Int8(known.position(checked_text(text)?)?),
    })
}

/// Appends the text of a value of that type; of NULL, nothing.
pub fn format_text(value: ValueRef<'_>, data_type: &DataType, context: &TextContext, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => {}
        ValueRef::Bool(value) => out.push(if value { b't' } else { b'f' }),
        ValueRef::Int2(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        ValueRef::Int4(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        ValueRef::Int8(value) if let DataType::Enum(known) = data_type => {
            out.extend_from_slice(known.label(value).unwrap_or_default().as_bytes());
        }
        ValueRef::Int8(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        ValueRef::Oid(value) if let DataType::Reg(kind) = data_type => {
            context.write_object(*kind, value, out);
        }
        ValueRef::Oid(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        ValueRef::Float4(value) => number::format_float4(value, out),
        ValueRef::Float8(value) => number::format_float8(value, out),
        ValueRef::Numeric(value) => value.write_text(out),
        ValueRef::Text(value) => {
            out.extend_from_slice(value.as_bytes());
            if let DataType::Char(length) = data_type {
                let missing = (*length as usize).saturating_sub(value.chars().count());
                out.resize(out.len() + missing, b' ');
            }
        }
        ValueRef::Bytea(value) if *data_type == DataType::Record => record::format(value, context, out),
        ValueRef::Bytea(value) => bytea::format(value, out),
        ValueRef::Date(value) => datetime::format_date(value, context.style, out),
        ValueRef::Time(value) => datetime::format_time(value, out),
        ValueRef::Timestamp(value) => datetime::format_timestamp(value, context.style, out),
        ValueRef::TimestampTz(value) => datetime::format_timestamptz(value, context, out),
        ValueRef::Interval(value) => interval::format(value, context.style.interval, out),
        ValueRef::Uuid(value) => out.extend_from_slice(format_uuid(value).as_bytes()),
        ValueRef::Array(value) if matches!(data_type, DataType::Int2Vector | DataType::OidVector) => {
            array::format_vector(value, context, out);
        }
        ValueRef::Array(value) => {
            array::format(value, data_type.element().unwrap_or(&DataType::Text), context, out);
        }
    }
}

fn parse_numeric(text: &str, modifier: Option<(u16, i16)>) -> Result<Numeric> {
    match (Numeric::parse(text), modifier) {
        (Ok(number), Some((precision, scale))) => number.as_ref().fit(precision, scale),
        (Ok(number), None) => Ok(number),
        (Err(NumericParseError::TooLarge), _) => Err(crate::numeric::overflow()),
        (Err(NumericParseError::Syntax), _) => Err(error::invalid("numeric", text)),
    }
}

/// Refuses the one character that text cannot hold.
fn checked_text(text: &str) -> Result<&str> {
    if text.as_bytes().contains(&0) {
        return Err(Error::new(
            ErrorKind::CharacterNotInRepertoire,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(text)
}

/// The beginning of a text that fits in a `name`.
pub(crate) fn truncate_name(text: &str) -> &str {
    if text.len() <= NAME_BYTES_MAX {
        return text;
    }
    let end = (0..=NAME_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The first byte of a text.
pub(crate) fn internal_char(text: &str) -> Result<String> {
    match text.chars().next() {
        None => Ok(String::new()),
        Some(first) if first.is_ascii() => Ok(first.to_string()),
        Some(first) => Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("a \"char\" holds ASCII characters only, not \"{first}\""),
        )),
    }
}

/// Checks that bytes are text.
///
/// # Errors
/// 22021 when they are not UTF-8 or contain a zero.
pub fn text_from_utf8(bytes: &[u8]) -> Result<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => checked_text(text),
        Err(error) => {
            let at = error.valid_up_to();
            let length = error.error_len().unwrap_or(bytes.len() - at).max(1);
            let shown: Vec<String> =
                bytes[at..].iter().take(length).map(|byte| format!("0x{byte:02x}")).collect();
            Err(Error::new(
                ErrorKind::CharacterNotInRepertoire,
                format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
