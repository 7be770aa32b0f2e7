//! Entries as comma-separated values. The first line names the columns: `url` (or `loc`), `lastmod`,
//! `changefreq`, `priority`, and `image`, `image_title`, `image_caption` for one image, and `alternate_de`
//! (any language) for a page in another language.

use std::io::Read;

use super::{ImportProgress, Sink};
use crate::engine::Change;
use crate::entry::{Alternate, ChangeFreq, Entry, Image, Priority};
use crate::error::{Error, Result};
use crate::moment::Moment;
use crate::record::{Prepared, Scratch};
use crate::site::Site;

#[derive(Clone, Debug, PartialEq)]
enum Column {
    Url,
    Lastmod,
    ChangeFreq,
    Priority,
    Image,
    ImageTitle,
    ImageCaption,
    Alternate(String),
}

impl Column {
    fn named(name: &str) -> Result<Self> {
        let name = name.trim().trim_start_matches('\u{feff}');
        Ok(match name.to_ascii_lowercase().replace('-', "_").as_str() {
            "url" | "loc" => Self::Url,
            "lastmod" | "last_modified" | "lastmodified" => Self::Lastmod,
            "changefreq" => Self::ChangeFreq,
            "priority" => Self::Priority,
            "image" | "image_url" | "image_loc" => Self::Image,
            "image_title" => Self::ImageTitle,
            "image_caption" => Self::ImageCaption,
            other => match other.strip_prefix("alternate_") {
                Some(lang) => Self::Alternate(lang.replace('_', "-")),
                None => {
                    return Err(Error::Settings(format!(
                        "column \"{name}\" is not known; known are url, lastmod, changefreq, priority, image, \
                         image_title, image_caption and alternate_<language>"
                    )));
                }
            },
        })
    }
}

fn set(entry: &mut Entry, column: &Column, value: &str) -> Result<(), String> {
    if value.is_empty() && *column != Column::Url {
        return Ok(());
    }
    let text = || value.to_owned();
    let image = |entry: &mut Entry, change: &dyn Fn(&mut Image)| {
        if entry.images.is_empty() {
            entry.images.push(Image::default());
        }
        entry.images.iter_mut().for_each(change);
    };
    match column {
        Column::Url => entry.url = text(),
        Column::Lastmod => entry.lastmod = Some(Moment::parse(value).map_err(|reason| reason.to_string())?),
        Column::ChangeFreq => {
            let freq = ChangeFreq::parse(&value.to_ascii_lowercase());
            entry.changefreq = Some(freq.ok_or_else(|| format!("\"{value}\" is no change frequency"))?);
        }
        Column::Priority => {
            let number = value.parse().map_err(|_| format!("priority \"{value}\" is no number"))?;
            entry.priority = Some(Priority::new(number).map_err(|reason| reason.to_string())?);
        }
        Column::Image => image(entry, &|image| image.url = text()),
        Column::ImageTitle => image(entry, &|image| image.title = Some(text())),
        Column::ImageCaption => image(entry, &|image| image.caption = Some(text())),
        Column::Alternate(lang) => {
            entry.alternates.push(Alternate { lang: lang.clone(), url: text() });
        }
    }
    Ok(())
}

pub(super) fn rows(
    site: &Site,
    input: &mut (dyn Read + Send),
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(input);
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io("the input".as_ref(), error),
        other => Error::Settings(format!("the first line names no columns: {other:?}")),
    };
    let columns: Vec<Column> =
        reader.headers().map_err(failed)?.iter().map(Column::named).collect::<Result<_>>()?;
    if !columns.contains(&Column::Url) {
        return Err(Error::Settings(
            "no column is named url; the first line must name the columns".to_owned(),
        ));
    }
    let mut scratch = Scratch::for_many();
    let mut row = csv::ByteRecord::new();
    let mut reached = ImportProgress::default();
    loop {
        match reader.read_byte_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(failed(error)),
        }
        let at = row.position().map_or(0, csv::Position::line);
        reached.lines += 1;
        reached.bytes = row.position().map_or(0, csv::Position::byte);
        sink.push(at, parse(site, &columns, &row, &mut scratch))?;
        if reached.lines % 1024 == 0 {
            progress(reached);
        }
    }
}

fn parse(
    site: &Site,
    columns: &[Column],
    row: &csv::ByteRecord,
    scratch: &mut Scratch,
) -> Result<Option<Change>, String> {
    if row.len() != columns.len() {
        return Err(format!("the line has {} values, the first line names {}", row.len(), columns.len()));
    }
    let mut entry = Entry::default();
    for (column, value) in columns.iter().zip(row) {
        let value = std::str::from_utf8(value).map_err(|_| "a value is not UTF-8".to_owned())?;
        set(&mut entry, column, value)?;
    }
    let prepared = Prepared::new(site, entry, scratch).map_err(|reason| reason.to_string())?;
    Ok(Some(Change::List(prepared)))
}
