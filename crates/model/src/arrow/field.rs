//! Which Arrow type stands for which data type, and back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field, IntervalUnit, TimeUnit};

use crate::error::{Error, ErrorKind, Result};
use crate::numeric::DECIMAL_DIGITS_MAX;
use crate::types::DataType;

/// The metadata key that names the data type where the Arrow type alone would lose it.
pub const TYPE_KEY: &str = "lumadb.type";

/// The zone of every `timestamp with time zone` column.
pub(super) const UTC: &str = "+00:00";

/// The Arrow field of a column.
pub fn field(name: &str, data_type: &DataType, nullable: bool) -> Field {
    let field = Field::new(name, arrow_type(data_type), nullable);
    if data_type_of(field.data_type()).as_ref() == Some(data_type) {
        return field;
    }
    field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), data_type.spelling())]))
}

/// The Arrow type of a data type.
pub fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Bool => ArrowType::Boolean,
        DataType::Int2 => ArrowType::Int16,
        DataType::Int4 => ArrowType::Int32,
        DataType::Int8 | DataType::Oid | DataType::Reg(_) | DataType::Xid | DataType::Enum(_) => {
            ArrowType::Int64
        }
        DataType::Float4 => ArrowType::Float32,
        DataType::Float8 => ArrowType::Float64,
        DataType::Numeric(_) => match data_type.decimal() {
            Some((precision, scale)) => ArrowType::Decimal128(precision, scale as i8),
            // Bytes that sort as the numbers; each number keeps its own count of digits.
            None => ArrowType::LargeBinary,
        },
        DataType::Text
        | DataType::Varchar(_)
        | DataType::Char(_)
        | DataType::Uuid
        | DataType::Json
        | DataType::Jsonb
        | DataType::Name
        | DataType::InternalChar
        | DataType::NodeTree
        | DataType::Void => ArrowType::Utf8View,
        DataType::Bytea | DataType::Record => ArrowType::BinaryView,
        DataType::Date => ArrowType::Date32,
        DataType::Time => ArrowType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        DataType::TimestampTz => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        DataType::Interval => ArrowType::Interval(IntervalUnit::MonthDayNano),
        DataType::Array(element) => ArrowType::List(Arc::new(element_field(element))),
        DataType::Int2Vector => ArrowType::List(Arc::new(element_field(&DataType::Int2))),
        DataType::OidVector => ArrowType::List(Arc::new(element_field(&DataType::Oid))),
    }
}

/// The field of a list's elements. It carries no metadata, so that lists of one Arrow type are one
/// type for the query engine; the list's own field names the data type.
pub(super) fn element_field(element: &DataType) -> Field {
    Field::new("item", arrow_type(element), true)
}

/// The data type of a column with that field.
///
/// # Errors
/// 0A000 for an Arrow type that has no counterpart.
pub fn data_type(field: &Field) -> Result<DataType> {
    if let Some(named) = field.metadata().get(TYPE_KEY).and_then(|name| DataType::from_spelling(name)) {
        // An expression may have kept the metadata and changed the type.
        if stands_for(field.data_type(), &named) {
            return Ok(named);
        }
    }
    data_type_of(field.data_type()).ok_or_else(|| {
        Error::new(
            ErrorKind::FeatureNotSupported,
            format!(
                "column \"{}\" has the type {}, which SQL does not know",
                field.name(),
                field.data_type()
            ),
        )
    })
}

/// Whether values of the data type may be in a column of the Arrow type.
fn stands_for(arrow: &ArrowType, data_type: &DataType) -> bool {
    match (arrow, data_type) {
        (ArrowType::Dictionary(_, values), _) => stands_for(values, data_type),
        (ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View, _) => {
            arrow_type(data_type) == ArrowType::Utf8View
        }
        (
            ArrowType::List(item)
            | ArrowType::LargeList(item)
            | ArrowType::ListView(item)
            | ArrowType::LargeListView(item)
            | ArrowType::FixedSizeList(item, _),
            list,
        ) => list.element().is_some_and(|element| stands_for(item.data_type(), element)),
        _ => *arrow == arrow_type(data_type),
    }
}

fn data_type_of(arrow: &ArrowType) -> Option<DataType> {
    Some(match arrow {
        ArrowType::Null | ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::Text,
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int8 | ArrowType::UInt8 | ArrowType::Int16 => DataType::Int2,
        ArrowType::UInt16 | ArrowType::Int32 => DataType::Int4,
        // What a query engine counts fits in 63 bits.
        ArrowType::UInt32 | ArrowType::Int64 | ArrowType::UInt64 => DataType::Int8,
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float4,
        ArrowType::Float64 => DataType::Float8,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale) => decimal(*precision, *scale),
        ArrowType::LargeBinary => DataType::Numeric(None),
        ArrowType::Binary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => DataType::Bytea,
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::Interval(_) | ArrowType::Duration(_) => DataType::Interval,
        ArrowType::List(item)
        | ArrowType::LargeList(item)
        | ArrowType::ListView(item)
        | ArrowType::LargeListView(item)
        | ArrowType::FixedSizeList(item, _) => match data_type(item).ok()? {
            // Arrays of SQL have one dimension; lists of lists are shown as JSON.
            DataType::Array(_) => DataType::Jsonb,
            element => DataType::Array(Box::new(element)),
        },
        ArrowType::Struct(_) | ArrowType::Map(..) => DataType::Jsonb,
        ArrowType::Dictionary(_, values) => data_type_of(values)?,
        ArrowType::RunEndEncoded(_, values) => data_type(values).ok()?,
        ArrowType::Union(..) => return None,
    })
}

fn decimal(precision: u8, scale: i8) -> DataType {
    if scale < 0 {
        let widened = precision.saturating_add(scale.unsigned_abs()).min(DECIMAL_DIGITS_MAX);
        return DataType::Numeric(Some((widened.into(), 0)));
    }
    let scale = (scale as u8).min(DECIMAL_DIGITS_MAX);
    DataType::Numeric(Some((precision.min(DECIMAL_DIGITS_MAX).max(scale).max(1).into(), scale.into())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_type_survives_its_field() {
        let mut types = DataType::SCALARS.to_vec();
        types.extend([
            DataType::Varchar(Some(3)),
            DataType::Char(5),
            DataType::Numeric(Some((10, 2))),
            DataType::Numeric(Some((38, 10))),
            DataType::Numeric(Some((39, 10))),
            DataType::Numeric(Some((3, -2))),
        ]);
        types.extend(types.clone().iter().map(DataType::array_of));
        for wanted in types {
            assert_eq!(data_type(&field("c", &wanted, true)).unwrap(), wanted);
        }
    }

    #[test]
    fn metadata_that_no_longer_fits_is_ignored() {
        let uuid = field("c", &DataType::Uuid, true);
        assert_eq!(data_type(&uuid.clone().with_data_type(ArrowType::Int64)).unwrap(), DataType::Int8);
        assert_eq!(data_type(&uuid.with_data_type(ArrowType::Utf8)).unwrap(), DataType::Uuid);
    }

    #[test]
    fn what_a_query_engine_produces_has_a_type() {
        let of = |arrow| data_type(&Field::new("c", arrow, true)).unwrap();
        assert_eq!(of(ArrowType::UInt64), DataType::Int8);
        assert_eq!(of(ArrowType::UInt32), DataType::Int8);
        assert_eq!(of(ArrowType::Null), DataType::Text);
        assert_eq!(of(ArrowType::Decimal256(76, 10)), DataType::Numeric(Some((38, 10))));
        assert_eq!(of(ArrowType::LargeBinary), DataType::Numeric(None));
        assert_eq!(of(ArrowType::Decimal128(5, -2)), DataType::Numeric(Some((7, 0))));
        assert_eq!(of(ArrowType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))), DataType::TimestampTz);
        let words = ArrowType::Dictionary(Box::new(ArrowType::Int32), Box::new(ArrowType::Utf8));
        assert_eq!(of(words), DataType::Text);
        let list = ArrowType::LargeList(Arc::new(Field::new("item", ArrowType::UInt32, true)));
        assert_eq!(of(list.clone()), DataType::Int8.array_of());
        assert_eq!(of(ArrowType::List(Arc::new(Field::new("item", list, true)))), DataType::Jsonb);
    }
}
