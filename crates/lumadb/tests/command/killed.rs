//! Metrics after SIGKILL, in the midst of senders of every protocol: what was acknowledged is there, each sample once,
//! and nothing is there that was not sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::metrics::{now_ms, query, restless};
use crate::process::Server;
use crate::senders::{Addresses, Protocol, SERIES};

/// What a sender knows. Its requests are numbered, and one without an acknowledgement is sent again.
#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    /// Requests before this one are acknowledged.
    acknowledged: u32,
    /// Requests before this one were begun.
    begun: u32,
}

fn rounds() -> u64 {
    std::env::var("LUMADB_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// A server with every port; a restless one writes files all the time.
fn server(directory: &Path, is_restless: bool) -> Server {
    let mut command = restless(directory);
    if !is_restless {
        command.env_remove("LUMADB_PROMETHEUS_FLUSH_INTERVAL").env_remove("LUMADB_PROMETHEUS_HOT");
    }
    for section in ["GRAPHITE", "OPENTSDB"] {
        command.env(format!("LUMADB_{section}_ENABLED"), "true").env(format!("LUMADB_{section}_PORT"), "0");
    }
    Server::start(&mut command)
}

fn check(server: &Server, protocol: Protocol, sent: Sent, begin: i64) {
    let mut found: BTreeMap<u32, usize> = BTreeMap::new();
    let all = query(server, &format!("{{sender=\"{}\"}}[30d]", protocol.name()));
    assert!(all.len() <= SERIES, "{protocol:?}: {all:?}");
    for series in &all {
        let mut last = -1;
        for sample in series["values"].as_array().unwrap() {
            let number: u32 = sample[1].as_str().unwrap().parse().unwrap();
            let t = sample[0].as_f64().unwrap();
            assert_eq!(t, (begin + i64::from(number)) as f64, "{protocol:?}: the time of sample {number}");
            assert!(i64::from(number) > last, "{protocol:?}: sample {number} is there twice");
            last = i64::from(number);
            *found.entry(number).or_default() += 1;
        }
    }
    let lost = (0..sent.acknowledged).find(|number| found.get(number) != Some(&SERIES));
    assert_eq!(lost, None, "{protocol:?}: an acknowledged request is lost, or a part of it");
    let foreign = found.keys().find(|number| **number >= sent.begun);
    assert_eq!(foreign, None, "{protocol:?}: what was never sent is there");
    if protocol.has_requests() {
        let part = found.iter().find(|(_, count)| **count != SERIES);
        assert_eq!(part, None, "{protocol:?}: a request is there in part");
    }
}

#[test]
fn no_acknowledged_sample_is_lost_when_the_server_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut sent = Protocol::ALL.map(|_| Sent::default());
    // Behind the clock, so that every sample is in the past when it is asked for.
    let begin = now_ms() / 1000 - 20 * 24 * 3600;
    for round in 0..rounds() {
        let mut server = server(directory.path(), round % 2 == 1);
        for (protocol, sent) in Protocol::ALL.into_iter().zip(sent) {
            check(&server, protocol, sent, begin);
        }
        let senders: Vec<_> = Protocol::ALL
            .into_iter()
            .zip(sent)
            .map(|(protocol, sent)| {
                let noted = Arc::new(Mutex::new(sent));
                let (addresses, own) = (Addresses::of(&server), Arc::clone(&noted));
                let thread = std::thread::spawn(move || {
                    let Some(mut sender) = protocol.connect(&addresses) else { return };
                    for number in sent.acknowledged.. {
                        own.lock().unwrap().begun = sent.begun.max(number + 1);
                        let Some(()) = sender.send(begin + i64::from(number), number) else { return };
                        own.lock().unwrap().acknowledged = number + 1;
                    }
                });
                (thread, noted)
            })
            .collect();
        // Somewhere in the middle of things, another place each round.
        std::thread::sleep(Duration::from_millis(40 + (round * 37) % 180));
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        for ((thread, noted), sent) in senders.into_iter().zip(&mut sent) {
            thread.join().unwrap();
            *sent = *noted.lock().unwrap();
        }
    }
    let server = server(directory.path(), false);
    for (protocol, sent) in Protocol::ALL.into_iter().zip(sent) {
        check(&server, protocol, sent, begin);
        assert!(sent.acknowledged > 0, "{protocol:?} sent nothing");
    }
}
