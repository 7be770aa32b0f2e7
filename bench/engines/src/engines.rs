//! One adapter per engine. Each uses what the engine's authors advise for the job.

pub mod canopydb;
pub mod fjall;
pub mod lightning;
pub mod lmdb;
pub mod redb;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
pub mod sqlite;
