//! A client of HTTP/1.1 that keeps its connection, and a server to ask.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use luma_door_prometheus::{Door, DoorOptions};
use luma_telemetry::{Metrics, MetricsOptions};
use luma_vfs::SimDisk;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A door on a free port, with a store on a disk in memory.
pub struct Server {
    pub store: Arc<Metrics>,
    pub address: SocketAddr,
    stop: CancellationToken,
    runtime: Option<Runtime>,
}

/// Options that take samples of any time.
pub fn timeless() -> DoorOptions {
    DoorOptions { future_max: Duration::MAX, ..DoorOptions::default() }
}

pub fn store(disk: &SimDisk, options: MetricsOptions) -> Arc<Metrics> {
    Arc::new(Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), options).unwrap())
}

impl Server {
    pub fn new() -> Self {
        let options = MetricsOptions { out_of_order_window_ms: i64::MAX, ..MetricsOptions::default() };
        Self::with(store(&SimDisk::new(), options), timeless())
    }

    pub fn with(store: Arc<Metrics>, options: DoorOptions) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let door = Door::new(Arc::clone(&store), options);
        let token = stop.clone();
        runtime.spawn(async move { door.listen(listener, token).await.unwrap() });
        Self { store, address, stop, runtime: Some(runtime) }
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `data` of a successful answer.
    pub fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let json = self.json();
        assert_eq!(json["status"], "success");
        json["data"].clone()
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { address, stream: BufReader::new(stream) }
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&mut self, path: &str, form: &str) -> Response {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        self.send("POST", path, &[kind], form.as_bytes())
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        if self.stream.get_mut().write_all(head.as_bytes()).is_err() {
            *self = Self::new(self.address);
            self.stream.get_mut().write_all(head.as_bytes()).unwrap();
        }
        let stream = self.stream.get_mut();
        // A server that refuses a body by its header does not read it.
        let _ = stream.write_all(body);
        self.response()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn response(&mut self) -> Response {
        let status = self.line().split(' ').nth(1).expect("a status").parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if response.header("transfer-encoding") == "chunked" {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                self.stream.read_exact(&mut chunk).unwrap();
                if size == 0 {
                    break;
                }
                response.body.extend_from_slice(&chunk[..size]);
            }
        } else if let Ok(length) = response.header("content-length").parse() {
            response.body.resize(length, 0);
            self.stream.read_exact(&mut response.body).unwrap();
        }
        if response.header("connection") == "close" {
            *self = Self::new(self.address);
        }
        response
    }
}

/// A text as a parameter's value.
pub fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
