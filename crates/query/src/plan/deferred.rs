//! CASE, IS DISTINCT FROM and some casts as calls until the types of their operands are known.
//!
//! DataFusion gives CASE the Arrow type of its first result, without what says that a text is `jsonb`, and refuses IS DISTINCT
//! FROM between numbers in two forms, both while it plans the statement. A call says its own type. The analyzer begins with
//! writing such calls out as the expressions that they stand for.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::sql::sqlparser::ast;
use luma_model::arrow::field;
use luma_model::{DataType, Result};

use crate::error::to_datafusion;
use crate::functions::overload::argument_type;
use crate::plan::operator::Operand;
use crate::plan::rewrite::call;
use crate::plan::unify::common_type;

/// `CASE WHEN c THEN v … ELSE e END` as `(c, v, …, e)`.
const CASE: &str = "luma_case";
/// `CASE x WHEN y THEN v … ELSE e END` as `(x, y, v, …, e)`.
const CASE_OF: &str = "luma_case_of";
const DISTINCT: &str = "luma_is_distinct";
const NOT_DISTINCT: &str = "luma_is_not_distinct";
/// A value after its name: DataFusion calls a cast like what is cast.
pub(super) const NAMED: &str = "luma_named";

/// Makes a call of such an expression, whose parts are rewritten already; others stay.
pub(super) fn defer(expr: &mut ast::Expr) {
    match expr {
        ast::Expr::Case { operand, conditions, else_result, .. } => {
            let name = if operand.is_some() { CASE_OF } else { CASE };
            let mut arguments: Vec<ast::Expr> = operand.take().map(|operand| *operand).into_iter().collect();
            for branch in std::mem::take(conditions) {
                arguments.extend([branch.condition, branch.result]);
            }
            arguments.extend(else_result.take().map(|result| *result));
            *expr = call(name, arguments);
        }
        ast::Expr::IsDistinctFrom(left, right) => {
            *expr = call(DISTINCT, vec![left.as_ref().clone(), right.as_ref().clone()]);
        }
        ast::Expr::IsNotDistinctFrom(left, right) => {
            *expr = call(NOT_DISTINCT, vec![left.as_ref().clone(), right.as_ref().clone()]);
        }
        _ => {}
    }
}

/// The places of what a CASE of so many arguments may give, ELSE first: the type of that one counts most.
fn results(subject: bool, count: usize) -> impl Iterator<Item = usize> {
    let first = usize::from(subject);
    let has_else = (count - first.min(count)) % 2 == 1;
    let last = has_else.then(|| count - 1);
    last.into_iter().chain((first + 1..count).step_by(2))
}

/// The values that a deferred CASE may give; `None` for another function.
pub(super) fn values(function: &ScalarFunction) -> Option<Vec<&Expr>> {
    let subject = match function.func.name() {
        CASE => false,
        CASE_OF => true,
        _ => return None,
    };
    Some(results(subject, function.args.len()).filter_map(|place| function.args.get(place)).collect())
}

/// The types that the arguments have in common with others, for parameters among them; `None` for another function.
pub(super) fn types(name: &str, operands: &[Operand]) -> Option<Vec<DataType>> {
    let common = |places: &[usize]| {
        let some: Vec<Operand> = places.iter().filter_map(|place| operands.get(*place)).cloned().collect();
        common_type("", &some).ok()
    };
    let all: Vec<usize> = (0..operands.len()).collect();
    match name {
        DISTINCT | NOT_DISTINCT => Some(vec![common(&all)?; operands.len()]),
        CASE | CASE_OF => {
            let given: Vec<usize> = results(name == CASE_OF, operands.len()).collect();
            let tested: Vec<usize> = all.into_iter().filter(|place| !given.contains(place)).collect();
            let result = common(&given)?;
            let test = if name == CASE { DataType::Bool } else { common(&tested)? };
            let of = |place| if given.contains(&place) { result.clone() } else { test.clone() };
            Some((0..operands.len()).map(of).collect())
        }
        _ => None,
    }
}

/// The expression with its deferred parts written out.
pub(super) fn written_out(expr: Expr) -> PlanResult<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::ScalarFunction(function) => match function.func.name() {
            CASE | CASE_OF => {
                let mut parts = function.args.into_iter();
                let subject = if function.func.name() == CASE_OF { parts.next().map(Box::new) } else { None };
                let mut case = Case { expr: subject, when_then_expr: Vec::new(), else_expr: None };
                while let Some(part) = parts.next() {
                    match parts.next() {
                        Some(result) => case.when_then_expr.push((Box::new(part), Box::new(result))),
                        None => case.else_expr = Some(Box::new(part)),
                    }
                }
                Ok(Transformed::yes(Expr::Case(case)))
            }
            name @ (DISTINCT | NOT_DISTINCT) => {
                let op =
                    if name == DISTINCT { Operator::IsDistinctFrom } else { Operator::IsNotDistinctFrom };
                let mut sides = function.args.into_iter().map(Box::new);
                let (Some(left), Some(right)) = (sides.next(), sides.next()) else {
                    return internal_err!("{op} has two sides");
                };
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
            NAMED => match function.args.into_iter().nth(1) {
                Some(value) => Ok(Transformed::yes(value)),
                None => internal_err!("a name without a value"),
            },
            _ => Ok(Transformed::no(Expr::ScalarFunction(function))),
        },
        other => Ok(Transformed::no(other)),
    })
}

/// Such a call; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Deferred {
    name: &'static str,
    signature: Signature,
}

impl Deferred {
    pub(crate) const NAMES: [&'static str; 5] = [CASE, CASE_OF, DISTINCT, NOT_DISTINCT, NAMED];

    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::new(TypeSignature::VariadicAny, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Deferred {
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
        if matches!(self.name, DISTINCT | NOT_DISTINCT) {
            return Ok(Arc::new(field(self.name, &DataType::Bool, true)));
        }
        let places: Vec<usize> = match self.name {
            NAMED => vec![1],
            name => results(name == CASE_OF, args.arg_fields.len()).collect(),
        };
        let operands = places
            .into_iter()
            .filter_map(|place| args.arg_fields.get(place).zip(args.scalar_arguments.get(place)))
            .map(|(argument, literal)| {
                Ok(argument_type(argument, *literal)?.map_or(Operand::Unknown, Operand::Known))
            })
            .collect::<Result<Vec<_>>>()
            .map_err(to_datafusion)?;
        let common = common_type("CASE", &operands).map_err(to_datafusion)?;
        Ok(Arc::new(field(self.name, &common, true)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        internal_err!("{} was not written out", self.name)
    }
}
