//! JSON files: documents of a collection, or rows of a table that has columns of their fields' names.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use luma_model::DataType;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::Failure;
use crate::import::json_scanner::{Mode, Scanner};
use crate::import::source::{Batch, Column, Place, Reject, Source};
use crate::import::target::{DOCUMENT, Shape};
use crate::import::{FileFormat, ReadOptions, encode};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;
/// Characters of a record that are shown when it is rejected.
const SHOWN_MAX: usize = 2000;
/// What the binary form of jsonb begins with.
const JSONB_VERSION: &[u8] = &[1];

/// A JSON file being read.
pub(super) struct JsonSource {
    scanner: Scanner<BufReader<File>>,
    /// `None` where every line is a value.
    mode: Option<Mode>,
    value: Vec<u8>,
    shape: Shape,
    columns: Vec<Column>,
    batch_rows: usize,
    bytes: u64,
}

fn scanner(path: &Path, place: Place) -> Result<Scanner<BufReader<File>>, Failure> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place.offset))?;
    Ok(Scanner::new(BufReader::with_capacity(READ_BYTES, file), place.offset, place.line))
}

impl JsonSource {
    /// Opens a file for a target, from a place on.
    pub(super) fn open(
        path: &Path,
        format: FileFormat,
        options: &ReadOptions,
        shape: &Shape,
        from: Option<Place>,
    ) -> Result<Self, Failure> {
        let start = Place { offset: 0, line: 1 };
        let mut found = scanner(path, start)?;
        let mode = match format {
            FileFormat::Ndjson => None,
            _ => Some(found.begin()?),
        };
        if from.is_some() || mode != Some(Mode::Array) {
            found = scanner(path, from.unwrap_or(start))?;
        }
        let columns = match shape {
            Shape::Collection => vec![Column { name: DOCUMENT.into(), data_type: DataType::Jsonb }],
            Shape::Table(columns) => columns.clone(),
        };
        let bytes = std::fs::metadata(path)?.len();
        let (value, shape, batch_rows) = (Vec::new(), shape.clone(), options.batch_rows);
        Ok(Self { scanner: found, mode, value, shape, columns, batch_rows, bytes })
    }

    /// Reads the next value and gives its line.
    fn read(&mut self) -> Result<Option<u64>, Failure> {
        if let Some(mode) = self.mode {
            return Ok(self.scanner.next(mode, &mut self.value)?);
        }
        loop {
            self.value.clear();
            let line = self.scanner.line;
            if !self.scanner.read_line(&mut self.value)? {
                return Ok(None);
            }
            if !self.value.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// Writes the value at hand, or says why it does not fit.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), String> {
        let text = self.value.trim_ascii();
        if text.first() != Some(&b'{') {
            return Err("the value is not an object".into());
        }
        encode::begin_row(out, self.columns.len());
        match &self.shape {
            Shape::Collection => {
                serde_json::from_slice::<IgnoredAny>(text).map_err(|error| error.to_string())?;
                encode::raw(out, &[JSONB_VERSION, text]);
                Ok(())
            }
            Shape::Table(columns) => {
                let object: serde_json::Map<String, Value> =
                    serde_json::from_slice(text).map_err(|error| error.to_string())?;
                let known = |name: &String| columns.iter().any(|column| column.name == *name);
                if let Some(unknown) = object.keys().find(|name| !known(name)) {
                    return Err(format!("the table has no column \"{unknown}\""));
                }
                for column in columns {
                    let value = object.get(&column.name).unwrap_or(&Value::Null);
                    field(out, value, &column.data_type)
                        .map_err(|reason| format!("column {}: {reason}", column.name))?;
                }
                Ok(())
            }
        }
    }
}

fn field(out: &mut Vec<u8>, value: &Value, data_type: &DataType) -> Result<(), String> {
    match value {
        Value::Null => {
            encode::null(out);
            Ok(())
        }
        Value::String(text) if !matches!(data_type, DataType::Json | DataType::Jsonb) => {
            encode::text(out, text.as_bytes(), data_type)
        }
        value => encode::text(out, value.to_string().as_bytes(), data_type),
    }
}

impl Source for JsonSource {
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure> {
        let mut batch = Batch::default();
        while !batch.is_full(self.batch_rows) {
            let Some(line) = self.read()? else { break };
            let next = Place { offset: self.scanner.offset, line: self.scanner.line };
            let start = batch.data.len();
            match self.write(&mut batch.data) {
                Ok(()) => batch.end_row(line, next),
                Err(reason) => {
                    batch.data.truncate(start);
                    let record =
                        String::from_utf8_lossy(self.value.trim_ascii()).chars().take(SHOWN_MAX).collect();
                    batch.rejects.push(Reject { line, reason, record });
                }
            }
        }
        batch.next = Place { offset: self.scanner.offset, line: self.scanner.line };
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn total(&self) -> Option<u64> {
        Some(self.bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options() -> ReadOptions {
        ReadOptions { nulls: Vec::new(), delimiter: None, batch_rows: 2 }
    }

    #[test]
    fn documents_are_taken_as_they_are_and_others_rejected_with_their_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[{\"a\": 1},\n 2,\n {\"b\": [}, \n{\"c\": 3}]").unwrap();
        let open =
            |from| JsonSource::open(file.path(), FileFormat::Json, &options(), &Shape::Collection, from);
        let mut source = open(None).unwrap();
        let first = source.next_batch().unwrap().unwrap();
        assert_eq!((first.rows.len(), first.rejects[0].line), (1, 2));
        assert!(first.data.ends_with(b"\x01{\"a\": 1}"));
        assert!(open(Some(first.next)).unwrap().next_batch().is_err());
        let text = "{\"a\": 1}\nnot json\n\n{\"a\": 2}";
        std::fs::write(file.path(), text).unwrap();
        let mut lines =
            JsonSource::open(file.path(), FileFormat::Ndjson, &options(), &Shape::Collection, None).unwrap();
        let batch = lines.next_batch().unwrap().unwrap();
        assert_eq!((batch.rows.len(), batch.rejects[0].line), (1, 2));
        assert_eq!(lines.next_batch().unwrap().unwrap().rows[0].line, 4);
        assert!(lines.next_batch().unwrap().is_none());
    }

    #[test]
    fn fields_become_columns_of_a_table() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "{\"n\": 7, \"t\": \"x\"}\n{\"n\": \"8\", \"t\": {\"y\": 1}}\n{\"z\": 1}\n",
        )
        .unwrap();
        let columns = [("t", DataType::Text), ("n", DataType::Int4)];
        let shape =
            Shape::Table(columns.map(|(name, data_type)| Column { name: name.into(), data_type }).to_vec());
        let mut source = JsonSource::open(file.path(), FileFormat::Json, &options(), &shape, None).unwrap();
        let batch = source.next_batch().unwrap().unwrap();
        assert_eq!(batch.rows.len(), 2);
        assert!(batch.data.ends_with(b"\0\0\0\x07{\"y\":1}\0\0\0\x04\0\0\0\x08"));
        assert_eq!(source.next_batch().unwrap().unwrap().rejects[0].reason, "the table has no column \"z\"");
    }
}
