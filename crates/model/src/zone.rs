//! Time zones: names, abbreviations, and the offset at a moment.
//!
//! Zone rules come from the IANA database through `chrono-tz`, which ends its list of transitions
//! around 2100. Later years are mapped onto earlier ones with the same calendar, so that summer time
//! goes on for ever, as in PostgreSQL. Abbreviations are PostgreSQL's default set.

use std::fmt::Write as _;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, Tz};

use crate::calendar::{MICROS_PER_SECOND, civil, days_of};
use crate::interval::MICROS_PER_DAY;

/// The last year whose transitions are taken from the database.
const LAST_YEAR: i64 = 2090;
/// Years after which the Gregorian calendar repeats itself, weekdays included, within a century.
const CALENDAR_YEARS: i64 = 28;

/// Hours and minutes at most that a zone in POSIX form may be from Greenwich.
const POSIX_HOURS_MAX: i32 = 167;

/// A zone: one with rules, or one that is always as many seconds east of Greenwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// A zone of the IANA database.
    Named(Tz),
    /// Seconds east of Greenwich, all the year.
    Fixed(i32),
}

impl Zone {
    /// Greenwich without summer time.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// How the zone calls its time at a moment, in microseconds since 1970 UTC: an abbreviation, or its offset.
    pub fn abbreviation_at(self, micros: i64) -> String {
        match self {
            Self::Fixed(seconds) => offset_text(seconds),
            Self::Named(zone) => {
                let seconds = with_known_transitions(micros.div_euclid(MICROS_PER_SECOND));
                let moment = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
                moment.with_timezone(&zone).format("%Z").to_string()
            }
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl From<Tz> for Zone {
    fn from(zone: Tz) -> Self {
        Self::Named(zone)
    }
}

/// An offset as ISO 8601 has it: `+02`, `-03:30`, `+00:19:32`.
pub fn offset_text(seconds: i32) -> String {
    let (sign, rest) =
        if seconds < 0 { ('-', seconds.unsigned_abs()) } else { ('+', seconds.unsigned_abs()) };
    let mut text = format!("{sign}{:02}", rest / 3600);
    for part in [rest / 60 % 60, rest % 60] {
        if part != 0 || (rest % 60 != 0 && text.len() == 3) {
            let _ = write!(text, ":{part:02}");
        }
    }
    text
}

/// The zone with that name, whatever its case.
pub fn find(name: &str) -> Option<Tz> {
    if let Ok(zone) = name.parse::<Tz>() {
        return Some(zone);
    }
    chrono_tz::TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(name))
}

/// A zone in POSIX form without summer time: a name that means nothing, also in `<…>` or left out where a sign follows, then how
/// far *west* of Greenwich it is (`UTC+3`, `<+0530>-5:30`, `-07:30`).
pub fn posix(text: &str) -> Option<Zone> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map(|(_, rest)| rest)?,
        None => {
            let letters = text.find(|c: char| !c.is_ascii_alphabetic())?;
            let named = letters >= 3 || (letters == 0 && text.starts_with(['+', '-']));
            named.then(|| &text[letters..])?
        }
    };
    let (sign, digits) = match rest.as_bytes().first()? {
        b'-' => (1, &rest[1..]),
        b'+' => (-1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut seconds = 0;
    let parts: Vec<&str> = digits.split(':').collect();
    for (part, (unit, most)) in parts.iter().zip([(3600, POSIX_HOURS_MAX), (60, 59), (1, 59)]) {
        let value: i32 = part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())??;
        if value > most {
            return None;
        }
        seconds += value * unit;
    }
    (parts.len() <= 3).then_some(Zone::Fixed(sign * seconds))
}

/// Seconds east of Greenwich that an abbreviation (in lower case) stands for.
pub fn abbreviation(name: &str) -> Option<i32> {
    let place = ABBREVIATIONS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    Some(ABBREVIATIONS[place].1)
}

/// Seconds east of Greenwich in a zone at a moment, in microseconds since 1970 UTC.
pub fn offset_at(zone: Zone, micros: i64) -> i32 {
    let zone = match zone {
        Zone::UTC => return 0,
        Zone::Fixed(seconds) => return seconds,
        Zone::Named(zone) => zone,
    };
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let moment = DateTime::from_timestamp(with_known_transitions(seconds), 0)
        .unwrap_or(DateTime::<chrono::Utc>::MIN_UTC);
    zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc()
}

/// A moment with the same place in a year of the same calendar, not after the last known year.
fn with_known_transitions(seconds: i64) -> i64 {
    const SECONDS_PER_DAY: i64 = 86_400;
    let day = seconds.div_euclid(SECONDS_PER_DAY);
    let (year, month, day_of_month) = civil(day);
    if year <= LAST_YEAR {
        return seconds;
    }
    let starts_like = |candidate: i64| {
        let leap = |year: i64| days_of(year + 1, 1, 1) - days_of(year, 1, 1);
        let weekday = |year: i64| days_of(year, 1, 1).rem_euclid(7);
        leap(candidate) == leap(year) && weekday(candidate) == weekday(year)
    };
    let same =
        (LAST_YEAR - CALENDAR_YEARS + 1..=LAST_YEAR).find(|year| starts_like(*year)).unwrap_or(LAST_YEAR);
    days_of(same, month, day_of_month) * SECONDS_PER_DAY + seconds.rem_euclid(SECONDS_PER_DAY)
}

/// Seconds east of Greenwich in a zone when its clocks show this time, in microseconds since 1970.
///
/// A time that the clocks skip is read with the offset before the change, one that they show twice
/// with the offset after it.
pub fn offset_of_local(zone: Zone, local_micros: i64) -> i32 {
    match zone {
        Zone::UTC => return 0,
        Zone::Fixed(seconds) => return seconds,
        Zone::Named(_) => {}
    }
    let before = offset_at(zone, local_micros.saturating_sub(MICROS_PER_DAY));
    let after = offset_at(zone, local_micros.saturating_add(MICROS_PER_DAY));
    if before == after {
        return before;
    }
    let holds = |offset: i32| {
        let moment = local_micros.saturating_sub(i64::from(offset) * MICROS_PER_SECOND);
        offset_at(zone, moment) == offset
    };
    match (holds(before), holds(after)) {
        (false, true) | (true, true) => after,
        (true, false) | (false, false) => before,
    }
}

/// Abbreviations in alphabetical order, with seconds east of Greenwich.
#[rustfmt::skip]
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("acdt", 37800), ("acsst", 37800), ("acst", 34200), ("act", -18000),
    ("acwst", 31500), ("adt", -10800), ("aedt", 39600), ("aesst", 39600),
    ("aest", 36000), ("aft", 16200), ("akdt", -28800), ("akst", -32400),
    ("almst", 25200), ("almt", 21600), ("amst", 14400), ("amt", -14400),
    ("anast", 43200), ("anat", 43200), ("arst", -10800), ("art", -10800),
    ("ast", -14400), ("awsst", 32400), ("awst", 28800), ("azost", 0),
    ("azot", -3600), ("azst", 14400), ("azt", 14400), ("bdst", 7200),
    ("bdt", 21600), ("bnt", 28800), ("bort", 28800), ("bot", -14400),
    ("bra", -10800), ("brst", -7200), ("brt", -10800), ("bst", 3600),
    ("btt", 21600), ("cadt", 37800), ("cast", 34200), ("cct", 28800),
    ("cdt", -18000), ("cest", 7200), ("cet", 3600), ("cetdst", 7200),
    ("chadt", 49500), ("chast", 45900), ("chut", 36000), ("ckt", -36000),
    ("clst", -10800), ("clt", -10800), ("cot", -18000), ("cst", -21600),
    ("cxt", 25200), ("davt", 25200), ("ddut", 36000), ("easst", -18000),
    ("east", -18000), ("eat", 10800), ("edt", -14400), ("eest", 10800),
    ("eet", 7200), ("eetdst", 10800), ("egst", 0), ("egt", -3600),
    ("est", -18000), ("fet", 10800), ("fjst", 46800), ("fjt", 43200),
    ("fkst", -10800), ("fkt", -10800), ("fnst", -3600), ("fnt", -7200),
    ("galt", -21600), ("gamt", -32400), ("gest", 14400), ("get", 14400),
    ("gft", -10800), ("gilt", 43200), ("gmt", 0), ("gyt", -14400),
    ("hkt", 28800), ("hst", -36000), ("ict", 25200), ("idt", 10800),
    ("iot", 21600), ("irkst", 28800), ("irkt", 28800), ("irt", 12600),
    ("ist", 7200), ("jayt", 32400), ("jst", 32400), ("kdt", 36000),
    ("kgst", 21600), ("kgt", 21600), ("kost", 39600), ("krast", 25200),
    ("krat", 25200), ("kst", 32400), ("lhdt", 39600), ("lhst", 37800),
    ("ligt", 36000), ("lint", 50400), ("lkt", 19800), ("magst", 39600),
    ("magt", 39600), ("mart", -34200), ("mawt", 18000), ("mdt", -21600),
    ("mest", 7200), ("mesz", 7200), ("met", 3600), ("metdst", 7200),
    ("mez", 3600), ("mht", 43200), ("mmt", 23400), ("mpt", 36000),
    ("msd", 14400), ("msk", 10800), ("mst", -25200), ("must", 18000),
    ("mut", 14400), ("mvt", 18000), ("myt", 28800), ("ndt", -9000),
    ("nft", -12600), ("novst", 25200), ("novt", 25200), ("npt", 20700),
    ("nst", -12600), ("nut", -39600), ("nzdt", 46800), ("nzst", 43200),
    ("nzt", 43200), ("omsst", 21600), ("omst", 21600), ("pdt", -25200),
    ("pet", -18000), ("petst", 43200), ("pett", 43200), ("pgt", 36000),
    ("pht", 28800), ("pkst", 21600), ("pkt", 18000), ("pmdt", -7200),
    ("pmst", -10800), ("pont", 39600), ("pst", -28800), ("pwt", 32400),
    ("pyst", -10800), ("pyt", -10800), ("ret", 14400), ("sadt", 37800),
    ("sast", 7200), ("sct", 14400), ("sgt", 28800), ("taht", -36000),
    ("tft", 18000), ("tjt", 18000), ("tkt", 46800), ("tmt", 18000),
    ("tot", 46800), ("trut", 36000), ("tvt", 43200), ("uct", 0),
    ("ulast", 32400), ("ulat", 28800), ("ut", 0), ("utc", 0),
    ("uyst", -7200), ("uyt", -10800), ("uzst", 21600), ("uzt", 18000),
    ("vet", -14400), ("vlast", 36000), ("vlat", 36000), ("volt", 10800),
    ("vut", 39600), ("wadt", 28800), ("wakt", 43200), ("wast", 25200),
    ("wat", 3600), ("wdt", 32400), ("wet", 0), ("wetdst", 3600),
    ("wft", 43200), ("wgst", -7200), ("wgt", -10800), ("xjt", 21600),
    ("yakst", 32400), ("yakt", 32400), ("yapt", 36000), ("yekst", 21600),
    ("yekt", 18000), ("z", 0), ("zulu", 0),
];

/// The abbreviations of summer time, in alphabetical order.
#[rustfmt::skip]
const SUMMER_TIMES: &[&str] = &[
    "acdt", "acsst", "adt", "aedt", "aesst", "akdt", "almst", "awsst", "azost", "bdst", "brst",
    "bst", "cadt", "cdt", "cest", "cetdst", "chadt", "clst", "clt", "easst", "east", "edt", "eest",
    "eetdst", "egst", "fjst", "fnst", "idt", "kdt", "kgst", "lhdt", "mdt", "mest", "mesz",
    "metdst", "msd", "must", "ndt", "nzdt", "pdt", "pkst", "pmdt", "pyst", "sadt", "ulast", "uyst",
    "uzst", "wadt", "wdt", "wetdst", "wgst", "yekst",
];

/// A name of a zone, or an abbreviation, with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneName {
    /// The name.
    pub name: String,
    /// How the zone calls its time.
    pub abbreviation: String,
    /// Seconds east of Greenwich.
    pub offset: i32,
    /// Whether it is summer time.
    pub summer: bool,
}

/// All zones, as they are at a moment in microseconds since 1970 UTC.
pub fn zones_at(micros: i64) -> impl Iterator<Item = ZoneName> {
    let seconds = with_known_transitions(micros.div_euclid(MICROS_PER_SECOND));
    let moment = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    chrono_tz::TZ_VARIANTS.iter().map(move |zone| {
        let offset = zone.offset_from_utc_datetime(&moment.naive_utc());
        ZoneName {
            name: zone.name().to_owned(),
            abbreviation: moment.with_timezone(zone).format("%Z").to_string(),
            offset: offset.fix().local_minus_utc(),
            summer: !offset.dst_offset().is_zero(),
        }
    })
}

/// All abbreviations, in capitals.
pub fn abbreviations() -> impl Iterator<Item = ZoneName> {
    ABBREVIATIONS.iter().map(|(name, offset)| ZoneName {
        name: name.to_uppercase(),
        abbreviation: name.to_uppercase(),
        offset: *offset,
        summer: SUMMER_TIMES.binary_search(name).is_ok(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn local(zone: Tz, year: i64, month: u32, day: u32, hour: i64, minute: i64) -> i32 {
        let seconds = days_of(year, month, day) * 86_400 + hour * 3600 + minute * 60;
        offset_of_local(zone.into(), seconds * MICROS_PER_SECOND)
    }

    #[test]
    fn abbreviations_are_sorted() {
        assert!(ABBREVIATIONS.is_sorted_by(|one, other| one.0 < other.0));
        assert!(SUMMER_TIMES.is_sorted() && SUMMER_TIMES.iter().all(|name| abbreviation(name).is_some()));
        assert_eq!(abbreviation("pst"), Some(-8 * 3600));
        assert_eq!(abbreviation("z"), Some(0));
        assert_eq!(abbreviation("nowhere"), None);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(find("america/new_york"), Some(Tz::America__New_York));
        assert_eq!(find("utc"), Some(Tz::UTC));
        assert_eq!(find("Mars/Olympus"), None);
    }

    #[test]
    fn zones_by_distance_count_west_of_greenwich() {
        let seconds = |text: &str| match posix(text) {
            Some(Zone::Fixed(seconds)) => Some(seconds),
            _ => None,
        };
        assert_eq!(seconds("+05:30"), Some(-19_800));
        assert_eq!(seconds("<+0530>-5:30"), Some(19_800));
        assert_eq!(seconds("UTC+3"), Some(-10_800));
        assert_eq!(seconds("ABC3"), Some(-10_800));
        assert_eq!((seconds("abc"), seconds("5"), seconds("EST5EDT"), seconds("")), (None, None, None, None));
        assert_eq!(offset_text(19_800), "+05:30");
        assert_eq!((offset_text(-10_800), offset_text(1172)), ("-03".into(), "+00:19:32".into()));
    }

    #[test]
    fn a_skipped_time_is_read_before_and_a_repeated_one_after_the_change() {
        let zone = Tz::America__New_York;
        assert_eq!(local(zone, 2024, 3, 10, 2, 30), -5 * 3600);
        assert_eq!(local(zone, 2024, 3, 10, 3, 0), -4 * 3600);
        assert_eq!(local(zone, 2024, 3, 10, 1, 59), -5 * 3600);
        assert_eq!(local(zone, 2024, 11, 3, 1, 30), -5 * 3600);
        assert_eq!(local(zone, 2024, 11, 3, 0, 59), -4 * 3600);
        assert_eq!(local(zone, 2024, 7, 1, 0, 0), -4 * 3600);
    }

    #[test]
    fn summer_time_goes_on_for_ever() {
        let zone = Tz::Europe__Berlin;
        for year in [2050, 2150, 2500, 9999, 200_000] {
            assert_eq!(local(zone, year, 7, 1, 0, 0), 7200, "{year}");
            assert_eq!(local(zone, year, 1, 1, 0, 0), 3600, "{year}");
        }
    }
}
