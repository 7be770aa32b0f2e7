//! Enum types: labels in a declared order.
//!
//! A value is the position of its label, so that values sort, join and are kept as numbers and a renamed
//! label touches no row. Positions leave gaps of 2^32, in which later labels find room between two others.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The distance between labels that were declared one after the other.
const STEP: i64 = 1 << 32;
/// Longest label in bytes, as that of a name.
const LABEL_BYTES_MAX: usize = 63;

/// One label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumLabel {
    /// Its identifier in the catalog.
    pub oid: u32,
    /// The text.
    pub label: String,
    /// What stands for it in rows, and what it sorts by.
    pub position: i64,
}

impl EnumLabel {
    /// The place in the order as PostgreSQL counts it: 1, 2, …, and fractions between them.
    pub fn sort_order(&self) -> f32 {
        (self.position as f64 / STEP as f64) as f32
    }
}

/// An enum type as a value's type carries it. Two of them are one type if they have one identifier,
/// whatever labels they knew when they were read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnumType {
    /// Its identifier.
    pub oid: u32,
    /// That of its array.
    pub array_oid: u32,
    /// Its name in `pg_type`.
    pub name: String,
    /// The name of its array there.
    pub array_name: String,
    /// Its name in SQL, quoted and qualified where it must be.
    pub sql_name: String,
    /// In their order.
    pub labels: Vec<EnumLabel>,
}

impl PartialEq for EnumType {
    fn eq(&self, other: &Self) -> bool {
        self.oid == other.oid
    }
}

impl Eq for EnumType {}

impl Hash for EnumType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.oid.hash(state);
    }
}

impl EnumType {
    /// The position of a label.
    ///
    /// # Errors
    /// 22P02 for one that is none of the type's.
    pub fn position(&self, label: &str) -> Result<i64> {
        let found = self.labels.iter().find(|known| known.label == label);
        found.map(|known| known.position).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidText,
                format!("invalid input value for enum {}: \"{label}\"", self.sql_name),
            )
        })
    }

    /// The label at a position.
    pub fn label(&self, position: i64) -> Option<&str> {
        let at = self.labels.binary_search_by_key(&position, |known| known.position).ok()?;
        Some(&self.labels[at].label)
    }

    /// Adds a label at the end.
    ///
    /// # Errors
    /// 22023 for a label that is empty or too long, 42710 for one there is.
    pub fn push(&mut self, oid: u32, label: &str) -> Result<()> {
        let place = self.labels.len();
        self.insert(oid, label, place)
    }

    /// Adds a label so that it is the one at `place`.
    ///
    /// # Errors
    /// As [`push`](Self::push); 54000 where so many were put between two that there is no room left.
    pub fn insert(&mut self, oid: u32, label: &str, place: usize) -> Result<()> {
        check_label(label)?;
        if self.labels.iter().any(|known| known.label == label) {
            let message = format!("enum label \"{label}\" already exists");
            return Err(Error::new(ErrorKind::DuplicateObject, message));
        }
        let before =
            place.checked_sub(1).and_then(|place| self.labels.get(place)).map(|known| known.position);
        let after = self.labels.get(place).map(|known| known.position);
        let position = match (before, after) {
            (None, None) => Some(STEP),
            (Some(before), None) => before.checked_add(STEP),
            (None, Some(after)) => after.checked_sub(STEP),
            (Some(before), Some(after)) => Some(before + (after - before) / 2).filter(|it| *it > before),
        };
        let position = position.ok_or_else(|| {
            Error::new(ErrorKind::ProgramLimit, "there is no room left between these two enum labels")
                .hint("Add the label at another place, or make a new type and convert the columns.")
        })?;
        self.labels
            .insert(place.min(self.labels.len()), EnumLabel { oid, label: label.to_owned(), position });
        Ok(())
    }
}

/// Refuses what cannot be a label.
///
/// # Errors
/// 42602.
pub fn check_label(label: &str) -> Result<()> {
    if label.is_empty() || label.len() > LABEL_BYTES_MAX {
        return Err(Error::new(ErrorKind::InvalidName, format!("invalid enum label \"{label}\""))
            .detail(format!("Labels must be {LABEL_BYTES_MAX} bytes or less and not empty.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mood(labels: &[&str]) -> EnumType {
        let mut mood = EnumType {
            oid: 20000,
            array_oid: 20001,
            name: "mood".into(),
            array_name: "_mood".into(),
            sql_name: "mood".into(),
            labels: Vec::new(),
        };
        for label in labels {
            mood.push(1, label).unwrap();
        }
        mood
    }

    #[test]
    fn labels_keep_their_positions_when_others_come_between() {
        let mut mood = mood(&["sad", "happy"]);
        let (sad, happy) = (mood.position("sad").unwrap(), mood.position("happy").unwrap());
        mood.insert(2, "ok", 1).unwrap();
        mood.insert(3, "dead", 0).unwrap();
        let labels: Vec<&str> = mood.labels.iter().map(|known| known.label.as_str()).collect();
        assert_eq!(labels, ["dead", "sad", "ok", "happy"]);
        assert!(mood.labels.is_sorted_by(|one, other| one.position < other.position));
        assert_eq!((mood.position("sad").unwrap(), mood.position("happy").unwrap()), (sad, happy));
        let orders: Vec<f32> = mood.labels.iter().map(EnumLabel::sort_order).collect();
        assert_eq!(orders, [0.0, 1.0, 1.5, 2.0]);
    }

    #[test]
    fn no_room_between_two_labels_is_an_error_and_changes_nothing() {
        let mut mood = mood(&["a", "z"]);
        let mut added = 0;
        while mood.insert(1, &format!("l{added}"), 1).is_ok() {
            added += 1;
        }
        assert_eq!(added, 32);
        assert_eq!(mood.labels.len(), 34);
    }

    #[test]
    fn a_label_is_short_not_empty_and_there_once() {
        let mut mood = mood(&["a"]);
        assert!(mood.push(1, "").is_err());
        assert!(mood.push(1, &"x".repeat(64)).is_err());
        assert!(mood.push(1, "a").is_err());
        assert!(mood.push(1, &"x".repeat(63)).is_ok());
    }
}
