//! The same query at a time of its own: `@` on every selector.

use luma_promql::ast::{At, Expr, Shift};
use luma_promql::parse;

/// Functions whose value depends on when they are evaluated, whatever their arguments are.
const MOVING: [&str; 17] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start_timestamp",
    "start",
    "end",
    "range",
    "step",
    "info",
];

/// The text of the query with `@ t` on its selectors, unless its value moves with time nevertheless.
pub fn at(query: &str, t: i64) -> Option<String> {
    let mut expr = parse(query).ok()?;
    fix(&mut expr, At::Timestamp(t)).then(|| expr.to_string())
}

fn fix(expr: &mut Expr, at: At) -> bool {
    let set = |shift: &mut Shift| {
        // What names the query's ends or lengths moves with it.
        let own = shift.at.get_or_insert(at);
        matches!(own, At::Timestamp(_))
    };
    match expr {
        Expr::Aggregate(a) => a.param.as_mut().is_none_or(|p| fix(p, at)) && fix(&mut a.operand, at),
        Expr::Binary(b) => fix(&mut b.left, at) && fix(&mut b.right, at),
        Expr::Call(c) => !MOVING.contains(&c.function.name) && c.args.iter_mut().all(|a| fix(a, at)),
        Expr::Matrix(m) => set(&mut m.selector.shift),
        Expr::Number(..) | Expr::String(..) => true,
        Expr::Paren(inner, _) => fix(inner, at),
        // What is within a subquery follows the subquery.
        Expr::Subquery(s) => set(&mut s.shift) && !moves(&s.operand),
        Expr::Unary(u) => fix(&mut u.operand, at),
        Expr::Vector(v) => set(&mut v.shift),
    }
}

/// Whether an expression within a subquery names the query's ends.
fn moves(expr: &Expr) -> bool {
    let text = expr.to_string();
    ["start()", "end()", "range()", "step()"].iter().any(|word| text.contains(word))
}
