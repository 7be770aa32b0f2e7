//! LumaDB: a multi-model database in one binary, and the same database inside a program.
//!
//! ```no_run
//! # fn main() -> Result<(), lumadb::Failure> {
//! let config = lumadb::config::Config::load(None, &[])?;
//! let database = lumadb::database::open(&config, &config.data_dir())?;
//! # drop(database);
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod command;
pub mod config;
pub mod database;
mod export;
mod failure;
mod http;
mod import;
mod logging;
mod metrics;
mod output;
mod rules;
mod serve;
mod sql;
mod stats;
mod user;
mod verify;

pub use failure::Failure;
