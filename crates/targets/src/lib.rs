//! Where other programs are and how they are spoken to, as Prometheus' configuration says it.
//!
//! - [`Relabeling`] changes labels, or drops what has them.
//! - [`Discovery`] finds targets: those that the configuration names, and those in files, which are watched.
//! - [`ClientSettings`] makes an HTTP [`Client`]: passwords, tokens, TLS, a proxy.

mod client;
mod discovery;
mod files;
mod relabel;

pub use client::{Authorization, BasicAuth, Client, ClientSettings, Header, Secret, TlsSettings, explained};
pub use discovery::{Discovered, Discovery, FileDiscovery, StaticTargets};
pub use files::{beside, matching};
pub use relabel::{LabelSet, RelabelSettings, Relabeling};
pub use reqwest::{Method, RequestBuilder, Url};

/// Labels of the configuration: names and values.
pub type Texts = std::collections::BTreeMap<String, String>;

/// A duration as the configuration has it.
///
/// # Errors
/// When the text is none; the error names the field.
pub fn duration(field: &str, text: &str) -> Result<std::time::Duration, String> {
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let milliseconds =
        luma_promql::parse_duration(text).ok().and_then(|milliseconds| u64::try_from(milliseconds).ok());
    milliseconds
        .map(std::time::Duration::from_millis)
        .ok_or_else(|| format!("{field}: not a valid duration string: {text:?}"))
}
