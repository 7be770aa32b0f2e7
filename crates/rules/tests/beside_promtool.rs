//! The same rules over the same series as `promtool test rules`: what ours make is written down as what it should find,
//! at every minute. No range ends where a sample is: Debian's promtool is of Prometheus 2, which takes both ends. Skipped where promtool is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use luma_promql::{Options, STALE_MARKER, Sample, Value, instant, is_stale};
use luma_rules::{AlertState, Context, Group, RuleFile};
use luma_telemetry::{Batch, Metrics, MetricsOptions};
use luma_vfs::SimDisk;

const MINUTES: i64 = 40;

/// Rules of every kind, with the templates that people write.
const RULES: &str = r#"
groups:
- name: records
  interval: 1m
  rules:
  - record: job:requests:rate
    expr: sum by (job) (rate(requests_total[4m30s]))
    labels: {team: red, job: "api"}
  - record: instance:load:max
    expr: max_over_time(load[2m30s])
  - record: twice
    expr: instance:load:max * 2
  - record: one
    expr: 1
- name: alerts
  interval: 1m
  rules:
  - alert: Down
    expr: up == 0
    for: 3m
    labels: {severity: 'page {{ $labels.job | toUpper }}', empty: ''}
    annotations:
      summary: '{{ $labels.instance | stripPort }} of {{ $labels.job }} is down ({{ $value }})'
      missing: '{{ $labels.nothing }}'
  - alert: Loaded
    expr: load > 4
    keep_firing_for: 4m
    annotations:
      text: '{{ if gt $value 6.0 }}very {{ else }}quite {{ end }}loaded: {{ printf "%.2f" $value }} {{ humanize $value }}'
      up: '{{ range query "up" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }} {{ end }}'
      how: '{{ with query "sum(load)" }}{{ . | first | value | humanizePercentage }}{{ end }}'
  - alert: Slow
    expr: job:requests:rate < 0.05
    for: 1m
    annotations:
      rate: '{{ $value | humanizeDuration }} {{ humanize1024 $value }} {{ reReplaceAll "a(.)i" "$1" $labels.job }}'
  - alert: Always
    expr: vector(1)
"#;

/// A series' name and labels, and a value a minute; `None` where there is none.
type Given = (String, Vec<(&'static str, &'static str)>, Vec<Option<f64>>);

fn series() -> Vec<Given> {
    let of = |f: &dyn Fn(i64) -> Option<f64>| (0..MINUTES).map(f).collect::<Vec<_>>();
    let up_a = of(&|at| Some(f64::from(u8::from(!(5..=12).contains(&at) && !(20..=21).contains(&at)))));
    let up_b = of(&|at| match at {
        30 => Some(STALE_MARKER),
        31.. => None,
        _ => Some(f64::from(u8::from(at < 15))),
    });
    let load = of(&|at| Some([1.0, 5.25, 7.5, 2.0, 0.5, 0.25, 0.125, 3.0][usize::try_from(at % 8).unwrap()]));
    let requests = of(&|at| Some(if at < 20 { at as f64 * 6.0 } else { 120.0 }));
    vec![
        ("up".into(), vec![("instance", "a:9100"), ("job", "node")], up_a),
        ("up".into(), vec![("instance", "b:9100"), ("job", "node")], up_b),
        ("load".into(), vec![("instance", "a:9100")], load),
        ("requests_total".into(), vec![("job", "api"), ("code", "200")], requests),
    ]
}

fn shown(name: &str, labels: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{name}{{{}}}", pairs.join(","))
}

fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn alerts_and_recorded_series_are_those_of_promtool() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: there is no promtool (package prometheus)");
        return;
    }
    let options = MetricsOptions { out_of_order_window_ms: i64::MAX, ..MetricsOptions::default() };
    let store = Metrics::open(Arc::new(SimDisk::new()), Path::new("/metrics"), options).unwrap();
    let store = Arc::new(store);
    let mut test = String::from(
        "rule_files: [rules.yml]\ngroup_eval_order: [records, alerts]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n",
    );
    for (name, labels, values) in series() {
        let mut batch = Batch::default();
        let pairs = labels.iter().copied().chain([("__name__", name.as_str())]);
        let own = batch.series(pairs).unwrap();
        let mut written = String::new();
        for (at, value) in (0i64..).zip(&values) {
            match value {
                Some(value) => {
                    let shown = if is_stale(*value) { "stale".to_owned() } else { value.to_string() };
                    batch.float(own, at * 60_000, 0, *value);
                    write!(written, "{shown} ").unwrap();
                }
                None => written += "_ ",
            }
        }
        store.append(&batch).unwrap();
        writeln!(test, "  - series: {}\n    values: {}", yaml(&shown(&name, &labels)), yaml(written.trim()))
            .unwrap();
    }
    let file = RuleFile::parse(RULES, "rules.yml").unwrap();
    let mut groups: Vec<Group> = file
        .groups
        .into_iter()
        .map(|group| Group::new(group, Duration::from_mins(1), Duration::ZERO))
        .collect();
    // Sums of changes over the whole time, so that a restart has nothing to go on from.
    let context = Context { grace_ms: i64::MAX, ..Context::new(Arc::clone(&store)) };
    let (mut alerts, mut samples) = (String::new(), String::new());
    let mut states = [0; 3];
    for minute in 0..MINUTES {
        let t = minute * 60_000;
        for group in &mut groups {
            group.evaluate(&context, t);
        }
        for (name, own) in groups[1].alerts() {
            writeln!(alerts, "  - eval_time: {minute}m\n    alertname: {name}\n    exp_alerts:").unwrap();
            states[0] += own.iter().filter(|alert| alert.state == AlertState::Inactive).count();
            states[1] += own.iter().filter(|alert| alert.state == AlertState::Pending).count();
            for alert in own.iter().filter(|alert| alert.state == AlertState::Firing) {
                states[2] += 1;
                alerts += "    - exp_labels:\n";
                for (name, value) in alert.labels.iter().filter(|(name, _)| *name != "alertname") {
                    writeln!(alerts, "        {name}: {}", yaml(value)).unwrap();
                }
                alerts += "      exp_annotations:\n";
                for (name, value) in &alert.annotations {
                    writeln!(alerts, "        {name}: {}", yaml(value)).unwrap();
                }
            }
        }
        let queries =
            ["job:requests:rate", "instance:load:max", "twice", "one", "ALERTS", "ALERTS_FOR_STATE"];
        for query in queries {
            let answer = instant(&*store, query, t, &Options::default()).unwrap();
            let Value::Vector(_, found) = answer.value else { panic!("a vector") };
            writeln!(samples, "  - expr: {query}\n    eval_time: {minute}m\n    exp_samples:").unwrap();
            for sample in found {
                let Sample::Float(value) = sample.value else { panic!("a number") };
                let name = sample.labels.metric_name();
                let labels: Vec<_> = sample.labels.iter().filter(|(name, _)| *name != "__name__").collect();
                writeln!(samples, "    - {{labels: {}, value: {value}}}", yaml(&shown(name, &labels)))
                    .unwrap();
            }
        }
    }
    assert!(states.iter().all(|count| *count > 5), "some state hardly occurs: {states:?}");
    write!(test, "  alert_rule_test:\n{alerts}  promql_expr_test:\n{samples}").unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rules.yml"), RULES).unwrap();
    std::fs::write(directory.path().join("test.yml"), &test).unwrap();
    let run =
        Command::new("promtool").args(["test", "rules", "test.yml"]).current_dir(directory.path()).output();
    let run = run.unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
}
