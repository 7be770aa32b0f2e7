//! `lux init`: a configuration in which every key is explained.

use std::io::Write;

use luminosity::{Config, Site};

use crate::arguments::{Init, Options};
use crate::{Done, Ended, Failure};

const TEMPLATE: &str = include_str!("luminosity.toml");
/// What stands for the site in the template.
const PLACEHOLDER: &str = "https://example.com";

pub(crate) fn run(options: &Options, wanted: &Init) -> Done {
    let site = wanted.site.as_ref().or(options.url.as_ref());
    let text = match site {
        Some(site) => TEMPLATE.replace(PLACEHOLDER, Site::new(site)?.origin()),
        None => TEMPLATE.to_owned(),
    };
    let shown = wanted.write.display();
    let mut open = std::fs::OpenOptions::new();
    if wanted.force {
        open.create(true).truncate(true);
    } else {
        open.create_new(true);
    }
    let mut file = open.write(true).open(&wanted.write).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure(format!("{shown} exists already; --force replaces it")),
        _ => Failure(format!("{shown}: {error}")),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| Failure(format!("{shown}: {error}")))?;
    let config = Config::read(&wanted.write)?;
    println!("{shown} is written, for {}", config.base_url);
    if site.is_none() {
        println!("set base_url in it to your site");
    }
    Ok(Ended::Well)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::Value;

    /// Whether something that may be set is not.
    fn missing(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Object(map) => map.values().any(missing),
            _ => false,
        }
    }

    fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    paths(value, &format!("{at}.{key}"), out);
                }
            }
            Value::Null => {}
            _ => out.push(at.to_owned()),
        }
    }

    /// The template with its examples.
    fn with_examples() -> String {
        let is_example = |rest: &str| {
            rest.starts_with('[')
                || rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        };
        let plain = |line| str::strip_prefix(line, "# ").filter(|rest| is_example(rest)).unwrap_or(line);
        TEMPLATE.lines().map(plain).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_template_says_the_defaults_and_its_examples_every_key() {
        let mut written: Config = toml::from_str(TEMPLATE).unwrap();
        assert_eq!(written.robots.take().unwrap().rules.len(), 1);
        written.base_url = String::new();
        assert_eq!(written, Config::default());
        let full: Config = toml::from_str(&with_examples()).unwrap();
        assert_eq!(full.sources.len(), 5);
        let value = serde_json::to_value(&full).unwrap();
        assert!(!missing(&value), "{value}");
        let mut there = Vec::new();
        paths(&value, "", &mut there);
        for key in [
            ".server.token",
            ".server.webhookSecret",
            ".output.url",
            ".output.stylesheet",
            ".indexNow.key",
            ".robots.host",
        ] {
            assert!(there.iter().any(|known| known == key), "{key}: {there:?}");
        }
    }
}
