//! What a transaction has to check later: at its end, or when `SET CONSTRAINTS` makes it immediate.

use std::collections::HashMap;
use std::sync::Arc;

use luma_catalog::{ConstraintTiming, Oid};
use luma_model::{ErrorKind, Result};
use parking_lot::Mutex;

use crate::foreign::{self, Waiting};
use crate::unique::{self, Claim};
use crate::write::Writer;

/// Keys of a transaction that are checked later. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct DeferredKeys(Arc<Mutex<Deferred>>);

#[derive(Debug, Default)]
struct Deferred {
    /// What `SET CONSTRAINTS` said last of all deferrable keys, and since then of some.
    all: Option<bool>,
    some: HashMap<Oid, bool>,
    waiting: Vec<Waiting>,
    claims: Vec<Claim>,
}

impl DeferredKeys {
    /// Defers deferrable keys, or has them checked by each statement: those named, or all.
    pub fn set(&self, constraints: Option<&[Oid]>, deferred: bool) {
        let mut state = self.0.lock();
        match constraints {
            Some(constraints) => state.some.extend(constraints.iter().map(|oid| (*oid, deferred))),
            None => {
                state.all = Some(deferred);
                state.some.clear();
            }
        }
    }

    /// Whether nothing waits to be checked.
    pub fn is_empty(&self) -> bool {
        let state = self.0.lock();
        state.waiting.is_empty() && state.claims.is_empty()
    }

    /// Whether the constraint is checked later.
    pub(crate) fn defers(&self, constraint: Oid, timing: ConstraintTiming) -> bool {
        let initially = match timing {
            ConstraintTiming::NotDeferrable => return false,
            ConstraintTiming::InitiallyImmediate => false,
            ConstraintTiming::InitiallyDeferred => true,
        };
        let state = self.0.lock();
        state.some.get(&constraint).copied().or(state.all).unwrap_or(initially)
    }

    pub(crate) fn add(&self, waiting: Waiting) {
        self.0.lock().waiting.push(waiting);
    }

    pub(crate) fn add_claims(&self, claims: Vec<Claim>) {
        self.0.lock().claims.extend(claims);
    }
}

/// Whether something of the table is still to be checked; unique keys that hold now are forgotten: who breaks one
/// later has it checked then.
pub(crate) async fn concerns(writer: &mut Writer<'_>, table: Oid) -> Result<bool> {
    let claims: Vec<Claim> = {
        let mut state = writer.deferred.0.lock();
        if state.waiting.iter().any(|waiting| waiting.child == table) {
            return Ok(true);
        }
        state.claims.extract_if(.., |claim| claim.table == table).collect()
    };
    match unique::check(writer, claims.clone(), true).await {
        Ok(()) => Ok(false),
        Err(error) => {
            writer.deferred.add_claims(claims);
            if error.kind == ErrorKind::UniqueViolation { Ok(true) } else { Err(error) }
        }
    }
}

/// Checks what waited and is not deferred any more; everything at the end of the transaction.
pub(crate) async fn check(writer: &mut Writer<'_>, end: bool) -> Result<()> {
    let (waiting, claims) = {
        let mut state = writer.deferred.0.lock();
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.claims))
    };
    unique::check(writer, claims, end).await?;
    foreign::check_waiting(writer, waiting, end).await
}
