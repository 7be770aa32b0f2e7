//! Reading type names as SQL spells them.
//!
//! A name is words, at most one list of modifiers in parentheses, more words (`time (6) with time
//! zone`) and any number of `[]`, which all mean the one-dimensional array. A modifier that the
//! type does not take, or that cannot be kept exactly, makes the name unknown.

use super::{DataType, ObjectKind};

/// Longest text, as PostgreSQL limits `varchar` and `char`.
const LENGTH_MAX: i64 = 10_485_760;

pub(super) fn parse(name: &str) -> Option<DataType> {
    let mut name = name.trim();
    let mut array = false;
    while let Some(rest) = name.strip_suffix(']') {
        let (element, bound) = rest.rsplit_once('[')?;
        if !bound.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        array = true;
        name = element.trim_end();
    }
    if name == "\"char\"" || name == "pg_catalog.\"char\"" {
        return Some(wrap(DataType::InternalChar, array));
    }
    let mut lower = name.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("pg_catalog.") {
        lower = rest.to_owned();
    }
    let (words, modifiers) = split(&lower)?;
    let mut words: Vec<&str> = words.split_ascii_whitespace().collect();
    if !array && words.last() == Some(&"array") {
        words.pop();
        array = true;
    }
    if let Some(element) = words.first().and_then(|word| word.strip_prefix('_')) {
        // The catalog's name of an array, such as _int4.
        if words.len() > 1 || array {
            return None;
        }
        return Some(DataType::Array(Box::new(scalar(element, &modifiers)?)));
    }
    Some(wrap(scalar(&words.join(" "), &modifiers)?, array))
}

fn wrap(scalar: DataType, array: bool) -> DataType {
    if array { DataType::Array(Box::new(scalar)) } else { scalar }
}

/// Takes the modifiers in parentheses out of a name.
fn split(name: &str) -> Option<(String, Vec<i64>)> {
    let Some((before, rest)) = name.split_once('(') else { return Some((name.to_owned(), Vec::new())) };
    let (list, after) = rest.split_once(')')?;
    let modifiers = list.split(',').map(|item| item.trim().parse().ok()).collect::<Option<Vec<i64>>>()?;
    Some((format!("{before} {after}"), modifiers))
}

fn scalar(words: &str, modifiers: &[i64]) -> Option<DataType> {
    let plain = match words {
        "bool" | "boolean" => DataType::Bool,
        "int2" | "smallint" => DataType::Int2,
        "int4" | "int" | "integer" => DataType::Int4,
        "int8" | "bigint" => DataType::Int8,
        "float4" | "real" => DataType::Float4,
        "float8" | "double precision" | "double" => DataType::Float8,
        "text" => DataType::Text,
        "bytea" => DataType::Bytea,
        "date" => DataType::Date,
        "interval" => DataType::Interval,
        "uuid" => DataType::Uuid,
        "json" => DataType::Json,
        "jsonb" => DataType::Jsonb,
        "oid" => DataType::Oid,
        "name" => DataType::Name,
        "regproc" => DataType::Reg(ObjectKind::Procedure),
        "regprocedure" => DataType::Reg(ObjectKind::Function),
        "regoper" => DataType::Reg(ObjectKind::Operation),
        "regoperator" => DataType::Reg(ObjectKind::Operator),
        "regclass" => DataType::Reg(ObjectKind::Class),
        "regtype" => DataType::Reg(ObjectKind::Type),
        "regnamespace" => DataType::Reg(ObjectKind::Namespace),
        "regrole" => DataType::Reg(ObjectKind::Role),
        "xid" => DataType::Xid,
        "void" => DataType::Void,
        "int2vector" => DataType::Int2Vector,
        "oidvector" => DataType::OidVector,
        "pg_node_tree" => DataType::NodeTree,
        "record" => DataType::Record,
        "float" => return float(modifiers),
        "numeric" | "decimal" | "dec" => return numeric(modifiers),
        "varchar" | "character varying" | "char varying" => return varchar(modifiers),
        "char" | "character" => return character(modifiers, DataType::Char(1)),
        "bpchar" => return character(modifiers, DataType::Char(0)),
        "time" | "time without time zone" => return microseconds(DataType::Time, modifiers),
        "timestamp" | "timestamp without time zone" => return microseconds(DataType::Timestamp, modifiers),
        "timestamptz" | "timestamp with time zone" => return microseconds(DataType::TimestampTz, modifiers),
        _ => return None,
    };
    modifiers.is_empty().then_some(plain)
}

fn float(modifiers: &[i64]) -> Option<DataType> {
    match modifiers {
        [] | [25..=53] => Some(DataType::Float8),
        [1..=24] => Some(DataType::Float4),
        _ => None,
    }
}

fn numeric(modifiers: &[i64]) -> Option<DataType> {
    match modifiers {
        [] => Some(DataType::Numeric(None)),
        [precision] => DataType::numeric(*precision, 0),
        [precision, scale] => DataType::numeric(*precision, *scale),
        _ => None,
    }
}

fn varchar(modifiers: &[i64]) -> Option<DataType> {
    match modifiers {
        [] => Some(DataType::Varchar(None)),
        [length @ 1..=LENGTH_MAX] => Some(DataType::Varchar(Some(*length as u32))),
        _ => None,
    }
}

fn character(modifiers: &[i64], default: DataType) -> Option<DataType> {
    match modifiers {
        [] => Some(default),
        [length @ 1..=LENGTH_MAX] => Some(DataType::Char(*length as u32)),
        _ => None,
    }
}

/// Times are kept to the microsecond, so that 6 is the only precision that is kept exactly.
fn microseconds(data_type: DataType, modifiers: &[i64]) -> Option<DataType> {
    matches!(modifiers, [] | [6]).then_some(data_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_mean_the_types_of_the_standard() {
        let cases = [
            ("INT", DataType::Int4),
            ("int8", DataType::Int8),
            ("Double   Precision", DataType::Float8),
            ("float(24)", DataType::Float4),
            ("decimal(10, 2)", DataType::Numeric(Some((10, 2)))),
            ("numeric(5)", DataType::Numeric(Some((5, 0)))),
            ("numeric(3, 5)", DataType::Numeric(Some((3, 5)))),
            ("numeric(1000, -2)", DataType::Numeric(Some((1000, -2)))),
            ("varchar(5)", DataType::Varchar(Some(5))),
            ("character varying ( 5 )", DataType::Varchar(Some(5))),
            ("char", DataType::Char(1)),
            ("\"char\"", DataType::InternalChar),
            ("bpchar", DataType::Char(0)),
            ("timestamptz", DataType::TimestampTz),
            ("timestamp (6) with time zone", DataType::TimestampTz),
            ("timestamp", DataType::Timestamp),
            ("pg_catalog.int4", DataType::Int4),
            ("text[]", DataType::Text.array_of()),
            ("int[3]", DataType::Int4.array_of()),
            ("integer array", DataType::Int4.array_of()),
            ("_int4", DataType::Int4.array_of()),
            ("int[][]", DataType::Int4.array_of()),
            ("varchar(3)[]", DataType::Varchar(Some(3)).array_of()),
        ];
        for (name, wanted) in cases {
            assert_eq!(parse(name), Some(wanted), "{name}");
        }
    }

    #[test]
    fn names_and_modifiers_that_cannot_be_kept_are_unknown() {
        for name in [
            "",
            "serial",
            "int(4)",
            "numeric(1001)",
            "numeric(0)",
            "numeric(3,1001)",
            "varchar(0)",
            "timestamp(3)",
            "[]",
            "int]",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
