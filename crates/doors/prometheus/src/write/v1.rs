//! Messages `prometheus.WriteRequest`.

use luma_promql::Labels;
use luma_telemetry::{Exemplar, Metadata};
use smallvec::SmallVec;

use super::{WriteRequest, histogram};
use crate::wire::{Reader, WireError};

type Pairs<'a> = SmallVec<[(&'a str, &'a str); 24]>;

/// Reads a message into a request.
pub(super) fn read(message: &[u8], request: &mut WriteRequest) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => series(field.bytes()?, request)?,
            3 => metadata(field.bytes()?, request)?,
            _ => {}
        }
    }
    Ok(())
}

fn series(message: &[u8], request: &mut WriteRequest) -> Result<(), WireError> {
    let mut labels = Pairs::new();
    // Labels come first in practice, but nothing says so.
    let mut rest: SmallVec<[(u32, &[u8]); 8]> = SmallVec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => labels.push(label(field.bytes()?)?),
            number @ 2..=4 => rest.push((number, field.bytes()?)),
            _ => {}
        }
    }
    let samples = rest.iter().filter(|(number, _)| *number != 3).count();
    let Some(series) = request.series(labels.iter().copied(), samples) else { return Ok(()) };
    for (number, message) in rest {
        match number {
            2 => {
                let (t, value, start) = sample(message)?;
                request.float(series, t, start, value);
            }
            3 => request.exemplar(series, exemplar(message)?),
            _ => {
                let read = histogram(message)?;
                request.histogram(series, read.t, read.start, read.value);
            }
        }
    }
    Ok(())
}

fn label(message: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Time, value and start of a sample.
pub(super) fn sample(message: &[u8]) -> Result<(i64, f64, i64), WireError> {
    let (mut t, mut value, mut start) = (0, 0.0, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => value = field.double()?,
            2 => t = field.signed()?,
            3 => start = field.signed()?,
            _ => {}
        }
    }
    Ok((t, value, start))
}

fn exemplar(message: &[u8]) -> Result<Exemplar, WireError> {
    let mut labels = Pairs::new();
    let (mut t, mut value) = (0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => labels.push(label(field.bytes()?)?),
            2 => value = field.double()?,
            3 => t = field.signed()?,
            _ => {}
        }
    }
    Ok(Exemplar { labels: Labels::new(labels), value, t })
}

fn metadata(message: &[u8], request: &mut WriteRequest) -> Result<(), WireError> {
    let mut metadata = Metadata { kind: kind(0).to_owned(), ..Metadata::default() };
    let mut family = "";
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => kind(field.unsigned()?).clone_into(&mut metadata.kind),
            2 => family = field.text()?,
            4 => field.text()?.clone_into(&mut metadata.help),
            5 => field.text()?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    request.metadata(family, metadata);
    Ok(())
}

/// A metric's type by its number, which is the same in both versions.
pub(super) fn kind(number: u64) -> &'static str {
    match number {
        1 => "counter",
        2 => "gauge",
        3 => "histogram",
        4 => "gaugehistogram",
        5 => "summary",
        6 => "info",
        7 => "stateset",
        _ => "unknown",
    }
}
