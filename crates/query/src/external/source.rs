//! What is read: files of one format, and the columns that they have.

use std::path::PathBuf;
use std::sync::Arc;

use luma_model::{DataType, Error, ErrorKind, Result, TextContext};
use luma_vfs::Vfs;

use crate::copy::json::OtherFields;
use crate::copy::options::{CopyFormat, CopyOptions, Header};
use crate::external::{infer, location, read};

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Json,
}

impl Format {
    /// The format of that name.
    ///
    /// # Errors
    /// 22023 for one that is not known.
    pub(crate) fn of(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            _ => {
                Err(Error::new(ErrorKind::InvalidParameterValue, format!("\"{name}\" is no format of files"))
                    .hint("Use parquet, csv or json."))
            }
        }
    }

    /// The function in FROM that reads it.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Parquet => "read_parquet",
            Self::Csv => "read_csv",
            Self::Json => "read_json",
        }
    }

    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &["parquet"],
            Self::Csv => &["csv", "tsv", "txt"],
            Self::Json => &["json", "ndjson", "jsonl"],
        }
    }
}

/// Files of one format with their columns.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) format: Format,
    pub(super) files: Vec<PathBuf>,
    pub(super) columns: Vec<(String, DataType)>,
    pub(super) options: CopyOptions,
    pub(super) context: TextContext,
}

impl Source {
    /// Finds files and their columns; `columns` are those that are known.
    ///
    /// # Errors
    /// When there is no file, or it is not of the format; 22023 for an option that the format does not have.
    pub(crate) fn open(
        vfs: Arc<dyn Vfs>,
        format: Format,
        location: &str,
        options: &[(String, String)],
        columns: Option<Vec<(String, DataType)>>,
        context: TextContext,
    ) -> Result<Self> {
        let mut options = read_options(format, options)?;
        let (vfs, files) = location::found(vfs, location, format.extensions())?;
        let Some(first) = files.first() else { return Err(Error::internal("no files")) };
        let columns = match (columns, format) {
            (Some(columns), _) => columns,
            (None, Format::Parquet) => read::parquet_columns(vfs.as_ref(), first)?,
            (None, Format::Csv) => infer::csv(vfs.as_ref(), &files, &mut options)?,
            (None, Format::Json) => infer::json(vfs.as_ref(), &files)?,
        };
        Ok(Self { vfs, format, files, columns, options, context })
    }
}

fn read_options(format: Format, given: &[(String, String)]) -> Result<CopyOptions> {
    let mut options = CopyOptions::of(match format {
        Format::Csv => CopyFormat::Csv,
        Format::Json => CopyFormat::Json,
        Format::Parquet => CopyFormat::Parquet,
    })?;
    options.other_fields = OtherFields::Ignored;
    if format == Format::Csv {
        options.header = Header::Match;
    }
    for (name, value) in given {
        let wrong = || {
            Error::new(ErrorKind::InvalidParameterValue, format!("option {name}: \"{value}\" is not valid"))
        };
        let byte = || match value.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(wrong().hint("Give one character.")),
        };
        match (format, name.as_str()) {
            (Format::Csv, "header") => {
                options.header = match value.to_ascii_lowercase().as_str() {
                    "true" | "on" => Header::Match,
                    "false" | "off" => Header::None,
                    _ => return Err(wrong().hint("Use true or false.")),
                }
            }
            (Format::Csv, "delimiter") => options.delimiter = byte()?,
            (Format::Csv, "quote") => (options.quote, options.escape) = (byte()?, byte()?),
            (Format::Csv, "escape") => options.escape = byte()?,
            (Format::Csv, "null") => options.null.clone_from(value),
            _ => {
                let message = format!("{} has no option \"{name}\"", format.function());
                let hint = match format {
                    Format::Csv => "Its options are columns, header, delimiter, quote, escape and null.",
                    Format::Json | Format::Parquet => "Its only option is columns.",
                };
                return Err(Error::new(ErrorKind::InvalidParameterValue, message).hint(hint));
            }
        }
    }
    if format == Format::Csv && options.delimiter == options.quote {
        let message = "the delimiter and the quote must be different";
        return Err(Error::new(ErrorKind::InvalidParameterValue, message));
    }
    Ok(options)
}
