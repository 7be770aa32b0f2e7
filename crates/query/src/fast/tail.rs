//! What comes after the conditions of rows next to each other: ORDER BY, LIMIT and OFFSET.

use datafusion::sql::sqlparser::ast::{self, Expr, OrderByKind, Query};
use luma_model::{DataType, Error, ErrorKind, Result, Value};
use luma_rows::ScanColumn;

use crate::fast::compile::{column_of, constant};
use crate::fast::scalar::{Compiler, Environment, Resolve, Typed};
use crate::names::identifier;
use crate::outcome::Column;
use crate::plan::access::Wanted;

/// ORDER BY of plain columns, LIMIT and OFFSET.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) order: Vec<Wanted>,
    limit: Option<Typed>,
    offset: Option<Typed>,
}

/// The rows of an answer that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) offset: usize,
    pub(crate) limit: Option<usize>,
}

impl Slice {
    /// How many rows are read at most.
    pub(crate) fn read(&self) -> Option<usize> {
        self.limit.map(|limit| limit.saturating_add(self.offset))
    }
}

impl Tail {
    /// Compiles what a query of these columns says; `None` where it is more than this.
    pub(crate) fn compile(
        query: &Query,
        (outputs, columns): (&[ScanColumn], &[Column]),
        resolve: &Resolve<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<Option<Self>> {
        let mut tail = Self::default();
        if let Some(order) = &query.order_by {
            let OrderByKind::Expressions(parts) = &order.kind else { return Ok(None) };
            for part in parts {
                let wanted = ordinal(&part.expr, outputs, columns, resolve);
                let (Some(ordinal), None, None) = (wanted, &part.with_fill, &order.interpolate) else {
                    return Ok(None);
                };
                let descending = part.options.asc == Some(false);
                let nulls_first = part.options.nulls_first.unwrap_or(descending);
                tail.order.push(Wanted { ordinal, descending, nulls_first });
            }
        }
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(ast::LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(_) => return Ok(None),
        };
        for (expr, place) in [(limit, &mut tail.limit), (offset, &mut tail.offset)] {
            let Some(expr) = expr else { continue };
            let Some(count) = constant(compiler, expr, &DataType::Int8)? else { return Ok(None) };
            *place = Some(count);
        }
        Ok(Some(tail))
    }

    /// Whether the number of rows is bounded.
    pub(crate) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// The wanted rows with these parameters.
    ///
    /// # Errors
    /// 2201W and 2201X for negative numbers.
    pub(crate) fn slice(&self, environment: &Environment<'_>) -> Result<Slice> {
        let count = |side: &Option<Typed>, kind, name: &str| match side {
            None => Ok(None),
            Some(count) => match count.evaluate(environment)? {
                Value::Null => Ok(None),
                Value::Int8(count) => match usize::try_from(count) {
                    Ok(count) => Ok(Some(count)),
                    Err(_) => Err(Error::new(kind, format!("{name} must not be negative"))),
                },
                other => Err(Error::internal(format!("{name} is {other:?}"))),
            },
        };
        let offset = count(&self.offset, ErrorKind::InvalidRowCountInOffset, "OFFSET")?.unwrap_or(0);
        Ok(Slice { offset, limit: count(&self.limit, ErrorKind::InvalidRowCountInLimit, "LIMIT")? })
    }
}

/// The table's column that an item of ORDER BY means: the name or place of an output, or else a column.
fn ordinal(expr: &Expr, outputs: &[ScanColumn], columns: &[Column], resolve: &Resolve<'_>) -> Option<usize> {
    let stored = |place: usize| match outputs.get(place)? {
        ScanColumn::Value(ordinal) => Some(*ordinal),
        ScanColumn::Key | ScanColumn::Image => None,
    };
    match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(place, _) => stored(place.parse::<usize>().ok()?.checked_sub(1)?),
            _ => None,
        },
        Expr::Identifier(name) => {
            let name = identifier(name);
            let mut named = columns.iter().enumerate().filter(|(_, column)| column.name == name);
            match (named.next(), named.next()) {
                (None, _) => column_of(expr, resolve),
                (Some((place, _)), None) => stored(place),
                (Some(_), Some(_)) => None,
            }
        }
        _ => column_of(expr, resolve),
    }
}
