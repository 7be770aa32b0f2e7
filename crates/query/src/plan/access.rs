//! Choosing how to reach a table's rows: by row keys, by an index, or all of them.
//!
//! A filter that compares a column with a constant narrows the keys that start with that column, and one
//! that compares an expression the keys of an index on it. A partial index has all of the rows only if the
//! filters imply its predicate. Of the primary key and the indexes the cheapest by estimated rows wins; an
//! index pays for each row with a look-up of its own, unless its entries have all that is wanted. Where rows are wanted in an order that a key has
//! (`plan/index_order`), walking along it saves the sort, and with a LIMIT most of the rows.

use std::cmp::Ordering;
use std::ops::Bound;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use lightning::{Direction, Keyspace};
use luma_catalog::Oid;
use luma_model::arrow::{CellReader, data_type};
use luma_model::{
    CastKind, DataType, KeyOrder, TextContext, Value, ValueRef, cast, encode_key, prefix_successor,
};
use luma_rows::{Access, Distribution, KeyRange, OpenTable, ScanColumn};

use crate::functions::collation::{Purpose, sort_key};
use crate::plan::combined;
use crate::plan::prefix::prefix;

/// What a row reached through an index costs, in rows of a plain scan.
const INDEX_ROW_COST: f64 = 4.0;
/// The same where the index alone gives it.
const ENTRY_COST: f64 = 1.1;
/// What sorting a row costs for each doubling of the rows, in rows of a plain scan.
const SORT_COST: f64 = 0.05;
/// Longest IN list that becomes ranges.
const LIST_MAX: usize = 1000;
/// Assumed share of rows that an equality keeps without statistics.
const EQUAL_FRACTION: f64 = 0.005;
/// Assumed share of rows that an inequality keeps.
const RANGE_FRACTION: f64 = 0.33;
/// So few entries of a range are not told from one block's.
const COUNTED_MIN: f64 = 1000.0;
/// The same of entries with one value, which are often fewer than a block has.
const COUNTED_EQUAL_MIN: f64 = 10_000.0;
/// The most values whose entries are counted.
const COUNTED_PREFIXES_MAX: f64 = 8.0;
/// The share of rows in a range of which the engine finds nothing.
const SMALL_RANGE: f64 = 0.005;

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

/// What filters speak of: the table's columns by ordinal, after them the sort keys of those that have some, and then
/// the expressions of an index.
struct Subjects<'a> {
    table: &'a OpenTable,
    expressions: &'a [(Expr, DataType)],
    /// Ordinals of the columns whose sort keys the first expressions are.
    collated: &'a [usize],
}

/// The columns that keys have the sort keys of, and these as filters have them.
fn sort_keys(table: &OpenTable) -> (Vec<usize>, Vec<(Expr, DataType)>) {
    let columns = table.columns().iter().enumerate();
    columns
        .filter(|(ordinal, _)| table.collator(*ordinal).is_some())
        .filter_map(|(ordinal, column)| {
            let name = Expr::Column(Column::new_unqualified(&column.name));
            let key = sort_key(name, &column.collation.as_ref()?.collation, Purpose::Compared).ok()?;
            Some((ordinal, (key, DataType::Bytea)))
        })
        .unzip()
}

impl Subjects<'_> {
    /// How many there are.
    fn count(&self) -> usize {
        self.table.columns().len() + self.expressions.len()
    }

    fn find(&self, expr: &Expr) -> Option<usize> {
        if let Expr::Column(column) = expr {
            return ordinal(self.table, &column.name);
        }
        if self.expressions.is_empty() {
            return None;
        }
        let plain = unqualified(expr.clone());
        let place = self.expressions.iter().position(|(known, _)| *known == plain)?;
        Some(self.table.columns().len() + place)
    }

    /// What keys have of the column at that ordinal.
    fn part(&self, ordinal: usize) -> usize {
        let collated = self.collated.iter().position(|known| *known == ordinal);
        collated.map_or(ordinal, |place| self.table.columns().len() + place)
    }

    /// The column that the subject is, or is the sort key of.
    fn column(&self, subject: usize) -> Option<&luma_catalog::Column> {
        let columns = self.table.columns();
        let ordinal = match subject.checked_sub(columns.len()) {
            Some(place) => *self.collated.get(place)?,
            None => subject,
        };
        columns.get(ordinal)
    }

    fn data_type(&self, subject: usize) -> &DataType {
        match subject.checked_sub(self.table.columns().len()) {
            None => self.table.data_type(subject),
            Some(place) => &self.expressions[place].1,
        }
    }

    /// How the values of the column that the subject is are spread, if ANALYZE looked at them.
    fn distribution(&self, subject: usize) -> Option<&Distribution> {
        let number = self.column(subject)?.number;
        self.table.distribution(usize::from(number).checked_sub(1)?)
    }

    /// A value of a subject as a part of a key in ascending order.
    fn key(&self, subject: usize, value: &Value) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        if subject < self.table.columns().len() {
            self.table.encode_part(subject, value.as_ref(), KeyOrder::default(), &mut key).ok()?;
        } else {
            encode_key(value.as_ref(), self.data_type(subject), KeyOrder::default(), &mut key).ok()?;
        }
        Some(key)
    }

    fn name(&self, subject: usize) -> &str {
        self.column(subject).map_or("expression", |column| column.name.as_str())
    }

    /// What the filters say of each.
    fn constraints<'f>(&self, filters: impl IntoIterator<Item = &'f Expr>) -> Vec<Constraint> {
        let mut constraints: Vec<Constraint> = Vec::new();
        constraints.resize_with(self.count(), Constraint::default);
        for filter in filters {
            collect(self, filter, &mut constraints);
        }
        for ordinal in self.collated {
            self.keys_of_equal_text(*ordinal, &mut constraints);
        }
        constraints
    }

    /// Text that is equal to a constant byte by byte has its sort key, too.
    fn keys_of_equal_text(&self, ordinal: usize, constraints: &mut [Constraint]) {
        let Some(collator) = self.table.collator(ordinal).filter(|known| known.is_deterministic()) else {
            return;
        };
        let (Some(texts), None) = (&constraints[ordinal].equal, &constraints[self.part(ordinal)].equal)
        else {
            return;
        };
        let key = |text: &Value| match text {
            Value::Text(text) => {
                let mut key = Vec::new();
                collator.key(text, &mut key);
                Some(Value::Bytea(key))
            }
            _ => None,
        };
        let keys: Option<Vec<Value>> = texts.iter().map(key).collect();
        constraints[self.part(ordinal)].equal = keys;
    }
}

/// The expression with its columns' names alone.
pub(crate) fn unqualified(expr: Expr) -> Expr {
    let renamed = expr.clone().transform(|part| match part {
        Expr::Column(column) if column.relation.is_some() => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    });
    renamed.map_or(expr, |renamed| renamed.data)
}

/// The conditions that a filter asks for together.
pub(crate) fn conjuncts(filter: &Expr, into: &mut Vec<Expr>) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            conjuncts(left, into);
            conjuncts(right, into);
        }
        other => into.push(unqualified(other.clone())),
    }
}

/// What the filters say of one column.
#[derive(Default)]
pub(crate) struct Constraint {
    /// Values it may have.
    pub(crate) equal: Option<Vec<Value>>,
    /// The least value and whether it is one of them.
    pub(crate) lower: Option<(Value, bool)>,
    /// The largest one.
    pub(crate) upper: Option<(Value, bool)>,
}

impl Constraint {
    fn says_nothing(&self) -> bool {
        self.equal.is_none() && self.lower.is_none() && self.upper.is_none()
    }

    /// Whether a value that satisfies `self` satisfies `other` too.
    fn implies(&self, other: &Constraint, data_type: &DataType) -> bool {
        let key = |value: &Value| {
            let mut key = Vec::new();
            encode_key(value.as_ref(), data_type, KeyOrder::default(), &mut key).ok().map(|()| key)
        };
        let compare = |one: &Value, other: &Value| Some(key(one)?.cmp(&key(other)?));
        let above = |value: &Value, included: bool, lower: &(Value, bool)| match compare(value, &lower.0) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => lower.1 || !included,
            _ => false,
        };
        let below = |value: &Value, included: bool, upper: &(Value, bool)| match compare(value, &upper.0) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => upper.1 || !included,
            _ => false,
        };
        if let Some(values) = &self.equal {
            return values.iter().all(|value| {
                other.equal.as_ref().is_none_or(|allowed| {
                    allowed.iter().any(|allowed| compare(value, allowed) == Some(Ordering::Equal))
                }) && other.lower.as_ref().is_none_or(|lower| above(value, true, lower))
                    && other.upper.as_ref().is_none_or(|upper| below(value, true, upper))
            });
        }
        let lower = |lower: &(Value, bool)| {
            self.lower.as_ref().is_some_and(|(value, included)| above(value, *included, lower))
        };
        let upper = |upper: &(Value, bool)| {
            self.upper.as_ref().is_some_and(|(value, included)| below(value, *included, upper))
        };
        other.equal.is_none()
            && other.lower.as_ref().is_none_or(lower)
            && other.upper.as_ref().is_none_or(upper)
    }
}

/// Whether rows that pass the filters satisfy one condition of an index's predicate.
fn implied(condition: &Expr, filters: &[Expr], subjects: &Subjects<'_>, said: &[Constraint]) -> bool {
    if filters.contains(condition) {
        return true;
    }
    if let Expr::IsNotNull(inner) = condition {
        // A comparison is not true of NULL.
        return subjects.find(inner).is_some_and(|subject| !said[subject].says_nothing());
    }
    let mut asked: Vec<Constraint> = Vec::new();
    asked.resize_with(said.len(), Constraint::default);
    collect(subjects, condition, &mut asked)
        && asked.iter().enumerate().all(|(subject, asked)| {
            asked.says_nothing() || said[subject].implies(asked, subjects.data_type(subject))
        })
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

/// The share of rows that have one of these values.
fn equal_fraction(subjects: &Subjects<'_>, subject: usize, values: &[Value]) -> f64 {
    let known = subjects.distribution(subject);
    let each = |value: &Value| match known.zip(subjects.key(subject, value)) {
        Some((known, key)) => known.equal(&key),
        None => EQUAL_FRACTION,
    };
    values.iter().map(each).sum::<f64>().min(1.0)
}

/// The share of rows with a value in a range, if ANALYZE looked at them.
fn range_fraction(subjects: &Subjects<'_>, subject: usize, constraint: &Constraint) -> Option<f64> {
    let known = subjects.distribution(subject)?;
    let below = |(value, equal): &(Value, bool)| {
        let key = subjects.key(subject, value)?;
        Some(known.below(&key)? + if *equal { known.equal(&key) } else { 0.0 })
    };
    let low = match &constraint.lower {
        // What is equal to a bound that is in the range is not below it.
        Some((value, included)) => below(&(value.clone(), !included))?,
        None => 0.0,
    };
    let high = match &constraint.upper {
        Some(upper) => below(upper)?,
        None => 1.0 - known.nulls(),
    };
    Some((high - low).clamp(0.0, 1.0))
}

struct Narrowed {
    ranges: Vec<KeyRange>,
    /// Leading parts with one value each.
    fixed: usize,
    rows: f64,
    description: String,
}

/// The ranges of a key whose entries are in a keyspace and whose parts are these columns; `None` when the first is
/// unconstrained.
fn narrow(
    subjects: &Subjects<'_>,
    (keys, parts): (&Keyspace, &[(usize, KeyOrder)]),
    constraints: &[Constraint],
    unique: bool,
    rows: f64,
) -> Option<Narrowed> {
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut used = Vec::new();
    let mut fraction = 1.0f64;
    let mut exact = 0;
    let mut ranges: Option<Vec<KeyRange>> = None;
    let mut fixed = 0;
    let mut unknown = false;
    for (subject, order) in parts {
        let constraint = &constraints[*subject];
        let data_type = subjects.data_type(*subject);
        let name = subjects.name(*subject);
        if let Some(values) = &constraint.equal
            && values.len().saturating_mul(prefixes.len()) <= LIST_MAX
        {
            let mut longer = Vec::with_capacity(values.len() * prefixes.len());
            for prefix in &prefixes {
                for value in values {
                    let mut key = prefix.clone();
                    encode_key(value.as_ref(), data_type, *order, &mut key).ok()?;
                    longer.push(key);
                }
            }
            longer.sort_unstable();
            longer.dedup();
            prefixes = longer;
            exact += 1;
            fraction *= equal_fraction(subjects, *subject, values);
            unknown |= subjects.distribution(*subject).is_none();
            if values.len() == 1 && fixed + 1 == exact {
                fixed += 1;
            }
            used.push(if values.len() == 1 {
                format!("{name} = constant")
            } else {
                format!("{name} in {} values", values.len())
            });
            continue;
        }
        if constraint.lower.is_none() && constraint.upper.is_none() {
            break;
        }
        ranges = Some(
            prefixes
                .iter()
                .map(|prefix| bounded(prefix, data_type, *order, constraint))
                .collect::<Option<Vec<_>>>()?,
        );
        fraction *= range_fraction(subjects, *subject, constraint).unwrap_or_else(|| {
            let sides = usize::from(constraint.lower.is_some()) + usize::from(constraint.upper.is_some());
            RANGE_FRACTION.powi(sides as i32)
        });
        used.push(format!("{name} range"));
        break;
    }
    if used.is_empty() {
        return None;
    }
    let count = prefixes.len() as f64;
    let is_range = ranges.is_some();
    let ranges = ranges.unwrap_or_else(|| prefixes.into_iter().map(KeyRange::prefix).collect());
    let mut expected = (rows * fraction).max(count);
    // The engine counts what a range has now, in whole blocks: of a small one it knows no more than that it is small.
    let counted = || {
        let entries = |range: &KeyRange| keys.approximate_range(range.start(), range.end()).entries as f64;
        ranges.iter().map(entries).sum::<f64>()
    };
    if unique && exact == parts.len() {
        expected = count;
    } else if is_range && count == 1.0 {
        let counted = counted();
        expected =
            if counted > COUNTED_MIN { counted } else { expected.min(counted.max(rows * SMALL_RANGE)) };
    } else if unknown && count <= COUNTED_PREFIXES_MAX {
        expected = Some(counted()).filter(|counted| *counted > COUNTED_EQUAL_MIN).unwrap_or(expected);
    }
    Some(Narrowed { ranges, fixed, rows: expected.min(rows), description: used.join(", ") })
}

/// The keys after `prefix` whose next part lies within the constraint. NULL lies in no range.
pub(crate) fn bounded(
    prefix: &[u8],
    data_type: &DataType,
    order: KeyOrder,
    constraint: &Constraint,
) -> Option<KeyRange> {
    let encoded = |value: &Value| {
        let mut key = prefix.to_vec();
        encode_key(value.as_ref(), data_type, order, &mut key).ok()?;
        Some(key)
    };
    let (low, high) = if order.descending {
        (&constraint.upper, &constraint.lower)
    } else {
        (&constraint.lower, &constraint.upper)
    };
    let mut null = prefix.to_vec();
    encode_key(ValueRef::Null, data_type, order, &mut null).ok()?;
    let start = match low {
        Some((value, true)) => Bound::Included(encoded(value)?),
        Some((value, false)) => prefix_successor(&encoded(value)?).map_or(Bound::Unbounded, Bound::Included),
        None if order.nulls_first => prefix_successor(&null).map_or(Bound::Unbounded, Bound::Included),
        None => Bound::Included(prefix.to_vec()),
    };
    let end = match high {
        Some((value, true)) => prefix_successor(&encoded(value)?).map_or(Bound::Unbounded, Bound::Excluded),
        Some((value, false)) => Bound::Excluded(encoded(value)?),
        None if order.nulls_first => prefix_successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        None => Bound::Excluded(null),
    };
    Some(KeyRange { start, end })
}

/// Takes what a filter says of single subjects, and says whether that is all of it; the rest is left to the
/// filter itself.
fn collect(subjects: &Subjects<'_>, filter: &Expr, constraints: &mut [Constraint]) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let left = collect(subjects, left, constraints);
            collect(subjects, right, constraints) && left
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            let Some((subject, values)) = alternatives(subjects, filter) else { return false };
            constraints[subject].equal = Some(values);
            true
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (side, literal, op) = match (left.as_ref(), right.as_ref()) {
                (side, Expr::Literal(literal, _)) => (side, literal, *op),
                (Expr::Literal(literal, _), side) => match op.swap() {
                    Some(op) => (side, literal, op),
                    None => return false,
                },
                _ => return false,
            };
            let Some(subject) = subjects.find(side) else { return false };
            let Some(value) = key_value(literal, subjects.data_type(subject)) else { return false };
            let constraint = &mut constraints[subject];
            match op {
                Operator::Eq => constraint.equal = Some(vec![value]),
                Operator::Gt => constraint.lower = Some((value, false)),
                Operator::GtEq => constraint.lower = Some((value, true)),
                Operator::Lt => constraint.upper = Some((value, false)),
                Operator::LtEq => constraint.upper = Some((value, true)),
                _ => return false,
            }
            true
        }
        Expr::Column(_) => is_bool(subjects, filter, true, constraints),
        Expr::Not(inner) => is_bool(subjects, inner, false, constraints),
        Expr::Between(between) if !between.negated => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) =
                (between.low.as_ref(), between.high.as_ref())
            else {
                return false;
            };
            let Some(subject) = subjects.find(&between.expr) else { return false };
            let data_type = subjects.data_type(subject);
            let (Some(low), Some(high)) = (key_value(low, data_type), key_value(high, data_type)) else {
                return false;
            };
            constraints[subject].lower = Some((low, true));
            constraints[subject].upper = Some((high, true));
            true
        }
        Expr::Like(like) => begins_with(subjects, like, constraints).unwrap_or(false),
        Expr::InList(list) if !list.negated && list.list.len() <= LIST_MAX => {
            let Some(subject) = subjects.find(&list.expr) else { return false };
            let values: Option<Vec<Value>> = list
                .list
                .iter()
                .map(|item| match item {
                    Expr::Literal(literal, _) => key_value(literal, subjects.data_type(subject)),
                    _ => None,
                })
                .collect();
            let found = values.is_some();
            if found {
                constraints[subject].equal = values;
            }
            found
        }
        _ => false,
    }
}

/// Takes what a pattern says of the beginning of a text, and says whether that is all of it.
fn begins_with(subjects: &Subjects<'_>, like: &Like, constraints: &mut [Constraint]) -> Option<bool> {
    let subject = subjects.find(&like.expr)?;
    if !matches!(subjects.data_type(subject), DataType::Text | DataType::Varchar(_) | DataType::Name) {
        return None;
    }
    let prefix = prefix(like)?;
    constraints[subject].lower = Some((Value::Text(prefix.text), true));
    constraints[subject].upper = prefix.end.map(|end| (Value::Text(end), false));
    Some(prefix.is_all)
}

/// Takes that a subject that is true or false has this value; `b = true` arrives as `b`.
fn is_bool(subjects: &Subjects<'_>, expr: &Expr, value: bool, constraints: &mut [Constraint]) -> bool {
    let found = subjects.find(expr).filter(|subject| *subjects.data_type(*subject) == DataType::Bool);
    let Some(subject) = found else { return false };
    constraints[subject].equal = Some(vec![Value::Bool(value)]);
    true
}

/// The one subject that a filter of equalities, one of which has to be true, speaks of, and the values. Short IN lists
/// arrive as such.
fn alternatives(subjects: &Subjects<'_>, filter: &Expr) -> Option<(usize, Vec<Value>)> {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = filter {
        let (subject, mut values) = alternatives(subjects, left)?;
        let (other, more) = alternatives(subjects, right)?;
        values.extend(more);
        return (subject == other && values.len() <= LIST_MAX).then_some((subject, values));
    }
    if !matches!(filter, Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) | Expr::InList(_)) {
        return None;
    }
    let mut said: Vec<Constraint> = Vec::new();
    said.resize_with(subjects.count(), Constraint::default);
    if !collect(subjects, filter, &mut said) {
        return None;
    }
    let mut said = said.into_iter().enumerate();
    said.find_map(|(subject, constraint)| Some((subject, constraint.equal?)))
}

fn ordinal(table: &OpenTable, name: &str) -> Option<usize> {
    table.definition.column(name).map(|column| usize::from(column.number) - 1)
}

/// A constant as a key of that type; `None` when it has no exact counterpart, or when keys of the
/// type do not order as the comparison does.
pub(super) fn key_value(literal: &ScalarValue, wanted: &DataType) -> Option<Value> {
    if literal.is_null() || matches!(wanted, DataType::Json | DataType::Jsonb | DataType::Char(_)) {
        return None;
    }
    let array = literal.to_array().ok()?;
    let field = datafusion::arrow::datatypes::Field::new("literal", literal.data_type(), true);
    let given = data_type(&field).ok()?;
    let reader = CellReader::new(array.as_ref(), &given).ok()?;
    let value = reader.get(0).ok()?;
    if let (DataType::Enum(_), ValueRef::Int8(place)) = (wanted, value) {
        // Labels are their places by now.
        return Some(Value::Int8(place));
    }
    let context = TextContext::default();
    let converted = cast(value, &given, wanted, CastKind::Explicit, &context).ok()?;
    // Only an exact conversion keeps the comparison's meaning: 1.5 is no key of an integer column.
    let back = cast(converted.as_ref(), wanted, &given, CastKind::Explicit, &context).ok()?;
    (back.as_ref() == value).then_some(converted)
}
