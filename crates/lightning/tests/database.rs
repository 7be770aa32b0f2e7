//! What a database promises to one process, in each layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duplicate_mod, missing_docs)]

#[path = "layouts/database.rs"]
mod btree;
#[path = "layouts/database.rs"]
mod lsm;
