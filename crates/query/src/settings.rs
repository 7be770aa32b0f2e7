//! Session settings: `SET`, `SHOW`, `current_setting`.
//!
//! A setting outside of this table is an error, except one with a dot in its name (a program's
//! own). `SET LOCAL` and `SET` inside a transaction that rolls back are undone with it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use luma_model::{
    Error, ErrorKind, IntervalStyle, Result, Style, TextContext, Zone, find_time_zone, offset_text,
    posix_time_zone,
};

/// What a setting accepts.
enum Kind {
    Any,
    Bool,
    Milliseconds,
    OneOf(&'static [&'static str]),
    Encoding,
    Integer(i64, i64),
    TimeZone,
    DateStyle,
    IntervalStyle,
    /// Can't be changed.
    Fixed,
}

struct Definition {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Whether clients are told of changes (ParameterStatus).
    reported: bool,
    description: &'static str,
}

const fn setting(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    reported: bool,
    description: &'static str,
) -> Definition {
    Definition { name, default, kind, reported, description }
}

const ISOLATION: &[&str] = &["read uncommitted", "read committed", "repeatable read", "serializable"];

/// Sorted by name in lower case.
static SETTINGS: &[Definition] = &[
    setting("application_name", "", Kind::Any, true, "Name the client gives itself."),
    setting("bytea_output", "hex", Kind::OneOf(&["hex"]), false, "Text form of bytea."),
    setting("client_encoding", "UTF8", Kind::Encoding, true, "Encoding of the client."),
    setting("client_min_messages", "notice", Kind::Any, false, "Least grave message that is sent."),
    setting(
        "DateStyle",
        "ISO, MDY",
        Kind::DateStyle,
        true,
        "Text form of dates, and the order of their parts.",
    ),
    setting(
        "default_transaction_isolation",
        "read committed",
        Kind::OneOf(ISOLATION),
        false,
        "Isolation of new transactions.",
    ),
    setting(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        true,
        "Whether new transactions refuse writes.",
    ),
    setting(
        "extra_float_digits",
        "1",
        Kind::Integer(-15, 3),
        false,
        "Floats are always given in their shortest exact form.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Milliseconds,
        false,
        "Ends sessions that idle in a transaction; 0 is never.",
    ),
    setting("idle_session_timeout", "0", Kind::Milliseconds, false, "Ends sessions that idle; 0 is never."),
    setting("in_hot_standby", "off", Kind::Fixed, true, "Whether the server only replays."),
    setting("integer_datetimes", "on", Kind::Fixed, true, "Timestamps are integers."),
    setting("IntervalStyle", "postgres", Kind::IntervalStyle, true, "Text form of intervals."),
    setting("is_superuser", "on", Kind::Fixed, true, "Whether the user may do everything."),
    setting("lc_collate", "C", Kind::Fixed, false, "Order of text."),
    setting("lc_ctype", "C.UTF-8", Kind::Fixed, false, "Classes of characters."),
    setting("lc_messages", "C", Kind::Any, false, "Language of messages."),
    setting("lc_monetary", "C", Kind::Any, false, "Form of money."),
    setting("lc_numeric", "C", Kind::Any, false, "Form of numbers."),
    setting("lc_time", "C", Kind::Any, false, "Form of dates."),
    setting("lock_timeout", "0", Kind::Milliseconds, false, "Longest wait for a lock; 0 is forever."),
    setting("max_identifier_length", "63", Kind::Fixed, false, "Bytes of a name."),
    setting("max_index_keys", "32", Kind::Fixed, false, "Columns of an index."),
    setting("row_security", "on", Kind::Bool, false, "Accepted for pg_dump; there are no row policies yet."),
    setting("search_path", "\"$user\", public", Kind::Any, false, "Schemas searched for unqualified names."),
    setting("server_encoding", "UTF8", Kind::Fixed, true, "Encoding of the database."),
    setting(
        "server_version",
        "15.0 (LumaDB 0.1.0)",
        Kind::Fixed,
        true,
        "PostgreSQL version whose behaviour is followed.",
    ),
    setting("server_version_num", "150000", Kind::Fixed, false, "The same as a number."),
    setting("session_authorization", "lumadb", Kind::Fixed, true, "The session's user."),
    setting(
        "standard_conforming_strings",
        "on",
        Kind::OneOf(&["on"]),
        true,
        "Backslashes are plain in '...'.",
    ),
    setting("statement_timeout", "0", Kind::Milliseconds, false, "Longest run of a statement; 0 is forever."),
    setting(
        "synchronous_commit",
        "on",
        Kind::OneOf(&["on", "off", "local", "remote_write", "remote_apply"]),
        false,
        "Whether a commit waits until it is durable.",
    ),
    setting("TimeZone", "UTC", Kind::TimeZone, true, "Zone of timestamps with time zone in text."),
    setting(
        "transaction_isolation",
        "read committed",
        Kind::OneOf(ISOLATION),
        false,
        "Isolation of this transaction.",
    ),
    setting("transaction_read_only", "off", Kind::Bool, false, "Whether this transaction refuses writes."),
    setting("work_mem", "4MB", Kind::Any, false, "Accepted; memory is bounded by [memory] statement_memory."),
];

/// Settings of PostgreSQL that clients set or read, about things that are otherwise here, with its
/// defaults. They keep what they are given and change nothing.
static ACCEPTED: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let all = [
        ("array_nulls", "on"),
        ("backslash_quote", "safe_encoding"),
        ("block_size", "8192"),
        ("check_function_bodies", "on"),
        ("constraint_exclusion", "partition"),
        ("default_table_access_method", "heap"),
        ("default_tablespace", ""),
        ("default_transaction_deferrable", "off"),
        ("effective_cache_size", "4GB"),
        ("enable_bitmapscan", "on"),
        ("enable_hashagg", "on"),
        ("enable_hashjoin", "on"),
        ("enable_indexonlyscan", "on"),
        ("enable_indexscan", "on"),
        ("enable_material", "on"),
        ("enable_mergejoin", "on"),
        ("enable_nestloop", "on"),
        ("enable_seqscan", "on"),
        ("enable_sort", "on"),
        ("escape_string_warning", "on"),
        ("geqo", "on"),
        ("jit", "off"),
        ("log_min_duration_statement", "-1"),
        ("log_statement", "none"),
        ("maintenance_work_mem", "64MB"),
        ("max_parallel_workers_per_gather", "2"),
        ("password_encryption", "scram-sha-256"),
        ("quote_all_identifiers", "off"),
        ("random_page_cost", "4"),
        ("seq_page_cost", "1"),
        ("synchronize_seqscans", "on"),
        ("tcp_keepalives_count", "0"),
        ("tcp_keepalives_idle", "0"),
        ("tcp_keepalives_interval", "0"),
        ("temp_buffers", "8MB"),
        ("temp_tablespaces", ""),
        ("transaction_deferrable", "off"),
        ("vacuum_cost_delay", "0"),
        ("xmloption", "content"),
    ];
    let kept =
        |(name, default)| setting(name, default, Kind::Any, false, "Accepted for clients; without effect.");
    all.into_iter().map(kept).collect()
});

fn definition(name: &str) -> Option<&'static Definition> {
    SETTINGS.iter().chain(ACCEPTED.iter()).find(|setting| setting.name.eq_ignore_ascii_case(name))
}

/// The settings of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What differs from the defaults, by lower-case name.
    changed: BTreeMap<String, String>,
    /// What RESET goes back to, where it differs from the defaults.
    initial: BTreeMap<String, String>,
    time_zone: Zone,
    style: Style,
    lock_timeout: Option<Duration>,
    statement_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    idle_transaction_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            changed: BTreeMap::new(),
            initial: BTreeMap::new(),
            time_zone: Zone::UTC,
            style: Style::default(),
            lock_timeout: None,
            statement_timeout: None,
            idle_timeout: None,
            idle_transaction_timeout: None,
        }
    }
}

impl Settings {
    /// Settings as a connection starts with them.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn for_session(user: &str, application_name: &str, parameters: &[(String, String)]) -> Result<Self> {
        let mut settings = Self::default();
        settings.changed.insert("session_authorization".into(), user.into());
        settings.changed.insert("application_name".into(), application_name.into());
        for (name, value) in parameters {
            settings.set(name, value)?;
        }
        settings.initial = settings.changed.clone();
        Ok(settings)
    }

    /// Sets a setting; the answer is its name as it is spelt, if clients are to be told.
    ///
    /// # Errors
    /// 42704 when there is no such setting, 22023 when it does not accept the value, 55P02 when it
    /// can't be changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<Option<&'static str>> {
        let Some(definition) = definition(name) else {
            if name.contains('.') {
                self.changed.insert(name.to_ascii_lowercase(), value.to_owned());
                return Ok(None);
            }
            return Err(unknown(name));
        };
        let value = check(definition, value, self.style)?;
        self.changed.insert(definition.name.to_ascii_lowercase(), value);
        self.refresh();
        Ok(definition.reported.then_some(definition.name))
    }

    /// Goes back to what the session started with.
    pub fn reset(&mut self, name: &str) -> Result<Option<&'static str>> {
        let lower = name.to_ascii_lowercase();
        let Some(definition) = definition(name) else {
            // One that was there once is empty from then on.
            if let Some(value) = self.changed.get_mut(&lower) {
                value.clear();
            }
            return if name.contains('.') { Ok(None) } else { Err(unknown(name)) };
        };
        match self.initial.get(&lower) {
            Some(value) => self.changed.insert(lower, value.clone()),
            None => self.changed.remove(&lower),
        };
        self.refresh();
        Ok(definition.reported.then_some(definition.name))
    }

    /// `RESET ALL`.
    pub fn reset_all(&mut self) {
        self.changed = self.initial.clone();
        self.refresh();
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        if let Some(value) = self.changed.get(&name.to_ascii_lowercase()) {
            return Some(value);
        }
        definition(name).map(|definition| definition.default)
    }

    /// As `get`, with the error `SHOW` gives.
    pub fn show<'s>(&'s self, name: &'s str) -> Result<(&'s str, &'s str)> {
        let value = self.get(name).ok_or_else(|| unknown(name))?;
        Ok((definition(name).map_or(name, |definition| definition.name), value))
    }

    /// All settings: name, value, description.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        let mut all: Vec<_> = SETTINGS.iter().chain(ACCEPTED.iter()).collect();
        all.sort_by_key(|setting| setting.name.to_ascii_lowercase());
        all.into_iter().map(|setting| {
            (setting.name, self.get(setting.name).unwrap_or(setting.default), setting.description)
        })
    }

    /// What clients are told at the start.
    pub fn reported(&self) -> Vec<(String, String)> {
        SETTINGS
            .iter()
            .filter(|setting| setting.reported)
            .map(|setting| (setting.name.into(), self.get(setting.name).unwrap_or_default().into()))
            .collect()
    }

    /// Whether the setting is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }

    /// Zone and clock for text forms.
    pub fn text_context(&self, now_micros: i64) -> TextContext {
        TextContext { timezone: self.time_zone, style: self.style, now_micros, objects: None }
    }

    /// Longest wait for a lock.
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.lock_timeout
    }

    /// Longest silence of a client outside of a transaction, and in one.
    pub fn idle_timeouts(&self) -> (Option<Duration>, Option<Duration>) {
        (self.idle_timeout, self.idle_transaction_timeout)
    }

    /// Longest run of a statement.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }

    /// Schemas searched for unqualified names, in order.
    pub fn search_path(&self) -> Vec<String> {
        let user = self.get("session_authorization").unwrap_or_default();
        self.get("search_path")
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .map(|part| match part.strip_prefix('"').and_then(|part| part.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\"\"", "\""),
                None => part.to_lowercase(),
            })
            .map(|part| if part == "$user" { user.to_owned() } else { part })
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// Derives the parsed forms from the texts.
    fn refresh(&mut self) {
        self.time_zone =
            parse_time_zone(self.get("timezone").unwrap_or("UTC")).map_or(Zone::UTC, |(_, zone)| zone);
        let dates =
            Style::default().with_dates(self.get("datestyle").unwrap_or_default()).unwrap_or_default();
        let interval = self.get("intervalstyle").and_then(IntervalStyle::named).unwrap_or_default();
        self.style = Style { interval, ..dates };
        let timeout = |name: &str| match self.get(name).and_then(|text| milliseconds(text).ok()) {
            None | Some(0) => None,
            Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
        };
        let idle = (timeout("idle_session_timeout"), timeout("idle_in_transaction_session_timeout"));
        (self.lock_timeout, self.statement_timeout) = (timeout("lock_timeout"), timeout("statement_timeout"));
        (self.idle_timeout, self.idle_transaction_timeout) = idle;
    }
}

/// The value as it is kept and shown; `style` is what a part of `datestyle` changes.
fn check(definition: &Definition, value: &str, style: Style) -> Result<String> {
    let lower = value.to_ascii_lowercase();
    let invalid = |hint: String| {
        let message = format!("invalid value for parameter \"{}\": \"{value}\"", definition.name);
        Err(Error::new(ErrorKind::InvalidParameterValue, message).hint(hint))
    };
    match &definition.kind {
        Kind::Any => Ok(value.to_owned()),
        Kind::Bool => match lower.as_str() {
            "on" | "true" | "yes" | "1" | "t" => Ok("on".into()),
            "off" | "false" | "no" | "0" | "f" => Ok("off".into()),
            _ => invalid("Available values: on, off.".into()),
        },
        Kind::Milliseconds => match milliseconds(&lower) {
            Ok(_) => Ok(lower),
            Err(()) => invalid("Give milliseconds, or a number with us, ms, s, min, h or d.".into()),
        },
        // As PostgreSQL does, only letters and digits count: `'utf-8'` and `UTF8` are one.
        Kind::Encoding => match lower.replace(|letter: char| !letter.is_ascii_alphanumeric(), "").as_str() {
            "utf8" | "unicode" => Ok("UTF8".into()),
            _ => invalid("Available values: UTF8.".into()),
        },
        Kind::OneOf(allowed) if allowed.contains(&lower.as_str()) => Ok(lower),
        Kind::OneOf(allowed) => invalid(format!("Available values: {}.", allowed.join(", "))),
        Kind::Integer(min, max) => match lower.parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(lower),
            _ => invalid(format!("Give a number from {min} to {max}.")),
        },
        Kind::TimeZone => match parse_time_zone(value) {
            Some((name, _)) => Ok(name),
            None => invalid("Give a zone's name, as in Europe/Berlin, or hours from Greenwich.".into()),
        },
        Kind::DateStyle => match style.with_dates(value) {
            Some(style) => Ok(style.date_setting()),
            None => invalid("Give ISO, Postgres, SQL or German, and MDY, DMY or YMD, each once.".into()),
        },
        Kind::IntervalStyle if IntervalStyle::named(value).is_some() => Ok(lower),
        Kind::IntervalStyle => {
            let names: Vec<&str> = IntervalStyle::NAMES.iter().map(|(name, _)| *name).collect();
            invalid(format!("Available values: {}.", names.join(", ")))
        }
        Kind::Fixed if definition.default.eq_ignore_ascii_case(value) => Ok(definition.default.into()),
        Kind::Fixed => Err(Error::new(
            ErrorKind::CannotChangeParameter,
            format!("parameter \"{}\" cannot be changed", definition.name),
        )),
    }
}

/// A zone as it is shown, and what it is: by its name, by hours east of Greenwich, or in POSIX form, which counts west.
fn parse_time_zone(text: &str) -> Option<(String, Zone)> {
    if let Ok(hours) = text.parse::<f64>()
        && !text.contains(':')
    {
        return zone_east(hours).ok().map(|name| (name, Zone::Fixed((hours * 3600.0) as i32)));
    }
    match text.to_ascii_lowercase().as_str() {
        "default" | "local" | "z" | "utc" => return Some(("UTC".into(), Zone::UTC)),
        _ => {}
    }
    match find_time_zone(text) {
        Some(zone) => Some((zone.name().to_owned(), zone.into())),
        None => posix_time_zone(text).map(|zone| (text.to_owned(), zone)),
    }
}

/// The name of the zone that is so many hours east of Greenwich, as `SET TIME ZONE 2` has them.
///
/// # Errors
/// 22023 when it is more than POSIX knows.
pub(crate) fn zone_east(hours: f64) -> Result<String> {
    let seconds = hours * 3600.0;
    if seconds.fract() != 0.0 || hours.abs() > 167.0 {
        let message = format!("a time zone {hours} hours from Greenwich is not supported");
        let hint = "Give hours, with a fraction of whole seconds, or a zone's name.";
        return Err(Error::new(ErrorKind::InvalidParameterValue, message).hint(hint));
    }
    let seconds = seconds as i32;
    Ok(format!("<{}>{}", offset_text(seconds), offset_text(-seconds)))
}

/// Milliseconds of `5000`, `5s`, `2 min`.
fn milliseconds(text: &str) -> Result<u64, ()> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| ())?;
    let factor = match text[digits..].trim() {
        "" | "ms" => 1,
        "us" => return Ok(number / 1000),
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(()),
    };
    number.checked_mul(factor).filter(|value| i32::try_from(*value).is_ok()).ok_or(())
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\""))
}
