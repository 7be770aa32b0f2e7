//! PostgreSQL functions that DataFusion lacks or spells otherwise.

use luma_model::{DataType, ObjectKind, Value};

use crate::functions::row::Definition;

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition::new("pg_typeof", (1, 1), DataType::Reg(ObjectKind::Type), |_, _, types| {
        Ok(Value::Oid(types[0].oid()))
    })
    .takes_null(),
    Definition::new("pg_column_size", (1, 1), DataType::Int4, |_, values, _| {
        let mut bytes = Vec::new();
        luma_model::encode_row(values, &mut bytes);
        Ok(Value::Int4(bytes.len() as i32))
    }),
];
