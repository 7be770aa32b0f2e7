//! Warnings and infos that go with an answer.
//!
//! An annotation is kept once per text; the place in the query is that of its first occurrence.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};

use crate::ast::Span;
use crate::number::{format_general, format_two_digits, quoted};
use crate::parser::line_and_column;

/// The annotations of one answer.
#[derive(Debug, Clone, Default)]
pub struct Annotations(BTreeMap<String, Details>);

#[derive(Debug, Clone)]
struct Details {
    span: Span,
    forced: Option<Forced>,
}

/// How far bucket counts had to be corrected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    pub from: f64,
    pub to: f64,
    pub max_difference: f64,
    pub first: i64,
    pub last: i64,
    pub times: usize,
}

impl Annotations {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The warnings, with their places in the query's text.
    pub fn warnings(&self, query: &str) -> Vec<String> {
        self.texts("PromQL warning", query)
    }

    /// The infos, with their places in the query's text.
    pub fn infos(&self, query: &str) -> Vec<String> {
        self.texts("PromQL info", query)
    }

    fn texts(&self, prefix: &str, query: &str) -> Vec<String> {
        let own = self.0.iter().filter(|(text, _)| text.starts_with(prefix));
        own.map(|(text, details)| {
            let (line, column) = line_and_column(query, details.span.start);
            let more = details.forced.map(Forced::describe).unwrap_or_default();
            format!("{text}{more} ({line}:{column})")
        })
        .collect()
    }

    /// Adds what was noted elsewhere.
    pub(crate) fn merge(&mut self, others: Self) {
        for (text, details) in others.0 {
            self.0.entry(text).or_insert(details);
        }
    }

    fn add(&mut self, text: String, span: Span) {
        self.0.entry(text).or_insert(Details { span, forced: None });
    }

    fn warn(&mut self, span: Span, text: impl AsRef<str>) {
        self.add(format!("PromQL warning: {}", text.as_ref()), span);
    }

    fn info(&mut self, span: Span, text: impl AsRef<str>) {
        self.add(format!("PromQL info: {}", text.as_ref()), span);
    }

    pub(crate) fn invalid_quantile(&mut self, q: f64, span: Span) {
        self.warn(span, format!("quantile value should be between 0 and 1, got {}", format_general(q)));
    }

    pub(crate) fn invalid_ratio(&mut self, ratio: f64, cap: f64, span: Span) {
        let (ratio, cap) = (format_general(ratio), format_general(cap));
        self.warn(span, format!("ratio value should be between -1 and 1, got {ratio}, capping to {cap}"));
    }

    pub(crate) fn bad_bucket_label(&mut self, metric: &str, label: &str, span: Span) {
        let text = format!("bucket label \"le\" is missing or has a malformed value of {}", quoted(label));
        self.warn(span, text + &for_metric(metric));
    }

    pub(crate) fn mixed_range(&mut self, metric: &str, span: Span) {
        let text = format!("encountered a mix of histograms and floats for metric name {}", quoted(metric));
        self.warn(span, text);
    }

    pub(crate) fn mixed_aggregation(&mut self, span: Span) {
        self.warn(span, "encountered a mix of histograms and floats for aggregation");
    }

    pub(crate) fn mixed_classic_and_native(&mut self, metric: &str, span: Span) {
        let text = "vector contains a mix of classic and native histograms".to_owned();
        self.warn(span, text + &for_metric(metric));
    }

    pub(crate) fn not_a_counter(&mut self, metric: &str, span: Span) {
        self.warn(span, format!("this native histogram metric is not a counter: {}", quoted(metric)));
    }

    pub(crate) fn not_a_gauge(&mut self, metric: &str, span: Span) {
        self.warn(span, format!("this native histogram metric is not a gauge: {}", quoted(metric)));
    }

    pub(crate) fn mixed_schemas(&mut self, metric: &str, span: Span) {
        let text =
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        self.warn(span, format!("{text} {}", quoted(metric)));
    }

    pub(crate) fn incompatible_layout(&mut self, operator: &str, span: Span) {
        self.warn(span, format!("incompatible bucket layout encountered for binary operator {operator}"));
    }

    pub(crate) fn reset_collision(&mut self, operation: &str, span: Span) {
        self.warn(span, format!("conflicting counter resets during histogram {operation}"));
    }

    pub(crate) fn ineffective_sort(&mut self, span: Span) {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        self.warn(span, text);
    }

    pub(crate) fn bounds_reconciled(&mut self, operation: &str, span: Span) {
        self.info(span, format!("mismatched custom buckets were reconciled during {operation}"));
    }

    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: Span) {
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        self.info(span, format!("{text} {}", quoted(metric)));
    }

    pub(crate) fn incompatible_types(&mut self, left: &str, operator: &str, right: &str, span: Span) {
        let text = "incompatible sample types encountered for binary operator";
        self.info(span, format!("{text} {}: {left} {operator} {right}", quoted(operator)));
    }

    pub(crate) fn ignored_in_aggregation(&mut self, aggregation: &str, span: Span) {
        self.info(span, format!("ignored histogram in {aggregation} aggregation"));
    }

    pub(crate) fn ignored_in_mixed_range(&mut self, metric: &str, span: Span) {
        let text = "ignored histograms in a range containing both floats and histograms for metric name";
        self.info(span, format!("{text} {}", quoted(metric)));
    }

    pub(crate) fn quantile_is_nan(&mut self, metric: &str, span: Span) {
        let text = "input to histogram_quantile has NaN observations, result is NaN".to_owned();
        self.info(span, text + &for_metric(metric));
    }

    pub(crate) fn quantile_is_skewed(&mut self, metric: &str, span: Span) {
        let text = "input to histogram_quantile has NaN observations, result is skewed higher".to_owned();
        self.info(span, text + &for_metric(metric));
    }

    pub(crate) fn fraction_without_nan(&mut self, metric: &str, span: Span) {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        self.info(span, text.to_owned() + &for_metric(metric));
    }

    pub(crate) fn forced_monotonicity(&mut self, metric: &str, forced: Forced, span: Span) {
        let text = "PromQL info: input to histogram_quantile needed to be fixed for monotonicity \
                    (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let text = text.to_owned() + &for_metric(metric);
        let details = self.0.entry(text).or_insert(Details { span, forced: None });
        details.forced = Some(match details.forced {
            None => forced,
            Some(before) => before.joined(forced),
        });
    }
}

impl Forced {
    fn joined(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            max_difference: self.max_difference.max(other.max_difference),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            times: self.times + other.times,
        }
    }

    fn describe(self) -> String {
        let time = |ms: i64| {
            DateTime::from_timestamp_millis(ms.div_euclid(1000) * 1000)
                .map(|t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
                .unwrap_or_default()
        };
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_general(self.from),
            format_general(self.to),
            format_two_digits(self.max_difference),
            self.times,
            time(self.first),
            time(self.last)
        )
    }
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {}", quoted(metric)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_with_its_first_place() {
        let mut annotations = Annotations::default();
        annotations.invalid_quantile(1.5, Span { start: 2, end: 5 });
        annotations.invalid_quantile(1.5, Span { start: 9, end: 12 });
        annotations.possible_non_counter("m", Span { start: 4, end: 5 });
        let query = "a\nbcdefghijkl";
        assert_eq!(
            annotations.warnings(query),
            ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:1)"]
        );
        assert_eq!(annotations.infos(query).len(), 1);
    }
}
