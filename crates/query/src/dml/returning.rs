//! RETURNING: the rows a statement changed, as it left them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::sql::sqlparser::ast::{self, SelectItem};
use luma_catalog::Table;
use luma_model::arrow::{ColumnBuilder, field};
use luma_model::{DataType, Error, ErrorKind, Result, Value, ValueRef};

use crate::expression::{RowExpression, Source};
use crate::fast::compile::table_column;
use crate::names::identifier;
use crate::outcome::{Column, CommandTag, RowStream};
use crate::plan::context::Names;
use crate::session::SessionInfo;

/// The compiled clause.
#[derive(Clone, Debug)]
pub(crate) struct Returning {
    expressions: Vec<RowExpression>,
    pub(crate) columns: Arc<[Column]>,
}

impl Returning {
    pub(crate) fn compile(
        items: &[SelectItem],
        table: &Table,
        alias: &str,
        names: &Names<'_>,
        parameters: &mut Vec<Option<DataType>>,
    ) -> Result<Self> {
        let source = Source { name: alias, table };
        let mut expressions = Vec::new();
        let mut columns = Vec::new();
        for item in items {
            let (expr, name) = match item {
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    for column in table.live_columns() {
                        let ident = ast::Ident::with_quote('"', column.name.clone());
                        let expr = ast::Expr::Identifier(ident);
                        expressions.push(RowExpression::compile(&expr, &[source], names, parameters)?);
                        columns.push(table_column(table, usize::from(column.number) - 1));
                    }
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, crate::plan::rewrite::column_name(expr)),
                SelectItem::ExprWithAlias { expr, alias } => (expr, identifier(alias)),
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::new(ErrorKind::Syntax, "RETURNING takes one name per column"));
                }
            };
            let compiled = RowExpression::compile(expr, &[source], names, parameters)?;
            columns.push(match &compiled {
                RowExpression::Native(crate::fast::scalar::Typed {
                    node: crate::fast::scalar::Node::Column(0, ordinal),
                    ..
                }) => Column { name, ..table_column(table, *ordinal) },
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

/// Rows gathered so far.
pub(crate) struct Collector<'a> {
    returning: &'a Returning,
    builders: Vec<ColumnBuilder>,
    rows: usize,
}

impl Collector<'_> {
    pub(crate) fn add(
        &mut self,
        row: &[ValueRef<'_>],
        parameters: &[Value],
        info: &Arc<SessionInfo>,
    ) -> Result<()> {
        for (builder, expression) in self.builders.iter_mut().zip(&self.returning.expressions) {
            match expression.evaluate(&[row], parameters, info)?.as_ref() {
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
