//! Running one statement: from its kind to the part that does it.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Statement as Sql};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use luma_model::arrow::data_type;
use luma_model::{DataType, Error, ErrorKind, Result, Value};

use crate::database::{Counters, Shared};
use crate::dml::target::Target;
use crate::dml::written::{Command, Written};
use crate::dml::{insert, modify, returning};
use crate::expression::Source;
use crate::outcome::{Column, CommandTag, Outcome, RowSink, RowStream};
use crate::plan::context::Names;
use crate::plan::run;
use crate::prepared::{Plan, Prepared};
use crate::session::{Session, SessionExtension, SessionInfo};
use crate::statement::{Body, Statement};
use crate::{ddl, explain, fast, utility};

/// DataFusion's state for one statement of the session.
pub(crate) fn state_for(shared: &Shared, info: &Arc<SessionInfo>) -> SessionState {
    let mut state = shared.state.clone();
    state.config_mut().options_mut().extensions.insert(SessionExtension { info: Arc::clone(info) });
    // Functions get the options from here; now() is when the transaction began.
    state.mark_start_execution();
    let start = chrono::DateTime::from_timestamp_micros(info.transaction_micros);
    state.execution_props_mut().query_execution_start_time = start;
    state
}

/// Whether a statement ends a transaction block, which a failed one still accepts.
pub(crate) fn ends_transaction(statement: &Statement) -> bool {
    match &statement.body {
        Body::Sql(body) => matches!(body.as_ref(), Sql::Commit { .. } | Sql::Rollback { .. }),
        _ => false,
    }
}

/// Runs a prepared statement.
pub(crate) async fn execute(
    session: &mut Session,
    prepared: &Arc<Prepared>,
    parameters: &[Value],
    sink: Option<&mut dyn RowSink>,
) -> Result<Outcome> {
    if let Some(outcome) = utility::transaction(session, &prepared.statement).await? {
        return Ok(outcome);
    }
    session.begin_statement()?;
    let plan = prepared.current_plan(session)?;
    match (&*plan, sink) {
        (Plan::PointSelect(plan), Some(sink)) => {
            Counters::count(&session.shared.counters.fast_statements);
            let info = session.new_info();
            let reader = session.active()?.engine.reader();
            let environment =
                fast::scalar::Environment { parameters, columns: &fast::scalar::NoColumns, info: &info };
            let rows = fast::point::select(plan, &reader, &environment, sink)?;
            Ok(Outcome::Complete(CommandTag::Select(rows)))
        }
        (Plan::RangeSelect(plan), sink) => {
            let info = session.new_info();
            let reader = session.active()?.engine.reader();
            let environment =
                fast::scalar::Environment { parameters, columns: &fast::scalar::NoColumns, info: &info };
            match plan.rows(reader, &environment, sink)? {
                Some(outcome) => {
                    Counters::count(&session.shared.counters.fast_statements);
                    Ok(outcome)
                }
                None => execute_planned(session, prepared, parameters).await,
            }
        }
        (Plan::PointUpdate(plan), _) => {
            Counters::count(&session.shared.counters.fast_statements);
            let target = Target::open(session, &plan.point.table.definition).await?;
            let mut writer = target.writer(session)?;
            let rows = fast::point::update(plan, &mut writer, &target.info, parameters).await?;
            writer.finish().await?;
            Ok(Outcome::Complete(CommandTag::Update(rows)))
        }
        (Plan::PointDelete(plan), _) => {
            Counters::count(&session.shared.counters.fast_statements);
            let target = Target::open(session, &plan.point.table.definition).await?;
            let mut writer = target.writer(session)?;
            let rows = fast::point::delete(plan, &mut writer, &target.info, parameters).await?;
            writer.finish().await?;
            Ok(Outcome::Complete(CommandTag::Delete(rows)))
        }
        (Plan::Insert(plan), _) => {
            Counters::count(&session.shared.counters.fast_statements);
            insert::run(session, plan, parameters).await
        }
        _ => execute_planned(session, prepared, parameters).await,
    }
}

async fn execute_planned(
    session: &mut Session,
    prepared: &Arc<Prepared>,
    parameters: &[Value],
) -> Result<Outcome> {
    let types = prepared.parameter_types();
    match &prepared.statement.body {
        Body::Sql(body) => match body.as_ref() {
            Sql::Query(query) => execute_query(session, prepared, query, parameters).await,
            body => execute_body(session, body, types, parameters).await,
        },
        Body::With(with) => crate::dml::with::run(session, with, types, parameters).await,
        own => ddl::own_statement(session, own).await,
    }
}

/// Runs the query of a prepared statement, whose columns were promised.
async fn execute_query(
    session: &mut Session,
    prepared: &Arc<Prepared>,
    query: &ast::Query,
    parameters: &[Value],
) -> Result<Outcome> {
    let types = prepared.parameter_types();
    if !query.locks.is_empty() {
        let stream = execute_locking(session, query, types, parameters).await?;
        prepared.check_columns(&stream.columns)?;
        return Ok(Outcome::Rows(stream));
    }
    if crate::advisory::mentioned(&prepared.statement.text) {
        let (columns, batches) = run_waiting(session, query, types, parameters).await?;
        return Ok(Outcome::Rows(RowStream::ready(columns.into(), batches, CommandTag::Select(0))));
    }
    let info = session.new_info();
    let state = state_for(&info.shared, &info);
    let plan = match prepared.kept_plan(session) {
        Some(kept) => {
            let reader = session.reader()?;
            let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
            kept.over(&names)?
        }
        None => {
            let plan = plan_query(session, query, &info, &state, None, types)?;
            prepared.keep_plan(session, &plan);
            plan
        }
    };
    let (columns, batches) = start_planned(&info.shared, &state, plan, types, parameters).await?;
    prepared.check_columns(&columns)?;
    let columns = prepared.columns().map_or_else(|| columns.into(), Arc::clone);
    Ok(Outcome::Rows(RowStream::new(columns, batches, CommandTag::Select(0))))
}

/// Runs a query with locking clauses: its rows are locked, then given.
async fn execute_locking(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
) -> Result<RowStream> {
    let (columns, batches) = match crate::dml::lock::lock_rows(session, query, types, parameters).await? {
        Some((columns, batches)) => (columns, futures::stream::iter(batches.into_iter().map(Ok)).boxed()),
        None => {
            let unlocked = ast::Query { locks: Vec::new(), ..query.clone() };
            let info = session.new_info();
            run_query(session, &unlocked, types, parameters, &info).await?
        }
    };
    Ok(RowStream::new(columns.into(), batches, CommandTag::Select(0)))
}

/// Runs a statement of sqlparser's grammar that the fast path left.
pub(crate) async fn execute_body(
    session: &mut Session,
    body: &Sql,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    match body {
        Sql::Query(query) if !query.locks.is_empty() => {
            Ok(Outcome::Rows(execute_locking(session, query, types, parameters).await?))
        }
        Sql::Query(query) => {
            let info = session.new_info();
            let (columns, batches) = run_query(session, query, types, parameters, &info).await?;
            Ok(Outcome::Rows(RowStream::new(columns.into(), batches, CommandTag::Select(0))))
        }
        Sql::Insert(statement) => insert::run_general(session, statement, types, parameters).await,
        Sql::Update(statement) => modify::update(session, statement, types, parameters).await,
        Sql::Delete(statement) => modify::delete(session, statement, types, parameters).await,
        Sql::Merge(statement) => crate::dml::merge::merge(session, statement, types, parameters).await,
        Sql::Copy { .. } => crate::copy::statement(session, body).await,
        Sql::Declare { stmts } => {
            crate::cursor::declare(session, stmts, types, parameters).await?;
            Ok(Outcome::Complete(CommandTag::Other("DECLARE CURSOR")))
        }
        Sql::Explain { .. } => explain::statement(session, body, types, parameters).await,
        _ => match utility::statement(session, body).await? {
            Some(outcome) => Ok(outcome),
            None => ddl::statement(session, body).await,
        },
    }
}

/// Plans a query over what the session sees.
fn plan_query(
    session: &mut Session,
    query: &ast::Query,
    info: &Arc<SessionInfo>,
    state: &SessionState,
    target: Option<&Written>,
    types: &[DataType],
) -> Result<LogicalPlan> {
    let reader = session.reader()?;
    let mut names = Names::new(&info.shared, state, info, &info.catalog, &info.search_path, reader);
    names.target = target.cloned();
    names.parameters = types.iter().cloned().map(Some).collect();
    names.plan(query.clone())
}

/// Plans and starts a query.
pub(crate) async fn run_query(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
    info: &Arc<SessionInfo>,
) -> Result<(Vec<Column>, BoxStream<'static, Result<RecordBatch>>)> {
    start(session, query, types, parameters, info, None).await
}

/// Runs a query that takes advisory locks: to its end, and anew each time it had to wait for one.
async fn run_waiting(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
) -> Result<(Vec<Column>, Vec<RecordBatch>)> {
    let limit = session.settings.lock_timeout();
    loop {
        let info = session.new_info();
        let rows = async {
            let (columns, batches) = run_query(session, query, types, parameters, &info).await?;
            Ok((columns, batches.try_collect::<Vec<_>>().await?))
        };
        let rows = rows.await;
        let locks = &info.shared.advisory;
        if !info.advisory.undo(locks, info.number) {
            return rows;
        }
        let freed = locks.wait(info.number, &info.advisory);
        match limit {
            Some(limit) => tokio::time::timeout(limit, freed).await.map_err(|_| {
                Error::new(ErrorKind::LockNotAvailable, "canceling statement due to lock timeout")
            })??,
            None => freed.await?,
        }
    }
}

/// As `run_query`, for the rows of a table that is about to be changed.
pub(crate) async fn run_modify_query(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
    info: &Arc<SessionInfo>,
    target: &Written,
) -> Result<(Vec<Column>, BoxStream<'static, Result<RecordBatch>>)> {
    start(session, query, types, parameters, info, Some(target)).await
}

async fn start(
    session: &mut Session,
    query: &ast::Query,
    types: &[DataType],
    parameters: &[Value],
    info: &Arc<SessionInfo>,
    target: Option<&Written>,
) -> Result<(Vec<Column>, BoxStream<'static, Result<RecordBatch>>)> {
    let state = state_for(&info.shared, info);
    let plan = plan_query(session, query, info, &state, target, types)?;
    start_planned(&info.shared, &state, plan, types, parameters).await
}

/// Starts a planned query.
async fn start_planned(
    shared: &Shared,
    state: &SessionState,
    plan: LogicalPlan,
    types: &[DataType],
    parameters: &[Value],
) -> Result<(Vec<Column>, BoxStream<'static, Result<RecordBatch>>)> {
    let plan = run::bind(plan, types, parameters)?;
    let analysed = run::analysed(state, &plan)?;
    let columns = run::columns(&analysed, &plan)?;
    let physical = run::physical(state, analysed).await?;
    let batches = run::stream(shared, state, physical)?;
    Ok((columns, batches))
}

/// The columns a plan gives once PostgreSQL's types are applied to it.
pub(crate) fn output_columns(state: &SessionState, plan: &LogicalPlan) -> Result<Vec<Column>> {
    run::columns(&run::analysed(state, plan)?, plan)
}

/// `SELECT projection FROM from WHERE filter`.
pub(crate) fn select_query(
    projection: Vec<ast::SelectItem>,
    from: Vec<ast::TableWithJoins>,
    filter: Option<ast::Expr>,
) -> ast::Query {
    let mut select = empty_select();
    select.projection = projection;
    select.from = from;
    select.selection = filter;
    ast::Query {
        with: None,
        body: Box::new(ast::SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// A table in FROM.
pub(crate) fn table_named(name: &str) -> ast::TableWithJoins {
    let relation = table_factor(ast::ObjectName::from(vec![ast::Ident::new(name)]), None);
    ast::TableWithJoins { relation, joins: Vec::new() }
}

/// A table by its name, and what it is called here.
pub(crate) fn table_factor(name: ast::ObjectName, alias: Option<ast::TableAlias>) -> ast::TableFactor {
    ast::TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn empty_select() -> ast::Select {
    ast::Select {
        select_token: ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    }
}

/// The columns of a statement that is planned when it runs; learns parameter types on the way.
pub(crate) fn describe(
    session: &mut Session,
    statement: &Statement,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<Option<Arc<[Column]>>> {
    match &statement.body {
        Body::Sql(body) => describe_body(session, body, parameters),
        Body::With(with) => crate::dml::with::describe(session, with, parameters),
        _ => Ok(None),
    }
}

/// As `describe`, for a statement of sqlparser's grammar.
pub(crate) fn describe_body(
    session: &mut Session,
    body: &Sql,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<Option<Arc<[Column]>>> {
    let catalog = session.catalog();
    let scope = crate::names::Scope { catalog: &catalog, search_path: session.search_path() };
    collect_placeholders(body, scope, parameters);
    let returning = match body {
        Sql::Query(query) => return describe_query(session, query, parameters).map(Some),
        Sql::Declare { stmts } => {
            if let [ast::Declare { for_query: Some(query), .. }] = stmts.as_slice()
                && !parameters.is_empty()
            {
                describe_query(session, query, parameters)?;
            }
            return Ok(None);
        }
        Sql::Explain { .. } => {
            let data_type = if explain::gives_json(body) { DataType::Json } else { DataType::Text };
            return Ok(Some(vec![Column::new("QUERY PLAN", data_type)].into()));
        }
        Sql::Insert(insert) => {
            learn_insert(session, insert, parameters)?;
            insert.returning.as_deref().map(|items| (items, insert_table(session, insert), Vec::new()))
        }
        Sql::Update(update) => {
            learn_update(session, update, parameters)?;
            let more = match &update.from {
                Some(
                    ast::UpdateTableFromKind::BeforeSet(more) | ast::UpdateTableFromKind::AfterSet(more),
                ) => more.clone(),
                None => Vec::new(),
            };
            learn_joined(session, &update.table, &more, update.selection.as_ref(), parameters)?;
            update.returning.as_deref().map(|items| {
                (items, changed_columns(session, &update.table, Command::Update).map(Some), more)
            })
        }
        Sql::Delete(delete) => {
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
            let table = match from.first() {
                Some(first) => Some(changed_columns(session, first, Command::Delete)?),
                None => None,
            };
            if let Some((table, alias)) = &table {
                learn_filter(delete.selection.as_ref(), table, alias, parameters);
            }
            let more: Vec<ast::TableWithJoins> = delete.using.iter().flatten().cloned().collect();
            if let Some(first) = from.first() {
                learn_joined(session, first, &more, delete.selection.as_ref(), parameters)?;
            }
            delete.returning.as_deref().map(|items| (items, Ok(table), more))
        }
        Sql::Merge(merge) => {
            learn_merge(session, merge, parameters)?;
            return Ok(None);
        }
        _ => return utility::describe(session, body),
    };
    let Some((items, table, more)) = returning else { return Ok(None) };
    let Some((table, alias)) = table? else { return Ok(None) };
    let info = session.new_info();
    let state = state_for(&info.shared, &info);
    let reader = session.shared.engine.begin(lightning::TransactionOptions::default()).reader();
    let mut names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    names.parameters.clone_from(parameters);
    let joined = returning::joined(&more, &names, &state, parameters)?;
    let own = Source { name: &alias, table: &table };
    let others = joined.iter().map(|table| Source { name: &table.name, table });
    let sources: Vec<Source<'_>> = std::iter::once(own).chain(others).collect();
    let compiled = returning::Returning::compile(items, &sources, &names, parameters)?;
    Ok(Some(compiled.columns))
}

/// Parameters of a condition over several tables have the types that a query with it would give them.
fn learn_joined(
    session: &mut Session,
    table: &ast::TableWithJoins,
    more: &[ast::TableWithJoins],
    filter: Option<&ast::Expr>,
    parameters: &mut [Option<DataType>],
) -> Result<()> {
    if more.is_empty() || parameters.iter().all(Option::is_some) {
        return Ok(());
    }
    let from = std::iter::once(table).chain(more).cloned().collect();
    let one = ast::Expr::Value(ast::Value::Number("1".into(), false).with_empty_span());
    let query = select_query(vec![ast::SelectItem::UnnamedExpr(one)], from, filter.cloned());
    describe_query(session, &query, parameters).map(drop)
}

/// The columns of what a statement changes, and the name it goes by.
fn changed_columns(
    session: &Session,
    from: &ast::TableWithJoins,
    command: Command,
) -> Result<(Arc<luma_catalog::Table>, String)> {
    modify::target_table(session, from, command).map(|(written, alias)| (written.columns, alias))
}

fn insert_table(
    session: &Session,
    insert: &ast::Insert,
) -> Result<Option<(Arc<luma_catalog::Table>, String)>> {
    let ast::TableObject::TableName(name) = &insert.table else { return Ok(None) };
    let name = crate::names::qualified(name)?;
    let catalog = session.catalog();
    let scope = crate::names::Scope { catalog: &catalog, search_path: session.search_path() };
    let table = Written::find(&scope, &name, Command::Insert)?.columns;
    let alias = insert
        .table_alias
        .as_ref()
        .map_or_else(|| table.name.clone(), |alias| crate::names::identifier(&alias.alias));
    Ok(Some((table, alias)))
}

/// Columns of a query; parameters get the types DataFusion infers.
pub(crate) fn describe_query(
    session: &mut Session,
    query: &ast::Query,
    parameters: &mut [Option<DataType>],
) -> Result<Arc<[Column]>> {
    let info = session.new_info();
    let state = state_for(&info.shared, &info);
    // Describing reads nothing; it must not begin the session's transaction.
    let reader = match &session.transaction {
        Some(transaction) => transaction.engine.reader(),
        None => session.shared.engine.begin(lightning::TransactionOptions::default()).reader(),
    };
    let mut names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    names.parameters = parameters.to_vec();
    // Locks are taken when the statement runs.
    let plan = names.plan(ast::Query { locks: Vec::new(), ..query.clone() })?;
    if !parameters.is_empty() {
        learn_from_plan(&plan, parameters)?;
        let types: Vec<DataType> =
            parameters.iter().map(|known| known.clone().unwrap_or(DataType::Text)).collect();
        let nulls = vec![Value::Null; types.len()];
        let bound = run::bind(plan, &types, &nulls)?;
        return Ok(output_columns(&state, &bound)?.into());
    }
    Ok(output_columns(&state, &plan)?.into())
}

/// Takes the parameter types that DataFusion inferred.
fn learn_from_plan(plan: &LogicalPlan, parameters: &mut [Option<DataType>]) -> Result<()> {
    let mut learnt: Vec<(usize, DataType)> = Vec::new();
    plan.apply_with_subqueries(|node| {
        let in_limit = matches!(node, LogicalPlan::Limit(_));
        let mut schema = datafusion::common::DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        if let LogicalPlan::Filter(filter) = node
            && let datafusion::logical_expr::Expr::Placeholder(placeholder) = &filter.predicate
            && let Ok(place) = placeholder.id.trim_start_matches('$').parse::<usize>()
        {
            learnt.push((place, DataType::Bool));
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let datafusion::logical_expr::Expr::Placeholder(placeholder) = expr
                    && let Ok(place) = placeholder.id.trim_start_matches('$').parse::<usize>()
                {
                    let known = placeholder.field.as_ref().and_then(|field| data_type(field).ok());
                    let known = if in_limit { Some(DataType::Int8) } else { known };
                    learnt.extend(known.map(|known| (place, known)));
                }
                if let datafusion::logical_expr::Expr::ScalarFunction(function) = expr {
                    learnt.extend(crate::plan::unify::argument_types(function, &schema));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(crate::error::from_datafusion)?;
    for (place, known) in learnt {
        if let Some(slot @ None) = place.checked_sub(1).and_then(|at| parameters.get_mut(at)) {
            *slot = Some(known);
        }
    }
    Ok(())
}

/// Makes room for every `$n` of a statement, and takes the types of those that are cast.
fn collect_placeholders(
    statement: &Sql,
    scope: crate::names::Scope<'_>,
    parameters: &mut Vec<Option<DataType>>,
) {
    let place = |expr: &ast::Expr| match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(name) => {
                name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok())
            }
            _ => None,
        },
        _ => None,
    };
    let _ = ast::visit_expressions(statement, |expr| {
        if let Some(place) = place(expr)
            && place > 0
            && parameters.len() < place
            && place <= 65536
        {
            parameters.resize(place, None);
        }
        if let ast::Expr::Cast { expr, data_type, .. } = expr
            && let Some(place) = place(expr)
            && let Ok(meaning) = scope.type_meaning(data_type)
            && let Ok(known) = crate::types::data_type(&meaning.sql)
        {
            if parameters.len() < place && place <= 65536 {
                parameters.resize(place, None);
            }
            if let Some(slot @ None) = place.checked_sub(1).and_then(|at| parameters.get_mut(at)) {
                // The cast cuts and rounds; the parameter itself comes whole.
                *slot = Some(match known {
                    DataType::Varchar(_) => DataType::Varchar(None),
                    DataType::Numeric(_) => DataType::Numeric(None),
                    other => other,
                });
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
}

fn learn(expr: &ast::Expr, wanted: &DataType, parameters: &mut [Option<DataType>]) {
    use ast::BinaryOperator::{Divide, Minus, Multiply, Plus};
    match expr {
        // What a number is computed from is such a number, unless it says otherwise.
        ast::Expr::BinaryOp { left, op: Plus | Minus | Multiply | Divide, right } if wanted.is_numeric() => {
            learn(left, wanted, parameters);
            learn(right, wanted, parameters);
        }
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Nested(expr) => learn(expr, wanted, parameters),
        _ => {}
    }
    if let ast::Expr::Value(value) = expr
        && let ast::Value::Placeholder(name) = &value.value
        && let Some(place) = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok())
        && let Some(slot @ None) = place.checked_sub(1).and_then(|at| parameters.get_mut(at))
    {
        *slot = Some(wanted.clone());
    }
}

/// A parameter in a VALUES row, or a selected one, has its column's type.
fn learn_insert(
    session: &mut Session,
    insert: &ast::Insert,
    parameters: &mut [Option<DataType>],
) -> Result<()> {
    let Some((table, _)) = insert_table(session, insert)? else { return Ok(()) };
    let columns: Vec<&luma_catalog::Column> = if insert.columns.is_empty() {
        table.live_columns().collect()
    } else {
        let names = insert.columns.iter().map(crate::names::qualified).collect::<Result<Vec<_>>>()?;
        names
            .iter()
            .map(|name| insert::ordinal(&table, &name.name).map(|ordinal| &table.columns[ordinal]))
            .collect::<Result<_>>()?
    };
    if let Some(source) = &insert.source {
        match source.body.as_ref() {
            ast::SetExpr::Values(values) => {
                for row in &values.rows {
                    for (expr, column) in row.content.iter().zip(&columns) {
                        learn(expr, &column.data_type, parameters);
                    }
                }
            }
            ast::SetExpr::Select(select) => {
                for (item, column) in select.projection.iter().zip(&columns) {
                    if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } =
                        item
                    {
                        learn(expr, &column.data_type, parameters);
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(ast::OnInsert::OnConflict(clause)) = &insert.on
        && let ast::OnConflictAction::DoUpdate(update) = &clause.action
    {
        for assignment in &update.assignments {
            for (ordinal, expr) in insert::assigned_columns(assignment, &table)? {
                learn(expr, &table.columns[ordinal].data_type, parameters);
            }
        }
    }
    Ok(())
}

fn learn_update(
    session: &mut Session,
    update: &ast::Update,
    parameters: &mut [Option<DataType>],
) -> Result<()> {
    let (table, alias) = changed_columns(session, &update.table, Command::Update)?;
    for assignment in &update.assignments {
        for (ordinal, expr) in insert::assigned_columns(assignment, &table)? {
            learn(expr, &table.columns[ordinal].data_type, parameters);
        }
    }
    learn_filter(update.selection.as_ref(), &table, &alias, parameters);
    Ok(())
}

/// A parameter that MERGE assigns or inserts has its column's type.
fn learn_merge(session: &mut Session, merge: &ast::Merge, parameters: &mut [Option<DataType>]) -> Result<()> {
    let (table, alias) = crate::dml::merge::target(session, merge)?;
    for (ordinal, expr) in crate::dml::merge::values(&table, merge)? {
        learn(expr, &table.columns[ordinal].data_type, parameters);
    }
    learn_filter(Some(&merge.on), &table, &alias, parameters);
    for clause in &merge.clauses {
        learn_filter(clause.predicate.as_ref(), &table, &alias, parameters);
    }
    Ok(())
}

/// A parameter compared with a column has the column's type.
fn learn_filter(
    filter: Option<&ast::Expr>,
    table: &luma_catalog::Table,
    alias: &str,
    parameters: &mut [Option<DataType>],
) {
    let Some(filter) = filter else { return };
    let column = |expr: &ast::Expr| match expr {
        ast::Expr::Identifier(name) => table.column(&crate::names::identifier(name)),
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [qualifier, name] if crate::names::identifier(qualifier) == alias => {
                table.column(&crate::names::identifier(name))
            }
            _ => None,
        },
        _ => None,
    };
    let _ = ast::visit_expressions(filter, |expr| {
        if let ast::Expr::BinaryOp { left, right, .. } = expr {
            if let Some(column) = column(left) {
                learn(right, &column.data_type, parameters);
            }
            if let Some(column) = column(right) {
                learn(left, &column.data_type, parameters);
            }
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
}

/// The error of a statement nobody here knows.
pub(crate) fn unsupported(body: &Sql) -> Error {
    let text = body.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    Error::new(ErrorKind::FeatureNotSupported, format!("{} is not supported", words.join(" ").to_uppercase()))
}
