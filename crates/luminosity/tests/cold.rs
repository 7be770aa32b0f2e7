//! Ten thousand crawlers at once, each on a connection of its own, at a service that has nothing yet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CLIENTS: u64 = 10_000;

/// Lets this process have a connection per client; says how many it may have.
fn files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole `rlimit` that outlives both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    limit.rlim_max
}

/// Sends one request and reads to the end.
async fn ask(address: String) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /sitemap.xml HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[test]
fn ten_thousand_connections_that_come_at_once_share_one_rebuild() {
    let clients = CLIENTS.min(files().saturating_sub(200));
    if clients < CLIENTS {
        eprintln!("only {clients} connections: this process may have no more open files");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let source = listener.local_addr().unwrap();
    let counted = Arc::clone(&asked);
    let answer = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let pages: Vec<String> = (0..100).map(|page| format!("/{page}")).collect();
        serde_json::to_string(&pages).unwrap()
    };
    runtime.spawn(async { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "mode = \"cached\"\nbase_url = \"https://example.com\"\n[[sources]]\ntype = \"http\"\nurl = \"http://{source}/\"\n"
    );
    std::fs::write(directory.path().join("luminosity.toml"), config).unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_lux"))
        .current_dir(directory.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(service.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let answers = runtime.block_on(async {
        let asking: Vec<_> = (0..clients).map(|_| tokio::spawn(ask(address.clone()))).collect();
        futures::future::join_all(asking).await
    });
    service.kill().unwrap();
    service.wait().unwrap();
    for answer in answers {
        let answer = String::from_utf8(answer.unwrap().unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.matches("<url>").count(), 100);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
