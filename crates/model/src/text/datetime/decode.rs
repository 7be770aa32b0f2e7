//! From fields to the parts of a date and time, with PostgreSQL's rules and heuristics.
//!
//! Where only their order tells day, month and year apart, it is that of `datestyle`.

use super::clock::{fraction_micros, named_zone, offset, time};
use super::token::{Field, Shape};
use super::words::{self, Word};
use crate::calendar::{civil, days_of, days_of_month};
use crate::interval::MICROS_PER_DAY;
use crate::text::DateOrder;
use crate::zone::{self, Zone};

/// Why a text is no date or time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::text) enum Fault {
    /// It is not well formed.
    Format,
    /// A part is outside of its range.
    Range,
    /// Day or month is outside of its range, perhaps because they are exchanged.
    MonthOrDay,
    /// An interval's part is outside of its range.
    Interval,
    /// An interval's parts together are outside of its range.
    IntervalTotal,
    /// A zone's offset is too large.
    Displacement,
    /// There is no zone of that name.
    Zone(String),
}

pub(super) type Outcome<T> = Result<T, Fault>;

const YEAR: u16 = 1;
const MONTH: u16 = 2;
const DAY: u16 = 4;
const DAY_OF_YEAR: u16 = 8;
const TIME: u16 = 16;
const ZONE: u16 = 32;
const DATE: u16 = YEAR | MONTH | DAY;
/// Given at most once each, beside the parts above.
const MERIDIAN: u16 = 64;
const ERA: u16 = 128;
const WEEKDAY: u16 = 256;
const SUMMER: u16 = 512;
const RESERVED: u16 = 1024;

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) enum Moment {
    /// Date and time of day; the date may be missing when only a time was asked for.
    Civil(Civil),
    Now,
    /// Days from today, and a time of day.
    Relative(i64, Civil),
    Epoch,
    Infinity {
        negative: bool,
    },
}

/// The parts of a date and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::text) struct Civil {
    /// Counted astronomically: 1 BC is 0.
    pub(in crate::text) year: i64,
    pub(in crate::text) month: u32,
    pub(in crate::text) day: u32,
    pub(in crate::text) hour: i64,
    pub(in crate::text) minute: i64,
    pub(in crate::text) second: i64,
    pub(in crate::text) micros: i64,
    pub(in crate::text) zone: Option<Zone>,
    pub(in crate::text) has_date: bool,
}

#[derive(Default)]
struct Decoder {
    civil: Civil,
    /// Which parts have been seen.
    seen: u16,
    text_month: bool,
    two_digit_year: bool,
    julian: bool,
    day_of_year: i64,
    before_christ: bool,
    afternoon: Option<bool>,
    /// Whether only a time of day is wanted.
    time_only: bool,
    order: DateOrder,
    special: Option<Moment>,
}

/// What the word before a number said of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Julian,
    Time,
}

/// Decodes a date, with or without a time.
pub(in crate::text) fn date_and_time(fields: &[Field], order: DateOrder) -> Outcome<Moment> {
    let decoder = Decoder { order, ..Decoder::default() };
    decoder.run(fields)
}

/// Decodes a time of day; a date before it is allowed and ignored.
pub(in crate::text) fn time_of_day(fields: &[Field], order: DateOrder) -> Outcome<Moment> {
    let decoder = Decoder { time_only: true, order, ..Decoder::default() };
    decoder.run(fields)
}

impl Decoder {
    fn run(mut self, fields: &[Field]) -> Outcome<Moment> {
        let mut prefix = None;
        for (place, field) in fields.iter().enumerate() {
            let text = field.text.as_str();
            let mask = match field.shape {
                Shape::Date if prefix == Some(Prefix::Julian) => return Err(Fault::Format),
                Shape::Date => self.date_field(text, fields, place, &mut prefix)?,
                Shape::Time => {
                    if prefix == Some(Prefix::Julian) {
                        return Err(Fault::Format);
                    }
                    prefix = None;
                    let mask = self.time(text)?;
                    if !self.time_only && self.time_overflows() {
                        return Err(Fault::Range);
                    }
                    mask
                }
                Shape::Offset => {
                    self.civil.zone = Some(Zone::Fixed(offset(text)?));
                    ZONE
                }
                Shape::Number => match prefix.take() {
                    Some(Prefix::Julian) => self.julian_day(text)?,
                    Some(Prefix::Time) => {
                        let mask = self.run_together(text, self.seen | DATE)?;
                        if mask != TIME {
                            return Err(Fault::Format);
                        }
                        mask
                    }
                    None => self.number_field(text, fields, place)?,
                },
                Shape::Word | Shape::SignedWord => match self.word(text, fields, place, &mut prefix)? {
                    Some(mask) => mask,
                    None => continue,
                },
            };
            if mask & self.seen != 0 {
                return Err(Fault::Format);
            }
            self.seen |= mask;
        }
        if prefix.is_some() {
            return Err(Fault::Format);
        }
        self.finish()
    }

    fn finish(mut self) -> Outcome<Moment> {
        if let Some(moment @ (Moment::Now | Moment::Epoch | Moment::Infinity { .. })) = self.special {
            return Ok(moment);
        }
        self.validate_date()?;
        match self.afternoon {
            Some(_) if self.civil.hour > 12 => return Err(Fault::Range),
            Some(false) if self.civil.hour == 12 => self.civil.hour = 0,
            Some(true) if self.civil.hour != 12 => self.civil.hour += 12,
            _ => {}
        }
        if self.time_only && self.time_overflows() {
            return Err(Fault::Range);
        }
        if let Some(Moment::Relative(days, _)) = self.special {
            return Ok(Moment::Relative(days, self.civil));
        }
        self.civil.has_date = self.seen & DATE == DATE;
        let wanted = if self.time_only { TIME } else { DATE };
        if self.seen & wanted != wanted {
            return Err(Fault::Format);
        }
        Ok(Moment::Civil(self.civil))
    }

    /// Whether the time is later than 24:00. As in PostgreSQL, the digits of a time that is written
    /// without colons after a date are not checked: 25:30 is half past one of the next day.
    fn time_overflows(&self) -> bool {
        let Civil { hour, minute, second, micros, .. } = self.civil;
        hour > 24
            || minute > 59
            || second > 60
            || super::time_micros(&self.civil) > MICROS_PER_DAY
            || micros > 1_000_000
    }

    /// A field that looks like a date: a date, a zone's name, or a time with its zone run together.
    fn date_field(
        &mut self,
        text: &str,
        fields: &[Field],
        place: usize,
        prefix: &mut Option<Prefix>,
    ) -> Outcome<u16> {
        let date_allowed = !self.time_only
            || (place == 0
                && fields.len() >= 2
                && (fields.last().is_some_and(|last| last.shape == Shape::Date)
                    || fields.get(1).is_some_and(|next| next.shape == Shape::Time)));
        let has_date = self.seen & (MONTH | DAY) == MONTH | DAY || !date_allowed;
        if prefix.is_none() && !has_date {
            return self.date(text);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) || prefix.is_some() {
            if prefix.take() == Some(Prefix::Julian) || self.seen & TIME != 0 {
                return Err(Fault::Format);
            }
            let at = text.find('-').ok_or(Fault::Format)?;
            self.civil.zone = Some(Zone::Fixed(offset(&text[at..])?));
            let mask = self.run_together(&text[..at], self.seen | if self.time_only { DATE } else { 0 })?;
            return Ok(mask | ZONE);
        }
        self.civil.zone = Some(named_zone(text).ok_or_else(|| Fault::Zone(text.to_owned()))?);
        Ok(ZONE)
    }

    fn number_field(&mut self, text: &str, fields: &[Field], place: usize) -> Outcome<u16> {
        let point = text.find('.');
        if self.time_only {
            let dated = place == 0
                && fields.len() >= 2
                && fields.last().is_some_and(|last| last.shape == Shape::Date);
            return match point {
                Some(_) if dated => self.date(text),
                Some(at) if at > 2 => self.run_together(text, self.seen | DATE),
                Some(_) => Err(Fault::Format),
                None if text.len() > 4 => self.run_together(text, self.seen | DATE),
                None => self.number(text, self.seen | DATE, false),
            };
        }
        match point {
            Some(_) if self.seen & DATE == 0 => self.date(text),
            Some(at) if at > 2 => self.run_together(text, self.seen),
            _ if text.len() >= 6 && (self.seen & DATE == 0 || self.seen & TIME == 0) => {
                self.run_together(text, self.seen)
            }
            _ => self.number(text, self.seen, self.text_month),
        }
    }

    /// A word; `None` when it is to be ignored.
    fn word(
        &mut self,
        text: &str,
        fields: &[Field],
        place: usize,
        prefix: &mut Option<Prefix>,
    ) -> Outcome<Option<u16>> {
        if let Some(seconds) = zone::abbreviation(text) {
            self.civil.zone = Some(Zone::Fixed(seconds));
            return Ok(Some(ZONE));
        }
        let Some(word) = words::lookup(text) else {
            self.civil.zone = Some(named_zone(text).ok_or(Fault::Format)?);
            return Ok(Some(ZONE));
        };
        Ok(Some(match word {
            Word::Ignored => return Ok(None),
            Word::Month(_) | Word::Weekday | Word::Today(_) | Word::Epoch | Word::Infinity { .. }
                if self.time_only =>
            {
                return Err(Fault::Format);
            }
            Word::Month(month) => {
                let mut mask = MONTH;
                let numeric = self.seen & MONTH != 0 && !self.text_month && self.seen & DAY == 0;
                if numeric && (1..=31).contains(&self.civil.month) {
                    // What was read as the month was the day.
                    self.civil.day = self.civil.month;
                    mask = DAY;
                }
                self.text_month = true;
                self.civil.month = month;
                mask
            }
            Word::Weekday => WEEKDAY,
            Word::Meridian { afternoon } => {
                self.afternoon = Some(afternoon);
                MERIDIAN
            }
            Word::Era { before_christ } => {
                self.before_christ = before_christ;
                ERA
            }
            Word::Now => {
                self.special = Some(Moment::Now);
                DATE | TIME | ZONE
            }
            Word::Today(days) => {
                self.special = Some(Moment::Relative(days, self.civil));
                DATE
            }
            Word::Epoch => {
                self.special = Some(Moment::Epoch);
                RESERVED
            }
            Word::Infinity { negative } => {
                self.special = Some(Moment::Infinity { negative });
                RESERVED
            }
            Word::AllBalls => {
                self.civil.zone = Some(Zone::Fixed(0));
                TIME | ZONE
            }
            Word::Julian => {
                *prefix = Some(Prefix::Julian);
                0
            }
            Word::IsoTime => {
                let next = fields.get(place + 1).map(|field| field.shape);
                let fits = matches!(next, Some(Shape::Number | Shape::Time | Shape::Date));
                if (!self.time_only && self.seen & DATE != DATE) || !fits {
                    return Err(Fault::Format);
                }
                *prefix = Some(Prefix::Time);
                0
            }
            Word::SummerTime => {
                if let Some(Zone::Fixed(seconds)) = &mut self.civil.zone {
                    *seconds += 3600;
                }
                SUMMER
            }
            Word::Unit => return Err(Fault::Format),
        }))
    }

    /// Parts of a date joined by punctuation.
    fn date(&mut self, text: &str) -> Outcome<u16> {
        let mut rest = text;
        let mut numbers = Vec::with_capacity(3);
        let mut mask = 0;
        let mut seen = self.seen;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            if rest.is_empty() {
                return Err(Fault::Format);
            }
            let digits = rest.starts_with(|c: char| c.is_ascii_digit());
            let end = rest
                .find(|c: char| if digits { !c.is_ascii_digit() } else { !c.is_ascii_alphabetic() })
                .unwrap_or(rest.len());
            let part = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if digits {
                numbers.push(part);
                continue;
            }
            match words::lookup(part) {
                Some(Word::Ignored) => {}
                Some(Word::Month(month)) if seen & MONTH == 0 => {
                    self.text_month = true;
                    self.civil.month = month;
                    seen |= MONTH;
                    mask |= MONTH;
                }
                _ => return Err(Fault::Format),
            }
        }
        for number in numbers {
            let part = self.number(number, seen, self.text_month)?;
            if part & seen != 0 {
                return Err(Fault::Format);
            }
            seen |= part;
            mask |= part;
        }
        // Nothing but a zone may come before a date in one piece.
        if seen & !(DAY_OF_YEAR | ZONE) != DATE {
            return Err(Fault::Format);
        }
        Ok(mask)
    }

    /// A number of its own: year, month or day by what is still missing, or a time.
    fn number(&mut self, text: &str, seen: u16, text_month: bool) -> Outcome<u16> {
        let length = text.len();
        if let Some(at) = text.find('.') {
            if at > 2 {
                return self.run_together(text, seen | DATE);
            }
            return Err(Fault::Format);
        }
        let value: i64 = text.parse::<i32>().map_err(|_| Fault::Range)?.into();
        if length == 3 && seen & DATE == YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(DAY_OF_YEAR | MONTH | DAY);
        }
        let mask = match seen & DATE {
            0 if length >= 3 || self.order == DateOrder::Ymd => YEAR,
            0 if self.order == DateOrder::Dmy => DAY,
            0 => MONTH,
            YEAR => MONTH,
            MONTH if text_month && (length >= 3 || self.order == DateOrder::Ymd) => YEAR,
            MONTH => DAY,
            part if part == YEAR | MONTH => {
                if text_month && length >= 3 && self.two_digit_year {
                    // What was read as the year was the day.
                    self.civil.day = self.civil.year as u32;
                    self.civil.year = value;
                    self.two_digit_year = false;
                    return Ok(DAY);
                }
                DAY
            }
            DAY => MONTH,
            part if part == MONTH | DAY => YEAR,
            DATE => return self.run_together(text, seen),
            _ => return Err(Fault::Format),
        };
        match mask {
            YEAR => {
                self.civil.year = value;
                self.two_digit_year = length <= 2;
            }
            MONTH => self.civil.month = value as u32,
            _ => self.civil.day = value as u32,
        }
        Ok(mask)
    }

    /// Digits run together: a date of six digits or more, a time of four or six.
    fn run_together(&mut self, text: &str, seen: u16) -> Outcome<u16> {
        let digits = match text.split_once('.') {
            Some((digits, fraction)) => {
                self.civil.micros = fraction_micros(fraction)?;
                digits
            }
            None => {
                if seen & DATE != DATE && text.len() >= 6 {
                    let (year, month_day) = text.split_at(text.len() - 4);
                    self.civil.day = part(&month_day[2..])? as u32;
                    self.civil.month = part(&month_day[..2])? as u32;
                    self.civil.year = year.parse::<i32>().map_err(|_| Fault::Range)?.into();
                    self.two_digit_year |= year.len() == 2;
                    return Ok(DATE);
                }
                text
            }
        };
        if seen & TIME == TIME || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        let second = match digits.len() {
            6 => part(&digits[4..])?,
            4 => 0,
            _ => return Err(Fault::Format),
        };
        self.civil.hour = part(&digits[..2])?;
        self.civil.minute = part(&digits[2..4])?;
        self.civil.second = second;
        Ok(TIME)
    }

    fn time(&mut self, text: &str) -> Outcome<u16> {
        let time = time(text)?;
        self.civil.hour = time.hour;
        self.civil.minute = time.minute;
        self.civil.second = time.second;
        self.civil.micros = time.micros;
        Ok(TIME)
    }

    fn julian_day(&mut self, text: &str) -> Outcome<u16> {
        let (days, fraction) = text.split_once('.').unwrap_or((text, ""));
        let days: i32 = days.parse().map_err(|_| Fault::Range)?;
        let (year, month, day) = civil(i64::from(days) + i64::from(crate::calendar::DATE_MIN));
        self.civil = Civil { year, month, day, ..self.civil };
        self.julian = true;
        if !text.contains('.') {
            return Ok(DATE);
        }
        let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| Fault::Format)?;
        let micros = (fraction * crate::interval::MICROS_PER_DAY as f64) as i64;
        self.civil.hour = micros / crate::calendar::MICROS_PER_HOUR;
        self.civil.minute = micros / crate::calendar::MICROS_PER_MINUTE % 60;
        self.civil.second = micros / crate::calendar::MICROS_PER_SECOND % 60;
        self.civil.micros = micros % crate::calendar::MICROS_PER_SECOND;
        Ok(DATE | TIME)
    }

    fn validate_date(&mut self) -> Outcome<()> {
        let civil = &mut self.civil;
        if self.special.is_some() {
            return Ok(());
        }
        if self.seen & YEAR != 0 && !self.julian {
            if self.before_christ {
                if civil.year <= 0 {
                    return Err(Fault::Range);
                }
                civil.year = 1 - civil.year;
            } else if self.two_digit_year {
                if civil.year < 70 {
                    civil.year += 2000;
                } else if civil.year < 100 {
                    civil.year += 1900;
                }
            } else if civil.year <= 0 {
                return Err(Fault::Range);
            }
        }
        if self.seen & DAY_OF_YEAR != 0 {
            let day = days_of(civil.year, 1, 1) + self.day_of_year - 1;
            let (year, month, day) = crate::calendar::civil(day);
            *civil = Civil { year, month, day, ..*civil };
        }
        if self.seen & MONTH != 0 && !(1..=12).contains(&civil.month) {
            return Err(Fault::MonthOrDay);
        }
        if self.seen & DAY != 0 && !(1..=31).contains(&civil.day) {
            return Err(Fault::MonthOrDay);
        }
        if self.seen & DATE == DATE && civil.day > days_of_month(civil.year, civil.month) {
            return Err(Fault::Range);
        }
        Ok(())
    }
}

fn part(digits: &str) -> Outcome<i64> {
    digits.parse().map_err(|_| Fault::Format)
}
