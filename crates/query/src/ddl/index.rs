//! CREATE INDEX.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr};
use luma_catalog::{Column, ConstraintTiming, Index, IndexColumn, IndexExpression, Object, Table};
use luma_model::{Collation, DataType, Error, ErrorKind, Result};

use crate::ddl::{create_storage, done, latest_reader, lock_catalog, lock_definition, put};
use crate::execute;
use crate::expression::{Evaluator, RowExpression, Source};
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{Outcome, Severity};
use crate::plan::context::Names;
use crate::session::Session;

/// Most columns of an index.
const COLUMNS_MAX: usize = 32;
/// Functions whose answers depend on more than their arguments.
const CHANGING: &[&str] = &[
    "random",
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "current_timestamp",
    "localtimestamp",
    "current_date",
    "current_time",
    "localtime",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "gen_random_uuid",
    "pg_sleep",
    "current_setting",
    "current_user",
    "session_user",
    "txid_current",
    "age",
    "to_char",
    "to_timestamp",
    "to_date",
];

/// Runs CREATE INDEX.
pub(crate) async fn create(session: &mut Session, create: &ast::CreateIndex) -> Result<Outcome> {
    refuse_unknown(create)?;
    lock_catalog(session).await?;
    let table_name = qualified(&create.table_name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let table = Arc::clone(scope.table(&table_name)?);
    crate::ddl::columnar::refuse(&table, "an index")?;
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let parts = {
        let names = Names::new(&info.shared, &state, &info, &catalog, &info.search_path, reader);
        Parts::compile(&table, create, &names)?
    };
    let name = match &create.name {
        Some(name) => qualified(name)?.name,
        None => {
            let stem = format!("{}_{}_idx", table.name, parts.names.join("_"));
            (0..u16::MAX)
                .map(|count| if count == 0 { stem.clone() } else { format!("{stem}{count}") })
                .find(|name| catalog.relation(table.schema, name).is_none())
                .unwrap_or(stem)
        }
    };
    if catalog.relation(table.schema, &name).is_some() {
        let message = format!("relation \"{name}\" already exists");
        if !create.if_not_exists {
            return Err(Error::new(ErrorKind::DuplicateTable, message));
        }
        session
            .notice(Severity::Notice, Error::new(ErrorKind::DuplicateTable, format!("{message}, skipping")));
        return Ok(done("CREATE INDEX"));
    }
    lock_definition(session, &table).await?;
    let storage = create_storage(session)?;
    let oid = session.shared.catalog.allocate_oid();
    let index = Index {
        oid,
        name,
        storage,
        columns: parts.columns,
        unique: create.unique,
        constraint: false,
        expressions: parts.expressions,
        predicate: parts.predicate,
        include: parts.include,
        primary: false,
        timing: ConstraintTiming::NotDeferrable,
    };
    let extended = with_index(session, &table, index)?;
    put(session, Object::Table(extended))?;
    Ok(done("CREATE INDEX"))
}

/// The table with one more index, its keyspace filled from the rows there are.
pub(crate) fn with_index(session: &mut Session, table: &Arc<Table>, index: Index) -> Result<Table> {
    let mut extended = table.as_ref().clone();
    extended.indexes.push(index);
    let reader = latest_reader(session)?;
    let open = session.shared.rows.table(&Arc::new(extended.clone()))?;
    if let Some(index) = open.indexes.last() {
        let budget = session.shared.options.build_memory_bytes;
        let evaluator = Evaluator { info: session.new_info() };
        luma_rows::build_index(&session.shared.rows, &open, index, &reader, budget, &evaluator)?;
    }
    session.active()?.engine.refresh();
    Ok(extended)
}

fn refuse_unknown(create: &ast::CreateIndex) -> Result<()> {
    if create.nulls_distinct == Some(false) {
        return Err(Error::new(ErrorKind::FeatureNotSupported, "NULLS NOT DISTINCT is not supported"));
    }
    match &create.using {
        None | Some(ast::IndexType::BTree | ast::IndexType::Hash) => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::UndefinedObject,
            format!("access method \"{}\" is not supported", other.to_string().to_lowercase()),
        )
        .hint("Use btree, or leave USING away.")),
    }
}

/// What a CREATE INDEX says of rows.
struct Parts {
    columns: Vec<IndexColumn>,
    expressions: Vec<IndexExpression>,
    predicate: Option<String>,
    include: Vec<u16>,
    /// What a name for the index is made of.
    names: Vec<String>,
}

impl Parts {
    fn compile(table: &Table, create: &ast::CreateIndex, names: &Names<'_>) -> Result<Self> {
        if create.columns.len() + create.include.len() > COLUMNS_MAX {
            return Err(Error::new(
                ErrorKind::ProgramLimit,
                format!("cannot use more than {COLUMNS_MAX} columns in an index"),
            ));
        }
        let source = Source { name: &table.name, table };
        let compile = |expr: &Expr| RowExpression::compile(expr, &[source], names, &mut Vec::new());
        let mut parts = Self {
            columns: Vec::new(),
            expressions: Vec::new(),
            predicate: None,
            include: Vec::new(),
            names: Vec::new(),
        };
        for given in &create.columns {
            let descending = given.column.options.asc == Some(false);
            let nulls_first = given.column.options.nulls_first.unwrap_or(descending);
            let mut expr = &given.column.expr;
            while let Expr::Nested(inner) = expr {
                expr = inner;
            }
            if let Expr::Collate { expr: inner, collation } = expr {
                let wanted = names.scope().collation(&qualified(collation)?)?;
                expr = by_collation(table, inner, expr, &wanted)?;
            }
            let column = if let Expr::Identifier(name) = expr {
                let name = identifier(name);
                let column = named_column(table, &name)?;
                crate::ddl::constraint::refuse_unordered(&column.data_type, &name)?;
                parts.names.push(name);
                column.number
            } else {
                refuse_volatile(expr, "index expression")?;
                refuse_merging(table, expr)?;
                let data_type = compile(expr)?.data_type().clone();
                crate::ddl::constraint::refuse_unordered(&data_type, "expr")?;
                parts.names.push(match expr {
                    Expr::Function(function) => function.name.to_string().to_lowercase(),
                    _ => "expr".to_owned(),
                });
                parts.expressions.push(IndexExpression { expression: expr.to_string(), data_type });
                0
            };
            parts.columns.push(IndexColumn { column, descending, nulls_first });
        }
        if let Some(predicate) = &create.predicate {
            refuse_volatile(predicate, "index predicate")?;
            let given = compile(predicate)?.data_type().clone();
            if given != DataType::Bool {
                return Err(Error::new(
                    ErrorKind::DatatypeMismatch,
                    format!("argument of WHERE must be type boolean, not type {given}"),
                ));
            }
            parts.predicate = Some(predicate.to_string());
        }
        for name in &create.include {
            parts.include.push(named_column(table, &identifier(name))?.number);
        }
        Ok(parts)
    }
}

/// What an index has of `inner COLLATE wanted`: the column itself where that is the order it has.
fn by_collation<'e>(table: &Table, inner: &'e Expr, whole: &'e Expr, wanted: &Collation) -> Result<&'e Expr> {
    let column = match inner {
        Expr::Identifier(name) => Some(named_column(table, &identifier(name))?),
        _ => None,
    };
    let own = column.map(|column| column.collation.as_ref().map(|known| &known.collation));
    match own {
        Some(Some(own)) if own.oid == wanted.oid => Ok(inner),
        Some(None) if wanted.locale.is_none() => Ok(inner),
        _ if wanted.locale.is_none() => Ok(whole),
        _ => Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("an index in the order of collation \"{}\" is of columns that have it only", wanted.name),
        )
        .hint("Give the column the collation where the table is defined.")),
    }
}

/// Keys of expressions are told apart by bytes.
fn refuse_merging(table: &Table, expr: &Expr) -> Result<()> {
    let text = expr.to_string();
    let merges = |column: &&Column| {
        column.collation.as_ref().is_some_and(|known| known.collation.merges())
            && crate::ddl::alter::mentions(&text, &column.name)
    };
    match table.live_columns().find(merges) {
        None => Ok(()),
        Some(column) => Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!(
                "an index over an expression of column \"{}\" with a nondeterministic collation is not supported",
                column.name
            ),
        )),
    }
}

fn named_column<'t>(table: &'t Table, name: &str) -> Result<&'t Column> {
    table
        .column(name)
        .ok_or_else(|| Error::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" does not exist")))
}

/// An index may only keep what is the same whenever it is computed.
fn refuse_volatile(expr: &Expr, place: &str) -> Result<()> {
    let mut refused = None;
    let _ = ast::visit_expressions(expr, |expr| {
        refused = match expr {
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                let changing = CHANGING.contains(&name.trim_start_matches("pg_catalog."));
                changing.then(|| {
                    Error::new(
                        ErrorKind::InvalidObjectDefinition,
                        format!("functions in {place} must be marked IMMUTABLE"),
                    )
                })
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Some(Error::new(ErrorKind::FeatureNotSupported, format!("cannot use subquery in {place}")))
            }
            _ => None,
        };
        match refused {
            Some(_) => std::ops::ControlFlow::Break(()),
            None => std::ops::ControlFlow::Continue(()),
        }
    });
    refused.map_or(Ok(()), Err)
}
