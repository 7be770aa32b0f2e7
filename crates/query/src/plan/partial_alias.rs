//! Aliases that name the first of their table's columns: `FROM t AS x (a)`.
//!
//! DataFusion wants a name for each column; the others keep theirs.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Ident, Query, TableAlias, TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
};

use crate::plan::context::Names;
use crate::plan::from_items::FromItems;

/// Gives such aliases the names of the other columns.
pub(super) fn rewrite(names: &Names<'_>, statement: &mut ast::Statement) {
    let mut completer = Completer { items: FromItems::new(names) };
    let _ = VisitMut::visit(statement, &mut completer);
}

struct Completer<'a, 'n> {
    items: FromItems<'a, 'n>,
}

/// The alias of a table or subquery, where it names columns.
fn naming(factor: &mut TableFactor) -> Option<&mut TableAlias> {
    let (TableFactor::Table { args: None, alias, .. } | TableFactor::Derived { alias, .. }) = factor else {
        return None;
    };
    alias.as_mut().filter(|alias| !alias.columns.is_empty())
}

impl VisitorMut for Completer<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.items.withs.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.items.withs.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if naming(factor).is_none() {
            return ControlFlow::Continue(());
        }
        // What is known has the alias's names already.
        let Some(columns) = self.items.columns(factor) else { return ControlFlow::Continue(()) };
        if let Some(alias) = naming(factor) {
            for name in columns.iter().skip(alias.columns.len()) {
                alias
                    .columns
                    .push(TableAliasColumnDef { name: Ident::with_quote('"', name), data_type: None });
            }
        }
        ControlFlow::Continue(())
    }
}
