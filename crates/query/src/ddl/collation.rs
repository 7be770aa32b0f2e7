//! CREATE, ALTER and DROP of collations.
//!
//! Columns carry a copy of their collation; a new name is put into every table that has it. What it orders by
//! never changes, so no row is touched.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, AlterCollation, AlterCollationOperation, CreateCollation, CreateCollationDefinition, ObjectName,
    SqlOption,
};
use luma_catalog::{Column, ColumnCollation, Object, Oid, UserCollation};
use luma_model::{Collation, DataType, Error, ErrorKind, Result};

use crate::ddl::{done, edit, lock_catalog, lock_definition, put};
use crate::names::{QualifiedName, Scope, identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;

/// Runs CREATE COLLATION.
pub(crate) async fn create(session: &mut Session, create: &CreateCollation) -> Result<Outcome> {
    lock_catalog(session).await?;
    let name = qualified(&create.name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let schema = scope.creation_schema(&name)?.oid;
    let taken = catalog.collation_named(schema, &name.name).is_some();
    let (locale, deterministic) = match &create.definition {
        CreateCollationDefinition::From(other) => {
            let other = scope.collation(&qualified(other)?)?;
            (other.locale, other.deterministic)
        }
        CreateCollationDefinition::Options(options) => described(options)?,
    };
    if taken {
        let message = format!("collation \"{}\" already exists", name.name);
        if !create.if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateObject, message));
        }
        let notice = Error::new(ErrorKind::DuplicateObject, format!("{message}, skipping"));
        session.notice(Severity::Notice, notice);
        return Ok(done("CREATE COLLATION"));
    }
    let oid = session.shared.catalog.allocate_oid();
    let collation = Collation { oid, name: name.name, locale, deterministic };
    collation.collator()?;
    put(session, Object::Collation(UserCollation { collation, schema, owner: 10, comment: None }))?;
    Ok(done("CREATE COLLATION"))
}

/// The locale and whether it is deterministic.
fn described(options: &[SqlOption]) -> Result<(Option<String>, bool)> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidObjectDefinition, message);
    let (mut locale, mut provider, mut deterministic) = (None, "libc".to_owned(), true);
    for option in options {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(invalid(format!("{option} is no option of a collation")));
        };
        let given = match value {
            ast::Expr::Identifier(name) => identifier(name),
            ast::Expr::Value(value) => match &value.value {
                ast::Value::SingleQuotedString(text) => text.clone(),
                other => other.to_string().to_lowercase(),
            },
            other => other.to_string(),
        };
        match identifier(key).as_str() {
            "locale" => locale = Some(given),
            "lc_collate" | "lc_ctype" => {
                locale.get_or_insert(given);
            }
            "provider" => provider = given.to_lowercase(),
            "deterministic" => {
                deterministic = match given.to_lowercase().as_str() {
                    "true" | "on" | "1" => true,
                    "false" | "off" | "0" => false,
                    _ => {
                        let message = "deterministic requires a Boolean value";
                        return Err(Error::new(ErrorKind::Syntax, message));
                    }
                };
            }
            // The version of the rules is this server's own.
            "version" => {}
            other => {
                let message = format!("collation attribute \"{other}\" not recognized");
                return Err(Error::new(ErrorKind::Syntax, message));
            }
        }
    }
    let Some(locale) = locale else { return Err(invalid("parameter \"locale\" must be specified".into())) };
    match provider.as_str() {
        "icu" => Ok((Some(locale), deterministic)),
        "libc" if !deterministic => {
            let message = "nondeterministic collations not supported with this provider";
            Err(Error::new(ErrorKind::FeatureNotSupported, message))
        }
        "libc" if matches!(locale.to_lowercase().as_str(), "c" | "posix" | "c.utf-8" | "c.utf8") => {
            Ok((None, true))
        }
        "libc" => {
            let message = format!("the operating system's order of \"{locale}\" is not used");
            Err(Error::new(ErrorKind::FeatureNotSupported, message)
                .hint("Create the collation with provider = icu."))
        }
        other => Err(invalid(format!("unrecognized collation provider: {other}"))),
    }
}

/// Runs ALTER COLLATION.
pub(crate) async fn alter(session: &mut Session, alter: &AlterCollation) -> Result<Outcome> {
    lock_catalog(session).await?;
    let name = qualified(&alter.name)?;
    let mut changed = made(session, &name)?.as_ref().clone();
    let catalog = session.catalog();
    match &alter.operation {
        AlterCollationOperation::RenameTo { new_name } => changed.collation.name = identifier(new_name),
        AlterCollationOperation::SetSchema { schema_name } => {
            let schema = qualified(schema_name)?.name;
            let Some(schema) = catalog.schema(&schema) else {
                let message = format!("schema \"{schema}\" does not exist");
                return Err(Error::new(ErrorKind::InvalidSchemaName, message));
            };
            changed.schema = schema.oid;
        }
        // There is one owner, and the version of the rules is this server's own.
        AlterCollationOperation::OwnerTo(_) | AlterCollationOperation::RefreshVersion => {
            return Ok(done("ALTER COLLATION"));
        }
    }
    if catalog.collation_named(changed.schema, &changed.collation.name).is_some() {
        let message = format!("collation \"{}\" already exists", changed.collation.name);
        return Err(Error::new(ErrorKind::DuplicateObject, message));
    }
    let collation = changed.collation.clone();
    put(session, Object::Collation(changed))?;
    for table in
        catalog.tables().filter(|table| table.columns.iter().any(|column| has(column, collation.oid)))
    {
        let mut renewed = table.as_ref().clone();
        for column in renewed.columns.iter_mut().filter(|column| has(column, collation.oid)) {
            if let Some(known) = &mut column.collation {
                known.collation.clone_from(&collation);
            }
        }
        lock_definition(session, table).await?;
        put(session, Object::Table(renewed))?;
    }
    Ok(done("ALTER COLLATION"))
}

fn has(column: &Column, oid: Oid) -> bool {
    !column.dropped && column.collation.as_ref().is_some_and(|known| known.collation.oid == oid)
}

/// The collation of that name that a user made.
fn made(session: &Session, name: &QualifiedName) -> Result<Arc<UserCollation>> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let found = scope.collation(name)?;
    catalog.collations().find(|made| made.collation.oid == found.oid).map(Arc::clone).ok_or_else(|| {
        let message = format!("collation {} is required by the database system", found.name);
        Error::new(ErrorKind::DependentObjects, message)
    })
}

/// Runs DROP COLLATION.
pub(crate) async fn drop(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    for name in names {
        let name = qualified(name)?;
        let found = match made(session, &name) {
            Err(error) if if_exists && error.kind == ErrorKind::UndefinedObject => {
                let message = format!("collation \"{name}\" does not exist, skipping");
                session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedObject, message));
                continue;
            }
            found => found?,
        };
        remove(session, &found, cascade).await?;
    }
    Ok(done("DROP COLLATION"))
}

/// Removes a collation; with `cascade` the columns that have it, too.
pub(crate) async fn remove(session: &mut Session, found: &UserCollation, cascade: bool) -> Result<()> {
    let (oid, name) = (found.collation.oid, &found.collation.name);
    let catalog = session.catalog();
    for table in catalog.tables() {
        for column in table.live_columns().filter(|column| has(column, oid)) {
            if !cascade {
                let message = format!("cannot drop collation {name} because other objects depend on it");
                let detail =
                    format!("column {} of table {} depends on collation {name}", column.name, table.name);
                return Err(Error::new(ErrorKind::DependentObjects, message)
                    .detail(detail)
                    .hint("Use DROP ... CASCADE to drop the dependent objects too."));
            }
            lock_definition(session, table).await?;
            let catalog = session.catalog();
            if let Some(current) = catalog.table(table.oid) {
                let column = ast::Ident::with_quote('"', &column.name);
                crate::ddl::alter::drop_column(session, current, &column, true, true).await?;
            }
        }
    }
    edit(session, |edit, _| edit.remove(oid))
}

/// The collation that a COLLATE clause gives a column; `None` for the database's own.
///
/// # Errors
/// 42704 for a collation that does not exist, 42804 for a column that is no text.
pub(crate) fn of_column(
    scope: Scope<'_>,
    name: &ObjectName,
    data_type: &DataType,
) -> Result<Option<ColumnCollation>> {
    let found = scope.collation(&qualified(name)?)?;
    if !data_type.is_string() {
        let message = format!("collations are not supported by type {}", data_type.base_name());
        return Err(Error::new(ErrorKind::DatatypeMismatch, message));
    }
    found.collator()?;
    let own = found.oid == crate::names::collation::DEFAULT_OID;
    Ok((!own).then(|| ColumnCollation::new(found)))
}
