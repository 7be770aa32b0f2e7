//! The series that have a label value: one, as unique values have, or a bitmap.

use roaring::RoaringBitmap;

#[derive(Debug)]
pub(super) enum Postings {
    One(u32),
    Many(Box<RoaringBitmap>),
}

impl Postings {
    pub fn insert(&mut self, id: u32) {
        match self {
            Self::One(first) if *first == id => {}
            Self::One(first) => *self = Self::Many(Box::new(RoaringBitmap::from_iter([*first, id]))),
            Self::Many(bitmap) => {
                bitmap.insert(id);
            }
        }
    }

    /// Removes one; whether none is left.
    pub fn remove(&mut self, id: u32) -> bool {
        match self {
            Self::One(only) => *only == id,
            Self::Many(bitmap) => {
                bitmap.remove(id);
                bitmap.is_empty()
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many(bitmap) => bitmap.len(),
        }
    }

    /// Adds the series to a set.
    pub fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Self::One(id) => {
                set.insert(*id);
            }
            Self::Many(bitmap) => *set |= bitmap.as_ref(),
        }
    }

    /// Whether a set has one of the series.
    pub fn meets(&self, set: &RoaringBitmap) -> bool {
        match self {
            Self::One(id) => set.contains(*id),
            Self::Many(bitmap) => !bitmap.is_disjoint(set),
        }
    }
}
