//! The bytes of a group of series that sleep (`FORMAT.md`).

use std::collections::BTreeSet;

use luma_codec::varint;
use roaring::RoaringBitmap;

use super::{Member, Tired};
use crate::batch::metric_of;

const VERSION: u8 = 1;
/// Metrics that a header names, at most.
const METRICS_MAX: usize = 16;
/// Bytes that a group may unpack to; labels have a bound, too.
const UNPACKED_MAX: usize = 256 << 20;
const LEVEL: i32 = 1;

/// What is known of a group without looking at its members.
#[derive(Debug)]
pub(super) struct Header {
    pub times: (i64, i64),
    pub metrics: Option<Box<[Box<str>]>>,
    pub asleep: RoaringBitmap,
}

impl Header {
    pub fn of(members: &[Tired]) -> Self {
        let metrics: BTreeSet<Box<str>> =
            members.iter().map(|member| Box::from(metric_of(&member.key))).collect();
        let first = members.iter().map(|member| member.times.0).min();
        let last = members.iter().map(|member| member.times.1).max();
        Self {
            times: (first.unwrap_or(i64::MAX), last.unwrap_or(i64::MIN)),
            metrics: (metrics.len() <= METRICS_MAX).then(|| metrics.into_iter().collect()),
            asleep: members.iter().map(|member| member.reference).collect(),
        }
    }

    /// The value of a group with these members.
    pub fn encode(&self, members: &[Tired]) -> Vec<u8> {
        let mut plain = Vec::new();
        for member in members {
            varint::write(u64::from(member.reference), &mut plain);
            plain.extend_from_slice(&member.times.0.to_le_bytes());
            plain.extend_from_slice(&member.times.1.to_le_bytes());
            varint::write(member.key.len() as u64, &mut plain);
            plain.extend_from_slice(&member.key);
        }
        let mut value = self.head();
        varint::write(plain.len() as u64, &mut value);
        // What does not get shorter stays as it is.
        let packed = zstd::bulk::compress(&plain, LEVEL).ok().filter(|packed| packed.len() < plain.len());
        value.extend(packed.unwrap_or(plain));
        value
    }

    fn head(&self) -> Vec<u8> {
        let mut head = vec![VERSION];
        head.extend_from_slice(&self.times.0.to_le_bytes());
        head.extend_from_slice(&self.times.1.to_le_bytes());
        // One more than there are, so that 0 is many.
        varint::write(self.metrics.as_ref().map_or(0, |metrics| metrics.len() as u64 + 1), &mut head);
        for metric in self.metrics.iter().flatten() {
            varint::write(metric.len() as u64, &mut head);
            head.extend_from_slice(metric.as_bytes());
        }
        varint::write(self.asleep.serialized_size() as u64, &mut head);
        // Writing to memory does not fail.
        let _ = self.asleep.serialize_into(&mut head);
        head
    }

    /// The value of a group of whose members others sleep.
    pub fn with_asleep(value: &[u8], asleep: &RoaringBitmap) -> Option<Vec<u8>> {
        let (header, rest) = Self::decode(value)?;
        let mut changed = Self { asleep: asleep.clone(), ..header }.head();
        changed.extend_from_slice(rest);
        Some(changed)
    }

    /// A header and what is behind it.
    pub fn decode(value: &[u8]) -> Option<(Self, &[u8])> {
        let (&VERSION, rest) = value.split_first()? else { return None };
        let (first, rest) = rest.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let (count, mut rest) = varint::read(rest).ok()?;
        let mut metrics = Vec::new();
        for _ in 1..count.min(METRICS_MAX as u64 + 1) {
            let text = taken(&mut rest)?;
            metrics.push(Box::from(std::str::from_utf8(text).ok()?));
        }
        let asleep = RoaringBitmap::deserialize_from(taken(&mut rest)?).ok()?;
        let times = (i64::from_le_bytes(*first), i64::from_le_bytes(*last));
        let metrics = (count > 0).then(|| metrics.into_boxed_slice());
        Some((Self { times, metrics, asleep }, rest))
    }
}

/// The members behind a header, unpacked.
pub(super) fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let (length, packed) = varint::read(packed).ok()?;
    let length = usize::try_from(length).ok().filter(|length| *length <= UNPACKED_MAX)?;
    if packed.len() == length {
        return Some(packed.to_vec());
    }
    zstd::bulk::decompress(packed, length).ok().filter(|plain| plain.len() == length)
}

/// Hands each member to `f`; `None` if they are damaged.
pub(super) fn each_member<'g>(mut rest: &'g [u8], mut f: impl FnMut(Member<'g>)) -> Option<()> {
    while !rest.is_empty() {
        let (reference, behind) = varint::read(rest).ok()?;
        let (first, behind) = behind.split_first_chunk()?;
        let (last, behind) = behind.split_first_chunk()?;
        rest = behind;
        let key = taken(&mut rest)?;
        let times = (i64::from_le_bytes(*first), i64::from_le_bytes(*last));
        f(Member { reference: u32::try_from(reference).ok()?, times, key });
    }
    Some(())
}

/// So many bytes as a number in front of them says.
fn taken<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, behind) = varint::read(rest).ok()?;
    let (taken, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use luma_promql::METRIC_NAME;

    fn member(reference: u32, metric: &str) -> Tired {
        let mut key = Vec::new();
        for text in [METRIC_NAME, metric, "job", "j"] {
            varint::write(text.len() as u64, &mut key);
            key.extend_from_slice(text.as_bytes());
        }
        Tired { reference, key, times: (-i64::from(reference), i64::MAX), newest: None }
    }

    #[test]
    fn a_group_comes_back_and_a_damaged_one_is_refused() {
        for count in [1, 16, 40] {
            let members: Vec<_> = (0..count).map(|at| member(at * 7, &format!("m{at}"))).collect();
            let header = Header::of(&members);
            let value = header.encode(&members);
            let (read, rest) = Header::decode(&value).unwrap();
            assert_eq!((read.times, &read.asleep), ((-i64::from(count - 1) * 7, i64::MAX), &header.asleep));
            assert_eq!(read.metrics.map(|metrics| metrics.len()), (count <= 16).then_some(count as usize));
            let plain = unpacked(rest).unwrap();
            let mut found = Vec::new();
            each_member(&plain, |member| found.push((member.reference, member.times, member.key.to_vec())))
                .unwrap();
            let expected: Vec<_> = members.iter().map(|m| (m.reference, m.times, m.key.clone())).collect();
            assert_eq!(found, expected);
            let changed = Header::with_asleep(&value, &[7].into()).unwrap();
            let (read, rest) = Header::decode(&changed).unwrap();
            assert_eq!((read.asleep, unpacked(rest).unwrap()), ([7].into(), plain));
            for length in 0..value.len() {
                let cut = Header::decode(&value[..length]).and_then(|(_, rest)| unpacked(rest));
                assert!(cut.is_none_or(|plain| each_member(&plain, |_| ()).is_none()), "{length}");
            }
        }
    }
}
