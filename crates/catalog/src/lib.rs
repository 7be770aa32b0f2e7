//! The versioned catalog: schemas, tables, collections, indexes, views, sequences and roles.
//!
//! A [`Snapshot`] is immutable: a statement resolves every name against one of them and never sees
//! half a change. A change is made on a [`Snapshot`] of its own by an [`Edit`], written into the
//! transaction that made it, and published by [`Catalog::publish`] once that transaction is durable.
//!
//! ```text
//! Catalog ── current ──▶ Arc<Snapshot>          (readers)
//!    │                       │ edit()
//!    │                       ▼
//!    └──── publish ◀──── Edit ── write ──▶ lightning::Transaction
//! ```

mod edit;
mod engine;
mod object;
pub mod password;
mod snapshot;
mod store;
mod types;

pub use edit::Edit;
pub use engine::engine_error;
pub use object::{
    Check, CheckOption, Column, ColumnCollation, ColumnStatistics, Columnar, CommonValue, ConstraintTiming,
    External, FilledBy, ForeignKey, Identity, Index, IndexColumn, IndexExpression, KeyConstraint, Object,
    Oid, ReferentialAction, Role, Schema, ScramVerifier, Sequence, StorageId, Table, TableKind,
    TableStatistics, UserCollation, Verifier, View,
};
pub use snapshot::{Relation, Snapshot};
pub use store::Catalog;
pub use types::{Domain, UserType, UserTypeKind};

/// The schema that unqualified names are created in.
pub const PUBLIC: &str = "public";
/// Identifiers below this one belong to the system; the first user object gets this one.
pub const FIRST_USER_OID: Oid = 16384;
