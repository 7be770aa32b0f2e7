//! CREATE EXTENSION: there is nothing to load, and what a program needs must not seem to be there.

use datafusion::sql::sqlparser::ast;
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::done;
use crate::names::identifier;
use crate::outcome::{Outcome, Severity};
use crate::session::Session;

/// Runs CREATE EXTENSION.
pub(crate) fn create(session: &mut Session, create: &ast::CreateExtension) -> Result<Outcome> {
    let name = identifier(&create.name);
    // PostgreSQL's databases begin with the first, so that scripts name it without using it; the statistics
    // of statements are always there.
    if !matches!(name.as_str(), "plpgsql" | "pg_stat_statements") {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("extension \"{name}\" is not available"),
        )
        .hint(
            "Extensions can't be loaded; gen_random_uuid() and the functions of PostgreSQL itself need none.",
        ));
    }
    let message = format!("extension \"{name}\" already exists");
    if !create.if_not_exists {
        return Err(Error::new(ErrorKind::DuplicateObject, message));
    }
    session.notice(Severity::Notice, Error::new(ErrorKind::DuplicateObject, format!("{message}, skipping")));
    Ok(done("CREATE EXTENSION"))
}
