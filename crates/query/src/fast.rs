//! The fast path: statements about one row by its key, or rows next to each other, compiled to direct operations.
//!
//! DataFusion needs some 300 µs to plan a query that takes one to answer. A statement that names
//! every column of a table's primary key (or of a unique index) with an equality, and otherwise
//! only uses expressions of [`scalar`], is compiled once and run without it; so is one that reads a [`range`] of a key. What does not fit
//! here goes to DataFusion; both give the same answers.

mod bounds;
pub(crate) mod compile;
pub(crate) mod point;
pub(crate) mod range;
pub(crate) mod scalar;
pub(crate) mod tail;
