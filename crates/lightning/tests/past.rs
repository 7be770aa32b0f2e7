//! Reading in the past, in each layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duplicate_mod, missing_docs)]

#[path = "layouts/past.rs"]
mod btree;
#[path = "layouts/past.rs"]
mod lsm;
