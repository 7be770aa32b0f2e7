//! How deep subqueries may stand in the expressions of one another, and how many tables a query may join.
//!
//! DataFusion checks the inner ones of each subquery twice, so that each level doubles the time of planning: sixteen take half
//! a second, thirty would take hours, which nothing could end; and each takes its part of the stack (see
//! [`STACK_BYTES`](crate::STACK_BYTES)). Subqueries in FROM do not count.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, Statement, Visit, Visitor};
use luma_model::{Error, ErrorKind, Result};

use crate::statement::weight::too_complex;

/// Most levels of subqueries in expressions.
const LEVELS_MAX: usize = 10;
/// Most calls in one another of functions that stand twice in the plan for each time in the text.
const TWICE_MAX: usize = 12;
/// Most tables that one FROM clause joins, and queries that one WITH clause names: each is a level of the plan.
const TABLES_MAX: usize = 300;

/// Refuses a statement that nests more.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match Visit::visit(statement, &mut Levels::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn too_deep() -> Error {
    let message = format!("subqueries are nested more than {LEVELS_MAX} levels deep");
    Error::new(ErrorKind::StatementTooComplex, message).hint("Join with them in FROM instead.")
}

#[derive(Default)]
struct Levels {
    subqueries: usize,
    twice: usize,
}

/// NULLIF compares and gives its first argument; a row's name has those of its values in it twice.
fn stands_twice(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else { return false };
    let Some(name) = function.name.0.last().and_then(|part| part.as_ident()) else { return false };
    ["nullif", "row"].iter().any(|known| name.value.eq_ignore_ascii_case(known))
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

impl Visitor for Levels {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if query.with.as_ref().is_some_and(|with| with.cte_tables.len() > TABLES_MAX) {
            return ControlFlow::Break(too_complex(TABLES_MAX, "queries in WITH"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let tables: usize = select.from.iter().map(|table| 1 + table.joins.len()).sum();
        if tables > TABLES_MAX {
            return ControlFlow::Break(too_complex(TABLES_MAX, "tables in FROM"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.subqueries += usize::from(is_subquery(expr));
        self.twice += usize::from(stands_twice(expr));
        if self.subqueries > LEVELS_MAX {
            return ControlFlow::Break(too_deep());
        }
        if self.twice > TWICE_MAX {
            return ControlFlow::Break(too_complex(TWICE_MAX, "calls of nullif or row"));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.subqueries -= usize::from(is_subquery(expr));
        self.twice -= usize::from(stands_twice(expr));
        ControlFlow::Continue(())
    }
}
