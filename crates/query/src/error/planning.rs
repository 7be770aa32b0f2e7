//! What DataFusion says in words while it plans, in PostgreSQL's words.
//!
//! Only the messages that people and programs act on are told apart; all others stay as they are,
//! with the code that fits them best.

use luma_model::{Error, ErrorKind};

/// The error of such a message; `None` when it is not known.
pub(super) fn reworded(message: &str) -> Option<Error> {
    fixed(message).or_else(|| named(message)).or_else(|| typed(message))
}

/// Messages that always mean the same.
fn fixed(message: &str) -> Option<Error> {
    let contains = |part: &str| message.contains(part);
    let (kind, text) = if contains("divide by zero") || contains("division by zero") {
        (ErrorKind::DivisionByZero, "division by zero")
    } else if contains("LIMIT must be >= 0") {
        (ErrorKind::InvalidRowCountInLimit, "LIMIT must not be negative")
    } else if contains("OFFSET must be >=0") {
        (ErrorKind::InvalidRowCountInOffset, "OFFSET must not be negative")
    } else if contains("ORDER BY expressions") && contains("must appear in select list") {
        (
            ErrorKind::InvalidColumnReference,
            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
        )
    } else if contains("Aggregate functions are not allowed in the WHERE clause") {
        (ErrorKind::GroupingError, "aggregate functions are not allowed in WHERE")
    } else if contains("calls cannot be nested") {
        (ErrorKind::GroupingError, "aggregate function calls cannot be nested")
    } else if contains("The subquery should only return one column") {
        (ErrorKind::Syntax, "subquery must return only one column")
    } else if contains("Inconsistent data length across values list") {
        (ErrorKind::Syntax, "VALUES lists must all be the same length")
    } else if contains("queries have different number of columns") {
        (ErrorKind::Syntax, "each UNION query must have the same number of columns")
    } else if ["rank", "dense_rank", "row_number", "lag", "lead", "ntile", "first_value"]
        .iter()
        .any(|name| contains(&format!("Invalid function '{name}'")))
    {
        (ErrorKind::WrongObjectType, "a window function requires an OVER clause")
    } else if contains("start bound cannot be UNBOUNDED FOLLOWING") {
        (ErrorKind::WindowingError, "frame start cannot be UNBOUNDED FOLLOWING")
    } else if contains("end bound cannot be UNBOUNDED PRECEDING") {
        (ErrorKind::WindowingError, "frame end cannot be UNBOUNDED PRECEDING")
    } else if contains("cannot be larger than end bound") {
        (ErrorKind::WindowingError, "the frame of a window ends before it starts")
    } else if contains("RANGE requires exactly one ORDER BY column") {
        (
            ErrorKind::WindowingError,
            "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
        )
    } else if contains("GROUPS requires an ORDER BY clause") {
        (ErrorKind::WindowingError, "GROUPS mode requires an ORDER BY clause")
    } else if contains("ORDER BY expressions must appear in argument list") {
        (
            ErrorKind::InvalidColumnReference,
            "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list",
        )
    } else if contains("SELECT DISTINCT ON expressions must match initial ORDER BY expressions") {
        (
            ErrorKind::InvalidColumnReference,
            "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
        )
    } else if contains("Percentile value must be between") {
        (ErrorKind::OutOfRange, "percentile value is not between 0 and 1")
    } else if contains("WindowFunction") {
        (ErrorKind::WindowingError, "window functions are not allowed here")
    } else if contains("more than one row") {
        (ErrorKind::CardinalityViolation, "more than one row returned by a subquery used as an expression")
    } else {
        return None;
    };
    Some(Error::new(kind, text))
}

/// Messages with a name or number to carry over.
fn named(message: &str) -> Option<Error> {
    if let Some((_, rest)) = message.split_once("Order by column out of bounds, specified: ") {
        let place = rest.split(',').next()?;
        return Some(Error::new(
            ErrorKind::InvalidColumnReference,
            format!("ORDER BY position {place} is not in select list"),
        ));
    }
    if let Some((_, rest)) = message.split_once("Cannot find column with position ") {
        let place = rest.split(' ').next()?;
        return Some(Error::new(
            ErrorKind::InvalidColumnReference,
            format!("GROUP BY position {place} is not in select list"),
        ));
    }
    if let Some((before, _)) = message.split_once("\" must appear in the GROUP BY clause") {
        let (_, column) = before.rsplit_once("column \"")?;
        return Some(Error::new(
            ErrorKind::GroupingError,
            format!(
                "column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"
            ),
        ));
    }
    None
}

/// Messages about types.
fn typed(message: &str) -> Option<Error> {
    let boolean = |place: &str, given: &str| {
        Error::new(
            ErrorKind::DatatypeMismatch,
            format!("argument of {place} must be type boolean, not type {}", type_name(given)),
        )
    };
    if message.contains("non-boolean predicate") {
        let (_, given) = message.rsplit_once(" returning ")?;
        return Some(boolean("WHERE", given));
    }
    if let Some((_, given)) = message.split_once("'NOT' requires a boolean expression, got ") {
        return Some(boolean("NOT", given));
    }
    if let Some((_, operation)) = message.split_once("for logical boolean operation ") {
        let mut words = operation.split(' ');
        let (left, operator, right) = (words.next()?, words.next()?, words.next()?);
        return Some(boolean(operator, if left == "Boolean" { right } else { left }));
    }
    if let Some((_, operation)) = message.split_once("for string concat operation ") {
        let (left, right) = operation.split_once(" || ")?;
        return Some(
            Error::new(
                ErrorKind::UndefinedFunction,
                format!("operator does not exist: {} || {}", type_name(left), type_name(right)),
            )
            .hint(
                "No operator matches the given name and argument types. You might need to add explicit type casts.",
            ),
        );
    }
    if let Some((_, call)) = message.split_once("No function matches the given name and argument types '") {
        let (name, types) = call.split_once(")'")?.0.split_once('(')?;
        let types: Vec<&str> = types.split(", ").filter(|given| !given.is_empty()).map(type_name).collect();
        return Some(
            Error::new(
                ErrorKind::UndefinedFunction,
                format!("function {name}({}) does not exist", types.join(", ")),
            )
            .hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ),
        );
    }
    None
}

/// An Arrow type as PostgreSQL calls it; DataFusion gives no more than Arrow's name.
fn type_name(arrow: &str) -> &str {
    let arrow = arrow.trim_end_matches(['.', ' ']);
    match arrow {
        "Null" => "unknown",
        "Boolean" => "boolean",
        "Int8" | "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" | "UInt32" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Binary" | "LargeBinary" | "BinaryView" => "bytea",
        "Date32" => "date",
        _ if arrow.starts_with("Decimal") => "numeric",
        _ if arrow.starts_with("Timestamp") && arrow.contains('"') => "timestamp with time zone",
        _ if arrow.starts_with("Timestamp") => "timestamp without time zone",
        _ if arrow.starts_with("Time64") => "time without time zone",
        _ if arrow.starts_with("Interval") => "interval",
        other => other,
    }
}
