//! `EXCEPT ALL` and `INTERSECT ALL`.
//!
//! DataFusion leaves out, or keeps, all rows that are on the other side; PostgreSQL counts how often a row is on each. So each
//! row gets a number among its equals, and rows with their numbers are compared: the second of three is another row than the
//! first.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Ident, Query, SetExpr, SetOperator, SetQuantifier, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut,
};
use luma_model::{Error, Result};

use crate::plan::context::{Names, parse_query};
use crate::plan::from_items::FromItems;

/// Numbers the rows of such operations.
pub(super) fn rewrite(names: &Names<'_>, statement: &mut ast::Statement) -> Result<()> {
    if Visit::visit(statement, &mut Finder).is_break() {
        let mut rewriter = Rewriter { items: FromItems::new(names) };
        if let ControlFlow::Break(error) = VisitMut::visit(statement, &mut rewriter) {
            return Err(error);
        }
    }
    Ok(())
}

fn counts(operator: SetOperator, quantifier: SetQuantifier) -> bool {
    matches!(operator, SetOperator::Except | SetOperator::Intersect) && quantifier == SetQuantifier::All
}

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        fn any(body: &SetExpr) -> bool {
            match body {
                SetExpr::SetOperation { op, set_quantifier, left, right } => {
                    counts(*op, *set_quantifier) || any(left) || any(right)
                }
                _ => false,
            }
        }
        if any(&query.body) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

struct Rewriter<'a, 'n> {
    items: FromItems<'a, 'n>,
}

impl VisitorMut for Rewriter<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.items.withs.push(query.with.clone());
        match self.body(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.items.withs.pop();
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_, '_> {
    fn body(&self, body: &mut SetExpr) -> Result<()> {
        let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
        self.body(left)?;
        self.body(right)?;
        if !counts(*op, *set_quantifier) {
            return Ok(());
        }
        let mut side = parse_query("SELECT 1")?;
        side.body = left.clone();
        let factor =
            TableFactor::Derived { lateral: false, subquery: Box::new(side), alias: None, sample: None };
        // What can't be planned is refused where it is planned as a whole.
        let Some(names) = self.items.columns(&factor) else { return Ok(()) };
        let columns: Vec<String> = (1..=names.len()).map(|place| format!("luma_c{place}")).collect();
        let all = columns.join(", ");
        let given: Vec<String> = columns
            .iter()
            .zip(&names)
            .map(|(column, name)| format!("{column} AS {}", Ident::with_quote('"', name)))
            .collect();
        let numbered = |side: &SetExpr| {
            format!(
                "SELECT {all}, row_number() OVER (PARTITION BY {all}) AS luma_number FROM ({side}) AS luma_side ({all})"
            )
        };
        let text = format!(
            "SELECT {} FROM ({} {op} {}) AS luma_both",
            given.join(", "),
            numbered(left),
            numbered(right)
        );
        *body = *parse_query(&text)?.body;
        Ok(())
    }
}
