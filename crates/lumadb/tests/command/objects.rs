//! Files of an object store that speaks S3's protocol, and of web servers. `LUMA_PYTHON` names an interpreter that has
//! `moto[server]` and `boto3`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::process::{Ended, end, lumadb};

/// A store with the bucket `data`.
struct Store {
    python: std::ffi::OsString,
    server: Child,
    endpoint: String,
}

impl Store {
    /// `None` where there is no interpreter for it.
    fn open() -> Option<Self> {
        let Some(python) = std::env::var_os("LUMA_PYTHON") else {
            assert!(std::env::var_os("CI").is_none(), "LUMA_PYTHON is not set");
            eprintln!("no LUMA_PYTHON: object stores are skipped");
            return None;
        };
        let code = "from moto.server import ThreadedMotoServer\nimport sys\n\
            server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)\nserver.start()\n\
            print(server.get_host_and_port()[1], flush=True)\nsys.stdin.read()\nserver.stop()\n";
        let mut server = Command::new(&python)
            .args(["-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let endpoint = format!("http://127.0.0.1:{}", port.trim());
        let store = Self { python, server, endpoint };
        store.client("s3.create_bucket(Bucket='data')");
        Some(store)
    }

    /// Runs statements of another client.
    fn client(&self, code: &str) -> String {
        let code = format!(
            "import boto3\ns3 = boto3.client('s3', endpoint_url='{}', region_name='us-east-1', \
             aws_access_key_id='k', aws_secret_access_key='s')\n{code}",
            self.endpoint
        );
        let output = Command::new(&self.python).arg("-c").arg(code).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, directory: &Path, statement: &str) -> Ended {
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_REGION", "us-east-1"),
        ];
        let arguments = ["sql", "--data-dir", "data", "--format", "csv", "-c", statement];
        end(lumadb(directory).envs(variables).args(arguments))
    }

    fn sql(&self, directory: &Path, statement: &str) -> String {
        let Ended { code, out, err } = self.run(directory, statement);
        assert_eq!(code, 0, "{statement}: {err}");
        out
    }

    fn refused(&self, directory: &Path, statement: &str) -> String {
        let Ended { code, err, .. } = self.run(directory, statement);
        assert_ne!(code, 0, "{statement}");
        err
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn with_data() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    directory
}

#[test]
fn rows_go_through_objects_of_every_format_and_stay_what_they_were() {
    let Some(store) = Store::open() else { return };
    let directory = with_data();
    let directory = directory.path();
    store.sql(directory, "CREATE TABLE t (id int, word text, n numeric(8,2))");
    store.sql(directory, "INSERT INTO t SELECT g, 'word ' || g, g / 7.0 FROM generate_series(1, 20000) g");
    let sum = "SELECT count(*), sum(id), sum(n), max(word) FROM";
    let all = store.sql(directory, &format!("{sum} t"));
    for format in ["text", "csv", "binary", "json", "parquet"] {
        store.sql(directory, &format!("COPY t TO 's3://data/out/t.{format}' (FORMAT {format})"));
        store.sql(directory, "CREATE TABLE c (id int, word text, n numeric(8,2))");
        store.sql(directory, &format!("COPY c FROM 's3://data/out/t.{format}' (FORMAT {format})"));
        assert_eq!(store.sql(directory, &format!("{sum} c")), all, "{format}");
        store.sql(directory, "DROP TABLE c");
    }
    assert_eq!(store.sql(directory, &format!("{sum} read_parquet('s3://data/out/t.parquet')")), all);
    store.sql(directory, "COPY (SELECT * FROM t ORDER BY id) TO 's3://data/out/t.text'");
    // What another client reads is what was written.
    let lines = store.client(
        "got = s3.get_object(Bucket='data', Key='out/t.text')['Body'].read().decode()\n\
         print(len(got.splitlines()), got.splitlines()[6])",
    );
    assert_eq!(lines.trim(), "20000 7\tword 7\t1.00");
}

#[test]
fn patterns_and_directories_name_objects() {
    let Some(store) = Store::open() else { return };
    let directory = with_data();
    let directory = directory.path();
    store.client(
        "for day, n in (('01', 1), ('02', 2), ('03', 4)):\n  \
           s3.put_object(Bucket='data', Key=f'in/2026-{day}/part.csv', Body=f'n\\n{n}\\n')\n\
         s3.put_object(Bucket='data', Key='in/2026-01/deep/part.csv', Body='n\\n100\\n')\n\
         s3.put_object(Bucket='data', Key='in/2026-01/notes.md', Body='none of it')\n\
         s3.put_object(Bucket='data', Key='in/a b/ä.csv', Body='n\\n8\\n')",
    );
    let sum = |location: &str| {
        let text = store.sql(directory, &format!("SELECT sum(n) FROM read_csv('{location}')"));
        text.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(sum("s3://data/in/2026-*/part.csv"), "7");
    assert_eq!(sum("s3://data/in/2026-0?/*.csv"), "7");
    assert_eq!(sum("s3://data/in/2026-01"), "1");
    assert_eq!(sum("s3://data/in/2026-01/"), "1");
    assert_eq!(sum("s3://data/in/a b/*.csv"), "8");
    // An external table sees objects that came later.
    store.sql(directory, "CREATE EXTERNAL TABLE days STORED AS csv LOCATION 's3://data/in/2026-*/part.csv'");
    assert!(store.sql(directory, "SELECT sum(n) FROM days").ends_with("\n7\n"));
    store.client("s3.put_object(Bucket='data', Key='in/2026-04/part.csv', Body='n\\n16\\n')");
    assert!(store.sql(directory, "SELECT sum(n) FROM days").ends_with("\n23\n"));
}

#[test]
fn large_objects_go_in_parts_and_in_blocks() {
    let Some(store) = Store::open() else { return };
    let directory = with_data();
    let directory = directory.path();
    let rows = "SELECT g AS id, repeat(md5(g::text), 10) AS t FROM generate_series(1, 120000) g";
    let made = store.sql(directory, &format!("SELECT count(*), sum(id), count(DISTINCT t) FROM ({rows}) s"));
    for format in ["csv", "parquet"] {
        let at = format!("s3://data/large.{format}");
        let header = if format == "csv" { ", HEADER" } else { "" };
        store.sql(directory, &format!("COPY ({rows}) TO '{at}' (FORMAT {format}{header})"));
        let read = format!("SELECT count(*), sum(id), count(DISTINCT t) FROM read_{format}('{at}')");
        assert_eq!(store.sql(directory, &read), made, "{format}");
    }
    // More than two parts of what is sent at once.
    let bytes = store.client("print(s3.head_object(Bucket='data', Key='large.csv')['ContentLength'])");
    assert!(bytes.trim().parse::<u64>().unwrap() > 36 << 20, "{bytes}");
}

#[test]
fn what_a_store_refuses_is_said_with_what_to_do() {
    let Some(store) = Store::open() else { return };
    let directory = with_data();
    let directory = directory.path();
    let missing = store.refused(directory, "SELECT * FROM read_csv('s3://data/none.csv')");
    assert!(missing.contains("there is no file \"s3://data/none.csv\""), "{missing}");
    let bucket = store.refused(directory, "SELECT * FROM read_csv('s3://nosuch/*.csv')");
    assert!(bucket.contains("s3://nosuch/*.csv"), "{bucket}");
    let unnamed = store.refused(directory, "SELECT * FROM read_csv('s3:///x.csv')");
    assert!(unnamed.contains("no bucket"), "{unnamed}");
    let scheme = store.refused(directory, "COPY (SELECT 1) TO 'ftp://x/y'");
    assert!(scheme.contains("ftp:// are not supported"), "{scheme}");
    // A COPY that fails leaves what was there.
    store.sql(directory, "COPY (SELECT 1 AS a) TO 's3://data/kept.csv' (FORMAT csv)");
    let failed = "COPY (SELECT 1 / (g - 9000) AS a FROM generate_series(1, 10000) g) TO 's3://data/kept.csv'";
    assert!(store.refused(directory, failed).contains("division by zero"));
    let kept = store.client("print(s3.get_object(Bucket='data', Key='kept.csv')['Body'].read())");
    assert_eq!(kept.trim(), "b'1\\n'");
}

/// A web server with one file, which answers requests for ranges if it is asked to.
fn web(body: &'static [u8], ranges: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
            let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
            let (start, last) = range.and_then(|range| range.split_once('-')).unwrap();
            let (start, last): (usize, usize) = (start.parse().unwrap(), last.parse().unwrap());
            let (status, part, more) = if !request.starts_with("get /rows.csv?v=1 ") {
                ("404 Not Found", &b""[..], String::new())
            } else if ranges {
                let last = last.min(body.len() - 1);
                let more = format!("Content-Range: bytes {start}-{last}/{}\r\nETag: \"a\"\r\n", body.len());
                ("206 Partial Content", &body[start..=last], more)
            } else {
                ("200 OK", body, String::new())
            };
            let length = part.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            stream.write_all(part).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn files_of_web_servers_are_read_by_ranges() {
    let directory = with_data();
    let run = |statement: &str| {
        let arguments = ["sql", "--data-dir", "data", "--format", "csv", "-c", statement];
        end(lumadb(directory.path()).args(arguments))
    };
    let base = web(b"id,word\n1,one\n2,two\n", true);
    let read = run(&format!("SELECT sum(id), max(word) FROM read_csv('{base}/rows.csv?v=1')"));
    assert_eq!((read.code, read.out.as_str()), (0, "sum,max\n3,two\n"), "{}", read.err);
    let missing = run(&format!("SELECT * FROM read_csv('{base}/none.csv')"));
    assert!(missing.err.contains("there is no such file on the server"), "{}", missing.err);
    let listed = run(&format!("SELECT * FROM read_csv('{base}/*.csv')"));
    assert!(listed.err.contains("name them one by one"), "{}", listed.err);
    let written = run(&format!("COPY (SELECT 1) TO '{base}/out.csv'"));
    assert!(written.err.contains("web servers are only read"), "{}", written.err);
    let whole = web(b"id\n1\n", false);
    let refused = run(&format!("SELECT * FROM read_csv('{whole}/rows.csv?v=1')"));
    assert!(refused.err.contains("does not answer requests for a range"), "{}", refused.err);
}
