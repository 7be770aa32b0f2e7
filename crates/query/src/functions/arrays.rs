//! Functions on arrays of one dimension, counted from 1.

use luma_model::{
    ArrayRef, ArrayValue, DataType, Error, ErrorKind, KeyOrder, Result, Value, ValueRef, encode_key,
};

use crate::functions::json;
use crate::functions::numbers::{float, int};
use crate::functions::overload::Kind::{
    Array, ArrayOfFirst, Bool, Bytea, Element, Float8, Int4, Int4Array, Json, Jsonb, NumericArray, Text,
    TextArray,
};
use crate::functions::overload::Surroundings;
use crate::functions::overload::{Function, Overload};
use crate::functions::row::text;

/// The dimension that stands for the only one of a vector of numbers, which counts from 0.
pub(crate) const FROM_ZERO: u32 = i32::MAX as u32;

fn items<'a>(value: &'a ValueRef<'a>) -> Vec<ValueRef<'a>> {
    match value {
        ValueRef::Array(array) => array.iter().collect(),
        _ => Vec::new(),
    }
}

fn array(items: Vec<Value>) -> Value {
    Value::Array(ArrayValue { elements: items })
}

fn owned(items: &[ValueRef<'_>]) -> Vec<Value> {
    items.iter().map(ValueRef::to_owned).collect()
}

fn element_type(types: &[DataType]) -> DataType {
    types.iter().find_map(|data_type| data_type.element().cloned()).unwrap_or(DataType::Text)
}

/// Bytes that equal elements share.
fn key(value: ValueRef<'_>, element: &DataType) -> Vec<u8> {
    let mut out = Vec::new();
    // A value that has no key equals nothing.
    let _ = encode_key(value, element, KeyOrder::ASCENDING, &mut out);
    out
}

fn same(one: ValueRef<'_>, other: ValueRef<'_>, element: &DataType) -> bool {
    one.is_null() == other.is_null() && key(one, element) == key(other, element)
}

fn contains(outer: &[ValueRef<'_>], inner: &[ValueRef<'_>], element: &DataType) -> bool {
    inner.iter().all(|item| !item.is_null() && outer.iter().any(|found| same(*found, *item, element)))
}

fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Array(array) => array.iter().count(),
        _ => 0,
    }
}

fn bound(values: &[ValueRef<'_>], of: fn(usize) -> usize) -> Value {
    let count = length(values[0]);
    if count == 0 || int(values[1]) != 1 { Value::Null } else { Value::Int4(of(count) as i32) }
}

fn concatenate(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    match (values[0], values[1]) {
        (ValueRef::Null, ValueRef::Null) => Ok(Value::Null),
        (ValueRef::Null, other) | (other, ValueRef::Null) => Ok(other.to_owned()),
        (one, other) => {
            let mut all = owned(&items(&one));
            all.extend(owned(&items(&other)));
            Ok(array(all))
        }
    }
}

fn append(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let mut all = owned(&items(&values[0]));
    all.push(values[1].to_owned());
    Ok(array(all))
}

fn prepend(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let mut all = vec![values[0].to_owned()];
    all.extend(owned(&items(&values[1])));
    Ok(array(all))
}

/// `||` with an array on at least one side.
pub(crate) static CONCATENATE: Function = Function::new(
    "array_cat",
    &[
        Overload::new(&[Array, Array], Array, concatenate).takes_null(),
        Overload::new(&[Array, Element], Array, append).takes_null(),
        Overload::new(&[Element, Array], Array, prepend).takes_null(),
    ],
);

/// The bytes by which an array comes before or after others: a NULL among its elements is the greatest one.
pub(crate) static ORDER: Function = Function::new(
    "luma_array_order",
    &[Overload::new(&[Array], Bytea, |_, values, types| {
        let element = element_type(types);
        let mut bytes = Vec::new();
        for item in items(&values[0]) {
            bytes.push(1);
            encode_key(item, &element, KeyOrder::ASCENDING, &mut bytes)?;
        }
        bytes.push(0);
        Ok(Value::Bytea(bytes))
    })],
);

pub(crate) static OVERLAPS: Function = Function::new(
    "array_overlap",
    &[Overload::new(&[Array, Array], Bool, |_, values, types| {
        let element = element_type(types);
        let other = items(&values[1]);
        let found = items(&values[0])
            .iter()
            .any(|item| !item.is_null() && other.iter().any(|found| same(*found, *item, &element)));
        Ok(Value::Bool(found))
    })],
);

pub(crate) static CONTAINS: Function = Function::new(
    "array_contains",
    &[Overload::new(&[Array, Array], Bool, |_, values, types| {
        Ok(Value::Bool(contains(&items(&values[0]), &items(&values[1]), &element_type(types))))
    })],
);

pub(crate) static CONTAINED: Function = Function::new(
    "array_contained",
    &[Overload::new(&[Array, Array], Bool, |_, values, types| {
        Ok(Value::Bool(contains(&items(&values[1]), &items(&values[0]), &element_type(types))))
    })],
);

fn joined(info: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Value {
    let element = element_type(types);
    let separator = text(values[1], &DataType::Text);
    let instead = values.get(2).filter(|value| !value.is_null()).map(|value| text(*value, &DataType::Text));
    let parts: Vec<String> = items(&values[0])
        .iter()
        .filter_map(|item| if item.is_null() { instead.clone() } else { Some(info.shown(*item, &element)) })
        .collect();
    Value::Text(parts.join(&separator))
}

fn split(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let ValueRef::Text(whole) = values[0] else { return Ok(Value::Null) };
    let null = match values.get(2) {
        Some(ValueRef::Text(null)) => Some(*null),
        _ => None,
    };
    let part = |part: &str| if Some(part) == null { Value::Null } else { Value::Text(part.to_owned()) };
    if whole.is_empty() {
        return Ok(array(Vec::new()));
    }
    Ok(array(match values[1] {
        ValueRef::Text("") => vec![part(whole)],
        ValueRef::Text(separator) => whole.split(separator).map(part).collect(),
        _ => whole.chars().map(|character| part(&character.to_string())).collect(),
    }))
}

fn position(values: &[ValueRef<'_>], types: &[DataType]) -> Value {
    let element = element_type(types);
    let start = values.get(2).map_or(1, |start| int(*start)).max(1) as usize;
    let found = items(&values[0])
        .iter()
        .enumerate()
        .skip(start - 1)
        .find(|(_, item)| same(**item, values[1], &element))
        .map(|(at, _)| at + 1);
    found.map_or(Value::Null, |at| Value::Int4(at as i32))
}

/// The elements, which are numbers, each with its place, as objects of `x` and `n`.
fn expanded(_: &Surroundings, values: &[ValueRef<'_>], types: &[DataType]) -> Result<Value> {
    let element = element_type(types);
    let object = |(at, item): (usize, &ValueRef<'_>)| {
        let value = match item {
            ValueRef::Null => "null".to_owned(),
            item => text(*item, &element),
        };
        Value::Text(format!("{{\"n\": {}, \"x\": {value}}}", at + 1))
    };
    Ok(array(items(&values[0]).iter().enumerate().map(object).collect()))
}

/// An array with an element set; a gap before it is filled with NULLs.
fn assigned(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    let mut all = owned(&items(&values[0]));
    let at = match values[1] {
        ValueRef::Int4(at) => usize::try_from(at).ok().filter(|at| (1..=json::ELEMENTS_MAX).contains(at)),
        _ => None,
    };
    let at = at.ok_or_else(|| {
        let message = "an array subscript in an assignment must be a number from 1 on";
        Error::new(ErrorKind::ArraySubscript, message)
    })?;
    while all.len() < at {
        all.push(Value::Null);
    }
    all[at - 1] = values[2].to_owned();
    Ok(array(all))
}

/// The values of an ordered-set aggregate.
fn present<'a>(value: &'a ValueRef<'a>) -> Vec<ValueRef<'a>> {
    items(value).into_iter().filter(|item| !item.is_null()).collect()
}

fn check_fraction(part: f64) -> Result<()> {
    if (0.0..=1.0).contains(&part) {
        return Ok(());
    }
    let message = format!("percentile value {part} is not between 0 and 1");
    Err(Error::new(ErrorKind::OutOfRange, message))
}

/// The place of the first value that so many are not after.
fn discrete(part: f64, count: usize) -> Result<usize> {
    check_fraction(part)?;
    Ok(((part * count as f64).ceil() as usize).saturating_sub(1))
}

/// Between the two values next to a fraction, as far as it is.
fn continuous(part: f64, all: &[ValueRef<'_>]) -> Result<Value> {
    check_fraction(part)?;
    let place = part * (all.len().max(1) - 1) as f64;
    let (Some(low), Some(high)) = (all.get(place.floor() as usize), all.get(place.ceil() as usize)) else {
        return Ok(Value::Null);
    };
    let (low, high) = (float(*low), float(*high));
    Ok(Value::Float8(low + (high - low) * (place - place.floor())))
}

/// An array of what each fraction gives.
fn fractions(parts: ValueRef<'_>, of: impl Fn(f64) -> Result<Value>) -> Result<Value> {
    let given = items(&parts).into_iter().map(|part| match part {
        ValueRef::Numeric(part) => of(part.to_f64()),
        _ => Ok(Value::Null),
    });
    given.collect::<Result<Vec<_>>>().map(array)
}

/// Most elements of an array that one value fills; PostgreSQL's are eight times as many.
const FILLED_MAX: usize = 1 << 24;

pub(crate) static FUNCTIONS: &[&Function] = &[
    &Function::new(
        "luma_assign",
        &[
            Overload::new(&[Array, Int4, Element], Array, assigned).takes_null(),
            Overload::new(&[Jsonb, Int4, Jsonb], Jsonb, |_, values, _| {
                json::assigned(values[0], values[1], values[2])
            })
            .takes_null(),
            Overload::new(&[Jsonb, Text, Jsonb], Jsonb, |_, values, _| {
                json::assigned(values[0], values[1], values[2])
            })
            .takes_null(),
        ],
    ),
    &Function::new(
        "luma_joined",
        &[Overload::new(&[TextArray, Text], Text, |info, values, types| {
            let some = items(&values[0]).iter().any(|item| !item.is_null());
            Ok(if some { joined(info, values, types) } else { Value::Null })
        })],
    ),
    &Function::new(
        "luma_has_null",
        &[Overload::new(&[Array], Bool, |_, values, _| {
            Ok(Value::Bool(items(&values[0]).iter().any(ValueRef::is_null)))
        })],
    ),
    // What a subquery gathers: no rows are an array without elements.
    &Function::new(
        "luma_gathered",
        &[Overload::new(&[Array], Array, |_, values, _| match values[0] {
            ValueRef::Null => Ok(array(Vec::new())),
            other => Ok(other.to_owned()),
        })
        .takes_null()],
    ),
    &Function::new("luma_expand_array", &[Overload::new(&[Array], TextArray, expanded)]),
    &Function::new("array_cat", &[Overload::new(&[Array, Array], Array, concatenate).takes_null()]),
    &Function::new("array_append", &[Overload::new(&[Array, Element], Array, append).takes_null()]),
    &Function::new("array_prepend", &[Overload::new(&[Element, Array], Array, prepend).takes_null()]),
    &Function::new(
        "array_length",
        &[Overload::new(&[Array, Int4], Int4, |_, values, _| Ok(bound(values, |count| count)))],
    ),
    &Function::new(
        "array_upper",
        &[Overload::new(&[Array, Int4], Int4, |_, values, _| Ok(bound(values, |count| count)))],
    ),
    &Function::new(
        "array_lower",
        &[Overload::new(&[Array, Int4], Int4, |_, values, _| Ok(bound(values, |_| 1)))],
    ),
    &Function::new(
        "cardinality",
        &[Overload::new(&[Array], Int4, |_, values, _| Ok(Value::Int4(length(values[0]) as i32)))],
    ),
    &Function::new(
        "array_ndims",
        &[Overload::new(&[Array], Int4, |_, values, _| {
            Ok(if length(values[0]) == 0 { Value::Null } else { Value::Int4(1) })
        })],
    ),
    &Function::new(
        "array_dims",
        &[Overload::new(&[Array], Text, |_, values, _| {
            let count = length(values[0]);
            Ok(if count == 0 { Value::Null } else { Value::Text(format!("[1:{count}]")) })
        })],
    ),
    &Function::new(
        "array_remove",
        &[Overload::new(&[Array, Element], Array, |_, values, types| {
            if values[0].is_null() {
                return Ok(Value::Null);
            }
            let element = element_type(types);
            let kept: Vec<ValueRef<'_>> =
                items(&values[0]).into_iter().filter(|item| !same(*item, values[1], &element)).collect();
            Ok(array(owned(&kept)))
        })
        .takes_null()],
    ),
    &Function::new(
        "array_replace",
        &[Overload::new(&[Array, Element, Element], Array, |_, values, types| {
            if values[0].is_null() {
                return Ok(Value::Null);
            }
            let element = element_type(types);
            let replaced = items(&values[0])
                .into_iter()
                .map(|item| if same(item, values[1], &element) { values[2] } else { item }.to_owned())
                .collect();
            Ok(array(replaced))
        })
        .takes_null()],
    ),
    &Function::new(
        "array_position",
        &[Overload::new(&[Array, Element, Int4], Int4, |_, values, types| {
            Ok(if values[0].is_null() { Value::Null } else { position(values, types) })
        })
        .optional(1)
        .takes_null()],
    ),
    &Function::new(
        "parse_ident",
        &[Overload::new(&[Text, Bool], TextArray, |_, values, _| {
            let name = text(values[0], &DataType::Text);
            let parts = crate::names::parse_name(&name).map_err(|_| {
                let message = format!("string is not a valid identifier: \"{name}\"");
                Error::new(ErrorKind::InvalidParameterValue, message)
            })?;
            Ok(array(parts.into_iter().map(Value::Text).collect()))
        })
        .optional(1)],
    ),
    // What a session waits for is not told; it shows in pg_stat_activity as a statement that runs.
    &Function::new(
        "array_positions",
        &[Overload::new(&[Array, Element], Int4Array, |_, values, types| {
            if values[0].is_null() {
                return Ok(Value::Null);
            }
            let element = element_type(types);
            let places = items(&values[0])
                .iter()
                .enumerate()
                .filter(|(_, item)| same(**item, values[1], &element))
                .map(|(at, _)| Value::Int4(at as i32 + 1))
                .collect();
            Ok(array(places))
        })
        .takes_null()],
    ),
    &Function::new(
        "array_fill",
        &[Overload::new(&[Element, Int4Array], ArrayOfFirst, |_, values, _| {
            let counts = items(&values[1]);
            let [count] = counts.as_slice() else {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    "arrays of more than one dimension are not supported",
                ));
            };
            let count = int(*count).max(0) as usize;
            if count > FILLED_MAX {
                let message = format!("array size exceeds the maximum allowed ({FILLED_MAX})");
                return Err(Error::new(ErrorKind::ProgramLimit, message));
            }
            Ok(array(vec![values[0].to_owned(); count]))
        })],
    ),
    &Function::new(
        "trim_array",
        &[Overload::new(&[Array, Int4], Array, |_, values, _| {
            let (all, cut) = (items(&values[0]), int(values[1]));
            match usize::try_from(cut).ok().and_then(|cut| all.len().checked_sub(cut)) {
                Some(kept) => Ok(array(owned(&all[..kept]))),
                None => Err(Error::new(
                    ErrorKind::ArraySubscript,
                    format!("number of elements to trim must be between 0 and {}", all.len()),
                )),
            }
        })],
    ),
    &Function::new(
        "array_to_string",
        &[Overload::new(&[Array, Text, Text], Text, |info, values, types| {
            Ok(if values[0].is_null() || values[1].is_null() {
                Value::Null
            } else {
                joined(info, values, types)
            })
        })
        .optional(1)
        .takes_null()],
    ),
    &Function::new(
        "string_to_array",
        &[Overload::new(&[Text, Text, Text], TextArray, split).optional(1).takes_null()],
    ),
    &Function::new(
        "luma_string_to_table",
        &[Overload::new(&[Text, Text, Text], TextArray, split).optional(1).takes_null()],
    ),
    &Function::new(
        "array_to_json",
        &[Overload::new(&[Array], Json, |info, values, types| {
            super::json::written(info, values[0], &types[0], false).map(Value::Text)
        })],
    ),
    &Function::new(
        "luma_generate_subscripts",
        &[Overload::new(&[Array, Int4], Int4Array, |_, values, _| {
            let all = length(values[0]);
            let (first, count) = match int(values[1]) {
                1 => (1, all),
                dimension if dimension == i64::from(FROM_ZERO) => (0, all),
                _ => (1, 0),
            };
            Ok(array((first..first + count).map(|at| Value::Int4(at as i32)).collect()))
        })],
    ),
    // The halves of ordered-set aggregates: a place in the array of all values in their order.
    &Function::new(
        "luma_percentile_disc",
        &[
            Overload::new(&[Array, Float8], Element, |_, values, _| {
                let all = present(&values[0]);
                let at = discrete(float(values[1]), all.len())?;
                Ok(all.get(at).map_or(Value::Null, ValueRef::to_owned))
            }),
            Overload::new(&[Array, NumericArray], Array, |_, values, _| {
                let all = present(&values[0]);
                fractions(values[1], |part| {
                    let at = discrete(part, all.len())?;
                    Ok(all.get(at).map_or(Value::Null, ValueRef::to_owned))
                })
            }),
        ],
    ),
    &Function::new(
        "luma_percentile_cont",
        &[
            Overload::new(&[Array, Float8], Float8, |_, values, _| {
                continuous(float(values[1]), &present(&values[0]))
            }),
            Overload::new(&[Array, NumericArray], Array, |_, values, _| {
                let all = present(&values[0]);
                fractions(values[1], |part| continuous(part, &all))
            }),
        ],
    ),
    &Function::new(
        "luma_mode",
        &[Overload::new(&[Array], Element, |_, values, types| {
            let element = element_type(types);
            let all: Vec<ValueRef<'_>> =
                items(&values[0]).into_iter().filter(|item| !item.is_null()).collect();
            let mut best: Option<(usize, ValueRef<'_>)> = None;
            for run in all.chunk_by(|one, other| same(*one, *other, &element)) {
                if best.is_none_or(|(count, _)| run.len() > count) {
                    best = Some((run.len(), run[0]));
                }
            }
            Ok(best.map_or(Value::Null, |(_, item)| item.to_owned()))
        })],
    ),
    // Subscripts: an element, a member of a JSON value, and a part of an array.
    &Function::new(
        "luma_element",
        &[
            Overload::new(&[Array, Int4], Element, |_, values, _| {
                let at = usize::try_from(int(values[1]) - 1).ok();
                let all = items(&values[0]);
                Ok(at.and_then(|at| all.get(at)).map_or(Value::Null, ValueRef::to_owned))
            }),
            Overload::new(&[Jsonb, Int4], Jsonb, super::json::get),
            Overload::new(&[Jsonb, Text], Jsonb, super::json::get),
        ],
    ),
    &Function::new(
        "luma_slice",
        &[Overload::new(&[Array, Int4, Int4], Array, |_, values, _| {
            let all = items(&values[0]);
            if values[0].is_null() {
                return Ok(Value::Null);
            }
            let first = if values[1].is_null() { 1 } else { int(values[1]).max(1) } as usize;
            let last = if values[2].is_null() { all.len() } else { int(values[2]).max(0) as usize };
            let last = last.min(all.len());
            Ok(array(if first > last { Vec::new() } else { owned(&all[first - 1..last]) }))
        })
        .takes_null()],
    ),
    // What comparisons with all rows of a subquery come to.
    &Function::new(
        "luma_any_true",
        &[Overload::new(&[Array], Bool, |_, values, _| {
            let all = items(&values[0]);
            if all.iter().any(|item| matches!(item, ValueRef::Bool(true))) {
                return Ok(Value::Bool(true));
            }
            Ok(if all.iter().any(ValueRef::is_null) { Value::Null } else { Value::Bool(false) })
        })
        .takes_null()],
    ),
    // `x = ANY (array)` where some element may be NULL.
    &Function::new(
        "luma_any_equal",
        &[Overload::new(&[Element, Array], Bool, |_, values, types| {
            let (needle, all) = (values[0], items(&values[1]));
            if values[1].is_null() || needle.is_null() && !all.is_empty() {
                return Ok(Value::Null);
            }
            let element = element_type(types);
            if all.iter().any(|item| same(needle, *item, &element)) {
                return Ok(Value::Bool(true));
            }
            Ok(if all.iter().any(ValueRef::is_null) { Value::Null } else { Value::Bool(false) })
        })
        .takes_null()],
    ),
];

/// The elements of an array value, for functions elsewhere.
pub(super) fn texts(array: ArrayRef<'_>) -> Vec<String> {
    array.iter().filter(|item| !item.is_null()).map(|item| text(item, &DataType::Text)).collect()
}
