//! Groups, rules and alerts as Prometheus' HTTP interface tells them.

use std::fmt::Write as _;
use std::time::Duration;

use luma_promql::answer::{write_labels, write_list, write_text};
use luma_promql::format_scientific;
use xxhash_rust::xxh3::xxh3_128;

use crate::alert::{Alert, AlertState};
use crate::file::Definition;
use crate::group::{GroupStatus, RuleStatus};
use crate::manager::Manager;
use crate::notify::{date, write_texts};

/// What of the rules is wanted; everything if a part is empty.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `alert` or `record`.
    pub kind: String,
    /// Names of rules.
    pub rules: Vec<String>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Names of files.
    pub files: Vec<String>,
    /// Whether alerts are left out.
    pub exclude_alerts: bool,
    /// How many groups are told at a time; 0 for any number.
    pub group_limit: usize,
    /// Where the page before ended, as it said.
    pub group_next_token: String,
}

/// What names a group where a page ends.
fn token(group: &GroupStatus) -> String {
    format!("{:032x}", xxh3_128(format!("{};{}", group.file, group.name).as_bytes()))
}

/// What a time before the first evaluation is shown as.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Manager {
    /// The `data` of `/api/v1/rules`; `None` if there is no page where it is to begin.
    pub fn rules(&self, filter: &Filter) -> Option<String> {
        let wanted = |names: &[String], name: &str| names.is_empty() || names.iter().any(|own| own == name);
        let of_rule = |rule: &&RuleStatus| {
            let kind = if rule.is_alerting() { "alert" } else { "record" };
            (filter.kind.is_empty() || filter.kind == kind) && wanted(&filter.rules, &rule.definition.name)
        };
        let narrows = !(filter.kind.is_empty() && filter.rules.is_empty());
        let mut out = String::from("{\"groups\":[");
        let mut written = 0;
        let mut next = None;
        let mut begun = filter.group_next_token.is_empty();
        for group in self.status() {
            begun |= token(&group) == filter.group_next_token;
            if !begun || !wanted(&filter.groups, &group.name) || !wanted(&filter.files, &group.file) {
                continue;
            }
            let rules: Vec<&RuleStatus> = group.rules.iter().filter(of_rule).collect();
            if rules.is_empty() && narrows {
                continue;
            }
            if filter.group_limit > 0 && written == filter.group_limit {
                next = Some(token(&group));
                break;
            }
            if written > 0 {
                out.push(',');
            }
            written += 1;
            write_group(&group, &rules, filter.exclude_alerts, &mut out);
        }
        out.push(']');
        if let Some(next) = next {
            let _ = write!(out, ",\"groupNextToken\":\"{next}\"");
        }
        out.push('}');
        begun.then_some(out)
    }

    /// The `data` of `/api/v1/alerts`.
    pub fn alerts(&self) -> String {
        let groups = self.status();
        let rules = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.is_alerting());
        let alerts: Vec<&Alert> = rules.flat_map(RuleStatus::active).collect();
        let mut out = String::from("{\"alerts\":");
        write_list(&alerts, &mut out, |alert, out| write_alert(alert, out));
        out.push('}');
        out
    }

    /// The `data` of `/api/v1/alertmanagers`.
    pub fn alertmanagers(&self) -> String {
        let mut out = String::from("{\"activeAlertmanagers\":");
        write_list(&self.notifier().alertmanagers().addresses(), &mut out, |address, out| {
            out.push_str("{\"url\":");
            write_text(address, out);
            out.push('}');
        });
        out.push_str(",\"droppedAlertmanagers\":[]}");
        out
    }
}

impl RuleStatus {
    fn is_alerting(&self) -> bool {
        matches!(self.definition.kind, Definition::Alerting { .. })
    }

    fn active(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.state != AlertState::Inactive)
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn time(t: Option<i64>) -> String {
    t.map_or_else(|| NEVER.to_owned(), date)
}

fn write_group(group: &GroupStatus, rules: &[&RuleStatus], exclude_alerts: bool, out: &mut String) {
    out.push_str("{\"name\":");
    write_text(&group.name, out);
    out.push_str(",\"file\":");
    write_text(&group.file, out);
    out.push_str(",\"rules\":");
    write_list(rules, out, |rule, out| write_rule(rule, exclude_alerts, out));
    let _ = write!(
        out,
        ",\"interval\":{},\"limit\":{},\"evaluationTime\":{},\"lastEvaluation\":\"{}\"}}",
        seconds(group.interval),
        group.limit,
        seconds(group.took),
        time(group.at)
    );
}

fn write_rule(rule: &RuleStatus, exclude_alerts: bool, out: &mut String) {
    out.push('{');
    let definition = &rule.definition;
    if let Definition::Alerting { hold, keep, annotations } = &definition.kind {
        let state = rule.active().map(|alert| alert.state).max();
        let state = match (&rule.outcome.health, state) {
            (None, _) => "unknown",
            (Some(_), None) => "inactive",
            (Some(_), Some(state)) => state.name(),
        };
        let (hold, keep) = (seconds(*hold), seconds(*keep));
        let _ = write!(
            out,
            "\"state\":\"{state}\",\"duration\":{hold},\"keepFiringFor\":{keep},\"annotations\":"
        );
        write_texts(annotations, out);
        out.push_str(",\"alerts\":");
        let alerts: Vec<&Alert> = if exclude_alerts { Vec::new() } else { rule.active().collect() };
        write_list(&alerts, out, |alert, out| write_alert(alert, out));
        out.push_str(",\"labels\":");
        write_texts(&definition.labels, out);
        out.push(',');
    } else if !definition.labels.is_empty() {
        out.push_str("\"labels\":");
        write_texts(&definition.labels, out);
        out.push(',');
    }
    out.push_str("\"name\":");
    write_text(&definition.name, out);
    out.push_str(",\"query\":");
    write_text(&definition.expr, out);
    match &rule.outcome.health {
        None => out.push_str(",\"health\":\"unknown\""),
        Some(Ok(())) => out.push_str(",\"health\":\"ok\""),
        Some(Err(what)) => {
            out.push_str(",\"health\":\"err\",\"lastError\":");
            write_text(what, out);
        }
    }
    let kind = if rule.is_alerting() { "alerting" } else { "recording" };
    let _ = write!(
        out,
        ",\"evaluationTime\":{},\"lastEvaluation\":\"{}\",\"type\":\"{kind}\"}}",
        seconds(rule.outcome.took),
        time(rule.outcome.at)
    );
}

fn write_alert(alert: &Alert, out: &mut String) {
    out.push_str("{\"labels\":");
    write_labels(&alert.labels, out);
    out.push_str(",\"annotations\":");
    write_texts(&alert.annotations, out);
    let _ = write!(out, ",\"state\":\"{}\",\"activeAt\":\"{}\"", alert.state.name(), date(alert.active_at));
    if let Some(since) = alert.kept_since {
        let _ = write!(out, ",\"keepFiringSince\":\"{}\"", date(since));
    }
    let _ = write!(out, ",\"value\":\"{}\"}}", format_scientific(alert.value));
}
