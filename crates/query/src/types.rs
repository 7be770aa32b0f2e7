//! SQL's spelling of types.

use datafusion::sql::sqlparser::ast;
use luma_model::{DataType, Error, ErrorKind, Result};

/// A column type as written, with what `serial` says beside the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) data_type: DataType,
    pub(crate) serial: bool,
    /// Digits of a second, where they are limited.
    pub(crate) precision: Option<u8>,
}

/// The type of a column definition.
pub(crate) fn column_type(sql: &ast::DataType) -> Result<ColumnType> {
    let name = sql.to_string().to_ascii_lowercase();
    let serial = match name.as_str() {
        "serial" | "serial4" => Some(DataType::Int4),
        "bigserial" | "serial8" => Some(DataType::Int8),
        "smallserial" | "serial2" => Some(DataType::Int2),
        _ => None,
    };
    match serial {
        Some(data_type) => Ok(ColumnType { data_type, serial: true, precision: None }),
        None => {
            if let Some((plain, digits)) = without_precision(sql) {
                let precision = u8::try_from(digits).ok().filter(|digits| *digits < 6);
                return Ok(ColumnType { data_type: data_type(&plain)?, serial: false, precision });
            }
            Ok(ColumnType { data_type: data_type(sql)?, serial: false, precision: None })
        }
    }
}

/// The type of a time without its digits of a second, and how many it was to have.
pub(crate) fn without_precision(sql: &ast::DataType) -> Option<(ast::DataType, u64)> {
    match sql {
        ast::DataType::Timestamp(Some(digits), zone) => {
            Some((ast::DataType::Timestamp(None, *zone), *digits))
        }
        ast::DataType::Time(
            Some(digits),
            zone @ (ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone),
        ) => Some((ast::DataType::Time(None, *zone), *digits)),
        ast::DataType::Interval { precision: Some(digits), .. } => {
            Some((ast::DataType::Interval { fields: None, precision: None }, *digits))
        }
        _ => None,
    }
}

/// Refuses digits that no `numeric` may have.
fn check_numeric(sql: &ast::DataType) -> Result<()> {
    let (ast::DataType::Numeric(digits) | ast::DataType::Decimal(digits) | ast::DataType::Dec(digits)) = sql
    else {
        return Ok(());
    };
    let most = i64::from(luma_model::NUMERIC_PRECISION_MAX);
    let (precision, scale) = match digits {
        ast::ExactNumberInfo::None => return Ok(()),
        ast::ExactNumberInfo::Precision(precision) => (*precision, 0),
        ast::ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let refused = |message: String| Err(Error::new(ErrorKind::InvalidParameterValue, message));
    if precision == 0 || precision > u64::from(luma_model::NUMERIC_PRECISION_MAX) {
        return refused(format!("NUMERIC precision {precision} must be between 1 and {most}"));
    }
    if !(-most..=most).contains(&scale) {
        return refused(format!("NUMERIC scale {scale} must be between -{most} and {most}"));
    }
    Ok(())
}

/// The type that SQL text names.
///
/// # Errors
/// 42704 for one that does not exist.
pub(crate) fn data_type(sql: &ast::DataType) -> Result<DataType> {
    if let ast::DataType::Array(
        ast::ArrayElemTypeDef::SquareBracket(element, _)
        | ast::ArrayElemTypeDef::AngleBracket(element)
        | ast::ArrayElemTypeDef::Parenthesis(element),
    ) = sql
    {
        let element = data_type(element)?;
        if matches!(element, DataType::Array(_)) {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "arrays of more than one dimension are not supported",
            ));
        }
        return Ok(DataType::Array(Box::new(element)));
    }
    if let ast::DataType::Custom(name, modifiers) = sql {
        // A type that a user made, with its labels (plan/user_type).
        if let [ast::ObjectNamePart::Identifier(ast::Ident { value, quote_style: None, .. })] =
            name.0.as_slice()
            && value.starts_with('\u{1}')
            && let Some(known) = DataType::from_spelling(value)
        {
            return Ok(known);
        }
        // pg_catalog.int4 is int4.
        let last = name.0.last().and_then(ast::ObjectNamePart::as_ident).map(|part| &part.value);
        let quoted = name.0.last().and_then(ast::ObjectNamePart::as_ident);
        if quoted.is_some_and(|part| part.quote_style.is_some() && part.value == "char") {
            return Ok(DataType::InternalChar);
        }
        if let Some(last) = last {
            let spelled =
                if modifiers.is_empty() { last.clone() } else { format!("{last}({})", modifiers.join(",")) };
            if let Some(known) = DataType::parse(&spelled) {
                return Ok(known);
            }
        }
    }
    check_numeric(sql)?;
    let spelled = sql.to_string();
    DataType::parse(&spelled).ok_or_else(|| {
        let lower = spelled.to_lowercase();
        if lower.starts_with("time") && lower.contains('(') {
            return Error::new(
                ErrorKind::FeatureNotSupported,
                format!("type \"{lower}\" is not supported: times keep six digits of a second"),
            )
            .hint("Leave the precision away.");
        }
        Error::new(ErrorKind::UndefinedObject, format!("type \"{}\" does not exist", spelled.to_lowercase()))
    })
}
