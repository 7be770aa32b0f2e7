//! The columns of text files, found from what is in them.
//!
//! The first rows of the first file decide; a row that does not fit later is an error that names its line, and
//! then `columns` says what the types are.

use std::path::{Path, PathBuf};

use luma_model::infer::Kind;
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value};
use luma_vfs::Vfs;

use crate::copy::decode::{Decoder, first_fields};
use crate::copy::options::{CopyOptions, Header};
use crate::external::read::Chunks;

/// Rows that are looked at.
const ROWS: usize = 10_000;
/// Bytes that are looked at, about.
const BYTES: u64 = 16 << 20;
/// Columns that a file has at most.
const COLUMNS_MAX: usize = 1600;

fn open(vfs: &dyn Vfs, files: &[PathBuf]) -> Result<(PathBuf, Chunks)> {
    let first = files.first().ok_or_else(|| Error::internal("no files"))?;
    Ok((first.clone(), Chunks::open(vfs, first)?))
}

/// The columns of CSV files: names from the header, or `column1`, `column2`, …
pub(super) fn csv(
    vfs: &dyn Vfs,
    files: &[PathBuf],
    options: &mut CopyOptions,
) -> Result<Vec<(String, DataType)>> {
    let (path, mut chunks) = open(vfs, files)?;
    let width = first_line(&path, &mut chunks, options)?;
    let mut names: Vec<String> = Vec::new();
    for (place, name) in width.iter().enumerate() {
        let name = if options.header == Header::None || name.is_empty() {
            format!("column{}", place + 1)
        } else {
            name.clone()
        };
        if names.contains(&name) {
            let message = format!("{}: the header names the column \"{name}\" twice", path.display());
            return Err(Error::new(ErrorKind::DuplicateColumn, message)
                .hint("Give the names with columns => 'a text, b integer, …'."));
        }
        names.push(name);
    }
    let columns: Vec<(String, DataType)> = names.iter().map(|name| (name.clone(), DataType::Text)).collect();
    // Names that stand for missing ones are not compared with the header.
    if options.header == Header::Match && width.iter().any(String::is_empty) {
        options.header = Header::Names;
    }
    let mut decoder = Decoder::new(options, path.display().to_string(), columns);
    let mut kinds = vec![Kind::Unknown; names.len()];
    rows(&mut Chunks::open(vfs, &path)?, &mut decoder, &mut |row| {
        for (kind, value) in kinds.iter_mut().zip(row) {
            if let Value::Text(text) = value {
                *kind = kind.unify(Kind::of(text.as_bytes()));
            }
        }
    })?;
    Ok(names.into_iter().zip(kinds).map(|(name, kind)| (name, kind.data_type())).collect())
}

/// The values of the first line.
fn first_line(path: &Path, chunks: &mut Chunks, options: &CopyOptions) -> Result<Vec<String>> {
    let mut begun = Vec::new();
    loop {
        let more = chunks.next()?;
        let ended = more.is_none();
        begun.extend_from_slice(&more.unwrap_or_default());
        let found = first_fields(options, &begun, ended)?;
        match found {
            Some(fields) if fields.len() > COLUMNS_MAX => {
                let message = format!("{}: more than {COLUMNS_MAX} columns", path.display());
                return Err(Error::new(ErrorKind::ProgramLimit, message));
            }
            Some(fields) => return Ok(fields),
            None if ended || begun.len() as u64 > BYTES => {
                let message = format!("{}: there is no first line", path.display());
                return Err(Error::new(ErrorKind::BadCopyFormat, message)
                    .hint("Give the columns with columns => 'a text, b integer, …'."));
            }
            None => {}
        }
    }
}

/// Gives the first rows to `visit`.
fn rows(chunks: &mut Chunks, decoder: &mut Decoder, visit: &mut dyn FnMut(&[Value])) -> Result<()> {
    let context = TextContext::default();
    let mut row = Vec::new();
    let mut seen = 0;
    loop {
        while decoder.next(&context, &mut row)? {
            visit(&row);
            seen += 1;
            if seen == ROWS {
                return Ok(());
            }
        }
        match chunks.next()? {
            Some(_) if chunks.position() > BYTES && seen > 0 => return Ok(()),
            Some(bytes) => decoder.push(&bytes),
            None if decoder.is_ended() => return Ok(()),
            None => decoder.end(),
        }
    }
}

/// The columns of JSON files: every field of the first rows, in the order in which they come.
pub(super) fn json(vfs: &dyn Vfs, files: &[PathBuf]) -> Result<Vec<(String, DataType)>> {
    let (path, mut chunks) = open(vfs, files)?;
    let mut fields: Vec<(String, Option<DataType>)> = Vec::new();
    let mut visit = |line: &[u8], number: usize| -> Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(line).map_err(|error| {
                let message =
                    format!("{}, line {number}: the line is not a JSON object: {error}", path.display());
                Error::new(ErrorKind::InvalidText, message)
            })?;
        for (name, value) in object {
            let found = kind(&value);
            if let Some((_, known)) = fields.iter_mut().find(|(known, _)| *known == name) {
                *known = unify(known.take(), found);
                continue;
            }
            if fields.len() == COLUMNS_MAX {
                let message = format!("{}: more than {COLUMNS_MAX} fields", path.display());
                return Err(Error::new(ErrorKind::ProgramLimit, message)
                    .hint("Give those that you want with columns => 'a text, b integer, …'."));
            }
            fields.push((name, found));
        }
        Ok(())
    };
    let (mut rest, mut number) = (Vec::new(), 0);
    while let Some(bytes) = chunks.next()? {
        rest.extend_from_slice(&bytes);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let left = rest.split_off(whole);
        for line in rest.split(|byte| *byte == b'\n') {
            number += 1;
            visit(line, number)?;
        }
        number -= 1;
        rest = left;
        if chunks.position() > BYTES || number > ROWS {
            rest.clear();
            break;
        }
    }
    visit(&rest, number + 1)?;
    if fields.is_empty() {
        let message = format!("{}: there are no rows to find columns in", path.display());
        return Err(Error::new(ErrorKind::BadCopyFormat, message)
            .hint("Give the columns with columns => 'a text, b integer, …'."));
    }
    Ok(fields.into_iter().map(|(name, found)| (name, found.unwrap_or(DataType::Text))).collect())
}

/// The type of a JSON value; `None` for null.
fn kind(value: &serde_json::Value) -> Option<DataType> {
    use serde_json::Value as Json;
    match value {
        Json::Null => None,
        Json::Bool(_) => Some(DataType::Bool),
        Json::Number(number) => Some(match Kind::of(number.to_string().as_bytes()) {
            Kind::Int4 | Kind::Int8 => DataType::Int8,
            Kind::Double => DataType::Float8,
            _ => DataType::Numeric(None),
        }),
        Json::String(text) => Some(match Kind::of(text.as_bytes()) {
            kind @ (Kind::Date | Kind::Timestamp | Kind::TimestampTz) => kind.data_type(),
            _ => DataType::Text,
        }),
        Json::Array(_) | Json::Object(_) => Some(DataType::Jsonb),
    }
}

/// The type that holds the values of both.
fn unify(one: Option<DataType>, other: Option<DataType>) -> Option<DataType> {
    use DataType::{Date, Float8, Int8, Numeric, Timestamp};
    Some(match (one, other) {
        (None, known) | (known, None) => return known,
        (Some(one), Some(other)) if one == other => one,
        (Some(Int8 | Float8), Some(Int8 | Float8)) => Float8,
        (Some(Int8 | Float8 | Numeric(_)), Some(Int8 | Float8 | Numeric(_))) => Numeric(None),
        (Some(Date | Timestamp), Some(Date | Timestamp)) => Timestamp,
        (Some(one), Some(other)) if one.is_string() || other.is_string() => DataType::Text,
        _ => DataType::Jsonb,
    })
}
