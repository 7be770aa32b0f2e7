//! When constraints are checked: SET CONSTRAINTS, and ALTER TABLE … ALTER CONSTRAINT.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use luma_catalog::{ConstraintTiming, Index, Object, Oid, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::constraint::timing;
use crate::ddl::{done, lock_catalog, lock_definition, put};
use crate::dml::target::{check_deferred, refuse_pending, refuse_read_only};
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;
use crate::statement::constraint::ConstraintStatement;

/// Runs one of the statements.
pub(crate) async fn statement(session: &mut Session, statement: &ConstraintStatement) -> Result<Outcome> {
    match statement {
        ConstraintStatement::Set { names, deferred } => {
            set(session, names, *deferred).await?;
            Ok(done("SET CONSTRAINTS"))
        }
        ConstraintStatement::Alter { table, if_exists, name, characteristics } => {
            refuse_read_only(session)?;
            let timing = timing(characteristics.as_ref())?;
            alter(session, table, *if_exists, &identifier(name), timing).await?;
            Ok(done("ALTER TABLE"))
        }
    }
}

/// The constraints of a table that may be deferrable, by their names.
fn timings(table: &Table) -> impl Iterator<Item = (&str, Oid, ConstraintTiming)> {
    let keys = table.foreign_keys.iter().map(|key| (key.name.as_str(), key.oid, key.timing));
    let primary = table.primary_key.iter();
    let primary = primary.map(|key| (key.name.as_str(), key.oid, ConstraintTiming::NotDeferrable));
    let checks = table.checks.iter();
    let checks = checks.map(|check| (check.name.as_str(), check.oid, ConstraintTiming::NotDeferrable));
    let unique = table.indexes.iter().filter(|index| index.constraint);
    let unique = unique.map(|index: &Index| (index.name.as_str(), index.oid, index.timing));
    keys.chain(primary).chain(checks).chain(unique)
}

/// `SET CONSTRAINTS`: of the named deferrable constraints, or of all.
async fn set(session: &mut Session, names: &[ast::ObjectName], deferred: bool) -> Result<()> {
    let catalog = session.catalog();
    let mut constraints = Vec::new();
    for name in names {
        let name = qualified(name)?.name;
        let before = constraints.len();
        for (_, oid, timing) in
            catalog.tables().flat_map(|table| timings(table)).filter(|(known, ..)| *known == name)
        {
            if timing == ConstraintTiming::NotDeferrable && !deferred {
                // It is checked at once anyway.
                constraints.push(oid);
                continue;
            }
            if timing == ConstraintTiming::NotDeferrable {
                let message = format!("constraint \"{name}\" is not deferrable");
                return Err(Error::new(ErrorKind::WrongObjectType, message));
            }
            constraints.push(oid);
        }
        if constraints.len() == before {
            let message = format!("constraint \"{name}\" does not exist");
            return Err(Error::new(ErrorKind::UndefinedObject, message));
        }
    }
    session.active()?.deferred.set((!names.is_empty()).then_some(&constraints), deferred);
    if deferred { Ok(()) } else { check_deferred(session, false).await }
}

/// Changes when a foreign key is checked; PostgreSQL lets no other constraint be changed so.
async fn alter(
    session: &mut Session,
    table: &ast::ObjectName,
    if_exists: bool,
    name: &str,
    timing: ConstraintTiming,
) -> Result<()> {
    lock_catalog(session).await?;
    let table = qualified(table)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    if if_exists && scope.find(&table).is_none() {
        let message = format!("relation \"{table}\" does not exist, skipping");
        session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedTable, message));
        return Ok(());
    }
    let table = Arc::clone(scope.table(&table)?);
    lock_definition(session, &table).await?;
    refuse_pending(session, &table, "ALTER TABLE").await?;
    let mut changed = table.as_ref().clone();
    if let Some(key) = changed.foreign_keys.iter_mut().find(|key| key.name == name) {
        key.timing = timing;
        return put(session, Object::Table(changed));
    }
    Err(if timings(&table).any(|(known, ..)| known == name) {
        let message =
            format!("constraint \"{name}\" of relation \"{}\" is not a foreign key constraint", table.name);
        Error::new(ErrorKind::WrongObjectType, message)
    } else {
        let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
        Error::new(ErrorKind::UndefinedObject, message)
    })
}
