//! Columnar tables as DataFusion sees them.
//!
//! - `provider` binds a table to what one statement sees of it, and gives the optimizer what footers say.
//! - `days` compares days with moments as days, so that minima and maxima of days serve.
//! - `scan` is its node of a plan: row groups of files side by side, and the rows that are not in files yet.
//! - `run` reads a part of it, and passes rows by filters, also by those that become known meanwhile.
//! - `prune` leaves out row groups whose minima and maxima say that nothing in them passes.

mod days;
mod provider;
mod prune;
mod run;
mod scan;

pub(crate) use provider::ColumnTable;
