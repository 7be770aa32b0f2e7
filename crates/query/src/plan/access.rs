//! Choosing how to reach a table's rows: by row keys, by an index, or all of them.
//!
//! A filter that compares a column with a constant narrows the keys that start with that column, and one
//! that compares an expression the keys of an index on it. A partial index has all of the rows only if the
//! filters imply its predicate. Of the primary key and the indexes the cheapest by estimated rows wins; an
//! index pays for each row with a look-up of its own, unless its entries have all that is wanted. Where rows are wanted in an order that a key has
//! (`plan/index_order`), walking along it saves the sort, and with a LIMIT most of the rows.

use datafusion::logical_expr::Expr;
use lightning::Direction;
use luma_catalog::Oid;
use luma_model::{DataType, KeyOrder};
use luma_rows::{Access, KeyRange, OpenTable, ScanColumn};

use crate::plan::combined;
use crate::plan::narrow::narrow;
use crate::plan::subject::{Subjects, conjuncts, implied, sort_keys};

/// What a row reached through an index costs, in rows of a plain scan.
const INDEX_ROW_COST: f64 = 4.0;
/// The same where the index alone gives it.
const ENTRY_COST: f64 = 1.1;
/// What sorting a row costs for each doubling of the rows, in rows of a plain scan.
const SORT_COST: f64 = 0.05;

/// One way to the rows.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) access: Access,
    /// How many it is expected to give.
    pub(crate) rows: f64,
    /// How many keys it looks at before the first.
    pub(super) entries: f64,
    /// For EXPLAIN.
    pub(crate) description: String,
    /// What the keys it walks over are made of; entries of an index end with the key of their row.
    pub(super) key: Vec<KeyPart>,
    /// How many parts of the key have one value each.
    pub(super) fixed: usize,
    /// Whether its keys have all that is wanted of a row.
    pub(super) covers: bool,
    /// Whether filters leave out a part of its keys.
    pub(super) narrowed: bool,
}

/// A part of a key: a column, or for an expression nothing that a query could be ordered by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPart {
    pub(crate) ordinal: Option<usize>,
    pub(crate) order: KeyOrder,
}

/// A column that rows are wanted in the order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) ordinal: usize,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl Way {
    /// What reading that many of its rows costs, in rows of a plain scan.
    fn cost(&self, rows: f64) -> f64 {
        match self.access {
            Access::Rows(_) => rows,
            Access::Index(..) if self.covers => rows * ENTRY_COST,
            Access::Index(..) => rows * INDEX_ROW_COST,
            Access::Keys(_) => self.entries * ENTRY_COST + rows * INDEX_ROW_COST,
        }
    }

    /// The column that its key begins with.
    pub(super) fn begins_with(&self) -> Option<usize> {
        self.key.first().and_then(|part| part.ordinal)
    }

    /// In which direction it gives rows in that order, if it does.
    fn provides(&self, table: &OpenTable, wanted: &[Wanted]) -> Option<Direction> {
        direction(table, &self.key, self.fixed, wanted)
    }
}

/// In which direction a walk along a key gives rows in that order, if it does; the first `fixed` parts have one value
/// each. The key has the primary key's columns, if there is one.
pub(crate) fn direction(
    table: &OpenTable,
    key: &[KeyPart],
    fixed: usize,
    wanted: &[Wanted],
) -> Option<Direction> {
    let nullable = |ordinal: usize| {
        let column = &table.columns()[ordinal];
        !column.not_null && !table.key_ordinals().contains(&ordinal)
    };
    let constant = |ordinal| key[..fixed].iter().any(|part| part.ordinal == Some(ordinal));
    let mut parts = key[fixed..].iter();
    let mut direction = None;
    for next in wanted {
        if constant(next.ordinal) {
            continue;
        }
        let Some(part) = parts.next() else {
            // Rows that are told apart already have no further order.
            return (!table.key_ordinals().is_empty()).then_some(direction.unwrap_or(Direction::Forward));
        };
        if part.ordinal != Some(next.ordinal) || !orders_as_sorts(table.data_type(next.ordinal)) {
            return None;
        }
        let backward = part.order.descending != next.descending;
        if nullable(next.ordinal) && (part.order.nulls_first != next.nulls_first) != backward {
            return None;
        }
        let needed = if backward { Direction::Reverse } else { Direction::Forward };
        if direction.is_some_and(|known| known != needed) {
            return None;
        }
        direction = Some(needed);
    }
    direction.or(Some(Direction::Forward))
}

/// Whether keys of the type are in the order in which a query sorts its values.
fn orders_as_sorts(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Array(_)
            | DataType::Json
            | DataType::Jsonb
            | DataType::Interval
            | DataType::Char(_)
            | DataType::InternalChar
    )
}

/// All ways to the rows that may pass a query's filters.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    all: Vec<Way>,
    /// The cheapest for all of the rows.
    best: usize,
    /// How many rows are expected to pass the filters.
    passing: f64,
}

impl Ways {
    /// The cheapest for all of the rows.
    pub(crate) fn best(&self) -> &Way {
        &self.all[self.best]
    }

    /// How many rows are expected to pass the filters.
    pub(crate) fn passing(&self) -> f64 {
        self.passing
    }

    /// The cheapest that gives rows in that order, where it beats sorting those of the best way; its
    /// direction, and how many rows are read of it. With `first`, that many passing rows are enough.
    pub(crate) fn ordered(
        &self,
        table: &OpenTable,
        wanted: &[Wanted],
        first: Option<usize>,
    ) -> Option<(&Way, Direction, f64)> {
        let best = self.best();
        let sorted = best.cost(best.rows) + best.rows * best.rows.max(2.0).log2() * SORT_COST;
        let candidates = self.all.iter().filter_map(|way| {
            let direction = way.provides(table, wanted)?;
            let read = first.map_or(way.rows, |first| {
                // Rows that pass are taken to be spread evenly.
                (first as f64 * (way.rows / self.passing.max(1.0)).max(1.0)).min(way.rows)
            });
            Some((way, direction, read))
        });
        candidates
            .filter(|(way, _, read)| way.cost(*read) < sorted)
            .min_by(|(one, _, first), (other, _, second)| one.cost(*first).total_cmp(&other.cost(*second)))
    }
}

/// What an index has beside columns, planned as a query's filters are.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlannedIndex {
    /// Its expressions and the types of their values.
    pub(crate) keys: Vec<(Expr, DataType)>,
    /// The conditions that rows in it satisfy, all of them.
    pub(crate) predicate: Vec<Expr>,
}

/// Finds the ways to `columns` of the rows that may pass all `filters`, as about a `share` of the table's `rows` does.
pub(crate) fn choose(
    table: &OpenTable,
    planned: &[(Oid, PlannedIndex)],
    columns: &[ScanColumn],
    filters: &[Expr],
    (rows, share): (u64, f64),
) -> Ways {
    let rows = rows.max(1) as f64;
    let mut said = Vec::new();
    for filter in filters {
        conjuncts(filter, &mut said);
    }
    let mut all = by_one_key(table, planned, columns, &said, rows);
    let ways_for = |conditions: &[Expr]| by_one_key(table, planned, &[ScanColumn::Image], conditions, rows);
    all.extend(combined::ways(&all, &said, rows, ways_for));
    let mut best = 0;
    for (place, way) in all.iter().enumerate() {
        if way.cost(way.rows) < all[best].cost(all[best].rows) {
            best = place;
        }
    }
    // None passes that is not in the ranges of every key.
    let narrowed = all.iter().filter(|way| way.narrowed).map(|way| way.rows);
    let passing = narrowed.fold(rows * share, f64::min).clamp(1.0, rows);
    Ways { all, best, passing }
}

/// The ways by the primary key, which is the first, and by each index to the rows that satisfy all conditions.
fn by_one_key(
    table: &OpenTable,
    planned: &[(Oid, PlannedIndex)],
    columns: &[ScanColumn],
    said: &[Expr],
    rows: f64,
) -> Vec<Way> {
    let (collated, sort_keys) = sort_keys(table);
    let plain = Subjects { table, expressions: &sort_keys, collated: &collated };
    let constraints = plain.constraints(said);
    let parts: Vec<(usize, KeyOrder)> =
        table.key_ordinals().iter().map(|ordinal| (plain.part(*ordinal), KeyOrder::default())).collect();
    let of_column = |subject: &usize| Some(*subject).filter(|subject| *subject < table.columns().len());
    let part = |(subject, order): &(usize, KeyOrder)| KeyPart { ordinal: of_column(subject), order: *order };
    let row_key: Vec<KeyPart> = parts.iter().map(part).collect();
    let mut whole = Way {
        access: Access::all(),
        rows,
        entries: 0.0,
        description: "full scan".into(),
        key: row_key.clone(),
        fixed: 0,
        covers: true,
        narrowed: false,
    };
    if let Some(key) = &table.definition.primary_key
        && let Some(found) = narrow(&plain, (&table.rows, &parts), &constraints, true, rows)
    {
        whole.access = Access::Rows(found.ranges);
        whole.rows = found.rows;
        whole.description = format!("primary key {} ({})", key.name, found.description);
        whole.fixed = found.fixed;
        whole.narrowed = true;
    }
    let mut all = vec![whole];
    let nothing = PlannedIndex::default();
    for (place, index) in table.indexes.iter().enumerate() {
        let definition = &index.definition;
        let planned = planned.iter().find(|(oid, _)| *oid == definition.oid).map(|(_, planned)| planned);
        let planned = match planned {
            Some(planned) => planned,
            None if definition.is_plain() => &nothing,
            None => continue,
        };
        let all_keys: Vec<(Expr, DataType)> = sort_keys.iter().chain(&planned.keys).cloned().collect();
        let subjects = Subjects { table, expressions: &all_keys, collated: &collated };
        let own;
        let constraints = if planned.keys.is_empty() {
            &constraints
        } else {
            own = subjects.constraints(said);
            &own
        };
        if !planned.predicate.iter().all(|condition| implied(condition, said, &subjects, constraints)) {
            continue;
        }
        let mut expressions = table.columns().len() + collated.len()..;
        let parts: Vec<(usize, KeyOrder)> = definition
            .columns
            .iter()
            .map(|part| {
                let order = KeyOrder { descending: part.descending, nulls_first: part.nulls_first };
                let own = usize::from(part.column).checked_sub(1).map(|ordinal| subjects.part(ordinal));
                (own.or_else(|| expressions.next()).unwrap_or_default(), order)
            })
            .collect();
        // A partial index has fewer entries than the table rows.
        let partial = definition.predicate.is_some();
        let entries =
            if partial { (index.entries.stats().approximate_entries.max(1) as f64).min(rows) } else { rows };
        let key = parts.iter().map(part).chain(row_key.iter().copied());
        let mut way = Way {
            access: Access::Index(place, vec![KeyRange::all()]),
            rows: entries,
            entries: 0.0,
            description: String::new(),
            key: key.collect(),
            fixed: 0,
            covers: luma_rows::covers(table, index, columns),
            narrowed: false,
        };
        let only = if way.covers { " only" } else { "" };
        way.description = format!("index{only} {}", definition.name);
        let key = (&index.entries, parts.as_slice());
        if let Some(found) = narrow(&subjects, key, constraints, definition.unique, entries) {
            way.access = Access::Index(place, found.ranges);
            way.rows = found.rows;
            way.fixed = found.fixed;
            way.narrowed = true;
            way.description = format!("{} ({})", way.description, found.description);
        }
        all.push(way);
    }
    all
}
