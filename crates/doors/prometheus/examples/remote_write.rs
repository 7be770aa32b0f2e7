//! Sends samples by remote write 1.0 to any receiver and says how fast it took them:
//! `remote_write URL PID HOSTS ROUNDS`, with a series of a hundred for every host, a sample of each every ten
//! seconds of made-up time, a thousand samples a request, two connections.
//!
//! Processor time is that of the process `PID`, from `/proc`. Requests are made before the clock starts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    t: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

const METRICS: u32 = 100;
const SAMPLES_A_REQUEST: usize = 1000;
const CONNECTIONS: usize = 2;
const STEP_MS: i64 = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn labels(host: u32, metric: u32) -> Vec<Label> {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    vec![
        label("__name__", format!("node_fleet_metric_{metric:02}_total")),
        label("cluster", format!("cluster-{}", host % 4)),
        label("datacenter", format!("eu-central-{}", host % 3)),
        label("instance", format!("host-{host:05}.example.com:9100")),
        label("job", "node".to_owned()),
        label("os", "linux".to_owned()),
        label("team", format!("team-{}", host % 17)),
    ]
}

/// The value of a counter that grows by what its number says; a quarter of them stand still.
fn value(host: u32, metric: u32, round: i64) -> f64 {
    if metric.is_multiple_of(4) {
        f64::from(host)
    } else {
        (round * i64::from(metric + host % 7)) as f64 * 0.5
    }
}

/// The requests of a round for one connection.
fn requests(hosts: u32, connection: usize, round: i64, t: i64) -> Result<Vec<Vec<u8>>, Failure> {
    let own = (0..hosts).filter(|host| *host as usize % CONNECTIONS == connection);
    let series: Vec<Series> = own
        .flat_map(|host| (0..METRICS).map(move |metric| (host, metric)))
        .map(|(host, metric)| Series {
            labels: labels(host, metric),
            samples: vec![Sample { value: value(host, metric, round), t }],
        })
        .collect();
    series
        .chunks(SAMPLES_A_REQUEST)
        .map(|part| {
            let message = WriteRequest { series: part.to_vec() }.encode_to_vec();
            Ok(snap::raw::Encoder::new().compress_vec(&message)?)
        })
        .collect()
}

fn send(stream: &mut BufReader<TcpStream>, host: &str, path: &str, body: &[u8]) -> Result<(), Failure> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
         X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
    let (mut status, mut length) = (String::new(), 0);
    stream.read_line(&mut status)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    if status.contains(" 204 ") || status.contains(" 200 ") {
        return Ok(());
    }
    Err(format!("{} {}", status.trim(), String::from_utf8_lossy(&body)).into())
}

/// Processor time of a process so far.
fn processor_seconds(pid: &str) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Ticks of a hundredth of a second, of the process itself.
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, pid, hosts, rounds] = &arguments[..] else {
        return Err("usage: remote_write URL PID HOSTS ROUNDS".into());
    };
    let rest = url.strip_prefix("http://").ok_or("the address begins with http://")?;
    let (host, path) = rest.split_once('/').ok_or("the address has a path")?;
    let (hosts, rounds): (u32, i64) = (hosts.parse()?, rounds.parse()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let begin = now - rounds * STEP_MS;
    let mut streams: Vec<BufReader<TcpStream>> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(host).map(BufReader::new)).collect::<Result<_, _>>()?;
    let (mut wall, mut processor, mut samples) = (Duration::ZERO, 0.0, 0);
    for round in 0..rounds {
        let bodies = (0..CONNECTIONS)
            .map(|connection| requests(hosts, connection, round, begin + round * STEP_MS))
            .collect::<Result<Vec<_>, Failure>>()?;
        let (started, before) = (Instant::now(), processor_seconds(pid)?);
        std::thread::scope(|scope| -> Result<(), Failure> {
            let senders: Vec<_> = streams
                .iter_mut()
                .zip(&bodies)
                .map(|(stream, bodies)| {
                    scope.spawn(move || {
                        bodies.iter().try_for_each(|body| send(stream, host, &format!("/{path}"), body))
                    })
                })
                .collect();
            senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender failed")?)
        })?;
        // The first round makes the series.
        if round > 0 {
            wall += started.elapsed();
            processor += processor_seconds(pid)? - before;
            samples += u64::from(hosts) * u64::from(METRICS);
        }
    }
    let samples = samples as f64;
    println!("{:.0}\t{:.0}", samples / wall.as_secs_f64(), samples / processor);
    Ok(())
}
