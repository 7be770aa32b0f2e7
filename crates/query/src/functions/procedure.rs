//! The functions there are, as `pg_proc` and `regproc` see them: each name once, with a number.
//!
//! The numbers are places in a list that only another version of the program has otherwise.

use std::sync::OnceLock;

use datafusion::execution::SessionState;
use luma_model::DataType;

use crate::pg_catalog::types::scalar_types;
use crate::session::SessionInfo;

/// The first function's number.
const FIRST_OID: u32 = 5000;

/// One function.
#[derive(Debug)]
pub(crate) struct Procedure {
    pub(crate) name: String,
    /// `f` function, `a` aggregate, `w` window function.
    pub(crate) kind: &'static str,
}

/// What the functions that read and write a type are called before `in`, `out`, `recv` and `send`.
pub(crate) fn prefix(data_type: &DataType) -> String {
    let name = data_type.catalog_name();
    let joined = matches!(
        data_type,
        DataType::Json
            | DataType::Jsonb
            | DataType::Date
            | DataType::Time
            | DataType::Timestamp
            | DataType::TimestampTz
            | DataType::Interval
            | DataType::Numeric(_)
            | DataType::Uuid
    );
    match data_type {
        DataType::Array(_) => "array_".to_owned(),
        DataType::Enum(_) => "enum_".to_owned(),
        _ if joined => format!("{name}_"),
        _ => name.to_owned(),
    }
}

/// All functions; the place in the list is the number above the first.
pub(crate) fn all(state: &SessionState) -> impl Iterator<Item = (u32, &'static Procedure)> {
    static ALL: OnceLock<Vec<Procedure>> = OnceLock::new();
    (FIRST_OID..).zip(ALL.get_or_init(|| list(state)))
}

fn list(state: &SessionState) -> Vec<Procedure> {
    let scalars = state.scalar_functions().keys().map(|name| (name.clone(), "f"));
    let aggregates = state.aggregate_functions().keys().map(|name| (name.clone(), "a"));
    let windows = state.window_functions().keys().map(|name| (name.clone(), "w"));
    let types = scalar_types();
    let prefixes = types.iter().map(prefix).chain(["array_", "enum_", "domain_"].map(str::to_owned));
    let reading =
        prefixes.flat_map(|prefix| ["in", "out", "recv", "send"].map(|end| (format!("{prefix}{end}"), "f")));
    let others = ["array_subscript_handler", "bthandler", "heap_tableam_handler"];
    let others = others.map(|name| (name.to_owned(), "f"));
    let mut all: Vec<(String, &'static str)> =
        scalars.chain(aggregates).chain(windows).chain(reading).chain(others).collect();
    all.sort_unstable();
    all.dedup_by(|one, other| one.0 == other.0);
    all.into_iter().map(|(name, kind)| Procedure { name, kind }).collect()
}

/// The number of the function with that name.
pub(crate) fn oid(info: &SessionInfo, name: &str) -> Option<u32> {
    all(&info.shared.state).find(|(_, known)| known.name == name).map(|(oid, _)| oid)
}

/// The name of the function with that number.
pub(crate) fn name(info: &SessionInfo, oid: u32) -> Option<String> {
    all(&info.shared.state).find(|(known, _)| *known == oid).map(|(_, known)| known.name.clone())
}
