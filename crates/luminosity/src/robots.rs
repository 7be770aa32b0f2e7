//! `robots.txt`.
//!
//! Invariant: no value can begin a line of its own, so a value never becomes another directive.

use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// What robots are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robots {
    /// Rules for groups of robots; without any, everything is allowed to all.
    #[serde(default)]
    pub rules: Vec<RobotsRule>,
    /// URLs of sitemaps.
    #[serde(default, rename = "sitemapUrls", alias = "sitemap_urls", alias = "sitemaps")]
    pub sitemap_urls: Vec<String>,
    /// The main host, which some robots read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Rules for a group of robots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobotsRule {
    /// Their names; `*` for all others.
    #[serde(
        default,
        rename = "userAgent",
        alias = "user_agent",
        alias = "userAgents",
        deserialize_with = "one_or_many"
    )]
    pub user_agent: Vec<String>,
    /// Paths they may visit.
    #[serde(default, deserialize_with = "one_or_many")]
    pub allow: Vec<String>,
    /// Paths they may not.
    #[serde(default, deserialize_with = "one_or_many")]
    pub disallow: Vec<String>,
    /// Seconds between two visits.
    #[serde(default, rename = "crawlDelay", alias = "crawl_delay", skip_serializing_if = "Option::is_none")]
    pub crawl_delay: Option<f64>,
    /// Query parameters that don't change a page, for robots that read it.
    #[serde(default, rename = "cleanParam", alias = "clean_param", deserialize_with = "one_or_many")]
    pub clean_param: Vec<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<Either>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Either::One(one)) => vec![one],
        Some(Either::Many(many)) => many,
    })
}

fn value<'a>(what: &str, text: &'a str) -> Result<&'a str, Invalid> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(format!("robots: a line break or control character in {what}")));
    }
    Ok(text)
}

fn path<'a>(what: &str, text: &'a str) -> Result<&'a str, Invalid> {
    let text = value(what, text)?;
    if text.is_empty() || text.starts_with(['/', '*']) {
        Ok(text)
    } else {
        Err(Invalid::new(format!("robots: {what} \"{text}\" must start with / or *")))
    }
}

impl Robots {
    /// Writes the file.
    ///
    /// # Errors
    /// A line break in a value, a path that does not start with `/`, a delay that is no number.
    pub fn render(&self) -> Result<String, Invalid> {
        let mut out = String::new();
        let all = RobotsRule {
            user_agent: vec!["*".to_owned()],
            allow: vec!["/".to_owned()],
            ..RobotsRule::default()
        };
        let rules = if self.rules.is_empty() { std::slice::from_ref(&all) } else { &self.rules };
        for rule in rules {
            if rule.user_agent.is_empty() {
                out.push_str("User-agent: *\n");
            }
            for agent in &rule.user_agent {
                let agent = value("userAgent", agent)?;
                if agent.is_empty() {
                    return Err(Invalid::new("robots: an empty userAgent; * means all"));
                }
                out.push_str(&format!("User-agent: {agent}\n"));
            }
            for allowed in &rule.allow {
                out.push_str(&format!("Allow: {}\n", path("allow", allowed)?));
            }
            for forbidden in &rule.disallow {
                out.push_str(&format!("Disallow: {}\n", path("disallow", forbidden)?));
            }
            if rule.allow.is_empty() && rule.disallow.is_empty() {
                out.push_str("Disallow:\n");
            }
            if let Some(delay) = rule.crawl_delay {
                if !(0.0..=86_400.0).contains(&delay) {
                    return Err(Invalid::new(format!(
                        "robots: a crawlDelay of {delay} is not from 0 to 86400 s"
                    )));
                }
                out.push_str(&format!("Crawl-delay: {delay}\n"));
            }
            for parameter in &rule.clean_param {
                out.push_str(&format!("Clean-param: {}\n", value("cleanParam", parameter)?));
            }
            out.push('\n');
        }
        if let Some(host) = &self.host {
            out.push_str(&format!("Host: {}\n", value("host", host)?));
        }
        for url in &self.sitemap_urls {
            out.push_str(&format!("Sitemap: {}\n", value("sitemapUrls", url)?));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_directive_is_written_and_both_spellings_are_read() {
        let robots: Robots = serde_json::from_str(
            r#"{"rules":[{"userAgent":"*","disallow":["/admin","/*?session="],"allow":"/admin/help","crawlDelay":1.5},
                {"user_agent":["GPTBot","CCBot"],"disallow":"/"},{"userAgent":"Yandex","clean_param":"ref /shop"}],
                "sitemap_urls":["https://example.com/sitemap.xml"],"host":"example.com"}"#,
        )
        .unwrap();
        assert_eq!(
            robots.render().unwrap(),
            "User-agent: *\nAllow: /admin/help\nDisallow: /admin\nDisallow: /*?session=\nCrawl-delay: 1.5\n\n\
             User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n\n\
             User-agent: Yandex\nDisallow:\nClean-param: ref /shop\n\n\
             Host: example.com\nSitemap: https://example.com/sitemap.xml\n"
        );
        assert_eq!(Robots::default().render().unwrap(), "User-agent: *\nAllow: /\n\n");
    }

    #[test]
    fn no_value_becomes_a_directive() {
        for json in [
            r#"{"rules":[{"userAgent":"a\nDisallow: /"}]}"#,
            r#"{"rules":[{"disallow":"/a\r\nAllow: /"}]}"#,
            r#"{"rules":[{"disallow":"admin"}]}"#,
            r#"{"rules":[{"userAgent":""}]}"#,
            r#"{"rules":[{"crawlDelay":-1}]}"#,
            r#"{"host":"a\nb"}"#,
            r#"{"sitemapUrls":["a\nb"]}"#,
        ] {
            assert!(serde_json::from_str::<Robots>(json).unwrap().render().is_err(), "{json}");
        }
    }
}
