//! Reading many keys: what each will need is fetched for all of them before the first is waited for.
//!
//! A look-up waits for memory a few times, each time for what the one before told, and look-ups one after another
//! wait as often as all of them together. So a group of keys takes each step together (group prefetching: Chen,
//! Ailamaki, Gibbons and Mowry, "Improving hash join performance through prefetching", ICDE 2004). What is on the disk
//! only is read together, too.

use smallvec::SmallVec;

use crate::Result;
use crate::keyspace::KeyspaceInner;
use crate::layout::Searched;
use crate::memtable::Version;
use crate::readable::Snapshot;
use crate::table::hash;
use crate::view::KeyspaceView;

/// Keys that take each step together: enough to keep memory and disks busy, and few enough for what they fetch to
/// stay in the nearest cache.
const GROUP: usize = 64;

/// The hash of a key, and what the memtables have for it.
type Known<'a> = (u64, Option<Version<'a>>);

impl Snapshot {
    /// Hands the place and the value of each key to `use_value`, in the order of the keys.
    pub(crate) fn get_each_in(
        &self,
        keyspace: &KeyspaceInner,
        keys: &[&[u8]],
        mut use_value: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let view = self.view();
        let Some(found) = view.find(keyspace)? else {
            for at in 0..keys.len() {
                use_value(at, None);
            }
            return Ok(());
        };
        let is_plain = keyspace.merges.is_none() && keyspace.expiry().is_none() && found.spilled.is_empty();
        for (group, keys) in keys.chunks(GROUP).enumerate() {
            let (known, searched) = found.search(keys, self.sequence())?;
            let mut sought = 0;
            for (at, (key, (hash, version))) in keys.iter().zip(known).enumerate() {
                let at = group * GROUP + at;
                let mut use_value = |value: Option<&[u8]>| use_value(at, value);
                if !is_plain {
                    self.give(keyspace, key, use_value)?;
                } else if let Some(version) = version {
                    use_value(version.value);
                } else {
                    let given = match &searched {
                        Some(searched) => searched.get(sought, (key, hash), use_value)?,
                        None => found.tree.get(key, hash, use_value)?,
                    };
                    if let Err(mut use_value) = given {
                        use_value(None);
                    }
                    sought += 1;
                }
            }
        }
        Ok(())
    }

    /// Hands the value of one key to `use_value`.
    fn give(
        &self,
        keyspace: &KeyspaceInner,
        key: &[u8],
        mut use_value: impl FnMut(Option<&[u8]>),
    ) -> Result<()> {
        if self.get_with_in(keyspace, key, |value| use_value(Some(value)))?.is_none() {
            use_value(None);
        }
        Ok(())
    }

    /// Fetches what gets of these keys will need.
    pub(crate) fn prefetch_in(&self, keyspace: &KeyspaceInner, keys: &[&[u8]]) -> Result<()> {
        let view = self.view();
        let Some(found) = view.find(keyspace)? else { return Ok(()) };
        keys.chunks(GROUP).try_for_each(|keys| found.search(keys, self.sequence()).map(drop))
    }
}

impl KeyspaceView {
    /// Looks for a group of keys: in the memtables, and in the tree for those that these do not have, if there are
    /// several.
    fn search<'a>(
        &'a self,
        keys: &[&[u8]],
        sequence: u64,
    ) -> Result<(SmallVec<[Known<'a>; GROUP]>, Option<Searched<'a>>)> {
        let mut known: SmallVec<[Known<'_>; GROUP]> = keys.iter().map(|key| (hash(key), None)).collect();
        for table in self.memtables().filter(|table| !table.is_empty()) {
            for (hash, _) in &known {
                table.fetch_place(*hash);
            }
            for (hash, _) in &known {
                table.fetch_entry(*hash);
            }
            for (key, (hash, version)) in keys.iter().zip(&mut known) {
                if version.is_none() {
                    *version = table.get(key, *hash, sequence);
                }
            }
        }
        let stored = keys.iter().zip(&known).filter(|(_, (_, version))| version.is_none());
        let stored: SmallVec<[(&[u8], u64); GROUP]> = stored.map(|(key, (hash, _))| (*key, *hash)).collect();
        let searched = if stored.len() > 1 { Some(self.tree.search(&stored)?) } else { None };
        Ok((known, searched))
    }
}
