use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Raw, bind, execute, message, parse, query, sync};
use crate::server::Server;

/// Seeded inputs; the server must live through all of them.
const CASES: usize = 300;

async fn lives(server: &Server) {
    assert_eq!(server.client().await.query("SELECT 1", &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_first_packet_brings_the_server_down() {
    let server = Server::open().await;
    let mut runner = TestRunner::deterministic();
    let codes =
        prop_oneof![any::<u32>(), Just(3 << 16), Just(80_877_103), Just(80_877_102), Just((3 << 16) + 2)];
    let packets = (any::<bool>(), codes, proptest::collection::vec(any::<u8>(), 0..300));
    for _ in 0..CASES {
        let (framed, code, body) = packets.new_tree(&mut runner).unwrap().current();
        let mut raw = Raw::silent(&server).await;
        if framed {
            raw.startup(code, &body).await;
        } else {
            raw.send(&body).await;
        }
        let _ = raw.0.shutdown().await;
        let _ = raw.0.read_to_end(&mut Vec::new()).await;
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_brings_the_server_down() {
    let server = Server::open().await;
    let mut runner = TestRunner::deterministic();
    let tags = prop_oneof![proptest::sample::select(b"QPBDESHCdcfpF".to_vec()), any::<u8>()];
    let bodies = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        proptest::collection::vec(proptest::sample::select(b"\0\x01\xffSP a$1".to_vec()), 0..40),
    ];
    let messages = proptest::collection::vec((tags, bodies), 1..6);
    for _ in 0..CASES {
        let mut raw = Raw::connect(&server).await;
        let bytes: Vec<u8> = messages
            .new_tree(&mut runner)
            .unwrap()
            .current()
            .into_iter()
            .flat_map(|(tag, body)| message(tag, &body))
            .collect();
        let _ = raw.0.write_all(&[bytes, sync()].concat()).await;
        let _ = raw.0.shutdown().await;
        let _ = raw.0.read_to_end(&mut Vec::new()).await;
    }
    lives(&server).await;
}

#[tokio::test]
async fn malformed_bodies_are_errors_and_the_session_goes_on() {
    let server = Server::open().await;
    let mut raw = Raw::connect(&server).await;
    for (bytes, expected) in [
        (message(b'P', b"no end"), "E08P01 ZI"),
        (message(b'P', b"\0SELECT 1\0\0\x09"), "E08P01 ZI"),
        (message(b'B', b"\0\0\0\0\0\x01\0\0\0\xff"), "E08P01 ZI"),
        (message(b'B', b"\0\0\0\x01\0\x07\0\0\0\0"), "E22023 ZI"),
        (message(b'D', b"X\0"), "E08P01 ZI"),
        (message(b'E', b"\0"), "E08P01 ZI"),
        (message(b'C', b""), "E08P01 ZI"),
        (message(b'p', b"secret\0"), "E08P01 ZI"),
        (
            [parse("", "SELECT 1"), bind("", ""), execute("", 0), message(b'P', b"")].concat(),
            "1 2 D C E08P01 ZI",
        ),
    ] {
        raw.send(&[bytes, sync()].concat()).await;
        assert_eq!(raw.ready().await.join(" "), expected);
    }
    raw.send(&message(b'Q', b"SELECT '\xff'\0")).await;
    assert_eq!(raw.ready().await.join(" "), "E22021 ZI");
    raw.send(&message(b'F', b"\0\0\0\x01")).await;
    assert_eq!(raw.ready().await.join(" "), "E0A000 ZI");
    raw.send(&query("SELECT 1")).await;
    assert_eq!(raw.ready().await.join(" "), "T D C ZI");
}

#[tokio::test]
async fn when_framing_is_lost_the_client_is_told_and_the_connection_closed() {
    let server = Server::open().await;
    for bytes in [&b"Q\0\0\0\x03"[..], b"Q\xff\xff\xff\xff", b"\0\0\0\0\x04", b"Gxxxx"] {
        let mut raw = Raw::connect(&server).await;
        raw.send(bytes).await;
        assert_eq!(raw.last_words().await.as_deref(), Some("08P01"), "{bytes:?}");
    }
    let mut raw = Raw::silent(&server).await;
    raw.send(b"\x7f\0\0\0\0\x03\0\0").await;
    assert_eq!(raw.last_words().await.as_deref(), Some("08P01"));
    // The end in the middle of a message.
    let mut raw = Raw::connect(&server).await;
    raw.send(b"Q\0\0\0\x40SELECT").await;
    raw.0.shutdown().await.unwrap();
    assert!(raw.message().await.is_none());
    lives(&server).await;
}
