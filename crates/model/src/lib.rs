//! Values, types, row and key encodings, and the error kinds: the ground that every other room
//! stands on.

pub mod arrow;
mod error;
mod interval;
mod key;
mod numeric;
mod row;
mod text;
mod types;
mod value;

pub use arrow::{CellReader, ColumnBuilder};
pub use error::{Error, ErrorBody, ErrorKind, Result};
pub use interval::{Interval, MICROS_PER_DAY};
pub use key::{KeyOrder, decode_key, encode_key, prefix_successor};
pub use numeric::{NUMERIC_DEFAULT_SCALE, NUMERIC_DIGITS_MAX, Numeric, NumericParseError};
pub use row::{RowView, encode_row, encode_row_iter};
pub use text::TextContext;
pub use types::DataType;
pub use value::{
    ArrayRef, ArrayValue, DATE_INFINITY, DATE_NEGATIVE_INFINITY, TIMESTAMP_INFINITY,
    TIMESTAMP_NEGATIVE_INFINITY, Value, ValueKind, ValueRef,
};
