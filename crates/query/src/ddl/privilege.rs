//! GRANT and REVOKE.
//!
//! Every role that may log in may read and write everything; only roles' own attributes are checked.
//! These statements are understood, their objects and roles looked up, and the client is told that
//! they change nothing: programs that set up their own database can go on.

use datafusion::sql::sqlparser::ast::{self, GrantObjects, Grantee, GranteeName, GranteesType};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::done;
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;

/// Runs GRANT.
pub(crate) fn grant(session: &mut Session, grant: &ast::Grant) -> Result<Outcome> {
    check(session, grant.objects.as_ref(), &grant.grantees)?;
    Ok(done("GRANT"))
}

/// Runs REVOKE.
pub(crate) fn revoke(session: &mut Session, revoke: &ast::Revoke) -> Result<Outcome> {
    check(session, revoke.objects.as_ref(), &revoke.grantees)?;
    Ok(done("REVOKE"))
}

fn check(session: &mut Session, objects: Option<&GrantObjects>, grantees: &[Grantee]) -> Result<()> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let schema = |name: &ast::ObjectName| {
        let name = qualified(name)?.name;
        let known = matches!(name.as_str(), "pg_catalog" | "information_schema");
        if known || catalog.schema(&name).is_some() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidSchemaName, format!("schema \"{name}\" does not exist")))
    };
    match objects {
        Some(GrantObjects::Tables(names) | GrantObjects::Sequences(names)) => {
            for name in names {
                scope.relation(&qualified(name)?)?;
            }
        }
        Some(
            GrantObjects::Schemas(names)
            | GrantObjects::AllTablesInSchema { schemas: names }
            | GrantObjects::AllSequencesInSchema { schemas: names }
            | GrantObjects::AllFunctionsInSchema { schemas: names },
        ) => names.iter().try_for_each(schema)?,
        _ => {}
    }
    for grantee in grantees {
        let Some(GranteeName::ObjectName(name)) = &grantee.name else { continue };
        if grantee.grantee_type == GranteesType::Public {
            continue;
        }
        let [ast::ObjectNamePart::Identifier(name)] = name.0.as_slice() else { continue };
        let name = identifier(name);
        let known = matches!(name.as_str(), "public" | "current_user" | "session_user" | "current_role")
            || name == crate::database::ADMINISTRATOR
            || catalog.role(&name).is_some();
        if !known {
            return Err(Error::new(ErrorKind::UndefinedObject, format!("role \"{name}\" does not exist")));
        }
    }
    session.notice(
        Severity::Notice,
        Error::new(ErrorKind::FeatureNotSupported, "privileges on objects are not checked")
            .hint("Every role that may log in can read and write all tables."),
    );
    Ok(())
}
