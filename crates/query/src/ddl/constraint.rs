//! Constraints of a table being defined: from SQL's spelling to the catalog's.

use datafusion::sql::sqlparser::ast::{self, Expr, TableConstraint};
use luma_catalog::{
    Check, ConstraintTiming, ForeignKey, Index, IndexColumn, KeyConstraint, Oid, ReferentialAction,
    StorageId, Table,
};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::ddl::columnar;
use crate::dml::insert::ordinal;
use crate::expression::{RowExpression, Source};
use crate::names::{identifier, qualified};
use crate::plan::context::Names;

/// Makes numbers and keyspaces while a table is put together.
pub(crate) struct Allocator<'a> {
    pub(crate) oid: &'a dyn Fn() -> Oid,
    pub(crate) storage: &'a mut dyn FnMut() -> Result<StorageId>,
}

/// Adds a constraint to the table. Foreign keys come last: what they reference must stand already.
pub(crate) fn add(
    table: &mut Table,
    constraint: &TableConstraint,
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    match constraint {
        TableConstraint::PrimaryKey(key) => {
            let columns = column_numbers(table, &key.columns)?;
            let name = key.name.as_ref().or(key.index_name.as_ref()).map(identifier);
            primary_key(table, name, columns, timing(key.characteristics.as_ref())?, allocate)
        }
        TableConstraint::Unique(unique) => {
            let columns = column_numbers(table, &unique.columns)?;
            if unique.nulls_distinct == ast::NullsDistinctOption::NotDistinct {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    "NULLS NOT DISTINCT is not supported",
                ));
            }
            let name = unique.name.as_ref().or(unique.index_name.as_ref()).map(identifier);
            self::unique(table, name, columns, timing(unique.characteristics.as_ref())?, names, allocate)
        }
        TableConstraint::Check(check) => {
            self::check(table, check.name.as_ref().map(identifier), &check.expr, None, names, allocate)
        }
        TableConstraint::ForeignKey(key) => {
            let columns = key.columns.iter().map(identifier).collect::<Vec<_>>();
            foreign_key(table, key, &columns, names, allocate)
        }
        other => {
            Err(Error::new(ErrorKind::FeatureNotSupported, format!("constraint {other} is not supported")))
        }
    }
}

/// Makes columns the primary key.
pub(crate) fn primary_key(
    table: &mut Table,
    name: Option<String>,
    columns: Vec<u16>,
    timing: ConstraintTiming,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    columnar::refuse(table, "a primary key")?;
    if table.primary_columns().is_some() {
        return Err(Error::new(
            ErrorKind::InvalidTableDefinition,
            format!("multiple primary keys for table \"{}\" are not allowed", table.name),
        ));
    }
    for number in &columns {
        let column = &mut table.columns[usize::from(*number) - 1];
        refuse_unordered(&column.data_type, &column.name)?;
        column.not_null = true;
    }
    let name = name.unwrap_or_else(|| format!("{}_pkey", table.name));
    if timing == ConstraintTiming::NotDeferrable {
        table.primary_key = Some(KeyConstraint { oid: (allocate.oid)(), name, columns });
    } else {
        let index = constraint_index(name, columns, timing, allocate)?;
        table.indexes.push(Index { primary: true, ..index });
    }
    Ok(())
}

/// The index of a constraint.
fn constraint_index(
    name: String,
    columns: Vec<u16>,
    timing: ConstraintTiming,
    allocate: &mut Allocator<'_>,
) -> Result<Index> {
    let part = |column| IndexColumn { column, descending: false, nulls_first: false };
    Ok(Index {
        oid: (allocate.oid)(),
        name,
        storage: (allocate.storage)()?,
        columns: columns.into_iter().map(part).collect(),
        unique: true,
        constraint: true,
        expressions: Vec::new(),
        predicate: None,
        include: Vec::new(),
        primary: false,
        timing,
    })
}

/// Makes columns unique.
pub(crate) fn unique(
    table: &mut Table,
    name: Option<String>,
    columns: Vec<u16>,
    timing: ConstraintTiming,
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    columnar::refuse(table, "a unique constraint")?;
    for number in &columns {
        let column = &table.columns[usize::from(*number) - 1];
        refuse_unordered(&column.data_type, &column.name)?;
    }
    let name = match name {
        Some(name) => name,
        None => {
            free_name(table, &format!("{}_{}_key", table.name, table.column_names(&columns).join("_")), names)
        }
    };
    table.indexes.push(constraint_index(name, columns, timing, allocate)?);
    Ok(())
}

/// Adds a CHECK condition.
pub(crate) fn check(
    table: &mut Table,
    name: Option<String>,
    expr: &Expr,
    column: Option<&str>,
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    let mut parameters = Vec::new();
    let source = Source { name: &table.name, table };
    let compiled = RowExpression::compile(expr, &[source], names, &mut parameters)?;
    if !parameters.is_empty() {
        return Err(Error::new(ErrorKind::UndefinedParameter, "a CHECK condition can't have parameters"));
    }
    if *compiled.data_type() != DataType::Bool {
        return Err(Error::new(
            ErrorKind::DatatypeMismatch,
            format!("argument of CHECK must be type boolean, not type {}", compiled.data_type().sql_name()),
        ));
    }
    let name = name.unwrap_or_else(|| {
        let stem = match column {
            Some(column) => format!("{}_{column}_check", table.name),
            None => format!("{}_check", table.name),
        };
        free_constraint_name(table, &stem)
    });
    refuse_known(table, &name)?;
    table.checks.push(Check {
        oid: (allocate.oid)(),
        name,
        expression: crate::ddl::table::expression_text(expr),
    });
    Ok(())
}

/// Adds a foreign key over these columns.
pub(crate) fn foreign_key(
    table: &mut Table,
    key: &ast::ForeignKeyConstraint,
    columns: &[String],
    names: &Names<'_>,
    allocate: &mut Allocator<'_>,
) -> Result<()> {
    columnar::refuse(table, "a foreign key")?;
    if matches!(
        key.match_kind,
        Some(ast::ConstraintReferenceMatchKind::Full | ast::ConstraintReferenceMatchKind::Partial)
    ) {
        return Err(Error::new(ErrorKind::FeatureNotSupported, "only MATCH SIMPLE is supported"));
    }
    let numbers = columns.iter().map(|name| number(table, name)).collect::<Result<Vec<u16>>>()?;
    let reference = qualified(&key.foreign_table)?;
    let own = reference.name == table.name
        && names.scope().find(&reference).is_none_or(|found| found.oid() == table.oid);
    let parent = if own { table.clone() } else { names.scope().table(&reference)?.as_ref().clone() };
    crate::temporary::refuse_permanent(names.catalog, table.schema, &[parent.oid])?;
    let referenced: Vec<u16> = if key.referred_columns.is_empty() {
        match &parent.primary_key {
            Some(key) => key.columns.clone(),
            None if parent.deferrable_key().is_some() => {
                return Err(deferrable_parent("primary key", &parent));
            }
            None => {
                return Err(Error::new(
                    ErrorKind::UndefinedObject,
                    format!("there is no primary key for referenced table \"{}\"", parent.name),
                ));
            }
        }
    } else {
        key.referred_columns.iter().map(|name| number(&parent, &identifier(name))).collect::<Result<_>>()?
    };
    if referenced.len() != numbers.len() {
        return Err(Error::new(
            ErrorKind::InvalidForeignKey,
            "number of referencing and referenced columns for foreign key disagree",
        ));
    }
    let same = |columns: &[u16]| {
        columns.len() == referenced.len() && columns.iter().all(|column| referenced.contains(column))
    };
    let mut fitting = parent.indexes.iter().filter(|index| {
        let columns: Option<Vec<u16>> = index.plain_columns().map(Iterator::collect);
        index.unique && columns.is_some_and(|columns| same(&columns))
    });
    let by_index = fitting.clone().any(Index::is_always_unique);
    if !by_index && !parent.primary_key.as_ref().is_some_and(|key| same(&key.columns)) {
        if fitting.next().is_some() {
            return Err(deferrable_parent("unique constraint", &parent));
        }
        return Err(Error::new(
            ErrorKind::InvalidForeignKey,
            format!(
                "there is no unique constraint matching given keys for referenced table \"{}\"",
                parent.name
            ),
        ));
    }
    for (own, other) in numbers.iter().zip(&referenced) {
        let own = &table.columns[usize::from(*own) - 1];
        let other = &parent.columns[usize::from(*other) - 1];
        let merges = |column: &&luma_catalog::Column| {
            column.collation.as_ref().is_some_and(|known| known.collation.merges())
        };
        if let Some(column) = [own, other].into_iter().find(merges) {
            let message = format!(
                "a foreign key over column \"{}\" with a nondeterministic collation is not supported",
                column.name
            );
            return Err(Error::new(ErrorKind::FeatureNotSupported, message));
        }
        // Keys are compared as stored, so the types must be stored alike.
        if stored_form(&own.data_type) != stored_form(&other.data_type) {
            return Err(Error::new(
                ErrorKind::DatatypeMismatch,
                format!(
                    "foreign key column \"{}\" is of type {} but referenced column \"{}\" is of type {}",
                    own.name,
                    own.data_type.sql_name(),
                    other.name,
                    other.data_type.sql_name()
                ),
            )
            .hint("Give both columns the same type."));
        }
    }
    let name = match &key.name {
        Some(name) => identifier(name),
        None => free_constraint_name(table, &format!("{}_{}_fkey", table.name, columns.join("_"))),
    };
    refuse_known(table, &name)?;
    table.foreign_keys.push(ForeignKey {
        oid: (allocate.oid)(),
        name,
        columns: numbers,
        referenced_table: parent.oid,
        referenced_columns: referenced,
        on_delete: action(key.on_delete),
        on_update: action(key.on_update),
        timing: timing(key.characteristics.as_ref())?,
    });
    Ok(())
}

fn deferrable_parent(what: &str, parent: &Table) -> Error {
    let message = format!("cannot use a deferrable {what} for referenced table \"{}\"", parent.name);
    Error::new(ErrorKind::ObjectNotInPrerequisiteState, message)
}

pub(crate) fn timing(characteristics: Option<&ast::ConstraintCharacteristics>) -> Result<ConstraintTiming> {
    let Some(characteristics) = characteristics else { return Ok(ConstraintTiming::NotDeferrable) };
    let initially_deferred = characteristics.initially == Some(ast::DeferrableInitial::Deferred);
    match characteristics.deferrable {
        Some(false) if initially_deferred => {
            Err(Error::new(ErrorKind::Syntax, "constraint declared INITIALLY DEFERRED must be DEFERRABLE"))
        }
        _ if initially_deferred => Ok(ConstraintTiming::InitiallyDeferred),
        Some(true) => Ok(ConstraintTiming::InitiallyImmediate),
        _ => Ok(ConstraintTiming::NotDeferrable),
    }
}

fn action(action: Option<ast::ReferentialAction>) -> ReferentialAction {
    match action {
        None | Some(ast::ReferentialAction::NoAction) => ReferentialAction::NoAction,
        Some(ast::ReferentialAction::Restrict) => ReferentialAction::Restrict,
        Some(ast::ReferentialAction::Cascade) => ReferentialAction::Cascade,
        Some(ast::ReferentialAction::SetNull) => ReferentialAction::SetNull,
        Some(ast::ReferentialAction::SetDefault) => ReferentialAction::SetDefault,
    }
}

fn stored_form(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Varchar(_) | DataType::Char(_) | DataType::Name => DataType::Text,
        DataType::Numeric(_) => DataType::Numeric(None),
        other => other.clone(),
    }
}

fn number(table: &Table, name: &str) -> Result<u16> {
    match table.column(name) {
        Some(column) => Ok(column.number),
        None => Err(Error::new(
            ErrorKind::UndefinedColumn,
            format!("column \"{name}\" referenced in foreign key constraint does not exist"),
        )),
    }
}

/// The columns of a key; expressions are no columns.
pub(crate) fn column_numbers(table: &Table, columns: &[ast::IndexColumn]) -> Result<Vec<u16>> {
    let mut numbers = Vec::with_capacity(columns.len());
    for column in columns {
        let Expr::Identifier(name) = &column.column.expr else {
            return Err(Error::new(ErrorKind::Syntax, "a key consists of columns"));
        };
        let name = identifier(name);
        let number = match table.column(&name) {
            Some(column) => column.number,
            None => {
                return Err(Error::new(
                    ErrorKind::UndefinedColumn,
                    format!("column \"{name}\" named in key does not exist"),
                ));
            }
        };
        if numbers.contains(&number) {
            return Err(Error::new(
                ErrorKind::DuplicateColumn,
                format!("column \"{name}\" appears twice in the key"),
            ));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// Refuses types that have no order.
pub(crate) fn refuse_unordered(data_type: &DataType, column: &str) -> Result<()> {
    if matches!(data_type, DataType::Json) {
        return Err(Error::new(
            ErrorKind::UndefinedObject,
            format!("data type json of column \"{column}\" has no default operator class for an index"),
        )
        .hint("Use jsonb, or index an extracted value."));
    }
    Ok(())
}

fn refuse_known(table: &Table, name: &str) -> Result<()> {
    if has_constraint(table, name) {
        return Err(Error::new(
            ErrorKind::DuplicateObject,
            format!("constraint \"{name}\" for relation \"{}\" already exists", table.name),
        ));
    }
    Ok(())
}

fn has_constraint(table: &Table, name: &str) -> bool {
    table.checks.iter().any(|check| check.name == name)
        || table.foreign_keys.iter().any(|key| key.name == name)
        || table.primary_key.as_ref().is_some_and(|key| key.name == name)
        || table.index(name).is_some()
}

fn free_constraint_name(table: &Table, stem: &str) -> String {
    numbered(stem, |name| has_constraint(table, name))
}

/// A relation name nobody has in the table's schema.
pub(crate) fn free_name(table: &Table, stem: &str, names: &Names<'_>) -> String {
    numbered(stem, |name| names.catalog.relation(table.schema, name).is_some() || has_constraint(table, name))
}

fn numbered(stem: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut stem = stem.to_owned();
    while stem.len() > 60 {
        stem.pop();
    }
    if !taken(&stem) {
        return stem;
    }
    let mut count = 1;
    loop {
        let name = format!("{stem}{count}");
        if !taken(&name) {
            return name;
        }
        count += 1;
    }
}

/// The column a statement about one column names.
pub(crate) fn column_ordinal(table: &Table, name: &ast::Ident) -> Result<usize> {
    ordinal(table, &identifier(name))
}
