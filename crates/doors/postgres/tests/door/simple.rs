use crate::raw::{Raw, query};
use crate::server::Server;

#[tokio::test]
async fn every_query_ends_in_one_ready() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    for (sql, expected) in [
        ("", "I ZI"),
        (" ; ; ", "I ZI"),
        ("SELECT 1", "T D C ZI"),
        ("SELECT 1; SELECT 2", "T D C T D C ZI"),
        ("SELECT 1 WHERE false", "T C ZI"),
        ("SELEC 1", "E42601 ZI"),
        ("SELECT 1; SELECT 1/0; SELECT 2", "T D C E22012 ZI"),
        ("SELECT $1", "E42P02 ZI"),
        ("BEGIN", "C ZT"),
        ("SELECT * FROM nothing", "E42P01 ZE"),
        ("SELECT 1", "E25P02 ZE"),
        ("ROLLBACK", "C ZI"),
    ] {
        raw.send(&query(sql)).await;
        let mut got = raw.ready().await;
        // An error in the middle of a result may come after its description.
        got.dedup();
        let got = got.join(" ");
        assert!(got == expected || got == expected.replace("C E", "C T E"), "{sql}: {got}");
    }
}

#[tokio::test]
async fn statements_prepared_by_sql_have_parameters_of_their_own() {
    let server = Server::open().await;
    let client = server.client().await;
    client.batch_execute("PREPARE p AS SELECT $1::int + 1 AS n").await.unwrap();
    let messages = client.simple_query("EXECUTE p(41)").await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get("n"),
        _ => None,
    });
    assert_eq!(row, Some("42"));
}

#[tokio::test]
async fn the_statements_of_a_message_are_one_transaction() {
    let server = Server::open().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (n int PRIMARY KEY)").await.unwrap();
    let failed = client.batch_execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)").await;
    assert_eq!(failed.unwrap_err().code().unwrap().code(), "23505");
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn changed_settings_and_notices_are_told_before_ready() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&query("SET TimeZone = 'Europe/Berlin'")).await;
    assert_eq!(raw.ready().await.join(" "), "C S ZI");
    raw.send(&query("DROP TABLE IF EXISTS nothing")).await;
    assert_eq!(raw.ready().await.join(" "), "N C ZI");
}

#[tokio::test]
async fn a_long_result_comes_whole() {
    let server = Server::open().await;
    let client = server.numbers(1000).await;
    let rows = client.query("SELECT a.i, b.i FROM n a, n b WHERE b.i <= 100", &[]).await.unwrap();
    assert_eq!(rows.len(), 100_000);
}
