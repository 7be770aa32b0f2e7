//! LumaDB: a multi-model database in one binary, and the same database inside a program.
//!
//! [`Embedded`] is the database inside a program; [`command`] is the binary.

pub mod client;
pub mod command;
pub mod config;
mod configured;
pub mod database;
mod embedded;
mod export;
mod failure;
mod http;
mod import;
mod logging;
mod metrics;
mod output;
mod serve;
mod sql;
mod stats;
mod user;
mod verify;

pub use embedded::{Answer, Connection, Embedded};
pub use failure::Failure;
pub use luma_model::Error;
