//! Results beside `*` that are called like a column of it: `SELECT *, upper(name) AS name FROM t`.
//!
//! Such a result has a name of its own inside; clients see the one that it was given. Columns are known of tables and views.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Ident, Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};
use luma_catalog::Relation;

use crate::names::{identifier, qualified};
use crate::plan::context::Names;
use crate::plan::from_items::name_of;
use crate::plan::rewrite::MARK;

/// Gives such results names of their own.
pub(super) fn rewrite(names: &Names<'_>, statement: &mut ast::Statement) {
    let _ = VisitMut::visit(statement, &mut Namer { names });
}

struct Namer<'a, 'n> {
    names: &'a Names<'n>,
}

impl Namer<'_, '_> {
    /// The columns of the items of FROM that are `wanted`.
    fn columns(&self, from: &TableWithJoins, wanted: &dyn Fn(&str) -> bool, found: &mut HashSet<String>) {
        for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    self.columns(table_with_joins, wanted, found);
                }
                TableFactor::Table { name, args: None, alias, .. }
                    if name_of(factor).is_some_and(|name| wanted(&name))
                        && alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) =>
                {
                    match qualified(name).ok().and_then(|name| self.names.scope().find(&name)) {
                        Some(Relation::Table(table)) => {
                            found.extend(table.live_columns().map(|column| column.name.clone()));
                        }
                        Some(Relation::View(view)) => {
                            found.extend(view.columns.iter().map(|(name, _)| name.clone()));
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

impl VisitorMut for Namer<'_, '_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let (mut all, mut items) = (false, HashSet::new());
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => all = true,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    items.extend(name.0.last().and_then(|part| part.as_ident()).map(identifier));
                }
                _ => {}
            }
        }
        let named = select.projection.iter().any(|item| matches!(item, SelectItem::ExprWithAlias { .. }));
        if !named || !all && items.is_empty() {
            return ControlFlow::Continue(());
        }
        let mut columns = HashSet::new();
        for from in &select.from {
            self.columns(from, &|name| all || items.contains(name), &mut columns);
        }
        for (place, item) in select.projection.iter_mut().enumerate() {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                let name = identifier(alias);
                if columns.contains(&name) {
                    *alias = Ident::with_quote('"', format!("{name}{MARK}s{place}"));
                }
            }
        }
        ControlFlow::Continue(())
    }
}
