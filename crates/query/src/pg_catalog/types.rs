//! `pg_type` and `pg_enum`: the system's types and those that users made.

use luma_catalog::{Snapshot, UserType};
use luma_model::{DataType, ObjectKind, Value};

use crate::functions::procedure;
use crate::pg_catalog::{PG_CATALOG_OID, Rows, oid, text};
use crate::plan::context::Names;

/// The table of that name, if it is one of these.
pub(super) fn table(name: &str, names: &Names<'_>) -> Option<Rows> {
    match name {
        "pg_type" => Some(types(names)),
        "pg_enum" => Some(labels(names.catalog)),
        _ => None,
    }
}

fn labels(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("enumtypid", DataType::Oid),
        ("enumsortorder", DataType::Float4),
        ("enumlabel", DataType::Name),
    ]);
    for known in catalog.types().filter_map(|made| made.as_enum()) {
        for label in &known.labels {
            let order = Value::Float4(label.sort_order());
            rows.add(vec![oid(label.oid), oid(known.oid), order, text(label.label.as_str())]);
        }
    }
    rows
}

/// The types there are, arrays apart.
pub(crate) fn scalar_types() -> Vec<DataType> {
    vec![
        DataType::Bool,
        DataType::Bytea,
        DataType::InternalChar,
        DataType::Name,
        DataType::Int8,
        DataType::Int2,
        DataType::Int4,
        DataType::Text,
        DataType::Oid,
        DataType::Json,
        DataType::Jsonb,
        DataType::Float4,
        DataType::Float8,
        DataType::Char(1),
        DataType::Varchar(None),
        DataType::Date,
        DataType::Time,
        DataType::Timestamp,
        DataType::TimestampTz,
        DataType::Interval,
        DataType::Numeric(None),
        DataType::Uuid,
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
    ]
}

fn category(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Array(_) | DataType::Int2Vector | DataType::OidVector => "A",
        DataType::Enum(_) => "E",
        DataType::Bool => "B",
        DataType::Date | DataType::Time | DataType::Timestamp | DataType::TimestampTz => "D",
        DataType::Interval => "T",
        DataType::InternalChar => "Z",
        other if other.is_string() => "S",
        other if other.is_numeric() => "N",
        other if other.is_identifier() => "N",
        DataType::NodeTree => "Z",
        DataType::Void => "P",
        _ => "U",
    }
}

fn types(names: &Names<'_>) -> Rows {
    use DataType::{Bool, Int2, Int4, InternalChar, Name, NodeTree, Oid as OidType, Text};
    const REGPROC: DataType = DataType::Reg(ObjectKind::Procedure);
    let catalog = names.catalog;
    let mut rows = Rows::new(vec![
        ("oid", OidType),
        ("typname", Name),
        ("typnamespace", OidType),
        ("typowner", OidType),
        ("typlen", Int2),
        ("typbyval", Bool),
        ("typtype", InternalChar),
        ("typcategory", InternalChar),
        ("typispreferred", Bool),
        ("typisdefined", Bool),
        ("typdelim", InternalChar),
        ("typrelid", OidType),
        ("typsubscript", REGPROC),
        ("typelem", OidType),
        ("typarray", OidType),
        ("typinput", REGPROC),
        ("typoutput", REGPROC),
        ("typreceive", REGPROC),
        ("typsend", REGPROC),
        ("typnotnull", Bool),
        ("typbasetype", OidType),
        ("typtypmod", Int4),
        ("typndims", Int4),
        ("typcollation", OidType),
        ("typdefaultbin", NodeTree),
        ("typdefault", Text),
        ("typalign", InternalChar),
        ("typstorage", InternalChar),
        ("typmodin", REGPROC),
        ("typmodout", REGPROC),
        ("typacl", DataType::Array(Box::new(Text))),
    ]);
    for scalar in scalar_types() {
        let array = scalar.array_of();
        rows.add(row(
            names,
            &Type::of(&scalar, PG_CATALOG_OID, scalar.element().map_or(0, DataType::oid), array.oid()),
        ));
        rows.add(row(names, &Type::of(&array, PG_CATALOG_OID, scalar.oid(), 0)));
    }
    for made in catalog.types() {
        rows.add(row(names, &Type::made(made)));
        if made.as_domain().is_none() {
            rows.add(row(names, &Type::of(&made.data_type().array_of(), made.schema, made.oid, 0)));
        }
    }
    rows
}

/// What one row of `pg_type` is made from.
struct Type<'a> {
    oid: u32,
    name: &'a str,
    schema: u32,
    kind: &'static str,
    /// The type of its values.
    values: &'a DataType,
    element: u32,
    array: u32,
    /// What its functions are called: `int4` of `int4in`.
    functions: String,
    domain: Option<&'a luma_catalog::Domain>,
}

impl<'a> Type<'a> {
    fn of(data_type: &'a DataType, schema: u32, element: u32, array: u32) -> Self {
        Self {
            oid: data_type.oid(),
            name: data_type.catalog_name(),
            schema,
            kind: "b",
            values: data_type,
            element,
            array,
            functions: procedure::prefix(data_type),
            domain: None,
        }
    }

    fn made(made: &'a UserType) -> Self {
        let domain = made.as_domain();
        Self {
            oid: made.oid,
            name: &made.name,
            schema: made.schema,
            kind: if domain.is_some() { "d" } else { "e" },
            values: made.data_type(),
            element: 0,
            array: if domain.is_some() { 0 } else { made.array_oid },
            functions: if domain.is_some() { "domain_" } else { "enum_" }.to_owned(),
            domain,
        }
    }
}

fn row(names: &Names<'_>, described: &Type<'_>) -> Vec<Value> {
    let data_type = described.values;
    let number = |name: &str| oid(procedure::oid(names.info, name).unwrap_or(0));
    let function = |end: &str| number(&format!("{}{end}", described.functions));
    let domain = described.domain;
    let base = domain.and_then(|domain| domain.parent.or_else(|| Some(domain.base.oid())));
    let preferred =
        matches!(data_type, DataType::Text | DataType::Float8 | DataType::TimestampTz | DataType::Bool);
    vec![
        oid(described.oid),
        text(described.name),
        oid(described.schema),
        oid(10),
        Value::Int2(data_type.type_len()),
        Value::Bool(data_type.type_len() > 0 && data_type.type_len() <= 8),
        text(described.kind),
        text(category(data_type)),
        Value::Bool(preferred && domain.is_none()),
        Value::Bool(true),
        text(","),
        oid(0),
        if described.element == 0 { oid(0) } else { number("array_subscript_handler") },
        oid(described.element),
        oid(described.array),
        function("in"),
        function("out"),
        function("recv"),
        function("send"),
        Value::Bool(domain.is_some_and(|domain| domain.not_null)),
        oid(base.unwrap_or(0)),
        Value::Int4(domain.map_or(-1, |domain| domain.base.typmod())),
        Value::Int4(0),
        oid(if data_type.is_string() { 100 } else { 0 }),
        domain.and_then(|domain| domain.default.as_deref()).map_or(Value::Null, text),
        domain.and_then(|domain| domain.default.as_deref()).map_or(Value::Null, text),
        text("i"),
        text(if data_type.type_len() > 0 { "p" } else { "x" }),
        oid(0),
        oid(0),
        Value::Null,
    ]
}
