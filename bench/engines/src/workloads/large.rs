//! W14: large values.

use crate::data::{Random, belongs, key};
use crate::engine::{Class, Result};
use crate::measure::{disk_bytes, timed};

use super::{Run, Sizes, fill, with_periodic_sync};

/// Fewer say how long the first read of each takes.
const READS_MIN: u64 = 20_000;

pub fn run(run: &Run) -> Result<()> {
    let engine = run.open(Class::Periodic)?;
    let engine = engine.as_ref();
    let mut payload = 0;
    for (name, bytes, full, first) in [("20 KiB", 20 << 10, 200_000, 0), ("2 MiB", 2 << 20, 2000, 1 << 40)] {
        let count = ((full as f64 * run.scale) as u64).max(40);
        let sizes = Sizes { key: 16, value: bytes, batch: 1, compressible: run.compressed };
        let written = with_periodic_sync(engine, || {
            timed(run.limit(count), 1, |step| fill(engine, first + step..first + step + 1, sizes))
        })?;
        payload += written.operations * (bytes as u64 + 16);
        run.recorder.rate(&format!("W14 write {name} values"), &written)?;
        let mut random = Random::new(14);
        let reader = engine.reader()?;
        let read = timed(run.limit((2 * count).max(READS_MIN)), 1, |_| {
            let number = first + random.below(written.operations);
            let mut right = false;
            reader.get(&key(number, 16), &mut |value| {
                right = belongs(value, number) && value.len() == bytes;
            })?;
            if right { Ok(()) } else { Err(format!("large value {number} is wrong").into()) }
        })?;
        run.recorder.rate(&format!("W14 read {name} values"), &read)?;
    }
    run.recorder.record(
        "W18 disk after W14",
        disk_bytes(run.directory)? as f64 / payload as f64,
        "x data",
        false,
    )
}
