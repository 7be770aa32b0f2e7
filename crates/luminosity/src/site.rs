//! Whose sitemap it is, and which URLs belong to it.
//!
//! A URL is read as browsers read it (WHATWG), loses its fragment, and then every byte that RFC 3986 does
//! not allow is percent-encoded. Invariants: normalising twice changes nothing; a result is ASCII, has at
//! most 2,048 characters, and belongs to the site.
//!
//! URLs of the site's own origin that are in their normal form already, nearly all, are recognised by one
//! pass over their bytes.

use url::Url;

use crate::error::{Error, Invalid, Result};

/// Longest URL the protocol allows, in characters.
pub const URL_CHARS_MAX: usize = 2048;

/// The site: its origin and other hosts that it may list.
#[derive(Clone, Debug)]
pub struct Site {
    base: Url,
    /// `https://example.com`, without a slash at the end.
    origin: String,
    hosts: Vec<String>,
}

impl Site {
    /// The site at a base URL such as `https://example.com`.
    ///
    /// # Errors
    /// When it is no `http` or `https` URL with a host.
    pub fn new(base_url: &str) -> Result<Self> {
        Self::with_hosts(base_url, &[])
    }

    /// A site that may also list URLs of other hosts, as cross-submission allows.
    ///
    /// # Errors
    /// As [`Site::new`]; a host that is no host name.
    pub fn with_hosts(base_url: &str, hosts: &[String]) -> Result<Self> {
        let settings = |why: String| Error::Settings(format!("base URL \"{base_url}\": {why}"));
        let mut base = Url::parse(base_url)
            .map_err(|error| settings(format!("{error}; write one like https://example.com")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(settings("the scheme must be http or https".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(settings("a password has no place in it".to_owned()));
        }
        base.set_query(None);
        base.set_fragment(None);
        let origin = base.origin().ascii_serialization();
        let hosts = hosts
            .iter()
            .map(|host| match url::Host::parse(host) {
                Ok(parsed) => Ok(parsed.to_string()),
                Err(error) => Err(Error::Settings(format!("host \"{host}\": {error}"))),
            })
            .collect::<Result<_>>()?;
        Ok(Self { base, origin, hosts })
    }

    /// `https://example.com`, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Normalises a URL of a page; a relative one is resolved against the base URL.
    ///
    /// # Errors
    /// What is no URL, is too long, carries a password, or belongs to another host.
    pub fn page(&self, url: &str) -> Result<String, Invalid> {
        let (normal, parsed) = self.resolve(url)?;
        let Some(parsed) = parsed else { return Ok(normal) };
        let host = parsed.host_str().unwrap_or_default();
        let own = parsed.scheme() == self.base.scheme()
            && parsed.host_str() == self.base.host_str()
            && parsed.port() == self.base.port();
        if own || self.hosts.iter().any(|known| known == host) {
            Ok(normal)
        } else {
            let origin = parsed.origin().ascii_serialization();
            Err(Invalid::new(format!("\"{}\" is at {origin}, not at {}", shown(url), self.origin)))
        }
    }

    /// Normalises a URL that may be anywhere: an image, a video, a page in another language.
    ///
    /// # Errors
    /// What is no `http` or `https` URL, is too long, or carries a password.
    pub fn link(&self, url: &str) -> Result<String, Invalid> {
        self.resolve(url).map(|(normal, _)| normal)
    }

    fn resolve(&self, url: &str) -> Result<(String, Option<Url>), Invalid> {
        if let Some(path) = url.strip_prefix(self.origin.as_str())
            && url.len() <= URL_CHARS_MAX
            && is_normal_path(path.as_bytes())
        {
            return Ok((url.to_owned(), None));
        }
        if url.trim().is_empty() {
            return Err(Invalid::new("the URL is empty"));
        }
        if let Some(control) = url.trim().chars().find(|character| character.is_control()) {
            return Err(Invalid::new(format!(
                "\"{}\" has the control character U+{:04X}",
                shown(url),
                control as u32
            )));
        }
        let mut parsed = Url::options()
            .base_url(Some(&self.base))
            .parse(url)
            .map_err(|error| Invalid::new(format!("\"{}\" is no URL: {error}", shown(url))))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(Invalid::new(format!("\"{}\" is neither http nor https", shown(url))));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Invalid::new("a URL with a user name or password is not for crawlers"));
        }
        parsed.set_fragment(None);
        let normal = encode_strictly(parsed.as_str());
        if normal.len() > URL_CHARS_MAX {
            return Err(Invalid::new(format!(
                "the URL has {} characters; the protocol allows {URL_CHARS_MAX}",
                normal.len()
            )));
        }
        Ok((normal, Some(parsed)))
    }

    /// The short name of a normal URL: its path when it is of the site's own origin.
    pub(crate) fn key<'a>(&self, normal: &'a str) -> &'a str {
        match normal.strip_prefix(self.origin.as_str()) {
            Some(path) if path.starts_with('/') => path,
            _ => normal,
        }
    }

    /// The two parts a key stands for.
    pub(crate) fn parts<'a>(&'a self, key: &'a str) -> [&'a str; 2] {
        if key.starts_with('/') { [&self.origin, key] } else { ["", key] }
    }
}

fn shown(url: &str) -> String {
    url.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Bytes that no parser changes anywhere in a path or query. `%` is looked at, `'` is encoded in queries.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/?=&,;:@!$()*+";
    let mut at = 0;
    while at < allowed.len() {
        plain[allowed[at] as usize] = true;
        at += 1;
    }
    plain
};

fn is_normal_path(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut plain = true;
    let mut dot_segment = false;
    let mut before = 0;
    for byte in path {
        plain &= PLAIN[*byte as usize];
        // "/." may be the start of a segment that goes up; the parser decides.
        dot_segment |= before == b'/' && *byte == b'.';
        before = *byte;
    }
    plain && !dot_segment
}

/// Percent-encodes what the WHATWG parser leaves and RFC 3986 forbids.
fn encode_strictly(url: &str) -> String {
    let bytes = url.as_bytes();
    // The brackets of an IPv6 address end with the authority.
    let start = url.find("://").map_or(0, |at| at + 3);
    let start = bytes[start..].iter().position(|byte| *byte == b'/').map_or(bytes.len(), |at| start + at);
    let mut out = String::with_capacity(url.len());
    out.push_str(&url[..start]);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        let allowed = PLAIN[*byte as usize] || (*byte == b'%' && hex(1) && hex(2));
        if allowed {
            out.push(*byte as char);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(HEX[(byte >> 4) as usize] as char);
            out.push(HEX[(byte & 15) as usize] as char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn site() -> Site {
        Site::new("https://example.com").unwrap()
    }

    #[test]
    fn urls_get_one_normal_form() {
        for (given, normal) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/a/../b", "https://example.com/b"),
            ("/p?q=1#top", "https://example.com/p?q=1"),
            ("p", "https://example.com/p"),
            ("https://example.com/ü?ü=ß", "https://example.com/%C3%BC?%C3%BC=%C3%9F"),
            ("https://example.com/a b|c[d]", "https://example.com/a%20b%7Cc%5Bd%5D"),
            ("https://example.com/100%", "https://example.com/100%25"),
            ("https://example.com/a?b='c'&d=e", "https://example.com/a?b=%27c%27&d=e"),
            ("https://example.com/a%2fb", "https://example.com/a%2fb"),
            (r"https://example.com\a", "https://example.com/a"),
        ] {
            assert_eq!(site().page(given).unwrap(), normal, "{given}");
        }
        let idn = Site::new("https://bücher.example").unwrap();
        assert_eq!(idn.origin(), "https://xn--bcher-kva.example");
        assert_eq!(idn.page("https://BÜCHER.example/ä").unwrap(), "https://xn--bcher-kva.example/%C3%A4");
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        for url in [
            "",
            "   ",
            "http://example.com/",
            "https://example.com:8443/",
            "https://www.example.com/",
            "https://example.com.evil.test/",
            "https://example.com@evil.test/",
            "https://user:secret@example.com/",
            "ftp://example.com/",
            "javascript:alert(1)",
            "https://exa mple.com/",
            "https://example.com/a\nb",
            "https://example.com/\0",
            "https://[::1/",
            "//evil.test/",
        ] {
            assert!(site().page(url).is_err(), "{url}");
        }
        let longest = format!("https://example.com/{}", "a".repeat(URL_CHARS_MAX - 20));
        assert!(site().page(&longest).is_ok());
        assert!(site().page(&format!("{longest}a")).is_err());
        assert!(site().link("https://elsewhere.test/x.jpg").is_ok());
        let two = Site::with_hosts("https://example.com", &["img.example.com".to_owned()]).unwrap();
        assert!(two.page("https://img.example.com/").is_ok() && two.page("https://b.example.com/").is_err());
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_and_the_short_road_agrees_with_the_parser(
            path in "[a-z0-9/.%?&=#'|äß \\\\-]{0,40}",
        ) {
            let given = format!("https://example.com/{path}");
            if let Ok(once) = site().page(&given) {
                prop_assert!(once.is_ascii());
                prop_assert_eq!(site().page(&once).unwrap(), once.clone());
                let mut parsed = Url::parse(&given).unwrap();
                parsed.set_fragment(None);
                prop_assert_eq!(encode_strictly(parsed.as_str()), once.clone());
                let key = site().key(&once).to_owned();
                prop_assert_eq!(site().parts(&key).concat(), once);
            }
        }

        #[test]
        fn no_text_panics(url: String) {
            let _ = site().page(&url);
        }
    }
}
