//! Protocol Buffers: reading messages field by field out of borrowed bytes, and writing them.
//!
//! Reading allocates nothing and trusts no length: what is longer than its bytes is an error.

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a field is cut off")]
    /// A field is cut off.
    Cut,
    #[error("a number is longer than 64 bits")]
    /// A number is longer than 64 bits.
    LongNumber,
    #[error("field {0} has a kind that it can't have")]
    /// A field has a kind that it can't have.
    Kind(u32),
    #[error("a field has the number 0 or a kind that does not exist")]
    /// A field has the number 0 or a kind that does not exist.
    NoField,
    #[error("field {0} is not UTF-8")]
    /// A field is not UTF-8.
    Text(u32),
    #[error("it is one of remote write {is}, but the Content-Type says {said}")]
    /// A message of another version of remote write.
    Version {
        /// Which it is.
        is: &'static str,
        /// Which it should be.
        said: &'static str,
    },
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Of variable length.
    Varint(u64),
    /// Of eight bytes.
    Fixed64(u64),
    /// Of four bytes.
    Fixed32(u32),
    /// Bytes, a text or a message.
    Bytes(&'a [u8]),
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// Its bytes.
    ///
    /// # Errors
    /// When it holds something else; so for all of these.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Kind(self.number)),
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// When it is no UTF-8.
    #[inline]
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Text(self.number))
    }

    /// A number of variable length.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn unsigned(self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WireError::Kind(self.number)),
        }
    }

    /// The same, signed.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn signed(self) -> Result<i64, WireError> {
        self.unsigned().map(|value| value as i64)
    }

    /// The same, its sign last.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn zigzag(self) -> Result<i64, WireError> {
        self.unsigned().map(unzigzag)
    }

    /// A number of eight bytes.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn fixed64(self) -> Result<u64, WireError> {
        match self.value {
            Value::Fixed64(bits) => Ok(bits),
            _ => Err(WireError::Kind(self.number)),
        }
    }

    /// A number of double precision.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn double(self) -> Result<f64, WireError> {
        self.fixed64().map(f64::from_bits)
    }

    /// Calls `f` with each number of a repeated field, packed or not.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn each_varint(self, mut f: impl FnMut(u64)) -> Result<(), WireError> {
        match self.value {
            Value::Varint(value) => f(value),
            Value::Bytes(bytes) => {
                let mut reader = Reader::new(bytes);
                while !reader.rest.is_empty() {
                    f(reader.varint()?);
                }
            }
            _ => return Err(WireError::Kind(self.number)),
        }
        Ok(())
    }

    /// Calls `f` with each number of eight bytes of a repeated field, packed or not.
    ///
    /// # Errors
    /// When it holds something else.
    #[inline]
    pub fn each_fixed64(self, mut f: impl FnMut(u64)) -> Result<(), WireError> {
        match self.value {
            Value::Fixed64(bits) => f(bits),
            Value::Bytes(bytes) => {
                let (numbers, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError::Cut);
                }
                for number in numbers {
                    f(u64::from_le_bytes(*number));
                }
            }
            _ => return Err(WireError::Kind(self.number)),
        }
        Ok(())
    }
}

/// The signed number that was written with its sign last.
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads the fields of a message in their order.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of a message.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field, `None` at the end.
    ///
    /// # Errors
    /// When what follows is no field.
    #[allow(clippy::should_implement_trait)] // It can fail, and borrows from the message.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::NoField)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Cut)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(WireError::Cut)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::NoField),
        };
        if number == 0 {
            return Err(WireError::NoField);
        }
        Ok(Some(Field { number, value }))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Cut)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(WireError::Cut)?;
        if *first < 0x80 {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            if at == 9 && *byte > 1 {
                return Err(WireError::LongNumber);
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { WireError::Cut } else { WireError::LongNumber })
    }
}

/// Writes the fields of a message. What is zero or empty is left out, as it is when it is not there.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A number of variable length, without a field's number.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, number: u32, kind: u64) {
        self.varint(u64::from(number) << 3 | kind);
    }

    /// A number of variable length.
    #[inline]
    pub fn unsigned(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.present_unsigned(number, value);
        }
    }

    /// A number that is written even if it is zero.
    #[inline]
    pub fn present_unsigned(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.varint(value);
    }

    /// A number of eight bytes, written even if it is zero.
    #[inline]
    pub fn present_fixed64(&mut self, number: u32, bits: u64) {
        self.tag(number, 1);
        self.0.extend_from_slice(&bits.to_le_bytes());
    }

    /// The same, signed.
    #[inline]
    pub fn signed(&mut self, number: u32, value: i64) {
        self.unsigned(number, value as u64);
    }

    /// The same, its sign last.
    #[inline]
    pub fn zigzag(&mut self, number: u32, value: i64) {
        self.unsigned(number, (value << 1 ^ value >> 63) as u64);
    }

    /// A number of double precision.
    #[inline]
    pub fn double(&mut self, number: u32, value: f64) {
        if value.to_bits() != 0 {
            self.present_double(number, value);
        }
    }

    /// A number that is written even if it is zero: which of several fields is there says something.
    #[inline]
    pub fn present_double(&mut self, number: u32, value: f64) {
        self.present_fixed64(number, value.to_bits());
    }

    /// Several of them in one field.
    #[inline]
    pub fn doubles(&mut self, number: u32, values: impl ExactSizeIterator<Item = f64>) {
        if values.len() == 0 {
            return;
        }
        self.tag(number, 2);
        self.varint(values.len() as u64 * 8);
        for value in values {
            self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }

    /// Bytes, written even if there are none.
    #[inline]
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text.
    #[inline]
    pub fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A message within this one.
    #[inline]
    pub fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Other {
        #[prost(uint64, tag = "1")]
        unsigned: u64,
        #[prost(sint64, tag = "2")]
        zigzag: i64,
        #[prost(double, tag = "3")]
        double: f64,
        #[prost(string, tag = "4")]
        text: String,
        #[prost(double, repeated, tag = "5")]
        doubles: Vec<f64>,
        #[prost(sint64, repeated, tag = "6")]
        zigzags: Vec<i64>,
        #[prost(int64, tag = "700")]
        signed: i64,
        #[prost(message, optional, tag = "8")]
        inner: Option<Box<Other>>,
        #[prost(fixed32, tag = "9")]
        short: u32,
    }

    fn read(message: &[u8]) -> Result<Other, WireError> {
        let mut out = Other::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => out.unsigned = field.unsigned()?,
                2 => out.zigzag = field.zigzag()?,
                3 => out.double = field.double()?,
                4 => field.text()?.clone_into(&mut out.text),
                5 => field.each_fixed64(|bits| out.doubles.push(f64::from_bits(bits)))?,
                6 => field.each_varint(|value| out.zigzags.push(unzigzag(value)))?,
                700 => out.signed = field.signed()?,
                8 => out.inner = Some(Box::new(read(field.bytes()?)?)),
                9 => match field.value {
                    Value::Fixed32(short) => out.short = short,
                    _ => return Err(WireError::Kind(9)),
                },
                _ => {}
            }
        }
        Ok(out)
    }

    fn written(other: &Other, writer: &mut Writer) {
        writer.unsigned(1, other.unsigned);
        writer.zigzag(2, other.zigzag);
        writer.double(3, other.double);
        writer.text(4, &other.text);
        writer.doubles(5, other.doubles.iter().copied());
        for value in &other.zigzags {
            writer.tag(6, 0);
            writer.varint((value << 1 ^ value >> 63) as u64);
        }
        writer.signed(700, other.signed);
        if let Some(inner) = &other.inner {
            writer.message(8, |writer| written(inner, writer));
        }
    }

    fn other() -> impl Strategy<Value = Other> {
        let leaf = (any::<u64>(), any::<i64>(), -1e9f64..1e9, ".*", any::<i64>(), any::<u32>())
            .prop_flat_map(|(unsigned, zigzag, double, text, signed, short)| {
                let lists = (proptest::collection::vec(-1e9f64..1e9, 0..5), any::<Vec<i64>>());
                lists.prop_map(move |(doubles, zigzags)| Other {
                    unsigned,
                    zigzag,
                    double,
                    text: text.clone(),
                    doubles,
                    zigzags,
                    signed,
                    inner: None,
                    short,
                })
            });
        (leaf.clone(), proptest::option::of(leaf))
            .prop_map(|(outer, inner)| Other { inner: inner.map(Box::new), ..outer })
    }

    proptest! {
        #[test]
        fn what_another_library_writes_is_read(message in other()) {
            prop_assert_eq!(read(&message.encode_to_vec()), Ok(message));
        }

        #[test]
        fn what_is_written_another_library_reads(message in other()) {
            let message = Other { short: 0, inner: None, ..message };
            let mut writer = Writer::default();
            written(&message, &mut writer);
            prop_assert_eq!(Other::decode(&writer.0[..]).unwrap(), message);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_message_cut_off_is_refused_or_a_shorter_one(message in other(), at: prop::sample::Index) {
            let bytes = message.encode_to_vec();
            let cut = &bytes[..at.index(bytes.len() + 1)];
            prop_assert_eq!(read(cut).is_ok(), Other::decode(cut).is_ok());
        }
    }
}
