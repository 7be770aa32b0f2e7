//! When sources are asked, by mode.
//!
//! Whatever the number of requests, sources are asked by one of them at a time, and the others share what
//! comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;

use super::once::Once;
use super::tell::Tell;
use super::{Refusal, blocking};
use crate::config::{Config, Mode};
use crate::engine::Engine;
use crate::error::Result;
use crate::refresh::Refreshed;
use crate::sources::SourceConfig;

/// After a failure, sources are left alone for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What is known of the last refreshes.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    refreshes: u64,
    failures: u64,
    last_error: Option<String>,
    #[serde(skip)]
    succeeded: Option<Instant>,
    #[serde(skip)]
    failed: Option<Instant>,
}

pub(super) struct Fresh {
    engine: Engine,
    sources: Arc<Vec<SourceConfig>>,
    mode: Mode,
    ttl: Duration,
    stale: Duration,
    report: Arc<Mutex<Report>>,
    once: Arc<Once<(), Arc<Refreshed>>>,
    tell: Option<Tell>,
}

/// What is to be done before an answer.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// What is there may be served while sources are asked.
    Meanwhile,
    Wait,
}

impl Fresh {
    pub(super) fn new(engine: &Engine, config: &Config, tell: Option<Tell>) -> Self {
        Self {
            engine: engine.clone(),
            sources: Arc::new(config.sources.clone()),
            mode: config.mode,
            ttl: Duration::from_secs(config.cache.ttl),
            stale: Duration::from_secs(config.cache.stale_while_revalidate),
            report: Arc::default(),
            once: Arc::default(),
            tell,
        }
    }

    pub(super) fn report(&self) -> Report {
        self.report.lock().clone()
    }

    /// The number of refreshes tells whether another one came in between.
    fn need(&self) -> (Need, u64) {
        let report = self.report.lock();
        (self.need_after(&report), report.refreshes)
    }

    fn need_after(&self, report: &Report) -> Need {
        if self.sources.is_empty() {
            return Need::Nothing;
        }
        let resting = report.failed.is_some_and(|failed| failed.elapsed() < AFTER_FAILURE);
        match (self.mode, report.succeeded) {
            (Mode::Incremental, _) => Need::Nothing,
            _ if resting => Need::Nothing,
            (Mode::Dynamic, _) | (_, None) => Need::Wait,
            (Mode::Cached, Some(succeeded)) => {
                let age = succeeded.elapsed();
                match () {
                    () if age < self.ttl => Need::Nothing,
                    () if age < self.ttl + self.stale => Need::Meanwhile,
                    () => Need::Wait,
                }
            }
        }
    }

    /// Completes when what is in the store may be served.
    pub(super) async fn ready(&self) -> Result<(), Refusal> {
        let (need, refreshes) = self.need();
        match need {
            Need::Nothing => self.is_whole(),
            Need::Meanwhile => {
                // Begun here and waited for by nobody.
                let (once, make) = (Arc::clone(&self.once), self.make(Some(refreshes)));
                tokio::spawn(async move { once.get((), make).await.map(drop) });
                Ok(())
            }
            Need::Wait => {
                self.once.get((), self.make(Some(refreshes))).await?;
                self.is_whole()
            }
        }
    }

    /// What was there before is better than nothing, but a first answer must be whole.
    fn is_whole(&self) -> Result<(), Refusal> {
        let report = self.report.lock();
        match &report.last_error {
            Some(error) if report.succeeded.is_none() && self.mode != Mode::Incremental => {
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Asks the sources now.
    pub(super) async fn now(&self) -> Result<Arc<Refreshed>> {
        self.once.get((), self.make(None)).await
    }

    /// Asks the sources, unless that was done since `refreshes` were counted.
    fn make(
        &self,
        refreshes: Option<u64>,
    ) -> impl FnOnce() -> futures::future::BoxFuture<'static, Result<Arc<Refreshed>>> + Send + use<> {
        let (engine, sources) = (self.engine.clone(), Arc::clone(&self.sources));
        let (report, tell) = (Arc::clone(&self.report), self.tell.clone());
        move || {
            Box::pin(async move {
                if refreshes.is_some_and(|refreshes| refreshes != report.lock().refreshes) {
                    return Ok(Arc::default());
                }
                let begun = Instant::now();
                let refreshed = blocking(move || {
                    engine.refresh(&sources, &mut |url| {
                        if let Some(tell) = &tell {
                            tell.changed(url);
                        }
                    })
                })
                .await;
                let mut report = report.lock();
                report.refreshes += 1;
                let error = match &refreshed {
                    Ok(refreshed) => (!refreshed.failed.is_empty()).then(|| refreshed.failed.join("; ")),
                    Err(error) => Some(error.to_string()),
                };
                if error.is_some() {
                    report.failures += 1;
                    report.failed = Some(Instant::now());
                } else {
                    (report.succeeded, report.failed) = (Some(begun), None);
                }
                report.last_error = error;
                refreshed.map(Arc::new)
            })
        }
    }
}
