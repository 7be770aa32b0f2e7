//! SQL, through PostgreSQL's protocol.
//!
//! Rows are streamed with the simple protocol, so every column arrives as text whatever its type is.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::TryStreamExt;
use serde_json::{Map, Value};
use tokio_postgres::SimpleQueryMessage;

use super::{EntrySink, SourceConfig, entry_of};
use crate::error::Result;

pub(super) fn resolve(
    source: &SourceConfig,
    url: &str,
    query: &str,
    map: &BTreeMap<String, String>,
    sink: EntrySink<'_>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| source.failed(error))?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .map_err(|error| source.failed(reason(&error)))?;
        // It ends with the client; its error reaches the query.
        let connection = tokio::spawn(connection);
        let answered = rows(source, &client, query, map, sink).await;
        drop(client);
        connection.abort();
        answered
    })
}

async fn rows(
    source: &SourceConfig,
    client: &tokio_postgres::Client,
    query: &str,
    map: &BTreeMap<String, String>,
    sink: EntrySink<'_>,
) -> Result<()> {
    let failed = |error: tokio_postgres::Error| source.failed(reason(&error));
    let mut answers = pin!(client.simple_query_raw(query).await.map_err(failed)?);
    while let Some(message) = answers.try_next().await.map_err(failed)? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let object: Map<String, Value> = row
            .columns()
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((column.name().to_owned(), Value::from(row.get(at)?))))
            .collect();
        sink(entry_of(&Value::Object(object), map))?;
    }
    Ok(())
}

/// What the server says, where it says something.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
