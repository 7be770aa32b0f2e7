use std::collections::HashMap;

use futures::future::join_all;

use crate::raw::{Raw, bind, execute, message, parse, query, sync};
use crate::server::Server;

#[tokio::test]
async fn after_an_error_everything_up_to_sync_is_skipped() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    let good = [parse("", "SELECT 1"), bind("", ""), execute("", 0)].concat();
    let bad = [parse("", "SELECT * FROM nothing"), bind("", ""), execute("", 0)].concat();
    raw.send(&[&good[..], &bad, &good, &sync(), &good, &sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "1 2 D C E42P01 ZI");
    assert_eq!(raw.ready().await.join(" "), "1 2 D C ZI");
}

#[tokio::test]
async fn answers_wait_for_sync_or_flush() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&parse("s", "SELECT 1")).await;
    let mut byte = [0];
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), raw.0.peek(&mut byte)).await;
    assert!(early.is_err());
    raw.send(&message(b'H', b"")).await;
    assert_eq!(raw.message().await.unwrap().0, b'1');
}

#[tokio::test]
async fn a_portal_gives_its_rows_in_parts_and_ends_with_its_transaction() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&query("CREATE TABLE n (i int); INSERT INTO n VALUES (1), (2), (3), (4), (5)")).await;
    raw.ready().await;
    let begin = [parse("", "SELECT i FROM n ORDER BY i"), bind("p", ""), execute("p", 2)].concat();
    raw.send(&[begin, execute("p", 2), execute("p", 2), execute("p", 2), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "1 2 D D s D D s D C C ZI");
    raw.send(&[execute("p", 0), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "E34000 ZI");
    raw.send(&query("BEGIN")).await;
    raw.ready().await;
    raw.send(&[parse("", "SELECT i FROM n ORDER BY i"), bind("p", ""), execute("p", 3), sync()].concat())
        .await;
    assert_eq!(raw.ready().await.join(" "), "1 2 D D D s ZT");
    raw.send(&[execute("p", 0), message(b'C', b"Pp\0"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "D D C 3 ZT");
}

#[tokio::test]
async fn exactly_as_many_rows_as_wanted_suspend_or_complete_but_lose_none() {
    let server = Server::open().await;
    let mut client = server.numbers(20000).await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT i FROM n", &[]).await.unwrap();
    let mut seen = 0;
    loop {
        let rows = transaction.query_portal(&portal, 5000).await.unwrap();
        seen += rows.len();
        if rows.len() < 5000 {
            break;
        }
    }
    assert_eq!(seen, 20000);
}

#[tokio::test]
async fn descriptions_say_parameters_and_columns_before_anything_runs() {
    let server = Server::open().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int8 PRIMARY KEY, name text, at timestamptz)").await.unwrap();
    let statement = client.prepare("SELECT name, at FROM t WHERE id = $1 AND name <> $2").await.unwrap();
    let types: Vec<_> = statement.params().iter().map(tokio_postgres::types::Type::name).collect();
    assert_eq!(types, ["int8", "text"]);
    let columns: Vec<_> =
        statement.columns().iter().map(|column| (column.name(), column.type_().name())).collect();
    assert_eq!(columns, [("name", "text"), ("at", "timestamptz")]);
    let statement = client.prepare("INSERT INTO t VALUES ($1, $2, now())").await.unwrap();
    assert!(statement.columns().is_empty());
}

#[tokio::test]
async fn names_are_taken_once_and_forgotten_when_closed() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&[parse("s", "SELECT 1"), parse("s", "SELECT 2"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "1 E42P05 ZI");
    raw.send(&[message(b'C', b"Ss\0"), parse("s", "SELECT 2"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "3 1 ZI");
    raw.send(&[bind("p", "s"), bind("p", "s"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "2 E42P03 ZI");
    raw.send(&[bind("", "nothing"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "E26000 ZI");
    raw.send(&query("DISCARD ALL")).await;
    raw.ready().await;
    raw.send(&[bind("", "s"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "E26000 ZI");
}

#[tokio::test]
async fn the_empty_statement_two_statements_and_wrong_counts_are_told_apart() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    raw.send(&[parse("", ""), bind("", ""), message(b'D', b"P\0"), execute("", 0), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "1 2 n I ZI");
    raw.send(&[parse("", "SELECT 1; SELECT 2"), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "E42601 ZI");
    raw.send(&[parse("", "SELECT $1::int"), bind("", ""), sync()].concat()).await;
    assert_eq!(raw.ready().await.join(" "), "1 E08P01 ZI");
}

#[tokio::test]
async fn pipelined_statements_come_back_in_order() {
    let server = Server::open().await;
    let client = server.client().await;
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    let texts: Vec<String> = (0..100).map(|id| format!("v{id}")).collect();
    let ids: Vec<i32> = (0..100).collect();
    for inserted in
        join_all(ids.iter().zip(&texts).map(async |(id, text)| client.execute(&insert, &[id, text]).await))
            .await
    {
        assert_eq!(inserted.unwrap(), 1);
    }
    let select = client.prepare("SELECT v FROM t WHERE id = $1").await.unwrap();
    let rows = join_all(ids.iter().map(async |id| client.query_one(&select, &[id]).await)).await;
    for (row, text) in rows.into_iter().zip(&texts) {
        assert_eq!(row.unwrap().get::<_, &str>(0), text);
    }
}

#[tokio::test]
async fn values_of_every_type_come_back_as_they_went_in_both_formats() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    let types = [
        ("bool", "t"),
        ("int2", "-5"),
        ("int4", "70000"),
        ("int8", "-9000000000"),
        ("float4", "1.5"),
        ("float8", "-1e+20"),
        ("numeric", "12345.6789"),
        ("text", "Grüße, 'x'"),
        ("varchar(5)", "abc"),
        ("char(3)", "ab "),
        ("bytea", "\\x00ff10"),
        ("date", "2024-02-29"),
        ("time", "23:59:59.5"),
        ("timestamp", "1999-12-31 23:59:59.999999"),
        ("timestamptz", "2024-01-01 00:00:00+00"),
        ("interval", "1 year 2 mons 3 days 04:05:06"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("json", "{\"a\" : 1}"),
        ("jsonb", "{\"a\": [1, null]}"),
        ("int4[]", "{1,NULL,3}"),
        ("text[]", "{a,\"b c\"}"),
        ("oid", "4000000000"),
    ];
    for (data_type, text) in types {
        // In as text, out as binary; then in as binary, out as text.
        let sql = format!("SELECT $1::{data_type}");
        let binary = value(&mut raw, &sql, text.as_bytes(), 0, 1).await;
        let again = value(&mut raw, &sql, &binary, 1, 0).await;
        assert_eq!(String::from_utf8_lossy(&again), text, "{data_type}");
    }
}

/// The one value of a statement with one parameter.
async fn value(raw: &mut Raw, sql: &str, parameter: &[u8], format_in: u8, format_out: u8) -> Vec<u8> {
    let mut body = b"\0\0\0\x01\0".to_vec();
    body.push(format_in);
    body.extend_from_slice(b"\0\x01");
    body.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
    body.extend_from_slice(parameter);
    body.extend_from_slice(&[0, 1, 0, format_out]);
    raw.send(&[parse("", sql), message(b'B', &body), execute("", 0), sync()].concat()).await;
    let mut found = None;
    loop {
        match raw.message().await.unwrap() {
            (b'D', row) => found = Some(row[6..].to_vec()),
            (b'E', error) => panic!("{sql}: {}", String::from_utf8_lossy(&error)),
            (b'Z', _) => return found.unwrap(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_and_the_session_goes_on() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    let wrong = [(&b"abc"[..], 0u8, "22P02"), (b"\xff", 0, "22021"), (b"123", 1, "22P03")];
    let mut seen = HashMap::new();
    for (parameter, format, code) in wrong {
        let mut body = vec![0, 0, 0, 1, 0, format, 0, 1];
        body.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
        body.extend_from_slice(parameter);
        body.extend_from_slice(b"\0\0");
        raw.send(&[parse("", "SELECT $1::int4"), message(b'B', &body), sync()].concat()).await;
        seen.insert(code, raw.ready().await.join(" "));
    }
    for (code, got) in seen {
        assert_eq!(got, format!("1 E{code} ZI"));
    }
}
