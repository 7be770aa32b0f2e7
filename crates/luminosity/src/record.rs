//! An entry as bytes.
//!
//! ```text
//! record = flags u8, length u16, key [, precision u8, millis i64] [, changefreq u8] [, priority u16] [, rest]
//! rest   = JSON of what most entries lack: images, videos, news, alternates, canonical, redirect
//! ```
//!
//! The key is the URL's path when it is of the site's own origin, or else the whole URL. Numbers are
//! little-endian.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::entry::{Alternate, ChangeFreq, Entry, Image, News, Priority, Redirect, Video};
use crate::error::{Error, Invalid, Result};
use crate::moment::{Moment, Precision};
use crate::render;
use crate::site::Site;

/// What a record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    const LASTMOD: u8 = 1;
    const CHANGEFREQ: u8 = 2;
    const PRIORITY: u8 = 4;
    pub(crate) const IMAGES: u8 = 8;
    pub(crate) const VIDEOS: u8 = 16;
    pub(crate) const NEWS: u8 = 32;
    pub(crate) const ALTERNATES: u8 = 64;
    const UNLISTED: u8 = 128;

    pub(crate) fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Whether the entry appears in the sitemap.
    pub(crate) fn listed(self) -> bool {
        !self.has(Self::UNLISTED)
    }

    /// The namespaces its XML needs.
    pub(crate) fn namespaces(self) -> u8 {
        if self.listed() { self.0 & (Self::IMAGES | Self::VIDEOS | Self::NEWS | Self::ALTERNATES) } else { 0 }
    }
}

/// An entry that was checked, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) record: Bytes,
    /// Bytes of its XML; 0 when it is not listed.
    pub(crate) xml_bytes: u32,
}

impl Prepared {
    /// Checks an entry and encodes it.
    pub(crate) fn new(site: &Site, entry: Entry, scratch: &mut Scratch) -> Result<Self, Invalid> {
        let entry = check::entry(site, entry)?;
        let Scratch { record, xml, .. } = scratch;
        record.clear();
        xml.clear();
        encode(site, entry, record)?;
        if let Some(view) = View::parse(record) {
            render::entry(site, &view, xml).map_err(|error| Invalid::new(error.to_string()))?;
        }
        if xml.len() > ENTRY_XML_BYTES_MAX {
            return Err(Invalid::new(format!(
                "its XML has {} bytes; at most {ENTRY_XML_BYTES_MAX} are taken for one page",
                xml.len()
            )));
        }
        let xml_bytes = xml.len() as u32;
        Ok(Self { record: scratch.keep(), xml_bytes })
    }

    pub(crate) fn view(&self) -> Option<View<'_>> {
        View::parse(&self.record)
    }
}

/// Memory that is used again for one entry after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    record: Vec<u8>,
    xml: Vec<u8>,
    slab: BytesMut,
    slab_bytes: usize,
}

impl Scratch {
    /// For many entries: their records lie side by side in a few large pieces of memory, which is faster and
    /// leaves no holes behind.
    pub(crate) fn for_many() -> Self {
        Self { slab_bytes: 64 << 10, ..Self::default() }
    }

    fn keep(&mut self) -> Bytes {
        let length = self.record.len();
        if length > self.slab_bytes {
            return Bytes::copy_from_slice(&self.record);
        }
        if self.slab.capacity() - self.slab.len() < length {
            self.slab = BytesMut::with_capacity(self.slab_bytes);
        }
        self.slab.extend_from_slice(&self.record);
        self.slab.split().freeze()
    }
}

/// So that any fragment can hold at least a few entries.
pub(crate) const ENTRY_XML_BYTES_MAX: usize = 8 << 20;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Rest {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<Image>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) videos: Vec<Video>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) news: Option<News>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alternates: Vec<Alternate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) canonical: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redirect: Option<Redirect>,
}

/// Encodes an entry that was checked.
fn encode(site: &Site, entry: Entry, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let Entry { url, lastmod, changefreq, priority, images, videos, news, alternates, canonical, redirect } =
        entry;
    let unlisted = redirect.is_some() || canonical.as_ref().is_some_and(|canonical| *canonical != url);
    let mut flags = 0;
    for (has, bit) in [
        (lastmod.is_some(), Flags::LASTMOD),
        (changefreq.is_some(), Flags::CHANGEFREQ),
        (priority.is_some(), Flags::PRIORITY),
        (!images.is_empty(), Flags::IMAGES),
        (!videos.is_empty(), Flags::VIDEOS),
        (news.is_some(), Flags::NEWS),
        (!alternates.is_empty(), Flags::ALTERNATES),
        (unlisted, Flags::UNLISTED),
    ] {
        flags |= if has { bit } else { 0 };
    }
    let rich = flags & !(Flags::LASTMOD | Flags::CHANGEFREQ | Flags::PRIORITY) != 0 || canonical.is_some();
    let key = site.key(&url);
    out.push(flags);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key.as_bytes());
    if let Some(moment) = lastmod {
        out.push(moment.precision as u8);
        out.extend_from_slice(&moment.millis.to_le_bytes());
    }
    if let Some(changefreq) = changefreq {
        out.push(changefreq as u8);
    }
    if let Some(priority) = priority {
        out.extend_from_slice(&priority.code().to_le_bytes());
    }
    if rich {
        let rest = Rest { images, videos, news, alternates, canonical, redirect };
        serde_json::to_writer(out, &rest).map_err(|error| Invalid::new(error.to_string()))?;
    }
    Ok(())
}

/// A record, looked at without copying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) flags: Flags,
    pub(crate) key: &'a str,
    pub(crate) lastmod: Option<Moment>,
    pub(crate) changefreq: Option<ChangeFreq>,
    pub(crate) priority: Option<Priority>,
    rest: &'a [u8],
}

impl<'a> View<'a> {
    /// `None` when the bytes are no record.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Self> {
        let (flags, record) = record.split_first()?;
        let flags = Flags(*flags);
        let (length, record) = record.split_first_chunk::<2>()?;
        let (key, mut record) = record.split_at_checked(u16::from_le_bytes(*length) as usize)?;
        let key = std::str::from_utf8(key).ok()?;
        let lastmod = if flags.has(Flags::LASTMOD) {
            let (precision, after) = record.split_first()?;
            let (millis, after) = after.split_first_chunk::<8>()?;
            record = after;
            let precision = Precision::from_code(*precision)?;
            Some(Moment { millis: i64::from_le_bytes(*millis), precision })
        } else {
            None
        };
        let changefreq = if flags.has(Flags::CHANGEFREQ) {
            let (code, after) = record.split_first()?;
            record = after;
            Some(ChangeFreq::from_code(*code)?)
        } else {
            None
        };
        let priority = if flags.has(Flags::PRIORITY) {
            let (code, after) = record.split_first_chunk::<2>()?;
            record = after;
            Some(Priority::from_code(u16::from_le_bytes(*code))?)
        } else {
            None
        };
        Some(Self { flags, key, lastmod, changefreq, priority, rest: record })
    }

    pub(crate) fn stored(record: &'a [u8]) -> Result<Self> {
        Self::parse(record).ok_or_else(|| Error::Damaged("an entry can't be decoded".to_owned()))
    }

    /// What most entries lack.
    pub(crate) fn rest(&self) -> Result<Option<Rest>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(self.rest)
            .map(Some)
            .map_err(|error| Error::Damaged(format!("the entry of {}: {error}", self.key)))
    }

    /// The whole entry.
    pub(crate) fn to_entry(self, site: &Site) -> Result<Entry> {
        let Rest { images, videos, news, alternates, canonical, redirect } = self.rest()?.unwrap_or_default();
        Ok(Entry {
            url: site.parts(self.key).concat(),
            lastmod: self.lastmod,
            changefreq: self.changefreq,
            priority: self.priority,
            images,
            videos,
            news,
            alternates,
            canonical,
            redirect,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_entry_comes_back(entry in crate::sample::entries()) {
            let site = Site::new(crate::sample::BASE).unwrap();
            let prepared = Prepared::new(&site, entry.clone(), &mut Scratch::default()).unwrap();
            let back = prepared.view().unwrap().to_entry(&site).unwrap();
            prop_assert_eq!(check::entry(&site, entry).unwrap(), back);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Some(view) = View::parse(&bytes) {
                let _ = view.to_entry(&Site::new(crate::sample::BASE).unwrap());
            }
        }
    }
}
