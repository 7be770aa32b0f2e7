//! Every codec gives back what it took, and no bytes make it panic or take memory without bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use luma_codec::{
    Block, Compression, Content, Error, Limits, OpenSamples, SampleColumns, compress, encode_decimals,
    encode_floats, encode_samples, encode_strings, encode_timestamps,
};
use proptest::prelude::*;

const COMPRESSIONS: [Compression; 3] = [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(9)];

/// Numbers of all kinds: any bits, and the smooth, stepping and repeating ones of metrics.
fn floats() -> impl Strategy<Value = Vec<f64>> {
    let any_bits = proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..200);
    let special = proptest::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::from_bits(0x7ff0_0000_0000_0002),
        f64::from_bits(0xffff_ffff_ffff_ffff),
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
    ]);
    let specials = proptest::collection::vec(special, 0..200);
    let steps = (any::<i32>(), proptest::collection::vec(0i32..50, 0..200)).prop_map(|(start, steps)| {
        let mut total = f64::from(start);
        steps
            .into_iter()
            .map(|step| {
                total += f64::from(step);
                total
            })
            .collect()
    });
    prop_oneof![any_bits, specials, steps]
}

fn timestamps() -> impl Strategy<Value = Vec<i64>> {
    let any_times = proptest::collection::vec(any::<i64>(), 0..200);
    let regular = (any::<i64>(), 1i64..100_000, proptest::collection::vec(-3i64..4, 0..200)).prop_map(
        |(start, step, jitters)| {
            let mut t = start;
            jitters
                .into_iter()
                .map(|jitter| {
                    t = t.wrapping_add(step).wrapping_add(jitter);
                    t
                })
                .collect()
        },
    );
    prop_oneof![any_times, regular]
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The block as it is and packed in every way.
fn forms(block: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![block.to_vec()];
    for compression in COMPRESSIONS {
        let mut packed = Vec::new();
        compress(block, compression, &mut packed);
        forms.push(packed);
    }
    forms
}

fn opened(bytes: &[u8]) -> Block<'_> {
    let (block, rest) = Block::open(bytes, Limits::default()).unwrap();
    assert!(rest.is_empty());
    block
}

/// Reads a block in every way there is.
fn read_everything(bytes: &[u8], limits: Limits) {
    if let Ok((block, _)) = Block::open(bytes, limits) {
        assert!(block.len() <= limits.values);
        for values in [
            block.floats().map(|v| v.len()),
            block.timestamps().map(|v| v.len()),
            block.samples().map(|v| v.values.len()),
            block.strings().map(|v| v.iter().count()),
        ] {
            assert!(values.is_err() || values == Ok(block.len()));
        }
    }
}

proptest! {
    #[test]
    fn floats_keep_every_bit(values in floats()) {
        let mut block = Vec::new();
        encode_floats(&values, &mut block);
        prop_assert!(block.len() <= values.len() * 8 + 12);
        for form in forms(&block) {
            prop_assert_eq!(bits(&opened(&form).floats().unwrap()), bits(&values));
        }
    }

    #[test]
    fn timestamps_survive_in_any_order(values in timestamps()) {
        let mut block = Vec::new();
        encode_timestamps(&values, &mut block);
        for form in forms(&block) {
            prop_assert_eq!(&opened(&form).timestamps().unwrap(), &values);
        }
    }

    #[test]
    fn samples_keep_every_bit(times in timestamps(), values in floats()) {
        let mut block = Vec::new();
        let samples: Vec<(i64, f64)> = times.into_iter().zip(values).collect();
        encode_samples(samples.iter().copied(), &mut block);
        for form in forms(&block) {
            let columns = opened(&form).samples().unwrap();
            prop_assert_eq!(&columns.timestamps, &samples.iter().map(|s| s.0).collect::<Vec<_>>());
            prop_assert_eq!(bits(&columns.values), bits(&samples.iter().map(|s| s.1).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn decimals_survive_and_other_numbers_are_left(
        times in timestamps(), whole in proptest::collection::vec(-100_000i64..100_000, 0..200), scale in 0i32..5, odd: f64,
    ) {
        let values: Vec<f64> = whole.iter().map(|whole| *whole as f64 / 10f64.powi(scale)).collect();
        let length = times.len().min(values.len());
        let columns = SampleColumns { timestamps: times[..length].to_vec(), values: values[..length].to_vec() };
        let mut block = Vec::new();
        prop_assert!(encode_decimals(&columns, &mut block));
        for form in forms(&block) {
            let read = opened(&form).samples().unwrap();
            prop_assert_eq!(&read.timestamps, &columns.timestamps);
            prop_assert_eq!(bits(&read.values), bits(&columns.values));
            for at in 0..form.len() {
                let mut damaged = form.clone();
                damaged[at] ^= 1 << (at % 8);
                read_everything(&damaged, Limits { values: 100_000, bytes: 1 << 20 });
            }
        }
        let odd = SampleColumns { timestamps: vec![0, 1], values: vec![1.5, odd / 3.0] };
        let mut block = Vec::new();
        if encode_decimals(&odd, &mut block) {
            prop_assert_eq!(bits(&opened(&block).samples().unwrap().values), bits(&odd.values));
        } else {
            prop_assert!(block.is_empty());
        }
    }

    #[test]
    fn samples_that_still_come_read_as_the_block_they_will_be(times in timestamps(), values in floats()) {
        let mut open = OpenSamples::default();
        for (t, v) in times.into_iter().zip(values) {
            open.push(t, v);
            prop_assert_eq!(open.last().map(|(t, v)| (t, v.to_bits())), Some((t, v.to_bits())));
            let mut block = Vec::new();
            open.write_to(&mut block);
            let (now, finished) = (open.columns().unwrap(), opened(&block).samples().unwrap());
            prop_assert_eq!(now.timestamps.last(), Some(&t));
            prop_assert_eq!(now.timestamps, finished.timestamps);
            prop_assert_eq!(bits(&now.values), bits(&finished.values));
        }
    }

    #[test]
    fn strings_survive(values in proptest::collection::vec("[a-c]{0,3}|\\PC{0,20}", 0..100)) {
        let mut block = Vec::new();
        encode_strings(&values, &mut block);
        for form in forms(&block) {
            let strings = opened(&form).strings().unwrap();
            let got: Vec<&[u8]> = strings.iter().collect();
            prop_assert_eq!(got, values.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes, Limits::default());
        for tag in [1, 2, 3, 4, 5, 6, 0x40, 0x41] {
            let mut tagged = vec![tag];
            tagged.extend_from_slice(&bytes);
            read_everything(&tagged, Limits { values: 10_000, bytes: 10_000 });
        }
    }

    #[test]
    fn a_damaged_block_is_read_or_refused(values in floats(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut block = Vec::new();
        encode_samples(values.iter().enumerate().map(|(t, v)| (t as i64, *v)), &mut block);
        for mut form in forms(&block) {
            let at = at.index(form.len());
            form[at] ^= flip;
            read_everything(&form, Limits { values: 100_000, bytes: 1 << 20 });
            read_everything(&form[..at], Limits { values: 100_000, bytes: 1 << 20 });
        }
    }
}

#[test]
fn a_block_that_claims_too_much_is_refused_before_memory_is_taken() {
    // A trillion values in no bytes.
    let claim = [&[0x05][..], &[0x80, 0xa0, 0x94, 0xa5, 0x8d, 0x1d], &[3, 1, 1, b'x']].concat();
    assert!(matches!(
        Block::open(&claim, Limits::default()).map(|_| ()),
        Err(Error::OverLimit { claimed: 1_000_000_000_000, what: "values", .. })
    ));
    // A terabyte out of four bytes.
    for tag in [0x40, 0x41] {
        let claim = [&[tag][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x20], &[4, 1, 2, 3, 4]].concat();
        assert!(matches!(
            Block::open(&claim, Limits::default()).map(|_| ()),
            Err(Error::OverLimit { what: "bytes", .. })
        ));
        let unlimited = Limits { values: usize::MAX, bytes: usize::MAX };
        assert!(Block::open(&claim, unlimited).is_err());
    }
}

#[test]
fn a_regular_series_takes_a_bit_for_each_sample() {
    let mut block = Vec::new();
    encode_samples((0..1000).map(|at| (1_700_000_000_000 + at * 15_000, 42.0)), &mut block);
    // The first sample, the first difference, a bit for each of the others, and the frame.
    assert!(block.len() <= 16 + 9 + 125 + 6, "{} bytes", block.len());
}

#[test]
fn numbers_without_likeness_are_kept_as_they_are() {
    let mut state = 1u64;
    let noise: Vec<f64> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from_bits(state)
    })
    .take(100)
    .collect();
    let mut block = Vec::new();
    encode_floats(&noise, &mut block);
    assert_eq!(opened(&block).content(), Content::RawFloats);
}

#[test]
fn blocks_follow_one_another() {
    let mut bytes = Vec::new();
    encode_timestamps(&[1, 2, 3], &mut bytes);
    encode_floats(&[1.0, 2.0], &mut bytes);
    let (first, rest) = Block::open(&bytes, Limits::default()).unwrap();
    let (second, rest) = Block::open(rest, Limits::default()).unwrap();
    assert_eq!(first.timestamps().unwrap(), [1, 2, 3]);
    assert_eq!(second.floats().unwrap(), [1.0, 2.0]);
    assert!(rest.is_empty());
    assert_eq!(first.floats(), Err(Error::WrongContent { held: "timestamps", wanted: "floats" }));
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let mut bytes = Vec::new();
    encode_timestamps(&[1000, 2000, 3001], &mut bytes);
    // Tag, count, length; 1000 in 64 bits; 110 and 1000 in 14 bits; 10 and 1 in 7 bits.
    let expected: Vec<u8> =
        [&[0x03, 3, 12][..], &1000u64.to_be_bytes(), &[0b1100_0001, 0b1111_0100, 0b0100_0000, 0b0100_0000]]
            .concat();
    assert_eq!(bytes, expected);
    let mut bytes = Vec::new();
    encode_samples([(0, 1.0), (10, 1.0), (20, 2.0)], &mut bytes);
    let tail = &bytes[3 + 16..];
    // 110 (late, the same), 10 and 10 in 7 bits; 10 (on time, another), a new window of 1 leading
    // zero and 11 bits, and those.
    assert_eq!(tail, [0b1101_0000, 0b1010_1010, 0b0001_0010, 0b1011_1111, 0b1111_1000]);
    let mut bytes = Vec::new();
    encode_strings(&["a", "b", "a"], &mut bytes);
    assert_eq!(bytes, [0x05, 3, 6, 2, 1, b'a', 1, b'b', 0b0100_0000]);
}
