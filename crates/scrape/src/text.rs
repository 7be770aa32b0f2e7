//! Prometheus' text form and OpenMetrics.
//!
//! As in Prometheus 3, the bounds of histograms and summaries (`le`, `quantile`) are written in one way, so that `1` and `1.0`
//! are the same series.

use std::borrow::Cow;
use std::ops::Range;

use luma_promql::{Labels, Sample, format_open_metrics, parse_float};
use luma_telemetry::Exemplar;

use crate::exposition::{About, Example, Scraped, Sink};
use crate::line::{Line, Pairs, shortened, unescaped};

const KINDS: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];
const OPEN_KINDS: [&str; 8] =
    ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"];

/// Times in milliseconds that a number of seconds may stand for.
const TIMES: Range<f64> = -9.2e18..9.2e18;

pub(crate) fn parse(text: &str, open: bool, sink: &mut dyn Sink) -> Result<(), String> {
    let mut reader = Reader { open, kind: String::new(), sink };
    let mut ended = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let at = |what: String| format!("line {}: {what}", number + 1);
        if ended {
            return Err(at("unexpected data after # EOF".to_owned()));
        }
        let line = line.strip_suffix('\n').unwrap_or(line);
        if open && line == "# EOF" {
            ended = true;
            continue;
        }
        reader.line(line).map_err(at)?;
    }
    if open && !ended {
        return Err("data does not end with # EOF".to_owned());
    }
    Ok(())
}

struct Reader<'s> {
    open: bool,
    /// The type that was said last.
    kind: String,
    sink: &'s mut dyn Sink,
}

impl Reader<'_> {
    fn line(&mut self, text: &str) -> Result<(), String> {
        let mut line = Line::new(text);
        if !self.open {
            line.blanks();
            if line.rest().is_empty() {
                return Ok(());
            }
        }
        if line.skip(b'#') { self.comment(line) } else { self.sample(line) }
    }

    /// What a line says of a family; other comments say nothing, and OpenMetrics has none.
    fn comment(&mut self, mut line: Line<'_>) -> Result<(), String> {
        let spaced = line.blanks();
        let word = line.word();
        let known = matches!(word, "HELP" | "TYPE") || (self.open && word == "UNIT");
        if !spaced || !known || !line.blanks() {
            if self.open {
                return Err(format!("{:?} is no line of OpenMetrics", shortened(line.rest())));
            }
            return Ok(());
        }
        let family = if line.rest().starts_with('"') {
            line.quoted()?
        } else {
            Cow::Borrowed(line.name(true).ok_or_else(|| line.unexpected("the name of a metric"))?)
        };
        let blank = line.blanks();
        let rest = line.rest();
        if !blank && !rest.is_empty() {
            return Err(line.unexpected("a blank"));
        }
        match word {
            "TYPE" => {
                let kind = if self.open { rest } else { rest.trim_end() };
                let kinds: &[&str] = if self.open { &OPEN_KINDS } else { &KINDS };
                if !kinds.contains(&kind) {
                    return Err(format!("invalid metric type {:?}", shortened(kind)));
                }
                let kind = if kind == "untyped" { "unknown" } else { kind };
                kind.clone_into(&mut self.kind);
                self.sink.about(&family, About::Kind(kind));
            }
            "HELP" => {
                let help = unescaped(rest, self.open);
                self.sink.about(&family, About::Help(&help));
            }
            _ => {
                let suffixed = |rest: &str| {
                    family.strip_suffix(rest).is_some_and(|before| before.ends_with('_') && before.len() > 1)
                };
                if !rest.is_empty() && !suffixed(rest) {
                    return Err(format!("unit {rest:?} not a suffix of metric {family:?}"));
                }
                self.sink.about(&family, About::Unit(rest));
            }
        }
        Ok(())
    }

    fn sample(&mut self, mut line: Line<'_>) -> Result<(), String> {
        let mut labels = Pairs::new();
        let series = line.series(&mut labels)?;
        line.blanks();
        let word = line.word();
        let value = number(word).ok_or_else(|| format!("expected a value, got {:?}", shortened(word)))?;
        let blank = line.blanks();
        let (mut t, mut exemplars) = (None, Vec::new());
        if blank && !line.rest().is_empty() && !line.rest().starts_with('#') {
            let word = line.word();
            t = Some(self.time(word).ok_or_else(|| format!("expected a time, got {:?}", shortened(word)))?);
            line.blanks();
        }
        if self.open && line.skip(b'#') {
            exemplars.push(exemplar(&mut line)?);
        }
        if !line.rest().is_empty() {
            return Err(line.unexpected("the end of the line"));
        }
        self.unify(&mut labels);
        self.sink.sample(&Scraped {
            key: series.as_bytes(),
            labels: &labels,
            t,
            start: 0,
            value: Sample::Float(value),
            exemplars: &exemplars,
        })
    }

    /// A time: whole milliseconds, or in OpenMetrics seconds.
    fn time(&self, word: &str) -> Option<i64> {
        if self.open {
            let milliseconds = number(word)? * 1000.0;
            return TIMES.contains(&milliseconds).then_some(milliseconds as i64);
        }
        word.parse().ok()
    }

    fn unify(&self, labels: &mut Pairs<'_>) {
        let bound = match self.kind.as_str() {
            "histogram" => "le",
            "summary" => "quantile",
            _ => return,
        };
        for (_, value) in labels.iter_mut().filter(|(name, _)| name == bound) {
            if let Some(number) = parse_float(value) {
                let written = format_open_metrics(number);
                if written != **value {
                    *value = Cow::Owned(written);
                }
            }
        }
    }
}

/// A value; the forms that only Go's newer numbers have are none.
fn number(word: &str) -> Option<f64> {
    // The usual one is a whole number.
    if word.len() < 16
        && let Ok(whole) = word.parse::<i64>()
        && !word.starts_with("-0")
    {
        return Some(whole as f64);
    }
    parse_float(word)
}

fn exemplar(line: &mut Line<'_>) -> Result<Example, String> {
    line.blanks();
    if !line.skip(b'{') {
        return Err(line.unexpected("the labels of an exemplar"));
    }
    let mut pairs = Pairs::new();
    line.labels(&mut pairs)?;
    line.blanks();
    let word = line.word();
    let value =
        number(word).ok_or_else(|| format!("expected an exemplar's value, got {:?}", shortened(word)))?;
    line.blanks();
    let word = line.word();
    let time = match word {
        "" => None,
        word => {
            let milliseconds = number(word).map(|seconds| seconds * 1000.0);
            let milliseconds = milliseconds.filter(|milliseconds| TIMES.contains(milliseconds));
            Some(
                milliseconds
                    .ok_or_else(|| format!("expected an exemplar's time, got {:?}", shortened(word)))?,
            )
        }
    };
    let exemplar = Exemplar { labels: Labels::new(pairs), value, t: time.unwrap_or_default() as i64 };
    Ok(Example { exemplar, timed: time.is_some() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn about(&mut self, family: &str, about: About<'_>) {
            self.0.push(format!("{family} {about:?}"));
        }

        fn sample(&mut self, sample: &Scraped<'_>) -> Result<(), String> {
            let labels = Labels::new(sample.labels.iter().map(|(name, value)| (&**name, &**value)));
            let Sample::Float(value) = &sample.value else { return Err("no number".to_owned()) };
            let mut line = format!("{labels} {value}");
            if let Some(t) = sample.t {
                line += &format!(" @{t}");
            }
            for example in sample.exemplars {
                let Exemplar { labels, value, t } = &example.exemplar;
                line += &format!(" #{labels} {value}");
                if example.timed {
                    line += &format!(" @{t}");
                }
            }
            self.0.push(line);
            Ok(())
        }
    }

    fn lines(text: &str, open: bool) -> Result<Vec<String>, String> {
        let mut sink = Lines::default();
        parse(text, open, &mut sink).map(|()| sink.0)
    }

    #[test]
    fn the_text_form_is_read() {
        let text = "# HELP a A \\\\ \\n b\n#a comment\n  \n# TYPE a counter\n a_total{b=\"x\\\"y\\\\\\n\",c=\"\",} 1.5e3 123\n\
                    b NaN\nb{}-Inf\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\n{\"u.t.f\",\"l.l\"=\"x\"} 7";
        assert_eq!(
            lines(text, false).unwrap(),
            [
                "a Help(\"A \\\\ \\n b\")",
                "a Kind(\"counter\")",
                "{__name__=\"a_total\", b=\"x\\\"y\\\\\\n\"} 1500 @123",
                "{__name__=\"b\"} NaN",
                "{__name__=\"b\"} -inf",
                "h Kind(\"histogram\")",
                "{__name__=\"h_bucket\", le=\"1.0\"} 2",
                "{__name__=\"u.t.f\", \"l.l\"=\"x\"} 7",
            ]
        );
    }

    #[test]
    fn open_metrics_is_read_with_exemplars_and_units() {
        let text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds say \\\"so\\\"\n\
                    a_seconds_total{x=\"1\"} 17.0 1520879607.789 # {id=\"t\"} 0.5 1520879606\na_seconds_total 1 # {} 2\n# EOF\n";
        assert_eq!(
            lines(text, true).unwrap(),
            [
                "a_seconds Kind(\"counter\")",
                "a_seconds Unit(\"seconds\")",
                "a_seconds Help(\"say \\\"so\\\"\")",
                "{__name__=\"a_seconds_total\", x=\"1\"} 17 @1520879607789 #{id=\"t\"} 0.5 @1520879606000",
                "{__name__=\"a_seconds_total\"} 1 #{} 2",
            ]
        );
    }

    #[test]
    fn what_is_neither_is_refused_with_its_line() {
        for (text, open, expected) in [
            ("a 1\nb", false, "line 2: expected a value"),
            ("a{b=1} 1", false, "double quotes"),
            ("a{b=\"1} 1", false, "no end"),
            ("a{b=\"1\" c=\"2\"} 1", false, "comma"),
            ("a{b=\"1\",b=\"2\"} 1", false, "twice"),
            ("a 1 1.5", false, "expected a time"),
            ("a 1 2 3", false, "end of the line"),
            ("a 1_000", false, "expected a value"),
            ("1a 1", false, "name of a metric"),
            ("{b=\"c\"} 1", false, "name of a metric"),
            ("# TYPE a thing", false, "invalid metric type"),
            ("<html>", false, "line 1: expected the name of a metric"),
            ("a 1\n", true, "# EOF"),
            ("a 1\n# EOF\na 2\n", true, "after # EOF"),
            ("\na 1\n# EOF\n", true, "line 1"),
            ("# TYPE a untyped\n# EOF\n", true, "invalid metric type"),
            ("# TYPE a_s gauge\n# UNIT a_s seconds\n# EOF\n", true, "not a suffix"),
            ("a 1 NaN\n# EOF\n", true, "expected a time"),
            ("a 1 # b 1\n# EOF\n", true, "exemplar"),
        ] {
            let error = lines(text, open).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z{}\"\\\\=,# \n0-9.é_:]{0,60}", open: bool) {
            let _ = lines(&text, open);
        }
    }
}
