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
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast;
use luma_model::DataType;
use luma_model::arrow::{data_type, field};

use crate::error::to_datafusion;
use crate::functions::cast::cast_to;
use crate::types;

/// Types as PostgreSQL names them.
#[derive(Debug)]
pub(crate) struct PostgresTypePlanner;

impl TypePlanner for PostgresTypePlanner {
    fn plan_type_field(&self, sql: &ast::DataType) -> PlanResult<Option<FieldRef>> {
        let planned = types::data_type(sql).map_err(to_datafusion)?;
        Ok(Some(Arc::new(field("", &planned, true))))
    }
}

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct PostgresTypes;

impl AnalyzerRule for PostgresTypes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> PlanResult<LogicalPlan> {
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
    let typed = plan.map_expressions(|expr| {
        let saved = names.save(&expr);
        let typed = type_expression_with(expr, &schema, narrow)?;
        Ok(typed.update_data(|expr| saved.restore(expr)))
    })?;
    if !typed.transformed {
        return Ok(typed);
    }
    typed.map_data(|plan| match plan {
        // The types of VALUES are found when it is built.
        LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
        other => other.recompute_schema(),
    })
}

/// Gives an expression over `schema` PostgreSQL's types.
pub(crate) fn type_expression(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    type_expression_with(expr, schema, true)
}

fn type_expression_with(expr: Expr, schema: &DFSchema, narrow: bool) -> PlanResult<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), None) if narrow => match i32::try_from(number) {
            Ok(number) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(number)), None))),
            Err(_) => Ok(Transformed::no(Expr::Literal(ScalarValue::Int64(Some(number)), None))),
        },
        Expr::Cast(cast) => {
            let from = logical_type(&cast.expr, schema);
            let to = data_type(&cast.field).ok();
            match (from, to) {
                (Some(from), Some(to)) if !same_in_arrow(&from, &to) => {
                    Ok(Transformed::yes(cast_to(*cast.expr, &to)))
                }
                _ => Ok(Transformed::no(Expr::Cast(cast))),
            }
        }
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            let left = unknown_literal(&binary.left).map(|_| ());
            let right = unknown_literal(&binary.right).map(|_| ());
            let BinaryExpr { left: mut left_expr, op, right: mut right_expr } = binary;
            let mut changed = false;
            match (left, right) {
                (None, Some(())) => changed = adopt(&mut right_expr, logical_type(&left_expr, schema)),
                (Some(()), None) => changed = adopt(&mut left_expr, logical_type(&right_expr, schema)),
                _ => {}
            }
            let binary = Expr::BinaryExpr(BinaryExpr { left: left_expr, op, right: right_expr });
            Ok(if changed { Transformed::yes(binary) } else { Transformed::no(binary) })
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
    })
}

/// A string literal without a type of its own.
fn unknown_literal(expr: &Expr) -> Option<&str> {
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
fn same_in_arrow(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date, Float4, Float8, Int2, Int4, Int8, Text, Timestamp, TimestampTz, Varchar};
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
    from == to
        || matches!(
            (from, to),
            (Float4, Float8)
                | (Date, Timestamp)
                | (Date | Timestamp, TimestampTz)
                | (Text | Varchar(_), Text | Varchar(None))
        )
}
