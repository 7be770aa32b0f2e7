//! Luminosity: millions of URLs in, always-fresh sitemaps out.
//!
//! An [`Engine`] keeps the pages of one site in a directory. What it acknowledged survives a power loss and
//! shows in the next sitemap that is asked for; a URL stays in its fragment, so a change makes one fragment
//! new and leaves the others, with their dates, alone. Memory does not grow with the number of URLs.
//!
//! ```
//! use luminosity::{Engine, Entry, Publication, Settings};
//!
//! # fn main() -> luminosity::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let (store, public) = (directory.path().join("store"), directory.path().join("public"));
//! let engine = Engine::open(store, Settings::new("https://example.com"))?;
//! engine.add(Entry::new("/shoes?size=42&colour=red"))?;
//! engine.publish(&Publication::new(&public))?;
//! let xml = std::fs::read_to_string(public.join("sitemap.xml")).unwrap();
//! assert!(xml.contains("<loc>https://example.com/shoes?size=42&amp;colour=red</loc>"));
//! # Ok(())
//! # }
//! ```
//!
//! Beside it: [`Robots`], [`PageMeta`] and [`JsonLd`] build the other things that crawlers read, [`Verifier`]
//! checks sitemaps that anyone wrote, and [`Config`], [`SourceConfig`] and [`Inbox`] are what the service
//! `lux serve` is made of.

mod check;
mod config;
mod engine;
mod entry;
mod error;
mod fragment;
mod import;
mod inbox;
mod loose;
mod meta;
mod moment;
mod notify;
mod pieces;
mod publish;
mod reader;
mod record;
mod refresh;
mod render;
mod robots;
#[cfg(test)]
mod sample;
mod service;
mod site;
mod sources;
mod text;
mod verify;

pub use config::{
    CONFIG_NAMES, CacheConfig, Config, IncrementalConfig, IndexNowConfig, Mode, OutputConfig, ServerConfig,
};
pub use engine::{
    Engine, EngineStats, Entries, EntriesByUrl, FragmentInfo, Outcome, REJECTS_LISTED, RedirectPolicy,
    Rejected, Settings, Summary,
};
pub use entry::{
    Alternate, ChangeFreq, Entry, Image, News, Priority, Publication as NewsPublication, Redirect, Video,
};
pub use error::{Error, Invalid, Result};
pub use fragment::Fragment;
pub use import::json::json_reason;
pub use import::{Format, ImportProgress, maybe_gzip};
pub use inbox::Inbox;
pub use meta::{JsonLd, OpenGraph, OpenGraphImage, PageMeta, TwitterCard, json_ld_script};
pub use moment::{Moment, Precision};
pub use notify::ping;
pub use publish::{Destination, Objects, Publication, Published};
pub use refresh::Refreshed;
pub use robots::{Robots, RobotsRule};
pub use service::Service;
pub use site::{Site, URL_CHARS_MAX};
pub use sources::{EntrySink, SourceConfig};
pub use verify::{Named, Problem, Severity, Verification, Verifier};
