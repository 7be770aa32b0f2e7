//! The types that users make: enum types and domains.

use std::sync::Arc;

use luma_model::{DataType, EnumType};
use serde::{Deserialize, Serialize};

use crate::object::{Check, Oid};

/// A type that a user made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserType {
    /// Its identifier.
    pub oid: Oid,
    /// That of its array.
    pub array_oid: Oid,
    /// The schema it lies in.
    pub schema: Oid,
    /// Its name, unique among the types of the schema.
    pub name: String,
    /// The role that made it.
    pub owner: Oid,
    /// What it is.
    pub kind: UserTypeKind,
    /// `COMMENT ON TYPE` or `COMMENT ON DOMAIN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserTypeKind {
    /// Labels in their order. Columns of the type carry a copy.
    Enum(DataType),
    /// Values of another type that satisfy conditions.
    Domain(Domain),
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Domain {
    /// The type of its values; of a domain over a domain, that one's.
    pub base: DataType,
    /// The domain it was made over, whose conditions hold too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Oid>,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The default of columns that have none of their own, as SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Conditions over `VALUE`.
    pub checks: Vec<Check>,
}

impl UserType {
    /// The labels, if it is an enum type.
    pub fn as_enum(&self) -> Option<&Arc<EnumType>> {
        match &self.kind {
            UserTypeKind::Enum(data_type) => data_type.enum_type(),
            UserTypeKind::Domain(_) => None,
        }
    }

    /// The domain, if it is one.
    pub fn as_domain(&self) -> Option<&Domain> {
        match &self.kind {
            UserTypeKind::Enum(_) => None,
            UserTypeKind::Domain(domain) => Some(domain),
        }
    }

    /// The type that its values have in rows and results.
    pub fn data_type(&self) -> &DataType {
        match &self.kind {
            UserTypeKind::Enum(data_type) => data_type,
            UserTypeKind::Domain(domain) => &domain.base,
        }
    }
}
