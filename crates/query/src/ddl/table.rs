//! CREATE TABLE and CREATE COLLECTION.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, ColumnOption, Expr};
use luma_catalog::{Column, Identity, KeyConstraint, Object, Oid, Sequence, StorageId, Table, TableKind};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::ddl::columnar;
use crate::ddl::constraint::{self, Allocator};
use crate::ddl::{create_storage, done, edit, like, lock_catalog, sequence};
use crate::execute;
use crate::expression::RowExpression;
use crate::names::{QualifiedName, Scope, identifier, qualified};
use crate::outcome::{CommandTag, Outcome, Severity};
use crate::plan::context::Names;
use crate::session::{Session, SessionInfo};
use crate::temporary;
use crate::types;

/// Most columns of a table, the dropped ones counted.
const COLUMNS_MAX: usize = 1600;

/// Runs CREATE TABLE.
pub(crate) async fn create(session: &mut Session, create: &ast::CreateTable) -> Result<Outcome> {
    let options = refuse_unknown(create)?;
    lock_catalog(session).await?;
    let mut name = qualified(&create.name)?;
    if create.temporary {
        if name.schema.as_deref().is_some_and(|schema| schema != temporary::OWN) {
            return Err(Error::new(
                ErrorKind::InvalidTableDefinition,
                "cannot create temporary relation in non-temporary schema",
            ));
        }
        name.schema = Some(temporary::schema(session)?);
    }
    let Some(schema) = free(session, &name, create.if_not_exists)? else { return Ok(done("CREATE TABLE")) };
    let info = session.new_info();
    let mut rows = None;
    let columns = match &create.query {
        Some(query) => {
            let (columns, batches) = execute::run_query(session, query, &[], &[], &info).await?;
            let named = columns
                .iter()
                .enumerate()
                .map(|(place, column)| {
                    let name = create
                        .columns
                        .get(place)
                        .map_or(column.name.clone(), |given| identifier(&given.name));
                    plain_column(place, name, column.data_type.clone())
                })
                .collect::<Result<Vec<_>>>()?;
            rows = Some(batches);
            named
        }
        None => Vec::new(),
    };
    let storage = create_storage(session)?;
    let oid = session.shared.catalog.allocate_oid();
    let mut table = Table::new(oid, schema, name.name, storage, columns);
    refuse_repeated(&table)?;
    if rows.is_none() {
        define(session, &mut table, create, &info)?;
    }
    if options.is_columnar() {
        let files = create_storage(session)?;
        let columnar = options.resolve(&table, files)?;
        refuse_keys(&table, columnar.clone())?;
        table.columnar = Some(columnar);
    }
    table.emptied_at_commit = create.on_commit == Some(ast::OnCommit::DeleteRows);
    crate::ddl::put(session, Object::Table(table.clone()))?;
    if create.on_commit == Some(ast::OnCommit::DeleteRows) {
        columnar::refuse(&table, "ON COMMIT DELETE ROWS")?;
    }
    if create.on_commit == Some(ast::OnCommit::Drop) {
        session.active()?.short_lived.push(table.oid);
    }
    let Some(mut batches) = rows else { return Ok(done("CREATE TABLE")) };
    let count = fill(session, &Arc::new(table), &mut batches).await?;
    if create.query.as_deref().is_some_and(is_without_data) {
        return Ok(done("CREATE TABLE AS"));
    }
    Ok(Outcome::Complete(CommandTag::Select(count)))
}

/// Whether the statement said WITH NO DATA.
fn is_without_data(query: &ast::Query) -> bool {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return false };
    let named = select.from.first().map(|from| &from.relation);
    let Some(ast::TableFactor::Derived { alias: Some(alias), .. }) = named else { return false };
    alias.name.value == crate::statement::form::WITHOUT_DATA
}

/// Refuses what was written beside the columns of a table that is to be columnar.
fn refuse_keys(table: &Table, columnar: luma_catalog::Columnar) -> Result<()> {
    let table = Table { columnar: Some(columnar), ..table.clone() };
    if table.primary_columns().is_some() {
        columnar::refuse(&table, "a primary key")?;
    }
    if !table.indexes.is_empty() {
        columnar::refuse(&table, "a unique constraint")?;
    }
    if table.foreign_keys.is_empty() { Ok(()) } else { columnar::refuse(&table, "a foreign key") }
}

/// Writes the rows of a query into a table that has none.
pub(super) async fn fill(
    session: &mut Session,
    table: &Arc<Table>,
    batches: &mut futures::stream::BoxStream<'static, Result<datafusion::arrow::array::RecordBatch>>,
) -> Result<u64> {
    use futures::StreamExt;
    use luma_model::ValueRef;
    use luma_model::arrow::{CellReader, data_type};
    let catalog = session.catalog();
    let current = catalog.table(table.oid).map_or_else(|| Arc::clone(table), Arc::clone);
    let target = crate::dml::target::Target::open_to_fill(session, &current).await?;
    let mut writer = target.writer(session)?;
    let mut count = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let readers = batch
            .columns()
            .iter()
            .zip(batch.schema().fields())
            .map(|(array, field)| CellReader::new(array.as_ref(), &data_type(field)?))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let values: Vec<ValueRef<'_>> =
                readers.iter().map(|reader| reader.get(row)).collect::<Result<_>>()?;
            writer.insert(&target.table, &values, &luma_rows::ConflictTarget::None).await?;
            count += 1;
        }
        target.check_size(&writer)?;
    }
    writer.finish().await?;
    Ok(count)
}

/// The schema for a new relation of that name; `None` when it exists and that is fine.
///
/// # Errors
/// 42P07 when the name is taken, 3F000 without a schema.
pub(crate) fn free(session: &mut Session, name: &QualifiedName, if_not_exists: bool) -> Result<Option<Oid>> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let schema = scope.creation_schema(name)?.oid;
    if catalog.relation(schema, &name.name).is_none() {
        if catalog.type_named(schema, &name.name).is_some() {
            let message = format!("type \"{}\" already exists", name.name);
            return Err(Error::new(ErrorKind::DuplicateObject, message).hint(
                "A relation has an associated type of the same name, so you must use a name that \
                 doesn't conflict with any existing type.",
            ));
        }
        return Ok(Some(schema));
    }
    let error = Error::new(ErrorKind::DuplicateTable, format!("relation \"{}\" already exists", name.name));
    if !if_not_exists {
        return Err(error);
    }
    let message = format!("relation \"{}\" already exists, skipping", name.name);
    session.notice(Severity::Notice, Error::new(ErrorKind::DuplicateTable, message));
    Ok(None)
}

pub(super) fn plain_column(place: usize, name: String, data_type: DataType) -> Result<Column> {
    let number = u16::try_from(place + 1).ok().filter(|_| place < COLUMNS_MAX).ok_or_else(|| {
        Error::new(ErrorKind::ProgramLimit, format!("tables can have at most {COLUMNS_MAX} columns"))
    })?;
    if data_type == DataType::Record || data_type.element() == Some(&DataType::Record) {
        let message = format!("column \"{name}\" has pseudo-type {}", data_type.sql_name());
        return Err(Error::new(ErrorKind::InvalidTableDefinition, message));
    }
    Ok(Column::new(number, name, data_type))
}

pub(super) fn refuse_repeated(table: &Table) -> Result<()> {
    for (place, column) in table.columns.iter().enumerate() {
        if table.columns[..place].iter().any(|other| !other.dropped && other.name == column.name) {
            return Err(Error::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{}\" specified more than once", column.name),
            ));
        }
    }
    Ok(())
}

fn refuse_unknown(create: &ast::CreateTable) -> Result<columnar::Options> {
    let refused = if create.on_commit.is_some() && !create.temporary {
        return Err(Error::new(
            ErrorKind::InvalidTableDefinition,
            "ON COMMIT can only be used on temporary tables",
        ));
    } else if create.like.is_some() {
        Some("CREATE TABLE … LIKE is not supported")
    } else if create.inherits.is_some() {
        Some("table inheritance is not supported")
    } else if create.partition_by.is_some() || create.partition_of.is_some() {
        Some("table partitions are not supported")
    } else if create.external {
        Some("external tables are not supported")
    } else if create.or_replace {
        Some("CREATE OR REPLACE TABLE is not supported")
    } else {
        None
    };
    match refused {
        Some(message) => Err(Error::new(ErrorKind::FeatureNotSupported, message)),
        None => columnar::options(&create.table_options),
    }
}

/// Columns, then keys and checks, then foreign keys: each may need what came before.
fn define(
    session: &mut Session,
    table: &mut Table,
    create: &ast::CreateTable,
    info: &Arc<SessionInfo>,
) -> Result<()> {
    let mut sequences = Vec::new();
    let mut likenesses = Vec::new();
    for definition in &create.columns {
        if let Some(source) = crate::statement::like::source(definition) {
            likenesses.push(like::columns(session, table, source, info, &mut sequences)?);
            continue;
        }
        let column = column(table, table.columns.len(), definition, info, &mut sequences, session)?;
        table.columns.push(column);
    }
    refuse_repeated(table)?;
    let state = execute::state_for(&info.shared, info);
    let reader = session.active()?.engine.reader();
    let catalog = session.catalog();
    let names = Names::new(&info.shared, &state, info, &catalog, &info.search_path, reader);
    let shared = Arc::clone(&session.shared);
    let oid = || shared.catalog.allocate_oid();
    let mut storage = || create_storage(session);
    let mut allocate = Allocator { oid: &oid, storage: &mut storage };
    for definition in &create.columns {
        column_constraints(table, definition, false, &names, &mut allocate)?;
    }
    let (foreign, other): (Vec<_>, Vec<_>) = create
        .constraints
        .iter()
        .partition(|constraint| matches!(constraint, ast::TableConstraint::ForeignKey(_)));
    for constraint in other {
        constraint::add(table, constraint, &names, &mut allocate)?;
    }
    for likeness in &likenesses {
        like::constraints(table, likeness, &names, &mut allocate)?;
    }
    for definition in &create.columns {
        column_constraints(table, definition, true, &names, &mut allocate)?;
    }
    // What generated columns are computed from must be there.
    crate::expression::TableExpressions::compile(table, &names)?;
    for constraint in foreign {
        constraint::add(table, constraint, &names, &mut allocate)?;
    }
    for sequence in sequences {
        crate::ddl::put(session, Object::Sequence(sequence))?;
    }
    Ok(())
}

/// Turns a column definition into a column; a sequence it needs is added to `sequences`.
pub(crate) fn column(
    table: &Table,
    place: usize,
    definition: &ast::ColumnDef,
    info: &Arc<SessionInfo>,
    sequences: &mut Vec<Sequence>,
    session: &mut Session,
) -> Result<Column> {
    let name = identifier(&definition.name);
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let meaning = scope.type_meaning(&definition.data_type)?;
    let typed = types::column_type(&meaning.sql)?;
    let mut column = plain_column(place, name, typed.data_type)?;
    column.domain = meaning.domain().map(|domain| domain.oid);
    column.precision = typed.precision;
    if typed.serial {
        column.not_null = true;
        own_sequence(table, &mut column, None, info, sequences, session)?;
    }
    for option in &definition.options {
        match &option.option {
            ColumnOption::NotNull => column.not_null = true,
            // The grammar takes a column's own clause for the default's.
            ColumnOption::Default(Expr::Collate { expr, collation }) => {
                let scope = Scope { catalog: &catalog, search_path: session.search_path() };
                column.collation = crate::ddl::collation::of_column(scope, collation, &column.data_type)?;
                check_default(expr, &column, info, session)?;
                column.default = Some(expression_text(expr));
            }
            ColumnOption::Default(expr) => {
                check_default(expr, &column, info, session)?;
                column.default = Some(expression_text(expr));
            }
            ColumnOption::Generated { generated_as, sequence_options, generation_expr: None, .. } => {
                column.identity = Some(match generated_as {
                    ast::GeneratedAs::Always => Identity::Always,
                    _ => Identity::ByDefault,
                });
                column.not_null = true;
                own_sequence(table, &mut column, sequence_options.as_deref(), info, sequences, session)?;
            }
            ColumnOption::Generated { generation_expr: Some(expr), .. } => {
                refuse_volatile(expr)?;
                column.generated = Some(expression_text(expr));
            }
            ColumnOption::Null
            | ColumnOption::PrimaryKey(_)
            | ColumnOption::Unique(_)
            | ColumnOption::Check(_)
            | ColumnOption::ForeignKey(_) => {}
            ColumnOption::Collation(name) => {
                let scope = Scope { catalog: &catalog, search_path: session.search_path() };
                column.collation = crate::ddl::collation::of_column(scope, name, &column.data_type)?;
            }
            other => {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    format!("column option {other} is not supported"),
                ));
            }
        }
    }
    Ok(column)
}

/// An expression as it is stored and shown: types under PostgreSQL's names.
pub(crate) fn expression_text(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _ = ast::visit_expressions_mut(&mut expr, |part| {
        if let Expr::Cast { data_type, .. } = part {
            let name = match types::column_type(data_type) {
                Ok(known) if known.precision.is_none() && !known.serial => known.data_type.sql_name(),
                // The name of a type that a user made.
                Err(_) if matches!(data_type, ast::DataType::Custom(..) | ast::DataType::Array(_)) => {
                    return std::ops::ControlFlow::Continue(());
                }
                _ => data_type.to_string().to_lowercase(),
            };
            *data_type =
                ast::DataType::Custom(ast::ObjectName::from(vec![ast::Ident::new(name)]), Vec::new());
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    expr.to_string()
}

/// What a generated column is computed from may not change by itself.
fn refuse_volatile(expr: &Expr) -> Result<()> {
    const VOLATILE: [&str; 10] = [
        "random(",
        "now(",
        "clock_timestamp(",
        "current_timestamp",
        "current_date",
        "current_time",
        "nextval(",
        "gen_random_uuid(",
        "statement_timestamp(",
        "transaction_timestamp(",
    ];
    let text = expr.to_string().to_lowercase();
    if VOLATILE.iter().any(|word| text.contains(word)) {
        return Err(Error::new(ErrorKind::InvalidObjectDefinition, "generation expression is not immutable"));
    }
    Ok(())
}

/// A default must be of a type the column takes, and can't look at other columns.
pub(crate) fn check_default(
    expr: &Expr,
    column: &Column,
    info: &Arc<SessionInfo>,
    session: &mut Session,
) -> Result<()> {
    let state = execute::state_for(&info.shared, info);
    let reader = session.active()?.engine.reader();
    let catalog = session.catalog();
    let names = Names::new(&info.shared, &state, info, &catalog, &info.search_path, reader);
    let mut parameters = Vec::new();
    let compiled = RowExpression::compile(expr, &[], &names, &mut parameters)?;
    let assigned = compiled.assign(column, &mut parameters)?;
    if parameters.is_empty() {
        if matches!(expr, Expr::Value(_)) {
            // A literal that the column's type can't read is known now.
            assigned.evaluate(&[], &[], info)?;
        }
        return Ok(());
    }
    Err(Error::new(ErrorKind::UndefinedParameter, "a default can't have parameters"))
}

/// Gives a column a sequence of its own, from which its default takes values.
pub(crate) fn own_sequence(
    table: &Table,
    column: &mut Column,
    options: Option<&[ast::SequenceOptions]>,
    info: &Arc<SessionInfo>,
    sequences: &mut Vec<Sequence>,
    session: &mut Session,
) -> Result<()> {
    let catalog = session.catalog();
    let mut name = format!("{}_{}_seq", table.name, column.name);
    let mut count = 0;
    while catalog.relation(table.schema, &name).is_some() || sequences.iter().any(|other| other.name == name)
    {
        count += 1;
        name = format!("{}_{}_seq{count}", table.name, column.name);
    }
    let mut own = sequence::define(&column.data_type, options.unwrap_or_default())?;
    own.oid = info.shared.catalog.allocate_oid();
    own.schema = table.schema;
    own.name.clone_from(&name);
    own.owned_by = Some((table.oid, column.number));
    column.sequence = Some(own.oid);
    let schema = catalog.schema_by_oid(table.schema).map_or_else(String::new, |schema| schema.name.clone());
    column.default = Some(format!("nextval('{}.{}'::regclass)", quoted(&schema), quoted(&name)));
    sequences.push(own);
    Ok(())
}

/// A name as SQL text: quoted where it must be, its quotes doubled for a string literal.
pub(crate) fn quoted(name: &str) -> String {
    let plain = !name.is_empty()
        && name.chars().all(|character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
        })
        && !name.starts_with(|character: char| character.is_ascii_digit())
        && !crate::names::is_keyword(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"").replace('\'', "''")) }
}

/// The constraints written beside a column: foreign keys in one pass, all others in another.
pub(crate) fn column_constraints(
    table: &mut Table,
    definition: &ast::ColumnDef,
    foreign: bool,
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    let name = identifier(&definition.name);
    for option in &definition.options {
        let given = option.name.as_ref().map(identifier);
        let number = |table: &Table| table.column(&name).map_or(0, |column| column.number);
        match &option.option {
            ColumnOption::PrimaryKey(key) if !foreign => {
                let timing = constraint::timing(key.characteristics.as_ref())?;
                constraint::primary_key(table, given, vec![number(table)], timing, allocate)?;
            }
            ColumnOption::Unique(key) if !foreign => {
                let timing = constraint::timing(key.characteristics.as_ref())?;
                constraint::unique(table, given, vec![number(table)], timing, names, allocate)?;
            }
            ColumnOption::Check(check) if !foreign => {
                let given = given.or_else(|| check.name.as_ref().map(identifier));
                constraint::check(table, given, &check.expr, Some(&name), names, allocate)?;
            }
            ColumnOption::ForeignKey(key) if foreign => {
                let mut key = key.clone();
                key.name = option.name.clone().or(key.name);
                constraint::foreign_key(table, &key, std::slice::from_ref(&name), names, allocate)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs CREATE COLLECTION.
pub(crate) async fn create_collection(
    session: &mut Session,
    name: &ast::ObjectName,
    if_not_exists: bool,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    let name = qualified(name)?;
    let Some(schema) = free(session, &name, if_not_exists)? else { return Ok(done("CREATE COLLECTION")) };
    let storage: StorageId = create_storage(session)?;
    edit(session, |edit, allocate| {
        let key = KeyConstraint { oid: allocate(), name: format!("{}_pkey", name.name), columns: vec![1] };
        let columns = crate::collection::system_columns();
        let table = Table::new(allocate(), schema, name.name, storage, columns);
        edit.put(Object::Table(Table { kind: TableKind::Collection, primary_key: Some(key), ..table }))
    })?;
    Ok(done("CREATE COLLECTION"))
}
