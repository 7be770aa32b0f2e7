//! Whole numbers in as few bytes as they need: seven bits a byte, the lowest first, the top bit set
//! on all but the last (LEB128).

use crate::block::Error;

/// Appends a number.
pub fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number at the start of some bytes, and the bytes behind it.
///
/// # Errors
///
/// When the bytes end before it does, or it has more than 64 bits.
#[inline]
pub fn read(bytes: &[u8]) -> Result<(u64, &[u8]), Error> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * at as u32;
        // The tenth byte has room for one bit.
        if shift == 63 && part > 1 {
            return Err(Error::Malformed("a number has more than 64 bits"));
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[at + 1..]));
        }
    }
    if bytes.len() < 10 { Err(Error::Truncated) } else { Err(Error::Malformed("a number does not end")) }
}

/// A length that is at hand: larger than anything in memory is truncated.
pub(crate) fn read_len(bytes: &[u8]) -> Result<(usize, &[u8]), Error> {
    let (value, rest) = read(bytes)?;
    let length = usize::try_from(value).map_err(|_| Error::Truncated)?;
    Ok((length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_survives(value in any::<u64>()) {
            let mut out = Vec::new();
            write(value, &mut out);
            out.push(7);
            prop_assert_eq!(read(&out).ok(), Some((value, &[7u8][..])));
        }
    }

    #[test]
    fn a_number_without_an_end_is_an_error() {
        assert!(read(&[0xff; 12]).is_err());
        assert!(read(&[0x80]).is_err());
        assert!(read(&[]).is_err());
        assert!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err());
    }
}
