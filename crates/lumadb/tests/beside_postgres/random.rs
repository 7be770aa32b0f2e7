//! Statements that nobody thought of: a generator writes them, PostgreSQL and we answer, both must say the same.
//!
//! Tables of rows with a key, without one and of columns are filled with few values and many NULLs, so that joins find
//! partners and groups have members. Queries follow, and changes with a look at the table after each.
//!
//! `LUMADB_RANDOM_SEED` and `LUMADB_RANDOM_ROUNDS` choose other statements and more of them (some five in a thousand are still
//! refused), `LUMADB_RANDOM_DEEP=1` larger ones; a failure names the seed of its round. Statements cannot fail by their values (nothing divides by a column, numbers stay small), so that an error
//! is a difference, whichever side gave it.

mod change;
mod expression;
mod query;
mod table;

use std::fmt::Write as _;
use std::io::Write as _;

use crate::servers::{Lumadb, Postgres};
use crate::wire::{Answer, Client};

use table::TABLES;

/// The first seed without `LUMADB_RANDOM_SEED`.
const SEED: u64 = 31;
/// Rounds without `LUMADB_RANDOM_ROUNDS`.
const ROUNDS: u64 = 5;
/// Queries of a round; a change goes before every eighth.
const QUERIES: u64 = 56;
/// Reports of a failed test.
const REPORTS_MAX: usize = 200;
/// The type numeric.
const NUMERIC: u32 = 1700;

/// A small generator of numbers (SplitMix64): the same ones for the same seed, everywhere.
pub struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in so many of a hundred cases.
    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// The types of values that statements are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Int,
    Big,
    Numeric,
    Float,
    Text,
    Date,
    Timestamp,
    Bool,
    Array,
    Json,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Int,
        Self::Big,
        Self::Numeric,
        Self::Float,
        Self::Text,
        Self::Date,
        Self::Timestamp,
        Self::Bool,
        Self::Array,
        Self::Json,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Big => "bigint",
            Self::Numeric => "numeric",
            Self::Float => "float8",
            Self::Text => "text",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Bool => "boolean",
            Self::Array => "int[]",
            Self::Json => "jsonb",
        }
    }
}

/// What a query can name: something in FROM and its columns.
#[derive(Clone, Debug)]
pub struct Relation {
    alias: String,
    columns: Vec<(String, Kind)>,
}

/// Writes one statement.
pub struct Writer<'a> {
    chance: &'a mut Chance,
    /// Values of `$1`, …, if the statement may have some.
    parameters: Option<Vec<Option<String>>>,
    /// WITH queries that can be read.
    with: Vec<Relation>,
    names: usize,
    deep: bool,
}

impl<'a> Writer<'a> {
    const fn new(chance: &'a mut Chance, parameters: bool, deep: bool) -> Self {
        let parameters = if parameters { Some(Vec::new()) } else { None };
        Self { chance, parameters, with: Vec::new(), names: 0, deep }
    }

    /// Queries within FROM and set operations.
    const fn nesting_max(&self) -> u32 {
        if self.deep { 2 } else { 1 }
    }

    /// Expressions within expressions.
    const fn depth_max(&self) -> u32 {
        if self.deep { 3 } else { 2 }
    }

    /// A name that the statement does not have yet.
    fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }
}

/// Equal numbers of different digits (`1.5`, `1.50`) are one group, one distinct row and in no order: which of them is shown is
/// up to the plan.
fn without_digits(answer: &mut Answer) {
    let Some(columns) = &answer.columns else { return };
    let numeric: Vec<bool> = columns.iter().map(|(_, oid)| *oid == NUMERIC).collect();
    for row in &mut answer.rows {
        let fields: Vec<&str> = row.split('|').collect();
        let shorter = fields.iter().enumerate().map(|(at, field)| {
            let cut = numeric.get(at) == Some(&true) && field.contains('.');
            if cut { field.trim_end_matches('0').trim_end_matches('.') } else { field }
        });
        *row = shorter.collect::<Vec<_>>().join("|");
    }
}

/// Numbers anew the parameters that the text has; most were made for expressions that were not taken.
fn used_parameters(text: String, all: Option<Vec<Option<String>>>) -> (String, Option<Vec<Option<String>>>) {
    let Some(all) = all else { return (text, None) };
    let (mut numbered, mut used, mut numbers) = (String::new(), Vec::new(), Vec::new());
    let mut parts = text.split('$');
    numbered.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
        let number: usize = part[..digits].parse().unwrap();
        let place = numbers.iter().position(|known| *known == number).unwrap_or_else(|| {
            numbers.push(number);
            used.push(all[number - 1].clone());
            used.len() - 1
        });
        write!(numbered, "${}{}", place + 1, &part[digits..]).unwrap();
    }
    (numbered, Some(used))
}

fn digits_may_differ(text: &str) -> bool {
    const REASONS: [&str; 12] = [
        "DISTINCT",
        "GROUP",
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "LIMIT",
        "max(",
        "min(",
        "OVER",
        "FETCH",
        "greatest",
        "least",
    ];
    REASONS.iter().any(|word| text.contains(word))
}

struct Round<'a> {
    seed: u64,
    deep: bool,
    theirs: &'a mut Client,
    ours: &'a mut Client,
    statements: usize,
    reports: Vec<String>,
}

impl Round<'_> {
    /// Runs a statement on both; false if they answer differently.
    fn same(&mut self, text: &str, parameters: Option<&[Option<String>]>, ordered: bool) -> bool {
        self.statements += 1;
        let run = |client: &mut Client| {
            let mut answer = match parameters {
                None => client.simple(text),
                Some(values) => client.extended(text, values, false),
            };
            if digits_may_differ(text) {
                without_digits(&mut answer);
            }
            // Types of parameters are what the case files are about.
            answer.parameters.clear();
            answer
        };
        let (theirs, own) = (run(self.theirs), run(self.ours));
        if theirs.comparable(ordered) == own.comparable(ordered) {
            return true;
        }
        let mut report = format!("seed {}: {text};\n", self.seed);
        if let Some(values) = parameters {
            writeln!(report, "  with {values:?}").unwrap();
        }
        for (name, answer) in [("PostgreSQL", &theirs), ("LumaDB", &own)] {
            writeln!(report, "  {name}: {} {}", answer.comparable(ordered), answer.message).unwrap();
        }
        self.reports.push(report);
        false
    }

    /// Makes and fills the tables.
    fn tables(&mut self, chance: &mut Chance) {
        for table in TABLES {
            for (client, text) in
                [(&mut *self.theirs, table.definition(false)), (&mut *self.ours, table.definition(true))]
            {
                for statement in text {
                    let answer = client.simple(&statement);
                    assert_eq!(answer.error, None, "{statement}: {}", answer.message);
                }
            }
            let rows = 4 + chance.below(12);
            for text in (0..rows).map(|row| table.insertion(chance, row)) {
                self.same(&text, None, false);
            }
        }
    }

    fn run(&mut self) {
        let mut chance = Chance(self.seed);
        self.tables(&mut chance);
        for number in 0..QUERIES {
            if number % 8 == 7 {
                let table = &TABLES[chance.below(TABLES.len())];
                let text = Writer::new(&mut chance, false, self.deep).change(table);
                let known = self.reports.len();
                self.same(&text, None, false);
                if !self.same(&format!("SELECT * FROM {}", table.name), None, false) {
                    if self.reports.len() == known + 1 {
                        self.reports.push(format!("seed {}: that was after {text};\n", self.seed));
                    }
                    // Everything after would differ, too.
                    return;
                }
            }
            let prepared = chance.percent(30);
            let mut writer = Writer::new(&mut chance, prepared, self.deep);
            let (text, ordered) = writer.statement();
            let (text, parameters) = used_parameters(text, writer.parameters.take());
            self.same(&text, parameters.as_deref(), ordered);
        }
    }
}

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn random_statements_are_answered_as_postgresql_answers_them() {
    let mut postgres = match Postgres::start() {
        Ok(postgres) => postgres,
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
            return;
        }
    };
    let server = Lumadb::start();
    let (mut theirs, mut ours) = (postgres.session(), server.session());
    let first = number_of("LUMADB_RANDOM_SEED", SEED);
    let deep = number_of("LUMADB_RANDOM_DEEP", 0) > 0;
    let (mut statements, mut reports) = (0, Vec::new());
    for seed in first..first + number_of("LUMADB_RANDOM_ROUNDS", ROUNDS) {
        let mut round =
            Round { seed, deep, theirs: &mut theirs, ours: &mut ours, statements: 0, reports: Vec::new() };
        round.run();
        statements += round.statements;
        reports.append(&mut round.reports);
    }
    writeln!(std::io::stderr(), "random: {statements} statements, {} differ", reports.len()).unwrap();
    let shown = &reports[..reports.len().min(REPORTS_MAX)];
    assert!(reports.is_empty(), "{} of {statements} statements differ:\n{}", reports.len(), shown.join("\n"));
}
