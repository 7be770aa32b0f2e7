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
