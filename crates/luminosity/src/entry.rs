//! What a sitemap says of a page.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Invalid;
use crate::loose::Loose;
use crate::moment::Moment;

/// A page and what is known of it. Only the URL is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The page. A relative URL is resolved against the site's base URL.
    #[serde(alias = "loc")]
    pub url: String,
    /// When the page changed last.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "lastMod", alias = "lastModified")]
    pub lastmod: Option<Moment>,
    /// How often it is likely to change.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        alias = "changeFreq",
        alias = "changeFrequency"
    )]
    pub changefreq: Option<ChangeFreq>,
    /// Its importance among the pages of the site, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Images on the page; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub images: Vec<Image>,
    /// Videos on the page.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub videos: Vec<Video>,
    /// News about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub news: Option<News>,
    /// The page in other languages.
    #[serde(default, skip_serializing_if = "Vec::is_empty", alias = "links", deserialize_with = "list")]
    pub alternates: Vec<Alternate>,
    /// The page that should be listed instead. An entry whose canonical page is another one is kept, and
    /// not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// Where the page moved. An entry that moved is kept, and not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
}

impl Entry {
    /// An entry with nothing but a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// `null` is as good as nothing.
fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// How often a page is likely to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ChangeFreq {
    Always,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    Never,
}

impl ChangeFreq {
    const ALL: [Self; 7] =
        [Self::Always, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly, Self::Never];

    /// The protocol's word.
    pub fn word(self) -> &'static str {
        ["always", "hourly", "daily", "weekly", "monthly", "yearly", "never"][self as usize]
    }

    /// What the protocol's word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }
}

/// A priority from 0 to 1, exact to four decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(u16);

impl Priority {
    const ONE: u16 = 10_000;

    /// The priority with this value.
    ///
    /// # Errors
    /// When it is not from 0 to 1.
    pub fn new(value: f64) -> Result<Self, Invalid> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self((value * f64::from(Self::ONE)).round() as u16))
        } else {
            Err(Invalid::new(format!("priority {value} is not from 0.0 to 1.0")))
        }
    }

    /// Its value.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }

    pub(crate) fn code(self) -> u16 {
        self.0
    }

    pub(crate) fn from_code(code: u16) -> Option<Self> {
        (code <= Self::ONE).then_some(Self(code))
    }

    /// Writes it with at least one decimal.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.push(b'0' + (self.0 / Self::ONE) as u8);
        out.push(b'.');
        let mut rest = self.0 % Self::ONE;
        let mut unit = Self::ONE / 10;
        loop {
            out.push(b'0' + (rest / unit) as u8);
            rest %= unit;
            unit /= 10;
            if rest == 0 {
                break;
            }
        }
    }
}

impl Serialize for Priority {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(Loose::deserialize(deserializer)?)
            .and_then(Self::new)
            .map_err(|reason| serde::de::Error::custom(format!("priority: {reason}")))
    }
}

fn number(found: Loose<'_>) -> Result<f64, Invalid> {
    match found {
        Loose::Number(number) => Ok(number),
        Loose::Text(text) => {
            text.trim().parse().map_err(|_| Invalid::new(format!("\"{text}\" is no number")))
        }
        Loose::Flag(_) => Err(Invalid::new("true and false are no numbers")),
    }
}

/// An image on a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Where it is; any host.
    #[serde(alias = "loc")]
    pub url: String,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The URL of its license.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where it was taken, in words.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "geoLocation")]
    pub geo_location: Option<String>,
}

/// A video on a page. It needs a `content_loc` or a `player_loc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// The URL of a picture of it.
    #[serde(alias = "thumbnailLoc", alias = "thumbnailUrl", alias = "thumbnail_url")]
    pub thumbnail_loc: String,
    /// Its title.
    pub title: String,
    /// What it shows, in at most 2,048 characters.
    pub description: String,
    /// The URL of the file.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "contentLoc", alias = "contentUrl")]
    pub content_loc: Option<String>,
    /// The URL of a player.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "playerLoc", alias = "playerUrl")]
    pub player_loc: Option<String>,
    /// Seconds, from 1 to 28,800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u32>,
    /// When it goes.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "expirationDate")]
    pub expiration_date: Option<Moment>,
    /// From 0 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<f64>,
    /// How often it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "viewCount")]
    pub view_count: Option<u64>,
    /// When it came.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "publicationDate")]
    pub publication_date: Option<Moment>,
    /// At most 32 words.
    #[serde(default, skip_serializing_if = "Vec::is_empty", alias = "tag", deserialize_with = "list")]
    pub tags: Vec<String>,
    /// Its kind, in at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Whether children may see it.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "familyFriendly")]
    pub family_friendly: Option<bool>,
    /// Whether one must pay.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "requiresSubscription")]
    pub requires_subscription: Option<bool>,
    /// Who published it, in at most 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploader: Option<String>,
    /// Whether it is a live stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
}

/// News about a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct News {
    /// Who publishes it.
    pub publication: Publication,
    /// When it was published.
    #[serde(alias = "publicationDate", alias = "date")]
    pub publication_date: Moment,
    /// Its title.
    pub title: String,
    /// Words on it, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keywords: Option<String>,
}

/// Who publishes news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The name, as readers know it.
    pub name: String,
    /// ISO 639: two or three letters, or `zh-cn`, `zh-tw`.
    pub language: String,
}

/// A page in another language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternate {
    /// A language tag such as `de` or `de-AT`, or `x-default`.
    #[serde(alias = "hreflang")]
    pub lang: String,
    /// Where that page is; any host.
    #[serde(alias = "href")]
    pub url: String,
}

/// That a page moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The new place.
    pub to: String,
    /// The HTTP status it answers with: 301, 302, 303, 307 or 308.
    #[serde(default = "moved_permanently")]
    pub status: u16,
}

fn moved_permanently() -> u16 {
    301
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_spellings_of_both_worlds_are_read() {
        let camel = r#"{"url":"/a","lastmod":1795244889000,"changefreq":"daily","priority":"0.85",
            "images":[{"loc":"/i","geoLocation":"Wien"}],"alternates":[{"hreflang":"de","href":"/de"}],"videos":null}"#;
        let snake = r#"{"url":"/a","lastmod":"2026-11-21T07:08:09Z","changefreq":"daily","priority":0.85,
            "images":[{"url":"/i","geo_location":"Wien"}],"alternates":[{"lang":"de","url":"/de"}]}"#;
        let read: Entry = serde_json::from_str(camel).unwrap();
        assert_eq!(read, serde_json::from_str::<Entry>(snake).unwrap());
        assert_eq!(read, serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for json in [
            r#"{"lastmod":"2026"}"#,
            r#"{"url":"/a","colour":"red"}"#,
            r#"{"url":"/a","priority":1.5}"#,
            r#"{"url":"/a","priority":"high"}"#,
            r#"{"url":"/a","changefreq":"sometimes"}"#,
            r#"{"url":"/a","lastmod":"never"}"#,
            r#"{"url":"/\ud800"}"#,
            r#"{"url":7}"#,
        ] {
            assert!(serde_json::from_str::<Entry>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn priorities_are_written_as_short_as_they_can_be() {
        for (value, text) in
            [(0.0, "0.0"), (1.0, "1.0"), (0.5, "0.5"), (0.85, "0.85"), (0.05, "0.05"), (0.1234, "0.1234")]
        {
            let mut out = Vec::new();
            Priority::new(value).unwrap().write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
