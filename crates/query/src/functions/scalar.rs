//! PostgreSQL functions that DataFusion lacks or spells otherwise.

use luma_model::{DataType, Value};

use crate::functions::row::{Definition, text};

pub(crate) static FUNCTIONS: &[Definition] = &[
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
];
