//! What many ask for at once is made once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use crate::error::{Error, Result};

type Flight<V> = Shared<BoxFuture<'static, Result<V>>>;

/// Answers that are being made.
pub(super) struct Once<K, V: Clone> {
    flights: Mutex<HashMap<K, Flight<V>>>,
}

impl<K, V: Clone> Default for Once<K, V> {
    fn default() -> Self {
        Self { flights: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Once<K, V> {
    /// The answer for `key`: of who makes it already, or of `make`, which then runs to its end even if all
    /// who wait for it go away.
    pub(super) async fn get<F>(&self, key: K, make: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let flight = {
            let mut flights = self.flights.lock();
            match flights.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let made = tokio::spawn(make()).map(|made| made.unwrap_or(Err(Error::Closed)));
                    let flight = made.boxed().shared();
                    flights.insert(key.clone(), flight.clone());
                    flight
                }
            }
        };
        let answer = flight.clone().await;
        let mut flights = self.flights.lock();
        // Another one may have begun meanwhile.
        if flights.get(&key).is_some_and(|kept| kept.ptr_eq(&flight)) {
            flights.remove(&key);
        }
        drop(flights);
        answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_many_ask_for_is_made_once_and_made_again_later() {
        let once = Arc::new(Once::<u8, u32>::default());
        let made = Arc::new(AtomicU32::new(0));
        for round in 1..=3 {
            let asking = (0..1000).map(|_| {
                let (once, made) = (Arc::clone(&once), Arc::clone(&made));
                tokio::spawn(async move {
                    let make = || async move {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        Ok(made.fetch_add(1, Ordering::Relaxed) + 1)
                    };
                    once.get(7, make).await.unwrap()
                })
            });
            let answers = futures::future::join_all(asking).await;
            assert!(answers.into_iter().all(|answer| answer.unwrap() == round));
        }
        assert!(once.flights.lock().is_empty());
    }
}
