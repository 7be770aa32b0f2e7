//! Alerts that were pending or firing before a restart, and rules that change while their alerts fire.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use luma_rules::{Alert, AlertState, Context, Group, RuleFile};
use luma_telemetry::{Metrics, MetricsOptions};
use luma_vfs::SimDisk;

const MINUTE: i64 = 60_000;

fn group() -> Group {
    let text = "groups: [{name: g, rules: [{alert: A, expr: vector(7), for: 30m}]}]";
    let file = RuleFile::parse(text, "f.yml").unwrap();
    Group::new(file.groups.into_iter().next().unwrap(), Duration::from_mins(1), Duration::ZERO)
}

fn open(disk: &SimDisk) -> Context {
    let store = Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), MetricsOptions::default());
    Context::new(Arc::new(store.unwrap()))
}

/// The one alert there is after an evaluation at a minute.
fn alert(group: &mut Group, context: &Context, minute: i64) -> Alert {
    group.evaluate(context, minute * MINUTE);
    group.alerts()["A"][0].clone()
}

#[test]
fn a_restart_goes_on_where_alerts_were() {
    let disk = SimDisk::new();
    let mut before = group();
    let context = open(&disk);
    for minute in 0..10 {
        assert_eq!(alert(&mut before, &context, minute).state, AlertState::Pending);
    }
    drop(context);
    // Pending for 9 minutes, then away for 11: 21 are left.
    let context = open(&disk);
    let mut after = group();
    assert_eq!(alert(&mut after, &context, 20).active_at, 11 * MINUTE);
    assert_eq!(alert(&mut after, &context, 40).state, AlertState::Pending);
    assert_eq!(alert(&mut after, &context, 41).state, AlertState::Firing);
    drop(context);
    // What fired before fires at once.
    let context = open(&disk);
    assert_eq!(alert(&mut group(), &context, 50).state, AlertState::Firing);
    drop(context);
    // After an hour away it begins anew.
    let context = open(&disk);
    assert_eq!(alert(&mut group(), &context, 200).active_at, 200 * MINUTE);
}

#[test]
fn what_is_about_to_fire_has_some_time_to_come_back() {
    let disk = SimDisk::new();
    let mut before = group();
    let context = open(&disk);
    for minute in 0..26 {
        alert(&mut before, &context, minute);
    }
    drop(context);
    let context = open(&disk);
    let mut after = group();
    assert_eq!(alert(&mut after, &context, 30).state, AlertState::Pending);
    assert_eq!(alert(&mut after, &context, 39).state, AlertState::Pending);
    assert_eq!(alert(&mut after, &context, 40).state, AlertState::Firing);
}
