//! Alerting rules: the states of alerts, and their series `ALERTS` and `ALERTS_FOR_STATE`.
//!
//! An alert is pending from the first time its rule's query has a result for it, fires once that went on for long
//! enough, and is resolved when it ended. `ALERTS_FOR_STATE` has since when, so that a restart does not begin anew.

use std::collections::BTreeMap;

use luma_promql::{Labels, METRIC_NAME, Matcher, Sample, is_stale};

use luma_targets::Texts;

use crate::file::{Definition, RuleDefinition};
use crate::group::{Context, Made};
use crate::notify::Notification;
use crate::record::number;
use crate::template::{Scope, Template, Value};

const ALERT_NAME: &str = "alertname";
const ALERT_STATE: &str = "alertstate";
/// How long a resolved alert is told of.
const RESOLVED_MS: i64 = 15 * 60 * 1000;

/// How far an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// It has ended.
    Inactive,
    /// It may fire soon.
    Pending,
    /// It fires.
    Firing,
}

impl AlertState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert; times are milliseconds since the epoch.
#[derive(Debug, Clone)]
pub struct Alert {
    /// What names it, `alertname` among it.
    pub labels: Labels,
    /// What is said of it.
    pub annotations: Texts,
    /// How far it is.
    pub state: AlertState,
    /// The value of its query.
    pub value: f64,
    /// Since when.
    pub active_at: i64,
    /// When it fired, if it did.
    pub fired_at: Option<i64>,
    /// When it ended, if it did.
    pub resolved_at: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    pub kept_since: Option<i64>,
    sent_at: Option<i64>,
    valid_until: i64,
}

/// The alerts of a rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alerts {
    pub by_labels: BTreeMap<Labels, Alert>,
    /// Whether it was looked up what was before a restart.
    pub restored: bool,
}

/// A rule with what its texts were parsed to.
#[derive(Debug)]
pub(crate) struct Texted {
    labels: Vec<(String, Template)>,
    annotations: Vec<(String, Template)>,
}

impl Texted {
    /// The texts of a rule that was checked.
    pub fn new(rule: &RuleDefinition) -> Self {
        let parsed = |texts: &Texts| {
            let parse = |(name, text): (&String, &String)| Some((name.clone(), Template::parse(text).ok()?));
            texts.iter().filter_map(parse).collect()
        };
        let annotations = match &rule.kind {
            Definition::Alerting { annotations, .. } => parsed(annotations),
            Definition::Recording => Vec::new(),
        };
        Self { labels: parsed(&rule.labels), annotations }
    }
}

impl Alerts {
    /// Changes alerts by what the query gives at a time, and makes their series.
    pub fn evaluate(
        &mut self,
        rule: &RuleDefinition,
        texts: &Texted,
        context: &Context,
        t: i64,
        query_time: i64,
        limit: usize,
    ) -> Result<Vec<Made>, String> {
        let Definition::Alerting { hold, keep, .. } = &rule.kind else { return Ok(Vec::new()) };
        let (hold, keep) = (hold.as_millis() as i64, keep.as_millis() as i64);
        let result = context.vector(&rule.expr, query_time)?;
        let mut now: BTreeMap<Labels, (Texts, f64)> = BTreeMap::new();
        for (labels, sample) in result {
            let value = number(&sample);
            let (labels, annotations) = texts.expanded(rule, context, &labels, value, query_time);
            if now.insert(labels, (annotations, value)).is_some() {
                let what = "vector contains metrics with the same labelset after applying alert labels";
                return Err(what.to_owned());
            }
        }
        for (labels, (annotations, value)) in &now {
            match self.by_labels.get_mut(labels).filter(|alert| alert.state != AlertState::Inactive) {
                Some(alert) => {
                    alert.value = *value;
                    alert.annotations = annotations.clone();
                }
                None => {
                    let alert = Alert {
                        labels: labels.clone(),
                        annotations: annotations.clone(),
                        state: AlertState::Pending,
                        value: *value,
                        active_at: t,
                        fired_at: None,
                        resolved_at: None,
                        kept_since: None,
                        sent_at: None,
                        valid_until: 0,
                    };
                    self.by_labels.insert(labels.clone(), alert);
                }
            }
        }
        if !std::mem::replace(&mut self.restored, true) && hold >= context.grace_ms {
            self.restore(rule, context, t, hold)?;
        }
        self.by_labels.retain(|labels, alert| now.contains_key(labels) || alert.goes_on(t, keep));
        let mut made = Vec::new();
        let mut active = 0;
        for (labels, alert) in &mut self.by_labels {
            if now.contains_key(labels) {
                alert.kept_since = None;
            }
            if alert.state == AlertState::Inactive {
                continue;
            }
            active += 1;
            if alert.state == AlertState::Pending && t - alert.active_at >= hold {
                alert.state = AlertState::Firing;
                alert.fired_at = Some(t);
            }
            made.extend(alert.series());
        }
        if limit > 0 && active > limit {
            self.by_labels.clear();
            return Err(format!("exceeded limit of {limit} with {active} alerts"));
        }
        Ok(made)
    }

    /// Looks up since when alerts are there that were before a restart.
    fn restore(&mut self, rule: &RuleDefinition, context: &Context, t: i64, hold: i64) -> Result<(), String> {
        let matchers =
            [Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE"), Matcher::equal(ALERT_NAME, &rule.name)];
        let stored = context.newest(&matchers, t - context.outage_ms, t)?;
        for alert in self.by_labels.values_mut() {
            let series = alert.labels.with(METRIC_NAME, "ALERTS_FOR_STATE");
            let Some((down_at, value)) = stored.get(&series) else { continue };
            if is_stale(*value) {
                continue;
            }
            let since = (*value * 1000.0) as i64;
            let remaining = hold - (down_at - since);
            alert.active_at = if remaining <= 0 {
                // It fired before.
                since
            } else if remaining < context.grace_ms {
                // Time for what it is about to come back, too.
                t + context.grace_ms - hold
            } else {
                since + (t - down_at)
            };
        }
        Ok(())
    }

    /// What Alertmanager is to be told now.
    pub fn due(
        &mut self,
        rule: &RuleDefinition,
        context: &Context,
        t: i64,
        interval_ms: i64,
    ) -> Vec<Notification> {
        let mut due = Vec::new();
        for alert in self.by_labels.values_mut() {
            let is_news = alert.resolved_at.is_some_and(|at| alert.sent_at.is_none_or(|sent| at > sent));
            let again = alert.sent_at.is_none_or(|sent| sent + context.resend_ms < t);
            if alert.state == AlertState::Pending || alert.fired_at.is_none() || !(is_news || again) {
                continue;
            }
            alert.sent_at = Some(t);
            alert.valid_until = t + 4 * interval_ms.max(context.resend_ms);
            due.push(Notification {
                labels: context.with_external(&alert.labels),
                annotations: alert.annotations.clone(),
                starts_at: alert.fired_at.unwrap_or(alert.active_at),
                ends_at: alert.resolved_at.unwrap_or(alert.valid_until),
                generator: context.graph_of(&rule.expr),
            });
        }
        due
    }
}

impl Alert {
    /// Whether an alert that the query does not give any more stays known; it ends, unless it is kept.
    fn goes_on(&mut self, t: i64, keep: i64) -> bool {
        let mut kept = false;
        if self.state == AlertState::Firing && keep > 0 {
            let since = *self.kept_since.get_or_insert(t);
            kept = t - since < keep;
        }
        let told = self.resolved_at.is_some_and(|at| t - at > RESOLVED_MS);
        let known = self.state != AlertState::Pending && !told;
        if self.state != AlertState::Inactive && !kept {
            self.state = AlertState::Inactive;
            self.resolved_at = Some(t);
        }
        known
    }

    fn series(&self) -> [Made; 2] {
        let state = self.labels.with(METRIC_NAME, "ALERTS").with(ALERT_STATE, self.state.name());
        let since = self.labels.with(METRIC_NAME, "ALERTS_FOR_STATE");
        [
            Made { labels: state, value: Sample::Float(1.0) },
            Made { labels: since, value: Sample::Float(self.active_at.div_euclid(1000) as f64) },
        ]
    }
}

impl Texted {
    /// Labels and annotations of an alert.
    fn expanded(
        &self,
        rule: &RuleDefinition,
        context: &Context,
        labels: &Labels,
        value: f64,
        t: i64,
    ) -> (Labels, Texts) {
        let plain = labels.filtered(|name| name != METRIC_NAME);
        let query = |text: &str| {
            let result = context.vector(text, t)?;
            Ok(result
                .into_iter()
                .map(|(labels, sample)| {
                    let labels = Value::texts(labels.iter());
                    let value = Value::Float(number(&sample));
                    Value::Map([("Labels".to_owned(), labels), ("Value".to_owned(), value)].into())
                })
                .collect())
        };
        let scope = Scope {
            labels: Value::texts(labels.iter()),
            value: Value::Float(value),
            external_labels: Value::texts(context.external_labels.iter()),
            external_url: &context.external_url,
            now: t as f64 / 1000.0,
            query: &query,
        };
        let expand = |template: &Template| {
            template.expand(&scope).unwrap_or_else(|what| {
                tracing::warn!(rule = rule.name, what, "a template could not be expanded");
                format!("<error expanding template: {what}>")
            })
        };
        let own = self.labels.iter().map(|(name, template)| (name.clone(), expand(template)));
        let own: Vec<(String, String)> = own.collect();
        let pairs = plain
            .iter()
            .chain(own.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .chain([(ALERT_NAME, rule.name.as_str())]);
        let annotations =
            self.annotations.iter().map(|(name, template)| (name.clone(), expand(template))).collect();
        (Labels::new(pairs), annotations)
    }
}
