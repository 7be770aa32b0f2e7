//! `x op ANY (SELECT …)` and `x op ALL (SELECT …)`, also of `ARRAY(SELECT …)`, by what the query's rows come to: how many they are, how many are NULL,
//! the smallest and the largest.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query,
    SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value,
};

use super::expression::call;
use crate::execute::select_query;

/// The comparison; `None` where the right side is no query, or the operator no comparison.
pub(super) fn by_extremes(left: &Expr, op: &BinaryOperator, right: &Expr, all: bool) -> Option<Expr> {
    let query = queried(right)?;
    match (op, all) {
        (BinaryOperator::Eq, false) | (BinaryOperator::NotEq, true) => {
            let (expr, subquery) = (Box::new(left.clone()), Box::new(query.clone()));
            Some(Expr::InSubquery { expr, subquery, negated: all })
        }
        (op, false) => any(left, op, query),
        // All hold where none of the opposite does.
        (op, true) => {
            let none = any(left, &opposite(op)?, query)?;
            Some(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(none) })
        }
    }
}

/// The query whose rows are compared with: an array of them has the same elements.
fn queried(right: &Expr) -> Option<&Query> {
    match right {
        Expr::Subquery(query) => Some(query),
        Expr::Function(function) => match &function.args {
            FunctionArguments::Subquery(query) if function.name.to_string().eq_ignore_ascii_case("array") => {
                Some(query)
            }
            _ => None,
        },
        _ => None,
    }
}

fn opposite(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.into(), false))
}

/// False of no rows, true where the extreme holds, NULL where a NULL might.
fn any(left: &Expr, op: &BinaryOperator, query: &Query) -> Option<Expr> {
    let compare = |name: &str| {
        let extreme = of(query, |column| call(name, vec![column]));
        binary(left.clone(), op.clone(), extreme)
    };
    let holds = match op {
        BinaryOperator::Gt | BinaryOperator::GtEq => compare("min"),
        BinaryOperator::Lt | BinaryOperator::LtEq => compare("max"),
        BinaryOperator::NotEq => binary(compare("min"), BinaryOperator::Or, compare("max")),
        _ => return None,
    };
    let rows = of(query, |_| counted(FunctionArgExpr::Wildcard));
    let missing = of(query, |column| {
        let present = counted(FunctionArgExpr::Expr(column));
        binary(counted(FunctionArgExpr::Wildcard), BinaryOperator::Minus, present)
    });
    let none = binary(rows, BinaryOperator::Eq, number("0"));
    let some_null = binary(
        Expr::IsNull(Box::new(left.clone())),
        BinaryOperator::Or,
        binary(missing, BinaryOperator::Gt, number("0")),
    );
    let boolean = |value: bool| Expr::value(Value::Boolean(value));
    let null = Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(Expr::value(Value::Null)),
        data_type: ast::DataType::Boolean,
        array: false,
        format: None,
    };
    let when = |condition: Expr, result: Expr| ast::CaseWhen { condition, result };
    Some(Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![when(none, boolean(false)), when(holds, boolean(true)), when(some_null, null)],
        else_result: Some(Box::new(boolean(false))),
    })
}

fn counted(argument: FunctionArgExpr) -> Expr {
    let mut count = call("count", Vec::new());
    if let Expr::Function(function) = &mut count
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.args = vec![FunctionArg::Unnamed(argument)];
    }
    count
}

/// An aggregate over the query's only column.
fn of(query: &Query, aggregate: impl Fn(Expr) -> Expr) -> Expr {
    let mut plain = query.clone();
    let limited = plain.limit_clause.is_some() || plain.fetch.is_some() || plain.with.is_some();
    if let SetExpr::Select(select) = plain.body.as_mut() {
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty());
        let simple = !limited && !grouped && select.having.is_none() && select.distinct.is_none();
        if let ([SelectItem::UnnamedExpr(column) | SelectItem::ExprWithAlias { expr: column, .. }], true) =
            (select.projection.as_slice(), simple && !select.from.is_empty())
            && !select.projection.iter().any(super::subquery::aggregates)
        {
            select.projection = vec![SelectItem::UnnamedExpr(aggregate(column.clone()))];
            plain.order_by = None;
            return Expr::Subquery(Box::new(plain));
        }
    }
    let name = || Ident::new("luma_c1");
    let columns = vec![TableAliasColumnDef { name: name(), data_type: None }];
    let alias = TableAlias { explicit: true, name: Ident::new("luma_rows"), columns, at: None };
    let subquery = Box::new(query.clone());
    let relation = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let item = SelectItem::UnnamedExpr(aggregate(Expr::Identifier(name())));
    Expr::Subquery(Box::new(select_query(vec![item], from, None)))
}
