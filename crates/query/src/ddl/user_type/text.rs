//! Types that users made, inside of stored SQL texts: defaults, conditions, indexes, views.
//!
//! Texts name types and labels by their names, so a new name is put into them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, Value, VisitMut, VisitorMut};
use luma_catalog::{Object, Oid, Table, UserType, UserTypeKind};
use luma_model::Result;

use crate::ddl::{alter, drop_storage, lock_definition, put};
use crate::expression::parse_expression;
use crate::names::{Scope, identifier, parse_name};
use crate::plan::context::parse_query;
use crate::plan::user_type;
use crate::session::Session;

/// A table's texts, and what each of them is.
pub(super) fn named_texts(table: &Table) -> Vec<(String, &str)> {
    let mut all = Vec::new();
    for column in table.live_columns() {
        let texts = column.default.as_deref().into_iter().chain(column.generated.as_deref());
        all.extend(texts.map(|text| (format!("default value for column {}", column.name), text)));
    }
    all.extend(
        table.checks.iter().map(|check| (format!("constraint {}", check.name), check.expression.as_str())),
    );
    for index in &table.indexes {
        all.extend(index.texts().map(|text| (format!("index {}", index.name), text)));
    }
    all
}

fn texts_mut(table: &mut Table) -> impl Iterator<Item = &mut String> {
    let columns = table.columns.iter_mut().filter(|column| !column.dropped);
    let columns = columns.flat_map(|column| column.default.iter_mut().chain(&mut column.generated));
    let checks = table.checks.iter_mut().map(|check| &mut check.expression);
    let indexes = table.indexes.iter_mut().flat_map(luma_catalog::Index::texts_mut);
    columns.chain(checks).chain(indexes)
}

/// Whether an expression's text names the type.
pub(super) fn names(scope: Scope<'_>, text: &str, oid: Oid) -> bool {
    let Ok(mut expr) = parse_expression(text) else { return false };
    user_type::resolve(scope, &mut expr).is_ok_and(|used| used.contains(&oid))
}

/// Takes away what names the type: defaults, conditions, indexes and generated columns of a table.
pub(super) async fn strip(session: &mut Session, table: Oid, oid: Oid) -> Result<()> {
    let catalog = session.catalog();
    let search_path = session.search_path().to_vec();
    let scope = Scope { catalog: &catalog, search_path: &search_path };
    let Some(current) = catalog.table(table) else { return Ok(()) };
    lock_definition(session, current).await?;
    let mut rest = current.as_ref().clone();
    for column in &mut rest.columns {
        column.default = column.default.take().filter(|text| !names(scope, text, oid));
    }
    rest.checks.retain(|check| !names(scope, &check.expression, oid));
    let (gone, kept): (Vec<_>, Vec<_>) =
        rest.indexes.drain(..).partition(|index| index.texts().any(|text| names(scope, text, oid)));
    rest.indexes = kept;
    for index in gone {
        drop_storage(session, index.storage)?;
    }
    let computed = |column: &&luma_catalog::Column| {
        column.generated.as_deref().is_some_and(|text| names(scope, text, oid))
    };
    let computed: Vec<String> =
        rest.live_columns().filter(computed).map(|column| column.name.clone()).collect();
    put(session, Object::Table(rest))?;
    for column in computed {
        let catalog = session.catalog();
        let Some(current) = catalog.table(table) else { continue };
        alter::drop_column(session, current, &Ident::with_quote('"', column), true, true).await?;
    }
    Ok(())
}

/// Gives the type a new name in every text.
pub(super) fn rename(session: &mut Session, oid: Oid, sql_name: &str) -> Result<()> {
    let parts =
        parse_name(sql_name)?.into_iter().map(|part| Ident::with_quote('"', part)).collect::<Vec<_>>();
    let name = ast::DataType::Custom(ObjectName::from(parts), Vec::new());
    change_texts(session, oid, &Change::Name(name))
}

/// Gives a label a new name in every text that casts it, or compares a column of the type with it.
pub(super) fn relabel(session: &mut Session, oid: Oid, from: &str, to: &str) -> Result<()> {
    change_texts(session, oid, &Change::Label(from, to))
}

enum Change<'a> {
    Name(ast::DataType),
    Label(&'a str, &'a str),
}

fn change_texts(session: &mut Session, oid: Oid, change: &Change<'_>) -> Result<()> {
    let catalog = session.catalog();
    let search_path = session.search_path().to_vec();
    let scope = Scope { catalog: &catalog, search_path: &search_path };
    let expression = |text: &str, columns: &[String]| -> Result<Option<String>> {
        let mut expr = parse_expression(text)?;
        let mut rewriter = Rewriter { scope, oid, change, columns, changed: false };
        let _ = VisitMut::visit(&mut expr, &mut rewriter);
        Ok(rewriter.changed.then(|| expr.to_string()))
    };
    for table in catalog.tables() {
        let of_type = |column: &&luma_catalog::Column| {
            column.data_type.enum_type().is_some_and(|known| known.oid == oid)
        };
        let columns: Vec<String> =
            table.live_columns().filter(of_type).map(|column| column.name.clone()).collect();
        let mut renewed = table.as_ref().clone();
        let mut changed = false;
        for text in texts_mut(&mut renewed) {
            if let Some(new) = expression(text, &columns)? {
                *text = new;
                changed = true;
            }
        }
        if let Change::Label(from, to) = change {
            for column in renewed.columns.iter_mut().filter(|column| columns.contains(&column.name)) {
                let literal = format!("'{}'", from.replace('\'', "''"));
                if column.default.as_deref() == Some(literal.as_str()) {
                    column.default = Some(format!("'{}'", to.replace('\'', "''")));
                    changed = true;
                }
                if column.missing.as_deref() == Some(from) {
                    column.missing = Some((*to).to_owned());
                    changed = true;
                }
            }
        }
        if changed {
            put(session, Object::Table(renewed))?;
        }
    }
    for view in catalog.queries().filter(|view| view.depends_on.contains(&oid)) {
        let mut query = parse_query(&view.query)?;
        let mut rewriter = Rewriter { scope, oid, change, columns: &[], changed: false };
        let _ = VisitMut::visit(&mut query, &mut rewriter);
        if rewriter.changed {
            let query = query.to_string();
            let object = match session.catalog().table(view.oid) {
                Some(table) => {
                    let mut table = table.as_ref().clone();
                    if let Some(filled) = &mut table.filled_by {
                        filled.query = query;
                    }
                    Object::Table(table)
                }
                None => Object::View(luma_catalog::View { query, ..view.as_ref().clone() }),
            };
            put(session, object)?;
        }
    }
    for other in catalog.types() {
        let UserTypeKind::Domain(domain) = &other.kind else { continue };
        let mut domain = domain.clone();
        let mut changed = false;
        let checks = domain.checks.iter_mut().map(|check| &mut check.expression);
        let value = ["value".to_owned()];
        let of_type = domain.base.enum_type().is_some_and(|known| known.oid == oid);
        for text in checks.chain(&mut domain.default) {
            if let Some(new) = expression(text, if of_type { &value } else { &[] })? {
                *text = new;
                changed = true;
            }
        }
        if changed {
            let kind = UserTypeKind::Domain(domain);
            put(session, Object::Type(UserType { kind, ..other.as_ref().clone() }))?;
        }
    }
    Ok(())
}

struct Rewriter<'a> {
    scope: Scope<'a>,
    oid: Oid,
    change: &'a Change<'a>,
    /// Columns of the type.
    columns: &'a [String],
    changed: bool,
}

impl Rewriter<'_> {
    fn is_type(&self, sql: &ast::DataType) -> bool {
        self.scope
            .type_meaning(sql)
            .is_ok_and(|meaning| meaning.made.is_some_and(|made| made.oid == self.oid))
    }

    fn is_of_type(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Identifier(name) => self.columns.contains(&identifier(name)),
            Expr::CompoundIdentifier(parts) => {
                parts.last().is_some_and(|name| self.columns.contains(&identifier(name)))
            }
            Expr::Nested(inner) => self.is_of_type(inner),
            Expr::Cast { data_type, .. } => self.is_type(data_type),
            _ => false,
        }
    }

    fn relabel(&mut self, literal: &mut Expr, from: &str, to: &str) {
        if let Expr::Value(value) = literal
            && let Value::SingleQuotedString(text) = &mut value.value
            && text == from
        {
            to.clone_into(text);
            self.changed = true;
        }
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match self.change {
            Change::Name(name) => {
                let named = match expr {
                    Expr::Cast { data_type, .. } => data_type,
                    Expr::TypedString(typed) => &mut typed.data_type,
                    _ => return ControlFlow::Continue(()),
                };
                if self.is_type(named) {
                    let array = matches!(named, ast::DataType::Array(_));
                    *named = if array {
                        let element = Box::new(name.clone());
                        ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, None))
                    } else {
                        name.clone()
                    };
                    self.changed = true;
                }
            }
            Change::Label(from, to) => match expr {
                Expr::Cast { expr: inner, data_type, .. } if self.is_type(data_type) => {
                    self.relabel(inner, from, to);
                }
                Expr::BinaryOp { left, right, .. } => {
                    let (left_is, right_is) = (self.is_of_type(left), self.is_of_type(right));
                    if left_is {
                        self.relabel(right, from, to);
                    }
                    if right_is {
                        self.relabel(left, from, to);
                    }
                }
                Expr::InList { expr, list, .. } if self.is_of_type(expr) => {
                    for item in list {
                        self.relabel(item, from, to);
                    }
                }
                _ => {}
            },
        }
        ControlFlow::Continue(())
    }
}
