//! Go's text templates as far as Prometheus' rules use them, with Prometheus' functions.
//!
//! A template is parsed once ([`Template::parse`]) and expanded for each alert. What it writes, how deep it is and how much it
//! does are bounded.

mod expand;
mod format;
mod functions;
mod parse;
mod scan;
mod value;

use std::collections::HashMap;

pub(crate) use functions::escaped;
pub use value::Value;

use expand::Expansion;
use parse::Node;

/// Runs the queries of templates.
pub type Query<'q> = &'q dyn Fn(&str) -> Result<Vec<Value>, String>;

/// What a template speaks of.
pub struct Scope<'s> {
    /// The labels of the alert.
    pub labels: Value,
    /// Its value.
    pub value: Value,
    /// Labels of the server.
    pub external_labels: Value,
    /// Where the server's pages are.
    pub external_url: &'s str,
    /// Seconds since the epoch.
    pub now: f64,
    /// Runs queries.
    pub query: Query<'s>,
}

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
    defined: HashMap<String, Vec<Node>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (nodes, defined) = parse::parse(text)?;
        Ok(Self { nodes, defined })
    }

    /// Expands it.
    ///
    /// # Errors
    /// Why that can't be.
    pub fn expand(&self, scope: &Scope<'_>) -> Result<String, String> {
        Expansion::new(scope, &self.defined).run(&self.nodes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn expand(text: &str) -> Result<String, String> {
        let sample = |instance: &str, value: f64| {
            Value::Map(
                [
                    ("Labels".to_owned(), Value::texts([("instance", instance), ("__value__", "text")])),
                    ("Value".to_owned(), Value::Float(value)),
                ]
                .into(),
            )
        };
        let query = |query: &str| match query {
            "up" => Ok(vec![sample("b", 11.0), sample("a", 21.5)]),
            "none" => Ok(Vec::new()),
            other => Err(format!("no such query: {other}")),
        };
        let scope = Scope {
            labels: Value::texts([("instance", "host:9100"), ("job", "node")]),
            value: Value::Float(0.123456),
            external_labels: Value::texts([("dc", "x")]),
            external_url: "http://luma:9090/p",
            now: 0.0,
            query: &query,
        };
        Template::parse(text)?.expand(&scope)
    }

    #[test]
    fn what_prometheus_templates_say_is_said() {
        for (text, expected) in [
            ("plain", "plain"),
            ("{{ $labels.instance }} of {{ .Labels.job }}{{ $labels.missing }}", "host:9100 of node"),
            (
                "{{ $value }} {{ .Value | printf \"%.2f\" }} {{ humanizePercentage $value }}",
                "0.123456 0.12 12.35%",
            ),
            (
                "{{ $externalLabels.dc }} {{ externalURL }} {{ pathPrefix }} {{ $externalURL }}",
                "x http://luma:9090/p /p http://luma:9090/p",
            ),
            ("a {{- /* no word */ -}} b", "ab"),
            ("{{ if gt $value 0.1 }}high{{ else if gt $value 0.05 }}mid{{ else }}low{{ end }}", "high"),
            ("{{ if and (eq $labels.job \"node\") (not (eq 1 2 3)) }}y{{ end }}", "y"),
            ("{{ range query \"up\" }}{{ .Labels.instance }}={{ .Value }},{{ end }}", "b=11,a=21.5,"),
            (
                "{{ range $i, $s := query \"up\" | sortByLabel \"instance\" }}{{ $i }}{{ $s | label \"instance\" }}{{ end }}",
                "0a1b",
            ),
            ("{{ range query \"none\" }}x{{ else }}nothing{{ end }}", "nothing"),
            (
                "{{ with query \"up\" }}{{ . | first | value | humanize }} {{ . | first | strvalue }}{{ end }}",
                "11 text",
            ),
            ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
            (
                "{{ define \"t\" }}<{{ .arg0 }}|{{ .arg1 }}>{{ end }}{{ template \"t\" (args 1 \"b\") }}",
                "<1|b>",
            ),
            (
                "{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }} {{ match \"h.*\" $labels.instance }}",
                "host true",
            ),
            (
                "{{ stripPort $labels.instance }} {{ stripDomain \"a.b:80\" }} {{ title \"ab cd\" }} {{ toUpper \"x\" }}",
                "host a:80 Ab Cd X",
            ),
            ("{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
            (
                "{{ len \"abc\" }} {{ index (query \"up\") 1 | value }} {{ print 1 2 \"x\" 3 }}",
                "3 21.5 1 2x3",
            ),
            (
                "{{ printf \"%5.1f|%-4s|%04d|%q|%t|%v|%%|%x\" 2.25 \"a\" 7 \"q\" true .Labels 255 }}",
                "  2.2|a   |0007|\"q\"|true|map[instance:host:9100 job:node]|%|ff",
            ),
            ("{{ printf \"%d %s\" 1.5 2 }}", "%!d(float64=1.5) %!s(int=2)"),
            (
                "{{ 1234567.0 }} {{ humanize 1234567.0 }} {{ humanize1024 1048576.0 }} {{ humanize 0.001 }}",
                "1.234567e+06 1.235M 1Mi 1m",
            ),
            (
                "{{ humanizeDuration 93784.0 }} {{ humanizeDuration 0.0123 }} {{ humanizeDuration -61.5 }} {{ humanizeDuration \"59.5\" }}",
                "1d 2h 3m 4s 12.3ms -1m 1s 59.5s",
            ),
            ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
            ("{{ parseDuration \"1h30m\" }}", "5400"),
            ("{{ \"quoted \\\"x\\\"\" }} {{ `raw\\n` }} {{ 'a' }}", "quoted \"x\" raw\\n 97"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        for (text, expected) in [
            ("{{ $nothing }}", "undefined variable"),
            ("{{ unknown 1 }}", "function \"unknown\" not defined"),
            ("{{ if }}x{{ end }}", "missing value"),
            ("{{ if true }}x", "unexpected end"),
            ("{{ end }}", "unexpected"),
            ("{{ .Labels.x", "unclosed action"),
            ("{{ gt $value 1 }}", "incompatible types for comparison"),
            ("{{ first (query \"none\") }}", "no elements"),
            ("{{ query \"other\" }}", "no such query"),
            ("{{ template \"t\" }}", "not defined"),
            ("{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}", "too deep"),
            ("{{ .Nope }}", "can't evaluate field Nope"),
            ("{{ \"x }}", "unterminated"),
        ] {
            let error = expand(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!("{}{}", "{{ if true }}".repeat(1000), "{{ end }}".repeat(1000));
        assert!(expand(&deep).unwrap_err().contains("too deep"));
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(1000), ")".repeat(1000));
        assert!(expand(&deep).unwrap_err().contains("too deep"));
    }

    #[test]
    fn a_template_does_not_write_for_ever() {
        let inner = "{{ range query \"up\" }}".repeat(25) + "x" + &"{{ end }}".repeat(25);
        let error = expand(&inner).unwrap_err();
        assert!(error.contains("too much"), "{error}");
    }
}
