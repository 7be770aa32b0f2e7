//! Telling Alertmanager: a queue that is bounded, sent in the background, tried again for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use luma_promql::Labels;
use luma_promql::answer::{write_labels, write_text};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::alertmanagers::{Alertmanager, Alertmanagers};

use luma_targets::{Method, Texts, explained};

/// How many alerts wait to be told; past it the oldest are forgotten. What fires is told again anyway.
const QUEUE_MAX: usize = 10_000;
/// How many alerts are told at a time.
const BATCH_MAX: usize = 64;
/// How often it is tried.
const ATTEMPTS: u32 = 4;
/// How long to wait before the second time; then twice as long, and so on.
const PAUSE: Duration = Duration::from_millis(500);

/// An alert as Alertmanager is told of it; times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// What names it.
    pub labels: Labels,
    /// What is said of it.
    pub annotations: Texts,
    /// Since when it fires.
    pub starts_at: i64,
    /// When it ended, or until when it is taken for firing.
    pub ends_at: i64,
    /// Where its query is shown.
    pub generator: String,
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Counted {
    /// Alerts told, once for each Alertmanager.
    pub sent: AtomicU64,
    /// Requests that failed.
    pub errors: AtomicU64,
    /// Alerts that no Alertmanager was told of.
    pub dropped: AtomicU64,
}

impl Counted {
    /// Name, type, explanation and value of each.
    pub fn all(&self) -> [(&'static str, &'static str, &'static str, u64); 3] {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "lumadb_alerts_sent_total",
                "counter",
                "Alerts that an Alertmanager was told of.",
                load(&self.sent),
            ),
            (
                "lumadb_alerts_errors_total",
                "counter",
                "Requests to Alertmanagers that failed.",
                load(&self.errors),
            ),
            (
                "lumadb_alerts_dropped_total",
                "counter",
                "Alerts that no Alertmanager was told of.",
                load(&self.dropped),
            ),
        ]
    }
}

/// Tells some Alertmanagers.
#[derive(Debug)]
pub struct Notifier {
    queue: Mutex<VecDeque<Notification>>,
    more: Notify,
    targets: Mutex<Alertmanagers>,
    counted: Arc<Counted>,
}

impl Notifier {
    /// One that tells nobody yet.
    pub fn new(counted: Arc<Counted>) -> Self {
        Self { queue: Mutex::default(), more: Notify::new(), targets: Mutex::default(), counted }
    }

    /// Who is told from now on.
    pub fn tell(&self, alertmanagers: Alertmanagers) {
        *self.targets.lock() = alertmanagers;
    }

    /// Who is told.
    pub fn alertmanagers(&self) -> Alertmanagers {
        self.targets.lock().clone()
    }

    /// Puts alerts into the queue.
    pub fn push(&self, notifications: Vec<Notification>) {
        let targets = self.alertmanagers();
        if notifications.is_empty() || targets.is_empty() {
            return;
        }
        let relabelled = notifications
            .into_iter()
            .filter_map(|told| Some(Notification { labels: targets.relabelled(&told.labels)?, ..told }));
        let mut queue = self.queue.lock();
        queue.extend(relabelled);
        let over = queue.len().saturating_sub(QUEUE_MAX);
        if over > 0 {
            queue.drain(..over);
            self.counted.dropped.fetch_add(over as u64, Ordering::Relaxed);
            warn!(dropped = over, "alerts come faster than Alertmanager takes them");
        }
        drop(queue);
        self.more.notify_one();
    }

    /// Tells what is in the queue until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let batch: Vec<Notification> = {
                let mut queue = self.queue.lock();
                let count = queue.len().min(BATCH_MAX);
                queue.drain(..count).collect()
            };
            if batch.is_empty() {
                tokio::select! {
                    () = self.more.notified() => continue,
                    () = stop.cancelled() => return,
                }
            }
            let targets = self.alertmanagers();
            tokio::select! {
                told = self.send(&targets, &batch) => {
                    if !told {
                        self.counted.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Tells all Alertmanagers; whether any of them was told.
    async fn send(&self, targets: &Alertmanagers, batch: &[Notification]) -> bool {
        let all = targets.clone();
        // Who they are may be said in files.
        let all = tokio::task::spawn_blocking(move || all.all()).await.unwrap_or_default();
        let count = all.len();
        let mut left: Vec<(Alertmanager, String, usize)> = all
            .into_iter()
            .map(|one| {
                let relabelled =
                    batch.iter().filter_map(|told| Some((told, targets.relabelled_for(&one, &told.labels)?)));
                let told: Vec<_> = relabelled.collect();
                let body = body(&told);
                (one, body, told.len())
            })
            .filter(|(_, _, told)| *told > 0)
            .collect();
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let mut failed = Vec::new();
            for (one, body, told) in left {
                match post(&one, &body).await {
                    Ok(()) => drop(self.counted.sent.fetch_add(told as u64, Ordering::Relaxed)),
                    Err(what) => {
                        self.counted.errors.fetch_add(1, Ordering::Relaxed);
                        warn!(address = %one.url, attempt, what, "Alertmanager could not be told of alerts");
                        failed.push((one, body, told));
                    }
                }
            }
            left = failed;
            if left.is_empty() {
                return count > 0;
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        left.len() < count
    }
}

async fn post(one: &Alertmanager, body: &str) -> Result<(), String> {
    let request = one.client.request(Method::POST, one.url.clone())?;
    let request = request.header("content-type", "application/json").timeout(one.timeout);
    match request.body(body.to_owned()).send().await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("it answered {}", response.status())),
        Err(error) => Err(explained(&error)),
    }
}

/// Milliseconds as a date; a date of the calendar's end for what is none.
pub(crate) fn date(t: i64) -> String {
    let time = DateTime::from_timestamp_millis(t).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(crate) fn write_texts(texts: &Texts, out: &mut String) {
    out.push('{');
    for (at, (name, text)) in texts.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write_text(text, out);
    }
    out.push('}');
}

fn body(batch: &[(&Notification, Labels)]) -> String {
    let mut out = String::from("[");
    for (at, (alert, labels)) in batch.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str("{\"annotations\":");
        write_texts(&alert.annotations, &mut out);
        out.push_str(&format!(
            ",\"endsAt\":\"{}\",\"startsAt\":\"{}\"",
            date(alert.ends_at),
            date(alert.starts_at)
        ));
        out.push_str(",\"generatorURL\":");
        write_text(&alert.generator, &mut out);
        out.push_str(",\"labels\":");
        write_labels(labels, &mut out);
        out.push('}');
    }
    out.push(']');
    out
}
