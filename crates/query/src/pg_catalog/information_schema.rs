//! `information_schema`, as the SQL standard has it.

use std::sync::Arc;

use luma_catalog::{CheckOption, Column, ConstraintTiming, Identity, Relation, Table};
use luma_model::{DataType, Value};

use crate::database::DATABASE_NAME;
use crate::dml::written::{self, DELETES, INSERTS, UPDATES, Written};
use crate::functions::system::visible_sequence;
use crate::pg_catalog::relations::table_type;
use crate::pg_catalog::{Rows, schemas, text};
use crate::plan::context::Names;

/// The table of that name, if there is one.
pub(crate) fn table(name: &str, names: &Names<'_>) -> Option<Rows> {
    Some(match name {
        "tables" => tables(names),
        "columns" => columns(names),
        "schemata" => schemata(names),
        "views" => views(names),
        "table_constraints" => table_constraints(names),
        "key_column_usage" => key_column_usage(names),
        "referential_constraints" => referential_constraints(names),
        "constraint_column_usage" => constraint_column_usage(names),
        "sequences" => sequences(names),
        "domains" => domains(names),
        "domain_constraints" => domain_constraints(names),
        _ => return None,
    })
}

fn yes(value: bool) -> Value {
    text(if value { "YES" } else { "NO" })
}

/// The standard's domains: identifiers are names, what is YES or NO has three characters, the rest is character data.
fn kind(column: &str) -> DataType {
    if column.starts_with("is_") && column != "is_generated" || column == "initially_deferred" {
        return DataType::Varchar(Some(3));
    }
    let identifier = ["_name", "_schema", "_catalog"].iter().any(|end| column.ends_with(end));
    if identifier { DataType::Name } else { DataType::Varchar(None) }
}

fn strings(names: &[&'static str]) -> Vec<(&'static str, DataType)> {
    names.iter().map(|name| (*name, kind(name))).collect()
}

fn tables(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "table_type",
        "is_insertable_into",
    ]));
    for schema in names.catalog.schemas() {
        for (name, relation) in names.catalog.relations(schema.oid) {
            if let Some(kind) = table_type(relation) {
                let insertable = written::events(&names.scope(), relation.oid()) & INSERTS != 0;
                rows.add(vec![
                    text(DATABASE_NAME),
                    text(schema.name.as_str()),
                    text(name),
                    text(kind),
                    yes(insertable),
                ]);
            }
        }
    }
    for name in names.shared.metrics().into_iter().flat_map(|store| crate::metrics::names(store)) {
        let schema = text(crate::metrics::SCHEMA);
        rows.add(vec![text(DATABASE_NAME), schema, text(&*name), text("VIEW"), yes(false)]);
    }
    rows
}

/// Metrics as they are listed: their names and columns.
fn metrics<'a>(names: &'a Names<'_>) -> impl Iterator<Item = (Arc<str>, Vec<(String, DataType)>)> + 'a {
    names.shared.metrics().into_iter().flat_map(|store| {
        crate::metrics::names(store).into_iter().map(|name| {
            let columns = crate::metrics::columns(&name, store);
            let columns = columns.into_iter().map(|(name, column)| (name, column.data_type())).collect();
            (name, columns)
        })
    })
}

fn columns(names: &Names<'_>) -> Rows {
    let mut described = strings(&["table_catalog", "table_schema", "table_name", "column_name"]);
    described.extend([
        ("ordinal_position", DataType::Int4),
        ("column_default", kind("column_default")),
        ("is_nullable", kind("is_nullable")),
        ("data_type", kind("data_type")),
        ("character_maximum_length", DataType::Int4),
        ("numeric_precision", DataType::Int4),
        ("numeric_precision_radix", DataType::Int4),
        ("numeric_scale", DataType::Int4),
        ("datetime_precision", DataType::Int4),
        ("collation_catalog", kind("collation_catalog")),
        ("collation_schema", kind("collation_schema")),
        ("collation_name", kind("collation_name")),
        ("domain_catalog", kind("domain_catalog")),
        ("domain_schema", kind("domain_schema")),
        ("domain_name", kind("domain_name")),
        ("udt_catalog", kind("udt_catalog")),
        ("udt_schema", kind("udt_schema")),
        ("udt_name", kind("udt_name")),
        ("is_identity", kind("is_identity")),
        ("identity_generation", kind("identity_generation")),
        ("is_generated", kind("is_generated")),
        ("is_updatable", kind("is_updatable")),
    ]);
    let mut rows = Rows::new(described);
    let mut add = |schema: &str,
                   table: &str,
                   position: usize,
                   name: &str,
                   data_type: &DataType,
                   column: Option<&Column>,
                   updatable: bool| {
        let number = |value: Option<i32>| value.map_or(Value::Null, Value::Int4);
        let domain = column.and_then(|column| names.catalog.type_by_oid(column.domain?));
        let (precision, radix, scale) = match data_type {
            DataType::Int2 => (Some(16), Some(2), Some(0)),
            DataType::Int4 => (Some(32), Some(2), Some(0)),
            DataType::Int8 => (Some(64), Some(2), Some(0)),
            DataType::Float4 => (Some(24), Some(2), None),
            DataType::Float8 => (Some(53), Some(2), None),
            DataType::Numeric(Some((precision, scale))) => {
                // PostgreSQL 15 shows the bits of a negative scale.
                (Some(i32::from(*precision)), Some(10), Some(i32::from(*scale) & 0x7ff))
            }
            DataType::Numeric(None) => (None, Some(10), None),
            _ => (None, None, None),
        };
        let length = match data_type {
            DataType::Varchar(Some(length)) | DataType::Char(length) => Some(*length as i32),
            _ => None,
        };
        let sql_name = match data_type {
            DataType::Array(_) => "ARRAY".to_owned(),
            DataType::Enum(_) => "USER-DEFINED".to_owned(),
            other => other.base_name(),
        };
        let identity = column.and_then(|column| column.identity);
        let collation = column.and_then(|column| column.collation.as_ref()).map(|known| &known.collation);
        let default =
            column.filter(|column| column.identity.is_none()).and_then(|column| column.default.clone());
        rows.add(vec![
            text(DATABASE_NAME),
            text(schema),
            text(table),
            text(name),
            Value::Int4(position as i32),
            default.map_or(Value::Null, |default| Value::Text(visible_sequence(names.info, default))),
            yes(!column.is_some_and(|column| column.not_null)),
            text(sql_name),
            number(length),
            number(precision),
            number(radix),
            number(scale),
            number(if data_type.is_datetime() { Some(6) } else { None }),
            collation.map_or(Value::Null, |_| text(DATABASE_NAME)),
            collation.map_or(Value::Null, |known| {
                let made = names.catalog.collations().find(|made| made.collation.oid == known.oid);
                made.map_or_else(|| text("pg_catalog"), |made| schema_name(names, made.schema))
            }),
            collation.map_or(Value::Null, |known| text(known.name.as_str())),
            domain.map_or(Value::Null, |_| text(DATABASE_NAME)),
            domain.map_or(Value::Null, |domain| schema_name(names, domain.schema)),
            domain.map_or(Value::Null, |domain| text(domain.name.as_str())),
            text(DATABASE_NAME),
            match data_type.enum_type().and_then(|known| names.catalog.type_by_oid(known.oid)) {
                Some(made) => schema_name(names, made.schema),
                None => text("pg_catalog"),
            },
            text(data_type.catalog_name()),
            yes(identity.is_some()),
            match identity {
                Some(Identity::Always) => text("ALWAYS"),
                Some(Identity::ByDefault) => text("BY DEFAULT"),
                None => Value::Null,
            },
            text(if column.is_some_and(|column| column.generated.is_some()) { "ALWAYS" } else { "NEVER" }),
            yes(updatable),
        ]);
    };
    for schema in names.catalog.schemas() {
        for (name, relation) in names.catalog.relations(schema.oid) {
            match relation {
                Relation::Table(table) if table.filled_by.is_none() => {
                    for column in table.live_columns() {
                        let position = usize::from(column.number);
                        add(
                            &schema.name,
                            name,
                            position,
                            &column.name,
                            &column.data_type,
                            Some(column),
                            true,
                        );
                    }
                }
                Relation::View(view) => {
                    let written = Written::of_view(&names.scope(), view, 0);
                    for (place, (column, data_type)) in view.columns.iter().enumerate() {
                        let updatable = written.as_ref().is_ok_and(|written| written.is_assignable(place));
                        add(&schema.name, name, place + 1, column, data_type, None, updatable);
                    }
                }
                Relation::Table(_) | Relation::Sequence(_) | Relation::Index(..) => {}
            }
        }
    }
    for (name, columns) in metrics(names) {
        for (place, (column, data_type)) in columns.iter().enumerate() {
            add(crate::metrics::SCHEMA, &name, place + 1, column, data_type, None, false);
        }
    }
    rows
}

fn schemata(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&["catalog_name", "schema_name", "schema_owner"]));
    for (_, name, _) in schemas(names.catalog) {
        rows.add(vec![text(DATABASE_NAME), text(name), text(crate::database::ADMINISTRATOR)]);
    }
    if names.shared.metrics().is_some() && names.catalog.schema(crate::metrics::SCHEMA).is_none() {
        let schema = text(crate::metrics::SCHEMA);
        rows.add(vec![text(DATABASE_NAME), schema, text(crate::database::ADMINISTRATOR)]);
    }
    rows
}

fn views(names: &Names<'_>) -> Rows {
    /// Rows can be changed and taken away.
    const WHOLE: i32 = UPDATES | DELETES;
    let mut rows = Rows::new(strings(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "view_definition",
        "check_option",
        "is_updatable",
        "is_insertable_into",
        "is_trigger_updatable",
        "is_trigger_deletable",
        "is_trigger_insertable_into",
    ]));
    let scope = names.scope();
    for view in names.catalog.views().filter(|view| view.external.is_none()) {
        let schema = schema_name(names, view.schema);
        let events = written::events(&scope, view.oid);
        rows.add(vec![
            text(DATABASE_NAME),
            schema,
            text(view.name.as_str()),
            text(format!(" {};", crate::pg_catalog::definition::view(&scope, view))),
            text(match view.check_option {
                None => "NONE",
                Some(CheckOption::Local) => "LOCAL",
                Some(CheckOption::Cascaded) => "CASCADED",
            }),
            yes(events & WHOLE == WHOLE),
            yes(events & INSERTS != 0),
            yes(false),
            yes(false),
            yes(false),
        ]);
    }
    rows
}

fn schema_name(names: &Names<'_>, oid: u32) -> Value {
    text(names.catalog.schema_by_oid(oid).map_or("", |schema| schema.name.as_str()))
}

/// A table's key constraints: name, kind and columns.
fn keys(table: &Table) -> Vec<(&str, &'static str, Vec<u16>)> {
    let mut keys = Vec::new();
    if let Some(key) = &table.primary_key {
        keys.push((key.name.as_str(), "PRIMARY KEY", key.columns.clone()));
    }
    for index in table.indexes.iter().filter(|index| index.constraint) {
        let columns = index.columns.iter().map(|part| part.column).collect();
        let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
        keys.push((index.name.as_str(), kind, columns));
    }
    for key in &table.foreign_keys {
        keys.push((key.name.as_str(), "FOREIGN KEY", key.columns.clone()));
    }
    keys
}

fn table_constraints(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "constraint_type",
        "is_deferrable",
        "initially_deferred",
    ]));
    for table in names.catalog.tables() {
        let checks = table.checks.iter().map(|check| (check.name.as_str(), "CHECK"));
        let keys = keys(table);
        for (name, kind) in keys.iter().map(|(name, kind, _)| (*name, *kind)).chain(checks) {
            let schema = schema_name(names, table.schema);
            let foreign = table.foreign_keys.iter().map(|key| (&key.name, key.timing));
            let unique = table.indexes.iter().map(|index| (&index.name, index.timing));
            let timing = foreign.chain(unique).find(|(known, _)| *known == name).map(|(_, timing)| timing);
            rows.add(vec![
                text(DATABASE_NAME),
                schema.clone(),
                text(name),
                text(DATABASE_NAME),
                schema,
                text(table.name.as_str()),
                text(kind),
                yes(timing.is_some_and(|timing| timing != ConstraintTiming::NotDeferrable)),
                yes(timing == Some(ConstraintTiming::InitiallyDeferred)),
            ]);
        }
    }
    rows
}

fn key_column_usage(names: &Names<'_>) -> Rows {
    let mut described = strings(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
    ]);
    described
        .extend([("ordinal_position", DataType::Int4), ("position_in_unique_constraint", DataType::Int4)]);
    let mut rows = Rows::new(described);
    for table in names.catalog.tables() {
        for (name, kind, columns) in keys(table) {
            for (place, column) in table.column_names(&columns).into_iter().enumerate() {
                let schema = schema_name(names, table.schema);
                let position = Value::Int4(place as i32 + 1);
                rows.add(vec![
                    text(DATABASE_NAME),
                    schema.clone(),
                    text(name),
                    text(DATABASE_NAME),
                    schema,
                    text(table.name.as_str()),
                    text(column),
                    position.clone(),
                    if kind == "FOREIGN KEY" { position } else { Value::Null },
                ]);
            }
        }
    }
    rows
}

fn referential_constraints(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "unique_constraint_schema",
        "unique_constraint_name",
        "match_option",
        "update_rule",
        "delete_rule",
    ]));
    let rule = |action| {
        text(match action {
            luma_catalog::ReferentialAction::NoAction => "NO ACTION",
            luma_catalog::ReferentialAction::Restrict => "RESTRICT",
            luma_catalog::ReferentialAction::Cascade => "CASCADE",
            luma_catalog::ReferentialAction::SetNull => "SET NULL",
            luma_catalog::ReferentialAction::SetDefault => "SET DEFAULT",
        })
    };
    for table in names.catalog.tables() {
        for key in &table.foreign_keys {
            let Some(parent) = names.catalog.table(key.referenced_table) else { continue };
            let matching = keys(parent).into_iter().find(|(_, kind, columns)| {
                *kind != "FOREIGN KEY"
                    && columns.len() == key.referenced_columns.len()
                    && columns.iter().all(|column| key.referenced_columns.contains(column))
            });
            rows.add(vec![
                text(DATABASE_NAME),
                schema_name(names, table.schema),
                text(key.name.as_str()),
                schema_name(names, parent.schema),
                matching.map_or(Value::Null, |(name, _, _)| text(name)),
                text("NONE"),
                rule(key.on_update),
                rule(key.on_delete),
            ]);
        }
    }
    rows
}

fn constraint_column_usage(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ]));
    let mut add = |table: &Table, columns: &[u16], schema: Value, name: &str| {
        for column in table.column_names(columns) {
            rows.add(vec![
                text(DATABASE_NAME),
                schema_name(names, table.schema),
                text(table.name.as_str()),
                text(column),
                text(DATABASE_NAME),
                schema.clone(),
                text(name),
            ]);
        }
    };
    for table in names.catalog.tables() {
        let schema = schema_name(names, table.schema);
        for (name, kind, columns) in keys(table) {
            if kind != "FOREIGN KEY" {
                add(table, &columns, schema.clone(), name);
            }
        }
        for key in &table.foreign_keys {
            if let Some(parent) = names.catalog.table(key.referenced_table) {
                add(parent, &key.referenced_columns, schema.clone(), &key.name);
            }
        }
    }
    rows
}

fn sequences(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&[
        "sequence_catalog",
        "sequence_schema",
        "sequence_name",
        "data_type",
        "start_value",
        "minimum_value",
        "maximum_value",
        "increment",
        "cycle_option",
    ]));
    for sequence in names.catalog.sequences() {
        rows.add(vec![
            text(DATABASE_NAME),
            schema_name(names, sequence.schema),
            text(sequence.name.as_str()),
            text(sequence.data_type.sql_name()),
            text(sequence.start.to_string()),
            text(sequence.min.to_string()),
            text(sequence.max.to_string()),
            text(sequence.increment.to_string()),
            yes(sequence.cycle),
        ]);
    }
    rows
}

fn domains(names: &Names<'_>) -> Rows {
    let mut described = strings(&["domain_catalog", "domain_schema", "domain_name"]);
    described.extend([
        ("data_type", kind("data_type")),
        ("character_maximum_length", DataType::Int4),
        ("numeric_precision", DataType::Int4),
        ("numeric_scale", DataType::Int4),
        ("domain_default", kind("domain_default")),
        ("udt_name", kind("udt_name")),
    ]);
    let mut rows = Rows::new(described);
    for made in names.catalog.types() {
        let Some(domain) = made.as_domain() else { continue };
        let length = match domain.base {
            DataType::Varchar(Some(length)) | DataType::Char(length) => Value::Int4(length as i32),
            _ => Value::Null,
        };
        let (precision, scale) = match domain.base {
            DataType::Int2 => (Some(16), Some(0)),
            DataType::Int4 => (Some(32), Some(0)),
            DataType::Int8 => (Some(64), Some(0)),
            DataType::Float4 => (Some(24), None),
            DataType::Float8 => (Some(53), None),
            DataType::Numeric(Some((precision, scale))) => {
                (Some(i32::from(precision)), Some(i32::from(scale) & 0x7ff))
            }
            _ => (None, None),
        };
        let sql_name = match &domain.base {
            DataType::Array(_) => "ARRAY".to_owned(),
            DataType::Enum(_) => "USER-DEFINED".to_owned(),
            other => other.base_name(),
        };
        rows.add(vec![
            text(DATABASE_NAME),
            schema_name(names, made.schema),
            text(made.name.as_str()),
            text(sql_name),
            length,
            precision.map_or(Value::Null, Value::Int4),
            scale.map_or(Value::Null, Value::Int4),
            domain.default.as_deref().map_or(Value::Null, text),
            text(domain.base.catalog_name()),
        ]);
    }
    rows
}

fn domain_constraints(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(strings(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "domain_catalog",
        "domain_schema",
        "domain_name",
        "is_deferrable",
        "initially_deferred",
    ]));
    for made in names.catalog.types() {
        for check in made.as_domain().into_iter().flat_map(|domain| &domain.checks) {
            let schema = schema_name(names, made.schema);
            rows.add(vec![
                text(DATABASE_NAME),
                schema.clone(),
                text(check.name.as_str()),
                text(DATABASE_NAME),
                schema,
                text(made.name.as_str()),
                yes(false),
                yes(false),
            ]);
        }
    }
    rows
}
