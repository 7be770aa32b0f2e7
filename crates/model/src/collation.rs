//! The order of text by the rules of a language.
//!
//! A collation that names a locale compares texts by *sort keys*: bytes that sort as the Unicode collation
//! algorithm sorts the texts, by the rules of CLDR for that locale. What is compared, put in order or kept in an
//! index is the [`key`](Collation::key), so that no other code needs to know the rules:
//!
//! | collation | key |
//! |---|---|
//! | deterministic | sort key, a zero byte, the text: ties are broken by bytes, and the text can be read back |
//! | nondeterministic | sort key: texts that the rules do not tell apart are equal |
//! | without a locale ("C") | there is none, text sorts by its bytes |
//!
//! No byte of a sort key is zero. Keys that are stored are of one version of the rules, [`RULES_VERSION`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use icu_collator::options::{AlternateHandling, CaseLevel, CollatorOptions, MaxVariable, Strength};
use icu_collator::{CollatorBorrowed, CollatorPreferences};
use icu_locale_core::Locale;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The version of the rules and of the form of sort keys; stored keys of another one are not readable.
pub const RULES_VERSION: &str = "icu4x-2.4";

/// Ends the sort key in a key.
const END: u8 = 0;
/// Rules kept ready; past it they are made anew.
const COLLATORS_MAX: usize = 1024;

/// A collation: its name, and what it orders text by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Collation {
    /// Its identifier in the catalog.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// The locale whose rules it has; without one text sorts by its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Whether only texts of the same bytes are equal.
    pub deterministic: bool,
}

impl Collation {
    /// Whether texts that differ in bytes may be equal.
    pub fn merges(&self) -> bool {
        self.locale.is_some() && !self.deterministic
    }

    /// What makes its keys; `None` when text sorts by its bytes.
    ///
    /// # Errors
    /// 22023 for a locale that is none, 0A000 for one with an attribute that is not known here.
    pub fn collator(&self) -> Result<Option<Collator>> {
        let Some(locale) = &self.locale else { return Ok(None) };
        let rules = rules(locale)?;
        Ok(Some(Collator { rules, deterministic: self.deterministic }))
    }
}

/// Makes keys of texts.
#[derive(Clone)]
pub struct Collator {
    rules: Arc<CollatorBorrowed<'static>>,
    deterministic: bool,
}

impl fmt::Debug for Collator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Collator").field("deterministic", &self.deterministic).finish_non_exhaustive()
    }
}

impl Collator {
    /// Whether only texts of the same bytes have the same key.
    pub fn is_deterministic(&self) -> bool {
        self.deterministic
    }

    /// Appends the key of a text.
    pub fn key(&self, text: &str, out: &mut Vec<u8>) {
        let Ok(()) = self.rules.write_sort_key_to(text, out);
        if self.deterministic {
            out.push(END);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The text that a deterministic collation's key was made of.
///
/// # Errors
/// XX001 for bytes that are no such key.
pub fn text_of_key(key: &[u8]) -> Result<&str> {
    let end = key.iter().position(|byte| *byte == END);
    end.and_then(|end| key.get(end + 1..))
        .and_then(|text| std::str::from_utf8(text).ok())
        .ok_or_else(|| Error::new(ErrorKind::DataCorrupted, "a sort key has no text after it"))
}

fn rules(locale: &str) -> Result<Arc<CollatorBorrowed<'static>>> {
    type Known = Mutex<HashMap<String, Arc<CollatorBorrowed<'static>>>>;
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Known::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(rules) = known.get(locale) {
        return Ok(Arc::clone(rules));
    }
    let (preferences, options) = options(locale)?;
    let rules =
        CollatorBorrowed::try_new(preferences, options).map_err(|error| no_collator(locale, error))?;
    let rules = Arc::new(rules);
    if known.len() >= COLLATORS_MAX {
        known.clear();
    }
    known.insert(locale.to_owned(), Arc::clone(&rules));
    Ok(rules)
}

fn no_collator(locale: &str, reason: impl fmt::Display) -> Error {
    let message = format!("could not open collator for locale \"{locale}\": {reason}");
    Error::new(ErrorKind::InvalidParameterValue, message)
        .hint("A locale is a language tag such as 'de', 'sv-SE' or 'und-u-ks-level2'.")
}

/// What a locale says of the order of text.
fn options(locale: &str) -> Result<(CollatorPreferences, CollatorOptions)> {
    let tag = language_tag(locale)?;
    let parsed = Locale::try_from_str(&tag).map_err(|error| no_collator(locale, error))?;
    let mut options = CollatorOptions::default();
    for (key, value) in parsed.extensions.unicode.keywords.iter() {
        let refused = || {
            let message =
                format!("attribute {}-{value} of locale \"{locale}\" is not supported", key.as_str());
            Error::new(ErrorKind::FeatureNotSupported, message)
                .hint("Known attributes are co, ks, ka, kc, kf, kn and kv.")
        };
        let value = value.to_string();
        match (key.as_str(), value.as_str()) {
            ("ks", strength) => {
                options.strength = Some(match strength {
                    "level1" => Strength::Primary,
                    "level2" => Strength::Secondary,
                    "level3" => Strength::Tertiary,
                    "level4" => Strength::Quaternary,
                    "identic" => Strength::Identical,
                    _ => return Err(refused()),
                });
            }
            ("ka", "shifted") => options.alternate_handling = Some(AlternateHandling::Shifted),
            ("ka", "noignore") => options.alternate_handling = Some(AlternateHandling::NonIgnorable),
            ("kc", "" | "true" | "yes") => options.case_level = Some(CaseLevel::On),
            ("kc", "false" | "no") => options.case_level = Some(CaseLevel::Off),
            ("kv", "space") => options.max_variable = Some(MaxVariable::Space),
            ("kv", "punct") => options.max_variable = Some(MaxVariable::Punctuation),
            ("kv", "symbol") => options.max_variable = Some(MaxVariable::Symbol),
            ("kv", "currency") => options.max_variable = Some(MaxVariable::Currency),
            ("kb" | "kk", "false" | "no") => {}
            ("kb" | "kh" | "kk" | "kr" | "vt" | "ka" | "kc" | "kv", _) | ("va", "posix") => {
                return Err(refused());
            }
            // The preferences take co, kf and kn; the others do not say how text is ordered.
            _ => {}
        }
    }
    Ok((CollatorPreferences::from(&parsed), options))
}

/// A locale in ICU's older form (`de@collation=phonebook;colStrength=secondary`) as a language tag.
fn language_tag(locale: &str) -> Result<String> {
    let (base, attributes) = locale.split_once('@').unwrap_or((locale, ""));
    let base = base.replace('_', "-");
    let base = if matches!(base.as_str(), "" | "root") { "und".to_owned() } else { base };
    let mut extension = String::new();
    for attribute in attributes.split(';').filter(|attribute| !attribute.is_empty()) {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.to_ascii_lowercase();
        let key = match name.to_ascii_lowercase().as_str() {
            "collation" => "co",
            "colstrength" => "ks",
            "colnumeric" => "kn",
            "colcaselevel" => "kc",
            "colcasefirst" => "kf",
            "colalternate" => "ka",
            "colbackwards" => "kb",
            "colnormalization" => "kk",
            other => {
                let message = format!("attribute {other} of locale \"{locale}\" is not supported");
                return Err(Error::new(ErrorKind::FeatureNotSupported, message));
            }
        };
        let value = match value.as_str() {
            "phonebook" => "phonebk",
            "traditional" => "trad",
            "dictionary" => "dict",
            "primary" => "level1",
            "secondary" => "level2",
            "tertiary" => "level3",
            "quaternary" => "level4",
            "identical" => "identic",
            "non-ignorable" => "noignore",
            "yes" => "true",
            "no" => "false",
            other => other,
        };
        extension.push_str(&format!("-{key}-{value}"));
    }
    Ok(if extension.is_empty() { base } else { format!("{base}-u{extension}") })
}

#[cfg(test)]
mod tests;
