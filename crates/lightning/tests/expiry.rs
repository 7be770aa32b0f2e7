//! Values that expire and values that a filter removes, in each layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duplicate_mod, missing_docs)]

#[path = "layouts/expiry.rs"]
mod btree;
#[path = "layouts/expiry.rs"]
mod lsm;
