//! Statements about the session: transactions, settings, prepared statements, cursors.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, Schema};
use datafusion::sql::sqlparser::ast::{self, Expr, Statement as Sql};
use luma_model::{CastKind, DataType, Error, ErrorKind, Result, Value, cast};

use crate::cursor;
use crate::execute;
use crate::expression::RowExpression;
use crate::names::identifier;
use crate::news::{self, Intent};
use crate::outcome::{Column, CommandTag, Outcome, RowStream, Severity};
use crate::plan::context::Names;
use crate::prepared;
use crate::session::Session;
use crate::settings::zone_east;
use crate::statement::{Body, Statement};
use crate::transaction::Level;

/// Runs a statement that begins or ends a transaction; `None` when it is another.
pub(crate) async fn transaction(session: &mut Session, statement: &Statement) -> Result<Option<Outcome>> {
    let Body::Sql(body) = &statement.body else { return Ok(None) };
    let done = |word| Ok(Some(Outcome::Complete(CommandTag::Other(word))));
    match body.as_ref() {
        Sql::StartTransaction { modes, begin, .. } => {
            if session.transaction.as_ref().is_some_and(|transaction| !transaction.implicit) {
                warn(session, ErrorKind::ActiveTransaction, "there is already a transaction in progress");
            } else if let Some(open) = &mut session.transaction {
                // BEGIN among the statements of one message: what ran so far becomes part of the block.
                open.implicit = false;
            } else {
                session.begin(false);
            }
            set_modes(session, modes)?;
            done(if *begin { "BEGIN" } else { "START TRANSACTION" })
        }
        Sql::Commit { chain, .. } => {
            let open = session.transaction.as_ref().map(|open| (open.implicit, open.failed));
            if open.is_none_or(|(implicit, _)| implicit) {
                warn(session, ErrorKind::NoActiveTransaction, "there is no transaction in progress");
            }
            let tag = if open.is_some_and(|(_, failed)| failed) {
                session.settled().await;
                session.rollback();
                "ROLLBACK"
            } else {
                session.commit().await?;
                "COMMIT"
            };
            if *chain {
                session.begin(false);
            }
            done(tag)
        }
        Sql::Rollback { savepoint: Some(name), .. } => {
            let open = block(session, "ROLLBACK TO SAVEPOINT")?;
            let news = open.rollback_to(&identifier(name))?;
            session.news.take_back(news);
            session.forget_info();
            done("ROLLBACK")
        }
        Sql::Rollback { chain, savepoint: None } => {
            if session.transaction.as_ref().is_none_or(|open| open.implicit) {
                warn(session, ErrorKind::NoActiveTransaction, "there is no transaction in progress");
            }
            session.settled().await;
            session.rollback();
            if *chain {
                session.begin(false);
            }
            done("ROLLBACK")
        }
        Sql::Savepoint { name } => {
            let news = session.news.place();
            let open = block(session, "SAVEPOINT")?;
            if open.failed {
                return Err(crate::session::failed_transaction());
            }
            open.savepoint(&identifier(name), news);
            done("SAVEPOINT")
        }
        Sql::ReleaseSavepoint { name } => {
            let open = block(session, "RELEASE SAVEPOINT")?;
            if open.failed {
                return Err(crate::session::failed_transaction());
            }
            open.release(&identifier(name))?;
            done("RELEASE")
        }
        _ => Ok(None),
    }
}

fn warn(session: &mut Session, kind: ErrorKind, message: &str) {
    session.notice(Severity::Warning, Error::new(kind, message));
}

fn block<'s>(
    session: &'s mut Session,
    statement: &str,
) -> Result<&'s mut crate::transaction::ActiveTransaction> {
    match &mut session.transaction {
        Some(open) if !open.implicit => Ok(open),
        _ => Err(Error::new(
            ErrorKind::NoActiveTransaction,
            format!("{statement} can only be used in transaction blocks"),
        )),
    }
}

fn set_modes(session: &mut Session, modes: &[ast::TransactionMode]) -> Result<()> {
    for mode in modes {
        match mode {
            ast::TransactionMode::AccessMode(access) => {
                session.active()?.read_only = matches!(access, ast::TransactionAccessMode::ReadOnly);
            }
            ast::TransactionMode::IsolationLevel(level) => {
                set_level(session, level_of(*level))?;
            }
        }
    }
    Ok(())
}

fn set_level(session: &mut Session, level: Level) -> Result<()> {
    let open = session.active()?;
    if open.statements > 1 && open.level() != level {
        return Err(Error::new(
            ErrorKind::ActiveTransaction,
            "SET TRANSACTION ISOLATION LEVEL must be called before any query",
        ));
    }
    session.change_level(level)
}

fn level_of(level: ast::TransactionIsolationLevel) -> Level {
    match level {
        ast::TransactionIsolationLevel::ReadUncommitted | ast::TransactionIsolationLevel::ReadCommitted => {
            Level::ReadCommitted
        }
        ast::TransactionIsolationLevel::RepeatableRead | ast::TransactionIsolationLevel::Snapshot => {
            Level::RepeatableRead
        }
        ast::TransactionIsolationLevel::Serializable => Level::Serializable,
    }
}

/// Runs a statement about the session; `None` when it is none.
pub(crate) async fn statement(session: &mut Session, body: &Sql) -> Result<Option<Outcome>> {
    let done = |word| Ok(Some(Outcome::Complete(CommandTag::Other(word))));
    match body {
        Sql::Set(set) => {
            apply_set(session, set)?;
            done("SET")
        }
        Sql::ShowVariable { variable } => {
            let name = variable_name(variable);
            show(session, &name).map(Some)
        }
        Sql::Reset(reset) => {
            match &reset.reset {
                ast::Reset::ALL => session.reset_all(),
                ast::Reset::ConfigurationParameter(name) => session.set(&name.to_string(), None, false)?,
            }
            done("RESET")
        }
        Sql::Prepare { name, data_types, statement } => {
            let name = identifier(name);
            let catalog = session.catalog();
            let scope = crate::names::Scope { catalog: &catalog, search_path: session.search_path() };
            let types = data_types
                .iter()
                .map(|known| crate::types::data_type(&scope.type_meaning(known)?.sql).map(Some))
                .collect::<Result<Vec<_>>>()?;
            let inner = Statement::part((**statement).clone());
            let inner = prepared::prepare(session, inner, &types)?;
            session.keep_statement(&name, Some(Arc::new(inner)), true)?;
            done("PREPARE")
        }
        Sql::Execute { name: Some(name), parameters, using, .. } => {
            if !using.is_empty() {
                return Err(execute::unsupported(body));
            }
            let (inner, values) = prepared(session, name, parameters)?;
            Box::pin(execute::execute(session, &inner, &values, None)).await.map(Some)
        }
        Sql::Deallocate { name, .. } => {
            let name = identifier(name);
            if name == "all" {
                session.forget_statements();
                return done("DEALLOCATE ALL");
            }
            if !session.forget_statement(&name) {
                return Err(no_statement(&name));
            }
            done("DEALLOCATE")
        }
        Sql::Fetch { name, direction, .. } => {
            cursor::fetch(session, &identifier(name), direction).await.map(Some)
        }
        Sql::Close { cursor } => {
            match cursor {
                ast::CloseCursor::All => {
                    session.cursors.clear();
                    return done("CLOSE CURSOR ALL");
                }
                ast::CloseCursor::Specific { name } => {
                    let name = identifier(name);
                    if session.cursors.remove(&name).is_none() {
                        return Err(cursor::no_cursor(&name));
                    }
                }
            }
            done("CLOSE CURSOR")
        }
        Sql::Discard { .. } => {
            crate::temporary::drop_all(session).await?;
            session.discard();
            done("DISCARD ALL")
        }
        Sql::LISTEN { channel } => {
            session.news.intend(Intent::Listen(identifier(channel)));
            done("LISTEN")
        }
        Sql::UNLISTEN { channel } => {
            session.news.intend(match channel.value.as_str() {
                "*" => Intent::UnlistenAll,
                _ => Intent::Unlisten(identifier(channel)),
            });
            done("UNLISTEN")
        }
        Sql::NOTIFY { channel, payload } => {
            let intent = news::notify(&identifier(channel), payload.as_deref().unwrap_or_default())?;
            session.news.intend(intent);
            done("NOTIFY")
        }
        _ => Ok(None),
    }
}

/// The prepared statement of that name, and the values of the arguments that it is given.
///
/// # Errors
/// 26000 when there is none, 42601 for another number of arguments.
pub(crate) fn prepared(
    session: &mut Session,
    name: &ast::ObjectName,
    arguments: &[Expr],
) -> Result<(Arc<prepared::Prepared>, Vec<Value>)> {
    let name = crate::names::qualified(name)?.name;
    let found = session.named_statement(&name).flatten().ok_or_else(|| no_statement(&name))?;
    let values = execute_arguments(session, &name, arguments, found.parameter_types())?;
    Ok((found, values))
}

fn no_statement(name: &str) -> Error {
    let message = format!("prepared statement \"{name}\" does not exist");
    Error::new(ErrorKind::InvalidStatementName, message)
}

/// What statements about the session give.
pub(crate) fn describe(session: &mut Session, body: &Sql) -> Result<Option<Arc<[Column]>>> {
    let text = |name: &str| Column::new(name, DataType::Text);
    match body {
        Sql::ShowVariable { variable } => {
            let name = variable_name(variable);
            if name == "all" {
                return Ok(Some(vec![text("name"), text("setting"), text("description")].into()));
            }
            let (spelt, _) = session.settings.show(&name)?;
            Ok(Some(vec![text(spelt)].into()))
        }
        Sql::Execute { name: Some(name), .. } => {
            let name = crate::names::qualified(name)?.name;
            let inner = session.named_statement(&name).flatten();
            Ok(inner.and_then(|inner| inner.columns().map(Arc::clone)))
        }
        Sql::Fetch { name, .. } => {
            let name = identifier(name);
            match session.cursors.get(&name) {
                Some(cursor) => Ok(Some(Arc::clone(&cursor.stream.columns))),
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn variable_name(parts: &[ast::Ident]) -> String {
    let words: Vec<String> = parts.iter().map(|part| part.value.to_lowercase()).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["time", "zone"] => "timezone".into(),
        ["transaction", "isolation", "level"] => "transaction_isolation".into(),
        ["session", "authorization"] => "session_authorization".into(),
        _ => words.join("."),
    }
}

/// Hours east of Greenwich, where a zone is given as a number or an interval.
fn east(value: &Expr) -> Option<f64> {
    match value {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => east(expr).map(|hours| -hours),
        Expr::UnaryOp { op: ast::UnaryOperator::Plus, expr } | Expr::Nested(expr) => east(expr),
        Expr::Interval(interval) => {
            let text = setting_text(&interval.value);
            let (hours, minutes) = text.split_once(':').unwrap_or((&text, "0"));
            let hours: f64 = hours.parse().ok()?;
            let minutes: f64 = minutes.parse().ok()?;
            Some(if text.starts_with('-') { hours - minutes / 60.0 } else { hours + minutes / 60.0 })
        }
        _ => None,
    }
}

fn apply_set(session: &mut Session, set: &ast::Set) -> Result<()> {
    match set {
        ast::Set::SingleAssignment { scope, variable, values, .. } => {
            let local = matches!(scope, Some(ast::ContextModifier::Local));
            let name = variable.to_string().replace('"', "");
            let name = if name.eq_ignore_ascii_case("timezone") { "TimeZone".into() } else { name };
            match values.as_slice() {
                [Expr::Identifier(word)]
                    if word.value.eq_ignore_ascii_case("default") && word.quote_style.is_none() =>
                {
                    session.set(&name, None, local)
                }
                values => {
                    let text: Vec<String> = values.iter().map(setting_text).collect();
                    if name.eq_ignore_ascii_case("transaction_isolation") {
                        return set_isolation(session, &text.join(","));
                    }
                    session.set(&name, Some(&text.join(", ")), local)
                }
            }
        }
        ast::Set::SetTimeZone { local, value } => {
            let text = match east(value) {
                Some(hours) => zone_east(hours)?.clone(),
                None => setting_text(value),
            };
            let value = (!matches!(text.to_lowercase().as_str(), "default" | "local")).then_some(text);
            session.set("TimeZone", value.as_deref(), *local)
        }
        ast::Set::SetNames { charset_name, .. } => {
            session.set("client_encoding", Some(&charset_name.value), false)
        }
        ast::Set::SetNamesDefault {} => session.set("client_encoding", None, false),
        ast::Set::SetTransaction { modes, snapshot: None, session: whole } => {
            if !*whole {
                return set_modes(session, modes);
            }
            for mode in modes {
                match mode {
                    ast::TransactionMode::AccessMode(access) => {
                        let on = matches!(access, ast::TransactionAccessMode::ReadOnly);
                        let value = if on { "on" } else { "off" };
                        session.set("default_transaction_read_only", Some(value), false)?;
                    }
                    ast::TransactionMode::IsolationLevel(level) => {
                        let value = level_of(*level).name();
                        session.set("default_transaction_isolation", Some(value), false)?;
                    }
                }
            }
            Ok(())
        }
        ast::Set::SetRole { role_name: None, .. } => Ok(()),
        other => Err(Error::new(ErrorKind::FeatureNotSupported, format!("{other} is not supported"))),
    }
}

fn set_isolation(session: &mut Session, name: &str) -> Result<()> {
    let level = Level::named(name).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidParameterValue,
            format!("invalid value for parameter \"transaction_isolation\": \"{name}\""),
        )
    })?;
    set_level(session, level)
}

fn setting_text(expr: &Expr) -> String {
    match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => name.value.clone(),
        Expr::Interval(interval) => interval.value.to_string().replace('\'', ""),
        other => other.to_string(),
    }
}

fn show(session: &mut Session, name: &str) -> Result<Outcome> {
    if name == "all" {
        let all: Vec<(String, String, String)> = session
            .settings
            .all()
            .map(|(name, value, description)| (name.into(), value.into(), description.into()))
            .collect();
        let column = |pick: fn(&(String, String, String)) -> &String| {
            all.iter().map(|row| pick(row).clone()).collect()
        };
        return texts(vec![
            ("name", column(|row| &row.0)),
            ("setting", column(|row| &row.1)),
            ("description", column(|row| &row.2)),
        ]);
    }
    let value = match (name, &session.transaction) {
        ("transaction_isolation", Some(open)) => open.level().name().to_owned(),
        ("transaction_read_only", Some(open)) => if open.read_only { "on" } else { "off" }.to_owned(),
        _ => session.settings.show(name)?.1.to_owned(),
    };
    let (spelt, _) = session.settings.show(name)?;
    let spelt = spelt.to_owned();
    let Outcome::Rows(stream) = texts(vec![(&spelt, vec![value])])? else {
        return Err(Error::new(ErrorKind::Internal, "SHOW gave no rows"));
    };
    Ok(Outcome::Rows(stream.with_tag(CommandTag::Other("SHOW"))))
}

/// A result of text columns.
pub(crate) fn texts(columns: Vec<(&str, Vec<String>)>) -> Result<Outcome> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, _)| Field::new(*name, ArrowType::Utf8, false)).collect();
    let described: Arc<[Column]> =
        columns.iter().map(|(name, _)| Column::new(*name, DataType::Text)).collect();
    let arrays: Vec<ArrayRef> =
        columns.into_iter().map(|(_, values)| Arc::new(StringArray::from(values)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(Outcome::Rows(RowStream::ready(described, vec![batch], CommandTag::Select(0))))
}

fn execute_arguments(
    session: &mut Session,
    name: &str,
    arguments: &[Expr],
    types: &[DataType],
) -> Result<Vec<Value>> {
    if arguments.len() != types.len() {
        return Err(Error::new(
            ErrorKind::Syntax,
            format!("wrong number of parameters for prepared statement \"{name}\""),
        )
        .detail(format!("Expected {} parameters but got {}.", types.len(), arguments.len())));
    }
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let mut none = Vec::new();
    let mut values = Vec::with_capacity(types.len());
    for (argument, wanted) in arguments.iter().zip(types) {
        let compiled = RowExpression::compile(argument, &[], &names, &mut none)?;
        let value = compiled.evaluate(&[], &[], &info)?;
        values.push(match value {
            Value::Null => Value::Null,
            value => {
                cast(value.as_ref(), compiled.data_type(), wanted, CastKind::Explicit, &info.text_context())?
            }
        });
    }
    Ok(values)
}
