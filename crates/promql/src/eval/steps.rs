//! Steps that stand for themselves: whose value is the same in every range query that has them.
//!
//! It is so unless something asks for the query's start or end or for what is the same at all steps, or could fail in a longer
//! query only. And it is so to the last bit: sums are over series in an order that does not depend on
//! which of them have samples at other steps.

use crate::ast::{Boundary, DurationExpr, Expr, Shift, ValueType, VectorSelector};
use crate::value::Series;

use super::{Context, Evaluated};

impl Context<'_> {
    /// How far behind a step's time the latest sample lies that its value may depend on, in milliseconds: below 0 if it lies before,
    /// the lowest number if the value depends on none. `None` if a step does not stand for itself.
    pub fn ahead(&self, expr: &Expr, in_subquery: bool) -> Option<i64> {
        let inner = |expr: &Expr| self.ahead(expr, in_subquery);
        match expr {
            Expr::Aggregate(aggregate) => {
                let fixed =
                    |param: &Expr| matches!(param.without_parens(), Expr::Number(..) | Expr::String(..));
                if !aggregate.param.as_ref().is_none_or(fixed) {
                    return None;
                }
                inner(&aggregate.operand)
            }
            // Two series of the same labels are an error unless there is one step only, and a subquery may have one
            // where in a longer query it has more.
            Expr::Binary(_) | Expr::Call(_) if in_subquery && assembles(expr) => None,
            Expr::Binary(binary) => Some(inner(&binary.left)?.max(inner(&binary.right)?)),
            Expr::Call(call) if is_of_query(call.function.name) => None,
            Expr::Call(call) => {
                // Info metrics are looked for at the step itself.
                let own = if call.function.name == "info" { 0 } else { i64::MIN };
                call.args.iter().try_fold(own, |ahead, arg| Some(ahead.max(inner(arg)?)))
            }
            Expr::Matrix(matrix) => {
                self.alone(&matrix.range)?;
                self.selected(&matrix.selector)
            }
            Expr::Vector(selector) => self.selected(selector),
            Expr::Number(..) | Expr::String(..) => Some(i64::MIN),
            Expr::Paren(operand, _) => inner(operand),
            Expr::Unary(unary) => inner(&unary.operand),
            Expr::Subquery(subquery) => {
                self.alone(&subquery.range)?;
                subquery.step.as_ref().map_or(Some(0), |step| self.alone(step))?;
                let back = self.back(&subquery.shift)?;
                Some(self.ahead(&subquery.operand, true)?.saturating_sub(back))
            }
        }
    }

    /// The same of a selector: values between samples need one behind the step.
    fn selected(&self, selector: &VectorSelector) -> Option<i64> {
        let after = if selector.boundary == Boundary::Smoothed { self.options.lookback_ms } else { 0 };
        Some(after.saturating_sub(self.back(&selector.shift)?))
    }

    fn back(&self, shift: &Shift) -> Option<i64> {
        if shift.at.is_some() {
            return None;
        }
        shift.offset.as_ref().map_or(Some(0), |offset| self.alone(offset))
    }

    /// Milliseconds of a duration that does not depend on how long the query is.
    fn alone(&self, duration: &DurationExpr) -> Option<i64> {
        if has_range(duration) { None } else { self.duration(duration, false).ok() }
    }
}

fn has_range(duration: &DurationExpr) -> bool {
    match duration {
        DurationExpr::Literal(_) | DurationExpr::Step => false,
        DurationExpr::Range => true,
        DurationExpr::Negative(inner) => has_range(inner),
        DurationExpr::Arithmetic(_, a, b) | DurationExpr::Min(a, b) | DurationExpr::Max(a, b) => {
            has_range(a) || has_range(b)
        }
    }
}

/// Functions that ask for the query's start or end; that of starts notices whether any sample of a series has one.
fn is_of_query(name: &str) -> bool {
    matches!(name, "start" | "end" | "range" | "start_timestamp")
}

/// Whether an expression's series are put together step by step.
fn assembles(expr: &Expr) -> bool {
    match expr {
        Expr::Binary(binary) => {
            let vector = |side: &Expr| side.value_type() == ValueType::Vector;
            vector(&binary.left) && vector(&binary.right)
        }
        Expr::Call(call) => matches!(
            call.function.name,
            "info" | "histogram_quantile" | "histogram_quantiles" | "histogram_fraction"
        ),
        _ => false,
    }
}

/// Whether the order of an expression's series may depend on which step has which series.
fn rearranges(expr: &Expr) -> bool {
    match expr {
        Expr::Aggregate(_) => true,
        Expr::Call(call) => assembles(expr) || matches!(call.function.name, "label_replace" | "label_join"),
        expr => assembles(expr),
    }
}

/// Puts the series of a range query in an order that is the same whatever the range.
pub(super) fn arranged(expr: &Expr, mut value: Evaluated) -> Evaluated {
    if let Evaluated::Series(series) = &mut value
        && rearranges(expr)
    {
        series.sort_by(by_labels);
    }
    value
}

fn by_labels(a: &Series, b: &Series) -> std::cmp::Ordering {
    a.labels.cmp(&b.labels).then(a.drop_name.cmp(&b.drop_name))
}
