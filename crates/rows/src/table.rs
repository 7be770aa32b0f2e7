//! A table ready for use: its definition with the keyspaces and the types at hand.
//!
//! A stored row holds the values of all columns by number, the dropped ones as NULL; a column added
//! later is missing from older rows and reads as the value it was added with. A collection stores
//! its system columns and the document; every further column is a field of the document.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use lightning::Keyspace;
use luma_catalog::{Column, Index, Table, TableKind};
use luma_model::{
    COLLATION_RULES_VERSION, Collator, DataType, DocumentRef, Error, ErrorKind, KeyOrder, Result, RowView,
    Value, ValueKind, ValueRef, encode_key,
};

use crate::changes::Changes;
use crate::columnar::TableFiles;
use crate::distribution::Distribution;

/// Stored columns of a collection: `_id`, `_rev`, `_createdAt`, `_updatedAt`, `_doc`.
pub(crate) const COLLECTION_COLUMNS: usize = 5;
/// Where a collection's document stands among its stored columns.
pub(crate) const DOCUMENT: usize = 4;

/// A secondary index with its keyspace.
#[derive(Clone, Debug)]
pub struct OpenIndex {
    /// Its definition.
    pub definition: Index,
    /// Its entries.
    pub entries: Keyspace,
}

/// A table with its keyspaces.
#[derive(Debug)]
pub struct OpenTable {
    /// Its definition.
    pub definition: Arc<Table>,
    /// Its rows.
    pub rows: Keyspace,
    /// Its secondary indexes.
    pub indexes: Vec<OpenIndex>,
    /// The files of a columnar table, which have most of its rows.
    pub files: Option<TableFiles>,
    /// What a row stored before a column was added reads as in that column; by ordinal.
    missing: Vec<Value>,
    /// What makes keys of the columns whose text is ordered by a language's rules; by ordinal.
    collators: Vec<Option<Collator>>,
    /// Ordinals of the primary key's columns.
    key: Vec<usize>,
    /// What ANALYZE found, by ordinal, once somebody asked.
    distributions: OnceLock<Vec<Option<Distribution>>>,
    /// How much was changed.
    pub changes: Arc<Changes>,
    /// The last row number given, for tables without a primary key.
    pub(crate) last_row_number: Arc<AtomicI64>,
}

impl OpenTable {
    pub(crate) fn new(
        definition: Arc<Table>,
        rows: Keyspace,
        indexes: Vec<OpenIndex>,
        files: Option<TableFiles>,
        changes: Arc<Changes>,
        last_row_number: Arc<AtomicI64>,
    ) -> Result<Self> {
        let context = luma_model::TextContext::default();
        let missing = definition
            .columns
            .iter()
            .map(|column| match &column.missing {
                Some(text) => luma_model::parse_text(&column.data_type, text, &context),
                None => Ok(Value::Null),
            })
            .collect::<Result<_>>()?;
        let collators = definition.columns.iter().map(|column| collator(&definition, column));
        let collators = collators.collect::<Result<_>>()?;
        let key = match &definition.primary_key {
            Some(key) => key.columns.iter().map(|number| usize::from(*number) - 1).collect(),
            None => Vec::new(),
        };
        let distributions = OnceLock::new();
        Ok(Self {
            definition,
            rows,
            indexes,
            files,
            missing,
            collators,
            key,
            distributions,
            changes,
            last_row_number,
        })
    }

    pub(crate) fn distributions(&self) -> &[Option<Distribution>] {
        self.distributions.get_or_init(|| {
            let mut all: Vec<Option<Distribution>> = Vec::new();
            all.resize_with(self.columns().len(), || None);
            for (rows, found) in
                self.definition.statistics.iter().flat_map(|statistics| {
                    statistics.columns.iter().map(|found| (statistics.row_count, found))
                })
            {
                let ordinal = usize::from(found.column).wrapping_sub(1);
                if let Some(place) = all.get_mut(ordinal) {
                    *place = Some(Distribution::new(self, ordinal, found, rows));
                }
            }
            all
        })
    }

    /// All columns, the dropped ones too; an *ordinal* is a place in this slice.
    pub fn columns(&self) -> &[Column] {
        &self.definition.columns
    }

    /// The type of the column at that ordinal.
    pub fn data_type(&self, ordinal: usize) -> &DataType {
        &self.definition.columns[ordinal].data_type
    }

    /// The kind of the values at that ordinal, if they are stored as they are: not in a document, and no arrays.
    pub(crate) fn plain_kind(&self, ordinal: usize) -> Option<ValueKind> {
        let column = self.definition.columns.get(ordinal)?;
        let kind = column.data_type.value_kind();
        (!self.is_collection() && !column.dropped && kind != ValueKind::Array).then_some(kind)
    }

    /// What a row stored before the column was added reads as in it.
    pub(crate) fn missing(&self, ordinal: usize) -> &Value {
        &self.missing[ordinal]
    }

    /// What makes keys of the column's text, if a language's rules order it.
    pub fn collator(&self, ordinal: usize) -> Option<&Collator> {
        self.collators.get(ordinal)?.as_ref()
    }

    /// Whether a language's rules order the text of some column.
    pub fn has_collators(&self) -> bool {
        self.collators.iter().any(Option::is_some)
    }

    /// Appends a value of a column as a part of a key.
    pub fn encode_part(
        &self,
        ordinal: usize,
        value: ValueRef<'_>,
        order: KeyOrder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if let (Some(collator), ValueRef::Text(text)) = (self.collator(ordinal), value) {
            let mut key = Vec::new();
            let blanks = matches!(self.data_type(ordinal), DataType::Char(_));
            collator.key(if blanks { text.trim_end_matches(' ') } else { text }, &mut key);
            return encode_key(ValueRef::Bytea(&key), &DataType::Bytea, order, out);
        }
        encode_key(value, self.data_type(ordinal), order, out)
    }

    /// Ordinals of the primary key's columns; empty without one.
    pub fn key_ordinals(&self) -> &[usize] {
        &self.key
    }

    /// Whether it holds documents.
    pub fn is_collection(&self) -> bool {
        self.definition.kind == TableKind::Collection
    }

    /// The key of a row with these values (by ordinal).
    pub(crate) fn row_key(&self, values: &[ValueRef<'_>], out: &mut Vec<u8>) -> Result<()> {
        if self.key.is_empty() {
            out.extend(row_number_key(&self.last_row_number)?);
            return Ok(());
        }
        for &ordinal in &self.key {
            self.encode_part(ordinal, values[ordinal], KeyOrder::default(), out)?;
        }
        self.check_key_size(out)
    }

    /// Refuses a key that the engine would refuse, in SQL's words.
    pub(crate) fn check_key_size(&self, key: &[u8]) -> Result<()> {
        if key.len() < 60_000 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ProgramLimit,
            format!(
                "a key of table \"{}\" has {} bytes; the limit is 60000",
                self.definition.name,
                key.len()
            ),
        ))
    }

    /// Reads a stored row.
    #[inline(always)]
    pub fn row<'a>(&'a self, bytes: &'a [u8]) -> Result<Row<'a>> {
        let view = RowView::new(bytes)?;
        let document = if self.is_collection() {
            match view.get(DOCUMENT, &DataType::Bytea)? {
                Some(ValueRef::Bytea(bytes)) => Some(DocumentRef::new(bytes)?),
                _ => None,
            }
        } else {
            None
        };
        Ok(Row { table: self, view, document })
    }
}

/// What makes keys of a column's text; `None` where its bytes do.
fn collator(table: &Table, column: &Column) -> Result<Option<Collator>> {
    let Some(known) = column.collation.as_ref().filter(|_| !column.dropped) else { return Ok(None) };
    let made = known.collation.collator()?;
    let keys = table.primary_key.iter().flat_map(|key| &key.columns);
    let indexed = table.indexes.iter().flat_map(|index| &index.columns).map(|part| &part.column);
    if made.is_some()
        && known.rules != COLLATION_RULES_VERSION
        && keys.chain(indexed).any(|number| *number == column.number)
    {
        let message = format!(
            "keys of column \"{}\" of table \"{}\" were made by rules {} of collations, and these are {}",
            column.name, table.name, known.rules, COLLATION_RULES_VERSION
        );
        return Err(Error::new(ErrorKind::FeatureNotSupported, message).hint(
            "Export the table with the version of LumaDB that wrote it, and import it with this one.",
        ));
    }
    Ok(made)
}

/// The key of the next row of a table without a primary key.
pub(crate) fn row_number_key(last: &AtomicI64) -> Result<Vec<u8>> {
    let number = last.fetch_add(1, Ordering::Relaxed) + 1;
    let mut key = Vec::with_capacity(9);
    encode_key(ValueRef::Int8(number), &DataType::Int8, KeyOrder::default(), &mut key)?;
    Ok(key)
}

/// Encodes the stored columns of a row; `document` is a collection's encoded document.
pub(crate) fn encode_row(values: &[ValueRef<'_>], document: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(document) = document {
        let mut stored = [ValueRef::Null; COLLECTION_COLUMNS];
        stored[..DOCUMENT].copy_from_slice(&values[..DOCUMENT]);
        stored[DOCUMENT] = ValueRef::Bytea(document);
        luma_model::encode_row(&stored, out);
    } else {
        luma_model::encode_row(values, out);
    }
}

/// A stored row, decoded column by column on demand.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    table: &'a OpenTable,
    view: RowView<'a>,
    document: Option<DocumentRef<'a>>,
}

impl<'a> Row<'a> {
    /// The value at that ordinal; of a collection's document and fields only what needs no
    /// conversion borrows, the rest is given by [`Row::value`].
    #[inline]
    pub fn get(&self, ordinal: usize) -> Result<ValueRef<'a>> {
        let column = &self.table.definition.columns[ordinal];
        if column.dropped {
            return Ok(ValueRef::Null);
        }
        if self.document.is_some() && ordinal >= DOCUMENT {
            return Err(Error::new(ErrorKind::Internal, "a document's field was read as a stored column"));
        }
        match self.view.get(ordinal, &column.data_type)? {
            Some(value) => Ok(value),
            None => Ok(self.table.missing[ordinal].as_ref()),
        }
    }

    /// The value at that ordinal, of a column that is plain and of that kind, as [`OpenTable::plain_kind`] tells.
    #[inline(always)]
    pub(crate) fn get_kind(&self, ordinal: usize, kind: ValueKind) -> Result<ValueRef<'a>> {
        match self.view.get_kind(ordinal, kind)? {
            Some(value) => Ok(value),
            None => Ok(self.table.missing[ordinal].as_ref()),
        }
    }

    /// The value at that ordinal, owned.
    pub fn value(&self, ordinal: usize) -> Result<Value> {
        let Some(document) = self.document else { return Ok(self.get(ordinal)?.to_owned()) };
        let column = &self.table.definition.columns[ordinal];
        if ordinal < DOCUMENT {
            Ok(self.get(ordinal)?.to_owned())
        } else if column.dropped {
            Ok(Value::Null)
        } else if ordinal == DOCUMENT {
            Ok(Value::Text(document.to_json_text()))
        } else {
            match document.get(&column.name) {
                Some(field) => field.to_value(&column.data_type),
                None => Ok(Value::Null),
            }
        }
    }

    /// Whether every column can be read without conversion.
    pub fn is_plain(&self) -> bool {
        self.document.is_none()
    }

    /// All values by ordinal, owned.
    pub fn values(&self) -> Result<Vec<Value>> {
        (0..self.table.definition.columns.len()).map(|ordinal| self.value(ordinal)).collect()
    }
}
