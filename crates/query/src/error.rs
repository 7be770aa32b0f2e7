//! DataFusion's and Arrow's errors in the words of PostgreSQL.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use luma_model::{Error, ErrorKind};

mod planning;

/// Translates an error of planning or running.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => unknown(other.to_string()),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        // What several readers of one stream are told.
        DataFusionError::Shared(shared) => match shared.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
                Some(own) => own.clone(),
                None => unknown(inner.to_string()),
            },
            other => from_message(other),
        },
        DataFusionError::Collection(mut errors) if !errors.is_empty() => {
            from_datafusion(errors.swap_remove(0))
        }
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SchemaError(inner, _) => from_schema(*inner),
        DataFusionError::ResourcesExhausted(message) => out_of_memory(&message),
        DataFusionError::NotImplemented(message) => {
            Error::new(ErrorKind::FeatureNotSupported, first_line(&message))
        }
        other => from_message(&other),
    }
}

fn out_of_memory(message: &str) -> Error {
    Error::new(ErrorKind::OutOfMemory, "out of memory")
        .detail(first_line(message))
        .hint("Raise [memory] statement_memory, or let the statement read fewer rows.")
}

/// DataFusion says much only in words; the ones that clients act on are told apart here.
fn from_message(error: &DataFusionError) -> Error {
    if let DataFusionError::ResourcesExhausted(message) = error {
        return out_of_memory(message);
    }
    let message = match error {
        DataFusionError::ArrowError(inner, _) => inner.to_string(),
        other => other.message().into_owned(),
    };
    let message = first_line(&message);
    if let Some(known) = planning::reworded(&message) {
        return known;
    }
    let lower = message.to_lowercase();
    let contains = |part: &str| lower.contains(part);
    let kind = if contains("overflow") {
        ErrorKind::OutOfRange
    } else if contains("invalid function")
        || contains("cannot coerce")
        || contains("cannot infer common")
        || contains("cannot get result type")
    {
        ErrorKind::UndefinedFunction
    } else if contains("aggregate functions are not allowed in") || contains("must be in group by") {
        ErrorKind::GroupingError
    } else if contains("must appear in select list") {
        ErrorKind::InvalidColumnReference
    } else if matches!(error, DataFusionError::Plan(_)) && contains("not found") {
        ErrorKind::UndefinedObject
    } else if matches!(error, DataFusionError::Plan(_) | DataFusionError::SQL(..)) {
        ErrorKind::Syntax
    } else if contains("regular expression") || contains("regex") {
        ErrorKind::InvalidRegex
    } else {
        ErrorKind::Internal
    };
    Error::new(kind, message)
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => Error::new(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => Error::new(ErrorKind::OutOfRange, "value out of range"),
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(datafusion) => from_datafusion(*datafusion),
                Err(other) => unknown(other.to_string()),
            },
        },
        ArrowError::CastError(message) | ArrowError::ParseError(message) => {
            Error::new(ErrorKind::InvalidText, message)
        }
        ArrowError::ComputeError(message) | ArrowError::InvalidArgumentError(message)
            if message.to_lowercase().contains("overflow") =>
        {
            Error::new(ErrorKind::OutOfRange, message)
        }
        other => unknown(other.to_string()),
    }
}

/// An error of no kind that is known; the engine of regular expressions has none of its own.
fn unknown(message: String) -> Error {
    let regex = message.contains("regex parse error");
    Error::new(if regex { ErrorKind::InvalidRegex } else { ErrorKind::Internal }, message)
}

fn from_schema(error: SchemaError) -> Error {
    match error {
        SchemaError::AmbiguousReference { field } => Error::new(
            ErrorKind::AmbiguousColumn,
            format!("column reference \"{}\" is ambiguous", field.name),
        ),
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = match &field.relation {
                Some(relation) => format!("{}.{}", relation.table(), field.name),
                None => format!("\"{}\"", field.name),
            };
            let relation_known = field.relation.as_ref().is_none_or(|relation| {
                valid_fields.iter().any(|valid| {
                    valid.relation.as_ref().is_some_and(|known| known.table() == relation.table())
                })
            });
            if let (Some(relation), false) = (&field.relation, relation_known) {
                return Error::new(
                    ErrorKind::UndefinedTable,
                    format!("missing FROM-clause entry for table \"{}\"", relation.table()),
                );
            }
            let error = Error::new(ErrorKind::UndefinedColumn, format!("column {name} does not exist"));
            match crate::names::nearest(&field.name, valid_fields.iter().map(|valid| valid.name.as_str())) {
                Some(near) => error.hint(format!("Perhaps you meant to reference the column \"{near}\".")),
                None => error,
            }
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(ErrorKind::DuplicateColumn, format!("column \"{name}\" specified more than once"))
        }
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}

/// Our error where DataFusion's is wanted.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_told_as_such_however_it_comes() {
        let exhausted = || DataFusionError::ResourcesExhausted("no room\nfor more".to_owned());
        let nested = DataFusionError::Context("while sorting".to_owned(), Box::new(exhausted()));
        for error in
            [exhausted(), DataFusionError::Shared(exhausted().into()), DataFusionError::Shared(nested.into())]
        {
            let told = from_datafusion(error);
            assert_eq!((told.kind, told.detail.as_deref()), (ErrorKind::OutOfMemory, Some("no room")));
        }
    }
}
