//! A partition of a scan on its way.
//!
//! Rows are passed by filters while a row group is read, so that the other columns are unpacked only where they
//! pass; where most rows pass, that costs more than it saves, and filters are applied to whole batches. What
//! becomes known while the query runs (the keys of a join's small side, the worst of the first ten) leaves out
//! row groups by their minima and maxima, and then rows, as long as it leaves out enough of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{and, filter_record_batch, prep_null_mask_filter};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};
use datafusion::physical_plan::metrics::Count;
use lightning::Direction;
use luma_columns::{FileView, Predicate, Wanted};
use luma_model::{Error, Result};
use luma_rows::{Access, FileScan, OpenTable, RowScan, ScanColumn};

use crate::error::from_datafusion;
use crate::plan::columnar::prune::Groups;
use crate::plan::columnar::scan::{ColumnScanExec, Filter, Unit, named, pruning};

/// The share of rows that pass from which filters are applied to whole batches.
const MANY_PASS: f64 = 0.3;
/// The share of rows that pass from which a filter that others apply again costs more than it saves.
const MOST_PASS: f64 = 0.8;
/// Rows of a batch of those that are not in files.
const LOOSE_ROWS: usize = 8192;

/// A filter, and how much of what it looked at passed.
struct Test {
    filter: Filter,
    /// Whether others apply it again.
    optional: bool,
    /// Which form of a filter that changes the counts are about.
    generation: u64,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    seen: AtomicU64,
    passed: AtomicU64,
}

impl Counts {
    fn add(&self, mask: &BooleanArray) {
        self.seen.fetch_add(mask.len() as u64, Ordering::Relaxed);
        self.passed.fetch_add(mask.true_count() as u64, Ordering::Relaxed);
    }

    /// The share that passed; 0 before anything was seen.
    fn share(&self) -> f64 {
        let seen = self.seen.load(Ordering::Relaxed);
        if seen == 0 { 0.0 } else { self.passed.load(Ordering::Relaxed) as f64 / seen as f64 }
    }
}

impl Test {
    fn new(filter: Filter, optional: bool) -> Self {
        let generation = snapshot_generation(&filter.predicate);
        Self { filter, optional, generation, counts: Arc::default() }
    }

    /// A filter over what the scan gives, as one over the columns that it looks at; `None` if it looks at none.
    fn of_dynamic(scan: &ColumnScanExec, predicate: &Arc<dyn PhysicalExpr>) -> PlanResult<Option<Self>> {
        let mut places: Vec<usize> = collect_columns(predicate)
            .iter()
            .map(datafusion::physical_expr::expressions::Column::index)
            .collect();
        places.sort_unstable();
        places.dedup();
        let columns: Vec<ScanColumn> =
            places.iter().filter_map(|place| scan.columns.get(*place).copied()).collect();
        if columns.is_empty() || !columns.iter().all(|column| matches!(column, ScanColumn::Value(_))) {
            return Ok(None);
        }
        let schema = Arc::new(scan.schema.project(&places)?);
        let predicate = reassign_expr_columns(Arc::clone(predicate), &schema)?;
        Ok(Some(Self::new(Filter::new(columns, schema, predicate), true)))
    }

    /// Whether it is worth its cost.
    fn is_wanted(&mut self) -> bool {
        if !self.optional {
            return true;
        }
        let generation = snapshot_generation(&self.filter.predicate);
        if generation != self.generation {
            self.generation = generation;
            self.counts = Arc::default();
        }
        self.counts.share() < MOST_PASS
    }

    /// The columns that it looks at, as files are asked for them.
    fn wanted(&self, table: &OpenTable) -> Vec<Wanted> {
        let columns = self.filter.columns.iter();
        columns
            .filter_map(|column| match column {
                ScanColumn::Value(ordinal) => Some(table.wanted(*ordinal)),
                _ => None,
            })
            .collect()
    }

    /// As a predicate of a row group's reader.
    fn predicate(&self, wanted: Vec<Wanted>) -> Predicate {
        let (filter, counts) = (self.filter.clone(), Arc::clone(&self.counts));
        let evaluate = move |columns, rows| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&filter.schema), columns, &options)
                .map_err(|error| Error::internal(format!("a filter's columns: {error}")))?;
            let mask = passes(&filter.predicate, &batch).map_err(from_datafusion)?;
            counts.add(&mask);
            Ok(mask)
        };
        Predicate { columns: wanted, evaluate: Box::new(evaluate) }
    }

    /// Which rows of a batch that has its columns pass.
    fn mask(&self, batch: &RecordBatch) -> PlanResult<BooleanArray> {
        let fields = self.filter.schema.fields().iter();
        let columns = fields
            .map(|field| {
                let found = batch.column_by_name(field.name()).map(Arc::clone);
                found.ok_or_else(|| DataFusionError::Internal("a filter's column was not read".into()))
            })
            .collect::<PlanResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let looked_at =
            RecordBatch::try_new_with_options(Arc::clone(&self.filter.schema), columns, &options)?;
        let mask = passes(&self.filter.predicate, &looked_at)?;
        self.counts.add(&mask);
        Ok(mask)
    }
}

/// Which rows of a batch satisfy a predicate; NULL is no.
fn passes(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> PlanResult<BooleanArray> {
    let given = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    let mask = as_boolean_array(&given)?;
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

/// What is read now.
enum Reading {
    File(Box<FileScan>),
    Loose(Box<RowScan>),
}

/// A partition on its way.
pub(super) struct Run {
    scan: ColumnScanExec,
    units: std::vec::IntoIter<Unit>,
    tests: Vec<Test>,
    /// What is read, and the tests that are still to be applied to its batches.
    current: Option<(Reading, Vec<usize>)>,
    remaining: usize,
    skipped: Count,
    left_out: Count,
}

impl Run {
    pub fn new(scan: ColumnScanExec, units: Vec<Unit>, skipped: Count, left_out: Count) -> PlanResult<Self> {
        let mut tests = Vec::new();
        if let Some(filter) = &scan.filter {
            tests.extend(filter.parts()?.into_iter().map(|part| Test::new(part, false)));
        }
        for predicate in &scan.dynamic {
            tests.extend(Test::of_dynamic(&scan, predicate)?);
        }
        let remaining = scan.limit.unwrap_or(usize::MAX);
        Ok(Self { scan, units: units.into_iter(), tests, current: None, remaining, skipped, left_out })
    }

    /// The next rows; `None` at the end.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.remaining > 0 {
            let Some((reading, tests)) = &mut self.current else {
                let Some(unit) = self.units.next() else { return Ok(None) };
                self.begin(unit)?;
                continue;
            };
            let batch = match reading {
                Reading::File(scan) => scan.next_batch()?,
                Reading::Loose(scan) => scan.next_batch(LOOSE_ROWS)?,
            };
            let Some(batch) = batch else {
                self.current = None;
                continue;
            };
            let tests = std::mem::take(tests);
            let passed = self.filtered(&batch, &tests).map_err(from_datafusion)?;
            if let Some((_, kept)) = &mut self.current {
                *kept = tests;
            }
            self.left_out.add(batch.num_rows() - passed.num_rows());
            if passed.num_rows() == 0 {
                continue;
            }
            let passed =
                if passed.num_rows() > self.remaining { passed.slice(0, self.remaining) } else { passed };
            self.remaining -= passed.num_rows();
            return Ok(Some(passed));
        }
        Ok(None)
    }

    /// The columns wanted, then those that only these tests look at.
    fn with_columns_of(&self, tests: &[usize]) -> (Vec<ScanColumn>, SchemaRef) {
        let mut columns = self.scan.columns.clone();
        let mut fields: Vec<_> = self.scan.schema.fields().iter().cloned().collect();
        for filter in tests.iter().filter_map(|place| self.tests.get(*place)).map(|test| &test.filter) {
            for (column, field) in filter.columns.iter().zip(filter.schema.fields()) {
                if !columns.contains(column) {
                    columns.push(*column);
                    fields.push(Arc::clone(field));
                }
            }
        }
        (columns, Arc::new(Schema::new(fields)))
    }

    /// The rows of a batch that pass, without the columns that only tests look at.
    fn filtered(&self, batch: &RecordBatch, tests: &[usize]) -> PlanResult<RecordBatch> {
        let mut mask: Option<BooleanArray> = None;
        for test in tests.iter().filter_map(|place| self.tests.get(*place)) {
            let passed = test.mask(batch)?;
            mask = Some(match mask {
                Some(mask) => and(&mask, &passed)?,
                None => passed,
            });
        }
        let Some(mask) = mask else { return Ok(batch.clone()) };
        let wanted: Vec<usize> = (0..self.scan.columns.len()).collect();
        Ok(filter_record_batch(&batch.project(&wanted)?, &mask)?)
    }

    fn begin(&mut self, unit: Unit) -> Result<()> {
        let table = Arc::clone(&self.scan.source.table);
        let Unit::Group(place, group) = unit else {
            let tests: Vec<usize> = (0..self.tests.len())
                .filter(|place| self.tests.get(*place).is_some_and(|test| !test.optional))
                .collect();
            let (columns, schema) = self.with_columns_of(&tests);
            let reader = self.scan.source.reader.clone();
            let rows = RowScan::new(table, reader, Access::all(), Direction::Forward, columns, schema, None);
            self.current = Some((Reading::Loose(Box::new(rows)), tests));
            return Ok(());
        };
        let source = Arc::clone(&self.scan.source);
        let view = source.views.get(place).ok_or_else(|| Error::internal("a scan's file is not there"))?;
        if self.is_ruled_out(view, group) {
            self.skipped.add(1);
            return Ok(());
        }
        let mut chosen = Vec::new();
        for (place, test) in self.tests.iter_mut().enumerate() {
            if test.is_wanted() {
                chosen.push(place);
            }
        }
        let predicates = self.predicates(&chosen, &table, view)?;
        let (columns, schema, tests) = if predicates.is_empty() {
            let (columns, schema) = self.with_columns_of(&chosen);
            (columns, schema, chosen)
        } else {
            (self.scan.columns.clone(), Arc::clone(&self.scan.schema), Vec::new())
        };
        let file =
            FileScan::open(table, view, group, columns, schema, predicates, self.scan.limit.is_none())?;
        self.current = Some((Reading::File(Box::new(file)), tests));
        Ok(())
    }

    /// The tests as predicates of a row group's reader; none where they are better applied to whole batches.
    fn predicates(&self, tests: &[usize], table: &OpenTable, view: &FileView) -> Result<Vec<Predicate>> {
        let tests = || tests.iter().filter_map(|place| self.tests.get(*place));
        let share: f64 = tests().map(|test| test.counts.share()).product();
        let looked_at = |column: &ScanColumn| tests().any(|test| test.filter.columns.contains(column));
        if share >= MANY_PASS || self.scan.columns.iter().all(looked_at) {
            return Ok(Vec::new());
        }
        let mut predicates = Vec::new();
        for test in tests() {
            let wanted = test.wanted(table);
            if !view.has_any(&wanted)? {
                return Ok(Vec::new());
            }
            predicates.push(test.predicate(wanted));
        }
        Ok(predicates)
    }

    /// Whether what became known while the query runs says that nothing in the row group is wanted.
    fn is_ruled_out(&self, view: &FileView, group: usize) -> bool {
        self.scan.dynamic.iter().any(|filter| {
            let Ok(now) = snapshot_physical_expr(Arc::clone(filter)) else { return false };
            let Some(pruning) = pruning(now, &self.scan.schema) else { return false };
            let columns = named(&self.scan.schema, &self.scan.columns);
            Groups { view, columns: &columns, chosen: &[group] }.keep(&pruning).is_empty()
        })
    }
}
