//! `tableoid`, the one system column that clients read: which table a row comes from.
//!
//! Every row of a table has the same, so that it is known without reading any: the identifier of the
//! table that FROM names.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Select, SelectItem, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use crate::names::identifier;
use crate::pg_catalog::class_of;

const COLUMN: &str = "tableoid";

/// Puts the identifiers of tables in the place of `tableoid`.
pub(super) fn rewrite(select: &mut Select) {
    if !mentions(select) {
        return;
    }
    let mut tables = Vec::new();
    for from in &select.from {
        collect(from, &mut tables);
    }
    if tables.is_empty() {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && is_table_oid(expr)
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(COLUMN) };
        }
    }
    let _ = VisitMut::visit(select, &mut Replacer(&tables));
}

fn mentions(select: &Select) -> bool {
    use datafusion::sql::sqlparser::ast::visit_expressions;
    visit_expressions(select, |expr| {
        if is_table_oid(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

fn is_table_oid(expr: &Expr) -> bool {
    let last = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    last.is_some_and(|name| identifier(name) == COLUMN)
}

/// Tables of a FROM item, each under the name it goes by.
fn collect(from: &TableWithJoins, tables: &mut Vec<(String, ObjectName)>) {
    for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let last = name.0.last().and_then(|part| part.as_ident());
                if let Some(known) = alias.as_ref().map(|alias| &alias.name).or(last) {
                    tables.push((identifier(known), name.clone()));
                }
            }
            TableFactor::NestedJoin { table_with_joins, .. } => collect(table_with_joins, tables),
            _ => {}
        }
    }
}

struct Replacer<'a>(&'a [(String, ObjectName)]);

impl VisitorMut for Replacer<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if !is_table_oid(expr) {
            return ControlFlow::Continue(());
        }
        let table = match expr {
            Expr::CompoundIdentifier(parts) if parts.len() > 1 => {
                let wanted = identifier(&parts[parts.len() - 2]);
                self.0.iter().find(|(known, _)| *known == wanted)
            }
            _ => self.0.first(),
        };
        if let Some((_, table)) = table {
            *expr = class_of(&table.to_string());
        }
        ControlFlow::Continue(())
    }
}
