//! What `regclass`, `regtype`, `regnamespace` and `regrole` mean: identifiers that read and print as
//! names.
//!
//! Inside a statement they are identifiers, so that they compare and join with the catalog's; where
//! they reach the client or become text they are names. The rewriting of statements decides which.

use luma_catalog::Relation;
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::ddl::quoted;
use crate::functions::row::{Definition, integer, text};
use crate::pg_catalog::{relations, schemas};
use crate::session::{SessionInfo, parse_qualified};

/// The administrator's identifier.
const ADMINISTRATOR_OID: u32 = 10;

/// The system's tables that clients name to say of what kind an object is (`classoid`).
pub(crate) static SYSTEM_TABLES: [(u32, &str); 54] = [
    (826, "pg_default_acl"),
    (1213, "pg_tablespace"),
    (1247, "pg_type"),
    (1249, "pg_attribute"),
    (1255, "pg_proc"),
    (1259, "pg_class"),
    (1260, "pg_authid"),
    (1261, "pg_auth_members"),
    (1262, "pg_database"),
    (1417, "pg_foreign_server"),
    (2224, "pg_sequence"),
    (2328, "pg_foreign_data_wrapper"),
    (2396, "pg_shdescription"),
    (2600, "pg_aggregate"),
    (2601, "pg_am"),
    (2602, "pg_amop"),
    (2603, "pg_amproc"),
    (2604, "pg_attrdef"),
    (2605, "pg_cast"),
    (2606, "pg_constraint"),
    (2607, "pg_conversion"),
    (2608, "pg_depend"),
    (2609, "pg_description"),
    (2610, "pg_index"),
    (2611, "pg_inherits"),
    (2612, "pg_language"),
    (2613, "pg_largeobject"),
    (2615, "pg_namespace"),
    (2616, "pg_opclass"),
    (2617, "pg_operator"),
    (2618, "pg_rewrite"),
    (2620, "pg_trigger"),
    (2753, "pg_opfamily"),
    (2995, "pg_largeobject_metadata"),
    (3079, "pg_extension"),
    (3118, "pg_foreign_table"),
    (3256, "pg_policy"),
    (3350, "pg_partitioned_table"),
    (3381, "pg_statistic_ext"),
    (3394, "pg_init_privs"),
    (3456, "pg_collation"),
    (3466, "pg_event_trigger"),
    (3501, "pg_enum"),
    (3541, "pg_range"),
    (3576, "pg_transform"),
    (3596, "pg_seclabel"),
    (3600, "pg_ts_dict"),
    (3601, "pg_ts_parser"),
    (3602, "pg_ts_config"),
    (3764, "pg_ts_template"),
    (6100, "pg_subscription"),
    (6104, "pg_publication"),
    (6106, "pg_publication_rel"),
    (6237, "pg_publication_namespace"),
];

/// The type of that name, the system's or one that a user made.
fn type_oid(info: &SessionInfo, name: &str) -> Result<Option<u32>> {
    if let Some(known) = DataType::parse(name) {
        return Ok(Some(known.oid()));
    }
    let (element, array) =
        name.trim_end().strip_suffix("[]").map_or((name, false), |element| (element, true));
    let wanted = parse_qualified(element)?;
    let scope = info.scope();
    if let Some(made) = scope.find_type(&wanted) {
        return Ok(Some(if array { made.array_oid } else { made.oid }));
    }
    let element = wanted.name.strip_prefix('_').map(str::to_owned);
    let made = element.and_then(|name| scope.find_type(&crate::names::QualifiedName { name, ..wanted }));
    Ok(made.map(|made| made.array_oid))
}

/// How `format_type` shows a type.
pub(crate) fn type_name(info: &SessionInfo, oid: u32, modifier: i32) -> Option<String> {
    if let Some(known) = DataType::from_oid(oid, modifier) {
        return Some(if modifier < 0 { known.base_name() } else { known.sql_name() });
    }
    let mut made = info.catalog.types();
    let made = made.find(|made| made.oid == oid || made.array_oid == oid)?;
    let scope = info.scope();
    let wanted = crate::names::QualifiedName { schema: None, name: made.name.clone() };
    let visible = scope.find_type(&wanted).is_some_and(|found| found.oid == made.oid);
    let mut name = quoted(&made.name);
    if !visible && let Some(schema) = info.catalog.schema_by_oid(made.schema) {
        name = format!("{}.{name}", quoted(&schema.name));
    }
    Some(if made.oid == oid { name } else { format!("{name}[]") })
}

/// A kind of identifier.
#[derive(Clone, Copy)]
enum Kind {
    Class,
    Type,
    Namespace,
    Role,
}

impl Kind {
    /// The identifier of a name; `None` if nothing has the name.
    fn find(self, info: &SessionInfo, name: &str) -> Result<Option<u32>> {
        Ok(match self {
            Self::Class => {
                let name = parse_qualified(name)?;
                let system = name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
                let known = SYSTEM_TABLES.iter().find(|(_, table)| system && *table == name.name);
                info.scope().find(&name).map(Relation::oid).or(known.map(|(oid, _)| *oid))
            }
            Self::Type => type_oid(info, name)?,
            Self::Namespace => {
                let wanted = parse_qualified(name)?.name;
                schemas(&info.catalog)
                    .into_iter()
                    .find(|(_, schema, _)| *schema == wanted)
                    .map(|(oid, _, _)| oid)
            }
            Self::Role => {
                let wanted = parse_qualified(name)?.name;
                let found = info.catalog.roles().find(|role| role.name == wanted).map(|role| role.oid);
                found.or_else(|| (wanted == crate::database::ADMINISTRATOR).then_some(ADMINISTRATOR_OID))
            }
        })
    }

    fn missing(self, name: &str) -> Error {
        let (kind, what) = match self {
            Self::Class => (ErrorKind::UndefinedTable, "relation"),
            Self::Type => (ErrorKind::UndefinedObject, "type"),
            Self::Namespace => (ErrorKind::InvalidSchemaName, "schema"),
            Self::Role => (ErrorKind::UndefinedObject, "role"),
        };
        Error::new(kind, format!("{what} \"{name}\" does not exist"))
    }

    /// The name of an identifier; the number itself if nothing has it.
    fn name(self, info: &SessionInfo, oid: u32) -> String {
        let found = match self {
            Self::Class => {
                let known = SYSTEM_TABLES.iter().find(|(known, _)| *known == oid);
                relations::relation_name(&info.catalog, oid).or(known.map(|(_, name)| (*name).to_owned()))
            }
            Self::Type => type_name(info, oid, -1),
            Self::Namespace => {
                let found = schemas(&info.catalog).into_iter().find(|(known, _, _)| *known == oid);
                found.map(|(_, name, _)| quoted(&name))
            }
            Self::Role => {
                let found = info.catalog.roles().find(|role| role.oid == oid);
                let name = found.map(|role| quoted(&role.name));
                name.or_else(|| (oid == ADMINISTRATOR_OID).then(|| crate::database::ADMINISTRATOR.into()))
            }
        };
        found.unwrap_or_else(|| if oid == 0 { "-".into() } else { oid.to_string() })
    }
}

/// The identifier a value means: itself, or that of the thing with this name.
fn cast(info: &SessionInfo, kind: Kind, value: ValueRef<'_>) -> Result<Value> {
    match value {
        ValueRef::Text("-") => Ok(Value::Oid(0)),
        ValueRef::Text(name) if name.parse::<u32>().is_err() => {
            kind.find(info, name)?.map(Value::Oid).ok_or_else(|| kind.missing(name))
        }
        value => Ok(identifier(value).map_or(Value::Null, Value::Oid)),
    }
}

fn identifier(value: ValueRef<'_>) -> Option<u32> {
    integer(value).and_then(|number| u32::try_from(number).ok())
}

fn named(info: &SessionInfo, kind: Kind, value: ValueRef<'_>) -> Value {
    identifier(value).map_or(Value::Null, |oid| Value::Text(kind.name(info, oid)))
}

fn lookup(info: &SessionInfo, kind: Kind, value: ValueRef<'_>, of: &DataType) -> Result<Value> {
    Ok(kind.find(info, &text(value, of))?.map_or(Value::Null, Value::Oid))
}

/// The function that gives the identifier of a cast to a type with this name.
pub(crate) fn cast_function(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "regclass" => "luma_regclass",
        "regtype" => "luma_regtype",
        "regnamespace" => "luma_regnamespace",
        "regrole" => "luma_regrole",
        _ => return None,
    })
}

/// The function that names what the function with this name gives; `None` if it gives no identifier.
pub(crate) fn name_function(function: &str) -> Option<&'static str> {
    Some(match function {
        "luma_regclass" | "to_regclass" => "luma_regclass_name",
        "luma_regtype" | "to_regtype" => "luma_regtype_name",
        "luma_regnamespace" | "to_regnamespace" => "luma_regnamespace_name",
        "luma_regrole" | "to_regrole" => "luma_regrole_name",
        _ => return None,
    })
}

macro_rules! kind {
    ($kind:expr, $cast:literal, $lookup:literal, $name:literal) => {
        [
            Definition::new($cast, (1, 1), DataType::Oid, |info, values, _| cast(info, $kind, values[0])),
            Definition::new($lookup, (1, 1), DataType::Oid, |info, values, types| {
                lookup(info, $kind, values[0], &types[0])
            }),
            Definition::new($name, (1, 1), DataType::Text, |info, values, _| {
                Ok(named(info, $kind, values[0]))
            }),
        ]
    };
}

pub(crate) static FUNCTIONS: [[Definition; 3]; 4] = [
    kind!(Kind::Class, "luma_regclass", "to_regclass", "luma_regclass_name"),
    kind!(Kind::Type, "luma_regtype", "to_regtype", "luma_regtype_name"),
    kind!(Kind::Namespace, "luma_regnamespace", "to_regnamespace", "luma_regnamespace_name"),
    kind!(Kind::Role, "luma_regrole", "to_regrole", "luma_regrole_name"),
];
