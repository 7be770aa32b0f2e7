//! CREATE SCHEMA and ALTER SCHEMA.

use datafusion::sql::sqlparser::ast::{AlterSchema, AlterSchemaOperation, SchemaName};
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
    refuse_reserved(&name)?;
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

/// Runs ALTER SCHEMA.
pub(crate) async fn alter(session: &mut Session, alter: &AlterSchema) -> Result<Outcome> {
    lock_catalog(session).await?;
    let name = qualified(&alter.name)?.name;
    let catalog = session.catalog();
    let Some(schema) = catalog.schema(&name) else {
        let message = format!("schema \"{name}\" does not exist");
        return Err(Error::new(ErrorKind::InvalidSchemaName, message));
    };
    for operation in &alter.operations {
        match operation {
            // There is one owner, who may do everything.
            AlterSchemaOperation::OwnerTo { .. } => {}
            AlterSchemaOperation::Rename { name: to } => {
                let to = qualified(to)?.name;
                refuse_reserved(&to)?;
                if name == luma_catalog::PUBLIC {
                    let message = "schema \"public\" cannot be renamed";
                    return Err(Error::new(ErrorKind::FeatureNotSupported, message));
                }
                if catalog.schema(&to).is_some() {
                    let message = format!("schema \"{to}\" already exists");
                    return Err(Error::new(ErrorKind::DuplicateSchema, message));
                }
                put(session, Object::Schema(Schema { name: to, ..schema.as_ref().clone() }))?;
            }
            other => {
                let message = format!("ALTER SCHEMA … {other} is not supported");
                return Err(Error::new(ErrorKind::FeatureNotSupported, message));
            }
        }
    }
    Ok(done("ALTER SCHEMA"))
}

fn refuse_reserved(name: &str) -> Result<()> {
    if name.starts_with("pg_") || name == "information_schema" {
        return Err(Error::new(ErrorKind::ReservedName, format!("unacceptable schema name \"{name}\""))
            .detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    Ok(())
}
