//! Telling others of changes: IndexNow, and URLs to ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::config::IndexNowConfig;
use crate::error::{Error, Result};
use crate::site::Site;
use crate::sources::client;

/// URLs of one message; IndexNow takes no more.
const URLS_MAX: usize = 10_000;
/// Times a message is tried.
const TRIES: u32 = 4;

impl IndexNowConfig {
    /// Whether the key is one: 8 to 128 letters, digits and dashes.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self) -> Result<()> {
        let letters = self.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if letters && (8..=128).contains(&self.key.len()) {
            return Ok(());
        }
        Err(Error::Settings("the key of indexNow must have 8 to 128 letters, digits and dashes".to_owned()))
    }

    /// Tells of these URLs, blocking the thread. Returns how many messages it took.
    ///
    /// # Errors
    /// What the endpoint says, after it was tried a few times.
    pub fn tell(&self, site: &Site, urls: &BTreeSet<String>) -> Result<u64> {
        self.check()?;
        let origin = site.origin();
        let own: Vec<&String> = urls.iter().filter(|url| url.starts_with(&format!("{origin}/"))).collect();
        let mut messages = 0;
        for list in own.chunks(URLS_MAX) {
            let message = json!({
                "host": site.host(),
                "key": self.key,
                "keyLocation": format!("{origin}/{}.txt", self.key),
                "urlList": list,
            });
            let body = message.to_string();
            repeatedly(&self.endpoint, &mut || {
                let request =
                    client().post(&self.endpoint).header("content-type", "application/json; charset=utf-8");
                request.send(body.as_bytes()).map(drop)
            })?;
            messages += 1;
        }
        Ok(messages)
    }
}

/// Asks for a URL in which `{sitemap}` stands for the sitemap's.
///
/// # Errors
/// What the other side says, after it was tried a few times.
pub fn ping(url: &str, sitemap: &str) -> Result<()> {
    let encoded: String = url::form_urlencoded::byte_serialize(sitemap.as_bytes()).collect();
    let url = url.replace("{sitemap}", &encoded);
    repeatedly(&url, &mut || client().get(&url).call().map(drop))
}

fn repeatedly(name: &str, send: &mut dyn FnMut() -> Result<(), ureq::Error>) -> Result<()> {
    let mut tried = 0;
    loop {
        let Err(error) = send() else { return Ok(()) };
        tried += 1;
        // Refused for what it says: again would be the same.
        let lasting =
            matches!(error, ureq::Error::StatusCode(status) if (400..500).contains(&status) && status != 429);
        if lasting || tried == TRIES {
            return Err(Error::Source { source_name: name.to_owned(), reason: error.to_string() });
        }
        std::thread::sleep(Duration::from_millis(500 << tried));
    }
}
