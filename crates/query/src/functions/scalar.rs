//! PostgreSQL functions that DataFusion lacks or spells otherwise.

use luma_model::{DataType, Error, ErrorKind, Value, ValueRef};

use crate::functions::row::{Definition, integer, text};

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition::new("quote_literal", (1, 1), DataType::Text, |_, values, types| {
        Ok(Value::Text(format!("'{}'", text(values[0], &types[0]).replace('\'', "''"))))
    }),
    Definition::new("pg_typeof", (1, 1), DataType::Text, |_, _, types| Ok(Value::Text(types[0].base_name())))
        .takes_null(),
    Definition::new("pg_column_size", (1, 1), DataType::Int4, |_, values, _| {
        let mut bytes = Vec::new();
        luma_model::encode_row(values, &mut bytes);
        Ok(Value::Int4(bytes.len() as i32))
    }),
    Definition::new("pg_sleep", (1, 1), DataType::Text, |_, values, types| {
        let seconds: f64 = text(values[0], &types[0]).parse().unwrap_or(0.0);
        // Long enough for tests and tools, short enough that a query thread comes back.
        std::thread::sleep(std::time::Duration::from_secs_f64(seconds.clamp(0.0, 60.0)));
        Ok(Value::Text(String::new()))
    })
    .volatile(),
    Definition::new("make_date", (3, 3), DataType::Date, |_, values, _| {
        let part = |at: usize| values.get(at).copied().and_then(integer).unwrap_or(0);
        let date = chrono::NaiveDate::from_ymd_opt(part(0) as i32, part(1) as u32, part(2) as u32);
        let epoch = chrono::NaiveDate::default();
        match date {
            Some(date) => Ok(Value::Date((date - epoch).num_days() as i32)),
            None => Err(Error::new(
                ErrorKind::DatetimeOverflow,
                format!("date field value out of range: {}-{:02}-{:02}", part(0), part(1), part(2)),
            )),
        }
    }),
    Definition::new("num_nulls", (1, 16), DataType::Int4, |_, values, _| {
        Ok(Value::Int4(values.iter().filter(|value| matches!(value, ValueRef::Null)).count() as i32))
    })
    .takes_null(),
    Definition::new("num_nonnulls", (1, 16), DataType::Int4, |_, values, _| {
        Ok(Value::Int4(values.iter().filter(|value| !matches!(value, ValueRef::Null)).count() as i32))
    })
    .takes_null(),
];
