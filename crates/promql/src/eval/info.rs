//! `info`: labels of info metrics added to the series they describe.
//!
//! A series and an info metric belong together if they have the same `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ast::{Call, Expr};
use crate::error::{Error, Result, failed};
use crate::labels::{Labels, METRIC_NAME};
use crate::matcher::{MatchOp, Matcher};
use crate::source::Select;
use crate::value::{Sample, Series, is_stale};

use super::calls::argument;
use super::{Assembly, Context, Grid, points};

const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// An info series: at every step when its current sample was taken.
struct InfoSeries {
    labels: Labels,
    taken: Vec<Option<i64>>,
}

impl Context<'_> {
    pub(super) fn info(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let base = self.series(grid, argument(call, 0)?)?;
        let wanted: &[Matcher] = match call.args.get(1).map(Expr::without_parens) {
            Some(Expr::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let target_info = [Matcher::equal(METRIC_NAME, "target_info")];
        let (named, data): (Vec<&Matcher>, Vec<&Matcher>) =
            wanted.iter().partition(|m| m.name() == METRIC_NAME);
        let named: Vec<&Matcher> = if named.is_empty() { target_info.iter().collect() } else { named };
        let explicit_names = wanted.iter().any(|m| m.name() == METRIC_NAME) || call.args.len() < 2;
        // Info metrics themselves are left as they are.
        let is_info =
            |labels: &Labels| explicit_names && named.iter().all(|m| m.matches(labels.metric_name()));
        let infos = self.info_series(grid, &base, &is_info, &named, &data)?;
        self.release(points(&base));
        self.with_info(grid, base, &is_info, &infos, &data)
    }

    /// The info series of all that `base` identifies.
    fn info_series(
        &self,
        grid: Grid,
        base: &[Series],
        is_info: &dyn Fn(&Labels) -> bool,
        named: &[&Matcher],
        data: &[&Matcher],
    ) -> Result<Vec<InfoSeries>> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for s in base.iter().filter(|s| !is_info(&s.labels)) {
            for name in IDENTIFYING {
                if let Some(value) = s.labels.find(name) {
                    values.entry(name).or_default().insert(value);
                }
            }
        }
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut matchers: Vec<Matcher> = named.iter().chain(data).map(|m| (*m).clone()).collect();
        for (name, values) in values {
            let pattern: Vec<String> = values.into_iter().map(regex::escape).collect();
            let matcher =
                Matcher::new(MatchOp::Regex, name, &pattern.join("|")).map_err(Error::Evaluation)?;
            matchers.push(matcher);
        }
        let lookback = self.options.lookback_ms;
        let start = grid.start.saturating_sub(lookback).saturating_add(1);
        let request = Select { matchers: &matchers, start, end: grid.end };
        let mut out = Vec::new();
        for data in self.source.select(&request).map_err(Error::Source)? {
            self.check()?;
            let data = data.map_err(Error::Source)?;
            if !data.histograms.is_empty() {
                let labels = &data.labels;
                return failed(format!("this should be an info metric, with float samples: {labels}"));
            }
            let mut at = 0;
            let taken: Vec<Option<i64>> = grid
                .times()
                .map(|t| {
                    while data.floats.get(at).is_some_and(|p| p.t <= t) {
                        at += 1;
                    }
                    let point = data.floats.get(at.checked_sub(1)?)?;
                    (point.t > t.saturating_sub(lookback) && !is_stale(point.v)).then_some(point.t)
                })
                .collect();
            out.push(InfoSeries { labels: data.labels, taken });
        }
        Ok(out)
    }

    fn with_info(
        &self,
        grid: Grid,
        base: Vec<Series>,
        is_info: &dyn Fn(&Labels) -> bool,
        infos: &[InfoSeries],
        data: &[&Matcher],
    ) -> Result<Vec<Series>> {
        // What identifies a series, together with the info metric's name.
        let identity = |labels: &Labels| labels.filtered(|name| IDENTIFYING.contains(&name));
        let mut by_identity: HashMap<Labels, BTreeMap<&str, Vec<&InfoSeries>>> = HashMap::new();
        for info in infos {
            let names = by_identity.entry(identity(&info.labels)).or_default();
            names.entry(info.labels.metric_name()).or_default().push(info);
        }
        let all_accept_none = data.iter().all(|m| m.matches(""));
        let mut assembly = Assembly::new(grid);
        for series in base {
            let candidates =
                if is_info(&series.labels) { None } else { by_identity.get(&identity(&series.labels)) };
            let left_alone = is_info(&series.labels);
            let floats = series.floats.iter().map(|p| (p.t, Sample::Float(p.v)));
            let histograms = series.histograms.iter().map(|p| (p.t, Sample::Histogram(p.h.clone())));
            for (t, sample) in floats.chain(histograms) {
                let step = grid.index(t);
                let mut labels = series.labels.clone();
                let mut found = false;
                for infos in candidates.into_iter().flat_map(BTreeMap::values) {
                    let Some(info) = newest(infos, step)? else { continue };
                    found = true;
                    for (name, value) in info.labels.iter() {
                        let skipped = name == METRIC_NAME
                            || (!data.is_empty() && !data.iter().any(|m| m.name() == name))
                            || series.labels.find(name).is_some();
                        if skipped {
                            continue;
                        }
                        if labels.find(name).is_some_and(|other| other != value) {
                            return failed(format!("conflicting label: {name}"));
                        }
                        labels = labels.with(name, value);
                    }
                }
                if found || left_alone || all_accept_none {
                    let place = assembly.place(&labels, series.drop_name);
                    assembly.push(place, t, sample)?;
                }
            }
        }
        assembly.finish(self)
    }
}

/// Of the info series of one name and identity the one whose sample is newest.
fn newest<'i>(infos: &[&'i InfoSeries], step: usize) -> Result<Option<&'i InfoSeries>> {
    let mut best: Option<(&InfoSeries, i64)> = None;
    for info in infos {
        let Some(taken) = info.taken.get(step).copied().flatten() else { continue };
        match best {
            Some((_, so_far)) if so_far > taken => {}
            Some((other, so_far)) if so_far == taken => {
                return failed(format!(
                    "found duplicate series for info metric: existing {} @ {so_far}, new {} @ {taken}",
                    other.labels, info.labels
                ));
            }
            _ => best = Some((info, taken)),
        }
    }
    Ok(best.map(|(info, _)| info))
}
