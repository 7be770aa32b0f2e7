//! Statements about tables and their kin that are not about their columns' types: the schema they lie in, identity columns, and
//! what other databases need and this one does not.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, ObjectName};
use luma_catalog::{Identity, Object, Relation, Sequence, Snapshot, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::drop::drop_sequence;
use crate::ddl::{done, lock_catalog, lock_definition, put, sequence};
use crate::names::{Scope, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;
use crate::statement::relation::{IdentityChange, RelationStatement};
use crate::statement::sequence::Options;

/// Runs such a statement.
pub(crate) async fn statement(session: &mut Session, statement: &RelationStatement) -> Result<Outcome> {
    match statement {
        RelationStatement::SetSchema { tag, name, if_exists, schema } => {
            set_schema(session, name, *if_exists, schema).await?;
            Ok(done(tag))
        }
        RelationStatement::Identity { table, if_exists, column, change } => {
            if let Some(Relation::Table(table)) = find(session, table, *if_exists)? {
                lock_catalog(session).await?;
                lock_definition(session, &table).await?;
                identity(session, &table, column, change)?;
            }
            Ok(done("ALTER TABLE"))
        }
        RelationStatement::Validate { table, if_exists, constraint } => {
            if let Some(Relation::Table(table)) = find(session, table, *if_exists)? {
                let known = table.checks.iter().map(|check| &check.name);
                let known = known.chain(table.foreign_keys.iter().map(|key| &key.name));
                if !known.into_iter().any(|name| name == constraint) {
                    let message =
                        format!("constraint \"{constraint}\" of relation \"{}\" does not exist", table.name);
                    return Err(Error::new(ErrorKind::UndefinedObject, message));
                }
            }
            // Constraints that are NOT VALID are looked at when they are made.
            Ok(done("ALTER TABLE"))
        }
        RelationStatement::Tuning { tag, name, if_exists } => {
            find(session, name, *if_exists)?;
            Ok(done(tag))
        }
        RelationStatement::Rebuild { tag, name } => {
            if let Some(name) = name {
                find(session, name, false)?;
            }
            Ok(done(tag))
        }
    }
}

/// The relation of that name; `None` (with a notice) when there is none and that is fine.
fn find(session: &mut Session, name: &ObjectName, if_exists: bool) -> Result<Option<Relation>> {
    let name = qualified(name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    match scope.relation(&name) {
        Ok(relation) => Ok(Some(relation.clone())),
        Err(error) if if_exists => {
            let message = format!("{}, skipping", error.message);
            session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedTable, message));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn set_schema(session: &mut Session, name: &ObjectName, if_exists: bool, schema: &str) -> Result<()> {
    lock_catalog(session).await?;
    let Some(relation) = find(session, name, if_exists)? else { return Ok(()) };
    let catalog = session.catalog();
    let Some(to) = catalog.schema(schema).map(|schema| schema.oid) else {
        let message = format!("schema \"{schema}\" does not exist");
        return Err(Error::new(ErrorKind::InvalidSchemaName, message));
    };
    let refused = |message: String| Err(Error::new(ErrorKind::FeatureNotSupported, message));
    if let Some(reader) = catalog.queries().find(|view| view.depends_on.contains(&relation.oid())) {
        let message = format!("view \"{}\" reads what would move to another schema", reader.name);
        return Err(Error::new(ErrorKind::FeatureNotSupported, message)
            .hint("Drop the view, and create it again with the new name."));
    }
    match relation {
        Relation::Table(table) => {
            free(&catalog, table.schema, to, &table.name)?;
            lock_definition(session, &table).await?;
            let owned = catalog.sequences().filter(|sequence| belongs(sequence, &table));
            for sequence in owned {
                free(&catalog, sequence.schema, to, &sequence.name)?;
                put(session, Object::Sequence(Sequence { schema: to, ..sequence.as_ref().clone() }))?;
            }
            put(session, Object::Table(Table { schema: to, ..table.as_ref().clone() }))
        }
        Relation::View(view) => {
            free(&catalog, view.schema, to, &view.name)?;
            put(session, Object::View(luma_catalog::View { schema: to, ..view.as_ref().clone() }))
        }
        Relation::Sequence(sequence) if sequence.owned_by.is_some() => {
            let message = "cannot move an owned sequence into another schema";
            Err(Error::new(ErrorKind::FeatureNotSupported, message)
                .detail(format!("Sequence \"{}\" is linked to a table.", sequence.name)))
        }
        Relation::Sequence(sequence) => {
            free(&catalog, sequence.schema, to, &sequence.name)?;
            put(session, Object::Sequence(Sequence { schema: to, ..sequence.as_ref().clone() }))
        }
        Relation::Index(..) => refused("an index lies in the schema of its table".into()),
    }
}

fn belongs(sequence: &Sequence, table: &Table) -> bool {
    sequence.owned_by.is_some_and(|(owner, _)| owner == table.oid)
}

/// Refuses a name that the other schema has.
fn free(catalog: &Snapshot, from: luma_catalog::Oid, to: luma_catalog::Oid, name: &str) -> Result<()> {
    if from == to || catalog.relation(to, name).is_none() {
        return Ok(());
    }
    let schema = catalog.schema_by_oid(to).map_or("", |schema| schema.name.as_str());
    let message = format!("relation \"{name}\" already exists in schema \"{schema}\"");
    Err(Error::new(ErrorKind::DuplicateTable, message))
}

fn identity(session: &mut Session, table: &Arc<Table>, column: &str, change: &IdentityChange) -> Result<()> {
    let ordinal = crate::dml::insert::ordinal(table, column)?;
    let mut changed = table.as_ref().clone();
    let own = &mut changed.columns[ordinal];
    if own.identity.is_none() {
        let message = format!("column \"{column}\" of relation \"{}\" is not an identity column", table.name);
        if matches!(change, IdentityChange::Drop { if_exists: true }) {
            let skipped = Error::new(ErrorKind::ObjectNotInPrerequisiteState, format!("{message}, skipping"));
            session.notice(Severity::Notice, skipped);
            return Ok(());
        }
        return Err(Error::new(ErrorKind::ObjectNotInPrerequisiteState, message));
    }
    let owner = own.sequence;
    match change {
        IdentityChange::Drop { .. } => {
            (own.identity, own.sequence, own.default) = (None, None, None);
            put(session, Object::Table(changed))?;
            match owner {
                Some(oid) => drop_sequence(session, oid),
                None => Ok(()),
            }
        }
        IdentityChange::Set { generated, options, restart } => {
            own.identity = match generated {
                Some(ast::GeneratedAs::ByDefault) => Some(Identity::ByDefault),
                Some(_) => Some(Identity::Always),
                None => own.identity,
            };
            put(session, Object::Table(changed))?;
            let catalog = session.catalog();
            let found = owner.and_then(|oid| catalog.sequence(oid)).map(Arc::clone);
            match found {
                Some(found) if restart.is_some() || !options.is_empty() => {
                    let options =
                        Options { list: options.clone(), restart: restart.clone(), ..Options::default() };
                    sequence::change(session, &found, &options)
                }
                _ => Ok(()),
            }
        }
    }
}
