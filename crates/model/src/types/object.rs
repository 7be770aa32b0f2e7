//! Types whose values are identifiers and whose text forms are names: `regclass` and its kin.
//!
//! What has which name is known to the catalog of a session, so that their text forms need
//! [`ObjectNames`]; without them a value prints as its number.

use super::{Entry, entry};
use crate::error::Result;

/// What an identifier is one of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ObjectKind {
    /// `regproc`: a function by its name alone
    Procedure,
    /// `regprocedure`: a function by its name and the types it takes
    Function,
    /// `regoper`: an operator by its name alone
    Operation,
    /// `regoperator`: an operator by its name and the types it takes
    Operator,
    /// `regclass`: a table, view, index or sequence
    Class,
    /// `regtype`
    Type,
    /// `regnamespace`: a schema
    Namespace,
    /// `regrole`
    Role,
}

const PROCEDURE: Entry = entry(24, 1008, "_regproc", "regproc", 4);
const FUNCTION: Entry = entry(2202, 2207, "_regprocedure", "regprocedure", 4);
const OPERATION: Entry = entry(2203, 2208, "_regoper", "regoper", 4);
const OPERATOR: Entry = entry(2204, 2209, "_regoperator", "regoperator", 4);
const CLASS: Entry = entry(2205, 2210, "_regclass", "regclass", 4);
const TYPE: Entry = entry(2206, 2211, "_regtype", "regtype", 4);
const NAMESPACE: Entry = entry(4089, 4090, "_regnamespace", "regnamespace", 4);
const ROLE: Entry = entry(4096, 4097, "_regrole", "regrole", 4);

impl ObjectKind {
    pub(super) fn entry(self) -> &'static Entry {
        match self {
            Self::Procedure => &PROCEDURE,
            Self::Function => &FUNCTION,
            Self::Operation => &OPERATION,
            Self::Operator => &OPERATOR,
            Self::Class => &CLASS,
            Self::Type => &TYPE,
            Self::Namespace => &NAMESPACE,
            Self::Role => &ROLE,
        }
    }
}

/// Names of objects as a session sees them.
pub trait ObjectNames: Send + Sync + std::fmt::Debug {
    /// The name of the object with that identifier; `None` if there is none.
    fn name(&self, kind: ObjectKind, oid: u32) -> Option<String>;

    /// The identifier of the object with that name.
    ///
    /// # Errors
    /// That there is none of that name, or that the name can't be read.
    fn find(&self, kind: ObjectKind, name: &str) -> Result<u32>;
}
