//! tokio-postgres: its own tests' happy path.

use futures::{SinkExt, StreamExt, TryStreamExt, pin_mut};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::Server;

async fn connect(server: &Server) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn run<F: Future<Output = ()>>(work: F) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

#[test]
fn tokio_postgres_reads_and_writes() {
    let server = Server::start();
    run(async {
        let mut client = connect(&server).await;
        client
            .batch_execute(
                "CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE, tags text[], raw bytea)",
            )
            .await
            .unwrap();
        let add = client
            .prepare_typed("INSERT INTO person (name, tags, raw) VALUES ($1, $2, $3) RETURNING id", &[])
            .await
            .unwrap();
        assert_eq!(add.params(), [Type::TEXT, Type::TEXT_ARRAY, Type::BYTEA]);
        assert_eq!(add.columns()[0].type_(), &Type::INT4);
        let row = client.query_one(&add, &[&"Ann", &vec!["a", "b"], &&b"\x00"[..]]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 1);
        let row = client.query_one("SELECT * FROM person WHERE id = $1", &[&1i32]).await.unwrap();
        assert_eq!(row.get::<_, &str>("name"), "Ann");
        assert_eq!(row.get::<_, Vec<String>>("tags"), ["a", "b"]);
        assert_eq!(row.get::<_, Vec<u8>>("raw"), [0]);
        assert!(client.query_opt("SELECT 1 WHERE $1", &[&false]).await.unwrap().is_none());
        let error = client.query(&add, &[&"Ann", &None::<Vec<String>>, &None::<Vec<u8>>]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::UNIQUE_VIOLATION);
        assert_eq!((error.constraint(), error.table()), (Some("person_name_key"), Some("person")));
        // Many requests at a time go down one connection.
        let many = (0..50i64).map(|n| {
            let client = &client;
            async move { client.query_one("SELECT $1::bigint * 2", &[&n]).await.unwrap().get::<_, i64>(0) }
        });
        let doubled = futures::future::join_all(many).await;
        assert!(doubled.iter().zip(0..).all(|(got, n)| *got == n * 2));
        let mut transaction = client.transaction().await.unwrap();
        let point = transaction.transaction().await.unwrap();
        point.execute("DELETE FROM person", &[]).await.unwrap();
        point.rollback().await.unwrap();
        let statement = transaction.prepare("SELECT n FROM generate_series(1, 10) AS g(n)").await.unwrap();
        let portal = transaction.bind(&statement, &[]).await.unwrap();
        for expected in [4, 4, 2, 0] {
            assert_eq!(transaction.query_portal(&portal, 4).await.unwrap().len(), expected);
        }
        transaction.commit().await.unwrap();
        let left = client.simple_query("SELECT count(*) FROM person; SELECT 'x'").await.unwrap();
        assert_eq!(left.len(), 6);
    });
}

#[test]
fn rows_next_to_each_other_come_in_parts_of_any_size_and_in_order() {
    let server = Server::start();
    run(async {
        let mut client = connect(&server).await;
        let table = "CREATE TABLE reading (id int PRIMARY KEY, sensor int, note text);
            INSERT INTO reading SELECT n, n % 3, 'note ' || n FROM generate_series(1, 6000) AS g(n);
            CREATE INDEX ON reading (sensor)";
        client.batch_execute(table).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        for (query, expected) in [
            ("SELECT id, note FROM reading WHERE id BETWEEN $1 AND 5000", (1..=5000).collect::<Vec<i32>>()),
            (
                "SELECT id, note FROM reading WHERE id BETWEEN $1 AND 5000 ORDER BY id DESC OFFSET 700",
                (1..=4300).rev().collect(),
            ),
            ("SELECT id, note FROM reading WHERE sensor = $1", (1..=6000).filter(|id| id % 3 == 1).collect()),
        ] {
            let statement = transaction.prepare(query).await.unwrap();
            let all = transaction.query(&statement, &[&1]).await.unwrap();
            let id_of = |row: &tokio_postgres::Row| {
                assert_eq!(row.get::<_, &str>(1), format!("note {}", row.get::<_, i32>(0)));
                row.get::<_, i32>(0)
            };
            assert_eq!(all.iter().map(id_of).collect::<Vec<_>>(), expected, "{query}");
            let portal = transaction.bind(&statement, &[&1]).await.unwrap();
            let mut parts = Vec::new();
            for size in [1, 511, 512, 513, 0] {
                let part = transaction.query_portal(&portal, size).await.unwrap();
                assert!(size == 0 || part.len() == size as usize, "{query}: {} of {size}", part.len());
                parts.extend(part.iter().map(id_of));
            }
            assert_eq!(parts, expected, "{query}, in parts");
        }
        transaction.commit().await.unwrap();
    });
}

#[test]
fn tokio_postgres_copies_cancels_and_listens() {
    let server = Server::start();
    run(async {
        let client = connect(&server).await;
        client.batch_execute("CREATE TABLE copied (id int, word text)").await.unwrap();
        let sink = client.copy_in("COPY copied FROM STDIN (FORMAT binary)").await.unwrap();
        let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
        pin_mut!(writer);
        for id in 0..100i32 {
            writer.as_mut().write(&[&id, &format!("word {id}")]).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap(), 100);
        let stream = client.copy_out("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT (FORMAT binary)");
        let rows = BinaryCopyOutStream::new(stream.await.unwrap(), &[Type::INT4, Type::TEXT]);
        let rows: Vec<_> = rows.try_collect().await.unwrap();
        assert_eq!((rows.len(), rows[7].get::<&str>(1)), (100, "word 7"));
        let sink = client.copy_in::<_, bytes::Bytes>("COPY copied FROM STDIN").await.unwrap();
        pin_mut!(sink);
        sink.send("1\tx\n".into()).await.unwrap();
        assert_eq!(sink.finish().await.unwrap(), 1);
        let cancel = client.cancel_token();
        let (slept, ()) = tokio::join!(client.query("SELECT pg_sleep(20)", &[]), async {
            // Until the statement runs there is nothing to cancel.
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                cancel.cancel_query(NoTls).await.unwrap();
                let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()";
                if connect(&server).await.query_one(running, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                    break;
                }
            }
        });
        assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
        let (listener, mut connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
        let (sender, mut heard) = futures::channel::mpsc::unbounded();
        let messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
        tokio::spawn(messages.map_err(|error| panic!("{error}")).forward(sender));
        listener.batch_execute("LISTEN news; NOTIFY news, 'said'").await.unwrap();
        let said = loop {
            if let AsyncMessage::Notification(said) = heard.next().await.unwrap() {
                break said;
            }
        };
        assert_eq!((said.channel(), said.payload()), ("news", "said"));
    });
}
