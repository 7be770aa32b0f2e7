//! Columns of row groups that were unpacked, kept in memory under a bound.
//!
//! A scan reads more than fits as often as not, and what was used last is then what is wanted last. So a newcomer takes the place of
//! another only if it was wanted more often (as TinyLFU does it: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient
//! Cache Admission Policy", 2017); counts are halved as time goes by, and what is kept is what is read most.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::packed::Packed;

/// A column of a row group of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    pub file: u64,
    pub group: u32,
    pub column: u16,
}

/// A part's rows, some thousand in each piece.
pub(crate) type Pieces = Arc<[Packed]>;

/// How many parts are counted for each that is kept; then all counts are halved.
const COUNTED: usize = 8;
/// The fewest that are counted.
const COUNTED_MIN: usize = 4096;
/// Kept parts of which the one wanted least gives way.
const SAMPLE: usize = 8;

#[derive(Debug)]
struct Kept {
    pieces: Pieces,
    bytes: usize,
    /// Where it is in the order.
    place: usize,
}

#[derive(Debug, Default)]
struct State {
    kept: HashMap<Part, Kept>,
    /// The same parts in any order, to choose some from.
    order: Vec<Part>,
    bytes: usize,
    wanted: HashMap<Part, u32>,
    /// Where the next sample begins.
    hand: usize,
}

/// Unpacked columns of all tables.
#[derive(Debug)]
pub(crate) struct ColumnCache {
    bytes_max: usize,
    state: Mutex<State>,
}

impl ColumnCache {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// What is kept of these parts, and whether those that are not should be: `bytes` is what each of them would take, about.
    pub fn look_up(&self, parts: &[Part], bytes: usize) -> (Vec<Option<Pieces>>, bool) {
        let mut state = self.state.lock();
        let mut found = Vec::with_capacity(parts.len());
        let mut missing = 0;
        for part in parts {
            state.count(*part);
            let pieces = state.kept.get(part).map(|kept| Arc::clone(&kept.pieces));
            missing += usize::from(pieces.is_none());
            found.push(pieces);
        }
        let free = self.bytes_max.saturating_sub(state.bytes);
        let keep = missing == 0
            || missing.saturating_mul(bytes) <= free
            || (missing.saturating_mul(bytes) <= self.bytes_max / 2
                && parts
                    .iter()
                    .zip(&found)
                    .filter(|(_, found)| found.is_none())
                    .all(|(part, _)| state.is_welcome(*part)));
        (found, keep)
    }

    /// Keeps a part, if that needs no other to go that is wanted as much.
    pub fn keep(&self, part: Part, pieces: &Pieces) {
        let bytes = pieces.iter().map(Packed::bytes).sum::<usize>();
        let mut state = self.state.lock();
        if bytes > self.bytes_max || state.kept.contains_key(&part) {
            return;
        }
        while state.bytes + bytes > self.bytes_max {
            match state.least_wanted() {
                Some((victim, count)) if count < state.count_of(part) => state.remove(victim),
                _ => return,
            }
        }
        state.bytes += bytes;
        let place = state.order.len();
        state.order.push(part);
        state.kept.insert(part, Kept { pieces: Arc::clone(pieces), bytes, place });
    }

    /// Forgets a file that is gone.
    pub fn forget(&self, file: u64) {
        let mut state = self.state.lock();
        let gone: Vec<Part> = state.order.iter().filter(|part| part.file == file).copied().collect();
        for part in gone {
            state.remove(part);
        }
        state.wanted.retain(|part, _| part.file != file);
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl State {
    fn count(&mut self, part: Part) {
        if self.wanted.len() >= COUNTED_MIN.max(self.kept.len() * COUNTED) && !self.wanted.contains_key(&part)
        {
            self.wanted.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        let count = self.wanted.entry(part).or_default();
        *count = count.saturating_add(1);
    }

    fn count_of(&self, part: Part) -> u32 {
        self.wanted.get(&part).copied().unwrap_or(0)
    }

    /// Whether some that is kept is wanted less.
    fn is_welcome(&mut self, part: Part) -> bool {
        let count = self.count_of(part);
        self.least_wanted().is_some_and(|(_, least)| least < count)
    }

    /// Of the next parts in order the one that is wanted least.
    fn least_wanted(&mut self) -> Option<(Part, u32)> {
        let length = self.order.len();
        let hand = self.hand;
        self.hand = hand.wrapping_add(SAMPLE);
        (0..SAMPLE.min(length))
            .filter_map(|step| self.order.get((hand.wrapping_add(step)) % length))
            .map(|part| (*part, self.count_of(*part)))
            .min_by_key(|(_, count)| *count)
    }

    fn remove(&mut self, part: Part) {
        let Some(Kept { bytes, place, .. }) = self.kept.remove(&part) else { return };
        self.bytes -= bytes;
        self.order.swap_remove(place);
        if let Some(moved) = self.order.get(place).and_then(|moved| self.kept.get_mut(moved)) {
            moved.place = place;
        }
    }
}
