//! Snappy's block format, gzip and Zstandard, with a bound on what they unpack to.

use std::io::Read;

use axum::http::{HeaderMap, StatusCode, header};

/// How much of what came before a Zstandard stream may refer to, as a power of two of bytes: what RFC 9659 asks of
/// servers, so that a short body takes no more memory.
const WINDOW_LOG_MAX: u32 = 23;

/// Unpacks a Snappy block. Its length is read first, so that a bomb costs nothing.
///
/// # Errors
/// The status and text for the client.
pub fn unpack_snappy(body: &[u8], limit: usize) -> Result<Vec<u8>, (StatusCode, String)> {
    let length = snap::raw::decompress_len(body).map_err(damaged)?;
    // A byte of a block stands for at most 64 of the text: no memory for claims that can't be true.
    if length / 64 > body.len() {
        return Err(damaged("it claims to be longer than it can be"));
    }
    if length > limit {
        let what = format!(
            "the request's body unpacks to {length} bytes, over the limit of {limit}; send it in parts"
        );
        return Err((StatusCode::PAYLOAD_TOO_LARGE, what));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(damaged)
}

/// How many bytes a Snappy block says it unpacks to.
pub fn unpacked_len(body: &[u8]) -> usize {
    snap::raw::decompress_len(body).unwrap_or(0)
}

fn damaged(what: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("the request's body is no Snappy block: {what}"))
}

/// Unpacks a body as its header says.
///
/// # Errors
/// The status and text for the client.
pub fn unpack(headers: &HeaderMap, body: &[u8], limit: usize) -> Result<Vec<u8>, (StatusCode, String)> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    unpack_as(encoding.unwrap_or_default(), body, limit)
}

/// Unpacks a body that is packed as the text says: `identity`, `gzip`, `zstd` or `snappy` (a block of it).
///
/// # Errors
/// The status and text for the client.
pub fn unpack_as(encoding: &str, body: &[u8], limit: usize) -> Result<Vec<u8>, (StatusCode, String)> {
    match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(body.to_vec()),
        "snappy" => unpack_snappy(body, limit),
        "gzip" => bounded(flate2::read::MultiGzDecoder::new(body), "gzip", limit),
        "zstd" => {
            let reader = zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Ok(decoder)
            });
            bounded(reader.map_err(|error| no_stream("zstd", error))?, "zstd", limit)
        }
        other => {
            let what = format!(
                "{other} encoding (compression) is not accepted by this server; gzip, zstd and snappy are"
            );
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, what))
        }
    }
}

fn bounded(reader: impl Read, kind: &str, limit: usize) -> Result<Vec<u8>, (StatusCode, String)> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(|error| no_stream(kind, error))?;
    if out.len() > limit {
        let what = format!("the request's body unpacks to more than {limit} bytes; send it in parts");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, what));
    }
    Ok(out)
}

fn no_stream(kind: &str, error: std::io::Error) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("the request's body is no {kind} stream: {error}"))
}

/// Packs a Snappy block.
///
/// # Errors
/// When it is too long for one.
pub fn pack_snappy(bytes: &[u8]) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_block_is_unpacked_up_to_the_limit() {
        let packed = pack_snappy(&[7; 1000]).unwrap();
        assert_eq!(unpack_snappy(&packed, 1000).unwrap(), [7; 1000]);
        assert_eq!(unpack_snappy(&packed, 999).unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn blocks_that_lie_are_refused_before_memory_is_taken() {
        for block in [&b""[..], b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\x07abc", b"\x05abc", b"\x80"] {
            let (status, what) = unpack_snappy(block, usize::MAX).unwrap_err();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{what}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(unpack(&headers, &bomb, 1 << 19).unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(unpack(&headers, &bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(unpack(&headers, b"abc", 10).unwrap_err().0, StatusCode::BAD_REQUEST);
        headers.insert(header::CONTENT_ENCODING, "zstd".parse().unwrap());
        let bomb = zstd::encode_all(&vec![0; 1 << 20][..], 1).unwrap();
        assert_eq!(unpack(&headers, &bomb, 1 << 19).unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(unpack(&headers, &bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(unpack(&headers, b"abc", 10).unwrap_err().0, StatusCode::BAD_REQUEST);
        headers.insert(header::CONTENT_ENCODING, "br".parse().unwrap());
        assert_eq!(unpack(&headers, b"abc", 10).unwrap_err().0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
