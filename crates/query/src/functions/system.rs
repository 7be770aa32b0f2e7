//! Functions about the session, the catalog and the server.

use std::sync::Arc;

use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::ddl::quoted;
use crate::dml::written::{Written, events};
use crate::functions::row::{Definition, integer, text};
use crate::names::collation::{DEFAULT_OID, predefined};
use crate::pg_catalog::definition;
use crate::session::{SessionInfo, parse_qualified};

const VERSION: &str = concat!("PostgreSQL 15.0 (LumaDB ", env!("CARGO_PKG_VERSION"), ")");

fn oid_of(value: ValueRef<'_>) -> u32 {
    integer(value).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// The relation an argument means: by identifier or by name.
fn relation(info: &SessionInfo, value: ValueRef<'_>) -> Result<Option<u32>> {
    match value {
        ValueRef::Text(name) if name.parse::<u32>().is_err() => {
            Ok(info.scope().find(&parse_qualified(name)?).map(luma_catalog::Relation::oid))
        }
        value => Ok(Some(oid_of(value))),
    }
}

/// Bytes on disk and in memory of a table's keyspaces.
fn size(info: &SessionInfo, value: ValueRef<'_>, rows: bool, indexes: bool) -> Result<Value> {
    let Some(oid) = relation(info, value)? else { return Ok(Value::Null) };
    let bytes = |keyspace: &lightning::Keyspace| {
        let statistics = keyspace.stats();
        statistics.disk_bytes + statistics.memory_bytes
    };
    if let Some(table) = info.catalog.table(oid) {
        let open = info.shared.open_table(table)?;
        let files = open.files.as_ref().and_then(|files| files.views(&info.shared.engine.snapshot()).ok());
        let in_files: u64 = files.iter().flatten().map(|view| view.entry().bytes).sum();
        let own = if rows { bytes(&open.rows) + in_files } else { 0 };
        let other: u64 =
            if indexes { open.indexes.iter().map(|index| bytes(&index.entries)).sum() } else { 0 };
        return Ok(Value::Int8((own + other) as i64));
    }
    if let Some((table, index)) = info.catalog.index(oid) {
        let open = info.shared.open_table(table)?;
        let found = open.indexes.iter().find(|open| open.definition.oid == index.oid);
        return Ok(Value::Int8(found.map_or(0, |index| bytes(&index.entries)) as i64));
    }
    Ok(Value::Int8(0))
}

fn pretty(bytes: i64) -> String {
    let mut size = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if size.abs() < 10 * 1024 || unit == "TB" {
            return format!("{size} {unit}");
        }
        size = (size + 512) / 1024;
    }
    format!("{size} TB")
}

fn always_true(_: &std::sync::Arc<SessionInfo>, _: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Bool(true))
}

/// The name of a collation that is not the database's own.
fn collation_name(
    info: &std::sync::Arc<SessionInfo>,
    arguments: &[ValueRef<'_>],
    _: &[DataType],
) -> Result<Value> {
    let oid = arguments.first().map_or(0, |value| oid_of(*value));
    let made = info.catalog.collations().map(|made| &made.collation).find(|known| known.oid == oid).cloned();
    let found = made.or_else(|| predefined().find(|known| known.oid == oid && oid != DEFAULT_OID));
    Ok(found.map_or(Value::Null, |found| Value::Text(found.name)))
}

fn collation_version(_: &std::sync::Arc<SessionInfo>, _: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Text(luma_model::COLLATION_RULES_VERSION.to_owned()))
}

fn nothing(_: &std::sync::Arc<SessionInfo>, _: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Null)
}

fn user(info: &std::sync::Arc<SessionInfo>, _: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Text(info.user.clone()))
}

fn comment(info: &SessionInfo, oid: u32, column: i64) -> Value {
    let found = match (info.catalog.table(oid), info.catalog.view(oid)) {
        (Some(table), _) if column == 0 => table.comment.clone(),
        (Some(table), _) => u16::try_from(column)
            .ok()
            .and_then(|number| table.column_by_number(number))
            .and_then(|column| column.comment.clone()),
        (None, Some(view)) if column == 0 => view.comment.clone(),
        (None, None) if column == 0 => {
            let collation = info.catalog.collations().find(|made| made.collation.oid == oid);
            let made = info.catalog.type_by_oid(oid).map(|made| &made.comment);
            made.or(collation.map(|made| &made.comment)).cloned().flatten()
        }
        _ => None,
    };
    found.map_or(Value::Null, Value::Text)
}

/// A default that takes from a sequence, which it names as the search path lets it.
pub(crate) fn visible_sequence(info: &SessionInfo, expression: String) -> String {
    let name = expression.strip_prefix("nextval('").and_then(|rest| rest.strip_suffix("'::regclass)"));
    let found = name.and_then(|name| info.sequence(&name.replace("''", "'")).ok());
    match found {
        Some(found) => {
            let name = definition::relation_name(&info.scope(), found.schema, &found.name, found.oid);
            format!("nextval('{name}'::regclass)")
        }
        None => expression,
    }
}

fn type_name(info: &SessionInfo, value: ValueRef<'_>, modifier: Option<ValueRef<'_>>) -> Value {
    let oid = oid_of(value);
    let modifier = modifier.and_then(integer).unwrap_or(-1) as i32;
    match crate::functions::reg::type_name(info, oid, modifier) {
        Some(name) => Value::Text(name),
        None if oid == 0 => Value::Text("-".into()),
        None => Value::Text("???".into()),
    }
}

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition::new("version", (0, 0), DataType::Text, |_, _, _| Ok(Value::Text(VERSION.into()))),
    Definition::new("current_user", (0, 0), DataType::Name, user),
    Definition::new("session_user", (0, 0), DataType::Name, user),
    Definition::new("user", (0, 0), DataType::Name, user),
    Definition::new("current_role", (0, 0), DataType::Name, user),
    Definition::new("current_catalog", (0, 0), DataType::Name, |_, _, _| {
        Ok(Value::Text(crate::database::DATABASE_NAME.into()))
    }),
    Definition::new("current_database", (0, 0), DataType::Name, |_, _, _| {
        Ok(Value::Text(crate::database::DATABASE_NAME.into()))
    }),
    Definition::new("current_schema", (0, 0), DataType::Name, |info, _, _| {
        let found =
            crate::names::permanent(&info.search_path).find(|name| info.catalog.schema(name).is_some());
        Ok(found.map_or(Value::Null, |name| Value::Text(name.clone())))
    }),
    Definition::new("luma_current_schemas", (1, 1), DataType::Text, |info, values, _| {
        let mut names: Vec<String> = crate::names::permanent(&info.search_path)
            .filter(|name| info.catalog.schema(name).is_some())
            .cloned()
            .collect();
        if matches!(values[0], ValueRef::Bool(true)) {
            names.insert(0, "pg_catalog".into());
        }
        Ok(Value::Text(format!("{{{}}}", names.join(","))))
    }),
    Definition::new("current_setting", (1, 2), DataType::Text, |info, values, types| {
        let name = text(values[0], &types[0]);
        match info.settings.get(&name) {
            Some(value) => Ok(Value::Text(value.to_owned())),
            None if matches!(values.get(1), Some(ValueRef::Bool(true))) => Ok(Value::Null),
            None => Err(Error::new(
                ErrorKind::UndefinedObject,
                format!("unrecognized configuration parameter \"{name}\""),
            )),
        }
    }),
    Definition::new("set_config", (3, 3), DataType::Text, |info, values, types| {
        let (name, value) = (text(values[0], &types[0]), text(values[1], &types[1]));
        let mut settings = info.settings.clone();
        settings.set(&name, &value)?;
        let value = settings.get(&name).unwrap_or_default().to_owned();
        info.wanted.add(name, value.clone(), matches!(values[2], ValueRef::Bool(true)));
        Ok(Value::Text(value))
    })
    .volatile(),
    Definition::new("pg_backend_pid", (0, 0), DataType::Int4, |info, _, _| {
        Ok(Value::Int4(info.number as i32))
    }),
    Definition::new("inet_client_addr", (0, 0), DataType::Text, |info, _, _| {
        Ok(info.client_address.clone().map_or(Value::Null, Value::Text))
    }),
    Definition::new("statement_timestamp", (0, 0), DataType::TimestampTz, |info, _, _| {
        Ok(Value::TimestampTz(info.statement_micros))
    }),
    Definition::new("transaction_timestamp", (0, 0), DataType::TimestampTz, |info, _, _| {
        Ok(Value::TimestampTz(info.transaction_micros))
    }),
    Definition::new("clock_timestamp", (0, 0), DataType::TimestampTz, |_, _, _| {
        Ok(Value::TimestampTz(crate::transaction::now_micros()))
    })
    .volatile(),
    Definition::new("gen_random_uuid", (0, 0), DataType::Uuid, |_, _, _| {
        Ok(Value::Uuid(*uuid::Uuid::new_v4().as_bytes()))
    })
    .volatile(),
    Definition::new("txid_current", (0, 0), DataType::Int8, |info, _, _| {
        Ok(Value::Int8(info.transaction_micros))
    })
    .volatile(),
    Definition::new("pg_is_in_recovery", (0, 0), DataType::Bool, |_, _, _| Ok(Value::Bool(false))),
    Definition::new("pg_is_in_backup", (0, 0), DataType::Bool, |_, _, _| Ok(Value::Bool(false))),
    Definition::new("pg_postmaster_start_time", (0, 0), DataType::TimestampTz, |_, _, _| {
        static STARTED: std::sync::LazyLock<i64> = std::sync::LazyLock::new(crate::transaction::now_micros);
        Ok(Value::TimestampTz(*STARTED))
    }),
    Definition::new("pg_table_is_visible", (1, 1), DataType::Bool, visible),
    Definition::new("pg_type_is_visible", (1, 1), DataType::Bool, always_true),
    Definition::new("pg_function_is_visible", (1, 1), DataType::Bool, always_true),
    Definition::new("pg_operator_is_visible", (1, 1), DataType::Bool, always_true),
    Definition::new("pg_opclass_is_visible", (1, 1), DataType::Bool, always_true),
    Definition::new("pg_collation_is_visible", (1, 1), DataType::Bool, always_true),
    Definition::new("luma_collation_name", (1, 1), DataType::Name, collation_name),
    Definition::new("pg_collation_actual_version", (1, 1), DataType::Text, collation_version),
    Definition::new("has_table_privilege", (2, 3), DataType::Bool, always_true),
    Definition::new("has_column_privilege", (3, 4), DataType::Bool, always_true),
    Definition::new("has_schema_privilege", (2, 3), DataType::Bool, always_true),
    Definition::new("has_database_privilege", (2, 3), DataType::Bool, always_true),
    Definition::new("has_sequence_privilege", (2, 3), DataType::Bool, always_true),
    Definition::new("has_function_privilege", (2, 3), DataType::Bool, always_true),
    Definition::new("pg_has_role", (2, 3), DataType::Bool, always_true),
    Definition::new("pg_relation_is_publishable", (1, 1), DataType::Bool, always_true),
    Definition::new("pg_get_userbyid", (1, 1), DataType::Name, |info, values, _| {
        let oid = oid_of(values[0]);
        let known = info.catalog.roles().find(|role| role.oid == oid).map(|role| role.name.clone());
        let administrator = (oid == 10).then(|| crate::database::ADMINISTRATOR.to_owned());
        Ok(Value::Text(known.or(administrator).unwrap_or_else(|| format!("unknown (OID={oid})"))))
    }),
    Definition::new("pg_encoding_to_char", (1, 1), DataType::Name, |_, values, _| {
        Ok(Value::Text(if oid_of(values[0]) == 6 { "UTF8".into() } else { String::new() }))
    }),
    Definition::new("pg_client_encoding", (0, 0), DataType::Name, |_, _, _| Ok(Value::Text("UTF8".into()))),
    Definition::new("format_type", (1, 2), DataType::Text, |info, values, _| {
        Ok(match values[0] {
            ValueRef::Null => Value::Null,
            value => type_name(info, value, values.get(1).copied()),
        })
    })
    .takes_null(),
    Definition::new("pg_get_expr", (2, 3), DataType::Text, |info, values, types| {
        Ok(Value::Text(visible_sequence(info, text(values[0], &types[0]))))
    }),
    Definition::new("pg_get_constraintdef", (1, 2), DataType::Text, |info, values, _| {
        Ok(definition::constraint(&info.scope(), oid_of(values[0])).map_or(Value::Null, Value::Text))
    }),
    Definition::new("pg_get_indexdef", (1, 3), DataType::Text, |info, values, _| {
        let column = values.get(1).copied().and_then(integer).unwrap_or(0);
        let column = usize::try_from(column).unwrap_or(0);
        let found = definition::index_by_oid(&info.catalog, oid_of(values[0]), column);
        Ok(found.map_or(Value::Null, Value::Text))
    }),
    Definition::new("pg_get_viewdef", (1, 2), DataType::Text, |info, values, _| {
        let Some(oid) = relation(info, values[0])? else { return Ok(Value::Null) };
        let scope = info.scope();
        let shown = |view: &luma_catalog::View| Value::Text(format!(" {};", definition::view(&scope, view)));
        let filled = info.catalog.table(oid).and_then(|table| table.as_view());
        Ok(info
            .catalog
            .view(oid)
            .map(|view| shown(view))
            .or(filled.as_ref().map(shown))
            .unwrap_or(Value::Null))
    }),
    Definition::new("pg_relation_is_updatable", (2, 2), DataType::Int4, |info, values, _| {
        Ok(relation(info, values[0])?.map_or(Value::Int4(0), |oid| Value::Int4(events(&info.scope(), oid))))
    }),
    Definition::new("pg_column_is_updatable", (3, 3), DataType::Bool, |info, values, _| {
        let Some(oid) = relation(info, values[0])? else { return Ok(Value::Bool(false)) };
        let Some(place) = integer(values[1]).and_then(|number| usize::try_from(number - 1).ok()) else {
            return Ok(Value::Bool(false));
        };
        let scope = info.scope();
        let written = match (info.catalog.table(oid), info.catalog.view(oid)) {
            (Some(table), _) if table.filled_by.is_none() => Some(Written::table(Arc::clone(table))),
            (None, Some(view)) if view.external.is_none() => Written::of_view(&scope, view, 0).ok(),
            _ => None,
        };
        let column = written.filter(|written| written.columns.columns.get(place).is_some());
        Ok(Value::Bool(column.is_some_and(|written| written.is_assignable(place))))
    }),
    Definition::new("pg_get_serial_sequence", (2, 2), DataType::Text, |info, values, types| {
        let Some(oid) = relation(info, values[0])? else { return Ok(Value::Null) };
        let column = text(values[1], &types[1]);
        let Some(column) = info.catalog.table(oid).and_then(|table| table.column(&column)) else {
            return Ok(Value::Null);
        };
        let own = column.sequence.and_then(|sequence| info.catalog.sequence(sequence));
        let owned = || {
            let owner = Some((oid, column.number));
            info.catalog.sequences().find(|sequence| sequence.owned_by == owner)
        };
        let Some(sequence) = own.or_else(owned) else { return Ok(Value::Null) };
        let schema = info.catalog.schema_by_oid(sequence.schema).map_or("", |schema| schema.name.as_str());
        Ok(Value::Text(format!("{}.{}", quoted(schema), quoted(&sequence.name))))
    }),
    Definition::new("pg_get_statisticsobjdef_columns", (1, 1), DataType::Text, nothing),
    Definition::new("pg_get_function_identity_arguments", (1, 1), DataType::Text, empty),
    Definition::new("pg_get_function_arguments", (1, 1), DataType::Text, empty),
    Definition::new("pg_get_function_result", (1, 1), DataType::Text, empty),
    Definition::new("pg_get_triggerdef", (1, 2), DataType::Text, nothing),
    Definition::new("pg_get_ruledef", (1, 2), DataType::Text, nothing),
    Definition::new("pg_get_partkeydef", (1, 1), DataType::Text, nothing),
    Definition::new("obj_description", (1, 2), DataType::Text, |info, values, _| {
        Ok(comment(info, oid_of(values[0]), 0))
    }),
    Definition::new("col_description", (2, 2), DataType::Text, |info, values, _| {
        Ok(comment(info, oid_of(values[0]), integer(values[1]).unwrap_or(-1)))
    }),
    Definition::new("shobj_description", (2, 2), DataType::Text, nothing),
    Definition::new("acldefault", (2, 2), DataType::Text, nothing),
    Definition::new("quote_ident", (1, 1), DataType::Text, |_, values, types| {
        Ok(Value::Text(quoted(&text(values[0], &types[0]))))
    }),
    Definition::new("pg_notify", (2, 2), DataType::Void, |info, values, types| {
        let said = |at: usize| match values[at] {
            ValueRef::Null => String::new(),
            value => text(value, &types[at]),
        };
        let intent = crate::news::notify(&said(0), &said(1))?;
        info.intents.lock().push(intent);
        Ok(Value::Text(String::new()))
    })
    .takes_null()
    .volatile(),
    Definition::new("pg_notification_queue_usage", (0, 0), DataType::Float8, |_, _, _| {
        Ok(Value::Float8(0.0))
    }),
    Definition::new("pg_relation_size", (1, 2), DataType::Int8, |info, values, _| {
        size(info, values[0], true, false)
    }),
    Definition::new("pg_table_size", (1, 1), DataType::Int8, |info, values, _| {
        size(info, values[0], true, false)
    }),
    Definition::new("pg_indexes_size", (1, 1), DataType::Int8, |info, values, _| {
        size(info, values[0], false, true)
    }),
    Definition::new("pg_total_relation_size", (1, 1), DataType::Int8, |info, values, _| {
        size(info, values[0], true, true)
    }),
    Definition::new("pg_database_size", (1, 1), DataType::Int8, |info, _, _| {
        let mut total = 0;
        for table in info.catalog.tables() {
            if let Value::Int8(bytes) = size(info, ValueRef::Oid(table.oid), true, true)? {
                total += bytes;
            }
        }
        Ok(Value::Int8(total))
    }),
    Definition::new("pg_size_bytes", (1, 1), DataType::Int8, |_, values, types| {
        size_in_bytes(&text(values[0], &types[0])).map(Value::Int8)
    }),
    Definition::new("pg_size_pretty", (1, 1), DataType::Text, |_, values, types| {
        let bytes = integer(values[0])
            .or_else(|| text(values[0], &types[0]).parse::<f64>().ok().map(|size| size as i64));
        Ok(bytes.map_or(Value::Null, |bytes| Value::Text(pretty(bytes))))
    }),
];

/// The bytes of `10 MB`, `1.5kB` or `42`.
fn size_in_bytes(size: &str) -> Result<i64> {
    let trimmed = size.trim();
    let end = trimmed.find(|c: char| !(c.is_ascii_digit() || ".+-".contains(c))).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "kb" => 1,
        "mb" => 2,
        "gb" => 3,
        "tb" => 4,
        "pb" => 5,
        other => {
            return Err(Error::new(ErrorKind::InvalidParameterValue, format!("invalid size: \"{size}\""))
                .detail(format!("Invalid size unit: \"{other}\"."))
                .hint("Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\"."));
        }
    };
    let number = luma_model::Numeric::parse(number)
        .map_err(|_| Error::new(ErrorKind::InvalidParameterValue, format!("invalid size: \"{size}\"")))?;
    let bytes = number.as_ref().mul(luma_model::Numeric::from(1024_i64.pow(power)).as_ref())?;
    bytes.as_ref().to_i64("bigint")
}

fn empty(_: &std::sync::Arc<SessionInfo>, _: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Text(String::new()))
}

fn visible(info: &std::sync::Arc<SessionInfo>, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let wanted = oid_of(values[0]);
    for path in &info.search_path {
        let Some(schema) = info.catalog.schema(path) else { continue };
        if info.catalog.relations(schema.oid).any(|(_, relation)| relation.oid() == wanted) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
