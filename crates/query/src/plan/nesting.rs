//! How deep subqueries may stand in the expressions of one another.
//!
//! DataFusion checks the inner ones of each subquery twice, so that each level doubles the time of planning: sixteen take half
//! a second, thirty would take hours, which nothing could end; and each takes its part of the stack (see
//! [`STACK_BYTES`](crate::STACK_BYTES)). Subqueries in FROM do not count.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Statement, Visit, Visitor};
use luma_model::{Error, ErrorKind, Result};

/// Most levels of subqueries in expressions.
const LEVELS_MAX: usize = 10;

/// Refuses a statement that nests more.
pub(super) fn check(statement: &Statement) -> Result<()> {
    let mut levels = Levels(0);
    if Visit::visit(statement, &mut levels).is_continue() {
        return Ok(());
    }
    let message = format!("subqueries are nested more than {LEVELS_MAX} levels deep");
    Err(Error::new(ErrorKind::StatementTooComplex, message).hint("Join with them in FROM instead."))
}

struct Levels(usize);

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

impl Visitor for Levels {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0 += usize::from(is_subquery(expr));
        if self.0 > LEVELS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0 -= usize::from(is_subquery(expr));
        ControlFlow::Continue(())
    }
}
