use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};

use crate::raw::{Raw, bind, execute, message, parse, query, sync};
use crate::server::Server;

async fn copied_in(
    client: &tokio_postgres::Client,
    sql: &str,
    parts: &[&[u8]],
) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in(sql).await?;
    futures::pin_mut!(sink);
    for part in parts {
        sink.send(Bytes::copy_from_slice(part)).await?;
    }
    sink.finish().await
}

async fn copied_out(client: &tokio_postgres::Client, sql: &str) -> Vec<u8> {
    let parts: Vec<Bytes> = client.copy_out(sql).await.unwrap().try_collect().await.unwrap();
    parts.concat()
}

#[tokio::test]
async fn data_goes_in_and_comes_out_in_every_format() {
    let server = Server::open().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text, d date)").await.unwrap();
    let text = b"1\ta\\tb\t2024-01-01\n2\t\\N\t\\N\n3\t\t1999-12-31\n";
    // Cut in the middle of values.
    let rows =
        copied_in(&client, "COPY t FROM STDIN", &[&text[..5], &text[5..20], &text[20..]]).await.unwrap();
    assert_eq!(rows, 3);
    assert_eq!(copied_out(&client, "COPY t TO STDOUT").await, text);
    let csv = copied_out(&client, "COPY t TO STDOUT (FORMAT csv, HEADER true)").await;
    assert_eq!(String::from_utf8_lossy(&csv), "id,v,d\n1,a\tb,2024-01-01\n2,,\n3,\"\",1999-12-31\n");
    for (format, data) in [
        ("(FORMAT csv, HEADER true)", csv),
        ("(FORMAT binary)", copied_out(&client, "COPY t TO STDOUT (FORMAT binary)").await),
    ] {
        client.batch_execute("DELETE FROM t").await.unwrap();
        let rows = copied_in(&client, &format!("COPY t FROM STDIN {format}"), &[&data]).await.unwrap();
        assert_eq!(rows, 3);
        assert_eq!(copied_out(&client, "COPY (SELECT * FROM t ORDER BY id) TO STDOUT").await, text);
    }
}

#[tokio::test]
async fn bad_data_names_its_line_and_keeps_nothing() {
    let server = Server::open().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    let error = copied_in(&client, "COPY t FROM STDIN", &[b"1\n2\nx\n4\n"]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22P02");
    let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);
    assert_eq!(copied_in(&client, "COPY t FROM STDIN", &[b"7\n"]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_copy_that_fails_stops_or_is_cut_off_keeps_nothing_and_the_server_goes_on() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&query("CREATE TABLE t (id int)")).await;
    raw.ready().await;
    let data = message(b'd', b"1\n2\n");
    raw.send(&[query("COPY t FROM STDIN"), data.clone(), message(b'f', b"changed my mind\0")].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "G E57014 ZI");
    // What is left of the data after an error is passed over.
    raw.send(&[query("COPY t FROM STDIN"), message(b'd', b"x\n"), data.clone(), message(b'c', b"")].concat())
        .await;
    assert_eq!(raw.ready().await.join(" "), "G E22P02 ZI");
    // A message that does not belong there.
    raw.send(&[query("COPY t FROM STDIN"), data.clone(), query("SELECT 1")].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "G E08P01 ZI");
    raw.send(&[query("COPY t FROM STDIN"), data.clone()].concat()).await;
    drop(raw);
    let client = server.client().await;
    let rows: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn copy_in_the_extended_protocol_passes_over_an_early_sync() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&query("CREATE TABLE t (id int)")).await;
    raw.ready().await;
    let begin = [parse("", "COPY t FROM STDIN"), bind("", ""), execute("", 0), sync()].concat();
    raw.send(&[begin, message(b'd', b"1\n"), message(b'c', b""), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "1 2 G C ZI");
}
