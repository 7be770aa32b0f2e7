//! Values of several types where one is wanted: CASE, COALESCE, GREATEST, UNION, …

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Subquery, TypeSignature, Union,
    Volatility,
};
use luma_model::arrow::{arrow_type, data_type, field};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::error::to_datafusion;
use crate::functions::cast::cast_to;
use crate::functions::overload::argument_type;
use crate::plan::deferred;
use crate::plan::operator::{Operand, common_number, comparable, convert, operand};

/// The type in which values of these types meet; text where none has one.
///
/// # Errors
/// 42804 when they don't.
pub(crate) fn common_type(what: &str, operands: &[Operand]) -> Result<DataType> {
    let mut common: Option<DataType> = None;
    for operand in operands {
        let Operand::Known(next) = operand else { continue };
        common = Some(match common {
            None => next.clone(),
            Some(known) => pair(&known, next).ok_or_else(|| {
                Error::new(
                    ErrorKind::DatatypeMismatch,
                    format!("{what} types {} and {} cannot be matched", known.base_name(), next.base_name()),
                )
            })?,
        });
    }
    let common = common.unwrap_or(DataType::Text);
    if !operands.contains(&Operand::Unknown) {
        return Ok(common);
    }
    // The digits and the length of the others do not bind a literal.
    Ok(match common {
        DataType::Numeric(_) => DataType::Numeric(None),
        DataType::Varchar(_) => DataType::Varchar(None),
        DataType::Char(_) => DataType::Char(0),
        common => common,
    })
}

fn pair(one: &DataType, other: &DataType) -> Option<DataType> {
    if one == other {
        return Some(one.clone());
    }
    if let Some(number) = common_number(one, other) {
        return Some(number);
    }
    Some(match (one, other) {
        (DataType::Varchar(_), DataType::Varchar(_)) => DataType::Varchar(None),
        (DataType::Char(_), DataType::Char(_)) => DataType::Char(0),
        // Each goes for the other, so that the first one stays.
        (DataType::Varchar(_), DataType::Text | DataType::Char(_)) => DataType::Varchar(None),
        (DataType::Char(_), DataType::Text | DataType::Varchar(_)) => DataType::Char(0),
        (DataType::Name, DataType::Text | DataType::Varchar(_)) => DataType::Name,
        (one, other) if one.is_string() && other.is_string() => DataType::Text,
        (DataType::TimestampTz, DataType::Date | DataType::Timestamp)
        | (DataType::Date | DataType::Timestamp, DataType::TimestampTz) => DataType::TimestampTz,
        (DataType::Timestamp, DataType::Date) | (DataType::Date, DataType::Timestamp) => DataType::Timestamp,
        (DataType::Time, DataType::Interval) | (DataType::Interval, DataType::Time) => DataType::Interval,
        (DataType::Array(one), DataType::Array(other)) => pair(one, other)?.array_of(),
        (DataType::Oid, other) | (other, DataType::Oid) if other.is_integer() || other.is_identifier() => {
            DataType::Oid
        }
        (DataType::Reg(kind), other) | (other, DataType::Reg(kind)) if other.is_integer() => {
            DataType::Reg(*kind)
        }
        _ => return None,
    })
}

/// The type of NULLIF: that of its first value as the operator compares it.
fn kept_type(value: &Operand, unwanted: &Operand) -> DataType {
    match (value, unwanted) {
        (Operand::Known(DataType::Varchar(_)), _) => DataType::Text,
        (Operand::Known(one), Operand::Known(other)) if one.is_integer() && !other.is_integer() => {
            common_number(one, other).unwrap_or_else(|| one.clone())
        }
        (Operand::Known(one @ DataType::Numeric(_)), Operand::Known(DataType::Float4 | DataType::Float8)) => {
            common_number(one, &DataType::Float8).unwrap_or_else(|| one.clone())
        }
        (Operand::Known(one), _) => one.clone(),
        (Operand::Unknown, _) => DataType::Text,
    }
}

/// The operands as values of one type; `None` when some type cannot be told.
pub(crate) fn unified(
    what: &str,
    expressions: Vec<Expr>,
    schema: &DFSchema,
) -> PlanResult<Option<(Vec<Expr>, DataType)>> {
    let operands: Option<Vec<Operand>> = expressions.iter().map(|expr| operand(expr, schema)).collect();
    let Some(operands) = operands else { return Ok(None) };
    let common = common_type(what, &operands).map_err(to_datafusion)?;
    let converted = expressions
        .into_iter()
        .zip(&operands)
        .map(|(expr, from)| convert_value(expr, from, &common))
        .collect();
    Ok(Some((converted, common)))
}

/// As `convert`; NULL stays a plain NULL of the type.
fn convert_value(expr: Expr, from: &Operand, to: &DataType) -> Expr {
    if *from == Operand::Known(to.clone()) && !matches!(expr, Expr::Literal(..)) {
        return expr;
    }
    convert(expr, from, to)
}

/// CASE with results of one type and conditions that are conditions.
pub(crate) fn case(case: Case, schema: &DFSchema) -> PlanResult<Expr> {
    // The type of ELSE counts first.
    let mut results: Vec<Expr> = case.else_expr.as_deref().cloned().into_iter().collect();
    let has_else = case.else_expr.is_some();
    results.extend(case.when_then_expr.iter().map(|(_, then)| then.as_ref().clone()));
    let Some((results, common)) = unified("CASE", results, schema)? else { return Ok(Expr::Case(case)) };
    let mut results = results.into_iter();
    let else_expr = if has_else { results.next().map(Box::new) } else { None };
    let mut branches = Vec::with_capacity(case.when_then_expr.len());
    let mut simple = case.expr;
    for (when, _) in case.when_then_expr {
        let Some(then) = results.next() else { break };
        let when = match &simple {
            // CASE x WHEN y compares with PostgreSQL's meaning of equality.
            Some(subject) => match comparable(subject.as_ref().clone(), when.as_ref().clone(), schema) {
                Ok((left, right)) => Expr::BinaryExpr(BinaryExpr {
                    left: Box::new(left),
                    op: Operator::Eq,
                    right: Box::new(right),
                }),
                Err(_) => {
                    Expr::BinaryExpr(BinaryExpr { left: subject.clone(), op: Operator::Eq, right: when })
                }
            },
            None => condition(*when, schema, "CASE/WHEN")?,
        };
        branches.push((Box::new(when), Box::new(then)));
    }
    simple = None;
    Ok(labelled(Expr::Case(Case { expr: simple, when_then_expr: branches, else_expr }), &common))
}

/// A condition; a literal without a type is read as one.
pub(crate) fn condition(expr: Expr, schema: &DFSchema, place: &str) -> PlanResult<Expr> {
    match operand(&expr, schema) {
        Some(Operand::Unknown) => Ok(convert(expr, &Operand::Unknown, &DataType::Bool)),
        Some(Operand::Known(DataType::Bool)) | None => Ok(expr),
        Some(Operand::Known(other)) => Err(to_datafusion(Error::new(
            ErrorKind::DatatypeMismatch,
            format!("argument of {place} must be type boolean, not type {}", other.base_name()),
        ))),
    }
}

/// COALESCE, GREATEST, LEAST and NULLIF until [`expand`] knows their arguments' types.
#[derive(Debug)]
pub(crate) struct Unified {
    name: &'static str,
    signature: Signature,
}

impl Unified {
    pub(crate) const NAMES: [&'static str; 4] = ["coalesce", "greatest", "least", "nullif"];

    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::new(TypeSignature::VariadicAny, Volatility::Immutable) }
    }
}

impl PartialEq for Unified {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Unified {}

impl Hash for Unified {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Unified {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        internal_err!("the type of {} depends on its arguments' fields", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let operands = args
            .arg_fields
            .iter()
            .zip(args.scalar_arguments)
            .map(|(argument, literal)| {
                Ok(argument_type(argument, *literal)?.map_or(Operand::Unknown, Operand::Known))
            })
            .collect::<Result<Vec<_>>>()
            .map_err(to_datafusion)?;
        let what = self.name.to_uppercase();
        let common = match (self.name, operands.as_slice()) {
            ("nullif", [value, unwanted]) => kept_type(value, unwanted),
            _ => common_type(&what, &operands).map_err(to_datafusion)?,
        };
        Ok(Arc::new(field(self.name, &common, true)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        internal_err!("{} was not expanded", self.name)
    }
}

/// The expression with its type where Arrow has no type for it alone: DataFusion's own expressions
/// give Arrow types only.
pub(crate) fn labelled(expr: Expr, data_type: &DataType) -> Expr {
    if field("", data_type, true).metadata().is_empty() {
        return expr;
    }
    let label = Label { data_type: data_type.clone(), signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction { func: Arc::new(ScalarUDF::new_from_impl(label)), args: vec![expr] })
}

/// What the column of a subquery that is a value is called.
const VALUE: &str = "luma_value";

/// A subquery that is a value, in the form that DataFusion makes joins of.
pub(crate) fn scalar(mut subquery: Subquery) -> PlanResult<Transformed<Expr>> {
    let mut changed = false;
    if !subquery.outer_ref_columns.is_empty()
        && let Some(renamed) = without_alias(&subquery.subquery)?
    {
        subquery.subquery = Arc::new(renamed);
        changed = true;
    }
    Ok(match perhaps_none(&subquery) {
        Some(typed) => Transformed::yes(typed),
        None if changed => Transformed::yes(Expr::ScalarSubquery(subquery)),
        None => Transformed::no(Expr::ScalarSubquery(subquery)),
    })
}

/// The query without an alias: columns that conditions compare with the row around are put beside its own, and one of them may
/// have that name.
fn without_alias(plan: &LogicalPlan) -> PlanResult<Option<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(None) };
    let [Expr::Alias(alias)] = projection.expr.as_slice() else { return Ok(None) };
    let bare = match alias.expr.as_ref() {
        column @ Expr::Column(_) => column.clone(),
        _ if alias.name == VALUE => return Ok(None),
        computed => computed.clone().alias(VALUE),
    };
    Projection::try_new(vec![bare], Arc::clone(&projection.input))
        .map(|plan| Some(LogicalPlan::Projection(plan)))
}

/// A subquery whose column is never NULL and that may give no row, which is NULL: DataFusion takes it for something that is
/// never NULL, and leaves tests for NULL out. `None` for other subqueries.
fn perhaps_none(subquery: &Subquery) -> Option<Expr> {
    let column = subquery.subquery.schema().fields().first()?.clone();
    if column.is_nullable() || gives_a_row(&subquery.subquery) {
        return None;
    }
    let data_type = data_type(&column).ok()?;
    let label = Label { data_type, signature: Signature::any(1, Volatility::Immutable) };
    let func = Arc::new(ScalarUDF::new_from_impl(label));
    Some(Expr::ScalarFunction(ScalarFunction { func, args: vec![Expr::ScalarSubquery(subquery.clone())] }))
}

/// Whether a query gives one row whatever it reads.
fn gives_a_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_a_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_a_row(&alias.input),
        LogicalPlan::Sort(sort) => gives_a_row(&sort.input),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

/// A condition whose comparisons have their subqueries bare: NULL is no match in them anyway.
pub(crate) fn compared(condition: Expr) -> Expr {
    let bare = |side: Box<Expr>| match *side {
        Expr::ScalarFunction(function) if function.func.name() == Label::NAME => {
            match function.args.as_slice() {
                [Expr::ScalarSubquery(subquery)] => Box::new(Expr::ScalarSubquery(subquery.clone())),
                _ => Box::new(Expr::ScalarFunction(function)),
            }
        }
        other => Box::new(other),
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let (left, right) = (Box::new(compared(*left)), Box::new(compared(*right)));
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(
                op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            ) =>
        {
            Expr::BinaryExpr(BinaryExpr { left: bare(left), op, right: bare(right) })
        }
        other => other,
    }
}

/// Whether an expression was given its type here.
pub(crate) fn is_label(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.func.name() == Label::NAME)
}

/// The elements of arrays with their types, of which DataFusion keeps Arrow's only.
pub(crate) fn unnested(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let LogicalPlan::Unnest(unnest) = &plan else { return Ok(plan) };
    let input = unnest.input.schema();
    let mut any = false;
    let columns: Vec<Expr> = unnest
        .schema
        .iter()
        .zip(&unnest.dependency_indices)
        .map(|((relation, output), from)| {
            let column = Expr::Column(Column::from((relation, output.as_ref())));
            // A record is no value of SQL: its fields know their types themselves.
            let is_list = unnest.list_type_columns.iter().any(|(list, _)| list == from)
                && !matches!(output.data_type(), ArrowType::Struct(_));
            let array = if is_list { data_type(input.field(*from)).ok() } else { None };
            let Some(element) = array.as_ref().and_then(DataType::element) else { return column };
            let typed = labelled(column.clone(), element);
            any |= typed != column;
            typed.alias_qualified(relation.cloned(), output.name())
        })
        .collect();
    if any { LogicalPlanBuilder::from(plan).project(columns)?.build() } else { Ok(plan) }
}

/// Gives its argument back as a value of a type that Arrow stores the same way.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Label {
    data_type: DataType,
    signature: Signature,
}

impl Label {
    const NAME: &'static str = "luma_label";
}

impl ScalarUDFImpl for Label {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(arrow_type(&self.data_type))
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::new(field("", &self.data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let Some(value) = args.args.into_iter().next() else {
            return internal_err!("a label without a value");
        };
        value.cast_to(&arrow_type(&self.data_type), None)
    }
}

/// Writes a call of [`Unified`] out; `None` when it is another function.
pub(crate) fn expand(function: &ScalarFunction, schema: &DFSchema) -> PlanResult<Option<Expr>> {
    let name = function.func.name();
    // Plans are looked through more than once.
    if let (Label::NAME, [Expr::ScalarFunction(inner)]) = (name, function.args.as_slice())
        && inner.func.name() == Label::NAME
    {
        return Ok(Some(Expr::ScalarFunction(inner.clone())));
    }
    if !Unified::NAMES.contains(&name) {
        return Ok(None);
    }
    let arguments = function.args.clone();
    if name == "nullif" {
        let [value, unwanted] = arguments.as_slice() else { return Ok(None) };
        let equal = match comparable(value.clone(), unwanted.clone(), schema) {
            Ok((left, right)) => (left, right),
            Err(None) => (value.clone(), unwanted.clone()),
            Err(Some((one, other))) => {
                return Err(to_datafusion(Error::new(
                    ErrorKind::UndefinedFunction,
                    format!("operator does not exist: {} = {}", one.base_name(), other.base_name()),
                )));
            }
        };
        let when = Expr::BinaryExpr(BinaryExpr {
            left: Box::new(equal.0),
            op: Operator::Eq,
            right: Box::new(equal.1),
        });
        let null = Expr::Literal(datafusion::common::ScalarValue::Null, None);
        let (Some(from), Some(other)) = (operand(value, schema), operand(unwanted, schema)) else {
            return Ok(None);
        };
        let kind = kept_type(&from, &other);
        let case = Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(when), Box::new(cast_to(null, &kind)))],
            else_expr: Some(Box::new(convert_value(value.clone(), &from, &kind))),
        });
        return Ok(Some(labelled(case, &kind)));
    }
    let what = name.to_uppercase();
    let Some((arguments, common)) = unified(&what, arguments, schema)? else { return Ok(None) };
    if name == "coalesce" {
        let mut arguments = arguments;
        let last = arguments.pop();
        let Some(last) = last else { return Ok(None) };
        if arguments.is_empty() {
            return Ok(Some(last));
        }
        let branches = arguments
            .into_iter()
            .map(|value| (Box::new(value.clone().is_not_null()), Box::new(value)))
            .collect();
        let case = Expr::Case(Case { expr: None, when_then_expr: branches, else_expr: Some(Box::new(last)) });
        return Ok(Some(labelled(case, &common)));
    }
    let function = if name == "greatest" {
        datafusion::functions::core::greatest()
    } else {
        datafusion::functions::core::least()
    };
    let call =
        Expr::ScalarFunction(ScalarFunction { func: Arc::<ScalarUDF>::clone(&function), args: arguments });
    Ok(Some(labelled(call, &common)))
}

/// The types that a call gives its parameters: their numbers and types.
pub(crate) fn argument_types(function: &ScalarFunction, schema: &DFSchema) -> Vec<(usize, DataType)> {
    let place = |expr: &Expr| match expr {
        Expr::Placeholder(placeholder) if placeholder.field.is_none() => {
            placeholder.id.trim_start_matches('$').parse::<usize>().ok()
        }
        _ => None,
    };
    if function.args.iter().all(|argument| place(argument).is_none()) {
        return Vec::new();
    }
    let operands: Option<Vec<Operand>> =
        function.args.iter().map(|argument| operand(argument, schema)).collect();
    let Some(operands) = operands else { return Vec::new() };
    let types = if let Some(types) = deferred::types(function.func.name(), &operands) {
        types
    } else if Unified::NAMES.contains(&function.func.name()) {
        let Ok(common) = common_type("", &operands) else { return Vec::new() };
        vec![common; operands.len()]
    } else {
        let given: Vec<Option<DataType>> = operands
            .into_iter()
            .map(|operand| match operand {
                Operand::Known(known) => Some(known),
                Operand::Unknown => None,
            })
            .collect();
        let name = function.func.name();
        // Functions of the session take one type, which they do not say.
        let process = matches!(name, "pg_cancel_backend" | "pg_terminate_backend" | "luma_blocking_pids");
        let own = process.then(|| vec![DataType::Int4; given.len()]);
        own.or_else(|| crate::functions::overload::learnt(name, &given)).unwrap_or_default()
    };
    let places = function.args.iter().zip(types);
    places.filter_map(|(argument, data_type)| Some((place(argument)?, data_type))).collect()
}

/// The branches of a UNION with columns of one type.
pub(crate) fn union(union: Union) -> PlanResult<LogicalPlan> {
    let width = union.schema.fields().len();
    let mut wanted = Vec::with_capacity(width);
    let mut given: Vec<Vec<Operand>> = Vec::new();
    for input in &union.inputs {
        if input.schema().fields().len() != width {
            return Ok(LogicalPlan::Union(union));
        }
        let operands: Option<Vec<Operand>> = (0..width).map(|at| column_operand(input, at)).collect();
        let Some(operands) = operands else { return Ok(LogicalPlan::Union(union)) };
        given.push(operands);
    }
    for at in 0..width {
        let column: Vec<Operand> = given.iter().map(|operands| operands[at].clone()).collect();
        wanted.push(common_type("UNION", &column).map_err(to_datafusion)?);
    }
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for (input, operands) in union.inputs.iter().zip(&given) {
        let same = operands.iter().zip(&wanted).enumerate().all(|(at, (operand, wanted))| {
            *operand == Operand::Known(wanted.clone())
                && *input.schema().field(at).data_type() == arrow_type(wanted)
        });
        if same {
            inputs.push(Arc::clone(input));
            continue;
        }
        inputs.push(as_types(input, operands, &wanted)?);
    }
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

/// The sides of INTERSECT and EXCEPT with columns of one type; other joins stay.
pub(crate) fn compared_rows(join: Join) -> PlanResult<LogicalPlan> {
    let of_sets = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull;
    let width = join.left.schema().fields().len();
    if !of_sets || join.right.schema().fields().len() != width || join.on.len() != width {
        return Ok(LogicalPlan::Join(join));
    }
    let what = if join.join_type == JoinType::LeftSemi { "INTERSECT" } else { "EXCEPT" };
    let mut wanted = Vec::with_capacity(width);
    let (mut left, mut right) = (Vec::with_capacity(width), Vec::with_capacity(width));
    for at in 0..width {
        let (one, other) = (column_operand(&join.left, at), column_operand(&join.right, at));
        let (Some(one), Some(other)) = (one, other) else { return Ok(LogicalPlan::Join(join)) };
        wanted.push(common_type(what, &[one.clone(), other.clone()]).map_err(to_datafusion)?);
        left.push(one);
        right.push(other);
    }
    let same = |operands: &[Operand]| {
        operands.iter().zip(&wanted).all(|(from, to)| *from == Operand::Known(to.clone()))
    };
    if same(&left) && same(&right) {
        return Ok(LogicalPlan::Join(join));
    }
    let (left, right) = (as_types(&join.left, &left, &wanted)?, as_types(&join.right, &right, &wanted)?);
    let equality = join.null_equality;
    Ok(LogicalPlan::Join(Join::try_new(
        left,
        right,
        join.on,
        join.filter,
        join.join_type,
        join.join_constraint,
        equality,
        join.null_aware,
    )?))
}

/// The plan's columns as values of other types, under their names.
fn as_types(plan: &Arc<LogicalPlan>, given: &[Operand], wanted: &[DataType]) -> PlanResult<Arc<LogicalPlan>> {
    let columns = plan.schema().columns().into_iter().zip(given.iter().zip(wanted));
    let expressions: Vec<Expr> = columns
        .map(|(column, (from, to))| {
            let plain = Expr::Column(column.clone());
            let converted = if *from == Operand::Known(to.clone()) { plain } else { cast_to(plain, to) };
            converted.alias_qualified(column.relation, column.name)
        })
        .collect();
    LogicalPlanBuilder::from(Arc::clone(plan)).project(expressions)?.build().map(Arc::new)
}

/// What a plan's column is; a literal without a type stays one.
fn column_operand(plan: &LogicalPlan, at: usize) -> Option<Operand> {
    if let LogicalPlan::Distinct(Distinct::All(input)) = plan {
        return column_operand(input, at);
    }
    let field = plan.schema().field(at);
    if matches!(field.data_type(), ArrowType::Null) {
        return Some(Operand::Unknown);
    }
    if let LogicalPlan::Projection(projection) = plan {
        let mut expr = projection.expr.get(at)?;
        while let Expr::Alias(alias) = expr {
            expr = alias.expr.as_ref();
        }
        if let Expr::Literal(..) = expr {
            return operand(expr, &DFSchema::empty());
        }
    }
    luma_model::arrow::data_type(field).ok().map(Operand::Known)
}
