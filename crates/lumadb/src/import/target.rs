//! The table or collection that rows go into.

use crate::Failure;
use crate::client::{Client, Event, quote_identifier, quote_name};
use crate::import::source::Column;

/// What a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Table(Vec<Column>),
    Collection,
}

/// How a table that is made keeps its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Engine {
    /// Rows, with keys and indexes
    #[default]
    Row,
    /// Files of columns, for reading much at once
    Columnar,
}

/// The column of a collection that holds its documents.
pub(super) const DOCUMENT: &str = "_doc";
/// SQLSTATE of a table that does not exist.
const UNDEFINED_TABLE: &str = "42P01";

/// Finds a target; `None` if there is none.
pub(super) async fn find(client: &mut Client, name: &str) -> Result<Option<Shape>, Failure> {
    client.send(&format!("SELECT * FROM {} LIMIT 0", quote_name(name))).await?;
    let (mut columns, mut failed) = (Vec::new(), None);
    loop {
        match client.event().await? {
            Event::Columns(found) => {
                columns = found
                    .into_iter()
                    .map(|column| Column { name: column.name, data_type: column.data_type })
                    .collect();
            }
            Event::Error(error) => failed = Some(error),
            Event::Ready => break,
            _ => {}
        }
    }
    match failed {
        Some(error) if error.code == UNDEFINED_TABLE => Ok(None),
        Some(error) => Err(error.into()),
        None if columns.iter().take(5).map(|column| column.name.as_str()).eq([
            "_id",
            "_rev",
            "_createdAt",
            "_updatedAt",
            DOCUMENT,
        ]) =>
        {
            Ok(Some(Shape::Collection))
        }
        None => Ok(Some(Shape::Table(columns))),
    }
}

/// The statement that makes a target.
///
/// # Errors
/// When the key names a column that is none.
pub(super) fn definition(
    name: &str,
    shape: &Shape,
    key: &[String],
    engine: Engine,
) -> Result<String, Failure> {
    let name = quote_name(name);
    let Shape::Table(columns) = shape else {
        if !key.is_empty() {
            return Err(Failure::new("a collection's key is _id; --key is for tables"));
        }
        if engine == Engine::Columnar {
            return Err(Failure::new("a collection has no columns; --engine is for tables"));
        }
        return Ok(format!("CREATE COLLECTION {name}"));
    };
    let mut parts: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {}", quote_identifier(&column.name), column.data_type.sql_name()))
        .collect();
    if !key.is_empty() {
        if let Some(wrong) = key.iter().find(|key| !columns.iter().any(|column| column.name == **key)) {
            return Err(Failure::new(format!("--key names \"{wrong}\", which is not a column of the file")));
        }
        let key: Vec<_> = key.iter().map(|name| quote_identifier(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    let options = match engine {
        Engine::Row => "",
        Engine::Columnar => " WITH (engine = 'columnar')",
    };
    Ok(format!("CREATE TABLE {name} ({}){options}", parts.join(", ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use luma_model::DataType;

    #[test]
    fn definitions_quote_names_and_carry_the_key() {
        let column = |name: &str, data_type| Column { name: name.into(), data_type };
        let shape = Shape::Table(vec![column("id", DataType::Int4), column("a b", DataType::Text)]);
        assert_eq!(
            definition("s.t", &shape, &["id".into()], Engine::Row).unwrap(),
            "CREATE TABLE \"s\".\"t\" (\"id\" integer, \"a b\" text, PRIMARY KEY (\"id\"))"
        );
        assert_eq!(
            definition("t", &shape, &[], Engine::Columnar).unwrap(),
            "CREATE TABLE \"t\" (\"id\" integer, \"a b\" text) WITH (engine = 'columnar')"
        );
        assert!(definition("t", &shape, &["x".into()], Engine::Row).is_err());
        let collection = |engine| definition("c", &Shape::Collection, &[], engine);
        assert_eq!(collection(Engine::Row).unwrap(), "CREATE COLLECTION \"c\"");
        assert!(collection(Engine::Columnar).is_err());
    }
}
