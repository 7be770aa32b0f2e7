//! The binary as a user runs it: its commands, what they print, and how they end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod columnar;
mod configuration;
mod example_data;
mod files;
mod importing;
mod killed;
mod lines;
mod metrics;
mod objects;
mod process;
mod rules;
mod scraping;
mod senders;
mod serving;
mod statements;
mod tour;
mod users;
