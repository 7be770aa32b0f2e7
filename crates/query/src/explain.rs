//! EXPLAIN and EXPLAIN ANALYZE, as text or as JSON in PostgreSQL's frame.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::sql::sqlparser::ast::{self, Statement as Sql};
use luma_model::arrow::{ColumnBuilder, field};
use luma_model::{DataType, Error, ErrorKind, Result, Value};

mod outline;

use crate::dml::written::{Command, Written};
use crate::execute;
use crate::fast::compile::{self, Context};
use crate::fast::range;
use crate::names::Scope;
use crate::outcome::{Column, CommandTag, Outcome, RowStream};
use crate::plan::context::Names;
use crate::plan::run;
use crate::session::Session;
use crate::statement::Body;
use crate::utility::{self, texts};

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
    let (mut analyze, mut verbose) = (*analyze, *verbose);
    let mut json = format.as_ref().map(|format| is_json(&format.to_string())).transpose()?.unwrap_or(false);
    for option in options.iter().flatten() {
        let on = option
            .arg
            .as_ref()
            .is_none_or(|arg| !matches!(arg.to_string().to_lowercase().as_str(), "false" | "off" | "0"));
        match option.name.value.to_lowercase().as_str() {
            "analyze" => analyze = on,
            "verbose" => verbose = on,
            "format" => {
                let name = option.arg.as_ref().map(ToString::to_string).unwrap_or_default();
                json = is_json(name.trim_matches('\''))?;
            }
            _ => {}
        }
    }
    let Sql::Execute { name: Some(name), parameters: arguments, .. } = statement.as_ref() else {
        return explain(session, statement, types, parameters, Wanted { analyze, verbose, json }).await;
    };
    let (prepared, arguments) = utility::prepared(session, name, arguments)?;
    match &prepared.statement.body {
        Body::Sql(body)
            if matches!(body.as_ref(), Sql::Query(_) | Sql::Insert(_) | Sql::Update(_) | Sql::Delete(_)) =>
        {
            let wanted = Wanted { analyze, verbose, json };
            explain(session, body, prepared.parameter_types(), &arguments, wanted).await
        }
        _ if json => json_text(&serde_json::json!(["Utility Statement"])),
        _ => texts(vec![("QUERY PLAN", vec!["Utility statements have no plan structure".to_owned()])]),
    }
}

/// What an EXPLAIN is to show.
#[derive(Clone, Copy)]
struct Wanted {
    analyze: bool,
    verbose: bool,
    json: bool,
}

async fn explain(
    session: &mut Session,
    statement: &Sql,
    types: &[DataType],
    parameters: &[Value],
    Wanted { analyze, verbose, json }: Wanted,
) -> Result<Outcome> {
    let planning = Instant::now();
    if let Some((fast, output)) = fast_path(session, statement, types)? {
        let mut plan = Explained::new(fast, planning);
        plan.output = output.filter(|_| verbose);
        if analyze {
            let started = Instant::now();
            plan.rows = Some(run_statement(session, statement, parameters, types).await?);
            plan.ran = Some(started.elapsed());
        }
        return plan.outcome(json);
    }
    let query = as_query(statement)?;
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let physical = {
        let mut names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
        names.target = target(session, statement);
        names.parameters = types.iter().cloned().map(Some).collect();
        let plan = names.plan(query)?;
        if verbose && json && !analyze && matches!(statement, Sql::Query(_)) {
            return json_text(&serde_json::json!([{ "Plan": outline::outline(&plan) }]));
        }
        let plan = run::bind(plan, types, parameters)?;
        run::physical(&state, run::analysed(&state, &plan)?).await?
    };
    let mut plan = Explained::new(changes(statement).unwrap_or_default(), planning);
    plan.physical = Some(Arc::clone(&physical));
    plan.verbose = verbose;
    if analyze {
        let started = Instant::now();
        let batches = run::collect(&session.shared, &state, physical).await?;
        plan.rows = Some(batches.iter().map(|batch| batch.num_rows() as u64).sum());
        drop(batches);
        if changes(statement).is_some() {
            run_statement(session, statement, parameters, types).await?;
        }
        plan.ran = Some(started.elapsed());
    }
    plan.outcome(json)
}

/// Whether a format is JSON, and not text.
fn is_json(name: &str) -> Result<bool> {
    match name.to_lowercase().as_str() {
        "json" => Ok(true),
        "text" => Ok(false),
        "xml" | "yaml" => Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("EXPLAIN gives its plan as text or JSON, not as {name}"),
        )),
        _ => Err(Error::new(
            ErrorKind::InvalidParameterValue,
            format!("unrecognized value for EXPLAIN option \"format\": \"{name}\""),
        )),
    }
}

/// A plan, and how it ran if it did.
struct Explained {
    /// What is done with the rows, or all that is done.
    heading: String,
    physical: Option<Arc<dyn ExecutionPlan>>,
    /// Names of its columns, where they are to be shown.
    output: Option<Vec<String>>,
    verbose: bool,
    planned: Duration,
    rows: Option<u64>,
    ran: Option<Duration>,
}

impl Explained {
    fn new(heading: String, planning: Instant) -> Self {
        Self {
            heading,
            physical: None,
            output: None,
            verbose: false,
            planned: planning.elapsed(),
            rows: None,
            ran: None,
        }
    }

    fn outcome(&self, json: bool) -> Result<Outcome> {
        if json {
            return json_text(&self.json());
        }
        let mut lines = Vec::new();
        if !self.heading.is_empty() {
            lines.push(self.heading.clone());
        }
        if let Some(physical) = &self.physical {
            let display = if self.ran.is_some() {
                DisplayableExecutionPlan::with_metrics(physical.as_ref())
            } else {
                DisplayableExecutionPlan::new(physical.as_ref())
            };
            lines.extend(display.indent(self.verbose).to_string().lines().map(str::to_owned));
        }
        if let (Some(rows), Some(ran)) = (self.rows, self.ran) {
            lines.push(format!("rows={rows}"));
            lines.push(format!("Execution Time: {:.3} ms", milliseconds(ran)));
        }
        texts(vec![("QUERY PLAN", lines)])
    }

    /// PostgreSQL's frame; the nodes are those of our plan.
    fn json(&self) -> serde_json::Value {
        let child = self.physical.as_ref().map(|plan| node(plan.as_ref(), self.ran.is_some()));
        let mut plan = match child {
            Some(child) if self.heading.is_empty() => child,
            child => {
                let mut own = serde_json::json!({ "Node Type": self.heading, "Plan Rows": 1 });
                if let Some(child) = child {
                    own["Plans"] = serde_json::Value::Array(vec![child]);
                }
                own
            }
        };
        if let Some(output) = &self.output {
            plan["Output"] = serde_json::json!(output);
        }
        if let (Some(rows), Some(ran)) = (self.rows, self.ran) {
            plan["Actual Rows"] = rows.into();
            plan["Actual Total Time"] = rounded(milliseconds(ran));
            plan["Actual Loops"] = 1.into();
        }
        let mut whole = serde_json::json!({ "Plan": plan });
        if let Some(ran) = self.ran {
            whole["Planning Time"] = rounded(milliseconds(self.planned));
            whole["Execution Time"] = rounded(milliseconds(ran));
        }
        serde_json::Value::Array(vec![whole])
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn rounded(value: f64) -> serde_json::Value {
    serde_json::json!((value * 1000.0).round() / 1000.0)
}

fn node(plan: &dyn ExecutionPlan, ran: bool) -> serde_json::Value {
    let shown = DisplayableExecutionPlan::new(plan).one_line().to_string();
    let mut node = serde_json::json!({
        "Node Type": plan.name().trim_end_matches("Exec"),
        "Description": shown.trim(),
    });
    let arguments = StatisticsArgs::new();
    if let Ok(statistics) = StatisticsContext::new().compute(plan, &arguments)
        && let Some(rows) = statistics.num_rows.get_value()
    {
        node["Plan Rows"] = (*rows).into();
    }
    if let Some(rows) = plan.metrics().and_then(|metrics| metrics.output_rows()).filter(|_| ran) {
        node["Actual Rows"] = rows.into();
    }
    let children: Vec<_> = plan.children().iter().map(|child| self::node(child.as_ref(), ran)).collect();
    if !children.is_empty() {
        node["Plans"] = serde_json::Value::Array(children);
    }
    node
}

/// One row with one value of type json.
fn json_text(value: &serde_json::Value) -> Result<Outcome> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::internal(error.to_string()))?;
    let mut builder = ColumnBuilder::new(&DataType::Json, 1);
    builder.append(luma_model::ValueRef::Text(&text))?;
    let schema = Schema::new(vec![field("QUERY PLAN", &DataType::Json, false)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![builder.finish()])
        .map_err(|error| Error::internal(error.to_string()))?;
    let columns = vec![Column::new("QUERY PLAN", DataType::Json)].into();
    Ok(Outcome::Rows(RowStream::ready(columns, vec![batch], CommandTag::Select(0))))
}

/// Whether an EXPLAIN gives JSON.
pub(crate) fn gives_json(body: &Sql) -> bool {
    let Sql::Explain { format, options, .. } = body else { return false };
    let mut json = format.as_ref().is_some_and(|format| format.to_string().eq_ignore_ascii_case("json"));
    for option in options.iter().flatten() {
        if option.name.value.eq_ignore_ascii_case("format") {
            json = option
                .arg
                .as_ref()
                .is_some_and(|arg| arg.to_string().trim_matches('\'').eq_ignore_ascii_case("json"));
        }
    }
    json
}

/// What the fast path would do, if it takes the statement, and the columns that it gives.
fn fast_path(
    session: &Session,
    statement: &Sql,
    types: &[DataType],
) -> Result<Option<(String, Option<Vec<String>>)>> {
    let mut parameters: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let mut context = Context { shared: &session.shared, scope, parameters: &mut parameters };
    let change =
        match statement {
            Sql::Query(query) => {
                let (description, columns) = match compile::select(query, &mut context)? {
                    Some(plan) => (plan.point.description(), plan.columns),
                    None => match range::select(query, &mut context)? {
                        Some(plan) => (plan.description(), plan.columns),
                        None => return Ok(None),
                    },
                };
                let output = columns.iter().map(|column| column.name.clone()).collect();
                return Ok(Some((description, Some(output))));
            }
            Sql::Update(update) => compile::update(update, &mut context)?
                .map(|plan| format!("Update, {}", plan.point.description())),
            Sql::Delete(delete) => compile::delete(delete, &mut context)?
                .map(|plan| format!("Delete, {}", plan.point.description())),
            Sql::Insert(insert) => {
                let plan = crate::dml::insert::compile(insert, &mut context)?;
                plan.map(|_| "Insert, fast path: rows of constants".into())
            }
            _ => None,
        };
    Ok(change.map(|description| (description, None)))
}

fn changes(statement: &Sql) -> Option<String> {
    match statement {
        Sql::Insert(insert) => Some(format!("Insert into {}", insert.table)),
        Sql::Update(update) => Some(format!("Update {}", update.table)),
        Sql::Delete(_) => Some("Delete".into()),
        _ => None,
    }
}

fn target(session: &Session, statement: &Sql) -> Option<Written> {
    let (table, command) = match statement {
        Sql::Update(update) => (&update.table, Command::Update),
        Sql::Delete(delete) => {
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
            (from.first()?, Command::Delete)
        }
        _ => return None,
    };
    crate::dml::modify::target_table(session, table, command).ok().map(|(written, _)| written)
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
