//! Clients of every protocol that takes metrics. Each sends the same samples and says when they are acknowledged.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use axum::http::Request;
use bytes::Bytes;
use h2::client::SendRequest;

use crate::process::Server;

/// Series that a request has a sample of.
pub const SERIES: usize = 3;

/// A way for metrics into the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    RemoteWrite1,
    RemoteWrite2,
    OtlpHttp,
    OtlpGrpc,
    Influx,
    OpenTsdbHttp,
    OpenTsdb,
    Graphite,
}

impl Protocol {
    pub const ALL: [Self; 8] = [
        Self::RemoteWrite1,
        Self::RemoteWrite2,
        Self::OtlpHttp,
        Self::OtlpGrpc,
        Self::Influx,
        Self::OpenTsdbHttp,
        Self::OpenTsdb,
        Self::Graphite,
    ];

    /// Whether a request is one unit, of which there is all or nothing.
    pub fn has_requests(self) -> bool {
        !matches!(self, Self::OpenTsdb | Self::Graphite)
    }

    /// The value of the label `sender`.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// A connection to a server; none if it is gone.
    pub fn connect(self, server: &Addresses) -> Option<Sender> {
        Some(match self {
            Self::OtlpGrpc => Sender::Calls(Calls::connect(&server.otlp)?),
            Self::OpenTsdb => Sender::Telnet(connect(&server.opentsdb)?),
            Self::Graphite => {
                Sender::Graphite { address: server.graphite.clone(), alive: connect(&server.http)? }
            }
            Self::OtlpHttp => Sender::Http(self, connect(&server.otlp_http)?),
            _ => Sender::Http(self, connect(&server.prometheus)?),
        })
    }
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    http: String,
    prometheus: String,
    otlp: String,
    otlp_http: String,
    graphite: String,
    opentsdb: String,
}

impl Addresses {
    pub fn of(server: &Server) -> Self {
        Self {
            http: server.http.clone(),
            prometheus: server.prometheus.clone(),
            otlp: server.otlp.clone(),
            otlp_http: server.otlp_http.clone(),
            graphite: server.graphite.clone(),
            opentsdb: server.opentsdb.clone(),
        }
    }
}

/// A connection.
pub enum Sender {
    Http(Protocol, BufReader<TcpStream>),
    Calls(Calls),
    Telnet(BufReader<TcpStream>),
    Graphite { address: String, alive: BufReader<TcpStream> },
}

impl Sender {
    /// Sends a sample for each of the series, at a time in seconds; none if the server went away without an
    /// acknowledgement.
    pub fn send(&mut self, t: i64, value: u32) -> Option<()> {
        match self {
            Self::Http(protocol, stream) => {
                let (path, kind, expected) = match protocol {
                    Protocol::RemoteWrite1 => ("/api/v1/write", "application/x-protobuf", 204),
                    Protocol::RemoteWrite2 => {
                        let kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
                        ("/api/v1/write", kind, 204)
                    }
                    Protocol::OtlpHttp => ("/v1/metrics", "application/x-protobuf", 200),
                    Protocol::Influx => ("/write?precision=s", "text/plain", 204),
                    _ => ("/api/put", "application/json", 204),
                };
                let (status, answer) = post(stream, path, kind, &body(*protocol, t, value))?;
                assert_eq!(status, expected, "{protocol:?}: {answer}");
            }
            Self::Calls(calls) => calls.export(&body(Protocol::OtlpGrpc, t, value))?,
            Self::Telnet(stream) => {
                // A command that there is not is answered after what came before it was stored.
                let lines = lines(Protocol::OpenTsdb, t, value) + "stored?\n";
                stream.get_mut().write_all(lines.as_bytes()).ok()?;
                let mut line = String::new();
                stream.read_line(&mut line).ok()?;
                if !line.ends_with('\n') {
                    return None;
                }
                assert!(line.contains("stored?"), "{line}");
            }
            Self::Graphite { address, alive } => {
                let mut stream = connect(address)?;
                stream.get_mut().write_all(lines(Protocol::Graphite, t, value).as_bytes()).ok()?;
                stream.get_mut().shutdown(Shutdown::Write).ok()?;
                // A server closes when it has stored all; one that was killed answers nothing afterwards.
                let answered = stream.read_to_end(&mut Vec::new()).ok()?;
                assert_eq!(answered, 0, "Graphite's protocol has no answers");
                get(alive, "/health/live")?;
            }
        }
        Some(())
    }
}

fn connect(address: &str) -> Option<BufReader<TcpStream>> {
    Some(BufReader::new(TcpStream::connect(address).ok()?))
}

fn get(stream: &mut BufReader<TcpStream>, path: &str) -> Option<u16> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.get_mut().write_all(head.as_bytes()).ok()?;
    Some(answer(stream)?.0)
}

/// Sends a request and gives the status and the body, or nothing if the server is gone.
fn post(stream: &mut BufReader<TcpStream>, path: &str, kind: &str, body: &[u8]) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).ok()?;
    answer(stream)
}

fn answer(stream: &mut BufReader<TcpStream>) -> Option<(u16, String)> {
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            return Some((status?, String::from_utf8(body).unwrap()));
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = text.trim().parse().unwrap();
        }
        status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
    }
}

fn body(protocol: Protocol, t: i64, value: u32) -> Vec<u8> {
    match protocol {
        Protocol::RemoteWrite1 => snappy(&remote_write_1(t, value)),
        Protocol::RemoteWrite2 => snappy(&remote_write_2(t, value)),
        Protocol::OtlpHttp | Protocol::OtlpGrpc => otlp(protocol, t, value),
        protocol => lines(protocol, t, value).into_bytes(),
    }
}

fn lines(protocol: Protocol, t: i64, value: u32) -> String {
    let sender = protocol.name();
    let mut text = String::new();
    for at in 0..SERIES {
        match protocol {
            Protocol::Influx => writeln!(text, "m,sender={sender},series={at} value={value} {t}"),
            Protocol::OpenTsdb => writeln!(text, "put m {t} {value} sender={sender} series={at}"),
            Protocol::Graphite => writeln!(text, "m;sender={sender};series={at} {value} {t}"),
            _ => {
                let before = if at == 0 { '[' } else { ',' };
                let tags = format!(r#"{{"sender": "{sender}", "series": "{at}"}}"#);
                write!(
                    text,
                    r#"{before}{{"metric": "m", "timestamp": {t}, "value": {value}, "tags": {tags}}}"#
                )
            }
        }
        .unwrap();
    }
    if protocol == Protocol::OpenTsdbHttp { text + "]" } else { text }
}

/// The labels of a series, in order of their names.
fn labels(protocol: Protocol, series: usize) -> [(&'static str, String); 3] {
    [("__name__", "m".to_owned()), ("sender", protocol.name()), ("series", series.to_string())]
}

fn remote_write_1(t: i64, value: u32) -> Vec<u8> {
    let mut message = Vec::new();
    for at in 0..SERIES {
        let mut series = Vec::new();
        for (name, value) in labels(Protocol::RemoteWrite1, at) {
            bytes(1, &[text(1, name), text(2, &value)].concat(), &mut series);
        }
        bytes(2, &point(t, value), &mut series);
        bytes(1, &series, &mut message);
    }
    message
}

fn remote_write_2(t: i64, value: u32) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut message = Vec::new();
    for at in 0..SERIES {
        let mut references = Vec::new();
        for (name, value) in labels(Protocol::RemoteWrite2, at) {
            for symbol in [name.to_owned(), value] {
                varint(symbols.len() as u64, &mut references);
                symbols.push(symbol);
            }
        }
        let mut series = Vec::new();
        bytes(1, &references, &mut series);
        bytes(2, &point(t, value), &mut series);
        bytes(5, &series, &mut message);
    }
    symbols.iter().flat_map(|symbol| text(4, symbol)).chain(message).collect()
}

/// A sample of either remote write.
fn point(t: i64, value: u32) -> Vec<u8> {
    let mut point = vec![1 << 3 | 1];
    point.extend_from_slice(&f64::from(value).to_le_bytes());
    point.push(2 << 3);
    varint(t as u64 * 1000, &mut point);
    point
}

/// An export of a gauge; both of OpenTelemetry's protocols send the same message.
fn otlp(protocol: Protocol, t: i64, value: u32) -> Vec<u8> {
    let mut gauge = Vec::new();
    for at in 0..SERIES {
        let mut point = Vec::new();
        let [_, attributes @ ..] = labels(protocol, at);
        for (name, value) in attributes {
            bytes(7, &[text(1, name), nested(2, &text(1, &value))].concat(), &mut point);
        }
        point.push(3 << 3 | 1);
        point.extend_from_slice(&(t as u64 * 1_000_000_000).to_le_bytes());
        point.push(4 << 3 | 1);
        point.extend_from_slice(&f64::from(value).to_le_bytes());
        bytes(1, &point, &mut gauge);
    }
    let metric = [text(1, "m"), nested(5, &gauge)].concat();
    nested(1, &nested(2, &nested(2, &metric)))
}

/// A connection of HTTP/2.
pub struct Calls {
    runtime: tokio::runtime::Runtime,
    requests: SendRequest<Bytes>,
}

impl Calls {
    fn connect(address: &str) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let requests = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.ok()?;
            let (requests, connection) = h2::client::handshake(stream).await.ok()?;
            tokio::spawn(connection);
            Some(requests)
        })?;
        Some(Self { runtime, requests })
    }

    /// One call of gRPC, until its status says that it went well.
    fn export(&self, message: &[u8]) -> Option<()> {
        let request =
            Request::post("http://x/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
                .header("content-type", "application/grpc")
                .header("te", "trailers");
        let mut frame = vec![0];
        frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(message);
        let requests = self.requests.clone();
        self.runtime.block_on(async {
            let mut ready = requests.ready().await.ok()?;
            let (response, mut stream) = ready.send_request(request.body(()).unwrap(), false).ok()?;
            stream.send_data(Bytes::from(frame), true).ok()?;
            let mut body = response.await.ok()?.into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data.ok()?.len()).ok()?;
            }
            let trailers = body.trailers().await.ok()??;
            assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
            Some(())
        })
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes: a text, a message, or numbers one after another.
fn bytes(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn nested(number: u8, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(number, message, &mut out);
    out
}

fn text(number: u8, text: &str) -> Vec<u8> {
    nested(number, text.as_bytes())
}

/// A Snappy block of nothing but literals.
fn snappy(message: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    varint(message.len() as u64, &mut block);
    for part in message.chunks(60) {
        block.push((part.len() as u8 - 1) << 2);
        block.extend_from_slice(part);
    }
    block
}
