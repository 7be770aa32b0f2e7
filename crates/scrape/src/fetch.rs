//! Asking a target.

use std::fmt::Write as _;
use std::io::Read;

use luma_targets::{Client, Method, explained};

use crate::exposition::{Format, Protocol};
use crate::settings::Job;
use crate::target::Target;

/// What a target answered, as it was sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub body: Vec<u8>,
    pub packed: bool,
    pub format: Format,
}

/// What is asked for: the first protocol rather than the others.
fn accepted(protocols: &[Protocol]) -> String {
    let mut accepted = String::new();
    let mut weight = protocols.len() + 1;
    for (_, media_type, _) in protocols {
        let _ = write!(accepted, "{media_type};q=0.{weight},");
        weight -= 1;
    }
    accepted + &format!("*/*;q=0.{weight}")
}

/// Asks a target and waits for all of its answer.
///
/// # Errors
/// Why there is no answer.
pub(crate) async fn fetch(client: &Client, target: &Target, job: &Job) -> Result<Answer, String> {
    let asked = ask(client, target, job);
    match tokio::time::timeout(target.timeout.0, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {}", target.timeout.1)),
    }
}

async fn ask(client: &Client, target: &Target, job: &Job) -> Result<Answer, String> {
    let request = client
        .request(Method::GET, target.url.clone())?
        .header("accept", accepted(&job.protocols))
        .header("accept-encoding", if job.compression { "gzip" } else { "identity" })
        .header("user-agent", concat!("LumaDB/", env!("CARGO_PKG_VERSION")))
        .header("x-prometheus-scrape-timeout-seconds", target.timeout.0.as_secs_f64().to_string());
    let mut response = request.send().await.map_err(|error| explained(&error))?;
    if response.status() != 200 {
        return Err(format!("server returned HTTP status {}", response.status()));
    }
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let packed = match header("content-encoding").to_ascii_lowercase().as_str() {
        "gzip" => true,
        "" | "identity" => false,
        other => return Err(format!("the answer is packed with {other:?}, which was not asked for")),
    };
    let format = format(&header("content-type"), job.fallback)?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| explained(&error))? {
        if body.len() + part.len() > job.limits.body_bytes {
            return Err(too_long(job));
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer { body, packed, format })
}

fn format(media_type: &str, fallback: Option<Format>) -> Result<Format, String> {
    Format::of_media_type(media_type).or(fallback).ok_or_else(|| {
        let none = "and no fallback_scrape_protocol specified for target";
        match media_type {
            "" => format!("non-compliant scrape target sending blank Content-Type {none}"),
            other => format!("received unsupported Content-Type {other:?} {none}"),
        }
    })
}

fn too_long(job: &Job) -> String {
    format!("body size limit exceeded: the answer is over {} bytes", job.limits.body_bytes)
}

impl Answer {
    /// The answer as it was said.
    ///
    /// # Errors
    /// When it can't be unpacked, or is too long.
    pub fn unpacked(self, job: &Job) -> Result<(Vec<u8>, Format), String> {
        if !self.packed {
            return Ok((self.body, self.format));
        }
        let limit = job.limits.body_bytes;
        let mut out = Vec::new();
        let reader = flate2::read::MultiGzDecoder::new(&self.body[..]);
        reader
            .take(limit as u64 + 1)
            .read_to_end(&mut out)
            .map_err(|error| format!("the answer is no gzip stream: {error}"))?;
        if out.len() > limit {
            return Err(too_long(job));
        }
        Ok((out, self.format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::PROTOCOLS;

    #[test]
    fn the_first_protocol_is_asked_for_most() {
        let [first, second, ..] = PROTOCOLS;
        assert_eq!(
            accepted(&[first, second]),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             application/openmetrics-text;version=0.0.1;q=0.2,*/*;q=0.1"
        );
    }

    #[test]
    fn an_answer_of_an_unknown_kind_is_taken_as_the_fallback_says_or_not() {
        assert_eq!(format("text/plain; version=0.0.4", None), Ok(Format::Text));
        assert_eq!(format("text/html", Some(Format::OpenMetrics)), Ok(Format::OpenMetrics));
        assert!(format("", None).is_err_and(|what| what.contains("blank Content-Type")));
        assert!(format("text/html", None).is_err_and(|what| what.contains("text/html")));
    }
}
