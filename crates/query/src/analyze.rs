//! Statistics of tables: those that ANALYZE makes, and those that make themselves once enough was changed.
//!
//! They are part of a table's definition, so that everything that was planned with the old ones is planned anew.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lightning::{TransactionOptions, TransactionReader};
use luma_catalog::{Catalog, Object, Oid, Snapshot, Table, TableStatistics};
use luma_model::{Error, ErrorKind, Result};
use luma_rows::{OpenTable, Store};
use parking_lot::Mutex;

use crate::database::{Shared, change_catalog};
use crate::temporary::is_temporary;

/// How often tables are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often statistics of a table make themselves at most, unless most of it is new.
const AGAIN: Duration = Duration::from_mins(1);
/// Changed rows from which statistics are made again, and the share of the table that is added to them: PostgreSQL's
/// `autovacuum_analyze_threshold` and `autovacuum_analyze_scale_factor`.
const CHANGED_ROWS: f64 = 50.0;
const CHANGED_SHARE: f64 = 0.1;
/// Reading tables takes at most one part in this many of one processor.
const DUTY: u32 = 10;
/// How long the catalog is waited for; who changes it may take long.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// What is held while tables are read for statistics. Who closes the database waits for it, so that nothing keeps the
/// engine open then.
pub(crate) type Analyzing = Arc<Mutex<()>>;

/// Describes a table as `reader` sees it; `go_on` is asked now and then.
///
/// # Errors
/// When rows cannot be read, and 57014 when it should not go on.
pub(crate) fn describe(
    table: &Arc<OpenTable>,
    reader: &TransactionReader,
    rows: u64,
    go_on: &dyn Fn() -> bool,
) -> Result<Described> {
    let changes = (table.changes.total(), table.changes.net());
    let statistics = luma_rows::analyze(table, reader, rows, go_on)?;
    Ok(Described { table: Arc::clone(table), changes, statistics })
}

/// Statistics that were made of a table.
pub(crate) struct Described {
    table: Arc<OpenTable>,
    /// How much had been changed in it before, and how many rows that left.
    changes: (u64, u64),
    statistics: TableStatistics,
}

impl Described {
    /// The table as it is defined now, with the statistics; `None` if it is gone or has other columns.
    pub(crate) fn apply(&self, catalog: &Snapshot) -> Option<Object> {
        let before = &self.table.definition;
        let now = catalog.table(before.oid).filter(|now| now.columns == before.columns)?;
        let mut described = now.as_ref().clone();
        described.statistics = Some(self.statistics.clone());
        Some(Object::Table(described))
    }

    /// Notes that the statistics are kept.
    pub(crate) fn kept(&self, by_itself: bool) {
        self.table.changes.analyzed(self.changes, by_itself);
    }
}

/// Starts the thread that makes statistics for as long as the database is open.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
    let mut thread = Thread {
        shared: Arc::downgrade(shared),
        rows: Arc::downgrade(&shared.rows),
        catalog: Arc::downgrade(&shared.catalog),
        analyzing: Arc::clone(&shared.analyzing),
        looked: HashMap::new(),
        unchanged: HashMap::new(),
    };
    let run = move || {
        let mut pause = INTERVAL;
        loop {
            std::thread::sleep(pause);
            let began = Instant::now();
            if thread.round().is_none() {
                return;
            }
            pause = INTERVAL.max(began.elapsed().saturating_mul(DUTY));
        }
    };
    std::thread::Builder::new().name("luma-analyze".into()).spawn(run).map(drop).map_err(|error| {
        Error::new(ErrorKind::IoError, format!("cannot start the thread of statistics: {error}"))
    })
}

/// What the thread knows. It never keeps the database open: whoever has the last of it waits until `analyzing` is free.
struct Thread {
    shared: Weak<Shared>,
    rows: Weak<Store>,
    catalog: Weak<Catalog>,
    analyzing: Analyzing,
    /// When tables were described last.
    looked: HashMap<Oid, Instant>,
    /// After how many changes there were too few: no use in looking before there are more.
    unchanged: HashMap<Oid, u64>,
}

impl Thread {
    /// Looks at all tables once; `None` when the database was closed.
    fn round(&mut self) -> Option<()> {
        let analyzing = Arc::clone(&self.analyzing);
        let _reading = analyzing.lock();
        let (rows, catalog) = (self.rows.upgrade()?, self.catalog.upgrade()?);
        let due = self.due_tables(&rows, &catalog.current());
        let go_on = || self.shared.strong_count() > 0;
        let reader = rows.engine().begin(TransactionOptions::default()).reader();
        let mut found = Vec::new();
        for (table, approximate) in due {
            self.looked.insert(table.definition.oid, Instant::now());
            match describe(&table, &reader, approximate, &go_on) {
                Ok(described) => found.push(described),
                Err(_) if !go_on() => return None,
                Err(error) => {
                    tracing::warn!(table = table.definition.name, %error, "statistics of a table");
                }
            }
        }
        if !found.is_empty() {
            let put = change_catalog(rows.engine(), &catalog, Some(LOCK_WAIT), |catalog, edit| {
                let mut objects = found.iter().filter_map(|described| described.apply(catalog));
                objects.try_for_each(|object| edit.put(object))
            });
            match put {
                Ok(()) => found.iter().for_each(|described| described.kept(true)),
                // Somebody keeps the catalog; the tables are looked at again later.
                Err(error) => tracing::debug!(%error, "statistics were not kept"),
            }
        }
        let catalog = catalog.current();
        self.looked.retain(|oid, _| catalog.table(*oid).is_some());
        self.unchanged.retain(|oid, _| catalog.table(*oid).is_some());
        Some(())
    }

    /// The tables of which enough was changed, with about how many rows they have.
    fn due_tables(&mut self, store: &Store, catalog: &Snapshot) -> Vec<(Arc<OpenTable>, u64)> {
        let temporary = |table: &Table| {
            catalog.schema_by_oid(table.schema).is_some_and(|schema| is_temporary(&schema.name))
        };
        let mut due = Vec::new();
        for definition in catalog.tables().filter(|table| !temporary(table)) {
            let oid = definition.oid;
            let total = store.changes(oid).total();
            if self.unchanged.get(&oid) == Some(&total) {
                continue;
            }
            // What cannot be opened says so to whoever uses it.
            let Ok(table) = store.table(definition) else { continue };
            let rows = store.approximate_rows(&table);
            let known = definition.statistics.as_ref().map(|known| known.row_count);
            let changed = changed(&table, known, rows);
            if !is_enough(known, rows, changed) {
                self.unchanged.insert(oid, total);
            } else if is_time(known, changed, self.looked.get(&oid).map(Instant::elapsed)) {
                due.push((Arc::new(table), rows));
            }
        }
        due
    }
}

/// How many rows were changed since statistics were made, about.
fn changed(table: &OpenTable, known: Option<u64>, rows: u64) -> u64 {
    let counts = table.changes.counts();
    let never = counts.by_hand.0 + counts.by_itself.0 == 0;
    // Of the time before a start nothing is known but what it led to.
    let before = if never { rows.abs_diff(known.unwrap_or_default()) } else { 0 };
    counts.since_analyze.max(before)
}

/// Whether so many changes make statistics old.
fn is_enough(known: Option<u64>, rows: u64, changed: u64) -> bool {
    let least = CHANGED_ROWS + CHANGED_SHARE * known.map_or(0, |had| had.max(rows)) as f64;
    changed as f64 >= least
}

/// Whether it is time to make them anew, so long after the last attempt.
fn is_time(known: Option<u64>, changed: u64, since: Option<Duration>) -> bool {
    let most_is_new = known.is_some_and(|had| had > 0 && changed >= had);
    since.is_none_or(|since| since >= AGAIN || most_is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_made_again_when_enough_was_changed() {
        let minute = Some(Duration::from_mins(1));
        let recently = Some(Duration::from_secs(5));
        let is_due =
            |known, rows, changed, since| is_enough(known, rows, changed) && is_time(known, changed, since);
        // New tables.
        assert!(!is_due(None, 49, 49, None));
        assert!(is_due(None, 50, 50, None));
        // A tenth of the rows.
        assert!(!is_due(Some(1000), 1000, 149, minute));
        assert!(is_due(Some(1000), 1000, 150, minute));
        // Not so often, unless most of it is new.
        assert!(!is_due(Some(1000), 1000, 999, recently));
        assert!(is_due(Some(1000), 2000, 1000, recently));
        // What could not be read is not tried all the time.
        assert!(!is_due(None, 1000, 1000, recently));
        assert!(is_due(None, 1000, 1000, minute));
    }
}
