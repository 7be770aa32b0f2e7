//! The versioned catalog of schemas, tables, indexes and roles.
