//! PostgreSQL's types in DataFusion's plans.
//!
//! Arrow has fewer types than PostgreSQL; the rest travels in field metadata. [`PostgresTypes`] runs
//! before DataFusion's own coercion and gives expressions PostgreSQL's meaning:
//! - an integer literal that fits is `integer`, not `bigint`;
//! - a string literal compared with a value of another type is a literal of that type;
//! - a cast converts as PostgreSQL does (rounding, errors, lengths) where Arrow's differs.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{AggregateFunction, Cast, GroupingSet};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::utils::COUNT_STAR_EXPANSION;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast;
use luma_model::arrow::{data_type, field};
use luma_model::{DataType, Error, ErrorKind};

use crate::error::to_datafusion;
use crate::functions::arithmetic::{cannot_fail, factors};
use crate::functions::cast::{before_number, cast_to};
use crate::functions::statistics::Statistics;
use crate::functions::wide_sum::{self, Term};
use crate::plan::operator::{Operand, comparable, convert, decimal, fixed, ordered, retyped, unnamed};
use crate::plan::{collation, deferred};
use crate::types;

/// Types as PostgreSQL names them.
#[derive(Debug)]
pub(crate) struct PostgresTypePlanner;

impl TypePlanner for PostgresTypePlanner {
    fn plan_type_field(&self, sql: &ast::DataType) -> PlanResult<Option<FieldRef>> {
        let planned = types::data_type(sql).map_err(to_datafusion)?;
        // With a name, DataFusion takes the type as it is, not with what the value had beside it.
        Ok(Some(Arc::new(field("cast", &planned, true))))
    }
}

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct PostgresTypes;

impl AnalyzerRule for PostgresTypes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> PlanResult<LogicalPlan> {
        let plan = crate::plan::lateral::rewrite(crate::plan::gather::rewrite(plan)?)?;
        let plan = crate::plan::limited::rewrite(crate::plan::order::rewrite(plan)?)?;
        // A recursive query's two terms were planned for each other; their literals stay as they are.
        let recursive = plan.exists(|node| Ok(matches!(node, LogicalPlan::RecursiveQuery(_))))?;
        plan.transform_up_with_subqueries(|node| type_node(node, !recursive)).map(|done| done.data)
    }

    fn name(&self) -> &'static str {
        "postgres_types"
    }
}

fn type_node(plan: LogicalPlan, narrow: bool) -> PlanResult<Transformed<LogicalPlan>> {
    // A LIMIT's literals are DataFusion's own.
    if matches!(plan, LogicalPlan::Limit(_)) {
        return Ok(Transformed::no(plan));
    }
    let mut schema = DFSchema::empty();
    for input in plan.inputs() {
        schema.merge(input.schema());
    }
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&scan.projected_schema);
    }
    let names = NamePreserver::new(&plan);
    let projects = matches!(plan, LogicalPlan::Projection(_));
    let tested = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::TableScan(_));
    let typed = plan.map_expressions(|expr| {
        if let Expr::GroupingSet(set) = expr {
            return grouped(set, &schema, narrow);
        }
        let saved = names.save(&expr);
        let written = deferred::written_out(expr)?;
        let written = if tested { written } else { written.transform_data(compared_with_truth)? };
        let typed = written.transform_data(|expr| {
            let expr = if projects { collation::projected(expr, &schema)? } else { expr };
            type_expression_with(collation::apply(expr, &schema)?, &schema, narrow)
        })?;
        Ok(typed.update_data(|expr| saved.restore(expr)))
    })?;
    let changed = typed.transformed;
    typed.map_data(|plan| match plan {
        // The types of VALUES are found when it is built.
        LogicalPlan::Values(values) if changed => LogicalPlanBuilder::values(values.values)?.build(),
        LogicalPlan::Values(values) => Ok(LogicalPlan::Values(values)),
        LogicalPlan::Union(union) => {
            collation::union(&union)?;
            crate::plan::unify::union(union)
        }
        unnest @ LogicalPlan::Unnest(_) => {
            crate::plan::unify::unnested(crate::plan::keyless::unnesting(unnest)?)
        }
        LogicalPlan::Filter(mut filter) => {
            filter.predicate = crate::plan::unify::compared(filter.predicate);
            filter.predicate = crate::plan::unify::condition(filter.predicate, &schema, "WHERE")?;
            Ok(LogicalPlan::Filter(filter))
        }
        // What is below may have changed its types.
        other => crate::plan::equality::node(other.recompute_schema()?),
    })
}

/// IS TRUE and its kin as the comparisons that the engine runs for them: of a value, it would say that it may be NULL and the plan
/// that it may not.
fn compared_with_truth(expr: Expr) -> PlanResult<Transformed<Expr>> {
    let compared = |inner: Box<Expr>, op: Operator, truth: bool| {
        let right = Box::new(Expr::Literal(ScalarValue::Boolean(Some(truth)), None));
        Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: inner, op, right })))
    };
    expr.transform_up(|expr| match expr {
        Expr::IsTrue(inner) => compared(inner, Operator::IsNotDistinctFrom, true),
        Expr::IsNotTrue(inner) => compared(inner, Operator::IsDistinctFrom, true),
        Expr::IsFalse(inner) => compared(inner, Operator::IsNotDistinctFrom, false),
        Expr::IsNotFalse(inner) => compared(inner, Operator::IsDistinctFrom, false),
        Expr::IsUnknown(inner) => Ok(Transformed::yes(Expr::IsNull(inner))),
        Expr::IsNotUnknown(inner) => Ok(Transformed::yes(Expr::IsNotNull(inner))),
        other => Ok(Transformed::no(other)),
    })
}

/// Types the parts of GROUPING SETS, ROLLUP and CUBE, each under the name that those above know it by.
fn grouped(set: GroupingSet, schema: &DFSchema, narrow: bool) -> PlanResult<Transformed<Expr>> {
    let mut changed = false;
    let mut part = |expr: Expr| {
        let name = expr.schema_name().to_string();
        let typed = typed(expr, schema, narrow)?;
        changed |= typed.transformed;
        let same = typed.data.schema_name().to_string() == name;
        Ok(if same { typed.data } else { typed.data.alias(name) })
    };
    let mut list = |list: Vec<Expr>| list.into_iter().map(&mut part).collect::<PlanResult<Vec<_>>>();
    let set = match set {
        GroupingSet::Rollup(parts) => GroupingSet::Rollup(list(parts)?),
        GroupingSet::Cube(parts) => GroupingSet::Cube(list(parts)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(list).collect::<PlanResult<_>>()?)
        }
    };
    let set = Expr::GroupingSet(set);
    Ok(if changed { Transformed::yes(set) } else { Transformed::no(set) })
}

/// Gives an expression over `schema` PostgreSQL's types.
pub(crate) fn type_expression(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    typed(expr, schema, true)
}

fn typed(expr: Expr, schema: &DFSchema, narrow: bool) -> PlanResult<Transformed<Expr>> {
    deferred::written_out(expr)?
        .transform_data(|expr| type_expression_with(collation::apply(expr, schema)?, schema, narrow))
}

fn type_expression_with(expr: Expr, schema: &DFSchema, narrow: bool) -> PlanResult<Transformed<Expr>> {
    expr.transform_up(|mut expr| {
        let renamed = match &mut expr {
            Expr::AggregateFunction(function) => function.params.args.iter_mut().map(unnamed).max(),
            Expr::WindowFunction(function) => function.params.args.iter_mut().map(unnamed).max(),
            _ => None,
        };
        let typed = type_part(expr, schema, narrow)?;
        Ok(if renamed == Some(true) { Transformed::yes(typed.data) } else { typed })
    })
}

fn type_part(expr: Expr, schema: &DFSchema, narrow: bool) -> PlanResult<Transformed<Expr>> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), None) if narrow => match i32::try_from(number) {
            Ok(number) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(number)), None))),
            Err(_) => Ok(Transformed::no(Expr::Literal(ScalarValue::Int64(Some(number)), None))),
        },
        // VALUES gives its NULLs the type that its literals had.
        Expr::Literal(ScalarValue::Int64(None), None) if narrow => {
            Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(None), None)))
        }
        Expr::Cast(cast) => {
            let from = logical_type(&cast.expr, schema);
            let to = data_type(&cast.field).ok();
            match (from, to) {
                (Some(from), Some(to)) if !same_in_arrow(&from, &to) => {
                    Ok(Transformed::yes(cast_to(*cast.expr, &to)))
                }
                // What the engine runs takes the cast's word for whether there may be NULLs, plans that of what is cast.
                _ if cast.field.is_nullable() && !cast.expr.nullable(schema)? => {
                    let field = Arc::new(cast.field.as_ref().clone().with_nullable(false));
                    Ok(Transformed::yes(Expr::Cast(Cast { expr: cast.expr, field })))
                }
                _ => Ok(Transformed::no(Expr::Cast(cast))),
            }
        }
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            let (left, right) = (binary.left.as_ref().clone(), binary.right.as_ref().clone());
            match comparable(left, right, schema) {
                Ok((left, right)) if left != *binary.left || right != *binary.right => {
                    let (left, right) = (Box::new(left), Box::new(right));
                    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op: binary.op, right })))
                }
                _ => Ok(Transformed::no(Expr::BinaryExpr(binary))),
            }
        }
        Expr::Case(case) => {
            let before = Expr::Case(case.clone());
            let typed = crate::plan::unify::case(case, schema)?;
            Ok(if typed == before { Transformed::no(typed) } else { Transformed::yes(typed) })
        }
        Expr::ScalarFunction(function) if let Some(again) = retyped(&function, schema) => {
            Ok(Transformed::yes(again))
        }
        Expr::ScalarFunction(function) => match crate::plan::unify::expand(&function, schema)? {
            Some(expanded) => Ok(Transformed::yes(expanded)),
            None => Ok(Transformed::no(Expr::ScalarFunction(function))),
        },
        Expr::Like(like) if matches!(logical_type(&like.expr, schema), Some(DataType::Enum(_))) => {
            let known = logical_type(&like.expr, schema).map_or_else(String::new, |known| known.base_name());
            let symbol = match (like.negated, like.case_insensitive) {
                (false, false) => "~~",
                (true, false) => "!~~",
                (false, true) => "~~*",
                (true, true) => "!~~*",
            };
            let message = format!("operator does not exist: {known} {symbol} unknown");
            Err(to_datafusion(
                Error::new(ErrorKind::UndefinedFunction, message)
                    .hint("No operator matches the given name and argument types. Cast the value to text."),
            ))
        }
        Expr::AggregateFunction(function)
            if computes(function.func.name(), &function.params.args, schema) =>
        {
            Err(no_labels(function.func.name(), &function.params.args, schema))
        }
        // DataFusion counts by what is known of a table where the literal is its own.
        Expr::AggregateFunction(mut function)
            if function.func.name() == "count"
                && matches!(
                    function.params.args.as_slice(),
                    [Expr::Literal(ScalarValue::Int32(Some(1)), None)]
                ) =>
        {
            function.params.args = vec![Expr::Literal(COUNT_STAR_EXPANSION, None)];
            Ok(Transformed::yes(Expr::AggregateFunction(function)))
        }
        Expr::AggregateFunction(mut function) => {
            if function.func.name() == "sum"
                && let Some(sum) = wide_sum(&function, schema)?
            {
                return Ok(Transformed::yes(sum));
            }
            let widened = is_exact(function.func.name())
                && widen(function.func.name(), &mut function.params.args, schema);
            let distinct = crate::plan::equality::distinct(&mut function, schema);
            let function = Expr::AggregateFunction(function);
            Ok(if widened || distinct { Transformed::yes(function) } else { Transformed::no(function) })
        }
        Expr::ScalarSubquery(subquery) => crate::plan::unify::scalar(subquery),
        Expr::InSubquery(list) => crate::plan::equality::in_subquery(list, schema),
        Expr::WindowFunction(mut function) => {
            let peers = crate::plan::equality::window(&mut function.params, schema);
            let changed = is_exact(function.fun.name())
                && widen(function.fun.name(), &mut function.params.args, schema);
            let function = Expr::WindowFunction(function);
            Ok(if changed || peers { Transformed::yes(function) } else { Transformed::no(function) })
        }
        Expr::Between(between) if needs_keys(&between, schema) => {
            let compare = |op: Operator, bound: &Expr| match comparable(
                between.expr.as_ref().clone(),
                bound.clone(),
                schema,
            ) {
                Ok((left, right)) => {
                    let (left, right) = ordered(left, op, right, schema);
                    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
                }
                Err(_) => Expr::BinaryExpr(BinaryExpr {
                    left: between.expr.clone(),
                    op,
                    right: Box::new(bound.clone()),
                }),
            };
            let inside = compare(Operator::GtEq, &between.low).and(compare(Operator::LtEq, &between.high));
            Ok(Transformed::yes(if between.negated { Expr::Not(Box::new(inside)) } else { inside }))
        }
        Expr::InList(list) if list_needs_keys(&list, schema) || computes_items(&list) => {
            let mut parts = list.list.iter().map(|item| {
                match comparable(list.expr.as_ref().clone(), item.clone(), schema) {
                    Ok((left, right)) => left.eq(right),
                    Err(_) => list.expr.as_ref().clone().eq(item.clone()),
                }
            });
            let Some(first) = parts.next() else { return Ok(Transformed::no(Expr::InList(list.clone()))) };
            let any = parts.fold(first, Expr::or);
            Ok(Transformed::yes(if list.negated { Expr::Not(Box::new(any)) } else { any }))
        }
        Expr::Between(mut between) => {
            let wanted = logical_type(&between.expr, schema);
            let low = unknown_literal(&between.low).is_some() && adopt(&mut between.low, wanted.clone());
            let high = unknown_literal(&between.high).is_some() && adopt(&mut between.high, wanted);
            let between = Expr::Between(between);
            Ok(if low || high { Transformed::yes(between) } else { Transformed::no(between) })
        }
        Expr::InList(mut list) => {
            let wanted = logical_type(&list.expr, schema);
            let mut changed = false;
            for item in &mut list.list {
                if unknown_literal(item).is_some() {
                    let mut boxed = Box::new(item.clone());
                    changed |= adopt(&mut boxed, wanted.clone());
                    *item = *boxed;
                }
            }
            let list = Expr::InList(list);
            Ok(if changed { Transformed::yes(list) } else { Transformed::no(list) })
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether an aggregate would count with the positions of an enum's labels.
fn computes(name: &str, arguments: &[Expr], schema: &DFSchema) -> bool {
    let counts = ["sum", "avg", "bit_and", "bit_or", "bit_xor"];
    let label = |expr: &Expr| matches!(logical_type(expr, schema), Some(DataType::Enum(_)));
    (counts.contains(&name) || Statistics::NAMES.contains(&name)) && arguments.first().is_some_and(label)
}

/// The error of an aggregate that labels do not have.
fn no_labels(name: &str, arguments: &[Expr], schema: &DFSchema) -> datafusion::error::DataFusionError {
    let given: Vec<String> = arguments
        .iter()
        .map(|argument| logical_type(argument, schema).map_or_else(|| "unknown".into(), |it| it.base_name()))
        .collect();
    let message = format!("function {name}({}) does not exist", given.join(", "));
    let error = Error::new(ErrorKind::UndefinedFunction, message);
    to_datafusion(error.hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    ))
}

/// Whether it is an aggregate that computes exactly with numbers that are exact.
fn is_exact(name: &str) -> bool {
    name == "sum" || Statistics::NAMES.contains(&name)
}

/// `CASE WHEN condition THEN term ELSE 0 END`: the term, and the condition.
fn or_zero(expr: &Expr) -> Option<(&Expr, &Expr)> {
    let Expr::Case(case) = expr else { return None };
    let zero = |expr: &Expr| {
        matches!(
            before_number(expr),
            Expr::Literal(ScalarValue::Int32(Some(0)) | ScalarValue::Int64(Some(0)), None)
        )
    };
    match (&case.expr, case.when_then_expr.as_slice(), &case.else_expr) {
        (None, [(condition, term)], Some(rest)) if zero(rest) => Some((term, condition)),
        _ => None,
    }
}

/// The sum of decimals where it has no fixed type, and of products that have none of factors that have one.
fn wide_sum(function: &AggregateFunction, schema: &DFSchema) -> PlanResult<Option<Expr>> {
    let params = &function.params;
    let [argument] = params.args.as_slice() else { return Ok(None) };
    if params.distinct || !params.order_by.is_empty() {
        return Ok(None);
    }
    let factor = |side: &Expr| {
        let side = before_number(side);
        let known = logical_type(side, schema)?;
        let digits = fixed(&known)?;
        Some((convert(side.clone(), &Operand::Known(known), &decimal(digits)), digits))
    };
    let (argument, condition) = match or_zero(argument) {
        Some((term, condition)) => (term, Some(condition.clone())),
        None => (argument, None),
    };
    let factors = match factors(argument) {
        Some((left, right)) => factor(left).zip(factor(right)).map(|(left, right)| (left, Some(right))),
        None => match logical_type(before_number(argument), schema) {
            Some(DataType::Numeric(_)) => factor(argument).map(|one| (one, None)),
            _ => None,
        },
    };
    let Some((one, other)) = factors else { return Ok(None) };
    if let Some(condition) = &condition {
        let sure = cannot_fail(&one.0) && other.as_ref().is_none_or(|other| cannot_fail(&other.0));
        if !sure || logical_type(condition, schema) != Some(DataType::Bool) {
            return Ok(None);
        }
    }
    let name = function.func.schema_name(params)?;
    Ok(wide_sum::wide_sum(name, Term { one, other, condition }, params.filter.clone()))
}

/// Digits of a sum's values beside which its own 38 leave room for as many values as there can be.
const SUMMED_DIGITS_MAX: u8 = 28;

/// Gives an aggregate, or one over a window, the argument that it computes with; whether it is such a one.
pub(crate) fn widen_aggregate(expr: &mut Expr, schema: &DFSchema) -> bool {
    let (name, arguments) = match expr {
        Expr::AggregateFunction(function) => {
            (function.func.name().to_owned(), function.params.args.as_mut_slice())
        }
        Expr::WindowFunction(function) => {
            (function.fun.name().to_owned(), function.params.args.as_mut_slice())
        }
        _ => return false,
    };
    is_exact(&name) && widen(&name, arguments, schema)
}

/// Makes an aggregate's argument what it computes with: the sum of `bigint` is `numeric`, and so are all
/// statistics of exact numbers.
fn widen(name: &str, arguments: &mut [Expr], schema: &DFSchema) -> bool {
    let [argument] = arguments else { return false };
    let Some(known) = logical_type(argument, schema) else { return false };
    let wide = match known {
        DataType::Int8 if name == "sum" => DataType::Numeric(Some((19, 0))),
        DataType::Int2 | DataType::Int4 if name == "sum" => return false,
        DataType::Numeric(_) if name == "sum" => match known.decimal() {
            Some((precision, _)) if precision > SUMMED_DIGITS_MAX => DataType::Numeric(None),
            _ => return false,
        },
        DataType::Numeric(_) if known.is_wide_numeric() => return false,
        DataType::Int2 | DataType::Int4 | DataType::Int8 | DataType::Numeric(_) => DataType::Numeric(None),
        _ => return false,
    };
    let taken = std::mem::replace(argument, Expr::Literal(ScalarValue::Null, None));
    *argument = convert(taken, &Operand::Known(known), &wide);
    true
}

/// Whether values of the type compare by something else than their bytes.
fn has_key(expr: &Expr, schema: &DFSchema) -> bool {
    logical_type(expr, schema).is_some_and(|known| {
        known.is_wide_numeric() || matches!(known, DataType::Interval | DataType::Array(_))
    })
}

fn needs_keys(between: &datafusion::logical_expr::Between, schema: &DFSchema) -> bool {
    [&between.expr, &between.low, &between.high].into_iter().any(|expr| has_key(expr, schema))
}

/// Whether an item of a list is more than a column or a literal. DataFusion computes one with CASE once, of no row, and takes that for a
/// constant.
fn computes_items(list: &datafusion::logical_expr::expr::InList) -> bool {
    let computed = |part: &Expr| Ok(matches!(part, Expr::Case(_) | Expr::ScalarFunction(_)));
    let names_columns = |item: &Expr| item.exists(|part| Ok(matches!(part, Expr::Column(_)))).unwrap_or(true);
    !list.expr.is_volatile()
        && list.list.iter().any(|item| names_columns(item) && item.exists(computed).unwrap_or(true))
}

fn list_needs_keys(list: &datafusion::logical_expr::expr::InList, schema: &DFSchema) -> bool {
    has_key(&list.expr, schema) || list.list.iter().any(|item| has_key(item, schema))
}

/// A string literal without a type of its own.
pub(crate) fn unknown_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
            None,
        ) => Some(text),
        _ => None,
    }
}

/// Makes a string literal one of the wanted type, unless that is text anyway.
fn adopt(literal: &mut Box<Expr>, wanted: Option<DataType>) -> bool {
    match wanted {
        None | Some(DataType::Text | DataType::Varchar(_) | DataType::Char(_) | DataType::Name) => false,
        Some(wanted) => {
            let wanted = match wanted {
                // The other side's precision does not bind the literal.
                DataType::Numeric(_) => DataType::Numeric(None),
                // It is compared as the number that it is.
                DataType::Reg(_) => DataType::Oid,
                other => other,
            };
            let taken = std::mem::replace(literal.as_mut(), Expr::Literal(ScalarValue::Null, None));
            **literal = cast_to(taken, &wanted);
            true
        }
    }
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// PostgreSQL's type of an expression, where it can be told.
pub(crate) fn logical_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    let (_, known) = expr.to_field(schema).ok()?;
    if known.data_type() == &ArrowType::Null {
        return None;
    }
    data_type(known.as_ref() as &Field).ok()
}

/// Whether Arrow converts between the types as PostgreSQL does.
pub(crate) fn same_in_arrow(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float4, Float8, Int2, Int4, Int8, Text, Varchar};
    let width = |data_type: &DataType| match data_type {
        Int2 => Some(2),
        Int4 => Some(4),
        Int8 => Some(8),
        _ => None,
    };
    match (width(from), width(to)) {
        (Some(from), Some(to)) => return to >= from,
        (Some(_), None) if matches!(to, Float4 | Float8) => return true,
        _ => {}
    }
    from == to || matches!((from, to), (Float4, Float8) | (Text | Varchar(_), Text | Varchar(None)))
}
