//! Lines of InfluxDB, OpenTSDB and Graphite, sent to a server.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::metrics::{post, query};
use crate::process::{Server, lumadb};

/// How long to wait for what comes within seconds.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn lines_are_taken_where_the_configuration_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = lumadb(directory.path());
    command.env("LUMADB_SECURITY_REQUIRE_AUTH", "false");
    for section in ["GRAPHITE", "OPENTSDB"] {
        command.env(format!("LUMADB_{section}_ENABLED"), "true").env(format!("LUMADB_{section}_PORT"), "0");
    }
    let server = Server::start(&mut command);
    assert_eq!(
        post(&server.prometheus, "/write?db=x", "cpu,host=a usage=1\n", "").0,
        "HTTP/1.1 204 No Content"
    );
    let point = r#"{"metric": "put", "value": 2, "tags": {"host": "a"}}"#;
    assert_eq!(post(&server.prometheus, "/api/put", point, "").0, "HTTP/1.1 204 No Content");
    TcpStream::connect(&server.opentsdb).unwrap().write_all(b"put telnet 0 3 host=a\n").unwrap();
    TcpStream::connect(&server.graphite).unwrap().write_all(b"tcp;host=a 4\n").unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"udp;host=a 5", &server.graphite).unwrap();
    let until = Instant::now() + PATIENCE;
    for (metric, value) in
        [("cpu_usage{db=\"x\"}", "1"), ("put", "2"), ("telnet", "3"), ("tcp", "4"), ("udp", "5")]
    {
        loop {
            let found = query(&server, metric);
            if found
                .first()
                .is_some_and(|series| series["value"][1] == value && series["metric"]["host"] == "a")
            {
                break;
            }
            assert!(Instant::now() < until, "{metric}: {found:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn those_who_may_not_ask_may_not_write_lines_either() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&mut lumadb(directory.path()));
    for path in ["/write", "/api/v2/write", "/api/put"] {
        assert!(post(&server.prometheus, path, "m v=1", "").0.contains("401"), "{path}");
    }
    assert!(server.graphite.is_empty() && server.opentsdb.is_empty());
    assert_eq!(server.stop(), 0);
}
