//! A server that speaks PostgreSQL's protocol and has no database behind it: every statement gives one row with one number.
//! What no server can be faster than, for `bench/run`.
//!
//! `cargo run --release -p lumadb --example floor 5432`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The first message of a client that asks for TLS.
const TLS_REQUEST: u32 = 80_877_103;

fn message(tag: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

/// The answer to one message; `false` where the client says goodbye.
fn answer(tag: u8, out: &mut Vec<u8>) -> bool {
    // One column of the type int4, four bytes long.
    const COLUMNS: &[u8] = b"\0\x01abalance\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
    match tag {
        b'P' => message(b'1', b"", out),
        b'B' => message(b'2', b"", out),
        b'C' => message(b'3', b"", out),
        b'D' => message(b'T', COLUMNS, out),
        b'S' => message(b'Z', b"I", out),
        b'X' => return false,
        b'E' | b'Q' => {
            if tag == b'Q' {
                message(b'T', COLUMNS, out);
            }
            message(b'D', b"\0\x01\0\0\0\x010", out);
            message(b'C', b"SELECT 1\0", out);
            if tag == b'Q' {
                message(b'Z', b"I", out);
            }
        }
        _ => {}
    }
    true
}

async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    loop {
        let length = client.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await?;
        if body.get(..4) != Some(&TLS_REQUEST.to_be_bytes()) {
            break;
        }
        client.write_all(b"N").await?;
    }
    let mut out = Vec::new();
    message(b'R', &[0; 4], &mut out);
    message(b'S', b"server_version\x0015.0\0", &mut out);
    message(b'S', b"client_encoding\0UTF8\0", &mut out);
    message(b'Z', b"I", &mut out);
    client.write_all(&out).await?;
    let mut given: Vec<u8> = Vec::with_capacity(1 << 16);
    loop {
        if client.read_buf(&mut given).await? == 0 {
            return Ok(());
        }
        out.clear();
        let mut at = 0;
        while let Some(head) = given.get(at..at + 5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if given.len() < at + 1 + length {
                break;
            }
            if !answer(head[0], &mut out) {
                return Ok(());
            }
            at += 1 + length;
        }
        given.drain(..at);
        client.write_all(&out).await?;
    }
}

#[tokio::main]
async fn main() {
    let port: u16 = std::env::args().nth(1).map_or(5432, |port| port.parse().unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    println!("ready");
    loop {
        let (client, _) = listener.accept().await.unwrap();
        // A client that goes away is no error here.
        tokio::spawn(async { drop(serve(client).await) });
    }
}
