//! What metrics say of themselves: type, help and unit, by the name of their family.
//!
//! Invariants: what is in memory is in the log; a flush says it again before it cuts the log. The number of families and the length of texts are bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::Result;
use crate::record::RecordWriter;

/// How many families may have metadata; that of others is not kept.
const FAMILIES_MAX: usize = 200_000;
/// How long a name, help or unit may be; longer ones are cut.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// A record of metadata that are said again is about so long.
const RECORD_BYTES: usize = 1 << 20;

/// Type, help and unit of a family of metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The type: `counter`, `gauge`, `histogram` and so on.
    pub kind: String,
    /// What it is.
    pub help: String,
    /// What it is measured in.
    pub unit: String,
}

impl Metadata {
    /// The same with texts of the length they may have.
    fn cut(mut self) -> Self {
        for text in [&mut self.kind, &mut self.help, &mut self.unit] {
            let end = text.floor_char_boundary(TEXT_BYTES_MAX);
            text.truncate(end);
        }
        self
    }
}

type Families = BTreeMap<Arc<str>, Arc<Metadata>>;

/// The metadata there is.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable(Mutex<Families>);

impl MetadataTable {
    pub fn all(&self) -> Families {
        self.0.lock().clone()
    }

    /// Writes what some metadata changes into a record; it is put in by [`Changed::put`], and until then
    /// nobody else changes anything.
    pub fn change(&self, given: &[(String, Metadata)], record: &mut RecordWriter) -> Option<Changed<'_>> {
        if given.is_empty() {
            return None;
        }
        let families = self.0.lock();
        let mut changes: Families = BTreeMap::new();
        for (family, metadata) in given {
            let new = !families.contains_key(family.as_str());
            let full = families.len() + changes.len() >= FAMILIES_MAX;
            let same = families.get(family.as_str()).is_some_and(|known| **known == *metadata);
            if same || family.is_empty() || family.len() > TEXT_BYTES_MAX || (new && full) {
                continue;
            }
            let metadata = metadata.clone().cut();
            record.metadata(family, &metadata);
            changes.insert(family.as_str().into(), Arc::new(metadata));
        }
        Some(Changed { families, changes })
    }

    /// Has all of it appended to the log again, record by record, while nobody changes anything.
    pub fn say_again(&self, append: &mut dyn FnMut(RecordWriter) -> Result<()>) -> Result<()> {
        let families = self.0.lock();
        let mut record = RecordWriter::with_capacity(0);
        for (family, metadata) in families.iter() {
            record.metadata(family, metadata);
            if record.len() >= RECORD_BYTES {
                append(std::mem::replace(&mut record, RecordWriter::with_capacity(RECORD_BYTES)))?;
            }
        }
        append(record)
    }

    /// Puts in what a record says.
    pub fn replay(&mut self, family: &str, metadata: Metadata) {
        self.0.get_mut().insert(family.into(), Arc::new(metadata));
    }
}

/// Metadata that is about to be put in.
pub(crate) struct Changed<'a> {
    families: MutexGuard<'a, Families>,
    changes: Families,
}

impl Changed<'_> {
    pub fn put(mut self) {
        self.families.append(&mut self.changes);
    }
}
