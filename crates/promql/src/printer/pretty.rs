//! Expressions over several lines: what does not fit a line is split, its parts further in.

use crate::ast::Expr;

use super::{AggregateHead, Operator, SubqueryTime};

/// The longest line that is not split.
const LINE_MAX: usize = 100;

impl Expr {
    /// The expression as text, over several lines where it is long.
    pub fn pretty(&self) -> String {
        self.indented(0)
    }

    fn indented(&self, level: usize) -> String {
        let indent = "  ".repeat(level);
        let line = self.to_string();
        if let Self::Unary(unary) = self {
            let operand = unary.operand.indented(level);
            return format!("{indent}{}{}", if unary.negative { '-' } else { '+' }, operand.trim());
        }
        if line.len() <= LINE_MAX {
            return format!("{indent}{line}");
        }
        match self {
            Self::Aggregate(aggregate) => {
                let param = aggregate.param.as_ref().map(|param| param.indented(level + 1) + ",\n");
                let operand = aggregate.operand.indented(level + 1);
                let head = AggregateHead(aggregate);
                format!("{indent}{head}(\n{}{operand}\n{indent})", param.unwrap_or_default())
            }
            Self::Binary(binary) => {
                let (left, right) = (binary.left.indented(level + 1), binary.right.indented(level + 1));
                format!("{left}\n{indent}{}\n{right}", Operator(binary))
            }
            Self::Call(call) => {
                let args: Vec<String> = call.args.iter().map(|arg| arg.indented(level + 1)).collect();
                format!("{indent}{}(\n{}\n{indent})", call.function.name, args.join(",\n"))
            }
            Self::Paren(inner, _) => format!("{indent}(\n{}\n{indent})", inner.indented(level + 1)),
            Self::Subquery(subquery) => {
                format!("{}{}", subquery.operand.indented(level), SubqueryTime(subquery))
            }
            Self::Matrix(_) | Self::Number(..) | Self::String(..) | Self::Vector(_) | Self::Unary(_) => {
                format!("{indent}{line}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::parser::parse;

    #[test]
    fn what_is_longer_than_a_line_is_split_with_its_parts_further_in() {
        let long = "a_metric_of_a_long_name_that_fills_most_of_a_line{job=\"a job of a long name too\"}";
        let query = format!("topk by (job) (3, rate({long}[5m])) / on (job) group_left () (sum({long}))");
        let expected = format!(
            "  topk by (job) (\n    3,\n    rate({long}[5m])\n  )\n/ on (job) group_left ()\n  (sum({long}))"
        );
        assert_eq!(parse(&query).unwrap().pretty(), expected);
        assert_eq!(parse(&expected).unwrap().to_string(), parse(&query).unwrap().to_string());
    }

    #[test]
    fn what_fits_a_line_stays_on_it() {
        assert_eq!(parse("sum(rate(x[5m]))by(job)").unwrap().pretty(), "sum by (job) (rate(x[5m]))");
    }
}
