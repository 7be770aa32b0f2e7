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
    /// Blocks of tables and leaves of B+Trees, each with its checksum.
    pub checksums: u64,
}

/// Checks files until so many checksums were compared, or all.
pub(crate) fn verify(
    engine: &Arc<Engine>,
    checksums_max: u64,
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<VerifyReport> {
    let snapshot = engine.snapshot();
    let mut report = VerifyReport::default();
    let (mut tables, mut trees) = (Vec::new(), Vec::new());
    for keyspace in engine.keyspaces() {
        let view = snapshot.view();
        let Some(found) = view.find(&keyspace)? else { continue };
        report.keyspaces += 1;
        tables.extend(found.tree.tables().map(|(_, table)| Arc::clone(table)));
        trees.extend(found.tree.btree().map(Arc::clone));
    }
    let bytes_of_tables: u64 = tables.iter().map(|table| table.meta.bytes_with_blobs()).sum();
    let total_bytes = bytes_of_tables + trees.iter().map(|tree| tree.bytes).sum::<u64>();
    let mut done_bytes = 0;
    let mut checksums = 0;
    for table in tables {
        if checksums >= checksums_max {
            break;
        }
        let mut read = done_bytes;
        table.verify(&mut |bytes| {
            checksums += 1;
            read += bytes;
            progress(VerifyProgress { done_bytes: read, total_bytes });
        })?;
        done_bytes += table.meta.bytes_with_blobs();
        report.tables += 1;
        report.entries += table.meta.entries;
        report.bytes += table.meta.bytes_with_blobs();
    }
    for tree in trees {
        if checksums >= checksums_max {
            break;
        }
        let mut read = done_bytes;
        tree.verify(&mut |bytes| {
            checksums += 1;
            read += bytes;
            progress(VerifyProgress { done_bytes: read, total_bytes });
        })?;
        done_bytes += tree.bytes;
        report.entries += tree.entries;
        report.bytes += tree.bytes;
    }
    report.checksums = checksums;
    progress(VerifyProgress { done_bytes, total_bytes });
    Ok(report)
}
