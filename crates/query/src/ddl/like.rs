//! What a new table takes over from another one: `LIKE table INCLUDING …`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use luma_catalog::{Check, Column, Index, IndexColumn, Relation, Sequence, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::constraint::{self, Allocator};
use crate::ddl::table::{own_sequence, plain_column};
use crate::names::{Scope, qualified};
use crate::plan::context::Names;
use crate::session::{Session, SessionInfo};

/// A table to be like, and what comes along.
pub(super) struct Likeness {
    source: Table,
    included: Vec<String>,
    /// For each of its columns the number that it has in the new table; 0 for dropped ones.
    numbers: Vec<u16>,
}

impl Likeness {
    fn includes(&self, part: &str) -> bool {
        self.included.iter().any(|included| included == part)
    }

    fn numbers(&self, columns: &[u16]) -> Vec<u16> {
        let number = |old: &u16| self.numbers.get(usize::from(*old).wrapping_sub(1)).copied().unwrap_or(0);
        columns.iter().map(number).collect()
    }
}

/// Adds the columns of the other table.
///
/// # Errors
/// 42P01 when there is none, 42809 when it has no columns to be like.
pub(super) fn columns(
    session: &mut Session,
    table: &mut Table,
    (name, included): (&ast::ObjectName, Vec<&str>),
    info: &Arc<SessionInfo>,
    sequences: &mut Vec<Sequence>,
) -> Result<Likeness> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let source = match scope.relation(&qualified(name)?)? {
        Relation::Table(source) => source.as_ref().clone(),
        Relation::View(view) => {
            let columns = view.columns.iter().enumerate();
            let columns = columns
                .map(|(place, (name, data_type))| plain_column(place, name.clone(), data_type.clone()));
            Table::new(view.oid, view.schema, view.name.clone(), 0, columns.collect::<Result<_>>()?)
        }
        Relation::Sequence(_) | Relation::Index(..) => {
            let message = format!("relation \"{name}\" is invalid in LIKE clause");
            return Err(Error::new(ErrorKind::WrongObjectType, message));
        }
    };
    let included = included.into_iter().map(str::to_owned).collect();
    let mut likeness = Likeness { source, included, numbers: Vec::new() };
    for old in &likeness.source.columns {
        if old.dropped {
            likeness.numbers.push(0);
            continue;
        }
        let mut column = plain_column(table.columns.len(), old.name.clone(), old.data_type.clone())?;
        column.domain = old.domain;
        column.precision = old.precision;
        column.collation.clone_from(&old.collation);
        column.not_null = old.not_null;
        if likeness.includes("COMMENTS") {
            column.comment.clone_from(&old.comment);
        }
        if likeness.includes("GENERATED") {
            column.generated.clone_from(&old.generated);
        }
        if old.identity.is_some() {
            if likeness.includes("IDENTITY") {
                column.identity = old.identity;
                own_sequence(table, &mut column, None, info, sequences, session)?;
                continue_as(&catalog, old, sequences.last_mut());
            }
        } else if likeness.includes("DEFAULTS") {
            column.default.clone_from(&old.default);
        }
        likeness.numbers.push(column.number);
        table.columns.push(column);
    }
    Ok(likeness)
}

/// Gives the sequence of a new identity column the options of the old one.
fn continue_as(catalog: &luma_catalog::Snapshot, old: &Column, new: Option<&mut Sequence>) {
    if let (Some(old), Some(new)) = (old.sequence.and_then(|oid| catalog.sequence(oid)), new) {
        new.data_type = old.data_type.clone();
        (new.start, new.increment) = (old.start, old.increment);
        (new.min, new.max, new.cycle) = (old.min, old.max, old.cycle);
    }
}

/// Adds the conditions, keys and indexes of the other table; foreign keys never come along.
///
/// # Errors
/// As of constraints that are written out.
pub(super) fn constraints(
    table: &mut Table,
    likeness: &Likeness,
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    let source = &likeness.source;
    if likeness.includes("CONSTRAINTS") {
        for check in &source.checks {
            table.checks.push(Check { oid: (allocate.oid)(), ..check.clone() });
        }
    }
    if !likeness.includes("INDEXES") {
        return Ok(());
    }
    if let Some(key) = &source.primary_key {
        let timing = luma_catalog::ConstraintTiming::NotDeferrable;
        constraint::primary_key(table, None, likeness.numbers(&key.columns), timing, allocate)?;
    }
    for index in &source.indexes {
        let columns: Vec<u16> = index.columns.iter().map(|part| part.column).collect();
        if index.primary {
            constraint::primary_key(table, None, likeness.numbers(&columns), index.timing, allocate)?;
        } else if index.constraint {
            constraint::unique(table, None, likeness.numbers(&columns), index.timing, names, allocate)?;
        } else {
            let copied = copied(table, index, likeness, names, allocate)?;
            table.indexes.push(copied);
        }
    }
    Ok(())
}

/// An index that is no constraint.
fn copied(
    table: &Table,
    index: &Index,
    likeness: &Likeness,
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<Index> {
    let columns: Vec<IndexColumn> = index
        .columns
        .iter()
        .map(|part| IndexColumn {
            column: likeness.numbers(&[part.column]).first().copied().unwrap_or(0),
            ..*part
        })
        .collect();
    let mut expressions = index.expressions.iter();
    let parts: Vec<String> = columns
        .iter()
        .map(|part| match table.column_by_number(part.column) {
            Some(column) => column.name.clone(),
            None => expressions.next().map_or_else(String::new, |part| part_name(&part.expression)),
        })
        .collect();
    Ok(Index {
        oid: (allocate.oid)(),
        name: constraint::free_name(table, &format!("{}_{}_idx", table.name, parts.join("_")), names),
        storage: (allocate.storage)()?,
        columns,
        include: likeness.numbers(&index.include),
        ..index.clone()
    })
}

fn part_name(expression: &str) -> String {
    match crate::expression::parse_expression(expression) {
        Ok(ast::Expr::Function(call)) => call.name.to_string().to_lowercase(),
        _ => "expr".to_owned(),
    }
}
