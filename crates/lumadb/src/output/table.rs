//! Results as aligned columns, as psql shows them.
//!
//! Widths are those of the first thousand rows, so that a long result is not kept in memory; longer
//! values later on push their line out.

use std::io::Write;

use luma_model::DataType;

use crate::Failure;
use crate::client::{Column, Row};
use crate::output::Output;

/// Rows that decide how wide columns are.
const ROWS_MEASURED: usize = 1000;

/// Writes aligned columns, or with `expanded` a block per row.
pub(crate) struct Table<'a> {
    out: Box<dyn Write + Send + 'a>,
    expanded: bool,
    columns: Vec<Column>,
    widths: Vec<usize>,
    waiting: Vec<Row>,
    measured: bool,
    rows: u64,
}

impl<'a> Table<'a> {
    pub(crate) fn new(out: Box<dyn Write + Send + 'a>, expanded: bool) -> Self {
        Self {
            out,
            expanded,
            columns: Vec::new(),
            widths: Vec::new(),
            waiting: Vec::new(),
            measured: false,
            rows: 0,
        }
    }

    fn measure(&mut self) -> Result<(), Failure> {
        self.measured = true;
        self.widths = self.columns.iter().map(|column| width(&column.name)).collect();
        for row in &self.waiting {
            for (known, value) in self.widths.iter_mut().zip(row.values()) {
                *known = (*known).max(width(value.unwrap_or_default()));
            }
        }
        if !self.expanded {
            let names = self.columns.iter().zip(&self.widths);
            let line: Vec<String> = names
                .map(|(column, width_max)| {
                    let space = width_max.saturating_sub(width(&column.name));
                    format!(
                        " {:left$}{}{:right$} ",
                        "",
                        column.name,
                        "",
                        left = space / 2,
                        right = space - space / 2
                    )
                })
                .collect();
            writeln!(self.out, "{}", line.join("|"))?;
            let rule: Vec<String> = self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
            writeln!(self.out, "{}", rule.join("+"))?;
        }
        for row in std::mem::take(&mut self.waiting) {
            self.write(&row)?;
        }
        Ok(())
    }

    fn write(&mut self, row: &Row) -> Result<(), Failure> {
        self.rows += 1;
        if self.expanded {
            let names = self.columns.iter().map(|column| width(&column.name)).max().unwrap_or_default();
            writeln!(self.out, "-[ RECORD {} ]", self.rows)?;
            for (column, value) in self.columns.iter().zip(row.values()) {
                let space = names - width(&column.name);
                writeln!(self.out, "{}{:space$} | {}", column.name, "", value.unwrap_or_default())?;
            }
            return Ok(());
        }
        let cells = row.values().zip(&self.columns).zip(&self.widths);
        let last = self.columns.len().saturating_sub(1);
        let line: Vec<String> = cells
            .enumerate()
            .map(|(place, ((value, column), width_max))| {
                let value = value.unwrap_or_default();
                let space = width_max.saturating_sub(width(value));
                match column.data_type.is_numeric() {
                    true => format!(" {:space$}{value} ", ""),
                    false if place == last => format!(" {value}"),
                    false => format!(" {value}{:space$} ", ""),
                }
            })
            .collect();
        Ok(writeln!(self.out, "{}", line.join("|").trim_end())?)
    }
}

impl Output for Table<'_> {
    fn begin(&mut self, columns: &[Column]) -> Result<(), Failure> {
        self.columns = columns.to_vec();
        self.measured = false;
        self.rows = 0;
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        if self.measured {
            return self.write(row);
        }
        self.waiting.push(row.clone());
        if self.waiting.len() < ROWS_MEASURED { Ok(()) } else { self.measure() }
    }

    fn end(&mut self) -> Result<(), Failure> {
        if !self.measured {
            self.measure()?;
        }
        match self.rows {
            1 => writeln!(self.out, "(1 row)\n")?,
            rows => writeln!(self.out, "({rows} rows)\n")?,
        }
        Ok(self.out.flush()?)
    }
}

/// Characters of a text: what it takes on most screens.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// Whether values of a type stand as they are in JSON.
pub(super) fn is_json_number(data_type: &DataType, text: &str) -> bool {
    data_type.is_numeric() && !text.contains(['N', 'I'])
}
