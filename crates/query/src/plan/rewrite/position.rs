//! Columns of the result by their places, where DataFusion takes a number for a number: in ROLLUP, CUBE, GROUPING SETS and
//! DISTINCT ON.

use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Value,
};
use luma_model::{Error, ErrorKind, Result};

/// Puts what is selected in the place of numbers.
///
/// # Errors
/// 42P10 for a place that the result does not have.
pub(super) fn rewrite(select: &mut Select) -> Result<()> {
    let Select { projection, group_by, distinct, .. } = select;
    if let GroupByExpr::Expressions(groups, _) = group_by {
        for group in groups {
            if let Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) = group {
                for key in sets.iter_mut().flatten() {
                    replace(key, projection, "GROUP BY")?;
                }
            }
        }
    }
    if let Some(Distinct::On(keys)) = distinct {
        for key in keys {
            replace(key, projection, "SELECT DISTINCT ON")?;
        }
    }
    Ok(())
}

/// The same in the ORDER BY of a SELECT DISTINCT ON, whose keys it has to begin with.
///
/// # Errors
/// 42P10 for a place that the result does not have.
pub(super) fn order(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) else {
        return Ok(());
    };
    if matches!(select.distinct, Some(Distinct::On(_))) {
        for key in keys {
            replace(&mut key.expr, &select.projection, "ORDER BY")?;
        }
    }
    Ok(())
}

/// A number that names a place; the visit around may have given it its type already.
pub(super) fn place(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        Expr::Cast { expr, data_type: ast::DataType::Integer(None), .. } => match expr.as_ref() {
            number @ Expr::Value(_) => place(number),
            _ => None,
        },
        _ => None,
    }
}

fn replace(key: &mut Expr, projection: &[SelectItem], clause: &str) -> Result<()> {
    let Some(place) = place(key) else { return Ok(()) };
    let plain =
        |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    // With `*` before it, the columns are not known here.
    if !projection.iter().take(place).all(plain) {
        return Ok(());
    }
    match place.checked_sub(1).and_then(|at| projection.get(at)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
            // A number that is selected is no place again.
            let number = matches!(expr, Expr::Value(_)) || self::place(expr).is_some();
            *key = if number { Expr::Nested(Box::new(expr.clone())) } else { expr.clone() };
            Ok(())
        }
        _ => {
            let message = format!("{clause} position {place} is not in select list");
            Err(Error::new(ErrorKind::InvalidColumnReference, message))
        }
    }
}
