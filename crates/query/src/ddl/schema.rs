//! CREATE SCHEMA.

use datafusion::sql::sqlparser::ast::SchemaName;
use luma_catalog::{Object, Schema};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{done, lock_catalog, put};
use crate::names::{identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;

/// Runs CREATE SCHEMA.
pub(crate) async fn create(session: &mut Session, name: &SchemaName, if_not_exists: bool) -> Result<Outcome> {
    let name = match name {
        SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) => qualified(name)?.name,
        SchemaName::UnnamedAuthorization(owner) => identifier(owner),
    };
    if name.starts_with("pg_") || name == "information_schema" {
        return Err(Error::new(ErrorKind::ReservedName, format!("unacceptable schema name \"{name}\""))
            .detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    lock_catalog(session).await?;
    if session.catalog().schema(&name).is_some() {
        let message = format!("schema \"{name}\" already exists");
        if !if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateSchema, message));
        }
        session
            .notice(Severity::Notice, Error::new(ErrorKind::DuplicateSchema, format!("{message}, skipping")));
        return Ok(done("CREATE SCHEMA"));
    }
    let oid = session.shared.catalog.allocate_oid();
    put(session, Object::Schema(Schema { oid, name, owner: 10 }))?;
    Ok(done("CREATE SCHEMA"))
}
