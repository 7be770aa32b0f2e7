//! One immutable state of the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{Index, Object, Oid, Role, Schema, Sequence, Table, UserCollation, View};
use crate::types::UserType;

/// Something that can stand in a FROM clause or share its namespace.
#[derive(Clone, Debug)]
pub enum Relation {
    /// A table or collection.
    Table(Arc<Table>),
    /// A view.
    View(Arc<View>),
    /// A sequence.
    Sequence(Arc<Sequence>),
    /// An index (secondary or of a primary key): its table and its identifier.
    Index(Arc<Table>, Oid),
}

impl Relation {
    /// Its identifier.
    pub fn oid(&self) -> Oid {
        match self {
            Self::Table(table) => table.oid,
            Self::View(view) => view.oid,
            Self::Sequence(sequence) => sequence.oid,
            Self::Index(_, oid) => *oid,
        }
    }

    /// What messages call it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View(_) => "view",
            Self::Sequence(_) => "sequence",
            Self::Index(..) => "index",
        }
    }
}

/// One immutable state of the catalog. Cloning copies maps of pointers, not objects.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with each published change; a cached plan is good for one version.
    pub(crate) version: u64,
    pub(crate) schemas: BTreeMap<Oid, Arc<Schema>>,
    pub(crate) roles: BTreeMap<Oid, Arc<Role>>,
    pub(crate) tables: BTreeMap<Oid, Arc<Table>>,
    pub(crate) views: BTreeMap<Oid, Arc<View>>,
    pub(crate) sequences: BTreeMap<Oid, Arc<Sequence>>,
    pub(crate) types: BTreeMap<Oid, Arc<UserType>>,
    pub(crate) collations: BTreeMap<Oid, Arc<UserCollation>>,
    /// (schema, name) → relation.
    pub(crate) names: BTreeMap<(Oid, String), Relation>,
}

impl Snapshot {
    /// Grows with each published change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The schema of that name.
    pub fn schema(&self, name: &str) -> Option<&Arc<Schema>> {
        self.schemas.values().find(|schema| schema.name == name)
    }

    /// The schema with that identifier.
    pub fn schema_by_oid(&self, oid: Oid) -> Option<&Arc<Schema>> {
        self.schemas.get(&oid)
    }

    /// All schemas.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    /// The relation of that name in that schema.
    pub fn relation(&self, schema: Oid, name: &str) -> Option<&Relation> {
        self.names.get(&(schema, name.to_owned()))
    }

    /// All relations of a schema, by name.
    pub fn relations(&self, schema: Oid) -> impl Iterator<Item = (&str, &Relation)> {
        self.names
            .range((schema, String::new())..)
            .take_while(move |((owner, _), _)| *owner == schema)
            .map(|((_, name), relation)| (name.as_str(), relation))
    }

    /// The table with that identifier.
    pub fn table(&self, oid: Oid) -> Option<&Arc<Table>> {
        self.tables.get(&oid)
    }

    /// All tables and collections.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// The view with that identifier.
    pub fn view(&self, oid: Oid) -> Option<&Arc<View>> {
        self.views.get(&oid)
    }

    /// All views.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.views.values()
    }

    /// All stored queries: those of views, and those of materialized views as views.
    pub fn queries(&self) -> impl Iterator<Item = Arc<View>> {
        let filled = self.tables().filter_map(|table| table.as_view()).map(Arc::new);
        self.views().cloned().chain(filled)
    }

    /// The sequence with that identifier.
    pub fn sequence(&self, oid: Oid) -> Option<&Arc<Sequence>> {
        self.sequences.get(&oid)
    }

    /// All sequences.
    pub fn sequences(&self) -> impl Iterator<Item = &Arc<Sequence>> {
        self.sequences.values()
    }

    /// The type of that name in that schema.
    pub fn type_named(&self, schema: Oid, name: &str) -> Option<&Arc<UserType>> {
        self.types.values().find(|known| known.schema == schema && known.name == name)
    }

    /// The type with that identifier.
    pub fn type_by_oid(&self, oid: Oid) -> Option<&Arc<UserType>> {
        self.types.get(&oid)
    }

    /// All types that users made.
    pub fn types(&self) -> impl Iterator<Item = &Arc<UserType>> {
        self.types.values()
    }

    /// The collation of that name that users made in that schema.
    pub fn collation_named(&self, schema: Oid, name: &str) -> Option<&Arc<UserCollation>> {
        self.collations.values().find(|known| known.schema == schema && known.collation.name == name)
    }

    /// All collations that users made.
    pub fn collations(&self) -> impl Iterator<Item = &Arc<UserCollation>> {
        self.collations.values()
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.values().find(|role| role.name == name)
    }

    /// All roles.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// The secondary index with that identifier, and its table.
    pub fn index(&self, oid: Oid) -> Option<(&Arc<Table>, &Index)> {
        self.tables
            .values()
            .find_map(|table| table.indexes.iter().find(|index| index.oid == oid).map(|index| (table, index)))
    }

    /// Tables with a foreign key to this one (itself too).
    pub fn referencing_tables(&self, oid: Oid) -> impl Iterator<Item = &Arc<Table>> {
        self.tables
            .values()
            .filter(move |table| table.foreign_keys.iter().any(|key| key.referenced_table == oid))
    }

    pub(crate) fn insert(&mut self, object: Object) {
        self.remove(object.oid());
        match object {
            Object::Schema(schema) => {
                self.schemas.insert(schema.oid, Arc::new(schema));
            }
            Object::Role(role) => {
                self.roles.insert(role.oid, Arc::new(role));
            }
            Object::Table(table) => {
                let table = Arc::new(table);
                let name = |name: &str| (table.schema, name.to_owned());
                self.names.insert(name(&table.name), Relation::Table(Arc::clone(&table)));
                if let Some(key) = &table.primary_key {
                    self.names.insert(name(&key.name), Relation::Index(Arc::clone(&table), key.oid));
                }
                for index in &table.indexes {
                    self.names.insert(name(&index.name), Relation::Index(Arc::clone(&table), index.oid));
                }
                self.tables.insert(table.oid, table);
            }
            Object::View(view) => {
                let view = Arc::new(view);
                self.names.insert((view.schema, view.name.clone()), Relation::View(Arc::clone(&view)));
                self.views.insert(view.oid, view);
            }
            Object::Sequence(sequence) => {
                let sequence = Arc::new(sequence);
                let name = (sequence.schema, sequence.name.clone());
                self.names.insert(name, Relation::Sequence(Arc::clone(&sequence)));
                self.sequences.insert(sequence.oid, sequence);
            }
            Object::Type(made) => {
                self.types.insert(made.oid, Arc::new(made));
            }
            Object::Collation(made) => {
                self.collations.insert(made.collation.oid, Arc::new(made));
            }
        }
    }

    pub(crate) fn remove(&mut self, oid: Oid) {
        self.schemas.remove(&oid);
        self.roles.remove(&oid);
        self.types.remove(&oid);
        self.collations.remove(&oid);
        if let Some(table) = self.tables.remove(&oid) {
            self.names.remove(&(table.schema, table.name.clone()));
            if let Some(key) = &table.primary_key {
                self.names.remove(&(table.schema, key.name.clone()));
            }
            for index in &table.indexes {
                self.names.remove(&(table.schema, index.name.clone()));
            }
        }
        if let Some(view) = self.views.remove(&oid) {
            self.names.remove(&(view.schema, view.name.clone()));
        }
        if let Some(sequence) = self.sequences.remove(&oid) {
            self.names.remove(&(sequence.schema, sequence.name.clone()));
        }
    }
}
