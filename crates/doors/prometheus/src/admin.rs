//! `admin/tsdb`: deleting series, and copies of the store.

use std::hash::{BuildHasher, RandomState};

use chrono::Utc;
use luma_promql::answer::ErrorKind;

use crate::params::Params;
use crate::reply::{Failure, Success};
use crate::server::Door;

fn allowed(door: &Door) -> Result<(), Failure> {
    if door.options().admin {
        return Ok(());
    }
    Err(Failure::new(ErrorKind::Unavailable, "admin APIs disabled"))
}

pub(crate) async fn delete_series(door: Door, params: Params) -> Result<Success, Failure> {
    allowed(&door)?;
    if params.all("match[]").next().is_none() {
        return Err(Failure::bad_data("no match[] parameter provided"));
    }
    let (start, end) = params.period()?;
    let selectors = params.selectors()?;
    let runner = door.clone();
    let work = move |_| {
        for matchers in &selectors {
            let deleted = door.store().delete(matchers, start, end);
            deleted.map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))?;
        }
        Ok(Success::none())
    };
    runner.run(runner.deadline(), work).await
}

/// There is nothing to clean: what is deleted is gone at once.
pub(crate) async fn clean_tombstones(door: Door, _: Params) -> Result<Success, Failure> {
    allowed(&door)?;
    Ok(Success::none())
}

/// Copies the store; the answer has the name of the copy.
pub(crate) async fn snapshot(door: Door, params: Params) -> Result<Success, Failure> {
    allowed(&door)?;
    let Some(directory) = door.options().snapshots.clone() else {
        return Err(Failure::new(ErrorKind::Unavailable, "this server has no directory for snapshots"));
    };
    let memory = match params.get("skip_head") {
        "" | "false" | "0" => true,
        "true" | "1" => false,
        other => {
            return Err(Failure::parameter("skip_head", format!("{other:?} is neither true nor false")));
        }
    };
    let when = Utc::now().format("%Y%m%dT%H%M%SZ");
    // Two of one second must not have one name.
    let name = format!("{when}-{:016x}", RandomState::new().hash_one(0));
    let runner = door.clone();
    // It takes as long as copying takes; a client that goes away does not end it.
    let work = move |_| {
        let made = door.store().snapshot(&directory.join(&name), memory);
        made.map_err(|error| Failure::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Success::of(format!("{{\"name\":\"{name}\"}}")))
    };
    runner.run(runner.deadline(), work).await
}
