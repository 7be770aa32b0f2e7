//! Names of what `regclass`, `regtype` and their kin identify, as a session sees them.

use luma_catalog::Relation;
use luma_model::{DataType, Error, ErrorKind, ObjectKind, ObjectNames, Result, Value, ValueRef};

use crate::ddl::quoted;
use crate::functions::procedure;
use crate::functions::row::{Definition, text};
use crate::names::QualifiedName;
use crate::pg_catalog::{definition, schemas};
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

/// Types of which nothing is made, but which functions take and give.
static PSEUDO_TYPES: [(u32, &str); 9] = [
    (705, "unknown"),
    (2249, "record"),
    (2276, "\"any\""),
    (2277, "anyarray"),
    (2278, "void"),
    (2279, "trigger"),
    (2281, "internal"),
    (2283, "anyelement"),
    (3500, "anyenum"),
];

/// The type of that name, the system's or one that a user made.
fn type_oid(info: &SessionInfo, name: &str) -> Result<Option<u32>> {
    if let Some(known) = DataType::parse(name) {
        return Ok(Some(known.oid()));
    }
    if let Some((oid, _)) = PSEUDO_TYPES.iter().find(|(_, known)| *known == name) {
        return Ok(Some(*oid));
    }
    let (element, array) =
        name.trim_end().strip_suffix("[]").map_or((name, false), |element| (element, true));
    let wanted = parse_qualified(element)?;
    let scope = info.scope();
    if let Some(made) = scope.find_type(&wanted) {
        return Ok(Some(if array { made.array_oid } else { made.oid }));
    }
    let element = wanted.name.strip_prefix('_').map(str::to_owned);
    let made = element.and_then(|name| scope.find_type(&QualifiedName { name, ..wanted }));
    Ok(made.map(|made| made.array_oid))
}

/// How `format_type` shows a type.
pub(crate) fn type_name(info: &SessionInfo, oid: u32, modifier: i32) -> Option<String> {
    if let Some(known) = DataType::from_oid(oid, modifier) {
        return Some(if modifier < 0 { known.base_name() } else { known.sql_name() });
    }
    if let Some((_, name)) = PSEUDO_TYPES.iter().find(|(known, _)| *known == oid) {
        return Some((*name).to_owned());
    }
    let mut made = info.catalog.types();
    let made = made.find(|made| made.oid == oid || made.array_oid == oid)?;
    let scope = info.scope();
    let wanted = QualifiedName { schema: None, name: made.name.clone() };
    let visible = scope.find_type(&wanted).is_some_and(|found| found.oid == made.oid);
    let mut name = quoted(&made.name);
    if !visible && let Some(schema) = info.catalog.schema_by_oid(made.schema) {
        name = format!("{}.{name}", quoted(&schema.name));
    }
    Some(if made.oid == oid { name } else { format!("{name}[]") })
}

/// The schema in which PostgreSQL looks before all others.
fn of_system(name: &QualifiedName) -> bool {
    name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog")
}

/// The object with that name; `None` if there is none.
fn find(info: &SessionInfo, kind: ObjectKind, name: &str) -> Result<Option<u32>> {
    Ok(match kind {
        ObjectKind::Class => {
            let name = parse_qualified(name)?;
            let known = SYSTEM_TABLES.iter().find(|(_, table)| of_system(&name) && *table == name.name);
            info.scope().find(&name).map(Relation::oid).or(known.map(|(oid, _)| *oid))
        }
        ObjectKind::Type => type_oid(info, name)?,
        ObjectKind::Namespace => {
            let wanted = single(name)?;
            let found = schemas(&info.catalog).into_iter().find(|(_, schema, _)| *schema == wanted);
            found.map(|(oid, _, _)| oid)
        }
        ObjectKind::Role => {
            let wanted = single(name)?;
            let found = info.catalog.roles().find(|role| role.name == wanted).map(|role| role.oid);
            found.or_else(|| (wanted == crate::database::ADMINISTRATOR).then_some(ADMINISTRATOR_OID))
        }
        ObjectKind::Procedure => {
            let name = parse_qualified(name)?;
            procedure::oid(info, &name.name).filter(|_| of_system(&name))
        }
        ObjectKind::Function => {
            let malformed = || Error::new(ErrorKind::InvalidText, "expected a left parenthesis");
            let name = parse_qualified(name.split_once('(').ok_or_else(malformed)?.0)?;
            procedure::oid(info, &name.name).filter(|_| of_system(&name))
        }
        // No operator has a row in pg_operator.
        ObjectKind::Operation | ObjectKind::Operator => None,
    })
}

/// The name of something that lies in no schema.
fn single(name: &str) -> Result<String> {
    let parsed = parse_qualified(name)?;
    match parsed.schema {
        None => Ok(parsed.name),
        Some(_) => Err(Error::new(ErrorKind::InvalidName, "invalid name syntax")),
    }
}

fn missing(kind: ObjectKind, name: &str) -> Error {
    let (error, what) = match kind {
        ObjectKind::Class => (ErrorKind::UndefinedTable, "relation"),
        ObjectKind::Type => (ErrorKind::UndefinedObject, "type"),
        ObjectKind::Namespace => (ErrorKind::InvalidSchemaName, "schema"),
        ObjectKind::Role => (ErrorKind::UndefinedObject, "role"),
        ObjectKind::Procedure | ObjectKind::Function => (ErrorKind::UndefinedFunction, "function"),
        ObjectKind::Operation | ObjectKind::Operator => {
            return Error::new(ErrorKind::UndefinedFunction, format!("operator does not exist: {name}"));
        }
    };
    Error::new(error, format!("{what} \"{name}\" does not exist"))
}

impl ObjectNames for SessionInfo {
    fn name(&self, kind: ObjectKind, oid: u32) -> Option<String> {
        match kind {
            ObjectKind::Class => {
                let known = SYSTEM_TABLES.iter().find(|(known, _)| *known == oid);
                let known = known.map(|(_, name)| (*name).to_owned());
                known.or_else(|| definition::relation_of(&self.scope(), oid))
            }
            ObjectKind::Type => type_name(self, oid, -1).filter(|_| oid != 0),
            ObjectKind::Namespace => {
                let found = schemas(&self.catalog).into_iter().find(|(known, _, _)| *known == oid);
                found.map(|(_, name, _)| quoted(&name))
            }
            ObjectKind::Role => {
                let found = self.catalog.roles().find(|role| role.oid == oid);
                let name = found.map(|role| quoted(&role.name));
                name.or_else(|| (oid == ADMINISTRATOR_OID).then(|| crate::database::ADMINISTRATOR.into()))
            }
            ObjectKind::Procedure => procedure::name(self, oid),
            ObjectKind::Function => procedure::name(self, oid).map(|name| format!("{name}()")),
            ObjectKind::Operation | ObjectKind::Operator => None,
        }
    }

    fn find(&self, kind: ObjectKind, name: &str) -> Result<u32> {
        find(self, kind, name)?.ok_or_else(|| missing(kind, name))
    }
}

macro_rules! lookup {
    ($name:literal, $kind:expr) => {
        Definition::new($name, (1, 1), DataType::Reg($kind), |info, values, types| {
            let found = match values[0] {
                ValueRef::Oid(oid) => Some(oid),
                value => find(info, $kind, &text(value, &types[0]))?,
            };
            Ok(found.map_or(Value::Null, Value::Oid))
        })
    };
}

pub(crate) static FUNCTIONS: &[Definition] = &[
    lookup!("to_regclass", ObjectKind::Class),
    lookup!("to_regtype", ObjectKind::Type),
    lookup!("to_regnamespace", ObjectKind::Namespace),
    lookup!("to_regrole", ObjectKind::Role),
    lookup!("to_regproc", ObjectKind::Procedure),
    lookup!("to_regprocedure", ObjectKind::Function),
    lookup!("to_regoper", ObjectKind::Operation),
    lookup!("to_regoperator", ObjectKind::Operator),
];
