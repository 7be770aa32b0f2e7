//! Changes that come twice, late, of no use or after the end.

use luma_vfs::SimDisk;
use prost::Message;

use crate::server::{Server, timeless};
use crate::translation::{Answer, Metric, Number, TIME, numbers, request, send};

/// A counter's change at a second after the beginning.
fn change(server: &Server, second: u64, value: f64, flags: u32) -> Option<String> {
    let time = TIME + second * 1_000_000_000;
    let point = Number { start: TIME, time, double: Some(value), flags, ..Number::default() };
    let metric = Metric { name: "c".into(), sum: numbers(vec![point], 1), ..Metric::default() };
    let (status, body) = send(server, &request(vec![metric]));
    assert_eq!(status, 200);
    Answer::decode(&body[..]).unwrap().partial.map(|partial| partial.message)
}

fn sum(server: &Server, second: i64) -> String {
    let result = server.query("c_total", 1_000_000 + second * 1000);
    result[0]["value"][1].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_change_that_comes_again_counts_once() {
    let disk = SimDisk::new();
    let server = Server::on(&disk, timeless(), luma_intake::OtlpOptions::default());
    assert_eq!(change(&server, 10, 2.0, 0), None);
    assert_eq!(change(&server, 20, 3.0, 0), None);
    let what = change(&server, 20, 3.0, 0).unwrap();
    assert!(what.contains("added up to 1020000"), "{what}");
    assert!(change(&server, 15, 3.0, 0).is_some());
    assert_eq!((sum(&server, 10), sum(&server, 20)), ("2".into(), "5".into()));
    drop(server);
    let server = Server::on(&disk, timeless(), luma_intake::OtlpOptions::default());
    assert!(change(&server, 20, 3.0, 0).is_some(), "also after a restart");
    assert_eq!(change(&server, 30, 1.0, 0), None);
    assert_eq!(sum(&server, 30), "6");
    assert_eq!(server.query("start_timestamp(c_total)", 1_030_000)[0]["value"][1], "1000");
}

#[test]
fn what_the_store_refuses_is_not_added() {
    let disk = SimDisk::new();
    let options = luma_door_otlp::DoorOptions::default();
    let server = Server::on(&disk, options, luma_intake::OtlpOptions::default());
    assert_eq!(change(&server, 10, 2.0, 0), None);
    let what = change(&server, 3_000_000_000, 7.0, 0).unwrap();
    assert!(what.contains("too far in the future"), "{what}");
    assert_eq!(change(&server, 20, 3.0, 0), None);
    assert_eq!(sum(&server, 20), "5");
}

#[test]
fn a_series_that_ended_or_was_silent_for_long_starts_anew() {
    let server = Server::new();
    assert_eq!(change(&server, 10, 2.0, 0), None);
    assert_eq!(change(&server, 20, 0.0, 1), None);
    assert_eq!(sum(&server, 20), "none");
    assert_eq!(change(&server, 30, 3.0, 0), None);
    assert_eq!(sum(&server, 30), "3");
}
