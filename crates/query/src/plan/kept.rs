//! Logical plans that stay with prepared statements.
//!
//! What a statement's text means depends on the catalog, the names' path, the user and the settings; as long as those are
//! the same, the next execution begins with the plan of the one before. Parameters are in it as `$1`, `$2`, …, so it is
//! optimised for their values each time. Only plans over tables are kept: what a system view or a function in FROM shows is
//! made while it is planned. A kept plan names its tables and holds nothing of their data.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{LogicalPlan, TableScan, TableSource};
use luma_catalog::Oid;
use luma_model::{Error, ErrorKind, Result};

use crate::error::{from_datafusion, to_datafusion};
use crate::plan::columnar::ColumnTable;
use crate::plan::context::Names;
use crate::plan::provider::RowTable;
use crate::session::Session;
use crate::settings::Settings;

/// A table in a plan that is kept.
#[derive(Debug)]
struct TableNamed {
    oid: Oid,
    schema: SchemaRef,
}

impl TableSource for TableNamed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// The table behind a scan, if it is one of the catalog.
fn table_of(scan: &TableScan) -> Option<Oid> {
    let provider = source_as_provider(&scan.source).ok()?;
    match provider.downcast_ref::<RowTable>() {
        Some(table) => Some(table.table.definition.oid),
        None => Some(provider.downcast_ref::<ColumnTable>()?.oid()),
    }
}

/// What a plan was made under.
#[derive(Debug, PartialEq)]
struct Circumstances {
    catalog: u64,
    search_path: Vec<String>,
    user: String,
    settings: Settings,
}

impl Circumstances {
    fn hold(&self, session: &Session) -> bool {
        // A relation of the program behind the session may stand before a table of its name.
        session.relations.is_empty()
            && self.catalog == session.catalog_version()
            && self.search_path == session.search_path()
            && self.user == session.user
            && self.settings == session.settings
    }
}

/// A plan that is kept.
#[derive(Debug)]
pub(crate) struct KeptPlan {
    plan: LogicalPlan,
    circumstances: Circumstances,
}

impl KeptPlan {
    /// The plan without what it sees of the data; `None` if it reads more than tables.
    pub(crate) fn of(plan: &LogicalPlan, session: &Session) -> Option<Self> {
        let mut only_tables = true;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && table_of(scan).is_none()
            {
                only_tables = false;
            }
            Ok(if only_tables { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
        .ok()?;
        if !only_tables || !session.relations.is_empty() {
            return None;
        }
        let named = plan.clone().transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(scan) if let Some(oid) = table_of(&scan) => {
                let schema = scan.source.schema();
                let source = Arc::new(TableNamed { oid, schema });
                Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
            }
            node => Ok(Transformed::no(node)),
        });
        let circumstances = Circumstances {
            catalog: session.catalog_version(),
            search_path: session.search_path().to_vec(),
            user: session.user.clone(),
            settings: session.settings.clone(),
        };
        Some(Self { plan: named.ok()?.data, circumstances })
    }

    /// Whether the statement means the same now.
    pub(crate) fn holds(&self, session: &Session) -> bool {
        self.circumstances.hold(session)
    }

    /// The plan over what the statement sees.
    ///
    /// # Errors
    /// When a table can't be opened.
    pub(crate) fn over(&self, names: &Names<'_>) -> Result<LogicalPlan> {
        let bound = self.plan.clone().transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
            let Some(named) = scan.source.as_ref().downcast_ref::<TableNamed>() else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let Some(table) = names.catalog.table(named.oid) else {
                let message = "a table that a kept plan reads is gone";
                return Err(to_datafusion(Error::new(ErrorKind::Internal, message)));
            };
            let source = names.table_source(table)?;
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
        });
        bound.map(|bound| bound.data).map_err(from_datafusion)
    }
}
