mod bytea;
mod error;
mod uuid;

pub(crate) use uuid::{format_uuid, parse_uuid};

/// What text forms depend on beside the value: the session's zone and clock.
#[derive(Clone, Copy, Debug)]
pub struct TextContext {
    /// The zone in which timestamps are read and shown.
    pub timezone: chrono_tz::Tz,
    /// The time that `now` means, in microseconds since 1970 UTC; that of the transaction's start.
    pub now_micros: i64,
}

impl Default for TextContext {
    fn default() -> Self {
        Self { timezone: chrono_tz::UTC, now_micros: 0 }
    }
}
