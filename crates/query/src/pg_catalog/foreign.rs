//! External tables as PostgreSQL's clients ask for foreign ones: each is of the one server `files`, with its format,
//! location and options as the options of the table.

use luma_catalog::Snapshot;
use luma_model::{ArrayValue, DataType, Value, ValueRef};

use crate::functions::overload::Kind::{Text, TextArray};
use crate::functions::overload::{Function, Overload};
use crate::pg_catalog::{Rows, oid, text};

/// The server's identifier, and that of its wrapper; any numbers below the first user object's will do.
const SERVER_OID: u32 = 13_001;
const WRAPPER_OID: u32 = 13_002;
/// The name of both.
const SERVER: &str = "files";

/// The table of that name, if it is one of these.
pub(super) fn table(name: &str, catalog: &Snapshot) -> Option<Rows> {
    use DataType::{Name, Oid, Text};
    let texts = || Text.array_of();
    let (columns, rows) = match name {
        "pg_foreign_data_wrapper" => (
            vec![
                ("oid", Oid),
                ("fdwname", Name),
                ("fdwowner", Oid),
                ("fdwhandler", Oid),
                ("fdwvalidator", Oid),
                ("fdwacl", texts()),
                ("fdwoptions", texts()),
            ],
            vec![vec![oid(WRAPPER_OID), text(SERVER), oid(10), oid(0), oid(0), Value::Null, Value::Null]],
        ),
        "pg_foreign_server" => (
            vec![
                ("oid", Oid),
                ("srvname", Name),
                ("srvowner", Oid),
                ("srvfdw", Oid),
                ("srvtype", Text),
                ("srvversion", Text),
                ("srvacl", texts()),
                ("srvoptions", texts()),
            ],
            vec![vec![
                oid(SERVER_OID),
                text(SERVER),
                oid(10),
                oid(WRAPPER_OID),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
            ]],
        ),
        "pg_foreign_table" => (
            vec![("ftrelid", Oid), ("ftserver", Oid), ("ftoptions", texts())],
            catalog
                .views()
                .filter_map(|view| {
                    let external = view.external.as_ref()?;
                    let known = [("format", &external.format), ("location", &external.location)];
                    let more = external.options.iter().map(|(name, value)| (name.as_str(), value));
                    let options = known.into_iter().chain(more);
                    let elements = options.map(|(name, value)| text(format!("{name}={value}"))).collect();
                    Some(vec![oid(view.oid), oid(SERVER_OID), Value::Array(ArrayValue { elements })])
                })
                .collect(),
        ),
        _ => return None,
    };
    let mut table = Rows::new(columns);
    // Who has no external tables has no use for their server, nor has a dump.
    if catalog.views().any(|view| view.external.is_some()) {
        for row in rows {
            table.add(row);
        }
    }
    Some(table)
}

/// The function that stands for what clients make of a foreign table's options.
pub(super) const OPTIONS: &str = "luma_foreign_options";

/// `name 'value'` of each option, with the text between them.
pub(crate) static FUNCTIONS: &[&Function] = &[&Function::new(
    OPTIONS,
    &[Overload::new(&[TextArray, Text], Text, |_, values, _| {
        let (Some(ValueRef::Array(options)), Some(ValueRef::Text(between))) = (values.first(), values.get(1))
        else {
            return Ok(Value::Null);
        };
        let spelled: Vec<String> = options
            .iter()
            .filter_map(|option| match option {
                ValueRef::Text(option) => option.split_once('='),
                _ => None,
            })
            .map(|(name, value)| format!("{} '{}'", crate::ddl::quoted(name), value.replace('\'', "''")))
            .collect();
        Ok(Value::Text(spelled.join(between)))
    })],
)];
