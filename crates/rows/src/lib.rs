//! Row tables and document collections on Lightning, with their indexes and constraints.
//!
//! ```text
//! Store ── open ──▶ OpenTable (definition + keyspaces)
//!                      │
//!         read  ───────┼── point reads, RowScan (Arrow batches), index ranges
//!         write ───────┼── Writer: row + index entries + keys checked, in one transaction
//!         build ───────┴── new indexes, rewritten tables and bulk loads, before anyone can see them
//! ```
//!
//! The row store knows types and keys, not SQL: defaults and CHECK conditions are evaluated by the
//! caller, who hands over complete rows.

mod access;
mod analyze;
mod build;
mod changes;
mod columnar;
mod cover;
mod deferred;
mod distribution;
mod filler;
mod foreign;
mod index;
mod keys;
mod load;
mod scan;
mod sequence;
mod store;
mod table;
mod taker;
mod unique;
mod write;

pub use access::{Access, KeyRange, KeySet};
pub use analyze::analyze;
pub use build::{build_index, rewrite};
pub use changes::{ChangeCounts, Changes};
pub use columnar::{FileScan, NewFiles, TableFiles};
pub use cover::covers;
pub use deferred::DeferredKeys;
pub use distribution::Distribution;
pub use index::row_key as entry_row_key;
pub use load::{EncodedRows, Load, LoadKind, RowEncoder};
pub use scan::{RowScan, ScanColumn};
pub use sequence::Sequences;
pub use store::{LockSpace, Store};
pub use table::{OpenIndex, OpenTable, Row};
pub use write::{
    Conflict, ConflictTarget, Expressions, InsertOutcome, Isolation, Suspended, Writer, check_values,
    row_text,
};
