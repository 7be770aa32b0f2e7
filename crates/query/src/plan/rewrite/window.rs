//! Windows by name: `OVER w`, `OVER (w ORDER BY …)` and `WINDOW w AS (v …)` become whole definitions.
//!
//! A window that names another takes its partitions, and its order if it has none itself.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, VisitMut, VisitorMut,
    WindowSpec, WindowType,
};
use luma_model::{Error, ErrorKind, Result};

use crate::names::identifier;

/// Puts definitions in the place of names in a SELECT, and in the ORDER BY beside it.
///
/// # Errors
/// 42704 for a window that there is not, 42P20 for one that takes from another what it has itself.
pub(super) fn resolve(select: &mut Select, order_by: Option<&mut ast::OrderBy>) -> Result<()> {
    let mut known: Vec<(String, WindowSpec)> = Vec::new();
    for NamedWindowDefinition(name, window) in std::mem::take(&mut select.named_window) {
        let spec = match window {
            NamedWindowExpr::NamedWindow(other) => found(&known, &other)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => whole(&known, spec)?,
        };
        let name = identifier(&name);
        if known.iter().any(|(other, _)| *other == name) {
            return Err(windowing(format!("window \"{name}\" is already defined")));
        }
        known.push((name, spec));
    }
    let mut resolver = Resolver { known: &known, depth: 0 };
    let mut done = VisitMut::visit(&mut select.projection, &mut resolver);
    if let (ControlFlow::Continue(()), Some(order)) = (&done, order_by) {
        done = VisitMut::visit(order, &mut resolver);
    }
    match done {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses windows where rows are still chosen and grouped, and aggregates where they are grouped.
///
/// # Errors
/// 42P20 for a window, 42803 for an aggregate.
pub(super) fn refuse_misplaced(select: &mut Select) -> Result<()> {
    let groups = match &mut select.group_by {
        ast::GroupByExpr::Expressions(groups, _) => groups.as_mut_slice(),
        ast::GroupByExpr::All(_) => &mut [],
    };
    let filter = select.selection.iter_mut().map(|filter| (filter, "WHERE"));
    let having = select.having.iter_mut().map(|having| (having, "HAVING"));
    let groups = groups.iter_mut().map(|group| (group, "GROUP BY"));
    for (expr, clause) in filter.chain(having).chain(groups) {
        if let ControlFlow::Break(error) = VisitMut::visit(expr, &mut Misplaced { clause, depth: 0 }) {
            return Err(error);
        }
    }
    Ok(())
}

struct Misplaced {
    clause: &'static str,
    depth: usize,
}

impl VisitorMut for Misplaced {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let clause = self.clause;
        if function.over.is_some() {
            return ControlFlow::Break(windowing(format!("window functions are not allowed in {clause}")));
        }
        if clause == "GROUP BY" && super::subquery::is_per_group(function) {
            let message = format!("aggregate functions are not allowed in {clause}");
            return ControlFlow::Break(Error::new(ErrorKind::GroupingError, message));
        }
        ControlFlow::Continue(())
    }
}

fn windowing(message: String) -> Error {
    Error::new(ErrorKind::WindowingError, message)
}

fn found<'k>(known: &'k [(String, WindowSpec)], name: &Ident) -> Result<&'k WindowSpec> {
    let name = identifier(name);
    known
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, spec)| spec)
        .ok_or_else(|| Error::new(ErrorKind::UndefinedObject, format!("window \"{name}\" does not exist")))
}

/// A window's definition with what it takes from the one that it names.
fn whole(known: &[(String, WindowSpec)], mut spec: WindowSpec) -> Result<WindowSpec> {
    let Some(name) = spec.window_name.take() else { return Ok(spec) };
    let base = found(known, &name)?;
    let name = identifier(&name);
    if !spec.partition_by.is_empty() {
        return Err(windowing(format!("cannot override PARTITION BY clause of window \"{name}\"")));
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return Err(windowing(format!("cannot override ORDER BY clause of window \"{name}\"")));
    }
    if base.window_frame.is_some() {
        return Err(windowing(format!("cannot copy window \"{name}\" because it has a frame clause")));
    }
    spec.partition_by.clone_from(&base.partition_by);
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    }
    Ok(spec)
}

struct Resolver<'k> {
    known: &'k [(String, WindowSpec)],
    /// Subqueries around: their windows are their own.
    depth: usize,
}

impl VisitorMut for Resolver<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let Expr::Function(ast::Function { over: Some(over), .. }) = expr else {
            return ControlFlow::Continue(());
        };
        let spec = match over {
            WindowType::NamedWindow(name) => found(self.known, name).cloned(),
            WindowType::WindowSpec(spec) if spec.window_name.is_some() => whole(self.known, spec.clone()),
            WindowType::WindowSpec(_) => return ControlFlow::Continue(()),
        };
        match spec {
            Ok(spec) => *over = WindowType::WindowSpec(spec),
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}
