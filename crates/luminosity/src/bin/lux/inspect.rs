//! Commands that look.

use std::io::{BufWriter, Write};
use std::path::Path;

use luminosity::{Severity, Verifier};

use crate::arguments::{List, Options};
use crate::store::{config, existing, print_json};
use crate::{Done, Ended, Failure};

pub(crate) fn get(options: &Options, url: &str) -> Done {
    match existing(options)?.get(url)? {
        Some(entry) => print_json(&entry).map(|()| Ended::Well),
        None => Err(Failure(format!("{url} is not known"))),
    }
}

pub(crate) fn list(options: &Options, wanted: &List) -> Done {
    let engine = existing(options)?;
    let prefix = wanted.prefix.as_deref().unwrap_or_default();
    let prefix = if prefix.starts_with('/') {
        format!("{}{prefix}", engine.site().origin())
    } else {
        prefix.to_owned()
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut left = wanted.limit.unwrap_or(usize::MAX);
    for entry in engine.entries_by_url()? {
        let entry = entry?;
        if !entry.url.starts_with(&prefix) {
            continue;
        }
        if left == 0 {
            break;
        }
        left -= 1;
        let written = if options.json {
            serde_json::to_writer(&mut out, &entry).map_err(Into::into).and_then(|()| out.write_all(b"\n"))
        } else {
            writeln!(out, "{}", entry.url)
        };
        match written {
            // Like `lux list | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Ended::Well),
            other => other?,
        }
    }
    out.flush()?;
    Ok(Ended::Well)
}

pub(crate) fn stats(options: &Options) -> Done {
    let engine = existing(options)?;
    let stats = engine.stats()?;
    if options.json {
        print_json(&stats)?;
        return Ok(Ended::Well);
    }
    println!("Site:        {}", engine.site().origin());
    println!("Total URLs:  {} ({} listed)", stats.urls, stats.listed);
    println!("Index size:  {} bytes in tables, {} bytes in the log", stats.disk_bytes, stats.log_bytes);
    println!("Fragments:   {} ({} bytes of XML)", stats.fragments, stats.xml_bytes);
    Ok(Ended::Well)
}

pub(crate) fn check(options: &Options) -> Done {
    let entries = existing(options)?.check()?;
    println!("{entries} entries; everything agrees");
    Ok(Ended::Well)
}

pub(crate) fn verify(options: &Options, targets: &[String]) -> Done {
    let config = config(options)?;
    let site = if config.base_url.is_empty() {
        None
    } else {
        Some(luminosity::Site::with_hosts(&config.base_url, &config.hosts)?)
    };
    let mut verifier = Verifier::new(site);
    for target in targets {
        if target.starts_with("https://") || target.starts_with("http://") {
            verifier.url(target)?;
        } else {
            verifier.path(Path::new(target))?;
        }
    }
    let found = verifier.found;
    if options.json {
        print_json(&found)?;
        return Ok(Ended::with_findings(found.errors > 0));
    }
    for problem in &found.problems {
        let kind = if problem.severity == Severity::Error { "error" } else { "warning" };
        println!("{}:{}: {kind}: {}", problem.file, problem.line, problem.message);
    }
    println!(
        "{} files, {} URLs, {} sitemaps named: {} errors, {} warnings",
        found.files, found.urls, found.sitemaps, found.errors, found.warnings
    );
    Ok(Ended::with_findings(found.errors > 0))
}
