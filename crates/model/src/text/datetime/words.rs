//! The words of dates and times.

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) enum Word {
    Month(u32),
    Weekday,
    /// Hours count from noon, or from midnight.
    Meridian {
        afternoon: bool,
    },
    Era {
        before_christ: bool,
    },
    Now,
    /// Days from today.
    Today(i64),
    Epoch,
    Infinity {
        negative: bool,
    },
    /// Midnight in Greenwich.
    AllBalls,
    /// The next number is a Julian day.
    Julian,
    /// The next field is a time.
    IsoTime,
    /// Summer time: one hour more than the zone before it.
    SummerTime,
    /// A unit that stands before its number, which is not supported.
    Unit,
    Ignored,
}

/// PostgreSQL compares the first ten letters.
pub(in crate::text) const LETTERS_MAX: usize = 10;

/// The meaning of a word in lower case.
pub(in crate::text) fn lookup(word: &str) -> Option<Word> {
    let word = word.get(..LETTERS_MAX).unwrap_or(word);
    Some(match word {
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds" | "wednesday"
        | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" => Word::Weekday,
        "am" => Word::Meridian { afternoon: false },
        "pm" => Word::Meridian { afternoon: true },
        "ad" => Word::Era { before_christ: false },
        "bc" => Word::Era { before_christ: true },
        "now" => Word::Now,
        "yesterday" => Word::Today(-1),
        "today" => Word::Today(0),
        "tomorrow" => Word::Today(1),
        "epoch" => Word::Epoch,
        "infinity" | "+infinity" => Word::Infinity { negative: false },
        "-infinity" => Word::Infinity { negative: true },
        "allballs" => Word::AllBalls,
        "j" | "jd" | "julian" => Word::Julian,
        "t" => Word::IsoTime,
        "dst" => Word::SummerTime,
        "d" | "dow" | "doy" | "h" | "isodow" | "isoyear" | "m" | "mm" | "s" | "y" => Word::Unit,
        "at" | "on" => Word::Ignored,
        _ => return None,
    })
}
