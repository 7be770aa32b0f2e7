//! W13: more data than memory, in a memory cgroup where the machine lets us make one.

use std::path::PathBuf;

use crate::data::{Random, Zipf, key, value};
use crate::engine::{self, Class, Result, Settings};
use crate::measure::{drop_page_cache, timed};

use super::{Run, Sizes, fill, settle, with_periodic_sync};

const KEY: usize = 16;
const VALUE: usize = 200;

pub fn run(run: &Run) -> Result<()> {
    let memory = ((2u64 << 30) as f64 * run.scale).max((256u64 << 20) as f64) as u64;
    let count = (memory as f64 * 4.3) as u64 / (KEY + VALUE) as u64;
    let settings = |class| Settings { cache_bytes: memory as usize / 4, class, compressed: run.compressed };
    {
        let engine = engine::open(run.engine, run.directory, settings(Class::None))?;
        let sizes = Sizes { key: KEY, value: VALUE, batch: 10_000, compressible: run.compressed };
        fill(engine.as_ref(), 0..count, sizes)?;
        settle(engine.as_ref())?;
    }
    drop_page_cache(run.directory)?;
    let _limited = MemoryLimit::set(memory);
    let engine = engine::open(run.engine, run.directory, settings(Class::Periodic))?;
    let engine = engine.as_ref();
    let zipf = Zipf::new(count);
    for (name, is_zipf) in [("uniform", false), ("Zipf", true)] {
        let mut random = Random::new(13);
        let done = with_periodic_sync(engine, || {
            timed(run.limit(run.scaled(2_000_000)), 1, |step| {
                let number = if is_zipf {
                    crate::data::mix(zipf.rank(&mut random)) % count
                } else {
                    random.below(count)
                };
                if step % 20 == 0 {
                    engine.write(&[(&key(number, KEY), Some(&value(step, VALUE, run.compressed)))])
                } else {
                    engine.reader()?.get(&key(number, KEY), &mut |_| ())?;
                    Ok(())
                }
            })
        })?;
        run.recorder.rate(&format!("W13 out of cache, {name}, 5 % updates"), &done)?;
    }
    Ok(())
}

/// A memory cgroup (version 1) with this process in it; it goes when the process has left.
struct MemoryLimit {
    group: PathBuf,
}

impl MemoryLimit {
    fn set(bytes: u64) -> Option<Self> {
        let group = PathBuf::from(format!("/sys/fs/cgroup/memory/bench-engines-{}", std::process::id()));
        std::fs::create_dir(&group).ok()?;
        let limit = Self { group };
        let set = std::fs::write(limit.group.join("memory.limit_in_bytes"), bytes.to_string())
            .and_then(|()| std::fs::write(limit.group.join("cgroup.procs"), std::process::id().to_string()));
        match set {
            Ok(()) => Some(limit),
            Err(error) => {
                eprintln!("memory is not limited: {error}");
                None
            }
        }
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let root = self.group.with_file_name("cgroup.procs");
        let _ = std::fs::write(root, std::process::id().to_string());
        let _ = std::fs::remove_dir(&self.group);
    }
}
