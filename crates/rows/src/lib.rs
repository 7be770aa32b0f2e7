//! Row tables and document collections on Lightning, with their secondary indexes.
