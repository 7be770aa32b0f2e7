//! What COPY's options say.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption};
use luma_model::{Error, ErrorKind, Result};

/// How rows are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Lines of values separated by tabs.
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary form.
    Binary,
}

/// The options of one COPY.
#[derive(Clone, Debug)]
pub(crate) struct CopyOptions {
    pub(crate) format: CopyFormat,
    pub(crate) delimiter: u8,
    pub(crate) null: String,
    pub(crate) header: bool,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) force_quote_all: bool,
}

impl CopyOptions {
    pub(crate) fn parse(options: &[CopyOption], legacy: &[CopyLegacyOption], out: bool) -> Result<Self> {
        let mut format = CopyFormat::Text;
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, None, None);
        let (mut header, mut csv_only, force_quote_all) = (false, None, false);
        for option in options {
            match option {
                CopyOption::Format(name) => {
                    format = match name.value.to_ascii_lowercase().as_str() {
                        "text" => CopyFormat::Text,
                        "csv" => CopyFormat::Csv,
                        "binary" => CopyFormat::Binary,
                        other => {
                            return Err(invalid(format!("COPY format \"{other}\" not recognized"))
                                .hint("Use text, csv or binary."));
                        }
                    };
                }
                // FREEZE is about PostgreSQL's row versions, which tables here do not have.
                CopyOption::Freeze(_) => {}
                CopyOption::Delimiter(character) => delimiter = Some(*character),
                CopyOption::Null(text) => null = Some(text.clone()),
                CopyOption::Header(on) => header = *on,
                CopyOption::Quote(character) => {
                    quote = Some(*character);
                    csv_only = Some("QUOTE");
                }
                CopyOption::Escape(character) => {
                    escape = Some(*character);
                    csv_only = Some("ESCAPE");
                }
                CopyOption::Encoding(name)
                    if matches!(name.to_ascii_lowercase().replace('-', "").as_str(), "utf8" | "unicode") => {}
                CopyOption::Encoding(name) => {
                    return Err(Error::new(
                        ErrorKind::FeatureNotSupported,
                        format!("encoding \"{name}\" is not supported; data is UTF-8"),
                    ));
                }
                other => {
                    return Err(Error::new(
                        ErrorKind::FeatureNotSupported,
                        format!("COPY option {other} is not supported"),
                    ));
                }
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Binary => format = CopyFormat::Binary,
                CopyLegacyOption::Delimiter(character) => delimiter = Some(*character),
                CopyLegacyOption::Null(text) => null = Some(text.clone()),
                CopyLegacyOption::Header => header = true,
                CopyLegacyOption::Csv(csv) => {
                    format = CopyFormat::Csv;
                    for option in csv {
                        match option {
                            CopyLegacyCsvOption::Header => header = true,
                            CopyLegacyCsvOption::Quote(character) => quote = Some(*character),
                            CopyLegacyCsvOption::Escape(character) => escape = Some(*character),
                            other => {
                                return Err(Error::new(
                                    ErrorKind::FeatureNotSupported,
                                    format!("COPY option {other} is not supported"),
                                ));
                            }
                        }
                    }
                }
                other => {
                    return Err(Error::new(
                        ErrorKind::FeatureNotSupported,
                        format!("COPY option {other} is not supported"),
                    ));
                }
            }
        }
        if let (Some(option), false) = (csv_only, format == CopyFormat::Csv) {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                format!("COPY {option} available only in CSV mode"),
            ));
        }
        if format == CopyFormat::Binary && (delimiter.is_some() || null.is_some() || header) {
            return Err(Error::new(
                ErrorKind::Syntax,
                "cannot specify DELIMITER, NULL or HEADER in BINARY mode",
            ));
        }
        let csv = format == CopyFormat::Csv;
        let quote = byte("quote", quote.unwrap_or('"'))?;
        let options = Self {
            format,
            delimiter: byte("delimiter", delimiter.unwrap_or(if csv { ',' } else { '\t' }))?,
            null: null.unwrap_or_else(|| if csv { String::new() } else { "\\N".into() }),
            header,
            quote,
            escape: escape.map_or(Ok(quote), |escape| byte("escape", escape))?,
            force_quote_all: force_quote_all && out,
        };
        if matches!(options.delimiter, b'\n' | b'\r') || options.null.contains(['\n', '\r']) {
            return Err(invalid("COPY delimiter and null cannot contain newline or carriage return"));
        }
        if csv && options.delimiter == options.quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        Ok(options)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidParameterValue, message)
}

fn byte(what: &str, character: char) -> Result<u8> {
    u8::try_from(character)
        .ok()
        .filter(u8::is_ascii)
        .ok_or_else(|| invalid(format!("COPY {what} must be a single one-byte character")))
}
