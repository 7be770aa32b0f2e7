//! Ways to rows by several indexes: `a = 1 OR b = 2` by the rows that either names, `a = 1 AND b = 2` by those that both do.
//!
//! PostgreSQL's bitmaps of pages are lists of row keys here, since rows live in a tree and not in pages; each row is
//! looked up once, in the order of the keys.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use luma_rows::{Access, KeySet};

use crate::plan::access::Way;

/// Most alternatives of a condition that indexes are looked for.
const ALTERNATIVES_MAX: usize = 16;
/// Most conditions beside one another that alternatives are looked for in: each is taken together with all others.
const CONDITIONS_MAX: usize = 64;

/// The keys of the rows that a way gives.
fn keys(way: &Way) -> Option<KeySet> {
    match &way.access {
        Access::Rows(ranges) => Some(KeySet::Rows(ranges.clone())),
        Access::Index(place, ranges) => Some(KeySet::Index(*place, ranges.clone())),
        Access::Keys(_) => None,
    }
}

/// A way by several others.
fn combined(
    word: &str,
    parts: &[&Way],
    set: fn(Vec<KeySet>) -> KeySet,
    rows: f64,
    whole: &Way,
) -> Option<Way> {
    let sets: Option<Vec<KeySet>> = parts.iter().map(|part| keys(part)).collect();
    let described: Vec<&str> = parts.iter().map(|part| part.description.as_str()).collect();
    Some(Way {
        access: Access::Keys(set(sets?)),
        rows,
        entries: parts.iter().map(|part| part.rows).sum(),
        description: format!("{word} of {}", described.join(" and ")),
        narrowed: true,
        fixed: 0,
        covers: false,
        ..whole.clone()
    })
}

/// What an OR is between.
fn alternatives<'f>(condition: &'f Expr, into: &mut Vec<&'f Expr>) {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            alternatives(left, into);
            alternatives(right, into);
        }
        other => into.push(other),
    }
}

/// Further ways, given those by one key; `ways_for` finds those for other conditions. The first of all is the one by the
/// primary key; `conditions` have all to be true.
pub(super) fn ways(
    all: &[Way],
    conditions: &[Expr],
    table_rows: f64,
    ways_for: impl Fn(&[Expr]) -> Vec<Way>,
) -> Vec<Way> {
    let Some(whole) = all.first() else { return Vec::new() };
    let mut found = Vec::new();
    let looked_at = if conditions.len() > CONDITIONS_MAX { &[] } else { conditions };
    for (place, condition) in looked_at.iter().enumerate() {
        let mut parts = Vec::new();
        alternatives(condition, &mut parts);
        if parts.len() < 2 || parts.len() > ALTERNATIVES_MAX {
            continue;
        }
        let others = conditions.iter().enumerate().filter(|(other, _)| *other != place);
        let others: Vec<Expr> = others.map(|(_, other)| other.clone()).collect();
        let narrow = |part: &Expr| {
            let asked: Vec<Expr> = others.iter().chain([part]).cloned().collect();
            let narrowed = ways_for(&asked).into_iter().filter(|way| way.narrowed);
            narrowed.min_by(|one, other| one.rows.total_cmp(&other.rows))
        };
        let each: Option<Vec<Way>> = parts.into_iter().map(narrow).collect();
        if let Some(each) = each {
            let rows = each.iter().map(|way| way.rows).sum::<f64>().min(table_rows);
            found.extend(combined("any", &each.iter().collect::<Vec<_>>(), KeySet::Any, rows, whole));
        }
    }
    let mut narrowed: Vec<&Way> =
        all.iter().filter(|way| way.narrowed && matches!(way.access, Access::Index(..))).collect();
    narrowed.sort_by(|one, other| one.rows.total_cmp(&other.rows));
    if let Some((best, others)) = narrowed.split_first()
        && let Some(next) = others.iter().find(|other| other.begins_with() != best.begins_with())
    {
        let rows = (best.rows * next.rows / table_rows).max(1.0);
        found.extend(combined("both", &[best, next], KeySet::All, rows, whole));
    }
    found
}
