//! Room for what large statements need: stack, and time on a thread that others wait for.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::Either;
use tokio::runtime::{Handle, RuntimeFlavor};

/// The stack of a large statement. Memory is taken for what is used of it only.
const STACK_BYTES: usize = 256 << 20;

/// Calls `work`, with more room if it is `heavy`.
pub(crate) fn call<T>(heavy: bool, work: impl FnOnce() -> T) -> T {
    if !heavy {
        return work();
    }
    let roomy = || stacker::grow(STACK_BYTES, work);
    // What else waits for this thread goes on with another one meanwhile.
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(roomy),
        _ => roomy(),
    }
}

/// A future of a large statement.
pub(crate) struct Roomy<F>(Pin<Box<F>>);

/// The future as it is, or with more room if it is `heavy`.
pub(crate) fn future<F: Future>(heavy: bool, future: F) -> Either<Roomy<F>, F> {
    if heavy { Either::Left(Roomy(Box::pin(future))) } else { Either::Right(future) }
}

impl<F: Future> Future for Roomy<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        call(true, || self.0.as_mut().poll(context))
    }
}
