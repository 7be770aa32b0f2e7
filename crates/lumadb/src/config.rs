//! The configuration: defaults, then a preset, then `luma.toml`, then `LUMADB_<SECTION>_<KEY>`, then
//! flags; the later one wins.
//!
//! A setting that does not exist is an error that names the nearest one, and a value that is not
//! allowed an error that says what is: nothing is ignored silently.

mod file;
pub mod keys;
mod machine;
mod reference;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use reference::{reference, show};
pub use value::{Kind, Value, format_bytes};

use keys::{KEYS, Key};

/// Where a configuration is looked for when none is named.
const DEFAULT_FILE: &str = "luma.toml";

/// A configuration that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing was said.
    Default,
    /// A preset of that name.
    Preset(String),
    /// A line of a file.
    File(String, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command.
    Flag(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => write!(formatter, "default"),
            Self::Preset(name) => write!(formatter, "preset {name}"),
            Self::File(name, line) => write!(formatter, "{name} line {line}"),
            Self::Environment(name) => write!(formatter, "environment variable {name}"),
            Self::Flag(name) => write!(formatter, "{name}"),
        }
    }
}

/// A setting with its value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The setting.
    pub key: &'static Key,
    /// Its value as text.
    pub text: String,
    /// The same, read.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// A value that a flag of the command gives.
#[derive(Clone, Debug)]
pub struct Override {
    /// The flag.
    pub flag: &'static str,
    /// The setting's section.
    pub section: &'static str,
    /// The setting's name.
    pub name: &'static str,
    /// The value.
    pub text: String,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    settings: BTreeMap<(&'static str, &'static str), Setting>,
    /// The file it was read from.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads the named file, or `luma.toml` here if there is one, the environment and the flags.
    ///
    /// # Errors
    /// When the file can't be read or says something that is not allowed.
    pub fn load(path: Option<&Path>, overrides: &[Override]) -> Result<Self, ConfigError> {
        let named = path.map(Path::to_path_buf);
        let file = named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.is_file()));
        let text = match &file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                ConfigError(format!("cannot read the configuration {}: {error}", path.display()))
            })?),
            None => None,
        };
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let name = file.as_ref().map(|path| path.display().to_string());
        let text = name.as_deref().zip(text.as_deref());
        let config = Self::resolve(text, &variables, overrides)?;
        Ok(Self { file, ..config })
    }

    /// The same from texts: of a file with its name, of the environment, of flags.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn resolve(
        file: Option<(&str, &str)>,
        variables: &[(String, String)],
        overrides: &[Override],
    ) -> Result<Self, ConfigError> {
        let mut given: Vec<(&'static Key, String, Source)> = Vec::new();
        if let Some((name, text)) = file {
            let variable = |wanted: &str| {
                variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
            };
            for entry in file::read(name, text, &variable)? {
                given.push((entry.key, entry.text, Source::File(name.to_owned(), entry.line)));
            }
        }
        for (name, value) in variables {
            if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
                given.push((key, value.clone(), Source::Environment(name.clone())));
            } else if let Some(path) = misspelt_variable(name) {
                return Err(file::unknown(&format!("environment variable {name}"), &path));
            }
        }
        for Override { flag, section, name, text } in overrides {
            let key = keys::find(section, name)
                .ok_or_else(|| ConfigError(format!("{flag} sets {section}.{name}, which does not exist")))?;
            given.push((key, text.clone(), Source::Flag((*flag).to_owned())));
        }
        let mut settings = BTreeMap::new();
        let mut set = |key: &'static Key, text: String, source: Source| -> Result<(), ConfigError> {
            let value = key.kind.parse(&text).map_err(|allowed| {
                let path = key.path();
                ConfigError(format!("{source}: {path} is \"{text}\", but allowed is {allowed}"))
            })?;
            settings.insert((key.section, key.name), Setting { key, text, value, source });
            Ok(())
        };
        for key in KEYS {
            set(key, key.default.to_owned(), Source::Default)?;
        }
        if let Some((_, preset, _)) = given.iter().rev().find(|(key, _, _)| key.name == "preset") {
            for (section, name, value) in keys::preset(preset) {
                if let Some(key) = keys::find(section, name) {
                    set(key, (*value).to_owned(), Source::Preset(preset.clone()))?;
                }
            }
        }
        for (key, text, source) in given {
            set(key, text, source)?;
        }
        let mut config = Self { settings, file: None };
        config.share_memory()?;
        config.check()?;
        Ok(config)
    }

    /// Turns shares of the memory limit into sizes, which together have to stay under it.
    fn share_memory(&mut self) -> Result<(), ConfigError> {
        if let Some(setting) = self.settings.get_mut(&("memory", "memory_limit"))
            && let Value::Percent(percent) = setting.value
        {
            // In whole mebibytes, as messages show it.
            let share = (machine::memory() / 100 * percent) >> 20 << 20;
            setting.value = Value::Count(share.max(keys::MEMORY_MIN));
        }
        let limit = self.count("memory", "memory_limit");
        for setting in self.settings.values_mut() {
            if let Value::Percent(percent) = setting.value {
                setting.value = Value::Count(limit / 100 * percent);
            }
        }
        // What is held at the same time; the rest is for connections and for the server itself.
        let held = ["statement_memory", "block_cache_size", "column_cache_size", "write_buffer_size"];
        let sum: u64 = held.iter().map(|name| self.count("memory", name)).sum();
        if sum > limit {
            let sizes = held.map(|name| format!("{name} {} MB", self.count("memory", name) >> 20));
            return Err(ConfigError(format!(
                "memory.memory_limit is {}, but {} are more together",
                format_bytes(limit),
                sizes.join(", ")
            )));
        }
        Ok(())
    }

    /// Checks what no setting alone can tell.
    fn check(&self) -> Result<(), ConfigError> {
        let tls = [self.text("postgres", "tls_certificate"), self.text("postgres", "tls_key")];
        if tls[0].is_empty() != tls[1].is_empty() {
            return Err(ConfigError(
                "postgres.tls_certificate and postgres.tls_key are set together or not at all".into(),
            ));
        }
        if self.flag("security", "require_auth") {
            return Ok(());
        }
        for door in ["postgres", "http", "prometheus", "otlp", "graphite", "opentsdb"] {
            let host = self.host(door);
            if self.flag(door, "enabled") && !is_loopback(&host) {
                return Err(ConfigError(format!(
                    "security.require_auth is false, but {door} listens on {host}: an open server may \
                     only listen on a loopback address"
                )));
            }
        }
        Ok(())
    }

    /// All settings in the order of `luma.toml`.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        KEYS.iter().filter_map(|key| self.settings.get(&(key.section, key.name)))
    }

    fn value(&self, section: &str, name: &str) -> Option<&Value> {
        let key = keys::find(section, name)?;
        self.settings.get(&(key.section, key.name)).map(|setting| &setting.value)
    }

    /// A truth value.
    pub fn flag(&self, section: &str, name: &str) -> bool {
        matches!(self.value(section, name), Some(Value::Bool(true)))
    }

    /// A text.
    pub fn text(&self, section: &str, name: &str) -> &str {
        match self.value(section, name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A number or a size in bytes.
    pub fn count(&self, section: &str, name: &str) -> u64 {
        match self.value(section, name) {
            Some(Value::Count(count)) => *count,
            _ => 0,
        }
    }

    /// A time.
    pub fn duration(&self, section: &str, name: &str) -> Duration {
        match self.value(section, name) {
            Some(Value::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }

    /// Whether nobody said anything about a setting.
    pub fn is_default(&self, section: &str, name: &str) -> bool {
        let key = keys::find(section, name);
        let setting = key.and_then(|key| self.settings.get(&(key.section, key.name)));
        setting.is_none_or(|setting| setting.source == Source::Default)
    }

    /// The address a door listens on.
    pub fn host(&self, door: &str) -> String {
        match self.text(door, "host") {
            "" => self.text("server", "host").to_owned(),
            host => host.to_owned(),
        }
    }

    /// The directory of the database.
    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(self.text("storage", "data_dir"))
    }
}

/// Whether nobody outside of this machine reaches an address.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The path that a variable seems to mean if it is none but begins as one.
fn misspelt_variable(name: &str) -> Option<String> {
    let rest = name.strip_prefix("LUMADB_")?.to_ascii_lowercase();
    let (section, key) = rest.split_once('_')?;
    KEYS.iter().any(|known| known.section == section).then(|| keys::path(section, key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolve(
        text: &str,
        variables: &[(&str, &str)],
        overrides: &[Override],
    ) -> Result<Config, ConfigError> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::resolve(Some(("luma.toml", text)), &variables, overrides)
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_the_preset() {
        let flag = Override { flag: "--postgres-port", section: "postgres", name: "port", text: "3".into() };
        let text = "preset = \"low_memory\"\n[postgres]\nport = 1\n[memory]\nmemtable_size = \"8MB\"\n";
        let variables = [("LUMADB_POSTGRES_PORT", "2"), ("LUMADB_HTTP_PORT", "4")];
        let config = resolve(text, &variables, &[flag]).unwrap();
        assert_eq!(config.count("postgres", "port"), 3);
        assert_eq!(config.count("http", "port"), 4);
        assert_eq!(config.count("memory", "memtable_size"), 8 << 20);
        assert_eq!(config.count("memory", "block_cache_size"), (128 << 20) / 100 * 12);
        assert_eq!(config.count("wal", "max_file_size"), 8 << 20);
    }

    #[test]
    fn a_wrong_value_names_setting_value_place_and_what_is_allowed() {
        let error = resolve("[postgres]\nport = 70000\n", &[], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "luma.toml line 2: postgres.port is \"70000\", but allowed is a whole number from 0 to 65535"
        );
        let error = resolve("", &[("LUMADB_WAL_SYNC_MODE", "Always")], &[]).unwrap_err().to_string();
        assert!(error.contains("LUMADB_WAL_SYNC_MODE") && error.contains("\"always\""), "{error}");
    }

    #[test]
    fn memory_is_shared_out_of_one_limit() {
        let config =
            resolve("[memory]\nmemory_limit = \"256MB\"\nbuild_memory = \"2MB\"\n", &[], &[]).unwrap();
        assert_eq!(config.count("memory", "block_cache_size"), (256 << 20) / 100 * 25);
        assert_eq!(config.count("memory", "build_memory"), 2 << 20);
        let error = resolve("[memory]\nmemory_limit = \"256MB\"\nblock_cache_size = \"200MB\"\n", &[], &[]);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("memory_limit is 256MB") && error.contains("block_cache_size 200 MB"),
            "{error}"
        );
    }

    #[test]
    fn a_misspelt_variable_of_a_section_is_an_error_and_others_are_not_ours() {
        let error = resolve("", &[("LUMADB_POSTGRES_PROT", "1")], &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean postgres.port?"), "{error}");
        assert!(resolve("", &[("LUMADB_URL", "x"), ("LUMADB_TEST_DATA", "x")], &[]).is_ok());
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        let certificate = ("LUMADB_POSTGRES_TLS_CERTIFICATE", "c.pem");
        let error = resolve("", &[certificate], &[]).unwrap_err().to_string();
        assert!(error.contains("set together"), "{error}");
        assert!(resolve("", &[certificate, ("LUMADB_POSTGRES_TLS_KEY", "k.pem")], &[]).is_ok());
    }

    #[test]
    fn an_open_server_may_only_listen_on_loopback() {
        let open = "[security]\nrequire_auth = false\n";
        assert!(resolve(open, &[], &[]).is_ok());
        assert!(resolve(open, &[("LUMADB_SERVER_HOST", "::1")], &[]).is_ok());
        let error = resolve(open, &[("LUMADB_SERVER_HOST", "0.0.0.0")], &[]).unwrap_err().to_string();
        assert!(error.contains("loopback"), "{error}");
        assert!(resolve("", &[("LUMADB_SERVER_HOST", "0.0.0.0")], &[]).is_ok());
    }
}
