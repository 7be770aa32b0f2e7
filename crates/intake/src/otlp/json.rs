//! OpenTelemetry's JSON as Protocol Buffers, written while it is read: no tree of it is ever in memory.
//!
//! As the protocol has it: numbers may be texts, identifiers are hexadecimal, and names that nobody knows are
//! passed over.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::schema::{Field, Kind, Message};
use crate::wire::Writer;

/// A message out of its JSON form.
pub(super) fn message(text: &[u8], message: &'static Message) -> Result<Vec<u8>, serde_json::Error> {
    let mut writer = Writer::default();
    let mut input = serde_json::Deserializer::from_slice(text);
    OfMessage { message, writer: &mut writer }.deserialize(&mut input)?;
    input.end()?;
    Ok(writer.0)
}

struct OfMessage<'w> {
    message: &'static Message,
    writer: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for OfMessage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfMessage<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            match self.message.field(&name) {
                Some(field) => map.next_value_seed(OfField { field, writer: self.writer, is_item: false })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of a field, or an item of one that is repeated.
struct OfField<'w> {
    field: &'static Field,
    writer: &'w mut Writer,
    is_item: bool,
}

impl<'de> DeserializeSeed<'de> for OfField<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl OfField<'_> {
    fn is_number(&self) -> bool {
        matches!(self.field.kind, Kind::Integer | Kind::Zigzag | Kind::Fixed | Kind::Double)
    }

    /// Writes what is a number, not a text.
    fn number<E: Error>(self, digits: &str) -> Result<(), E> {
        if self.is_number() {
            return self.write(digits).map_err(E::custom);
        }
        Err(E::invalid_type(de::Unexpected::Other("number"), &self))
    }

    /// Writes a number or a text.
    fn write(self, text: &str) -> Result<(), String> {
        let Field { name, number, kind, .. } = *self.field;
        let wrong = |what: &str| format!("{name} is {text:?}, which is {what}");
        match kind {
            Kind::Text => self.writer.bytes(number, text.as_bytes()),
            Kind::Integer => {
                let value = whole(text).ok_or_else(|| wrong("no whole number"))?;
                self.writer.present_unsigned(number, value);
            }
            Kind::Zigzag => {
                let value: i64 = text.parse().map_err(|_| wrong("no whole number"))?;
                self.writer.present_unsigned(number, (value << 1 ^ value >> 63) as u64);
            }
            Kind::Fixed => {
                self.writer.present_fixed64(number, whole(text).ok_or_else(|| wrong("no whole number"))?);
            }
            Kind::Double => {
                // Rust reads NaN, Infinity and -Infinity, too.
                let value = text.parse().map_err(|_| wrong("no number"))?;
                self.writer.present_double(number, value);
            }
            Kind::Bytes => {
                let bytes = STANDARD.decode(text).map_err(|_| wrong("no Base64"))?;
                self.writer.bytes(number, &bytes);
            }
            Kind::Identifier => {
                let bytes = hexadecimal(text).ok_or_else(|| wrong("no even number of hexadecimal digits"))?;
                self.writer.bytes(number, &bytes);
            }
            Kind::Bool | Kind::Message(_) => return Err(wrong("a text")),
        }
        Ok(())
    }
}

/// The 64 bits of a whole number, signed or not.
fn whole(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| text.parse::<i64>().ok().map(|value| value as u64))
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    if odd.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

impl<'de> Visitor<'de> for OfField<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the value of {}", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(E::invalid_type(de::Unexpected::Bool(value), &self));
        }
        self.writer.present_unsigned(self.field.number, u64::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(&value.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.write(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let field = self.field;
        if self.is_item || !field.repeated {
            return Err(A::Error::invalid_type(de::Unexpected::Seq, &self));
        }
        loop {
            let item = OfField { field, writer: &mut *self.writer, is_item: true };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(message) => {
                let mut inner = Writer::default();
                OfMessage { message, writer: &mut inner }.visit_map(map)?;
                self.writer.bytes(self.field.number, &inner.0);
                Ok(())
            }
            _ if !self.is_number() => Err(A::Error::invalid_type(de::Unexpected::Map, &self)),
            // So this parser gives numbers whose digits it keeps.
            _ => {
                let number = serde_json::Number::deserialize(MapAccessDeserializer::new(map))?;
                self.number(&number.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::schema::REQUEST;
    use super::*;
    use crate::wire::Reader;

    /// The path of fields to a value, and its bytes or bits.
    fn at(bytes: &[u8], path: &[u32]) -> String {
        let mut reader = Reader::new(bytes);
        let mut found = String::new();
        while let Some(field) = reader.next().unwrap() {
            match path {
                [last] if field.number == *last => found += &format!("{:?} ", field.value),
                [first, rest @ ..] if field.number == *first && !rest.is_empty() => {
                    found += &at(field.bytes().unwrap(), rest);
                }
                _ => {}
            }
        }
        found
    }

    fn of(text: &str) -> Result<Vec<u8>, String> {
        message(text.as_bytes(), &REQUEST).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_may_be_texts_and_unknown_names_are_passed_over() {
        let text = r#"{"resourceMetrics": [{"new": {"x": [1, {}]}, "scope_metrics": [{"metrics": [{"sum": {
            "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
                {"timeUnixNano": "18446744073709551615", "asInt": "-7", "asDouble": null},
                {"timeUnixNano": 5, "asDouble": 0, "exemplars": [{"traceId": "abCD", "asDouble": "NaN"}]}]}}]}]}]}"#;
        let bytes = of(text).unwrap();
        let points = |field: u32| at(&bytes, &[1, 2, 2, 7, 1, field]);
        assert_eq!(points(3), "Fixed64(18446744073709551615) Fixed64(5) ");
        assert_eq!(points(6), format!("Fixed64({}) ", -7i64 as u64));
        assert_eq!(points(4), "Fixed64(0) ", "a zero that was sent is there");
        assert_eq!(at(&bytes, &[1, 2, 2, 7, 1, 5, 5]), "Bytes([171, 205]) ");
        assert_eq!(at(&bytes, &[1, 2, 2, 7, 2]), "Varint(2) ");
    }

    #[test]
    fn what_is_no_such_message_is_refused_with_the_place() {
        for (text, expected) in [
            ("", "EOF"),
            ("[]", "expected an object"),
            (r#"{"resourceMetrics": 5}"#, "resourceMetrics"),
            (r#"{"resourceMetrics": [[]]}"#, "resourceMetrics"),
            (r#"{"resourceMetrics": {"schemaUrl": {}}}"#, "schemaUrl"),
            (r#"{"resourceMetrics": {"schemaUrl": true}}"#, "schemaUrl"),
            (
                r#"{"resourceMetrics": {"scopeMetrics": {"metrics": {"gauge": {"dataPoints": {"flags": "x"}}}}}}"#,
                "flags",
            ),
            (r#"{"resourceMetrics": {"schemaUrl": 7}}"#, "schemaUrl"),
            ("{} x", "trailing"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!(
            r#"{{"resourceMetrics":{{"resource":{{"attributes":{{"value":{}{}}}}}}}}}"#,
            r#"{"arrayValue":{"values":"#.repeat(500),
            "}}".repeat(500)
        );
        assert!(of(&deep).unwrap_err().contains("recursion"));
    }
}
