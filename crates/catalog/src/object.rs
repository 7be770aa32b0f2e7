//! The objects a catalog holds, as they are stored: one JSON document each.
//!
//! A table owns its indexes and constraints, so that one document describes all that a write to the
//! table must keep true. Column numbers (`number`) start at 1, are never reused, and say where the
//! column's value stands in a stored row (`number - 1`).

use luma_model::{Collation, DataType};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::types::UserType;

/// Identifies an object for as long as it exists; never reused.
pub type Oid = u32;
/// Names the keyspace that holds a relation's entries; a rewrite of the relation gets a new one.
pub type StorageId = u32;

/// Anything the catalog stores under an identifier.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "object", rename_all = "snake_case")]
pub enum Object {
    /// A schema.
    Schema(Schema),
    /// A table or collection.
    Table(Table),
    /// A view.
    View(View),
    /// A sequence.
    Sequence(Sequence),
    /// A role.
    Role(Role),
    /// A type that a user made.
    Type(UserType),
    /// A collation that a user made.
    Collation(UserCollation),
}

impl Object {
    /// The object's identifier.
    pub fn oid(&self) -> Oid {
        match self {
            Self::Schema(object) => object.oid,
            Self::Table(object) => object.oid,
            Self::View(object) => object.oid,
            Self::Sequence(object) => object.oid,
            Self::Role(object) => object.oid,
            Self::Type(object) => object.oid,
            Self::Collation(object) => object.collation.oid,
        }
    }
}

/// A namespace of relations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Its identifier.
    pub oid: Oid,
    /// Its name, unique in the database.
    pub name: String,
    /// The role that made it.
    pub owner: Oid,
}

/// What kind of rows a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Rows of declared columns.
    Table,
    /// Documents; the columns are those fields that were seen with one type.
    Collection,
}

/// A table or collection with all that a write to it must keep true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its identifier.
    pub oid: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the relations of the schema.
    pub name: String,
    /// The role that made it.
    pub owner: Oid,
    /// Rows or documents.
    pub kind: TableKind,
    /// The keyspace of the rows.
    pub storage: StorageId,
    /// All columns ever, the dropped ones too, by number.
    pub columns: Vec<Column>,
    /// The primary key; its columns are the row's key. Without one a hidden row number is.
    pub primary_key: Option<KeyConstraint>,
    /// Secondary indexes.
    pub indexes: Vec<Index>,
    /// CHECK constraints.
    pub checks: Vec<Check>,
    /// Foreign keys from this table.
    pub foreign_keys: Vec<ForeignKey>,
    /// What ANALYZE found.
    pub statistics: Option<TableStatistics>,
    /// `COMMENT ON TABLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Of a materialized view: the query whose rows it has. Only REFRESH changes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled_by: Option<FilledBy>,
    /// For a table whose rows go to files of columns; new rows are in `storage` until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columnar: Option<Columnar>,
    /// Whether its rows go when a transaction ends: ON COMMIT DELETE ROWS of a temporary table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emptied_at_commit: bool,
}

/// What a materialized view is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilledBy {
    /// The query as SQL text.
    pub query: String,
    /// Tables and views it reads; they can't be dropped before it.
    pub depends_on: Vec<Oid>,
    /// Whether the rows are there: not after WITH NO DATA.
    pub populated: bool,
}

/// How a columnar table keeps its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Columnar {
    /// The keyspace that says which files there are and which of their rows are deleted.
    pub files: StorageId,
    /// Numbers of the columns whose values a file has one of only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<u16>,
    /// Numbers of the columns that the rows of a file are sorted by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort_by: Vec<u16>,
}

impl Table {
    /// A table of these columns and nothing else, of the administrator.
    pub fn new(
        oid: Oid,
        schema: Oid,
        name: impl Into<String>,
        storage: StorageId,
        columns: Vec<Column>,
    ) -> Self {
        Self {
            oid,
            schema,
            name: name.into(),
            owner: 10,
            kind: TableKind::Table,
            storage,
            columns,
            primary_key: None,
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            statistics: None,
            comment: None,
            filled_by: None,
            columnar: None,
            emptied_at_commit: false,
        }
    }

    /// What a materialized view would be as a view; `None` for other tables.
    pub fn as_view(&self) -> Option<View> {
        let filled = self.filled_by.as_ref()?;
        let columns = self.live_columns().map(|column| (column.name.clone(), column.data_type.clone()));
        Some(View {
            oid: self.oid,
            schema: self.schema,
            name: self.name.clone(),
            owner: self.owner,
            query: filled.query.clone(),
            columns: columns.collect(),
            depends_on: filled.depends_on.clone(),
            comment: self.comment.clone(),
            external: None,
            check_option: None,
        })
    }

    /// Whether its rows may be read: those of a materialized view are there once it was filled.
    pub fn is_populated(&self) -> bool {
        self.filled_by.as_ref().is_none_or(|filled| filled.populated)
    }

    /// The columns a user sees, in order.
    pub fn live_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.dropped)
    }

    /// Whether values of some column are made from what is given: computed or rounded.
    pub fn completes_rows(&self) -> bool {
        self.live_columns().any(|column| column.generated.is_some() || column.precision.is_some())
    }

    /// The live column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.live_columns().find(|column| column.name == name)
    }

    /// The column of that number, dropped or not.
    pub fn column_by_number(&self, number: u16) -> Option<&Column> {
        self.columns.get(usize::from(number).checked_sub(1)?)
    }

    /// The names of these columns.
    pub fn column_names(&self, numbers: &[u16]) -> Vec<&str> {
        numbers
            .iter()
            .filter_map(|number| self.column_by_number(*number))
            .map(|column| column.name.as_str())
            .collect()
    }

    /// The index of that name.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The index of a deferrable primary key; a primary key of another kind is no index.
    pub fn deferrable_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.primary)
    }

    /// Name and column numbers of the primary key.
    pub fn primary_columns(&self) -> Option<(&str, Vec<u16>)> {
        match &self.primary_key {
            Some(key) => Some((&key.name, key.columns.clone())),
            None => self
                .deferrable_key()
                .map(|index| (index.name.as_str(), index.columns.iter().map(|part| part.column).collect())),
        }
    }

    /// Every keyspace the table owns.
    pub fn storages(&self) -> impl Iterator<Item = StorageId> {
        let files = self.columnar.iter().map(|columnar| columnar.files);
        std::iter::once(self.storage).chain(files).chain(self.indexes.iter().map(|index| index.storage))
    }
}

/// Who gives an identity column its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// `GENERATED ALWAYS`: a given value is an error.
    Always,
    /// `GENERATED BY DEFAULT`: a given value is taken.
    ByDefault,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// From 1, in order of creation, never reused.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// The domain whose conditions its values satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Oid>,
    /// Whether NULL is refused.
    #[serde(default)]
    pub not_null: bool,
    /// The default as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// For rows stored before the column was added: its value in text form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Whether the column is an identity column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The sequence that a `serial` or identity column owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<Oid>,
    /// `GENERATED ALWAYS AS (…) STORED`: what its values are computed from, as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// What its text is ordered by, where a COLLATE clause says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<ColumnCollation>,
    /// How many digits of a second a time keeps, when fewer than six.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<u8>,
    /// Whether it was dropped; its place in stored rows stays.
    #[serde(default)]
    pub dropped: bool,
    /// `COMMENT ON COLUMN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Column {
    /// A column of a type that takes NULL and has nothing else.
    pub fn new(number: u16, name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            number,
            name: name.into(),
            data_type,
            domain: None,
            not_null: false,
            default: None,
            missing: None,
            identity: None,
            sequence: None,
            generated: None,
            collation: None,
            precision: None,
            dropped: false,
            comment: None,
        }
    }
}

/// The collation of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnCollation {
    /// A copy of what the catalog has.
    pub collation: Collation,
    /// The version of the rules that keys of the column were made by; empty where text sorts by its bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
}

impl ColumnCollation {
    /// A collation by the rules that there are now.
    pub fn new(collation: Collation) -> Self {
        let rules = if collation.locale.is_some() { luma_model::COLLATION_RULES_VERSION } else { "" };
        Self { collation, rules: rules.to_owned() }
    }
}

/// A collation that a user made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserCollation {
    /// What it orders by.
    pub collation: Collation,
    /// The schema it lies in.
    pub schema: Oid,
    /// The role that made it.
    pub owner: Oid,
    /// `COMMENT ON COLLATION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The primary key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyConstraint {
    /// The identifier of its index.
    pub oid: Oid,
    /// The constraint's and index's name.
    pub name: String,
    /// Column numbers in key order.
    pub columns: Vec<u16>,
}

/// One part of what an index orders by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// Column number; 0 stands for the next of the index's expressions.
    pub column: u16,
    /// Largest first.
    pub descending: bool,
    /// NULLs before values.
    pub nulls_first: bool,
}

/// An expression that an index orders by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexExpression {
    /// As SQL text.
    pub expression: String,
    /// The type of its values.
    pub data_type: DataType,
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Its identifier.
    pub oid: Oid,
    /// Its name, unique among the relations of the table's schema.
    pub name: String,
    /// The keyspace of its entries.
    pub storage: StorageId,
    /// What it orders by.
    pub columns: Vec<IndexColumn>,
    /// Whether two rows may not share a key without NULLs.
    pub unique: bool,
    /// Whether it was made by a UNIQUE constraint, and may only be dropped with it.
    pub constraint: bool,
    /// For the columns with number 0, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<IndexExpression>,
    /// Which rows it has, as SQL text; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// Numbers of the columns that INCLUDE names; they take part in nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<u16>,
    /// Whether it is the deferrable primary key of its table, whose rows have numbers for keys: two of them may
    /// share a primary key for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primary: bool,
    /// When its constraint is checked.
    #[serde(default)]
    pub timing: ConstraintTiming,
}

impl Index {
    /// Whether two rows never have one key without NULLs, not even for a while.
    pub fn is_always_unique(&self) -> bool {
        self.unique && self.timing == ConstraintTiming::NotDeferrable
    }

    /// Whether two rows may have one key until the statement or the transaction ends.
    pub fn is_deferrable(&self) -> bool {
        self.unique && self.timing != ConstraintTiming::NotDeferrable
    }

    /// Whether it has every row under columns of the table.
    pub fn is_plain(&self) -> bool {
        self.expressions.is_empty() && self.predicate.is_none()
    }

    /// Its columns' numbers, if it has every row under columns of the table.
    pub fn plain_columns(&self) -> Option<impl Iterator<Item = u16> + Clone> {
        self.is_plain().then(|| self.columns.iter().map(|part| part.column))
    }

    /// The SQL texts it consists of beside columns.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.expressions.iter_mut().map(|part| &mut part.expression).chain(&mut self.predicate)
    }

    /// The SQL texts it consists of beside columns.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let expressions = self.expressions.iter().map(|part| part.expression.as_str());
        expressions.chain(self.predicate.as_deref())
    }
}

/// A CHECK constraint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its identifier.
    pub oid: Oid,
    /// Its name, unique in the table.
    pub name: String,
    /// The condition as SQL text.
    pub expression: String,
}

/// What happens to referencing rows when the referenced one goes or changes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferentialAction {
    /// An error at the end of the statement.
    NoAction,
    /// An error.
    Restrict,
    /// They go or change too.
    Cascade,
    /// Their columns become NULL.
    SetNull,
    /// Their columns get their defaults.
    SetDefault,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its identifier.
    pub oid: Oid,
    /// Its name, unique in the table.
    pub name: String,
    /// Referencing column numbers.
    pub columns: Vec<u16>,
    /// The referenced table.
    pub referenced_table: Oid,
    /// Referenced column numbers: a primary key or unique index of that table.
    pub referenced_columns: Vec<u16>,
    /// When the referenced row is deleted.
    pub on_delete: ReferentialAction,
    /// When the referenced key changes.
    pub on_update: ReferentialAction,
    /// When it is checked.
    #[serde(default)]
    pub timing: ConstraintTiming,
}

/// When a constraint is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConstraintTiming {
    /// Always at the end of the statement.
    #[default]
    NotDeferrable,
    /// At the end of the statement unless the transaction says otherwise.
    InitiallyImmediate,
    /// At the end of the transaction unless the transaction says otherwise.
    InitiallyDeferred,
}

/// What ANALYZE found about a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableStatistics {
    /// Rows when it ran.
    pub row_count: u64,
    /// By column number.
    pub columns: Vec<ColumnStatistics>,
}

/// What ANALYZE found about a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Column number.
    pub column: u16,
    /// Share of NULLs, 0 to 1.
    #[serde(deserialize_with = "fraction")]
    pub null_fraction: f64,
    /// Distinct values, estimated.
    pub distinct: u64,
    /// Mean bytes of a value.
    #[serde(deserialize_with = "fraction")]
    pub average_width: f64,
    /// The values that are clearly more frequent than others, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub common: Vec<CommonValue>,
    /// Bounds, ascending, between which there are equally many of the other values: the text forms of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<String>,
}

/// A frequent value of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommonValue {
    /// Its text form.
    pub text: String,
    /// The share of rows that have it, 0 to 1.
    #[serde(deserialize_with = "fraction")]
    pub share: f64,
}

/// A number with a point. [`Object`] is tagged, so its fields pass through a form in between, in which JSON's exact numbers
/// are maps that `f64` does not take.
fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    number.as_f64().ok_or_else(|| D::Error::custom(format!("{number} is out of range")))
}

/// A named query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its identifier.
    pub oid: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the relations of the schema.
    pub name: String,
    /// The role that made it.
    pub owner: Oid,
    /// The query as SQL text.
    pub query: String,
    /// Names and types of what it gives.
    pub columns: Vec<(String, DataType)>,
    /// Tables and views it reads; they can't be dropped before it.
    pub depends_on: Vec<Oid>,
    /// `COMMENT ON VIEW`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What an external table reads; none for other views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Whether rows written through the view must be seen through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_option: Option<CheckOption>,
}

/// `WITH CHECK OPTION` of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOption {
    /// Rows must meet the view's own condition.
    Local,
    /// Rows must meet the conditions of the views that it reads, too.
    Cascaded,
}

/// The files of an external table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Their format.
    pub format: String,
    /// Where they are.
    pub location: String,
    /// Names and values of what else was said of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, String)>,
}

/// A sequence's definition; its position is kept by the row store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its identifier.
    pub oid: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the relations of the schema.
    pub name: String,
    /// The role that made it.
    pub owner: Oid,
    /// smallint, integer or bigint.
    pub data_type: DataType,
    /// First value.
    pub start: i64,
    /// Step, not zero.
    pub increment: i64,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// Whether it starts over at the end.
    pub cycle: bool,
    /// The column that owns it: table and column number.
    pub owned_by: Option<(Oid, u16)>,
}

/// A user or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its identifier.
    pub oid: Oid,
    /// Its name, unique.
    pub name: String,
    /// May do everything.
    pub superuser: bool,
    /// May log in.
    pub can_login: bool,
    /// What its password is checked against.
    pub password: Option<Verifier>,
}

/// What a password is checked against; the password itself is never kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verifier {
    /// For SCRAM-SHA-256.
    pub scram: Option<ScramVerifier>,
    /// `md5` + hex digest of password and name, for clients that know nothing else.
    pub md5: Option<String>,
}

/// RFC 5803's four parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScramVerifier {
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// Random bytes.
    pub salt: Vec<u8>,
    /// SHA-256 of the client key.
    pub stored_key: Vec<u8>,
    /// HMAC of the salted password.
    pub server_key: Vec<u8>,
}
