//! Types: which expressions fit where.

use super::{Fault, Parsed};
use crate::ast::{AggregateOp, Binary, Call, Cardinality, Expr, Span, ValueType, VectorSelector};
use crate::labels::METRIC_NAME;
use crate::number::quoted;

pub(super) fn check(expr: &Expr, text: &str) -> Parsed<()> {
    match expr {
        Expr::Aggregate(a) => {
            expect(&a.operand, ValueType::Vector, "aggregation expression", text)?;
            if let Some(param) = &a.param {
                let want =
                    if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                expect(param, want, "aggregation parameter", text)?;
            }
            Ok(())
        }
        Expr::Binary(b) => binary(b, expr.span(), text),
        Expr::Call(c) => call(c, text),
        Expr::Matrix(m) => check_selector(&m.selector),
        Expr::Number(..) | Expr::String(..) => Ok(()),
        Expr::Paren(inner, _) => check(inner, text),
        Expr::Subquery(s) => {
            check(&s.operand, text)?;
            match s.operand.value_type() {
                ValueType::Vector => Ok(()),
                other => Err(Fault::new(
                    s.span,
                    format!("subquery is only allowed on instant vector, got {} instead", other.name()),
                )),
            }
        }
        Expr::Unary(u) => {
            check(&u.operand, text)?;
            match u.operand.value_type() {
                ValueType::Scalar | ValueType::Vector => Ok(()),
                other => Err(Fault::new(
                    u.span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quoted(other.documented())
                    ),
                )),
            }
        }
        Expr::Vector(v) => check_selector(v),
    }
}

fn expect(expr: &Expr, want: ValueType, context: &str, text: &str) -> Parsed<()> {
    check(expr, text)?;
    let got = expr.value_type();
    if got == want {
        return Ok(());
    }
    let message = format!("expected type {} in {context}, got {}", want.documented(), got.documented());
    Err(Fault::new(expr.span(), message))
}

pub(super) fn check_selector(selector: &VectorSelector) -> Parsed<()> {
    if let Some(name) = &selector.name {
        // The last matcher is the name before the braces.
        let others = selector.matchers.len().saturating_sub(1);
        if let Some(twice) = selector.matchers[..others].iter().find(|m| m.name() == METRIC_NAME) {
            let message =
                format!("metric name must not be set twice: {} or {}", quoted(name), quoted(twice.value()));
            return Err(Fault::new(selector.span, message));
        }
        return Ok(());
    }
    if selector.matchers.iter().all(|m| m.matches("")) {
        let message = "vector selector must contain at least one non-empty matcher";
        return Err(Fault::new(selector.span, message));
    }
    Ok(())
}

fn binary(b: &Binary, span: Span, text: &str) -> Parsed<()> {
    check(&b.left, text)?;
    check(&b.right, text)?;
    let (left, right) = (b.left.value_type(), b.right.value_type());
    let between = || {
        let (from, to) = (b.left.span().end, b.right.span().start);
        let gap = text.get(from..to).unwrap_or_default();
        let skipped = gap.len() - gap.trim_start().len();
        Span { start: from + skipped, end: to }
    };
    if b.return_bool && !b.op.is_comparison() {
        return Err(Fault::new(between(), "bool modifier can only be used on comparison operators"));
    }
    let both_scalar = left == ValueType::Scalar && right == ValueType::Scalar;
    if b.op.is_comparison() && !b.return_bool && both_scalar {
        return Err(Fault::new(between(), "comparisons between scalars must use BOOL modifier"));
    }
    let matching = &b.matching;
    if matching.on
        && let Some(label) = matching.labels.iter().find(|l| matching.include.contains(l))
    {
        let message = format!("label {} must not occur in ON and GROUP clause at once", quoted(label));
        return Err(Fault::new(between(), message));
    }
    for (operand, type_of) in [(&b.left, left), (&b.right, right)] {
        if !matches!(type_of, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(Fault::new(operand.span(), message));
        }
    }
    let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
    if left != ValueType::Vector || right != ValueType::Vector {
        if !matching.labels.is_empty() {
            return Err(Fault::new(span, "vector matching only allowed between instant vectors"));
        }
        if filled {
            let message = "filling in missing series only allowed between instant vectors";
            return Err(Fault::new(span, message));
        }
    } else if b.op.is_set() {
        if matching.cardinality != Cardinality::OneToOne {
            let message = format!("no grouping allowed for {} operation", quoted(b.op.name()));
            return Err(Fault::new(span, message));
        }
        if filled {
            return Err(Fault::new(span, "filling in missing series not allowed for set operators"));
        }
    }
    if (left == ValueType::Scalar || right == ValueType::Scalar) && b.op.is_set() {
        let message = format!("set operator {} not allowed in binary scalar expression", quoted(b.op.name()));
        return Err(Fault::new(span, message));
    }
    Ok(())
}

fn call(c: &Call, text: &str) -> Parsed<()> {
    let (types, given) = (c.function.args, c.args.len());
    let name = quoted(c.function.name);
    if c.function.variadic == 0 {
        if types.len() != given {
            let message = format!("expected {} argument(s) in call to {name}, got {given}", types.len());
            return Err(Fault::new(c.span, message));
        }
    } else {
        let least = types.len() - 1;
        if given < least {
            let message = format!("expected at least {least} argument(s) in call to {name}, got {given}");
            return Err(Fault::new(c.span, message));
        }
        if let Ok(more) = usize::try_from(c.function.variadic)
            && given > least + more
        {
            let most = least + more;
            let message = format!("expected at most {most} argument(s) in call to {name}, got {given}");
            return Err(Fault::new(c.span, message));
        }
    }
    let info_labels = c.function.name == "info";
    for (at, arg) in c.args.iter().enumerate() {
        if info_labels && at == 1 {
            // Which labels to take: conditions that may all accept an absent label.
            match arg.without_parens() {
                Expr::Vector(v) if v.name.is_none() => continue,
                Expr::Vector(_) => {
                    let message = "expected label selectors only, got vector selector instead";
                    return Err(Fault::new(arg.span(), message));
                }
                _ => return Err(Fault::new(arg.span(), "expected label selectors only")),
            }
        }
        let Some(want) = types.get(at).or(types.last()) else { break };
        expect(arg, *want, &format!("call to function {name}"), text)?;
    }
    Ok(())
}
