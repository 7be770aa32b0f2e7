//! Values, types, row and key encodings, and the error kinds: the ground that every other room
//! stands on.
//!
//! - [`DataType`] names the types of SQL; [`Value`] and [`ValueRef`] hold their values.
//! - [`parse_text`], [`format_text`], [`from_binary`] and [`to_binary`] are PostgreSQL's text and
//!   binary forms; [`cast`](fn@cast) converts between types as PostgreSQL does.
//! - [`encode_row`] and [`RowView`] store rows, [`encode_key`] makes bytes that sort as the values,
//!   [`encode_document`] and [`DocumentRef`] store JSON documents. `FORMAT.md` shows the bytes.
//! - [`arrow`] turns columns of values into Arrow and back.
//! - [`Error`] and [`ErrorKind`] are the house's one vocabulary of what can go wrong.

pub mod arrow;
mod binary;
mod calendar;
mod cast;
mod collation;
mod document;
mod error;
pub mod infer;
mod interval;
mod json;
mod key;
mod numeric;
mod record;
mod row;
mod text;
mod types;
mod value;
mod zone;

pub use arrow::{CellReader, ColumnBuilder};
pub use binary::{from_binary, to_binary};
pub use calendar::{civil, days_of, days_of_month};
pub use cast::{CastKind, cast, coerce_for_storage};
pub use collation::{Collation, Collator, RULES_VERSION as COLLATION_RULES_VERSION, text_of_key};
pub use document::{
    DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, DocumentElements, DocumentKind, DocumentMembers, DocumentRef,
    encode_document, infer_type, unify,
};
pub use error::{Error, ErrorBody, ErrorKind, Result};
pub use interval::{Interval, MICROS_PER_DAY};
pub use key::{KeyOrder, decode_key, encode_key, prefix_successor};
pub use numeric::{
    DECIMAL_DIGITS_MAX, Decimal, INTEGER_DIGITS_MAX as NUMERIC_INTEGER_DIGITS_MAX, Numeric,
    NumericParseError, NumericRef, PRECISION_MAX as NUMERIC_PRECISION_MAX, SCALE_MAX as NUMERIC_SCALE_MAX,
    factorial, gcd, lcm, variance, width_bucket,
};
pub use record::encode as encode_record;
pub use row::{RowView, encode_row, encode_row_iter};
pub use text::{
    DateOrder, DateStyle, IntervalStyle, Style, TextContext, format_text, parse_text, text_from_utf8,
};
pub use types::{DataType, EnumLabel, EnumType, ObjectKind, ObjectNames, check_label};
pub use value::{
    ArrayRef, ArrayValue, DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, Value, ValueKind, ValueRef,
};
pub use zone::{
    Zone, ZoneName, abbreviation as time_zone_abbreviation, abbreviations as time_zone_abbreviations,
    find as find_time_zone, offset_at as time_zone_offset, offset_of_local as time_zone_offset_of_local,
    offset_text, posix as posix_time_zone, zones_at as time_zones_at,
};
