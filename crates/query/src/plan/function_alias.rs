//! Aliases of functions in FROM whose column has a name of its own: `jsonb_array_elements(x) AS e`.
//!
//! The column is `value` there, `e.value` too, and `e` alone is the row, which is that one value. So the alias gets the
//! column's name, and where the alias stands alone, `e.value` takes its place.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
};

use crate::names::identifier;

/// The functions, and what their column is called.
const COLUMN: &str = "value";
const FUNCTIONS: [&str; 4] =
    ["jsonb_array_elements", "json_array_elements", "jsonb_array_elements_text", "json_array_elements_text"];

/// Gives such aliases their column.
pub(super) fn rewrite(statement: &mut ast::Statement) {
    let _ = VisitMut::visit(statement, &mut Rewriter);
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let factors = select.from.iter_mut().flat_map(|from| {
            std::iter::once(&mut from.relation).chain(from.joins.iter_mut().map(|join| &mut join.relation))
        });
        let named: Vec<String> = factors.filter_map(name_column).collect();
        if named.is_empty() {
            return ControlFlow::Continue(());
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
                && named.contains(&identifier(name))
            {
                let alias = name.clone();
                *item = SelectItem::ExprWithAlias { expr: Expr::Identifier(alias.clone()), alias };
            }
        }
        VisitMut::visit(query, &mut Alone { named: &named })
    }
}

/// Names the column of such a function; gives its alias.
fn name_column(factor: &mut TableFactor) -> Option<String> {
    let (TableFactor::Table { name, alias: Some(alias), args: Some(_), .. }
    | TableFactor::Function { name, alias: Some(alias), .. }) = factor
    else {
        return None;
    };
    is_one(name).then(|| named(alias)).flatten()
}

fn is_one(name: &ObjectName) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident).map(identifier);
    last.is_some_and(|name| FUNCTIONS.contains(&name.as_str()))
}

fn named(alias: &mut TableAlias) -> Option<String> {
    let name = identifier(&alias.name);
    if !alias.columns.is_empty() || name == COLUMN {
        return None;
    }
    alias.columns = vec![TableAliasColumnDef { name: Ident::new(COLUMN), data_type: None }];
    Some(name)
}

/// Puts the column in the place of an alias that stands alone.
struct Alone<'a> {
    named: &'a [String],
}

impl VisitorMut for Alone<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.named.contains(&identifier(name))
        {
            *expr = Expr::CompoundIdentifier(vec![name.clone(), Ident::new(COLUMN)]);
        }
        ControlFlow::Continue(())
    }
}
