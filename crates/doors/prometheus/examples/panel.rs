//! A dashboard's queries, asked of several servers in turns: `panel fill|ask HOSTS MINUTES END NAME=http://ADDRESS…`,
//! where END is the last minute of the data, in seconds since the epoch.
//!
//! `fill` sends each server the same data by remote write: a fleet with a hundred series a host, a sample of each
//! every ten seconds, where a tenth of the series are replaced every twenty minutes (or thrice, if that is sooner), and 24 sensors with a sample every
//! minute of thirty days. `ask` prints, as a table, the median time
//! of each query in milliseconds and how many times that of the first server the others take.

#[path = "shared/wire.rs"]
mod wire;

use std::time::Instant;

use wire::{Connection, Failure, Label, Sample, Series, body, label};

const STEP_MS: i64 = 10_000;
const MINUTE_MS: i64 = 60_000;
const DAYS: i64 = 30;
const SENSORS: u32 = 24;
/// How often each query is asked of each server; the first time does not count.
const TURNS: usize = 7;

/// Over the fleet's time, a point every 15 seconds.
const FLEET: [&str; 16] = [
    "sum by (mode) (rate(node_cpu_seconds_total[5m]))",
    "100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m])))",
    "topk(10, sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m])))",
    "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.9, sum by (le, route) (rate(http_request_duration_seconds_bucket[5m])))",
    "sum(rate(http_requests_total{code=~\"5..\"}[5m])) / sum(rate(http_requests_total[5m]))",
    "node_memory_bytes{instance=\"host-00007:9100\"}",
    "{__name__=~\"node_memory.*\", instance=~\"host-0000.*\"}",
    "irate(node_cpu_seconds_total{instance=\"host-00003:9100\"}[1m])",
    "max by (cluster) (max_over_time(node_load1[10m]))",
    "avg by (cluster) (node_load1)",
    "count by (team) (up == 1)",
    "quantile(0.95, node_load1)",
    "node_memory_bytes{kind=\"free\"} / ignoring(kind) node_memory_bytes{kind=\"total\"} < 0.2",
    "sum by (pod_generation) (increase(pod_restarts_total[10m]))",
    "sum by (cluster) (rate(node_network_bytes_total[2m]) * 8)",
];

/// Over thirty days, a point every hour.
const LONG: [&str; 4] = [
    "avg_over_time(room_celsius[1h])",
    "max by (floor) (max_over_time(room_celsius[6h]))",
    "avg(room_celsius)",
    "deriv(room_celsius{room=\"room-03\"}[2h])",
];

/// A number that looks random and is the same every time.
fn noise(a: u64, b: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x >> 40) as f64) / f64::from(1 << 24)
}

/// The hundred series of a host.
fn host_series(host: u32, generation: i64) -> Vec<Vec<Label>> {
    let of = |name: &str, own: Vec<Label>| {
        let mut labels = vec![
            label("__name__", name),
            label("cluster", format!("cluster-{}", host % 4)),
            label("instance", format!("host-{host:05}:9100")),
            label("job", "node"),
            label("team", format!("team-{}", host % 17)),
        ];
        labels.extend(own);
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels
    };
    let mut all = Vec::new();
    for cpu in 0..4 {
        for mode in ["idle", "user", "system", "iowait", "irq", "softirq", "steal", "nice"] {
            let own = vec![label("cpu", cpu.to_string()), label("mode", mode)];
            all.push(of("node_cpu_seconds_total", own));
        }
    }
    for route in ["/", "/api"] {
        for le in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"] {
            let own = vec![label("le", le), label("route", route)];
            all.push(of("http_request_duration_seconds_bucket", own));
        }
    }
    for code in ["200", "301", "404", "500", "503"] {
        all.push(of("http_requests_total", vec![label("code", code)]));
    }
    for kind in ["total", "free", "cached", "buffers"] {
        all.push(of("node_memory_bytes", vec![label("kind", kind)]));
    }
    for device in 0..12 {
        all.push(of("node_network_bytes_total", vec![label("device", format!("eth{device}"))]));
    }
    for device in 0..11 {
        all.push(of("node_disk_bytes", vec![label("device", format!("sd{device}"))]));
    }
    all.push(of("node_load1", vec![]));
    all.push(of("up", vec![]));
    for pod in 0..10 {
        let own = vec![
            label("pod", format!("pod-{host}-{pod}-{generation}")),
            label("pod_generation", generation.to_string()),
        ];
        all.push(of("pod_restarts_total", own));
    }
    all
}

/// The value of a host's series in a round: counters grow, the others wander.
fn value(host: u32, at: usize, labels: &[Label], round: i64) -> f64 {
    let name = labels.iter().find(|label| label.name == "__name__").map_or("", |label| label.value.as_str());
    let pace = noise(u64::from(host), at as u64);
    let jitter = noise(u64::from(host) << 20 | at as u64, round as u64);
    if name == "up" {
        1.0
    } else if name.ends_with("_bucket") {
        (round * (at as i64 % 24 + 1) * i64::from(host % 7 + 1)) as f64
    } else if name.starts_with("node_cpu") {
        ((round as f64 * 10.0 * pace + jitter) * 100.0).round() / 100.0
    } else if name.ends_with("_total") {
        (round as f64 * 1000.0 * pace + jitter * 500.0).floor()
    } else if name == "node_load1" {
        (jitter * 400.0).round() / 100.0
    } else {
        (pace * 16e9 + jitter * 1e8).floor()
    }
}

/// The fleet's samples of a round; the series that come and go live so many milliseconds.
fn round_of(hosts: u32, round: i64, t: i64, life: i64) -> Result<Vec<Vec<u8>>, Failure> {
    let generation = round * STEP_MS / life;
    let mut series = Vec::new();
    for host in 0..hosts {
        for (at, labels) in host_series(host, generation).into_iter().enumerate() {
            let samples = vec![Sample { value: value(host, at, &labels, round), t }];
            series.push(Series { labels, samples });
        }
    }
    series.chunks(5000).map(|part| body(part.to_vec())).collect()
}

/// A day of the sensors' samples.
fn day_of_sensors(begin: i64, day: i64) -> Result<Vec<u8>, Failure> {
    let one = |sensor: u32| {
        let labels = vec![
            label("__name__", "room_celsius"),
            label("floor", format!("{}", sensor % 3)),
            label("room", format!("room-{sensor:02}")),
        ];
        let minutes = day * 1440..(day + 1) * 1440;
        let samples = minutes.map(|minute| {
            let wave = (minute as f64 / 1440.0 * std::f64::consts::TAU).sin();
            let value = 20.0 + 4.0 * wave + noise(u64::from(sensor), minute as u64);
            Sample { value: (value * 10.0).round() / 10.0, t: begin + minute * MINUTE_MS }
        });
        Series { labels, samples: samples.collect() }
    };
    body((0..SENSORS).map(one).collect())
}

/// What the data is of; times in milliseconds.
struct Fleet {
    hosts: u32,
    minutes: i64,
    end: i64,
}

impl Fleet {
    fn begin(&self) -> i64 {
        self.end - self.minutes * MINUTE_MS
    }

    fn long_begin(&self) -> i64 {
        self.end - DAYS * 1440 * MINUTE_MS
    }
}

struct Server {
    name: String,
    connection: Connection,
    /// What is added to each query.
    parameters: String,
}

/// A query and how it is asked.
struct Question {
    query: &'static str,
    /// In seconds.
    range: (i64, i64),
    step: i64,
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn questions((begin, end): (i64, i64), long_begin: i64) -> Vec<Question> {
    let of = |begin: i64, step: i64| {
        move |query: &&'static str| Question { query, range: (begin / 1000, end / 1000), step }
    };
    FLEET.iter().map(of(begin, 15)).chain(LONG.iter().map(of(long_begin, 3600))).collect()
}

impl Question {
    /// The window moves on by a step a turn, as that of a dashboard does, and ends with the data.
    fn path(&self, turn: usize) -> String {
        let back = (TURNS - 1 - turn) as i64 * self.step;
        let (start, end, step) = (self.range.0 - back, self.range.1 - back, self.step);
        format!("/api/v1/query_range?query={}&start={start}&end={end}&step={step}", encoded(self.query))
    }
}

/// Milliseconds an answer takes, and how many series there are in it.
fn ask(server: &mut Server, question: &Question, turn: usize) -> Result<(f64, usize), Failure> {
    let path = format!("{}{}", question.path(turn), server.parameters);
    let started = Instant::now();
    let answer = server.connection.get(&path).map_err(|error| format!("{}: {error}", server.name))?;
    let spent = started.elapsed().as_secs_f64() * 1e3;
    let series = String::from_utf8_lossy(&answer).matches("\"metric\":").count();
    Ok((spent, series))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Sends each server the data.
fn fill(fleet: &Fleet, servers: &mut [Server]) -> Result<(), Failure> {
    for day in 0..DAYS {
        let body = day_of_sensors(fleet.long_begin(), day)?;
        servers.iter_mut().try_for_each(|server| server.connection.write("/api/v1/write", &body))?;
    }
    let life = (fleet.minutes * MINUTE_MS / 3).clamp(STEP_MS, 20 * MINUTE_MS);
    for round in 0..fleet.minutes * MINUTE_MS / STEP_MS {
        for body in round_of(fleet.hosts, round, fleet.begin() + round * STEP_MS, life)? {
            servers.iter_mut().try_for_each(|server| server.connection.write("/api/v1/write", &body))?;
        }
    }
    let samples = fleet.minutes * 600 * i64::from(fleet.hosts) + DAYS * 1440 * i64::from(SENSORS);
    eprintln!("{samples} samples sent");
    Ok(())
}

/// Asks each server in turns and prints how long it took.
fn compare(fleet: &Fleet, servers: &mut [Server]) -> Result<(), Failure> {
    let names: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
    let ratios: Vec<String> = names.iter().skip(1).map(|name| format!("{name} : {}", names[0])).collect();
    println!("| query | series | {} |", [names.clone(), ratios].concat().join(" | "));
    println!("|---|---|{}", "---|".repeat(2 * names.len() - 1));
    let mut sums = vec![0.0; servers.len()];
    let questions = questions((fleet.begin(), fleet.end), fleet.long_begin());
    for question in &questions {
        let mut times = vec![Vec::new(); servers.len()];
        let mut series = vec![0; servers.len()];
        for turn in 0..TURNS {
            for (at, server) in servers.iter_mut().enumerate() {
                let (spent, found) = ask(server, question, turn)?;
                if turn > 0 {
                    times[at].push(spent);
                }
                series[at] = found;
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        let found: Vec<String> = series.iter().map(ToString::to_string).collect();
        let mut shown: Vec<String> = medians.iter().map(|time| format!("{time:.2}")).collect();
        for (sum, time) in sums.iter_mut().zip(&medians) {
            *sum += (time / medians[0]).ln();
        }
        for time in medians.iter().skip(1) {
            shown.push(format!("{:.2}", time / medians[0]));
        }
        let query = question.query.replace('|', "\\|");
        println!("| `{query}` | {} | {} |", found.join(" "), shown.join(" | "));
    }
    let mut shown = vec![String::new(); names.len()];
    shown.extend(sums.iter().skip(1).map(|sum| format!("{:.2}", (sum / questions.len() as f64).exp())));
    println!("| geometric mean | | {} |", shown.join(" | "));
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, hosts, minutes, end, addresses @ ..] = &arguments[..] else {
        return Err("usage: panel fill|ask HOSTS MINUTES END NAME=http://ADDRESS[?PARAMETERS]…".into());
    };
    let end = end.parse::<i64>()? * 1000 / MINUTE_MS * MINUTE_MS;
    let fleet = Fleet { hosts: hosts.parse()?, minutes: minutes.parse()?, end };
    let mut servers = Vec::new();
    for address in addresses {
        let (name, address) = address.split_once("=http://").ok_or("a server is NAME=http://ADDRESS")?;
        let (host, parameters) = address.split_once('?').unwrap_or((address, ""));
        let parameters = if parameters.is_empty() { String::new() } else { format!("&{parameters}") };
        servers.push(Server { name: name.to_owned(), connection: Connection::open(host)?, parameters });
    }
    match what.as_str() {
        "fill" => fill(&fleet, &mut servers),
        "ask" => compare(&fleet, &mut servers),
        _ => Err("what to do is `fill` or `ask`".into()),
    }
}
