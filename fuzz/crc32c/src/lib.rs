//! In the place of the real crate: every checksum is zero, so whatever a fuzzer changes still matches.

/// Zero.
pub fn crc32c(_bytes: &[u8]) -> u32 {
    0
}

/// Zero.
pub fn crc32c_append(_crc: u32, _bytes: &[u8]) -> u32 {
    0
}
