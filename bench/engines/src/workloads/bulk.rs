//! W2: sorted data into an empty database, in the engine's fastest way.

use crate::data::{key, value};
use crate::engine::{Class, Result};
use crate::measure::{Limit, Timed, timed};

use super::Run;

pub fn run(run: &Run) -> Result<()> {
    let engine = run.open(Class::None)?;
    let count = run.scaled(5_000_000);
    let mut entries = (0..count).map(|number| {
        let mut sorted = key(number, 24);
        sorted[..8].copy_from_slice(&number.to_be_bytes());
        (sorted, value(number, 150, run.compressed))
    });
    let loaded = timed(Limit { operations: 1, time: run.time }, 1, |_| {
        engine.load_sorted(&mut entries)?;
        engine.sync()
    })?;
    run.recorder.rate("W2 load, sorted", &Timed { operations: count, ..loaded })
}
