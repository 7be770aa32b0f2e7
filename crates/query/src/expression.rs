//! Expressions over one row: defaults, CHECK conditions, ON CONFLICT, RETURNING.
//!
//! What the fast evaluator knows it evaluates; the rest is planned by DataFusion once and run on
//! batches of one row.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use luma_catalog::{Column as TableColumn, Index, Oid, Table};
use luma_model::arrow::{CellReader, ColumnBuilder, data_type};
use luma_model::{CastKind, DataType, Error, ErrorKind, Result, Value, ValueRef, cast};
use luma_rows::{Expressions, OpenTable};

use crate::error::{from_datafusion, to_datafusion};
use crate::fast::scalar::{Compiler, Environment, Rows, Typed, assignable, not_assignable};
use crate::functions::collation::column_field;
use crate::functions::domain::{broken, null_refused};
use crate::plan::access::PlannedIndex;
use crate::plan::context::Names;
use crate::plan::run::scalar;
use crate::plan::subject::{conjuncts, unqualified};
use crate::plan::typing::type_expression;
use crate::plan::user_type;
use crate::session::SessionInfo;
use crate::statement::user_type::over_value;

/// A table under a name, as an expression sees it.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) table: &'a Table,
}

/// An expression over the rows of some sources.
#[derive(Clone, Debug)]
pub(crate) enum RowExpression {
    Native(Typed),
    Planned(Arc<Planned>),
}

/// What DataFusion evaluates.
#[derive(Debug)]
pub(crate) struct Planned {
    /// With parameters still open.
    expr: Expr,
    schema: DFSchema,
    arrow: SchemaRef,
    /// Source, ordinal and type of each column of the schema.
    columns: Vec<(usize, usize, DataType)>,
    data_type: DataType,
    parameters: Vec<DataType>,
}

impl RowExpression {
    /// Compiles an expression over `sources`, natively where that is possible.
    pub(crate) fn compile(
        expr: &ast::Expr,
        sources: &[Source<'_>],
        names: &Names<'_>,
        parameters: &mut Vec<Option<DataType>>,
    ) -> Result<Self> {
        let resolve = |qualifier: Option<&str>, name: &str| {
            let mut found = None;
            for (place, source) in sources.iter().enumerate() {
                if qualifier.is_some_and(|qualifier| qualifier != source.name) {
                    continue;
                }
                if let Some(column) = source.table.column(name) {
                    if qualifier.is_none() && found.is_some() {
                        // The first source is the statement's own row; `excluded` needs its name.
                        break;
                    }
                    if column.collation.is_some() {
                        // The fast evaluator compares bytes.
                        return None;
                    }
                    found = Some((place, usize::from(column.number) - 1, column.data_type.clone()));
                }
            }
            found
        };
        let mut resolved = std::borrow::Cow::Borrowed(expr);
        if names.catalog.types().next().is_some() {
            names.resolve_types(resolved.to_mut())?;
        }
        let expr = resolved.as_ref();
        let mut compiler = Compiler { resolve: &resolve, parameters };
        if let Some(typed) = compiler.compile(expr)? {
            return Ok(Self::Native(typed));
        }
        Planned::new(expr, sources, names, parameters).map(|planned| Self::Planned(Arc::new(planned)))
    }

    pub(crate) fn data_type(&self) -> &DataType {
        match self {
            Self::Native(typed) => &typed.data_type,
            Self::Planned(planned) => &planned.data_type,
        }
    }

    /// Makes it of a column's type, as an assignment does.
    pub(crate) fn assign(
        self,
        column: &TableColumn,
        parameters: &mut Vec<Option<DataType>>,
    ) -> Result<Assigned> {
        match self {
            Self::Native(typed) => {
                let nothing = |_: Option<&str>, _: &str| None;
                let mut compiler = Compiler { resolve: &nothing, parameters };
                let typed = compiler.assign(typed, &column.name, &column.data_type)?;
                Ok(Assigned { expression: Self::Native(typed), cast: None })
            }
            Self::Planned(planned) => {
                if !assignable(&planned.data_type, &column.data_type) {
                    return Err(not_assignable(&column.name, &planned.data_type, &column.data_type));
                }
                let cast = Some((planned.data_type.clone(), column.data_type.clone()));
                Ok(Assigned { expression: Self::Planned(planned), cast })
            }
        }
    }

    /// The value over one row per source.
    pub(crate) fn evaluate(
        &self,
        rows: &[&[ValueRef<'_>]],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<Value> {
        match self {
            Self::Native(typed) => typed.evaluate(&Environment { parameters, columns: &Rows(rows), info }),
            Self::Planned(planned) => planned.evaluate(rows, parameters, info),
        }
    }
}

/// An expression whose value fits a column.
#[derive(Clone, Debug)]
pub(crate) struct Assigned {
    expression: RowExpression,
    cast: Option<(DataType, DataType)>,
}

impl Assigned {
    pub(crate) fn evaluate(
        &self,
        rows: &[&[ValueRef<'_>]],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<Value> {
        let value = self.expression.evaluate(rows, parameters, info)?;
        match &self.cast {
            Some((from, to)) if !matches!(value, Value::Null) => {
                cast(value.as_ref(), from, to, CastKind::Assignment, &info.text_context())
            }
            _ => Ok(value),
        }
    }
}

impl Planned {
    fn new(
        expr: &ast::Expr,
        sources: &[Source<'_>],
        names: &Names<'_>,
        parameters: &[Option<DataType>],
    ) -> Result<Self> {
        let mut schema = DFSchema::empty();
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for (place, source) in sources.iter().enumerate() {
            let own: Vec<Field> =
                source.table.live_columns().map(|column| column_field(column, true)).collect();
            for column in source.table.live_columns() {
                columns.push((place, usize::from(column.number) - 1, column.data_type.clone()));
            }
            fields.extend(own.iter().cloned());
            let qualified =
                DFSchema::try_from_qualified_schema(TableReference::bare(source.name), &Schema::new(own))
                    .map_err(from_datafusion)?;
            schema = if place == 0 { qualified } else { schema.join(&qualified).map_err(from_datafusion)? };
        }
        let planned = names.plan_expression(expr.clone(), &schema)?;
        let planned = type_expression(planned, &schema).map_err(from_datafusion)?.data;
        let data_type = crate::plan::typing::logical_type(&planned, &schema).unwrap_or(DataType::Text);
        let parameters = parameters.iter().map(|known| known.clone().unwrap_or(DataType::Text)).collect();
        Ok(Self {
            expr: planned,
            schema,
            arrow: Arc::new(Schema::new(fields)),
            columns,
            data_type,
            parameters,
        })
    }

    fn evaluate(
        &self,
        rows: &[&[ValueRef<'_>]],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<Value> {
        let bound = self.bind(parameters)?;
        let state = crate::execute::state_for(&info.shared, info);
        let physical: Arc<dyn PhysicalExpr> =
            state.create_physical_expr(bound, &self.schema).map_err(from_datafusion)?;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (source, ordinal, column) in &self.columns {
            let mut builder = ColumnBuilder::new(column, 1);
            match rows[*source][*ordinal] {
                ValueRef::Null => builder.append_null(),
                value => builder.append(value)?,
            }
            arrays.push(builder.finish());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let output =
            physical.evaluate(&batch).and_then(|value| value.into_array(1)).map_err(from_datafusion)?;
        let produced = physical.return_field(&self.arrow).map_err(from_datafusion)?;
        let given = data_type(&produced)?;
        let reader = CellReader::new(output.as_ref(), &given)?;
        Ok(reader.get(0)?.to_owned())
    }

    fn bind(&self, parameters: &[Value]) -> Result<Expr> {
        self.expr
            .clone()
            .transform(|expr| match &expr {
                Expr::Placeholder(placeholder) => {
                    let place = placeholder.id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
                    let known = place
                        .checked_sub(1)
                        .and_then(|at| Some((parameters.get(at)?, self.parameters.get(at)?)));
                    let Some((value, wanted)) = known else {
                        return Err(to_datafusion(Error::new(
                            ErrorKind::UndefinedParameter,
                            format!("there is no parameter {}", placeholder.id),
                        )));
                    };
                    let literal = scalar(value, wanted).map_err(to_datafusion)?;
                    Ok(Transformed::yes(Expr::Literal(literal, None)))
                }
                _ => Ok(Transformed::no(expr)),
            })
            .map(|done| done.data)
            .map_err(from_datafusion)
    }
}

/// Defaults and CHECK conditions of one definition of a table.
#[derive(Debug)]
pub(crate) struct TableExpressions {
    /// By ordinal.
    pub(crate) defaults: Vec<Option<Assigned>>,
    checks: Vec<(String, RowExpression)>,
    /// Of the columns that have one.
    domains: Vec<ColumnDomain>,
    /// Ordinals of generated columns and what they are computed from.
    generated: Vec<(usize, Assigned)>,
    /// Ordinals of times that are rounded, and to how many digits of a second.
    rounded: Vec<(usize, u8)>,
    /// Of indexes that are not plain, by their identifiers.
    indexes: Vec<(Oid, IndexExpressions)>,
    /// The same as a query's filters are planned, for the planner.
    planned: Vec<(Oid, PlannedIndex)>,
}

/// What a domain asks of a column's values.
#[derive(Debug)]
struct ColumnDomain {
    ordinal: usize,
    domain: String,
    not_null: bool,
    /// Names and conditions.
    checks: Vec<(String, RowExpression)>,
}

impl ColumnDomain {
    fn compile(column: &TableColumn, table: &Table, names: &Names<'_>) -> Result<Option<Self>> {
        let Some(made) = column.domain.and_then(|oid| names.catalog.type_by_oid(oid)) else {
            return Ok(None);
        };
        let value = ast::Expr::Identifier(ast::Ident::with_quote('"', &column.name));
        let source = Source { name: &table.name, table };
        let checks = user_type::conditions(names.catalog, made)?
            .into_iter()
            .map(|(name, condition)| {
                let condition = over_value(&condition, &value);
                Ok((name, RowExpression::compile(&condition, &[source], names, &mut Vec::new())?))
            })
            .collect::<Result<_>>()?;
        let not_null = user_type::refuses_null(names.catalog, made);
        Ok(Some(Self {
            ordinal: usize::from(column.number) - 1,
            domain: made.name.clone(),
            not_null,
            checks,
        }))
    }

    fn check(&self, values: &[ValueRef<'_>], info: &Arc<SessionInfo>) -> Result<()> {
        if self.not_null && values[self.ordinal].is_null() {
            return Err(null_refused(&self.domain));
        }
        for (name, condition) in &self.checks {
            if let Value::Bool(false) = condition.evaluate(&[values], &[], info)? {
                return Err(broken(&self.domain, name));
            }
        }
        Ok(())
    }
}

/// What an index asks of a row beside its columns.
#[derive(Debug)]
struct IndexExpressions {
    keys: Vec<RowExpression>,
    predicate: Option<RowExpression>,
}

impl TableExpressions {
    /// Of indexes that are not plain, what the planner compares filters with.
    pub(crate) fn planned_indexes(&self) -> &[(Oid, PlannedIndex)] {
        &self.planned
    }

    /// Whether a row is looked at or changed before it is written, beyond NOT NULL.
    pub(crate) fn looks_at_rows(&self) -> bool {
        !(self.checks.is_empty()
            && self.domains.is_empty()
            && self.generated.is_empty()
            && self.rounded.is_empty())
    }

    /// Computes and rounds what is not the user's to give; for every row before it is written.
    pub(crate) fn complete(&self, values: &mut [Value], info: &Arc<SessionInfo>) -> Result<()> {
        for (ordinal, digits) in &self.rounded {
            crate::functions::calendar::round_value(&mut values[*ordinal], *digits);
        }
        for (ordinal, expression) in &self.generated {
            let refs: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
            let computed = expression.evaluate(&[&refs], &[], info)?;
            values[*ordinal] = computed;
        }
        Ok(())
    }

    /// Whether the row satisfies the domains of its columns; the ordinal of the first that does not.
    pub(crate) fn check_domains(
        &self,
        values: &[ValueRef<'_>],
        info: &Arc<SessionInfo>,
    ) -> std::result::Result<(), (usize, Error)> {
        self.domains
            .iter()
            .try_for_each(|domain| domain.check(values, info).map_err(|error| (domain.ordinal, error)))
    }

    pub(crate) fn compile(table: &Table, names: &Names<'_>) -> Result<Self> {
        let mut parameters = Vec::new();
        let mut defaults = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let domain = column.domain.and_then(|oid| names.catalog.type_by_oid(oid));
            let default = column.default.as_deref();
            let default = default.or_else(|| user_type::default_of(names.catalog, domain?));
            defaults.push(match default {
                Some(text) if !column.dropped => {
                    let expr = parse_expression(text)?;
                    let compiled = RowExpression::compile(&expr, &[], names, &mut parameters)?;
                    Some(compiled.assign(column, &mut parameters)?)
                }
                _ => None,
            });
        }
        let source = Source { name: &table.name, table };
        let checks = table
            .checks
            .iter()
            .map(|check| {
                let expr = parse_expression(&check.expression)?;
                let compiled = RowExpression::compile(&expr, &[source], names, &mut parameters)?;
                Ok((check.name.clone(), compiled))
            })
            .collect::<Result<_>>()?;
        let mut generated = Vec::new();
        for column in table.live_columns() {
            if let Some(text) = &column.generated {
                let expr = parse_expression(text)?;
                let compiled = RowExpression::compile(&expr, &[source], names, &mut parameters)?;
                generated.push((usize::from(column.number) - 1, compiled.assign(column, &mut parameters)?));
            }
        }
        let rounded = table
            .live_columns()
            .filter_map(|column| Some((usize::from(column.number) - 1, column.precision?)))
            .collect();
        let (mut indexes, mut planned) = (Vec::new(), Vec::new());
        for index in table.indexes.iter().filter(|index| !index.is_plain()) {
            let mut compile = |text: &str| {
                RowExpression::compile(&parse_expression(text)?, &[source], names, &mut parameters)
            };
            let keys =
                index.expressions.iter().map(|part| compile(&part.expression)).collect::<Result<_>>()?;
            let predicate = index.predicate.as_deref().map(compile).transpose()?;
            indexes.push((index.oid, IndexExpressions { keys, predicate }));
            planned.push((index.oid, plan_index(index, table, names)?));
        }
        let domains = table.live_columns().map(|column| ColumnDomain::compile(column, table, names));
        let domains = domains.filter_map(Result::transpose).collect::<Result<_>>()?;
        Ok(Self { defaults, checks, domains, generated, rounded, indexes, planned })
    }
}

/// An index's texts as the optimizer leaves the same conditions of a query.
fn plan_index(index: &Index, table: &Table, names: &Names<'_>) -> Result<PlannedIndex> {
    let fields: Vec<Field> =
        table.live_columns().map(|column| column_field(column, !column.not_null)).collect();
    let schema =
        DFSchema::try_from_qualified_schema(TableReference::bare(table.name.as_str()), &Schema::new(fields))
            .map(Arc::new)
            .map_err(from_datafusion)?;
    let context = SimplifyContext::builder()
        .with_config_options(Arc::clone(names.state.config_options()))
        .with_schema(Arc::clone(&schema))
        .build();
    let simplifier = ExprSimplifier::new(context);
    let plan = |text: &str| -> Result<Expr> {
        let planned = names.plan_expression(parse_expression(text)?, &schema)?;
        let typed = type_expression(planned, &schema).map_err(from_datafusion)?.data;
        let simplified = simplifier.coerce(typed, &schema).and_then(|expr| simplifier.simplify(expr));
        simplified.map(unqualified).map_err(from_datafusion)
    };
    let keys = index
        .expressions
        .iter()
        .map(|part| Ok((plan(&part.expression)?, part.data_type.clone())))
        .collect::<Result<_>>()?;
    let mut predicate = Vec::new();
    if let Some(text) = &index.predicate {
        conjuncts(&plan(text)?, &mut predicate);
    }
    Ok(PlannedIndex { keys, predicate })
}

/// Parses an expression as it is stored in the catalog.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let dialect = crate::statement::dialect::Grammar::new();
    datafusion::sql::sqlparser::parser::Parser::new(&dialect)
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| Error::new(ErrorKind::Syntax, format!("expression \"{text}\": {error}")))
}

/// Evaluates a table's expressions for the row store.
pub(crate) struct Evaluator {
    pub(crate) info: Arc<SessionInfo>,
}

impl Evaluator {
    /// The value a column gets when none is given.
    pub(crate) fn default_of(&self, expressions: &TableExpressions, ordinal: usize) -> Result<Value> {
        match &expressions.defaults[ordinal] {
            Some(default) => default.evaluate(&[], &[], &self.info),
            None => Ok(Value::Null),
        }
    }
}

impl Expressions for Evaluator {
    fn check_row(&self, table: &OpenTable, values: &[ValueRef<'_>]) -> Result<()> {
        let definition = &table.definition;
        if definition.checks.is_empty() && definition.columns.iter().all(|column| column.domain.is_none()) {
            return Ok(());
        }
        let expressions = self.info.shared.expressions(&table.definition, &self.info)?;
        expressions.check_domains(values, &self.info).map_err(|(_, error)| error)?;
        for (name, condition) in &expressions.checks {
            if let Value::Bool(false) = condition.evaluate(&[values], &[], &self.info)? {
                return Err(Error::new(
                    ErrorKind::CheckViolation,
                    format!(
                        "new row for relation \"{}\" violates check constraint \"{name}\"",
                        table.definition.name
                    ),
                )
                .detail(format!("Failing row contains ({}).", luma_rows::row_text(table, values)))
                .table(&table.definition.name)
                .constraint(name));
            }
        }
        Ok(())
    }

    fn index_values(
        &self,
        table: &OpenTable,
        index: &Index,
        values: &[ValueRef<'_>],
    ) -> Result<Option<Vec<Value>>> {
        let expressions = self.info.shared.expressions(&table.definition, &self.info)?;
        let Some((_, found)) = expressions.indexes.iter().find(|(oid, _)| *oid == index.oid) else {
            return Err(Error::new(ErrorKind::Internal, "an index's expressions were not compiled"));
        };
        if let Some(predicate) = &found.predicate
            && predicate.evaluate(&[values], &[], &self.info)? != Value::Bool(true)
        {
            return Ok(None);
        }
        let keys = found.keys.iter().map(|key| key.evaluate(&[values], &[], &self.info));
        keys.collect::<Result<Vec<Value>>>().map(Some)
    }

    fn default_value(&self, table: &OpenTable, column: &TableColumn) -> Result<Value> {
        let expressions = self.info.shared.expressions(&table.definition, &self.info)?;
        self.default_of(&expressions, usize::from(column.number) - 1)
    }
}
