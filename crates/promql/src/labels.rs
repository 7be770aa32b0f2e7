//! Label sets: the identity of a series.
//!
//! Invariants: names are sorted and unique, no value is empty (an empty label is an absent one).
//! A clone is a reference count; every change builds a new set.

use std::fmt;
use std::sync::Arc;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the upper bound of a classic histogram's bucket.
pub const BUCKET_LABEL: &str = "le";

/// The labels that go when an operation changes what a series means.
const META_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// A sorted set of labels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from(Vec::new()))
    }
}

impl Labels {
    /// Builds a set from pairs in any order; of two pairs with one name the last one counts.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut sorted: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (name, value) in pairs {
            set(&mut sorted, name.as_ref(), value.as_ref());
        }
        Self(sorted.into())
    }

    /// The set of names and values that others may hold too, as a store that keeps each text once. They
    /// must be in the order of names, without a name twice and without an empty value.
    pub fn of_shared(pairs: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let labels = Self(pairs.into_iter().collect());
        debug_assert!(labels.0.is_sorted_by(|a, b| a.0 < b.0) && labels.0.iter().all(|(_, v)| !v.is_empty()));
        labels
    }

    /// The value of a label, empty if the set has no such label.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or("")
    }

    /// The value of a label, if the set has it.
    pub fn find(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// The metric's name, empty if there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Names and values in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Names and values in the order of names, to be kept by others too.
    pub fn shared(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.0.iter()
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set with one label set to a value; an empty value removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.0.to_vec();
        set(&mut pairs, name, value);
        Self(pairs.into())
    }

    /// The set without what makes a metric's name, type and unit.
    #[must_use]
    pub fn without_metadata(&self) -> Self {
        self.filtered(|name| !META_LABELS.contains(&name))
    }

    /// The set with only the labels that `keep` accepts.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// The labels two sides of an operation are matched by: the named ones, or all but the named
    /// ones and the metric's name.
    #[must_use]
    pub fn matching(&self, on: bool, names: &[String]) -> Self {
        if on {
            self.filtered(|name| names.iter().any(|n| n == name))
        } else {
            self.filtered(|name| name != METRIC_NAME && !names.iter().any(|n| n == name))
        }
    }

    /// The hash by which Prometheus chooses a share of series: XXH64 of names and values, each behind its length.
    pub fn stable_hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.0.len() * 24);
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            match u8::try_from(text.len()) {
                Ok(length) if length < LONG => bytes.push(length),
                _ => {
                    bytes.push(LONG);
                    bytes.extend(text.len().to_le_bytes().into_iter().take(3));
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
        xxhash_rust::xxh64::xxh64(&bytes, 0)
    }
}

/// Stands before a length of three bytes.
const LONG: u8 = 255;

fn set(pairs: &mut Vec<(Arc<str>, Arc<str>)>, name: &str, value: &str) {
    match pairs.binary_search_by(|(own, _)| (**own).cmp(name)) {
        Ok(at) if value.is_empty() => {
            pairs.remove(at);
        }
        Ok(at) => pairs[at].1 = Arc::from(value),
        Err(_) if value.is_empty() => {}
        Err(at) => pairs.insert(at, (Arc::from(name), Arc::from(value))),
    }
}

/// Whether a name can stand without quotes.
pub(crate) fn is_plain_label_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            if is_plain_label_name(name) {
                write!(f, "{name}={}", crate::number::quoted(value))?;
            } else {
                write!(f, "{}={}", crate::number::quoted(name), crate::number::quoted(value))?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_is_an_absent_label() {
        let labels = Labels::new([("b", "2"), ("a", ""), ("c", "3")]);
        assert_eq!(labels.to_string(), r#"{b="2", c="3"}"#);
        assert_eq!(labels.with("b", ""), Labels::new([("c", "3")]));
        assert_eq!(labels.get("a"), "");
    }

    #[test]
    fn a_name_that_is_no_identifier_is_quoted() {
        let labels = Labels::new([("a.b", "x\"y")]);
        assert_eq!(labels.to_string(), r#"{"a.b"="x\"y"}"#);
    }

    #[test]
    fn texts_are_hashed_behind_their_lengths() {
        let hash = |parts: &[&[u8]]| xxhash_rust::xxh64::xxh64(&parts.concat(), 0);
        let labels = Labels::new([("job", "api"), (METRIC_NAME, "up")]);
        assert_eq!(labels.stable_hash(), hash(&[b"\x08__name__\x02up\x03job\x03api"]));
        for (length, head) in [(254, &[254][..]), (255, &[255, 255, 0, 0]), (70_000, &[255, 0x70, 0x11, 1])] {
            let value = "v".repeat(length);
            let expected = hash(&[b"\x01a", head, value.as_bytes()]);
            assert_eq!(Labels::new([("a", value.as_str())]).stable_hash(), expected, "{length}");
        }
    }

    #[test]
    fn ignoring_also_ignores_the_metric_name() {
        let labels = Labels::new([(METRIC_NAME, "m"), ("a", "1"), ("b", "2")]);
        assert_eq!(labels.matching(false, &["a".into()]), Labels::new([("b", "2")]));
        assert_eq!(labels.matching(true, &["a".into()]), Labels::new([("a", "1")]));
    }
}
