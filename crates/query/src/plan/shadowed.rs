//! FROM items that are called like a column further inside: `FROM tag WHERE EXISTS (SELECT … FROM post WHERE post.tag = tag.id)`.
//!
//! DataFusion looks for `tag.id` among the columns of the innermost query first, and takes it for a part of the column `tag`. So
//! such an item has another name in the whole statement.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind, TableAlias,
    TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};
use luma_catalog::Relation;

use crate::names::{identifier, qualified};
use crate::plan::context::Names;
use crate::plan::from_items::name_of;
use crate::plan::rewrite::MARK;

/// Gives such items other names.
pub(super) fn rewrite(names: &Names<'_>, statement: &mut ast::Statement) {
    let mut finder = Finder { names, scopes: Vec::new(), found: HashSet::new() };
    let _ = Visit::visit(statement, &mut finder);
    if !finder.found.is_empty() {
        let _ = VisitMut::visit(statement, &mut Renamer { found: finder.found });
    }
}

/// What a SELECT reads: the names of its items, and the columns of tables and views among them.
#[derive(Default)]
struct Scope {
    items: HashSet<String>,
    columns: HashSet<String>,
}

struct Finder<'a, 'n> {
    names: &'a Names<'n>,
    scopes: Vec<Scope>,
    found: HashSet<String>,
}

impl Finder<'_, '_> {
    fn read(&self, from: &TableWithJoins, scope: &mut Scope) {
        for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)) {
            if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
                self.read(table_with_joins, scope);
            }
            scope.items.extend(name_of(factor));
            let TableFactor::Table { name, args: None, .. } = factor else { continue };
            let known = qualified(name).ok().and_then(|name| self.names.scope().find(&name));
            match known {
                Some(Relation::Table(table)) => {
                    scope.columns.extend(table.live_columns().map(|column| column.name.clone()));
                }
                Some(Relation::View(view)) => {
                    scope.columns.extend(view.columns.iter().map(|(name, _)| name.clone()));
                }
                _ => {}
            }
        }
    }
}

impl Visitor for Finder<'_, '_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let mut scope = Scope::default();
        for from in &select.from {
            self.read(from, &mut scope);
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [item, _] = parts.as_slice()
        {
            let name = identifier(item);
            let inside: Vec<&Scope> =
                self.scopes.iter().rev().take_while(|scope| !scope.items.contains(&name)).collect();
            let is_known = inside.len() < self.scopes.len();
            if is_known && inside.iter().any(|scope| scope.columns.contains(&name)) {
                self.found.insert(name);
            }
        }
        ControlFlow::Continue(())
    }
}

struct Renamer {
    found: HashSet<String>,
}

impl Renamer {
    fn rename(&self, name: &mut Ident) {
        let known = identifier(name);
        if self.found.contains(&known) {
            *name = other(&known);
        }
    }
}

fn other(name: &str) -> Ident {
    Ident::with_quote('"', format!("{name}{MARK}outer"))
}

impl VisitorMut for Renamer {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let Some(name) = name_of(factor).filter(|name| self.found.contains(name)) else {
            return ControlFlow::Continue(());
        };
        if let TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } = factor
        {
            match alias {
                Some(alias) => alias.name = other(&name),
                None => {
                    let columns = Vec::new();
                    *alias = Some(TableAlias { explicit: true, name: other(&name), columns, at: None });
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(ObjectName(parts)),
                _,
            ) = item
                && let [ast::ObjectNamePart::Identifier(name)] = parts.as_mut_slice()
            {
                self.rename(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [name, _] = parts.as_mut_slice()
        {
            self.rename(name);
        }
        ControlFlow::Continue(())
    }
}
