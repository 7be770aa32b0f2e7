//! Queries: what stands in FROM, groups, windows, set operations.

use std::fmt::Write as _;

use super::table::{TABLES, literal, typed_literal};
use super::{Kind, Relation, Writer};

impl Writer<'_> {
    /// A whole query, and whether its rows have an order.
    pub fn statement(&mut self) -> (String, bool) {
        let mut text = String::new();
        if self.chance.percent(12) {
            let relation = self.fresh_relation('w');
            let query = self.query(&[], &kinds_of(&relation), 1);
            let materialized = self.chance.pick(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
            write!(text, "WITH {} AS {materialized}({query}) ", aliased(&relation)).unwrap();
            self.with.push(relation);
        }
        let kinds = self.some_kinds();
        text.push_str(&self.query(&[], &kinds, 0));
        if !self.chance.percent(35) {
            return (text, false);
        }
        text.push_str(" ORDER BY ");
        let order: Vec<String> = (1..=kinds.len()).map(|at| format!("{at}{}", self.direction())).collect();
        text.push_str(&order.join(", "));
        if self.chance.percent(40) {
            text.push_str(self.chance.pick(&[
                " LIMIT 3",
                " LIMIT 5 OFFSET 1",
                " OFFSET 2",
                " FETCH FIRST 2 ROWS ONLY",
            ]));
        }
        (text, true)
    }

    fn direction(&mut self) -> &'static str {
        self.chance.pick(&["", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
    }

    fn some_kinds(&mut self) -> Vec<Kind> {
        let count = 1 + self.chance.below(3);
        (0..count)
            .map(|_| if self.chance.percent(60) { self.usual_kind() } else { self.any_kind() })
            .collect()
    }

    fn fresh_relation(&mut self, letter: char) -> Relation {
        let columns =
            self.some_kinds().into_iter().enumerate().map(|(at, kind)| (format!("c{at}"), kind)).collect();
        Relation { alias: self.fresh(letter), columns }
    }

    /// A query whose columns have those types, not ordered.
    pub fn query(&mut self, outer: &[Relation], kinds: &[Kind], nesting: u32) -> String {
        if nesting < self.nesting_max() && self.chance.percent(12) {
            let operation = self.chance.pick(&[
                "UNION",
                "UNION ALL",
                "INTERSECT",
                "EXCEPT",
                "EXCEPT ALL",
                "INTERSECT ALL",
            ]);
            let first = self.query(outer, kinds, nesting + 1);
            let second = if self.chance.percent(20) {
                format!("VALUES {}", self.rows_of(kinds))
            } else {
                self.query(outer, kinds, nesting + 1)
            };
            return format!("({first}) {operation} ({second})");
        }
        let (from, own) = self.from(outer, nesting);
        let scope: Vec<Relation> = own.iter().chain(outer).cloned().collect();
        let filter = if self.chance.percent(65) {
            format!(" WHERE {}", self.condition(&scope, 0))
        } else {
            String::new()
        };
        match self.chance.below(10) {
            0..3 => self.grouped(&from, &filter, &own, kinds),
            3 => {
                let list: Vec<String> = kinds.iter().map(|kind| self.aggregate(&own, *kind)).collect();
                format!("SELECT {} FROM {from}{filter}{}", list.join(", "), self.having(&own))
            }
            4 => self.windowed(&from, &filter, &own, &scope, kinds),
            5 => {
                let list: Vec<String> = kinds.iter().map(|kind| self.value(&scope, *kind, 1)).collect();
                let by = self.usual_kind();
                let by = self
                    .column(&own, by)
                    .map_or_else(|| "1".to_owned(), |column| format!("coalesce({column}, NULL)"));
                let order = every_column(&own);
                let direction = self.direction();
                let all: Vec<String> = (1..=kinds.len()).map(|at| at.to_string()).collect();
                format!(
                    "SELECT DISTINCT ON ({by}) {} FROM {from}{filter} ORDER BY {by}{direction}, {order}, {}",
                    list.join(", "),
                    all.join(", ")
                )
            }
            _ => {
                let distinct = if self.chance.percent(30) { "DISTINCT " } else { "" };
                let list: Vec<String> = kinds.iter().map(|kind| self.value(&scope, *kind, 0)).collect();
                format!("SELECT {distinct}{} FROM {from}{filter}", list.join(", "))
            }
        }
    }

    /// A query for IN, EXISTS and their kin.
    pub fn subquery(&mut self, scope: &[Relation], kinds: &[Kind], depth: u32) -> String {
        let (from, own) = self.one_table();
        let all: Vec<Relation> = own.iter().chain(scope).cloned().collect();
        // What is selected is a matter of the own rows only; conditions name what is around.
        let list: Vec<String> = kinds.iter().map(|kind| self.value(&own, *kind, depth + 1)).collect();
        let filter = if self.chance.percent(75) {
            format!(" WHERE {}", self.condition(&all, depth))
        } else {
            String::new()
        };
        format!("SELECT {} FROM {from}{filter}", list.join(", "))
    }

    /// A query of one value.
    pub fn single(&mut self, scope: &[Relation], kind: Kind, depth: u32) -> String {
        let (from, own) = self.one_table();
        let all: Vec<Relation> = own.iter().chain(scope).cloned().collect();
        let filter = if self.chance.percent(75) {
            format!(" WHERE {}", self.condition(&all, depth))
        } else {
            String::new()
        };
        if self.chance.percent(25) {
            let value = self.value(&own, kind, depth + 1);
            return format!("SELECT {value} AS v FROM {from}{filter} ORDER BY v{} LIMIT 1", self.direction());
        }
        format!("SELECT {} FROM {from}{filter}", self.aggregate(&own, kind))
    }

    fn grouped(&mut self, from: &str, filter: &str, own: &[Relation], kinds: &[Kind]) -> String {
        let (mut list, mut keys) = (Vec::new(), Vec::new());
        let positions = self.chance.percent(40);
        for (at, kind) in kinds.iter().enumerate() {
            if at > 0 && self.chance.percent(60) {
                list.push(self.aggregate(own, *kind));
                continue;
            }
            let mut key = self.value(own, *kind, 1);
            if !own.iter().any(|relation| key.contains(&format!("{}.", relation.alias))) {
                // Nobody groups by a constant, and a plain one would be a position.
                let of = &own[0];
                let column = format!("{}.{}", of.alias, of.columns[0].0);
                key = format!("CASE WHEN {column} IS NULL THEN {key} END");
            }
            list.push(key.clone());
            keys.push((at, key));
        }
        let keys: Vec<String> =
            keys.into_iter().map(|(at, key)| if positions { (at + 1).to_string() } else { key }).collect();
        let by = keys.join(", ");
        // The parser takes a parenthesis there for one of a set, and sets of parameters are nobody's.
        let sets =
            !keys.iter().any(|key| key.starts_with('(')) && !list.iter().any(|item| item.contains('$'));
        let by = match self.chance.below(10) {
            0 if sets => format!("ROLLUP ({by})"),
            1 if sets => format!("GROUPING SETS (({by}), ({}), ())", keys[0]),
            2 if sets => format!("CUBE ({by})"),
            _ => by,
        };
        format!("SELECT {} FROM {from}{filter} GROUP BY {by}{}", list.join(", "), self.having(own))
    }

    fn having(&mut self, own: &[Relation]) -> String {
        if self.chance.percent(75) {
            return String::new();
        }
        match self.chance.below(4) {
            0 => " HAVING count(*) > 1".to_owned(),
            1 => format!(" HAVING sum({}) > 1", self.value(own, Kind::Int, 2)),
            2 => {
                let kind = self.usual_kind();
                format!(" HAVING max({}) IS NOT NULL", self.value(own, kind, 2))
            }
            _ => {
                let kind = self.usual_kind();
                let (one, two) = (self.aggregate(own, kind), self.aggregate(own, kind));
                format!(" HAVING {one} <> {two}")
            }
        }
    }

    /// An aggregate of that type over the query's own rows.
    fn aggregate(&mut self, own: &[Relation], kind: Kind) -> String {
        let distinct = if self.chance.percent(20) { "DISTINCT " } else { "" };
        let extreme = self.chance.pick(&["min", "max"]);
        let value = self.value(own, kind, 2);
        let (int, text) = (self.value(own, Kind::Int, 2), self.value(own, Kind::Text, 2));
        let written = match (kind, self.chance.below(4)) {
            (Kind::Int, 0) => return "count(*)::int".to_owned(),
            (Kind::Int | Kind::Numeric | Kind::Float | Kind::Date | Kind::Timestamp, 1..)
            | (Kind::Text | Kind::Big, 3) => {
                format!("{extreme}({value})")
            }
            (Kind::Big, 0) => "count(*)".to_owned(),
            (Kind::Big, 1) => format!("count({distinct}{text})"),
            (Kind::Big, _) => format!("sum({distinct}{int})"),
            (Kind::Numeric, _) => {
                format!("{}({distinct}{value})", self.chance.pick(&["sum", "avg"]))
            }
            (Kind::Float, _) => format!("count({text})::float8"),
            (Kind::Text, _) => format!("string_agg({distinct}({text})::text, ',' ORDER BY ({text})::text)"),
            (Kind::Date | Kind::Timestamp, _) => format!("{extreme}({value})"),
            (Kind::Bool, _) => format!("{}({value})", self.chance.pick(&["bool_and", "bool_or", "every"])),
            (Kind::Array, _) => format!("array_agg({distinct}{int} ORDER BY {int})"),
            (Kind::Json, _) => format!("jsonb_agg({int} ORDER BY {int})"),
        };
        if self.chance.percent(15) {
            return format!("{written} FILTER (WHERE {})", self.condition(own, 2));
        }
        written
    }

    fn windowed(
        &mut self,
        from: &str,
        filter: &str,
        own: &[Relation],
        scope: &[Relation],
        kinds: &[Kind],
    ) -> String {
        let order = every_column(own);
        let by = self.usual_kind();
        let by = self.column(own, by).map_or_else(String::new, |column| format!("PARTITION BY {column} "));
        let by = if self.chance.percent(50) { by } else { String::new() };
        let frame = self.chance.pick(&[
            "",
            "",
            " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            " RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
            " ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
        ]);
        let named = self.chance.percent(30);
        let over = format!("({by}ORDER BY {order}{frame})");
        let used = if named { "w".to_owned() } else { over.clone() };
        let mut list = Vec::new();
        for kind in kinds {
            let mut value = self.value(scope, *kind, 2);
            if *kind == Kind::Text {
                // These functions take no literal without a type.
                value = format!("({value})::text");
            }
            let written = match (kind, self.chance.below(6)) {
                (Kind::Big, 0) => "row_number()".to_owned(),
                (Kind::Big, 1) => "dense_rank()".to_owned(),
                (Kind::Big, 2) => format!("count({value})"),
                (Kind::Big, 3) => format!("sum({})", self.value(own, Kind::Int, 2)),
                (Kind::Float, 0) => "percent_rank()".to_owned(),
                (Kind::Numeric, 0) => format!("sum({value})"),
                (Kind::Int, 0) => "ntile(3)".to_owned(),
                (_, 1) => format!("lag({value})"),
                (_, 2) => format!("lead({value}, 2, {})", self.value(scope, *kind, 2)),
                (_, 3) => format!("first_value({value})"),
                (_, 4) => format!("nth_value({value}, 2)"),
                _ => {
                    list.push(value);
                    continue;
                }
            };
            list.push(format!("{written} OVER {used}"));
        }
        let window = if named { format!(" WINDOW w AS {over}") } else { String::new() };
        format!("SELECT {} FROM {from}{filter}{window}", list.join(", "))
    }

    fn one_table(&mut self) -> (String, Vec<Relation>) {
        let table = &TABLES[self.chance.below(TABLES.len())];
        let relation = table.relation(&self.fresh('q'));
        (format!("{} {}", table.name, relation.alias), vec![relation])
    }

    /// One to three items and how they are joined.
    fn from(&mut self, outer: &[Relation], nesting: u32) -> (String, Vec<Relation>) {
        let (mut text, first) = self.item(&[], outer, nesting);
        let mut own = vec![first];
        let more = [0, 0, 0, 1, 1, 1, 2][self.chance.below(7)];
        for _ in 0..more {
            let lateral = self.chance.percent(12);
            if lateral {
                let seen: Vec<Relation> = own.iter().chain(outer).cloned().collect();
                let relation = self.fresh_relation('l');
                let query = self.query(&seen, &kinds_of(&relation), self.nesting_max());
                let join = self.chance.pick(&["CROSS JOIN", "LEFT JOIN"]);
                let on = if join == "LEFT JOIN" { " ON true" } else { "" };
                write!(text, " {join} LATERAL ({query}) {}{on}", aliased(&relation)).unwrap();
                own.push(relation);
                continue;
            }
            let (item, relation) = self.item(&own, outer, nesting);
            let join = self.chance.pick(&[
                "JOIN",
                "JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
                "CROSS JOIN",
            ]);
            let on = self.on(join, &own, &relation, outer);
            own.push(relation);
            match on {
                Some(on) => write!(text, " {join} {item} ON {on}").unwrap(),
                None => write!(text, " CROSS JOIN {item}").unwrap(),
            }
        }
        (text, own)
    }

    /// The condition of a join; none makes it a product.
    fn on(
        &mut self,
        join: &str,
        before: &[Relation],
        joined: &Relation,
        outer: &[Relation],
    ) -> Option<String> {
        if join == "CROSS JOIN" {
            return None;
        }
        let kind = self.usual_kind();
        let joined = std::slice::from_ref(joined);
        let pair = self.column(before, kind).zip(self.column(joined, kind));
        if let Some((left, right)) = pair
            && (join == "FULL JOIN" || self.chance.percent(70))
        {
            let both: Vec<Relation> = before.iter().chain(joined).cloned().collect();
            let more = self.chance.percent(25).then(|| format!(" AND {}", self.condition(&both, 2)));
            return Some(format!("{left} = {right}{}", more.unwrap_or_default()));
        }
        if join == "FULL JOIN" {
            return None;
        }
        let all: Vec<Relation> = before.iter().chain(joined).chain(outer).cloned().collect();
        Some(self.condition(&all, 2))
    }

    fn item(&mut self, before: &[Relation], outer: &[Relation], nesting: u32) -> (String, Relation) {
        if let Some(relation) = self.with.last().cloned()
            && self.chance.percent(40)
        {
            let read = Relation { alias: self.fresh('t'), ..relation.clone() };
            return (format!("{} {}", relation.alias, read.alias), read);
        }
        match self.chance.below(20) {
            0..4 if nesting < self.nesting_max() => {
                let relation = self.fresh_relation('u');
                let query = self.query(&[], &kinds_of(&relation), nesting + 1);
                (format!("({query}) {}", aliased(&relation)), relation)
            }
            4 => {
                let relation = self.fresh_relation('v');
                let rows = self.rows_of(&kinds_of(&relation));
                (format!("(VALUES {rows}) {}", aliased(&relation)), relation)
            }
            5 => {
                let relation =
                    Relation { alias: self.fresh('n'), columns: vec![("c0".to_owned(), Kind::Int)] };
                let seen: Vec<Relation> = before.iter().chain(outer).cloned().collect();
                let text = match self.column(&seen, Kind::Array) {
                    // Outside of LATERAL's reach, a function cannot name what a full join would pad.
                    Some(_) if before.is_empty() => "generate_series(1, 4)".to_owned(),
                    _ => "generate_series(0, 3)".to_owned(),
                };
                (format!("{text} {}", aliased(&relation)), relation)
            }
            _ => {
                let table = &TABLES[self.chance.below(TABLES.len())];
                let relation = table.relation(&self.fresh('t'));
                (format!("{} {}", table.name, relation.alias), relation)
            }
        }
    }

    /// Rows of constants; those after the first often say nothing of their types.
    fn rows_of(&mut self, kinds: &[Kind]) -> String {
        let count = 1 + self.chance.below(3);
        let mut rows = Vec::new();
        for row in 0..count {
            let fields: Vec<String> = kinds
                .iter()
                .map(|kind| match self.chance.below(6) {
                    0 if row > 0 => "NULL".to_owned(),
                    1 if row > 0 => literal(self.chance, *kind),
                    _ => typed_literal(self.chance, *kind),
                })
                .collect();
            rows.push(format!("({})", fields.join(", ")));
        }
        rows.join(", ")
    }
}

fn kinds_of(relation: &Relation) -> Vec<Kind> {
    relation.columns.iter().map(|(_, kind)| *kind).collect()
}

fn aliased(relation: &Relation) -> String {
    let names: Vec<&str> = relation.columns.iter().map(|(name, _)| name.as_str()).collect();
    format!("{} ({})", relation.alias, names.join(", "))
}

/// An order in which only equal rows are peers.
fn every_column(own: &[Relation]) -> String {
    let columns = own
        .iter()
        .flat_map(|relation| relation.columns.iter().map(|(name, _)| format!("{}.{name}", relation.alias)));
    columns.collect::<Vec<_>>().join(", ")
}
