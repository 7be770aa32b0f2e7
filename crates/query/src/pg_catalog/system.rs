//! System tables about everything but relations: schemas, types, roles and settings.

use luma_catalog::Snapshot;
use luma_model::{
    ArrayValue, COLLATION_RULES_VERSION, Collation, DataType, Interval, ObjectKind, Value, ZoneName,
    time_zone_abbreviations, time_zones_at,
};

use crate::functions::procedure;
use crate::names::collation::{DEFAULT_OID, predefined};
use crate::pg_catalog::{PG_CATALOG_OID, Rows, oid, schemas, text};
use crate::plan::context::Names;

/// The table of that name, if it is one of these.
pub(crate) fn table(name: &str, names: &Names<'_>) -> Option<Rows> {
    Some(match name {
        "pg_namespace" => namespaces(names.catalog),
        "pg_database" => databases(),
        "pg_roles" | "pg_authid" | "pg_user" | "pg_shadow" => roles(names.catalog),
        "pg_am" => access_methods(names),
        "pg_settings" => settings(names),
        "pg_collation" => collations(names.catalog),
        "pg_proc" => functions(names),
        "pg_language" => languages(),
        "pg_tablespace" => tablespaces(),
        "pg_locks" => super::locks::table(names),
        "pg_stat_statements" => crate::statements::table(names),
        "pg_stat_activity" => crate::activity::table(names),
        "pg_prepared_statements" => crate::activity::prepared_statements(names),
        "pg_get_keywords" => keywords(),
        "pg_timezone_names" => time_zones(names),
        "pg_timezone_abbrevs" => time_zone_names(time_zone_abbreviations(), false),
        _ => return crate::pg_catalog::absent::table(name),
    })
}

/// The words that SQL gives a meaning; those that can't be a column's alias are reserved.
fn keywords() -> Rows {
    use datafusion::sql::sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS};
    let mut rows = Rows::new(vec![
        ("word", DataType::Text),
        ("catcode", DataType::InternalChar),
        ("barelabel", DataType::Bool),
        ("catdesc", DataType::Text),
        ("baredesc", DataType::Text),
    ]);
    for (word, keyword) in ALL_KEYWORDS.iter().zip(ALL_KEYWORDS_INDEX) {
        let reserved = RESERVED_FOR_COLUMN_ALIAS.contains(keyword);
        let (code, meaning) = if reserved { ("R", "reserved") } else { ("U", "unreserved") };
        let label = if reserved { "requires AS" } else { "can be bare label" };
        rows.add(vec![
            text(word.to_lowercase()),
            text(code),
            Value::Bool(!reserved),
            text(meaning),
            text(label),
        ]);
    }
    rows
}

fn time_zones(names: &Names<'_>) -> Rows {
    time_zone_names(time_zones_at(names.info.transaction_micros), true)
}

/// Zones with their names and abbreviations, or abbreviations alone.
fn time_zone_names(zones: impl Iterator<Item = ZoneName>, named: bool) -> Rows {
    let mut columns = vec![
        ("name", DataType::Text),
        ("abbrev", DataType::Text),
        ("utc_offset", DataType::Interval),
        ("is_dst", DataType::Bool),
    ];
    if !named {
        columns.remove(0);
    }
    let mut rows = Rows::new(columns);
    for zone in zones {
        let offset = Interval::new(0, 0, i64::from(zone.offset) * 1_000_000);
        let mut row = vec![text(zone.abbreviation), Value::Interval(offset), Value::Bool(zone.summer)];
        if named {
            row.insert(0, text(zone.name));
        }
        rows.add(row);
    }
    rows
}

fn namespaces(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("nspname", DataType::Name),
        ("nspowner", DataType::Oid),
        ("nspacl", DataType::Array(Box::new(DataType::Text))),
    ]);
    for (schema, name, owner) in schemas(catalog) {
        rows.add(vec![oid(schema), text(name), oid(owner), Value::Null]);
    }
    rows
}

fn databases() -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("datname", DataType::Name),
        ("datdba", DataType::Oid),
        ("encoding", DataType::Int4),
        ("datlocprovider", DataType::InternalChar),
        ("datistemplate", DataType::Bool),
        ("datallowconn", DataType::Bool),
        ("datconnlimit", DataType::Int4),
        ("dattablespace", DataType::Oid),
        ("datcollate", DataType::Text),
        ("datctype", DataType::Text),
        ("daticulocale", DataType::Text),
        ("datcollversion", DataType::Text),
        ("datacl", DataType::Array(Box::new(DataType::Text))),
    ]);
    rows.add(vec![
        oid(crate::database::DATABASE_OID),
        text(crate::database::DATABASE_NAME),
        oid(10),
        Value::Int4(6),
        text("c"),
        Value::Bool(false),
        Value::Bool(true),
        Value::Int4(-1),
        oid(1663),
        text("C"),
        text("C.UTF-8"),
        Value::Null,
        Value::Null,
        Value::Null,
    ]);
    rows
}

fn roles(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("rolname", DataType::Name),
        ("usename", DataType::Name),
        ("usesysid", DataType::Oid),
        ("usesuper", DataType::Bool),
        ("rolsuper", DataType::Bool),
        ("rolinherit", DataType::Bool),
        ("rolcreaterole", DataType::Bool),
        ("rolcreatedb", DataType::Bool),
        ("rolcanlogin", DataType::Bool),
        ("rolreplication", DataType::Bool),
        ("rolbypassrls", DataType::Bool),
        ("rolconnlimit", DataType::Int4),
        ("rolpassword", DataType::Text),
        ("rolvaliduntil", DataType::TimestampTz),
        ("rolconfig", DataType::Array(Box::new(DataType::Text))),
    ]);
    let mut add = |number: u32, name: &str, superuser: bool, login: bool| {
        rows.add(vec![
            oid(number),
            text(name),
            text(name),
            oid(number),
            Value::Bool(superuser),
            Value::Bool(superuser),
            Value::Bool(true),
            Value::Bool(superuser),
            Value::Bool(superuser),
            Value::Bool(login),
            Value::Bool(superuser),
            Value::Bool(superuser),
            Value::Int4(-1),
            text("********"),
            Value::Null,
            Value::Null,
        ]);
    };
    if catalog.roles().all(|role| role.oid != 10) {
        // A server that is open to all has an administrator without a password.
        add(10, crate::database::ADMINISTRATOR, true, true);
    }
    add(super::DATABASE_OWNER_OID, "pg_database_owner", false, false);
    for role in catalog.roles() {
        add(role.oid, &role.name, role.superuser, role.can_login);
    }
    rows
}

fn access_methods(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("amname", DataType::Name),
        ("amhandler", DataType::Reg(ObjectKind::Procedure)),
        ("amtype", DataType::InternalChar),
    ]);
    for (number, name, handler, kind) in
        [(2, "heap", "heap_tableam_handler", "t"), (403, "btree", "bthandler", "i")]
    {
        let handler = procedure::oid(names.info, handler).unwrap_or(0);
        rows.add(vec![oid(number), text(name), oid(handler), text(kind)]);
    }
    rows
}

fn settings(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(vec![
        ("name", DataType::Text),
        ("setting", DataType::Text),
        ("unit", DataType::Text),
        ("category", DataType::Text),
        ("short_desc", DataType::Text),
        ("context", DataType::Text),
        ("vartype", DataType::Text),
        ("source", DataType::Text),
        ("min_val", DataType::Text),
        ("max_val", DataType::Text),
        ("boot_val", DataType::Text),
        ("reset_val", DataType::Text),
    ]);
    for (name, value, description) in names.info.settings.all() {
        rows.add(vec![
            text(name),
            text(value),
            Value::Null,
            text("Session"),
            text(description),
            text("user"),
            text("string"),
            text("default"),
            Value::Null,
            Value::Null,
            text(value),
            text(value),
        ]);
    }
    rows
}

fn collations(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("collname", DataType::Name),
        ("collnamespace", DataType::Oid),
        ("collowner", DataType::Oid),
        ("collprovider", DataType::InternalChar),
        ("collisdeterministic", DataType::Bool),
        ("collencoding", DataType::Int4),
        ("collcollate", DataType::Text),
        ("collctype", DataType::Text),
        ("colliculocale", DataType::Text),
        ("collversion", DataType::Text),
    ]);
    let mut add = |known: &Collation, schema: u32, owner: u32| {
        let (provider, bytes) = match known.locale {
            Some(_) => ("i", Value::Null),
            None if known.oid == DEFAULT_OID => ("d", Value::Null),
            None => ("c", text(if known.name == "POSIX" { "POSIX" } else { "C" })),
        };
        rows.add(vec![
            oid(known.oid),
            text(known.name.as_str()),
            oid(schema),
            oid(owner),
            text(provider),
            Value::Bool(known.deterministic),
            Value::Int4(if known.name == "ucs_basic" { 6 } else { -1 }),
            bytes.clone(),
            bytes,
            known.locale.as_deref().map_or(Value::Null, text),
            known.locale.as_ref().map_or(Value::Null, |_| text(COLLATION_RULES_VERSION)),
        ]);
    };
    for known in predefined() {
        add(&known, PG_CATALOG_OID, 10);
    }
    for made in catalog.collations() {
        add(&made.collation, made.schema, made.owner);
    }
    rows
}

fn functions(names: &Names<'_>) -> Rows {
    use DataType::{Bool, Float4, Int2, InternalChar, Name, Oid as OidType, Text};
    let mut rows = Rows::new(vec![
        ("oid", OidType),
        ("proname", Name),
        ("pronamespace", OidType),
        ("proowner", OidType),
        ("prolang", OidType),
        ("procost", Float4),
        ("prorows", Float4),
        ("provariadic", OidType),
        ("prokind", InternalChar),
        ("prosecdef", Bool),
        ("proleakproof", Bool),
        ("proisstrict", Bool),
        ("proretset", Bool),
        ("provolatile", InternalChar),
        ("proparallel", InternalChar),
        ("pronargs", Int2),
        ("prorettype", OidType),
        ("proargtypes", DataType::OidVector),
        ("prosrc", Text),
        ("proacl", DataType::Array(Box::new(Text))),
    ]);
    for (number, procedure) in procedure::all(&names.info.shared.state) {
        rows.add(vec![
            oid(number),
            text(procedure.name.as_str()),
            oid(PG_CATALOG_OID),
            oid(10),
            oid(12),
            Value::Float4(1.0),
            Value::Float4(0.0),
            oid(0),
            text(procedure.kind),
            Value::Bool(false),
            Value::Bool(false),
            Value::Bool(true),
            Value::Bool(false),
            text("s"),
            text("s"),
            Value::Int2(0),
            oid(0),
            Value::Array(ArrayValue::new(Vec::new())),
            text(procedure.name.as_str()),
            Value::Null,
        ]);
    }
    rows
}

fn languages() -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("lanname", DataType::Name),
        ("lanowner", DataType::Oid),
        ("lanispl", DataType::Bool),
        ("lanpltrusted", DataType::Bool),
        ("lanplcallfoid", DataType::Oid),
        ("laninline", DataType::Oid),
        ("lanvalidator", DataType::Oid),
        ("lanacl", DataType::Array(Box::new(DataType::Text))),
    ]);
    for (number, name) in [(12, "internal"), (14, "sql")] {
        let no = || Value::Bool(false);
        rows.add(vec![oid(number), text(name), oid(10), no(), no(), oid(0), oid(0), oid(0), Value::Null]);
    }
    rows
}

fn tablespaces() -> Rows {
    let mut rows =
        Rows::new(vec![("oid", DataType::Oid), ("spcname", DataType::Name), ("spcowner", DataType::Oid)]);
    rows.add(vec![oid(1663), text("pg_default"), oid(10)]);
    rows
}
