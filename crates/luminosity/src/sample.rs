//! Hostile entries for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::entry::{Alternate, ChangeFreq, Entry, Image, News, Priority, Publication, Redirect, Video};
use crate::moment::Moment;
use crate::text;

pub(crate) const BASE: &str = "https://example.com";

/// Texts that break careless writers.
fn hostile() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        Just("]]>".to_owned()),
        Just("</script><script>alert(1)</script>".to_owned()),
        Just("&amp;&lt;&#0;".to_owned()),
        Just("<![CDATA[".to_owned()),
        Just("\"'><!--".to_owned()),
        Just("\t\r\n".to_owned()),
        Just("\u{2028}\u{fffd}\u{85}".to_owned()),
        "\\PC{1,12}",
    ];
    vec(bits, 1..4)
        .prop_map(|bits| bits.concat())
        .prop_filter("XML can't hold it", |text| text::check(text).is_ok())
}

fn titles() -> impl Strategy<Value = String> {
    hostile().prop_map(|text| format!("t{text}"))
}

fn urls() -> impl Strategy<Value = String> {
    "/[a-z0-9&?=#%'\"<>|äß .+-]{0,30}".prop_map(|path| format!("{BASE}{path}"))
}

fn moments() -> impl Strategy<Value = Moment> {
    prop_oneof![
        (0i64..4_000_000_000_000)
            .prop_map(|millis| Moment::from_millis(millis).unwrap_or_else(|_| Moment::now())),
        Just("2026-11-21").prop_map(|text| Moment::parse(text).unwrap_or_else(|_| Moment::now())),
    ]
}

fn images() -> impl Strategy<Value = Image> {
    (urls(), option::of(hostile()), option::of(hostile()), option::of(urls()), option::of(hostile()))
        .prop_map(|(url, title, caption, license, geo_location)| Image {
            url,
            title,
            caption,
            license,
            geo_location,
        })
}

fn videos() -> impl Strategy<Value = Video> {
    let first = (urls(), titles(), titles(), urls(), option::of(1u32..28_800), option::of(moments()));
    let second = (option::of(0u8..50), vec(titles(), 0..3), option::of(hostile()), option::of(any::<bool>()));
    (first, second).prop_map(|((thumbnail_loc, title, description, player, duration, date), second)| {
        let (rating, tags, category, flag) = second;
        Video {
            thumbnail_loc,
            title,
            description,
            player_loc: Some(player),
            duration,
            publication_date: date,
            rating: rating.map(|tenths| f64::from(tenths) / 10.0),
            tags,
            category,
            family_friendly: flag,
            live: flag,
            ..Video::default()
        }
    })
}

fn news() -> impl Strategy<Value = News> {
    (titles(), moments(), titles(), option::of(hostile())).prop_map(
        |(name, publication_date, title, keywords)| News {
            publication: Publication { name, language: "de".to_owned() },
            publication_date,
            title,
            keywords,
        },
    )
}

/// Entries with everything an entry can have.
pub(crate) fn entries() -> impl Strategy<Value = Entry> {
    let plain = (urls(), option::of(moments()), option::of(0u8..7), option::of(0u16..=10_000));
    let rich = (vec(images(), 0..3), vec(videos(), 0..2), option::of(news()), option::of(urls()));
    let moved = prop_oneof![4 => Just(None), 1 => Just(Some("https://example.com/moved/here".to_owned()))];
    (plain, rich, moved).prop_map(|((url, lastmod, freq, priority), (images, videos, news, other), moved)| {
        Entry {
            url,
            lastmod,
            changefreq: freq.and_then(ChangeFreq::from_code),
            priority: priority.and_then(Priority::from_code),
            images,
            videos,
            news,
            alternates: other
                .map(|url| Alternate { lang: "x-default".to_owned(), url })
                .into_iter()
                .collect(),
            canonical: None,
            redirect: moved.map(|to| Redirect { to, status: 301 }),
        }
    })
}
