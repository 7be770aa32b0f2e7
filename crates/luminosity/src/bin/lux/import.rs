//! `lux import`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use luminosity::{Engine, Format, ImportProgress, Rejected, Summary, maybe_gzip};

use crate::arguments::{Form, Import, Options};
use crate::store::{config, open, print_json};
use crate::{Done, Ended, Failure};

/// Rejects told one by one on standard error.
const SHOWN: u64 = 20;
/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(options: &Options, wanted: &Import) -> Done {
    let mut config = config(options)?;
    config.output.max_entries_per_sitemap = wanted.max_entries.or(config.output.max_entries_per_sitemap);
    let engine = open(&config, true)?;
    let mut rejects = Rejects::new(wanted.rejects.as_deref())?;
    let mut total = Summary::default();
    let begun = Instant::now();
    for file in &wanted.files {
        let format = format_of(file, wanted.format)?;
        rejects.name = file.display().to_string();
        let summary = one(&engine, file, format, &mut rejects, !options.json)?;
        add(&mut total, &summary);
        if wanted.follow {
            tell(options, &total, begun)?;
            return follow(&engine, file, format, &mut rejects);
        }
    }
    rejects.finish()?;
    tell(options, &total, begun)?;
    Ok(Ended::with_findings(total.rejected > 0))
}

fn format_of(file: &Path, given: Option<Form>) -> Result<Format, Failure> {
    let named = || Format::of_name(&file.to_string_lossy());
    match given {
        Some(Form::Jsonl) => Ok(Format::Jsonl),
        Some(Form::Json) => Ok(Format::Json),
        Some(Form::Csv) => Ok(Format::Csv),
        Some(Form::Xml) => Ok(Format::Xml),
        Some(Form::Text) => Ok(Format::Text),
        None if file == Path::new("-") => Ok(Format::Jsonl),
        None => named().ok_or_else(|| {
            Failure(format!("the name of {} does not tell its form: say --format", file.display()))
        }),
    }
}

/// Imports a file, with a progress bar where there is a terminal.
pub(crate) fn one(
    engine: &Engine,
    file: &Path,
    format: Format,
    rejects: &mut Rejects,
    progress: bool,
) -> Result<Summary, Failure> {
    let said = |error: std::io::Error| Failure(format!("{}: {error}", file.display()));
    let (mut input, length): (Box<dyn Read + Send>, Option<u64>) = if file == Path::new("-") {
        (maybe_gzip(BufReader::new(std::io::stdin())).map_err(said)?, None)
    } else {
        let opened = File::open(file).map_err(said)?;
        let packed = file.extension().is_some_and(|extension| extension == "gz");
        let length = opened.metadata().map_err(said)?.len();
        (maybe_gzip(BufReader::with_capacity(256 << 10, opened)).map_err(said)?, (!packed).then_some(length))
    };
    let bar = bar(length, progress);
    let summary = engine.import(
        &mut *input,
        format,
        &mut |reject| bar.suspend(|| rejects.take(reject)),
        &mut |reached: ImportProgress| {
            bar.set_position(if length.is_some() { reached.bytes } else { reached.lines });
        },
    );
    bar.finish_and_clear();
    summary.map_err(|error| Failure(format!("{}: {error}", file.display())))
}

fn bar(length: Option<u64>, wanted: bool) -> ProgressBar {
    if !wanted {
        return ProgressBar::hidden();
    }
    let template = if length.is_some() {
        "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{spinner} {human_pos} lines {per_sec}"
    };
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

pub(crate) fn add(total: &mut Summary, more: &Summary) {
    total.added += more.added;
    total.updated += more.updated;
    total.unchanged += more.unchanged;
    total.removed += more.removed;
    total.absent += more.absent;
    total.rejected += more.rejected;
}

pub(crate) fn tell(options: &Options, total: &Summary, begun: Instant) -> Result<(), Failure> {
    if options.json {
        return print_json(total);
    }
    let Summary { added, updated, unchanged, removed, absent, rejected, .. } = total;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{added} added, {updated} updated, {unchanged} unchanged, {removed} removed, {absent} absent, \
         {rejected} rejected in {seconds:.2} s"
    );
    Ok(())
}

/// Where rejects are told.
pub(crate) struct Rejects {
    pub(crate) name: String,
    file: Option<std::io::BufWriter<File>>,
    count: u64,
    failed: Option<std::io::Error>,
}

impl Rejects {
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        let create = |path: &Path| {
            File::create(path)
                .map(std::io::BufWriter::new)
                .map_err(|error| Failure(format!("{}: {error}", path.display())))
        };
        Ok(Self { name: String::new(), file: file.map(create).transpose()?, count: 0, failed: None })
    }

    fn take(&mut self, reject: &Rejected) {
        self.count += 1;
        if let Some(file) = &mut self.file {
            let json = serde_json::json!({ "file": self.name, "line": reject.at, "reason": reject.reason });
            if let Err(error) = writeln!(file, "{json}") {
                self.failed.get_or_insert(error);
            }
        } else if self.count <= SHOWN {
            eprintln!("{}:{}: {}", self.name, reject.at, reject.reason);
        } else if self.count == SHOWN + 1 {
            eprintln!("… more are rejected; --rejects FILE keeps all of them");
        }
    }

    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        self.failed.take().map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Takes in whole lines as they are appended, until the process is stopped. A file that became shorter is
/// another one, and is read from its start.
fn follow(engine: &Engine, file: &Path, format: Format, rejects: &mut Rejects) -> Done {
    if !matches!(format, Format::Jsonl | Format::Text) || file == Path::new("-") {
        return Err(Failure("--follow needs a file of lines: JSONL or a list of URLs".to_owned()));
    }
    let mut at = whole_lines(file)?;
    loop {
        std::thread::sleep(LOOK);
        // It may be away while it is replaced.
        let Ok(mut opened) = File::open(file) else { continue };
        let length = opened.metadata()?.len();
        if length < at {
            at = 0;
        }
        if length == at {
            continue;
        }
        opened.seek(SeekFrom::Start(at))?;
        let mut appended = Vec::new();
        opened.take(64 << 20).read_to_end(&mut appended)?;
        let Some(end) = appended.iter().rposition(|byte| *byte == b'\n') else { continue };
        appended.truncate(end + 1);
        at += appended.len() as u64;
        engine.import(&mut appended.as_slice(), format, &mut |reject| rejects.take(reject), &mut |_| {})?;
        rejects.finish()?;
    }
}

/// How far the file's last line break is: a torn line is read again when it is whole.
fn whole_lines(file: &Path) -> Result<u64, Failure> {
    let mut opened = File::open(file)?;
    let mut end = opened.metadata()?.len();
    let mut buffer = vec![0; 64 << 10];
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let part = &mut buffer[..(end - start) as usize];
        opened.seek(SeekFrom::Start(start))?;
        opened.read_exact(part)?;
        if let Some(found) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + found as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
