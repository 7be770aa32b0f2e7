//! SELECT … FOR UPDATE and FOR SHARE.
//!
//! The rows that the statement finds are locked; when one of them changed since the statement's
//! snapshot, it starts over on a newer one, so that what it returns is what it holds.

use std::sync::Arc;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{self, LockType, NonBlock, SetExpr, TableFactor};
use futures::StreamExt;
use lightning::LockMode;
use luma_catalog::{Relation, Table};
use luma_model::{DataType, Error, ErrorKind, Result, Value};
use luma_rows::Isolation;

use crate::dml::modify::{binary, hidden};
use crate::dml::target::Target;
use crate::execute;
use crate::names::{Scope, identifier, qualified};
use crate::plan::provider::{IMAGE_COLUMN, KEY_COLUMN};
use crate::session::Session;

/// How often a statement starts over before it gives up.
const ATTEMPTS_MAX: usize = 100;

/// A table whose rows are to be locked.
struct Locked {
    table: Arc<Table>,
    alias: String,
    mode: LockMode,
    wait: bool,
}

/// Locks the rows that a query with locking clauses finds. After it the query gives these rows.
pub(crate) async fn lock_rows(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
) -> Result<()> {
    let wanted = tables(session, query)?;
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            session.active()?.engine.refresh();
        }
        let mut stale = false;
        for locked in &wanted {
            stale |= lock_table_rows(session, query, locked, types, parameters).await?;
        }
        if !stale {
            return Ok(());
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
    let target = Target::open(session, &locked.table).await?;
    let mut keys_query = query.clone();
    keys_query.locks.clear();
    if let SetExpr::Select(select) = keys_query.body.as_mut() {
        select.projection = vec![hidden(&locked.alias, KEY_COLUMN), hidden(&locked.alias, IMAGE_COLUMN)];
    }
    if keys_query.limit_clause.is_none() && keys_query.fetch.is_none() {
        keys_query.order_by = None;
    }
    let (_, mut batches) =
        execute::run_modify_query(session, &keys_query, types, parameters, &target.info, locked.table.oid)
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
            let now = writer.lock_row_as(&target.table, keys.value(at), locked.mode).await?;
            stale |= isolation != Isolation::RepeatableRead && now.as_deref() != Some(images.value(at));
        }
    }
    writer.finish().await?;
    Ok(stale)
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
        if select.projection.iter().any(crate::plan::rewrite::is_aggregate) {
            return Err(refused(clause, "aggregate functions"));
        }
        if clause.nonblock == Some(NonBlock::SkipLocked) {
            return Err(Error::new(ErrorKind::FeatureNotSupported, "SKIP LOCKED is not supported")
                .hint("Use NOWAIT, and try other rows when it fails."));
        }
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
            if let Some(Relation::Table(table)) = scope.find(&name) {
                wanted.push(Locked { table: Arc::clone(table), alias, mode, wait });
            }
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
