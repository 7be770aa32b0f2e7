//! JSON over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{EntrySink, SourceConfig, entry_of, lookup};
use crate::error::Result;

/// Bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Pages that are followed.
const PAGES_MAX: usize = 100_000;

/// A client that gives up after a while.
pub(crate) fn client() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_mins(2)))
        .user_agent(concat!("luminosity/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

pub(super) fn resolve(
    source: &SourceConfig,
    url: &str,
    headers: &BTreeMap<String, String>,
    items: &str,
    next: Option<&str>,
    map: &BTreeMap<String, String>,
    sink: EntrySink<'_>,
) -> Result<()> {
    let client = client();
    let mut at = url::Url::parse(url).map_err(|error| source.failed(error))?;
    let origin = at.origin();
    for _ in 0..PAGES_MAX {
        let mut request = client.get(at.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut answer = request.call().map_err(|error| source.failed(error))?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).reader();
        let value: Value =
            serde_json::from_reader(std::io::BufReader::new(body)).map_err(|error| source.failed(error))?;
        let Some(Value::Array(list)) = lookup(&value, items) else {
            return Err(source.failed(format!("the answer has no list at \"{items}\"")));
        };
        list.iter().try_for_each(|item| sink(entry_of(item, map)))?;
        let Some(Value::String(following)) = next.and_then(|next| lookup(&value, next)) else {
            return Ok(());
        };
        let following = at.join(following).map_err(|error| source.failed(error))?;
        // Headers may hold a token, which is for this origin alone.
        if following.origin() != origin || following == at {
            return Err(source.failed(format!("the next page {following} is elsewhere or the same")));
        }
        at = following;
    }
    Err(source.failed(format!("more than {PAGES_MAX} pages")))
}
