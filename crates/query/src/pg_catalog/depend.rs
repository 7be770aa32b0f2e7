//! `pg_depend`: what goes when something else does. Sequences belong to their columns; views, defaults,
//! constraints and indexes to their tables.

use luma_catalog::{Oid, Snapshot};
use luma_model::{DataType, Value};

use crate::pg_catalog::{Rows, oid, text};

const CLASS: Oid = 1259;
const CONSTRAINT: Oid = 2606;
const DEFAULT: Oid = 2604;

/// The table.
pub(super) fn table(catalog: &Snapshot) -> Rows {
    let mut rows = Rows::new(vec![
        ("classid", DataType::Oid),
        ("objid", DataType::Oid),
        ("objsubid", DataType::Int4),
        ("refclassid", DataType::Oid),
        ("refobjid", DataType::Oid),
        ("refobjsubid", DataType::Int4),
        ("deptype", DataType::InternalChar),
    ]);
    let mut add = |class: Oid, object: Oid, (other_class, other, column): (Oid, Oid, u16), kind: &str| {
        rows.add(vec![
            oid(class),
            oid(object),
            Value::Int4(0),
            oid(other_class),
            oid(other),
            Value::Int4(i32::from(column)),
            text(kind),
        ]);
    };
    for sequence in catalog.sequences() {
        let Some((table, column)) = sequence.owned_by else { continue };
        let identity = catalog
            .table(table)
            .and_then(|table| table.column_by_number(column))
            .is_some_and(|column| column.identity.is_some());
        add(CLASS, sequence.oid, (CLASS, table, column), if identity { "i" } else { "a" });
    }
    for table in catalog.tables() {
        for column in table.live_columns().filter(|column| column.identity.is_none()) {
            let Some(default) = column.generated.as_ref().or(column.default.as_ref()) else { continue };
            let own = super::relations::default_oid(table, column);
            let kind = if column.generated.is_some() { "i" } else { "a" };
            add(DEFAULT, own, (CLASS, table.oid, column.number), kind);
            // pg_dump makes the sequence first.
            let taken = catalog.sequences().find(|sequence| {
                column.sequence == Some(sequence.oid)
                    || default.starts_with("nextval(") && default.contains(&sequence.name)
            });
            if let Some(sequence) = taken {
                add(DEFAULT, own, (CLASS, sequence.oid, 0), "n");
            }
        }
        if let Some(key) = &table.primary_key {
            for column in &key.columns {
                add(CONSTRAINT, key.oid, (CLASS, table.oid, *column), "a");
            }
            add(CLASS, key.oid, (CONSTRAINT, key.oid, 0), "i");
        }
        for index in &table.indexes {
            if index.constraint {
                add(CLASS, index.oid, (CONSTRAINT, index.oid, 0), "i");
            }
            let class = if index.constraint { CONSTRAINT } else { CLASS };
            for part in &index.columns {
                add(class, index.oid, (CLASS, table.oid, part.column), "a");
            }
        }
        for check in &table.checks {
            add(CONSTRAINT, check.oid, (CLASS, table.oid, 0), "a");
        }
        for key in &table.foreign_keys {
            for column in &key.columns {
                add(CONSTRAINT, key.oid, (CLASS, table.oid, *column), "a");
            }
            add(CONSTRAINT, key.oid, (CLASS, key.referenced_table, 0), "n");
        }
    }
    for view in catalog.queries() {
        for used in &view.depends_on {
            add(CLASS, view.oid, (CLASS, *used, 0), "n");
        }
    }
    rows
}
