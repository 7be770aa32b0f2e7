//! Relabelling: steps that change a set of labels, or drop what has it.
//!
//! Meaning, defaults and error texts are those of Prometheus 3.

use std::collections::BTreeMap;

use luma_promql::anchored;
use md5::{Digest, Md5};
use regex::Regex;
use serde::Deserialize;

/// Labels while they are changed; none has an empty value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelSet(BTreeMap<String, String>);

impl LabelSet {
    /// The value of a label, empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// All labels in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Keeps the labels of some names.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(_, value): &(String, String)| !value.is_empty()).collect())
    }
}

/// A step as the configuration has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelabelSettings {
    source_labels: Option<Vec<String>>,
    separator: Option<String>,
    modulus: Option<u64>,
    regex: Option<String>,
    target_label: Option<String>,
    replacement: Option<String>,
    action: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

#[derive(Debug, Clone)]
struct Step {
    source: Vec<String>,
    separator: String,
    regex: Regex,
    /// Whether the expression is the default, which any text matches.
    matches_all: bool,
    modulus: u64,
    target: String,
    replacement: String,
    action: Action,
}

/// Steps of relabelling, one after another.
#[derive(Debug, Clone, Default)]
pub struct Relabeling(Vec<Step>);

impl Relabeling {
    /// The steps that a configuration has.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn new(settings: &[RelabelSettings]) -> Result<Self, String> {
        settings.iter().map(Step::new).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes labels; whether what has them is kept.
    pub fn apply(&self, labels: &mut LabelSet) -> bool {
        self.0.iter().all(|step| step.apply(labels))
    }
}

/// Whether a text refers to groups of a regular expression.
fn is_template(text: &str) -> bool {
    text.contains('$')
}

impl Step {
    fn new(settings: &RelabelSettings) -> Result<Self, String> {
        let given = settings.action.as_deref().unwrap_or("replace").to_ascii_lowercase();
        let (name, action) = *ACTIONS
            .iter()
            .find(|(name, _)| *name == given)
            .ok_or_else(|| format!("unknown relabel action {given:?}"))?;
        let target = settings.target_label.clone().unwrap_or_default();
        let regex_is_default = settings.regex.as_deref().is_none_or(|regex| regex == "(.*)");
        let default = |text: &Option<String>, default: &str| text.as_deref().is_none_or(|own| own == default);
        let separator_is_default = default(&settings.separator, ";");
        let replacement_is_default = default(&settings.replacement, "$1");
        use Action::*;
        if action == HashMod && settings.modulus.unwrap_or(0) == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        if matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual)
            && target.is_empty()
        {
            return Err(format!("relabel configuration for {name} action requires 'target_label' value"));
        }
        if matches!(action, KeepEqual | DropEqual)
            && !(regex_is_default
                && settings.modulus.unwrap_or(0) == 0
                && separator_is_default
                && replacement_is_default)
        {
            return Err(format!(
                "{name} action requires only 'source_labels' and 'target_label', and no other fields"
            ));
        }
        if matches!(action, Lowercase | Uppercase) && !replacement_is_default {
            return Err(format!("'replacement' can not be set for {name} action"));
        }
        if action == LabelMap && settings.replacement.as_deref() == Some("") {
            return Err(format!("\"\" is invalid 'replacement' for {name} action"));
        }
        if matches!(action, LabelDrop | LabelKeep)
            && !(settings.source_labels.is_none()
                && target.is_empty()
                && settings.modulus.unwrap_or(0) == 0
                && separator_is_default
                && replacement_is_default)
        {
            return Err(format!("{name} action requires only 'regex', and no other fields"));
        }
        Ok(Self {
            source: settings.source_labels.clone().unwrap_or_default(),
            separator: settings.separator.clone().unwrap_or_else(|| ";".to_owned()),
            regex: anchored(settings.regex.as_deref().unwrap_or("(.*)"))?,
            matches_all: regex_is_default,
            modulus: settings.modulus.unwrap_or(0),
            target,
            replacement: settings.replacement.clone().unwrap_or_else(|| "$1".to_owned()),
            action,
        })
    }

    fn apply(&self, labels: &mut LabelSet) -> bool {
        let values: Vec<&str> = self.source.iter().map(|name| labels.get(name)).collect();
        let value = values.join(&self.separator);
        match self.action {
            Action::Keep => return self.regex.is_match(&value),
            Action::Drop => return !self.regex.is_match(&value),
            Action::KeepEqual => return labels.get(&self.target) == value,
            Action::DropEqual => return labels.get(&self.target) != value,
            Action::Replace => self.replace(&value, labels),
            Action::Lowercase => labels.set(&self.target, &value.to_lowercase()),
            Action::Uppercase => labels.set(&self.target, &value.to_uppercase()),
            Action::HashMod => {
                let hash: [u8; 16] = Md5::digest(value.as_bytes()).into();
                let last = hash.iter().skip(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                labels.set(&self.target, &last.checked_rem(self.modulus).unwrap_or(0).to_string());
            }
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| self.regex.is_match(name))
                    .map(|(name, value)| {
                        let name = self.regex.replace_all(name, self.replacement.as_str());
                        (name.into_owned(), value.to_owned())
                    })
                    .collect();
                for (name, value) in mapped.iter().filter(|(name, _)| !name.is_empty()) {
                    labels.set(name, value);
                }
            }
            Action::LabelDrop => labels.retain(|name| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name| self.regex.is_match(name)),
        }
        true
    }

    fn replace(&self, value: &str, labels: &mut LabelSet) {
        // The usual way to add a label needs no search.
        if value.is_empty()
            && self.matches_all
            && !is_template(&self.target)
            && !is_template(&self.replacement)
        {
            return labels.set(&self.target, &self.replacement);
        }
        let Some(groups) = self.regex.captures(value) else { return };
        let (mut target, mut replacement) = (String::new(), String::new());
        groups.expand(&self.target, &mut target);
        if target.is_empty() {
            return;
        }
        groups.expand(&self.replacement, &mut replacement);
        labels.set(&target, &replacement);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn steps(yaml: &str) -> Result<Relabeling, String> {
        let settings: Vec<RelabelSettings> =
            serde_norway::from_str(yaml).map_err(|error| error.to_string())?;
        Relabeling::new(&settings)
    }

    /// Labels `a: foo, b: bar, c: baz` after some steps; `None` if they are dropped.
    fn relabelled(yaml: &str) -> Option<String> {
        let mut labels: LabelSet = [("a", "foo"), ("b", "bar"), ("c", "Baz")].into_iter().collect();
        let kept = steps(yaml).unwrap().apply(&mut labels);
        let texts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        kept.then(|| texts.join(" "))
    }

    #[test]
    fn every_action_does_what_prometheus_does() {
        for (yaml, expected) in [
            (
                "[{source_labels: [a], regex: f(.*), target_label: d, replacement: 'ch${1}-${1}'}]",
                "a=foo b=bar c=Baz d=choo-oo",
            ),
            (
                "[{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}]",
                "a=boobam b=bar c=Baz",
            ),
            ("[{source_labels: [a], regex: 'f(.*)r', target_label: a}]", "a=foo b=bar c=Baz"),
            ("[{target_label: d, replacement: 5}]", "a=foo b=bar c=Baz d=5"),
            ("[{source_labels: [a], regex: foo, target_label: a, replacement: ''}]", "b=bar c=Baz"),
            ("[{source_labels: [b], regex: '(.*)', target_label: 'x_$1'}]", "a=foo b=bar c=Baz x_bar=bar"),
            ("[{source_labels: [b], regex: 'b.*', action: KEEP}]", "a=foo b=bar c=Baz"),
            ("[{source_labels: [a], regex: f, action: drop}]", "a=foo b=bar c=Baz"),
            ("[{source_labels: [c], target_label: d, action: lowercase}]", "a=foo b=bar c=Baz d=baz"),
            ("[{source_labels: [c], target_label: d, action: uppercase}]", "a=foo b=bar c=Baz d=BAZ"),
            ("[{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}]", "a=foo b=bar bar_b=bar c=Baz"),
            ("[{regex: '[ab]', action: labeldrop}]", "c=Baz"),
            ("[{regex: '[ab]', action: labelkeep}]", "a=foo b=bar"),
        ] {
            assert_eq!(relabelled(yaml).as_deref(), Some(expected), "{yaml}");
        }
        for yaml in [
            "[{source_labels: [a], regex: 'f.*', action: drop}]",
            "[{source_labels: [a], regex: 'no', action: keep}]",
            "[{source_labels: [a], target_label: b, action: keepequal}]",
        ] {
            assert_eq!(relabelled(yaml), None, "{yaml}");
        }
        // The remainder that Prometheus' own tests have.
        let mut one: LabelSet = [("c", "baz")].into_iter().collect();
        let hashmod = "[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]";
        assert!(steps(hashmod).unwrap().apply(&mut one));
        assert_eq!(one.get("d"), "976");
        let mut same: LabelSet = [("x", "1"), ("y", "1")].into_iter().collect();
        assert!(
            steps("[{source_labels: [x], target_label: y, action: keepequal}]").unwrap().apply(&mut same)
        );
        assert!(
            !steps("[{source_labels: [x], target_label: y, action: dropequal}]").unwrap().apply(&mut same)
        );
    }

    #[test]
    fn steps_that_make_no_sense_are_refused() {
        for (yaml, expected) in [
            ("[{action: hashmod, target_label: x}]", "non-zero modulus"),
            ("[{action: replace}]", "requires 'target_label'"),
            ("[{action: lower, target_label: x}]", "unknown relabel action"),
            ("[{action: lowercase, target_label: x, replacement: y}]", "'replacement' can not be set"),
            ("[{action: keepequal, target_label: x, regex: y}]", "no other fields"),
            ("[{action: labeldrop, source_labels: [x]}]", "no other fields"),
            ("[{action: keep, regex: '('}]", "error parsing regexp"),
            ("[{action: keep, regexp: x}]", "regexp"),
        ] {
            let error = steps(yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
