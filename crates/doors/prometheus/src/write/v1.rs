//! Messages `prometheus.WriteRequest`.

use luma_promql::Labels;
use luma_telemetry::{Exemplar, KnownNames, Metadata};
use smallvec::SmallVec;

use super::{WriteRequest, histogram};
use crate::wire::{Reader, WireError};

/// The tag of a label, and of a label's name.
const LABEL: u8 = 1 << 3 | 2;

type Pairs<'a> = SmallVec<[(&'a str, &'a str); 24]>;

/// Reads a message into a request.
pub(super) fn read(
    message: &[u8],
    request: &mut WriteRequest,
    known: &KnownNames<'_>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => series(field.bytes()?, request, known)?,
            3 => metadata(field.bytes()?, request)?,
            // Symbols and series of the other version: without an error its sender would think that they are stored.
            4 | 5 => return Err(WireError::Version { is: "2.0", said: "1.0" }),
            _ => {}
        }
    }
    Ok(())
}

fn series(message: &[u8], request: &mut WriteRequest, known: &KnownNames<'_>) -> Result<(), WireError> {
    let (name, message) = message.split_at(labels_end(message));
    // Labels come first in practice, but nothing says so.
    let mut later = Pairs::new();
    let mut rest: SmallVec<[(u32, &[u8]); 8]> = SmallVec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => later.push(label(field.bytes()?)?),
            number @ 2..=4 => rest.push((number, field.bytes()?)),
            _ => {}
        }
    }
    let fingerprint = later.is_empty().then(|| known.fingerprint(name));
    let series = match fingerprint.and_then(|fingerprint| known.get(fingerprint)) {
        Some(series) => request.known(series),
        None => {
            let samples = rest.iter().filter(|(number, _)| *number != 3).count();
            let labels = labels(name, later)?;
            let Some(series) = request.series(labels.iter().copied(), samples) else { return Ok(()) };
            if let Some(fingerprint) = fingerprint {
                request.name(series, fingerprint);
            }
            series
        }
    };
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

/// Where the labels at the beginning of a series end.
fn labels_end(message: &[u8]) -> usize {
    let mut end = 0;
    // A label of 128 bytes and more is not among them.
    while let Some([LABEL, length @ 0..0x80, ..]) = message.get(end..) {
        let behind = end + 2 + usize::from(*length);
        if behind > message.len() {
            break;
        }
        end = behind;
    }
    end
}

/// The labels of some bytes, and others.
fn labels<'a>(bytes: &'a [u8], later: Pairs<'a>) -> Result<Pairs<'a>, WireError> {
    let (mut labels, rest) = short_labels(bytes);
    let mut reader = Reader::new(rest);
    while let Some(field) = reader.next()? {
        labels.push(label(field.bytes()?)?);
    }
    labels.extend(later);
    Ok(labels)
}

/// The labels at the beginning of a series as far as they are as usual, and what is left: name and value, both
/// there and shorter than 128 bytes. Their texts are checked in one go, which is what makes this worth it.
fn short_labels(message: &[u8]) -> (Pairs<'_>, &[u8]) {
    const FIRST: u8 = LABEL;
    const SECOND: u8 = 2 << 3 | 2;
    let byte = |at: usize| message.get(at).copied().filter(|byte| *byte < 0x80);
    // Where a name begins and ends, and its value; all of it ASCII but for the texts.
    let bounds = |at: usize| {
        let (label, name) = (usize::from(byte(at + 1)?), usize::from(byte(at + 3)?));
        let behind_name = at + 4 + name;
        let value = usize::from(byte(behind_name + 1)?);
        let end = behind_name + 2 + value;
        let tags = message.get(at)? == &FIRST && message.get(at + 2)? == &FIRST;
        let usual = tags && message.get(behind_name)? == &SECOND && end == at + 2 + label;
        (usual && end <= message.len()).then_some((at + 4..behind_name, behind_name + 2..end))
    };
    let mut places: SmallVec<[_; 24]> = SmallVec::new();
    let mut end = 0;
    while let Some((name, value)) = bounds(end) {
        end = value.end;
        places.push((name, value));
    }
    let (labels, rest) = message.split_at(end);
    let pairs = std::str::from_utf8(labels).ok().and_then(|text| {
        places.into_iter().map(|(name, value)| Some((text.get(name)?, text.get(value)?))).collect()
    });
    pairs.map_or((Pairs::new(), message), |pairs| (pairs, rest))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::Writer;
    use proptest::prelude::*;

    fn slowly(message: &[u8]) -> Result<Vec<(&str, &str)>, WireError> {
        let mut labels = Vec::new();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                labels.push(label(field.bytes()?)?);
            }
        }
        Ok(labels)
    }

    fn at_once(message: &[u8]) -> Result<Vec<(&str, &str)>, WireError> {
        let (labels, rest) = short_labels(message);
        Ok(labels.into_iter().chain(slowly(rest)?).collect())
    }

    proptest! {
        #[test]
        fn labels_read_at_once_are_those_read_one_by_one(
            pairs in proptest::collection::vec((".{0,8}", "(.{0,8}|x{120,140})"), 0..6),
            t: i64,
            at: prop::sample::Index,
            flip: u8,
        ) {
            let mut message = Writer::default();
            for (name, value) in &pairs {
                message.message(1, |label| {
                    label.text(1, name);
                    label.text(2, value);
                });
            }
            message.message(2, |sample| sample.signed(2, t));
            let mut bytes = message.0;
            prop_assert_eq!(at_once(&bytes), slowly(&bytes));
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(at_once(&bytes).ok(), slowly(&bytes).ok());
        }
    }
}
