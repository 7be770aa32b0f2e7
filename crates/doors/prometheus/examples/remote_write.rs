//! Sends samples by remote write 1.0 to any receiver and says how fast it took them:
//! `remote_write URL PID HOSTS ROUNDS`, with a series of a hundred for every host, a sample of each every ten
//! seconds of made-up time, a thousand samples a request, two connections.
//!
//! Processor time is that of the process `PID`, from `/proc`. Requests are made before the clock starts.

#[path = "shared/wire.rs"]
mod wire;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::{Connection, Failure, Label, Sample, Series, body, label};

const METRICS: u32 = 100;
const SAMPLES_A_REQUEST: usize = 1000;
const CONNECTIONS: usize = 2;
const STEP_MS: i64 = 10_000;

fn labels(host: u32, metric: u32) -> Vec<Label> {
    vec![
        label("__name__", format!("node_fleet_metric_{metric:02}_total")),
        label("cluster", format!("cluster-{}", host % 4)),
        label("datacenter", format!("eu-central-{}", host % 3)),
        label("instance", format!("host-{host:05}.example.com:9100")),
        label("job", "node"),
        label("os", "linux"),
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
    series.chunks(SAMPLES_A_REQUEST).map(|part| body(part.to_vec())).collect()
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
    let mut connections: Vec<Connection> =
        (0..CONNECTIONS).map(|_| Connection::open(host)).collect::<Result<_, _>>()?;
    let (mut wall, mut processor, mut samples) = (Duration::ZERO, 0.0, 0);
    for round in 0..rounds {
        let bodies = (0..CONNECTIONS)
            .map(|connection| requests(hosts, connection, round, begin + round * STEP_MS))
            .collect::<Result<Vec<_>, Failure>>()?;
        let (started, before) = (Instant::now(), processor_seconds(pid)?);
        std::thread::scope(|scope| -> Result<(), Failure> {
            let senders: Vec<_> = connections
                .iter_mut()
                .zip(&bodies)
                .map(|(connection, bodies)| {
                    scope.spawn(move || {
                        bodies.iter().try_for_each(|body| connection.write(&format!("/{path}"), body))
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
