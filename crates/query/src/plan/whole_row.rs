//! Rows as wholes in functions that make JSON: `row_to_json(t)`, `json_agg(t)`, `to_jsonb(t.*)`.
//!
//! The name of a table, view, subquery or WITH query in FROM, where no column has it, stands for an object of its
//! columns; `ROW(a, b)` for one of `f1` and `f2`. Only the columns' names have to be known, which the text says; where
//! it does not, the FROM item is planned. A row that an outer join did not find is NULL.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinOperator, Query, Select,
    SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut,
};
use luma_model::Result;

use crate::names::{identifier, qualified};
use crate::plan::context::Names;
use crate::plan::from_items::{FromItems, name_of};

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
    let mentions = ast::visit_expressions(statement, |expr| {
        if json_function(expr).is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if mentions.is_break() {
        let mut replacer = Replacer { items: FromItems::new(names), scopes: Vec::new() };
        let _ = VisitMut::visit(statement, &mut replacer);
    }
    Ok(())
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
}

struct Replacer<'a, 'n> {
    items: FromItems<'a, 'n>,
    /// The FROM items of the queries around, the innermost last.
    scopes: Vec<Vec<Source>>,
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
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if json_function(expr).is_none() {
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
            sources.push(Source { name, columns: self.items.columns(factor), optional: false });
        }
    }
}

/// The object of a FROM item's row.
fn row(source: &Source) -> Option<Expr> {
    let quoted = |name: &str| Ident::with_quote('"', name);
    let column = |name: &String| Expr::CompoundIdentifier(vec![quoted(&source.name), quoted(name)]);
    let columns = source.columns.as_ref()?;
    let row = object(columns.iter().map(|name| (name.clone(), column(name))));
    if !source.optional {
        return Some(row);
    }
    let missing = columns.iter().map(|name| Expr::IsNull(Box::new(column(name))));
    let missing = missing.reduce(|one, other| Expr::BinaryOp {
        left: Box::new(one),
        op: ast::BinaryOperator::And,
        right: Box::new(other),
    })?;
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
