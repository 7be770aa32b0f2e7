//! A query's syntax tree as JSON, as Prometheus' web interface shows it.

use std::fmt::Write as _;

use luma_promql::answer::{write_list, write_text};
use luma_promql::ast::{
    At, Binary, Boundary, Call, Cardinality, DurationExpr, Expr, Shift, ValueType, VectorSelector,
};
use luma_promql::{MatchOp, Matcher, format_plain};

/// Writes a tree. Queries nest only so deep, so this does.
pub(crate) fn write(expr: &Expr, out: &mut String) {
    match expr {
        Expr::Aggregate(aggregate) => {
            out.push_str(r#"{"type":"aggregation","op":"#);
            write_text(aggregate.op.name(), out);
            field("expr", out, |out| write(&aggregate.operand, out));
            field("param", out, |out| match &aggregate.param {
                Some(param) => write(param, out),
                None => out.push_str("null"),
            });
            field("grouping", out, |out| texts(&aggregate.grouping, out));
            let _ = write!(out, r#","without":{}}}"#, aggregate.without);
        }
        Expr::Binary(binary) => {
            out.push_str(r#"{"type":"binaryExpr","op":"#);
            write_text(binary.op.name(), out);
            field("lhs", out, |out| write(&binary.left, out));
            field("rhs", out, |out| write(&binary.right, out));
            field("matching", out, |out| matching(binary, out));
            let _ = write!(out, r#","bool":{}}}"#, binary.return_bool);
        }
        Expr::Call(called) => call(called, out),
        Expr::Matrix(matrix) => {
            selector("matrixSelector", &matrix.selector, out);
            let _ = write!(out, r#","range":{}}}"#, milliseconds(Some(&matrix.range)));
        }
        Expr::Number(value, _) => {
            let _ = write!(out, r#"{{"type":"numberLiteral","val":"{}"}}"#, format_plain(*value));
        }
        Expr::Paren(inner, _) => {
            out.push_str(r#"{"type":"parenExpr""#);
            field("expr", out, |out| write(inner, out));
            out.push('}');
        }
        Expr::String(text, _) => {
            out.push_str(r#"{"type":"stringLiteral","val":"#);
            write_text(text, out);
            out.push('}');
        }
        Expr::Subquery(subquery) => {
            out.push_str(r#"{"type":"subquery""#);
            field("expr", out, |out| write(&subquery.operand, out));
            let (range, step) = (milliseconds(Some(&subquery.range)), milliseconds(subquery.step.as_ref()));
            let _ = write!(out, r#","range":{range},"step":{step}"#);
            shift(&subquery.shift, out);
            out.push('}');
        }
        Expr::Unary(unary) => {
            let _ = write!(out, r#"{{"type":"unaryExpr","op":"{}""#, if unary.negative { '-' } else { '+' });
            field("expr", out, |out| write(&unary.operand, out));
            out.push('}');
        }
        Expr::Vector(vector) => {
            selector("vectorSelector", vector, out);
            out.push('}');
        }
    }
}

fn field(name: &str, out: &mut String, value: impl FnOnce(&mut String)) {
    let _ = write!(out, ",\"{name}\":");
    value(out);
}

fn texts(texts: &[String], out: &mut String) {
    write_list(texts, out, |text, out| write_text(text, out));
}

fn matching(binary: &Binary, out: &mut String) {
    let vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    if !vector(&binary.left) || !vector(&binary.right) {
        out.push_str("null");
        return;
    }
    let matching = &binary.matching;
    let cardinality = match matching.cardinality {
        _ if binary.op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    let _ = write!(out, r#"{{"card":"{cardinality}","on":{}"#, matching.on);
    field("labels", out, |out| texts(&matching.labels, out));
    field("include", out, |out| texts(&matching.include, out));
    let filled = |value: Option<f64>| match value {
        Some(value) if value.is_finite() => format_plain(value),
        _ => "null".to_owned(),
    };
    let (left, right) = (filled(matching.fill_left), filled(matching.fill_right));
    let _ = write!(out, r#","fillValues":{{"lhs":{left},"rhs":{right}}}}}"#);
}

fn call(call: &Call, out: &mut String) {
    let function = call.function;
    let _ = write!(out, r#"{{"type":"call","func":{{"name":"{}","argTypes":"#, function.name);
    write_list(function.args, out, |kind, out| write_text(kind.name(), out));
    let (variadic, returns) = (function.variadic, function.returns.name());
    let _ = write!(out, r#","variadic":{variadic},"returnType":"{returns}"}}"#);
    field("args", out, |out| write_list(&call.args, out, write));
    out.push('}');
}

/// Writes a selector but for its closing brace.
fn selector(kind: &str, selector: &VectorSelector, out: &mut String) {
    let _ = write!(out, r#"{{"type":"{kind}","name":"#);
    write_text(selector.name.as_deref().unwrap_or_default(), out);
    field("matchers", out, |out| write_list(&selector.matchers, out, matcher));
    shift(&selector.shift, out);
    let (anchored, smoothed) =
        (selector.boundary == Boundary::Anchored, selector.boundary == Boundary::Smoothed);
    let _ = write!(out, r#","anchored":{anchored},"smoothed":{smoothed}"#);
}

fn matcher(matcher: &Matcher, out: &mut String) {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let _ = write!(out, r#"{{"type":"{op}","name":"#);
    write_text(matcher.name(), out);
    field("value", out, |out| write_text(matcher.value(), out));
    out.push('}');
}

fn shift(shift: &Shift, out: &mut String) {
    let _ = write!(out, r#","offset":{}"#, milliseconds(shift.offset.as_ref()));
    let (timestamp, word) = match shift.at {
        None => ("null".to_owned(), "null"),
        Some(At::Timestamp(t)) => (t.to_string(), "null"),
        Some(At::Start) => ("null".to_owned(), "\"start\""),
        Some(At::End) => ("null".to_owned(), "\"end\""),
    };
    let _ = write!(out, r#","timestamp":{timestamp},"startOrEnd":{word}"#);
}

/// A duration that is known without the query's times; otherwise 0.
fn milliseconds(duration: Option<&DurationExpr>) -> i64 {
    match duration {
        Some(DurationExpr::Literal(seconds)) => (seconds * 1000.0).round() as i64,
        Some(DurationExpr::Negative(inner)) => -milliseconds(Some(inner)),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use luma_promql::parse;
    use serde_json::{Value, json};

    fn tree(query: &str) -> Value {
        let mut out = String::new();
        write(&parse(query).unwrap(), &mut out);
        serde_json::from_str(&out).unwrap()
    }

    #[test]
    fn every_kind_of_node_is_written() {
        assert_eq!(
            tree("foo{bar=\"a\\\"b\"} offset 1m @ 3"),
            json!({
                "type": "vectorSelector", "name": "foo", "offset": 60_000, "timestamp": 3000, "startOrEnd": null,
                "anchored": false, "smoothed": false, "matchers": [
                    {"name": "bar", "type": "=", "value": "a\"b"},
                    {"name": "__name__", "type": "=", "value": "foo"},
                ],
            })
        );
        let ratio = tree("sum by (a) (x) / on (a) group_left (b) y");
        assert_eq!(ratio["matching"]["card"], "many-to-one");
        assert_eq!(ratio["matching"]["include"], json!(["b"]));
        assert_eq!(ratio["lhs"]["grouping"], json!(["a"]));
        assert_eq!(ratio["lhs"]["param"], Value::Null);
        assert_eq!(tree("x and y")["matching"]["card"], "many-to-many");
        assert_eq!(tree("1 + x")["matching"], Value::Null);
        assert_eq!(tree("topk(3, x)")["param"], json!({"type": "numberLiteral", "val": "3"}));
        let rate = tree("rate(x[5m] @ start())");
        assert_eq!(
            rate["func"],
            json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"})
        );
        assert_eq!(
            (&rate["args"][0]["range"], &rate["args"][0]["startOrEnd"]),
            (&json!(300_000), &json!("start"))
        );
        let subquery = tree("max_over_time((-x)[1h:30s] offset -5m)");
        let subquery = &subquery["args"][0];
        assert_eq!((&subquery["range"], &subquery["step"]), (&json!(3_600_000), &json!(30_000)));
        assert_eq!(subquery["offset"], -300_000);
        assert_eq!(subquery["expr"]["expr"]["op"], "-");
        assert_eq!(tree("\"a\""), json!({"type": "stringLiteral", "val": "a"}));
    }
}
