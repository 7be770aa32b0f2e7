//! `targets`, `targets/metadata`, `scrape_pools`: what is scraped.

use luma_promql::answer::ErrorKind;
use luma_promql::parse_selector;

use crate::params::Params;
use crate::reply::{Failure, Success};
use crate::server::Door;

type Outcome = Result<Success, Failure>;

pub(crate) async fn targets(door: Door, params: Params) -> Outcome {
    let (active, dropped) = match params.get("state").to_ascii_lowercase().as_str() {
        "active" => (true, false),
        "dropped" => (false, true),
        // As Prometheus has it, anything else is everything.
        _ => (true, true),
    };
    let job = Some(params.get("scrapePool")).filter(|job| !job.is_empty());
    let scraper = door.options().scraper.as_ref();
    let data = scraper.map(|scraper| scraper.targets(active, dropped, job));
    let none = r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#;
    Ok(Success::of(data.unwrap_or_else(|| none.to_owned())))
}

pub(crate) async fn metadata(door: Door, params: Params) -> Outcome {
    let limit = params.limit("limit")?;
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => parse_selector(text).map_err(|error| Failure::parameter("match_target", error))?,
    };
    let scraper = door.options().scraper.as_ref();
    let data = scraper.and_then(|scraper| scraper.metadata(&matchers, params.get("metric"), limit));
    data.map(Success::of).ok_or_else(|| Failure::new(ErrorKind::NotFound, "specified metadata not found"))
}

pub(crate) async fn scrape_pools(door: Door, _: Params) -> Outcome {
    let pools = door.options().scraper.as_ref().map(|scraper| scraper.pools());
    Ok(Success::of(pools.unwrap_or_else(|| r#"{"scrapePools":[]}"#.to_owned())))
}
