//! Rule files: groups of rules in YAML, read and checked.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use luma_promql::{METRIC_NAME, parse};
use luma_targets::{Texts, duration};
use serde::Deserialize;

use crate::template::Template;

/// How long a file may be.
const BYTES_MAX: u64 = 16 << 20;

/// A file of groups of rules.
#[derive(Debug, Clone)]
pub struct RuleFile {
    /// Its groups.
    pub groups: Vec<GroupDefinition>,
}

/// A group: rules that are evaluated one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDefinition {
    /// The file it is in.
    pub file: String,
    /// Its name, once in a file.
    pub name: String,
    /// How often it is evaluated, if it says so.
    pub interval: Option<Duration>,
    /// How far in the past it is evaluated, if it says so.
    pub query_offset: Option<Duration>,
    /// How many series or alerts each rule may make; 0 for any number.
    pub limit: usize,
    /// Its rules.
    pub rules: Vec<RuleDefinition>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleDefinition {
    /// What it makes, and under which name.
    pub kind: Definition,
    /// The name of the alert or of the recorded metric.
    pub name: String,
    /// What it evaluates, as PromQL is printed.
    pub expr: String,
    /// Labels: those of the group and its own.
    pub labels: Texts,
}

/// What a rule makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// A metric.
    Recording,
    /// Alerts.
    Alerting {
        /// How long an alert is pending before it fires.
        hold: Duration,
        /// How long it goes on firing after its reason went.
        keep: Duration,
        /// What is said of it.
        annotations: Texts,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    groups: Option<Vec<FileGroup>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    name: String,
    interval: Option<String>,
    query_offset: Option<String>,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    labels: Option<Texts>,
    #[serde(default)]
    rules: Option<Vec<FileRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    record: Option<String>,
    alert: Option<String>,
    #[serde(default)]
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: Option<Texts>,
    #[serde(default)]
    annotations: Option<Texts>,
}

impl RuleFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let length = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
        if length > BYTES_MAX {
            return Err(format!("{shown} has {length} bytes, over the limit of {BYTES_MAX}; divide it"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        Self::parse(&text, &shown.to_string()).map_err(|what| format!("{shown}: {what}"))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, file: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self { groups: Vec::new() });
        }
        let read: File = serde_norway::from_str(text).map_err(|error| error.to_string())?;
        let mut names = HashSet::new();
        let mut groups = Vec::new();
        for group in read.groups.unwrap_or_default() {
            if group.name.is_empty() {
                return Err("Groupname must not be empty".to_owned());
            }
            if !names.insert(group.name.clone()) {
                return Err(format!("groupname: {:?} is repeated in the same file", group.name));
            }
            let within = format!("group {:?}", group.name);
            groups.push(checked(group, file).map_err(|what| format!("{within}, {what}"))?);
        }
        Ok(Self { groups })
    }
}

fn checked(group: FileGroup, file: &str) -> Result<GroupDefinition, String> {
    let common = group.labels.unwrap_or_default();
    labels(&common)?;
    let mut rules = Vec::new();
    for (at, rule) in group.rules.unwrap_or_default().into_iter().enumerate() {
        let name = rule.alert.as_deref().or(rule.record.as_deref()).unwrap_or_default().to_owned();
        let checked = rule_of(rule, &common).map_err(|what| format!("rule {}, {name:?}: {what}", at + 1))?;
        rules.push(checked);
    }
    let interval = group.interval.as_deref().map(|text| duration("interval", text)).transpose()?;
    if interval.is_some_and(|interval| interval.is_zero()) {
        return Err("interval must not be 0".to_owned());
    }
    Ok(GroupDefinition {
        file: file.to_owned(),
        name: group.name,
        interval,
        query_offset: group.query_offset.as_deref().map(|text| duration("query_offset", text)).transpose()?,
        limit: group.limit,
        rules,
    })
}

fn rule_of(rule: FileRule, common: &Texts) -> Result<RuleDefinition, String> {
    if rule.expr.trim().is_empty() {
        return Err("field 'expr' must be set in rule".to_owned());
    }
    let expr = parse(&rule.expr).map_err(|error| format!("could not parse expression: {error}"))?;
    let own = rule.labels.unwrap_or_default();
    labels(&own)?;
    let annotations = rule.annotations.unwrap_or_default();
    let hold = rule.hold.as_deref().map(|text| duration("for", text)).transpose()?;
    let keep = rule.keep_firing_for.as_deref().map(|text| duration("keep_firing_for", text)).transpose()?;
    let (kind, name) = match (rule.record, rule.alert) {
        (Some(_), Some(_)) => return Err("only one of 'record' and 'alert' must be set".to_owned()),
        (None, None) => return Err("one of 'record' or 'alert' must be set".to_owned()),
        (Some(name), None) => {
            for (field, given) in [
                ("annotations", !annotations.is_empty()),
                ("for", hold.is_some_and(|hold| !hold.is_zero())),
                ("keep_firing_for", keep.is_some_and(|keep| !keep.is_zero())),
            ] {
                if given {
                    return Err(format!("invalid field '{field}' in recording rule"));
                }
            }
            if name.is_empty() {
                return Err("invalid recording rule name: it is empty".to_owned());
            }
            (Definition::Recording, name)
        }
        (None, Some(name)) => {
            for (of, texts) in [("label", &own), ("annotation", &annotations)] {
                for (name, text) in texts {
                    Template::parse(text).map_err(|what| format!("{of} {name:?}: {what}"))?;
                }
            }
            let (hold, keep) = (hold.unwrap_or_default(), keep.unwrap_or_default());
            (Definition::Alerting { hold, keep, annotations }, name)
        }
    };
    let mut labels = common.clone();
    labels.extend(own);
    Ok(RuleDefinition { kind, name, expr: expr.to_string(), labels })
}

fn labels(labels: &Texts) -> Result<(), String> {
    match labels.keys().find(|name| name.is_empty() || *name == METRIC_NAME) {
        Some(name) => Err(format!("invalid label name: {name:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_file_has_groups_of_rules() {
        let text = "
groups:
- name: one
  interval: 1m30s
  query_offset: 5s
  limit: 10
  labels: {team: red, level: low}
  rules:
  - record: a:b
    expr: sum(x)
    labels: {level: 1}
  - alert: Broken
    expr: |
      up == 0
    for: 5m
    keep_firing_for: 1h
    annotations: {summary: '{{ $labels.instance }} is down'}
- name: empty
";
        let file = RuleFile::parse(text, "f.yml").unwrap();
        let [group, empty] = &file.groups[..] else { panic!("two groups") };
        assert_eq!((group.interval, group.limit), (Some(Duration::from_secs(90)), 10));
        assert_eq!(group.query_offset, Some(Duration::from_secs(5)));
        assert_eq!(
            group.rules[0].labels,
            Texts::from([("level".into(), "1".into()), ("team".into(), "red".into())])
        );
        let Definition::Alerting { hold, keep, annotations } = &group.rules[1].kind else {
            panic!("an alert")
        };
        assert_eq!((*hold, *keep, annotations.len()), (Duration::from_mins(5), Duration::from_hours(1), 1));
        assert!(empty.rules.is_empty());
        assert!(RuleFile::parse("", "f.yml").unwrap().groups.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (rule, expected) in [
            ("{record: a, alert: b, expr: x}", "only one of"),
            ("{expr: x}", "one of 'record' or 'alert'"),
            ("{alert: a}", "'expr' must be set"),
            ("{alert: a, expr: 'x +'}", "could not parse expression"),
            ("{record: a, expr: x, for: 1m}", "invalid field 'for'"),
            ("{alert: a, expr: x, for: soon}", "not a valid duration"),
            ("{alert: a, expr: x, labels: {__name__: b}}", "invalid label name"),
            ("{alert: a, expr: x, annotations: {s: '{{ nothing }}'}}", "annotation \"s\""),
            ("{alert: a, expr: x, sinc: 5m}", "sinc"),
        ] {
            let text = format!("groups: [{{name: g, rules: [{rule}]}}]");
            let error = RuleFile::parse(&text, "f.yml").unwrap_err();
            assert!(error.contains(expected), "{rule}: {error}");
        }
        let twice = RuleFile::parse("groups: [{name: g}, {name: g}]", "f.yml").unwrap_err();
        assert!(twice.contains("repeated"), "{twice}");
    }
}
