//! The parts of Prometheus' configuration file that rules need.

use std::path::Path;
use std::time::Duration;

use luma_promql::Labels;
use luma_targets::{Texts, duration, matching};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::alertmanagers::{AlertingText, Alertmanagers};
use crate::file::{GroupDefinition, RuleFile};

/// How often groups are evaluated if nobody says so.
const INTERVAL: &str = "1m";

/// What a configuration file says of rules.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The groups of all rule files.
    pub groups: Vec<GroupDefinition>,
    /// How often groups are evaluated that do not say so.
    pub interval: Duration,
    /// How far in the past groups are evaluated that do not say so.
    pub query_offset: Duration,
    /// Labels that alerts have where others are told of them.
    pub external_labels: Labels,
    /// Who is told of alerts.
    pub alertmanagers: Alertmanagers,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    global: Option<Global>,
    #[serde(default)]
    rule_files: Option<Vec<String>>,
    #[serde(default)]
    alerting: Option<AlertingText>,
    // What scraping is read from.
    #[serde(rename = "scrape_configs")]
    _scrape_configs: Option<IgnoredAny>,
    #[serde(rename = "scrape_config_files")]
    _scrape_config_files: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Global {
    evaluation_interval: Option<String>,
    rule_query_offset: Option<String>,
    #[serde(default)]
    external_labels: Option<Texts>,
    // What scraping is read from.
    #[serde(rename = "scrape_interval")]
    _scrape_interval: Option<IgnoredAny>,
    #[serde(rename = "scrape_timeout")]
    _scrape_timeout: Option<IgnoredAny>,
    #[serde(rename = "scrape_protocols")]
    _scrape_protocols: Option<IgnoredAny>,
    #[serde(rename = "scrape_native_histograms")]
    _scrape_native_histograms: Option<IgnoredAny>,
    #[serde(rename = "always_scrape_classic_histograms")]
    _always_scrape_classic_histograms: Option<IgnoredAny>,
    #[serde(rename = "body_size_limit")]
    _body_size_limit: Option<IgnoredAny>,
    #[serde(rename = "sample_limit")]
    _sample_limit: Option<IgnoredAny>,
    #[serde(rename = "label_limit")]
    _label_limit: Option<IgnoredAny>,
    #[serde(rename = "label_name_length_limit")]
    _label_name_length_limit: Option<IgnoredAny>,
    #[serde(rename = "label_value_length_limit")]
    _label_value_length_limit: Option<IgnoredAny>,
    #[serde(rename = "target_limit")]
    _target_limit: Option<IgnoredAny>,
    #[serde(rename = "keep_dropped_targets")]
    _keep_dropped_targets: Option<IgnoredAny>,
}

impl Settings {
    /// Reads a file and the rule files that it names.
    ///
    /// # Errors
    /// What is wrong with one of them, and where.
    pub fn read(path: &Path) -> Result<Self, String> {
        let within = |what: String| format!("{}: {what}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| within(error.to_string()))?;
        let file: File = match text.trim() {
            "" => File::default(),
            text => serde_norway::from_str(text).map_err(|error| {
                within(format!(
                    "{error} (of Prometheus' settings those of scraping, rules and alerting are taken)"
                ))
            })?,
        };
        let global = file.global.unwrap_or_default();
        let interval = global.evaluation_interval.as_deref().unwrap_or(INTERVAL);
        let offset = global.rule_query_offset.as_deref().unwrap_or("0");
        let mut groups = Vec::new();
        let directory = path.parent().unwrap_or(Path::new(""));
        for pattern in file.rule_files.unwrap_or_default() {
            for rules in
                matching(&directory.join(&pattern)).map_err(|what| within(format!("{pattern}: {what}")))?
            {
                groups.extend(RuleFile::read(&rules)?.groups);
            }
        }
        let alertmanagers =
            Alertmanagers::new(file.alerting.unwrap_or_default(), directory).map_err(within)?;
        let interval = duration("evaluation_interval", interval).map_err(within)?;
        if interval.is_zero() {
            return Err(within("evaluation_interval must not be 0".to_owned()));
        }
        Ok(Self {
            groups,
            interval,
            query_offset: duration("rule_query_offset", offset).map_err(within)?,
            external_labels: Labels::new(global.external_labels.unwrap_or_default()),
            alertmanagers,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_configuration_names_files_and_alertmanagers() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("a.rules.yml", "groups: [{name: a, rules: [{record: x, expr: y}]}]");
        write("b.rules.yml", "groups: [{name: b}]");
        write("other.txt", "no rules");
        write(
            "p.yml",
            "global: {evaluation_interval: 15s, external_labels: {dc: x}}
rule_files: ['*.rules.yml']
alerting: {alertmanagers: [{path_prefix: /am/, timeout: 20s, static_configs: [{targets: ['h:9093']}]}]}",
        );
        let settings = Settings::read(&directory.path().join("p.yml")).unwrap();
        let names: Vec<_> = settings.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(settings.interval, Duration::from_secs(15));
        assert_eq!(settings.alertmanagers.addresses(), ["http://h:9093/am/api/v2/alerts"]);
        assert_eq!(settings.external_labels.get("dc"), "x");
        for (text, expected) in [
            ("remote_write: []", "remote_write"),
            ("rule_files: [none.yml]", "none.yml"),
            ("rule_files: [other.txt]", "other.txt"),
            ("alerting: {alertmanagers: [{api_version: v1}]}", "api_version"),
            ("alerting: {alertmanagers: [{consul_sd_configs: []}]}", "consul_sd_configs"),
            ("alerting: {alertmanagers: [{tls_config: {ca_file: none.pem}}]}", "none.pem"),
            (
                "alerting: {alert_relabel_configs: [{action: hashmod, target_label: x}]}",
                "alert_relabel_configs",
            ),
            ("global: {evaluation_interval: 0}", "must not be 0"),
        ] {
            write("p.yml", text);
            let error = Settings::read(&directory.path().join("p.yml")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
