//! A door on a free port, with a store on a disk in memory, and requests to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use luma_door_otlp::{Door, DoorOptions};
use luma_intake::{Otlp, OtlpOptions};
use luma_promql::answer::write_value;
use luma_promql::{Options, instant};
use luma_telemetry::{Metrics, MetricsOptions};
use luma_vfs::SimDisk;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

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

impl Server {
    pub fn new() -> Self {
        Self::on(&SimDisk::new(), timeless(), OtlpOptions::default())
    }

    pub fn on(disk: &SimDisk, options: DoorOptions, otlp: OtlpOptions) -> Self {
        let store = Metrics::open(Arc::new(disk.clone()), Path::new("/metrics"), MetricsOptions::default());
        let store = Arc::new(store.unwrap());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let door = Door::new(Arc::clone(&store), Otlp::new(otlp), options);
        let token = stop.clone();
        runtime.spawn(async move { door.listen(listener, token).await.unwrap() });
        Self { store, address, stop, runtime: Some(runtime) }
    }

    /// The result of a query at a time in milliseconds.
    pub fn query(&self, query: &str, t: i64) -> Value {
        let answer = instant(&*self.store, query, t, &Options::default()).unwrap();
        let mut out = String::new();
        write_value(&answer.value, &mut out);
        let value: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        value["result"].clone()
    }

    pub fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        // A server that refuses a body by its header does not read it.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}
