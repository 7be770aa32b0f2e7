//! CSV files: their header, the types of their columns, their rows.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use luma_model::infer::Kind;

use crate::Failure;
use crate::import::ReadOptions;
use crate::import::csv_reader::{CsvReader, Record};
use crate::import::encode;
use crate::import::source::{Batch, Column, Place, Reject, Source, match_columns};

/// Characters of a record that are shown when it is rejected.
const SHOWN_MAX: usize = 2000;

/// A CSV file being read.
pub(super) struct CsvSource {
    reader: CsvReader<File>,
    record: Record,
    columns: Vec<Column>,
    options: ReadOptions,
    bytes: u64,
}

/// A file that was opened, and its header.
struct Opened {
    reader: CsvReader<File>,
    names: Vec<String>,
    bytes: u64,
}

fn delimiter(path: &Path, options: &ReadOptions) -> u8 {
    let is_tsv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    options.delimiter.unwrap_or(if is_tsv { b'\t' } else { b',' })
}

fn open(path: &Path, options: &ReadOptions) -> Result<Opened, Failure> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut reader = CsvReader::new(file, delimiter(path, options), 0, 1);
    let mut header = Record::default();
    if !reader.read(&mut header)? {
        return Err(Failure::new("the file is empty; its first line must name the columns"));
    }
    let mut names = Vec::new();
    for (place, (name, _)) in header.values().enumerate() {
        let name = std::str::from_utf8(name)
            .map_err(|error| Failure::new(format!("the header is not UTF-8: {error}")))?;
        let name = if place == 0 { name.trim_start_matches('\u{feff}') } else { name }.trim();
        let name = if name.is_empty() { format!("column{}", place + 1) } else { name.to_owned() };
        if names.contains(&name) {
            return Err(Failure::new(format!("the header names the column \"{name}\" twice")));
        }
        names.push(name);
    }
    Ok(Opened { reader, names, bytes })
}

/// Finds the columns and their types; reads the whole file.
pub(super) fn infer(path: &Path, options: &ReadOptions) -> Result<Vec<Column>, Failure> {
    let Opened { mut reader, names, .. } = open(path, options)?;
    let mut kinds = vec![Kind::Unknown; names.len()];
    let mut record = Record::default();
    while reader.read(&mut record)? {
        if record.len() != names.len() {
            continue;
        }
        for (kind, (value, quoted)) in kinds.iter_mut().zip(record.values()) {
            if *kind != Kind::Text && !is_null(value, quoted, &options.nulls) {
                *kind = kind.unify(Kind::of(value));
            }
        }
    }
    Ok(names
        .into_iter()
        .zip(kinds)
        .map(|(name, kind)| Column { name, data_type: kind.data_type() })
        .collect())
}

fn is_null(value: &[u8], quoted: bool, nulls: &[String]) -> bool {
    !quoted && nulls.iter().any(|null| null.as_bytes() == value)
}

impl CsvSource {
    /// Opens a file for a table, from a place on.
    pub(super) fn open(
        path: &Path,
        options: &ReadOptions,
        table: &[Column],
        from: Option<Place>,
    ) -> Result<Self, Failure> {
        let Opened { mut reader, names, bytes } = open(path, options)?;
        let columns = match_columns(names.iter().map(String::as_str), table)?;
        if let Some(place) = from {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(place.offset))?;
            reader = CsvReader::new(file, delimiter(path, options), place.offset, place.line);
        }
        Ok(Self { reader, record: Record::default(), columns, options: options.clone(), bytes })
    }

    /// Writes the record at hand, or says why it does not fit.
    fn write(&self, out: &mut Vec<u8>) -> Result<(), String> {
        if self.record.len() != self.columns.len() {
            let (found, wanted) = (self.record.len(), self.columns.len());
            return Err(format!("the record has {found} values instead of {wanted}"));
        }
        encode::begin_row(out, self.columns.len());
        for ((value, quoted), column) in self.record.values().zip(&self.columns) {
            if is_null(value, quoted, &self.options.nulls) {
                encode::null(out);
            } else {
                encode::text(out, value, &column.data_type)
                    .map_err(|reason| format!("column {}: {reason}", column.name))?;
            }
        }
        Ok(())
    }
}

impl Source for CsvSource {
    fn next_batch(&mut self) -> Result<Option<Batch>, Failure> {
        let mut batch = Batch::default();
        while !batch.is_full(self.options.batch_rows) && self.reader.read(&mut self.record)? {
            let next = Place { offset: self.reader.offset, line: self.reader.line };
            let start = batch.data.len();
            match self.write(&mut batch.data) {
                Ok(()) => batch.end_row(self.record.line, next),
                Err(reason) => {
                    batch.data.truncate(start);
                    let record = self.record.text().chars().take(SHOWN_MAX).collect();
                    batch.rejects.push(Reject { line: self.record.line, reason, record });
                }
            }
        }
        batch.next = Place { offset: self.reader.offset, line: self.reader.line };
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
    use luma_model::DataType;

    fn options() -> ReadOptions {
        ReadOptions { nulls: vec![String::new(), "NA".into()], delimiter: None, batch_rows: 2 }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn types_hold_every_value_and_zip_codes_stay_text() {
        let file = file("\u{feff}zip,n,x,t,e\n00501,1,NA,2013-01-01T06:00:00Z,\n10001,2.5,NA,NA,\"NA\"\n");
        let columns = infer(file.path(), &options()).unwrap();
        let types: Vec<_> = columns.iter().map(|column| (column.name.as_str(), &column.data_type)).collect();
        assert_eq!(
            types,
            [
                ("zip", &DataType::Text),
                ("n", &DataType::Float8),
                ("x", &DataType::Text),
                ("t", &DataType::TimestampTz),
                ("e", &DataType::Text),
            ]
        );
    }

    #[test]
    fn reading_goes_on_from_any_place_and_names_what_does_not_fit() {
        let file = file("a,b\n1,x\nzwei,y\n3\n4,z\n5,w\n");
        let table = [("b", DataType::Text), ("A", DataType::Int4)];
        let table = table.map(|(name, data_type)| Column { name: name.into(), data_type });
        let mut source = CsvSource::open(file.path(), &options(), &table, None).unwrap();
        let first = source.next_batch().unwrap().unwrap();
        assert_eq!((first.rows.len(), first.rejects.len()), (1, 1));
        assert_eq!(first.rejects[0].line, 3);
        assert_eq!(first.rejects[0].reason, "column A: invalid input syntax for type integer: \"zwei\"");
        let rest = source.next_batch().unwrap().unwrap();
        assert_eq!(rest.rejects[0].reason, "the record has 1 values instead of 2");
        let mut again = CsvSource::open(file.path(), &options(), &table, Some(first.next)).unwrap();
        assert_eq!(again.next_batch().unwrap().unwrap().data, rest.data);
        assert_eq!(again.next_batch().unwrap().unwrap().rows.len(), 1);
        assert!(again.next_batch().unwrap().is_none());
        assert!(CsvSource::open(file.path(), &options(), &table[..1], None).is_err());
    }
}
