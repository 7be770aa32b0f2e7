//! Reading a configuration file: TOML in, settings as text with their lines out.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::ConfigError;
use crate::config::keys::{self, Key};

/// A setting as it stands in a file.
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) text: String,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// Reads a file's text; `variable` gives the environment.
pub(super) fn read(
    name: &str,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Entry>, ConfigError> {
    let line_of = |place: usize| text.get(..place).map_or(1, |before| before.matches('\n').count() + 1);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        let mut message = format!("{name} line {line}: {}", error.message());
        if text.lines().nth(line - 1).is_some_and(|line| line.contains("${")) {
            message.push_str("; put ${...} between quotes");
        }
        ConfigError(message)
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        let reader = Reader { name, variable };
        match value.get_ref() {
            DeValue::Table(section) => {
                for (key_name, value) in section {
                    let line = line_of(key_name.span().start);
                    entries.push(reader.entry(key.get_ref(), key_name.get_ref(), value, line)?);
                }
            }
            _ => entries.push(reader.entry("", key.get_ref(), value, line)?),
        }
    }
    Ok(entries)
}

struct Reader<'a> {
    name: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    fn entry(
        &self,
        section: &str,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        line: usize,
    ) -> Result<Entry, ConfigError> {
        let path = keys::path(section, name);
        let place = format!("{} line {line}", self.name);
        let key = keys::find(section, name).ok_or_else(|| unknown(&place, &path))?;
        let text = match value.get_ref() {
            DeValue::String(text) => expand(text, self.variable)
                .map_err(|message| ConfigError(format!("{place}: {path}: {message}")))?,
            DeValue::Boolean(on) => on.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            _ => {
                let allowed = key.kind.allowed();
                return Err(ConfigError(format!(
                    "{place}: {path} has a value of the wrong kind; allowed is {allowed}"
                )));
            }
        };
        Ok(Entry { key, text, line })
    }
}

/// The error of a setting that does not exist.
pub(super) fn unknown(place: &str, path: &str) -> ConfigError {
    let hint = keys::nearest(path).map_or_else(
        || "; `lumadb config show` lists all settings".to_owned(),
        |nearest| format!("; did you mean {nearest}?"),
    );
    ConfigError(format!("{place}: unknown setting {path}{hint}"))
}

/// Replaces `${NAME}` and `${NAME:-default}`.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or_else(|| format!("\"{text}\" has a ${{ without its }}"))?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        match (variable(name).filter(|value| !value.is_empty() || default.is_none()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("the environment variable {name} is not set")),
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("99".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn error(text: &str) -> String {
        read("luma.toml", text, &variables).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn settings_are_read_with_their_lines() {
        let text = "preset = \"fast\"\n[postgres]\nport = 5_433\nenabled = false\n";
        let entries = read("luma.toml", text, &variables).unwrap();
        let found: Vec<_> =
            entries.iter().map(|entry| (entry.key.path(), entry.text.as_str(), entry.line)).collect();
        let mut expected = [
            ("preset".to_owned(), "fast", 1),
            ("postgres.port".to_owned(), "5433", 3),
            ("postgres.enabled".to_owned(), "false", 4),
        ];
        expected.sort();
        let mut found = found;
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn variables_are_expanded_and_missing_ones_named() {
        let expanded = |text: &str| expand(text, &variables);
        assert_eq!(expanded("${PORT}").unwrap(), "99");
        assert_eq!(expanded("a${NONE:-b}c${EMPTY:-d}").unwrap(), "abcd");
        assert!(expanded("${NONE}").unwrap_err().contains("NONE"));
        assert!(expanded("${NONE").is_err());
        assert!(error("[postgres]\nport = ${PORT}\n").contains("between quotes"));
    }

    #[test]
    fn an_unknown_setting_names_its_line_and_the_nearest_one() {
        assert_eq!(
            error("\n[postgres]\nprot = 1\n"),
            "luma.toml line 3: unknown setting postgres.prot; did you mean postgres.port?"
        );
        assert!(error("[nothing_like_it]\nx = 1\n").contains("config show"));
        assert!(error("[wal]\nsync_mode = [1]\n").contains("group_commit"));
        assert!(error("[wal\n").contains("line 1"));
    }
}
