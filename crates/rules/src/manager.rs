//! All groups, each evaluated at its interval by a task of its own; changing them while they run.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::error;
use xxhash_rust::xxh3::xxh3_64;

use crate::alertmanagers::Alertmanagers;
use crate::file::GroupDefinition;
use crate::group::{Context, Group, GroupStatus};
use crate::notify::Notifier;

/// What is to be evaluated, and who is told.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The groups of all files.
    pub groups: Vec<GroupDefinition>,
    /// How often groups are evaluated that do not say so.
    pub interval: Duration,
    /// How far in the past groups are evaluated that do not say so.
    pub query_offset: Duration,
    /// What all rules have in common.
    pub context: Context,
    /// Who is told of alerts.
    pub alertmanagers: Alertmanagers,
}

/// Evaluates groups of rules.
#[derive(Debug)]
pub struct Manager {
    runtime: Handle,
    notifier: Arc<Notifier>,
    stop: CancellationToken,
    /// Held while groups change; in the order of files.
    running: tokio::sync::Mutex<Vec<Running>>,
    status: Mutex<Vec<Published>>,
}

/// What a group's last evaluation left to be asked for.
type Published = Arc<Mutex<Arc<GroupStatus>>>;

#[derive(Debug)]
struct Running {
    group: Arc<Mutex<Group>>,
    context: Context,
    status: Published,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Manager {
    /// One without groups, whose tasks run there until they are stopped.
    pub fn new(runtime: Handle, notifier: Arc<Notifier>, stop: CancellationToken) -> Self {
        let (telling, until) = (Arc::clone(&notifier), stop.clone());
        runtime.spawn(async move { telling.run(until).await });
        Self { runtime, notifier, stop, running: tokio::sync::Mutex::default(), status: Mutex::default() }
    }

    /// Who is told.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    pub(crate) fn status(&self) -> Vec<Arc<GroupStatus>> {
        self.status.lock().iter().map(|published| Arc::clone(&*published.lock())).collect()
    }

    /// Evaluates these groups from now on. Groups that did not change go on as they are, others keep their alerts;
    /// series of groups that are there no more are ended.
    pub async fn load(&self, configuration: Configuration) {
        let Configuration { groups, interval, query_offset, context, .. } = configuration;
        self.notifier.tell(configuration.alertmanagers);
        let mut running = self.running.lock().await;
        let mut before = std::mem::take(&mut *running);
        for definition in groups {
            let same_name = |old: &Running| {
                let group = old.group.lock();
                let own = group.definition();
                (&own.file, &own.name) == (&definition.file, &definition.name)
            };
            let old = before.iter().position(same_name).map(|at| before.swap_remove(at));
            let mut group = Group::new(definition, interval, query_offset);
            if let Some(old) = old {
                let goes_on = {
                    let own = old.group.lock();
                    own.definition() == group.definition() && own.interval() == group.interval()
                } && old.context.external_labels == context.external_labels;
                if goes_on {
                    running.push(old);
                    continue;
                }
                old.stop.cancel();
                let _ = old.task.await;
                group.take_over(&mut old.group.lock());
            }
            running.push(self.start(group, context.clone()));
        }
        *self.status.lock() = running.iter().map(|running| Arc::clone(&running.status)).collect();
        for old in before {
            old.stop.cancel();
            let _ = old.task.await;
            let (group, context) = (old.group, old.context);
            let ended = tokio::task::spawn_blocking(move || group.lock().end(&context, now_ms()));
            if ended.await.is_err() {
                error!("a group of rules ended by a defect");
            }
        }
    }

    fn start(&self, group: Group, context: Context) -> Running {
        let status: Published = Arc::new(Mutex::new(Arc::new(group.status())));
        let group = Arc::new(Mutex::new(group));
        let stop = self.stop.child_token();
        let work = Work {
            group: Arc::clone(&group),
            context: context.clone(),
            status: Arc::clone(&status),
            notifier: Arc::clone(&self.notifier),
        };
        let task = self.runtime.spawn(work.run(stop.clone()));
        Running { group, context, status, stop, task }
    }
}

/// A group's task.
struct Work {
    group: Arc<Mutex<Group>>,
    context: Context,
    status: Published,
    notifier: Arc<Notifier>,
}

impl Work {
    async fn run(self, stop: CancellationToken) {
        let work = Arc::new(self);
        let (interval_ms, shift) = {
            let group = work.group.lock();
            let interval = (group.interval().as_millis() as i64).max(1);
            let name = format!("{};{}", group.definition().file, group.definition().name);
            (interval, (xxh3_64(name.as_bytes()) % interval as u64) as i64)
        };
        // At times that are the same after a restart, and not the same for all groups.
        let mut next = slot(now_ms(), interval_ms, shift) + interval_ms;
        loop {
            let wait = Duration::from_millis(u64::try_from(next - now_ms()).unwrap_or(0));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            let (of, t) = (Arc::clone(&work), next);
            let evaluated = tokio::task::spawn_blocking(move || {
                let mut group = of.group.lock();
                let due = group.evaluate(&of.context, t);
                *of.status.lock() = Arc::new(group.status());
                due
            });
            match evaluated.await {
                Ok(due) => work.notifier.push(due),
                Err(_) => error!("an evaluation of rules ended by a defect"),
            }
            // What was missed meanwhile is left out.
            next = slot(now_ms(), interval_ms, shift).max(next) + interval_ms;
        }
    }
}

/// The last time of evaluation up to now.
fn slot(now: i64, interval: i64, shift: i64) -> i64 {
    now - (now - shift).rem_euclid(interval)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_evaluation_are_an_interval_apart() {
        assert_eq!(slot(1005, 10, 3), 1003);
        assert_eq!(slot(1003, 10, 3), 1003);
        assert_eq!(slot(1002, 10, 3), 993);
    }
}
