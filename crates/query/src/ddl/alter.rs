//! ALTER TABLE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation, TableConstraint};
use luma_catalog::{Identity, Object, Oid, Relation, Table, TableKind};
use luma_model::{
    CastKind, DataType, Error, ErrorKind, Result, TextContext, Value, ValueRef, cast, format_text,
};

use crate::ddl::columnar;
use crate::ddl::constraint::{self, Allocator, column_ordinal};
use crate::ddl::drop::{drop_dependent_views, drop_views_of_column};
use crate::ddl::follow::{self, Renamed};
use crate::ddl::{
    create_storage, done, drop_storage, edit, lock_catalog, lock_definition, put, rewrite_table, table,
};
use crate::dml::target::refuse_pending;
use crate::execute;
use crate::expression::{Evaluator, RowExpression, Source, TableExpressions};
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::plan::context::Names;
use crate::session::Session;

/// Runs ALTER TABLE; its operations happen together or not at all.
pub(crate) async fn statement(session: &mut Session, alter: &ast::AlterTable) -> Result<Outcome> {
    lock_catalog(session).await?;
    let name = qualified(&alter.name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let table = match scope.find(&name) {
        None if alter.if_exists => {
            let message = format!("relation \"{name}\" does not exist, skipping");
            session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedTable, message));
            return Ok(done("ALTER TABLE"));
        }
        // PostgreSQL takes ALTER TABLE for relations of other kinds, too, and pg_dump writes so.
        Some(Relation::Sequence(_) | Relation::View(_)) if only_owner(&alter.operations) => {
            return Ok(done("ALTER TABLE"));
        }
        Some(Relation::View(view)) if alter.operations.iter().all(names_or_owner) => {
            let oid = view.oid;
            for operation in &alter.operations {
                rename_view(session, oid, operation)?;
            }
            return Ok(done("ALTER VIEW"));
        }
        Some(Relation::Index(table, _)) => {
            let [AlterTableOperation::RenameTable { table_name }] = alter.operations.as_slice() else {
                let message = format!("ALTER action cannot be performed on relation \"{}\"", name.name);
                return Err(Error::new(ErrorKind::WrongObjectType, message)
                    .detail("This operation is not supported for indexes."));
            };
            let table = Arc::clone(table);
            lock_definition(session, &table).await?;
            rename_index(session, &table, &name.name, table_name)?;
            return Ok(done("ALTER INDEX"));
        }
        _ => Arc::clone(scope.table(&name)?),
    };
    if table.filled_by.is_some() && !alter.operations.iter().all(names_or_owner) {
        return Err(Error::new(
            ErrorKind::WrongObjectType,
            format!("ALTER action cannot be performed on relation \"{}\"", table.name),
        )
        .detail("This operation is not supported for materialized views."));
    }
    lock_definition(session, &table).await?;
    refuse_pending(session, &table, "ALTER TABLE").await?;
    for operation in &alter.operations {
        let catalog = session.catalog();
        let current = catalog.table(table.oid).map_or_else(|| Arc::clone(&table), Arc::clone);
        apply(session, &current, operation).await?;
    }
    Ok(done(if table.filled_by.is_some() { "ALTER MATERIALIZED VIEW" } else { "ALTER TABLE" }))
}

/// Gives a view or a column of it another name.
fn rename_view(session: &mut Session, oid: Oid, operation: &AlterTableOperation) -> Result<()> {
    let catalog = session.catalog();
    let Some(view) = catalog.view(oid) else { return Ok(()) };
    let mut renamed = view.as_ref().clone();
    match operation {
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            let (old, new) = (identifier(old_column_name), identifier(new_column_name));
            let columns: Vec<String> = view.columns.iter().map(|(name, _)| name.clone()).collect();
            let Some(place) = columns.iter().position(|name| *name == old) else {
                let message = format!("column \"{old}\" does not exist");
                return Err(Error::new(ErrorKind::UndefinedColumn, message));
            };
            if columns.contains(&new) {
                let message = format!("column \"{new}\" of relation \"{}\" already exists", view.name);
                return Err(Error::new(ErrorKind::DuplicateColumn, message));
            }
            follow::rename(session, oid, &Renamed::Column { old: &old, new: &new, columns: &columns })?;
            renamed.columns[place].0 = new;
        }
        AlterTableOperation::RenameTable { table_name } => {
            let (ast::RenameTableNameKind::As(name) | ast::RenameTableNameKind::To(name)) = table_name;
            let name = qualified(name)?.name;
            refuse_taken(session, view.schema, &name)?;
            follow::rename(session, oid, &Renamed::Relation(&name))?;
            renamed.name = name;
        }
        // There is one owner, who may do everything.
        _ => return Ok(()),
    }
    put(session, Object::View(renamed))
}

/// What a view lets itself be done: names, and an owner.
fn names_or_owner(operation: &AlterTableOperation) -> bool {
    matches!(
        operation,
        AlterTableOperation::RenameTable { .. }
            | AlterTableOperation::RenameColumn { .. }
            | AlterTableOperation::OwnerTo { .. }
    )
}

fn only_owner(operations: &[AlterTableOperation]) -> bool {
    operations.iter().all(|operation| matches!(operation, AlterTableOperation::OwnerTo { .. }))
}

async fn apply(session: &mut Session, table: &Arc<Table>, operation: &AlterTableOperation) -> Result<()> {
    match operation {
        AlterTableOperation::AddColumn { if_not_exists, column_def, .. } => {
            add_column(session, table, column_def, *if_not_exists)
        }
        AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
            let cascade = *drop_behavior == Some(ast::DropBehavior::Cascade);
            for name in column_names {
                let catalog = session.catalog();
                let current = catalog.table(table.oid).map_or_else(|| Arc::clone(table), Arc::clone);
                drop_column(session, &current, name, *if_exists, cascade).await?;
            }
            Ok(())
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            rename_column(session, table, old_column_name, new_column_name)
        }
        AlterTableOperation::RenameTable { table_name } => {
            let (ast::RenameTableNameKind::As(name) | ast::RenameTableNameKind::To(name)) = table_name;
            let name = qualified(name)?.name;
            refuse_taken(session, table.schema, &name)?;
            follow::rename(session, table.oid, &Renamed::Relation(&name))?;
            let mut renamed = table.as_ref().clone();
            renamed.name = name;
            put(session, Object::Table(renamed))
        }
        AlterTableOperation::RenameConstraint { old_name, new_name } => {
            rename_constraint(session, table, &identifier(old_name), &identifier(new_name))
        }
        // One that is NOT VALID is checked at once, too: rows that break it are said now rather than later.
        AlterTableOperation::AddConstraint { constraint, .. } => {
            add_constraint(session, table, constraint).await
        }
        AlterTableOperation::DropConstraint { if_exists, name, drop_behavior } => {
            let cascade = *drop_behavior == Some(ast::DropBehavior::Cascade);
            drop_constraint(session, table, &identifier(name), *if_exists, cascade).await
        }
        AlterTableOperation::AlterColumn { column_name, op } => alter_column(session, table, column_name, op),
        // There is one owner, who may do everything.
        AlterTableOperation::OwnerTo { .. } => Ok(()),
        other => {
            Err(Error::new(ErrorKind::FeatureNotSupported, format!("ALTER TABLE … {other} is not supported")))
        }
    }
}

fn refuse_taken(session: &Session, schema: Oid, name: &str) -> Result<()> {
    if session.catalog().relation(schema, name).is_some() {
        return Err(Error::new(ErrorKind::DuplicateTable, format!("relation \"{name}\" already exists")));
    }
    Ok(())
}

fn refuse_collection(table: &Table, what: &str) -> Result<()> {
    if table.kind == TableKind::Collection {
        return Err(Error::new(
            ErrorKind::WrongObjectType,
            format!("cannot {what} of collection \"{}\": its columns follow its documents", table.name),
        ));
    }
    Ok(())
}

fn add_column(
    session: &mut Session,
    table: &Arc<Table>,
    definition: &ast::ColumnDef,
    if_not_exists: bool,
) -> Result<()> {
    refuse_collection(table, "change the columns")?;
    let name = identifier(&definition.name);
    if table.column(&name).is_some() {
        let message = format!("column \"{name}\" of relation \"{}\" already exists", table.name);
        if !if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateColumn, message));
        }
        session
            .notice(Severity::Notice, Error::new(ErrorKind::DuplicateColumn, format!("{message}, skipping")));
        return Ok(());
    }
    let info = session.new_info();
    let mut sequences = Vec::new();
    let place = table.columns.len();
    let mut column = table::column(table, place, definition, &info, &mut sequences, session)?;
    if column.generated.is_some() {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            "a generated column can only be made with its table",
        )
        .hint("Create a new table with the column and copy the rows."));
    }
    let volatile = column.default.as_deref().is_some_and(|text| {
        let text = text.to_lowercase();
        text.contains("nextval")
            || text.contains("random")
            || text.contains("clock_timestamp")
            || text.contains("uuid")
    });
    let mut extended = table.as_ref().clone();
    for sequence in sequences {
        put(session, Object::Sequence(sequence))?;
    }
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.latest_reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let evaluator = Evaluator { info: Arc::clone(&info) };
    if !volatile && column.default.is_some() {
        // One value serves all rows there are; it is kept in the catalog, no row is touched.
        let mut probe = table.as_ref().clone();
        probe.columns.push(column.clone());
        let expressions = TableExpressions::compile(&probe, &names)?;
        let value = evaluator.default_of(&expressions, place)?;
        if !matches!(value, Value::Null) {
            let mut text = Vec::new();
            format_text(value.as_ref(), &column.data_type, &TextContext::default(), &mut text);
            column.missing = Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
    let has_rows = {
        let open = session.shared.open_table(table)?;
        !is_empty(session, &open)?
    };
    let not_null = column.not_null;
    let keyed =
        definition.options.iter().any(|option| matches!(option.option, ast::ColumnOption::PrimaryKey(_)));
    if (not_null || keyed) && has_rows && column.missing.is_none() && !volatile {
        return Err(Error::new(
            ErrorKind::NotNullViolation,
            format!("column \"{name}\" of relation \"{}\" contains null values", table.name),
        )
        .table(&table.name)
        .column(&name));
    }
    if extended.columnar.is_some() {
        luma_columns::refuse_unstorable(&column)?;
    }
    extended.columns.push(column);
    {
        let shared = Arc::clone(&session.shared);
        let oid = || shared.catalog.allocate_oid();
        let mut storage = || create_storage(session);
        let mut allocate = Allocator { oid: &oid, storage: &mut storage };
        table::column_constraints(&mut extended, definition, false, &names, &mut allocate)?;
        table::column_constraints(&mut extended, definition, true, &names, &mut allocate)?;
    }
    let added_key = extended.primary_key != table.primary_key;
    let added_index = extended.indexes.len() > table.indexes.len();
    if has_rows && (volatile || added_key || added_index) {
        let expressions = TableExpressions::compile(&extended, &names)?;
        let missing = extended.columns[place].missing.clone();
        let data_type = extended.columns[place].data_type.clone();
        extended = rewrite_table(session, table, extended, &mut |mut values| {
            values.push(match &missing {
                Some(text) => luma_model::parse_text(&data_type, text, &TextContext::default())?,
                None => evaluator.default_of(&expressions, place)?,
            });
            Ok(values)
        })?;
    }
    check_rows(session, table, &extended)?;
    put(session, Object::Table(extended))
}

/// New CHECK conditions must hold for the rows there are.
fn check_rows(session: &mut Session, old: &Arc<Table>, new: &Table) -> Result<()> {
    if new.checks.len() == old.checks.len() {
        return Ok(());
    }
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.latest_reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader.clone());
    let added = &new.checks[old.checks.len()..];
    let mut parameters = Vec::new();
    let source = Source { name: &new.name, table: new };
    let conditions = added
        .iter()
        .map(|check| {
            let expr = crate::expression::parse_expression(&check.expression)?;
            Ok((&check.name, RowExpression::compile(&expr, &[source], &names, &mut parameters)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let open = Arc::new(session.shared.rows.table(&Arc::new(new.clone()))?);
    for_each_row(&reader, &open, &mut |values| {
        let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        for (name, condition) in &conditions {
            if let Value::Bool(false) = condition.evaluate(&[&refs], &[], &info)? {
                return Err(Error::new(
                    ErrorKind::CheckViolation,
                    format!(
                        "check constraint \"{name}\" of relation \"{}\" is violated by some row",
                        new.name
                    ),
                )
                .table(&new.name)
                .constraint(name.as_str()));
            }
        }
        Ok(())
    })
}

pub(super) fn for_each_row(
    reader: &lightning::TransactionReader,
    table: &Arc<luma_rows::OpenTable>,
    visit: &mut dyn FnMut(Vec<Value>) -> Result<()>,
) -> Result<()> {
    table.for_each_row(reader, 1, visit).map(drop)
}

fn is_empty(session: &mut Session, table: &luma_rows::OpenTable) -> Result<bool> {
    let reader = session.active()?.engine.latest_reader();
    table.is_empty(&reader)
}

pub(super) async fn drop_column(
    session: &mut Session,
    table: &Arc<Table>,
    name: &ast::Ident,
    if_exists: bool,
    cascade: bool,
) -> Result<()> {
    refuse_collection(table, "drop a column")?;
    let ordinal = match column_ordinal(table, name) {
        Ok(ordinal) => ordinal,
        Err(error) if if_exists => {
            let message = format!("{}, skipping", error.message);
            session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedColumn, message));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let column = &table.columns[ordinal];
    let number = column.number;
    columnar::refuse_layout_column(table, number)?;
    // The primary key goes with the first of its columns.
    let key = table.primary_columns().filter(|(_, columns)| columns.contains(&number));
    if let Some((key, _)) = key {
        drop_constraint(session, table, key, true, cascade).await?;
    }
    if cascade {
        let computed = |other: &&luma_catalog::Column| {
            other.number != number
                && other.generated.as_ref().is_some_and(|text| mentions(text, &column.name))
        };
        let computed: Vec<String> =
            table.live_columns().filter(computed).map(|other| other.name.clone()).collect();
        for other in computed {
            let catalog = session.catalog();
            let current = catalog.table(table.oid).unwrap_or(table);
            let other = ast::Ident::with_quote('"', other);
            Box::pin(drop_column(session, current, &other, true, true)).await?;
        }
    }
    let catalog = session.catalog();
    let table = catalog.table(table.oid).unwrap_or(table);
    let column = &table.columns[ordinal];
    let referenced = catalog.referencing_tables(table.oid).flat_map(|other| {
        other
            .foreign_keys
            .iter()
            .filter(|key| key.referenced_table == table.oid && key.referenced_columns.contains(&number))
            .map(move |key| (other.name.clone(), key.name.clone()))
    });
    if let Some((other, key)) = referenced.into_iter().next() {
        return Err(Error::new(
            ErrorKind::DependentObjects,
            format!(
                "cannot drop column {} of table {} because other objects depend on it",
                column.name, table.name
            ),
        )
        .detail(format!("constraint {key} on table {other} depends on it")));
    }
    drop_views_of_column(
        session,
        table.oid,
        &column.name,
        &format!("column {} of table {}", column.name, table.name),
        cascade,
    )?;
    let mut changed = table.as_ref().clone();
    let gone: Vec<u32> = changed
        .indexes
        .iter()
        .filter(|index| {
            index.columns.iter().any(|part| part.column == number)
                || index.include.contains(&number)
                || index.texts().any(|text| mentions(text, &column.name))
        })
        .map(|index| index.storage)
        .collect();
    for storage in &gone {
        drop_storage(session, *storage)?;
    }
    changed.indexes.retain(|index| !gone.contains(&index.storage));
    changed.foreign_keys.retain(|key| !key.columns.contains(&number));
    let column_name = column.name.clone();
    let computed = table.live_columns().find(|other| {
        other.number != number && other.generated.as_ref().is_some_and(|text| mentions(text, &column_name))
    });
    if let Some(computed) = computed {
        return Err(Error::new(
            ErrorKind::DependentObjects,
            format!(
                "cannot drop column {column_name} of table {} because other objects depend on it",
                table.name
            ),
        )
        .detail(format!("column {} of table {} is computed from it", computed.name, table.name))
        .hint("Drop that column first."));
    }
    changed.checks.retain(|check| !mentions(&check.expression, &column_name));
    if let Some(statistics) = &mut changed.statistics {
        statistics.columns.retain(|known| known.column != number);
    }
    let sequence = {
        let column = &mut changed.columns[ordinal];
        column.dropped = true;
        column.not_null = false;
        column.name = format!("........pg.dropped.{number}........");
        (column.default, column.missing, column.identity) = (None, None, None);
        column.sequence.take()
    };
    if let Some(sequence) = sequence {
        edit(session, |edit, _| edit.remove(sequence))?;
    }
    put(session, Object::Table(changed))
}

/// Whether an expression's text names a column.
pub(crate) fn mentions(expression: &str, column: &str) -> bool {
    let Ok(expr) = crate::expression::parse_expression(expression) else { return false };
    let mut found = false;
    let _ = ast::visit_expressions(&expr, |expr| {
        found |= match expr {
            ast::Expr::Identifier(name) => identifier(name) == column,
            ast::Expr::CompoundIdentifier(parts) => {
                parts.last().is_some_and(|name| identifier(name) == column)
            }
            _ => false,
        };
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

fn rename_column(
    session: &mut Session,
    table: &Arc<Table>,
    old: &ast::Ident,
    new: &ast::Ident,
) -> Result<()> {
    refuse_collection(table, "rename a column")?;
    let ordinal = column_ordinal(table, old)?;
    let new = identifier(new);
    if table.column(&new).is_some() {
        return Err(Error::new(
            ErrorKind::DuplicateColumn,
            format!("column \"{new}\" of relation \"{}\" already exists", table.name),
        ));
    }
    let old = table.columns[ordinal].name.clone();
    let columns: Vec<String> = table.live_columns().map(|column| column.name.clone()).collect();
    follow::rename(session, table.oid, &Renamed::Column { old: &old, new: &new, columns: &columns })?;
    let mut renamed = table.as_ref().clone();
    renamed.columns[ordinal].name.clone_from(&new);
    let generated = renamed.columns.iter_mut().filter_map(|column| column.generated.as_mut());
    let indexes = renamed.indexes.iter_mut().flat_map(luma_catalog::Index::texts_mut);
    let checks = renamed.checks.iter_mut().map(|check| &mut check.expression);
    let expressions = checks.chain(generated).chain(indexes);
    for expression in expressions {
        let mut expr = crate::expression::parse_expression(expression)?;
        let _ = ast::visit_expressions_mut(&mut expr, |expr| {
            let last = match expr {
                ast::Expr::Identifier(name) => Some(name),
                ast::Expr::CompoundIdentifier(parts) => parts.last_mut(),
                _ => None,
            };
            if let Some(name) = last.filter(|name| identifier(name) == old) {
                let quoted = crate::ddl::quoted(&new) != new;
                *name = if quoted { ast::Ident::with_quote('"', &new) } else { ast::Ident::new(&new) };
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        *expression = expr.to_string();
    }
    put(session, Object::Table(renamed))
}

fn rename_constraint(session: &mut Session, table: &Arc<Table>, old: &str, new: &str) -> Result<()> {
    let mut renamed = table.as_ref().clone();
    let mut found = false;
    let mut rename = |name: &mut String| {
        if name == old {
            new.clone_into(name);
            found = true;
        }
    };
    if let Some(key) = &mut renamed.primary_key {
        rename(&mut key.name);
    }
    renamed.indexes.iter_mut().filter(|index| index.constraint).for_each(|index| rename(&mut index.name));
    renamed.checks.iter_mut().for_each(|check| rename(&mut check.name));
    renamed.foreign_keys.iter_mut().for_each(|key| rename(&mut key.name));
    if !found {
        return Err(no_constraint(table, old));
    }
    put(session, Object::Table(renamed))
}

/// Gives an index another name, and the constraint that it keeps.
fn rename_index(
    session: &mut Session,
    table: &Arc<Table>,
    old: &str,
    new: &ast::RenameTableNameKind,
) -> Result<()> {
    let (ast::RenameTableNameKind::As(new) | ast::RenameTableNameKind::To(new)) = new;
    let new = qualified(new)?.name;
    refuse_taken(session, table.schema, &new)?;
    let catalog = session.catalog();
    let mut renamed = catalog.table(table.oid).unwrap_or(table).as_ref().clone();
    if let Some(key) = renamed.primary_key.as_mut().filter(|key| key.name == old) {
        key.name.clone_from(&new);
    }
    if let Some(index) = renamed.indexes.iter_mut().find(|index| index.name == old) {
        index.name = new;
    }
    put(session, Object::Table(renamed))
}

fn no_constraint(table: &Table, name: &str) -> Error {
    Error::new(
        ErrorKind::UndefinedObject,
        format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name),
    )
}

async fn add_constraint(
    session: &mut Session,
    table: &Arc<Table>,
    constraint: &TableConstraint,
) -> Result<()> {
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.latest_reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let mut changed = table.as_ref().clone();
    {
        let shared = Arc::clone(&session.shared);
        let oid = || shared.catalog.allocate_oid();
        let mut storage = || create_storage(session);
        let mut allocate = Allocator { oid: &oid, storage: &mut storage };
        constraint::add(&mut changed, constraint, &names, &mut allocate)?;
    }
    match constraint {
        TableConstraint::PrimaryKey(_) if changed.deferrable_key().is_none() => {
            refuse_collection(table, "change the primary key")?;
            refuse_nulls(session, table, &changed)?;
            changed = rewrite_table(session, table, changed, &mut Ok)?;
        }
        TableConstraint::PrimaryKey(_) | TableConstraint::Unique(_) => {
            refuse_nulls(session, table, &changed)?;
            if let Some(index) = changed.indexes.pop() {
                changed = super::index::with_index(session, &Arc::new(changed), index)?;
            }
        }
        TableConstraint::Check(_) => check_rows(session, table, &changed)?,
        TableConstraint::ForeignKey(_) => check_references(session, &changed).await?,
        _ => {}
    }
    put(session, Object::Table(changed))
}

/// Columns that become NOT NULL must hold no NULL.
fn refuse_nulls(session: &mut Session, old: &Arc<Table>, new: &Table) -> Result<()> {
    let tightened: Vec<usize> = (0..old.columns.len())
        .filter(|ordinal| new.columns[*ordinal].not_null && !old.columns[*ordinal].not_null)
        .collect();
    if tightened.is_empty() {
        return Ok(());
    }
    let open = session.shared.open_table(old)?;
    let reader = session.active()?.engine.latest_reader();
    for_each_row(&reader, &open, &mut |values| match tightened
        .iter()
        .find(|ordinal| matches!(values[**ordinal], Value::Null))
    {
        None => Ok(()),
        Some(ordinal) => {
            let column = &old.columns[*ordinal].name;
            Err(Error::new(
                ErrorKind::NotNullViolation,
                format!("column \"{column}\" of relation \"{}\" contains null values", old.name),
            )
            .table(&old.name)
            .column(column))
        }
    })
}

/// The last foreign key must hold for the rows there are; a query finds those without a parent.
async fn check_references(session: &mut Session, table: &Table) -> Result<()> {
    use futures::StreamExt;
    let Some(key) = table.foreign_keys.last() else { return Ok(()) };
    let catalog = session.catalog();
    let Some(parent) = catalog.table(key.referenced_table) else { return Ok(()) };
    let schema_of = |oid| catalog.schema_by_oid(oid).map_or_else(String::new, |schema| schema.name.clone());
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = table.column_names(&key.columns);
    let referenced = parent.column_names(&key.referenced_columns);
    let matches: Vec<String> = columns
        .iter()
        .zip(&referenced)
        .map(|(own, other)| format!("luma_parent.{} = luma_child.{}", quote(other), quote(own)))
        .collect();
    let present: Vec<String> =
        columns.iter().map(|own| format!("luma_child.{} IS NOT NULL", quote(own))).collect();
    let text = format!(
        "SELECT 1 FROM {}.{} luma_child WHERE {} AND NOT EXISTS \
         (SELECT 1 FROM {}.{} luma_parent WHERE {}) LIMIT 1",
        quote(&schema_of(table.schema)),
        quote(&table.name),
        present.join(" AND "),
        quote(&schema_of(parent.schema)),
        quote(&parent.name),
        matches.join(" AND ")
    );
    let query = crate::plan::context::parse_query(&text)?;
    session.active()?.engine.refresh();
    let info = session.new_info();
    let (_, mut batches) = execute::run_query(session, &query, &[], &[], &info).await?;
    while let Some(batch) = batches.next().await {
        if batch?.num_rows() > 0 {
            return Err(Error::new(
                ErrorKind::ForeignKeyViolation,
                format!(
                    "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                    table.name, key.name
                ),
            )
            .detail(format!("A row's key is not present in table \"{}\".", parent.name))
            .table(&table.name)
            .constraint(&key.name));
        }
    }
    Ok(())
}

async fn drop_constraint(
    session: &mut Session,
    table: &Arc<Table>,
    name: &str,
    if_exists: bool,
    cascade: bool,
) -> Result<()> {
    let mut changed = table.as_ref().clone();
    changed.checks.retain(|check| check.name != name);
    changed.foreign_keys.retain(|key| key.name != name);
    if changed.checks.len() < table.checks.len() || changed.foreign_keys.len() < table.foreign_keys.len() {
        return put(session, Object::Table(changed));
    }
    let index = table.indexes.iter().find(|index| index.constraint && index.name == name);
    let primary = table.primary_key.as_ref().filter(|key| key.name == name);
    if index.is_none() && primary.is_none() {
        if if_exists {
            let message = format!("{}, skipping", no_constraint(table, name).message);
            session.notice(Severity::Notice, Error::new(ErrorKind::UndefinedObject, message));
            return Ok(());
        }
        return Err(no_constraint(table, name));
    }
    let columns: Vec<u16> = match (index, primary) {
        (Some(index), _) => index.columns.iter().map(|part| part.column).collect(),
        (None, Some(key)) => key.columns.clone(),
        (None, None) => Vec::new(),
    };
    let catalog = session.catalog();
    let uses = |key: &luma_catalog::ForeignKey| {
        key.referenced_table == table.oid
            && key.referenced_columns.len() == columns.len()
            && key.referenced_columns.iter().all(|column| columns.contains(column))
    };
    let referencing: Vec<Arc<Table>> = catalog
        .referencing_tables(table.oid)
        .filter(|other| other.foreign_keys.iter().any(uses))
        .cloned()
        .collect();
    if let (Some(other), false) = (referencing.first(), cascade) {
        return Err(Error::new(
            ErrorKind::DependentObjects,
            format!(
                "cannot drop constraint {name} on table {} because other objects depend on it",
                table.name
            ),
        )
        .detail(format!("a foreign key of table {} depends on it", other.name))
        .hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    for other in referencing {
        lock_definition(session, &other).await?;
        if other.oid == table.oid {
            changed.foreign_keys.retain(|key| !uses(key));
            continue;
        }
        let mut freed = other.as_ref().clone();
        freed.foreign_keys.retain(|key| !uses(key));
        put(session, Object::Table(freed))?;
    }
    if let Some(index) = index {
        drop_storage(session, index.storage)?;
        changed.indexes.retain(|other| other.oid != index.oid);
    } else {
        refuse_collection(table, "drop the primary key")?;
        changed.primary_key = None;
        changed = rewrite_table(session, table, changed, &mut Ok)?;
    }
    put(session, Object::Table(changed))
}

fn alter_column(
    session: &mut Session,
    table: &Arc<Table>,
    name: &ast::Ident,
    operation: &AlterColumnOperation,
) -> Result<()> {
    let ordinal = column_ordinal(table, name)?;
    let mut changed = table.as_ref().clone();
    match operation {
        AlterColumnOperation::SetNotNull => {
            changed.columns[ordinal].not_null = true;
            refuse_nulls(session, table, &changed)?;
        }
        AlterColumnOperation::DropNotNull => {
            let number = table.columns[ordinal].number;
            if table.primary_columns().is_some_and(|(_, columns)| columns.contains(&number)) {
                return Err(Error::new(
                    ErrorKind::InvalidTableDefinition,
                    format!("column \"{}\" is in a primary key", table.columns[ordinal].name),
                ));
            }
            changed.columns[ordinal].not_null = false;
        }
        AlterColumnOperation::SetDefault { value } => {
            let info = session.new_info();
            table::check_default(value, &table.columns[ordinal], &info, session)?;
            changed.columns[ordinal].default = Some(table::expression_text(value));
        }
        AlterColumnOperation::DropDefault => changed.columns[ordinal].default = None,
        AlterColumnOperation::SetDataType { data_type, using, .. } => {
            let catalog = session.catalog();
            let scope = Scope { catalog: &catalog, search_path: session.search_path() };
            let meaning = scope.type_meaning(data_type)?;
            let wanted = crate::types::data_type(&meaning.sql)?;
            let domain = meaning.domain().map(|domain| domain.oid);
            return set_type(session, table, ordinal, (wanted, domain), using.as_ref());
        }
        AlterColumnOperation::AddGenerated { generated_as, sequence_options } => {
            let column = &mut changed.columns[ordinal];
            let refused = |message: String| Err(Error::new(ErrorKind::ObjectNotInPrerequisiteState, message));
            let what = format!("column \"{}\" of relation \"{}\"", column.name, table.name);
            if column.identity.is_some() {
                return refused(format!("{what} is already an identity column"));
            }
            if column.default.is_some() {
                return refused(format!("{what} already has a default value"));
            }
            if !column.not_null {
                return refused(format!("{what} must be declared NOT NULL before identity can be added"));
            }
            column.identity = Some(match generated_as {
                Some(ast::GeneratedAs::ByDefault) => Identity::ByDefault,
                _ => Identity::Always,
            });
            let info = session.new_info();
            let mut sequences = Vec::new();
            let options = sequence_options.as_deref();
            table::own_sequence(table, column, options, &info, &mut sequences, session)?;
            for sequence in sequences {
                put(session, Object::Sequence(sequence))?;
            }
        }
    }
    put(session, Object::Table(changed))
}

fn set_type(
    session: &mut Session,
    table: &Arc<Table>,
    ordinal: usize,
    (wanted, domain): (DataType, Option<luma_catalog::Oid>),
    using: Option<&ast::Expr>,
) -> Result<()> {
    refuse_collection(table, "change a column's type")?;
    let column = &table.columns[ordinal];
    drop_dependent_views(
        session,
        table.oid,
        &format!("type of column {} of table {}", column.name, table.name),
        false,
    )?;
    let number = column.number;
    let catalog = session.catalog();
    let referenced = catalog.referencing_tables(table.oid).any(|other| {
        other.foreign_keys.iter().any(|key| {
            (key.referenced_table == table.oid && key.referenced_columns.contains(&number))
                || (other.oid == table.oid && key.columns.contains(&number))
        })
    }) || table.foreign_keys.iter().any(|key| key.columns.contains(&number));
    if referenced {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("cannot change the type of column \"{}\": a foreign key uses it", column.name),
        ));
    }
    let index = table.indexes.iter().find(|index| index.texts().any(|text| mentions(text, &column.name)));
    if let Some(index) = index {
        let (column, index) = (&column.name, &index.name);
        let message =
            format!("cannot change the type of column \"{column}\": index \"{index}\" computes with it");
        return Err(Error::new(ErrorKind::FeatureNotSupported, message)
            .hint("Drop the index, and create it again afterwards."));
    }
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.latest_reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let mut changed = table.as_ref().clone();
    changed.columns[ordinal].data_type = wanted.clone();
    changed.columns[ordinal].domain = domain;
    changed.columns[ordinal].missing = None;
    changed.columns[ordinal].collation = None;
    let from = column.data_type.clone();
    let converter = match using {
        Some(expr) => {
            let source = Source { name: &table.name, table };
            let compiled = RowExpression::compile(expr, &[source], &names, &mut Vec::new())?;
            Some(compiled.assign(&changed.columns[ordinal], &mut Vec::new())?)
        }
        None if crate::fast::scalar::assignable(&from, &wanted) => None,
        None => {
            return Err(Error::new(
                ErrorKind::DatatypeMismatch,
                format!(
                    "column \"{}\" cannot be cast automatically to type {}",
                    column.name,
                    wanted.sql_name()
                ),
            )
            .hint(format!(
                "You might need to specify \"USING {}::{}\".",
                column.name,
                wanted.sql_name()
            )));
        }
    };
    let context = info.text_context();
    let changed = rewrite_table(session, table, changed, &mut |mut values| {
        let converted = match &converter {
            Some(expression) => {
                let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
                expression.evaluate(&[&refs], &[], &info)?
            }
            None => match &values[ordinal] {
                Value::Null => Value::Null,
                value => cast(value.as_ref(), &from, &wanted, CastKind::Assignment, &context)?,
            },
        };
        values[ordinal] = converted;
        Ok(values)
    })?;
    put(session, Object::Table(changed))
}
