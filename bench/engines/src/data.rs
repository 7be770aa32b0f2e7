//! Keys and values that every engine gets alike, and the distributions they are drawn from.

/// SplitMix64: a bijection of 64 bits, and a generator when it is fed a counter.
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a number: its mixed bits, so that ascending numbers are random keys.
pub fn key(number: u64, bytes: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(bytes + 8);
    let mut word = number;
    while key.len() < bytes {
        word = mix(word);
        key.extend_from_slice(&word.to_be_bytes());
    }
    key.truncate(bytes);
    key
}

/// A value that says whose it is in its first 8 bytes; the rest is random, or half zeros.
pub fn value(number: u64, bytes: usize, compressible: bool) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 8);
    value.extend_from_slice(&mix(number).to_be_bytes());
    let random = if compressible { bytes / 2 } else { bytes };
    let mut word = number ^ 0x5555;
    while value.len() < random {
        word = mix(word);
        value.extend_from_slice(&word.to_le_bytes());
    }
    value.resize(bytes, 0);
    value
}

/// Whether a value belongs to a number's key.
pub fn belongs(value: &[u8], number: u64) -> bool {
    value.get(..8) == Some(mix(number).to_be_bytes().as_slice())
}

/// A generator of numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Zipf's distribution with exponent 0.99 as YCSB draws it (Gray and others, 1994).
pub struct Zipf {
    count: u64,
    zeta: f64,
    eta: f64,
    alpha: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    pub fn new(count: u64) -> Self {
        let sum = |to: u64| -> f64 { (1..=to).map(|rank| (rank as f64).powf(-THETA)).sum() };
        // The tail as an integral, which is exact enough and does not take seconds.
        let exact = count.min(100_000);
        let tail =
            ((count as f64 + 0.5).powf(1.0 - THETA) - (exact as f64 + 0.5).powf(1.0 - THETA)) / (1.0 - THETA);
        let zeta = sum(exact) + tail;
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - sum(2) / zeta);
        Self { count, zeta, eta, alpha: 1.0 / (1.0 - THETA) }
    }

    /// A rank: 0 is drawn most often.
    pub fn rank(&self, random: &mut Random) -> u64 {
        let drawn = random.unit();
        let scaled = drawn * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(THETA) {
            return 1;
        }
        let rank = self.count as f64 * (self.eta * drawn - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ranks_of_zipf_come_as_often_as_the_law_says() {
        let (zipf, mut random) = (Zipf::new(1000), Random::new(1));
        let mut seen = [0u32; 1000];
        let draws = 1_000_000;
        (0..draws).for_each(|_| seen[zipf.rank(&mut random) as usize] += 1);
        let zeta: f64 = (1..=1000).map(|rank| f64::from(rank).powf(-THETA)).sum();
        for rank in [0usize, 1] {
            let expected = (rank as f64 + 1.0).powf(-THETA) / zeta;
            let found = f64::from(seen[rank]) / f64::from(draws);
            assert!((found / expected - 1.0).abs() < 0.02, "rank {rank}: {found} instead of {expected}");
        }
        assert!(seen[999] > 0);
    }

    #[test]
    fn keys_differ_and_values_know_whose_they_are() {
        let keys: std::collections::HashSet<_> = (0..10_000).map(|number| key(number, 24)).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(belongs(&value(7, 100, true), 7) && !belongs(&value(7, 100, false), 8));
    }
}
