//! Which SQL type a field of documents has.

use super::{DocumentKind, DocumentRef};
use crate::numeric::Numeric;
use crate::types::DataType;

/// The type that holds this part of a document exactly; `None` for `null`, which fits any.
pub fn infer_type(part: DocumentRef<'_>) -> Option<DataType> {
    Some(match part.kind() {
        DocumentKind::Null => return None,
        DocumentKind::Bool => DataType::Bool,
        DocumentKind::String => DataType::Text,
        DocumentKind::Array | DocumentKind::Object => DataType::Jsonb,
        DocumentKind::Number if part.as_i64().is_some() => DataType::Int8,
        DocumentKind::Number => {
            let text = part.as_number_text()?;
            if is_exact_double(&text) { DataType::Float8 } else { DataType::Numeric(None) }
        }
    })
}

/// Whether a double, written in its shortest form, has the number's digits.
fn is_exact_double(text: &str) -> bool {
    let Ok(double) = text.parse::<f64>() else { return false };
    if !double.is_finite() {
        return false;
    }
    match (Numeric::parse(text), Numeric::parse(ryu::Buffer::new().format(double))) {
        (Ok(one), Ok(other)) => one == other,
        // Too many digits for a numeric: a double is the only type that can hold it at all, unless
        // there are more of them than a double keeps.
        _ => text.bytes().take_while(|c| !matches!(c, b'e' | b'E')).filter(u8::is_ascii_digit).count() <= 17,
    }
}

/// The type that holds values of both types; `None` when there is none but `jsonb`.
pub fn unify(one: &DataType, other: &DataType) -> Option<DataType> {
    match (one, other) {
        (one, other) if one == other => Some(one.clone()),
        (DataType::Int8, DataType::Float8) | (DataType::Float8, DataType::Int8) => Some(DataType::Float8),
        _ => None,
    }
}
