//! Messages `io.prometheus.write.v2.Request`: texts are named by their place in a table.

use luma_promql::{Labels, METRIC_NAME};
use luma_telemetry::{Exemplar, Metadata};
use smallvec::SmallVec;

use super::v1::{kind, sample};
use super::{WriteRequest, histogram};
use crate::wire::{Reader, WireError};

type References = SmallVec<[u32; 48]>;

/// Reads a message into a request.
pub(super) fn read(message: &[u8], request: &mut WriteRequest) -> Result<(), WireError> {
    let mut symbols = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == 4 {
            symbols.push(field.text()?);
        }
    }
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => return Err(WireError::Version { is: "1.0", said: "2.0" }),
            5 => series(field.bytes()?, &symbols, request)?,
            _ => {}
        }
    }
    Ok(())
}

fn series(message: &[u8], symbols: &[&str], request: &mut WriteRequest) -> Result<(), WireError> {
    let mut references = References::new();
    let mut rest: SmallVec<[(u32, &[u8]); 8]> = SmallVec::new();
    let mut created = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => field.each_varint(|reference| references.push(reference as u32))?,
            number @ 2..=5 => rest.push((number, field.bytes()?)),
            6 => created = field.signed()?,
            _ => {}
        }
    }
    let samples = rest.iter().filter(|(number, _)| matches!(number, 2 | 3)).count();
    let labels = match pairs(&references, symbols) {
        Ok(labels) => labels,
        Err(what) => {
            request.refuse(samples, what);
            return Ok(());
        }
    };
    let Some(series) = request.series(labels.iter().copied(), samples) else { return Ok(()) };
    let started = |start: i64| if start == 0 { created } else { start };
    for (number, message) in rest {
        match number {
            2 => {
                let (t, value, start) = sample(message)?;
                request.float(series, t, started(start), value);
            }
            3 => {
                let read = histogram(message)?;
                request.histogram(series, read.t, started(read.start), read.value);
            }
            4 => {
                if let Some(exemplar) = exemplar(message, symbols)? {
                    request.exemplar(series, exemplar);
                }
            }
            _ => {
                let name =
                    labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
                metadata(message, name, symbols, request)?;
            }
        }
    }
    Ok(())
}

type Pairs<'a> = SmallVec<[(&'a str, &'a str); 24]>;

fn pairs<'a>(references: &[u32], symbols: &[&'a str]) -> Result<Pairs<'a>, String> {
    let (two, odd) = references.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(format!(
            "invalid labels for series: {} references to symbols do not make pairs",
            references.len()
        ));
    }
    let symbol = |at: u32| {
        let text = symbols.get(at as usize).copied();
        text.ok_or_else(|| {
            format!("invalid labels for series: it refers to symbol {at} of a table of {}", symbols.len())
        })
    };
    two.iter().map(|[name, value]| Ok((symbol(*name)?, symbol(*value)?))).collect()
}

fn exemplar(message: &[u8], symbols: &[&str]) -> Result<Option<Exemplar>, WireError> {
    let mut references = References::new();
    let (mut t, mut value) = (0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => field.each_varint(|reference| references.push(reference as u32))?,
            2 => value = field.double()?,
            3 => t = field.signed()?,
            _ => {}
        }
    }
    let labels = pairs(&references, symbols).ok();
    Ok(labels.map(|labels| Exemplar { labels: Labels::new(labels), value, t }))
}

fn metadata(
    message: &[u8],
    name: &str,
    symbols: &[&str],
    request: &mut WriteRequest,
) -> Result<(), WireError> {
    let mut number = 0;
    let mut texts = ["", ""];
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => number = field.unsigned()?,
            at @ (3 | 4) => {
                let symbol = symbols.get(field.unsigned()? as usize).copied();
                texts[at as usize - 3] = symbol.unwrap_or_default();
            }
            _ => {}
        }
    }
    if number == 0 && texts == ["", ""] {
        return Ok(());
    }
    let [help, unit] = texts.map(str::to_owned);
    let kind = kind(number);
    request.metadata(family(name, kind), Metadata { kind: kind.to_owned(), help, unit });
    Ok(())
}

/// The family of a series' name: series of classic histograms and summaries have endings of their own.
fn family<'a>(name: &'a str, kind: &str) -> &'a str {
    let endings: &[&str] = match kind {
        "histogram" | "gaugehistogram" => &["_bucket", "_count", "_sum", "_gcount", "_gsum"],
        "summary" => &["_count", "_sum"],
        _ => &[],
    };
    endings
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(name)
}
