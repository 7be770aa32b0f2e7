//! Load for a running service: clients that add one URL per request and wait for the answer, while another
//! one reads the last fragment.
//!
//! ```sh
//! lux --url https://example.com serve --listen 127.0.0.1:8080 &
//! cargo run --release -p luminosity --example load -- 127.0.0.1:8080 [clients] [seconds]
//! ```

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a request and reads the answer; returns its status and the length of its body.
async fn ask(stream: &mut TcpStream, request: &str, buffer: &mut Vec<u8>) -> Result<(u16, usize)> {
    stream.write_all(request.as_bytes()).await?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
        while buffer.len() < end + 4 + length {
            if stream.read_buf(buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok((head[9..12].parse().unwrap_or(0), length));
    }
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times
        .get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().cloned().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let number =
        |at: usize, default: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (clients, seconds) = (number(1, 32), number(2, 5));
    let (added, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let run = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (address, added, stop) = (address.clone(), Arc::clone(&added), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let (mut buffer, mut times) = (Vec::new(), Vec::new());
            for count in 0u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let body = format!("{{\"url\":\"/{run}/{client}/{count}\",\"priority\":0.5}}");
                let request = format!(
                    "POST /urls HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let begun = Instant::now();
                let (status, _) = ask(&mut stream, &request, &mut buffer).await?;
                times.push(begun.elapsed());
                if status == 200 {
                    added.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, std::io::Error>(times)
        }));
    }
    let reader = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let (mut buffer, mut times, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut page = 1;
            while !stop.load(Ordering::Relaxed) {
                let request = |page| {
                    format!("GET /sitemap-{page}.xml HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n")
                };
                let begun = Instant::now();
                let (status, length) = ask(&mut stream, &request(page), &mut buffer).await?;
                if status == 200 {
                    times.push(begun.elapsed());
                    bytes = length;
                    // The last fragment is the one that changes.
                    page += u32::from(ask(&mut stream, &request(page + 1), &mut buffer).await?.0 == 200);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok::<_, std::io::Error>((times, bytes))
        }
    });
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let per_second = added.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let (mut reads, bytes) = reader.await??;
    println!(
        "{per_second:.0} durable adds per second by {clients} clients; p99 {:?}",
        percentile(&mut times, 0.99)
    );
    println!(
        "{} reads of the fragment that changes ({bytes} bytes): p50 {:?}, p99 {:?}",
        reads.len(),
        percentile(&mut reads, 0.5),
        percentile(&mut reads, 0.99)
    );
    Ok(())
}
