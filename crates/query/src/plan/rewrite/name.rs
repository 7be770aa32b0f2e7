//! What PostgreSQL calls the columns of a result.

use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr, TrimWhereField};

use crate::names::identifier;

/// What PostgreSQL calls a column computed by this expression.
pub(crate) fn column_name(expr: &Expr) -> String {
    named(expr).map_or_else(|| "?column?".into(), |(name, _)| name)
}

/// A name, and whether it is better than that of a cast around it.
type Named = (String, bool);

fn good(name: impl Into<String>) -> Option<Named> {
    Some((name.into(), true))
}

fn named(expr: &Expr) -> Option<Named> {
    match expr {
        Expr::Identifier(ident) => good(identifier(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().and_then(|part| good(identifier(part))),
        Expr::Function(function) => function
            .name
            .0
            .last()
            .and_then(ast::ObjectNamePart::as_ident)
            .and_then(|part| good(identifier(part))),
        Expr::Cast { expr, data_type, .. } => match named(expr) {
            Some((name, true)) => good(name),
            _ => type_name(data_type).map(|name| (name, false)),
        },
        Expr::TypedString(typed) => type_name(&typed.data_type).map(|name| (name, false)),
        Expr::Interval(_) => Some(("interval".into(), false)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                ast::AccessExpr::Dot(Expr::Identifier(field)) => Some(identifier(field)),
                _ => None,
            });
            match field {
                Some(field) => good(field),
                None => named(root),
            }
        }
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(named) {
            Some((name, true)) => good(name),
            _ => Some(("case".into(), false)),
        },
        Expr::Exists { negated: false, .. } => good("exists"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => good(column_name(expr)),
                SelectItem::ExprWithAlias { alias, .. } => good(identifier(alias)),
                _ => None,
            },
            _ => None,
        },
        Expr::Extract { .. } => good("extract"),
        Expr::Substring { shorthand, .. } => good(if *shorthand { "substr" } else { "substring" }),
        Expr::Position { .. } => good("position"),
        Expr::Trim { trim_where, .. } => good(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Ceil { .. } => good("ceil"),
        Expr::Floor { .. } => good("floor"),
        Expr::Overlay { .. } => good("overlay"),
        Expr::Array(_) => good("array"),
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => good("overlaps"),
        Expr::Tuple(_) => good("row"),
        Expr::AtTimeZone { .. } => good("timezone"),
        Expr::IsNormalized { .. } => good("is_normalized"),
        _ => None,
    }
}

fn type_name(data_type: &ast::DataType) -> Option<String> {
    let plain =
        crate::types::without_precision(data_type).map_or_else(|| data_type.clone(), |(plain, _)| plain);
    match crate::types::data_type(&plain) {
        // An array is called like its elements.
        Ok(luma_model::DataType::Array(element)) => Some(element.catalog_name().to_owned()),
        Ok(known) => Some(known.catalog_name().to_owned()),
        Err(_) => match data_type {
            ast::DataType::Custom(name, _) => {
                name.0.last().and_then(ast::ObjectNamePart::as_ident).map(identifier)
            }
            ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => type_name(element),
            _ => None,
        },
    }
}
