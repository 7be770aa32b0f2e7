//! Checking everything on disk.

use std::sync::Arc;

use crate::Result;
use crate::engine::Engine;

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes read.
    pub done_bytes: u64,
    /// Bytes to read.
    pub total_bytes: u64,
}

/// What a verification read. Damage is an error instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Keyspaces.
    pub keyspaces: usize,
    /// Tables.
    pub tables: usize,
    /// Keys in tables.
    pub entries: u64,
    /// Bytes of tables.
    pub bytes: u64,
}

pub(crate) fn verify(engine: &Arc<Engine>, progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport> {
    let snapshot = engine.snapshot();
    let mut report = VerifyReport::default();
    let mut tables = Vec::new();
    for keyspace in engine.keyspaces() {
        let Some(found) = snapshot.keyspace(&keyspace)? else { continue };
        report.keyspaces += 1;
        tables.extend(found.tree.tables().map(|(_, table)| Arc::clone(table)));
    }
    let total_bytes = tables.iter().map(|table| table.meta.bytes).sum();
    let mut done_bytes = 0;
    for table in tables {
        table
            .verify(&mut |bytes| progress(VerifyProgress { done_bytes: done_bytes + bytes, total_bytes }))?;
        done_bytes += table.meta.bytes;
        report.tables += 1;
        report.entries += table.meta.entries;
        report.bytes += table.meta.bytes;
    }
    progress(VerifyProgress { done_bytes, total_bytes });
    Ok(report)
}
