//! Conversions between types, as PostgreSQL does them.
//!
//! Explicit casts convert whatever has a conversion. Assignment (the value of a column in `INSERT` or
//! `UPDATE`) refuses the ones that PostgreSQL wants to be written out, except that text is read as
//! any type, because literals arrive as text.

mod date;
mod number;

use crate::error::{Error, ErrorKind, Result};
use crate::text::{TextContext, format_text, internal_char, parse_text, truncate_name};
use crate::types::DataType;
use crate::value::{ArrayValue, Value, ValueRef};

/// How a conversion was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CastKind {
    /// By storing a value in a column.
    Assignment,
    /// By `CAST` or `::`.
    Explicit,
}

/// Converts a value.
///
/// # Errors
/// 42846 (explicit) or 42804 (assignment) when there is no such conversion, 22003 and others when the
/// value does not fit.
pub fn cast(
    value: ValueRef<'_>,
    from: &DataType,
    to: &DataType,
    kind: CastKind,
    context: &TextContext,
) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    match (value, to) {
        (ValueRef::Text(text), DataType::Varchar(_) | DataType::Char(_)) => fit_text(text, to, kind),
        (ValueRef::Text(text), DataType::Text) => Ok(Value::Text(text.to_owned())),
        (ValueRef::Text(text), DataType::Name) => Ok(Value::Text(truncate_name(text).to_owned())),
        (ValueRef::Text(text), DataType::InternalChar) => internal_char(text).map(Value::Text),
        (ValueRef::Numeric(number), DataType::Numeric(modifier)) => number::modified(number, *modifier),
        (ValueRef::Array(array), list) if list.element().is_some() => {
            let element = list.element().unwrap_or(from);
            let inner = from.element().unwrap_or(element);
            let elements = array.iter().map(|value| cast(value, inner, element, kind, context));
            Ok(Value::Array(ArrayValue { elements: elements.collect::<Result<_>>()? }))
        }
        _ if from == to && value.kind() == Some(to.value_kind()) => Ok(value.to_owned()),
        (ValueRef::Oid(_), _) if (*from == DataType::Xid) != (*to == DataType::Xid) && !to.is_string() => {
            Err(impossible(from, to, kind))
        }
        // A label's position is nobody's number.
        (ValueRef::Int8(_), _) if from.enum_type().is_some() && !to.is_string() => {
            Err(impossible(from, to, kind))
        }
        (ValueRef::Int2(_) | ValueRef::Int4(_) | ValueRef::Int8(_), DataType::Enum(_)) => {
            Err(impossible(from, to, kind))
        }
        (ValueRef::Bool(value), _) if to.is_string() => {
            // As a type's text it is t or f, as a converted value it is spelled out.
            fit(if value { "true" } else { "false" }, to, kind)
        }
        (ValueRef::Int2(_) | ValueRef::Int4(_) | ValueRef::Int8(_), DataType::InternalChar) => {
            let number = number::convert(value, from, &DataType::Int8, kind).transpose()?;
            byte_of(number.as_ref().map_or(ValueRef::Null, Value::as_ref))
        }
        (ValueRef::Text(text), DataType::Int4) if *from == DataType::InternalChar => {
            Ok(Value::Int4(text.bytes().next().unwrap_or(0).into()))
        }
        _ if to.is_string() => {
            let mut text = Vec::new();
            format_text(value, from, context, &mut text);
            let text = String::from_utf8(text).map_err(|_| Error::internal("text that is not UTF-8"))?;
            fit(&text, to, kind)
        }
        (ValueRef::Text(text), DataType::Json | DataType::Jsonb) => parse_text(to, text, context),
        (ValueRef::Text(text), _) if from.is_string() => parse_text(to, text, context),
        (ValueRef::Text(text), _) if *from == DataType::Jsonb && kind == CastKind::Explicit => {
            from_jsonb(text, from, to, context)
        }
        _ => number::convert(value, from, to, kind)
            .or_else(|| date::convert(value, to, context))
            .unwrap_or_else(|| Err(impossible(from, to, kind))),
    }
}

/// Makes a value ready to be stored in a column of that type; one that is so already is not copied.
///
/// # Errors
/// As [`cast`](fn@cast) for assignment; 22003 for a number that an unconstrained `numeric` column cannot hold.
pub fn coerce_for_storage(
    value: Value,
    from: &DataType,
    to: &DataType,
    context: &TextContext,
) -> Result<Value> {
    let plain = match (&value, to) {
        (Value::Null, _) => true,
        (_, DataType::Numeric(_) | DataType::Varchar(Some(_)) | DataType::Char(_) | DataType::Array(_)) => {
            false
        }
        (value, to) => from == to && value.kind() == Some(to.value_kind()),
    };
    if plain { Ok(value) } else { cast(value.as_ref(), from, to, CastKind::Assignment, context) }
}

/// A number as a `"char"`: the character of that byte.
fn byte_of(number: ValueRef<'_>) -> Result<Value> {
    match number {
        ValueRef::Int8(0) => Ok(Value::Text(String::new())),
        ValueRef::Int8(number @ 1..=127) => Ok(Value::Text(char::from(number as u8).to_string())),
        _ => Err(Error::new(ErrorKind::OutOfRange, "\"char\" out of range")),
    }
}

#[cold]
fn impossible(from: &DataType, to: &DataType, kind: CastKind) -> Error {
    match kind {
        CastKind::Explicit => Error::new(
            ErrorKind::CannotCoerce,
            format!("cannot cast type {} to {}", from.base_name(), to.base_name()),
        ),
        CastKind::Assignment => Error::new(
            ErrorKind::DatatypeMismatch,
            format!("value is of type {} but expression is of type {}", to.base_name(), from.base_name()),
        )
        .hint("You will need to rewrite or cast the expression."),
    }
}

fn fit(text: &str, to: &DataType, kind: CastKind) -> Result<Value> {
    match to {
        DataType::Name => Ok(Value::Text(truncate_name(text).to_owned())),
        DataType::InternalChar => internal_char(text).map(Value::Text),
        _ => fit_text(text, to, kind),
    }
}

/// A text as `varchar(n)` or `char(n)`: too many blanks are cut, too many other characters are cut
/// by an explicit cast and refused otherwise. The blanks that pad a `char(n)` are not stored.
pub(crate) fn fit_text(text: &str, to: &DataType, kind: CastKind) -> Result<Value> {
    let (limit, padded) = match to {
        DataType::Varchar(Some(limit)) => (Some(*limit), false),
        DataType::Char(0) => (None, true),
        DataType::Char(limit) => (Some(*limit), true),
        _ => (None, false),
    };
    let mut kept = text;
    // Fewer bytes than the limit are fewer characters.
    if let Some(limit) = limit.filter(|limit| text.len() > *limit as usize)
        && let Some((end, _)) = text.char_indices().nth(limit as usize)
    {
        if kind == CastKind::Assignment && text[end..].bytes().any(|c| c != b' ') {
            return Err(Error::new(ErrorKind::StringTruncation, format!("value too long for type {to}")));
        }
        kept = &text[..end];
    }
    if padded {
        kept = kept.trim_end_matches(' ');
    }
    Ok(Value::Text(kept.to_owned()))
}

/// A `jsonb` that is a number or a truth value, as such.
fn from_jsonb(text: &str, from: &DataType, to: &DataType, context: &TextContext) -> Result<Value> {
    let what = match text.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b'n') => "null",
        Some(b't' | b'f') if *to == DataType::Bool => return Ok(Value::Bool(text == "true")),
        Some(b't' | b'f') => "boolean",
        _ if to.is_numeric() => {
            let numeric = DataType::Numeric(None);
            let number = parse_text(&numeric, text, context)?;
            return cast(number.as_ref(), &numeric, to, CastKind::Explicit, context);
        }
        _ => "numeric",
    };
    if !to.is_numeric() && *to != DataType::Bool {
        return Err(impossible(from, to, CastKind::Explicit));
    }
    Err(Error::new(
        ErrorKind::InvalidParameterValue,
        format!("cannot cast jsonb {what} to type {}", to.base_name()),
    ))
}

#[cfg(test)]
mod tests;
