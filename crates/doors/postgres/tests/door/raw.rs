//! A client that sends bytes and reads messages.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;

pub struct Raw(pub TcpStream);

impl Raw {
    /// A connection that has not said anything.
    pub async fn silent(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    /// A connection with a session.
    pub async fn connect(server: &Server) -> Self {
        let mut raw = Self::silent(server).await;
        raw.startup(3 << 16, b"user\0lumadb\0database\0lumadb\0\0").await;
        raw.ready().await;
        raw
    }

    pub async fn startup(&mut self, code: u32, body: &[u8]) {
        let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(body);
        self.send(&bytes).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next message; `None` at the end.
    pub async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let tag = self.0.read_u8().await.ok()?;
        let length = self.0.read_u32().await.ok()? as usize;
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body).await.ok()?;
        Some((tag, body))
    }

    /// Messages up to ReadyForQuery, as their tags; errors as `E` and their SQLSTATE.
    pub async fn ready(&mut self) -> Vec<String> {
        let mut tags = Vec::new();
        loop {
            let (tag, body) = self.message().await.expect("the connection ended");
            tags.push(match tag {
                b'E' => format!("E{}", code(&body)),
                b'Z' => format!("Z{}", char::from(body[0])),
                tag => char::from(tag).to_string(),
            });
            if tag == b'Z' {
                return tags;
            }
        }
    }

    /// The SQLSTATE the connection ends with.
    pub async fn last_words(&mut self) -> Option<String> {
        let mut last = None;
        while let Some((tag, body)) = self.message().await {
            if tag == b'E' {
                last = Some(code(&body));
            }
        }
        last
    }
}

/// The SQLSTATE of an ErrorResponse.
pub fn code(body: &[u8]) -> String {
    let fields: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
    let field = fields.iter().find(|field| field.first() == Some(&b'C')).unwrap();
    String::from_utf8_lossy(&field[1..]).into_owned()
}

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// A Bind without parameters.
pub fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend_from_slice(&rows.to_be_bytes());
    message(b'E', &body)
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}
