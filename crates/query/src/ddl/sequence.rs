//! CREATE SEQUENCE.

use datafusion::sql::sqlparser::ast::{Expr, SequenceOptions, Statement as Sql};
use luma_catalog::{Object, Sequence};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::ddl::{done, lock_catalog, put, table};
use crate::execute;
use crate::names::qualified;
use crate::outcome::Outcome;
use crate::session::Session;

/// Runs CREATE SEQUENCE.
pub(crate) async fn create(session: &mut Session, body: &Sql) -> Result<Outcome> {
    let Sql::CreateSequence {
        temporary: false,
        if_not_exists,
        name,
        data_type,
        sequence_options,
        owned_by: None,
    } = body
    else {
        return Err(execute::unsupported(body));
    };
    lock_catalog(session).await?;
    let name = qualified(name)?;
    let Some(schema) = table::free(session, &name, *if_not_exists)? else {
        return Ok(done("CREATE SEQUENCE"));
    };
    let data_type = match data_type {
        Some(data_type) => crate::types::data_type(data_type)?,
        None => DataType::Int8,
    };
    let mut sequence = define(&data_type, sequence_options)?;
    sequence.oid = session.shared.catalog.allocate_oid();
    sequence.schema = schema;
    sequence.name = name.name;
    put(session, Object::Sequence(sequence))?;
    Ok(done("CREATE SEQUENCE"))
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
