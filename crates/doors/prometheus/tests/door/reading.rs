//! Remote read.

use luma_promql::{Labels, STALE_MARKER, Sample};
use prost::Message;

use crate::http::{Client, Response, Server, timeless};
use crate::messages::{Series, WriteRequestV2, packed};

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Query {
    #[prost(int64, tag = "1")]
    start: i64,
    #[prost(int64, tag = "2")]
    end: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<Matcher>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Matcher {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, repeated, tag = "1")]
    results: Vec<Found>,
}

#[derive(Clone, PartialEq, Message)]
struct Found {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<ChunkedSeries>,
    #[prost(int64, tag = "2")]
    query: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ChunkedSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<crate::messages::Label>,
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Chunk {
    #[prost(int64, tag = "1")]
    first: i64,
    #[prost(int64, tag = "2")]
    last: i64,
    #[prost(int32, tag = "3")]
    encoding: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

pub fn all(start: i64, end: i64, accepted: &[i32]) -> Request {
    let matchers = vec![Matcher { kind: 2, name: "__name__".into(), value: "m.*".into() }];
    Request { queries: vec![Query { start, end, matchers }], accepted: accepted.to_vec() }
}

pub fn read(client: &mut Client, request: &Request) -> Response {
    client.send("POST", "/api/v1/read", &[("content-type", "application/x-protobuf")], &packed(request))
}

/// The frames of a streamed answer, whose checksums must be right.
pub fn frames(answer: &Response) -> Vec<Frame> {
    let mut rest = &answer.body[..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(prost::encoding::decode_varint(&mut rest).unwrap()).unwrap();
        let (checksum, after) = rest.split_at(4);
        let (bytes, after) = after.split_at(length);
        assert_eq!(checksum, crc32c::crc32c(bytes).to_be_bytes());
        rest = after;
        frames.push(Frame::decode(bytes).unwrap());
    }
    frames
}

/// Three series, not in the order of their labels; one has an end.
fn loaded() -> Server {
    let server = Server::new();
    let mut request = WriteRequestV2::new();
    for name in ["m2", "m1", "n"] {
        let labels = Labels::new([("__name__", name)]);
        for at in 0..300 {
            request.sample(&labels, at * 1000, 0, Sample::Float(at as f64));
        }
    }
    request.sample(&Labels::new([("__name__", "m2")]), 300_000, 0, Sample::Float(STALE_MARKER));
    assert_eq!(server.client().write_2(&request).status, 204);
    server
}

#[test]
fn samples_come_as_they_were_written_in_the_order_of_labels() {
    let server = loaded();
    let answer = read(&mut server.client(), &all(10_000, 1_000_000, &[]));
    assert_eq!((answer.status, answer.header("content-encoding")), (200, "snappy"));
    let bytes = snap::raw::Decoder::new().decompress_vec(&answer.body).unwrap();
    let message = Answer::decode(&bytes[..]).unwrap();
    let series = &message.results[0].series;
    let names: Vec<&str> = series.iter().map(|series| series.labels[0].value.as_str()).collect();
    assert_eq!(names, ["m1", "m2"]);
    assert_eq!(series[0].samples.len(), 290);
    assert_eq!((series[0].samples[0].t, series[0].samples[0].value), (10_000, 10.0));
    assert_eq!(series[1].samples.last().unwrap().value.to_bits(), STALE_MARKER.to_bits());
}

#[test]
fn chunks_come_in_frames_with_checksums() {
    let server = loaded();
    let answer = read(&mut server.client(), &all(0, 1_000_000, &[1, 0]));
    assert_eq!(
        answer.header("content-type"),
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    );
    let mut chunks = Vec::new();
    for frame in frames(&answer) {
        assert_eq!(frame.query, 0);
        for series in frame.series {
            for chunk in series.chunks {
                let samples = u16::from_be_bytes([chunk.data[0], chunk.data[1]]);
                chunks.push((
                    series.labels[0].value.clone(),
                    chunk.first,
                    chunk.last,
                    chunk.encoding,
                    samples,
                ));
            }
        }
    }
    let expected = [
        ("m1", 0, 119_000, 1, 120),
        ("m1", 120_000, 239_000, 1, 120),
        ("m1", 240_000, 299_000, 1, 60),
        ("m2", 0, 119_000, 1, 120),
        ("m2", 120_000, 239_000, 1, 120),
        ("m2", 240_000, 300_000, 1, 61),
    ];
    let expected =
        expected.map(|(name, first, last, encoding, n)| (name.to_owned(), first, last, encoding, n));
    assert_eq!(chunks, expected);
}

#[test]
fn what_is_no_request_to_read_is_refused() {
    let server = loaded();
    let mut client = server.client();
    assert_eq!(client.send("POST", "/api/v1/read", &[], b"x").status, 400);
    let message = snap::raw::Encoder::new().compress_vec(b"\x0a\xff").unwrap();
    assert!(client.send("POST", "/api/v1/read", &[], &message).text().contains("no prometheus.ReadRequest"));
    assert_eq!(read(&mut client, &all(0, 1, &[7])).status, 400);
    let mut wrong = all(0, 1, &[]);
    wrong.queries[0].matchers[0].value = "(".into();
    assert!(read(&mut client, &wrong).text().contains("error parsing regexp"));
    wrong.queries[0].matchers[0].kind = 9;
    assert_eq!(read(&mut client, &wrong).status, 400);
}

#[test]
fn an_answer_of_too_many_samples_is_refused() {
    let options = luma_door_prometheus::DoorOptions { query_max_samples: 100, ..timeless() };
    let loaded = loaded();
    let server = Server::with(loaded.store.clone(), options);
    let answer = read(&mut server.client(), &all(0, 1_000_000, &[]));
    assert_eq!((answer.status, answer.text().trim()), (400, "exceeded sample limit (100)"));
}
