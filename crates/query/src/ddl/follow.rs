//! Views follow what they read: when a table or a column of it gets another name, stored queries keep their meaning.
//!
//! A query names tables and columns by text. Where it reads the renamed table, the text gets the new name and keeps the
//! old one as an alias, so that nothing else in it has to change:
//!
//! ```text
//! FROM t            table renamed to u          FROM u AS t
//! FROM t            column a renamed to b       FROM (SELECT b AS a, c FROM t) AS t
//! ```

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectNamePart, Query, SelectItem, TableAlias, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};
use luma_catalog::{Object, Oid, Snapshot};
use luma_model::Result;

use crate::ddl::drop::names_column;
use crate::ddl::put;
use crate::execute::{select_query, table_factor};
use crate::names::{Scope, identifier, qualified};
use crate::plan::context::parse_query;
use crate::session::Session;

/// What gets another name.
pub(super) enum Renamed<'a> {
    /// The relation; its new name.
    Relation(&'a str),
    /// A column of it, from one name to another, among these columns.
    Column { old: &'a str, new: &'a str, columns: &'a [String] },
}

/// Changes the queries of views and materialized views that read a relation. To be called before it has its new names.
pub(super) fn rename(session: &mut Session, oid: Oid, renamed: &Renamed<'_>) -> Result<()> {
    let catalog: Arc<Snapshot> = session.catalog();
    for view in catalog.queries().filter(|view| view.depends_on.contains(&oid)) {
        let mut query = parse_query(&view.query)?;
        let mut search_path: Vec<String> =
            catalog.schema_by_oid(view.schema).map(|schema| schema.name.clone()).into_iter().collect();
        search_path.extend(session.search_path().iter().cloned());
        let scope = Scope { catalog: &catalog, search_path: &search_path };
        let mut follower =
            Follower { scope, oid, renamed, needed: &|name| names_column(&view, name), withs: Vec::new() };
        let _ = VisitMut::visit(&mut query, &mut follower);
        let query = query.to_string();
        if let Some(view) = catalog.view(view.oid) {
            let mut followed = view.as_ref().clone();
            followed.query = query;
            put(session, Object::View(followed))?;
        } else if let Some(table) = catalog.table(view.oid) {
            let mut followed = table.as_ref().clone();
            if let Some(filled) = &mut followed.filled_by {
                filled.query = query;
            }
            put(session, Object::Table(followed))?;
        }
    }
    Ok(())
}

struct Follower<'a> {
    scope: Scope<'a>,
    oid: Oid,
    renamed: &'a Renamed<'a>,
    /// Whether the query may name a column.
    needed: &'a dyn Fn(&str) -> bool,
    /// Names of WITH queries, which stand for no relation.
    withs: Vec<String>,
}

impl VisitorMut for Follower<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.withs.extend(tables.map(|table| identifier(&table.alias.name)));
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Ok(known) = qualified(name) else { return ControlFlow::Continue(()) };
        let is_with = known.schema.is_none() && self.withs.contains(&known.name);
        if is_with || self.scope.find(&known).is_none_or(|relation| relation.oid() != self.oid) {
            return ControlFlow::Continue(());
        }
        let alias = alias.take().unwrap_or_else(|| named(&known.name));
        match self.renamed {
            Renamed::Relation(new) => {
                if let Some(last) = name.0.last_mut() {
                    *last = ObjectNamePart::Identifier(quoted(new));
                }
                *factor = table_factor(name.clone(), Some(alias));
            }
            Renamed::Column { old, new, columns } => {
                // The alias's own names go by place.
                let all = !alias.columns.is_empty();
                let kept = columns.iter().filter(|column| all || (self.needed)(column));
                let projection: Vec<SelectItem> = kept
                    .map(|column| {
                        if column == old {
                            SelectItem::ExprWithAlias {
                                expr: Expr::Identifier(quoted(new)),
                                alias: quoted(old),
                            }
                        } else {
                            SelectItem::UnnamedExpr(Expr::Identifier(quoted(column)))
                        }
                    })
                    .collect();
                let relation = table_factor(name.clone(), None);
                let from = vec![TableWithJoins { relation, joins: Vec::new() }];
                let subquery = Box::new(select_query(projection, from, None));
                *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
            }
        }
        ControlFlow::Continue(())
    }
}

fn named(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: quoted(name), columns: Vec::new(), at: None }
}

/// A name as it has to be written.
fn quoted(name: &str) -> Ident {
    let written = crate::ddl::quoted(name);
    if written == name { ast::Ident::new(name) } else { Ident::with_quote('"', name) }
}
