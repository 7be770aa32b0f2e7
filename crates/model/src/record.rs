//! Rows as values: the type `record`.
//!
//! A record is kept as PostgreSQL's binary form of it: how many columns, then each one's type, length and
//! bytes. So a value says by itself what is in it, whatever query made it.

use crate::binary::{from_binary, to_binary};
use crate::error::{Error, ErrorKind, Result};
use crate::types::DataType;
use crate::value::{Value, ValueRef};

/// The row of these values, each with its type.
///
/// # Errors
/// 54000 when it does not fit in 2 GiB, 0A000 for an array of an enum type, whose labels nobody could tell any more.
pub fn encode(values: &[ValueRef<'_>], types: &[DataType]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend_from_slice(&(values.len() as i32).to_be_bytes());
    for (value, data_type) in values.iter().zip(types) {
        if let DataType::Array(element) = data_type
            && matches!(element.as_ref(), DataType::Enum(_))
        {
            let message =
                format!("a row as a value with a column of type {} is not supported", data_type.sql_name());
            return Err(Error::new(ErrorKind::FeatureNotSupported, message));
        }
        out.extend_from_slice(&data_type.oid().to_be_bytes());
        if value.is_null() {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        to_binary(*value, data_type, &mut out);
        let length = i32::try_from(out.len() - start - 4)
            .map_err(|_| Error::new(ErrorKind::ProgramLimit, "a row as a value is larger than 2 GiB"))?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(out)
}

/// The columns of a record, each with its type. Labels of enum types are text here, and padded text keeps its blanks.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<(DataType, Value)>> {
    fn number(bytes: &mut &[u8]) -> Option<i32> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(i32::from_be_bytes(*head))
    }
    let count = number(&mut bytes)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let oid = number(&mut bytes)? as u32;
        let length = number(&mut bytes)?;
        let data_type = match DataType::from_oid(oid, -1) {
            _ if oid == DataType::Record.oid() => DataType::Record,
            None | Some(DataType::Char(_)) => DataType::Text,
            Some(known) => known,
        };
        let Ok(length) = usize::try_from(length) else {
            columns.push((data_type, Value::Null));
            continue;
        };
        let (value, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let value = match data_type {
            DataType::Record => Value::Bytea(value.to_owned()),
            _ => from_binary(&data_type, value).ok()?,
        };
        columns.push((data_type, value));
    }
    Some(columns)
}

/// The error for a record that a client gives.
#[cold]
pub(crate) fn anonymous() -> Error {
    Error::new(ErrorKind::FeatureNotSupported, "input of anonymous composite types is not implemented")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::text::{TextContext, format_text, parse_text};

    #[test]
    fn a_record_says_what_is_in_it() {
        let context = TextContext::default();
        let given = [
            (DataType::Int4, "7"),
            (DataType::Text, "a, \"b\" (c)\\"),
            (DataType::Numeric(None), "1.50"),
            (DataType::Text, ""),
            (DataType::Date, "2024-02-29"),
            (DataType::Int4.array_of(), "{1,NULL}"),
        ];
        let values: Vec<Value> =
            given.iter().map(|(data_type, text)| parse_text(data_type, text, &context).unwrap()).collect();
        let mut types: Vec<DataType> = given.iter().map(|(data_type, _)| data_type.clone()).collect();
        let mut refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        types.push(DataType::Bool);
        refs.push(ValueRef::Null);
        let inner = encode(&refs, &types).unwrap();
        let outer =
            encode(&[ValueRef::Bytea(&inner), ValueRef::Int4(1)], &[DataType::Record, DataType::Int4])
                .unwrap();
        let shown = |bytes: &[u8]| {
            let mut out = Vec::new();
            format_text(ValueRef::Bytea(bytes), &DataType::Record, &context, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&inner), r#"(7,"a, ""b"" (c)\\",1.50,"",2024-02-29,"{1,NULL}",)"#);
        assert!(shown(&outer).starts_with(r#"("(7,""a, """"b"""""#), "{}", shown(&outer));
        assert_eq!(shown(&encode(&[], &[]).unwrap()), "()");
        assert!(parse_text(&DataType::Record, "(1)", &context).is_err());
        for cut in 0..outer.len() {
            // What is cut off is no record; nothing panics over it.
            assert!(cut >= outer.len() || decode(&outer[..cut]).is_none());
        }
    }
}
