//! What deleting a range does, in each layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duplicate_mod, missing_docs)]

#[path = "layouts/ranges.rs"]
mod btree;
#[path = "layouts/ranges.rs"]
mod lsm;
