//! CREATE SEQUENCE and ALTER SEQUENCE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr, ObjectName, SequenceOptions};
use luma_catalog::{Object, Relation, Sequence};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::ddl::{done, lock_catalog, put, table};
use crate::names::{Scope, qualified};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;
use crate::statement::sequence::{Options, SequenceStatement};

/// Runs a statement about a sequence.
pub(crate) async fn statement(session: &mut Session, statement: &SequenceStatement) -> Result<Outcome> {
    match statement {
        SequenceStatement::Create { name, if_not_exists, options } => {
            create(session, name, *if_not_exists, options).await
        }
        SequenceStatement::Alter { name, if_exists, options } => {
            alter(session, name, *if_exists, options).await
        }
        SequenceStatement::Rename { name, if_exists, to } => {
            lock_catalog(session).await?;
            let Some(found) = find(session, name, *if_exists)? else { return Ok(done("ALTER SEQUENCE")) };
            if session.catalog().relation(found.schema, to).is_some() {
                return Err(Error::new(
                    ErrorKind::DuplicateTable,
                    format!("relation \"{to}\" already exists"),
                ));
            }
            put(session, Object::Sequence(Sequence { name: to.clone(), ..found.as_ref().clone() }))?;
            Ok(done("ALTER SEQUENCE"))
        }
        SequenceStatement::SetOwner { name, if_exists } => {
            find(session, name, *if_exists)?;
            Ok(done("ALTER SEQUENCE"))
        }
    }
}

async fn create(
    session: &mut Session,
    name: &ObjectName,
    if_not_exists: bool,
    options: &Options,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    let name = qualified(name)?;
    let Some(schema) = table::free(session, &name, if_not_exists)? else {
        return Ok(done("CREATE SEQUENCE"));
    };
    if options.restart.is_some() {
        return Err(Error::new(ErrorKind::Syntax, "sequence option \"restart\" not supported here"));
    }
    let data_type = match &options.data_type {
        Some(data_type) => crate::types::data_type(data_type)?,
        None => DataType::Int8,
    };
    let mut sequence = define(&data_type, &options.list)?;
    sequence.oid = session.shared.catalog.allocate_oid();
    sequence.schema = schema;
    sequence.name = name.name;
    if let Some(owner) = &options.owned_by {
        sequence.owned_by = owner_of(session, owner.as_ref())?;
    }
    put(session, Object::Sequence(sequence))?;
    Ok(done("CREATE SEQUENCE"))
}

async fn alter(
    session: &mut Session,
    name: &ObjectName,
    if_exists: bool,
    options: &Options,
) -> Result<Outcome> {
    lock_catalog(session).await?;
    if let Some(found) = find(session, name, if_exists)? {
        change(session, &found, options)?;
    }
    Ok(done("ALTER SEQUENCE"))
}

/// Gives a sequence other options, and another place if they say so.
///
/// # Errors
/// 22023 for options that contradict each other.
pub(super) fn change(session: &mut Session, found: &Arc<Sequence>, options: &Options) -> Result<()> {
    let data_type = match &options.data_type {
        Some(data_type) => crate::types::data_type(data_type)?,
        None => found.data_type.clone(),
    };
    // What the statement does not say stays; bounds of the old type go with it.
    let given = |wanted: fn(&SequenceOptions) -> bool| options.list.iter().any(wanted);
    let mut all = options.list.clone();
    let plain = |value: i64| Expr::value(ast::Value::Number(value.to_string(), false));
    if !given(|option| matches!(option, SequenceOptions::IncrementBy(..))) {
        all.push(SequenceOptions::IncrementBy(plain(found.increment), true));
    }
    let (same, type_bounds) = (data_type == found.data_type, bounds(&found.data_type)?);
    if !given(|option| matches!(option, SequenceOptions::MinValue(_))) && (same || found.min != type_bounds.0)
    {
        all.push(SequenceOptions::MinValue(Some(plain(found.min))));
    }
    if !given(|option| matches!(option, SequenceOptions::MaxValue(_))) && (same || found.max != type_bounds.1)
    {
        all.push(SequenceOptions::MaxValue(Some(plain(found.max))));
    }
    if !given(|option| matches!(option, SequenceOptions::StartWith(..))) {
        all.push(SequenceOptions::StartWith(plain(found.start), true));
    }
    if !given(|option| matches!(option, SequenceOptions::Cycle(_))) {
        all.push(SequenceOptions::Cycle(!found.cycle));
    }
    let mut altered = define(&data_type, &all)?;
    altered.oid = found.oid;
    altered.schema = found.schema;
    altered.name.clone_from(&found.name);
    altered.owned_by = match &options.owned_by {
        Some(owner) => owner_of(session, owner.as_ref())?,
        None => found.owned_by,
    };
    let sequences = session.shared.rows.sequences();
    let (last, called) = sequences.last(found)?;
    let position = match &options.restart {
        Some(Some(value)) => (number(value)?, false),
        Some(None) => (altered.start, false),
        None => (last, called),
    };
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidParameterValue, message));
    let (word, value) = if options.restart.is_some() { ("RESTART", position.0) } else { ("RESTART", last) };
    if value < altered.min {
        return invalid(format!("{word} value ({value}) cannot be less than MINVALUE ({})", altered.min));
    }
    if value > altered.max {
        return invalid(format!("{word} value ({value}) cannot be greater than MAXVALUE ({})", altered.max));
    }
    // Set even where it stays: values reserved under the old definition are forgotten.
    sequences.set(&altered, position.0, position.1)?;
    put(session, Object::Sequence(altered))
}

/// The sequence of that name; `None` (with a notice) when there is none and that is fine.
fn find(session: &mut Session, name: &ObjectName, if_exists: bool) -> Result<Option<Arc<Sequence>>> {
    let name = qualified(name)?;
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    match scope.find(&name) {
        Some(Relation::Sequence(sequence)) => Ok(Some(Arc::clone(sequence))),
        Some(_) => {
            Err(Error::new(ErrorKind::WrongObjectType, format!("\"{}\" is not a sequence", name.name)))
        }
        None => {
            let message = format!("relation \"{}\" does not exist", name.name);
            if !if_exists {
                return Err(Error::new(ErrorKind::UndefinedTable, message));
            }
            session.notice(
                Severity::Notice,
                Error::new(ErrorKind::UndefinedTable, format!("{message}, skipping")),
            );
            Ok(None)
        }
    }
}

/// The column that OWNED BY names.
fn owner_of(session: &Session, name: Option<&ObjectName>) -> Result<Option<(luma_catalog::Oid, u16)>> {
    let Some(name) = name else { return Ok(None) };
    let mut parts = name.0.clone();
    let column = parts.pop().and_then(|part| part.as_ident().map(crate::names::identifier));
    let (Some(column), false) = (column, parts.is_empty()) else {
        return Err(Error::new(ErrorKind::Syntax, "invalid OWNED BY option")
            .hint("Specify OWNED BY table.column or OWNED BY NONE."));
    };
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let table = scope.table(&qualified(&ObjectName(parts))?)?;
    let ordinal = crate::dml::insert::ordinal(table, &column)?;
    Ok(Some((table.oid, table.columns[ordinal].number)))
}

/// The bounds of an ascending sequence of a type.
fn bounds(data_type: &DataType) -> Result<(i64, i64)> {
    let plain = define(data_type, &[])?;
    Ok((plain.min, plain.max))
}

/// A sequence with these options; its identifier, schema and name are the caller's to set.
pub(crate) fn define(data_type: &DataType, options: &[SequenceOptions]) -> Result<Sequence> {
    let largest = match data_type {
        DataType::Int2 => i64::from(i16::MAX),
        DataType::Int4 => i64::from(i32::MAX),
        DataType::Int8 => i64::MAX,
        _ => {
            return Err(Error::new(
                ErrorKind::InvalidParameterValue,
                "sequence type must be smallint, integer, or bigint",
            ));
        }
    };
    let (mut increment, mut min, mut max, mut start, mut cycle) = (1, None, None, None, false);
    for option in options {
        match option {
            SequenceOptions::IncrementBy(value, _) => increment = number(value)?,
            SequenceOptions::MinValue(value) => min = value.as_ref().map(number).transpose()?,
            SequenceOptions::MaxValue(value) => max = value.as_ref().map(number).transpose()?,
            SequenceOptions::StartWith(value, _) => start = Some(number(value)?),
            SequenceOptions::Cache(_) => {}
            SequenceOptions::Cycle(no) => cycle = !no,
        }
    }
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidParameterValue, message));
    if increment == 0 {
        return invalid("INCREMENT must not be zero".into());
    }
    let ascending = increment > 0;
    let min = min.unwrap_or(if ascending { 1 } else { -largest - 1 });
    let max = max.unwrap_or(if ascending { largest } else { -1 });
    if min >= max {
        return invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})"));
    }
    let start = start.unwrap_or(if ascending { min } else { max });
    if start < min || start > max {
        return invalid(format!(
            "START value ({start}) must lie between MINVALUE ({min}) and MAXVALUE ({max})"
        ));
    }
    Ok(Sequence {
        oid: 0,
        schema: 0,
        name: String::new(),
        owner: 10,
        data_type: data_type.clone(),
        start,
        increment,
        min,
        max,
        cycle,
        owned_by: None,
    })
}

fn number(expr: &Expr) -> Result<i64> {
    expr.to_string().replace(' ', "").parse().map_err(|_| {
        Error::new(ErrorKind::InvalidParameterValue, format!("\"{expr}\" is not a number for a sequence"))
    })
}
