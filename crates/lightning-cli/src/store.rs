//! Opening what the command line names.

use std::path::Path;

use lightning::{Database, Error, Keyspace, Options};

use crate::failure::{Code, Failure};

/// A database that is there.
pub(crate) fn existing(path: &Path) -> Result<Database, Failure> {
    let opened = Database::open(path, Options { create: false, ..Options::default() });
    opened.map_err(|error| match error {
        Error::DatabaseNotFound { .. } => Failure::new(
            Code::NotFound,
            format!("{error}; make one with: lightning create {}", path.display()),
        ),
        error => error.into(),
    })
}

/// A keyspace of a database.
pub(crate) fn keyspace(database: &Database, name: &str) -> Result<Keyspace, Failure> {
    database.keyspace(name).ok_or_else(|| {
        let names: Vec<String> = database.keyspace_names().iter().map(|name| format!("{name:?}")).collect();
        let known = if names.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        Failure::new(Code::NotFound, format!("keyspace {name:?} does not exist; {known}"))
    })
}

/// One keyspace, or all if no name is given.
pub(crate) fn keyspaces(database: &Database, name: Option<&str>) -> Result<Vec<Keyspace>, Failure> {
    match name {
        Some(name) => Ok(vec![keyspace(database, name)?]),
        None => Ok(database.keyspace_names().iter().filter_map(|name| database.keyspace(name)).collect()),
    }
}
