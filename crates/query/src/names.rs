//! Names: from SQL's identifiers to the catalog's objects.

pub(crate) mod collation;
mod keyword;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use luma_catalog::{Relation, Schema, Snapshot, Table};
use luma_model::{Error, ErrorKind, Result};

use crate::temporary;

/// Longest identifier in bytes; longer ones are cut, as PostgreSQL does.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// A name that may be qualified by a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QualifiedName {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl std::fmt::Display for QualifiedName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(formatter, "{schema}.{}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

pub(crate) use keyword::is_keyword;

/// The parts of a name with dots and quotes between them.
///
/// # Errors
/// 42602 for one that has an empty part, or a quote that does not end.
pub(crate) fn parse_name(text: &str) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut characters = text.trim().chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            other if quoted => part.push(other),
            other => part.extend(other.to_lowercase()),
        }
    }
    parts.push(part);
    if quoted || parts.iter().any(String::is_empty) {
        return Err(Error::new(ErrorKind::InvalidName, format!("invalid name syntax: \"{text}\"")));
    }
    Ok(parts)
}

/// An identifier as it is stored: lower case unless quoted.
pub(crate) fn identifier(ident: &Ident) -> String {
    let mut name = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
    if name.len() > NAME_BYTES_MAX {
        let mut end = NAME_BYTES_MAX;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
    name
}

/// A possibly qualified name. A leading database name must be this database's.
pub(crate) fn qualified(name: &ObjectName) -> Result<QualifiedName> {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(identifier(ident)),
            ObjectNamePart::Function(_) => {
                Err(Error::new(ErrorKind::Syntax, format!("\"{name}\" is not a name")))
            }
        })
        .collect::<Result<_>>()?;
    match parts.as_slice() {
        [name] => Ok(QualifiedName { schema: None, name: name.clone() }),
        [schema, name] => Ok(QualifiedName { schema: Some(schema.clone()), name: name.clone() }),
        [database, schema, name] if database == crate::database::DATABASE_NAME => {
            Ok(QualifiedName { schema: Some(schema.clone()), name: name.clone() })
        }
        _ => Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("cross-database references are not implemented: \"{name}\""),
        )),
    }
}

/// Where unqualified names are looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) catalog: &'a Snapshot,
    pub(crate) search_path: &'a [String],
}

impl<'a> Scope<'a> {
    /// The relation of that name, if there is one.
    pub(crate) fn find(&self, name: &QualifiedName) -> Option<&'a Relation> {
        match &name.schema {
            Some(schema) => self.catalog.relation(self.catalog.schema(self.meant(schema))?.oid, &name.name),
            None => self
                .search_path
                .iter()
                .find_map(|schema| self.catalog.relation(self.catalog.schema(schema)?.oid, &name.name)),
        }
    }

    /// The schema that a name means: `pg_temp` is the session's own.
    fn meant<'n>(&'n self, schema: &'n str) -> &'n str {
        let own = self.search_path.first().filter(|first| temporary::is_temporary(first));
        if schema == temporary::OWN { own.map_or(schema, String::as_str) } else { schema }
    }

    /// The relation of that name.
    ///
    /// # Errors
    /// 42P01, with the nearest name as a hint.
    pub(crate) fn relation(&self, name: &QualifiedName) -> Result<&'a Relation> {
        self.find(name).ok_or_else(|| self.unknown(name))
    }

    /// The table of that name.
    ///
    /// # Errors
    /// 42P01 when there is none, 42809 when it is something else.
    pub(crate) fn table(&self, name: &QualifiedName) -> Result<&'a Arc<Table>> {
        match self.relation(name)? {
            Relation::Table(table) => Ok(table),
            Relation::View(view) if view.external.is_some() => {
                let message = format!("\"{}\" is an external table, which is only read", name.name);
                Err(Error::new(ErrorKind::WrongObjectType, message)
                    .hint("Its rows are in files of others. COPY (SELECT …) TO 'path' writes files."))
            }
            other => Err(Error::new(
                ErrorKind::WrongObjectType,
                format!("\"{}\" is a {}, not a table", name.name, other.kind_name()),
            )),
        }
    }

    /// The table of that name that statements may write to.
    ///
    /// # Errors
    /// As [`table`](Self::table); 42809 for a materialized view.
    pub(crate) fn written_table(&self, name: &QualifiedName) -> Result<&'a Arc<Table>> {
        let table = self.table(name)?;
        if table.filled_by.is_some() {
            let message = format!("\"{}\" is not a table", name.name);
            return Err(Error::new(ErrorKind::WrongObjectType, message)
                .hint("It is a materialized view; only REFRESH MATERIALIZED VIEW changes its rows."));
        }
        Ok(table)
    }

    /// The schema a new object of that name goes to.
    ///
    /// # Errors
    /// 3F000 when there is none.
    pub(crate) fn creation_schema(&self, name: &QualifiedName) -> Result<&'a Arc<Schema>> {
        match &name.schema {
            Some(schema) => self.catalog.schema(self.meant(schema)).ok_or_else(|| {
                Error::new(ErrorKind::InvalidSchemaName, format!("schema \"{schema}\" does not exist"))
            }),
            None => {
                permanent(self.search_path).find_map(|schema| self.catalog.schema(schema)).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidSchemaName, "no schema has been selected to create in")
                })
            }
        }
    }

    fn unknown(&self, name: &QualifiedName) -> Error {
        let error = Error::new(ErrorKind::UndefinedTable, format!("relation \"{name}\" does not exist"));
        let schemas = self.search_path.iter().filter_map(|schema| self.catalog.schema(schema));
        let known = schemas.flat_map(|schema| self.catalog.relations(schema.oid).map(|(name, _)| name));
        match nearest(&name.name, known) {
            Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
            None => error,
        }
    }
}

/// A search path without the session's own schema, into which only CREATE TEMPORARY puts anything.
pub(crate) fn permanent(search_path: &[String]) -> impl Iterator<Item = &String> {
    search_path.iter().filter(|schema| !temporary::is_temporary(schema))
}

/// The candidate most like `name`, if any is like it at all.
pub(crate) fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = 1 + name.chars().count() / 4;
    candidates
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, right) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
