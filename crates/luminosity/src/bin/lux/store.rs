//! The configuration and the store it names.

use luminosity::{Config, Engine};

use crate::Failure;
use crate::arguments::Options;

/// The configuration, with what was typed put over it.
pub(crate) fn config(options: &Options) -> Result<Config, Failure> {
    let found = match &options.config {
        Some(file) => Some(Config::read(file)?),
        None => Config::find()?,
    };
    let mut config = found.unwrap_or_default();
    if let Some(dir) = &options.dir {
        config.incremental.log_dir.clone_from(dir);
    }
    if let Some(url) = &options.url {
        config.base_url.clone_from(url);
    }
    Ok(config)
}

/// The store, which must be there unless `make`.
pub(crate) fn open(config: &Config, make: bool) -> Result<Engine, Failure> {
    let directory = &config.incremental.log_dir;
    if !make && !directory.exists() {
        return Err(Failure(format!(
            "there is no store at {}: make one with lux --url https://… import or add, or say where it is with --dir",
            directory.display()
        )));
    }
    if make && config.base_url.is_empty() && !directory.exists() {
        return Err(Failure(format!(
            "{} is new: say which site it is for, such as --url https://example.com",
            directory.display()
        )));
    }
    Engine::open(directory, config.settings()).map_err(|error| {
        if error.is_locked() {
            Failure(format!(
                "{error}; one process writes at a time: stop it, or send changes to its HTTP service"
            ))
        } else {
            error.into()
        }
    })
}

/// Opens the store that the options name.
pub(crate) fn existing(options: &Options) -> Result<Engine, Failure> {
    open(&config(options)?, false)
}

/// Prints JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    use std::io::Write;
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(std::io::stdout().write_all(&text)?)
}
