//! Parameters of a request: those of a form in its body come before those of its address.

use chrono::DateTime;
use luma_promql::{Matcher, parse_duration, parse_selector};

use crate::reply::Failure;

/// Milliseconds that stand for "from the beginning" and "to the end".
pub(crate) const TIME_MIN: i64 = i64::MIN;
pub(crate) const TIME_MAX: i64 = i64::MAX;

/// What clients write for the ends of time.
const FIRST_TIME: &str = "-292273086-05-16T16:47:06Z";
const LAST_TIME: &str = "292277025-08-18T07:12:54.999999999Z";

/// Pairs of names and values.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a form (which may be empty) and the query part of an address.
    pub fn new(form: &[u8], address: &str) -> Self {
        let form = form_urlencoded::parse(form);
        let pairs = form.chain(form_urlencoded::parse(address.as_bytes()));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a parameter; empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A time in milliseconds.
    pub fn time(&self, name: &str) -> Result<i64, Failure> {
        time(self.get(name)).map_err(|what| Failure::parameter(name, what))
    }

    /// A time in milliseconds, or another if the parameter is not there.
    pub fn time_or(&self, name: &str, otherwise: i64) -> Result<i64, Failure> {
        match self.get(name) {
            "" => Ok(otherwise),
            text => time(text)
                .map_err(|what| Failure::parameter(name, format!("Invalid time value for '{name}': {what}"))),
        }
    }

    /// A duration in milliseconds.
    pub fn duration(&self, name: &str) -> Result<i64, Failure> {
        duration(self.get(name)).map_err(|what| Failure::parameter(name, what))
    }

    /// How much is wanted at most; no limit if the parameter is not there or zero.
    pub fn limit(&self, name: &str) -> Result<usize, Failure> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(usize::MAX);
        }
        match text.parse::<i64>() {
            Ok(0) => Ok(usize::MAX),
            Ok(limit) if limit > 0 => Ok(limit as usize),
            Ok(_) => Err(Failure::parameter(name, "limit must be non-negative")),
            Err(_) => Err(Failure::parameter(name, format!("cannot parse {text:?} to a number"))),
        }
    }

    /// The selectors of `match[]`, each with a matcher that not everything fulfils.
    pub fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failure> {
        let mut selectors = Vec::new();
        for text in self.all("match[]") {
            let matchers = parse_selector(text).map_err(|e| Failure::parameter("match[]", e))?;
            if matchers.iter().all(|matcher| matcher.matches("")) {
                let what = "match[] must contain at least one non-empty matcher";
                return Err(Failure::parameter("match[]", what));
            }
            selectors.push(matchers);
        }
        Ok(selectors)
    }

    /// The times `start` and `end`, by default all time.
    pub fn period(&self) -> Result<(i64, i64), Failure> {
        Ok((self.time_or("start", TIME_MIN)?, self.time_or("end", TIME_MAX)?))
    }
}

/// Milliseconds of a time: seconds since the epoch, or RFC 3339.
fn time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return milliseconds(seconds).ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"));
    }
    match text {
        FIRST_TIME => return Ok(TIME_MIN),
        LAST_TIME => return Ok(TIME_MAX),
        _ => {}
    }
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_millis())
        .map_err(|_| format!("cannot parse {text:?} to a valid timestamp"))
}

/// Milliseconds of a duration: seconds, or units as in queries.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return milliseconds(seconds)
            .ok_or_else(|| format!("cannot parse {text:?} to a valid duration. It overflows int64"));
    }
    parse_duration(text).map_err(|_| format!("cannot parse {text:?} to a valid duration"))
}

fn milliseconds(seconds: f64) -> Option<i64> {
    let milliseconds = (seconds.trunc() * 1000.0) + (seconds.fract() * 1000.0).round();
    // Nanoseconds of it must fit 64 bits too.
    (milliseconds.abs() < 9.2e15).then_some(milliseconds as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_form_comes_before_the_address() {
        let params = Params::new(b"query=a%2Bb+c&match[]=x", "query=z&match[]=y&limit=3");
        assert_eq!(params.get("query"), "a+b c");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(params.limit("limit").unwrap(), 3);
        assert_eq!(params.get("none"), "");
    }

    #[test]
    fn times_are_seconds_or_dates() {
        assert_eq!(time("1435781451.781"), Ok(1_435_781_451_781));
        assert_eq!(time("-0.5"), Ok(-500));
        assert_eq!(time("2015-07-01T20:10:51.781Z"), Ok(1_435_781_451_781));
        assert_eq!(time("2015-06-03T15:21:58.555+02:00"), Ok(1_433_337_718_555));
        assert_eq!(time(FIRST_TIME), Ok(TIME_MIN));
        assert_eq!(time(LAST_TIME), Ok(TIME_MAX));
        for wrong in ["", "foo", "30s", "NaN", "1e300", "Inf"] {
            assert_eq!(time(wrong), Err(format!("cannot parse {wrong:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
        assert_eq!(duration("1.5"), Ok(1500));
        assert_eq!(duration("5m"), Ok(300_000));
        assert_eq!(duration("1h30m"), Ok(5_400_000));
        assert_eq!(duration("foo"), Err("cannot parse \"foo\" to a valid duration".into()));
        assert_eq!(
            duration("148966367200.372e9"),
            Err("cannot parse \"148966367200.372e9\" to a valid duration. It overflows int64".into())
        );
    }

    #[test]
    fn a_selector_of_everything_and_a_negative_limit_are_refused() {
        let failure = Params::new(b"", "match[]={a=~\".*\"}").selectors().unwrap_err();
        assert!(failure.message.contains("match[]"), "{failure}");
        assert!(Params::new(b"", "limit=-1").limit("limit").is_err());
        assert!(Params::new(b"", "limit=x").limit("limit").is_err());
    }
}
