//! `SET (a, b) = (SELECT …)` and `= ROW(…)`, as one assignment for each column.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Assignment, AssignmentTarget, Expr, MergeAction, OnConflictAction, OnInsert, Query, SelectItem,
    SetExpr, Statement, VisitMut, VisitorMut,
};
use luma_model::{Error, ErrorKind, Result};

/// What the columns of a subquery are called where one of them is taken.
const COLUMN: &str = "luma_value";

/// Gives each column of a list in a statement an assignment of its own.
///
/// # Errors
/// 42601 when a list and its values differ in number.
pub(super) fn spread(statement: &mut Statement) -> Result<()> {
    match VisitMut::visit(statement, &mut Spreader) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Spreader;

impl VisitorMut for Spreader {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &mut Statement) -> ControlFlow<Error> {
        let mut lists: Vec<&mut Vec<Assignment>> = Vec::new();
        match statement {
            Statement::Update(update) => lists.push(&mut update.assignments),
            Statement::Insert(insert) => {
                if let Some(OnInsert::OnConflict(clause)) = &mut insert.on
                    && let OnConflictAction::DoUpdate(update) = &mut clause.action
                {
                    lists.push(&mut update.assignments);
                }
            }
            Statement::Merge(merge) => {
                lists.extend(merge.clauses.iter_mut().filter_map(|clause| match &mut clause.action {
                    MergeAction::Update(update) => Some(&mut update.assignments),
                    _ => None,
                }));
            }
            _ => {}
        }
        for list in lists {
            if list.iter().all(|assignment| matches!(assignment.target, AssignmentTarget::ColumnName(_))) {
                continue;
            }
            let mut spread = Vec::with_capacity(list.len());
            for assignment in list.drain(..) {
                match parts(assignment) {
                    Ok(parts) => spread.extend(parts),
                    Err(error) => return ControlFlow::Break(error),
                }
            }
            *list = spread;
        }
        ControlFlow::Continue(())
    }
}

fn parts(assignment: Assignment) -> Result<Vec<Assignment>> {
    let AssignmentTarget::Tuple(names) = assignment.target else { return Ok(vec![assignment]) };
    let values = match assignment.value {
        Expr::Tuple(values) => values,
        Expr::Nested(value) => vec![*value],
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("row") => arguments(call)?,
        Expr::Subquery(query) => {
            (0..names.len()).map(|place| one_column(&query, place, names.len())).collect::<Result<_>>()?
        }
        _ => {
            let message = "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression";
            return Err(Error::new(ErrorKind::FeatureNotSupported, message));
        }
    };
    if values.len() != names.len() {
        return Err(unequal());
    }
    let assigned = names.into_iter().zip(values);
    Ok(assigned
        .map(|(name, value)| Assignment { target: AssignmentTarget::ColumnName(name), value })
        .collect())
}

fn unequal() -> Error {
    Error::new(ErrorKind::Syntax, "number of columns does not match number of values")
}

fn arguments(call: ast::Function) -> Result<Vec<Expr>> {
    let ast::FunctionArguments::List(list) = call.args else { return Err(unequal()) };
    let values = list.args.into_iter().map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)) => Ok(value),
        _ => Err(unequal()),
    });
    values.collect()
}

/// The subquery that gives one of the columns of a query.
fn one_column(query: &Query, place: usize, count: usize) -> Result<Expr> {
    let plain =
        |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    let mut narrowed = query.clone();
    if let SetExpr::Select(select) = narrowed.body.as_mut()
        && select.distinct.is_none()
        && query.order_by.is_none()
        && select.projection.iter().all(plain)
    {
        if select.projection.len() != count {
            return Err(unequal());
        }
        select.projection = select.projection.drain(..).skip(place).take(1).collect();
        return Ok(Expr::Subquery(Box::new(narrowed)));
    }
    let names: Vec<String> = (0..count).map(|place| format!("{COLUMN}_{place}")).collect();
    let columns = names.iter().map(ast::TableAliasColumnDef::from_name).collect();
    let from = ast::TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query.clone()),
        alias: Some(ast::TableAlias { explicit: true, name: ast::Ident::new(COLUMN), columns, at: None }),
        sample: None,
    };
    let item = SelectItem::UnnamedExpr(Expr::Identifier(ast::Ident::new(&names[place])));
    let from = vec![ast::TableWithJoins { relation: from, joins: Vec::new() }];
    Ok(Expr::Subquery(Box::new(crate::execute::select_query(vec![item], from, None))))
}
