//! What the items of a FROM clause are called and which columns they have, before they are planned.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use datafusion::sql::sqlparser::ast::{self, ObjectName, Query, SelectItem, SetExpr, TableFactor};
use luma_catalog::Relation;

use crate::names::{identifier, qualified};
use crate::plan::context::Names;
use crate::plan::rewrite::column_name;

/// FROM items that are planned for their columns, one inside of the other.
const DESCRIBED_MAX: usize = 4;

/// Looks FROM items up.
pub(super) struct FromItems<'a, 'n> {
    names: &'a Names<'n>,
    /// The WITH clauses of the queries around, the innermost last.
    pub(super) withs: Vec<Option<ast::With>>,
}

/// What a FROM item is called.
pub(super) fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(identifier(&alias.name)),
        TableFactor::Table { name, .. } => Some(qualified(name).ok()?.name),
        _ => None,
    }
}

impl<'a, 'n> FromItems<'a, 'n> {
    pub(super) fn new(names: &'a Names<'n>) -> Self {
        Self { names, withs: Vec::new() }
    }

    /// The names of a FROM item's columns.
    pub(super) fn columns(&self, factor: &TableFactor) -> Option<Vec<String>> {
        let (known, alias) = match factor {
            TableFactor::Derived { subquery, alias, .. } => (columns_of_query(subquery), alias.as_ref()),
            TableFactor::Table { name, alias, args: None, .. } => {
                (self.columns_of_table(name), alias.as_ref())
            }
            _ => (None, None),
        };
        let mut columns = known.or_else(|| self.planned(factor))?;
        let renamed = alias.map_or(&[][..], |alias| alias.columns.as_slice());
        for (column, renamed) in columns.iter_mut().zip(renamed) {
            *column = identifier(&renamed.name);
        }
        Some(columns)
    }

    fn columns_of_table(&self, name: &ObjectName) -> Option<Vec<String>> {
        let name = qualified(name).ok()?;
        if name.schema.is_none() {
            let tables = self.withs.iter().rev().flatten().flat_map(|with| &with.cte_tables);
            if let Some(table) = tables.into_iter().find(|table| identifier(&table.alias.name) == name.name) {
                let mut columns = columns_of_query(&table.query)?;
                for (column, renamed) in columns.iter_mut().zip(&table.alias.columns) {
                    *column = identifier(&renamed.name);
                }
                return Some(columns);
            }
        }
        match self.names.scope().find(&name)? {
            Relation::Table(table) => Some(table.live_columns().map(|column| column.name.clone()).collect()),
            Relation::View(view) => Some(view.columns.iter().map(|(name, _)| name.clone()).collect()),
            Relation::Sequence(_) | Relation::Index(..) => None,
        }
    }

    /// The columns of a FROM item that does not say them. Planning it may ask for columns again, those of the item itself among
    /// them, so there is an end to that.
    fn planned(&self, factor: &TableFactor) -> Option<Vec<String>> {
        let outer = self.names.describing.fetch_add(1, Ordering::Relaxed);
        let columns = if outer < DESCRIBED_MAX { self.planned_once(factor) } else { None };
        self.names.describing.fetch_sub(1, Ordering::Relaxed);
        columns
    }

    fn planned_once(&self, factor: &TableFactor) -> Option<Vec<String>> {
        if let TableFactor::Derived { subquery, alias: Some(_), .. } = factor
            && self.withs.iter().flatten().next().is_none()
        {
            let plan = self.names.plan(subquery.as_ref().clone()).ok()?;
            return Some(plan.schema().fields().iter().map(|field| field.name().clone()).collect());
        }
        let star = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
        let mut relation = factor.clone();
        // The columns do not depend on the row that a function makes a document of.
        let _ = ast::visit_expressions_mut(&mut relation, |expr| {
            if super::whole_row::json_function(expr).is_some() {
                let null = ast::Expr::Value(ast::Value::Null.with_empty_span());
                let json = expr.to_string().to_lowercase().contains("jsonb");
                *expr = ast::Expr::Cast {
                    kind: ast::CastKind::Cast,
                    expr: Box::new(null),
                    data_type: if json { ast::DataType::JSONB } else { ast::DataType::JSON },
                    array: false,
                    format: None,
                };
            }
            ControlFlow::<()>::Continue(())
        });
        if let TableFactor::Table { args: None, alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. } = &mut relation
        {
            // It may name some of them only.
            alias.columns.clear();
        }
        let from = ast::TableWithJoins { relation, joins: Vec::new() };
        let mut query = crate::execute::select_query(vec![star], vec![from], None);
        let tables: Vec<ast::Cte> =
            self.withs.iter().flatten().flat_map(|with| with.cte_tables.iter().cloned()).collect();
        if let Some(with) = self.withs.iter().flatten().next() {
            query.with = Some(ast::With { cte_tables: tables, ..with.clone() });
        }
        let plan = self.names.plan(query).ok()?;
        Some(plan.schema().fields().iter().map(|field| field.name().clone()).collect())
    }
}

/// The names of a query's columns, where its text says them.
fn columns_of_query(query: &Query) -> Option<Vec<String>> {
    let mut body = query.body.as_ref();
    while let SetExpr::SetOperation { left, .. } = body {
        body = left;
    }
    match body {
        SetExpr::Query(query) => columns_of_query(query),
        SetExpr::Values(values) => {
            let width = values.rows.first()?.content.len();
            Some((1..=width).map(|place| format!("column{place}")).collect())
        }
        SetExpr::Select(select) if query.with.is_none() => {
            let named = select.projection.iter().map(|item| match item {
                SelectItem::UnnamedExpr(expr) => Some(column_name(expr)),
                SelectItem::ExprWithAlias { alias, .. } => Some(identifier(alias)),
                _ => None,
            });
            named.collect()
        }
        _ => None,
    }
}
