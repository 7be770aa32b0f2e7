//! The runs of one file in the order of series, with their labels: how files are merged.
//!
//! Memory: the decoded rows of a unit.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::open_file::TableFile;
use crate::rows::Rows;
use crate::run::Run;
use crate::scan::Wanted;
use crate::tombstone::Hidden;
use crate::unit::Unit;

/// A run and the labels of its series.
#[derive(Debug)]
pub(crate) struct Found {
    pub run: Run,
    pub labels: String,
}

/// A place in a file.
pub(crate) struct Cursor {
    order: u64,
    wanted: Wanted,
    hidden: Hidden,
    units: VecDeque<Unit>,
    /// The rows of the unit before those, and which run comes next.
    rows: Rows,
    next: usize,
}

impl Cursor {
    pub fn new(file: &Arc<TableFile>, wanted: Wanted, hidden: Hidden) -> Result<Self> {
        let units = Unit::of_file(file, &wanted)?.into();
        Ok(Self { order: file.entry.order, wanted, hidden, units, rows: Rows::default(), next: 0 })
    }

    pub fn order(&self) -> u64 {
        self.order
    }

    /// The next run with a wanted sample. Those of one series may be several.
    pub fn next(&mut self) -> Result<Option<Found>> {
        loop {
            let at = self.next;
            self.next += 1;
            let Some((series, rows)) = self.rows.runs.get(at) else {
                let Some(unit) = self.units.pop_front() else { return Ok(None) };
                (self.rows, self.next) = (unit.labelled()?, 0);
                continue;
            };
            let mut run = Run { series: *series, ..Run::default() };
            if self.wanted.has(*series) {
                self.rows.add(rows.clone(), &mut run, &self.wanted);
                self.hidden.apply(&mut run);
            }
            if !run.is_empty() {
                let labels = self.rows.labels.get(at).cloned().unwrap_or_default();
                return Ok(Some(Found { run, labels }));
            }
        }
    }
}
