//! Prepared statements: analysed once, run many times.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use luma_model::{DataType, Error, ErrorKind, Result};
use parking_lot::RwLock;

use crate::fast::compile::{self, Context, PointDelete, PointSelect, PointUpdate};
use crate::fast::range::{self, RangeSelect};
use crate::names::Scope;
use crate::outcome::Column;
use crate::plan::kept::KeptPlan;
use crate::session::Session;
use crate::statement::{Body, Statement};

/// Most parameters of a statement, as the protocol has it.
pub(crate) const PARAMETERS_MAX: usize = 65535;

/// How a statement runs.
#[derive(Debug)]
pub(crate) enum Plan {
    /// One row by its key.
    PointSelect(PointSelect),
    /// Rows next to each other by a key.
    RangeSelect(RangeSelect),
    /// One row by its key.
    PointUpdate(PointUpdate),
    /// One row by its key.
    PointDelete(PointDelete),
    /// Rows of values.
    Insert(crate::dml::insert::InsertPlan),
    /// Everything else: optimised when it runs.
    Other,
}

/// A statement ready to run.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) statement: Statement,
    parameter_types: Vec<DataType>,
    columns: Option<Arc<[Column]>>,
    /// What is counted of its runs.
    pub(crate) statistics: Arc<crate::statements::Entry>,
    /// The plan, the catalog version and the search path it was made for.
    plan: RwLock<(Arc<Plan>, u64, Vec<String>)>,
    /// What a query that is not one of the fast path was planned as last.
    kept: RwLock<Option<Arc<KeptPlan>>>,
}

impl Prepared {
    /// Types of `$1`, `$2`, …
    pub fn parameter_types(&self) -> &[DataType] {
        &self.parameter_types
    }

    /// What its rows are; `None` when it gives no rows.
    pub fn columns(&self) -> Option<&Arc<[Column]>> {
        self.columns.as_ref()
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.statement.text
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().0)
    }

    /// The logical plan of the last execution, if it is still what the statement means.
    pub(crate) fn kept_plan(&self, session: &Session) -> Option<Arc<KeptPlan>> {
        self.kept.read().as_ref().filter(|kept| kept.holds(session)).map(Arc::clone)
    }

    /// Keeps a logical plan for the next execution, if it can be kept.
    pub(crate) fn keep_plan(&self, session: &Session, plan: &LogicalPlan) {
        *self.kept.write() = KeptPlan::of(plan, session).map(Arc::new);
    }

    /// Whether the plan fits the catalog and names as the session sees them.
    pub(crate) fn is_current(&self, session: &Session) -> bool {
        let plan = self.plan.read();
        plan.1 == session.catalog_version() && plan.2 == session.search_path()
    }

    /// The plan, made anew if the catalog changed.
    pub(crate) fn current_plan(&self, session: &Session) -> Result<Arc<Plan>> {
        if self.is_current(session) {
            return Ok(self.plan());
        }
        let mut parameters: Vec<Option<DataType>> = self.parameter_types.iter().cloned().map(Some).collect();
        let plan = Arc::new(plan(session, &self.statement, &mut parameters)?);
        let given = match &*plan {
            Plan::PointSelect(select) => Some(&select.columns),
            Plan::RangeSelect(select) => Some(&select.columns),
            _ => None,
        };
        if let (Some(given), Some(promised)) = (given, &self.columns)
            && promised != given
        {
            return Err(changed_result());
        }
        *self.plan.write() = (Arc::clone(&plan), session.catalog_version(), session.search_path().to_vec());
        Ok(plan)
    }

    /// Refuses rows of other columns than were promised.
    pub(crate) fn check_columns(&self, now: &[Column]) -> Result<()> {
        let same = self.columns.as_ref().is_some_and(|then| {
            then.len() == now.len()
                && then
                    .iter()
                    .zip(now)
                    .all(|(then, now)| then.data_type == now.data_type && then.name == now.name)
        });
        if same { Ok(()) } else { Err(changed_result()) }
    }
}

fn changed_result() -> Error {
    Error::new(ErrorKind::FeatureNotSupported, "cached plan must not change result type")
        .hint("Prepare the statement again.")
}

/// Compiles what the fast path takes.
fn plan(session: &Session, statement: &Statement, parameters: &mut Vec<Option<DataType>>) -> Result<Plan> {
    let Body::Sql(body) = &statement.body else { return Ok(Plan::Other) };
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let mut context = Context { shared: &session.shared, scope, parameters };
    let given = context.parameters.clone();
    let fast = match body.as_ref() {
        ast::Statement::Query(query) => match compile::select(query, &mut context)? {
            Some(point) => Some(Plan::PointSelect(point)),
            None => {
                context.parameters.clone_from(&given);
                range::select(query, &mut context)?.map(Plan::RangeSelect)
            }
        },
        ast::Statement::Update(update) => compile::update(update, &mut context)?.map(Plan::PointUpdate),
        ast::Statement::Delete(delete) => compile::delete(delete, &mut context)?.map(Plan::PointDelete),
        ast::Statement::Insert(insert) => {
            crate::dml::insert::compile(insert, &mut context)?.map(Plan::Insert)
        }
        _ => None,
    };
    Ok(fast.unwrap_or_else(|| {
        *parameters = given;
        Plan::Other
    }))
}

/// How a statement runs and the columns it gives.
fn analyse(
    session: &mut Session,
    statement: &Statement,
    parameters: &mut Vec<Option<DataType>>,
) -> Result<(Plan, Option<Arc<[Column]>>)> {
    let plan = plan(session, statement, parameters)?;
    let columns = match &plan {
        Plan::PointSelect(select) => Some(Arc::clone(&select.columns)),
        Plan::RangeSelect(select) => Some(Arc::clone(&select.columns)),
        Plan::PointUpdate(_) | Plan::PointDelete(_) | Plan::Insert(_) => None,
        Plan::Other => crate::execute::describe(session, statement, parameters)?,
    };
    Ok((plan, columns))
}

/// Analyses a statement.
pub(crate) fn prepare(
    session: &mut Session,
    statement: Statement,
    parameter_types: &[Option<DataType>],
) -> Result<Prepared> {
    let mut parameters = parameter_types.to_vec();
    let failed = session.transaction.as_ref().is_some_and(|transaction| transaction.failed);
    if failed && !crate::execute::ends_transaction(&statement) {
        return Err(crate::session::failed_transaction());
    }
    let (plan, columns) = analyse(session, &statement, &mut parameters)
        .map_err(|error| crate::statement::locate(error, &statement))?;
    if parameters.len() > PARAMETERS_MAX {
        return Err(Error::new(ErrorKind::ProgramLimit, "a statement can't have more than 65535 parameters"));
    }
    let parameter_types = parameters.into_iter().map(|known| known.unwrap_or(DataType::Text)).collect();
    let version = session.catalog_version();
    let search_path = session.search_path().to_vec();
    let statistics = session.shared.statements.entry(&session.user, &statement.text);
    Ok(Prepared {
        statement,
        statistics,
        parameter_types,
        columns,
        plan: RwLock::new((Arc::new(plan), version, search_path)),
        kept: RwLock::default(),
    })
}
