//! The fields of OpenTelemetry's messages: their names in JSON, numbers and kinds.

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    /// A number of variable length: integers and enumerations.
    Integer,
    /// A signed number of variable length, the sign last.
    Zigzag,
    /// A whole number in eight bytes.
    Fixed,
    Double,
    /// Bytes in Base64.
    Bytes,
    /// Bytes in hexadecimal digits, as identifiers of traces and spans are.
    Identifier,
    Message(&'static Message),
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// The fields of a message.
#[derive(Debug)]
pub(super) struct Message(&'static [Field]);

impl Message {
    /// The field of that name: as JSON has it (`timeUnixNano`), or as the message's definition does
    /// (`time_unix_nano`).
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.0.iter().find(|field| same(field.name, name))
    }
}

fn same(camel: &str, name: &str) -> bool {
    if camel == name {
        return true;
    }
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake == name
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: true }
}

use Kind::{Bool, Bytes, Double, Fixed, Identifier, Integer, Text, Zigzag};

pub(super) static REQUEST: Message = Message(&[many("resourceMetrics", 1, Kind::Message(&RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message = Message(&[
    one("resource", 1, Kind::Message(&RESOURCE)),
    many("scopeMetrics", 2, Kind::Message(&SCOPE_METRICS)),
    one("schemaUrl", 3, Text),
]);

static RESOURCE: Message = Message(&[many("attributes", 1, Kind::Message(&KEY_VALUE))]);

static SCOPE_METRICS: Message = Message(&[
    one("scope", 1, Kind::Message(&SCOPE)),
    many("metrics", 2, Kind::Message(&METRIC)),
    one("schemaUrl", 3, Text),
]);

static SCOPE: Message = Message(&[
    one("name", 1, Text),
    one("version", 2, Text),
    many("attributes", 3, Kind::Message(&KEY_VALUE)),
]);

static KEY_VALUE: Message = Message(&[one("key", 1, Text), one("value", 2, Kind::Message(&ANY_VALUE))]);

static ANY_VALUE: Message = Message(&[
    one("stringValue", 1, Text),
    one("boolValue", 2, Bool),
    one("intValue", 3, Integer),
    one("doubleValue", 4, Double),
    one("arrayValue", 5, Kind::Message(&ARRAY)),
    one("kvlistValue", 6, Kind::Message(&MAP)),
    one("bytesValue", 7, Bytes),
]);

static ARRAY: Message = Message(&[many("values", 1, Kind::Message(&ANY_VALUE))]);
static MAP: Message = Message(&[many("values", 1, Kind::Message(&KEY_VALUE))]);

static METRIC: Message = Message(&[
    one("name", 1, Text),
    one("description", 2, Text),
    one("unit", 3, Text),
    one("gauge", 5, Kind::Message(&NUMBERS)),
    one("sum", 7, Kind::Message(&NUMBERS)),
    one("histogram", 9, Kind::Message(&HISTOGRAMS)),
    one("exponentialHistogram", 10, Kind::Message(&EXPONENTIALS)),
    one("summary", 11, Kind::Message(&SUMMARIES)),
]);

static NUMBERS: Message = Message(&[
    many("dataPoints", 1, Kind::Message(&NUMBER)),
    one("aggregationTemporality", 2, Integer),
    one("isMonotonic", 3, Bool),
]);

static HISTOGRAMS: Message =
    Message(&[many("dataPoints", 1, Kind::Message(&HISTOGRAM)), one("aggregationTemporality", 2, Integer)]);

static EXPONENTIALS: Message =
    Message(&[many("dataPoints", 1, Kind::Message(&EXPONENTIAL)), one("aggregationTemporality", 2, Integer)]);

static SUMMARIES: Message = Message(&[many("dataPoints", 1, Kind::Message(&SUMMARY))]);

static NUMBER: Message = Message(&[
    one("startTimeUnixNano", 2, Fixed),
    one("timeUnixNano", 3, Fixed),
    one("asDouble", 4, Double),
    many("exemplars", 5, Kind::Message(&EXEMPLAR)),
    one("asInt", 6, Fixed),
    many("attributes", 7, Kind::Message(&KEY_VALUE)),
    one("flags", 8, Integer),
]);

static HISTOGRAM: Message = Message(&[
    one("startTimeUnixNano", 2, Fixed),
    one("timeUnixNano", 3, Fixed),
    one("count", 4, Fixed),
    one("sum", 5, Double),
    many("bucketCounts", 6, Fixed),
    many("explicitBounds", 7, Double),
    many("exemplars", 8, Kind::Message(&EXEMPLAR)),
    many("attributes", 9, Kind::Message(&KEY_VALUE)),
    one("flags", 10, Integer),
]);

static EXPONENTIAL: Message = Message(&[
    many("attributes", 1, Kind::Message(&KEY_VALUE)),
    one("startTimeUnixNano", 2, Fixed),
    one("timeUnixNano", 3, Fixed),
    one("count", 4, Fixed),
    one("sum", 5, Double),
    one("scale", 6, Zigzag),
    one("zeroCount", 7, Fixed),
    one("positive", 8, Kind::Message(&BUCKETS)),
    one("negative", 9, Kind::Message(&BUCKETS)),
    one("flags", 10, Integer),
    many("exemplars", 11, Kind::Message(&EXEMPLAR)),
    one("zeroThreshold", 14, Double),
]);

static BUCKETS: Message = Message(&[one("offset", 1, Zigzag), many("bucketCounts", 2, Integer)]);

static SUMMARY: Message = Message(&[
    one("startTimeUnixNano", 2, Fixed),
    one("timeUnixNano", 3, Fixed),
    one("count", 4, Fixed),
    one("sum", 5, Double),
    many("quantileValues", 6, Kind::Message(&QUANTILE)),
    many("attributes", 7, Kind::Message(&KEY_VALUE)),
    one("flags", 8, Integer),
]);

static QUANTILE: Message = Message(&[one("quantile", 1, Double), one("value", 2, Double)]);

static EXEMPLAR: Message = Message(&[
    one("timeUnixNano", 2, Fixed),
    one("asDouble", 3, Double),
    one("spanId", 4, Identifier),
    one("traceId", 5, Identifier),
    one("asInt", 6, Fixed),
    many("filteredAttributes", 7, Kind::Message(&KEY_VALUE)),
]);
