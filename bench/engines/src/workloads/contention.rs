//! W16: eight threads move money among a thousand accounts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::data::{Random, key};
use crate::engine::{Change, Class, Result};
use crate::measure::{timed, timed_threads};

use super::Run;

const ACCOUNTS: u64 = 1000;

pub fn run(run: &Run) -> Result<()> {
    for (name, class) in [("not synced", Class::None), ("synced", Class::EachCommit)] {
        let engine = run.open(class)?;
        let engine = engine.as_ref();
        let keys: Vec<Vec<u8>> = (0..ACCOUNTS).map(|account| key(account, 16)).collect();
        let zero = 0i64.to_le_bytes();
        let changes: Vec<Change> = keys.iter().map(|key| (key.as_slice(), Some(zero.as_slice()))).collect();
        engine.write(&changes)?;
        let aborted = AtomicU64::new(0);
        let done = timed_threads(8, |thread| {
            let mut random = Random::new(1600 + thread);
            timed(run.limit(u64::MAX), 1, |_| {
                let from = random.below(ACCOUNTS);
                let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
                while !engine.transfer(&keys[from as usize], &keys[to as usize])? {
                    aborted.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })?;
        let mut sum = 0;
        engine.reader()?.scan(&[], false, usize::MAX, &mut |_, value| {
            sum += value.try_into().map_or(i64::MIN / 4, i64::from_le_bytes);
        })?;
        if sum != 0 {
            return Err(format!("the accounts add up to {sum} instead of 0").into());
        }
        run.recorder.rate(&format!("W16 transfers, 8 threads, {name}"), &done)?;
        let aborts = aborted.into_inner() as f64 / done.operations as f64;
        eprintln!("{}: {aborts:.4} lost conflicts per transfer, {name}", run.engine);
    }
    Ok(())
}
