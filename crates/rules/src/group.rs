//! Groups: rules that are evaluated one after another, at one time, each seeing what those before it made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_promql::{Labels, Matcher, Options, STALE_MARKER, Sample, Select, Source, Value, instant};
use luma_telemetry::{Batch, Metrics};
use tracing::warn;

use crate::alert::{Alert, Alerts, Texted};
use crate::file::{Definition, GroupDefinition, RuleDefinition};
use crate::notify::Notification;
use crate::record;
use crate::template::escaped;

/// What all rules have in common.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where samples come from and go to.
    pub store: Arc<Metrics>,
    /// How long a sample counts as current, and how many a query may have in memory.
    pub options: Options,
    /// How long a query may take.
    pub timeout: Duration,
    /// Labels that everything told to others has.
    pub external_labels: Labels,
    /// Where the server's pages are.
    pub external_url: String,
    /// How often what fires is told again, in milliseconds.
    pub resend_ms: i64,
    /// How long the server may have been down for alerts to go on, in milliseconds.
    pub outage_ms: i64,
    /// How long alerts that go on after a restart are pending at least, in milliseconds; those that are pending
    /// for less do not go on.
    pub grace_ms: i64,
}

impl Context {
    /// A context with Prometheus' defaults.
    pub fn new(store: Arc<Metrics>) -> Self {
        Self {
            store,
            options: Options::default(),
            timeout: Duration::from_mins(2),
            external_labels: Labels::default(),
            external_url: String::new(),
            resend_ms: 60_000,
            outage_ms: 3_600_000,
            grace_ms: 600_000,
        }
    }

    /// The result of a query as a vector.
    pub(crate) fn vector(&self, query: &str, t: i64) -> Result<Vec<(Labels, Sample)>, String> {
        let deadline = Some(Instant::now() + self.timeout);
        let options = Options { deadline, ..self.options.clone() };
        let answer = instant(&*self.store, query, t, &options).map_err(|error| error.message())?;
        match answer.value {
            Value::Vector(_, samples) => {
                Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect())
            }
            Value::Scalar(point) => Ok(vec![(Labels::default(), Sample::Float(point.v))]),
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// The newest numbers of some series, with their times.
    pub(crate) fn newest(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<HashMap<Labels, (i64, f64)>, String> {
        let selected =
            self.store.select(&Select { matchers, start, end }).map_err(|error| error.to_string())?;
        let mut newest = HashMap::new();
        for series in selected {
            let series = series.map_err(|error| error.to_string())?;
            let within = |t: i64| (start..=end).contains(&t);
            if let Some(point) = series.floats.iter().rev().find(|point| within(point.t)) {
                newest.insert(series.labels, (point.t, point.v));
            }
        }
        Ok(newest)
    }

    /// Labels, and those of the server that are not among them.
    pub(crate) fn with_external(&self, labels: &Labels) -> Labels {
        Labels::new(self.external_labels.iter().chain(labels.iter()))
    }

    /// Where a query is shown.
    pub(crate) fn graph_of(&self, query: &str) -> String {
        format!("{}/graph?g0.expr={}&g0.tab=1", self.external_url, escaped(query))
    }
}

/// A sample that a rule made.
#[derive(Debug)]
pub(crate) struct Made {
    pub labels: Labels,
    pub value: Sample,
}

/// How the last evaluation of a rule went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Nothing before the first time.
    pub health: Option<Result<(), String>>,
    /// Milliseconds since the epoch.
    pub at: Option<i64>,
    pub took: Duration,
}

#[derive(Debug)]
struct Rule {
    definition: RuleDefinition,
    texts: Texted,
    alerts: Alerts,
    outcome: Outcome,
    /// Series that it made the last time.
    seen: BTreeSet<Labels>,
}

/// A group with the state of its rules.
#[derive(Debug)]
pub struct Group {
    definition: GroupDefinition,
    rules: Vec<Rule>,
    interval: Duration,
    offset_ms: i64,
    at: Option<i64>,
    took: Duration,
    /// Series of rules that are there no more, which end at the next evaluation.
    left_over: BTreeSet<Labels>,
}

/// What is told of a rule.
#[derive(Debug, Clone)]
pub(crate) struct RuleStatus {
    pub definition: RuleDefinition,
    pub alerts: Vec<Alert>,
    pub outcome: Outcome,
}

/// What is told of a group.
#[derive(Debug, Clone)]
pub(crate) struct GroupStatus {
    pub name: String,
    pub file: String,
    pub interval: Duration,
    pub limit: usize,
    pub at: Option<i64>,
    pub took: Duration,
    pub rules: Vec<RuleStatus>,
}

impl Group {
    /// A group that is evaluated so often, unless it says otherwise.
    pub fn new(definition: GroupDefinition, interval: Duration, query_offset: Duration) -> Self {
        let rule = |definition: &RuleDefinition| Rule {
            definition: definition.clone(),
            texts: Texted::new(definition),
            alerts: Alerts::default(),
            outcome: Outcome::default(),
            seen: BTreeSet::new(),
        };
        Self {
            rules: definition.rules.iter().map(rule).collect(),
            interval: definition.interval.unwrap_or(interval),
            offset_ms: definition.query_offset.unwrap_or(query_offset).as_millis() as i64,
            at: None,
            took: Duration::ZERO,
            left_over: BTreeSet::new(),
            definition,
        }
    }

    /// How often it is evaluated.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn definition(&self) -> &GroupDefinition {
        &self.definition
    }

    /// Takes over the alerts of a group that it replaces, and ends series that it will not make.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        for rule in &mut self.rules {
            let same = |old: &&mut Rule| {
                (&old.definition.name, &old.definition.labels)
                    == (&rule.definition.name, &rule.definition.labels)
            };
            if let Some(old) = other.rules.iter_mut().find(same) {
                rule.alerts = std::mem::take(&mut old.alerts);
                rule.seen = std::mem::take(&mut old.seen);
            }
        }
        self.left_over = other.series();
    }

    fn series(&mut self) -> BTreeSet<Labels> {
        let own = self.rules.iter_mut().flat_map(|rule| std::mem::take(&mut rule.seen));
        own.chain(std::mem::take(&mut self.left_over)).collect()
    }

    /// Marks the end of all its series, at a time in milliseconds.
    pub fn end(&mut self, context: &Context, t: i64) {
        let ended = self.series();
        self.write(context, Vec::new(), &ended, t - self.offset_ms);
    }

    /// Evaluates all rules at a time, in milliseconds since the epoch; what Alertmanager is to be told.
    pub fn evaluate(&mut self, context: &Context, t: i64) -> Vec<Notification> {
        let began = Instant::now();
        let query_time = t - self.offset_ms;
        let interval_ms = self.interval.as_millis() as i64;
        let limit = self.definition.limit;
        let mut due = Vec::new();
        for at in 0..self.rules.len() {
            let Some(rule) = self.rules.get_mut(at) else { break };
            let began = Instant::now();
            let made = match &rule.definition.kind {
                Definition::Recording => record::evaluate(&rule.definition, context, query_time, limit),
                Definition::Alerting { .. } => {
                    rule.alerts.evaluate(&rule.definition, &rule.texts, context, t, query_time, limit)
                }
            };
            rule.outcome = Outcome {
                health: Some(made.as_ref().map(|_| ()).map_err(Clone::clone)),
                at: Some(t),
                took: began.elapsed(),
            };
            match made {
                Ok(made) => {
                    let series: BTreeSet<Labels> = made.iter().map(|made| made.labels.clone()).collect();
                    let before = std::mem::replace(&mut rule.seen, series);
                    let ended: BTreeSet<Labels> = before.difference(&rule.seen).cloned().collect();
                    due.extend(rule.alerts.due(&rule.definition, context, t, interval_ms));
                    self.write(context, made, &ended, query_time);
                }
                Err(what) => {
                    warn!(group = self.definition.name, rule = rule.definition.name, what, "a rule failed");
                }
            }
        }
        let made_still: BTreeSet<Labels> =
            self.rules.iter().flat_map(|rule| rule.seen.iter().cloned()).collect();
        let left_over: BTreeSet<Labels> = std::mem::take(&mut self.left_over)
            .into_iter()
            .filter(|labels| !made_still.contains(labels))
            .collect();
        self.write(context, Vec::new(), &left_over, query_time);
        (self.at, self.took) = (Some(t), began.elapsed());
        due
    }

    fn write(&self, context: &Context, made: Vec<Made>, ended: &BTreeSet<Labels>, t: i64) {
        let mut batch = Batch::default();
        let ended =
            ended.iter().map(|labels| Made { labels: labels.clone(), value: Sample::Float(STALE_MARKER) });
        for Made { labels, value } in made.into_iter().chain(ended) {
            match batch.series(labels.iter()) {
                Ok(series) => match value {
                    Sample::Float(value) => batch.float(series, t, 0, value),
                    Sample::Histogram(value) => batch.histogram(series, t, 0, value),
                },
                Err(error) => warn!(group = self.definition.name, %error, "a series of a rule is refused"),
            }
        }
        if batch.is_empty() {
            return;
        }
        match context.store.append(&batch) {
            Ok(appended) => {
                if let Some((_, why)) = appended.first_refusal {
                    let (group, refused) = (&self.definition.name, appended.refused);
                    warn!(group, refused, %why, "samples of a rule are refused");
                }
            }
            Err(error) => warn!(group = self.definition.name, %error, "samples of a rule are not stored"),
        }
    }

    pub(crate) fn status(&self) -> GroupStatus {
        let rule = |rule: &Rule| RuleStatus {
            definition: rule.definition.clone(),
            alerts: rule.alerts.by_labels.values().cloned().collect(),
            outcome: rule.outcome.clone(),
        };
        GroupStatus {
            name: self.definition.name.clone(),
            file: self.definition.file.clone(),
            interval: self.interval,
            limit: self.definition.limit,
            at: self.at,
            took: self.took,
            rules: self.rules.iter().map(rule).collect(),
        }
    }

    /// The alerts there are, by rule.
    pub fn alerts(&self) -> BTreeMap<&str, Vec<&Alert>> {
        self.rules
            .iter()
            .map(|rule| (rule.definition.name.as_str(), rule.alerts.by_labels.values().collect()))
            .collect()
    }
}
