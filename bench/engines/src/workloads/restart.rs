//! W18: opening after a crash, and how small a database is.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::data::key;
use crate::engine::{self, Class, Result, Settings};
use crate::measure::{Limit, Timed, disk_bytes, timed};

use super::{Run, Sizes, fill};

pub fn run(run: &Run) -> Result<()> {
    let empty = run.directory.join("empty");
    std::fs::create_dir(&empty)?;
    {
        let engine = engine::open(run.engine, &empty, run.settings(Class::EachCommit))?;
        engine.write(&[(b"key", Some(b"value"))])?;
    }
    run.recorder.record("W18 smallest database", disk_bytes(&empty)? as f64 / 1024.0, "KiB", false)?;

    let crashed = run.directory.join("crashed");
    std::fs::create_dir(&crashed)?;
    let count = run.scaled(2_500_000);
    let status = Command::new(std::env::current_exe()?)
        .args(["write-and-die", "--engine", run.engine, "--count", &count.to_string(), "--directory"])
        .arg(&crashed)
        .stdin(Stdio::null())
        .status()?;
    if status.code().is_some() {
        return Err("the process that should have been killed ended by itself".into());
    }
    let opened = timed(Limit { operations: 1, time: run.time }, 1, |_| {
        let engine = engine::open(run.engine, &crashed, run.settings(Class::EachCommit))?;
        match engine.reader()?.get(&key(count - 1, 24), &mut |_| ())? {
            true => Ok(()),
            false => Err("the last synced key is gone after the crash".into()),
        }
    })?;
    let milliseconds = Timed { ..opened }.wall.as_secs_f64() * 1000.0;
    run.recorder.record("W18 open after a crash", milliseconds, "ms", false)
}

/// Fills a database in synced batches and has this process killed.
pub fn write_and_die(engine: &str, directory: &Path, count: u64) -> Result<()> {
    let settings = Settings { cache_bytes: 256 << 20, class: Class::EachCommit, compressed: false };
    let engine = engine::open(engine, directory, settings)?;
    fill(engine.as_ref(), 0..count, Sizes { key: 24, value: 150, batch: 10_000, compressible: false })?;
    // SAFETY: it ends this process and nothing else.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    Err("the process outlived its kill".into())
}
