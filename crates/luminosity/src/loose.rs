//! A number, a text or a flag, where files of other programs have one or the other.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Loose<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Flag(bool),
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number as f64))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Loose::Flag(flag))
    }

    /// With exact numbers switched on, serde_json hands a number over as a map of one text.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        match map.next_key::<Cow<'de, str>>()? {
            Some(key) if key == "$serde_json::private::Number" => {
                let digits: Cow<'de, str> = map.next_value()?;
                digits.parse().map(Loose::Number).map_err(|_| A::Error::custom("the number can't be read"))
            }
            _ => Err(A::Error::custom("expected a text or a number, found an object")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_numbers_and_flags_are_told_apart() {
        let read = |json| serde_json::from_str::<Loose<'_>>(json);
        assert_eq!(read("0.5").unwrap(), Loose::Number(0.5));
        assert_eq!(read("-3").unwrap(), Loose::Number(-3.0));
        assert_eq!(read("\"a\\u0041\"").unwrap(), Loose::Text("aA".into()));
        assert_eq!(read("true").unwrap(), Loose::Flag(true));
        assert!(read("{\"a\":1}").is_err() && read("[]").is_err() && read("null").is_err());
    }
}
