//! What filters of SQL ask of the store of metrics: matchers of labels, and a time.
//!
//! What is asked for may be more than what passes the filters, which stay above the scan, and is never less.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};
use luma_promql::{METRIC_NAME, MatchOp, Matcher};

use crate::metrics::MetricColumn;

/// What a scan reads.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) matchers: Vec<Matcher>,
    /// Milliseconds since 1970, both included.
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Wanted {
    /// What filters want that must all be true.
    pub(super) fn of(metric: &str, columns: &[(String, MetricColumn)], filters: &[Expr]) -> Self {
        let matchers = vec![Matcher::equal(METRIC_NAME, metric)];
        let mut wanted = Self { matchers, start: i64::MIN, end: i64::MAX };
        for filter in filters {
            wanted.narrow(columns, filter);
        }
        wanted
    }

    fn narrow(&mut self, columns: &[(String, MetricColumn)], filter: &Expr) -> Option<()> {
        let column = |expr: &Expr| match expr {
            Expr::Column(column) => columns.iter().find(|(name, _)| *name == column.name).map(|(_, of)| of),
            _ => None,
        };
        let label = |expr: &Expr| match column(expr) {
            Some(MetricColumn::Label(label)) => Some(label),
            _ => None,
        };
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(columns, left);
                self.narrow(columns, right);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (of, op, literal) = match (column(left), column(right)) {
                    (Some(of), None) => (of, *op, right.as_ref()),
                    (None, Some(of)) => (of, op.swap()?, left.as_ref()),
                    _ => return None,
                };
                match of {
                    MetricColumn::Time => self.bound(op, literal)?,
                    MetricColumn::Label(label) => {
                        let op = match op {
                            Operator::Eq => MatchOp::Equal,
                            Operator::NotEq => MatchOp::NotEqual,
                            _ => return None,
                        };
                        self.matchers.push(Matcher::new(op, label, text(literal)?).ok()?);
                    }
                    MetricColumn::Value | MetricColumn::Histogram => {}
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                if matches!(column(expr)?, MetricColumn::Time) {
                    self.bound(Operator::GtEq, low);
                    self.bound(Operator::LtEq, high);
                }
            }
            Expr::InList(list) if !list.negated => {
                let values: Option<Vec<String>> =
                    list.list.iter().map(|value| Some(regex::escape(text(value)?))).collect();
                self.matching(label(&list.expr)?, &values?.join("|"));
            }
            Expr::Like(Like {
                negated: false,
                expr,
                pattern,
                escape_char: None,
                case_insensitive: false,
            }) => {
                self.matching(label(expr)?, &like(text(pattern)?)?);
            }
            Expr::IsNotNull(expr) => {
                self.matchers.push(Matcher::new(MatchOp::NotEqual, label(expr)?, "").ok()?);
            }
            Expr::IsNull(expr) => self.matchers.push(Matcher::equal(label(expr)?, "")),
            _ => {}
        }
        Some(())
    }

    fn matching(&mut self, label: &str, pattern: &str) {
        self.matchers.extend(Matcher::new(MatchOp::Regex, label, pattern));
    }

    fn bound(&mut self, op: Operator, literal: &Expr) -> Option<()> {
        let millis = millis(literal)?;
        if matches!(op, Operator::Gt | Operator::GtEq | Operator::Eq) {
            self.start = self.start.max(millis);
        }
        if matches!(op, Operator::Lt | Operator::LtEq | Operator::Eq) {
            self.end = self.end.min(millis);
        }
        Some(())
    }
}

fn text(literal: &Expr) -> Option<&str> {
    match literal {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// The millisecond that a time lies in.
fn millis(literal: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = literal else { return None };
    match value {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Some(micros.div_euclid(1000)),
        _ => None,
    }
}

/// The regular expression of a pattern of LIKE.
fn like(pattern: &str) -> Option<String> {
    let mut regex = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(characters.next()?.encode_utf8(&mut [0; 4]))),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    Some(regex)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use datafusion::logical_expr::{col, lit};

    fn wanted(filters: &[Expr]) -> (Vec<String>, i64, i64) {
        let columns = [
            ("ts".to_owned(), MetricColumn::Time),
            ("value".to_owned(), MetricColumn::Value),
            ("host".to_owned(), MetricColumn::Label("host".into())),
        ];
        let wanted = Wanted::of("up", &columns, filters);
        let shown =
            wanted.matchers.iter().skip(1).map(|of| format!("{:?} {} {}", of.op(), of.name(), of.value()));
        (shown.collect(), wanted.start, wanted.end)
    }

    fn at(micros: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("+00:00".into())))
    }

    #[test]
    fn comparisons_of_labels_and_times_become_matchers_and_bounds() {
        let (matchers, start, end) = wanted(&[
            col("host").eq(lit("a")).and(lit("b").not_eq(col("host"))),
            col("ts").gt(at(5_999)),
            at(9_001).gt(col("ts")),
            col("value").gt(lit(1.0)),
        ]);
        assert_eq!(matchers, ["Equal host a", "NotEqual host b"]);
        assert_eq!((start, end), (5, 9));
        assert_eq!(wanted(&[col("ts").between(at(1_000), at(2_000))]), (Vec::new(), 1, 2));
        let (matchers, ..) = wanted(&[
            col("host").in_list(vec![lit("a.b"), lit("c")], false),
            col("host").like(lit("w_b%\\%")),
            col("host").is_null(),
            col("host").is_not_null(),
        ]);
        let expected = [r"Regex host a\.b|c", "Regex host w.b.*%", "Equal host ", "NotEqual host "];
        assert_eq!(matchers, expected);
    }

    #[test]
    fn what_is_not_understood_narrows_nothing() {
        let (matchers, start, end) = wanted(&[
            col("host").eq(lit("a")).or(col("ts").gt(at(0))),
            col("host").in_list(vec![lit("a")], true),
            col("host").gt(lit("a")),
            col("host").eq(col("host")),
        ]);
        assert_eq!((matchers, start, end), (Vec::new(), i64::MIN, i64::MAX));
    }
}
