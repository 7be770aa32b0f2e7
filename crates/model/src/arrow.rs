//! Values as Arrow columns, and Arrow columns as values.
//!
//! Tables leave the store, and results leave the query engine, as Arrow batches. Every
//! [`DataType`](crate::DataType) has one Arrow type; where that alone would lose which type it was,
//! the field's metadata names it. The other way round, every Arrow type that a query engine may
//! produce has a data type.
//!
//! A column is dispatched on once, when its [`ColumnBuilder`] or [`CellReader`] is made; the work per
//! cell is a branch and a copy, and text and bytes are borrowed.

mod build;
mod field;
mod json;
mod nested;
mod numeric;
mod read;

pub use build::ColumnBuilder;
pub use field::{TYPE_KEY, arrow_type, data_type, field};
pub use numeric::canonical as canonical_numeric;
pub use read::CellReader;

#[cfg(test)]
mod tests;
