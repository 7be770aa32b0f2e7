//! Where entries come from by themselves: HTTP with JSON, CSV files, SQL databases, files, lists of routes.
//!
//! Every source gives JSON objects, which a template turns into entries: `url = "/products/{slug}"` takes the
//! column or field `slug`. An object that has the fields of an entry needs no template.

mod database;
mod files;
mod web;

pub(crate) use web::client;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::Entry;
use crate::error::{Error, Result};

/// Where entries come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SourceConfig {
    /// A JSON answer over HTTP.
    Http {
        /// Where to ask.
        url: String,
        /// Headers to send.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Where the list is in the answer, as a path such as `data.items`; the answer itself if not given.
        #[serde(default)]
        items: String,
        /// Where the URL of the next page is in the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// How an item becomes an entry.
        #[serde(default)]
        map: BTreeMap<String, String>,
    },
    /// A file of comma-separated values.
    Csv {
        /// The file.
        path: PathBuf,
        /// How a row becomes an entry.
        #[serde(default)]
        map: BTreeMap<String, String>,
    },
    /// A query of a database that speaks PostgreSQL's protocol, such as LumaDB.
    Sql {
        /// `postgres://user:password@host/database`
        url: String,
        /// The query.
        query: String,
        /// How a row becomes an entry.
        #[serde(default)]
        map: BTreeMap<String, String>,
    },
    /// Files that match a pattern.
    Glob {
        /// The directory they are in.
        root: PathBuf,
        /// Such as `**/*.html`.
        pattern: String,
        /// The URL of the directory.
        #[serde(default)]
        prefix: String,
    },
    /// A list of routes, here or in a JSON file: texts or entries.
    Routes {
        /// The file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<PathBuf>,
        /// The routes.
        #[serde(default)]
        routes: Vec<Value>,
    },
}

/// What a source gives to: an entry, or why there is none.
pub type EntrySink<'a> = &'a mut dyn FnMut(Result<Entry, String>) -> Result<()>;

impl SourceConfig {
    /// Makes paths relative to a directory.
    pub(crate) fn resolve_paths(&mut self, directory: &Path) {
        match self {
            Self::Csv { path, .. } | Self::Routes { path: Some(path), .. } => *path = directory.join(&*path),
            Self::Glob { root, .. } => *root = directory.join(&*root),
            Self::Http { .. } | Self::Sql { .. } | Self::Routes { path: None, .. } => {}
        }
    }

    /// What it is called in messages. No password is in it.
    pub fn name(&self) -> String {
        match self {
            Self::Http { url, .. } => format!("http {}", without_secrets(url)),
            Self::Csv { path, .. } => format!("csv {}", path.display()),
            Self::Sql { url, .. } => format!("sql {}", without_secrets(url)),
            Self::Glob { root, pattern, .. } => format!("glob {}/{pattern}", root.display()),
            Self::Routes { path: Some(path), .. } => format!("routes {}", path.display()),
            Self::Routes { .. } => "routes".to_owned(),
        }
    }

    /// Asks the source, blocking the thread. Entries are given one by one.
    ///
    /// # Errors
    /// [`Error::Source`] when it does not answer as it should; what `sink` says.
    pub fn resolve(&self, sink: EntrySink<'_>) -> Result<()> {
        match self {
            Self::Http { url, headers, items, next, map } => {
                web::resolve(self, url, headers, items, next.as_deref(), map, sink)
            }
            Self::Csv { path, map } => files::csv(self, path, map, sink),
            Self::Sql { url, query, map } => database::resolve(self, url, query, map, sink),
            Self::Glob { root, pattern, prefix } => files::glob(self, root, pattern, prefix, sink),
            Self::Routes { path, routes } => files::routes(self, path.as_deref(), routes, sink),
        }
    }

    fn failed(&self, reason: impl ToString) -> Error {
        Error::Source { source_name: self.name(), reason: reason.to_string() }
    }
}

fn without_secrets(url: &str) -> String {
    url::Url::parse(url).map_or_else(
        |_| "(no URL)".to_owned(),
        |mut url| {
            // Fails only for URLs that can't have any.
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        },
    )
}

/// Makes an entry of an object by a template.
fn entry_of(object: &Value, map: &BTreeMap<String, String>) -> Result<Entry, String> {
    if let Value::String(url) = object {
        return Ok(Entry::new(url));
    }
    if map.is_empty() {
        return serde_json::from_value(object.clone()).map_err(|error| error.to_string());
    }
    let mut fields = Map::new();
    for (field, template) in map {
        let value = if template.contains('{') {
            Some(Value::String(fill(template, object)?))
        } else {
            lookup(object, template).filter(|value| !value.is_null()).cloned()
        };
        if let Some(value) = value {
            fields.insert(field.clone(), value);
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

/// Follows a path such as `data.items.0`.
fn lookup<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(value, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn fill(template: &str, object: &Value) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("the template {template} has no }}"))?;
        out.push_str(before);
        match lookup(object, name) {
            Some(Value::String(text)) => out.push_str(text),
            Some(Value::Number(number)) => out.push_str(&number.to_string()),
            _ => return Err(format!("it has no text or number \"{name}\"")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_make_entries() {
        let map: BTreeMap<_, _> =
            [("url", "/p/{slug}-{id}"), ("lastmod", "meta.changed"), ("priority", "none")]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .into();
        let entry =
            entry_of(&json!({"slug": "a b", "id": 7, "meta": {"changed": "2026-11-21"}}), &map).unwrap();
        assert_eq!((entry.url.as_str(), entry.priority), ("/p/a b-7", None));
        assert_eq!(entry.lastmod.unwrap().to_string(), "2026-11-21");
        assert!(entry_of(&json!({"id": 7}), &map).unwrap_err().contains("slug"));
        assert_eq!(entry_of(&json!("/x"), &map).unwrap().url, "/x");
    }

    #[test]
    fn names_hide_passwords() {
        let source = SourceConfig::Sql {
            url: "postgres://u:secret@h/d?password=secret".to_owned(),
            query: String::new(),
            map: BTreeMap::new(),
        };
        assert!(!source.name().contains("secret"), "{}", source.name());
    }
}
