//! The data types and their names and numbers in PostgreSQL's catalog.
//!
//! A [`DataType`] carries what PostgreSQL calls a type modifier (length, precision) inside. Its SQL
//! spelling ([`DataType::sql_name`]) parses back to the same type; that spelling is also how it is
//! serialized. An enum type carries its labels, and its serialized form ([`DataType::spelling`]) has them.

mod enumeration;
mod object;
mod parse;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::numeric::{DECIMAL_DIGITS_MAX, PRECISION_MAX};
use crate::value::ValueKind;

pub use enumeration::{EnumLabel, EnumType, check_label};
pub use object::{ObjectKind, ObjectNames};

/// Begins the spelling of an enum type with all of its labels; no type's name begins so.
const ENUM_MARK: &str = "\u{1}enum:";

/// A data type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DataType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, or `numeric(precision, scale)`
    Numeric(Option<(u16, i16)>),
    /// `text`
    Text,
    /// `character varying`, or `character varying(length)`
    Varchar(Option<u32>),
    /// `character(length)`; length 0 is `bpchar`, which has no limit
    Char(u32),
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`: kept as it was written
    Json,
    /// `jsonb`: kept in canonical form
    Jsonb,
    /// An array of elements of one type, which is never itself an array
    Array(Box<DataType>),
    /// `oid`
    Oid,
    /// `regclass` and its kin: the identifier of an object that reads and prints as its name
    Reg(ObjectKind),
    /// `xid`: a transaction's number
    Xid,
    /// `void`: what a function gives that gives nothing
    Void,
    /// `int2vector`: numbers that the catalog counts from 0
    Int2Vector,
    /// `oidvector`: identifiers that the catalog counts from 0
    OidVector,
    /// `pg_node_tree`: an expression of the catalog's
    NodeTree,
    /// `record`: a row of any columns, as its binary form, which says each column's type
    Record,
    /// `name`
    Name,
    /// `"char"`: one byte
    InternalChar,
    /// An enum type that a user made; its values are the positions of labels
    Enum(Arc<EnumType>),
}

/// One row of the catalog: object identifiers of the type and of its array, the names of both, the
/// SQL name without modifier, and the length (negative: varying).
struct Entry {
    oid: u32,
    array_oid: u32,
    name: &'static str,
    array_name: &'static str,
    sql: &'static str,
    length: i16,
}

const fn entry(oid: u32, array_oid: u32, array_name: &'static str, sql: &'static str, length: i16) -> Entry {
    // The array's name is the element's with an underscore before it.
    Entry { oid, array_oid, name: array_name.split_at(1).1, array_name, sql, length }
}

const BOOL: Entry = entry(16, 1000, "_bool", "boolean", 1);
const INT2: Entry = entry(21, 1005, "_int2", "smallint", 2);
const INT4: Entry = entry(23, 1007, "_int4", "integer", 4);
const INT8: Entry = entry(20, 1016, "_int8", "bigint", 8);
const FLOAT4: Entry = entry(700, 1021, "_float4", "real", 4);
const FLOAT8: Entry = entry(701, 1022, "_float8", "double precision", 8);
const NUMERIC: Entry = entry(1700, 1231, "_numeric", "numeric", -1);
const TEXT: Entry = entry(25, 1009, "_text", "text", -1);
const VARCHAR: Entry = entry(1043, 1015, "_varchar", "character varying", -1);
const BPCHAR: Entry = entry(1042, 1014, "_bpchar", "character", -1);
const BYTEA: Entry = entry(17, 1001, "_bytea", "bytea", -1);
const DATE: Entry = entry(1082, 1182, "_date", "date", 4);
const TIME: Entry = entry(1083, 1183, "_time", "time without time zone", 8);
const TIMESTAMP: Entry = entry(1114, 1115, "_timestamp", "timestamp without time zone", 8);
const TIMESTAMPTZ: Entry = entry(1184, 1185, "_timestamptz", "timestamp with time zone", 8);
const INTERVAL: Entry = entry(1186, 1187, "_interval", "interval", 16);
const UUID: Entry = entry(2950, 2951, "_uuid", "uuid", 16);
const JSON: Entry = entry(114, 199, "_json", "json", -1);
const JSONB: Entry = entry(3802, 3807, "_jsonb", "jsonb", -1);
const OID: Entry = entry(26, 1028, "_oid", "oid", 4);
const NAME: Entry = entry(19, 1003, "_name", "name", 64);
const XID: Entry = entry(28, 1011, "_xid", "xid", 4);
// No array of it exists: the name has its underscore for the rule above only.
const VOID: Entry = entry(2278, 0, "_void", "void", 4);
const INT2_VECTOR: Entry = entry(22, 1006, "_int2vector", "int2vector", -1);
const OID_VECTOR: Entry = entry(30, 1013, "_oidvector", "oidvector", -1);
const NODE_TREE: Entry = entry(194, 0, "_pg_node_tree", "pg_node_tree", -1);
const RECORD: Entry = entry(2249, 2287, "_record", "record", -1);
const ANY_ENUM: Entry = entry(3500, 0, "_anyenum", "anyenum", 4);
const CHAR: Entry = entry(18, 1002, "_char", "\"char\"", 1);

impl DataType {
    /// Every type that is not an array, without modifiers.
    pub const SCALARS: &'static [DataType] = &[
        DataType::Bool,
        DataType::Int2,
        DataType::Int4,
        DataType::Int8,
        DataType::Float4,
        DataType::Float8,
        DataType::Numeric(None),
        DataType::Text,
        DataType::Varchar(None),
        DataType::Char(0),
        DataType::Bytea,
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::TimestampTz,
        DataType::Interval,
        DataType::Uuid,
        DataType::Json,
        DataType::Jsonb,
        DataType::Oid,
        DataType::Name,
        DataType::InternalChar,
        DataType::Reg(ObjectKind::Procedure),
        DataType::Reg(ObjectKind::Function),
        DataType::Reg(ObjectKind::Operation),
        DataType::Reg(ObjectKind::Operator),
        DataType::Reg(ObjectKind::Class),
        DataType::Reg(ObjectKind::Type),
        DataType::Reg(ObjectKind::Namespace),
        DataType::Reg(ObjectKind::Role),
        DataType::Xid,
        DataType::Int2Vector,
        DataType::OidVector,
    ];

    /// The catalog's row; of an array, that of its element.
    fn entry(&self) -> &'static Entry {
        match self {
            DataType::Bool => &BOOL,
            DataType::Int2 => &INT2,
            DataType::Int4 => &INT4,
            DataType::Int8 => &INT8,
            DataType::Float4 => &FLOAT4,
            DataType::Float8 => &FLOAT8,
            DataType::Numeric(_) => &NUMERIC,
            DataType::Text => &TEXT,
            DataType::Varchar(_) => &VARCHAR,
            DataType::Char(_) => &BPCHAR,
            DataType::Bytea => &BYTEA,
            DataType::Date => &DATE,
            DataType::Time => &TIME,
            DataType::Timestamp => &TIMESTAMP,
            DataType::TimestampTz => &TIMESTAMPTZ,
            DataType::Interval => &INTERVAL,
            DataType::Uuid => &UUID,
            DataType::Json => &JSON,
            DataType::Jsonb => &JSONB,
            DataType::Oid => &OID,
            DataType::Reg(kind) => kind.entry(),
            DataType::Xid => &XID,
            DataType::Void => &VOID,
            DataType::Int2Vector => &INT2_VECTOR,
            DataType::OidVector => &OID_VECTOR,
            DataType::NodeTree => &NODE_TREE,
            DataType::Record => &RECORD,
            DataType::Name => &NAME,
            DataType::InternalChar => &CHAR,
            // What is not told by these is asked of the enum type itself.
            DataType::Enum(_) => &ANY_ENUM,
            DataType::Array(element) => element.entry(),
        }
    }

    /// PostgreSQL's number of the type.
    pub fn oid(&self) -> u32 {
        match self {
            DataType::Enum(known) => known.oid,
            DataType::Array(element) => match element.as_ref() {
                DataType::Enum(known) => known.array_oid,
                element => element.entry().array_oid,
            },
            scalar => scalar.entry().oid,
        }
    }

    /// The modifier: length or precision as PostgreSQL packs it, -1 without one.
    pub fn typmod(&self) -> i32 {
        match self {
            DataType::Varchar(Some(length)) => *length as i32 + 4,
            DataType::Char(length) if *length > 0 => *length as i32 + 4,
            DataType::Numeric(Some((precision, scale))) => {
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
            }
            DataType::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// The type with that number and modifier; `None` for numbers and modifiers not known here.
    pub fn from_oid(oid: u32, typmod: i32) -> Option<Self> {
        if let Some(array) = Self::SCALARS.iter().find(|scalar| scalar.entry().array_oid == oid) {
            return Some(DataType::Array(Box::new(array.clone().with_typmod(typmod)?)));
        }
        let scalar = Self::SCALARS.iter().find(|scalar| scalar.entry().oid == oid)?;
        scalar.clone().with_typmod(typmod)
    }

    fn with_typmod(self, typmod: i32) -> Option<Self> {
        if typmod < 4 {
            return Some(self);
        }
        let payload = (typmod - 4) as u32;
        Some(match self {
            DataType::Varchar(_) => DataType::Varchar(Some(payload)),
            DataType::Char(_) => DataType::Char(payload),
            DataType::Numeric(_) => {
                // The scale has 11 bits, the first of them its sign.
                let (precision, scale) = (payload >> 16, ((payload & 0x7ff) ^ 0x400) as i16 - 0x400);
                DataType::numeric(i64::from(precision), i64::from(scale))?
            }
            other => other,
        })
    }

    /// `numeric(precision, scale)`, if there is such a type.
    pub fn numeric(precision: i64, scale: i64) -> Option<Self> {
        let most = i64::from(PRECISION_MAX);
        let known = (1..=most).contains(&precision) && (-most..=most).contains(&scale);
        known.then_some(DataType::Numeric(Some((precision as u16, scale as i16))))
    }

    /// Digits and scale of a `numeric` whose values all are numbers of 128 bits in units of one scale.
    pub fn decimal(&self) -> Option<(u8, u8)> {
        match *self {
            DataType::Numeric(Some((precision, scale)))
                if precision <= u16::from(DECIMAL_DIGITS_MAX) && scale >= 0 && scale as u16 <= precision =>
            {
                Some((precision as u8, scale as u8))
            }
            _ => None,
        }
    }

    /// Whether it is a `numeric` whose values have scales and counts of digits of their own.
    pub fn is_wide_numeric(&self) -> bool {
        matches!(self, DataType::Numeric(_)) && self.decimal().is_none()
    }

    /// The array of this type; of an array, itself, because arrays do not nest.
    pub fn array_of(&self) -> Self {
        match self {
            DataType::Array(_) => self.clone(),
            scalar => DataType::Array(Box::new(scalar.clone())),
        }
    }

    /// The type of an array's elements, or of a vector's.
    pub fn element(&self) -> Option<&DataType> {
        match self {
            DataType::Array(element) => Some(element),
            DataType::Int2Vector => Some(&DataType::Int2),
            DataType::OidVector => Some(&DataType::Oid),
            _ => None,
        }
    }

    /// Bytes of a value inside PostgreSQL, -1 when it varies.
    pub fn type_len(&self) -> i16 {
        match self {
            DataType::Array(_) => -1,
            scalar => scalar.entry().length,
        }
    }

    /// The name in `pg_type`: `int4`, `bpchar`, `_int4`.
    pub fn catalog_name(&self) -> &str {
        match self {
            DataType::Enum(known) => &known.name,
            DataType::Array(element) => match element.as_ref() {
                DataType::Enum(known) => &known.array_name,
                element => element.entry().array_name,
            },
            scalar => scalar.entry().name,
        }
    }

    /// The SQL spelling, as `format_type` gives it: `character varying(10)`, `integer[]`.
    pub fn sql_name(&self) -> String {
        self.to_string()
    }

    /// The SQL spelling without length or precision, as messages name a type.
    pub fn base_name(&self) -> String {
        match self {
            DataType::Array(element) => format!("{}[]", element.base_name()),
            DataType::Enum(known) => known.sql_name.clone(),
            scalar => scalar.entry().sql.to_owned(),
        }
    }

    /// The type that a SQL name or one of its aliases means.
    pub fn parse(name: &str) -> Option<Self> {
        parse::parse(name)
    }

    /// The enum type, if it is one or an array of one.
    pub fn enum_type(&self) -> Option<&Arc<EnumType>> {
        match self {
            DataType::Enum(known) => Some(known),
            DataType::Array(element) => element.enum_type(),
            _ => None,
        }
    }

    /// A spelling from which the whole type is read again: of an enum type with its labels, of others the
    /// SQL name.
    pub fn spelling(&self) -> String {
        match self.enum_type() {
            Some(known) => {
                let labels = serde_json::to_string(known.as_ref()).unwrap_or_default();
                let dimension = if self.is_array() { "[]" } else { "" };
                format!("{ENUM_MARK}{dimension}{labels}")
            }
            None => self.sql_name(),
        }
    }

    /// The type of a [`spelling`](Self::spelling).
    pub fn from_spelling(spelling: &str) -> Option<Self> {
        let Some(rest) = spelling.strip_prefix(ENUM_MARK) else { return DataType::parse(spelling) };
        let (labels, array) = rest.strip_prefix("[]").map_or((rest, false), |labels| (labels, true));
        let scalar = DataType::Enum(Arc::new(serde_json::from_str(labels).ok()?));
        Some(if array { scalar.array_of() } else { scalar })
    }

    /// Whether it is one of the numbers (not `oid`).
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || matches!(self, DataType::Float4 | DataType::Float8 | DataType::Numeric(_))
    }

    /// Whether it is `smallint`, `integer` or `bigint`.
    pub fn is_integer(&self) -> bool {
        matches!(self, DataType::Int2 | DataType::Int4 | DataType::Int8)
    }

    /// Whether it is `real` or `double precision`.
    pub fn is_float(&self) -> bool {
        matches!(self, DataType::Float4 | DataType::Float8)
    }

    /// Whether it is one of the text types.
    pub fn is_string(&self) -> bool {
        matches!(
            self,
            DataType::Text
                | DataType::Varchar(_)
                | DataType::Char(_)
                | DataType::Name
                | DataType::InternalChar
                | DataType::NodeTree
        )
    }

    /// Whether it is a date, a time, a timestamp or an interval.
    pub fn is_datetime(&self) -> bool {
        matches!(
            self,
            DataType::Date
                | DataType::Time
                | DataType::Timestamp
                | DataType::TimestampTz
                | DataType::Interval
        )
    }

    /// Whether it is `json` or `jsonb`.
    pub fn is_json(&self) -> bool {
        matches!(self, DataType::Json | DataType::Jsonb)
    }

    /// Whether its values are identifiers of objects: `oid`, `regclass` and their kin.
    pub fn is_identifier(&self) -> bool {
        matches!(self, DataType::Oid | DataType::Reg(_))
    }

    /// The kind of objects its values print as the names of, alone or in an array.
    pub fn object_kind(&self) -> Option<ObjectKind> {
        match self {
            DataType::Reg(kind) => Some(*kind),
            DataType::Array(element) => element.object_kind(),
            _ => None,
        }
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        matches!(self, DataType::Array(_))
    }

    /// Which variant of [`Value`](crate::Value) holds values of this type.
    pub fn value_kind(&self) -> ValueKind {
        match self {
            DataType::Bool => ValueKind::Bool,
            DataType::Int2 => ValueKind::Int2,
            DataType::Int4 => ValueKind::Int4,
            DataType::Int8 | DataType::Enum(_) => ValueKind::Int8,
            DataType::Float4 => ValueKind::Float4,
            DataType::Float8 => ValueKind::Float8,
            DataType::Numeric(_) => ValueKind::Numeric,
            DataType::Text
            | DataType::Varchar(_)
            | DataType::Char(_)
            | DataType::Json
            | DataType::Jsonb
            | DataType::Name
            | DataType::InternalChar
            | DataType::NodeTree
            | DataType::Void => ValueKind::Text,
            DataType::Bytea | DataType::Record => ValueKind::Bytea,
            DataType::Date => ValueKind::Date,
            DataType::Time => ValueKind::Time,
            DataType::Timestamp => ValueKind::Timestamp,
            DataType::TimestampTz => ValueKind::TimestampTz,
            DataType::Interval => ValueKind::Interval,
            DataType::Uuid => ValueKind::Uuid,
            DataType::Oid | DataType::Reg(_) | DataType::Xid => ValueKind::Oid,
            DataType::Array(_) | DataType::Int2Vector | DataType::OidVector => ValueKind::Array,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Varchar(Some(length)) => write!(f, "character varying({length})"),
            DataType::Char(0) => f.write_str("bpchar"),
            DataType::Char(length) => write!(f, "character({length})"),
            DataType::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            DataType::Array(element) => write!(f, "{element}[]"),
            DataType::Enum(known) => f.write_str(&known.sql_name),
            scalar => f.write_str(scalar.entry().sql),
        }
    }
}

impl std::str::FromStr for DataType {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        DataType::parse(name).ok_or_else(|| {
            crate::Error::new(crate::ErrorKind::UndefinedObject, format!("type \"{name}\" does not exist"))
        })
    }
}

impl Serialize for DataType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.spelling())
    }
}

impl<'de> Deserialize<'de> for DataType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        DataType::from_spelling(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("type \"{name}\" does not exist")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with_modifiers() -> Vec<DataType> {
        let mut types = DataType::SCALARS.to_vec();
        types.push(DataType::Varchar(Some(10)));
        types.push(DataType::Char(3));
        types.push(DataType::Numeric(Some((10, 2))));
        types.push(DataType::Numeric(Some((38, 0))));
        let arrays: Vec<_> = types.iter().map(DataType::array_of).collect();
        types.extend(arrays);
        types
    }

    #[test]
    fn every_type_survives_its_sql_name_and_its_number() {
        for data_type in with_modifiers() {
            assert_eq!(DataType::parse(&data_type.sql_name()), Some(data_type.clone()));
            assert_eq!(DataType::from_oid(data_type.oid(), data_type.typmod()), Some(data_type.clone()));
            let json = serde_json::to_string(&data_type).unwrap();
            assert_eq!(serde_json::from_str::<DataType>(&json).unwrap(), data_type);
        }
    }

    #[test]
    fn names_and_modifiers_are_those_of_postgresql() {
        assert_eq!(DataType::Int4.array_of().catalog_name(), "_int4");
        assert_eq!(DataType::Char(3).catalog_name(), "bpchar");
        assert_eq!(DataType::InternalChar.catalog_name(), "char");
        assert_eq!(DataType::Varchar(Some(10)).typmod(), 14);
        assert_eq!(DataType::Numeric(Some((10, 2))).typmod(), 655366);
        assert_eq!(DataType::TimestampTz.array_of().sql_name(), "timestamp with time zone[]");
        assert_eq!(DataType::Varchar(Some(10)).base_name(), "character varying");
    }
}
