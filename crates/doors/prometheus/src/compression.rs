//! Snappy's block format, with a bound on what it unpacks to.

use axum::http::StatusCode;

/// Unpacks a Snappy block. Its length is read first, so that a bomb costs nothing.
///
/// # Errors
/// The status and text for the client.
pub(crate) fn unpack_snappy(body: &[u8], limit: usize) -> Result<Vec<u8>, (StatusCode, String)> {
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
pub(crate) fn unpacked_len(body: &[u8]) -> usize {
    snap::raw::decompress_len(body).unwrap_or(0)
}

fn damaged(what: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("the request's body is no Snappy block: {what}"))
}

/// Packs a Snappy block.
pub(crate) fn pack_snappy(bytes: &[u8]) -> Result<Vec<u8>, snap::Error> {
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
}
