//! W15: half of the keys go one by one, a tenth goes as a range, then everything is read.

use crate::data::key;
use crate::engine::{Change, Class, Result};
use crate::measure::{Limit, Timed, timed};

use super::{Run, Sizes, fill, settle};

pub fn run(run: &Run) -> Result<()> {
    let engine = run.open(Class::None)?;
    let engine = engine.as_ref();
    let count = run.scaled(5_000_000);
    fill(engine, 0..count, Sizes { key: 24, value: 150, batch: 10_000, compressible: run.compressed })?;
    settle(engine)?;
    let batches = (count / 2).div_ceil(1000);
    let deleted = timed(Limit { operations: batches, time: run.time }, 1, |batch| {
        let keys: Vec<Vec<u8>> =
            (batch * 1000..((batch + 1) * 1000).min(count / 2)).map(|half| key(half * 2, 24)).collect();
        let changes: Vec<Change> = keys.iter().map(|key| (key.as_slice(), None)).collect();
        engine.write(&changes)
    })?;
    run.recorder.rate("W15 delete half", &Timed { operations: deleted.operations * 1000, ..deleted })?;
    let once = Limit { operations: 1, time: run.time };
    let left =
        || -> Result<u64> { Ok(engine.reader()?.scan(&[], false, usize::MAX, &mut |_, _| ())? as u64) };
    let mut before = 0;
    let scanned = timed(once, 1, |_| {
        before = left()?;
        Ok(())
    })?;
    run.recorder.rate("W15 scan over what was deleted", &Timed { operations: before, ..scanned })?;
    // Keys are uniform, so a tenth of the first bytes is a tenth of the keys.
    let ranged = timed(once, 1, |_| engine.delete_range(&[102], &[128]))?;
    let after = left()?;
    run.recorder.rate("W15 delete a range of a tenth", &Timed { operations: before - after, ..ranged })
}
