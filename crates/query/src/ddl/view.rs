//! CREATE VIEW.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use luma_catalog::{CheckOption, External, Object, Relation, View};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{done, lock_catalog, put};
use crate::dml::written::Written;
use crate::execute;
use crate::names::{Scope, identifier, qualified};
use crate::outcome::Outcome;
use crate::plan::context::{Names, Passing};
use crate::session::Session;

/// Runs CREATE VIEW.
pub(crate) async fn create(session: &mut Session, create: &ast::CreateView) -> Result<Outcome> {
    create_as(session, create, None).await
}

/// Makes a view, or an external table, which is one of files.
pub(crate) async fn create_as(
    session: &mut Session,
    create: &ast::CreateView,
    external: Option<External>,
) -> Result<Outcome> {
    if create.temporary {
        return Err(Error::new(ErrorKind::FeatureNotSupported, "temporary views are not supported"));
    }
    lock_catalog(session).await?;
    let name = qualified(&create.name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let schema = scope.creation_schema(&name)?.oid;
    let replaced = match catalog.relation(schema, &name.name) {
        Some(Relation::View(view)) if create.or_replace && view.external.is_none() => Some(view.clone()),
        Some(_) => {
            let message = format!("relation \"{}\" already exists", name.name);
            return Err(Error::new(ErrorKind::DuplicateTable, message));
        }
        None => None,
    };
    let info = session.new_info();
    let state = execute::state_for(&info.shared, &info);
    let reader = session.active()?.engine.reader();
    let names = Names::new(&info.shared, &state, &info, &info.catalog, &info.search_path, reader);
    let plan = names.plan(create.query.as_ref().clone())?;
    check_lasting(&names, &create.query)?;
    let depends_on = names.used.lock().clone();
    crate::temporary::refuse_permanent(&info.catalog, schema, &depends_on)?;
    let planned = execute::output_columns(&state, &plan)?;
    if create.columns.len() > planned.len() {
        return Err(Error::new(ErrorKind::Syntax, "CREATE VIEW specifies more column names than columns"));
    }
    let mut columns = Vec::with_capacity(planned.len());
    for (place, column) in planned.into_iter().enumerate() {
        let name = create.columns.get(place).map_or(column.name, |given| identifier(&given.name));
        if columns.iter().any(|(known, _)| *known == name) {
            return Err(Error::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        columns.push((name, column.data_type));
    }
    if let Some(old) = &replaced {
        let kept = columns.iter().zip(&old.columns).all(|(new, old)| new == old);
        if columns.len() < old.columns.len() || !kept {
            return Err(Error::new(
                ErrorKind::InvalidTableDefinition,
                "cannot change names or types of a view's columns",
            )
            .hint("Drop the view and create it again."));
        }
        if depends_on.contains(&old.oid) {
            return Err(Error::new(
                ErrorKind::InvalidTableDefinition,
                format!("view \"{}\" would read itself", old.name),
            ));
        }
    }
    let oid = replaced.map_or_else(|| session.shared.catalog.allocate_oid(), |old| old.oid);
    let view = View {
        oid,
        schema,
        name: name.name,
        owner: 10,
        query: create.query.to_string(),
        columns,
        depends_on,
        comment: None,
        external,
        check_option: check_option(&create.options)?,
    };
    if view.check_option.is_some()
        && let Err(reason) = Written::of_view(&info.scope(), &Arc::new(view.clone()), 0)
    {
        let message = "WITH CHECK OPTION is supported only on automatically updatable views";
        return Err(Error::new(ErrorKind::FeatureNotSupported, message).hint(reason));
    }
    put(session, Object::View(view))?;
    Ok(done("CREATE VIEW"))
}

/// What a view's options say of rows that are written through it. The others change nothing here: a view is read with the
/// rights of who reads it, as roles may do everything.
fn check_option(options: &ast::CreateTableOptions) -> Result<Option<CheckOption>> {
    let mut found = None;
    let options = match options {
        ast::CreateTableOptions::With(options) | ast::CreateTableOptions::Plain(options) => {
            options.as_slice()
        }
        _ => &[],
    };
    for option in options {
        let (name, value) = match option {
            ast::SqlOption::Ident(name) => (identifier(name), String::new()),
            ast::SqlOption::KeyValue { key, value } => (identifier(key), value.to_string()),
            _ => (option.to_string(), String::new()),
        };
        let value = value.trim_matches(['\'', '"']).to_lowercase();
        match (name.as_str(), value.as_str()) {
            ("check_option", "local") => found = Some(CheckOption::Local),
            ("check_option", "cascaded") => found = Some(CheckOption::Cascaded),
            ("check_option", _) => {
                let message = format!("invalid value for enum option \"check_option\": {value}");
                return Err(Error::new(ErrorKind::InvalidParameterValue, message)
                    .detail("Valid values are \"local\" and \"cascaded\"."));
            }
            ("security_barrier" | "security_invoker", _) => {}
            _ => {
                let message = format!("unrecognized parameter \"{name}\"");
                return Err(Error::new(ErrorKind::InvalidParameterValue, message));
            }
        }
    }
    Ok(found)
}

/// Refuses a query to be stored whose relations or columns may be others when it is read.
pub(crate) fn check_lasting(names: &Names<'_>, query: &ast::Query) -> Result<()> {
    let refused = |message: String| Error::new(ErrorKind::FeatureNotSupported, message);
    for passing in names.passing.lock().iter() {
        match passing {
            Passing::Session(name) => {
                let message = format!("a view cannot read \"{name}\", which only this session has");
                return Err(refused(message).hint("Make a table of it."));
            }
            Passing::Metric(name) if has_wildcard(query) => {
                let message = format!("a view of the metric \"{name}\" must name its columns");
                return Err(refused(message).hint("Labels come and go, and with them what * stands for."));
            }
            Passing::Metric(_) => {}
        }
    }
    Ok(())
}

fn has_wildcard(query: &ast::Query) -> bool {
    struct Wildcards;
    impl ast::Visitor for Wildcards {
        type Break = ();
        fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
            let all = |item: &ast::SelectItem| {
                matches!(item, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..))
            };
            if select.projection.iter().any(all) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    ast::Visit::visit(query, &mut Wildcards).is_break()
}
