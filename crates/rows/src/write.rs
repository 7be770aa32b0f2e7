//! Writes: a row, its index entries and its constraints, in one transaction.
//!
//! Every key that decides something is locked before it is read: the row's key, each unique key,
//! a referenced row (shared). So two writers of one key queue up, the second sees what the first
//! committed, and nothing needs to be validated at commit. Under repeatable read a row that
//! changed after the transaction's snapshot is a serialization failure, as in PostgreSQL.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lightning::{LockMode, Transaction};
use luma_catalog::{Column, Index, Oid, Snapshot, engine_error};
use luma_columns::{RowAddress, Sink, file_key};
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value, ValueRef, format_text};

use crate::columnar::{NewFiles, PendingInserts, TableFiles};
use crate::deferred::DeferredKeys;
use crate::foreign::{ForeignKeys, KeyChange};
use crate::index::{self, Entry};
use crate::store::{LockSpace, Store};
use crate::table::{DOCUMENT, OpenIndex, OpenTable, encode_row};
use crate::unique::Claim;

/// What a statement may see of others' commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// The transaction sees what was committed before its first statement; changing a row that
    /// changed since is an error.
    RepeatableRead,
}

/// What the row store asks of the layer that knows SQL.
pub trait Expressions: Send + Sync {
    /// Fails unless the row satisfies every CHECK condition of the table.
    fn check_row(&self, table: &OpenTable, values: &[ValueRef<'_>]) -> Result<()>;
    /// A new default value for the column.
    fn default_value(&self, table: &OpenTable, column: &Column) -> Result<Value>;
    /// What an index's expressions give for a row; `None` when its predicate leaves the row out.
    fn index_values(
        &self,
        table: &OpenTable,
        index: &Index,
        values: &[ValueRef<'_>],
    ) -> Result<Option<Vec<Value>>>;
}

/// Which constraint an insert may run into without failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictTarget {
    /// None: each conflict is an error.
    None,
    /// The primary key.
    PrimaryKey,
    /// The unique index at that place.
    Index(usize),
    /// Any of them.
    Any,
}

/// The row that stands in an insert's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its key; it is locked.
    pub row_key: Vec<u8>,
    /// As it is stored now.
    pub row: Vec<u8>,
}

/// How an insert ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The row is in.
    Inserted,
    /// It is not: the target's constraint has a row already.
    Conflict(Conflict),
}

/// Writes rows for one statement; [`Writer::finish`] ends it.
pub struct Writer<'a> {
    pub(crate) store: &'a Store,
    pub(crate) catalog: &'a Snapshot,
    pub(crate) transaction: &'a mut Transaction,
    pub(crate) expressions: &'a dyn Expressions,
    isolation: Isolation,
    lock_timeout: Option<Duration>,
    pub(crate) foreign: ForeignKeys,
    pub(crate) deferred: DeferredKeys,
    /// Deferrable unique keys that the statement gave to rows.
    claims: Vec<Claim>,
    pub(crate) changes: VecDeque<KeyChange>,
    key: Vec<u8>,
    bytes: Vec<u8>,
    document: Vec<u8>,
    entry: Entry,
    old_entry: Entry,
    new_files: NewFiles,
    /// Rows of columnar tables until the statement ends.
    inserts: Vec<PendingInserts>,
}

/// What a paused statement leaves to settle.
#[derive(Debug, Default)]
pub struct Suspended {
    foreign: ForeignKeys,
    claims: Vec<Claim>,
    inserts: Vec<PendingInserts>,
}

impl<'a> Writer<'a> {
    /// A writer for one statement of `transaction`.
    pub fn new(
        store: &'a Store,
        catalog: &'a Snapshot,
        transaction: &'a mut Transaction,
        expressions: &'a dyn Expressions,
        isolation: Isolation,
        lock_timeout: Option<Duration>,
        (deferred, new_files): (DeferredKeys, NewFiles),
    ) -> Self {
        Self {
            store,
            catalog,
            transaction,
            expressions,
            isolation,
            lock_timeout,
            foreign: ForeignKeys::default(),
            deferred,
            claims: Vec::new(),
            changes: VecDeque::new(),
            key: Vec::new(),
            bytes: Vec::new(),
            document: Vec::new(),
            entry: Entry::default(),
            old_entry: Entry::default(),
            new_files,
            inserts: Vec::new(),
        }
    }

    /// Bytes the transaction holds in memory.
    pub fn transaction_bytes(&self) -> usize {
        self.transaction.write_set_bytes()
    }

    /// What is committed now and what this transaction wrote.
    pub fn latest_reader(&self) -> lightning::TransactionReader {
        self.transaction.latest_reader()
    }

    pub(crate) async fn lock(&self, space: LockSpace, key: &[u8], mode: LockMode) -> Result<()> {
        self.transaction.lock(space.number(), key, mode, self.lock_timeout).await.map_err(engine_error)
    }

    /// Locks a row and reads it as it is now; `None` when it is gone.
    ///
    /// # Errors
    /// 40001 under repeatable read when the row changed after the snapshot; 40P01 on a deadlock;
    /// 55P03 when the lock took too long.
    pub async fn lock_row(&mut self, table: &OpenTable, row_key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.lock_row_as(table, row_key, LockMode::Exclusive).await
    }

    /// How long the writer waits for a lock from now on; `None` is for ever.
    pub fn set_lock_timeout(&mut self, timeout: Option<Duration>) {
        self.lock_timeout = timeout;
    }

    /// As [`Writer::lock_row`], in the mode that is given.
    ///
    /// # Errors
    /// As [`Writer::lock_row`].
    pub async fn lock_row_as(
        &mut self,
        table: &OpenTable,
        row_key: &[u8],
        mode: LockMode,
    ) -> Result<Option<Vec<u8>>> {
        self.lock(LockSpace::Storage(table.definition.storage), row_key, mode).await?;
        if self.isolation == Isolation::RepeatableRead
            && self.transaction.changed_since_snapshot(&table.rows, row_key).map_err(engine_error)?
        {
            return Err(concurrent_update());
        }
        self.transaction.get_latest(&table.rows, row_key).map_err(engine_error)
    }

    /// Locks a row that a scan gave with its stored image; whether it is still so.
    ///
    /// # Errors
    /// As [`Writer::lock_row`].
    pub async fn lock_seen(
        &mut self,
        table: &OpenTable,
        row_key: &[u8],
        image: &[u8],
        mode: LockMode,
    ) -> Result<bool> {
        let (Some(address), Some(files)) = (RowAddress::from_key(row_key), &table.files) else {
            return Ok(self.lock_row_as(table, row_key, mode).await?.as_deref() == Some(image));
        };
        self.lock(LockSpace::Storage(files.storage()), row_key, mode).await?;
        let file = file_key(address.file);
        let changed = |key: &[u8]| self.transaction.changed_since_snapshot(&files.manifest, key);
        if self.isolation == Isolation::RepeatableRead
            && (changed(row_key).map_err(engine_error)? || changed(&file).map_err(engine_error)?)
        {
            return Err(concurrent_update());
        }
        let latest = |key: &[u8]| self.transaction.get_latest(&files.manifest, key).map_err(engine_error);
        // A file that was merged has its rows in another one now.
        Ok(latest(row_key)?.is_none() && latest(&file)?.is_some())
    }

    /// Inserts a complete row (values by ordinal, already of the columns' types).
    ///
    /// # Errors
    /// Of constraints: 23502, 23505, 23514; of locks as in [`Writer::lock_row`].
    pub async fn insert(
        &mut self,
        table: &OpenTable,
        values: &[ValueRef<'_>],
        target: &ConflictTarget,
    ) -> Result<InsertOutcome> {
        self.check_values(table, values)?;
        if let Some(files) = &table.files {
            self.pending(table, files).push_row(values)?;
            table.changes.insert(1);
            return Ok(InsertOutcome::Inserted);
        }
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        table.row_key(values, &mut key)?;
        // A key in the way is an error only if the one that decides the conflict is free.
        let mut refused = None;
        if !table.key_ordinals().is_empty() {
            self.lock(LockSpace::Storage(table.definition.storage), &key, LockMode::Exclusive).await?;
            let existing = self.transaction.get_latest(&table.rows, &key).map_err(engine_error)?;
            if let Some(row) = existing {
                if matches!(target, ConflictTarget::PrimaryKey | ConflictTarget::Any) {
                    return Ok(InsertOutcome::Conflict(Conflict { row_key: key, row }));
                }
                let name = table.definition.primary_key.as_ref().map_or("", |key| key.name.as_str());
                refused = Some(duplicate(table, name, table.key_ordinals().iter().copied(), values));
            }
        }
        // Look at every unique index before anything is written, so that a conflict leaves no trace.
        for (place, index) in table.indexes.iter().enumerate() {
            if !index.definition.is_always_unique() {
                continue;
            }
            let Some(row_key) = self.lock_unique(table, index, values, &key, None).await? else { continue };
            let is_target = matches!(target, ConflictTarget::Any) || *target == ConflictTarget::Index(place);
            if is_target && let Some(row) = self.lock_row(table, &row_key).await? {
                return Ok(InsertOutcome::Conflict(Conflict { row_key, row }));
            }
            refused = refused.or_else(|| Some(duplicate_in(table, index, values, self.expressions)));
            if !matches!(target, ConflictTarget::Index(wanted) if *wanted > place) {
                break;
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        self.put_row(table, &key, values)?;
        for index in &table.indexes {
            if self.entry.build(table, index, values, &key, self.expressions)? {
                self.put_entry(table, index)?;
            }
        }
        self.foreign.require_parents(table, values, None);
        self.key = key;
        table.changes.insert(1);
        Ok(InsertOutcome::Inserted)
    }

    /// Replaces a row that [`Writer::lock_row`] or [`Writer::lock_seen`] locked; `old` and `new` are complete rows.
    pub async fn update(
        &mut self,
        table: &OpenTable,
        row_key: &[u8],
        old: &[ValueRef<'_>],
        new: &[ValueRef<'_>],
    ) -> Result<()> {
        self.check_values(table, new)?;
        table.changes.update();
        if let (Some(_), Some(files)) = (RowAddress::from_key(row_key), &table.files) {
            self.transaction.put(&files.manifest, row_key, b"").map_err(engine_error)?;
            return self.pending(table, files).push_row(new);
        }
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        if table.key_ordinals().is_empty() {
            key.extend_from_slice(row_key);
        } else {
            table.row_key(new, &mut key)?;
        }
        let moved = key != row_key;
        if moved {
            self.lock(LockSpace::Storage(table.definition.storage), &key, LockMode::Exclusive).await?;
            if self.transaction.get_latest(&table.rows, &key).map_err(engine_error)?.is_some() {
                let name = table.definition.primary_key.as_ref().map_or("", |key| key.name.as_str());
                return Err(duplicate(table, name, table.key_ordinals().iter().copied(), new));
            }
        }
        for index in &table.indexes {
            let included = index.definition.include.iter().map(|number| usize::from(*number) - 1);
            let mut same = index.definition.is_plain()
                && ordinals(index).chain(included).all(|ordinal| old[ordinal] == new[ordinal]);
            if same && !moved {
                continue;
            }
            let had = self.old_entry.build(table, index, old, row_key, self.expressions)?;
            let has = self.entry.build(table, index, new, &key, self.expressions)?;
            same |= had && has && self.old_entry.key == self.entry.key;
            if index.definition.is_always_unique()
                && !same
                && self.lock_unique(table, index, new, &key, Some(row_key)).await?.is_some()
            {
                return Err(duplicate_in(table, index, new, self.expressions));
            }
            if had && !(has && self.old_entry.key == self.entry.key) {
                self.transaction.delete(&index.entries, &self.old_entry.key).map_err(engine_error)?;
            }
            if has {
                self.put_entry(table, index)?;
            }
        }
        if moved {
            self.transaction.delete(&table.rows, row_key).map_err(engine_error)?;
        }
        self.put_row(table, &key, new)?;
        self.foreign.require_parents(table, new, Some(old));
        self.note_key_change(table, old, Some(new));
        self.key = key;
        Ok(())
    }

    /// Deletes a row that [`Writer::lock_row`] or [`Writer::lock_seen`] locked.
    pub fn delete(&mut self, table: &OpenTable, row_key: &[u8], old: &[ValueRef<'_>]) -> Result<()> {
        table.changes.delete();
        if let (Some(_), Some(files)) = (RowAddress::from_key(row_key), &table.files) {
            return self.transaction.put(&files.manifest, row_key, b"").map_err(engine_error);
        }
        for index in &table.indexes {
            if self.old_entry.build(table, index, old, row_key, self.expressions)? {
                self.transaction.delete(&index.entries, &self.old_entry.key).map_err(engine_error)?;
            }
        }
        self.transaction.delete(&table.rows, row_key).map_err(engine_error)?;
        self.note_key_change(table, old, None);
        Ok(())
    }

    /// The inserted rows of a columnar table.
    fn pending(&mut self, table: &OpenTable, files: &TableFiles) -> &mut Sink {
        let place = self.inserts.iter().position(|pending| pending.is_of(files)).unwrap_or_else(|| {
            self.inserts.push(PendingInserts::new(table, files));
            self.inserts.len() - 1
        });
        &mut self.inserts[place].sink
    }

    /// Inserts rows that are columns of a columnar table already, in the order of its live columns and with
    /// their types. Nothing is checked: see [`Writer::check_values`].
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn insert_columns(&mut self, table: &OpenTable, columns: Vec<arrow_array::ArrayRef>) -> Result<()> {
        let files = table.files.as_ref().ok_or_else(|| Error::internal("not a columnar table"))?;
        table.changes.insert(columns.first().map_or(0, |column| column.len() as u64));
        self.pending(table, files).push_columns(columns)
    }

    /// Takes over what an earlier writer of the same statement left to settle.
    pub fn resume(&mut self, left: Suspended) {
        (self.foreign, self.claims, self.inserts) = (left.foreign, left.claims, left.inserts);
    }

    /// Pauses the statement: what is left to settle goes to the next writer. For statements that
    /// only insert.
    pub fn suspend(self) -> Suspended {
        Suspended { foreign: self.foreign, claims: self.claims, inserts: self.inserts }
    }

    /// Ends the statement: inserts what waited, checks deferrable unique keys, follows foreign keys from changed
    /// parents, then checks that every new reference has its parent.
    ///
    /// # Errors
    /// 23505 when two rows have one key; 23503 when a reference would dangle; when a file cannot be written.
    pub async fn finish(mut self) -> Result<()> {
        for pending in std::mem::take(&mut self.inserts) {
            pending.finish(self.transaction, &self.new_files)?;
        }
        self.check_claims().await?;
        crate::foreign::settle(&mut self).await?;
        // Keys that followed their parents.
        self.check_claims().await
    }

    async fn check_claims(&mut self) -> Result<()> {
        let claims = std::mem::take(&mut self.claims);
        crate::unique::check(self, claims, false).await
    }

    /// Checks the keys that waited: those that are not deferred any more, or at the end of the
    /// transaction all of them.
    ///
    /// # Errors
    /// 23505 when two rows have one key; 23503 when a reference dangles.
    pub async fn check_deferred(mut self, end: bool) -> Result<()> {
        crate::deferred::check(&mut self, end).await
    }

    /// Whether the transaction has keys of the table to check later, which its rows do not satisfy yet.
    ///
    /// # Errors
    /// Of locks as in [`Writer::lock_row`].
    pub async fn has_pending(mut self, table: Oid) -> Result<bool> {
        crate::deferred::concerns(&mut self, table).await
    }

    fn note_key_change(&mut self, table: &OpenTable, old: &[ValueRef<'_>], new: Option<&[ValueRef<'_>]>) {
        if self.catalog.referencing_tables(table.definition.oid).next().is_none() {
            return;
        }
        let owned = |values: &[ValueRef<'_>]| values.iter().map(ValueRef::to_owned).collect::<Vec<Value>>();
        self.changes.push_back(KeyChange {
            parent: Arc::clone(&table.definition),
            old: owned(old),
            new: new.map(owned),
        });
    }

    fn put_row(&mut self, table: &OpenTable, key: &[u8], values: &[ValueRef<'_>]) -> Result<()> {
        encode_stored(table, values, &mut self.document, &mut self.bytes)?;
        self.transaction.put(&table.rows, key, &self.bytes).map_err(engine_error)
    }

    /// Puts the index entry that was built last.
    fn put_entry(&mut self, table: &OpenTable, index: &OpenIndex) -> Result<()> {
        let Entry { key, value, claimed, .. } = &self.entry;
        if *claimed > 0 {
            let (table, index) = (table.definition.oid, index.definition.oid);
            self.claims.push(Claim { table, index, key: key[..*claimed].to_vec() });
        }
        self.transaction.put(&index.entries, key, value).map_err(engine_error)
    }

    /// Locks the unique key of these values and gives the row that has it, unless that is `own`. A row that
    /// another transaction changes or deletes is waited for: it may not have the key any more then.
    async fn lock_unique(
        &mut self,
        table: &OpenTable,
        index: &OpenIndex,
        values: &[ValueRef<'_>],
        row_key: &[u8],
        own: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>> {
        self.entry.build(table, index, values, row_key, self.expressions)?;
        if !self.entry.exclusive {
            return Ok(None);
        }
        let space = LockSpace::Storage(index.definition.storage);
        self.lock(space, &self.entry.key, LockMode::Exclusive).await?;
        let mut waited = false;
        loop {
            let entry = self.transaction.get_latest(&index.entries, &self.entry.key).map_err(engine_error)?;
            let Some(value) = entry else { return Ok(None) };
            let found = index::row_key(&self.entry.key, &value)?;
            if own == Some(found) {
                return Ok(None);
            }
            if waited {
                return Ok(Some(found.to_vec()));
            }
            self.lock(LockSpace::Storage(table.definition.storage), found, LockMode::Shared).await?;
            waited = true;
        }
    }

    /// Checks a row as it is checked before it is inserted.
    ///
    /// # Errors
    /// 23502 for a NULL where there must be none; of conditions.
    pub fn check_values(&self, table: &OpenTable, values: &[ValueRef<'_>]) -> Result<()> {
        check_values(table, values, self.expressions)
    }
}

/// Refuses NULL where it may not be, and what a CHECK condition does not let in.
///
/// # Errors
/// 23502 for a NULL where there must be none; of conditions.
pub fn check_values(table: &OpenTable, values: &[ValueRef<'_>], expressions: &dyn Expressions) -> Result<()> {
    for (column, value) in table.definition.columns.iter().zip(values) {
        if column.not_null && !column.dropped && matches!(value, ValueRef::Null) {
            return Err(Error::new(
                ErrorKind::NotNullViolation,
                format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name, table.definition.name
                ),
            )
            .detail(format!("Failing row contains ({}).", row_text(table, values)))
            .table(&table.definition.name)
            .column(&column.name));
        }
    }
    expressions.check_row(table, values)
}

/// Encodes a row as it is stored; a collection's document is encoded on the way.
pub(crate) fn encode_stored(
    table: &OpenTable,
    values: &[ValueRef<'_>],
    document: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.clear();
    if !table.is_collection() {
        encode_row(values, None, out);
        return Ok(());
    }
    let text = match values[DOCUMENT] {
        ValueRef::Text(text) => text,
        _ => "{}",
    };
    let json: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::InvalidText, format!("invalid document: {error}")))?;
    document.clear();
    luma_model::encode_document(&json, document)?;
    encode_row(values, Some(document), out);
    Ok(())
}

/// The error of a row that changed after the snapshot of a transaction that keeps it.
fn concurrent_update() -> Error {
    let message = "could not serialize access due to concurrent update";
    Error::new(ErrorKind::SerializationFailure, message).hint("Run the transaction again.")
}

/// Ordinals of a plain index's columns.
fn ordinals(index: &OpenIndex) -> impl Iterator<Item = usize> + Clone {
    index.definition.columns.iter().map(|part| usize::from(part.column) - 1)
}

/// The error of a second row with one key of an index.
pub(crate) fn duplicate_in(
    table: &OpenTable,
    index: &OpenIndex,
    values: &[ValueRef<'_>],
    expressions: &dyn Expressions,
) -> Error {
    if index.definition.expressions.is_empty() {
        return duplicate(table, &index.definition.name, ordinals(index), values);
    }
    let computed = expressions.index_values(table, &index.definition, values).ok().flatten();
    let computed = computed.unwrap_or_default();
    let mut names = Vec::new();
    let mut shown = Vec::new();
    let mut computed = computed.iter().zip(&index.definition.expressions);
    for part in &index.definition.columns {
        if let Some(ordinal) = usize::from(part.column).checked_sub(1) {
            names.push(table.definition.columns[ordinal].name.as_str());
            shown.push(text_of(table.data_type(ordinal), values[ordinal]));
        } else if let Some((value, expression)) = computed.next() {
            names.push(&expression.expression);
            shown.push(text_of(&expression.data_type, value.as_ref()));
        }
    }
    duplicate_of(table, &index.definition.name, &format!("({})=({})", names.join(", "), shown.join(", ")))
}

/// The error of a second row with one key.
pub(crate) fn duplicate(
    table: &OpenTable,
    constraint: &str,
    ordinals: impl Iterator<Item = usize> + Clone,
    values: &[ValueRef<'_>],
) -> Error {
    duplicate_of(table, constraint, &key_text(table, ordinals, values))
}

pub(crate) fn duplicate_of(table: &OpenTable, constraint: &str, key: &str) -> Error {
    Error::new(
        ErrorKind::UniqueViolation,
        format!("duplicate key value violates unique constraint \"{constraint}\""),
    )
    .detail(format!("Key {key} already exists."))
    .table(&table.definition.name)
    .constraint(constraint)
}

/// `(a, b)=(1, 2)`, as PostgreSQL shows keys.
pub(crate) fn key_text(
    table: &OpenTable,
    ordinals: impl Iterator<Item = usize> + Clone,
    values: &[ValueRef<'_>],
) -> String {
    let names: Vec<&str> =
        ordinals.clone().map(|ordinal| table.definition.columns[ordinal].name.as_str()).collect();
    let shown: Vec<String> = ordinals.map(|ordinal| value_text(table, ordinal, values[ordinal])).collect();
    format!("({})=({})", names.join(", "), shown.join(", "))
}

/// The visible values of a row, as PostgreSQL shows a failing row.
pub fn row_text(table: &OpenTable, values: &[ValueRef<'_>]) -> String {
    let shown: Vec<String> = table
        .definition
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| !column.dropped)
        .map(|(ordinal, _)| value_text(table, ordinal, values[ordinal]))
        .collect();
    shown.join(", ")
}

fn value_text(table: &OpenTable, ordinal: usize, value: ValueRef<'_>) -> String {
    text_of(table.data_type(ordinal), value)
}

pub(crate) fn text_of(data_type: &DataType, value: ValueRef<'_>) -> String {
    if matches!(value, ValueRef::Null) {
        return "null".into();
    }
    let mut text = Vec::new();
    format_text(value, data_type, &TextContext::default(), &mut text);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if text.chars().count() > 64 {
        text = text.chars().take(64).collect::<String>() + "...";
    }
    text
}
