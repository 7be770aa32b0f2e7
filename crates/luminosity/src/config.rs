//! `luminosity.toml` or `luminosity.json`, and the `gravito.seo.config` of the earlier project.
//!
//! Keys are read in camel case and in snake case; a key that is not known is an error that names those that
//! are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Settings;
use crate::error::{Error, Result};
use crate::publish::{Destination, Objects};
use crate::robots::Robots;
use crate::site::Site;
use crate::sources::SourceConfig;

/// When sources are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For every request; those that come meanwhile share the answer.
    Dynamic,
    /// When the last answer is older than `cache.ttl`; the old one is served meanwhile.
    Cached,
    /// Never by themselves: changes are told to the service.
    #[default]
    Incremental,
}

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// When sources are asked.
    pub mode: Mode,
    /// The site, such as `https://example.com`.
    #[serde(rename = "baseUrl", alias = "base_url")]
    pub base_url: String,
    /// Other hosts whose URLs may be listed.
    pub hosts: Vec<String>,
    /// `robots.txt`.
    pub robots: Option<Robots>,
    /// How long answers of sources serve.
    pub cache: CacheConfig,
    /// The store.
    pub incremental: IncrementalConfig,
    /// The files that are written.
    pub output: OutputConfig,
    /// The HTTP service.
    pub server: ServerConfig,
    /// Where entries come from by themselves.
    #[serde(alias = "resolvers")]
    pub sources: Vec<SourceConfig>,
    /// Who hears of changes.
    #[serde(rename = "indexNow", alias = "index_now", alias = "indexnow")]
    pub index_now: Option<IndexNowConfig>,
    /// URLs that are asked for after changes; `{sitemap}` stands for the sitemap's URL.
    pub ping: Vec<String>,
}

/// How long answers of sources serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Seconds after which sources are asked anew.
    pub ttl: u64,
    /// Bytes of compressed fragments kept in memory.
    #[serde(rename = "maxSize", alias = "max_size")]
    pub max_size: usize,
    /// Seconds past `ttl` during which the old answer is served while the new one is fetched.
    #[serde(rename = "staleWhileRevalidate", alias = "stale_while_revalidate")]
    pub stale_while_revalidate: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { ttl: 3600, max_size: 64 << 20, stale_while_revalidate: 86_400 }
    }
}

/// The store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncrementalConfig {
    /// Its directory.
    #[serde(rename = "logDir", alias = "log_dir", alias = "dataDir", alias = "data_dir")]
    pub log_dir: PathBuf,
    /// Milliseconds between two looks whether tables should be merged; 0 for never.
    #[serde(rename = "compactInterval", alias = "compact_interval")]
    pub compact_interval: u64,
    /// Bytes of log past which they are merged at the next look.
    #[serde(rename = "maxLogSize", alias = "max_log_size")]
    pub max_log_size: u64,
}

impl Default for IncrementalConfig {
    fn default() -> Self {
        Self { log_dir: PathBuf::from(".luminosity"), compact_interval: 3_600_000, max_log_size: 64 << 20 }
    }
}

/// The files that are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// The directory, or a place in an object store such as `s3://bucket/prefix`.
    pub path: PathBuf,
    /// The name of the sitemap or index.
    pub filename: String,
    /// Entries of one fragment; fixed when the store is made.
    #[serde(rename = "maxEntriesPerSitemap", alias = "max_entries_per_sitemap")]
    pub max_entries_per_sitemap: Option<u32>,
    /// Whether fragments are compressed.
    pub gzip: bool,
    /// Effort of compression, from 1 to 9.
    #[serde(rename = "gzipLevel", alias = "gzip_level")]
    pub gzip_level: u32,
    /// The path of an XSL stylesheet, for people. `lux serve` has one at `/sitemap.xsl`.
    pub stylesheet: Option<String>,
    /// The URL of the directory, if it is not the site's root.
    pub url: Option<String>,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("public"),
            filename: "sitemap.xml".to_owned(),
            max_entries_per_sitemap: None,
            gzip: false,
            gzip_level: 6,
            stylesheet: None,
            url: None,
        }
    }
}

/// The HTTP service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: String,
    /// What writers must show as `Authorization: Bearer …`.
    pub token: Option<String>,
    /// With this, webhooks are signed.
    #[serde(rename = "webhookSecret", alias = "webhook_secret")]
    pub webhook_secret: Option<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".to_owned(), token: None, webhook_secret: None }
    }
}

/// Who hears of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexNowConfig {
    /// The key, also served as `/<key>.txt`.
    pub key: String,
    /// Whom to tell.
    #[serde(default = "index_now_endpoint")]
    pub endpoint: String,
    /// Milliseconds to gather changes.
    #[serde(default = "index_now_delay", rename = "delayMs", alias = "delay_ms")]
    pub delay_ms: u64,
}

fn index_now_endpoint() -> String {
    "https://api.indexnow.org/indexnow".to_owned()
}

fn index_now_delay() -> u64 {
    10_000
}

/// Names that are looked for when none is given.
pub const CONFIG_NAMES: [&str; 4] =
    ["luminosity.toml", "luminosity.json", "gravito.seo.config.json", "gravito.seo.config"];

fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains("://"))
}

impl OutputConfig {
    /// Where the files go.
    ///
    /// # Errors
    /// A URL of no object store that is known.
    pub fn destination(&self) -> Result<Destination> {
        if is_url(&self.path) {
            return Ok(Objects::at(&self.path.to_string_lossy())?.into());
        }
        Ok(self.path.clone().into())
    }
}

impl Config {
    /// Reads a file; its paths are relative to its directory.
    ///
    /// # Errors
    /// When it can't be read or has something that is not known.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let failed = |reason: String| Error::Settings(format!("{}: {reason}", path.display()));
        let toml = path.extension().is_some_and(|extension| extension == "toml");
        let mut config: Self = if toml {
            toml::from_str(&text).map_err(|error| failed(error.to_string()))?
        } else {
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?
        };
        let directory = path.parent().unwrap_or(Path::new("."));
        config.incremental.log_dir = directory.join(&config.incremental.log_dir);
        if !is_url(&config.output.path) {
            config.output.path = directory.join(&config.output.path);
        }
        for source in &mut config.sources {
            source.resolve_paths(directory);
        }
        Ok(config)
    }

    /// The configuration in the working directory, if there is one.
    ///
    /// # Errors
    /// When there is one that can't be used.
    pub fn find() -> Result<Option<Self>> {
        CONFIG_NAMES.iter().map(Path::new).find(|path| path.is_file()).map(Self::read).transpose()
    }

    /// The public URL of a file that is written or served.
    pub(crate) fn url_of(&self, site: &Site, name: &str) -> Result<String> {
        match &self.output.url {
            Some(url) => Ok(site.page(&format!("{}/{name}", url.trim_end_matches('/')))?),
            None => Ok(format!("{}/{name}", site.origin())),
        }
    }

    /// The text of `robots.txt`; it names the sitemap, unless it is said which ones it names.
    ///
    /// # Errors
    /// As [`Robots::render`].
    pub fn robots_txt(&self, site: &Site) -> Result<String> {
        let mut robots = self.robots.clone().unwrap_or_default();
        if robots.sitemap_urls.is_empty() {
            robots.sitemap_urls.push(self.url_of(site, &self.output.filename)?);
        }
        Ok(robots.render()?)
    }

    /// The engine's settings.
    pub fn settings(&self) -> Settings {
        Settings {
            hosts: self.hosts.clone(),
            entries_per_fragment: self.output.max_entries_per_sitemap,
            cache_bytes: self.cache.max_size,
            gzip_level: self.output.gzip_level,
            stylesheet: self.output.stylesheet.clone(),
            ..Settings::new(self.base_url.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_forms_and_both_spellings_say_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Config::read(&path)
        };
        let toml = write(
            "luminosity.toml",
            "mode = \"cached\"\nbase_url = \"https://example.com\"\n[cache]\nttl = 60\nmax_size = 1000\n\
             [incremental]\nlog_dir = \"store\"\ncompact_interval = 5\n[output]\nmax_entries_per_sitemap = 100\n\
             [robots]\nrules = [{ user_agent = \"*\", crawl_delay = 2.0 }]\nsitemap_urls = [\"https://example.com/sitemap.xml\"]\n",
        );
        let json = write(
            "gravito.seo.config.json",
            r#"{"mode":"cached","baseUrl":"https://example.com","cache":{"ttl":60,"maxSize":1000},
                "incremental":{"logDir":"store","compactInterval":5},"output":{"maxEntriesPerSitemap":100},
                "robots":{"rules":[{"userAgent":"*","crawlDelay":2.0}],"sitemapUrls":["https://example.com/sitemap.xml"]}}"#,
        );
        assert_eq!(toml.as_ref().unwrap(), &json.unwrap());
        assert_eq!(toml.unwrap().incremental.log_dir, directory.path().join("store"));
        let error = write("bad.toml", "baseUlr = \"x\"").unwrap_err().to_string();
        assert!(error.contains("baseUlr") && error.contains("baseUrl"), "{error}");
    }
}
