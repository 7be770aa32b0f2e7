//! Operations on two sides.

use std::collections::HashMap;

use luma_promql::{Grid, Labels, METRIC_NAME, Result};

use super::{Context, Row, failed, is_scalar};
use crate::ast::{Binary, Join, Op};

/// Rows by the labels that both sides are matched by, in the order in which these came.
struct Groups {
    keys: Vec<Labels>,
    rows: HashMap<Labels, Vec<Row>>,
}

impl Groups {
    fn new(binary: &Binary, rows: Vec<Row>) -> Self {
        let mut groups = Self { keys: Vec::new(), rows: HashMap::new() };
        for row in rows {
            let (on, names) = binary.matching.as_ref().map_or((false, &[][..]), |(on, names)| (*on, names));
            let key = row.labels.matching(on, names);
            if !groups.rows.contains_key(&key) {
                groups.keys.push(key.clone());
            }
            groups.rows.entry(key).or_default().push(row);
        }
        groups
    }

    fn take(&mut self, key: &Labels) -> Option<Vec<Row>> {
        self.rows.remove(key)
    }

    fn get(&self, key: &Labels) -> Option<&[Row]> {
        self.rows.get(key).map(Vec::as_slice)
    }

    /// The rows of a key, or a number that stands for all.
    fn get_or_scalar(&self, key: &Labels) -> Option<&[Row]> {
        let only = || match self.keys.as_slice() {
            [only] => self.get(only).filter(|rows| is_scalar(rows)),
            _ => None,
        };
        self.get(key).or_else(only)
    }
}

impl Context<'_> {
    pub(super) fn binary(&self, grid: Grid, binary: &Binary) -> Result<Vec<Row>> {
        let left = self.eval(grid, &binary.left)?;
        let right = self.eval(grid, &binary.right)?;
        match binary.op {
            Op::And | Op::Or | Op::Unless | Op::Default | Op::If | Op::IfNot => {
                Ok(chosen(binary, left, right))
            }
            _ => computed(binary, left, right),
        }
    }
}

fn any_at(rows: &[Row], at: usize) -> Option<f64> {
    rows.iter().filter_map(|row| row.values.get(at)).copied().find(|value| !value.is_nan())
}

/// Makes gaps where the other side has (or has not) values.
fn gaps(left: &mut [Row], right: &[Row], where_there: bool) {
    for row in left {
        for (at, value) in row.values.iter_mut().enumerate() {
            if any_at(right, at).is_some() == where_there {
                *value = f64::NAN;
            }
        }
    }
}

fn fill(left: &mut [Row], right: &[Row]) {
    for row in left {
        for (at, value) in row.values.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
            *value = any_at(right, at).unwrap_or(f64::NAN);
        }
    }
}

/// Operations that take values of the sides as they are.
fn chosen(binary: &Binary, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let (mut left, right) = (Groups::new(binary, left), Groups::new(binary, right));
    let mut rows = Vec::new();
    let keys = left.keys.clone();
    if binary.op == Op::Default && keys.is_empty() {
        return right.keys.iter().filter_map(|key| right.get(key)).flatten().cloned().collect();
    }
    for key in &keys {
        let mut own = left.take(key).unwrap_or_default();
        let other = match binary.op {
            Op::And | Op::Or | Op::Unless => right.get(key),
            _ => right.get_or_scalar(key),
        };
        match (binary.op, other) {
            (Op::And | Op::If, Some(other)) => {
                gaps(&mut own, other, false);
                own.retain(|row| !row.is_empty());
            }
            (Op::And | Op::If, None) => own.clear(),
            (Op::Unless | Op::IfNot, Some(other)) => {
                gaps(&mut own, other, true);
                own.retain(|row| !row.is_empty());
            }
            (Op::Default | Op::Or, Some(other)) => fill(&mut own, other),
            _ => {}
        }
        rows.append(&mut own);
    }
    if binary.op == Op::Or {
        let others = right.keys.iter().filter(|key| !keys.contains(key));
        rows.extend(others.filter_map(|key| right.get(key)).flatten().cloned());
    }
    rows
}

/// Operations that compute.
fn computed(binary: &Binary, mut left: Vec<Row>, mut right: Vec<Row>) -> Result<Vec<Row>> {
    if binary.matching.is_none() && binary.join == Join::One {
        if let (true, [scalar]) = (is_scalar(&left), left.as_slice()) {
            for row in &mut right {
                named(binary, row);
                row.values = combined(binary, &scalar.values, &row.values);
            }
            return Ok(right);
        }
        if let (true, [scalar]) = (is_scalar(&right), right.as_slice()) {
            for row in &mut left {
                named(binary, row);
                row.values = combined(binary, &row.values, &scalar.values);
            }
            return Ok(left);
        }
    }
    let (mut left, mut right) = (Groups::new(binary, left), Groups::new(binary, right));
    let mut rows = Vec::new();
    for key in left.keys.clone() {
        let (Some(of_left), Some(of_right)) = (left.take(&key), right.take(&key)) else { continue };
        match binary.join {
            Join::One => {
                let mut row = single("left", of_left)?;
                let other = single("right", of_right)?;
                named(binary, &mut row);
                row.labels = match &binary.matching {
                    Some((true, names)) => row.labels.matching(true, names),
                    Some((false, names)) => row.labels.filtered(|name| !names.iter().any(|own| own == name)),
                    None => row.labels,
                };
                row.values = combined(binary, &row.values, &other.values);
                rows.push(row);
            }
            Join::Left => {
                for (row, other) in joined(binary, of_left, of_right)? {
                    let values = combined(binary, &row.values, &other);
                    rows.push(Row { values, ..row });
                }
            }
            Join::Right => {
                for (row, other) in joined(binary, of_right, of_left)? {
                    let values = combined(binary, &other, &row.values);
                    rows.push(Row { values, ..row });
                }
            }
        }
    }
    Ok(rows)
}

/// The one row of a side; several are one if they have no step in common.
fn single(side: &str, rows: Vec<Row>) -> Result<Row> {
    let mut rows = rows.into_iter();
    let mut first = rows.next().unwrap_or_default();
    for other in rows {
        let apart = first.values.iter().zip(&other.values).all(|(a, b)| a.is_nan() || b.is_nan());
        if !apart {
            return failed(format!(
                "duplicate time series on the {side} side of the operation: {} and {}",
                first.labels, other.labels
            ));
        }
        fill(std::slice::from_mut(&mut first), &[other]);
    }
    Ok(first)
}

/// Each row of the side of many with the values of that of the other side.
fn joined(binary: &Binary, many: Vec<Row>, one: Vec<Row>) -> Result<Vec<(Row, Vec<f64>)>> {
    let mut pairs: Vec<(Row, Vec<f64>)> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for mut row in many {
        named(binary, &mut row);
        for other in &one {
            let mut labels = row.labels.clone();
            for name in &binary.include {
                labels = labels.with(name, other.labels.get(name));
            }
            let Some(at) = places.get(&labels) else {
                places.insert(labels.clone(), pairs.len());
                pairs.push((Row { labels, values: row.values.clone() }, other.values.clone()));
                continue;
            };
            let Some((_, values)) = pairs.get_mut(*at) else { continue };
            let apart = values.iter().zip(&other.values).all(|(a, b)| a.is_nan() || b.is_nan());
            if !apart {
                return failed(format!("duplicate time series for the group {labels}"));
            }
            for (value, other) in values.iter_mut().zip(&other.values).filter(|(value, _)| value.is_nan()) {
                *value = *other;
            }
        }
    }
    Ok(pairs)
}

/// Takes the name off a row if the result is no more what it names.
fn named(binary: &Binary, row: &mut Row) {
    let keeps = (binary.op.is_comparison() && !binary.as_bool) || binary.keep_names;
    if !keeps {
        row.labels = row.labels.filtered(|name| name != METRIC_NAME);
    }
}

fn combined(binary: &Binary, left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| value(binary, *left, *right)).collect()
}

fn value(binary: &Binary, left: f64, right: f64) -> f64 {
    let compared = match binary.op {
        Op::Add => return left + right,
        Op::Sub => return left - right,
        Op::Mul => return left * right,
        Op::Div => return left / right,
        Op::Mod => return left % right,
        Op::Pow => return left.powf(right),
        Op::Atan2 => return left.atan2(right),
        Op::Eq if left.is_nan() => right.is_nan(),
        Op::Eq => left == right,
        Op::Ne if left.is_nan() => !right.is_nan(),
        Op::Ne => right.is_nan() || left != right,
        Op::Gt => left > right,
        Op::Lt => left < right,
        Op::Ge => left >= right,
        Op::Le => left <= right,
        Op::And | Op::Or | Op::Unless | Op::Default | Op::If | Op::IfNot => return left,
    };
    match (binary.as_bool, compared) {
        (true, _) if left.is_nan() => f64::NAN,
        (true, compared) => f64::from(u8::from(compared)),
        (false, true) => left,
        (false, false) => f64::NAN,
    }
}
