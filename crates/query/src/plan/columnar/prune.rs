//! Row groups whose footers say that none of their rows pass.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::compute::concat;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use luma_columns::{ColumnSummary, FileView};
use luma_rows::ScanColumn;

/// What the footer of one file says about its row groups.
pub(super) struct Groups<'a> {
    pub view: &'a FileView,
    /// The columns that a predicate may name, with their names in it.
    pub columns: &'a [(String, ScanColumn)],
    pub chosen: &'a [usize],
}

impl Groups<'_> {
    fn summary(&self, column: &Column) -> Option<Arc<ColumnSummary>> {
        let (_, ScanColumn::Value(ordinal)) = self.columns.iter().find(|(name, _)| *name == column.name)?
        else {
            return None;
        };
        self.view.summary(*ordinal as u16 + 1).ok()?
    }

    fn of_groups(&self, values: &ArrayRef) -> Option<ArrayRef> {
        let slices: Vec<ArrayRef> = self
            .chosen
            .iter()
            .filter(|group| **group < values.len())
            .map(|group| values.slice(*group, 1))
            .collect();
        let slices: Vec<&dyn datafusion::arrow::array::Array> = slices.iter().map(AsRef::as_ref).collect();
        concat(&slices).ok()
    }

    /// The groups that may have rows that pass.
    pub fn keep(&self, predicate: &PruningPredicate) -> Vec<usize> {
        match predicate.prune(self) {
            Ok(kept) => {
                self.chosen.iter().zip(kept).filter(|(_, kept)| *kept).map(|(group, _)| *group).collect()
            }
            // What cannot be told is read.
            Err(_) => self.chosen.to_vec(),
        }
    }
}

impl PruningStatistics for Groups<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of_groups(&self.summary(column)?.minima)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of_groups(&self.summary(column)?.maxima)
    }

    fn num_containers(&self) -> usize {
        self.chosen.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls: ArrayRef = Arc::new(self.summary(column)?.nulls.clone());
        self.of_groups(&nulls)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = |group: &usize| self.view.group_rows(*group).ok().map(Some);
        let rows: Option<UInt64Array> = self.chosen.iter().map(rows).collect();
        Some(Arc::new(rows?))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
