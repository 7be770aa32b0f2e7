//! One thread that writes for many.
//!
//! Whatever arrives while a commit waits for the disk goes into the next one, so the number of durable
//! changes per second grows with the number of clients, not with the speed of the disk. Invariant: a sender
//! is answered only once its changes are durable and visible.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lightning::Durability;
use tokio::sync::oneshot;

use crate::engine::{Change, Engine, Outcome};
use crate::entry::Entry;
use crate::error::{Error, Result};

/// How long a commit waits for senders that were just answered and are likely to come again.
const GATHER: Duration = Duration::from_micros(250);
/// Changes of one commit.
const CHANGES_MAX: usize = 8192;

struct Request {
    changes: Vec<Change>,
    reply: oneshot::Sender<Result<Vec<Outcome>>>,
}

/// Writes for many senders. Clones share it.
#[derive(Clone)]
pub struct Inbox {
    engine: Engine,
    sender: Sender<Request>,
    commits: Arc<AtomicU64>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inbox").field("commits", &self.commits()).finish_non_exhaustive()
    }
}

impl Inbox {
    /// Starts the thread. It ends when the last inbox is dropped; joining it waits until all is written.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(engine: Engine) -> Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let commits = Arc::new(AtomicU64::new(0));
        let (writing, counted) = (engine.clone(), Arc::clone(&commits));
        let thread = std::thread::Builder::new()
            .name("lux-writer".to_owned())
            .spawn(move || write(&writing, &receiver, &counted))
            .map_err(|error| Error::io("a thread".as_ref(), error))?;
        Ok((Self { engine, sender, commits }, thread))
    }

    /// The engine it writes to.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Commits so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Adds an entry or replaces the one with its URL; durable and visible when it completes.
    ///
    /// # Errors
    /// As [`Engine::add`].
    pub async fn add(&self, entry: Entry) -> Result<Outcome> {
        let prepared = self.engine.prepare(entry)?;
        self.one(Change::Add(prepared)).await
    }

    /// Removes the entry of a URL; durable and visible when it completes.
    ///
    /// # Errors
    /// As [`Engine::remove`].
    pub async fn remove(&self, url: &str) -> Result<Outcome> {
        let key = self.engine.key(url)?;
        self.one(Change::Remove(key)).await
    }

    async fn one(&self, change: Change) -> Result<Outcome> {
        self.apply(vec![change]).await?.first().copied().ok_or(Error::Closed)
    }

    /// Applies changes in order, in one commit.
    pub(crate) async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Outcome>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.sender.send(Request { changes, reply }).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// What goes into the next commit.
#[derive(Default)]
struct Gathered {
    changes: Vec<Change>,
    /// How many changes each sender has, and where it waits.
    waiting: Vec<(usize, oneshot::Sender<Result<Vec<Outcome>>>)>,
}

impl Gathered {
    fn take(&mut self, request: Request) {
        self.waiting.push((request.changes.len(), request.reply));
        self.changes.extend(request.changes);
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= CHANGES_MAX
    }

    fn take_all(&mut self, receiver: &Receiver<Request>) {
        while !self.is_full() {
            let Ok(request) = receiver.try_recv() else { return };
            self.take(request);
        }
    }

    /// Waits a moment for senders to come, so that all share one wait for the disk instead of taking turns.
    fn wait_for(&mut self, senders: usize, receiver: &Receiver<Request>) {
        let end = Instant::now() + GATHER;
        while self.waiting.len() < senders && !self.is_full() {
            let Ok(request) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                return;
            };
            self.take(request);
        }
    }
}

fn write(engine: &Engine, receiver: &Receiver<Request>, commits: &AtomicU64) {
    let mut gathered = Gathered::default();
    let mut answered = 0;
    loop {
        // Those that came while the last commit waited for the disk.
        gathered.take_all(receiver);
        let came = gathered.waiting.len();
        if came == 0 {
            let Ok(first) = receiver.recv() else { return };
            gathered.take(first);
        }
        if came + answered > 1 {
            gathered.wait_for(came + answered, receiver);
        }
        let result = engine.apply(&gathered.changes, Durability::Sync);
        commits.fetch_add(1, Ordering::Relaxed);
        gathered.changes.clear();
        answered = gathered.waiting.len();
        let mut at = 0;
        for (count, reply) in gathered.waiting.drain(..) {
            let answer = match &result {
                Ok(outcomes) => Ok(outcomes.get(at..at + count).unwrap_or_default().to_vec()),
                Err(error) => Err(error.clone()),
            };
            at += count;
            // Who went away is not told.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::Settings;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_senders_share_commits_and_each_hears_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path(), Settings::new("https://example.com")).unwrap();
        let (inbox, thread) = Inbox::start(engine.clone()).unwrap();
        let sends = (0..500).map(|number| {
            let inbox = inbox.clone();
            tokio::spawn(async move {
                let url = format!("/{}", number % 250);
                let outcome = inbox.add(Entry::new(&url)).await.unwrap();
                assert!(inbox.engine().get(&url).unwrap().is_some(), "visible once it is answered");
                outcome
            })
        });
        let outcomes = futures::future::join_all(sends).await;
        let added =
            outcomes.into_iter().filter(|outcome| *outcome.as_ref().unwrap() == Outcome::Added).count();
        assert_eq!(added, 250);
        assert!(inbox.commits() < 500, "{} commits", inbox.commits());
        assert!(matches!(inbox.add(Entry::new("https://elsewhere.test/")).await, Err(Error::Invalid(_))));
        drop(inbox);
        thread.join().unwrap();
        assert_eq!(engine.stats().unwrap().urls, 250);
    }
}
