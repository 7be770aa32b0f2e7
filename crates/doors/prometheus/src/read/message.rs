//! The messages of remote read.

use luma_promql::{Bucket, FloatHistogram, Labels, MatchOp, Matcher, ResetHint, SeriesData, is_stale};

use super::chunk::Chunk;
use crate::wire::{Reader, WireError, Writer};

/// What is asked for.
pub(super) struct ReadRequest {
    pub queries: Vec<ReadQuery>,
    /// Whether the client takes a stream of chunks.
    pub takes_chunks: bool,
}

pub(super) struct ReadQuery {
    pub start: i64,
    pub end: i64,
    pub matchers: Vec<Matcher>,
}

/// The kinds of answers that a client may take.
const SAMPLES: u64 = 0;
const STREAMED_XOR_CHUNKS: u64 = 1;

/// Reads a request, or says what is wrong with it.
pub(super) fn read(message: &[u8]) -> Result<ReadRequest, String> {
    let mut queries = Vec::new();
    let mut accepted = Vec::new();
    let mut damaged = || -> Result<(), WireError> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => queries.push(field.bytes()?),
                2 => field.each_varint(|kind| accepted.push(kind))?,
                _ => {}
            }
        }
        Ok(())
    };
    damaged().map_err(|error| no_message(&error))?;
    // The first kind that there is; those who say nothing take whole samples.
    let known = accepted.iter().find(|kind| matches!(**kind, SAMPLES | STREAMED_XOR_CHUNKS));
    let takes_chunks = match known {
        Some(kind) => *kind == STREAMED_XOR_CHUNKS,
        None if accepted.is_empty() => false,
        None => {
            return Err(format!("server does not support any of the requested response types: {accepted:?}"));
        }
    };
    let queries = queries.into_iter().map(query).collect::<Result<_, _>>()?;
    Ok(ReadRequest { queries, takes_chunks })
}

fn no_message(error: &WireError) -> String {
    format!("the request's body is no prometheus.ReadRequest message: {error}")
}

fn query(message: &[u8]) -> Result<ReadQuery, String> {
    let (mut start, mut end) = (0, 0);
    let mut matchers = Vec::new();
    let mut reader = Reader::new(message);
    let mut next = || -> Result<Option<&[u8]>, WireError> {
        while let Some(field) = reader.next()? {
            match field.number {
                1 => start = field.signed()?,
                2 => end = field.signed()?,
                3 => return field.bytes().map(Some),
                _ => {}
            }
        }
        Ok(None)
    };
    while let Some(message) = next().map_err(|error| no_message(&error))? {
        matchers.push(matcher(message)?);
    }
    Ok(ReadQuery { start, end, matchers })
}

fn matcher(message: &[u8]) -> Result<Matcher, String> {
    let (mut kind, mut name, mut value) = (0, "", "");
    let mut fields = || -> Result<(), WireError> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => kind = field.unsigned()?,
                2 => name = field.text()?,
                3 => value = field.text()?,
                _ => {}
            }
        }
        Ok(())
    };
    fields().map_err(|error| no_message(&error))?;
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        other => return Err(format!("invalid matcher type {other}")),
    };
    Matcher::new(op, name, value)
}

/// Writes the labels of a series.
pub(super) fn write_labels(labels: &Labels, series: &mut Writer) {
    for (name, value) in labels.iter() {
        series.message(1, |label| {
            label.text(1, name);
            label.text(2, value);
        });
    }
}

/// Writes a series with all its samples.
pub(super) fn write_series(data: &SeriesData, series: &mut Writer) {
    write_labels(&data.labels, series);
    for point in &data.floats {
        series.message(2, |sample| {
            sample.double(1, point.v);
            sample.signed(2, point.t);
        });
    }
    for point in &data.histograms {
        series.message(4, |histogram| {
            write_histogram(&point.h, histogram);
            histogram.signed(15, point.t);
        });
    }
}

/// Runs of buckets without a gap: the gap before each and its length.
pub(super) fn spans(buckets: &[Bucket]) -> Vec<(i64, u64)> {
    let mut spans: Vec<(i64, u64)> = Vec::new();
    let mut next = 0;
    for bucket in buckets {
        let index = i64::from(bucket.index);
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            _ => spans.push((index - next, 1)),
        }
        next = index + 1;
    }
    spans
}

fn write_histogram(h: &FloatHistogram, out: &mut Writer) {
    if is_stale(h.sum) {
        out.present_double(2, 0.0);
        out.double(3, h.sum);
        return;
    }
    out.present_double(2, h.count);
    out.double(3, h.sum);
    out.zigzag(4, i64::from(h.schema));
    out.double(5, h.zero_threshold);
    out.present_double(7, h.zero_count);
    for (number, side) in [(8, &h.negative), (11, &h.positive)] {
        for (offset, length) in spans(side) {
            out.message(number, |span| {
                span.zigzag(1, offset);
                span.unsigned(2, length);
            });
        }
        out.doubles(number + 2, side.iter().map(|bucket| bucket.count));
    }
    out.unsigned(
        14,
        match h.hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        },
    );
    out.doubles(16, h.custom_bounds.iter().copied());
}

/// Writes a chunk.
pub(super) fn write_chunk(chunk: &Chunk, out: &mut Writer) {
    out.signed(1, chunk.first);
    out.signed(2, chunk.last);
    out.unsigned(3, chunk.encoding as u64);
    out.bytes(4, &chunk.data);
}
