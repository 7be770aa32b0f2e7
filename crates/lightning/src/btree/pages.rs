//! Which pages of a tree's file are free.
//!
//! Pages that a checkpoint leaves behind may be in use by readers of older trees, and by the tree that a
//! crash would bring back. They are free once no tree older than the checkpoint is read and the
//! checkpoint is durable, which it is before the next begins.
//!
//! Invariants: free runs are apart, neither adjacent nor empty; none reaches `end`. The lowest fitting
//! run is taken, so a file that lost much gets short again. Nothing of this is stored: at a start what
//! no node uses is free.

use std::collections::BTreeMap;

/// A page.
pub(super) const PAGE_BYTES: usize = 4096;
/// The pages of the two roots.
pub(super) const FIRST_PAGE: u32 = 2;

/// Pages in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) page: u32,
    pub(super) pages: u32,
}

impl Run {
    /// The pages of so many bytes.
    pub(super) fn of(page: u32, bytes: u32) -> Self {
        Self { page, pages: bytes.div_ceil(PAGE_BYTES as u32) }
    }

    fn end(self) -> u32 {
        self.page.saturating_add(self.pages)
    }
}

/// How eagerly nodes move to free pages before them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    /// At least so many pages must be free, and one page in so many of the file.
    pub(super) free_pages_min: u32,
    pub(super) share: u32,
    /// Pages that move with one checkpoint.
    pub(super) moved_pages_max: u32,
}

/// The pages of a file.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    /// The first page after all that are used or free.
    end: u32,
    free: BTreeMap<u32, u32>,
    /// Runs that no tree from this generation on uses, oldest first.
    left: Vec<(u64, Vec<Run>)>,
}

impl Pages {
    /// The pages of a file whose nodes use these runs; `None` when two overlap.
    pub(super) fn of(mut used: Vec<Run>) -> Option<Self> {
        used.sort_unstable();
        let mut pages = Self { end: FIRST_PAGE, free: BTreeMap::new(), left: Vec::new() };
        for run in used {
            if run.page < pages.end || run.page.checked_add(run.pages).is_none() {
                return None;
            }
            if run.page > pages.end {
                pages.free.insert(pages.end, run.page - pages.end);
            }
            pages.end = run.end();
        }
        Some(pages)
    }

    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Takes pages in a row; `None` when page numbers run out.
    pub(super) fn take(&mut self, pages: u32) -> Option<Run> {
        let fitting =
            self.free.iter().find(|(_, length)| **length >= pages).map(|(page, length)| (*page, *length));
        if let Some((page, length)) = fitting {
            self.free.remove(&page);
            if length > pages {
                self.free.insert(page + pages, length - pages);
            }
            return Some(Run { page, pages });
        }
        let page = self.end;
        self.end = page.checked_add(pages)?;
        Some(Run { page, pages })
    }

    /// The page from which on nodes are to move down, so that the file can get shorter: none that would be
    /// below the end if nothing were free, and no more than the bound in all. `None` when too little is free
    /// for that, and while older trees are read, which would hold what is left.
    pub(super) fn tail(&self, sweep: Sweep) -> Option<u32> {
        let free: u32 = self.free.values().sum();
        if free < sweep.free_pages_min || free < self.end / sweep.share || !self.left.is_empty() {
            return None;
        }
        let ideal = self.end - free;
        let (mut from, mut moved) = (self.end, 0);
        for (page, length) in self.free.iter().rev() {
            let used = from - (page + length);
            if moved + used > sweep.moved_pages_max {
                break;
            }
            (from, moved) = (*page, moved + used);
        }
        let lowest = from.saturating_sub(sweep.moved_pages_max - moved);
        Some(lowest.max(ideal)).filter(|from| *from < self.end)
    }

    /// Notes what no tree from a generation on uses.
    pub(super) fn leave(&mut self, generation: u64, runs: Vec<Run>) {
        self.left.push((generation, runs));
    }

    /// Frees what was left by generations up to the oldest tree that is read.
    pub(super) fn reclaim(&mut self, oldest: u64) {
        while self.left.first().is_some_and(|(generation, _)| *generation <= oldest) {
            let (_, runs) = self.left.remove(0);
            for run in runs {
                self.give_back(run);
            }
        }
    }

    fn give_back(&mut self, run: Run) {
        let Run { mut page, mut pages } = run;
        if let Some((before, length)) = self.free.range(..page).next_back().map(|(at, length)| (*at, *length))
            && before + length == page
        {
            self.free.remove(&before);
            (page, pages) = (before, length + pages);
        }
        if let Some(after) = self.free.remove(&(page + pages)) {
            pages += after;
        }
        if page + pages == self.end {
            self.end = page;
        } else {
            self.free.insert(page, pages);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pages_are_free_again_once_no_older_tree_is_read() {
        let mut pages = Pages::of(vec![Run { page: 2, pages: 1 }, Run { page: 4, pages: 1 }]).unwrap();
        assert_eq!(pages.take(1), Some(Run { page: 3, pages: 1 }));
        assert_eq!(pages.take(2), Some(Run { page: 5, pages: 2 }));
        pages.leave(8, vec![Run { page: 2, pages: 1 }]);
        pages.reclaim(7);
        assert_eq!(pages.take(1), Some(Run { page: 7, pages: 1 }));
        pages.reclaim(8);
        assert_eq!(pages.take(1), Some(Run { page: 2, pages: 1 }));
        assert!(Pages::of(vec![Run { page: 2, pages: 2 }, Run { page: 3, pages: 1 }]).is_none());
        assert!(Pages::of(vec![Run { page: 1, pages: 1 }]).is_none());
    }

    proptest! {
        #[test]
        fn what_moves_fits_below_and_is_within_the_bound(
            used in proptest::collection::btree_set(2u32..300, 1..200),
            moved_pages_max in 1u32..40,
        ) {
            let sweep = Sweep { free_pages_min: 4, share: 4, moved_pages_max };
            let pages = Pages::of(used.iter().map(|page| Run { page: *page, pages: 1 }).collect()).unwrap();
            let free = pages.end() - FIRST_PAGE - used.len() as u32;
            let tail = pages.tail(sweep);
            prop_assert_eq!(tail.is_none(), free < 4 || free < pages.end() / 4);
            if let Some(from) = tail {
                let moved = used.range(from..).count() as u32;
                prop_assert!((1..=moved_pages_max).contains(&moved));
                let free_below = (FIRST_PAGE..from).filter(|page| !used.contains(page)).count() as u32;
                prop_assert!(free_below >= moved);
            }
            let mut read = pages;
            read.leave(1, vec![Run { page: *used.first().unwrap(), pages: 1 }]);
            prop_assert_eq!(read.tail(sweep), None);
        }

        #[test]
        fn no_page_is_given_twice_and_what_comes_back_makes_the_file_short(
            steps in proptest::collection::vec((1u32..5, any::<bool>(), any::<usize>()), 1..200),
        ) {
            let mut pages = Pages::of(Vec::new()).unwrap();
            let mut used: Vec<Run> = Vec::new();
            for (number, (length, give_back, which)) in steps.into_iter().enumerate() {
                if give_back && !used.is_empty() {
                    let run = used.swap_remove(which % used.len());
                    pages.leave(number as u64, vec![run]);
                    pages.reclaim(number as u64);
                } else {
                    let run = pages.take(length).unwrap();
                    prop_assert!(used.iter().all(|other| other.end() <= run.page || run.end() <= other.page));
                    used.push(run);
                }
                let last = used.iter().map(|run| run.end()).max().unwrap_or(FIRST_PAGE);
                prop_assert_eq!(pages.end(), last);
                let held: u32 = used.iter().map(|run| run.pages).sum();
                prop_assert_eq!(held + pages.free.values().sum::<u32>() + FIRST_PAGE, pages.end());
            }
            let mut again = Pages::of(used.clone()).unwrap();
            prop_assert_eq!(&again.free, &pages.free);
            again.leave(1, used);
            again.reclaim(1);
            prop_assert_eq!((again.end(), again.free.len()), (FIRST_PAGE, 0));
        }
    }
}
