//! Whole numbers in as many bits as the widest of them needs.
//!
//! What is packed are the numbers, their differences or the differences of those, whichever takes the fewest bits,
//! each less the smallest. All have one width, so reading takes no decisions.

use crate::block::Error;
use crate::varint;

/// Appends numbers; how many there are is kept elsewhere.
pub(crate) fn pack(values: &[i64], out: &mut Vec<u8>) {
    let differences = differences(values);
    let second = self::differences(&differences);
    let forms = [values, &differences, &second];
    let narrowest = (0u8..).zip(forms).min_by_key(|(_, form)| usize::from(width_of(form).1) * form.len());
    let Some((order, form)) = narrowest else { return };
    let (smallest, width) = width_of(form);
    out.push(order);
    out.push(width);
    let firsts = [values.first(), differences.first()].into_iter().flatten().take(usize::from(order));
    firsts.chain([&smallest]).for_each(|value| varint::write(zigzag(*value), out));
    let (mut pending, mut bits) = (0u128, 0u32);
    for value in form {
        pending |= u128::from(value.wrapping_sub(smallest) as u64) << bits;
        bits += u32::from(width);
        while bits >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(pending as u8);
    }
}

/// Reads so many numbers from the start of some bytes; gives the bytes behind them.
pub(crate) fn unpack(bytes: &[u8], count: usize) -> Result<(Vec<i64>, &[u8]), Error> {
    let (&[order, width], mut rest) = bytes.split_first_chunk().ok_or(Error::Truncated)?;
    if order > 2 || width > 64 {
        return Err(Error::Malformed("packed numbers have no such form"));
    }
    let mut number = || -> Result<i64, Error> {
        let (value, behind) = varint::read(rest)?;
        rest = behind;
        Ok(unzigzag(value))
    };
    let order = usize::from(order).min(count);
    let mut firsts = [0; 2];
    for first in firsts.iter_mut().take(order) {
        *first = number()?;
    }
    let smallest = number()?;
    let length = (count - order).checked_mul(usize::from(width)).ok_or(Error::Truncated)?.div_ceil(8);
    let (packed, behind) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    let mut values = Vec::with_capacity(count);
    unpack_bits(packed, count - order, u32::from(width), smallest, &mut values);
    // The last of the firsts belongs to the highest differences.
    for first in firsts.iter().take(order).rev() {
        sum_up(*first, &mut values);
    }
    Ok((values, behind))
}

fn unpack_bits(packed: &[u8], count: usize, width: u32, smallest: i64, values: &mut Vec<i64>) {
    if width == 0 {
        values.resize(count, smallest);
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let word = |byte: usize| -> u128 {
        match packed.get(byte..).and_then(<[u8]>::first_chunk::<16>) {
            Some(bytes) => u128::from_le_bytes(*bytes),
            None => {
                let rest = packed.get(byte..).unwrap_or_default();
                let mut bytes = [0; 16];
                bytes[..rest.len()].copy_from_slice(rest);
                u128::from_le_bytes(bytes)
            }
        }
    };
    values.extend((0..count).map(|at| {
        let bit = at * width as usize;
        let value = (word(bit / 8) >> (bit % 8)) as u64 & mask;
        smallest.wrapping_add(value as i64)
    }));
}

/// Makes numbers of their differences.
fn sum_up(first: i64, values: &mut Vec<i64>) {
    let mut sum = first;
    for value in values.iter_mut() {
        let difference = *value;
        *value = sum;
        sum = sum.wrapping_add(difference);
    }
    values.push(sum);
}

fn differences(values: &[i64]) -> Vec<i64> {
    values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect()
}

/// The smallest number, and how many bits the largest takes from there.
fn width_of(values: &[i64]) -> (i64, u8) {
    let smallest = values.iter().copied().min().unwrap_or(0);
    let largest = values.iter().copied().max().unwrap_or(0);
    (smallest, 64 - (largest.wrapping_sub(smallest) as u64).leading_zeros() as u8)
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_is_read(
            any in proptest::collection::vec(any::<i64>(), 0..70),
            steps in proptest::collection::vec(0i64..40, 0..300),
            rest: Vec<u8>,
        ) {
            let sums: Vec<i64> = steps.iter().scan(i64::MAX - 500, |sum, step| {
                *sum = sum.wrapping_add(*step);
                Some(*sum)
            }).collect();
            for values in [any, steps, sums] {
                let mut out = Vec::new();
                pack(&values, &mut out);
                out.extend_from_slice(&rest);
                let (read, behind) = unpack(&out, values.len()).unwrap();
                prop_assert_eq!(read, values);
                prop_assert_eq!(behind, &rest[..]);
            }
        }

        #[test]
        fn any_bytes_are_numbers_or_an_error(bytes: Vec<u8>, count in 0usize..300) {
            if let Ok((values, _)) = unpack(&bytes, count) {
                prop_assert_eq!(values.len(), count);
            }
        }
    }

    #[test]
    fn what_is_regular_takes_no_bits() {
        for values in
            [vec![7; 100], (0..100).map(|n| n * 15_000).collect(), (0..100).map(|n| n * n).collect()]
        {
            let mut out = Vec::new();
            pack(&values, &mut out);
            assert!(out.len() < 12, "{} bytes", out.len());
        }
    }
}
