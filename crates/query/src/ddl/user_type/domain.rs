//! CREATE DOMAIN and ALTER DOMAIN.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, ObjectName};
use luma_catalog::{Check, Column, Domain, Object, Oid, Table, UserType, UserTypeKind};
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::ddl::alter::for_each_row;
use crate::ddl::table::{check_default, expression_text};
use crate::ddl::user_type::free;
use crate::ddl::{done, lock_definition, put};
use crate::execute;
use crate::expression::{RowExpression, Source, TableExpressions};
use crate::names::{Scope, qualified};
use crate::outcome::{Outcome, Severity};
use crate::plan::context::Names;
use crate::plan::user_type::layers;
use crate::session::Session;
use crate::statement::user_type::{DomainConstraint, TypeChange};
use crate::types;

/// Runs CREATE DOMAIN.
pub(super) fn create(
    session: &mut Session,
    name: &ObjectName,
    base: &ast::DataType,
    constraints: &[DomainConstraint],
) -> Result<Outcome> {
    let name = qualified(name)?;
    let schema = free(session, &name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let meaning = scope.type_meaning(base)?;
    let column = types::column_type(&meaning.sql)?;
    if column.serial {
        let message = format!("type \"{base}\" does not exist");
        return Err(Error::new(ErrorKind::UndefinedObject, message).hint("serial is not a type of its own."));
    }
    if column.precision.is_some() {
        let message = "a domain over a time with fewer than six digits of a second is not supported";
        return Err(Error::new(ErrorKind::FeatureNotSupported, message));
    }
    let mut made = UserType {
        oid: session.shared.catalog.allocate_oid(),
        array_oid: session.shared.catalog.allocate_oid(),
        schema,
        name: name.name,
        owner: 10,
        kind: UserTypeKind::Domain(Domain {
            base: column.data_type,
            parent: meaning.domain().map(|parent| parent.oid),
            not_null: false,
            default: None,
            checks: Vec::new(),
        }),
        comment: None,
    };
    let mut nullable = None;
    for constraint in constraints {
        if let DomainConstraint::NotNull | DomainConstraint::Null = constraint {
            let null = matches!(constraint, DomainConstraint::Null);
            if nullable.is_some_and(|known| known != null) {
                let message = "conflicting NULL/NOT NULL constraints";
                return Err(Error::new(ErrorKind::Syntax, message));
            }
            nullable = Some(null);
        }
        constrain(session, &mut made, constraint)?;
    }
    put(session, Object::Type(made))?;
    Ok(done("CREATE DOMAIN"))
}

fn domain_mut(made: &mut UserType) -> Result<&mut Domain> {
    match &mut made.kind {
        UserTypeKind::Domain(domain) => Ok(domain),
        UserTypeKind::Enum(_) => {
            Err(Error::new(ErrorKind::WrongObjectType, format!("\"{}\" is not a domain", made.name)))
        }
    }
}

/// A table of nothing but a value of the domain's type, over which its conditions are compiled.
fn probe(data_type: &DataType) -> Table {
    Table::new(0, 0, "value", 0, vec![Column::new(1, "value", data_type.clone())])
}

fn constrain(session: &mut Session, made: &mut UserType, constraint: &DomainConstraint) -> Result<()> {
    match constraint {
        DomainConstraint::NotNull => domain_mut(made)?.not_null = true,
        DomainConstraint::Null => {}
        DomainConstraint::Default(value) => {
            let default = default(session, made, value)?;
            domain_mut(made)?.default = Some(default);
        }
        DomainConstraint::Check { name, condition } => {
            refuse_no_condition(session, made, condition)?;
            let stem = format!("{}_check", made.name);
            let oid = session.shared.catalog.allocate_oid();
            let expression = expression_text(condition);
            let domain = domain_mut(made)?;
            let taken = |name: &str| domain.checks.iter().any(|check| check.name == name);
            let name = match name {
                Some(name) if taken(name) => {
                    let message =
                        format!("constraint \"{name}\" for domain \"{}\" already exists", made.name);
                    return Err(Error::new(ErrorKind::DuplicateObject, message));
                }
                Some(name) => name.clone(),
                None => {
                    let numbered = (1..).map(|number| format!("{stem}{number}"));
                    let mut free = std::iter::once(stem.clone()).chain(numbered).filter(|name| !taken(name));
                    free.next().unwrap_or(stem)
                }
            };
            domain.checks.push(Check { oid, name, expression });
        }
    }
    Ok(())
}

/// The text of a default that the domain's type takes.
fn default(session: &mut Session, made: &UserType, value: &Expr) -> Result<String> {
    let info = session.new_info();
    let probe = probe(made.data_type());
    check_default(value, &probe.columns[0], &info, session)?;
    Ok(expression_text(value))
}

/// A condition must be one, about nothing but the value.
fn refuse_no_condition(session: &mut Session, made: &UserType, condition: &Expr) -> Result<()> {
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let probe = probe(made.data_type());
    let source = Source { name: &probe.name, table: &probe };
    let mut parameters = Vec::new();
    let compiled = RowExpression::compile(condition, &[source], &names, &mut parameters)?;
    if !parameters.is_empty() {
        return Err(Error::new(ErrorKind::UndefinedParameter, "a CHECK condition can't have parameters"));
    }
    if *compiled.data_type() != DataType::Bool {
        let given = compiled.data_type().sql_name();
        let message = format!("argument of CHECK must be type boolean, not type {given}");
        return Err(Error::new(ErrorKind::DatatypeMismatch, message));
    }
    Ok(())
}

/// Runs ALTER DOMAIN.
pub(super) async fn alter(session: &mut Session, found: &UserType, change: &TypeChange) -> Result<()> {
    let mut made = found.clone();
    let unknown = |name: &str| {
        let message = format!("constraint \"{name}\" of domain \"{}\" does not exist", found.name);
        Error::new(ErrorKind::UndefinedObject, message)
    };
    let mut stricter = false;
    match change {
        TypeChange::SetDefault(value) => {
            let value = value.as_ref().map(|value| default(session, found, value)).transpose()?;
            domain_mut(&mut made)?.default = value;
        }
        TypeChange::SetNotNull(set) => {
            domain_mut(&mut made)?.not_null = *set;
            stricter = *set;
        }
        TypeChange::AddConstraint { constraint, not_valid } => {
            constrain(session, &mut made, constraint)?;
            stricter = !not_valid;
        }
        TypeChange::DropConstraint { name, if_exists } => {
            let domain = domain_mut(&mut made)?;
            let before = domain.checks.len();
            domain.checks.retain(|check| check.name != *name);
            if domain.checks.len() == before {
                if !if_exists {
                    return Err(unknown(name));
                }
                let message =
                    format!("constraint \"{name}\" of domain \"{}\" does not exist, skipping", found.name);
                session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedObject, message));
            }
        }
        TypeChange::RenameConstraint { from, to } => {
            let domain = domain_mut(&mut made)?;
            if domain.checks.iter().any(|check| check.name == *to) {
                let message = format!("constraint \"{to}\" for domain \"{}\" already exists", found.name);
                return Err(Error::new(ErrorKind::DuplicateObject, message));
            }
            let check = domain.checks.iter_mut().find(|check| check.name == *from);
            check.ok_or_else(|| unknown(from))?.name.clone_from(to);
        }
        TypeChange::ValidateConstraint(name) => {
            if !domain_mut(&mut made)?.checks.iter().any(|check| check.name == *name) {
                return Err(unknown(name));
            }
            stricter = true;
        }
        _ => {
            let message = format!("\"{}\" is not an enum", found.name);
            return Err(Error::new(ErrorKind::WrongObjectType, message));
        }
    }
    put(session, Object::Type(made))?;
    renew_tables(session, found.oid, stricter).await
}

/// Tables with columns of the domain forget what they compiled of it; a condition that is new must hold
/// for the rows they have.
async fn renew_tables(session: &mut Session, oid: Oid, stricter: bool) -> Result<()> {
    let catalog = session.catalog();
    let uses = |column: &Column| {
        let made = column.domain.and_then(|domain| catalog.type_by_oid(domain));
        made.is_some_and(|made| layers(&catalog, made).iter().any(|layer| layer.oid == oid))
    };
    for table in catalog.tables().filter(|table| table.live_columns().any(uses)) {
        lock_definition(session, table).await?;
        if stricter {
            check_rows(session, table)?;
        }
        put(session, Object::Table(table.as_ref().clone()))?;
    }
    Ok(())
}

fn check_rows(session: &mut Session, table: &Arc<Table>) -> Result<()> {
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.latest_reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader.clone());
    let expressions = TableExpressions::compile(table, &names)?;
    let open = session.shared.open_table(table)?;
    for_each_row(&reader, &open, &mut |values: Vec<Value>| {
        let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        expressions.check_domains(&refs, &info).map_err(|(column, error)| {
            let column = &table.columns[column].name;
            let what = match error.kind {
                ErrorKind::NotNullViolation => "null values",
                ErrorKind::CheckViolation => "values that violate the new constraint",
                _ => return error,
            };
            let message = format!("column \"{column}\" of table \"{}\" contains {what}", table.name);
            Error::new(error.kind, message).table(&table.name).column(column)
        })
    })
}
