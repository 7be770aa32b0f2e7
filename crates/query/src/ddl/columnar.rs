//! What is different about tables that were made `WITH (engine = 'columnar')`.

use datafusion::sql::sqlparser::ast;
use luma_catalog::{Columnar, Table};
use luma_model::{DataType, Error, ErrorKind, Result};

/// The options of a table, as they are given.
#[derive(Debug, Default)]
pub(super) struct Options {
    columnar: bool,
    partition_by: Option<String>,
    sort_by: Option<String>,
}

/// Reads `WITH (…)`.
///
/// # Errors
/// 22023 for an option that there is not, or a value that it does not take.
pub(super) fn options(given: &ast::CreateTableOptions) -> Result<Options> {
    let mut options = Options::default();
    let (ast::CreateTableOptions::With(given)
    | ast::CreateTableOptions::Options(given)
    | ast::CreateTableOptions::Plain(given)
    | ast::CreateTableOptions::TableProperties(given)) = given
    else {
        return Ok(options);
    };
    for option in given {
        let text = option.to_string();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        let (name, value) = (name.trim().to_lowercase(), value.trim().trim_matches('\''));
        match name.as_str() {
            // How PostgreSQL packs pages, which are not ours.
            "fillfactor" | "autovacuum_enabled" => {}
            "engine" if value.eq_ignore_ascii_case("columnar") => options.columnar = true,
            "engine" if value.eq_ignore_ascii_case("row") => options.columnar = false,
            "engine" => {
                let message = format!("invalid value for option \"engine\": \"{value}\"");
                return Err(Error::new(ErrorKind::InvalidParameterValue, message)
                    .hint("Engines are 'row' and 'columnar'."));
            }
            "partition_by" => options.partition_by = Some(value.to_owned()),
            "sort_by" => options.sort_by = Some(value.to_owned()),
            _ => {
                let name = name.split(' ').next().unwrap_or_default();
                let message = format!("unrecognized table option \"{name}\"");
                return Err(Error::new(ErrorKind::InvalidParameterValue, message));
            }
        }
    }
    let misplaced = [("partition_by", &options.partition_by), ("sort_by", &options.sort_by)];
    if let (false, Some((name, _))) = (options.columnar, misplaced.iter().find(|(_, given)| given.is_some()))
    {
        let message = format!("option \"{name}\" is for tables with engine = 'columnar'");
        return Err(Error::new(ErrorKind::InvalidParameterValue, message));
    }
    Ok(options)
}

impl Options {
    /// Whether the table is to be columnar.
    pub fn is_columnar(&self) -> bool {
        self.columnar
    }

    /// How a table with these columns keeps its rows, its files in the storage `files`.
    ///
    /// # Errors
    /// 42703 for a column that there is not, 0A000 for one that files cannot have or be sorted by.
    pub fn resolve(&self, table: &Table, files: luma_catalog::StorageId) -> Result<Columnar> {
        if table.live_columns().next().is_none() {
            return Err(Error::new(ErrorKind::InvalidTableDefinition, "a columnar table needs a column"));
        }
        for column in table.live_columns() {
            luma_columns::refuse_unstorable(column)?;
        }
        let numbers = |given: &Option<String>, option: &str| -> Result<Vec<u16>> {
            let names = given.iter().flat_map(|names| names.split(',')).map(str::trim);
            names.filter(|name| !name.is_empty()).map(|name| number(table, name, option)).collect()
        };
        Ok(Columnar {
            files,
            partition_by: numbers(&self.partition_by, "partition_by")?,
            sort_by: numbers(&self.sort_by, "sort_by")?,
        })
    }
}

fn number(table: &Table, name: &str, option: &str) -> Result<u16> {
    let bare = name.trim_matches('"');
    let Some(column) = table.column(bare).or_else(|| table.column(&bare.to_lowercase())) else {
        let message = format!("column \"{bare}\" named in option \"{option}\" does not exist");
        return Err(Error::new(ErrorKind::UndefinedColumn, message));
    };
    if matches!(column.data_type, DataType::Interval | DataType::Json | DataType::Jsonb | DataType::Array(_))
    {
        let (name, kind) = (&column.name, column.data_type.sql_name());
        let message =
            format!("option \"{option}\": column \"{name}\" has type {kind}, which is not sorted by");
        return Err(Error::new(ErrorKind::FeatureNotSupported, message));
    }
    Ok(column.number)
}

/// Refuses what a columnar table does not have.
///
/// # Errors
/// 0A000 for a columnar table.
pub(super) fn refuse(table: &Table, what: &str) -> Result<()> {
    if table.columnar.is_none() {
        return Ok(());
    }
    let message = format!("columnar table \"{}\" cannot have {what}", table.name);
    Err(Error::new(ErrorKind::FeatureNotSupported, message).hint(
        "Files skip what cannot match by the minima and maxima of their columns: sort_by makes that more. \
         A table without engine = 'columnar' has keys and indexes.",
    ))
}

/// Refuses to change a column that says where a columnar table's rows go.
///
/// # Errors
/// 2BP01 for such a column.
pub(super) fn refuse_layout_column(table: &Table, number: u16) -> Result<()> {
    let Some(columnar) = &table.columnar else { return Ok(()) };
    let option = if columnar.partition_by.contains(&number) {
        "partition_by"
    } else if columnar.sort_by.contains(&number) {
        "sort_by"
    } else if table.live_columns().count() == 1 {
        return Err(Error::new(ErrorKind::InvalidTableDefinition, "a columnar table needs a column"));
    } else {
        return Ok(());
    };
    let name = table.column_by_number(number).map_or("", |column| column.name.as_str());
    let message = format!("cannot drop column {name} of table {}: option \"{option}\" names it", table.name);
    Err(Error::new(ErrorKind::DependentObjects, message))
}
