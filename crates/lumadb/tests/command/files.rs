//! Files of the server: COPY to and from them, functions that read them, and external tables.

use std::path::Path;
use std::process::Command;

use crate::process::{Ended, good, run};

/// A directory with one for a database.
fn with_data() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    directory
}

fn sql(directory: &Path, statement: &str) -> String {
    good(directory, &["sql", "--data-dir", "data", "--format", "csv", "-c", statement])
}

fn refused(directory: &Path, statement: &str) -> String {
    let Ended { code, err, .. } = run(directory, &["sql", "--data-dir", "data", "-c", statement]);
    assert_ne!(code, 0, "{statement}");
    err
}

/// What another reader says of a Parquet file.
fn duckdb(query: &str) -> Option<String> {
    let Some(python) = std::env::var_os("LUMA_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "LUMA_PYTHON is not set");
        eprintln!("no LUMA_PYTHON: other tools' readings are skipped");
        return None;
    };
    let code = "import sys, duckdb; print(duckdb.sql(sys.argv[1]).fetchall())";
    let read = Command::new(python).args(["-c", code, query]).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Some(String::from_utf8(read.stdout).unwrap())
}

const ROWS: &str = "CREATE TABLE t (id int NOT NULL, word varchar(20), n numeric(8,2), any_n numeric, at timestamptz, \
    list int[], doc jsonb, raw bytea, span interval, u uuid, f real);
    INSERT INTO t VALUES (1, 'one', 1.5, 1.250, '2024-01-02 03:04:05Z', '{1,NULL}', '{\"a\": [1]}', '\\x00ff', '1 day', \
    '11111111-2222-3333-4444-555555555555', 0.5), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
    (3, 'it''s, \"three\"', -7, 12345678901234567890.5, '1970-01-01Z', '{}', '{\"n\": null}', '', '-2 hours', NULL, 1e10);";

#[test]
fn rows_go_through_files_of_every_format_and_stay_what_they_were() {
    let directory = with_data();
    let root = directory.path().to_str().unwrap();
    sql(directory.path(), ROWS);
    let all = sql(directory.path(), "SELECT * FROM t ORDER BY id");
    for (format, engine) in [
        ("text", "row"),
        ("csv", "columnar"),
        ("binary", "row"),
        ("json", "row"),
        ("json", "columnar"),
        ("parquet", "row"),
        ("parquet", "columnar"),
    ] {
        // A columnar table has no lists of intervals, but all of these types.
        let file = format!("{root}/rows.{format}");
        sql(directory.path(), &format!("COPY t TO '{file}' (FORMAT {format})"));
        let like = "id int NOT NULL, word varchar(20), n numeric(8,2), any_n numeric, at timestamptz, list int[], \
                    doc jsonb, raw bytea, span interval, u uuid, f real";
        sql(
            directory.path(),
            &format!(
                "CREATE TABLE c ({like}) WITH (engine = '{engine}'); COPY c FROM '{file}' (FORMAT {format})"
            ),
        );
        assert_eq!(sql(directory.path(), "SELECT * FROM c ORDER BY id"), all, "{format} {engine}");
        sql(directory.path(), "DROP TABLE c");
    }
    if let Some(shown) =
        duckdb(&format!("SELECT count(*), sum(n), max(any_n), min(word) FROM '{root}/rows.parquet'"))
    {
        assert!(shown.starts_with("[(3, Decimal('-5.50'), '12345678901234567890.5', "), "{shown}");
    }
    // A query's rows, and columns by their names whatever their order.
    sql(directory.path(), &format!("COPY (SELECT n, id FROM t) TO '{root}/two.parquet' (FORMAT parquet)"));
    sql(
        directory.path(),
        &format!(
            "CREATE TABLE c (id int, word text, n numeric); COPY c (id, n) FROM '{root}/two.parquet' (FORMAT parquet)"
        ),
    );
    assert_eq!(sql(directory.path(), "SELECT sum(id), sum(n) FROM c"), "sum,sum\n6,-5.50\n");
    let missing = refused(directory.path(), &format!("COPY c FROM '{root}/two.parquet' (FORMAT parquet)"));
    assert!(missing.contains("has no column \"word\""), "{missing}");
}

#[test]
fn a_copy_that_fails_leaves_neither_a_file_nor_a_row() {
    let directory = with_data();
    let root = directory.path().to_str().unwrap();
    sql(directory.path(), "CREATE TABLE t (id int, word text); INSERT INTO t VALUES (1, 'one'), (0, 'zero')");
    for format in ["csv", "parquet"] {
        let file = format!("{root}/failed.{format}");
        std::fs::write(&file, "as it was").unwrap();
        let failed = format!("COPY (SELECT 1 / id FROM t) TO '{file}' (FORMAT {format})");
        assert!(refused(directory.path(), &failed).contains("division by zero"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
        assert!(!Path::new(&format!("{file}.partial")).exists());
    }
    std::fs::write(format!("{root}/bad.csv"), "2,two\nthree,3\n").unwrap();
    let bad = refused(directory.path(), &format!("COPY t FROM '{root}/bad.csv' (FORMAT csv)"));
    assert!(bad.contains("line 2, column id: \"three\""), "{bad}");
    std::fs::write(format!("{root}/bad.json"), "{\"id\": 2}\n{\"id\": \"x\"}\n").unwrap();
    let bad = refused(directory.path(), &format!("COPY t FROM '{root}/bad.json' (FORMAT json)"));
    assert!(bad.contains("line 2") && bad.contains("column id"), "{bad}");
    std::fs::write(format!("{root}/more.json"), "{\"id\": 2, \"other\": 1}\n").unwrap();
    let bad = refused(directory.path(), &format!("COPY t FROM '{root}/more.json' (FORMAT json)"));
    assert!(bad.contains("\"other\""), "{bad}");
    let bad = refused(directory.path(), &format!("COPY t FROM '{root}/bad.csv' (FORMAT parquet)"));
    assert!(bad.contains("bad.csv: not a Parquet file"), "{bad}");
    assert_eq!(sql(directory.path(), "SELECT count(*) FROM t"), "count\n2\n");
}

#[test]
fn a_query_goes_into_a_columnar_table_column_by_column_as_it_goes_row_by_row() {
    let directory = with_data();
    let source = "SELECT i AS a, (i % 7)::text AS b, i * 1.25 AS c, date '2024-01-01' + i AS d FROM generate_series(1, 30000) AS g(i)";
    let columns = "(a smallint, b varchar(3), c numeric(10,1), d timestamp, e int DEFAULT 7)";
    sql(
        directory.path(),
        &format!("CREATE TABLE r {columns}; CREATE TABLE p {columns} WITH (engine = 'columnar')"),
    );
    let without = "(a smallint, b varchar(3), c numeric(10,1), d timestamp, e int)";
    sql(directory.path(), &format!("CREATE TABLE q {without} WITH (engine = 'columnar')"));
    for table in ["r", "p", "q"] {
        sql(
            directory.path(),
            &format!("INSERT INTO {table} (d, a, b, c) SELECT d, a, b, c FROM ({source}) AS s"),
        );
    }
    sql(directory.path(), "UPDATE q SET e = 7");
    let sums = |table: &str| {
        let query = format!("SELECT count(*), sum(a), min(b), sum(c), max(d), sum(e) FROM {table}");
        sql(directory.path(), &query)
    };
    assert_eq!(sums("p"), sums("r"));
    assert_eq!(sums("q"), sums("r"));
    sql(directory.path(), "CREATE TABLE strict (a int NOT NULL, b varchar(2)) WITH (engine = 'columnar')");
    let null = refused(
        directory.path(),
        "INSERT INTO strict SELECT NULLIF(i, 3), 'x' FROM generate_series(1, 5) AS g(i)",
    );
    assert!(null.contains("null value in column \"a\"") && null.contains("(null, x)"), "{null}");
    let long =
        refused(directory.path(), "INSERT INTO strict SELECT i, 'long' FROM generate_series(1, 5) AS g(i)");
    assert!(long.contains("value too long for type character varying(2)"), "{long}");
    let wrong = refused(directory.path(), "INSERT INTO strict SELECT d, 'x' FROM q");
    assert!(wrong.contains("is of type integer but expression is of type timestamp"), "{wrong}");
    assert_eq!(sql(directory.path(), "SELECT count(*) FROM strict"), "count\n0\n");
}

#[test]
fn functions_read_files_and_external_tables_are_of_them() {
    let directory = with_data();
    let root = directory.path().to_str().unwrap();
    std::fs::create_dir(directory.path().join("in")).unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(directory.path().join("in").join(name), text).unwrap();
    write("a.csv", "id,name,day\n1,one,2024-01-01\n2,\"two, too\",2024-01-02\n");
    write("b.csv", "id,name,day\n3,,2024-01-03\n");
    write(
        "a.json",
        "{\"id\": 1, \"tags\": [\"x\"], \"price\": 1.5}\n\n{\"price\": 2, \"id\": 30000000000}\n",
    );
    sql(
        directory.path(),
        &format!(
            "COPY (SELECT i AS id, i % 3 AS rest FROM generate_series(1, 300000) AS g(i)) TO '{root}/in/many.parquet' (FORMAT parquet)"
        ),
    );
    let csv = format!("read_csv('{root}/in/*.csv')");
    assert_eq!(
        sql(
            directory.path(),
            &format!("SELECT id, name, day + 1 AS next FROM {csv} AS c WHERE id <> 1 ORDER BY id")
        ),
        "id,name,next\n2,\"two, too\",2024-01-03\n3,,2024-01-04\n"
    );
    let typed = format!("read_csv('{root}/in/a.csv', columns => 'id text, name text, day text')");
    assert_eq!(
        sql(directory.path(), &format!("SELECT id || day AS d FROM {typed} AS c ORDER BY 1 LIMIT 1")),
        "d\n12024-01-01\n"
    );
    let json =
        format!("SELECT id, price, tags->>0 AS tag FROM read_json('{root}/in/a.json') AS j ORDER BY id");
    assert_eq!(sql(directory.path(), &json), "id,price,tag\n1,1.5,x\n30000000000,2,\n");
    let parquet = format!("read_parquet('{root}/in')");
    assert_eq!(
        sql(directory.path(), &format!("SELECT count(*), sum(rest), max(id) FROM {parquet} AS p")),
        "count,sum,max\n300000,300000,300000\n"
    );
    let plan = sql(directory.path(), &format!("EXPLAIN SELECT count(*) FROM {parquet} AS p"));
    assert!(!plan.contains("ExternalScan"), "the footer has the number: {plan}");
    let external = format!(
        "CREATE EXTERNAL TABLE days STORED AS csv LOCATION '{root}/in/*.csv';
         CREATE EXTERNAL TABLE many (id bigint) STORED AS parquet LOCATION 'file://{root}/in/many.parquet';
         CREATE EXTERNAL TABLE semicolons (a int, b text) STORED AS csv LOCATION '{root}/in/s.txt' OPTIONS (delimiter ';', header 'false')"
    );
    write("s.txt", "7;x\n");
    sql(directory.path(), &external);
    assert_eq!(
        sql(
            directory.path(),
            "SELECT count(*) FROM days JOIN many USING (id) JOIN semicolons ON a > days.id"
        ),
        "count\n3\n"
    );
    let kinds = "SELECT relname, relkind FROM pg_class WHERE relname IN ('days', 'many') ORDER BY 1";
    assert_eq!(sql(directory.path(), kinds), "relname,relkind\ndays,f\nmany,f\n");
    let tables = "SELECT table_type FROM information_schema.tables WHERE table_name = 'days'";
    assert_eq!(sql(directory.path(), tables), "table_type\nFOREIGN\n");
    for statement in [
        "INSERT INTO days VALUES (4, 'x', NULL)",
        "DELETE FROM days",
        "UPDATE days SET id = 1",
        "TRUNCATE days",
    ] {
        let only_read = refused(directory.path(), statement);
        assert!(
            only_read.contains("\"days\" is an external table, which is only read"),
            "{statement}: {only_read}"
        );
    }
    // Files that come later are read, and their columns are compared with those of before.
    write("c.csv", "id,name,day\n4,four,2024-01-04\n");
    assert_eq!(sql(directory.path(), "SELECT max(id) FROM days"), "max\n4\n");
    write("d.csv", "id,day,name\n5,2024-01-04,five\n");
    let changed = refused(directory.path(), "SELECT max(id) FROM days");
    assert!(changed.contains("d.csv, line 1") && changed.contains("expected \"name\""), "{changed}");
    write("d.csv", "id,name,day\nfive,five,2024-01-04\n");
    let changed = refused(directory.path(), "SELECT max(id) FROM days");
    assert!(changed.contains("d.csv, line 2, column id: \"five\""), "{changed}");
    sql(directory.path(), &format!("COPY (SELECT 'x' AS id) TO '{root}/in/many.parquet' (FORMAT parquet)"));
    let changed = refused(directory.path(), "SELECT max(id) FROM many");
    assert!(changed.contains("column \"id\" has the type text, not bigint"), "{changed}");
    assert!(refused(directory.path(), "DROP VIEW days").contains("Use DROP TABLE"));
    sql(directory.path(), "DROP TABLE days, many");
    let gone = refused(directory.path(), &format!("SELECT * FROM read_parquet('{root}/none*')"));
    assert!(gone.contains("there is no file"), "{gone}");
    let option =
        refused(directory.path(), &format!("SELECT * FROM read_csv('{root}/in/a.csv', heading => true)"));
    assert!(option.contains("read_csv has no option \"heading\""), "{option}");
}

#[test]
fn only_administrators_have_the_server_read_and_write_files() {
    let directory = with_data();
    let root = directory.path().to_str().unwrap();
    std::fs::write(format!("{root}/a.csv"), "id\n1\n").unwrap();
    let setup = format!(
        "CREATE ROLE plain LOGIN PASSWORD 'secret'; CREATE TABLE t (id int);
         CREATE EXTERNAL TABLE e STORED AS csv LOCATION '{root}/a.csv'"
    );
    sql(directory.path(), &setup);
    let server = crate::process::Server::open(directory.path());
    let url = format!("postgres://plain:secret@{}/lumadb", server.postgres);
    let as_plain = |statement: &str| run(directory.path(), &["sql", "--url", &url, "-c", statement]);
    for statement in [
        format!("COPY t TO '{root}/out'"),
        format!("COPY t FROM '{root}/a.csv'"),
        format!("COPY t FROM '{root}/a.csv' (FORMAT parquet)"),
        format!("SELECT * FROM read_csv('{root}/a.csv')"),
        format!("CREATE VIEW v AS SELECT * FROM read_csv('{root}/a.csv')"),
        format!("CREATE EXTERNAL TABLE x STORED AS csv LOCATION '{root}/a.csv'"),
    ] {
        let ended = as_plain(&statement);
        assert!(ended.err.contains("permission denied to"), "{statement}: {}", ended.err);
    }
    // What an administrator made of files is for everybody.
    let read = as_plain("SELECT id FROM e");
    assert_eq!(read.code, 0, "{}", read.err);
}
