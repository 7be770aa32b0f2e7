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
    /// Keys in tables and B+Trees.
    pub entries: u64,
    /// Bytes of tables, of what they have in blob files, and of B+Trees.
    pub bytes: u64,
}

pub(crate) fn verify(engine: &Arc<Engine>, progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport> {
    let snapshot = engine.snapshot();
    let mut report = VerifyReport::default();
    let (mut tables, mut trees) = (Vec::new(), Vec::new());
    for keyspace in engine.keyspaces() {
        let Some(found) = snapshot.keyspace(&keyspace)? else { continue };
        report.keyspaces += 1;
        tables.extend(found.tree.tables().map(|(_, table)| Arc::clone(table)));
        trees.extend(found.tree.btree().map(Arc::clone));
    }
    let bytes_of_tables: u64 = tables.iter().map(|table| table.meta.bytes_with_blobs()).sum();
    let total_bytes = bytes_of_tables + trees.iter().map(|tree| tree.bytes).sum::<u64>();
    let mut done_bytes = 0;
    for table in tables {
        table
            .verify(&mut |bytes| progress(VerifyProgress { done_bytes: done_bytes + bytes, total_bytes }))?;
        done_bytes += table.meta.bytes_with_blobs();
        report.tables += 1;
        report.entries += table.meta.entries;
        report.bytes += table.meta.bytes_with_blobs();
    }
    for tree in trees {
        let mut read = done_bytes;
        tree.verify(&mut |bytes| {
            read += bytes;
            progress(VerifyProgress { done_bytes: read, total_bytes });
        })?;
        done_bytes += tree.bytes;
        report.entries += tree.entries;
        report.bytes += tree.bytes;
    }
    progress(VerifyProgress { done_bytes, total_bytes });
    Ok(report)
}
