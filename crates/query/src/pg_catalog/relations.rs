//! System tables about relations: `pg_class`, `pg_attribute`, `pg_index`, `pg_constraint` and kin.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use luma_catalog::{
    CheckOption, ConstraintTiming, ForeignKey, Identity, Index, Oid, ReferentialAction, Relation, Snapshot,
    Table,
};
use luma_model::{ArrayValue, DataType, ObjectKind, Value};
use luma_rows::ChangeCounts;

use crate::names::collation::DEFAULT_OID;
use crate::pg_catalog::{Rows, definition, oid, text};
use crate::plan::context::Names;

/// The table of that name, if it is one of these.
pub(crate) fn table(name: &str, names: &Names<'_>) -> Option<Rows> {
    let catalog: &Snapshot = names.catalog;
    Some(match name {
        "pg_class" => classes(names),
        "pg_attribute" => attributes(catalog),
        "pg_attrdef" => defaults(catalog),
        "pg_index" => indexes(catalog),
        "pg_depend" => super::depend::table(catalog),
        "pg_constraint" => constraints(catalog),
        "pg_sequence" => sequences(catalog),
        "pg_sequences" => sequence_list(names),
        "pg_tables" => table_list(catalog),
        "pg_views" => view_list(catalog),
        "pg_matviews" => materialized_list(names),
        "pg_indexes" => index_list(catalog),
        "pg_stats" => column_statistics(catalog),
        "pg_description" => descriptions(catalog),
        "pg_stat_user_tables" | "pg_stat_all_tables" => table_statistics(names),
        _ => return None,
    })
}

fn numbers(columns: &[u16]) -> Value {
    Value::Array(ArrayValue::new(columns.iter().map(|number| Value::Int2(*number as i16)).collect()))
}

/// How a table was made: its options as `name=value`.
fn options(table: &Table) -> Value {
    let Some(columnar) = &table.columnar else { return Value::Null };
    let named = [("partition_by", &columnar.partition_by), ("sort_by", &columnar.sort_by)];
    let named = named.iter().filter(|(_, columns)| !columns.is_empty());
    let lists = named.map(|(name, columns)| format!("{name}={}", table.column_names(columns).join(",")));
    let all = std::iter::once("engine=columnar".to_owned()).chain(lists);
    listed(all)
}

fn listed(options: impl IntoIterator<Item = String>) -> Value {
    Value::Array(ArrayValue::new(options.into_iter().map(|option| text(&option)).collect()))
}

fn char_of(letter: &str) -> Value {
    text(letter)
}

/// One row of `pg_class`.
struct Class<'a> {
    oid: Oid,
    name: &'a str,
    schema: Oid,
    kind: &'static str,
    columns: usize,
    storage: Oid,
    rows: f32,
    table: Option<&'a Table>,
    check_option: Option<CheckOption>,
}

fn classes(names: &Names<'_>) -> Rows {
    use DataType::{
        Array, Bool, Float4, Int2, Int4, InternalChar, Name, NodeTree, Oid as OidType, Text, Xid,
    };
    let mut rows = Rows::new(vec![
        ("oid", OidType),
        ("relname", Name),
        ("relnamespace", OidType),
        ("reltype", OidType),
        ("reloftype", OidType),
        ("relowner", OidType),
        ("relam", OidType),
        ("relfilenode", OidType),
        ("reltablespace", OidType),
        ("relpages", Int4),
        ("reltuples", Float4),
        ("relallvisible", Int4),
        ("reltoastrelid", OidType),
        ("relhasindex", Bool),
        ("relisshared", Bool),
        ("relpersistence", InternalChar),
        ("relkind", InternalChar),
        ("relnatts", Int2),
        ("relchecks", Int2),
        ("relhasrules", Bool),
        ("relhastriggers", Bool),
        ("relhassubclass", Bool),
        ("relrowsecurity", Bool),
        ("relforcerowsecurity", Bool),
        ("relispopulated", Bool),
        ("relreplident", InternalChar),
        ("relispartition", Bool),
        ("relrewrite", OidType),
        ("reloptions", Array(Box::new(Text))),
        ("relpartbound", NodeTree),
        ("relacl", Array(Box::new(Text))),
        ("relfrozenxid", Xid),
        ("relminmxid", Xid),
    ]);
    let temporary = |schema| {
        let schema = names.catalog.schema_by_oid(schema);
        schema.is_some_and(|schema| crate::temporary::is_temporary(&schema.name))
    };
    let mut add = |class: Class<'_>| {
        let heap = matches!(class.kind, "r" | "m");
        let am = match class.kind {
            "r" | "m" => 2,
            "i" => 403,
            _ => 0,
        };
        let has_index =
            class.table.is_some_and(|table| table.primary_key.is_some() || !table.indexes.is_empty());
        let checks = class.table.map_or(0, |table| table.checks.len());
        rows.add(vec![
            oid(class.oid),
            text(class.name),
            oid(class.schema),
            oid(0),
            oid(0),
            oid(10),
            oid(am),
            oid(class.storage),
            oid(0),
            Value::Int4((class.rows / 100.0) as i32),
            Value::Float4(class.rows),
            Value::Int4(0),
            oid(0),
            Value::Bool(heap && has_index),
            Value::Bool(false),
            char_of(if temporary(class.schema) { "t" } else { "p" }),
            char_of(class.kind),
            Value::Int2(class.columns as i16),
            Value::Int2(checks as i16),
            Value::Bool(matches!(class.kind, "v" | "m")),
            Value::Bool(class.table.is_some_and(|table| !table.foreign_keys.is_empty())),
            Value::Bool(false),
            Value::Bool(false),
            Value::Bool(false),
            Value::Bool(class.table.is_none_or(Table::is_populated)),
            char_of(if heap { "d" } else { "n" }),
            Value::Bool(false),
            oid(0),
            match class.check_option {
                None => class.table.filter(|_| heap).map_or(Value::Null, options),
                Some(CheckOption::Local) => listed(["check_option=local".to_owned()]),
                Some(CheckOption::Cascaded) => listed(["check_option=cascaded".to_owned()]),
            },
            Value::Null,
            Value::Null,
            oid(0),
            oid(0),
        ]);
    };
    for table in names.catalog.tables() {
        let count = approximate(names, table);
        add(Class {
            oid: table.oid,
            name: &table.name,
            schema: table.schema,
            kind: if table.filled_by.is_some() { "m" } else { "r" },
            columns: table.columns.len(),
            storage: table.storage,
            rows: count,
            table: Some(table),
            check_option: None,
        });
        let mut index = |oid, name, columns: usize, storage| {
            let schema = table.schema;
            add(Class {
                oid,
                name,
                schema,
                kind: "i",
                columns,
                storage,
                rows: count,
                table: None,
                check_option: None,
            });
        };
        if let Some(key) = &table.primary_key {
            index(key.oid, &key.name, key.columns.len(), table.storage);
        }
        for secondary in &table.indexes {
            let columns = secondary.columns.len() + secondary.include.len();
            index(secondary.oid, &secondary.name, columns, secondary.storage);
        }
    }
    for (oid, name) in &crate::functions::reg::SYSTEM_TABLES {
        let schema = super::PG_CATALOG_OID;
        add(Class {
            oid: *oid,
            name,
            schema,
            kind: "r",
            columns: 0,
            storage: 0,
            rows: -1.0,
            table: None,
            check_option: None,
        });
    }
    for view in names.catalog.views() {
        add(Class {
            oid: view.oid,
            name: &view.name,
            schema: view.schema,
            kind: if view.external.is_some() { "f" } else { "v" },
            columns: view.columns.len(),
            storage: 0,
            rows: -1.0,
            table: None,
            check_option: view.check_option,
        });
    }
    for sequence in names.catalog.sequences() {
        add(Class {
            oid: sequence.oid,
            name: &sequence.name,
            schema: sequence.schema,
            kind: "S",
            columns: 3,
            storage: 0,
            rows: 1.0,
            table: None,
            check_option: None,
        });
    }
    rows
}

fn approximate(names: &Names<'_>, table: &Arc<Table>) -> f32 {
    match names.shared.open_table(table) {
        Ok(open) => names.shared.rows.approximate_rows(&open) as f32,
        Err(_) => -1.0,
    }
}

fn attributes(catalog: &Snapshot) -> Rows {
    use DataType::{Array, Bool, Int2, Int4, InternalChar, Name, Oid as OidType, Text};
    let mut rows = Rows::new(vec![
        ("attrelid", OidType),
        ("attname", Name),
        ("atttypid", OidType),
        ("attstattarget", Int4),
        ("attlen", Int2),
        ("attnum", Int2),
        ("attndims", Int4),
        ("attcacheoff", Int4),
        ("atttypmod", Int4),
        ("attbyval", Bool),
        ("attstorage", InternalChar),
        ("attalign", InternalChar),
        ("attcompression", InternalChar),
        ("attnotnull", Bool),
        ("atthasdef", Bool),
        ("atthasmissing", Bool),
        ("attidentity", InternalChar),
        ("attgenerated", InternalChar),
        ("attisdropped", Bool),
        ("attislocal", Bool),
        ("attinhcount", Int4),
        ("attcollation", OidType),
        ("attoptions", Array(Box::new(Text))),
        ("attfdwoptions", Array(Box::new(Text))),
        ("attmissingval", Array(Box::new(Text))),
        ("attacl", Array(Box::new(Text))),
    ]);
    let mut add = |relation: Oid,
                   number: usize,
                   name: &str,
                   data_type: &DataType,
                   column: Option<&luma_catalog::Column>| {
        let dropped = column.is_some_and(|column| column.dropped);
        let domain = column.and_then(|column| column.domain);
        let identity = match column.and_then(|column| column.identity) {
            Some(Identity::Always) => "a",
            Some(Identity::ByDefault) => "d",
            None => "",
        };
        let generated = column.is_some_and(|column| column.generated.is_some());
        let own_default =
            generated || column.is_some_and(|column| column.default.is_some() && column.identity.is_none());
        rows.add(vec![
            oid(relation),
            text(name),
            oid(if dropped { 0 } else { domain.unwrap_or_else(|| data_type.oid()) }),
            Value::Int4(-1),
            Value::Int2(data_type.type_len()),
            Value::Int2(number as i16),
            Value::Int4(i32::from(matches!(data_type, DataType::Array(_)))),
            Value::Int4(-1),
            Value::Int4(data_type.typmod()),
            Value::Bool(data_type.type_len() > 0 && data_type.type_len() <= 8),
            char_of(if data_type.type_len() > 0 { "p" } else { "x" }),
            char_of("i"),
            char_of(""),
            Value::Bool(column.is_some_and(|column| column.not_null)),
            Value::Bool(own_default),
            Value::Bool(false),
            char_of(identity),
            char_of(if generated { "s" } else { "" }),
            Value::Bool(dropped),
            Value::Bool(true),
            Value::Int4(0),
            oid(collation(data_type, column)),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ]);
    };
    for table in catalog.tables() {
        for column in &table.columns {
            add(table.oid, usize::from(column.number), &column.name, &column.data_type, Some(column));
        }
        let mut key_columns = |relation: Oid, columns: &[u16]| {
            for (place, number) in columns.iter().enumerate() {
                if let Some(column) = table.column_by_number(*number) {
                    add(relation, place + 1, &column.name, &column.data_type, None);
                }
            }
        };
        if let Some(key) = &table.primary_key {
            key_columns(key.oid, &key.columns);
        }
        for index in &table.indexes {
            let mut expressions = index.expressions.iter();
            let numbers = index.columns.iter().map(|part| part.column).chain(index.include.iter().copied());
            for (place, number) in numbers.enumerate() {
                if let Some(column) = table.column_by_number(number) {
                    add(index.oid, place + 1, &column.name, &column.data_type, None);
                } else if let Some(part) = expressions.next() {
                    let name = match crate::expression::parse_expression(&part.expression) {
                        Ok(ast::Expr::Function(function)) => function.name.to_string().to_lowercase(),
                        _ => "expr".to_owned(),
                    };
                    add(index.oid, place + 1, &name, &part.data_type, None);
                }
            }
        }
    }
    for view in catalog.views() {
        for (place, (name, data_type)) in view.columns.iter().enumerate() {
            add(view.oid, place + 1, name, data_type, None);
        }
    }
    rows
}

/// The identifier of the collation of a column; 0 for one that is no text.
fn collation(data_type: &DataType, column: Option<&luma_catalog::Column>) -> Oid {
    match column.and_then(|column| column.collation.as_ref()) {
        Some(known) => known.collation.oid,
        None if data_type.is_string() => DEFAULT_OID,
        None => 0,
    }
}

/// The identifier of a column's default.
pub(super) fn default_oid(table: &Table, column: &luma_catalog::Column) -> Oid {
    table.oid.wrapping_mul(64).wrapping_add(u32::from(column.number))
}

fn defaults(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("oid", DataType::Oid),
        ("adrelid", DataType::Oid),
        ("adnum", DataType::Int2),
        ("adbin", DataType::NodeTree),
    ]);
    for table in catalog.tables() {
        for column in table.live_columns().filter(|column| column.identity.is_none()) {
            if let Some(default) = column.generated.as_ref().or(column.default.as_ref()) {
                rows.add(vec![
                    oid(default_oid(table, column)),
                    oid(table.oid),
                    Value::Int2(column.number as i16),
                    text(default.as_str()),
                ]);
            }
        }
    }
    rows
}

fn indexes(catalog: &Snapshot) -> Rows {
    use DataType::{Bool, Int2, Int2Vector, NodeTree, Oid as OidType, OidVector};
    let mut rows = Rows::new(vec![
        ("indexrelid", OidType),
        ("indrelid", OidType),
        ("indnatts", Int2),
        ("indnkeyatts", Int2),
        ("indisunique", Bool),
        ("indnullsnotdistinct", Bool),
        ("indisprimary", Bool),
        ("indisexclusion", Bool),
        ("indimmediate", Bool),
        ("indisclustered", Bool),
        ("indisvalid", Bool),
        ("indcheckxmin", Bool),
        ("indisready", Bool),
        ("indislive", Bool),
        ("indisreplident", Bool),
        ("indkey", Int2Vector),
        ("indcollation", OidVector),
        ("indclass", OidVector),
        ("indoption", Int2Vector),
        ("indexprs", NodeTree),
        ("indpred", NodeTree),
    ]);
    for table in catalog.tables() {
        let collations = |columns: &[u16], keys: usize| {
            let of = |number: &u16| {
                let column = table.column_by_number(*number);
                Value::Oid(column.map_or(0, |column| collation(&column.data_type, Some(column))))
            };
            columns.iter().take(keys).map(of).collect::<Vec<_>>()
        };
        let mut add =
            |relation: Oid, columns: &[u16], options: Vec<Value>, unique: bool, special: Option<&Index>| {
                let keys = options.len();
                let zeros = || Value::Array(ArrayValue::new(vec![Value::Oid(0); keys]));
                let expressions = special.filter(|index| !index.expressions.is_empty()).map(|index| {
                    let shown =
                        index.expressions.iter().map(|part| definition::in_parentheses(&part.expression));
                    shown.collect::<Vec<_>>().join(", ")
                });
                let predicate =
                    special.and_then(|index| index.predicate.as_deref()).map(definition::in_parentheses);
                rows.add(vec![
                    oid(relation),
                    oid(table.oid),
                    Value::Int2(columns.len() as i16),
                    Value::Int2(keys as i16),
                    Value::Bool(unique),
                    Value::Bool(false),
                    Value::Bool(special.is_none_or(|index| index.primary)),
                    Value::Bool(false),
                    Value::Bool(special.is_none_or(|index| !index.is_deferrable())),
                    Value::Bool(false),
                    Value::Bool(true),
                    Value::Bool(false),
                    Value::Bool(true),
                    Value::Bool(true),
                    Value::Bool(false),
                    numbers(columns),
                    Value::Array(ArrayValue::new(collations(columns, keys))),
                    zeros(),
                    Value::Array(ArrayValue::new(options)),
                    expressions.map_or(Value::Null, text),
                    predicate.map_or(Value::Null, text),
                ]);
            };
        if let Some(key) = &table.primary_key {
            add(key.oid, &key.columns, vec![Value::Int2(0); key.columns.len()], true, None);
        }
        for index in &table.indexes {
            let numbers = index.columns.iter().map(|part| part.column);
            let columns: Vec<u16> = numbers.chain(index.include.iter().copied()).collect();
            let options = index
                .columns
                .iter()
                .map(|part| Value::Int2(i16::from(part.descending) + 2 * i16::from(part.nulls_first)))
                .collect();
            add(index.oid, &columns, options, index.unique, Some(index));
        }
    }
    rows
}

fn action_letter(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "a",
        ReferentialAction::Restrict => "r",
        ReferentialAction::Cascade => "c",
        ReferentialAction::SetNull => "n",
        ReferentialAction::SetDefault => "d",
    }
}

fn constraints(catalog: &Snapshot) -> Rows {
    use DataType::{Array, Bool, Int2, Int4, InternalChar, Name, NodeTree, Oid as OidType};
    let vector = |element: DataType| Array(Box::new(element));
    let mut rows = Rows::new(vec![
        ("oid", OidType),
        ("conname", Name),
        ("connamespace", OidType),
        ("contype", InternalChar),
        ("condeferrable", Bool),
        ("condeferred", Bool),
        ("convalidated", Bool),
        ("conrelid", OidType),
        ("contypid", OidType),
        ("conindid", OidType),
        ("conparentid", OidType),
        ("confrelid", OidType),
        ("confupdtype", InternalChar),
        ("confdeltype", InternalChar),
        ("confmatchtype", InternalChar),
        ("conislocal", Bool),
        ("coninhcount", Int4),
        ("connoinherit", Bool),
        ("conkey", vector(Int2)),
        ("confkey", vector(Int2)),
        ("conbin", NodeTree),
    ]);
    for made in catalog.types() {
        for check in made.as_domain().into_iter().flat_map(|domain| &domain.checks) {
            rows.add(vec![
                oid(check.oid),
                text(check.name.as_str()),
                oid(made.schema),
                char_of("c"),
                Value::Bool(false),
                Value::Bool(false),
                Value::Bool(true),
                oid(0),
                oid(made.oid),
                oid(0),
                oid(0),
                oid(0),
                char_of(" "),
                char_of(" "),
                char_of(" "),
                Value::Bool(true),
                Value::Int4(0),
                Value::Bool(true),
                Value::Null,
                Value::Null,
                text(check.expression.as_str()),
            ]);
        }
    }
    for table in catalog.tables() {
        let mut add = |constraint: Oid,
                       name: &str,
                       kind: &str,
                       index: Oid,
                       columns: &[u16],
                       timing: ConstraintTiming,
                       foreign: Option<&ForeignKey>,
                       expression: Option<&str>| {
            rows.add(vec![
                oid(constraint),
                text(name),
                oid(table.schema),
                char_of(kind),
                Value::Bool(timing != ConstraintTiming::NotDeferrable),
                Value::Bool(timing == ConstraintTiming::InitiallyDeferred),
                Value::Bool(true),
                oid(table.oid),
                oid(0),
                oid(index),
                oid(0),
                oid(foreign.map_or(0, |key| key.referenced_table)),
                char_of(foreign.map_or(" ", |key| action_letter(key.on_update))),
                char_of(foreign.map_or(" ", |key| action_letter(key.on_delete))),
                char_of(foreign.map_or(" ", |_| "s")),
                Value::Bool(true),
                Value::Int4(0),
                Value::Bool(true),
                numbers(columns),
                foreign.map_or(Value::Null, |key| numbers(&key.referenced_columns)),
                expression.map_or(Value::Null, text),
            ]);
        };
        let always = ConstraintTiming::NotDeferrable;
        if let Some(key) = &table.primary_key {
            add(key.oid, &key.name, "p", key.oid, &key.columns, always, None, None);
        }
        for index in table.indexes.iter().filter(|index| index.constraint) {
            let columns: Vec<u16> = index.columns.iter().map(|part| part.column).collect();
            let kind = if index.primary { "p" } else { "u" };
            add(index.oid, &index.name, kind, index.oid, &columns, index.timing, None, None);
        }
        for check in &table.checks {
            add(check.oid, &check.name, "c", 0, &[], always, None, Some(&check.expression));
        }
        for key in &table.foreign_keys {
            let index = catalog
                .table(key.referenced_table)
                .and_then(|parent| parent.primary_key.as_ref())
                .map_or(0, |key| key.oid);
            add(key.oid, &key.name, "f", index, &key.columns, key.timing, Some(key), None);
        }
    }
    rows
}

fn sequences(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("seqrelid", DataType::Oid),
        ("seqtypid", DataType::Oid),
        ("seqstart", DataType::Int8),
        ("seqincrement", DataType::Int8),
        ("seqmax", DataType::Int8),
        ("seqmin", DataType::Int8),
        ("seqcache", DataType::Int8),
        ("seqcycle", DataType::Bool),
    ]);
    for sequence in catalog.sequences() {
        rows.add(vec![
            oid(sequence.oid),
            oid(sequence.data_type.oid()),
            Value::Int8(sequence.start),
            Value::Int8(sequence.increment),
            Value::Int8(sequence.max),
            Value::Int8(sequence.min),
            Value::Int8(1),
            Value::Bool(sequence.cycle),
        ]);
    }
    rows
}

fn schema_name(catalog: &Snapshot, schema: Oid) -> Value {
    text(catalog.schema_by_oid(schema).map_or("", |schema| schema.name.as_str()))
}

fn sequence_list(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(vec![
        ("schemaname", DataType::Name),
        ("sequencename", DataType::Name),
        ("sequenceowner", DataType::Name),
        ("data_type", DataType::Reg(ObjectKind::Type)),
        ("start_value", DataType::Int8),
        ("min_value", DataType::Int8),
        ("max_value", DataType::Int8),
        ("increment_by", DataType::Int8),
        ("cycle", DataType::Bool),
        ("cache_size", DataType::Int8),
        ("last_value", DataType::Int8),
    ]);
    for sequence in names.catalog.sequences() {
        let last = match names.shared.rows.sequences().last(sequence) {
            Ok((value, true)) => Value::Int8(value),
            _ => Value::Null,
        };
        rows.add(vec![
            schema_name(names.catalog, sequence.schema),
            text(sequence.name.as_str()),
            text(crate::database::ADMINISTRATOR),
            oid(sequence.data_type.oid()),
            Value::Int8(sequence.start),
            Value::Int8(sequence.min),
            Value::Int8(sequence.max),
            Value::Int8(sequence.increment),
            Value::Bool(sequence.cycle),
            Value::Int8(1),
            last,
        ]);
    }
    rows
}

fn table_list(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("schemaname", DataType::Name),
        ("tablename", DataType::Name),
        ("tableowner", DataType::Name),
        ("tablespace", DataType::Name),
        ("hasindexes", DataType::Bool),
        ("hasrules", DataType::Bool),
        ("hastriggers", DataType::Bool),
        ("rowsecurity", DataType::Bool),
    ]);
    for table in catalog.tables().filter(|table| table.filled_by.is_none()) {
        rows.add(vec![
            schema_name(catalog, table.schema),
            text(table.name.as_str()),
            text(crate::database::ADMINISTRATOR),
            Value::Null,
            Value::Bool(table.primary_key.is_some() || !table.indexes.is_empty()),
            Value::Bool(false),
            Value::Bool(false),
            Value::Bool(false),
        ]);
    }
    rows
}

fn view_list(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("schemaname", DataType::Name),
        ("viewname", DataType::Name),
        ("viewowner", DataType::Name),
        ("definition", DataType::Text),
    ]);
    for view in catalog.views().filter(|view| view.external.is_none()) {
        rows.add(vec![
            schema_name(catalog, view.schema),
            text(view.name.as_str()),
            text(crate::database::ADMINISTRATOR),
            text(view.query.as_str()),
        ]);
    }
    rows
}

fn materialized_list(names: &Names<'_>) -> Rows {
    let mut rows = Rows::new(vec![
        ("schemaname", DataType::Name),
        ("matviewname", DataType::Name),
        ("matviewowner", DataType::Name),
        ("tablespace", DataType::Name),
        ("hasindexes", DataType::Bool),
        ("ispopulated", DataType::Bool),
        ("definition", DataType::Text),
    ]);
    for table in names.catalog.tables() {
        let Some(view) = table.as_view() else { continue };
        rows.add(vec![
            schema_name(names.catalog, table.schema),
            text(table.name.as_str()),
            text(crate::database::ADMINISTRATOR),
            Value::Null,
            Value::Bool(!table.indexes.is_empty()),
            Value::Bool(table.is_populated()),
            text(format!(" {};", definition::view(&names.info.scope(), &view))),
        ]);
    }
    rows
}

fn index_list(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("schemaname", DataType::Name),
        ("tablename", DataType::Name),
        ("indexname", DataType::Name),
        ("tablespace", DataType::Name),
        ("indexdef", DataType::Text),
    ]);
    for table in catalog.tables() {
        let mut add = |name: &str, definition: String| {
            rows.add(vec![
                schema_name(catalog, table.schema),
                text(table.name.as_str()),
                text(name),
                Value::Null,
                text(definition),
            ]);
        };
        if let (Some(key), Some(definition)) = (&table.primary_key, definition::primary_index(catalog, table))
        {
            add(&key.name, definition);
        }
        for index in &table.indexes {
            add(&index.name, definition::index(catalog, table, index));
        }
    }
    rows
}

/// What ANALYZE found; lists of values and their order are not among it.
fn column_statistics(catalog: &Snapshot) -> Rows {
    let lists = DataType::Text.array_of();
    let shares = DataType::Float4.array_of();
    let mut rows = Rows::new(vec![
        ("schemaname", DataType::Name),
        ("tablename", DataType::Name),
        ("attname", DataType::Name),
        ("inherited", DataType::Bool),
        ("null_frac", DataType::Float4),
        ("avg_width", DataType::Int4),
        ("n_distinct", DataType::Float4),
        ("most_common_vals", lists.clone()),
        ("most_common_freqs", shares.clone()),
        ("histogram_bounds", lists.clone()),
        ("correlation", DataType::Float4),
        ("most_common_elems", lists),
        ("most_common_elem_freqs", shares.clone()),
        ("elem_count_histogram", shares),
    ]);
    for table in catalog.tables() {
        let Some(statistics) = &table.statistics else { continue };
        for found in &statistics.columns {
            let Some(column) = table.columns.iter().find(|column| column.number == found.column) else {
                continue;
            };
            let (distinct, total) = (found.distinct as f64, statistics.row_count as f64);
            // As PostgreSQL says it: a share of the rows, negative, where there are more with more rows.
            let distinct = if distinct > total / 10.0 { -distinct / total } else { distinct };
            let mut row = vec![
                schema_name(catalog, table.schema),
                text(table.name.as_str()),
                text(column.name.as_str()),
                Value::Bool(false),
                Value::Float4(found.null_fraction as f32),
                Value::Int4(found.average_width.round() as i32),
                Value::Float4(distinct as f32),
            ];
            let some = |list: Value, is_empty: bool| if is_empty { Value::Null } else { list };
            let common = &found.common;
            let values = common.iter().map(|known| text(known.text.as_str())).collect();
            let shares = common.iter().map(|known| Value::Float4(known.share as f32)).collect();
            let bounds = found.bounds.iter().map(|bound| text(bound.as_str())).collect();
            row.push(some(Value::Array(ArrayValue::new(values)), common.is_empty()));
            row.push(some(Value::Array(ArrayValue::new(shares)), common.is_empty()));
            row.push(some(Value::Array(ArrayValue::new(bounds)), found.bounds.is_empty()));
            row.resize(14, Value::Null);
            rows.add(row);
        }
    }
    rows
}

fn descriptions(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("objoid", DataType::Oid),
        ("classoid", DataType::Oid),
        ("objsubid", DataType::Int4),
        ("description", DataType::Text),
    ]);
    // 1259 is pg_class, 1247 pg_type.
    for made in catalog.types() {
        if let Some(comment) = &made.comment {
            rows.add(vec![oid(made.oid), oid(1247), Value::Int4(0), text(comment.as_str())]);
        }
    }
    // 3456 is pg_collation.
    for made in catalog.collations() {
        if let Some(comment) = &made.comment {
            rows.add(vec![oid(made.collation.oid), oid(3456), Value::Int4(0), text(comment.as_str())]);
        }
    }
    let mut add = |object: Oid, sub: i32, comment: &str| {
        rows.add(vec![oid(object), oid(1259), Value::Int4(sub), text(comment)]);
    };
    let public = catalog.schema(luma_catalog::PUBLIC).map(|schema| schema.oid);
    for table in catalog.tables() {
        if let Some(comment) = &table.comment {
            add(table.oid, 0, comment);
        }
        for column in table.live_columns() {
            if let Some(comment) = &column.comment {
                add(table.oid, i32::from(column.number), comment);
            }
        }
    }
    for view in catalog.views() {
        if let Some(comment) = &view.comment {
            add(view.oid, 0, comment);
        }
    }
    if let Some(public) = public {
        // 2615 is pg_namespace; pg_dump writes what differs from this.
        rows.add(vec![oid(public), oid(2615), Value::Int4(0), text("standard public schema")]);
    }
    rows
}

/// `pg_stat_user_tables`: what was counted since the start. What is not counted is NULL.
fn table_statistics(names: &Names<'_>) -> Rows {
    let counted = [
        "seq_scan",
        "seq_tup_read",
        "idx_scan",
        "idx_tup_fetch",
        "n_tup_ins",
        "n_tup_upd",
        "n_tup_del",
        "n_tup_hot_upd",
        "n_live_tup",
        "n_dead_tup",
        "n_mod_since_analyze",
        "n_ins_since_vacuum",
    ];
    let times = ["last_vacuum", "last_autovacuum", "last_analyze", "last_autoanalyze"];
    let runs = ["vacuum_count", "autovacuum_count", "analyze_count", "autoanalyze_count"];
    let mut columns =
        vec![("relid", DataType::Oid), ("schemaname", DataType::Name), ("relname", DataType::Name)];
    columns.extend(counted.map(|name| (name, DataType::Int8)));
    columns.extend(times.map(|name| (name, DataType::TimestampTz)));
    columns.extend(runs.map(|name| (name, DataType::Int8)));
    let mut rows = Rows::new(columns);
    let number = |count: u64| Value::Int8(i64::try_from(count).unwrap_or(i64::MAX));
    let time = |micros: Option<i64>| micros.map_or(Value::Null, Value::TimestampTz);
    for table in names.catalog.tables() {
        let open = names.shared.open_table(table).ok();
        let counts = open.map(|open| open.changes.counts());
        let count =
            |of: fn(&ChangeCounts) -> u64| counts.as_ref().map_or(Value::Null, |counts| number(of(counts)));
        let mut row =
            vec![oid(table.oid), schema_name(names.catalog, table.schema), text(table.name.as_str())];
        row.resize(7, Value::Null);
        row.push(count(|counts| counts.inserted));
        row.push(count(|counts| counts.updated));
        row.push(count(|counts| counts.deleted));
        row.push(Value::Null);
        row.push(Value::Int8(approximate(names, table) as i64));
        row.push(Value::Null);
        row.push(count(|counts| counts.since_analyze));
        row.resize(17, Value::Null);
        row.push(time(counts.and_then(|counts| counts.by_hand.1)));
        row.push(time(counts.and_then(|counts| counts.by_itself.1)));
        row.resize(21, Value::Null);
        row.push(count(|counts| counts.by_hand.0));
        row.push(count(|counts| counts.by_itself.0));
        rows.add(row);
    }
    rows
}

/// What `information_schema` calls a relation.
pub(crate) fn table_type(relation: &Relation) -> Option<&'static str> {
    match relation {
        // The standard knows no materialized views.
        Relation::Table(table) if table.filled_by.is_some() => None,
        Relation::Table(_) => Some("BASE TABLE"),
        Relation::View(view) if view.external.is_some() => Some("FOREIGN"),
        Relation::View(_) => Some("VIEW"),
        Relation::Sequence(_) | Relation::Index(..) => None,
    }
}
