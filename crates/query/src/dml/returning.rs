//! RETURNING: the rows a statement changed, as it left them.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{self, SelectItem};
use luma_catalog::Table;
use luma_model::arrow::{ColumnBuilder, field};
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::execute;
use crate::expression::{RowExpression, Source};
use crate::fast::compile::table_column;
use crate::names::{identifier, qualified};
use crate::outcome::{Column, CommandTag, RowStream};
use crate::plan::context::Names;
use crate::plan::run;
use crate::session::SessionInfo;

/// The compiled clause.
#[derive(Clone, Debug)]
pub(crate) struct Returning {
    expressions: Vec<RowExpression>,
    pub(crate) columns: Arc<[Column]>,
}

impl Returning {
    /// Compiles the clause over the row of the statement's table and those of the tables that it is joined with.
    pub(crate) fn compile(
        items: &[SelectItem],
        sources: &[Source<'_>],
        names: &Names<'_>,
        parameters: &mut Vec<Option<DataType>>,
    ) -> Result<Self> {
        let mut expressions = Vec::new();
        let mut columns = Vec::new();
        for item in items {
            let (expr, name) = match item {
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    for (place, source) in starred(item, sources)? {
                        for column in source.table.live_columns() {
                            let parts =
                                [source.name, &column.name].map(|part| ast::Ident::with_quote('"', part));
                            let expr = ast::Expr::CompoundIdentifier(parts.to_vec());
                            expressions.push(RowExpression::compile(&expr, sources, names, parameters)?);
                            columns.push(column_of(sources, place, usize::from(column.number) - 1));
                        }
                    }
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, crate::plan::rewrite::column_name(expr)),
                SelectItem::ExprWithAlias { expr, alias } => (expr, identifier(alias)),
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::new(ErrorKind::Syntax, "RETURNING takes one name per column"));
                }
            };
            refuse_ambiguous(expr, sources)?;
            let compiled = RowExpression::compile(expr, sources, names, parameters)?;
            columns.push(match &compiled {
                RowExpression::Native(crate::fast::scalar::Typed {
                    node: crate::fast::scalar::Node::Column(place, ordinal),
                    ..
                }) => Column { name, ..column_of(sources, *place, *ordinal) },
                other => Column::new(name, other.data_type().clone()),
            });
            expressions.push(compiled);
        }
        Ok(Self { expressions, columns: columns.into() })
    }

    /// A collector of rows.
    pub(crate) fn collector(&self) -> Collector<'_> {
        let builders = self.columns.iter().map(|column| ColumnBuilder::new(&column.data_type, 16)).collect();
        Collector { returning: self, builders, rows: 0 }
    }
}

/// The sources whose columns a star stands for.
fn starred<'s, 't>(
    item: &SelectItem,
    sources: &'s [Source<'t>],
) -> Result<impl Iterator<Item = (usize, &'s Source<'t>)>> {
    let named = match item {
        SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            let name = qualified(name)?.name;
            if !sources.iter().any(|source| source.name == name) {
                let message = format!("missing FROM-clause entry for table \"{name}\"");
                return Err(Error::new(ErrorKind::UndefinedTable, message));
            }
            Some(name)
        }
        _ => None,
    };
    let all = sources.iter().enumerate();
    Ok(all.filter(move |(_, source)| named.as_deref().is_none_or(|name| name == source.name)))
}

/// A column of the statement's table says where it is from; those of others are columns of a query.
fn column_of(sources: &[Source<'_>], place: usize, ordinal: usize) -> Column {
    let Some(source) = sources.get(place) else { return Column::new(String::new(), DataType::Text) };
    let column = table_column(source.table, ordinal);
    if place == 0 { column } else { Column::new(column.name, column.data_type) }
}

/// Refuses a name without a table that several of the sources have.
fn refuse_ambiguous(expr: &ast::Expr, sources: &[Source<'_>]) -> Result<()> {
    if sources.len() < 2 {
        return Ok(());
    }
    let found = ast::visit_expressions(expr, |part| {
        if let ast::Expr::Identifier(name) = part {
            let name = identifier(name);
            if sources.iter().filter(|source| source.table.column(&name).is_some()).count() > 1 {
                return ControlFlow::Break(name);
            }
        }
        ControlFlow::Continue(())
    });
    match found {
        ControlFlow::Break(name) => {
            let message = format!("column reference \"{name}\" is ambiguous");
            Err(Error::new(ErrorKind::AmbiguousColumn, message))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The tables and queries that UPDATE … FROM and DELETE … USING join with, as tables of their columns.
pub(crate) fn joined(
    more: &[ast::TableWithJoins],
    names: &Names<'_>,
    state: &SessionState,
    parameters: &[Option<DataType>],
) -> Result<Vec<Table>> {
    if more.is_empty() {
        return Ok(Vec::new());
    }
    let star = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    let plan = names.plan(execute::select_query(vec![star], more.to_vec(), None))?;
    let types: Vec<DataType> =
        parameters.iter().map(|known| known.clone().unwrap_or(DataType::Text)).collect();
    let bound = run::bind(plan.clone(), &types, &vec![Value::Null; types.len()])?;
    let columns = execute::output_columns(state, &bound)?;
    let mut tables: Vec<Table> = Vec::new();
    for ((qualifier, _), column) in plan.schema().iter().zip(columns) {
        let name = qualifier.map_or("", |table| table.table());
        let place = tables.iter().position(|table| table.name == name).unwrap_or_else(|| {
            tables.push(Table::new(0, 0, name, 0, Vec::new()));
            tables.len() - 1
        });
        let number = u16::try_from(tables[place].columns.len() + 1)
            .map_err(|_| Error::new(ErrorKind::ProgramLimit, "too many columns to return from"))?;
        tables[place].columns.push(luma_catalog::Column::new(number, column.name, column.data_type));
    }
    Ok(tables)
}

/// Rows gathered so far.
pub(crate) struct Collector<'a> {
    returning: &'a Returning,
    builders: Vec<ColumnBuilder>,
    rows: usize,
}

impl Collector<'_> {
    pub(crate) fn add(
        &mut self,
        rows: &[&[ValueRef<'_>]],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<()> {
        for (builder, expression) in self.builders.iter_mut().zip(&self.returning.expressions) {
            match expression.evaluate(rows, parameters, info)?.as_ref() {
                ValueRef::Null => builder.append_null(),
                value => builder.append(value)?,
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(self, tag: CommandTag) -> Result<RowStream> {
        let fields: Vec<_> = self
            .returning
            .columns
            .iter()
            .map(|column| field(&column.name, &column.data_type, true))
            .collect();
        let arrays: Vec<ArrayRef> = self.builders.into_iter().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        Ok(RowStream::ready(Arc::clone(&self.returning.columns), vec![batch], tag))
    }
}
