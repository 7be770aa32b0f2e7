//! Work that computes, on threads of its own: only so much at a time, and no longer than someone waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use luma_promql::answer::ErrorKind;
use tokio::sync::Semaphore;

use crate::reply::Failure;

/// Where queries wait for their turn.
#[derive(Debug)]
pub(crate) struct Runner {
    permits: Arc<Semaphore>,
}

/// Tells the work that nobody waits for it any more, when it is dropped.
#[derive(Debug)]
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Runner {
    pub fn new(concurrency: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(concurrency.max(1))) }
    }

    /// Runs work that looks at a flag from time to time: it is set when this future is dropped, as it is
    /// when the client goes away.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(Arc<AtomicBool>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout_at(deadline.into(), turn).await else {
            return Err(Failure::new(ErrorKind::Timeout, "query timed out in query queue"));
        };
        let cancel = Arc::new(AtomicBool::new(false));
        let _abandon = Abandon(Arc::clone(&cancel));
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(cancel);
            drop(permit);
            outcome
        });
        done.await.unwrap_or_else(|_| {
            Err(Failure::new(ErrorKind::Internal, "the query ended by a defect; the server's log says more"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn work_is_told_when_nobody_waits_and_the_next_one_gets_its_turn() {
        let runner = Runner::new(1);
        let far = Instant::now() + Duration::from_mins(1);
        let (started, wait) = tokio::sync::oneshot::channel();
        let work = runner.run(far, move |cancel| {
            started.send(()).unwrap();
            while !cancel.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Ok(())
        });
        tokio::select! {
            _ = work => unreachable!("it goes on until it is told"),
            started = wait => started.unwrap(),
        }
        assert_eq!(runner.run(far, |_| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_never_gets_its_turn_fails_at_its_deadline() {
        let runner = Runner::new(1);
        let _held = Arc::clone(&runner.permits).acquire_owned().await.unwrap();
        let failure = runner.run(Instant::now(), |_| Ok(())).await.unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Timeout);
    }
}
