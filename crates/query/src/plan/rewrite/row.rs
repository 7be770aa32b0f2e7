//! Rows in comparisons: `(a, b) < (1, 2)`, `(a, b) IN (SELECT …)`, `ROW(a, b) IS DISTINCT FROM (1, 2)`.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, SelectItem,
    TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator,
};
use luma_model::{Error, ErrorKind, Result};

use crate::execute::select_query;

/// What the rows of a subquery are called, and the columns of such a row.
const ROWS: &str = "luma_rows";

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

/// The parts of a row, however it is written.
pub(super) fn parts(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(parts) => Some(parts.clone()),
        Expr::Function(function)
            if function.over.is_none() && function.name.to_string().eq_ignore_ascii_case("row") =>
        {
            let FunctionArguments::List(list) = &function.args else { return None };
            let values = list.args.iter().map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
                _ => None,
            });
            values.collect()
        }
        _ => None,
    }
}

/// A comparison of rows as comparisons of their parts; `None` for another expression.
///
/// # Errors
/// 42601 for rows of different lengths.
pub(super) fn compared(expr: &Expr) -> Result<Option<Expr>> {
    Ok(match expr {
        Expr::BinaryOp { left, op, right } => match (parts(left), parts(right), right.as_ref()) {
            (Some(one), Some(other), _) => {
                same_length(&one, &other)?;
                compare(&one, op, &other)
            }
            (Some(row), None, Expr::Subquery(query)) => selected(&row, op, query),
            _ => None,
        },
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
            let (Some(one), Some(other)) = (parts(left), parts(right)) else { return Ok(None) };
            same_length(&one, &other)?;
            let same = one
                .into_iter()
                .zip(other)
                .map(|(one, other)| Expr::IsNotDistinctFrom(Box::new(one), Box::new(other)));
            let same = same.reduce(|one, other| binary(one, BinaryOperator::And, other)).map(nested);
            if matches!(expr, Expr::IsDistinctFrom(..)) { same.map(not) } else { same }
        }
        Expr::InList { expr: row, list, negated } => {
            let Some(row) = parts(row) else { return Ok(None) };
            let mut any: Option<Expr> = None;
            for item in list {
                let Some(other) = parts(item) else { return Ok(None) };
                same_length(&row, &other)?;
                let Some(equal) = compare(&row, &BinaryOperator::Eq, &other) else { return Ok(None) };
                any = Some(match any {
                    Some(any) => binary(any, BinaryOperator::Or, equal),
                    None => equal,
                });
            }
            any.map(nested).map(|any| if *negated { not(any) } else { any })
        }
        Expr::InSubquery { expr: row, subquery, negated } => match parts(row) {
            Some(row) => Some(member(&row, subquery, *negated)?),
            None => None,
        },
        _ => None,
    })
}

/// `row IN (query)` in a condition, under AND and OR only, where "no" and "nobody knows" come to the same.
pub(super) fn conditions(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            conditions(left);
            conditions(right);
        }
        Expr::Nested(inner) => conditions(inner),
        Expr::InSubquery { expr: row, subquery, negated } => {
            let found = parts(row).and_then(|row| condition(&row, subquery, *negated));
            if let Some(found) = found {
                *expr = found;
            }
        }
        _ => {}
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) }
}

fn same_length(one: &[Expr], other: &[Expr]) -> Result<()> {
    if one.len() == other.len() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Syntax, "unequal number of entries in row expressions"))
}

/// Rows compared part by part, the first ones deciding.
fn compare(one: &[Expr], op: &BinaryOperator, other: &[Expr]) -> Option<Expr> {
    let pairs = || one.iter().cloned().zip(other.iter().cloned());
    let join = |part: BinaryOperator, with: BinaryOperator| {
        pairs()
            .map(|(one, other)| binary(one, part.clone(), other))
            .reduce(|one, other| binary(one, with.clone(), other))
    };
    let compared = match op {
        BinaryOperator::Eq => join(BinaryOperator::Eq, BinaryOperator::And)?,
        BinaryOperator::NotEq => join(BinaryOperator::NotEq, BinaryOperator::Or)?,
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
            let strict = match op {
                BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
                _ => BinaryOperator::Gt,
            };
            let mut parts: Vec<(Expr, Expr)> = pairs().collect();
            let (one, other) = parts.pop()?;
            let last = binary(one, op.clone(), other);
            parts.into_iter().rev().fold(last, |rest, (one, other)| {
                let equal = binary(one.clone(), BinaryOperator::Eq, other.clone());
                let tied = binary(equal, BinaryOperator::And, nested(rest));
                binary(binary(one, strict.clone(), other), BinaryOperator::Or, nested(tied))
            })
        }
        _ => return None,
    };
    Some(nested(compared))
}

/// `SELECT result [FROM (query) AS luma_rows (c1, …) [WHERE filter]]`: no name around means a column of the query.
fn over(query: &Query, width: usize, result: Expr, filter: Option<Expr>) -> Query {
    let columns = (1..=width).map(|place| TableAliasColumnDef { name: column(place), data_type: None });
    let alias = TableAlias { explicit: true, name: Ident::new(ROWS), columns: columns.collect(), at: None };
    let subquery = Box::new(query.clone());
    let relation = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    select_query(vec![SelectItem::UnnamedExpr(result)], from, filter)
}

fn column(place: usize) -> Ident {
    Ident::new(format!("luma_c{place}"))
}

/// The row of a subquery's columns.
fn columns(width: usize) -> Vec<Expr> {
    (1..=width).map(|place| Expr::CompoundIdentifier(vec![Ident::new(ROWS), column(place)])).collect()
}

/// A row compared with the one that a subquery gives.
fn selected(row: &[Expr], op: &BinaryOperator, query: &Query) -> Option<Expr> {
    let result = compare(row, op, &columns(row.len()))?;
    Some(Expr::Subquery(Box::new(over(query, row.len(), result, None))))
}

/// Whether there is a row of the query for which the comparison of the rows is so, or with `negated` none.
fn exists(row: &[Expr], query: &Query, negated: bool, so: impl Fn(Box<Expr>) -> Expr) -> Option<Expr> {
    let one = Expr::value(ast::Value::Number("1".into(), false));
    let equal = compare(row, &BinaryOperator::Eq, &columns(row.len()))?;
    let subquery = Box::new(over(query, row.len(), one, Some(so(Box::new(equal)))));
    Some(Expr::Exists { subquery, negated })
}

/// `row IN (query)`: some row equals it; not in it, where none does and none might.
fn condition(row: &[Expr], query: &Query, negated: bool) -> Option<Expr> {
    if negated {
        exists(row, query, true, Expr::IsNotFalse)
    } else {
        exists(row, query, false, |equal| *equal)
    }
}

/// The same as a value: NULL where none equals it, but one might.
///
/// # Errors
/// 42601 for a row that nothing compares with.
fn member(row: &[Expr], query: &Query, negated: bool) -> Result<Expr> {
    let both = exists(row, query, false, |equal| *equal).zip(exists(row, query, false, Expr::IsNull));
    let (found, open) =
        both.ok_or_else(|| Error::new(ErrorKind::Syntax, "a row without values is in no list"))?;
    let boolean = |value: bool| Expr::value(ast::Value::Boolean(value));
    let null = super::expression::cast(Expr::value(ast::Value::Null), ast::DataType::Boolean);
    let when = |condition: Expr, result: Expr| ast::CaseWhen { condition, result };
    Ok(Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![when(found, boolean(!negated)), when(open, null)],
        else_result: Some(Box::new(boolean(negated))),
    })
}
