//! `luma.toml` as written from the table of settings, and `lumadb config show`.

use std::fmt::Write;

use crate::config::keys::KEYS;
use crate::config::{Config, Kind, Value};

/// The head of the file.
const HEAD: &str = "\
# Every setting of LumaDB with its default. A key that is not listed here is an error.
# Text may contain ${VARIABLE} and ${VARIABLE:-default}; the environment variable
# LUMADB_<SECTION>_<KEY> overrides a key, and a flag of the command overrides both.
";

/// Every setting with its default and what it does: the text of `luma.toml`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = write!(text, "\n[{section}]");
        }
        let _ = write!(text, "\n# {}\n{} = {}\n", key.help, key.name, literal(key.kind, key.default));
    }
    text
}

/// The settings as they are in effect, with where each came from.
pub fn show(config: &Config) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in config.settings() {
        if setting.key.section != section {
            section = setting.key.section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let value = literal(setting.key.kind, &setting.text);
        let size = match (setting.key.kind, &setting.value) {
            (Kind::Share { .. } | Kind::MachineShare { .. }, Value::Count(bytes))
                if setting.text.ends_with('%') =>
            {
                format!(", {} MB", bytes >> 20)
            }
            _ => String::new(),
        };
        let _ = writeln!(text, "{} = {value}  # {}{size}", setting.key.name, setting.source);
    }
    text
}

/// A value as TOML.
fn literal(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Bool | Kind::Count { .. } => text.to_owned(),
        _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_root_holds_every_setting_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../luma.toml");
        if std::env::var_os("LUMADB_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let file = std::fs::read_to_string(path).unwrap();
        assert_eq!(file, reference(), "run this test with LUMADB_WRITE_REFERENCE=1 to write it");
    }

    #[test]
    fn the_reference_is_a_configuration_that_says_nothing_new() {
        let config = Config::resolve(Some(("luma.toml", &reference())), &[], &[]).unwrap();
        assert_eq!(config.settings().count(), KEYS.len());
        for setting in config.settings() {
            assert_eq!(setting.text, setting.key.default);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let config = Config::resolve(Some(("f", "preset = \"fast\"")), &[], &[]).unwrap();
        let shown = show(&config);
        assert!(shown.contains("sync_mode = \"periodic\"  # preset fast"), "{shown}");
        assert!(Config::resolve(Some(("shown", &shown)), &[], &[]).is_ok());
    }
}
