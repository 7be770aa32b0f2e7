//! All jobs, and changing them while they run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use luma_promql::Labels;
use luma_targets::{LabelSet, Url};
use luma_telemetry::Metrics;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::metrics::Counted;
use crate::pool::{Asking, Common, Identity, Origin, Pool, Running, Shown, View};
use crate::scraping::Context;
use crate::settings::{Job, Settings};
use crate::target::Target;

/// The server's own metrics, which it stores itself.
#[derive(Clone)]
pub struct Own {
    /// The label `job` that they have.
    pub job: String,
    /// The label `instance`: an address.
    pub instance: String,
    /// How often they are stored.
    pub interval: Duration,
    /// The metrics in Prometheus' text form.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Own")
            .field("job", &self.job)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// Asks the targets of all jobs.
#[derive(Debug)]
pub struct Manager {
    common: Arc<Common>,
    /// Held while jobs change.
    jobs: tokio::sync::Mutex<Jobs>,
    views: Mutex<Vec<Seen>>,
    own: Mutex<Option<Seen>>,
}

/// What there is to be seen of a job.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub job: String,
    pub view: Arc<Mutex<View>>,
}

#[derive(Debug, Default)]
struct Jobs {
    running: Vec<RunningJob>,
    /// Targets of jobs that are there no more, until their series have ended.
    leaving: HashMap<String, HashMap<Identity, Running>>,
}

#[derive(Debug)]
struct RunningJob {
    job: Arc<Job>,
    view: Arc<Mutex<View>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<HashMap<Identity, Running>>,
}

impl Manager {
    /// One without jobs, whose tasks run there until they are stopped. Samples may be so far ahead of the clock.
    pub fn new(
        runtime: Handle,
        store: Arc<Metrics>,
        future_max: Duration,
        counted: Arc<Counted>,
        stop: CancellationToken,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let context = Arc::new(Context { store, future_max, counted });
        // Half of them may wait for the disk.
        let common = Common { runtime, context, reading: Semaphore::new(threads * 2), stop };
        Self {
            common: Arc::new(common),
            jobs: tokio::sync::Mutex::default(),
            views: Mutex::default(),
            own: Mutex::default(),
        }
    }

    /// Asks the targets of these jobs from now on. Jobs that did not change go on as they are, and so do targets; others
    /// end.
    pub async fn load(&self, settings: Settings) {
        let mut jobs = self.jobs.lock().await;
        let mut before = std::mem::take(&mut jobs.running);
        for job in settings.jobs {
            let old = before.iter().position(|old| old.job.name == job.name).map(|at| before.swap_remove(at));
            let inherited = match old {
                Some(old) if *old.job == *job => {
                    jobs.running.push(old);
                    continue;
                }
                Some(old) => old.ended().await,
                None => jobs.leaving.remove(&job.name).unwrap_or_default(),
            };
            jobs.running.push(self.start(job, inherited));
        }
        for old in before {
            let name = old.job.name.clone();
            let targets = old.ended().await;
            targets.values().for_each(Running::leave);
            jobs.leaving.insert(name, targets);
        }
        for targets in jobs.leaving.values_mut() {
            targets.retain(|_, running| !running.is_over());
        }
        jobs.leaving.retain(|_, targets| !targets.is_empty());
        let seen =
            |running: &RunningJob| Seen { job: running.job.name.clone(), view: Arc::clone(&running.view) };
        *self.views.lock() = jobs.running.iter().map(seen).collect();
    }

    /// Stores the server's own metrics from now on.
    ///
    /// # Errors
    /// When its address can be none.
    pub fn store_own(&self, own: Own) -> Result<(), String> {
        let job = Job::own(&own.job, own.interval);
        let text = format!("http://{}/metrics", own.instance);
        let url = Url::parse(&text).map_err(|error| format!("{text:?} is no address: {error}"))?;
        let labels = [("job", &own.job), ("instance", &own.instance)];
        let discovered: LabelSet = labels
            .into_iter()
            .chain([("__address__", &own.instance)])
            .map(|(name, value)| (name, value.as_str()))
            .collect();
        let target = Arc::new(Target {
            discovered,
            labels: Labels::new(labels),
            url,
            interval: job.interval.clone(),
            timeout: job.timeout.clone(),
        });
        let shown = Shown { target: Arc::clone(&target), state: Arc::default() };
        let asking = Asking {
            common: Arc::clone(&self.common),
            job: Arc::new(job),
            target,
            origin: Origin::Own(own.render),
            state: Arc::clone(&shown.state),
            cache: Cache::default(),
        };
        // It runs until the server stops.
        drop(asking.start());
        let view = View { active: vec![shown], ..View::default() };
        *self.own.lock() = Some(Seen { job: own.job, view: Arc::new(Mutex::new(view)) });
        Ok(())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.views.lock().iter().chain(self.own.lock().iter()).cloned().collect()
    }

    fn start(&self, job: Arc<Job>, inherited: HashMap<Identity, Running>) -> RunningJob {
        let (view, stop) = (Arc::<Mutex<View>>::default(), self.common.stop.child_token());
        let pool = Pool {
            common: Arc::clone(&self.common),
            job: Arc::clone(&job),
            view: Arc::clone(&view),
            inherited,
        };
        let task = self.common.runtime.spawn(pool.run(stop.clone()));
        RunningJob { job, view, stop, task }
    }
}

impl RunningJob {
    /// Stops looking for targets; those that are asked go on.
    async fn ended(self) -> HashMap<Identity, Running> {
        self.stop.cancel();
        self.task.await.unwrap_or_default()
    }
}
