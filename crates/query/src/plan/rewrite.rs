//! What has to change in the syntax tree before DataFusion plans it.
//!
//! - Result columns get PostgreSQL's names (`count`, `?column?`, …), repeated ones a hidden mark
//!   that keeps them apart and is taken off again for the client.
//! - `pg_catalog.f(…)` is `f(…)`, `OPERATOR(pg_catalog.~)` is `~`, default collations go.
//! - What cannot be kept (row locks, other collations) is refused by name.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, Query, Select, SelectItem, SetExpr, Statement, VisitMut, VisitorMut,
};
use luma_model::{Error, ErrorKind, Result};

use crate::names::identifier;

/// Stands between a repeated column name and what keeps it apart.
const MARK: char = '\u{1}';

/// The name a client sees.
pub(crate) fn visible_name(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Rewrites a statement.
pub(crate) fn statement(statement: &mut Statement) -> Result<()> {
    let mut rewriter = Rewriter { error: None };
    let _ = VisitMut::visit(statement, &mut rewriter);
    if let Statement::Query(query) = statement {
        crate::pg_catalog::show_names(&mut query.body);
    }
    rewriter.error.map_or(Ok(()), Err)
}

/// Rewrites an expression that stands alone.
pub(crate) fn expression(expression: &mut Expr) -> Result<()> {
    let mut rewriter = Rewriter { error: None };
    let _ = VisitMut::visit(expression, &mut rewriter);
    rewriter.error.map_or(Ok(()), Err)
}

struct Rewriter {
    error: Option<Error>,
}

impl Rewriter {
    fn refuse(&mut self, kind: ErrorKind, message: impl Into<String>) -> ControlFlow<()> {
        self.error = Some(Error::new(kind, message));
        ControlFlow::Break(())
    }
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            return self.refuse(
                ErrorKind::FeatureNotSupported,
                "SELECT with FOR UPDATE or FOR SHARE is not supported",
            );
        }
        name_columns(&mut query.body);
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
            Expr::Collate { expr: inner, collation } => {
                let last = collation.0.last().map(ToString::to_string).unwrap_or_default();
                let last = last.trim_matches('"').to_ascii_lowercase();
                if !matches!(last.as_str(), "default" | "c" | "posix" | "ucs_basic" | "c.utf-8") {
                    return self.refuse(
                        ErrorKind::FeatureNotSupported,
                        format!(
                            "collation {collation} is not supported; text is ordered by its bytes (\"C\")"
                        ),
                    );
                }
                let inner = std::mem::replace(inner.as_mut(), Expr::Identifier(Ident::new("_")));
                *expr = inner;
            }
            _ => {}
        }
        crate::pg_catalog::rewrite_expression(expr);
        ControlFlow::Continue(())
    }
}

/// `pg_catalog.name`.
fn is_system(name: &ast::ObjectName) -> bool {
    let first = name.0.first().and_then(ast::ObjectNamePart::as_ident);
    name.0.len() == 2 && first.is_some_and(|part| part.value.eq_ignore_ascii_case("pg_catalog"))
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

fn name_columns(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left);
            name_columns(right);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select) {
    let mut taken = HashSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let name = column_name(expr);
                let unique = taken.insert(name.clone());
                if plain && unique {
                    continue;
                }
                let alias = if unique { name } else { marked(&name, &mut taken) };
                let expr = std::mem::replace(expr, Expr::Identifier(Ident::new("_")));
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias) };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = identifier(alias);
                if !taken.insert(name.clone()) {
                    *alias = Ident::with_quote('"', marked(&name, &mut taken));
                }
            }
            _ => {}
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

/// What PostgreSQL calls a column computed by this expression.
pub(crate) fn column_name(expr: &Expr) -> String {
    named(expr).unwrap_or_else(|| "?column?".into())
}

fn named(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(identifier(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(identifier),
        Expr::Function(function) => {
            function.name.0.last().and_then(ast::ObjectNamePart::as_ident).map(identifier)
        }
        Expr::Cast { expr, data_type, .. } => named(expr)
            .or_else(|| crate::types::data_type(data_type).ok().map(|known| known.catalog_name().to_owned())),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::Case { else_result, .. } => {
            else_result.as_deref().and_then(named).or_else(|| Some("case".into()))
        }
        Expr::Exists { .. } => Some("exists".into()),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => named(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(identifier(alias)),
                _ => None,
            },
            _ => None,
        },
        Expr::Extract { .. } => Some("extract".into()),
        Expr::Substring { .. } => Some("substring".into()),
        Expr::Position { .. } => Some("position".into()),
        Expr::Trim { .. } => Some("btrim".into()),
        Expr::Ceil { .. } => Some("ceil".into()),
        Expr::Floor { .. } => Some("floor".into()),
        Expr::Overlay { .. } => Some("overlay".into()),
        Expr::Array(_) => Some("array".into()),
        Expr::TypedString(typed) => {
            crate::types::data_type(&typed.data_type).ok().map(|known| known.catalog_name().to_owned())
        }
        Expr::Interval(_) => Some("interval".into()),
        Expr::AtTimeZone { .. } => Some("timezone".into()),
        Expr::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => Some("bool".into()),
        _ => None,
    }
}
