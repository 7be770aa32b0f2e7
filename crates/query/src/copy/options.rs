//! What COPY's options say.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Ident};
use luma_catalog::Table;
use luma_model::{Error, ErrorKind, Result};

use crate::copy::json::OtherFields;
use crate::names::identifier;

/// `HEADER MATCH` and `FORCE_QUOTE *`, for which sqlparser has no words, come as a format and a column of these
/// names.
pub(crate) const HEADER_MATCH: &str = "header match";
pub(crate) const ALL_COLUMNS: &str = "*";

/// How rows are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Lines of values separated by tabs.
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary form.
    Binary,
    /// A JSON object to a line.
    Json,
    /// A Parquet file.
    Parquet,
}

/// Whether the first line has the columns' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is a row.
    None,
    /// It has names.
    Names,
    /// It must have the columns' own names.
    Match,
}

/// Columns that an option is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forced {
    all: bool,
    names: Vec<String>,
    places: Vec<usize>,
}

/// The options of one COPY.
#[derive(Clone, Debug)]
pub(crate) struct CopyOptions {
    pub(crate) format: CopyFormat,
    pub(crate) delimiter: u8,
    pub(crate) null: String,
    pub(crate) header: Header,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) force_quote: Forced,
    pub(crate) force_not_null: Forced,
    pub(crate) force_null: Forced,
    pub(crate) other_fields: OtherFields,
}

impl CopyOptions {
    pub(crate) fn parse(options: &[CopyOption], legacy: &[CopyLegacyOption], out: bool) -> Result<Self> {
        let mut format = CopyFormat::Text;
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, None, None);
        let (mut header, mut csv_only) = (Header::None, None);
        let (mut force_quote, mut force_not_null, mut force_null) = (None, None, None);
        for option in options {
            match option {
                CopyOption::Format(name) if name.value == HEADER_MATCH => header = Header::Match,
                CopyOption::Format(name) => {
                    format = match name.value.to_ascii_lowercase().as_str() {
                        "text" => CopyFormat::Text,
                        "csv" => CopyFormat::Csv,
                        "binary" => CopyFormat::Binary,
                        "json" => CopyFormat::Json,
                        "parquet" => CopyFormat::Parquet,
                        other => {
                            return Err(invalid(format!("COPY format \"{other}\" not recognized"))
                                .hint("Use text, csv, binary, json or parquet."));
                        }
                    };
                }
                // FREEZE is about PostgreSQL's row versions, which tables here do not have.
                CopyOption::Freeze(_) => {}
                CopyOption::Delimiter(character) => delimiter = Some(*character),
                CopyOption::Null(text) => null = Some(text.clone()),
                CopyOption::Header(on) if header != Header::Match => {
                    header = if *on { Header::Names } else { Header::None };
                }
                CopyOption::Header(_) => {}
                CopyOption::ForceQuote(columns) => force_quote = Some(forced(columns)),
                CopyOption::ForceNotNull(columns) => force_not_null = Some(forced(columns)),
                CopyOption::ForceNull(columns) => force_null = Some(forced(columns)),
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
            }
        }
        for option in legacy {
            match option {
                CopyLegacyOption::Binary => format = CopyFormat::Binary,
                CopyLegacyOption::Delimiter(character) => delimiter = Some(*character),
                CopyLegacyOption::Null(text) => null = Some(text.clone()),
                CopyLegacyOption::Header => header = Header::Names,
                CopyLegacyOption::Csv(csv) => {
                    format = CopyFormat::Csv;
                    for option in csv {
                        match option {
                            CopyLegacyCsvOption::Header => header = Header::Names,
                            CopyLegacyCsvOption::Quote(character) => quote = Some(*character),
                            CopyLegacyCsvOption::Escape(character) => escape = Some(*character),
                            CopyLegacyCsvOption::ForceQuote(columns) => force_quote = Some(forced(columns)),
                            CopyLegacyCsvOption::ForceNotNull(columns) => {
                                force_not_null = Some(forced(columns));
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
        if format == CopyFormat::Binary && (delimiter.is_some() || null.is_some() || header != Header::None) {
            return Err(Error::new(
                ErrorKind::Syntax,
                "cannot specify DELIMITER, NULL or HEADER in BINARY mode",
            ));
        }
        let said = delimiter.is_some() || null.is_some() || header != Header::None;
        if matches!(format, CopyFormat::Json | CopyFormat::Parquet) && said {
            let message = "cannot specify DELIMITER, NULL or HEADER with the formats json and parquet";
            return Err(Error::new(ErrorKind::Syntax, message));
        }
        if out && header == Header::Match {
            let message = "cannot use \"match\" with HEADER in COPY TO";
            return Err(Error::new(ErrorKind::FeatureNotSupported, message));
        }
        let csv = format == CopyFormat::Csv;
        let only = |name: &str, said: bool, wanted: bool, way: &str| -> Result<()> {
            let message = match (said, csv, out == wanted) {
                (true, false, _) => format!("COPY {name} available only in CSV mode"),
                (true, true, false) => format!("COPY {name} only available using COPY {way}"),
                _ => return Ok(()),
            };
            Err(Error::new(ErrorKind::FeatureNotSupported, message))
        };
        only("force quote", force_quote.is_some(), true, "TO")?;
        only("force not null", force_not_null.is_some(), false, "FROM")?;
        only("force null", force_null.is_some(), false, "FROM")?;
        let quote = byte("quote", quote.unwrap_or('"'))?;
        let options = Self {
            format,
            delimiter: byte("delimiter", delimiter.unwrap_or(if csv { ',' } else { '\t' }))?,
            null: null.unwrap_or_else(|| if csv { String::new() } else { "\\N".into() }),
            header,
            quote,
            escape: escape.map_or(Ok(quote), |escape| byte("escape", escape))?,
            force_quote: force_quote.unwrap_or_default(),
            force_not_null: force_not_null.unwrap_or_default(),
            force_null: force_null.unwrap_or_default(),
            other_fields: OtherFields::Refused,
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

impl CopyOptions {
    /// Finds the columns that options name among those that are copied, of a table where there is one.
    ///
    /// # Errors
    /// 42P10 for one that is not copied, 42703 for one that the table does not have.
    pub(crate) fn resolve(&mut self, columns: &[&str], table: Option<&Table>) -> Result<()> {
        let lists = [
            ("FORCE_QUOTE", &mut self.force_quote),
            ("FORCE_NOT_NULL", &mut self.force_not_null),
            ("FORCE_NULL", &mut self.force_null),
        ];
        for (option, forced) in lists {
            for name in &forced.names {
                if let Some(table) = table
                    && table.column(name).is_none()
                {
                    let message = format!("column \"{name}\" does not exist");
                    return Err(Error::new(ErrorKind::UndefinedColumn, message));
                }
                let place = columns.iter().position(|column| column == name).ok_or_else(|| {
                    let message = format!("{option} column \"{name}\" not referenced by COPY");
                    Error::new(ErrorKind::InvalidColumnReference, message)
                })?;
                forced.places.push(place);
            }
        }
        Ok(())
    }

    /// Those of a format with its defaults.
    pub(crate) fn of(format: CopyFormat) -> Result<Self> {
        let format = CopyOption::Format(Ident::new(match format {
            CopyFormat::Text => "text",
            CopyFormat::Csv => "csv",
            CopyFormat::Binary => "binary",
            CopyFormat::Json => "json",
            CopyFormat::Parquet => "parquet",
        }));
        Self::parse(&[format], &[], false)
    }
}

impl Forced {
    /// Whether the option is about the column at `place`.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.all || self.places.contains(&place)
    }
}

fn forced(columns: &[Ident]) -> Forced {
    let all = matches!(columns, [only] if only.value == ALL_COLUMNS);
    let names = if all { Vec::new() } else { columns.iter().map(identifier).collect() };
    Forced { all, names, places: Vec::new() }
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
