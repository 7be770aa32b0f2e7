//! Operators as PostgreSQL resolves them: by the types of both sides.
//!
//! A literal without a type becomes one of the other side's type, integers widen, numbers of
//! different kinds meet in the wider kind, and what has no operator is 42883, not a guess.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_nested::make_array::make_array_udf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Cast, Placeholder, ScalarFunction, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr,
};
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, WindowFunctionDefinition,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use luma_model::arrow::{data_type, field};
use luma_model::{DataType, Error, ErrorKind};

use crate::error::to_datafusion;
use crate::functions::arithmetic::{Operation, arithmetic, on_fixed};
use crate::functions::cast::cast_to;
use crate::functions::chain;
use crate::functions::number_key::comparison_key;
use crate::functions::overload::{Function, OverloadedFunction};
use crate::functions::{arrays, json, numbers, operators};
use crate::plan::typing::{logical_type, same_in_arrow, unknown_literal, widen_aggregate};

/// Plans operators by the types of their operands.
#[derive(Debug)]
pub(crate) struct PostgresOperators;

/// What an operand is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// A literal or parameter without a type of its own.
    Unknown,
    Known(DataType),
}

/// The type of an operand; an integer literal that fits is `integer`.
pub(crate) fn operand(expr: &Expr, schema: &DFSchema) -> Option<Operand> {
    if let Some(chain) = chain::of(expr) {
        return data_type(&chain.result).ok().map(Operand::Known);
    }
    Some(match expr {
        Expr::Literal(ScalarValue::Null, _) => Operand::Unknown,
        Expr::Literal(ScalarValue::Int64(Some(number)), None) => {
            Operand::Known(if i32::try_from(*number).is_ok() { DataType::Int4 } else { DataType::Int8 })
        }
        Expr::Placeholder(Placeholder { field: None, .. }) => Operand::Unknown,
        expr if unknown_literal(expr).is_some() => Operand::Unknown,
        expr => {
            let (_, known) = expr.to_field(schema).ok()?;
            match known.data_type() {
                ArrowType::Null => Operand::Unknown,
                _ => Operand::Known(data_type(&known).ok()?),
            }
        }
    })
}

/// The expression as a value of another type.
pub(crate) fn convert(expr: Expr, from: &Operand, to: &DataType) -> Expr {
    match (expr, from) {
        (Expr::Placeholder(placeholder), Operand::Unknown) => {
            let field = Arc::new(field("", to, true));
            Expr::Placeholder(Placeholder { id: placeholder.id, field: Some(field) })
        }
        (expr, Operand::Unknown) => cast_to(expr, to),
        (Expr::Literal(ScalarValue::Int64(Some(number)), None), Operand::Known(DataType::Int4)) => {
            let literal = Expr::Literal(ScalarValue::Int32(i32::try_from(number).ok()), None);
            if *to == DataType::Int4 {
                literal
            } else {
                convert(literal, &Operand::Known(DataType::Int4), to)
            }
        }
        (expr, Operand::Known(from)) if from == to => expr,
        (expr, Operand::Known(from)) => match (from, to) {
            (DataType::Int2 | DataType::Int4 | DataType::Int8, to) if to.decimal().is_some() => {
                arrow_cast(expr, to)
            }
            _ if same_in_arrow(from, to) => arrow_cast(expr, to),
            _ => cast_to(expr, to),
        },
    }
}

fn arrow_cast(expr: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(field("cast", to, true))))
}

/// What is counted with.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int2 | DataType::Int4 | DataType::Int8)
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float4 | DataType::Float8)
}

/// The type in which two numbers meet.
pub(crate) fn common_number(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    if !is_number(one) || !is_number(other) {
        return None;
    }
    Some(match (one, other) {
        (one, other) if one == other => one.clone(),
        (Float8, _) | (_, Float8) | (Float4, _) | (_, Float4) => Float8,
        (Numeric(_), _) | (_, Numeric(_)) => Numeric(None),
        (Int8, _) | (_, Int8) => Int8,
        (Int4, _) | (_, Int4) => Int4,
        _ => Int2,
    })
}

/// Precision and scale of a number whose scale is fixed.
pub(crate) fn fixed(data_type: &DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Int2 => Some((5, 0)),
        DataType::Int4 => Some((10, 0)),
        DataType::Int8 => Some((19, 0)),
        data_type => data_type.decimal(),
    }
}

/// The type of numbers of up to 38 digits in units of one scale.
pub(crate) fn decimal((precision, scale): (u8, u8)) -> DataType {
    DataType::Numeric(Some((precision.into(), scale.into())))
}

/// Precision and scale of a result that always fits; `None` when none does.
fn fixed_result(operation: Operation, one: (u8, u8), other: (u8, u8)) -> Option<(u8, u8)> {
    let (precision, scale) = match operation {
        Operation::Add | Operation::Subtract => {
            let scale = one.1.max(other.1);
            ((one.0 - one.1).max(other.0 - other.1) + scale + 1, scale)
        }
        Operation::Multiply => (one.0 + other.0 + 1, one.1 + other.1),
        Operation::Divide | Operation::Remainder => return None,
    };
    (precision <= luma_model::DECIMAL_DIGITS_MAX).then_some((precision, scale))
}

fn operation(op: &BinaryOperator) -> Option<Operation> {
    Some(match op {
        BinaryOperator::Plus => Operation::Add,
        BinaryOperator::Minus => Operation::Subtract,
        BinaryOperator::Multiply => Operation::Multiply,
        BinaryOperator::Divide => Operation::Divide,
        BinaryOperator::Modulo => Operation::Remainder,
        _ => return None,
    })
}

fn comparison(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

/// An operand of arithmetic with its sums as the numbers that they become once all is typed.
fn widened(expr: Expr, schema: &DFSchema) -> Expr {
    let done = expr.clone().transform_up(|mut part| {
        let changed = widen_aggregate(&mut part, schema);
        Ok(if changed { Transformed::yes(part) } else { Transformed::no(part) })
    });
    done.map_or(expr, |done| done.data)
}

/// Counts of DataFusion's as the `bigint` that they are here.
fn settled(expr: Expr, schema: &DFSchema) -> Expr {
    if chain::of(&expr).is_some() {
        return expr;
    }
    match expr.get_type(schema) {
        Ok(
            ArrowType::UInt8 | ArrowType::UInt16 | ArrowType::UInt32 | ArrowType::UInt64 | ArrowType::Int8,
        ) => arrow_cast(expr, &DataType::Int8),
        _ => expr,
    }
}

/// Arithmetic on two numbers.
fn arithmetic_on(op: Operation, left: (Expr, &DataType), right: (Expr, &DataType)) -> Option<Expr> {
    let common = common_number(left.1, right.1)?;
    let known = |side: &DataType| Operand::Known(side.clone());
    if let DataType::Numeric(_) = common
        && let (Some(one), Some(other)) = (fixed(left.1), fixed(right.1))
        && let Some(result) = fixed_result(op, one, other)
    {
        let one = convert(left.0, &known(left.1), &decimal(one));
        let other = convert(right.0, &known(right.1), &decimal(other));
        return Some(arithmetic(op, one, other, &decimal((1, 0)), &decimal(result)));
    }
    let common = if matches!(common, DataType::Numeric(_)) { DataType::Numeric(None) } else { common };
    if is_float(&common) && op == Operation::Remainder {
        return None;
    }
    let one = convert(left.0, &known(left.1), &common);
    let other = convert(right.0, &known(right.1), &common);
    Some(arithmetic(op, one, other, &common, &common))
}

/// Arithmetic once more, where a side that was a whole number when it was planned became `numeric`, as a subquery's sum of `bigint`
/// does, or one of a fixed scale lost it, as in a UNION.
pub(crate) fn retyped(function: &ScalarFunction, schema: &DFSchema) -> Option<Expr> {
    let (planned, operation, left, right) = on_fixed(function)?;
    let (one, other) = (logical_type(left, schema)?, logical_type(right, schema)?);
    let other_form = |side: &DataType| match side {
        DataType::Numeric(_) => planned.is_integer() || side.is_wide_numeric(),
        _ => false,
    };
    let changed = other_form(&one) || other_form(&other);
    changed.then(|| arithmetic_on(operation, (left.clone(), &one), (right.clone(), &other)))?
}

/// A call of one of our own functions.
pub(crate) fn call(function: &'static Function, arguments: Vec<Expr>) -> Expr {
    let function = Arc::new(ScalarUDF::new_from_impl(OverloadedFunction::new(function)));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments))
}

/// The group of types that compare with each other.
fn group(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Bool => 1,
        data_type if data_type.is_numeric() => 2,
        data_type if data_type.is_string() => 3,
        DataType::Bytea => 4,
        DataType::Date | DataType::Timestamp | DataType::TimestampTz => 5,
        DataType::Time => 6,
        DataType::Interval => 7,
        DataType::Uuid => 8,
        DataType::Jsonb => 9,
        DataType::Array(_) => 10,
        DataType::Oid | DataType::Reg(_) => 2,
        DataType::Enum(_) => 11,
        DataType::Int2Vector | DataType::OidVector => 10,
        DataType::Xid => 12,
        _ => 0,
    }
}

/// Both sides of a comparison as values that compare as PostgreSQL compares them; `None` when there
/// is no such operator.
pub(crate) fn comparable(
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<(Expr, Expr), Option<(DataType, DataType)>> {
    let (Some(one), Some(other)) = (operand(&left, schema), operand(&right, schema)) else {
        return Err(None);
    };
    let (one, other) = match (one, other) {
        (Operand::Unknown, Operand::Unknown) => return Err(None),
        (Operand::Unknown, Operand::Known(known)) => {
            let wanted = unbound(&known);
            let left = convert(left, &Operand::Unknown, &wanted);
            return Ok(prepared(left, right, &wanted, &known));
        }
        (Operand::Known(known), Operand::Unknown) => {
            let wanted = unbound(&known);
            let right = convert(right, &Operand::Unknown, &wanted);
            return Ok(prepared(left, right, &known, &wanted));
        }
        (Operand::Known(one), Operand::Known(other)) => (one, other),
    };
    let two_enums = one.enum_type().is_some() && one != other;
    if group(&one) != group(&other) || group(&one) == 0 || two_enums {
        return Err(Some((one, other)));
    }
    if one.is_identifier() || other.is_identifier() {
        let fits = |side: &DataType| side.is_identifier() || side.is_integer();
        return if fits(&one) && fits(&other) {
            Ok((narrow(left), narrow(right)))
        } else {
            Err(Some((one, other)))
        };
    }
    if let Some(common) = common_number(&one, &other) {
        let decimals = matches!(common, DataType::Numeric(_));
        if decimals && let (Some(first), Some(second)) = (fixed(&one), fixed(&other)) {
            // Decimals of two scales meet in one that holds both.
            let scale = first.1.max(second.1);
            let precision = (first.0 - first.1).max(second.0 - second.1) + scale;
            if precision <= luma_model::DECIMAL_DIGITS_MAX {
                let common = decimal((precision, scale));
                let literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
                if one == common || other == common || literal(&left) || literal(&right) {
                    // DataFusion finds this type itself, and unwraps casts around columns.
                    return Ok((narrow(left), narrow(right)));
                }
                let left = convert(left, &Operand::Known(one), &common);
                return Ok((left, convert(right, &Operand::Known(other), &common)));
            }
        }
        if is_integer(&common) {
            return Ok((narrow(left), narrow(right)));
        }
        let common = if decimals { DataType::Numeric(None) } else { common };
        let left = convert(left, &Operand::Known(one), &common);
        let right = convert(right, &Operand::Known(other), &common);
        return Ok(prepared(left, right, &common, &common));
    }
    Ok(prepared(left, right, &one, &other))
}

/// An integer literal in its own width.
fn narrow(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), None) => match i32::try_from(number) {
            Ok(number) => Expr::Literal(ScalarValue::Int32(Some(number)), None),
            Err(_) => Expr::Literal(ScalarValue::Int64(Some(number)), None),
        },
        other => other,
    }
}

/// The type of a literal beside a value of this type: the value's precision does not bind it.
fn unbound(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Numeric(_) => DataType::Numeric(None),
        DataType::Varchar(_) | DataType::Name | DataType::InternalChar => DataType::Text,
        DataType::Char(_) => DataType::Char(0),
        // PostgreSQL compares them as the numbers that they are.
        DataType::Reg(_) => DataType::Oid,
        other => other.clone(),
    }
}

/// Values whose bytes do not compare as they should, as ones that do.
fn prepared(left: Expr, right: Expr, one: &DataType, other: &DataType) -> (Expr, Expr) {
    match (one, other) {
        (DataType::Numeric(_), DataType::Numeric(_)) if one.is_wide_numeric() || other.is_wide_numeric() => {
            let any = DataType::Numeric(None);
            let left = convert(left, &Operand::Known(one.clone()), &any);
            let right = convert(right, &Operand::Known(other.clone()), &any);
            (comparison_key(left), comparison_key(right))
        }
        (DataType::Array(first), DataType::Array(second))
            if first.is_wide_numeric() && second.is_wide_numeric() =>
        {
            (comparison_key(left), comparison_key(right))
        }
        (DataType::Interval, DataType::Interval) => {
            (call(&operators::INTERVAL_MICROS, vec![left]), call(&operators::INTERVAL_MICROS, vec![right]))
        }
        (DataType::Jsonb, DataType::Jsonb) => {
            (call(&json::order::ORDER, vec![left]), call(&json::order::ORDER, vec![right]))
        }
        (one, other) if one == other || one.is_string() => (left, right),
        (DataType::Date | DataType::Timestamp | DataType::TimestampTz, _) => {
            let zoned = *one == DataType::TimestampTz || *other == DataType::TimestampTz;
            let common = if zoned { DataType::TimestampTz } else { DataType::Timestamp };
            let left = convert_time(left, one, &common);
            (left, convert_time(right, other, &common))
        }
        _ => (left, right),
    }
}

/// Two comparable sides as such that come before and after one another as PostgreSQL orders them: the engine takes a NULL in an
/// array for the smallest element.
pub(crate) fn ordered(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let orders = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    let is_array = |side: &Expr| matches!(logical_type(side, schema), Some(DataType::Array(_)));
    if orders && is_array(&left) && is_array(&right) {
        (call(&arrays::ORDER, vec![left]), call(&arrays::ORDER, vec![right]))
    } else {
        (left, right)
    }
}

/// A date or timestamp as another one; into a zone by the session's rules.
fn convert_time(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to {
        expr
    } else if *to == DataType::TimestampTz {
        cast_to(expr, to)
    } else {
        convert(expr, &Operand::Known(from.clone()), to)
    }
}

/// The error of an operator that does not exist.
fn no_operator(op: &BinaryOperator, left: &Operand, right: &Operand) -> Error {
    let name = |operand: &Operand| match operand {
        Operand::Unknown => "unknown".to_owned(),
        Operand::Known(data_type) => data_type.base_name(),
    };
    let kind = match (left, right) {
        (Operand::Unknown, Operand::Unknown) => ErrorKind::AmbiguousFunction,
        _ => ErrorKind::UndefinedFunction,
    };
    let verb = if kind == ErrorKind::AmbiguousFunction {
        "operator is not unique"
    } else {
        "operator does not exist"
    };
    Error::new(kind, format!("{verb}: {} {op} {}", name(left), name(right))).hint(
        "No operator matches the given name and argument types. You might need to add explicit type casts.",
    )
}

/// The average of exact numbers is exact: their sum divided by how many there are.
fn average_parts<T>(sum: T, count: T, into: impl Fn(T) -> Expr) -> Expr {
    call(&numbers::AVERAGE, vec![into(sum), into(count)])
}

/// DataFusion calls `sum(x::bigint)` as it does `sum(x)`, and takes no two columns of one name. The name is in the way of
/// what follows, so [`unnamed`] takes it off again once there are columns.
fn name_cast(argument: &mut Expr) {
    if let Expr::Cast(cast) = argument {
        let name = format!("{}::{}", cast.expr.schema_name(), cast.field.data_type());
        let taken = std::mem::replace(argument, Expr::Literal(ScalarValue::Null, None));
        *argument = taken.alias(name);
    }
}

/// What an argument that got a name converts.
fn without_cast(argument: &Expr) -> Expr {
    match argument {
        Expr::Alias(alias) => match alias.expr.as_ref() {
            Expr::Cast(cast) => cast.expr.as_ref().clone(),
            _ => argument.clone(),
        },
        _ => argument.clone(),
    }
}

/// The argument of an aggregate without the name that it may have got; says whether it had one.
pub(crate) fn unnamed(argument: &mut Expr) -> bool {
    let Expr::Alias(alias) = argument else { return false };
    *argument = std::mem::replace(alias.expr.as_mut(), Expr::Literal(ScalarValue::Null, None));
    true
}

impl ExprPlanner for PostgresOperators {
    fn plan_array_literal(
        &self,
        exprs: Vec<Expr>,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<Vec<Expr>>> {
        if exprs.is_empty() {
            return Err(to_datafusion(
                Error::new(ErrorKind::IndeterminateDatatype, "cannot determine type of empty array")
                    .hint("Explicitly cast to the desired type, for example ARRAY[]::integer[]."),
            ));
        }
        let Some((exprs, element)) = crate::plan::unify::unified("ARRAY", exprs.clone(), schema)? else {
            return Ok(PlannerResult::Original(exprs));
        };
        let array = Expr::ScalarFunction(ScalarFunction::new_udf(make_array_udf(), exprs));
        if matches!(element, DataType::Enum(_)) {
            return Ok(PlannerResult::Planned(crate::plan::unify::labelled(array, &element.array_of())));
        }
        // What text alone would not tell is named by a cast.
        let plain = element.element().is_some() || field("", &element, true).metadata().is_empty();
        Ok(PlannerResult::Planned(if plain { array } else { cast_to(array, &element.array_of()) }))
    }

    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> PlanResult<PlannerResult<RawAggregateExpr>> {
        expr.args.iter_mut().for_each(name_cast);
        if expr.func.name() != "avg" {
            return Ok(PlannerResult::Original(expr));
        }
        let part = |func: Arc<AggregateUDF>| {
            // A cast keeps what is NULL, and DataFusion calls counts with and without it the same.
            let args = if func.name() == "count" && !expr.distinct {
                expr.args.iter().map(without_cast).collect()
            } else {
                expr.args.clone()
            };
            Expr::AggregateFunction(AggregateFunction::new_udf(
                func,
                args,
                expr.distinct,
                expr.filter.clone(),
                expr.order_by.clone(),
                expr.null_treatment,
            ))
        };
        Ok(PlannerResult::Planned(average_parts(crate::functions::sum_function(), count_udaf(), part)))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> PlanResult<PlannerResult<RawWindowExpr>> {
        expr.args.iter_mut().for_each(name_cast);
        if expr.func_def.name() != "avg" {
            return Ok(PlannerResult::Original(expr));
        }
        let part = |func: Arc<AggregateUDF>| {
            Expr::WindowFunction(Box::new(WindowFunction {
                fun: WindowFunctionDefinition::AggregateUDF(func),
                params: WindowFunctionParams {
                    args: expr.args.clone(),
                    partition_by: expr.partition_by.clone(),
                    order_by: expr.order_by.clone(),
                    window_frame: expr.window_frame.clone(),
                    filter: expr.filter.clone(),
                    null_treatment: expr.null_treatment,
                    distinct: expr.distinct,
                },
            }))
        };
        Ok(PlannerResult::Planned(average_parts(crate::functions::sum_function(), count_udaf(), part)))
    }

    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        if let Some(op) = comparison(&expr.op) {
            let RawBinaryExpr { op: sql, left, right } = expr;
            return match comparable(left.clone(), right.clone(), schema) {
                Ok((left, right)) => {
                    let (left, right) = ordered(left, op, right, schema);
                    let (left, right) = (Box::new(left), Box::new(right));
                    Ok(PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr { left, op, right })))
                }
                Err(None) => Ok(PlannerResult::Original(RawBinaryExpr { op: sql, left, right })),
                Err(Some((one, other))) => {
                    Err(to_datafusion(no_operator(&sql, &Operand::Known(one), &Operand::Known(other))))
                }
            };
        }
        // Conditions need no types to be put together.
        if matches!(expr.op, BinaryOperator::And | BinaryOperator::Or) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left, right } = expr;
        let (left, right) = match operation(&op) {
            Some(_) => (widened(left, schema), widened(right, schema)),
            None => (left, right),
        };
        let (left, right) = (settled(left, schema), settled(right, schema));
        let (Some(one), Some(other)) = (operand(&left, schema), operand(&right, schema)) else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        };
        if let Some(operation) = operation(&op) {
            // A literal beside a number is a number of its type.
            let (one_number, other_number) = match (&one, &other) {
                (Operand::Known(one), Operand::Unknown) if is_number(one) => (one.clone(), unbound(one)),
                (Operand::Unknown, Operand::Known(other)) if is_number(other) => {
                    (unbound(other), other.clone())
                }
                (Operand::Known(one), Operand::Known(other)) => (one.clone(), other.clone()),
                _ => (DataType::Text, DataType::Text),
            };
            if is_number(&one_number) && is_number(&other_number) {
                let left = convert(left, &one, &one_number);
                let right = convert(right, &other, &other_number);
                return match arithmetic_on(operation, (left, &one_number), (right, &other_number)) {
                    Some(planned) => Ok(PlannerResult::Planned(chain::shortened(planned, schema)?)),
                    None => Err(to_datafusion(no_operator(&op, &one, &other))),
                };
            }
        }
        if let Some(function) = operators::find(&op, &one, &other) {
            // A parameter beside a document is one.
            let document = op == BinaryOperator::StringConcat
                && [&one, &other].into_iter().any(|side| *side == Operand::Known(DataType::Jsonb));
            let given = |expr: Expr, operand: &Operand| match expr {
                Expr::Placeholder(_) if document => convert(expr, operand, &DataType::Jsonb),
                other => other,
            };
            let (left, right) = (given(left, &one), given(right, &other));
            let planned = call(function, vec![left, right]);
            return Ok(PlannerResult::Planned(chain::shortened(planned, schema)?));
        }
        if operation(&op).is_some() {
            return Err(to_datafusion(no_operator(&op, &one, &other)));
        }
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}
