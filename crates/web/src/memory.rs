//! Memory that requests take together: bodies that have arrived, and what they unpack to.
//!
//! A body that finds no room is refused with 503, which clients take as "later"; one that is whole waits for
//! its turn to be unpacked. So neither many clients nor slow ones exceed the bounds or block one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Rejected;

/// How many times longer than it is packed a request may be.
pub const UNPACKED_FACTOR: usize = 8;

const UNIT: usize = 1 << 10;

/// The bounds.
#[derive(Debug)]
pub struct Memory {
    bodies: Arc<AtomicUsize>,
    bodies_max: usize,
    unpacked: Arc<Semaphore>,
    unpacked_max: usize,
}

/// Room that a body has; it is given back when this is dropped.
#[derive(Debug)]
pub struct Room {
    bodies: Arc<AtomicUsize>,
    bytes: usize,
    max: usize,
}

impl Memory {
    /// Bounds in bytes on bodies that have arrived, and on what they unpack to.
    pub fn new(bodies_max: usize, unpacked_max: usize) -> Self {
        let units = (unpacked_max / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            bodies: Arc::default(),
            bodies_max,
            unpacked: Arc::new(Semaphore::new(units)),
            unpacked_max: units,
        }
    }

    /// Room for a body that has not begun.
    pub fn room(&self) -> Room {
        Room { bodies: Arc::clone(&self.bodies), bytes: 0, max: self.bodies_max }
    }

    /// Waits until so many bytes may be taken.
    async fn unpack(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(UNIT).clamp(1, self.unpacked_max);
        Arc::clone(&self.unpacked).acquire_many_owned(u32::try_from(units).ok()?).await.ok()
    }

    /// Runs work on a request that takes so many bytes once it is unpacked, apart from the threads that serve.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn work<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Result<T, Rejected> + Send + 'static,
    ) -> Result<T, Rejected> {
        let permit = self.unpack(bytes).await;
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(permit);
            outcome
        });
        done.await.unwrap_or_else(|_| {
            let what = "the request ended by a defect; the server's log says more".to_owned();
            Err(Rejected { status: StatusCode::INTERNAL_SERVER_ERROR, what })
        })
    }
}

impl Room {
    /// Takes room for more bytes, if there is.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.max);
        let grown = self.bodies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_their_room_and_give_it_back() {
        let memory = Memory::new(100, 1);
        let (mut one, mut two) = (memory.room(), memory.room());
        assert!(one.grow(60) && two.grow(40));
        assert!(!two.grow(1));
        drop(one);
        assert!(two.grow(60));
        assert!(!two.grow(usize::MAX));
    }
}
