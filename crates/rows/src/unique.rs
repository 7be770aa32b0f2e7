//! Deferrable unique keys.
//!
//! Rows may share such a key until it is checked: by the statement that gave it to a row, or later. The check
//! locks the key until the transaction ends, so that of two transactions that give it to a row each the second
//! waits, sees what the first committed, and fails. A row that another transaction is about to take away is
//! waited for.

use std::sync::Arc;

use lightning::{Direction, LockMode, Readable};
use luma_catalog::{Oid, engine_error};
use luma_model::{Result, Value, ValueRef};

use crate::access::KeyRange;
use crate::index;
use crate::store::LockSpace;
use crate::table::{OpenIndex, OpenTable};
use crate::write::{Writer, duplicate_in};

/// A key that was given to a row.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) table: Oid,
    pub(crate) index: Oid,
    /// The encoded columns of the index.
    pub(crate) key: Vec<u8>,
}

/// Checks the keys that are not deferred, and has the others wait; with `end` checks all of them.
///
/// # Errors
/// 23505 when two rows have one key.
pub(crate) async fn check(writer: &mut Writer<'_>, claims: Vec<Claim>, end: bool) -> Result<()> {
    let mut later = Vec::new();
    let mut open: Option<Arc<OpenTable>> = None;
    for claim in claims {
        let table = match open.take().filter(|table| table.definition.oid == claim.table) {
            Some(table) => table,
            None => {
                // A table that was dropped since has nothing to say.
                let Some(table) = writer.catalog.table(claim.table) else { continue };
                Arc::new(writer.store.table(table)?)
            }
        };
        let index = table.indexes.iter().find(|index| index.definition.oid == claim.index);
        if let Some(index) = index {
            if !end && writer.deferred.defers(claim.index, index.definition.timing) {
                later.push(claim);
            } else {
                check_key(writer, &table, index, &claim.key).await?;
            }
        }
        open = Some(table);
    }
    writer.deferred.add_claims(later);
    Ok(())
}

async fn check_key(writer: &Writer<'_>, table: &OpenTable, index: &OpenIndex, key: &[u8]) -> Result<()> {
    writer.lock(LockSpace::Storage(index.definition.storage), key, LockMode::Exclusive).await?;
    let mut found = two_rows(writer, index, key)?;
    while let Some(rows) = found {
        for row in &rows {
            writer.lock(LockSpace::Storage(table.definition.storage), row, LockMode::Shared).await?;
        }
        found = two_rows(writer, index, key)?;
        if found.as_ref() == Some(&rows)
            && let Some(bytes) = writer.transaction.get_latest(&table.rows, &rows[0]).map_err(engine_error)?
        {
            let values = table.row(&bytes)?.values()?;
            let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
            return Err(duplicate_in(table, index, &values, writer.expressions));
        }
    }
    Ok(())
}

/// The keys of the first two rows with this key, as they are now; `None` when there are not two.
fn two_rows(writer: &Writer<'_>, index: &OpenIndex, key: &[u8]) -> Result<Option<[Vec<u8>; 2]>> {
    let reader = writer.transaction.latest_reader();
    let range = KeyRange::prefix(key.to_vec());
    let mut entries =
        reader.range(&index.entries, range.start(), range.end(), Direction::Forward).map_err(engine_error)?;
    let mut first: Option<Vec<u8>> = None;
    while let Some((entry, value)) = entries.next().map_err(engine_error)? {
        if index::claim(entry, value) != Some(key) {
            continue;
        }
        let row = index::row_key(entry, value)?.to_vec();
        match first.take() {
            Some(first) => return Ok(Some([first, row])),
            None => first = Some(row),
        }
    }
    Ok(None)
}
