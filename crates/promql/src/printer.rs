//! Expressions as text, in Prometheus' spelling; parsing the text gives the same expression.

mod pretty;

use std::fmt::{self, Display, Formatter, Write as _};

use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Boundary, Call, Cardinality, DurationExpr, Expr, Shift, Subquery,
    VectorSelector,
};
use crate::labels::{METRIC_NAME, is_plain_label_name};
use crate::matcher::{MatchOp, Matcher};
use crate::number::{format_plain, quoted};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate(a) => a.fmt(f),
            Self::Binary(b) => b.fmt(f),
            Self::Call(c) => c.fmt(f),
            Self::Matrix(m) => {
                write_series(&m.selector, f)?;
                write!(f, "[{}]", m.range)?;
                write_ends(&m.selector.shift, m.selector.boundary, f)
            }
            Self::Number(value, _) => f.write_str(&format_plain(*value)),
            Self::Paren(inner, _) => write!(f, "({inner})"),
            Self::String(text, _) => f.write_str(&quoted(text)),
            Self::Subquery(s) => write!(f, "{}{}", s.operand, SubqueryTime(s)),
            Self::Unary(u) => write!(f, "{}{}", if u.negative { '-' } else { '+' }, u.operand),
            Self::Vector(v) => {
                write_series(v, f)?;
                write_ends(&v.shift, v.boundary, f)
            }
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        AggregateHead(self).fmt(f)?;
        match &self.param {
            Some(param) => write!(f, "({param}, {})", self.operand),
            None => write!(f, "({})", self.operand),
        }
    }
}

/// An aggregation up to its parenthesis.
struct AggregateHead<'a>(&'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(aggregate) = self;
        f.write_str(aggregate.op.name())?;
        if aggregate.without {
            write!(f, " without ({}) ", LabelList(&aggregate.grouping))?;
        } else if !aggregate.grouping.is_empty() {
            write!(f, " by ({}) ", LabelList(&aggregate.grouping))?;
        }
        Ok(())
    }
}

/// What stands behind a subquery's operand.
struct SubqueryTime<'a>(&'a Subquery);

impl Display for SubqueryTime<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(subquery) = self;
        write!(f, "[{}:", subquery.range)?;
        if let Some(step) = &subquery.step {
            write!(f, "{step}")?;
        }
        f.write_char(']')?;
        write_ends(&subquery.shift, Boundary::Plain, f)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, Operator(self), self.right)
    }
}

/// What stands between two operands.
struct Operator<'a>(&'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(binary) = self;
        f.write_str(binary.op.name())?;
        if binary.return_bool {
            f.write_str(" bool")?;
        }
        let matching = &binary.matching;
        if matching.on || !matching.labels.is_empty() {
            let word = if matching.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", LabelList(&matching.labels))?;
        }
        let grouped = match matching.cardinality {
            Cardinality::OneToOne => None,
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
        };
        if let Some(side) = grouped {
            if !matching.on && matching.labels.is_empty() {
                f.write_str(" ignoring ()")?;
            }
            write!(f, " group_{side} ({})", LabelList(&matching.include))?;
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", format_plain(left))?;
            }
            (left, right) => {
                for (side, value) in [("left", left), ("right", right)] {
                    if let Some(value) = value {
                        write!(f, " fill_{side} ({})", format_plain(value))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{arg}")?;
        }
        f.write_char(')')
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(seconds) => f.write_str(&duration_text(*seconds)),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negative(inner) => write!(f, "-{}", InParens(inner)),
            Self::Arithmetic(op, a, b) => write!(f, "{} {} {}", InParens(a), op.name(), InParens(b)),
            Self::Min(a, b) => write!(f, "min_of({a}, {b})"),
            Self::Max(a, b) => write!(f, "max_of({a}, {b})"),
        }
    }
}

/// A duration with parentheses unless nothing around it can tear it apart.
struct InParens<'a>(&'a DurationExpr);

impl Display for InParens<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            DurationExpr::Negative(_) | DurationExpr::Arithmetic(..) => write!(f, "({})", self.0),
            DurationExpr::Literal(seconds) if *seconds < 0.0 => write!(f, "({})", self.0),
            whole => whole.fmt(f),
        }
    }
}

/// Seconds in the units of durations, or as a number if those have not the digits.
fn duration_text(seconds: f64) -> String {
    let millis = seconds * 1000.0;
    if millis.fract() != 0.0 || millis == 0.0 || millis.abs() > 1e15 {
        return format_plain(seconds);
    }
    let mut out = String::from(if millis < 0.0 { "-" } else { "" });
    let mut rest = millis.abs() as i64;
    // Years and weeks only if nothing is left of them.
    const UNITS: [(&str, i64, bool); 7] = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    for (unit, size, exact) in UNITS {
        let count = rest / size;
        if count > 0 && (!exact || rest % size == 0) {
            let _ = write!(out, "{count}{unit}");
            rest -= count * size;
        }
    }
    out
}

/// Label names, quoted where they are no words.
struct LabelList<'a>(&'a [String]);

impl Display for LabelList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&label_name(name))?;
        }
        Ok(())
    }
}

fn label_name(name: &str) -> String {
    if is_plain_label_name(name) { name.to_owned() } else { quoted(name) }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let op = match self.op() {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        let name = if self.name() == METRIC_NAME { METRIC_NAME.to_owned() } else { label_name(self.name()) };
        write!(f, "{name}{op}{}", quoted(self.value()))
    }
}

fn write_series(selector: &VectorSelector, f: &mut Formatter<'_>) -> fmt::Result {
    let mut matchers = selector.matchers.as_slice();
    if let Some(name) = &selector.name {
        f.write_str(name)?;
        // The last matcher is the name's.
        matchers = matchers.split_last().map_or(&[], |(_, others)| others);
        if matchers.is_empty() {
            return Ok(());
        }
    }
    f.write_char('{')?;
    for (at, matcher) in matchers.iter().enumerate() {
        if at > 0 {
            f.write_char(',')?;
        }
        matcher.fmt(f)?;
    }
    f.write_char('}')
}

fn write_ends(shift: &Shift, boundary: Boundary, f: &mut Formatter<'_>) -> fmt::Result {
    match boundary {
        Boundary::Plain => {}
        Boundary::Anchored => f.write_str(" anchored")?,
        Boundary::Smoothed => f.write_str(" smoothed")?,
    }
    match shift.at {
        None => {}
        Some(At::Timestamp(t)) => {
            let sign = if t < 0 { "-" } else { "" };
            write!(f, " @ {sign}{}.{:03}", t.unsigned_abs() / 1000, t.unsigned_abs() % 1000)?;
        }
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
    }
    match &shift.offset {
        None => Ok(()),
        Some(DurationExpr::Literal(seconds)) => write!(f, " offset {}", duration_text(*seconds)),
        Some(DurationExpr::Negative(inner)) => write!(f, " offset -{}", InParens(inner)),
        Some(offset @ DurationExpr::Arithmetic(BinaryOp::Add | BinaryOp::Sub, ..)) => {
            write!(f, " offset ({offset})")
        }
        Some(offset) => write!(f, " offset {}", InParens(offset)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::parser::parse;

    #[test]
    fn what_is_printed_is_what_was_parsed() {
        // Texts that print as they are.
        for text in [
            "sum by (a, b) (x)",
            "sum without () (x)",
            "topk(5, x)",
            "count_values(\"v\", x)",
            "a > bool b",
            "a * on (l) group_left (x, y) b",
            "a / ignoring (l) b",
            "a + on () fill (0) b",
            "a - fill_left (-1) fill_right (2.5) b",
            "-(a + b) ^ -2",
            "x{a=\"b\",c!~\"d.*\",\"e.f\"=\"\\\"\"}",
            "{__name__=~\"a|b\"}",
            "rate(x[5m])",
            "x @ 1.500 offset -1h30m",
            "x[1d] @ start() offset 1w",
            "x[5m:] offset (1m + step())",
            "max_over_time(x[min_of(step(), 1m):30s] @ end())",
            "x[2s * (1m - (-30s))]",
            "rate(x[5m] anchored)",
            "x smoothed",
            "x >/ 5 and x </ +Inf",
            "clamp(x, 1, 2)",
        ] {
            let printed = parse(text).unwrap().to_string();
            assert_eq!(printed, text);
        }
        // Texts in another spelling print as one that prints as it is.
        for text in
            ["SUM(x) BY (a)", "x{a='b',}", "0x10 + 1e3 + 5m", "x offset 0s", "sum(((x)))", "x[90]", "x[1.5]"]
        {
            let printed = parse(text).unwrap().to_string();
            assert_eq!(parse(&printed).unwrap().to_string(), printed, "{text}");
        }
    }
}
