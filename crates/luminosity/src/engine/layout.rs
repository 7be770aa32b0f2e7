//! Where things lie in the store, as bytes. Numbers in keys are big-endian, so that they sort.
//!
//! ```text
//! urls     key of a URL                    → fragment u32, slot u32, XML bytes u32 (top bit: has news), CRC of the record u32
//! entries  fragment u32, slot u32          → record
//! blocks   fragment u32, block u32         → version u64, changed i64, bytes u64, count u32, listed u32, news u32, namespaces u8
//! sourced  key of a URL                    → nothing; the URL came from a source
//! settings "settings"                      → JSON
//! ```
//!
//! A block is [`BLOCK_SLOTS`] slots of one fragment; it is what is rendered and compressed anew after a
//! change. `count` entries are in it, `listed` of them appear in the sitemap with `bytes` bytes of XML.

/// Slots of a block: small enough that one is rendered and compressed within a millisecond, large enough
/// that compression hardly suffers.
pub(crate) const BLOCK_SLOTS: u32 = 512;

/// Where an entry lies, and what is known of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) fragment: u32,
    pub(crate) slot: u32,
    pub(crate) xml_bytes: u32,
    /// Whether it is listed with news, of which a fragment holds few.
    pub(crate) news: bool,
    pub(crate) crc: u32,
}

const NEWS_BIT: u32 = 1 << 31;

impl Place {
    pub(crate) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.fragment.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.slot.to_be_bytes());
        let news = if self.news { NEWS_BIT } else { 0 };
        bytes[8..12].copy_from_slice(&(self.xml_bytes | news).to_be_bytes());
        bytes[12..].copy_from_slice(&self.crc.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (fragment, rest) = number(bytes)?;
        let (slot, rest) = number(rest)?;
        let (xml_bytes, rest) = number(rest)?;
        let (crc, _) = number(rest)?;
        let news = xml_bytes & NEWS_BIT != 0;
        Some(Self { fragment, slot, xml_bytes: xml_bytes & !NEWS_BIT, news, crc })
    }

    pub(crate) fn key(self) -> [u8; 8] {
        pair(self.fragment, self.slot)
    }

    pub(crate) fn block(self) -> u32 {
        self.slot / BLOCK_SLOTS
    }
}

/// Two numbers as a key that sorts.
pub(crate) fn pair(first: u32, second: u32) -> [u8; 8] {
    ((u64::from(first) << 32) | u64::from(second)).to_be_bytes()
}

/// The two numbers of a key.
pub(crate) fn unpair(key: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = number(key)?;
    let (second, rest) = number(rest)?;
    rest.is_empty().then_some((first, second))
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// What is known of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Grows with every change and is never given twice, not even after a crash.
    pub(crate) version: u64,
    /// When it changed last: milliseconds since 1970.
    pub(crate) changed: i64,
    pub(crate) bytes: u64,
    pub(crate) count: u32,
    pub(crate) listed: u32,
    pub(crate) news: u32,
    pub(crate) namespaces: u8,
}

impl Block {
    pub(crate) fn encode(&self) -> [u8; 37] {
        let mut bytes = [0; 37];
        bytes[..8].copy_from_slice(&self.version.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.changed.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.count.to_be_bytes());
        bytes[28..32].copy_from_slice(&self.listed.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.news.to_be_bytes());
        bytes[36] = self.namespaces;
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<8>()?;
        let (changed, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = number(rest)?;
        let (listed, rest) = number(rest)?;
        let (news, rest) = number(rest)?;
        let [namespaces] = rest else { return None };
        Some(Self {
            version: u64::from_be_bytes(*version),
            changed: i64::from_be_bytes(*changed),
            bytes: u64::from_be_bytes(*size),
            count,
            listed,
            news,
            namespaces: *namespaces,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_else() {
        let place = Place { fragment: 1, slot: 513, xml_bytes: 9, news: true, crc: u32::MAX };
        assert_eq!(Place::decode(&place.encode()), Some(place));
        assert_eq!(place.block(), 1);
        let block = Block { version: 7, changed: -1, bytes: 3, count: 2, listed: 1, news: 1, namespaces: 8 };
        assert_eq!(Block::decode(&block.encode()), Some(block));
        assert!((0..37).all(|length| Block::decode(&block.encode()[..length]).is_none()));
        assert!((0..16).all(|length| Place::decode(&place.encode()[..length]).is_none()));
        assert_eq!(unpair(&pair(3, 4)), Some((3, 4)));
        assert!(pair(1, u32::MAX) < pair(2, 0));
    }
}
