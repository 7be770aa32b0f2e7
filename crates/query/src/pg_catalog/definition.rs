//! Definitions as SQL text: what `pg_get_indexdef`, `pg_get_constraintdef` and the like give.

use luma_catalog::{ConstraintTiming, ForeignKey, Index, ReferentialAction, Snapshot, Table};

use crate::ddl::quoted;

/// `(a, b)` of these columns.
pub(crate) fn column_list(table: &Table, columns: &[u16]) -> String {
    let names: Vec<String> = table.column_names(columns).into_iter().map(quoted).collect();
    format!("({})", names.join(", "))
}

fn schema_name(catalog: &Snapshot, table: &Table) -> String {
    catalog.schema_by_oid(table.schema).map_or_else(String::new, |schema| quoted(&schema.name))
}

/// `CREATE [UNIQUE] INDEX …` of a secondary index.
pub(crate) fn index(catalog: &Snapshot, table: &Table, index: &Index) -> String {
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|part| {
            let name = table.column_by_number(part.column).map_or("", |column| column.name.as_str());
            let mut text = quoted(name);
            if part.descending {
                text.push_str(" DESC");
            }
            if part.nulls_first != part.descending {
                text.push_str(if part.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
            }
            text
        })
        .collect();
    create_index(catalog, table, &index.name, index.unique, &columns.join(", "))
}

/// `CREATE UNIQUE INDEX …` of the primary key.
pub(crate) fn primary_index(catalog: &Snapshot, table: &Table) -> Option<String> {
    let key = table.primary_key.as_ref()?;
    let columns = column_list(table, &key.columns);
    Some(create_index(catalog, table, &key.name, true, columns.trim_matches(['(', ')'])))
}

fn create_index(catalog: &Snapshot, table: &Table, name: &str, unique: bool, columns: &str) -> String {
    let unique = if unique { "UNIQUE " } else { "" };
    let schema = schema_name(catalog, table);
    format!(
        "CREATE {unique}INDEX {} ON {schema}.{} USING btree ({columns})",
        quoted(name),
        quoted(&table.name)
    )
}

/// `FOREIGN KEY (…) REFERENCES …`.
pub(crate) fn foreign_key(catalog: &Snapshot, table: &Table, key: &ForeignKey) -> String {
    let Some(parent) = catalog.table(key.referenced_table) else { return String::new() };
    let parent_name = match catalog.schema_by_oid(parent.schema) {
        Some(schema) if schema.name != luma_catalog::PUBLIC => {
            format!("{}.{}", quoted(&schema.name), quoted(&parent.name))
        }
        _ => quoted(&parent.name),
    };
    let mut text = format!(
        "FOREIGN KEY {} REFERENCES {parent_name}{}",
        column_list(table, &key.columns),
        column_list(parent, &key.referenced_columns)
    );
    for (event, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let action = match action {
            ReferentialAction::NoAction => continue,
            ReferentialAction::Restrict => "RESTRICT",
            ReferentialAction::Cascade => "CASCADE",
            ReferentialAction::SetNull => "SET NULL",
            ReferentialAction::SetDefault => "SET DEFAULT",
        };
        text.push_str(&format!(" ON {event} {action}"));
    }
    text.push_str(match key.timing {
        ConstraintTiming::NotDeferrable => "",
        ConstraintTiming::InitiallyImmediate => " DEFERRABLE",
        ConstraintTiming::InitiallyDeferred => " DEFERRABLE INITIALLY DEFERRED",
    });
    text
}

/// The definition of the constraint with that identifier, on whatever table it is.
pub(crate) fn constraint(catalog: &Snapshot, oid: u32) -> Option<String> {
    for table in catalog.tables() {
        if let Some(key) = &table.primary_key
            && key.oid == oid
        {
            return Some(format!("PRIMARY KEY {}", column_list(table, &key.columns)));
        }
        if let Some(index) = table.indexes.iter().find(|index| index.oid == oid && index.constraint) {
            let columns: Vec<u16> = index.columns.iter().map(|part| part.column).collect();
            return Some(format!("UNIQUE {}", column_list(table, &columns)));
        }
        if let Some(check) = table.checks.iter().find(|check| check.oid == oid) {
            return Some(format!("CHECK ({})", check.expression));
        }
        if let Some(key) = table.foreign_keys.iter().find(|key| key.oid == oid) {
            return Some(foreign_key(catalog, table, key));
        }
    }
    None
}

/// The definition of the index with that identifier, or the name of its `column`-th column.
pub(crate) fn index_by_oid(catalog: &Snapshot, oid: u32, column: usize) -> Option<String> {
    for table in catalog.tables() {
        let columns: Vec<u16> = if table.primary_key.as_ref().is_some_and(|key| key.oid == oid) {
            table.primary_key.as_ref()?.columns.clone()
        } else if let Some(found) = table.indexes.iter().find(|index| index.oid == oid) {
            found.columns.iter().map(|part| part.column).collect()
        } else {
            continue;
        };
        if column > 0 {
            let number = columns.get(column - 1)?;
            return table.column_by_number(*number).map(|column| quoted(&column.name));
        }
        return match table.indexes.iter().find(|index| index.oid == oid) {
            Some(found) => Some(index(catalog, table, found)),
            None => primary_index(catalog, table),
        };
    }
    None
}
