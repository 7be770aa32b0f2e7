//! Commands that write files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use luminosity::{Engine, Mode, Moment, PageMeta, Publication};
use serde_json::json;

use crate::arguments::{Export, ExportForm, Generate, Options};
use crate::store::{config, existing, open, print_json};
use crate::{Done, Ended, Failure};

pub(crate) fn generate(options: &Options, wanted: &Generate) -> Done {
    let mut config = config(options)?;
    if let Some(place) = wanted.place.clone().or_else(|| wanted.out.clone()) {
        config.output.path = place;
    }
    let destination = config.output.destination()?;
    let asks = config.mode != Mode::Incremental && !config.sources.is_empty();
    let engine = open(&config, asks)?;
    let mut complete = true;
    if asks && !wanted.dry_run {
        let refreshed = engine.refresh(&config.sources, &mut |_| {})?;
        for failed in &refreshed.failed {
            eprintln!("{failed}");
        }
        complete = refreshed.failed.is_empty();
    }
    let output = &config.output;
    let publication = Publication {
        destination,
        filename: wanted.filename.clone().unwrap_or_else(|| output.filename.clone()),
        gzip: wanted.gzip || output.gzip,
        url: wanted.public_url.clone().or_else(|| output.url.clone()),
        robots: config.robots.is_some().then(|| config.robots_txt(engine.site())).transpose()?,
        threads: None,
        dry_run: wanted.dry_run,
    };
    let bar = progress_bar(!options.json && !wanted.dry_run);
    let published = engine.publish_with(&publication, &|done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if options.json {
        print_json(&published)?;
    } else {
        println!(
            "{} URLs in {} fragments: {} files {}, {} kept, {} removed, {} bytes",
            published.urls,
            published.fragments,
            published.written.len(),
            if wanted.dry_run { "to write" } else { "written" },
            published.kept,
            published.removed.len(),
            published.bytes
        );
    }
    Ok(Ended::with_findings(!complete))
}

/// Shown where there is a terminal.
fn progress_bar(wanted: bool) -> ProgressBar {
    if !wanted {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} fragments {eta}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub(crate) fn robots(options: &Options) -> Done {
    let config = config(options)?;
    // Without a configured site, it is that of the store; without either, no sitemap is named by itself.
    let text = if config.base_url.is_empty() && !config.incremental.log_dir.exists() {
        config.robots.unwrap_or_default().render()?
    } else if config.base_url.is_empty() {
        config.robots_txt(open(&config, false)?.site())?
    } else {
        config.robots_txt(&luminosity::Site::with_hosts(&config.base_url, &config.hosts)?)?
    };
    print!("{text}");
    Ok(Ended::Well)
}

pub(crate) fn meta(file: &Path) -> Done {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    let page: PageMeta =
        serde_json::from_str(&text).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    print!("{}", page.render());
    Ok(Ended::Well)
}

pub(crate) fn export(options: &Options, wanted: &Export) -> Done {
    let engine = existing(options)?;
    if wanted.file == Path::new("-") {
        write(&engine, wanted.format, &mut BufWriter::new(std::io::stdout().lock()))?;
        return Ok(Ended::Well);
    }
    // A file that is there stays whole until the new one is.
    let mut part = wanted.file.clone().into_os_string();
    part.push(".part");
    let said = |error: std::io::Error| Failure(format!("{}: {error}", wanted.file.display()));
    let mut out = BufWriter::new(File::create(&part).map_err(said)?);
    write(&engine, wanted.format, &mut out)?;
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .map_err(said)?;
    std::fs::rename(&part, &wanted.file).map_err(said)?;
    Ok(Ended::Well)
}

fn write(engine: &Engine, form: ExportForm, out: &mut dyn Write) -> Result<(), Failure> {
    let now = Moment::now().millis;
    let mut first = true;
    if form == ExportForm::Json {
        out.write_all(b"[")?;
    }
    for entry in engine.entries_by_url()? {
        let entry = entry?;
        match form {
            ExportForm::Jsonl => writeln!(out, "{}", serde_json::to_string(&entry)?)?,
            ExportForm::Ops => writeln!(out, "{}", json!({ "op": "add", "timestamp": now, "entry": entry }))?,
            ExportForm::Text => writeln!(out, "{}", entry.url)?,
            ExportForm::Json => {
                write!(out, "{}\n{}", if first { "" } else { "," }, serde_json::to_string(&entry)?)?;
            }
        }
        first = false;
    }
    if form == ExportForm::Json {
        out.write_all(b"\n]\n")?;
    }
    Ok(out.flush()?)
}
