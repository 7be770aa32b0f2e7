//! Names of metrics and labels as Prometheus makes them of OpenTelemetry's: letters, digits and underscores,
//! with the unit and `_total` behind.

/// What is behind the name of a metric besides its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    None,
    /// A sum that only grows.
    Total,
    /// A gauge, whose unit may be a ratio.
    Gauge,
}

/// The name of a metric.
pub(super) fn metric(name: &str, unit: &str, ending: Ending) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut parts: Vec<String> =
        name.split(|c| !is_part(c)).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let mut add = |suffix: String| {
        if !suffix.is_empty() && !parts.contains(&suffix) {
            parts.push(suffix);
        }
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    if !main.contains(['{', '}']) {
        add(cleaned(unit_word(main)));
    }
    if !per.is_empty() && !per.contains(['{', '}']) {
        let per = cleaned(per_word(per));
        if !per.is_empty() && !parts.contains(&per) {
            parts.push("per".to_owned());
            parts.push(per);
        }
    }
    let last = match ending {
        Ending::Total => Some("total"),
        Ending::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        parts.retain(|part| part != last);
        parts.push(last.to_owned());
    }
    let joined = parts.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

fn cleaned(unit: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == ':';
    unit.split(|c| !is_part(c)).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

fn unit_word(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn per_word(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// The name of a label.
pub(super) fn label(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    match plain.bytes().next() {
        Some(first) if first.is_ascii_digit() => format!("key_{plain}"),
        Some(b'_') if !plain.starts_with("__") => format!("key{plain}"),
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_get_their_unit_and_ending() {
        for (name, unit, ending, expected) in [
            ("http.server.duration", "s", Ending::None, "http_server_duration_seconds"),
            ("requests", "1", Ending::Total, "requests_total"),
            ("requests_total", "{request}", Ending::Total, "requests_total"),
            ("system.io", "By/s", Ending::Total, "system_io_bytes_per_second_total"),
            ("hits", "1", Ending::Gauge, "hits_ratio"),
            ("disk_bytes", "By", Ending::Gauge, "disk_bytes"),
            ("2xx", "", Ending::None, "_2xx"),
            ("a..b", "", Ending::None, "a_b"),
        ] {
            assert_eq!(metric(name, unit, ending), expected);
        }
    }

    #[test]
    fn labels_begin_with_a_letter() {
        assert_eq!(label("http.status_code"), "http_status_code");
        assert_eq!(label("0day"), "key_0day");
        assert_eq!(label("_private"), "key_private");
        assert_eq!(label("__reserved"), "__reserved");
    }
}
