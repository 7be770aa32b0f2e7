//! Edits of the manifest and the state they add up to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::codec::{Reader, put_bytes, put_varint};
use crate::key_range::KeyRanges;
use crate::lsm::{Left, left_of};
use crate::options::{CompactionStrategy, Compression, KeyspaceOptions, Layout};
use crate::prefix::Prefix;
use crate::table::TableMeta;
use crate::view::KeyspaceId;

const CREATE: u8 = 1;
const DROP: u8 = 2;
const TABLES: u8 = 3;
const PROGRESS: u8 = 4;
const NUMBERS: u8 = 5;
const CHECKPOINT: u8 = 6;
const CONVERT: u8 = 7;
const APPLIED: u8 = 8;
const ERASE: u8 = 10;
const HOLES: u8 = 11;
const COMPACTION: u8 = 12;

/// A change of what exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    CreateKeyspace {
        id: KeyspaceId,
        name: String,
        options: KeyspaceOptions,
        /// The number of its B+Tree's file; 0 where it has none.
        tree: u64,
    },
    /// A keyspace's data is in another layout, and nowhere else.
    Convert {
        keyspace: KeyspaceId,
        layout: Layout,
        /// As for `CreateKeyspace`.
        tree: u64,
        /// As for `Checkpoint`.
        generation: u64,
        tables: Vec<(usize, TableMeta)>,
    },
    /// A keyspace's tables are merged in another way from now on.
    Compaction {
        keyspace: KeyspaceId,
        strategy: CompactionStrategy,
    },
    DropKeyspace {
        id: KeyspaceId,
    },
    /// Tables come and go; everything up to `flushed` is in tables now.
    Tables {
        keyspace: KeyspaceId,
        added: Vec<(usize, TableMeta)>,
        removed: Vec<u64>,
        flushed: u64,
    },
    /// What the tables that are there have between these keys is deleted.
    Erase {
        keyspace: KeyspaceId,
        ranges: KeyRanges,
    },
    /// What a table has between these keys is deleted, and nothing else.
    Holes {
        keyspace: KeyspaceId,
        table: u64,
        ranges: KeyRanges,
    },
    /// A B+Tree has this generation at least; everything up to `flushed` is in it.
    Checkpoint {
        keyspace: KeyspaceId,
        generation: u64,
        flushed: u64,
    },
    /// Sequences up to `sequence` are given, and the log before `log_released` is not needed.
    Progress {
        sequence: u64,
        log_released: u64,
    },
    /// Entries of the external log up to `index` are in tables and trees, in all keyspaces, and none after.
    Applied {
        index: u64,
    },
    /// Numbers never given again.
    Numbers {
        next_keyspace: KeyspaceId,
        next_table: u64,
    },
}

fn layout_number(layout: Layout) -> u8 {
    match layout {
        Layout::Lsm => 1,
        Layout::BTree => 2,
    }
}

fn compression_number(compression: Option<Compression>) -> u8 {
    match compression {
        None => 0,
        Some(Compression::None) => 1,
        Some(Compression::Lz4) => 2,
        Some(Compression::Zstd) => 3,
    }
}

fn read_layout(reader: &mut Reader<'_>) -> Option<Layout> {
    match reader.u8()? {
        1 => Some(Layout::Lsm),
        2 => Some(Layout::BTree),
        _ => None,
    }
}

fn put_strategy(out: &mut Vec<u8>, strategy: CompactionStrategy) {
    match strategy {
        CompactionStrategy::Leveled => out.push(0),
        CompactionStrategy::Universal { size_ratio_percent, space_amplification_percent_max } => {
            out.push(1);
            put_varint(out, size_ratio_percent.into());
            put_varint(out, space_amplification_percent_max.into());
        }
        CompactionStrategy::Fifo { bytes_max } => {
            out.push(2);
            put_varint(out, bytes_max);
        }
    }
}

fn read_strategy(reader: &mut Reader<'_>) -> Option<CompactionStrategy> {
    Some(match reader.u8()? {
        0 => CompactionStrategy::Leveled,
        1 => CompactionStrategy::Universal {
            size_ratio_percent: u32::try_from(reader.varint()?).ok()?,
            space_amplification_percent_max: u32::try_from(reader.varint()?).ok()?,
        },
        2 => CompactionStrategy::Fifo { bytes_max: reader.varint()? },
        _ => return None,
    })
}

fn put_prefix(out: &mut Vec<u8>, prefix: Option<Prefix>) {
    match prefix {
        None => out.push(0),
        Some(Prefix::Bytes(bytes)) => {
            out.push(1);
            put_varint(out, bytes.into());
        }
        Some(Prefix::UpTo(last)) => out.extend([2, last]),
    }
}

fn put_tables(out: &mut Vec<u8>, tables: &[(usize, TableMeta)]) {
    put_varint(out, tables.len() as u64);
    for (level, meta) in tables {
        put_varint(out, *level as u64);
        meta.encode(out);
    }
}

fn read_tables(reader: &mut Reader<'_>) -> Option<Vec<(usize, TableMeta)>> {
    let mut tables = Vec::new();
    for _ in 0..reader.varint()? {
        let level = usize::try_from(reader.varint()?).ok()?;
        if level > crate::lsm::RUNS {
            return None;
        }
        tables.push((level, TableMeta::decode(reader)?));
    }
    Some(tables)
}

impl Edit {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::CreateKeyspace { id, name, options, tree } => {
                out.push(CREATE);
                put_varint(out, *id);
                put_bytes(out, name.as_bytes());
                out.push(layout_number(options.layout));
                out.push(compression_number(options.compression));
                put_varint(out, *tree);
                // One more than it is; 0 for none.
                let ttl = options.ttl.map_or(0, |ttl| (ttl.as_millis() as u64).saturating_add(1));
                put_varint(out, ttl);
                put_varint(out, options.blob_threshold.map_or(0, |bytes| u64::from(bytes) + 1));
                put_bytes(out, options.merge_operator.as_deref().unwrap_or_default().as_bytes());
                put_strategy(out, options.compaction);
                put_prefix(out, options.prefix);
            }
            Self::Convert { keyspace, layout, tree, generation, tables } => {
                out.push(CONVERT);
                put_varint(out, *keyspace);
                out.push(layout_number(*layout));
                put_varint(out, *tree);
                put_varint(out, *generation);
                put_tables(out, tables);
            }
            Self::Compaction { keyspace, strategy } => {
                out.push(COMPACTION);
                put_varint(out, *keyspace);
                put_strategy(out, *strategy);
            }
            Self::DropKeyspace { id } => {
                out.push(DROP);
                put_varint(out, *id);
            }
            Self::Tables { keyspace, added, removed, flushed } => {
                out.push(TABLES);
                put_varint(out, *keyspace);
                put_tables(out, added);
                put_varint(out, removed.len() as u64);
                for id in removed {
                    put_varint(out, *id);
                }
                put_varint(out, *flushed);
            }
            Self::Erase { keyspace, ranges } => {
                out.push(ERASE);
                put_varint(out, *keyspace);
                ranges.encode(out);
            }
            Self::Holes { keyspace, table, ranges } => {
                out.push(HOLES);
                put_varint(out, *keyspace);
                put_varint(out, *table);
                ranges.encode(out);
            }
            Self::Checkpoint { keyspace, generation, flushed } => {
                out.push(CHECKPOINT);
                put_varint(out, *keyspace);
                put_varint(out, *generation);
                put_varint(out, *flushed);
            }
            Self::Progress { sequence, log_released } => {
                out.push(PROGRESS);
                put_varint(out, *sequence);
                put_varint(out, *log_released);
            }
            Self::Applied { index } => {
                out.push(APPLIED);
                put_varint(out, *index);
            }
            Self::Numbers { next_keyspace, next_table } => {
                out.push(NUMBERS);
                put_varint(out, *next_keyspace);
                put_varint(out, *next_table);
            }
        }
    }

    /// The edits of a frame; `None` when it is malformed.
    pub(crate) fn decode_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let mut reader = Reader::new(bytes);
        let mut edits = Vec::new();
        while !reader.rest.is_empty() {
            edits.push(Self::decode(&mut reader)?);
        }
        Some(edits)
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.u8()? {
            CREATE => {
                let id = reader.varint()?;
                let name = String::from_utf8(reader.bytes()?.to_vec()).ok()?;
                let layout = read_layout(reader)?;
                let compression = match reader.u8()? {
                    0 => None,
                    1 => Some(Compression::None),
                    2 => Some(Compression::Lz4),
                    3 => Some(Compression::Zstd),
                    _ => return None,
                };
                let tree = reader.varint()?;
                let ttl = reader.varint()?.checked_sub(1).map(Duration::from_millis);
                let blob_threshold = match reader.varint()? {
                    0 => None,
                    bytes => Some(u32::try_from(bytes - 1).ok()?),
                };
                let merge_operator = std::str::from_utf8(reader.bytes()?).ok()?;
                let merge_operator = Some(merge_operator).filter(|name| !name.is_empty()).map(Into::into);
                let compaction = read_strategy(reader)?;
                let prefix = match reader.u8()? {
                    0 => None,
                    1 => Some(Prefix::Bytes(u32::try_from(reader.varint()?).ok()?)),
                    2 => Some(Prefix::UpTo(reader.u8()?)),
                    _ => return None,
                };
                let options = KeyspaceOptions {
                    layout,
                    compression,
                    ttl,
                    blob_threshold,
                    merge_operator,
                    compaction,
                    prefix,
                };
                Self::CreateKeyspace { id, name, options, tree }
            }
            CONVERT => Self::Convert {
                keyspace: reader.varint()?,
                layout: read_layout(reader)?,
                tree: reader.varint()?,
                generation: reader.varint()?,
                tables: read_tables(reader)?,
            },
            DROP => Self::DropKeyspace { id: reader.varint()? },
            TABLES => {
                let keyspace = reader.varint()?;
                let added = read_tables(reader)?;
                let mut removed = Vec::new();
                for _ in 0..reader.varint()? {
                    removed.push(reader.varint()?);
                }
                Self::Tables { keyspace, added, removed, flushed: reader.varint()? }
            }
            ERASE => Self::Erase { keyspace: reader.varint()?, ranges: KeyRanges::decode(reader)? },
            HOLES => Self::Holes {
                keyspace: reader.varint()?,
                table: reader.varint()?,
                ranges: KeyRanges::decode(reader)?,
            },
            COMPACTION => Self::Compaction { keyspace: reader.varint()?, strategy: read_strategy(reader)? },
            CHECKPOINT => Self::Checkpoint {
                keyspace: reader.varint()?,
                generation: reader.varint()?,
                flushed: reader.varint()?,
            },
            PROGRESS => Self::Progress { sequence: reader.varint()?, log_released: reader.varint()? },
            APPLIED => Self::Applied { index: reader.varint()? },
            NUMBERS => Self::Numbers { next_keyspace: reader.varint()?, next_table: reader.varint()? },
            _ => return None,
        })
    }
}

/// A keyspace as the manifest knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyspaceState {
    pub(crate) name: String,
    pub(crate) options: KeyspaceOptions,
    pub(crate) flushed: u64,
    /// Of a B+Tree: the number of its file.
    pub(crate) tree: u64,
    /// Of a B+Tree: the checkpoint that is there at least.
    pub(crate) generation: u64,
    /// Tables and their levels.
    pub(crate) tables: BTreeMap<u64, (usize, TableMeta)>,
    /// What was deleted from tables, between the smallest and the largest key of each.
    pub(crate) holes: BTreeMap<u64, KeyRanges>,
}

/// What all edits add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestState {
    pub(crate) keyspaces: BTreeMap<KeyspaceId, KeyspaceState>,
    pub(crate) next_keyspace: KeyspaceId,
    pub(crate) next_table: u64,
    pub(crate) sequence: u64,
    pub(crate) log_released: u64,
    /// The newest entry of the external log that is in the tables and trees.
    pub(crate) applied: u64,
}

impl ManifestState {
    pub(crate) fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::CreateKeyspace { id, name, options, tree } => {
                let (name, options, tree) = (name.clone(), options.clone(), *tree);
                self.keyspaces.insert(*id, KeyspaceState { name, options, tree, ..KeyspaceState::default() });
                self.next_keyspace = self.next_keyspace.max(id + 1);
                self.next_table = self.next_table.max(tree.saturating_add(1));
            }
            Edit::Convert { keyspace, layout, tree, generation, tables } => {
                self.note_numbers(tables);
                self.next_table = self.next_table.max(tree.saturating_add(1));
                let Some(state) = self.keyspaces.get_mut(keyspace) else { return };
                state.options.layout = *layout;
                (state.tree, state.generation) = (*tree, *generation);
                state.holes.clear();
                state.tables = tables.iter().map(|(level, meta)| (meta.id, (*level, meta.clone()))).collect();
            }
            Edit::Compaction { keyspace, strategy } => {
                if let Some(state) = self.keyspaces.get_mut(keyspace) {
                    state.options.compaction = *strategy;
                }
            }
            Edit::DropKeyspace { id } => {
                self.keyspaces.remove(id);
            }
            Edit::Tables { keyspace, added, removed, flushed } => {
                self.note_numbers(added);
                let Some(state) = self.of_layout(*keyspace, Layout::Lsm) else { return };
                for id in removed {
                    state.tables.remove(id);
                }
                state.tables.extend(added.iter().map(|(level, meta)| (meta.id, (*level, meta.clone()))));
                // A table that only moved keeps its holes.
                state.holes.retain(|id, _| state.tables.contains_key(id));
                state.flushed = state.flushed.max(*flushed);
            }
            Edit::Erase { keyspace, ranges } => {
                let Some(state) = self.of_layout(*keyspace, Layout::Lsm) else { return };
                let holes = &mut state.holes;
                state.tables.retain(|id, (_, meta)| match left_of(meta, holes.get(id), ranges) {
                    Left::All => true,
                    Left::Part(left_out) => {
                        holes.insert(*id, left_out);
                        true
                    }
                    Left::Nothing => {
                        holes.remove(id);
                        false
                    }
                });
            }
            Edit::Holes { keyspace, table, ranges } => {
                let Some(state) = self.of_layout(*keyspace, Layout::Lsm) else { return };
                if state.tables.contains_key(table) {
                    state.holes.insert(*table, ranges.clone());
                }
            }
            Edit::Checkpoint { keyspace, generation, flushed } => {
                let Some(state) = self.of_layout(*keyspace, Layout::BTree) else { return };
                state.generation = state.generation.max(*generation);
                state.flushed = state.flushed.max(*flushed);
            }
            Edit::Progress { sequence, log_released } => {
                self.sequence = self.sequence.max(*sequence);
                self.log_released = self.log_released.max(*log_released);
            }
            Edit::Applied { index } => self.applied = self.applied.max(*index),
            Edit::Numbers { next_keyspace, next_table } => {
                self.next_keyspace = self.next_keyspace.max(*next_keyspace);
                self.next_table = self.next_table.max(*next_table);
            }
        }
    }

    /// Numbers of tables and of their blob files are not given again.
    fn note_numbers(&mut self, tables: &[(usize, TableMeta)]) {
        for (_, meta) in tables {
            let newest = meta.blobs.keys().next_back().copied().unwrap_or_default().max(meta.id);
            self.next_table = self.next_table.max(newest.saturating_add(1));
        }
    }

    fn of_layout(&mut self, keyspace: KeyspaceId, layout: Layout) -> Option<&mut KeyspaceState> {
        self.keyspaces.get_mut(&keyspace).filter(|state| state.options.layout == layout)
    }

    /// Edits that make this state from nothing.
    pub(crate) fn edits(&self) -> Vec<Edit> {
        let mut edits = vec![
            Edit::Numbers { next_keyspace: self.next_keyspace, next_table: self.next_table },
            Edit::Progress { sequence: self.sequence, log_released: self.log_released },
            Edit::Applied { index: self.applied },
        ];
        for (id, state) in &self.keyspaces {
            let (name, options, tree) = (state.name.clone(), state.options.clone(), state.tree);
            edits.push(Edit::CreateKeyspace { id: *id, name, options, tree });
            edits.push(match state.options.layout {
                Layout::Lsm => Edit::Tables {
                    keyspace: *id,
                    added: state.tables.values().cloned().collect(),
                    removed: Vec::new(),
                    flushed: state.flushed,
                },
                Layout::BTree => {
                    let (generation, flushed) = (state.generation, state.flushed);
                    Edit::Checkpoint { keyspace: *id, generation, flushed }
                }
            });
            edits.extend(state.holes.iter().map(|(table, ranges)| Edit::Holes {
                keyspace: *id,
                table: *table,
                ranges: ranges.clone(),
            }));
        }
        edits
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::key_range::tests::any_range;
    use crate::table::{BlobSource, BlobUse};
    use proptest::prelude::*;

    fn any_edit() -> impl Strategy<Value = Edit> {
        let compression = prop_oneof![
            Just(None),
            Just(Some(Compression::None)),
            Just(Some(Compression::Lz4)),
            Just(Some(Compression::Zstd))
        ];
        let meta = (any::<[u64; 4]>(), any::<Vec<u8>>(), any::<Vec<u8>>(), any::<Option<[u64; 4]>>())
            .prop_map(|(numbers, smallest, largest, blob)| TableMeta {
                blobs: blob
                    .map(|[file, length, values, bytes]| {
                        (file / 2, BlobUse { file: BlobSource::decode(length), values, bytes })
                    })
                    .into_iter()
                    .collect(),
                id: numbers[0] / 2,
                bytes: numbers[1],
                entries: numbers[2],
                tombstones: numbers[3],
                smallest,
                largest,
            });
        let layout = |tree| if tree { Layout::BTree } else { Layout::Lsm };
        let convert = (0u64..9, any::<bool>(), any::<u32>(), any::<u64>(), meta.clone(), 0usize..7).prop_map(
            move |(keyspace, is_tree, tree, generation, table, level)| {
                let layout = layout(is_tree);
                let tables = if is_tree { vec![] } else { vec![(level, table)] };
                let (tree, generation) = if is_tree { (u64::from(tree), generation) } else { (0, 0) };
                Edit::Convert { keyspace, layout, tree, generation, tables }
            },
        );
        let operator = proptest::option::of("[a-z ]{1,9}");
        let strategy = prop_oneof![
            Just(CompactionStrategy::Leveled),
            any::<u64>().prop_map(|bytes_max| CompactionStrategy::Fifo { bytes_max }),
            any::<[u32; 2]>().prop_map(|[size_ratio_percent, space_amplification_percent_max]| {
                CompactionStrategy::Universal { size_ratio_percent, space_amplification_percent_max }
            }),
        ];
        let numbers = any::<[Option<u32>; 2]>();
        let prefix = proptest::option::of(prop_oneof![
            any::<u32>().prop_map(Prefix::Bytes),
            any::<u8>().prop_map(Prefix::UpTo)
        ]);
        let options = (compression, any::<bool>(), numbers, operator, strategy.clone(), prefix).prop_map(
            move |(compression, is_tree, [ttl, blob_threshold], operator, compaction, prefix)| {
                KeyspaceOptions {
                    layout: layout(is_tree),
                    compression,
                    ttl: ttl.map(|millis| Duration::from_millis(millis.into())),
                    blob_threshold,
                    merge_operator: operator.map(Into::into),
                    compaction,
                    prefix,
                }
            },
        );
        prop_oneof![
            (0u64..9, any::<String>(), options, any::<u32>()).prop_map(|(id, name, options, tree)| {
                let tree = if options.layout == Layout::BTree { tree.into() } else { 0 };
                Edit::CreateKeyspace { id, name, options, tree }
            }),
            convert,
            (0u64..9, any::<[u64; 2]>()).prop_map(|(keyspace, numbers)| Edit::Checkpoint {
                keyspace,
                generation: numbers[0],
                flushed: numbers[1]
            }),
            (0u64..9).prop_map(|id| Edit::DropKeyspace { id }),
            (0u64..9, strategy).prop_map(|(keyspace, strategy)| Edit::Compaction { keyspace, strategy }),
            (0u64..9, proptest::collection::vec(any_range(), 0..4)).prop_map(|(keyspace, ranges)| {
                Edit::Erase { keyspace, ranges: ranges.into_iter().collect() }
            }),
            (0u64..9, 0u64..9, proptest::collection::vec(any_range(), 1..4)).prop_map(
                |(keyspace, table, ranges)| Edit::Holes {
                    keyspace,
                    table,
                    ranges: ranges.into_iter().collect()
                }
            ),
            (0u64..9, proptest::collection::vec((0usize..7, meta), 0..3), any::<Vec<u64>>(), any::<u64>())
                .prop_map(|(keyspace, added, removed, flushed)| Edit::Tables {
                    keyspace,
                    added,
                    removed,
                    flushed
                }),
            any::<[u64; 2]>()
                .prop_map(|numbers| Edit::Progress { sequence: numbers[0], log_released: numbers[1] }),
            any::<u64>().prop_map(|index| Edit::Applied { index }),
            any::<[u64; 2]>()
                .prop_map(|numbers| Edit::Numbers { next_keyspace: numbers[0], next_table: numbers[1] }),
        ]
    }

    proptest! {
        #[test]
        fn edits_come_back_and_a_state_is_rebuilt_from_its_own_edits(edits in proptest::collection::vec(any_edit(), 0..12)) {
            let mut bytes = Vec::new();
            let mut state = ManifestState::default();
            for edit in &edits {
                edit.encode(&mut bytes);
                state.apply(edit);
            }
            prop_assert_eq!(Edit::decode_all(&bytes).unwrap(), edits);
            let mut again = ManifestState::default();
            for edit in state.edits() {
                again.apply(&edit);
            }
            prop_assert_eq!(again, state);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Edit::decode_all(&bytes);
        }
    }
}
