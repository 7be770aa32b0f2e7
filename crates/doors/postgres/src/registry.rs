//! Who is connected: for CancelRequest, and to end what runs when the server stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use luma_model::Result;
use luma_query::CancelHandle;

use crate::authentication::random;

/// All sessions by their process number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<i32, (i32, CancelHandle)>>,
}

/// A session's place in the registry; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    pub(crate) process: i32,
    pub(crate) secret: i32,
}

impl Registry {
    pub(crate) fn register(self: &Arc<Self>, process: i32, handle: CancelHandle) -> Result<Registration> {
        let secret = i32::from_be_bytes(random()?);
        self.lock().insert(process, (secret, handle));
        Ok(Registration { registry: Arc::clone(self), process, secret })
    }

    /// Ends what a session runs, if the secret is right.
    pub(crate) fn cancel(&self, process: i32, secret: i32) {
        let handle = match self.lock().get(&process) {
            Some((known, handle)) if *known == secret => handle.clone(),
            _ => return,
        };
        handle.cancel();
    }

    /// Ends what all sessions run, for good.
    pub(crate) fn terminate_all(&self) {
        for (_, handle) in self.lock().values() {
            handle.terminate();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, (i32, CancelHandle)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.process);
    }
}
