//! Name resolution for DataFusion: the session's catalog as its planner wants to see it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::datatypes::{DataType as ArrowType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::{DFSchema, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use lightning::TransactionReader;
use luma_catalog::{Oid, Relation, Snapshot, Table, View};
use luma_model::arrow::field;
use luma_model::{DataType, Error, ErrorKind, Result};
use parking_lot::Mutex;

use crate::database::Shared;
use crate::dml::written::{self, Written};
use crate::error::{from_datafusion, to_datafusion};
use crate::external;
use crate::functions::missing::Missing;
use crate::names::{QualifiedName, Scope};
use crate::plan::columnar::ColumnTable;
use crate::plan::provider::RowTable;
use crate::plan::{
    collation, function_alias, nesting, partial_alias, rewrite, set_all, shadowed, starred, user_type, using,
    whole_row,
};
use crate::session::SessionInfo;

/// Deepest nesting of views.
const VIEW_DEPTH_MAX: usize = 64;

/// A relation that is not in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Only the session has it.
    Session(String),
    /// A metric, whose columns are the labels that there are at the time.
    Metric(String),
}

/// What one statement's names mean.
pub(crate) struct Names<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) state: &'a SessionState,
    pub(crate) info: &'a Arc<SessionInfo>,
    pub(crate) catalog: &'a Arc<Snapshot>,
    pub(crate) search_path: &'a [String],
    /// What the statement sees of the data.
    pub(crate) reader: TransactionReader,
    /// A table whose rows' keys and images the statement wants too (UPDATE, DELETE), with the views that it goes through,
    /// and relations that stand for others (the rows a RETURNING clause is about).
    pub(crate) target: Option<Written>,
    pub(crate) replaced: HashMap<Oid, Arc<dyn TableSource>>,
    /// Tables and views the statement reads.
    pub(crate) used: Mutex<Vec<Oid>>,
    /// What it reads that is not in the catalog.
    pub(crate) passing: Mutex<Vec<Passing>>,
    /// The types of `$1`, `$2`, … that are known before planning.
    pub(crate) parameters: Vec<Option<DataType>>,
    view_depth: usize,
    /// How many FROM items are being planned for their columns' names, one inside of the other.
    pub(super) describing: AtomicUsize,
}

impl<'a> Names<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        state: &'a SessionState,
        info: &'a Arc<SessionInfo>,
        catalog: &'a Arc<Snapshot>,
        search_path: &'a [String],
        reader: TransactionReader,
    ) -> Self {
        Self {
            shared,
            state,
            info,
            catalog,
            search_path,
            reader,
            target: None,
            replaced: HashMap::new(),
            used: Mutex::default(),
            passing: Mutex::default(),
            parameters: Vec::new(),
            view_depth: 0,
            describing: AtomicUsize::new(0),
        }
    }

    /// Plans a query.
    pub(crate) fn plan(&self, query: ast::Query) -> Result<LogicalPlan> {
        self.plan_statement(ast::Statement::Query(Box::new(query)))
    }

    /// Plans a statement that only reads.
    pub(crate) fn plan_statement(&self, mut statement: ast::Statement) -> Result<LogicalPlan> {
        nesting::check(&statement)?;
        function_alias::rewrite(&mut statement);
        partial_alias::rewrite(self, &mut statement);
        set_all::rewrite(self, &mut statement)?;
        using::rewrite(self, &mut statement)?;
        whole_row::rewrite(self, &mut statement)?;
        shadowed::rewrite(self, &mut statement);
        starred::rewrite(self, &mut statement);
        rewrite::statement(&mut statement)?;
        self.resolve_types(&mut statement)?;
        SqlToRel::new_with_options(self, self.parser_options())
            .sql_statement_to_plan_with_context(statement, &mut self.planner_context())
            .map_err(from_datafusion)
    }

    fn planner_context(&self) -> PlannerContext {
        let fields = self.parameters.iter().map(|known| Some(Arc::new(field("", known.as_ref()?, true))));
        PlannerContext::new().with_prepare_param_data_types(fields.collect())
    }

    /// Plans an expression over the columns of `schema`.
    pub(crate) fn plan_expression(&self, mut expression: ast::Expr, schema: &DFSchema) -> Result<Expr> {
        rewrite::expression(&mut expression)?;
        self.resolve_types(&mut expression)?;
        SqlToRel::new_with_options(self, self.parser_options())
            .sql_to_expr(expression, schema, &mut self.planner_context())
            .map_err(from_datafusion)
    }

    /// Gives casts to types that users made their meaning.
    pub(crate) fn resolve_types(&self, node: &mut impl ast::VisitMut) -> Result<()> {
        collation::resolve(self.scope(), node)?;
        let named = user_type::resolve(self.scope(), node)?;
        self.used.lock().extend(named);
        Ok(())
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { catalog: self.catalog, search_path: self.search_path }
    }

    fn parser_options(&self) -> ParserOptions {
        ParserOptions::from(&self.state.config_options().sql_parser)
    }

    /// A table as the statement sees it.
    pub(crate) fn table_source(&self, table: &Arc<Table>) -> PlanResult<Arc<dyn TableSource>> {
        let open = self.shared.open_table(table).map_err(to_datafusion)?;
        let with_system = self.target.as_ref().is_some_and(|target| target.table.oid == table.oid);
        let reader = self.reader.clone();
        let Some(files) = &open.files else {
            let provider = RowTable::new(open, reader, self.info, with_system);
            return Ok(provider_as_source(Arc::new(provider)));
        };
        let provider = files
            .views(&reader)
            .and_then(|views| ColumnTable::new(Arc::clone(&open), reader, views, with_system));
        Ok(provider_as_source(Arc::new(provider.map_err(to_datafusion)?)))
    }

    fn view(&self, view: &View) -> Result<Arc<dyn TableSource>> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return Err(Error::new(ErrorKind::StatementTooComplex, "views are nested too deeply"));
        }
        let search_path = written::search_path(&self.scope(), view);
        let mut names = self.inside(&search_path);
        let with_keys = self.target.as_ref().and_then(|target| target.query_with_keys(view.oid));
        let plan = match with_keys {
            Some(query) => {
                names.target.clone_from(&self.target);
                names.plan(query)?
            }
            None => rename(names.plan(parse_query(&view.query)?)?, &view.columns)?,
        };
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(view.query.clone())))))
    }

    /// What names mean in a view's query.
    pub(crate) fn inside<'v>(&'v self, search_path: &'v [String]) -> Names<'v> {
        Names {
            search_path,
            target: None,
            replaced: self.replaced.clone(),
            used: Mutex::default(),
            passing: Mutex::default(),
            parameters: Vec::new(),
            view_depth: self.view_depth + 1,
            describing: AtomicUsize::new(self.describing.load(Ordering::Relaxed)),
            reader: self.reader.clone(),
            ..*self
        }
    }
}

/// Gives the plan's columns a view's names.
fn rename(plan: LogicalPlan, columns: &[(String, luma_model::DataType)]) -> Result<LogicalPlan> {
    use datafusion::logical_expr::LogicalPlanBuilder;
    let expressions: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, (name, _))| Expr::Column(column).alias(name.clone()))
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(expressions)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)
}

/// The query of a stored view.
pub(crate) fn parse_query(text: &str) -> Result<ast::Query> {
    let mut statements = crate::statement::parse(text)?;
    match statements.pop().map(|statement| statement.body) {
        Some(crate::statement::Body::Sql(statement)) => match *statement {
            ast::Statement::Query(query) => Ok(*query),
            _ => Err(Error::new(ErrorKind::DataCorrupted, "a stored view is not a query")),
        },
        _ => Err(Error::new(ErrorKind::DataCorrupted, "a stored view is not a query")),
    }
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, reference: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        let name = QualifiedName {
            schema: reference.schema().map(str::to_owned),
            name: reference.table().to_owned(),
        };
        if name.schema.is_none()
            && self.view_depth == 0
            && let Some(source) = self.info.relations.get(&name.name)
        {
            self.passing.lock().push(Passing::Session(name.name));
            return Ok(Arc::clone(source));
        }
        if let Some(system) = crate::pg_catalog::table(&name, self) {
            return system.map(provider_as_source).map_err(to_datafusion);
        }
        if self.scope().find(&name).is_none()
            && let Some(store) = self.shared.metrics()
            && let Some(metric) = crate::metrics::provider(&name, store)
        {
            self.passing.lock().push(Passing::Metric(name.name));
            return Ok(provider_as_source(metric));
        }
        let relation = self.scope().relation(&name).map_err(to_datafusion)?;
        self.used.lock().push(relation.oid());
        if let Some(source) = self.replaced.get(&relation.oid()) {
            return Ok(Arc::clone(source));
        }
        match relation {
            Relation::Table(table) => self.table_source(table),
            Relation::View(view) => self.view(view).map_err(to_datafusion),
            Relation::Sequence(sequence) => {
                let table = crate::pg_catalog::sequence(sequence, self).map_err(to_datafusion)?;
                Ok(provider_as_source(table))
            }
            Relation::Index(..) => Err(to_datafusion(Error::new(
                ErrorKind::WrongObjectType,
                format!("\"{}\" is an index", name.name),
            ))),
        }
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> PlanResult<Arc<dyn TableSource>> {
        if let Some(format) = external::function::format(name) {
            let provider = external::function::table(self.info, format, &args, self.view_depth > 0);
            return Ok(provider_as_source(provider.map_err(to_datafusion)?));
        }
        let function = self.state.table_functions().get(name).ok_or_else(|| {
            to_datafusion(Error::new(
                ErrorKind::UndefinedFunction,
                format!("table function {name} does not exist"),
            ))
        })?;
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|arg| simplifier.simplify(arg)))
            .collect::<PlanResult<Vec<_>>>()?;
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> PlanResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::plan::typing::PostgresTypePlanner))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let known = self.state.scalar_functions().get(name).cloned();
        // DataFusion asks for scalar functions first.
        let elsewhere = || {
            name == "unnest"
                || self.get_aggregate_meta(name).is_some()
                || self.get_window_meta(name).is_some()
                || self.get_higher_order_meta(name).is_some()
        };
        known.or_else(|| (!elsewhere()).then(|| Arc::new(ScalarUDF::new_from_impl(Missing::new(name)))))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<ArrowType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
