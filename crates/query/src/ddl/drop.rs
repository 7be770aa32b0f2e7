//! DROP of every kind.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, ObjectName, ObjectType, Statement as Sql};
use luma_catalog::{Object, Oid, Relation, Snapshot, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{done, drop_storage, edit, lock_catalog, lock_definition, put};
use crate::dml::target::refuse_pending;
use crate::execute;
use crate::names::{QualifiedName, Scope, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;

/// Runs DROP.
pub(crate) async fn statement(session: &mut Session, body: &Sql) -> Result<Outcome> {
    let Sql::Drop { object_type, if_exists, names, cascade, .. } = body else {
        return Err(execute::unsupported(body));
    };
    match object_type {
        ObjectType::Table => tables(session, names, *if_exists, *cascade, "DROP TABLE").await,
        ObjectType::View => views(session, names, *if_exists, *cascade).await,
        ObjectType::MaterializedView => materialized(session, names, *if_exists, *cascade).await,
        ObjectType::Index => indexes(session, names, *if_exists).await,
        ObjectType::Sequence => sequences(session, names, *if_exists, *cascade).await,
        ObjectType::Collation => crate::ddl::collation::drop(session, names, *if_exists, *cascade).await,
        ObjectType::Schema => schemas(session, names, *if_exists, *cascade).await,
        _ => Err(execute::unsupported(body)),
    }
}

/// The relation of that name; `None` (with a notice) when there is none and that is fine.
fn find(
    session: &mut Session,
    name: &QualifiedName,
    if_exists: bool,
    kind: &str,
) -> Result<Option<Relation>> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    match scope.find(name) {
        Some(relation) => Ok(Some(relation.clone())),
        None if if_exists => {
            let message = format!("{kind} \"{}\" does not exist, skipping", name.name);
            session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedTable, message));
            Ok(None)
        }
        None => {
            let state = if kind == "index" { ErrorKind::UndefinedObject } else { ErrorKind::UndefinedTable };
            Err(Error::new(state, format!("{kind} \"{}\" does not exist", name.name)))
        }
    }
}

fn wrong_kind(name: &QualifiedName, wanted: &str) -> Error {
    Error::new(ErrorKind::WrongObjectType, format!("\"{}\" is not a {wanted}", name.name))
}

/// Drops tables or collections.
pub(crate) async fn tables(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
    tag: &'static str,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    let (mut dropped, mut external) = (Vec::new(), Vec::new());
    for name in names {
        let name = qualified(name)?;
        match find(session, &name, if_exists, "table")? {
            Some(Relation::Table(table)) if table.filled_by.is_none() => dropped.push(table),
            Some(Relation::Table(_)) => {
                return Err(wrong_kind(&name, "table").hint("Use DROP MATERIALIZED VIEW to remove it."));
            }
            Some(Relation::View(view)) if view.external.is_some() => external.push(view),
            Some(_) => return Err(wrong_kind(&name, "table")),
            None => {}
        }
    }
    for view in external {
        drop_dependent_views(session, view.oid, &format!("external table {}", view.name), cascade)?;
        edit(session, |edit, _| edit.remove(view.oid))?;
    }
    let together: BTreeSet<Oid> = dropped.iter().map(|table| table.oid).collect();
    for table in dropped {
        drop_table(session, &table, cascade, &together).await?;
    }
    Ok(done(tag))
}

/// Drops materialized views.
async fn materialized(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    for name in names {
        let name = qualified(name)?;
        match find(session, &name, if_exists, "materialized view")? {
            Some(Relation::Table(table)) if table.filled_by.is_some() => {
                drop_table(session, &table, cascade, &BTreeSet::from([table.oid])).await?;
            }
            Some(_) => return Err(wrong_kind(&name, "materialized view")),
            None => {}
        }
    }
    Ok(done("DROP MATERIALIZED VIEW"))
}

pub(crate) async fn drop_table(
    session: &mut Session,
    table: &Arc<Table>,
    cascade: bool,
    together: &BTreeSet<Oid>,
) -> Result<()> {
    lock_definition(session, table).await?;
    refuse_pending(session, table, "DROP TABLE").await?;
    let catalog = session.catalog();
    // A transaction that held the lock may have changed the table meanwhile.
    let Some(table) = catalog.table(table.oid) else { return Ok(()) };
    let referencing: Vec<Arc<Table>> = catalog
        .referencing_tables(table.oid)
        .filter(|other| other.oid != table.oid && !together.contains(&other.oid))
        .cloned()
        .collect();
    if let Some(other) = referencing.first()
        && !cascade
    {
        let key = other.foreign_keys.iter().find(|key| key.referenced_table == table.oid);
        let key = key.map_or("", |key| key.name.as_str());
        return Err(depends(
            &format!("table {}", table.name),
            &format!("constraint {key} on table {} depends on table {}", other.name, table.name),
        ));
    }
    for other in referencing {
        lock_definition(session, &other).await?;
        let mut freed = other.as_ref().clone();
        freed.foreign_keys.retain(|key| key.referenced_table != table.oid);
        put(session, Object::Table(freed))?;
    }
    let what = if table.filled_by.is_some() { "materialized view" } else { "table" };
    drop_dependent_views(session, table.oid, &format!("{what} {}", table.name), cascade)?;
    let owned = |sequence: &&Arc<luma_catalog::Sequence>| {
        sequence.owned_by.is_some_and(|(owner, _)| owner == table.oid)
    };
    let owned: Vec<Oid> = catalog.sequences().filter(owned).map(|sequence| sequence.oid).collect();
    for sequence in owned {
        drop_sequence(session, sequence)?;
    }
    remove(session, table.oid)
}

pub(super) fn drop_sequence(session: &mut Session, oid: Oid) -> Result<()> {
    edit(session, |edit, _| edit.remove(oid))
}

fn depends(what: &str, detail: &str) -> Error {
    Error::new(ErrorKind::DependentObjects, format!("cannot drop {what} because other objects depend on it"))
        .detail(detail)
        .hint("Use DROP ... CASCADE to drop the dependent objects too.")
}

/// Views that read a relation go with it, or keep it.
pub(crate) fn drop_dependent_views(session: &mut Session, oid: Oid, what: &str, cascade: bool) -> Result<()> {
    drop_views(session, oid, None, what, cascade)
}

/// Views that read a table's column go with it, or keep it.
pub(crate) fn drop_views_of_column(
    session: &mut Session,
    oid: Oid,
    column: &str,
    what: &str,
    cascade: bool,
) -> Result<()> {
    drop_views(session, oid, Some(column), what, cascade)
}

/// Whether a view's query names a column, or all of them.
pub(super) fn names_column(view: &luma_catalog::View, column: &str) -> bool {
    let Ok(query) = crate::plan::context::parse_query(&view.query) else { return true };
    let mut finder = ColumnFinder { column, found: false };
    let _ = ast::Visit::visit(&query, &mut finder);
    finder.found
}

struct ColumnFinder<'a> {
    column: &'a str,
    found: bool,
}

impl ast::Visitor for ColumnFinder<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        use ast::SelectItem::{QualifiedWildcard, Wildcard};
        self.found |=
            select.projection.iter().any(|item| matches!(item, Wildcard(_) | QualifiedWildcard(..)));
        // USING and NATURAL name columns that are no expressions.
        let joins: Vec<String> =
            select.from.iter().flat_map(|from| &from.joins).map(ToString::to_string).collect();
        self.found |= joins.iter().any(|join| join.contains("USING") || join.contains("NATURAL"));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        let name = match expr {
            ast::Expr::Identifier(name) => Some(name),
            ast::Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        self.found |= name.is_some_and(|name| crate::names::identifier(name) == self.column);
        ControlFlow::Continue(())
    }
}

fn drop_views(
    session: &mut Session,
    oid: Oid,
    column: Option<&str>,
    what: &str,
    cascade: bool,
) -> Result<()> {
    let catalog: Arc<Snapshot> = session.catalog();
    let mut pending = vec![oid];
    let mut seen = BTreeSet::new();
    while let Some(oid) = pending.pop() {
        // Only the views next to the table can name its column.
        let column = column.filter(|_| seen.is_empty());
        let reads = |view: &Arc<luma_catalog::View>| {
            view.depends_on.contains(&oid) && column.is_none_or(|column| names_column(view, column))
        };
        for view in catalog.queries().filter(reads) {
            if !cascade {
                return Err(depends(what, &format!("view {} depends on {what}", view.name)));
            }
            if seen.insert(view.oid) {
                pending.push(view.oid);
            }
        }
    }
    for oid in seen {
        remove(session, oid)?;
    }
    Ok(())
}

/// Takes a view or a table out of the catalog, and the table's rows with it.
pub(crate) fn remove(session: &mut Session, oid: Oid) -> Result<()> {
    if let Some(table) = session.catalog().table(oid) {
        for storage in table.storages() {
            drop_storage(session, storage)?;
        }
        session.shared.forget_table(oid);
    }
    edit(session, |edit, _| edit.remove(oid))
}

async fn views(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    for name in names {
        let name = qualified(name)?;
        match find(session, &name, if_exists, "view")? {
            Some(Relation::View(view)) if view.external.is_some() => {
                return Err(wrong_kind(&name, "view").hint("Use DROP TABLE to remove an external table."));
            }
            Some(Relation::View(view)) => {
                drop_dependent_views(session, view.oid, &format!("view {}", view.name), cascade)?;
                edit(session, |edit, _| edit.remove(view.oid))?;
            }
            Some(_) => return Err(wrong_kind(&name, "view")),
            None => {}
        }
    }
    Ok(done("DROP VIEW"))
}

async fn indexes(session: &mut Session, names: &[ObjectName], if_exists: bool) -> Result<Outcome> {
    lock_catalog(session).await?;
    for name in names {
        let name = qualified(name)?;
        let Some(relation) = find(session, &name, if_exists, "index")? else { continue };
        let Relation::Index(table, oid) = relation else { return Err(wrong_kind(&name, "index")) };
        let constraint = |kind: &str| {
            Error::new(
                ErrorKind::DependentObjects,
                format!(
                    "cannot drop index {0} because constraint {0} on table {1} requires it",
                    name.name, table.name
                ),
            )
            .hint(format!(
                "You can drop the {kind} constraint {} of table {} instead.",
                name.name, table.name
            ))
        };
        let Some(index) = table.indexes.iter().find(|index| index.oid == oid) else {
            return Err(constraint("primary key"));
        };
        if index.constraint {
            return Err(constraint("unique"));
        }
        lock_definition(session, &table).await?;
        drop_storage(session, index.storage)?;
        let mut rest = table.as_ref().clone();
        rest.indexes.retain(|index| index.oid != oid);
        put(session, Object::Table(rest))?;
    }
    Ok(done("DROP INDEX"))
}

async fn sequences(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    for name in names {
        let name = qualified(name)?;
        let sequence = match find(session, &name, if_exists, "sequence")? {
            Some(Relation::Sequence(sequence)) => sequence,
            Some(_) => return Err(wrong_kind(&name, "sequence")),
            None => continue,
        };
        let catalog = session.catalog();
        let owner = sequence.owned_by.and_then(|(table, column)| Some((catalog.table(table)?, column)));
        if let Some((table, number)) = owner {
            if !cascade {
                let column = table.column_by_number(number).map_or("", |column| column.name.as_str());
                return Err(depends(
                    &format!("sequence {}", sequence.name),
                    &format!("default value for column {column} of table {} depends on it", table.name),
                ));
            }
            lock_definition(session, table).await?;
            let mut freed = table.as_ref().clone();
            if let Some(column) = freed.columns.get_mut(usize::from(number) - 1) {
                (column.default, column.sequence, column.identity) = (None, None, None);
            }
            put(session, Object::Table(freed))?;
        }
        drop_sequence(session, sequence.oid)?;
    }
    Ok(done("DROP SEQUENCE"))
}

async fn schemas(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    for name in names {
        let name = qualified(name)?.name;
        let catalog = session.catalog();
        let Some(schema) = catalog.schema(&name) else {
            let message = format!("schema \"{name}\" does not exist");
            if !if_exists {
                return Err(Error::new(ErrorKind::InvalidSchemaName, message));
            }
            session.notice(
                Severity::Notice,
                Error::new(ErrorKind::InvalidSchemaName, format!("{message}, skipping")),
            );
            continue;
        };
        let relations: Vec<Relation> =
            catalog.relations(schema.oid).map(|(_, found)| found.clone()).collect();
        if let (Some(first), false) = (relations.first(), cascade) {
            let detail = format!("{} in schema {name} depends on schema {name}", first.kind_name());
            return Err(depends(&format!("schema {name}"), &detail));
        }
        let types: Vec<_> = catalog.types().filter(|made| made.schema == schema.oid).cloned().collect();
        if let (Some(first), false) = (types.first(), cascade) {
            let detail = format!("type {name}.{} depends on schema {name}", first.name);
            return Err(depends(&format!("schema {name}"), &detail));
        }
        let collations: Vec<_> =
            catalog.collations().filter(|made| made.schema == schema.oid).cloned().collect();
        if let (Some(first), false) = (collations.first(), cascade) {
            let detail = format!("collation {name}.{} depends on schema {name}", first.collation.name);
            return Err(depends(&format!("schema {name}"), &detail));
        }
        let together: BTreeSet<Oid> = relations.iter().map(Relation::oid).collect();
        for relation in &relations {
            if let Relation::Table(table) = relation {
                drop_table(session, table, true, &together).await?;
            }
        }
        for relation in &relations {
            match relation {
                Relation::View(view) => {
                    drop_dependent_views(session, view.oid, "", true)?;
                    edit(session, |edit, _| edit.remove(view.oid))?;
                }
                Relation::Sequence(sequence) => drop_sequence(session, sequence.oid)?,
                Relation::Table(_) | Relation::Index(..) => {}
            }
        }
        for made in types {
            let name = QualifiedName { schema: Some(name.clone()), name: made.name.clone() };
            crate::ddl::user_type::drop(session, &name, false, true, true).await?;
        }
        for made in collations {
            crate::ddl::collation::remove(session, &made, true).await?;
        }
        let oid = schema.oid;
        edit(session, |edit, _| edit.remove(oid))?;
    }
    Ok(done("DROP SCHEMA"))
}
