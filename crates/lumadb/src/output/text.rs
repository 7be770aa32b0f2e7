//! Results as JSON, JSON lines and CSV.

use std::io::Write;

use luma_model::DataType;

use crate::Failure;
use crate::client::{Column, Row};
use crate::output::Output;
use crate::output::table::is_json_number;

/// Writes one JSON array of objects.
pub(crate) struct Json<'a> {
    out: Box<dyn Write + Send + 'a>,
    columns: Vec<Column>,
    rows: u64,
}

impl<'a> Json<'a> {
    pub(crate) fn new(out: Box<dyn Write + Send + 'a>) -> Self {
        Self { out, columns: Vec::new(), rows: 0 }
    }
}

impl Output for Json<'_> {
    fn begin(&mut self, columns: &[Column]) -> Result<(), Failure> {
        self.columns = columns.to_vec();
        self.rows = 0;
        Ok(self.out.write_all(b"[")?)
    }

    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        self.out.write_all(if self.rows == 0 { b"\n  " } else { b",\n  " })?;
        self.rows += 1;
        object(&mut self.out, &self.columns, row)
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.out.write_all(if self.rows == 0 { b"]\n" } else { b"\n]\n" })?;
        Ok(self.out.flush()?)
    }
}

/// Writes one JSON object per line.
pub(crate) struct Ndjson<'a> {
    out: Box<dyn Write + Send + 'a>,
    columns: Vec<Column>,
}

impl<'a> Ndjson<'a> {
    pub(crate) fn new(out: Box<dyn Write + Send + 'a>) -> Self {
        Self { out, columns: Vec::new() }
    }
}

impl Output for Ndjson<'_> {
    fn begin(&mut self, columns: &[Column]) -> Result<(), Failure> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        object(&mut self.out, &self.columns, row)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn end(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// A row as a JSON object; numbers, truth values and JSON stand as they are.
fn object(out: &mut dyn Write, columns: &[Column], row: &Row) -> Result<(), Failure> {
    out.write_all(b"{")?;
    for (place, (column, value)) in columns.iter().zip(row.values()).enumerate() {
        if place > 0 {
            out.write_all(b", ")?;
        }
        string(out, &column.name)?;
        out.write_all(b": ")?;
        match (value, &column.data_type) {
            (None, _) => out.write_all(b"null")?,
            (Some(value), DataType::Bool) => out.write_all(if value == "t" { b"true" } else { b"false" })?,
            (Some(value), DataType::Json | DataType::Jsonb) => one_line(out, value)?,
            (Some(value), data_type) if is_json_number(data_type, value) => {
                out.write_all(value.as_bytes())?;
            }
            (Some(value), _) => string(out, value)?,
        }
    }
    Ok(out.write_all(b"}")?)
}

fn string(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    serde_json::to_writer(out, text).map_err(|error| Failure::new(error.to_string()))
}

/// JSON without line breaks; they can only stand between its parts.
fn one_line(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    for part in text.split(['\n', '\r']) {
        out.write_all(part.as_bytes())?;
    }
    Ok(())
}

/// Writes comma-separated values with a header; NULL is empty, an empty text is `""`.
pub(crate) struct Csv<'a> {
    out: Box<dyn Write + Send + 'a>,
}

impl<'a> Csv<'a> {
    pub(crate) fn new(out: Box<dyn Write + Send + 'a>) -> Self {
        Self { out }
    }

    fn field(&mut self, place: usize, text: Option<&str>) -> Result<(), Failure> {
        if place > 0 {
            self.out.write_all(b",")?;
        }
        let Some(text) = text else { return Ok(()) };
        if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
            write!(self.out, "\"{}\"", text.replace('"', "\"\""))?;
        } else {
            self.out.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

impl Output for Csv<'_> {
    fn begin(&mut self, columns: &[Column]) -> Result<(), Failure> {
        for (place, column) in columns.iter().enumerate() {
            self.field(place, Some(&column.name))?;
        }
        Ok(self.out.write_all(b"\n")?)
    }

    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        for (place, value) in row.values().enumerate() {
            self.field(place, value)?;
        }
        Ok(self.out.write_all(b"\n")?)
    }

    fn end(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}
