//! Statements that change rows.

mod columns;
mod inference;
pub(crate) mod insert;
pub(crate) mod lock;
pub(crate) mod merge;
pub(crate) mod modify;
pub(crate) mod returning;
pub(crate) mod target;
pub(crate) mod with;
pub(crate) mod written;
