//! The tables that random statements are about, and values for them.

use super::{Chance, Kind, Relation};

/// A table on both sides.
pub struct Table {
    pub name: &'static str,
    /// Columns with their types as CREATE TABLE has them.
    columns: &'static [(&'static str, Kind, &'static str)],
    /// The columns of the primary key, if it has one.
    pub key: &'static [&'static str],
    /// Columns or expressions with an index.
    indexes: &'static [&'static str],
    columnar: bool,
}

pub const TABLES: [Table; 5] = [
    Table {
        name: "a",
        columns: &[
            ("id", Kind::Int, "int"),
            ("x", Kind::Int, "int"),
            ("y", Kind::Numeric, "numeric"),
            ("s", Kind::Text, "text"),
            ("d", Kind::Date, "date"),
            ("f", Kind::Float, "float8"),
        ],
        key: &["id"],
        indexes: &["(x)", "(s, x)"],
        columnar: false,
    },
    Table {
        name: "b",
        columns: &[
            ("id", Kind::Int, "int"),
            ("a_id", Kind::Int, "int"),
            ("x", Kind::Big, "bigint"),
            ("s", Kind::Text, "varchar(10)"),
            ("n", Kind::Numeric, "numeric(8,2)"),
            ("t", Kind::Timestamp, "timestamp"),
            ("w", Kind::Bool, "boolean"),
        ],
        key: &[],
        indexes: &["(a_id)", "(lower(s))"],
        columnar: false,
    },
    Table {
        name: "c",
        columns: &[
            ("id", Kind::Int, "int"),
            ("k", Kind::Text, "text"),
            ("v", Kind::Big, "bigint"),
            ("w", Kind::Bool, "boolean"),
            ("d", Kind::Date, "date"),
            ("n", Kind::Numeric, "numeric(8,2)"),
            ("f", Kind::Float, "float8"),
        ],
        key: &[],
        indexes: &[],
        columnar: true,
    },
    Table {
        name: "e",
        columns: &[
            ("id", Kind::Int, "int"),
            ("k", Kind::Text, "text"),
            ("v", Kind::Int, "smallint"),
            ("l", Kind::Array, "int[]"),
            ("j", Kind::Json, "jsonb"),
        ],
        key: &["id", "k"],
        indexes: &["(v) WHERE v > 1"],
        columnar: false,
    },
    Table {
        name: "g",
        columns: &[
            ("id", Kind::Big, "bigint"),
            ("x", Kind::Int, "int"),
            ("l", Kind::Array, "int[]"),
            ("j", Kind::Json, "jsonb"),
            ("t", Kind::Timestamp, "timestamp"),
            ("y", Kind::Numeric, "numeric"),
        ],
        key: &[],
        indexes: &[],
        columnar: true,
    },
];

impl Table {
    /// The statements that make it anew.
    pub fn definition(&self, ours: bool) -> Vec<String> {
        let mut columns: Vec<String> =
            self.columns.iter().map(|(name, _, written)| format!("{name} {written}")).collect();
        if !self.key.is_empty() {
            columns.push(format!("PRIMARY KEY ({})", self.key.join(", ")));
        }
        let engine = if ours && self.columnar { " WITH (engine = 'columnar')" } else { "" };
        let mut made = vec![
            format!("DROP TABLE IF EXISTS {}", self.name),
            format!("CREATE TABLE {} ({}){engine}", self.name, columns.join(", ")),
        ];
        made.extend(self.indexes.iter().map(|index| format!("CREATE INDEX ON {} {index}", self.name)));
        made
    }

    /// Inserts row `number`.
    pub fn insertion(&self, chance: &mut Chance, number: usize) -> String {
        let values = self.columns.iter().map(|(name, kind, _)| {
            if self.key.first() == Some(name) {
                return (number + 1).to_string();
            }
            if !self.key.contains(name) && chance.percent(25) {
                "NULL".to_owned()
            } else {
                literal(chance, *kind)
            }
        });
        format!("INSERT INTO {} VALUES ({})", self.name, values.collect::<Vec<_>>().join(", "))
    }

    pub fn relation(&self, alias: &str) -> Relation {
        let columns = self.columns.iter().map(|(name, kind, _)| ((*name).to_owned(), *kind));
        Relation { alias: alias.to_owned(), columns: columns.collect() }
    }
}

/// A constant of a type, as text without a type where the type is plain.
pub fn literal(chance: &mut Chance, kind: Kind) -> String {
    let text = match kind {
        Kind::Int => chance.pick(&["0", "1", "2", "3", "4", "5", "7", "-1"]),
        Kind::Big => chance.pick(&["1", "2", "10", "20", "5000000000"]),
        Kind::Numeric => chance.pick(&["0", "1", "1.5", "2.25", "2.5", "-1", "3.00", "0.1"]),
        Kind::Float => chance.pick(&["0.5", "1.5", "2", "-1", "0", "0.25"]),
        Kind::Text => chance.pick(&["'a'", "'b'", "''", "'ab'", "'B'", "'x y'", "'zz'", "'2'"]),
        Kind::Date => chance.pick(&["'2024-01-01'", "'2024-02-29'", "'2023-12-31'", "'1999-05-05'"]),
        Kind::Timestamp => {
            chance.pick(&["'2024-01-01 00:00'", "'2024-02-29 12:30:15.5'", "'2023-12-31 23:59:59'"])
        }
        Kind::Bool => chance.pick(&["true", "false"]),
        Kind::Array => chance.pick(&["'{1,2,3}'", "'{}'", "'{2}'", "'{1,NULL}'", "'{3,2}'"]),
        Kind::Json => chance.pick(&[
            r#"'{"a": 1, "b": "x"}'"#,
            r#"'{"a": 2, "l": [1, 2]}'"#,
            r#"'{"b": "y", "o": {"k": 1.5}}'"#,
            "'[1, 2, 3]'",
            "'{}'",
            r#"'{"a": null}'"#,
        ]),
    };
    text.to_owned()
}

/// A constant that says its type.
pub fn typed_literal(chance: &mut Chance, kind: Kind) -> String {
    let text = literal(chance, kind);
    match kind {
        Kind::Int | Kind::Text | Kind::Bool => text,
        Kind::Numeric if text.contains('.') => text,
        _ if text.starts_with('-') => format!("({text})::{}", kind.name()),
        _ => format!("{text}::{}", kind.name()),
    }
}
