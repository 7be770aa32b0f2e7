//! LOCK TABLE.
//!
//! Two modes exist below: shared, as every statement that writes holds it, and exclusive. The modes of
//! PostgreSQL that writers can hold together are the first, all others the second. Readers see a
//! snapshot and wait for nobody, not even for ACCESS EXCLUSIVE.

use std::sync::Arc;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{self, LockTableMode};
use lightning::LockMode;
use luma_catalog::engine_error;
use luma_model::{Error, ErrorKind, Result};
use luma_rows::{LockSpace, Store};

use crate::ddl::done;
use crate::names::{Scope, qualified};
use crate::outcome::Outcome;
use crate::session::Session;

/// Runs LOCK TABLE.
pub(crate) async fn tables(session: &mut Session, lock: &ast::Lock) -> Result<Outcome> {
    if session.active()?.implicit {
        return Err(Error::new(
            ErrorKind::NoActiveTransaction,
            "LOCK TABLE can only be used in transaction blocks",
        ));
    }
    let mode = match lock.lock_mode {
        Some(LockTableMode::AccessShare | LockTableMode::RowShare | LockTableMode::RowExclusive) => {
            LockMode::Shared
        }
        _ => LockMode::Exclusive,
    };
    let timeout = if lock.nowait { Some(Duration::ZERO) } else { session.settings.lock_timeout() };
    let catalog = session.catalog();
    for target in &lock.tables {
        let scope = Scope { catalog: &catalog, search_path: session.search_path() };
        let table = Arc::clone(scope.written_table(&qualified(&target.name)?)?);
        let locked = session
            .active()?
            .engine
            .lock(LockSpace::Tables.number(), &Store::object_key(table.oid), mode, timeout)
            .await;
        locked.map_err(|error| match engine_error(error) {
            error if lock.nowait && error.kind == ErrorKind::LockNotAvailable => Error::new(
                ErrorKind::LockNotAvailable,
                format!("could not obtain lock on relation \"{}\"", table.name),
            ),
            error => error,
        })?;
    }
    Ok(done("LOCK TABLE"))
}
