//! W8 to W10: commits that are durable when they return.

use crate::engine::{Class, Result};
use crate::measure::{timed, timed_threads};

use super::{Run, Sizes, fill};

pub fn run(run: &Run) -> Result<()> {
    let engine = run.open(Class::EachCommit)?;
    let engine = engine.as_ref();
    let one = Sizes { key: 16, value: 100, batch: 1, compressible: run.compressed };
    let writer = |thread: u64, operations: u64| {
        let first = thread << 32;
        timed(run.limit(operations), 1, |step| fill(engine, first + step..first + step + 1, one))
    };
    run.recorder.rate("W8 synced commits, 1 writer", &writer(1, 2000)?)?;
    for threads in [2, 8, 32, 64] {
        let all = timed_threads(threads, |thread| writer(threads * 100 + thread, u64::MAX))?;
        run.recorder.rate(&format!("W9 synced commits, {threads} writers"), &all)?;
    }
    let batch = Sizes { key: 24, value: 150, batch: 1000, compressible: run.compressed };
    let first = 1 << 50;
    let batches =
        timed(run.limit(100), 1, |step| fill(engine, first + step * 1000..first + (step + 1) * 1000, batch))?;
    run.recorder.rate("W10 synced batches of 1000", &batches)
}
