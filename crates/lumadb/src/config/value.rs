//! The values that settings take, read and checked.

use std::time::Duration;

/// What a setting accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A size such as `64MB`; units are powers of 1024.
    Bytes {
        /// The smallest.
        min: u64,
    },
    /// A size, or a percentage of `memory.memory_limit` such as `25%`.
    Share {
        /// The smallest size.
        min: u64,
    },
    /// A size, or a percentage of the memory that the machine has.
    MachineShare {
        /// The smallest size.
        min: u64,
    },
    /// A whole number.
    Count {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A time such as `10s`.
    Duration,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, or one of a setting's words.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A number, or a size in bytes.
    Count(u64),
    /// A percentage of the memory limit, or of the machine's memory; a checked configuration has the size instead.
    Percent(u64),
    /// A time.
    Duration(Duration),
}

impl Kind {
    /// Reads a value.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let value = match self {
            Self::Text => Some(Value::Text(text.to_owned())),
            Self::Bool => match text {
                "true" | "on" | "yes" | "1" => Some(Value::Bool(true)),
                "false" | "off" | "no" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Bytes { min } => parse_bytes(text).filter(|bytes| *bytes >= min).map(Value::Count),
            Self::Share { min } | Self::MachineShare { min } => match text.strip_suffix('%') {
                Some(percent) => {
                    percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Value::Percent)
                }
                None => parse_bytes(text).filter(|bytes| *bytes >= min).map(Value::Count),
            },
            Self::Count { min, max } => {
                text.parse().ok().filter(|count| (min..=max).contains(count)).map(Value::Count)
            }
            Self::Duration => parse_duration(text).map(Value::Duration),
            Self::OneOf(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        };
        value.ok_or_else(|| self.allowed())
    }

    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Text => "any text".into(),
            Self::Bool => "true or false".into(),
            Self::Bytes { min } => format!("a size such as \"64MB\", at least \"{}\"", format_bytes(min)),
            Self::Share { min } => format!(
                "a size such as \"64MB\", at least \"{}\", or a share of memory.memory_limit such as \"25%\"",
                format_bytes(min)
            ),
            Self::MachineShare { min } => format!(
                "a size such as \"2GB\", at least \"{}\", or a share of the machine's memory such as \"25%\"",
                format_bytes(min)
            ),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Duration => "a time such as \"10s\" or \"250ms\"".into(),
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", words.join(", "))
            }
        }
    }
}

/// Reads `64MB`, `1GiB`, `4096`.
fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Writes a size in its largest whole unit.
pub fn format_bytes(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    let unit = units.iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes}B"), |(shift, name)| format!("{}{name}", bytes >> shift))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "min" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(24 * 3600).map(Duration::from_secs),
        _ => None,
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_written_as_they_are_read() {
        for (text, bytes) in [("4096", 4096), ("64MB", 64 << 20), ("1 GiB", 1 << 30), ("2k", 2048), ("0", 0)]
        {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
            assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }
        for text in ["", "MB", "-1MB", "1.5GB", "1XB", "99999999TB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_that_is_not_allowed_says_what_is() {
        assert_eq!(Kind::OneOf(&["a", "b"]).parse("A").unwrap_err(), "one of \"a\", \"b\"");
        assert_eq!(
            Kind::Count { min: 0, max: 65535 }.parse("70000").unwrap_err(),
            "a whole number from 0 to 65535"
        );
        assert!(Kind::Bytes { min: 1 << 20 }.parse("1KB").unwrap_err().contains("1MB"));
        let share = Kind::Share { min: 1 << 20 };
        assert_eq!(share.parse("25%").unwrap(), Value::Percent(25));
        assert_eq!(share.parse("2MB").unwrap(), Value::Count(2 << 20));
        for text in ["0%", "101%", "1.5%", "%", "1KB"] {
            assert!(share.parse(text).unwrap_err().contains("25%"), "{text}");
        }
        assert_eq!(Kind::Duration.parse("2min").unwrap(), Value::Duration(Duration::from_mins(2)));
        assert!(Kind::Duration.parse("2").is_err());
    }
}
