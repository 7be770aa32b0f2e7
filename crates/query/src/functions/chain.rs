//! Many operators one upon the other as one function.
//!
//! `a + b + c + …` is a tree as deep as it is long, and DataFusion asks each node of a plan for its type and its name again and again, which
//! look at everything below: a tree of some hundred levels would be planned for minutes. Past [`DEEP`] levels the operators
//! are kept as a list, which is computed from left to right as the tree would have been.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{DFSchema, ScalarValue, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

/// Operators that stay a tree.
const DEEP: usize = 16;

/// The operators between its arguments, from left to right.
#[derive(Debug)]
pub(crate) struct Chain {
    operators: Vec<Arc<ScalarUDF>>,
    /// What it gives for the arguments that it was planned with.
    pub(crate) result: FieldRef,
    signature: Signature,
}

/// The chain that a call is of.
pub(crate) fn of(expr: &Expr) -> Option<&Chain> {
    match expr {
        Expr::ScalarFunction(function) => function.func.inner().as_ref().downcast_ref::<Chain>(),
        _ => None,
    }
}

/// An operator's call as it is, or as the end of a chain if what is on its left is deep.
pub(crate) fn shortened(call: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    let Expr::ScalarFunction(call) = call else { return Ok(call) };
    let Some(left) = call.args.first().filter(|_| call.args.len() == 2) else {
        return Ok(Expr::ScalarFunction(call));
    };
    if untyped(&call.args[1]) {
        return Ok(Expr::ScalarFunction(call));
    }
    if let Some(chain) = of(left) {
        let (mut operators, mut result) = (chain.operators.clone(), Arc::clone(&chain.result));
        let Some((arguments, right)) = sides(call.args) else {
            return internal_err!("an operator has two sides");
        };
        let Expr::ScalarFunction(ScalarFunction { mut args, .. }) = arguments else {
            return internal_err!("a chain is a call");
        };
        result = after(&call.func, (&result, None), &right, schema)?;
        operators.push(call.func);
        args.push(right);
        return Ok(Chain::call(operators, result, args));
    }
    if !is_deep(left) {
        return Ok(Expr::ScalarFunction(call));
    }
    let (mut operators, mut args) = (Vec::new(), Vec::new());
    let mut rest = Expr::ScalarFunction(call);
    let first = loop {
        match rest {
            Expr::ScalarFunction(ScalarFunction { func, args: both }) if operators.len() <= DEEP => {
                let Some((left, right)) = sides(both) else {
                    return internal_err!("an operator has two sides");
                };
                operators.push(func);
                args.push(right);
                rest = left;
            }
            first => break first,
        }
    };
    operators.reverse();
    args.push(first);
    args.reverse();
    let (_, mut result) = args[0].to_field(schema)?;
    let mut literal = literal(&args[0]);
    for (operator, argument) in operators.iter().zip(&args[1..]) {
        result = after(operator, (&result, literal.take()), argument, schema)?;
    }
    Ok(Chain::call(operators, result, args))
}

fn sides(arguments: Vec<Expr>) -> Option<(Expr, Expr)> {
    let mut arguments = arguments.into_iter();
    Some((arguments.next()?, arguments.next()?))
}

/// Whether [`DEEP`] operators stand upon one another on the left, all of whose types are known.
fn is_deep(expr: &Expr) -> bool {
    let mut node = expr;
    for _ in 0..DEEP {
        let Expr::ScalarFunction(ScalarFunction { args, .. }) = node else { return false };
        let [left, right] = args.as_slice() else { return false };
        if untyped(right) {
            return false;
        }
        node = left;
    }
    !untyped(node)
}

/// A parameter whose type is not known yet.
fn untyped(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }))
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// The result of one operator more.
fn after(
    operator: &ScalarUDF,
    left: (&FieldRef, Option<&ScalarValue>),
    right: &Expr,
    schema: &DFSchema,
) -> PlanResult<FieldRef> {
    let (_, field) = right.to_field(schema)?;
    operator.return_field_from_args(ReturnFieldArgs {
        arg_fields: &[Arc::clone(left.0), field],
        scalar_arguments: &[left.1, literal(right)],
    })
}

impl Chain {
    fn call(operators: Vec<Arc<ScalarUDF>>, result: FieldRef, arguments: Vec<Expr>) -> Expr {
        // The least reliable of them decides.
        let volatility = |wanted| operators.iter().any(|operator| operator.signature().volatility == wanted);
        let volatility =
            [Volatility::Volatile, Volatility::Stable].into_iter().find(|wanted| volatility(*wanted));
        let signature = Signature::variadic_any(volatility.unwrap_or(Volatility::Immutable));
        let function = ScalarUDF::new_from_impl(Self { operators, result, signature });
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), arguments))
    }
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.operators == other.operators
    }
}

impl Eq for Chain {}

impl Hash for Chain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operators.hash(state);
    }
}

impl ScalarUDFImpl for Chain {
    fn name(&self) -> &'static str {
        "operators"
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        use std::fmt::Write;
        let mut name = String::new();
        for (place, argument) in args.iter().enumerate() {
            if let Some(operator) = place.checked_sub(1).and_then(|before| self.operators.get(before)) {
                let _ = write!(name, " {} ", operator.name());
            }
            let _ = write!(name, "{}", argument.schema_name());
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(self.result.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let Some(mut result) = args.arg_fields.first().cloned() else {
            return internal_err!("operators have arguments");
        };
        let mut scalar = args.scalar_arguments.first().copied().flatten();
        let rights = args.arg_fields.iter().zip(args.scalar_arguments).skip(1);
        for (operator, (field, right)) in self.operators.iter().zip(rights) {
            result = operator.return_field_from_args(ReturnFieldArgs {
                arg_fields: &[result, Arc::clone(field)],
                scalar_arguments: &[scalar.take(), *right],
            })?;
        }
        Ok(result)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let ScalarFunctionArgs { args, arg_fields, number_rows, config_options, .. } = args;
        let mut arguments = args.into_iter().zip(arg_fields);
        let Some((mut value, mut field)) = arguments.next() else {
            return internal_err!("operators have arguments");
        };
        let mut first = true;
        for (operator, (right, right_field)) in self.operators.iter().zip(arguments) {
            let scalar = |value: &ColumnarValue| match value {
                ColumnarValue::Scalar(scalar) => Some(scalar.clone()),
                ColumnarValue::Array(_) => None,
            };
            // What was computed is no literal, even if it is the same for all rows.
            let (left_scalar, right_scalar) = (scalar(&value).filter(|_| first), scalar(&right));
            first = false;
            let arg_fields = vec![field, right_field];
            let return_field = operator.return_field_from_args(ReturnFieldArgs {
                arg_fields: &arg_fields,
                scalar_arguments: &[left_scalar.as_ref(), right_scalar.as_ref()],
            })?;
            field = Arc::clone(&return_field);
            value = operator.invoke_with_args(ScalarFunctionArgs {
                args: vec![value, right],
                arg_fields,
                number_rows,
                return_field,
                config_options: Arc::clone(&config_options),
            })?;
        }
        Ok(value)
    }
}
