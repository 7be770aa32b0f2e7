//! The table of a run: each row a workload, each column an engine, Lightning against the best peer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::driver::results_directory;
use crate::engine::{NAMES, Result};
use crate::losses::{LOSS, reason};
use crate::measure::Figure;
use crate::plot;

/// A workload's medians by engine.
pub struct Row {
    pub workload: String,
    pub unit: String,
    pub higher_is_better: bool,
    pub medians: BTreeMap<String, f64>,
    pub ranges: BTreeMap<String, (f64, f64)>,
}

impl Row {
    /// How much better one engine is than another: 2 is twice as good, whichever way is better.
    fn ratio(&self, ours: f64, theirs: f64) -> f64 {
        if self.higher_is_better { ours / theirs } else { theirs / ours }
    }

    fn best(&self, wanted: impl Fn(&str) -> bool) -> Option<(&str, f64)> {
        let candidates = self.medians.iter().filter(|(engine, _)| wanted(engine));
        let best = candidates.max_by(|left, right| self.ratio(*left.1, *right.1).total_cmp(&1.0));
        best.map(|(engine, median)| (engine.as_str(), *median))
    }

    /// Lightning's better layout by the best peer.
    pub fn against_best(&self) -> Option<f64> {
        let (_, ours) = self.best(is_ours)?;
        let (_, theirs) = self.best(|engine| !is_ours(engine))?;
        Some(self.ratio(ours, theirs))
    }

    /// Lightning's better layout by one peer.
    fn against(&self, peer: &str) -> Option<f64> {
        let (_, ours) = self.best(is_ours)?;
        Some(self.ratio(ours, *self.medians.get(peer)?))
    }
}

fn is_ours(engine: &str) -> bool {
    engine.starts_with("lightning")
}

fn newest(directory: &Path) -> Result<PathBuf> {
    let files = std::fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).max();
    newest.ok_or_else(|| "there are no results yet; make some with `run`".into())
}

fn rows(path: &Path) -> Result<Vec<Row>> {
    let mut figures: Vec<Figure> = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        figures.push(serde_json::from_str(line)?);
    }
    // In the order in which they were measured.
    let mut rows: Vec<Row> = Vec::new();
    let mut values: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for figure in figures {
        if !rows.iter().any(|row| row.workload == figure.workload) {
            rows.push(Row {
                workload: figure.workload.clone(),
                unit: figure.unit,
                higher_is_better: figure.higher_is_better,
                medians: BTreeMap::new(),
                ranges: BTreeMap::new(),
            });
        }
        values.entry((figure.workload, figure.engine)).or_default().push(figure.value);
    }
    for ((workload, engine), mut values) in values {
        values.sort_by(f64::total_cmp);
        let Some(row) = rows.iter_mut().find(|row| row.workload == workload) else { continue };
        row.medians.insert(engine.clone(), values[values.len() / 2]);
        row.ranges.insert(engine, (values[0], values[values.len() - 1]));
    }
    Ok(rows)
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 1e3 => format!("{:.2}k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let usable: Vec<f64> = ratios.iter().copied().filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect();
    (!usable.is_empty())
        .then(|| (usable.iter().map(|ratio| ratio.ln()).sum::<f64>() / usable.len() as f64).exp())
}

pub fn report(results: Option<PathBuf>) -> Result<()> {
    let path = match results {
        Some(path) => path,
        None => newest(&results_directory())?,
    };
    let rows = rows(&path)?;
    let present: Vec<&str> =
        NAMES.iter().copied().filter(|name| rows.iter().any(|row| row.medians.contains_key(*name))).collect();
    let mut table = format!(
        "| workload | unit | {} | ratio to the best peer | why, below {LOSS} |\n",
        present.join(" | ")
    );
    table += &format!("|---|---|{}---:|---|\n", "---:|".repeat(present.len()));
    for row in &rows {
        let best = row.best(|_| true).map(|(engine, _)| engine);
        table += &format!("| {} | {} |", row.workload, row.unit);
        for engine in &present {
            let cell = row.medians.get(*engine).map_or("-".into(), |median| short(*median));
            table += &if best == Some(engine) { format!(" **{cell}** |") } else { format!(" {cell} |") };
        }
        table += &row
            .against_best()
            .map_or(" - | |\n".into(), |ratio| format!(" {ratio:.2} | {} |\n", reason(&row.workload, ratio)));
    }
    let all: Vec<f64> = rows.iter().filter_map(Row::against_best).collect();
    if let Some(mean) = geometric_mean(&all) {
        let worst = all.iter().copied().fold(f64::INFINITY, f64::min);
        table += &format!(
            "\nGeometric mean against the best peer of each row: {mean:.2}; worst row: {worst:.2}.\n"
        );
    }
    for peer in present.iter().filter(|engine| !is_ours(engine)) {
        let ratios: Vec<f64> = rows.iter().filter_map(|row| row.against(peer)).collect();
        if let Some(mean) = geometric_mean(&ratios) {
            table += &format!("Against {peer} alone: {mean:.2}.\n");
        }
    }
    print!("{table}");
    std::fs::write(path.with_extension("md"), &table)?;
    std::fs::write(path.with_extension("svg"), plot::draw(&rows, &present))?;
    eprintln!("Kept beside {}: the table (.md) and the plots (.svg).", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whichever_way_is_better() {
        for (higher_is_better, ours, theirs) in [(true, 30.0, 10.0), (false, 10.0, 30.0)] {
            let medians = [("lightning-lsm", ours), ("lightning-btree", theirs), ("redb", theirs)]
                .map(|(engine, median)| (engine.to_string(), median));
            let row = Row {
                workload: "w".into(),
                unit: "u".into(),
                higher_is_better,
                medians: medians.into(),
                ranges: BTreeMap::new(),
            };
            assert_eq!(row.best(|_| true).map(|best| best.0), Some("lightning-lsm"));
            assert!((row.against_best().unwrap() - 3.0).abs() < 1e-9);
            assert!((row.against("redb").unwrap() - 3.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_geometric_mean_of_opposites_is_one() {
        assert!((geometric_mean(&[4.0, 0.25, f64::NAN]).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(geometric_mean(&[]), None);
    }
}
