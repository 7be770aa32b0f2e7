//! What a program does with sqlx: pools, types both ways in binary form, transactions, streams, migrations, COPY,
//! LISTEN, and the errors that it tells apart. Its argument is the server's URL.

use std::str::FromStr;
use std::time::Duration;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use futures::TryStreamExt;
use serde_json::json;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{PgListener, PgPool, PgPoolCopyExt, PgPoolOptions};
use sqlx::{Column, Connection, Executor, FromRow, Row, Statement, TypeInfo};
use uuid::Uuid;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, FromRow, PartialEq)]
struct Person {
    id: i32,
    name: String,
    tags: Vec<String>,
    balance: Option<BigDecimal>,
}

#[derive(Clone, Copy, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Sad,
    Happy,
}

#[tokio::main]
async fn main() -> Outcome {
    let url = std::env::args().nth(1).ok_or("the first argument is the server's URL")?;
    let pool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
    types(&pool).await?;
    rows(&pool).await?;
    transactions(&pool).await?;
    errors(&pool).await?;
    enums(&pool).await?;
    describing(&pool).await?;
    copying(&pool).await?;
    listening(&pool).await?;
    migrations(&pool).await?;
    pool.close().await;
    println!("sqlx: all well");
    Ok(())
}

/// Every type goes there and comes back as it was.
async fn types(pool: &PgPool) -> Outcome {
    macro_rules! survives {
        ($sql:literal, $kind:ty, $value:expr) => {{
            let value: $kind = $value;
            let back: $kind =
                sqlx::query_scalar(concat!("SELECT $1::", $sql)).bind(value.clone()).fetch_one(pool).await?;
            assert_eq!(back, value, $sql);
            let none: Option<$kind> =
                sqlx::query_scalar(concat!("SELECT $1::", $sql)).bind(None::<$kind>).fetch_one(pool).await?;
            assert_eq!(none, None, $sql);
        }};
    }
    survives!("bool", bool, true);
    survives!("int2", i16, -7);
    survives!("int4", i32, i32::MIN);
    survives!("int8", i64, i64::MAX);
    survives!("float4", f32, 1.5);
    survives!("float8", f64, -0.1);
    survives!("text", String, "text with \u{e9} and 'quotes'".into());
    survives!("varchar(20)", String, "short".into());
    survives!("bytea", Vec<u8>, vec![0, 1, 255]);
    survives!(
        "numeric",
        BigDecimal,
        BigDecimal::from_str("123456789012345678901234567890123456789012345.000123")?
    );
    survives!("numeric(12, 4)", BigDecimal, BigDecimal::from_str("-1234.5600")?);
    survives!("date", NaiveDate, NaiveDate::from_ymd_opt(2024, 2, 29).ok_or("a date")?);
    survives!("time", NaiveTime, NaiveTime::from_hms_micro_opt(23, 59, 59, 123_456).ok_or("a time")?);
    survives!("timestamp", NaiveDateTime, NaiveDateTime::from_str("2024-02-29T12:34:56.789")?);
    survives!("timestamptz", DateTime<Utc>, DateTime::from_str("2024-02-29T12:34:56Z")?);
    survives!("interval", PgInterval, PgInterval { months: 1, days: -2, microseconds: 3_000_000 });
    survives!("uuid", Uuid, Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
    survives!("jsonb", serde_json::Value, json!({"a": [1, 2.5, null], "b": {"c": "d"}}));
    survives!("json", serde_json::Value, json!([true, "x"]));
    survives!("int4[]", Vec<Option<i32>>, vec![Some(1), None, Some(3)]);
    survives!("text[]", Vec<String>, vec!["a".into(), "b,c".into(), String::new()]);
    survives!("uuid[]", Vec<Uuid>, vec![Uuid::nil()]);
    Ok(())
}

async fn rows(pool: &PgPool) -> Outcome {
    pool.execute(
        "CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL UNIQUE, tags text[] NOT NULL DEFAULT '{}', balance numeric(12, 2))",
    )
    .await?;
    let names = ["Ann", "Bob", "Cid"];
    for name in names {
        let id: i32 = sqlx::query_scalar("INSERT INTO person (name, tags) VALUES ($1, $2) RETURNING id")
            .bind(name)
            .bind(vec![name.to_lowercase()])
            .fetch_one(pool)
            .await?;
        assert!(id > 0);
    }
    let changed = sqlx::query("UPDATE person SET balance = $1 WHERE name = ANY($2)")
        .bind(BigDecimal::from_str("10.50")?)
        .bind(["Ann", "Bob"].map(String::from).to_vec())
        .execute(pool)
        .await?;
    assert_eq!(changed.rows_affected(), 2);
    let all: Vec<Person> = sqlx::query_as("SELECT * FROM person ORDER BY id").fetch_all(pool).await?;
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].name, "Ann");
    assert_eq!(all[0].tags, ["ann"]);
    assert_eq!(all[0].balance, Some(BigDecimal::from_str("10.50")?));
    assert_eq!(all[2].balance, None);
    let missing: Option<Person> =
        sqlx::query_as("SELECT * FROM person WHERE id = $1").bind(-1).fetch_optional(pool).await?;
    assert_eq!(missing, None);
    let row = sqlx::query("SELECT count(*) AS n, avg(balance) AS mean FROM person").fetch_one(pool).await?;
    assert_eq!(row.try_get::<i64, _>("n")?, 3);
    assert_eq!(row.try_get::<BigDecimal, _>("mean")?, BigDecimal::from_str("10.5")?);
    // A long result comes as it is read.
    let mut stream =
        sqlx::query_scalar::<_, i64>("SELECT * FROM generate_series(1::bigint, 100000)").fetch(pool);
    let mut sum = 0;
    while let Some(value) = stream.try_next().await? {
        sum += value;
    }
    assert_eq!(sum, 5_000_050_000);
    drop(stream);
    // Several statements in one text.
    let mut many =
        pool.fetch_many("SELECT 1 AS x; SELECT 2 AS x UNION ALL SELECT 3; DELETE FROM person WHERE id < 0");
    let (mut given, mut ended) = (0, 0);
    while let Some(step) = many.try_next().await? {
        match step {
            sqlx::Either::Left(_) => ended += 1,
            sqlx::Either::Right(_) => given += 1,
        }
    }
    assert_eq!((given, ended), (3, 3));
    Ok(())
}

async fn transactions(pool: &PgPool) -> Outcome {
    let count = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM person").fetch_one(pool);
    let before = count().await?;
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO person (name) VALUES ('Dan')").execute(&mut *transaction).await?;
    let mut inner = transaction.begin().await?;
    sqlx::query("INSERT INTO person (name) VALUES ('Eve')").execute(&mut *inner).await?;
    inner.rollback().await?;
    transaction.commit().await?;
    assert_eq!(count().await?, before + 1);
    // One that is dropped is rolled back.
    let mut dropped = pool.begin().await?;
    sqlx::query("DELETE FROM person").execute(&mut *dropped).await?;
    drop(dropped);
    assert_eq!(count().await?, before + 1);
    Ok(())
}

async fn errors(pool: &PgPool) -> Outcome {
    let error = sqlx::query("INSERT INTO person (name) VALUES ('Ann')").execute(pool).await.unwrap_err();
    let database = error.as_database_error().ok_or("an error of the database")?;
    assert!(database.is_unique_violation());
    assert_eq!(database.constraint(), Some("person_name_key"));
    assert_eq!(database.table(), Some("person"));
    let error = sqlx::query("SELECT nosuch FROM person").execute(pool).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|it| it.code()).as_deref(), Some("42703"));
    let error = sqlx::query_scalar::<_, i32>("SELECT NULL::int").fetch_one(pool).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::ColumnDecode { .. }));
    Ok(())
}

async fn enums(pool: &PgPool) -> Outcome {
    pool.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')").await?;
    pool.execute("CREATE TABLE day (id int PRIMARY KEY, mood mood, moods mood[])").await?;
    sqlx::query("INSERT INTO day VALUES (1, $1, NULL), (2, 'sad', NULL)")
        .bind(Mood::Happy)
        .execute(pool)
        .await?;
    let moods: Vec<Mood> = sqlx::query_scalar("SELECT mood FROM day ORDER BY mood").fetch_all(pool).await?;
    assert_eq!(moods, [Mood::Sad, Mood::Happy]);
    Ok(())
}

/// What a prepared statement takes and gives.
async fn describing(pool: &PgPool) -> Outcome {
    let mut connection = pool.acquire().await?;
    let prepared = connection
        .prepare("SELECT id, name, balance, count(*) OVER () AS n FROM person WHERE id = $1 AND name LIKE $2")
        .await?;
    let types: Vec<&str> = prepared.columns().iter().map(|column| column.type_info().name()).collect();
    assert_eq!(types, ["INT4", "TEXT", "NUMERIC", "INT8"]);
    let taken = prepared.parameters().and_then(|given| given.left()).ok_or("types of parameters")?;
    assert_eq!(taken.iter().map(TypeInfo::name).collect::<Vec<_>>(), ["INT4", "TEXT"]);
    // What `query!` asks: which columns can be NULL, by the table and by the joins.
    connection.execute("CREATE TABLE pet (owner int NOT NULL, name text NOT NULL)").await?;
    let may_be_null = [
        ("SELECT p.id, pet.name FROM person p JOIN pet ON pet.owner = p.id", [Some(false), Some(false)]),
        ("SELECT p.id, pet.name FROM person p LEFT JOIN pet ON pet.owner = p.id", [Some(false), Some(true)]),
        ("SELECT p.id, pet.name FROM pet RIGHT JOIN person p ON pet.owner = p.id", [Some(false), Some(true)]),
        ("SELECT p.id, pet.name FROM pet FULL JOIN person p ON pet.owner = p.id", [Some(true), Some(true)]),
        (
            "SELECT p.id, q.name FROM person p LEFT JOIN (SELECT owner, name FROM pet WHERE owner > $1) q ON q.owner = p.id
             WHERE p.name = $2 ORDER BY p.id LIMIT 3",
            [Some(false), Some(true)],
        ),
        ("SELECT id, name FROM person WHERE id = $1", [Some(false), Some(false)]),
        ("SELECT id, balance FROM person WHERE id > $1", [Some(false), Some(true)]),
        ("INSERT INTO person (name) VALUES ($1) RETURNING id, balance", [Some(false), Some(true)]),
        ("UPDATE person SET name = $1 WHERE id = $2 RETURNING id, balance", [Some(false), Some(true)]),
    ];
    for (sql, expected) in may_be_null {
        let described = (&mut *connection).describe(sql).await?;
        let nullable = [described.nullable(0), described.nullable(1)];
        assert_eq!(nullable, expected, "{sql}");
    }
    let counted = (&mut *connection).describe("SELECT count(*) FROM person").await?;
    assert_eq!(counted.nullable(0), None);
    (&mut *connection).describe("CREATE TABLE described (id int)").await?;
    connection.ping().await?;
    Ok(())
}

async fn copying(pool: &PgPool) -> Outcome {
    pool.execute("CREATE TABLE copied (id int PRIMARY KEY, word text)").await?;
    let mut sink = pool.copy_in_raw("COPY copied FROM STDIN (FORMAT csv)").await?;
    sink.send("1,one\n2,\"two, or so\"\n".as_bytes()).await?;
    assert_eq!(sink.finish().await?, 2);
    let mut parts = pool.copy_out_raw("COPY copied TO STDOUT").await?;
    let mut text = Vec::new();
    while let Some(part) = parts.try_next().await? {
        text.extend_from_slice(&part);
    }
    assert_eq!(String::from_utf8(text)?, "1\tone\n2\ttwo, or so\n");
    Ok(())
}

async fn listening(pool: &PgPool) -> Outcome {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("news").await?;
    sqlx::query("SELECT pg_notify('news', $1)").bind("it happened").execute(pool).await?;
    let told = tokio::time::timeout(Duration::from_secs(60), listener.recv()).await??;
    assert_eq!((told.channel(), told.payload()), ("news", "it happened"));
    Ok(())
}

async fn migrations(pool: &PgPool) -> Outcome {
    let migration = |version, sql: &'static str| {
        Migration::new(version, "made".into(), MigrationType::Simple, sql.into(), false)
    };
    let migrator = Migrator {
        migrations: vec![
            migration(1, "CREATE TABLE account (id bigserial PRIMARY KEY, email text NOT NULL);\nCREATE INDEX ON account (email);"),
            migration(2, "ALTER TABLE account ADD COLUMN active boolean NOT NULL DEFAULT true"),
        ]
        .into(),
        ..Migrator::DEFAULT
    };
    migrator.run(pool).await?;
    // A second time there is nothing to do.
    migrator.run(pool).await?;
    let done: Vec<(i64, bool)> =
        sqlx::query_as("SELECT version, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(pool)
            .await?;
    assert_eq!(done, [(1, true), (2, true)]);
    let active: bool = sqlx::query_scalar("INSERT INTO account (email) VALUES ('a@b') RETURNING active")
        .fetch_one(pool)
        .await?;
    assert!(active);
    Ok(())
}
