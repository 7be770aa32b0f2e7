//! Rows as wholes: `row_to_json(t)`, `json_agg(t)`, `to_jsonb(t.*)`, and `SELECT t FROM t`.
//!
//! The name of a table, view, subquery or WITH query in FROM, where no column has it, stands for its row: in functions that make
//! JSON an object of its columns, elsewhere a value of type `record`; `ROW(a, b)` for a row of `f1` and `f2`. Only the columns' names have to be known, which the text says; where
//! it does not, the FROM item is planned. A row that an outer join did not find is NULL.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinOperator, Query, Select,
    SelectItem, SetExpr, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use luma_model::Result;

use crate::names::{identifier, qualified};
use crate::plan::context::Names;
use crate::plan::from_items::{FromItems, name_of};
use crate::plan::rewrite::column_name;

/// The function that makes an object of names and values.
pub(crate) const ROW: &str = "luma_row_json";
/// The functions that rows may be given to.
const FUNCTIONS: [&str; 11] = [
    "row_to_json",
    "to_json",
    "to_jsonb",
    "json_agg",
    "jsonb_agg",
    "json_build_object",
    "jsonb_build_object",
    "json_build_array",
    "jsonb_build_array",
    "json_object_agg",
    "jsonb_object_agg",
];

/// Puts objects in the place of rows.
pub(super) fn rewrite(names: &Names<'_>, statement: &mut ast::Statement) -> Result<()> {
    let _ = VisitMut::visit(statement, &mut Tuples);
    let mut finder = Finder::default();
    if Visit::visit(statement, &mut finder).is_break() || !finder.items.is_disjoint(&finder.words) {
        let mut replacer = Replacer {
            items: FromItems::new(names),
            scopes: Vec::new(),
            grouped: Vec::new(),
            is_qualifier: false,
        };
        let _ = VisitMut::visit(statement, &mut replacer);
    }
    Ok(())
}

/// Calls `row` where parentheses around several values make a row that is a value, not one side of a comparison.
struct Tuples;

fn called(expr: &mut Expr) {
    if let Expr::Tuple(values) = expr {
        values.iter_mut().for_each(called);
        *expr = super::rewrite::call("row", std::mem::take(values));
    }
}

impl VisitorMut for Tuples {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                called(expr);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            // The one function that may lack its parentheses and whose name the parser does not know.
            Expr::Identifier(name)
                if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("current_schema") =>
            {
                *expr = super::rewrite::call("current_schema", Vec::new());
            }
            Expr::Cast { expr, .. } => called(expr),
            Expr::Function(function) => {
                if let FunctionArguments::List(list) = &mut function.args {
                    for argument in &mut list.args {
                        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                            called(expr);
                        }
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Looks for what may be a row as a whole; ends at a function that makes JSON.
#[derive(Default)]
struct Finder {
    /// The names of FROM items, and those that are used as a value.
    items: HashSet<String>,
    words: HashSet<String>,
}

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.items.extend(name_of(factor));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => {
                self.words.insert(identifier(name));
            }
            Expr::Function(function) => {
                if json_function(expr).is_some() {
                    return ControlFlow::Break(());
                }
                if let FunctionArguments::List(list) = &function.args {
                    let rows = list.args.iter().filter_map(|argument| match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                            Some(qualified(name).ok()?.name)
                        }
                        _ => None,
                    });
                    self.words.extend(rows);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The name of a function that makes JSON of its arguments.
pub(super) fn json_function(expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else { return None };
    let name = identifier(function.name.0.last()?.as_ident()?);
    FUNCTIONS.contains(&name.as_str()).then_some(name)
}

/// Whether an expression is a row's object.
pub(super) fn is_row(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => function.name.to_string() == ROW,
        Expr::Case { else_result: Some(row), .. } => is_row(row),
        _ => false,
    }
}

/// An item of FROM.
struct Source {
    name: String,
    /// `None` when nobody knows.
    columns: Option<Vec<String>>,
    /// Whether an outer join may not find a row of it.
    optional: bool,
    /// Whether it is a table, view or query; what a function gives has the name of its column.
    is_relation: bool,
}

struct Replacer<'a, 'n> {
    items: FromItems<'a, 'n>,
    /// The FROM items of the queries around, the innermost last.
    scopes: Vec<Vec<Source>>,
    /// The names that GROUP BY takes for those of results.
    grouped: Vec<Vec<String>>,
    /// Whether the expression to come is the table in `t.a[1]`.
    is_qualifier: bool,
}

impl VisitorMut for Replacer<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.items.withs.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.items.withs.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let sources = self.sources(select);
        self.scopes.push(sources);
        self.grouped.push(grouped_aliases(select));
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && self.mentions_row(expr)
            {
                // Its name is that of the row, not of what it becomes.
                let alias = Ident::with_quote('"', column_name(expr));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        self.grouped.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        show_fields(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        hide_fields(expr);
        if json_function(expr).is_none() {
            let qualifies = std::mem::replace(&mut self.is_qualifier, is_qualified(expr));
            if !qualifies && let Some(value) = self.value(expr) {
                *expr = value;
            }
            return ControlFlow::Continue(());
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let FunctionArguments::List(list) = &mut function.args else { return ControlFlow::Continue(()) };
        for argument in &mut list.args {
            let FunctionArg::Unnamed(given) = argument else { continue };
            let row = match given {
                FunctionArgExpr::Expr(Expr::Identifier(name)) => self.row_of(&identifier(name), true),
                FunctionArgExpr::QualifiedWildcard(name) => {
                    qualified(name).ok().and_then(|name| self.row_of(&name.name, false))
                }
                FunctionArgExpr::Expr(Expr::Tuple(values)) => Some(unnamed(values)),
                FunctionArgExpr::Expr(Expr::Function(call))
                    if call.name.to_string().eq_ignore_ascii_case("row") =>
                {
                    arguments(call).map(|values| unnamed(&values))
                }
                FunctionArgExpr::Expr(Expr::Subquery(query)) => {
                    // The type of what a subquery gives must be known before functions are looked up.
                    self.selected_row(query).then(|| Expr::Cast {
                        kind: ast::CastKind::Cast,
                        expr: Box::new(Expr::Subquery(query.clone())),
                        data_type: ast::DataType::JSON,
                        array: false,
                        format: None,
                    })
                }
                _ => None,
            };
            if let Some(row) = row {
                *given = FunctionArgExpr::Expr(row);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Fields, as `n` in `(i.keys).n`, are visited like any name: until that is over they look like none.
fn hide_fields(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return };
    for access in access_chain {
        if let ast::AccessExpr::Dot(field) = access
            && let Expr::Identifier(name) = field
        {
            *field = Expr::CompoundIdentifier(vec![name.clone()]);
        }
    }
}

fn show_fields(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return };
    for access in access_chain {
        if let ast::AccessExpr::Dot(field) = access
            && let Expr::CompoundIdentifier(parts) = field
            && let [name] = parts.as_slice()
        {
            *field = Expr::Identifier(name.clone());
        }
    }
}

/// Whether the first part of an expression is a table's name.
fn is_qualified(expr: &Expr) -> bool {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return false };
    matches!((root.as_ref(), access_chain.first()), (Expr::Identifier(_), Some(ast::AccessExpr::Dot(_))))
}

/// The names of results that GROUP BY names.
fn grouped_aliases(select: &Select) -> Vec<String> {
    let ast::GroupByExpr::Expressions(grouped, _) = &select.group_by else { return Vec::new() };
    let words = grouped.iter().filter_map(|expr| match expr {
        Expr::Identifier(name) => Some(identifier(name)),
        _ => None,
    });
    let is_alias = |word: &String| {
        select
            .projection
            .iter()
            .any(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if identifier(alias) == *word))
    };
    words.filter(is_alias).collect()
}

fn arguments(call: &ast::Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &call.args else { return None };
    let values = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

/// The object of a row whose columns have no names.
fn unnamed(values: &[Expr]) -> Expr {
    let names = (1..=values.len()).map(|place| format!("f{place}"));
    object(names.zip(values.iter().cloned()))
}

fn object(members: impl Iterator<Item = (String, Expr)>) -> Expr {
    let text = |text: String| Expr::Value(ast::Value::SingleQuotedString(text).with_empty_span());
    let arguments = members.flat_map(|(name, value)| [text(name), value]).collect();
    super::rewrite::call(ROW, arguments)
}

impl Replacer<'_, '_> {
    /// The columns of the FROM item of that name, where it stands for a row as a whole; and whether there may be no row.
    fn whole(&self, name: &str) -> Option<(Vec<Expr>, bool)> {
        let source =
            self.scopes.iter().rev().find_map(|scope| scope.iter().find(|source| source.name == name));
        let source = source.filter(|source| source.is_relation)?;
        let is_column = |source: &Source| {
            source.columns.as_ref().is_none_or(|columns| columns.iter().any(|column| column == name))
        };
        if self.scopes.iter().flatten().any(is_column)
            || self.grouped.iter().flatten().any(|grouped| grouped == name)
        {
            return None;
        }
        let columns = source.columns.as_ref()?.iter().map(|column| column_of(source, column)).collect();
        Some((columns, source.optional))
    }

    fn whole_of(&self, expr: &Expr) -> Option<(Vec<Expr>, bool)> {
        match expr {
            Expr::Identifier(name) => self.whole(&identifier(name)),
            Expr::Nested(inner) => self.whole_of(inner),
            _ => None,
        }
    }

    fn mentions_row(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Identifier(_) | Expr::Nested(_) => self.whole_of(expr).is_some(),
            Expr::Cast { expr, .. } => self.mentions_row(expr),
            _ => false,
        }
    }

    /// What an expression is where it, or what it asks about, is a row as a whole outside of JSON.
    fn value(&self, expr: &mut Expr) -> Option<Expr> {
        match expr {
            Expr::Identifier(_) => {
                let (columns, optional) = self.whole_of(expr)?;
                let row = super::rewrite::call("row", columns.clone());
                if optional { Some(unless_missing(columns, row)?) } else { Some(row) }
            }
            Expr::IsNull(row) | Expr::IsNotNull(row) => {
                let (columns, _) = self.whole_of(row)?;
                let tested = columns.into_iter().map(Box::new);
                match expr {
                    Expr::IsNull(_) => all(tested.map(Expr::IsNull)),
                    _ => all(tested.map(Expr::IsNotNull)),
                }
            }
            Expr::Function(function) => {
                let FunctionArguments::List(list) = &mut function.args else { return None };
                for argument in &mut list.args {
                    let FunctionArg::Unnamed(given) = argument else { continue };
                    if let FunctionArgExpr::QualifiedWildcard(name) = given
                        && let Some(name) = name.0.last().and_then(|part| part.as_ident())
                    {
                        *given = FunctionArgExpr::Expr(Expr::Identifier(name.clone()));
                    }
                }
                None
            }
            _ => None,
        }
    }

    /// The object of the FROM item of that name; `None` when it is a column, or nothing.
    fn row_of(&self, name: &str, or_column: bool) -> Option<Expr> {
        for scope in self.scopes.iter().rev() {
            let has_column = |source: &Source| {
                source.columns.as_ref().is_some_and(|columns| columns.iter().any(|column| column == name))
            };
            if or_column && scope.iter().any(has_column) {
                return None;
            }
            if let Some(source) = scope.iter().find(|source| source.name == name) {
                return row(source);
            }
        }
        None
    }

    /// A subquery that gives a row as a whole gives its object; whether it is one.
    fn selected_row(&self, query: &mut Query) -> bool {
        let SetExpr::Select(select) = query.body.as_mut() else { return false };
        let [SelectItem::UnnamedExpr(Expr::Identifier(name))] = select.projection.as_slice() else {
            return false;
        };
        let name = identifier(name);
        let sources = self.sources(select);
        let is_column =
            |source: &Source| source.columns.as_ref().is_some_and(|columns| columns.contains(&name));
        if sources.iter().any(is_column) {
            return false;
        }
        let Some(row) = sources.iter().find(|source| source.name == name).and_then(row) else { return false };
        select.projection = vec![SelectItem::UnnamedExpr(row)];
        true
    }

    fn sources(&self, select: &Select) -> Vec<Source> {
        let mut sources = Vec::new();
        for from in &select.from {
            self.collect(from, &mut sources);
        }
        sources
    }

    fn collect(&self, from: &ast::TableWithJoins, sources: &mut Vec<Source>) {
        let first = sources.len();
        self.add(&from.relation, sources);
        for join in &from.joins {
            let right = sources.len();
            self.add(&join.relation, sources);
            let (left_optional, right_optional) = match join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
                JoinOperator::FullOuter(_) => (true, true),
                _ => (false, false),
            };
            for (place, source) in sources.iter_mut().enumerate().skip(first) {
                source.optional |= if place < right { left_optional } else { right_optional };
            }
        }
    }

    fn add(&self, factor: &TableFactor, sources: &mut Vec<Source>) {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            return self.collect(table_with_joins, sources);
        }
        if let Some(name) = name_of(factor) {
            let is_relation =
                matches!(factor, TableFactor::Table { args: None, .. } | TableFactor::Derived { .. });
            sources.push(Source { name, columns: self.items.columns(factor), optional: false, is_relation });
        }
    }
}

/// The object of a FROM item's row.
fn row(source: &Source) -> Option<Expr> {
    let columns = source.columns.as_ref()?;
    let row = object(columns.iter().map(|name| (name.clone(), column_of(source, name))));
    if !source.optional {
        return Some(row);
    }
    unless_missing(columns.iter().map(|name| column_of(source, name)).collect(), row)
}

fn column_of(source: &Source, column: &str) -> Expr {
    let quoted = |name: &str| Ident::with_quote('"', name);
    Expr::CompoundIdentifier(vec![quoted(&source.name), quoted(column)])
}

/// Whether all conditions hold; `None` of none.
fn all(conditions: impl Iterator<Item = Expr>) -> Option<Expr> {
    let joined = conditions.reduce(|one, other| Expr::BinaryOp {
        left: Box::new(one),
        op: ast::BinaryOperator::And,
        right: Box::new(other),
    })?;
    Some(Expr::Nested(Box::new(joined)))
}

/// The row, or NULL where all of its columns are.
fn unless_missing(columns: Vec<Expr>, row: Expr) -> Option<Expr> {
    let missing = all(columns.into_iter().map(|column| Expr::IsNull(Box::new(column))))?;
    Some(Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen {
            condition: missing,
            result: Expr::Value(ast::Value::Null.with_empty_span()),
        }],
        else_result: Some(Box::new(row)),
    })
}
