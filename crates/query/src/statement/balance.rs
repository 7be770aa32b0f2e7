//! Long lists of conditions as trees that are as shallow as they can be.
//!
//! `a AND b AND c AND …` is parsed into a tree as deep as the list is long. Planning asks each node for its type, its name and
//! its hash, which all look at what is below: that takes time with the square or the cube of the depth. Conditions mean the
//! same however AND or OR puts them together, and so do queries under UNION ALL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, SetExpr, SetOperator, SetQuantifier, Value, Values, VisitMut, VisitorMut,
};

/// Lists that are shorter stay as they are; no tree that was made shallow is as deep.
const LONG: usize = 32;

/// Makes a statement's long lists shallow.
pub(super) fn balance(node: &mut impl VisitMut) {
    let _ = VisitMut::visit(node, &mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr {
            let op = op.clone();
            rebuild(expr, &op);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        rebuild(query.body.as_mut(), &SetOperator::Union);
        ControlFlow::Continue(())
    }
}

/// A tree of operators.
trait Tree: Sized {
    type Operator;

    /// Something to stand where a tree is taken from.
    fn empty() -> Self;

    /// The left side, if this is such an operator.
    fn left(&self, op: &Self::Operator) -> Option<&Self>;

    /// Both sides of such an operator, or the tree as it is.
    fn split(self, op: &Self::Operator) -> Result<(Self, Self), Self>;

    fn join(op: &Self::Operator, left: Self, right: Self) -> Self;
}

impl Tree for Expr {
    type Operator = BinaryOperator;

    fn empty() -> Self {
        Self::value(Value::Null)
    }

    fn left(&self, op: &BinaryOperator) -> Option<&Self> {
        match self {
            Self::BinaryOp { left, op: own, .. } if own == op => Some(left),
            _ => None,
        }
    }

    fn split(self, op: &BinaryOperator) -> Result<(Self, Self), Self> {
        match self {
            Self::BinaryOp { left, op: own, right } if own == *op => Ok((*left, *right)),
            other => Err(other),
        }
    }

    fn join(op: &BinaryOperator, left: Self, right: Self) -> Self {
        Self::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
    }
}

/// Queries under an operator that keeps equal rows.
impl Tree for SetExpr {
    type Operator = SetOperator;

    fn empty() -> Self {
        Self::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() })
    }

    fn left(&self, op: &SetOperator) -> Option<&Self> {
        match self {
            Self::SetOperation { left, op: own, set_quantifier: SetQuantifier::All, .. } if own == op => {
                Some(left)
            }
            _ => None,
        }
    }

    fn split(self, op: &SetOperator) -> Result<(Self, Self), Self> {
        match self {
            Self::SetOperation { left, op: own, set_quantifier: SetQuantifier::All, right } if own == *op => {
                Ok((*left, *right))
            }
            other => Err(other),
        }
    }

    fn join(op: &SetOperator, left: Self, right: Self) -> Self {
        let (left, right) = (Box::new(left), Box::new(right));
        Self::SetOperation { left, op: *op, set_quantifier: SetQuantifier::All, right }
    }
}

/// Takes the left side of a tree apart and puts the parts together, in their order, as a shallow one.
fn rebuild<T: Tree>(tree: &mut T, op: &T::Operator) {
    let length = std::iter::successors(Some(&*tree), |node| node.left(op)).count();
    if length <= LONG {
        return;
    }
    // From the last part to the first, and without recursion: that is what the tree is too deep for.
    let mut parts = Vec::with_capacity(length);
    let mut rest = std::mem::replace(tree, T::empty());
    let first = loop {
        match rest.split(op) {
            Ok((left, right)) => {
                parts.push(right);
                rest = left;
            }
            Err(first) => break first,
        }
    };
    parts.push(first);
    parts.reverse();
    while parts.len() > 1 {
        let mut remaining = parts.into_iter();
        let mut joined = Vec::with_capacity(remaining.len().div_ceil(2));
        while let Some(left) = remaining.next() {
            joined.push(match remaining.next() {
                Some(right) => T::join(op, left, right),
                None => left,
            });
        }
        parts = joined;
    }
    if let Some(root) = parts.pop() {
        *tree = root;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn depth(text: &str) -> usize {
        let mut deepest = 0;
        let mut open = 0usize;
        for character in text.chars() {
            match character {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            deepest = deepest.max(open);
        }
        deepest
    }

    #[test]
    fn lists_keep_their_order_and_become_shallow() {
        for (word, part) in [(" AND ", "a = "), (" OR ", "b < "), (" UNION ALL ", "SELECT ")] {
            let list = (0..1_000).map(|place| format!("{part}{place}")).collect::<Vec<_>>().join(word);
            let text = if word.contains("UNION") { list } else { format!("SELECT 1 WHERE {list}") };
            let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, &text).unwrap();
            super::balance(&mut parsed);
            assert_eq!(parsed[0].to_string(), text);
            // The form for debugging shows each level by its brackets.
            assert!(depth(&format!("{parsed:?}")) < 100, "{word}");
        }
    }

    #[test]
    fn other_operators_between_stay_where_they_are() {
        let list =
            (0..100).map(|place| format!("a = {place} AND b = {place}")).collect::<Vec<_>>().join(" OR ");
        let text = format!("SELECT 1 WHERE {list}");
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, &text).unwrap();
        super::balance(&mut parsed);
        assert_eq!(parsed[0].to_string(), text);
    }
}
