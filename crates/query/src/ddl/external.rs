//! CREATE EXTERNAL TABLE.
//!
//! An external table is a view of a function that reads its files. Its columns are in the function's call, so they
//! stay what they were when it was made, and files that have others are refused when they are read.

use datafusion::sql::sqlparser::ast::{self, Ident};
use luma_catalog::External;
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{done, view};
use crate::external::{Format, location};
use crate::names::{Scope, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;
use crate::statement::external::{CreateExternal, ExternalStatement};

/// Runs a statement about external tables.
pub(crate) async fn statement(session: &mut Session, statement: &ExternalStatement) -> Result<Outcome> {
    match statement {
        ExternalStatement::Create(statement) => create(session, statement).await,
        ExternalStatement::Server(tag) => Ok(done(tag)),
    }
}

/// Runs CREATE EXTERNAL TABLE.
async fn create(session: &mut Session, create: &CreateExternal) -> Result<Outcome> {
    let info = session.new_info();
    location::require_administrator(&info, "create external tables")?;
    let format = Format::of(&create.format)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let name = qualified(&create.name)?;
    let schema = scope.creation_schema(&name)?.oid;
    if create.if_not_exists && catalog.relation(schema, &name.name).is_some() {
        let message = format!("relation \"{}\" already exists, skipping", name.name);
        session.notice(Severity::Notice, Error::new(ErrorKind::DuplicateTable, message));
        return Ok(done("CREATE EXTERNAL TABLE"));
    }
    let declared = if create.columns.is_empty() {
        let columns = crate::external::columns(&info, format, &create.location, &create.options)?;
        let spelled = |(name, data_type): &(String, luma_model::DataType)| {
            format!("{} {}", Ident::with_quote('"', name.as_str()), data_type.sql_name())
        };
        columns.iter().map(spelled).collect::<Vec<_>>()
    } else {
        create.columns.iter().map(ToString::to_string).collect()
    };
    let mut arguments =
        vec![literal(&create.location), format!("columns => {}", literal(&declared.join(", ")))];
    for (option, value) in &create.options {
        arguments.push(format!("{} => {}", Ident::with_quote('"', option.as_str()), literal(value)));
    }
    let text = format!(
        "CREATE VIEW {} AS SELECT * FROM {}({})",
        create.name,
        format.function(),
        arguments.join(", ")
    );
    let mut statements = crate::statement::parse(&text)?;
    let Some(crate::statement::Body::Sql(statement)) = statements.pop().map(|statement| statement.body)
    else {
        return Err(Error::internal("an external table made no view"));
    };
    let ast::Statement::CreateView(made) = *statement else {
        return Err(Error::internal("an external table made no view"));
    };
    let external = External {
        format: create.format.to_ascii_lowercase(),
        location: create.location.clone(),
        options: create.options.clone(),
    };
    view::create_as(session, &made, Some(external)).await?;
    Ok(done("CREATE EXTERNAL TABLE"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
