//! SELECT … FOR UPDATE and FOR SHARE.
//!
//! The rows that the statement finds are locked; when one of them changed since the statement's
//! snapshot, it starts over on a newer one, so that what it returns is what it holds. With SKIP LOCKED
//! rows that others hold are passed over before LIMIT counts, as if they were not there.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{self, LockType, NonBlock, SetExpr, TableFactor};
use futures::StreamExt;
use lightning::LockMode;
use luma_catalog::Relation;
use luma_model::{DataType, Error, ErrorKind, Result, Value};
use luma_rows::Isolation;

use crate::dml::modify::{binary, hidden};
use crate::dml::target::Target;
use crate::dml::written::Written;
use crate::execute;
use crate::expression::RowExpression;
use crate::functions::row::integer;
use crate::names::{Scope, identifier, qualified};
use crate::outcome::Column;
use crate::plan::context::Names;
use crate::plan::provider::{IMAGE_COLUMN, KEY_COLUMN};
use crate::session::Session;

/// What a locking query gives beside its own columns: a row's key, and the row as it is stored.
const OWN: [&str; 2] = ["luma_locked_key", "luma_locked_image"];
/// How often a statement starts over before it gives up.
const ATTEMPTS_MAX: usize = 100;

/// A table whose rows are to be locked.
struct Locked {
    written: Written,
    alias: String,
    mode: LockMode,
    wait: bool,
    skip: bool,
}

/// Columns and rows of a query.
type Rows = (Vec<Column>, Vec<RecordBatch>);

/// Locks the rows that a query with locking clauses finds. These are its rows where they are returned,
/// otherwise the query without its clauses gives them now.
pub(crate) async fn lock_rows(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Option<Rows>> {
    let wanted = tables(session, query)?;
    let skips = wanted.iter().any(|locked| locked.skip);
    if skips && wanted.len() > 1 {
        return Err(Error::new(
            ErrorKind::FeatureNotSupported,
            "SKIP LOCKED is supported for the rows of one table",
        )
        .hint("Name the table: FOR UPDATE OF table SKIP LOCKED."));
    }
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            session.active()?.engine.refresh();
        }
        if let (true, [locked]) = (skips, wanted.as_slice()) {
            match lock_free_rows(session, query, locked, types, parameters).await? {
                Some(rows) => return Ok(Some(rows)),
                None => continue,
            }
        }
        let mut stale = false;
        for locked in &wanted {
            stale |= lock_table_rows(session, query, locked, types, parameters).await?;
        }
        if !stale {
            return Ok(None);
        }
    }
    Err(Error::new(
        ErrorKind::SerializationFailure,
        "could not serialize access due to concurrent updates of the same rows",
    )
    .hint("Run the transaction again."))
}

/// Locks one table's rows; whether some of them changed since the snapshot.
async fn lock_table_rows(
    session: &mut Session,
    query: &ast::Query,
    locked: &Locked,
    types: &[DataType],
    parameters: &[Value],
) -> Result<bool> {
    let target = Target::open(session, &locked.written.table).await?;
    let mut keys_query = query.clone();
    keys_query.locks.clear();
    if let SetExpr::Select(select) = keys_query.body.as_mut() {
        select.projection = vec![hidden(&locked.alias, KEY_COLUMN), hidden(&locked.alias, IMAGE_COLUMN)];
    }
    if keys_query.limit_clause.is_none() && keys_query.fetch.is_none() {
        keys_query.order_by = None;
    }
    let (_, mut batches) =
        execute::run_modify_query(session, &keys_query, types, parameters, &target.info, &locked.written)
            .await?;
    let isolation = session.active()?.isolation;
    let mut writer = target.writer(session)?;
    if !locked.wait {
        writer.set_lock_timeout(Some(Duration::ZERO));
    }
    let mut stale = false;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let (keys, images) = (binary(&batch, 0)?, binary(&batch, 1)?);
        for at in 0..batch.num_rows() {
            let seen = writer.lock_seen(&target.table, keys.value(at), images.value(at), locked.mode).await?;
            stale |= isolation != Isolation::RepeatableRead && !seen;
        }
    }
    writer.finish().await?;
    Ok(stale)
}

/// Locks the rows that nobody else holds, as many as LIMIT lets through, and gives them; `None` when one of
/// them changed since the snapshot.
async fn lock_free_rows(
    session: &mut Session,
    query: &ast::Query,
    locked: &Locked,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Option<Rows>> {
    let target = Target::open(session, &locked.written.table).await?;
    let (mut skip, limit) = limits(session, query, types, parameters)?;
    let mut wanted = query.clone();
    wanted.locks.clear();
    (wanted.limit_clause, wanted.fetch) = (None, None);
    if let SetExpr::Select(select) = wanted.body.as_mut() {
        for (own, name) in OWN.into_iter().zip([KEY_COLUMN, IMAGE_COLUMN]) {
            let column = [locked.alias.as_str(), name].map(|part| ast::Ident::with_quote('"', part));
            let expr = ast::Expr::CompoundIdentifier(column.to_vec());
            select.projection.push(ast::SelectItem::ExprWithAlias { expr, alias: ast::Ident::new(own) });
        }
    }
    let info = &target.info;
    let (mut columns, mut batches) =
        execute::run_modify_query(session, &wanted, types, parameters, info, &locked.written).await?;
    // A star brings the hidden columns along, too.
    let extra = |name: &str| OWN.contains(&name) || matches!(name, KEY_COLUMN | IMAGE_COLUMN);
    let shown: Vec<usize> = (0..columns.len()).filter(|place| !extra(&columns[*place].name)).collect();
    let isolation = session.active()?.isolation;
    let memory = session.shared.options.statement_memory_bytes;
    let mut writer = target.writer(session)?;
    writer.set_lock_timeout(Some(Duration::ZERO));
    let (mut rows, mut count, mut bytes) = (Vec::new(), 0u64, 0);
    while count < limit
        && let Some(batch) = batches.next().await
    {
        let batch = batch?;
        let last = batch.num_columns();
        let (keys, images) = (binary(&batch, last - 2)?, binary(&batch, last - 1)?);
        let visible = batch.project(&shown).map_err(|error| Error::internal(error.to_string()))?;
        for at in 0..batch.num_rows() {
            let (key, image) = (keys.value(at), images.value(at));
            let seen = match writer.lock_seen(&target.table, key, image, locked.mode).await {
                Err(error) if error.kind == ErrorKind::LockNotAvailable => continue,
                seen => seen?,
            };
            if isolation != Isolation::RepeatableRead && !seen {
                return Ok(None);
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let row = visible.slice(at, 1);
            bytes += row.get_array_memory_size() / batch.num_rows().max(1);
            if bytes > memory {
                let message = "the rows to lock take more memory than a statement may have";
                return Err(Error::new(ErrorKind::OutOfMemory, message).hint("Add a LIMIT."));
            }
            rows.push(row);
            count += 1;
            if count >= limit {
                break;
            }
        }
    }
    writer.finish().await?;
    let mut place = 0;
    columns.retain(|_| {
        place += 1;
        shown.contains(&(place - 1))
    });
    Ok(Some((columns, rows)))
}

/// How many rows a query passes over, and how many it gives at most.
fn limits(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
) -> Result<(u64, u64)> {
    let (offset, limit) = match &query.limit_clause {
        None => (None, None),
        Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
            (offset.as_ref().map(|offset| &offset.value), limit.as_ref())
        }
        Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => (Some(offset), Some(limit)),
    };
    let one = ast::Expr::Value(ast::Value::Number("1".into(), false).with_empty_span());
    let fetch = query.fetch.as_ref().map(|fetch| fetch.quantity.as_ref().unwrap_or(&one));
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let mut known: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
    let mut number = |expr: Option<&ast::Expr>, none: u64| {
        let Some(expr) = expr else { return Ok(none) };
        let compiled = RowExpression::compile(expr, &[], &names, &mut known)?;
        let value = compiled.evaluate(&[], parameters, &info)?;
        if value == Value::Null {
            return Ok(none);
        }
        let value = integer(value.as_ref()).and_then(|number| u64::try_from(number).ok());
        value.ok_or_else(|| Error::new(ErrorKind::InvalidRowCountInLimit, "LIMIT must not be negative"))
    };
    Ok((number(offset, 0)?, number(limit.or(fetch), u64::MAX)?))
}

fn refused(clause: &ast::LockClause, what: &str) -> Error {
    Error::new(ErrorKind::FeatureNotSupported, format!("FOR {} is not allowed with {what}", clause.lock_type))
}

/// The tables that the locking clauses are about.
fn tables(session: &Session, query: &ast::Query) -> Result<Vec<Locked>> {
    let mut wanted: Vec<Locked> = Vec::new();
    for clause in &query.locks {
        let select = match query.body.as_ref() {
            SetExpr::Select(select) => select,
            SetExpr::Values(_) => return Err(refused(clause, "VALUES")),
            _ => return Err(refused(clause, "UNION/INTERSECT/EXCEPT")),
        };
        let grouped =
            !matches!(&select.group_by, ast::GroupByExpr::Expressions(groups, _) if groups.is_empty());
        if select.distinct.is_some() {
            return Err(refused(clause, "DISTINCT clause"));
        }
        if grouped {
            return Err(refused(clause, "GROUP BY clause"));
        }
        if select.having.is_some() {
            return Err(refused(clause, "HAVING clause"));
        }
        let computed = |item: &&ast::SelectItem| {
            matches!(item, ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. })
        };
        if select.projection.iter().filter(computed).any(crate::plan::rewrite::is_aggregate) {
            return Err(refused(clause, "aggregate functions"));
        }
        let skip = clause.nonblock == Some(NonBlock::SkipLocked);
        let mode = if clause.lock_type == LockType::Update { LockMode::Exclusive } else { LockMode::Shared };
        let wait = clause.nonblock.is_none();
        let catalog = session.catalog();
        let scope = Scope { catalog: &catalog, search_path: session.search_path() };
        let named = clause.of.as_ref().map(qualified).transpose()?.map(|name| name.name);
        let mut found = false;
        let factors = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        for factor in factors {
            let TableFactor::Table { name, alias, args: None, .. } = factor else { continue };
            let name = qualified(name)?;
            let alias = alias.as_ref().map_or_else(|| name.name.clone(), |alias| identifier(&alias.name));
            if named.as_ref().is_some_and(|named| *named != alias) {
                continue;
            }
            found = true;
            let written = match scope.find(&name) {
                Some(Relation::Table(table)) if table.filled_by.is_some() => {
                    let message = format!("cannot lock rows in materialized view \"{}\"", table.name);
                    return Err(Error::new(ErrorKind::WrongObjectType, message));
                }
                Some(Relation::Table(table)) => Written::table(Arc::clone(table)),
                // Rows of a view that are no table's rows are nobody's to lock.
                Some(Relation::View(view)) => match Written::of_view(&scope, view, 0) {
                    Ok(written) => written,
                    Err(_) => continue,
                },
                _ => continue,
            };
            wanted.push(Locked { written, alias, mode, wait, skip });
        }
        if let (Some(named), false) = (&named, found) {
            return Err(Error::new(
                ErrorKind::UndefinedTable,
                format!("relation \"{named}\" in FOR {} clause not found in FROM clause", clause.lock_type),
            ));
        }
    }
    Ok(wanted)
}
