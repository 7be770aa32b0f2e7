//! What has to change in the syntax tree before DataFusion plans it.
//!
//! - Result columns get PostgreSQL's names (`count`, `?column?`, …), repeated ones a hidden mark
//!   that keeps them apart and is taken off again for the client.
//! - `pg_catalog.f(…)` is `f(…)`, `OPERATOR(pg_catalog.~)` is `~`, default collations go.
//! - What cannot be kept (row locks) is refused by name.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, Query, Select, SelectItem, SetExpr, Statement, VisitMut, VisitorMut,
};
use luma_model::{Error, ErrorKind, Result};

use crate::names::identifier;

mod expression;
mod grouped_cast;
mod name;
mod position;
mod quantified;
mod relation;
mod row;
mod set_order;
mod subquery;
mod system_column;
mod window;

pub(crate) use expression::call;
pub(crate) use name::column_name;
pub(crate) use subquery::{aggregates as is_aggregate, is_set};

/// Stands between a repeated column name and what keeps it apart.
pub(super) const MARK: char = '\u{1}';

/// The name a client sees.
pub(crate) fn visible_name(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Rewrites a statement.
pub(crate) fn statement(statement: &mut Statement) -> Result<()> {
    let mut rewriter = Rewriter { error: None, limits: Vec::new() };
    let _ = VisitMut::visit(statement, &mut rewriter);
    rewriter.error.map_or(Ok(()), Err)
}

/// Rewrites an expression that stands alone.
pub(crate) fn expression(expression: &mut Expr) -> Result<()> {
    let mut rewriter = Rewriter { error: None, limits: Vec::new() };
    let _ = VisitMut::visit(expression, &mut rewriter);
    rewriter.error.map_or(Ok(()), Err)
}

struct Rewriter {
    error: Option<Error>,
    /// LIMIT clauses of the queries around; their numbers are DataFusion's own.
    limits: Vec<Option<ast::LimitClause>>,
}

impl Rewriter {
    fn refuse(&mut self, kind: ErrorKind, message: impl Into<String>) -> ControlFlow<()> {
        self.error = Some(Error::new(kind, message));
        ControlFlow::Break(())
    }
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::NestedJoin { table_with_joins, .. } = factor {
            relation::beside(&mut table_with_joins.joins);
        }
        if let Err(error) = relation::rewrite(factor) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Err(error) = fetch_as_limit(query) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        type_values(&mut query.body);
        if !query.locks.is_empty() {
            return self.refuse(
                ErrorKind::FeatureNotSupported,
                "FOR UPDATE and FOR SHARE are only supported in the statement's own SELECT",
            );
        }
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Err(error) = window::resolve(select, query.order_by.as_mut())
        {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        set_order::rewrite(query);
        name_columns(&mut query.body, &ordered_by(query.order_by.as_ref()));
        values_of_subqueries(&mut query.body);
        self.limits.push(query.limit_clause.take());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        query.limit_clause = self.limits.pop().flatten();
        grouped_cast::order(query);
        if let Err(error) = position::order(query) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        if let Some(ast::OrderByKind::Expressions(order)) =
            query.order_by.as_mut().map(|order| &mut order.kind)
        {
            for item in order {
                expression::place(&mut item.expr);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        one_group(select);
        for condition in select.selection.iter_mut().chain(select.having.as_mut()) {
            row::conditions(condition);
        }
        // Those of a part of a UNION, which has no ORDER BY of its own.
        match window::refuse_misplaced(select).and_then(|()| window::resolve(select, None)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        system_column::rewrite(select);
        for from in &mut select.from {
            relation::beside(&mut from.joins);
        }
        if let Err(error) = position::rewrite(select) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        grouped_cast::rewrite(select);
        if let ast::GroupByExpr::Expressions(groups, _) = &mut select.group_by {
            groups.iter_mut().for_each(expression::place);
        }
        if let Some(ast::Distinct::On(columns)) = &mut select.distinct {
            columns.iter_mut().for_each(expression::place);
        }
        if let Some(filter) = select.selection.as_mut().filter(|filter| expression::literal(filter).is_some())
        {
            let condition = std::mem::replace(filter, Expr::Identifier(Ident::new("_")));
            *filter = expression::cast(condition, ast::DataType::Boolean);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let quantified = match expr {
            Expr::AnyOp { left, compare_op, right, .. } => {
                quantified::by_extremes(left, compare_op, right, false)
            }
            Expr::AllOp { left, compare_op, right } => quantified::by_extremes(left, compare_op, right, true),
            _ => None,
        };
        if let Some(quantified) = quantified {
            *expr = quantified;
        }
        match row::compared(expr) {
            Ok(Some(compared)) => *expr = compared,
            Ok(None) => {}
            Err(error) => {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        }
        if let Expr::Subquery(query) = expr {
            subquery::scalar(query);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if is_system(&function.name) => {
                function.name.0.remove(0);
            }
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(known) = parts.last().and_then(|symbol| operator(symbol))
                {
                    *op = known;
                }
            }
            Expr::Collate { expr: inner, collation } if is_default(collation) => {
                let inner = std::mem::replace(inner.as_mut(), Expr::Identifier(Ident::new("_")));
                *expr = inner;
            }
            _ => {}
        }
        crate::pg_catalog::rewrite_expression(expr);
        if let Err(error) = expression::rewrite(expr) {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// `GROUP BY ()` is one group of all rows, as an aggregate alone makes it.
fn one_group(select: &mut Select) {
    let ast::GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return };
    let given = groups.len();
    groups.retain(|group| !matches!(group, Expr::Tuple(parts) if parts.is_empty()));
    if given > 0 && groups.is_empty() && select.having.is_none() {
        select.having = Some(Expr::value(ast::Value::Boolean(true)));
    }
}

/// The collation of the database, which text has anyway.
fn is_default(collation: &ast::ObjectName) -> bool {
    let last = collation.0.last().and_then(ast::ObjectNamePart::as_ident);
    last.is_some_and(|last| identifier(last) == "default")
}

/// `pg_catalog.name`, `information_schema._pg_name`.
fn is_system(name: &ast::ObjectName) -> bool {
    let [ast::ObjectNamePart::Identifier(schema), ast::ObjectNamePart::Identifier(name)] = name.0.as_slice()
    else {
        return false;
    };
    match identifier(schema).as_str() {
        "pg_catalog" => true,
        "information_schema" => identifier(name).starts_with("_pg_"),
        _ => false,
    }
}

fn operator(symbol: &str) -> Option<BinaryOperator> {
    Some(match symbol {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// EXISTS and IN in a list of results.
fn values_of_subqueries(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            values_of_subqueries(left);
            values_of_subqueries(right);
        }
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                    subquery::as_value(expr);
                }
            }
        }
        _ => {}
    }
}

/// FETCH FIRST n ROWS ONLY is LIMIT n.
fn fetch_as_limit(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.percent {
        let message = "FETCH of a percentage is not supported";
        return Err(Error::new(ErrorKind::FeatureNotSupported, message)
            .hint("Number the rows with percent_rank() in a subquery and filter by it."));
    }
    let mut count = fetch.quantity.unwrap_or_else(|| Expr::value(ast::Value::Number("1".into(), false)));
    if fetch.with_ties {
        if query.order_by.is_none() {
            let message = "WITH TIES cannot be specified without ORDER BY clause";
            return Err(Error::new(ErrorKind::Syntax, message));
        }
        count = expression::call(crate::plan::limited::WITH_TIES, vec![count]);
    }
    let offset = match query.limit_clause.take() {
        Some(ast::LimitClause::LimitOffset { offset, .. }) => offset,
        _ => None,
    };
    query.limit_clause =
        Some(ast::LimitClause::LimitOffset { limit: Some(count), offset, limit_by: Vec::new() });
    Ok(())
}

/// Rows of VALUES have types in common: a text among dates is a date, a whole number among decimals
/// a decimal.
fn type_values(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            type_values(left);
            type_values(right);
        }
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            for column in 0..width {
                let cells = || values.rows.iter().filter_map(|row| row.content.get(column));
                let decimal = cells().any(is_decimal);
                let numeric = |expr: &Expr| written_type(expr).is_some_and(|kind| is_numeric(&kind));
                // Beside a numeric, whole numbers of all widths are some, too.
                let exact = (decimal || cells().any(numeric))
                    && cells().filter_map(written_type).all(|kind| is_numeric(&kind) || is_integer(&kind));
                let beyond = |cell| number(cell).is_some_and(expression::is_beyond_literals);
                let several =
                    cells().any(|cell| is_whole(cell) || written_type(cell).is_some() || beyond(cell));
                let kind = match cells().find_map(written_type) {
                    _ if exact && several => ast::DataType::Numeric(ast::ExactNumberInfo::None),
                    Some(kind) => kind,
                    None => continue,
                };
                for row in &mut values.rows {
                    let Some(cell) = row.content.get_mut(column) else { continue };
                    let number = (decimal || exact) && (is_decimal(cell) || is_whole(cell));
                    let written = exact && written_type(cell).is_some();
                    if number || written || is_null(cell) || expression::literal(cell).is_some() {
                        let value = std::mem::replace(cell, Expr::Identifier(Ident::new("_")));
                        *cell = expression::cast(value, kind.clone());
                    }
                }
            }
        }
        _ => {}
    }
}

fn is_numeric(kind: &ast::DataType) -> bool {
    matches!(kind, ast::DataType::Numeric(_) | ast::DataType::Decimal(_) | ast::DataType::Dec(_))
}

fn is_integer(kind: &ast::DataType) -> bool {
    crate::types::data_type(kind).is_ok_and(|known| known.is_integer())
}

/// The type that an expression names itself.
fn written_type(expr: &Expr) -> Option<ast::DataType> {
    match expr {
        Expr::Cast { data_type, .. } => Some(data_type.clone()),
        Expr::TypedString(typed) => Some(typed.data_type.clone()),
        Expr::Interval(_) => Some(ast::DataType::Interval { fields: None, precision: None }),
        Expr::Nested(inner) => written_type(inner),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => Some(digits),
            _ => None,
        },
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } | Expr::Nested(expr) => number(expr),
        _ => None,
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, ast::Value::Null))
}

fn is_whole(expr: &Expr) -> bool {
    number(expr).is_some_and(|digits| digits.parse::<i64>().is_ok())
}

fn is_decimal(expr: &Expr) -> bool {
    number(expr).is_some_and(|digits| digits.parse::<i64>().is_err())
}

/// The columns of tables by which a query is ordered, unless a column of the result is meant by the name, too.
fn ordered_by(order: Option<&ast::OrderBy>) -> HashSet<String> {
    let Some(ast::OrderByKind::Expressions(keys)) = order.map(|order| &order.kind) else {
        return HashSet::new();
    };
    let (mut columns, mut outputs) = (HashSet::new(), HashSet::new());
    let _ = ast::visit_expressions(keys, |expr| {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                columns.extend(parts.last().map(identifier));
            }
            Expr::Identifier(name) => {
                outputs.insert(identifier(name));
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    columns.retain(|name| !outputs.contains(name));
    columns
}

/// Names a query's columns; what is computed gets none that a column it is ordered by has.
fn name_columns(body: &mut SetExpr, ordered_by: &HashSet<String>) {
    match body {
        SetExpr::Select(select) => name_select(select, ordered_by),
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left, &HashSet::new());
            name_columns(right, &HashSet::new());
        }
        _ => {}
    }
}

fn name_select(select: &mut Select, ordered_by: &HashSet<String>) {
    let mut taken = HashSet::new();
    let stars = Stars::of(select);
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let name = column_name(expr);
                let unique =
                    taken.insert(name.clone()) && (plain || !ordered_by.contains(&name)) && !stars.have(expr);
                if plain && unique {
                    continue;
                }
                let alias = if unique { name } else { marked(&name, &mut taken) };
                let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("_")));
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias) };
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = identifier(alias);
                let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                if !taken.insert(name.clone()) || !plain && ordered_by.contains(&name) {
                    *alias = Ident::with_quote('"', marked(&name, &mut taken));
                }
            }
            _ => {}
        }
    }
}

/// The `*` of a SELECT list.
#[derive(Default)]
struct Stars {
    /// Whether there is one of all that is read.
    all: bool,
    /// The items of FROM that have one.
    items: HashSet<String>,
    /// Whether FROM has one item, so that a name alone is a column of it.
    single: bool,
}

impl Stars {
    fn of(select: &Select) -> Self {
        let single = matches!(select.from.as_slice(), [from] if from.joins.is_empty());
        let mut stars = Self { single, ..Self::default() };
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => stars.all = true,
                SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    stars.items.extend(name.0.last().and_then(|part| part.as_ident()).map(identifier));
                }
                _ => {}
            }
        }
        stars
    }

    /// Whether a column is sure to be among theirs, too.
    fn have(&self, column: &Expr) -> bool {
        match column {
            Expr::Identifier(_) => self.all || self.single && !self.items.is_empty(),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [item, _] => self.all || self.items.contains(&identifier(item)),
                _ => false,
            },
            _ => false,
        }
    }
}

fn marked(name: &str, taken: &mut HashSet<String>) -> String {
    let mut count = 2;
    loop {
        let marked = format!("{name}{MARK}{count}");
        if taken.insert(marked.clone()) {
            return marked;
        }
        count += 1;
    }
}
