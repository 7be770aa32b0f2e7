//! An embedded, transactional key-value engine.
//!
//! A [`Database`] holds [`Keyspace`]s, which are sorted maps of bytes. One [`Transaction`] can span
//! them all; a [`Snapshot`] shows them all at one moment.
//!
//! ```
//! use lightning::{Database, KeyspaceOptions, Options, Readable, TransactionOptions};
//!
//! # let directory = tempfile::tempdir()?;
//! let database = Database::open(directory.path(), Options::default())?;
//! let people = database.create_keyspace("people", KeyspaceOptions::default())?;
//!
//! let mut transaction = database.begin(TransactionOptions::default());
//! transaction.put(&people, b"ada", b"1815")?;
//! transaction.put(&people, b"grace", b"1906")?;
//! transaction.commit()?; // durable and visible, both or neither
//!
//! assert_eq!(database.snapshot().get(&people, b"ada")?, Some(b"1815".to_vec()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
mod batch;
mod btree;
mod cache;
mod codec;
mod counter;
mod database;
mod engine;
mod error;
mod estimate;
mod files;
mod ingest;
mod keep;
mod key_range;
mod keyspace;
mod layout;
mod locks;
mod lsm;
mod manifest;
mod memtable;
mod merge;
mod merge_operator;
mod moments;
mod options;
mod prefix;
mod publisher;
mod range;
mod read_set;
mod readable;
mod spilled;
mod stats;
mod table;
mod together;
mod transaction;
mod verify;
mod view;
mod write_set;

pub use batch::WriteBatch;
pub use cache::CacheStats;
pub use database::{Database, Moment};
pub use engine::ConvertProgress;
pub use error::{Error, Result};
pub use estimate::RangeEstimate;
pub use ingest::Ingestion;
pub use keep::{CompactionFilter, Filtered};
pub use keyspace::Keyspace;
pub use locks::{LockAttempt, LockInfo, LockWaiter};
pub use merge_operator::{AddU64, Append, MergeOperator};
pub use options::{
    CachePolicy, CompactionStrategy, Compression, Direction, Durability, Isolation, KEY_BYTES_MAX,
    KeyspaceOptions, Layout, LockMode, Options, SyncMode, TransactionMode, TransactionOptions,
    VALUE_BYTES_MAX,
};
pub use prefix::Prefix;
pub use range::Range;
pub use readable::{Readable, Snapshot};
pub use stats::{BackPressure, KeyspaceStats, Stats, WriteStats};
pub use transaction::{CommitInfo, Savepoint, Transaction, TransactionReader};
pub use verify::{VerifyProgress, VerifyReport};
