//! `read_parquet('/data/*.parquet')` and its kin in FROM.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::external::scan::ExternalTable;
use crate::external::source::Source;
use crate::external::{Format, location};
use crate::names::identifier;
use crate::session::SessionInfo;
use crate::statement::dialect::Grammar;

/// The format that a function in FROM reads.
pub(crate) fn format(name: &str) -> Option<Format> {
    [Format::Parquet, Format::Csv, Format::Json].into_iter().find(|format| format.function() == name)
}

/// `option => value` as the text that [`table`] takes.
pub(crate) fn option(name: &str, value: &ast::Expr) -> ast::Expr {
    let value = match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    };
    ast::Expr::Value(ast::Value::SingleQuotedString(format!("{name}={value}")).with_empty_span())
}

/// The table that a call means: a location, then options as `name=value`. `stored` says that the call is part of a
/// view's query, which was looked at when the view was made.
///
/// # Errors
/// 42501 for all but administrators; what [`Source::open`] says.
pub(crate) fn table(
    info: &Arc<SessionInfo>,
    format: Format,
    arguments: &[Expr],
    stored: bool,
) -> Result<Arc<dyn TableProvider>> {
    if !stored {
        location::require_administrator(info, "read files of the server")?;
    }
    let name = format.function();
    let mut texts = arguments.iter().map(|argument| match argument {
        Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) => Ok(text.as_str()),
        _ => Err(Error::new(
            ErrorKind::InvalidParameterValue,
            format!("{name} takes a location, which is a text"),
        )
        .hint(format!("For example {name}('/data/files/*')."))),
    });
    let place = texts.next().unwrap_or_else(|| {
        Err(Error::new(ErrorKind::UndefinedFunction, format!("{name} takes a location"))
            .hint(format!("For example {name}('/data/files/*').")))
    })?;
    let (mut options, mut columns) = (Vec::new(), None);
    for text in texts {
        match text?.split_once('=') {
            Some(("columns", list)) => columns = Some(declared(list)?),
            Some((option, value)) => options.push((option.to_ascii_lowercase(), value.to_owned())),
            None => {
                let message = format!("{name} takes one location and options");
                return Err(Error::new(ErrorKind::InvalidParameterValue, message)
                    .hint("Options have names: delimiter => ';'."));
            }
        }
    }
    let vfs = info.shared.engine.vfs();
    let source = Source::open(vfs, format, place, &options, columns, info.text_context())?;
    Ok(Arc::new(ExternalTable::new(source)))
}

/// Columns as CREATE TABLE has them: `a text, b numeric(10, 2)`.
///
/// # Errors
/// 42601 for other text; types that do not exist.
pub(crate) fn declared(list: &str) -> Result<Vec<(String, DataType)>> {
    let wrong = |message: String| {
        Error::new(ErrorKind::Syntax, format!("columns: {message}"))
            .hint("For example 'a text, b numeric(10, 2)'.")
    };
    let text = format!("({list})");
    let grammar = Grammar::new();
    let mut parser = Parser::new(&grammar).try_with_sql(&text).map_err(|error| wrong(error.to_string()))?;
    let (columns, constraints) = parser.parse_columns().map_err(|error| wrong(error.to_string()))?;
    if !constraints.is_empty()
        || parser.peek_token().token != datafusion::sql::sqlparser::tokenizer::Token::EOF
    {
        return Err(wrong("only names and types are taken".into()));
    }
    let mut found: Vec<(String, DataType)> = Vec::with_capacity(columns.len());
    for column in columns {
        let name = identifier(&column.name);
        if !column.options.is_empty() {
            return Err(wrong(format!("column \"{name}\": only a name and a type are taken")));
        }
        if found.iter().any(|(known, _)| *known == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(Error::new(ErrorKind::DuplicateColumn, message));
        }
        found.push((name, crate::types::data_type(&column.data_type)?));
    }
    if found.is_empty() {
        return Err(wrong("there are none".into()));
    }
    Ok(found)
}
