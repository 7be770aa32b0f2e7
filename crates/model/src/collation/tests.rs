#![allow(clippy::unwrap_used)]
use std::fmt::Write;

use super::*;

fn collation(locale: &str, deterministic: bool) -> Collation {
    Collation { oid: 1, name: locale.into(), locale: Some(locale.into()), deterministic }
}

fn key(collation: &Collation, text: &str) -> Vec<u8> {
    let mut key = Vec::new();
    collation.collator().unwrap().unwrap().key(text, &mut key);
    key
}

fn sorted<'a>(locale: &str, texts: &[&'a str]) -> Vec<&'a str> {
    let rules = collation(locale, true);
    let mut texts = texts.to_vec();
    texts.sort_by_key(|text| key(&rules, text));
    texts
}

#[test]
fn languages_have_their_own_order() {
    assert_eq!(sorted("de", &["z", "ä", "a", "Z", "b"]), ["a", "ä", "b", "z", "Z"]);
    assert_eq!(sorted("sv", &["z", "ä", "a", "å", "ö"]), ["a", "z", "å", "ä", "ö"]);
    assert_eq!(sorted("es-u-co-trad", &["cz", "ch", "d"]), ["cz", "ch", "d"]);
    assert_eq!(sorted("de-u-co-phonebk", &["af", "ä", "ad"]), ["ad", "ä", "af"]);
    assert_eq!(sorted("de@collation=phonebook", &["af", "ä", "ad"]), ["ad", "ä", "af"]);
    assert_eq!(sorted("en-u-kn", &["a10", "a9", "a1"]), ["a1", "a9", "a10"]);
    assert_eq!(sorted("en-u-kf-upper", &["a", "A"]), ["A", "a"]);
}

#[test]
fn only_nondeterministic_keys_are_equal_for_different_bytes() {
    let texts = ("straße", "STRASSE");
    let weak = collation("und-u-ks-level1", false);
    assert_eq!(key(&weak, texts.0), key(&weak, texts.1));
    let strict = collation("und-u-ks-level1", true);
    assert_ne!(key(&strict, texts.0), key(&strict, texts.1));
    assert!(weak.merges() && !strict.merges());
}

#[test]
fn a_deterministic_key_ends_with_its_text() {
    let rules = collation("ja", true);
    for text in ["", "a", "日本語", "e\u{301}", "\u{1}\u{2}", "👩‍👩‍👧"] {
        let key = key(&rules, text);
        let (first, last) = (key.iter().position(|byte| *byte == 0), key.iter().rposition(|byte| *byte == 0));
        assert!(first.is_some() && first == last, "{text:?}");
        assert_eq!(text_of_key(&key).unwrap(), text);
    }
    assert!(text_of_key(b"abc").is_err());
}

#[test]
fn what_is_not_known_of_a_locale_is_refused() {
    let kind = |locale: &str| collation(locale, true).collator().unwrap_err().kind;
    assert_eq!(kind("not a locale"), ErrorKind::InvalidParameterValue);
    assert_eq!(kind("de-u-kr-latn"), ErrorKind::FeatureNotSupported);
    assert_eq!(kind("de-u-ks-level9"), ErrorKind::FeatureNotSupported);
    assert_eq!(kind("de@unheard=of"), ErrorKind::FeatureNotSupported);
}

/// Stored keys must stay what they are as long as [`RULES_VERSION`] stays.
#[test]
fn keys_of_this_version_are_these() {
    assert_eq!(RULES_VERSION, "icu4x-2.4");
    let rules = collation("und", false);
    let hex = |text: &str| {
        key(&rules, text).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    assert_eq!(
        [hex("Az"), hex("é"), hex("日本")].join(" "),
        "2b5d010601dc05 330145880106 fa322cfa34be01060106"
    );
}
