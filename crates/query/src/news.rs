//! LISTEN and NOTIFY.
//!
//! What a transaction says is told when it commits, in its order, each pair of channel and payload
//! once; a rollback takes it back. Each listening session has an inbox that its door empties between
//! transactions. A commit whose news would not fit into an inbox fails instead of losing any.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use luma_model::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Longest payload.
const PAYLOAD_BYTES_MAX: usize = 7999;
/// Longest name of a channel.
const CHANNEL_BYTES_MAX: usize = 63;
/// What an inbox holds at most for a client that does not read.
const INBOX_BYTES_MAX: usize = 64 << 20;
/// What a message costs beside its text.
const MESSAGE_BYTES: usize = 64;

/// Something that a session said to all who listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The number of the session that said it.
    pub session: u64,
    /// Where it was said.
    pub channel: Arc<str>,
    /// What was said; may be empty.
    pub payload: Arc<str>,
}

impl Notification {
    fn bytes(&self) -> usize {
        self.channel.len() + self.payload.len() + MESSAGE_BYTES
    }
}

/// What a transaction does when it commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Listen(String),
    Unlisten(String),
    UnlistenAll,
    Notify(Arc<str>, Arc<str>),
}

/// Checks what NOTIFY says.
///
/// # Errors
/// 22023 for a name or payload of a length that does not fit.
pub(crate) fn notify(channel: &str, payload: &str) -> Result<Intent> {
    let refused = |message: &str| Err(Error::new(ErrorKind::InvalidParameterValue, message));
    if channel.is_empty() {
        return refused("channel name cannot be empty");
    }
    if channel.len() > CHANNEL_BYTES_MAX {
        return refused("channel name too long");
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return refused("payload string too long");
    }
    Ok(Intent::Notify(channel.into(), payload.into()))
}

/// What was said to one session and not yet taken.
#[derive(Debug, Default)]
struct Inbox {
    messages: Mutex<VecDeque<Notification>>,
    bytes: AtomicUsize,
    arrived: Notify,
}

/// Who listens where.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    listeners: Mutex<HashMap<String, HashMap<u64, Arc<Inbox>>>>,
}

/// A session's ears and voice.
#[derive(Debug)]
pub(crate) struct News {
    channels: Arc<Channels>,
    session: u64,
    inbox: Arc<Inbox>,
    listening: BTreeSet<String>,
    /// What the transaction does when it commits; functions add to it while a statement runs.
    intents: Arc<Mutex<Vec<Intent>>>,
}

impl News {
    pub(crate) fn new(channels: Arc<Channels>, session: u64) -> Self {
        Self { channels, session, inbox: Arc::default(), listening: BTreeSet::new(), intents: Arc::default() }
    }

    /// Where functions put what they say.
    pub(crate) fn intents(&self) -> Arc<Mutex<Vec<Intent>>> {
        Arc::clone(&self.intents)
    }

    pub(crate) fn intend(&self, intent: Intent) {
        self.intents.lock().push(intent);
    }

    /// How much was intended until now; a savepoint remembers it.
    pub(crate) fn place(&self) -> usize {
        self.intents.lock().len()
    }

    /// Takes back what was intended: all of it, or what came after a savepoint.
    pub(crate) fn take_back(&self, place: usize) {
        self.intents.lock().truncate(place);
    }

    /// Whether all that the transaction says will fit, asked before it commits.
    ///
    /// # Errors
    /// 54000 when a listener has too much to read already.
    pub(crate) fn check(&self) -> Result<()> {
        let intents = self.intents.lock();
        if intents.is_empty() {
            return Ok(());
        }
        let listeners = self.channels.listeners.lock();
        let mut more: HashMap<u64, usize> = HashMap::new();
        for intent in intents.iter() {
            let Intent::Notify(channel, payload) = intent else { continue };
            for (session, inbox) in listeners.get(&**channel).into_iter().flatten() {
                let added = more.entry(*session).or_default();
                *added += channel.len() + payload.len() + MESSAGE_BYTES;
                if inbox.bytes.load(Ordering::Relaxed) + *added > INBOX_BYTES_MAX {
                    return Err(Error::new(
                        ErrorKind::ProgramLimit,
                        "too many notifications in the NOTIFY queue",
                    )
                    .detail(format!("Session {session} listens and does not read.")));
                }
            }
        }
        Ok(())
    }

    /// Does what the transaction intended: it has committed.
    pub(crate) fn committed(&mut self) {
        let intents = std::mem::take(&mut *self.intents.lock());
        if intents.is_empty() {
            return;
        }
        let mut listeners = self.channels.listeners.lock();
        let mut said: Vec<&Intent> = Vec::new();
        for intent in &intents {
            match intent {
                Intent::Listen(channel) => {
                    if self.listening.insert(channel.clone()) {
                        let inboxes = listeners.entry(channel.clone()).or_default();
                        inboxes.insert(self.session, Arc::clone(&self.inbox));
                    }
                }
                Intent::Unlisten(channel) => {
                    self.listening.remove(channel);
                    leave(&mut listeners, channel, self.session);
                }
                Intent::UnlistenAll => {
                    for channel in std::mem::take(&mut self.listening) {
                        leave(&mut listeners, &channel, self.session);
                    }
                }
                Intent::Notify(channel, payload) => {
                    if !said.contains(&intent) {
                        said.push(intent);
                        let session = self.session;
                        let (channel, payload) = (Arc::clone(channel), Arc::clone(payload));
                        tell(&listeners, &Notification { session, channel, payload });
                    }
                }
            }
        }
    }

    /// Stops listening anywhere, now.
    pub(crate) fn silence(&mut self) {
        let mut listeners = self.channels.listeners.lock();
        for channel in std::mem::take(&mut self.listening) {
            leave(&mut listeners, &channel, self.session);
        }
    }

    /// What was said since the last call.
    pub(crate) fn take(&self) -> Vec<Notification> {
        if self.inbox.bytes.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut messages = self.inbox.messages.lock();
        self.inbox.bytes.store(0, Ordering::Release);
        messages.drain(..).collect()
    }

    /// Waits until something was said.
    pub(crate) fn arrived(&self) -> impl Future<Output = ()> + Send + use<> {
        let inbox = Arc::clone(&self.inbox);
        async move {
            let arrived = inbox.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if inbox.bytes.load(Ordering::Acquire) == 0 {
                arrived.await;
            }
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.silence();
    }
}

fn leave(listeners: &mut HashMap<String, HashMap<u64, Arc<Inbox>>>, channel: &str, session: u64) {
    if let Some(inboxes) = listeners.get_mut(channel) {
        inboxes.remove(&session);
        if inboxes.is_empty() {
            listeners.remove(channel);
        }
    }
}

fn tell(listeners: &HashMap<String, HashMap<u64, Arc<Inbox>>>, notification: &Notification) {
    for inbox in listeners.get(&*notification.channel).into_iter().flat_map(HashMap::values) {
        let mut messages = inbox.messages.lock();
        messages.push_back(notification.clone());
        inbox.bytes.fetch_add(notification.bytes(), Ordering::AcqRel);
        drop(messages);
        inbox.arrived.notify_waiters();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn pair() -> (News, News) {
        let channels = Arc::new(Channels::default());
        (News::new(Arc::clone(&channels), 1), News::new(channels, 2))
    }

    fn said(news: &News) -> Vec<(u64, String)> {
        news.take().into_iter().map(|message| (message.session, message.payload.to_string())).collect()
    }

    #[tokio::test]
    async fn news_come_once_each_when_their_transaction_commits() {
        let (mut ear, mut voice) = pair();
        ear.intend(Intent::Listen("c".into()));
        ear.committed();
        for payload in ["a", "b", "a"] {
            voice.intend(notify("c", payload).unwrap());
        }
        voice.intend(notify("d", "elsewhere").unwrap());
        assert!(said(&ear).is_empty());
        voice.committed();
        ear.arrived().await;
        assert_eq!(said(&ear), [(2, "a".to_owned()), (2, "b".to_owned())]);
        assert!(said(&ear).is_empty());
    }

    #[test]
    fn a_rollback_takes_back_what_was_said_and_whom_one_listens_to() {
        let (mut ear, mut voice) = pair();
        ear.intend(Intent::Listen("c".into()));
        ear.take_back(0);
        ear.committed();
        voice.intend(notify("c", "a").unwrap());
        voice.committed();
        assert!(said(&ear).is_empty());
        ear.intend(Intent::Listen("c".into()));
        ear.committed();
        voice.intend(notify("c", "kept").unwrap());
        let place = voice.place();
        voice.intend(notify("c", "undone").unwrap());
        voice.take_back(place);
        voice.committed();
        assert_eq!(said(&ear), [(2, "kept".to_owned())]);
        ear.intend(Intent::UnlistenAll);
        ear.committed();
        voice.intend(notify("c", "a").unwrap());
        voice.committed();
        assert!(said(&ear).is_empty());
    }

    #[test]
    fn a_listener_that_does_not_read_fails_the_commit_before_its_inbox_grows_without_bound() {
        let (mut ear, mut voice) = pair();
        ear.intend(Intent::Listen("c".into()));
        ear.committed();
        let payload = "x".repeat(PAYLOAD_BYTES_MAX);
        let refused = (0..=INBOX_BYTES_MAX / PAYLOAD_BYTES_MAX).find_map(|_| {
            voice.intend(notify("c", &payload).unwrap());
            let checked = voice.check();
            voice.committed();
            checked.err()
        });
        assert_eq!(refused.unwrap().sqlstate(), "54000");
        assert!(!said(&ear).is_empty());
        voice.intend(notify("c", &payload).unwrap());
        assert!(voice.check().is_ok());
    }

    #[test]
    fn who_has_left_hears_nothing_and_leaves_nothing_behind() {
        let (mut ear, voice) = pair();
        ear.intend(Intent::Listen("c".into()));
        ear.committed();
        drop(ear);
        assert!(voice.channels.listeners.lock().is_empty());
    }
}
