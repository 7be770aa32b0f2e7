//! CREATE, ALTER and DROP of types and domains.
//!
//! Columns carry a copy of their enum type, so a change of one is put into every table and view that has it;
//! the catalog's lock keeps others from changing those meanwhile. No row is touched: rows hold positions.

mod domain;
mod text;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use luma_catalog::{Domain, Object, Oid, Snapshot, Table, UserType, UserTypeKind};
use luma_model::{DataType, EnumType, Error, ErrorKind, Result};

use crate::ddl::{alter, done, edit, lock_catalog, lock_definition, put, quoted};
use crate::names::{QualifiedName, Scope, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;
use crate::statement::user_type::{Place, TypeChange, TypeStatement};

/// Runs a statement about a type.
pub(crate) async fn statement(session: &mut Session, statement: &TypeStatement) -> Result<Outcome> {
    lock_catalog(session).await?;
    match statement {
        TypeStatement::CreateEnum { name, labels } => create_enum(session, name, labels),
        TypeStatement::CreateDomain { name, base, constraints } => {
            domain::create(session, name, base, constraints)
        }
        TypeStatement::Alter { name, domain, change } => {
            alter(session, &qualified(name)?, *domain, change).await?;
            Ok(done(if *domain { "ALTER DOMAIN" } else { "ALTER TYPE" }))
        }
        TypeStatement::Drop { names, domain, if_exists, cascade } => {
            let names = names.iter().map(qualified).collect::<Result<Vec<_>>>()?;
            for name in &names {
                drop(session, name, *domain, *if_exists, *cascade).await?;
            }
            Ok(done(if *domain { "DROP DOMAIN" } else { "DROP TYPE" }))
        }
    }
}

/// The schema that a new type of that name goes to.
fn free(session: &Session, name: &QualifiedName) -> Result<Oid> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let schema = scope.creation_schema(name)?.oid;
    refuse_taken(&catalog, schema, &name.name)?;
    Ok(schema)
}

/// Each relation's rows are a type of its name, and each type has an array.
fn refuse_taken(catalog: &Snapshot, schema: Oid, name: &str) -> Result<()> {
    if catalog.type_named(schema, name).is_some() || catalog.relation(schema, name).is_some() {
        return Err(Error::new(ErrorKind::DuplicateObject, format!("type \"{name}\" already exists")));
    }
    Ok(())
}

/// A type's name in SQL: what lies elsewhere than in `public` says where.
fn sql_name(catalog: &Snapshot, schema: Oid, name: &str) -> String {
    let schema = catalog.schema_by_oid(schema).filter(|schema| schema.name != luma_catalog::PUBLIC);
    match schema {
        Some(schema) => format!("{}.{}", quoted(&schema.name), quoted(name)),
        None => quoted(name),
    }
}

fn create_enum(session: &mut Session, name: &ObjectName, labels: &[String]) -> Result<Outcome> {
    let name = qualified(name)?;
    let schema = free(session, &name)?;
    let sql_name = sql_name(&session.catalog(), schema, &name.name);
    edit(session, |edit, allocate| {
        let (oid, array_oid) = (allocate(), allocate());
        let mut made = EnumType {
            oid,
            array_oid,
            array_name: format!("_{}", name.name),
            sql_name,
            name: name.name.clone(),
            labels: Vec::new(),
        };
        for (place, label) in labels.iter().enumerate() {
            if labels[..place].contains(label) {
                let index = "pg_enum_typid_label_index";
                let message = format!("duplicate key value violates unique constraint \"{index}\"");
                return Err(Error::new(ErrorKind::UniqueViolation, message)
                    .detail(format!("Key (enumtypid, enumlabel)=({oid}, {label}) already exists.")));
            }
            made.push(allocate(), label)?;
        }
        let kind = UserTypeKind::Enum(DataType::Enum(Arc::new(made)));
        edit.put(Object::Type(UserType {
            oid,
            array_oid,
            schema,
            name: name.name,
            owner: 10,
            kind,
            comment: None,
        }))
    })?;
    Ok(done("CREATE TYPE"))
}

/// The type of that name; a domain where one is wanted.
fn find(session: &Session, name: &QualifiedName, domain: bool) -> Result<Arc<UserType>> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let found = scope.user_type(name)?;
    if domain && found.as_domain().is_none() {
        return Err(Error::new(ErrorKind::WrongObjectType, format!("\"{name}\" is not a domain")));
    }
    Ok(Arc::clone(found))
}

async fn alter(session: &mut Session, name: &QualifiedName, domain: bool, change: &TypeChange) -> Result<()> {
    let found = find(session, name, domain)?;
    match change {
        TypeChange::SetOwner => Ok(()),
        TypeChange::AddValue { label, if_not_exists, place } => {
            add_value(session, &found, label, *if_not_exists, place)
        }
        TypeChange::RenameValue { from, to } => rename_value(session, &found, from, to),
        TypeChange::Rename(to) => rename(session, &found, found.schema, to),
        TypeChange::SetSchema(schema) => {
            let catalog = session.catalog();
            let Some(schema) = catalog.schema(schema) else {
                let message = format!("schema \"{schema}\" does not exist");
                return Err(Error::new(ErrorKind::InvalidSchemaName, message));
            };
            if schema.oid == found.schema {
                return Ok(());
            }
            rename(session, &found, schema.oid, &found.name)
        }
        change => domain::alter(session, &found, change).await,
    }
}

fn labels_of(made: &UserType) -> Result<EnumType> {
    made.as_enum()
        .map(|known| known.as_ref().clone())
        .ok_or_else(|| Error::new(ErrorKind::WrongObjectType, format!("\"{}\" is not an enum", made.name)))
}

fn no_label(label: &str) -> Error {
    Error::new(ErrorKind::InvalidParameterValue, format!("\"{label}\" is not an existing enum label"))
}

fn add_value(
    session: &mut Session,
    found: &UserType,
    label: &str,
    if_not_exists: bool,
    place: &Place,
) -> Result<()> {
    let mut labels = labels_of(found)?;
    luma_model::check_label(label)?;
    let known = |wanted: &str| labels.labels.iter().position(|known| known.label == wanted);
    if known(label).is_some() && if_not_exists {
        let message = format!("enum label \"{label}\" already exists, skipping");
        session.notice(Severity::Notice, Error::new(ErrorKind::DuplicateObject, message));
        return Ok(());
    }
    let at = match place {
        Place::Last => labels.labels.len(),
        Place::Before(other) => known(other).ok_or_else(|| no_label(other))?,
        Place::After(other) => known(other).ok_or_else(|| no_label(other))? + 1,
    };
    labels.insert(session.shared.catalog.allocate_oid(), label, at)?;
    replace(session, found, labels)
}

fn rename_value(session: &mut Session, found: &UserType, from: &str, to: &str) -> Result<()> {
    let mut labels = labels_of(found)?;
    luma_model::check_label(to)?;
    if labels.labels.iter().any(|known| known.label == to) {
        let message = format!("enum label \"{to}\" already exists");
        return Err(Error::new(ErrorKind::DuplicateObject, message));
    }
    let at = labels.labels.iter().position(|known| known.label == from).ok_or_else(|| no_label(from))?;
    labels.labels[at].label = to.to_owned();
    text::relabel(session, found.oid, from, to)?;
    replace(session, found, labels)
}

fn rename(session: &mut Session, found: &UserType, schema: Oid, to: &str) -> Result<()> {
    let catalog = session.catalog();
    refuse_taken(&catalog, schema, to)?;
    let sql_name = sql_name(&catalog, schema, to);
    text::rename(session, found.oid, &sql_name)?;
    let renamed = UserType { schema, name: to.to_owned(), ..found.clone() };
    match found.as_enum() {
        Some(known) => {
            let labels = EnumType {
                name: to.to_owned(),
                array_name: format!("_{to}"),
                sql_name,
                ..known.as_ref().clone()
            };
            replace(session, &renamed, labels)
        }
        None => put(session, Object::Type(renamed)),
    }
}

/// Puts an enum type's new labels wherever the old ones are.
fn replace(session: &mut Session, found: &UserType, labels: EnumType) -> Result<()> {
    let new = DataType::Enum(Arc::new(labels));
    let renew = |data_type: &mut DataType| {
        let uses = data_type.enum_type().is_some_and(|known| known.oid == found.oid);
        if uses {
            *data_type = if data_type.is_array() { new.array_of() } else { new.clone() };
        }
        uses
    };
    let catalog = session.catalog();
    put(session, Object::Type(UserType { kind: UserTypeKind::Enum(new.clone()), ..found.clone() }))?;
    for table in catalog.tables() {
        let mut table = table.as_ref().clone();
        let columns = table.columns.iter_mut().map(|column| &mut column.data_type);
        let indexes = table.indexes.iter_mut().flat_map(|index| &mut index.expressions);
        let types = columns.chain(indexes.map(|part| &mut part.data_type));
        if types.map(&renew).filter(|renewed| *renewed).count() > 0 {
            put_current(session, table)?;
        }
    }
    for view in catalog.views() {
        let mut view = view.as_ref().clone();
        if view.columns.iter_mut().fold(false, |any, (_, data_type)| renew(data_type) || any) {
            let query = session.catalog().view(view.oid).map(|current| current.query.clone());
            view.query = query.unwrap_or(view.query);
            put(session, Object::View(view))?;
        }
    }
    for other in catalog.types() {
        if let UserTypeKind::Domain(domain) = &other.kind {
            let mut domain = domain.clone();
            if renew(&mut domain.base) {
                let kind = UserTypeKind::Domain(domain);
                put(session, Object::Type(UserType { kind, ..other.as_ref().clone() }))?;
            }
        }
    }
    Ok(())
}

/// Stores the table with new types; its texts may have been changed by the same statement.
fn put_current(session: &mut Session, mut table: Table) -> Result<()> {
    let catalog = session.catalog();
    if let Some(current) = catalog.table(table.oid) {
        let mut changed = current.as_ref().clone();
        for (column, new) in changed.columns.iter_mut().zip(&table.columns) {
            column.data_type = new.data_type.clone();
        }
        for (index, new) in changed.indexes.iter_mut().zip(&table.indexes) {
            for (part, new) in index.expressions.iter_mut().zip(&new.expressions) {
                part.data_type = new.data_type.clone();
            }
        }
        table = changed;
    }
    put(session, Object::Table(table))
}

/// What keeps a type from being dropped.
enum Dependent {
    Column(Arc<Table>, String),
    Domain(Arc<UserType>),
    View(Oid, String),
    Text(Arc<Table>, String),
}

fn dependents(session: &Session, found: &UserType) -> Vec<Dependent> {
    let catalog = session.catalog();
    let mut all = Vec::new();
    for table in catalog.tables() {
        for column in table.live_columns() {
            let own = column.data_type.enum_type().is_some_and(|known| known.oid == found.oid);
            if own || column.domain == Some(found.oid) {
                all.push(Dependent::Column(Arc::clone(table), column.name.clone()));
            }
        }
        for (what, text) in text::named_texts(table) {
            let scope = Scope { catalog: &catalog, search_path: session.search_path() };
            if text::names(scope, text, found.oid) {
                all.push(Dependent::Text(Arc::clone(table), what));
            }
        }
    }
    for other in catalog.types() {
        let Some(Domain { base, parent, .. }) = other.as_domain() else { continue };
        if base.enum_type().is_some_and(|known| known.oid == found.oid) || *parent == Some(found.oid) {
            all.push(Dependent::Domain(Arc::clone(other)));
        }
    }
    for view in catalog.queries() {
        let of_type =
            |data_type: &DataType| data_type.enum_type().is_some_and(|known| known.oid == found.oid);
        if view.depends_on.contains(&found.oid) || view.columns.iter().any(|(_, known)| of_type(known)) {
            all.push(Dependent::View(view.oid, view.name.clone()));
        }
    }
    all
}

/// Drops a type; with CASCADE what is of it, too.
pub(crate) async fn drop(
    session: &mut Session,
    name: &QualifiedName,
    domain: bool,
    if_exists: bool,
    cascade: bool,
) -> Result<()> {
    let found = match find(session, name, domain) {
        Err(error) if if_exists && error.kind == ErrorKind::UndefinedObject => {
            let message = format!("type \"{name}\" does not exist, skipping");
            session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedObject, message));
            return Ok(());
        }
        found => found?,
    };
    let dependents = dependents(session, &found);
    if !cascade && let Some(first) = dependents.first() {
        let who = match first {
            Dependent::Column(table, column) => format!("column {column} of table {}", table.name),
            Dependent::Domain(other) => format!("type {}", other.name),
            Dependent::View(_, name) => format!("view {name}"),
            Dependent::Text(table, what) => format!("{what} of table {}", table.name),
        };
        let message = format!("cannot drop type {} because other objects depend on it", found.name);
        return Err(Error::new(ErrorKind::DependentObjects, message)
            .detail(format!("{who} depends on type {}", found.name))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    for dependent in dependents {
        let catalog = session.catalog();
        match dependent {
            Dependent::Column(table, column) => {
                lock_definition(session, &table).await?;
                if let Some(current) = catalog.table(table.oid)
                    && current.column(&column).is_some()
                {
                    let column = Ident::with_quote('"', column);
                    alter::drop_column(session, current, &column, true, true).await?;
                }
            }
            Dependent::Domain(other) => {
                let schema = catalog.schema_by_oid(other.schema).map(|schema| schema.name.clone());
                let name = QualifiedName { schema, name: other.name.clone() };
                if catalog.type_by_oid(other.oid).is_some() {
                    Box::pin(drop(session, &name, true, true, true)).await?;
                }
            }
            Dependent::View(oid, name) => {
                if catalog.table(oid).is_some() || catalog.view(oid).is_some() {
                    crate::ddl::drop::drop_dependent_views(session, oid, &format!("view {name}"), true)?;
                    crate::ddl::drop::remove(session, oid)?;
                }
            }
            Dependent::Text(table, _) => text::strip(session, table.oid, found.oid).await?,
        }
    }
    edit(session, |edit, _| edit.remove(found.oid))
}
