//! Metrics of a message, their resources and scopes.

use luma_telemetry::Metadata;

use super::message::{Attributes, attribute, labels};
use super::names::{Ending, label, metric};
use super::point::Point;
use super::series::Output;
use super::sums::Sums;
use super::{OtlpError, OtlpOptions};
use crate::request::WriteRequest;
use crate::wire::{Reader, WireError};

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// Reads a message into a request.
pub(super) fn read(
    message: &[u8],
    options: &OtlpOptions,
    sums: &mut Sums<'_>,
    request: &mut WriteRequest,
) -> Result<(), OtlpError> {
    let mut output = Output::new(sums, request);
    each(message, 1, |resource| of_resource(resource, options, &mut output))
}

/// Calls `f` with each message in a field.
fn each<'a, E: From<WireError>>(
    message: &'a [u8],
    number: u32,
    mut f: impl FnMut(&'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        if field.number == number {
            f(field.bytes()?)?;
        }
    }
    Ok(())
}

fn of_resource(message: &[u8], options: &OtlpOptions, output: &mut Output<'_, '_>) -> Result<(), OtlpError> {
    let mut attributes = Attributes::new();
    each(message, 1, |resource| each(resource, 1, |pair| attribute(pair, &mut attributes)))?;
    let find = |name: &str| attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let mut identity = Vec::new();
    if let Some(service) = find("service.name") {
        let job =
            find("service.namespace").map_or_else(|| service.clone(), |space| format!("{space}/{service}"));
        identity.push(("job".to_owned(), job));
    }
    if let Some(instance) = find("service.instance.id") {
        identity.push(("instance".to_owned(), instance));
    }
    let promoted = options.promoted.iter().filter_map(|name| Some((label(name), find(name)?))).collect();
    output.begin_resource(identity, promoted);
    each(message, 2, |scope| of_scope(scope, options, output))?;
    attributes.retain(|(name, _)| {
        !matches!(name.as_str(), "service.name" | "service.namespace" | "service.instance.id")
    });
    if !attributes.is_empty() {
        output.target_info(&labels(&attributes));
    }
    Ok(())
}

fn of_scope(message: &[u8], options: &OtlpOptions, output: &mut Output<'_, '_>) -> Result<(), OtlpError> {
    let mut scope = Vec::new();
    if options.scope_labels {
        let mut attributes = Attributes::new();
        each(message, 1, |of| {
            let mut reader = Reader::new(of);
            while let Some(field) = reader.next()? {
                match field.number {
                    1 => scope.push(("otel_scope_name".to_owned(), field.text()?.to_owned())),
                    2 => scope.push(("otel_scope_version".to_owned(), field.text()?.to_owned())),
                    3 => attribute(field.bytes()?, &mut attributes)?,
                    _ => {}
                }
            }
            Ok::<_, WireError>(())
        })?;
        each(message, 3, |address| {
            let address = std::str::from_utf8(address).map_err(|_| WireError::Text(3))?;
            scope.push(("otel_scope_schema_url".to_owned(), address.to_owned()));
            Ok::<_, WireError>(())
        })?;
        // What the scope is called comes before attributes that are called so too.
        for (name, value) in labels(&attributes) {
            let name = format!("otel_scope_{name}");
            if !scope.iter().any(|(own, _)| *own == name) {
                scope.push((name, value));
            }
        }
    }
    output.begin_scope(scope);
    each(message, 2, |metric| of_metric(metric, output))
}

fn of_metric(message: &[u8], output: &mut Output<'_, '_>) -> Result<(), OtlpError> {
    let (mut name, mut help, mut unit) = ("", "", "");
    let mut data = None;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => help = field.text()?,
            3 => unit = field.text()?,
            number @ (5 | 7 | 9 | 10 | 11) => data = Some((number, field.bytes()?)),
            _ => {}
        }
    }
    let Some((kind, data)) = data else { return Ok(()) };
    let (mut points, mut temporality, mut monotonic) = (Vec::new(), 0, false);
    let mut reader = Reader::new(data);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => points.push(field.bytes()?),
            2 => temporality = field.unsigned()?,
            3 => monotonic = field.unsigned()? != 0,
            _ => {}
        }
    }
    if matches!(kind, 7 | 9 | 10) && !matches!(temporality, DELTA | CUMULATIVE) {
        let what = format!(
            "metric {name:?} has temporality {temporality}, which is neither delta (1) nor cumulative (2)"
        );
        output.refuse(points.len(), what);
        return Ok(());
    }
    let (ending, word) = match kind {
        5 => (Ending::Gauge, "gauge"),
        7 if monotonic => (Ending::Total, "counter"),
        7 => (Ending::None, "gauge"),
        9 | 10 => (Ending::None, "histogram"),
        _ => (Ending::None, "summary"),
    };
    let family = metric(name, unit, ending);
    output
        .metadata(&family, Metadata { kind: word.to_owned(), help: help.to_owned(), unit: unit.to_owned() });
    output.begin_metric(matches!(kind, 7 | 9 | 10) && temporality == DELTA);
    for message in points {
        let point = Point::read(message, kind)?;
        if point.t == 0 {
            // It would be a sample of 1970.
            output.refuse(1, format!("metric {name:?} has a point without a time (`timeUnixNano`)"));
            continue;
        }
        match kind {
            5 | 7 => output.number(&family, &point)?,
            9 => output.classic(&family, &point)?,
            10 => output.native(&family, &point)?,
            _ => output.summary(&family, &point)?,
        }
    }
    Ok(())
}
