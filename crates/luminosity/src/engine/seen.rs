//! Which places the entries of a list have taken: a bit per slot, 1.25 MB for ten million URLs.

use super::layout::Place;

const WORD_BITS: u32 = u64::BITS;
/// Slots that a full fragment has.
const SLOTS_USUAL: usize = 50_000;

/// The places.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Bits by slot, by fragment.
    fragments: Vec<Vec<u64>>,
}

impl Seen {
    /// Whether an entry of the list has this place.
    pub(crate) fn has(&self, place: Place) -> bool {
        let word = self.fragments.get(place.fragment as usize);
        let word = word.and_then(|words| words.get((place.slot / WORD_BITS) as usize));
        word.is_some_and(|word| word >> (place.slot % WORD_BITS) & 1 == 1)
    }

    /// An entry of the list was put here.
    pub(crate) fn note(&mut self, place: Place) {
        let (fragment, word) = (place.fragment as usize, (place.slot / WORD_BITS) as usize);
        if self.fragments.len() <= fragment {
            self.fragments.resize_with(fragment + 1, Vec::new);
        }
        let words = &mut self.fragments[fragment];
        if words.len() <= word {
            // Room for a whole fragment at once: growing by doubling would take half as much again.
            words.reserve_exact((word + 1).max(SLOTS_USUAL / WORD_BITS as usize + 1) - words.len());
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << (place.slot % WORD_BITS);
    }

    /// What was here has gone.
    pub(crate) fn forget(&mut self, place: Option<Place>) {
        if let Some(place) = place.filter(|place| self.has(*place)) {
            let word = &mut self.fragments[place.fragment as usize][(place.slot / WORD_BITS) as usize];
            *word &= !(1 << (place.slot % WORD_BITS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_seen_from_when_it_is_taken_until_it_is_free() {
        let place = |fragment, slot| Place { fragment, slot, xml_bytes: 1, news: false, crc: 0 };
        let mut seen = Seen::default();
        assert!(!seen.has(place(3, 200)));
        seen.note(place(3, 200));
        seen.note(place(3, 201));
        seen.note(place(0, 0));
        seen.forget(Some(place(3, 201)));
        seen.forget(Some(place(9, 9)));
        seen.forget(None);
        let found: Vec<_> = (0..4u32)
            .flat_map(|fragment| (0..300u32).map(move |slot| (fragment, slot)))
            .filter(|(fragment, slot)| seen.has(place(*fragment, *slot)))
            .collect();
        assert_eq!(found, [(0, 0), (3, 200)]);
    }
}
