//! Which places the entries of a list have taken.
//!
//! Cost: nothing but a number per fragment while entries come where slots are free one after the other, as
//! those of a new list do; else a bit per slot, 1.25 MB for ten million URLs.

use super::layout::Place;

const WORD_BITS: u32 = u64::BITS;

/// The places.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    fragments: Vec<Slots>,
}

impl Seen {
    /// Whether an entry of the list has this place.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.fragments.get(place.fragment as usize).is_some_and(|slots| slots.has(place.slot))
    }

    /// An entry of the list was put here.
    pub(crate) fn note(&mut self, place: Place) {
        let fragment = place.fragment as usize;
        if self.fragments.len() <= fragment {
            self.fragments.resize_with(fragment + 1, Slots::default);
        }
        self.fragments[fragment].add(place.slot);
    }

    /// What was here has gone.
    pub(crate) fn forget(&mut self, place: Option<Place>) {
        if let Some(place) = place
            && let Some(slots) = self.fragments.get_mut(place.fragment as usize)
        {
            slots.remove(place.slot);
        }
    }
}

/// Slots of a fragment.
#[derive(Debug, Default)]
struct Slots {
    /// Every slot before this one is in.
    before: u32,
    /// Bits of the others.
    after: Vec<u64>,
}

impl Slots {
    fn has(&self, slot: u32) -> bool {
        let word = self.after.get((slot / WORD_BITS) as usize);
        slot < self.before || word.is_some_and(|word| word >> (slot % WORD_BITS) & 1 == 1)
    }

    fn add(&mut self, slot: u32) {
        if slot > self.before {
            return self.set(slot);
        }
        self.before = self.before.max(slot + 1);
        while self.has(self.before) {
            self.unset(self.before);
            self.before += 1;
        }
        if self.after.iter().all(|word| *word == 0) {
            self.after = Vec::new();
        }
    }

    fn remove(&mut self, slot: u32) {
        if slot < self.before {
            let before = std::mem::replace(&mut self.before, slot);
            (slot + 1..before).for_each(|slot| self.set(slot));
        } else {
            self.unset(slot);
        }
    }

    fn set(&mut self, slot: u32) {
        let word = (slot / WORD_BITS) as usize;
        if self.after.len() <= word {
            self.after.resize(word + 1, 0);
        }
        self.after[word] |= 1 << (slot % WORD_BITS);
    }

    fn unset(&mut self, slot: u32) {
        if let Some(word) = self.after.get_mut((slot / WORD_BITS) as usize) {
            *word &= !(1 << (slot % WORD_BITS));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_is_seen_from_when_it_is_taken_until_it_is_free(
            changes in proptest::collection::vec((any::<bool>(), 0u32..3, 0u32..150), 0..400),
        ) {
            let place = |fragment, slot| Place { fragment, slot, xml_bytes: 1, news: false, crc: 0 };
            let (mut seen, mut expected) = (Seen::default(), BTreeSet::new());
            for (takes, fragment, slot) in changes {
                if takes {
                    seen.note(place(fragment, slot));
                    expected.insert((fragment, slot));
                } else {
                    seen.forget(Some(place(fragment, slot)));
                    expected.remove(&(fragment, slot));
                }
                for fragment in 0..3 {
                    for slot in 0..200 {
                        prop_assert_eq!(seen.has(place(fragment, slot)), expected.contains(&(fragment, slot)));
                    }
                }
            }
        }
    }

    #[test]
    fn slots_in_a_row_take_no_room() {
        let place = |slot| Place { fragment: 0, slot, xml_bytes: 1, news: false, crc: 0 };
        let mut seen = Seen::default();
        // Those of one batch may come in any order.
        for first in (0..50_000).step_by(1000) {
            (first..first + 1000).rev().for_each(|slot| seen.note(place(slot)));
        }
        assert!(seen.fragments[0].after.is_empty() && seen.has(place(49_999)) && !seen.has(place(50_000)));
        seen.forget(None);
        seen.forget(Some(Place { fragment: 9, ..place(9) }));
    }
}
