//! Which unique index ON CONFLICT means when it names columns or expressions.
//!
//! An index is meant if it is unique over just these, in any order, and its predicate, if it has one, is among
//! the conditions given. The primary key is the first to be asked.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Ident};
use luma_catalog::Index;
use luma_model::{Error, ErrorKind, Result};
use luma_rows::{ConflictTarget, OpenTable};

use crate::dml::written::Written;
use crate::expression::parse_expression;
use crate::names::identifier;
use crate::statement::conflict::Target;

/// Finds what a target means.
///
/// # Errors
/// 42P10 when there is no such index, 42703 for an unknown column.
pub(crate) fn find(table: &OpenTable, written: &Written, target: &Target) -> Result<ConflictTarget> {
    let mut target = target.clone();
    for part in target.parts.iter_mut().chain(&mut target.condition) {
        let unknown = ast::visit_expressions_mut(part, |part| match part {
            Expr::Identifier(name) => match super::insert::ordinal(&written.columns, &identifier(name)) {
                Ok(_) => {
                    if let Some(meant) = written.table_name_of(&identifier(name)) {
                        *name = Ident::with_quote('"', meant);
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => ControlFlow::Break(error),
            },
            _ => ControlFlow::Continue(()),
        });
        if let ControlFlow::Break(error) = unknown {
            return Err(error);
        }
    }
    let mut parts: Vec<String> = target.parts.iter().map(normal).collect();
    parts.sort_unstable();
    parts.dedup();
    let column = |number: u16| {
        let column = table.definition.column_by_number(number);
        column.map(|column| normal(&Expr::Identifier(Ident::with_quote('"', &column.name))))
    };
    let same = |mut own: Vec<String>| {
        own.sort_unstable();
        own.dedup();
        own == parts
    };
    if let Some(key) = &table.definition.primary_key
        && same(key.columns.iter().filter_map(|number| column(*number)).collect())
    {
        return Ok(ConflictTarget::PrimaryKey);
    }
    let mut given = Vec::new();
    if let Some(condition) = &target.condition {
        conditions(condition, &mut given);
    }
    let has_parts = |index: &Index| -> Result<bool> {
        let mut expressions = index.expressions.iter();
        let mut own = Vec::new();
        for part in &index.columns {
            if let Some(name) = column(part.column) {
                own.push(name);
            } else if let Some(part) = expressions.next() {
                own.push(normal(&parse_expression(&part.expression)?));
            }
        }
        Ok(same(own))
    };
    let allows = |index: &Index| -> Result<bool> {
        let Some(predicate) = &index.predicate else { return Ok(true) };
        let mut asked = Vec::new();
        conditions(&parse_expression(predicate)?, &mut asked);
        Ok(asked.iter().all(|condition| given.contains(condition)))
    };
    for (place, index) in table.indexes.iter().enumerate() {
        let definition = &index.definition;
        if definition.unique && has_parts(definition)? && allows(definition)? {
            return Ok(ConflictTarget::Index(place));
        }
    }
    Err(Error::new(
        ErrorKind::InvalidColumnReference,
        "there is no unique or exclusion constraint matching the ON CONFLICT specification",
    ))
}

/// The conditions that hold together, each in one spelling.
fn conditions(expr: &Expr, into: &mut Vec<String>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conditions(left, into);
            conditions(right, into);
        }
        Expr::Nested(inner) => conditions(inner, into),
        other => into.push(normal(other)),
    }
}

/// An expression in one spelling: names as they are stored and without their table, no parentheses around
/// the whole and around names.
fn normal(expr: &Expr) -> String {
    let mut expr = expr.clone();
    while let Expr::Nested(inner) = expr {
        expr = *inner;
    }
    let _ = ast::visit_expressions_mut(&mut expr, |part| {
        match part {
            Expr::Identifier(name) => *name = Ident::with_quote('"', identifier(name)),
            Expr::CompoundIdentifier(names) => {
                if let Some(name) = names.last() {
                    *part = Expr::Identifier(Ident::with_quote('"', identifier(name)));
                }
            }
            Expr::Function(function) => {
                for name in &mut function.name.0 {
                    if let ast::ObjectNamePart::Identifier(name) = name {
                        *name = Ident::with_quote('"', identifier(name));
                    }
                }
            }
            Expr::Nested(inner) if matches!(inner.as_ref(), Expr::Identifier(_) | Expr::Function(_)) => {
                let inner = std::mem::replace(inner.as_mut(), Expr::Identifier(Ident::new("_")));
                *part = inner;
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    expr.to_string()
}
