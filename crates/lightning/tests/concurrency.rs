//! What transactions that run at the same time do to each other, in each layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duplicate_mod, missing_docs)]

#[path = "layouts/concurrency.rs"]
mod btree;
#[path = "layouts/concurrency.rs"]
mod lsm;
