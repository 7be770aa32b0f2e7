//! Values, owned and borrowed.
//!
//! A value does not know its [`DataType`](crate::DataType): text, `varchar`, `json` and the rest of
//! the text family share one variant, and the type beside the value gives the meaning. Dates and
//! times are numbers since 1970; the largest and smallest number are infinity and -infinity.

mod array;

pub use array::{ArrayRef, ArrayValue};

use crate::interval::Interval;
use crate::numeric::{Numeric, NumericRef};

/// `infinity` as a `date`.
pub const DATE_INFINITY: i32 = i32::MAX;
/// `-infinity` as a `date`.
pub const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// `infinity` as a timestamp.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// `-infinity` as a timestamp.
pub const TIMESTAMP_NEGATIVE_INFINITY: i64 = i64::MIN;

/// An owned value.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// 16 bits.
    Int2(i16),
    /// 32 bits.
    Int4(i32),
    /// 64 bits.
    Int8(i64),
    /// Single precision.
    Float4(f32),
    /// Double precision.
    Float8(f64),
    /// An exact decimal number.
    Numeric(Numeric),
    /// Any type of the text family.
    Text(String),
    /// Bytes.
    Bytea(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00 of no particular zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00 UTC.
    TimestampTz(i64),
    /// A span of time.
    Interval(Interval),
    /// A UUID's bytes.
    Uuid([u8; 16]),
    /// An object identifier.
    Oid(u32),
    /// A list of values of one type.
    Array(ArrayValue),
}

/// A borrowed value.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum ValueRef<'a> {
    /// No value.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// 16 bits.
    Int2(i16),
    /// 32 bits.
    Int4(i32),
    /// 64 bits.
    Int8(i64),
    /// Single precision.
    Float4(f32),
    /// Double precision.
    Float8(f64),
    /// An exact decimal number.
    Numeric(NumericRef<'a>),
    /// Any type of the text family.
    Text(&'a str),
    /// Bytes.
    Bytea(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00 of no particular zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00 UTC.
    TimestampTz(i64),
    /// A span of time.
    Interval(Interval),
    /// A UUID's bytes.
    Uuid([u8; 16]),
    /// An object identifier.
    Oid(u32),
    /// A list of values of one type.
    Array(ArrayRef<'a>),
}

/// Which variant of [`Value`] holds the values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ValueKind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Oid,
    Array,
}

impl Value {
    /// Borrows it.
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Int2(value) => ValueRef::Int2(*value),
            Value::Int4(value) => ValueRef::Int4(*value),
            Value::Int8(value) => ValueRef::Int8(*value),
            Value::Float4(value) => ValueRef::Float4(*value),
            Value::Float8(value) => ValueRef::Float8(*value),
            Value::Numeric(value) => ValueRef::Numeric(value.as_ref()),
            Value::Text(value) => ValueRef::Text(value),
            Value::Bytea(value) => ValueRef::Bytea(value),
            Value::Date(value) => ValueRef::Date(*value),
            Value::Time(value) => ValueRef::Time(*value),
            Value::Timestamp(value) => ValueRef::Timestamp(*value),
            Value::TimestampTz(value) => ValueRef::TimestampTz(*value),
            Value::Interval(value) => ValueRef::Interval(*value),
            Value::Uuid(value) => ValueRef::Uuid(*value),
            Value::Oid(value) => ValueRef::Oid(*value),
            Value::Array(value) => ValueRef::Array(value.as_ref()),
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The variant's kind; `None` for NULL.
    pub fn kind(&self) -> Option<ValueKind> {
        self.as_ref().kind()
    }
}

impl ValueRef<'_> {
    /// Copies it.
    #[allow(clippy::should_implement_trait, clippy::wrong_self_convention)]
    pub fn to_owned(&self) -> Value {
        match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Int2(value) => Value::Int2(value),
            ValueRef::Int4(value) => Value::Int4(value),
            ValueRef::Int8(value) => Value::Int8(value),
            ValueRef::Float4(value) => Value::Float4(value),
            ValueRef::Float8(value) => Value::Float8(value),
            ValueRef::Numeric(value) => Value::Numeric(value.to_owned()),
            ValueRef::Text(value) => Value::Text(value.into()),
            ValueRef::Bytea(value) => Value::Bytea(value.into()),
            ValueRef::Date(value) => Value::Date(value),
            ValueRef::Time(value) => Value::Time(value),
            ValueRef::Timestamp(value) => Value::Timestamp(value),
            ValueRef::TimestampTz(value) => Value::TimestampTz(value),
            ValueRef::Interval(value) => Value::Interval(value),
            ValueRef::Uuid(value) => Value::Uuid(value),
            ValueRef::Oid(value) => Value::Oid(value),
            ValueRef::Array(value) => Value::Array(value.to_owned()),
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// The variant's kind; `None` for NULL.
    pub fn kind(&self) -> Option<ValueKind> {
        Some(match self {
            ValueRef::Null => return None,
            ValueRef::Bool(_) => ValueKind::Bool,
            ValueRef::Int2(_) => ValueKind::Int2,
            ValueRef::Int4(_) => ValueKind::Int4,
            ValueRef::Int8(_) => ValueKind::Int8,
            ValueRef::Float4(_) => ValueKind::Float4,
            ValueRef::Float8(_) => ValueKind::Float8,
            ValueRef::Numeric(_) => ValueKind::Numeric,
            ValueRef::Text(_) => ValueKind::Text,
            ValueRef::Bytea(_) => ValueKind::Bytea,
            ValueRef::Date(_) => ValueKind::Date,
            ValueRef::Time(_) => ValueKind::Time,
            ValueRef::Timestamp(_) => ValueKind::Timestamp,
            ValueRef::TimestampTz(_) => ValueKind::TimestampTz,
            ValueRef::Interval(_) => ValueKind::Interval,
            ValueRef::Uuid(_) => ValueKind::Uuid,
            ValueRef::Oid(_) => ValueKind::Oid,
            ValueRef::Array(_) => ValueKind::Array,
        })
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        value.as_ref()
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_small() {
        assert!(size_of::<ValueRef<'_>>() <= 72, "{}", size_of::<ValueRef<'_>>());
        assert!(size_of::<Value>() <= 40, "{}", size_of::<Value>());
    }
}
