//! Gathers changes and tells others of them, from a thread of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use crate::config::{Config, IndexNowConfig};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::notify::ping;
use crate::site::Site;

/// Changes that wait; more are counted and not told.
const WAITING_MAX: usize = 100_000;

#[derive(Default)]
struct Counts {
    urls: AtomicU64,
    messages: AtomicU64,
    lost: AtomicU64,
    error: Mutex<Option<String>>,
}

/// What was told so far.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    urls: u64,
    messages: u64,
    lost: u64,
    last_error: Option<String>,
}

/// Where changes are told to.
#[derive(Clone)]
pub(super) struct Tell {
    sender: SyncSender<String>,
    counts: Arc<Counts>,
}

impl Tell {
    /// Starts the thread, if somebody is to be told.
    pub(super) fn start(engine: &Engine, config: &Config) -> Result<Option<Self>> {
        if config.index_now.is_none() && config.ping.is_empty() {
            return Ok(None);
        }
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let counts = Arc::<Counts>::default();
        let teller = Teller {
            site: engine.site().clone(),
            sitemap: config.url_of(engine.site(), &config.output.filename)?,
            index_now: config.index_now.clone(),
            ping: config.ping.clone(),
            counts: Arc::clone(&counts),
        };
        std::thread::Builder::new()
            .name("lux-notify".to_owned())
            .spawn(move || teller.run(&receiver))
            .map_err(|error| Error::io("a thread".as_ref(), error))?;
        Ok(Some(Self { sender, counts }))
    }

    pub(super) fn changed(&self, url: &str) {
        if self.sender.try_send(url.to_owned()).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn report(&self) -> Report {
        Report {
            urls: self.counts.urls.load(Ordering::Relaxed),
            messages: self.counts.messages.load(Ordering::Relaxed),
            lost: self.counts.lost.load(Ordering::Relaxed),
            last_error: self.counts.error.lock().clone(),
        }
    }
}

struct Teller {
    site: Site,
    sitemap: String,
    index_now: Option<IndexNowConfig>,
    ping: Vec<String>,
    counts: Arc<Counts>,
}

impl Teller {
    fn run(&self, changes: &Receiver<String>) {
        let delay =
            Duration::from_millis(self.index_now.as_ref().map_or(10_000, |index_now| index_now.delay_ms));
        while let Ok(first) = changes.recv() {
            let mut urls = BTreeSet::from([first]);
            let end = Instant::now() + delay;
            while urls.len() < WAITING_MAX {
                match changes.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(url) => urls.insert(url),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                };
            }
            self.tell(&urls);
        }
    }

    fn tell(&self, urls: &BTreeSet<String>) {
        let mut told = Ok(0);
        if let Some(index_now) = &self.index_now {
            told = index_now.tell(&self.site, urls);
        }
        for url in &self.ping {
            told = told.and_then(|messages| ping(url, &self.sitemap).map(|()| messages + 1));
        }
        let counts = &self.counts;
        match told {
            Ok(messages) => {
                counts.urls.fetch_add(urls.len() as u64, Ordering::Relaxed);
                counts.messages.fetch_add(messages, Ordering::Relaxed);
                *counts.error.lock() = None;
            }
            Err(error) => {
                counts.lost.fetch_add(urls.len() as u64, Ordering::Relaxed);
                *counts.error.lock() = Some(error.to_string());
            }
        }
    }
}
