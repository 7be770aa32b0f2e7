//! Upkeep of columnar tables: loose rows go to files, small files and those with many deleted rows are merged.
//!
//! A round reads what a snapshot shows, writes new files beside the old ones, then keeps writers out for the
//! moment in which the manifest changes. Rows that somebody changed meanwhile would come back, so the round is
//! given up then, and after some of those the next one keeps writers out from its start. Readers are never
//! kept out: what they see stays until they end.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lightning::{
    Direction, Durability, LockMode, Readable, Transaction, TransactionMode, TransactionOptions,
};
use luma_catalog::{Oid, Table, engine_error};
use luma_columns::{FileView, RowAddress, Sink, file_key};
use luma_model::{Error, ErrorKind, Result, Value, ValueRef};
use luma_rows::{FileScan, LockSpace, NewFiles, OpenTable, ScanColumn, Store, TableFiles};

use crate::database::Shared;

/// How often tables are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// Loose rows from which a table's are moved.
const LOOSE_ROWS: u64 = 20_000;
/// Loose rows that one round moves at most.
const LOOSE_ROWS_MAX: usize = 250_000;
/// Rows of a file that is not merged with others any more.
const LARGE_FILE_ROWS: u64 = 4 << 20;
/// Small files of one partition from which they are merged.
const SMALL_FILES: usize = 8;
/// Rows that one round merges at most, about.
const MERGE_ROWS: u64 = 16 << 20;
/// How long a round waits for writers to end.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Rounds of one call at most; what is left is done by the next.
const ROUNDS_MAX: usize = 1000;
/// Rounds that may be given up before one keeps writers out from its start.
const ROUNDS: usize = 3;

/// Starts the thread that looks after all columnar tables for as long as the database is open.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
    let shared = Arc::downgrade(shared);
    std::thread::Builder::new()
        .name("luma-upkeep".into())
        .spawn(move || look_after(&shared))
        .map(drop)
        .map_err(|error| {
            Error::new(ErrorKind::IoError, format!("cannot start the thread of upkeep: {error}"))
        })
}

fn look_after(shared: &Weak<Shared>) {
    loop {
        std::thread::sleep(INTERVAL);
        let Some(shared) = shared.upgrade() else { return };
        let catalog = shared.catalog.current();
        for table in catalog.tables().filter(|table| table.columnar.is_some()) {
            if let Err(error) = maintain(&shared, table.oid, Effort::WhereItPays) {
                tracing::warn!(table = table.name, %error, "upkeep of a columnar table");
            }
        }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What makes reading faster by more than it costs.
    WhereItPays,
    /// All that can be: no loose rows, no deleted ones, no small files.
    All,
}

/// Does the upkeep of a table.
///
/// # Errors
/// When a file cannot be read or written; what was there before stays.
pub(crate) fn maintain(shared: &Arc<Shared>, table: Oid, effort: Effort) -> Result<()> {
    let mut given_up = 0;
    for _ in 0..ROUNDS_MAX {
        match round(shared, table, effort, given_up >= ROUNDS)? {
            Round::Nothing => return Ok(()),
            Round::Done => given_up = 0,
            Round::GivenUp if effort == Effort::WhereItPays && given_up >= ROUNDS => return Ok(()),
            Round::GivenUp if given_up > 2 * ROUNDS => {
                let message = "could not get the table to itself: other transactions keep changing it";
                return Err(Error::new(ErrorKind::LockNotAvailable, message).hint("Try again later."));
            }
            Round::GivenUp => given_up += 1,
        }
    }
    Ok(())
}

/// How a round ended.
enum Round {
    Nothing,
    Done,
    GivenUp,
}

/// What a round rewrites.
struct Work {
    views: Vec<FileView>,
    loose: Vec<Vec<u8>>,
}

fn round(shared: &Arc<Shared>, oid: Oid, effort: Effort, alone: bool) -> Result<Round> {
    let _pin = shared.rows.columns().pin();
    let options = TransactionOptions {
        mode: TransactionMode::Pessimistic,
        durability: Durability::Sync,
        ..TransactionOptions::default()
    };
    let mut transaction = shared.engine.begin(options);
    if alone {
        if !lock(&transaction, oid)? {
            return Ok(Round::GivenUp);
        }
        transaction.refresh();
    }
    let Some(definition) = shared.catalog.current().table(oid).cloned() else { return Ok(Round::Nothing) };
    let open = shared.open_table(&definition)?;
    let Some(files) = &open.files else { return Ok(Round::Nothing) };
    let before = files.views(&transaction.reader())?;
    let mut work = Work { views: inputs(&before, effort), loose: Vec::new() };
    let level = work.views.iter().map(|view| view.entry().level.saturating_add(1)).max().unwrap_or(0);
    let mut sink = files.sink(&open, level);
    work.loose = loose_rows(&open, &transaction, effort, &mut sink)?;
    if work.views.is_empty() && work.loose.is_empty() {
        return Ok(Round::Nothing);
    }
    for view in &work.views {
        copy_file(&open, view, &mut sink)?;
    }
    let written = sink.finish()?;
    if !alone && !lock(&transaction, oid)? {
        return Ok(Round::GivenUp);
    }
    if !is_same(shared.catalog.current().table(oid), &definition)
        || !is_untouched(&transaction, files, &open, &work)?
    {
        return Ok(Round::GivenUp);
    }
    let new_files = NewFiles::default();
    new_files.add(&mut transaction, &files.manifest, written)?;
    for view in &work.views {
        let number = view.entry().number;
        transaction.delete(&files.manifest, &file_key(number)).map_err(engine_error)?;
        let (from, to) = (RowAddress { file: number, row: 0 }, RowAddress { file: number + 1, row: 0 });
        let (from, to) = (from.key(), to.key());
        transaction
            .delete_range(&files.manifest, Bound::Included(&from), Bound::Excluded(&to))
            .map_err(engine_error)?;
    }
    for key in &work.loose {
        transaction.delete(&open.rows, key).map_err(engine_error)?;
    }
    new_files.settle(&transaction)?;
    transaction.commit().map_err(engine_error)?;
    files.store.give_up(work.views.into_iter().map(|view| view.file).collect());
    Ok(Round::Done)
}

/// Keeps writers of the table out until the transaction ends; `false` when they did not end in time.
fn lock(transaction: &Transaction, oid: Oid) -> Result<bool> {
    let space = LockSpace::Tables.number();
    let key = Store::object_key(oid);
    match transaction.lock_blocking(space, &key, LockMode::Exclusive, Some(LOCK_WAIT)) {
        Ok(()) => Ok(true),
        Err(lightning::Error::LockTimeout | lightning::Error::Deadlock) => Ok(false),
        Err(error) => Err(engine_error(error)),
    }
}

/// Whether rows that were written for one definition serve the other.
fn is_same(now: Option<&Arc<Table>>, before: &Table) -> bool {
    now.is_some_and(|now| {
        now.storage == before.storage && now.columnar == before.columnar && now.columns == before.columns
    })
}

/// Whether what a round rewrote is still as its snapshot shows it.
fn is_untouched(
    transaction: &Transaction,
    files: &TableFiles,
    open: &OpenTable,
    work: &Work,
) -> Result<bool> {
    let now: BTreeMap<u64, FileView> = files
        .views(&transaction.latest_reader())?
        .into_iter()
        .map(|view| (view.entry().number, view))
        .collect();
    let same = |view: &FileView| now.get(&view.entry().number).is_some_and(|now| now.deleted == view.deleted);
    if !work.views.iter().all(same) {
        return Ok(false);
    }
    for key in &work.loose {
        if transaction.changed_since_snapshot(&open.rows, key).map_err(engine_error)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files that are to be merged: those with many deleted rows, and small ones of one partition.
fn inputs(views: &[FileView], effort: Effort) -> Vec<FileView> {
    let all = effort == Effort::All;
    let share = if all { u64::MAX } else { 5 };
    let mut chosen: Vec<FileView> = Vec::new();
    let mut rows = 0;
    let mut choose = |view: &FileView| {
        if rows < MERGE_ROWS {
            rows += view.live_rows();
            chosen.push(view.clone());
        }
    };
    let mut small: BTreeMap<&[u8], Vec<&FileView>> = BTreeMap::new();
    for view in views {
        let deleted = view.entry().rows - view.live_rows();
        if deleted > 0 && deleted.saturating_mul(share) >= view.entry().rows {
            choose(view);
        } else if view.entry().rows < LARGE_FILE_ROWS {
            small.entry(view.entry().partition.as_slice()).or_default().push(view);
        }
    }
    let fewest = if all { 2 } else { SMALL_FILES };
    small.into_values().filter(|views| views.len() >= fewest).flatten().for_each(&mut choose);
    chosen
}

/// Gives loose rows to the sink; their keys.
fn loose_rows(
    open: &OpenTable,
    transaction: &Transaction,
    effort: Effort,
    sink: &mut Sink,
) -> Result<Vec<Vec<u8>>> {
    if effort == Effort::WhereItPays && open.rows.stats().approximate_entries < LOOSE_ROWS {
        return Ok(Vec::new());
    }
    let reader = transaction.reader();
    let mut rows = reader
        .range(&open.rows, Bound::Unbounded, Bound::Unbounded, Direction::Forward)
        .map_err(engine_error)?;
    let mut keys = Vec::new();
    while let Some((key, bytes)) = rows.next().map_err(engine_error)? {
        let values = open.row(bytes)?.values()?;
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        sink.push_row(&values)?;
        keys.push(key.to_vec());
        if keys.len() >= LOOSE_ROWS_MAX {
            break;
        }
    }
    Ok(keys)
}

/// Gives the rows of a file that are not deleted to the sink.
fn copy_file(open: &Arc<OpenTable>, view: &FileView, sink: &mut Sink) -> Result<()> {
    let columns: Vec<ScanColumn> = open
        .definition
        .live_columns()
        .map(|column| ScanColumn::Value(usize::from(column.number) - 1))
        .collect();
    let schema = Arc::new(crate::plan::provider::schema(open));
    let nullable: Vec<_> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(datafusion::arrow::datatypes::Schema::new(nullable));
    for group in 0..view.groups()? {
        let mut scan = FileScan::open(
            Arc::clone(open),
            view,
            group,
            columns.clone(),
            Arc::clone(&schema),
            Vec::new(),
            false,
        )?;
        while let Some(batch) = scan.next_batch()? {
            sink.push_columns(batch.columns().to_vec())?;
        }
    }
    Ok(())
}
