//! Bits one behind another, the highest of a byte first.

#[derive(Debug, Default)]
pub(super) struct BitWriter {
    pub bytes: Vec<u8>,
    /// How many bits of the last byte are free.
    free: u8,
}

impl BitWriter {
    /// One that goes on behind whole bytes.
    pub fn behind(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// Writes the lowest `count` bits of a value.
    pub fn bits(&mut self, value: u64, count: u8) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1u64 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part as u8) << (self.free - taken);
            }
            self.free -= taken;
            left -= taken;
        }
    }

    pub fn float(&mut self, value: f64) {
        self.bits(value.to_bits(), 64);
    }

    /// A number in groups of seven bits, the lowest first.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bits(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.bits(value, 8);
    }

    /// The same of a number that may be negative.
    pub fn signed_varint(&mut self, value: i64) {
        self.varint((value << 1 ^ value >> 63) as u64);
    }

    /// A number whose first bits say how many follow: fewer for smaller ones.
    pub fn varbit(&mut self, value: i64) {
        let fits = |bits: u8| {
            let half = 1i64 << (bits - 1);
            -(half - 1) <= value && value <= half
        };
        let count = [3u8, 6, 9, 12, 18, 25, 56].into_iter().enumerate().find(|(_, bits)| fits(*bits));
        match count {
            _ if value == 0 => self.bits(0, 1),
            Some((at, bits)) => {
                self.ones(at as u8 + 1);
                self.bits(value as u64, bits);
            }
            None => {
                self.bits(0xff, 8);
                self.bits(value as u64, 64);
            }
        }
    }

    /// The same of a number that is not negative.
    pub fn unsigned_varbit(&mut self, value: u64) {
        let fits = |bits: u8| value.leading_zeros() >= u32::from(64 - bits);
        let count = [3u8, 6, 9, 12, 18, 25, 56].into_iter().enumerate().find(|(_, bits)| fits(*bits));
        match count {
            _ if value == 0 => self.bits(0, 1),
            Some((at, bits)) => {
                self.ones(at as u8 + 1);
                self.bits(value, bits);
            }
            None => {
                self.bits(0xff, 8);
                self.bits(value, 64);
            }
        }
    }

    /// So many ones and a zero.
    fn ones(&mut self, count: u8) {
        self.bits((1 << (count + 1)) - 2, count + 1);
    }
}
