//! Expressions of every type over what a query can name.

use super::table::{literal, typed_literal};
use super::{Kind, Relation, Writer};

impl Writer<'_> {
    /// A column of that type, if there is one. Relations that come first are taken more often: the query's own.
    pub fn column(&mut self, scope: &[Relation], kind: Kind) -> Option<String> {
        let found: Vec<String> = scope
            .iter()
            .flat_map(|relation| relation.columns.iter().map(move |(name, of)| (relation, name, *of)))
            .filter(|(_, _, of)| *of == kind)
            .map(|(relation, name, _)| format!("{}.{name}", relation.alias))
            .collect();
        (!found.is_empty()).then(|| found[self.chance.below(found.len())].clone())
    }

    pub fn any_kind(&mut self) -> Kind {
        Kind::ALL[self.chance.below(Kind::ALL.len())]
    }

    /// A type whose values are often compared.
    pub fn usual_kind(&mut self) -> Kind {
        const USUAL: [Kind; 7] =
            [Kind::Int, Kind::Int, Kind::Text, Kind::Numeric, Kind::Big, Kind::Date, Kind::Text];
        USUAL[self.chance.below(USUAL.len())]
    }

    fn constant(&mut self, kind: Kind) -> String {
        if self.parameters.is_some() && self.chance.percent(40) {
            let text = literal(self.chance, kind).trim_matches('\'').to_owned();
            let null = self.chance.percent(10);
            if let Some(parameters) = &mut self.parameters {
                parameters.push((!null).then_some(text));
                return format!("${}::{}", parameters.len(), kind.name());
            }
        }
        if self.chance.percent(4) {
            return format!("NULL::{}", kind.name());
        }
        typed_literal(self.chance, kind)
    }

    /// An expression of that type.
    pub fn value(&mut self, scope: &[Relation], kind: Kind, depth: u32) -> String {
        let column = self.column(scope, kind);
        let roll = self.chance.below(100);
        if let Some(column) = column
            && (roll < 50 || depth >= self.depth_max())
        {
            return column;
        }
        if roll < 62 || depth >= self.depth_max() {
            return self.constant(kind);
        }
        if roll < 80 {
            return self.choice(scope, kind, depth + 1);
        }
        self.made(scope, kind, depth + 1)
    }

    /// What every type can be made by: CASE, coalesce and the like.
    fn choice(&mut self, scope: &[Relation], kind: Kind, depth: u32) -> String {
        let first = self.value(scope, kind, depth);
        let second = self.value(scope, kind, depth);
        let comparable = !matches!(kind, Kind::Json | Kind::Array);
        match self.chance.below(7) {
            0 => format!("coalesce({first}, {second})"),
            1 => format!("nullif({first}, {second})"),
            2 if comparable => format!("greatest({first}, {second})"),
            3 if comparable => format!("least({first}, {second})"),
            4 => format!("CASE WHEN {} THEN {first} END", self.condition(scope, depth)),
            5 => {
                let of = self.value(scope, Kind::Int, depth);
                let (one, two) = (self.constant(Kind::Int), self.constant(Kind::Int));
                format!("CASE {of} WHEN {one} THEN {first} WHEN {two} THEN NULL ELSE {second} END")
            }
            _ => format!("CASE WHEN {} THEN {first} ELSE {second} END", self.condition(scope, depth)),
        }
    }

    /// What is made of values of this and other types.
    fn made(&mut self, scope: &[Relation], kind: Kind, depth: u32) -> String {
        let mut of = |kind| self.value(scope, kind, depth);
        match kind {
            Kind::Int => {
                let forms = [
                    format!("({} + {})", of(Kind::Int), of(Kind::Int)),
                    format!("({} - {})", of(Kind::Int), of(Kind::Int)),
                    format!("({} * 2)", of(Kind::Int)),
                    format!("({} % 3)", of(Kind::Int)),
                    format!("({} / 2)", of(Kind::Int)),
                    format!("abs({})", of(Kind::Int)),
                    format!("length({})", of(Kind::Text)),
                    format!("cardinality({})", of(Kind::Array)),
                    format!("({})[2]", of(Kind::Array)),
                    format!("({} - {})", of(Kind::Date), of(Kind::Date)),
                    format!("extract(month FROM {})::int", of(Kind::Date)),
                    format!("array_position({}, 2)", of(Kind::Array)),
                    format!("position('b' IN {})", of(Kind::Text)),
                    format!("({})::int", of(Kind::Bool)),
                    format!("round({})::int", of(Kind::Numeric)),
                    format!("(- {})", of(Kind::Int)),
                ];
                self.one_of(&forms)
            }
            Kind::Big => {
                let forms = [
                    format!("({})::bigint", of(Kind::Int)),
                    format!("({} + {})", of(Kind::Big), of(Kind::Int)),
                    format!("({} - {})", of(Kind::Int), of(Kind::Big)),
                    format!("({} / 3)", of(Kind::Big)),
                ];
                self.one_of(&forms)
            }
            Kind::Numeric => {
                let forms = [
                    format!("({} + {})", of(Kind::Numeric), of(Kind::Numeric)),
                    format!("({} - {})", of(Kind::Numeric), of(Kind::Int)),
                    format!("({} * 1.5)", of(Kind::Numeric)),
                    format!("({} / 4)", of(Kind::Numeric)),
                    format!("({} % 2)", of(Kind::Numeric)),
                    format!("({} + 0.5)", of(Kind::Big)),
                    format!("round({}, 1)", of(Kind::Numeric)),
                    format!("trunc({})", of(Kind::Numeric)),
                    format!("({})::numeric", of(Kind::Int)),
                    format!("({})::numeric(10,3)", of(Kind::Numeric)),
                    format!("extract(day FROM {})", of(Kind::Timestamp)),
                ];
                self.one_of(&forms)
            }
            Kind::Float => {
                let forms = [
                    format!("({} + {})", of(Kind::Float), of(Kind::Float)),
                    format!("({} * {})", of(Kind::Float), of(Kind::Int)),
                    format!("({} / 2)", of(Kind::Float)),
                    format!("({} + {})", of(Kind::Numeric), of(Kind::Float)),
                    format!("floor({})", of(Kind::Float)),
                    format!("({})::float8", of(Kind::Int)),
                ];
                self.one_of(&forms)
            }
            Kind::Text => {
                let forms = [
                    format!("({} || {})", of(Kind::Text), of(Kind::Text)),
                    format!("({} || {})", of(Kind::Text), of(Kind::Int)),
                    format!("upper({})", of(Kind::Text)),
                    format!("substr({}, 2)", of(Kind::Text)),
                    format!("left({}, {})", of(Kind::Text), of(Kind::Int)),
                    format!("concat({}, {}, '!')", of(Kind::Text), of(Kind::Date)),
                    format!("replace({}, 'a', {})", of(Kind::Text), of(Kind::Text)),
                    format!("({})::text", of(Kind::Int)),
                    format!("({})::text", of(Kind::Timestamp)),
                    format!("({})::text", of(Kind::Bool)),
                    format!("({})::varchar(2)", of(Kind::Text)),
                    format!("to_char({}, 'YYYY-MM')", of(Kind::Date)),
                    format!("({} ->> 'b')", of(Kind::Json)),
                    format!("array_to_string({}, ',', '-')", of(Kind::Array)),
                    format!("trim({})", of(Kind::Text)),
                ];
                self.one_of(&forms)
            }
            Kind::Date => {
                let forms = [
                    format!("({} + {})", of(Kind::Date), of(Kind::Int)),
                    format!("({})::date", of(Kind::Timestamp)),
                    format!("(date_trunc('month', {}))::date", of(Kind::Date)),
                ];
                self.one_of(&forms)
            }
            Kind::Timestamp => {
                let forms = [
                    format!("({})::timestamp", of(Kind::Date)),
                    format!("({} + interval '1 day')", of(Kind::Timestamp)),
                    format!("({} - interval '1 month 2 hours')", of(Kind::Date)),
                    format!("date_trunc('hour', {})", of(Kind::Timestamp)),
                ];
                self.one_of(&forms)
            }
            Kind::Bool => self.condition(scope, depth),
            Kind::Array => {
                let forms = [
                    format!("ARRAY[{}, {}]", of(Kind::Int), of(Kind::Int)),
                    format!("({} || {})", of(Kind::Array), of(Kind::Int)),
                    format!("({} || {})", of(Kind::Array), of(Kind::Array)),
                    format!("array_remove({}, {})", of(Kind::Array), of(Kind::Int)),
                    format!("({})[1:2]", of(Kind::Array)),
                ];
                self.one_of(&forms)
            }
            Kind::Json => {
                let forms = [
                    format!("({} -> 'o')", of(Kind::Json)),
                    format!("jsonb_build_object('k', {}, 'a', {})", of(Kind::Text), of(Kind::Int)),
                    format!("to_jsonb({})", of(Kind::Int)),
                    format!("to_jsonb(({})::text)", of(Kind::Text)),
                    format!("({} #> '{{l,0}}')", of(Kind::Json)),
                ];
                self.one_of(&forms)
            }
        }
    }

    fn one_of(&mut self, forms: &[String]) -> String {
        forms[self.chance.below(forms.len())].clone()
    }

    fn not(&mut self) -> &'static str {
        if self.chance.percent(40) { "NOT " } else { "" }
    }

    /// A condition: true, false or unknown.
    pub fn condition(&mut self, scope: &[Relation], depth: u32) -> String {
        let depth = depth + 1;
        if depth <= self.depth_max() {
            match self.chance.below(100) {
                0..12 => {
                    return format!(
                        "({} AND {})",
                        self.condition(scope, depth),
                        self.condition(scope, depth)
                    );
                }
                12..24 => {
                    return format!("({} OR {})", self.condition(scope, depth), self.condition(scope, depth));
                }
                24..30 => return format!("(NOT {})", self.condition(scope, depth)),
                30..34 => {
                    let state = self.chance.pick(&["TRUE", "FALSE", "UNKNOWN"]);
                    return format!("({} IS {}{state})", self.condition(scope, depth), self.not());
                }
                34..46 => return self.about_a_query(scope, depth),
                _ => {}
            }
        }
        let kind = if self.chance.percent(70) { self.usual_kind() } else { self.any_kind() };
        let operator = self.chance.pick(&["=", "<>", "<", ">", "<=", ">="]);
        let (one, two) = (self.value(scope, kind, depth), self.value(scope, kind, depth));
        match self.chance.below(16) {
            0 => format!("({one} IS {}NULL)", self.not()),
            1 => format!("({one} IS {}DISTINCT FROM {two})", self.not()),
            2 => {
                let other =
                    if self.chance.percent(15) { "NULL".to_owned() } else { self.value(scope, kind, depth) };
                format!("({one} {}IN ({two}, {other}))", self.not())
            }
            3 => {
                let symmetric = if self.chance.percent(25) { "SYMMETRIC " } else { "" };
                let three = self.value(scope, kind, depth);
                format!("({one} {}BETWEEN {symmetric}{two} AND {three})", self.not())
            }
            4 => {
                let pattern = self.chance.pick(&["%a%", "_", "a%", "%b", "%", ""]);
                let like = self.chance.pick(&["LIKE", "ILIKE"]);
                format!("({} {}{like} '{pattern}')", self.value(scope, Kind::Text, depth), self.not())
            }
            5 => format!("({} ~ '^[ab]')", self.value(scope, Kind::Text, depth)),
            6 => {
                let (number, list) =
                    (self.value(scope, Kind::Int, depth), self.value(scope, Kind::Array, depth));
                let all = self.chance.pick(&["ANY", "ALL"]);
                format!("({number} {operator} {all} ({list}))")
            }
            7 => {
                let (three, four) =
                    (self.value(scope, Kind::Int, depth), self.value(scope, Kind::Int, depth));
                format!("(({one}, {three}) {operator} ({two}, {four}))")
            }
            8 => {
                let (one, two) =
                    (self.value(scope, Kind::Numeric, depth), self.value(scope, Kind::Int, depth));
                format!("({one} {operator} {two})")
            }
            9 => {
                let (one, two) = (self.value(scope, Kind::Json, depth), self.value(scope, Kind::Json, depth));
                format!("({one} {} {two})", self.chance.pick(&["@>", "<@", "="]))
            }
            10 => format!("({} ? 'a')", self.value(scope, Kind::Json, depth)),
            11 => {
                let (one, two) =
                    (self.value(scope, Kind::Array, depth), self.value(scope, Kind::Array, depth));
                format!("({one} {} {two})", self.chance.pick(&["@>", "&&", "=", "<"]))
            }
            12 => {
                let (one, two) =
                    (self.value(scope, Kind::Timestamp, depth), self.value(scope, Kind::Date, depth));
                format!("({one} {operator} {two})")
            }
            13 => self.column(scope, Kind::Bool).unwrap_or_else(|| format!("({one} {operator} {two})")),
            _ => format!("({one} {operator} {two})"),
        }
    }

    /// EXISTS, IN, ANY, ALL and comparisons with one value, over a query that may name what is around it.
    fn about_a_query(&mut self, scope: &[Relation], depth: u32) -> String {
        let kind = self.usual_kind();
        let value = self.value(scope, kind, depth);
        let operator = self.chance.pick(&["=", "<>", "<", ">", "<=", ">="]);
        match self.chance.below(10) {
            0..3 => format!("({}EXISTS ({}))", self.not(), self.subquery(scope, &[kind], depth)),
            3..6 => format!("({value} {}IN ({}))", self.not(), self.subquery(scope, &[kind], depth)),
            6 => {
                let all = self.chance.pick(&["ANY", "ALL"]);
                format!("({value} {operator} {all} ({}))", self.subquery(scope, &[kind], depth))
            }
            7 => {
                let other = self.value(scope, Kind::Int, depth);
                let query = self.subquery(scope, &[kind, Kind::Int], depth);
                format!("(({value}, {other}) {}IN ({query}))", self.not())
            }
            _ => format!("({value} {operator} ({}))", self.single(scope, kind, depth)),
        }
    }
}
