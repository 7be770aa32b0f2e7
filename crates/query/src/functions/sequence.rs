//! `nextval`, `currval`, `setval`, `lastval`.

use std::sync::Arc;

use luma_catalog::Sequence;
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::functions::row::{Definition, integer};
use crate::session::SessionInfo;

pub(crate) static FUNCTIONS: &[Definition] = &[
    Definition::new("nextval", (1, 1), DataType::Int8, |info, values, _| {
        let sequence = find(info, values[0])?;
        info.next_of(&sequence).map(Value::Int8)
    })
    .volatile(),
    Definition::new("currval", (1, 1), DataType::Int8, |info, values, _| {
        let sequence = find(info, values[0])?;
        match info.sequences.lock().current.get(&sequence.oid) {
            Some(value) => Ok(Value::Int8(*value)),
            None => Err(Error::new(
                ErrorKind::ObjectNotInPrerequisiteState,
                format!("currval of sequence \"{}\" is not yet defined in this session", sequence.name),
            )),
        }
    })
    .volatile(),
    Definition::new("lastval", (0, 0), DataType::Int8, |info, _, _| {
        let values = info.sequences.lock();
        match values.last.and_then(|oid| values.current.get(&oid)) {
            Some(value) => Ok(Value::Int8(*value)),
            None => Err(Error::new(
                ErrorKind::ObjectNotInPrerequisiteState,
                "lastval is not yet defined in this session",
            )),
        }
    })
    .volatile(),
    Definition::new("setval", (2, 3), DataType::Int8, |info, values, _| {
        let sequence = find(info, values[0])?;
        let value = integer(values[1])
            .ok_or_else(|| Error::new(ErrorKind::DatatypeMismatch, "setval takes an integer"))?;
        let called = !matches!(values.get(2), Some(ValueRef::Bool(false)));
        info.shared.rows.sequences().set(&sequence, value, called)?;
        if called {
            info.sequences.lock().current.insert(sequence.oid, value);
        }
        Ok(Value::Int8(value))
    })
    .volatile(),
];

fn find(info: &Arc<SessionInfo>, value: ValueRef<'_>) -> Result<Arc<Sequence>> {
    match value {
        ValueRef::Text(name) => info.sequence(name),
        value => {
            let oid = integer(value).and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
            info.catalog.sequence(oid).map(Arc::clone).ok_or_else(|| {
                Error::new(ErrorKind::UndefinedTable, format!("there is no sequence with OID {oid}"))
            })
        }
    }
}
