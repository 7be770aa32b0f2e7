//! The styles of dates and intervals, as `SET datestyle` and `SET intervalstyle` choose them.

/// How text forms of dates and intervals look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The form of dates and timestamps.
    pub date: DateStyle,
    /// Which part comes first where only the order tells.
    pub order: DateOrder,
    /// The form of intervals.
    pub interval: IntervalStyle,
}

/// The form of dates and timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateStyle {
    /// `2024-01-31 10:00:00+01`
    #[default]
    Iso,
    /// `Wed Jan 31 10:00:00 2024 CET`, a date alone `01-31-2024`
    Postgres,
    /// `01/31/2024 10:00:00 CET`
    Sql,
    /// `31.01.2024 10:00:00 CET`
    German,
}

/// The order of day, month and year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// The form of intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalStyle {
    /// `1 year 2 mons 3 days 04:05:06`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs`
    PostgresVerbose,
    /// `+1-2 +3 +4:05:06`
    SqlStandard,
    /// `P1Y2M3DT4H5M6S`
    Iso8601,
}

impl Style {
    /// The value of `datestyle` as it is shown.
    pub fn date_setting(self) -> String {
        let style = match self.date {
            DateStyle::Iso => "ISO",
            DateStyle::Postgres => "Postgres",
            DateStyle::Sql => "SQL",
            DateStyle::German => "German",
        };
        let order = match self.order {
            DateOrder::Mdy => "MDY",
            DateOrder::Dmy => "DMY",
            DateOrder::Ymd => "YMD",
        };
        format!("{style}, {order}")
    }

    /// This style with what a value of `datestyle` changes in it; `default` stands for PostgreSQL's. `None` when a word means nothing or
    /// two contradict each other.
    pub fn with_dates(self, value: &str) -> Option<Self> {
        let (mut style, mut order): (Option<DateStyle>, Option<DateOrder>) = (None, None);
        for word in value.split(',').map(|word| word.trim().to_ascii_lowercase()) {
            let (given_style, given_order) = match word.as_str() {
                "" if value.trim().is_empty() => (None, None),
                "iso" => (Some(DateStyle::Iso), None),
                "sql" => (Some(DateStyle::Sql), None),
                "german" => (Some(DateStyle::German), None),
                word if word.starts_with("postgres") => (Some(DateStyle::Postgres), None),
                "ymd" => (None, Some(DateOrder::Ymd)),
                "dmy" => (None, Some(DateOrder::Dmy)),
                word if word.starts_with("euro") => (None, Some(DateOrder::Dmy)),
                "mdy" | "us" => (None, Some(DateOrder::Mdy)),
                word if word.starts_with("noneuro") => (None, Some(DateOrder::Mdy)),
                "default" => {
                    style = style.or(Some(DateStyle::Iso));
                    order = order.or(Some(DateOrder::Mdy));
                    continue;
                }
                _ => return None,
            };
            if contradict(style, given_style) || contradict(order, given_order) {
                return None;
            }
            (style, order) = (style.or(given_style), order.or(given_order));
        }
        // Germans put the day first unless they say otherwise.
        let usual = if style == Some(DateStyle::German) { DateOrder::Dmy } else { self.order };
        Some(Self { date: style.unwrap_or(self.date), order: order.unwrap_or(usual), ..self })
    }
}

/// Whether both are given and differ.
fn contradict<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && other.is_some() && one != other
}

impl IntervalStyle {
    /// All of them by the names that `intervalstyle` takes.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("postgres", Self::Postgres),
        ("postgres_verbose", Self::PostgresVerbose),
        ("sql_standard", Self::SqlStandard),
        ("iso_8601", Self::Iso8601),
    ];

    /// The style of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, style)| style)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_change_what_they_name_and_may_not_contradict_each_other() {
        let shown = |from: Style, value: &str| from.with_dates(value).map(Style::date_setting);
        let iso = Style::default();
        let european = iso.with_dates("SQL, DMY").unwrap();
        assert_eq!(shown(iso, "German").as_deref(), Some("German, DMY"));
        assert_eq!(shown(iso, "german, ymd").as_deref(), Some("German, YMD"));
        assert_eq!(shown(european, "ISO").as_deref(), Some("ISO, DMY"));
        assert_eq!(shown(european, "").as_deref(), Some("SQL, DMY"));
        assert_eq!(shown(european, "DEFAULT").as_deref(), Some("ISO, MDY"));
        assert_eq!(shown(iso, "Postgres, European").as_deref(), Some("Postgres, DMY"));
        assert_eq!(
            (shown(iso, "ISO, SQL"), shown(iso, "DMY, MDY"), shown(iso, "Klingon")),
            (None, None, None)
        );
        assert_eq!(
            (IntervalStyle::named("ISO_8601"), IntervalStyle::named("x")),
            (Some(IntervalStyle::Iso8601), None)
        );
    }
}
