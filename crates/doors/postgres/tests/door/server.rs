//! A door on a free port, to a database in a directory of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use luma_door_postgres::{DoorOptions, Metrics, serve};
use luma_query::{Database, DatabaseOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

pub struct Server {
    pub address: SocketAddr,
    pub database: Database,
    pub metrics: Arc<Metrics>,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
    _directory: TempDir,
}

impl Server {
    /// One that lets everyone in.
    pub async fn open() -> Self {
        Self::with(DoorOptions { require_auth: false, ..DoorOptions::default() }).await
    }

    pub async fn with(options: DoorOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = lightning::Database::open(directory.path(), lightning::Options::default()).unwrap();
        let database = Database::open(engine, DatabaseOptions::default()).unwrap();
        database.put_role("lumadb", true, None).unwrap();
        let options = DoorOptions { shutdown_grace: Duration::from_millis(300), ..options };
        let metrics = Arc::clone(&options.metrics);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = serve(listener, database.clone(), options, stop.clone());
        let served = tokio::spawn(async move { served.await.unwrap() });
        Self { address, database, metrics, stop, served, _directory: directory }
    }

    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("lumadb").dbname("lumadb");
        config
    }

    pub async fn client(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Makes a table `n` of the numbers from 1 on.
    pub async fn numbers(&self, rows: u32) -> Client {
        let client = self.client().await;
        client.batch_execute("CREATE TABLE n (i int)").await.unwrap();
        let lines = (1..=rows).map(|number| number.to_string()).collect::<Vec<_>>().join("\n");
        let sink = client.copy_in::<_, bytes::Bytes>("COPY n FROM STDIN").await.unwrap();
        futures::pin_mut!(sink);
        sink.send(lines.into()).await.unwrap();
        sink.finish().await.unwrap();
        client
    }

    /// Waits until something is so.
    pub async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if what(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not come to be in ten seconds");
    }
}
