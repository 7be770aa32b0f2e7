//! `admin/tsdb`: deleting series.

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

pub(crate) async fn snapshot(door: Door, _: Params) -> Result<Success, Failure> {
    allowed(&door)?;
    let what = "snapshots are not made; copy the data directory while the server is stopped";
    Err(Failure::new(ErrorKind::Unavailable, what))
}
