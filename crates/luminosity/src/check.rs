//! The protocol's rules for one entry.
//!
//! Invariant: an entry that [`entry`] gives back has normal URLs and texts that XML can hold, and obeys the
//! limits of the protocol and of Google's extensions. Checking it again changes nothing.

use std::collections::HashSet;

use crate::entry::{Alternate, Entry, Image, News, Redirect, Video};
use crate::error::Invalid;
use crate::site::Site;
use crate::text;

/// Images per page that Google reads.
pub(crate) const IMAGES_MAX: usize = 1000;
/// Videos per page, so that an entry has a bound.
const VIDEOS_MAX: usize = 1000;
/// Languages per page, so that an entry has a bound.
const ALTERNATES_MAX: usize = 1000;

/// Checks an entry and brings it into its normal form.
pub(crate) fn entry(site: &Site, mut entry: Entry) -> Result<Entry, Invalid> {
    entry.url = site.page(&entry.url)?;
    at_most(entry.images.len(), IMAGES_MAX, "images")?;
    at_most(entry.videos.len(), VIDEOS_MAX, "videos")?;
    at_most(entry.alternates.len(), ALTERNATES_MAX, "alternates")?;
    for (number, found) in entry.images.iter_mut().enumerate() {
        image(site, found).map_err(|why| why.of(&format!("image {}", number + 1)))?;
    }
    for (number, found) in entry.videos.iter_mut().enumerate() {
        video(site, found).map_err(|why| why.of(&format!("video {}", number + 1)))?;
    }
    if let Some(found) = &mut entry.news {
        news(found).map_err(|why| why.of("news"))?;
    }
    alternates(site, &mut entry.alternates)?;
    if let Some(canonical) = &mut entry.canonical {
        *canonical = site.link(canonical).map_err(|why| why.of("canonical"))?;
    }
    if let Some(found) = &mut entry.redirect {
        redirect(site, &entry.url, found).map_err(|why| why.of("redirect"))?;
    }
    Ok(entry)
}

fn at_most(count: usize, limit: usize, what: &str) -> Result<(), Invalid> {
    if count <= limit {
        Ok(())
    } else {
        Err(Invalid::new(format!("{count} {what}; at most {limit} are read")))
    }
}

/// A text with something in it and no more than `limit` characters.
fn needed(text: &str, what: &str, limit: usize) -> Result<(), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new(format!("the {what} is empty")));
    }
    bounded(text, what, limit)
}

fn bounded(text: &str, what: &str, limit: usize) -> Result<(), Invalid> {
    let length = text.chars().count();
    if length > limit {
        return Err(Invalid::new(format!("the {what} has {length} characters; at most {limit} are read")));
    }
    text::check(text).map_err(|why| why.of(what))
}

fn optional(text: &Option<String>, what: &str, limit: usize) -> Result<(), Invalid> {
    text.as_deref().map_or(Ok(()), |text| bounded(text, what, limit))
}

fn link(site: &Site, url: &mut Option<String>, what: &str) -> Result<(), Invalid> {
    if let Some(url) = url {
        *url = site.link(url).map_err(|why| why.of(what))?;
    }
    Ok(())
}

fn image(site: &Site, image: &mut Image) -> Result<(), Invalid> {
    image.url = site.link(&image.url)?;
    optional(&image.title, "title", 2048)?;
    optional(&image.caption, "caption", 2048)?;
    optional(&image.geo_location, "geo_location", 2048)?;
    link(site, &mut image.license, "license")
}

fn video(site: &Site, video: &mut Video) -> Result<(), Invalid> {
    video.thumbnail_loc = site.link(&video.thumbnail_loc).map_err(|why| why.of("thumbnail_loc"))?;
    needed(&video.title, "title", 2048)?;
    needed(&video.description, "description", 2048)?;
    link(site, &mut video.content_loc, "content_loc")?;
    link(site, &mut video.player_loc, "player_loc")?;
    if video.content_loc.is_none() && video.player_loc.is_none() {
        return Err(Invalid::new("it needs a content_loc or a player_loc"));
    }
    if let Some(duration) = video.duration.filter(|duration| !(1..=28_800).contains(duration)) {
        return Err(Invalid::new(format!("a duration of {duration} s is not from 1 to 28800")));
    }
    if let Some(rating) = video.rating.filter(|rating| !(0.0..=5.0).contains(rating)) {
        return Err(Invalid::new(format!("a rating of {rating} is not from 0.0 to 5.0")));
    }
    at_most(video.tags.len(), 32, "tags")?;
    video.tags.iter().try_for_each(|tag| needed(tag, "tag", 256))?;
    optional(&video.category, "category", 256)?;
    optional(&video.uploader, "uploader", 255)
}

fn news(news: &News) -> Result<(), Invalid> {
    needed(&news.publication.name, "name of the publication", 2048)?;
    let language = news.publication.language.as_bytes();
    let iso = matches!(language.len(), 2 | 3) && language.iter().all(u8::is_ascii_lowercase);
    if !iso && language != b"zh-cn" && language != b"zh-tw" {
        return Err(Invalid::new(format!(
            "the language \"{}\" is no ISO 639 code of two or three lower-case letters",
            news.publication.language.chars().take(20).collect::<String>()
        )));
    }
    needed(&news.title, "title", 2048)?;
    optional(&news.keywords, "keywords", 2048)
}

fn alternates(site: &Site, alternates: &mut [Alternate]) -> Result<(), Invalid> {
    let mut seen = HashSet::with_capacity(alternates.len());
    for alternate in alternates {
        let lang = &alternate.lang;
        let tag = lang.split('-').enumerate().all(|(number, part)| {
            let letters = if number == 0 { part.bytes().all(|b| b.is_ascii_alphabetic()) } else { true };
            let short = if number == 0 { 2..=3 } else { 1..=8 };
            letters && short.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if !tag && lang != "x-default" {
            return Err(Invalid::new(format!(
                "\"{}\" is no language tag such as de, de-AT or x-default",
                lang.chars().take(40).collect::<String>()
            )));
        }
        if !seen.insert(lang.to_ascii_lowercase()) {
            return Err(Invalid::new(format!("two alternates are for {lang}")));
        }
        alternate.url = site.link(&alternate.url).map_err(|why| why.of(&format!("alternate {lang}")))?;
    }
    Ok(())
}

fn redirect(site: &Site, from: &str, redirect: &mut Redirect) -> Result<(), Invalid> {
    redirect.to = site.link(&redirect.to)?;
    if redirect.to == from {
        return Err(Invalid::new("the page would be redirected to itself"));
    }
    if matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
        Ok(())
    } else {
        Err(Invalid::new(format!("{} is no status of a redirect; 301 and 308 are lasting", redirect.status)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(json: &str) -> String {
        let site = Site::new("https://example.com").unwrap();
        entry(&site, serde_json::from_str(json).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn each_rule_is_said_when_it_is_broken() {
        for (json, says) in [
            (r#"{"url":"/a","images":[{"url":"mailto:x"}]}"#, "image 1"),
            (r#"{"url":"/a","images":[{"url":"/i","title":"a\u0001"}]}"#, "U+0001"),
            (
                r#"{"url":"/a","videos":[{"thumbnail_loc":"/t","title":"t","description":"d"}]}"#,
                "content_loc",
            ),
            (
                r#"{"url":"/a","videos":[{"thumbnail_loc":"/t","title":" ","description":"d","player_loc":"/p"}]}"#,
                "title is empty",
            ),
            (
                r#"{"url":"/a","videos":[{"thumbnail_loc":"/t","title":"t","description":"d","player_loc":"/p","duration":0}]}"#,
                "duration",
            ),
            (
                r#"{"url":"/a","videos":[{"thumbnail_loc":"/t","title":"t","description":"d","player_loc":"/p","rating":5.1}]}"#,
                "rating",
            ),
            (
                r#"{"url":"/a","news":{"publication":{"name":"N","language":"english"},"publication_date":"2026","title":"t"}}"#,
                "ISO 639",
            ),
            (r#"{"url":"/a","alternates":[{"lang":"german","url":"/de"}]}"#, "language tag"),
            (
                r#"{"url":"/a","alternates":[{"lang":"de","url":"/de"},{"lang":"DE","url":"/d"}]}"#,
                "two alternates",
            ),
            (r#"{"url":"/a","redirect":{"to":"https://example.com/a#x"}}"#, "itself"),
            (r#"{"url":"/a","redirect":{"to":"/b","status":200}}"#, "no status"),
            (r#"{"url":"/a","canonical":"data:x"}"#, "canonical"),
        ] {
            let reason = refused(json);
            assert!(reason.contains(says), "{json}: {reason}");
        }
        let many = vec![serde_json::json!({"url": "/i"}); IMAGES_MAX + 1];
        assert!(
            refused(&serde_json::json!({"url": "/a", "images": many}).to_string()).contains("1001 images")
        );
    }
}
