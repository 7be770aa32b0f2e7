//! EXPLAIN and EXPLAIN ANALYZE.

use std::sync::Arc;
use std::time::Instant;

use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::sql::sqlparser::ast::{self, Statement as Sql};
use luma_model::{DataType, Error, ErrorKind, Result, Value};

use crate::execute;
use crate::fast::compile::{self, Context};
use crate::names::Scope;
use crate::outcome::Outcome;
use crate::plan::context::Names;
use crate::plan::run;
use crate::session::Session;
use crate::utility::texts;

/// Runs EXPLAIN.
pub(crate) async fn statement(
    session: &mut Session,
    body: &Sql,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    let Sql::Explain { analyze, verbose, statement, format, options, .. } = body else {
        return Err(execute::unsupported(body));
    };
    let mut analyze = *analyze;
    for option in options.iter().flatten() {
        let on = option
            .arg
            .as_ref()
            .is_none_or(|arg| !matches!(arg.to_string().to_lowercase().as_str(), "false" | "off" | "0"));
        match option.name.value.to_lowercase().as_str() {
            "analyze" => analyze = on,
            "format"
                if option.arg.as_ref().is_some_and(|arg| !arg.to_string().eq_ignore_ascii_case("text")) =>
            {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    "EXPLAIN gives its plan as text only",
                ));
            }
            _ => {}
        }
    }
    if format.is_some() {
        return Err(Error::new(ErrorKind::FeatureNotSupported, "EXPLAIN gives its plan as text only"));
    }
    let mut lines = Vec::new();
    if let Some(fast) = fast_path(session, statement, types)? {
        lines.push(fast);
        if analyze {
            let started = Instant::now();
            let rows = run_statement(session, statement, parameters, types).await?;
            lines.push(format!("rows={rows}"));
            lines.push(format!("Execution Time: {:.3} ms", started.elapsed().as_secs_f64() * 1000.0));
        }
        return texts(vec![("QUERY PLAN", lines)]);
    }
    let query = as_query(statement)?;
    if let Some(kind) = changes(statement) {
        lines.push(kind);
    }
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let physical = {
        let mut names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
        names.target = target_oid(session, statement);
        let plan = names.plan(query)?;
        let plan = run::bind(plan, types, parameters)?;
        run::physical(&state, &plan).await?
    };
    if !analyze {
        let text = DisplayableExecutionPlan::new(physical.as_ref()).indent(*verbose).to_string();
        lines.extend(text.lines().map(str::to_owned));
        return texts(vec![("QUERY PLAN", lines)]);
    }
    let started = Instant::now();
    let batches = run::collect(&session.shared, &state, Arc::clone(&physical)).await?;
    let rows: usize = batches.iter().map(datafusion::arrow::array::RecordBatch::num_rows).sum();
    drop(batches);
    if changes(statement).is_some() {
        run_statement(session, statement, parameters, types).await?;
    }
    let elapsed = started.elapsed().as_secs_f64() * 1000.0;
    let text = DisplayableExecutionPlan::with_metrics(physical.as_ref()).indent(*verbose).to_string();
    lines.extend(text.lines().map(str::to_owned));
    lines.push(format!("rows={rows}"));
    lines.push(format!("Execution Time: {elapsed:.3} ms"));
    texts(vec![("QUERY PLAN", lines)])
}

/// What the fast path would do, if it takes the statement.
fn fast_path(session: &Session, statement: &Sql, types: &[DataType]) -> Result<Option<String>> {
    let mut parameters: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let mut context = Context { shared: &session.shared, scope, parameters: &mut parameters };
    Ok(match statement {
        Sql::Query(query) => compile::select(query, &mut context)?.map(|plan| plan.point.description()),
        Sql::Update(update) => {
            compile::update(update, &mut context)?.map(|plan| format!("Update, {}", plan.point.description()))
        }
        Sql::Delete(delete) => {
            compile::delete(delete, &mut context)?.map(|plan| format!("Delete, {}", plan.point.description()))
        }
        Sql::Insert(insert) => {
            let plan = crate::dml::insert::compile(insert, &mut context)?;
            plan.map(|_| "Insert, fast path: rows of constants".into())
        }
        _ => None,
    })
}

fn changes(statement: &Sql) -> Option<String> {
    match statement {
        Sql::Insert(insert) => Some(format!("Insert into {}", insert.table)),
        Sql::Update(update) => Some(format!("Update {}", update.table)),
        Sql::Delete(_) => Some("Delete".into()),
        _ => None,
    }
}

fn target_oid(session: &Session, statement: &Sql) -> Option<u32> {
    let table = match statement {
        Sql::Update(update) => &update.table,
        Sql::Delete(delete) => {
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
            from.first()?
        }
        _ => return None,
    };
    crate::dml::modify::target_table(session, table).ok().map(|(table, _)| table.oid)
}

/// The part of a statement that reads.
fn as_query(statement: &Sql) -> Result<ast::Query> {
    let all = || vec![ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default())];
    match statement {
        Sql::Query(query) => Ok(query.as_ref().clone()),
        Sql::Insert(insert) => match &insert.source {
            Some(source) => Ok(source.as_ref().clone()),
            None => Err(Error::new(ErrorKind::FeatureNotSupported, "there is nothing to explain")),
        },
        Sql::Update(update) => {
            let mut from = vec![update.table.clone()];
            if let Some(
                ast::UpdateTableFromKind::BeforeSet(more) | ast::UpdateTableFromKind::AfterSet(more),
            ) = &update.from
            {
                from.extend(more.iter().cloned());
            }
            Ok(execute::select_query(all(), from, update.selection.clone()))
        }
        Sql::Delete(delete) => {
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
            let mut from = from.clone();
            from.extend(delete.using.iter().flatten().cloned());
            Ok(execute::select_query(all(), from, delete.selection.clone()))
        }
        other => Err(execute::unsupported(other)),
    }
}

/// Runs the explained statement and counts its rows.
async fn run_statement(
    session: &mut Session,
    statement: &Sql,
    parameters: &[Value],
    types: &[DataType],
) -> Result<u64> {
    let inner = crate::statement::Statement::part(statement.clone());
    let types: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
    let prepared = Arc::new(crate::prepared::prepare(session, inner, &types)?);
    match Box::pin(execute::execute(session, &prepared, parameters, None)).await? {
        Outcome::Rows(mut stream) => {
            let mut rows = 0;
            while let Some(batch) = stream.next_batch().await? {
                rows += batch.num_rows() as u64;
            }
            Ok(rows)
        }
        Outcome::Complete(
            crate::outcome::CommandTag::Insert(rows)
            | crate::outcome::CommandTag::Update(rows)
            | crate::outcome::CommandTag::Delete(rows)
            | crate::outcome::CommandTag::Select(rows),
        ) => Ok(rows),
        _ => Ok(0),
    }
}
