//! Statements that DataFusion plans and runs.
//!
//! ```text
//! AST ─ rewrite ─▶ AST ─ SqlToRel over Names ─▶ LogicalPlan ─ PostgresTypes, optimizer ─▶ ExecutionPlan ─▶ batches
//!                              │                                    │
//!                        RowTable (provider) ◀── filters, columns, limit ──▶ RowScanExec
//! ```

pub(crate) mod access;
pub(crate) mod apply;
pub(crate) mod collation;
pub(crate) mod columnar;
mod combined;
pub(crate) mod compensated;
pub(crate) mod context;
pub(crate) mod cooperative;
pub(crate) mod deferred;
pub(crate) mod distinct;
mod equality;
pub(crate) mod estimate;
mod extreme;
pub(crate) mod few_groups;
mod from_items;
mod function_alias;
pub(crate) mod gather;
pub(crate) mod index_order;
pub(crate) mod join_order;
pub(crate) mod kept;
mod keyless;
pub(crate) mod lateral;
pub(crate) mod lateral_rows;
pub(crate) mod leaf;
mod lifted;
mod limited;
pub(crate) mod modifier;
pub(crate) mod narrow;
mod nesting;
pub(crate) mod one_name;
pub(crate) mod one_row;
pub(crate) mod operator;
pub(crate) mod order;
pub(crate) mod origin;
mod partial_alias;
mod passing;
mod prefix;
pub(crate) mod provider;
pub(crate) mod rewrite;
pub(crate) mod run;
pub(crate) mod scan;
mod set_all;
mod shadowed;
mod starred;
pub(crate) mod state;
pub(crate) mod subject;
mod three_valued;
pub(crate) mod typing;
pub(crate) mod unify;
pub(crate) mod user_type;
mod using;
mod watch;
mod whole_row;
