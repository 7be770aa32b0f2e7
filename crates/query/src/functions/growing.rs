//! Functions that make long texts of short ones, which is why their results are bounded before they are made.

use luma_model::{Result, Value, ValueRef};

use crate::functions::numbers::int;
use crate::functions::overload::Kind::{Int4, Text};
use crate::functions::overload::{Function, Overload, VALUE_BYTES_MAX, too_long};
use crate::functions::text::{string, text};

pub(super) const FUNCTIONS: &[&Function] = &[
    &Function::new("repeat", &[Overload::new(&[Text, Int4], Text, |_, values, _| repeat(values))]),
    &Function::new(
        "lpad",
        &[Overload::new(&[Text, Int4, Text], Text, |_, values, _| padded(values, true)).optional(1)],
    ),
    &Function::new(
        "rpad",
        &[Overload::new(&[Text, Int4, Text], Text, |_, values, _| padded(values, false)).optional(1)],
    ),
    &Function::new("replace", &[Overload::new(&[Text, Text, Text], Text, |_, values, _| replace(values))]),
];

fn checked(bytes: Option<usize>) -> Result<()> {
    match bytes {
        Some(bytes) if bytes <= VALUE_BYTES_MAX => Ok(()),
        _ => Err(too_long()),
    }
}

fn repeat(values: &[ValueRef<'_>]) -> Result<Value> {
    let part = string(values[0]);
    let count = usize::try_from(int(values[1])).unwrap_or(0);
    checked(part.len().checked_mul(count))?;
    text(part.repeat(count))
}

/// The text with so many characters: cut, or filled up on one side.
fn padded(values: &[ValueRef<'_>], left: bool) -> Result<Value> {
    let given = string(values[0]);
    let wanted = usize::try_from(int(values[1])).unwrap_or(0);
    let fill = values.get(2).map_or(" ", |fill| string(*fill));
    let length = given.chars().count();
    let Some(missing) = wanted.checked_sub(length) else {
        return text(given.chars().take(wanted).collect::<String>());
    };
    let characters = fill.chars().count();
    if characters == 0 {
        return text(given);
    }
    checked(
        (missing / characters + 1).checked_mul(fill.len()).and_then(|bytes| bytes.checked_add(given.len())),
    )?;
    let filling: String = fill.chars().cycle().take(missing).collect();
    text(if left { filling + given } else { given.to_owned() + &filling })
}

fn replace(values: &[ValueRef<'_>]) -> Result<Value> {
    let (given, from, to) = (string(values[0]), string(values[1]), string(values[2]));
    if from.is_empty() {
        return text(given);
    }
    if to.len() > from.len() {
        let grown = given.matches(from).count().checked_mul(to.len() - from.len());
        checked(grown.and_then(|grown| grown.checked_add(given.len())))?;
    }
    text(given.replace(from, to))
}
