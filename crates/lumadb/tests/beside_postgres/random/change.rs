//! INSERT, UPDATE, DELETE and MERGE. What they do is the same whatever the order of rows.

use super::table::{TABLES, Table, typed_literal};
use super::{Kind, Relation, Writer};

impl Writer<'_> {
    /// A change of a table.
    pub fn change(&mut self, table: &Table) -> String {
        let target = table.relation("t");
        match self.chance.below(8) {
            0 | 1 => self.insert(table, &target),
            2 if !table.key.is_empty() => self.upsert(table, &target),
            3 => {
                let (set, scope) =
                    (self.assignments(table, &target, std::slice::from_ref(&target)), [target]);
                format!(
                    "UPDATE {} t SET {set} WHERE {}{}",
                    table.name,
                    self.condition(&scope, 0),
                    self.returning(&scope)
                )
            }
            4 => {
                // One row for each that is changed, so that nothing depends on which one comes first.
                let source = Relation {
                    alias: "s".to_owned(),
                    columns: vec![("i".to_owned(), Kind::Int), ("m".to_owned(), Kind::Int)],
                };
                let scope = [target.clone(), source];
                let from = TABLES[self.chance.below(2)].name;
                let set = self.assignments(table, &target, &scope);
                format!(
                    "UPDATE {} t SET {set} FROM (SELECT id AS i, count(*)::int AS m FROM {from} GROUP BY id) s WHERE s.i = t.id AND {}{}",
                    table.name,
                    self.condition(&scope, 1),
                    self.returning(&scope)
                )
            }
            5 => {
                let scope = [target];
                format!(
                    "DELETE FROM {} t WHERE {}{}",
                    table.name,
                    self.condition(&scope, 0),
                    self.returning(&scope)
                )
            }
            6 => {
                let other = &TABLES[self.chance.below(TABLES.len())];
                let scope = [target.clone(), other.relation("o")];
                let kind = Kind::Int;
                let join = self.column(&scope[1..], kind).unwrap_or_else(|| "1".to_owned());
                format!(
                    "DELETE FROM {} t USING {} o WHERE t.id = {join} AND {}",
                    table.name,
                    other.name,
                    self.condition(&scope, 1)
                )
            }
            _ => self.merge(table, &target),
        }
    }

    fn returning(&mut self, scope: &[Relation]) -> String {
        if self.chance.percent(50) {
            return String::new();
        }
        let kind = self.any_kind();
        format!(" RETURNING t.id, {}", self.value(scope, kind, 1))
    }

    /// Assignments to one or two columns outside of the key.
    fn assignments(&mut self, table: &Table, target: &Relation, scope: &[Relation]) -> String {
        let free: Vec<&(String, Kind)> = target
            .columns
            .iter()
            .filter(|(name, _)| !table.key.contains(&name.as_str()) && name != "s" && name != "v")
            .collect();
        let at = self.chance.below(free.len());
        let mut set = vec![free[at]];
        let other = self.chance.below(free.len());
        if other != at {
            set.push(free[other]);
        }
        let written: Vec<String> =
            set.into_iter().map(|(name, kind)| format!("{name} = {}", self.value(scope, *kind, 1))).collect();
        written.join(", ")
    }

    /// Rows with keys that are not there, from values or from a query.
    fn insert(&mut self, table: &Table, target: &Relation) -> String {
        let first = 100 + self.chance.below(1_000_000);
        if self.chance.percent(50) {
            let rows: Vec<String> =
                (0..=self.chance.below(3)).map(|row| self.row(target, first + row)).collect();
            return format!(
                "INSERT INTO {} AS t VALUES {}{}",
                table.name,
                rows.join(", "),
                self.returning(std::slice::from_ref(target))
            );
        }
        let source = TABLES[0].relation("o");
        let values: Vec<String> = target
            .columns
            .iter()
            .map(|(name, kind)| match name.as_str() {
                "id" => format!("o.id + {first}"),
                "s" | "v" | "k" => typed_literal(self.chance, *kind),
                _ => self.value(std::slice::from_ref(&source), *kind, 2),
            })
            .collect();
        let filter = self.condition(&[source], 1);
        format!("INSERT INTO {} SELECT {} FROM a o WHERE {filter}", table.name, values.join(", "))
    }

    fn row(&mut self, target: &Relation, id: usize) -> String {
        let fields: Vec<String> = target
            .columns
            .iter()
            .map(|(name, kind)| match name.as_str() {
                "id" => id.to_string(),
                "v" => "3".to_owned(),
                "k" => typed_literal(self.chance, *kind),
                _ if self.chance.percent(20) => "NULL".to_owned(),
                _ => typed_literal(self.chance, *kind),
            })
            .collect();
        format!("({})", fields.join(", "))
    }

    fn upsert(&mut self, table: &Table, target: &Relation) -> String {
        let first = 1 + self.chance.below(8);
        let rows: Vec<String> = (0..=self.chance.below(4)).map(|row| self.row(target, first + row)).collect();
        let head = format!(
            "INSERT INTO {} AS t VALUES {} ON CONFLICT ({})",
            table.name,
            rows.join(", "),
            table.key.join(", ")
        );
        if self.chance.percent(30) {
            return format!("{head} DO NOTHING{}", self.returning(std::slice::from_ref(target)));
        }
        let scope = [target.clone(), table.relation("excluded")];
        let set = self.assignments(table, target, &scope);
        let filter = if self.chance.percent(40) {
            format!(" WHERE {}", self.condition(&scope, 2))
        } else {
            String::new()
        };
        format!("{head} DO UPDATE SET {set}{filter}{}", self.returning(std::slice::from_ref(target)))
    }

    fn merge(&mut self, table: &Table, target: &Relation) -> String {
        let source = TABLES[self.chance.below(TABLES.len())].name;
        let one = Relation {
            alias: "s".to_owned(),
            columns: vec![("i".to_owned(), Kind::Int), ("n".to_owned(), Kind::Big)],
        };
        let scope = [target.clone(), one.clone()];
        let mut text = format!(
            "MERGE INTO {} t USING (SELECT id::int AS i, count(*) AS n FROM {source} GROUP BY 1) s ON t.id = s.i",
            table.name
        );
        if self.chance.percent(60) {
            text.push_str(&format!(" WHEN MATCHED AND {} THEN DELETE", self.condition(&scope, 2)));
        }
        if self.chance.percent(80) {
            text.push_str(&format!(
                " WHEN MATCHED THEN UPDATE SET {}",
                self.assignments(table, target, &scope)
            ));
        }
        let values: Vec<String> = target
            .columns
            .iter()
            .map(|(name, kind)| match name.as_str() {
                "id" => format!("s.i + {}", 2_000_000 + self.chance.below(1_000_000)),
                "s" | "v" | "k" => typed_literal(self.chance, *kind),
                _ => self.value(std::slice::from_ref(&one), *kind, 2),
            })
            .collect();
        text.push_str(&format!(
            " WHEN NOT MATCHED AND s.i IS NOT NULL THEN INSERT VALUES ({})",
            values.join(", ")
        ));
        text
    }
}
