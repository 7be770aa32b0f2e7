//! Functions of labels.

use luma_promql::{Grid, METRIC_NAME, Result};
use regex::Regex;

use super::{Context, Row, failed, texts};
use crate::ast::Call;

pub(super) const NAMES: [&str; 18] = [
    "alias",
    "drop_common_labels",
    "label_copy",
    "label_del",
    "label_graphite_group",
    "label_join",
    "label_keep",
    "label_lowercase",
    "label_map",
    "label_match",
    "label_mismatch",
    "label_move",
    "label_replace",
    "label_set",
    "label_transform",
    "label_uppercase",
    "label_value",
    "sort_by_label",
];

impl Context<'_> {
    /// A call of one of them; `None` if it is another.
    pub(super) fn label_call(&self, grid: Grid, call: &Call) -> Result<Option<Vec<Row>>> {
        let name = call.name.as_str();
        if !NAMES.contains(&name) && name != "sort_by_label_desc" {
            return Ok(None);
        }
        let Some(first) = call.args.first() else { return failed(format!("{name} needs an argument")) };
        let mut rows = self.eval(grid, first)?;
        if name == "drop_common_labels" {
            for other in call.args.iter().skip(1) {
                rows.append(&mut self.eval(grid, other)?);
            }
            without_common(&mut rows);
            return Ok(Some(rows));
        }
        if name == "label_graphite_group" {
            let mut groups = Vec::new();
            for arg in call.args.iter().skip(1) {
                groups.push(self.scalar(grid, arg)?.first().copied().unwrap_or(f64::NAN));
            }
            for row in &mut rows {
                graphite_groups(row, &groups);
            }
            return Ok(Some(rows));
        }
        let args = texts(&call.args, 1, name)?;
        if name.starts_with("sort_by_label") {
            rows.sort_by(|a, b| {
                let by = |name: &&str| a.labels.get(name).cmp(b.labels.get(name));
                let order =
                    args.iter().map(by).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal);
                if name.ends_with("_desc") { order.reverse() } else { order }
            });
            return Ok(Some(rows));
        }
        if let "label_match" | "label_mismatch" = name {
            let [label, pattern] = args[..] else { return failed(format!("{name} needs 3 arguments")) };
            let pattern = anchored(pattern)?;
            rows.retain(|row| pattern.is_match(row.labels.get(label)) == (name == "label_match"));
            return Ok(Some(rows));
        }
        let change = change(name, &args)?;
        rows.iter_mut().for_each(change);
        Ok(Some(rows))
    }
}

fn anchored(pattern: &str) -> Result<Regex> {
    luma_promql::anchored(pattern).or_else(|what| failed(format!("invalid regular expression: {what}")))
}

type Change<'a> = Box<dyn Fn(&mut Row) + 'a>;

/// What a function does to each row.
fn change<'a>(name: &'a str, args: &'a [&'a str]) -> Result<Change<'a>> {
    let wrong = || failed(format!("{name} has a wrong number of arguments"));
    Ok(match (name, args) {
        ("alias", [alias]) => Box::new(|row| set(row, METRIC_NAME, alias)),
        ("label_set", _) if args.len().is_multiple_of(2) => Box::new(|row| {
            args.chunks_exact(2).for_each(|pair| set(row, pair[0], pair[1]));
        }),
        ("label_del", _) => Box::new(|row| row.labels = row.labels.filtered(|own| !args.contains(&own))),
        ("label_keep", _) => Box::new(|row| row.labels = row.labels.filtered(|own| args.contains(&own))),
        ("label_copy" | "label_move", _) if args.len().is_multiple_of(2) => Box::new(move |row| {
            for pair in args.chunks_exact(2) {
                let value = row.labels.get(pair[0]).to_owned();
                if value.is_empty() {
                    continue;
                }
                set(row, pair[1], &value);
                if name == "label_move" && pair[0] != pair[1] {
                    set(row, pair[0], "");
                }
            }
        }),
        ("label_uppercase", _) => Box::new(|row| each_value(row, args, str::to_uppercase)),
        ("label_lowercase", _) => Box::new(|row| each_value(row, args, str::to_lowercase)),
        ("label_map", [label, pairs @ ..]) if pairs.len().is_multiple_of(2) => Box::new(move |row| {
            let value = row.labels.get(label).to_owned();
            if let Some(pair) = pairs.chunks_exact(2).find(|pair| pair[0] == value) {
                set(row, label, pair[1]);
            }
        }),
        ("label_transform", [label, pattern, replacement]) => {
            let pattern = Regex::new(pattern)
                .or_else(|error| failed(format!("invalid regular expression: {error}")))?;
            Box::new(move |row| {
                let value = pattern.replace_all(row.labels.get(label), *replacement).into_owned();
                set(row, label, &value);
            })
        }
        ("label_replace", [target, replacement, source, pattern]) => {
            let pattern = anchored(pattern)?;
            Box::new(move |row| {
                let value = row.labels.get(source).to_owned();
                if let Some(found) = pattern.captures(&value) {
                    let mut replaced = String::new();
                    found.expand(replacement, &mut replaced);
                    set(row, target, &replaced);
                }
            })
        }
        ("label_join", [target, separator, sources @ ..]) => Box::new(move |row| {
            let values: Vec<&str> = sources.iter().map(|source| row.labels.get(source)).collect();
            let joined = values.join(separator);
            set(row, target, &joined);
        }),
        ("label_value", [label]) => Box::new(move |row| {
            let number: f64 = row.labels.get(label).parse().unwrap_or(f64::NAN);
            row.unnamed();
            row.values.iter_mut().filter(|value| !value.is_nan()).for_each(|value| *value = number);
        }),
        _ => return wrong(),
    })
}

fn set(row: &mut Row, name: &str, value: &str) {
    row.labels = row.labels.with(name, value);
}

fn each_value(row: &mut Row, names: &[&str], f: impl Fn(&str) -> String) {
    for name in names {
        let value = f(row.labels.get(name));
        set(row, name, &value);
    }
}

/// Takes labels away that all rows have with one value.
fn without_common(rows: &mut [Row]) {
    let Some(first) = rows.first().map(|row| row.labels.clone()) else { return };
    let common: Vec<&str> = first
        .iter()
        .filter(|(name, value)| rows.iter().all(|row| row.labels.get(name) == *value))
        .map(|(name, _)| name)
        .collect();
    for row in rows.iter_mut() {
        row.labels = row.labels.filtered(|name| !common.contains(&name));
    }
}

/// Leaves parts of a name with dots.
fn graphite_groups(row: &mut Row, groups: &[f64]) {
    let name = row.labels.get(METRIC_NAME).to_owned();
    let parts: Vec<&str> = name.split('.').collect();
    let of = |group: &f64| if *group < 0.0 { "" } else { parts.get(*group as usize).copied().unwrap_or("") };
    let chosen: Vec<&str> = groups.iter().map(of).collect();
    set(row, METRIC_NAME, &chosen.join("."));
}
