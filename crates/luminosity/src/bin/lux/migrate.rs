//! `lux migrate`: what the earlier project left becomes a store and a configuration.
//!
//! The old files are only read. The snapshot comes first and the log of operations after it, as they were
//! written; a torn last line and a damaged entry are reported and the rest goes in.

use std::path::{Path, PathBuf};
use std::time::Instant;

use luminosity::{Config, Engine, Format};
use serde_json::{Map, Value, json};

use crate::arguments::{Migrate, Options};
use crate::import::{Rejects, one, tell};
use crate::store::open;
use crate::{Done, Ended, Failure};

const CONFIGS: [&str; 2] = ["gravito.seo.config.json", "gravito.seo.config"];

pub(crate) fn run(options: &Options, wanted: &Migrate) -> Done {
    if !wanted.from.is_dir() {
        return Err(Failure(format!("{} is no directory", wanted.from.display())));
    }
    if wanted.write.exists() {
        return Err(Failure(format!(
            "{} exists already; remove it, or write elsewhere with --write",
            wanted.write.display()
        )));
    }
    let old = CONFIGS.iter().map(|name| wanted.from.join(name)).find(|path| path.is_file());
    let data = ["sitemap.snapshot.json", "sitemap.ops.jsonl"];
    let found = |place: &std::path::Path| data.iter().any(|name| place.join(name).is_file());
    if old.is_none() && !found(&wanted.from) && !found(&wanted.from.join(".luminosity")) {
        return Err(Failure(format!(
            "{} has no gravito.seo.config, sitemap.snapshot.json or sitemap.ops.jsonl",
            wanted.from.display()
        )));
    }
    let (mut fields, dropped) = match &old {
        Some(path) => known_fields(path)?,
        None => (Map::new(), Vec::new()),
    };
    for reason in &dropped {
        eprintln!("left out: {reason}");
    }
    if let Some(url) = &options.url {
        fields.insert("baseUrl".to_owned(), json!(url));
    }
    let mut config: Config = serde_json::from_value(Value::Object(fields.clone()))?;
    let logs =
        [wanted.from.join(&config.incremental.log_dir), wanted.from.clone(), wanted.from.join(".luminosity")];
    config.incremental.log_dir = options.dir.clone().unwrap_or_else(|| PathBuf::from(".luminosity"));
    let engine = open(&config, true)?;
    let begun = Instant::now();
    let (summary, files) = take_in(&engine, &logs, options)?;
    if files == 0 {
        eprintln!("no sitemap.snapshot.json or sitemap.ops.jsonl was found");
    }
    fields.insert("baseUrl".to_owned(), json!(engine.site().origin()));
    let mut incremental = fields.get("incremental").and_then(Value::as_object).cloned().unwrap_or_default();
    incremental.remove("log_dir");
    incremental.insert("logDir".to_owned(), json!(std::path::absolute(&config.incremental.log_dir)?));
    fields.insert("incremental".to_owned(), Value::Object(incremental));
    std::fs::write(&wanted.write, serde_json::to_string_pretty(&Value::Object(fields))? + "\n")?;
    tell(options, &summary, begun)?;
    Ok(Ended::with_findings(summary.rejected > 0 || !dropped.is_empty()))
}

/// The keys that mean something here, and why others were left out.
fn known_fields(path: &Path) -> Result<(Map<String, Value>, Vec<String>), Failure> {
    let said = |reason: String| Failure(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
    let all: Map<String, Value> = serde_json::from_str(&text).map_err(|error| said(error.to_string()))?;
    let (mut kept, mut dropped) = (Map::new(), Vec::new());
    for (key, value) in all {
        let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        match serde_json::from_value::<Config>(alone) {
            Ok(_) => drop(kept.insert(key, value)),
            Err(error) => dropped.push(format!("{key}: {error}")),
        }
    }
    Ok((kept, dropped))
}

fn take_in(
    engine: &Engine,
    places: &[PathBuf],
    options: &Options,
) -> Result<(luminosity::Summary, usize), Failure> {
    let mut rejects = Rejects::new(None)?;
    let mut total = luminosity::Summary::default();
    let mut files = 0;
    for (name, format) in [("sitemap.snapshot.json", Format::Json), ("sitemap.ops.jsonl", Format::Jsonl)] {
        let Some(file) = places.iter().map(|place| place.join(name)).find(|file| file.is_file()) else {
            continue;
        };
        rejects.name = file.display().to_string();
        crate::import::add(&mut total, &one(engine, &file, format, &mut rejects, !options.json)?);
        files += 1;
    }
    rejects.finish()?;
    Ok((total, files))
}
