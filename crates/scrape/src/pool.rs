//! The targets of a job: found, asked each at its interval by a task of its own, and let go.
//!
//! A target that is there no more may come back, as it does when a program is started anew: its series end only two
//! intervals later. Then it is as if it had not been asked once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use luma_promql::Labels;
use luma_targets::{Client, Discovery, LabelSet};
use luma_telemetry::Metadata;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use xxhash_rust::xxh3::xxh3_64;

use crate::cache::Cache;
use crate::exposition::Format;
use crate::fetch::{Answer, fetch};
use crate::scraping::{Context, Of};
use crate::settings::Job;
use crate::target::{Found, Target, target};

/// How often files of targets are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How late a scrape may be for its time to be the planned one, in milliseconds: times an interval apart take less room.
const LATE_MAX: i64 = 10;

/// By what a target is known.
pub(crate) type Identity = (String, Labels);

/// The server's own metrics in Prometheus' text form.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// What all pools share.
#[derive(Debug)]
pub(crate) struct Common {
    pub runtime: Handle,
    pub context: Arc<Context>,
    /// How many answers are read at a time.
    pub reading: Semaphore,
    pub stop: CancellationToken,
}

/// How a target is.
#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    /// Whether it answered, once it was asked.
    pub health: Option<Result<(), String>>,
    /// When it was asked last, in milliseconds.
    pub at: Option<i64>,
    pub took: Duration,
    pub metadata: Arc<BTreeMap<String, Metadata>>,
}

/// A target that is asked, for those who want to see it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub target: Arc<Target>,
    pub state: Arc<Mutex<State>>,
}

/// What there is to be seen of a pool.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub active: Vec<Shown>,
    pub dropped: Vec<LabelSet>,
    pub dropped_count: usize,
}

/// A target's task.
#[derive(Debug)]
pub(crate) struct Running {
    target: Arc<Target>,
    state: Arc<Mutex<State>>,
    leave: CancellationToken,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Cache>,
}

impl Running {
    /// Has its series end, unless it comes back.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

/// A job's targets while they are asked.
pub(crate) struct Pool {
    pub common: Arc<Common>,
    pub job: Arc<Job>,
    pub view: Arc<Mutex<View>>,
    /// What it takes over from the one that it replaces.
    pub inherited: HashMap<Identity, Running>,
}

impl Pool {
    /// Asks targets until it is stopped; what is there then.
    pub async fn run(self, stop: CancellationToken) -> HashMap<Identity, Running> {
        let Self { common, job, view, mut inherited } = self;
        let made = job.discovery().and_then(|discovery| Ok((discovery, job.client.client(&job.directory)?)));
        let (mut discovery, client) = match made {
            Ok(made) => made,
            Err(what) => {
                error!(job = job.name, what, "the targets of a job can't be asked");
                return inherited;
            }
        };
        let mut running = HashMap::new();
        let forced = Arc::new(Mutex::new(None));
        let mut first = true;
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                let changed = discovery.refresh();
                (discovery, changed)
            });
            let Ok((found, changed)) = looked.await else {
                error!(job = job.name, "looking for targets ended by a defect");
                return running;
            };
            discovery = found;
            if changed || first {
                let mut syncing = Syncing {
                    common: &common,
                    job: &job,
                    client: &client,
                    forced: &forced,
                    running: &mut running,
                };
                syncing.sync(&discovery, &mut inherited, &view).await;
            }
            first = false;
            let wait = if discovery.changes() { LOOK } else { Duration::MAX };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => break,
            }
        }
        // Those that were not wanted any more may be wanted again.
        running.extend(inherited);
        running
    }
}

/// What is wrong with all targets of a job at once.
type Forced = Arc<Mutex<Option<String>>>;

struct Syncing<'a> {
    common: &'a Arc<Common>,
    job: &'a Arc<Job>,
    client: &'a Client,
    forced: &'a Forced,
    running: &'a mut HashMap<Identity, Running>,
}

impl Syncing<'_> {
    /// Asks what was found, and nothing else any more.
    async fn sync(
        &mut self,
        discovery: &Discovery,
        inherited: &mut HashMap<Identity, Running>,
        view: &Mutex<View>,
    ) {
        let job = self.job;
        let (mut wanted, mut dropped): (BTreeMap<Identity, Target>, _) = (BTreeMap::new(), Vec::new());
        for labels in discovery.targets() {
            match target(labels, job) {
                Ok(Found::Target(target)) => drop(wanted.insert(target.identity(), *target)),
                Ok(Found::Dropped(labels)) => dropped.push(labels),
                Err(what) => {
                    let address = labels.get("__address__");
                    warn!(job = job.name, address, what, "what was found is no target");
                }
            }
        }
        let limit = job.limits.targets;
        *self.forced.lock() = (limit > 0 && wanted.len() > limit)
            .then(|| format!("target_limit exceeded (number of targets: {}, limit: {limit})", wanted.len()));
        self.running.retain(|_, running| !running.is_over());
        for (identity, running) in self.running.iter().chain(inherited.iter()) {
            if !wanted.contains_key(identity) {
                running.leave();
            }
        }
        let mut active = Vec::with_capacity(wanted.len());
        for (identity, target) in wanted {
            let target = Arc::new(target);
            let before = self.running.remove(&identity);
            let running = match before {
                Some(running)
                    if !running.leave.is_cancelled()
                        && (&running.target.interval, &running.target.timeout)
                            == (&target.interval, &target.timeout) =>
                {
                    running
                }
                other => {
                    let mut cache = Cache::default();
                    let mut state = Arc::default();
                    if let Some(old) = other.or_else(|| inherited.remove(&identity)) {
                        old.stop.cancel();
                        cache = old.task.await.unwrap_or_default();
                        state = old.state;
                    }
                    match self.start(Arc::clone(&target), state, cache) {
                        Ok(running) => running,
                        Err(what) => {
                            error!(url = %target.url, what, "a target can't be asked");
                            continue;
                        }
                    }
                }
            };
            active.push(Shown { target, state: Arc::clone(&running.state) });
            self.running.insert(identity, running);
        }
        // Those that go end by themselves; they are kept as they may come back.
        self.running.extend(inherited.drain());
        let dropped_count = dropped.len();
        dropped.truncate(job.limits.dropped_shown);
        *view.lock() = View { active, dropped, dropped_count };
    }

    fn start(&self, target: Arc<Target>, state: Arc<Mutex<State>>, cache: Cache) -> Result<Running, String> {
        let client = self.job.client.client_for(self.client, &target.url, &self.job.directory)?;
        let asking = Asking {
            common: Arc::clone(self.common),
            job: Arc::clone(self.job),
            target,
            origin: Origin::Http { client, forced: Arc::clone(self.forced) },
            state,
            cache,
        };
        Ok(asking.start())
    }
}

/// Where answers come from.
pub(crate) enum Origin {
    /// The target.
    Http { client: Client, forced: Forced },
    /// The server itself.
    Own(Render),
}

/// What a target's task does.
pub(crate) struct Asking {
    pub common: Arc<Common>,
    pub job: Arc<Job>,
    pub target: Arc<Target>,
    pub origin: Origin,
    pub state: Arc<Mutex<State>>,
    pub cache: Cache,
}

impl Asking {
    pub fn start(self) -> Running {
        let (leave, stop) = (CancellationToken::new(), self.common.stop.child_token());
        let (target, state) = (Arc::clone(&self.target), Arc::clone(&self.state));
        let runtime = self.common.runtime.clone();
        let task = runtime.spawn(self.run(leave.clone(), stop.clone()));
        Running { target, state, leave, stop, task }
    }

    /// Asks until it is stopped, then gives what is known of the target; or until the target has left.
    async fn run(mut self, leave: CancellationToken, stop: CancellationToken) -> Cache {
        let interval = (self.target.interval.0.as_millis() as i64).max(1);
        // At times that are the same after a restart, and not the same for all targets.
        let name = format!("{}{}", self.target.url, self.target.labels);
        let shift = (xxh3_64(name.as_bytes()) % interval as u64) as i64;
        let mut next = slot(now_ms(), interval, shift) + interval;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.cache,
                () = leave.cancelled() => break,
                () = until(next) => {}
            }
            let late = now_ms() - next;
            let t = if (0..=LATE_MAX.min(interval / 100)).contains(&late) { next } else { now_ms() };
            let began = Instant::now();
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.cache,
                answer = self.ask() => self.take(answer, t, began).await,
            }
            // What was missed meanwhile is left out.
            next = slot(now_ms(), interval, shift).max(next) + interval;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return self.cache,
            () = until(next + interval + interval / 10) => {}
        }
        self.work(move |of, cache| of.end(cache, next)).await;
        Cache::default()
    }

    async fn ask(&self) -> Result<Answer, String> {
        match &self.origin {
            Origin::Own(render) => {
                let (render, runtime) = (Arc::clone(render), self.common.runtime.clone());
                let text = runtime.spawn_blocking(move || render()).await;
                let text = text.map_err(|_| "it ended by a defect".to_owned())?;
                Ok(Answer { body: text.into_bytes(), packed: false, format: Format::Text })
            }
            Origin::Http { client, forced } => {
                let forced = forced.lock().clone();
                match forced {
                    Some(what) => Err(what),
                    None => fetch(client, &self.target, &self.job).await,
                }
            }
        }
    }

    async fn take(&mut self, answer: Result<Answer, String>, t: i64, began: Instant) {
        let outcome = self.work(move |of, cache| of.take(cache, answer, t, began)).await;
        let outcome = outcome.unwrap_or_else(|| Err("reading the answer ended by a defect".to_owned()));
        if let Err(what) = &outcome {
            debug!(url = %self.target.url, what, "a target could not be scraped");
        }
        let mut state = self.state.lock();
        if *state.metadata != self.cache.metadata {
            state.metadata = Arc::new(self.cache.metadata.clone());
        }
        (state.health, state.at, state.took) = (Some(outcome), Some(t), began.elapsed());
    }

    /// Does what reads and stores, apart from the threads that serve and not for all targets at a time.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Of<'_>, &mut Cache) -> T + Send + 'static,
    ) -> Option<T> {
        let _permit = self.common.reading.acquire().await.ok()?;
        let mut cache = std::mem::take(&mut self.cache);
        let (target, job) = (Arc::clone(&self.target), Arc::clone(&self.job));
        let context = Arc::clone(&self.common.context);
        let done = self.common.runtime.spawn_blocking(move || {
            let out = work(Of { target: &target, job: &job, context: &context }, &mut cache);
            (cache, out)
        });
        match done.await {
            Ok((cache, out)) => {
                self.cache = cache;
                Some(out)
            }
            Err(_) => {
                error!(url = %self.target.url, "the answer of a target ended by a defect");
                None
            }
        }
    }
}

async fn until(t: i64) {
    let wait = u64::try_from(t - now_ms()).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(wait)).await;
}

/// The last time of a scrape up to now.
fn slot(now: i64, interval: i64, shift: i64) -> i64 {
    now - (now - shift).rem_euclid(interval)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
