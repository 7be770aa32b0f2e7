//! Evaluation: rows of numbers, one number per step; NaN is a gap.

mod aggregate;
mod binary;
mod histogram;
mod labels;
mod math;
mod numbers;
mod ranges;
mod rollup;
mod running;
mod top;
mod transform;
mod window;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use luma_promql::{Error, Grid, Labels, METRIC_NAME, Options, Result, Source};

use crate::ast::{Expr, Rollup};

pub(crate) use aggregate::is_aggregate;
pub(crate) use rollup::is_rollup;
pub(crate) use transform::is_transform;

/// A series of a result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub labels: Labels,
    pub values: Vec<f64>,
}

impl Row {
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|value| value.is_nan())
    }

    pub fn unnamed(&mut self) {
        self.labels = self.labels.filtered(|name| name != METRIC_NAME);
    }
}

/// Whether it is a number per step, which no labels tell from others.
pub(crate) fn is_scalar(rows: &[Row]) -> bool {
    matches!(rows, [row] if row.labels.is_empty())
}

pub(crate) fn failed<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Evaluation(what.into()))
}

/// What is the same for all of a query.
pub(crate) struct Context<'a> {
    source: &'a dyn Source,
    options: &'a Options,
    /// Numbers that rows were made for, and samples at hand, of all threads.
    cells: AtomicUsize,
}

impl<'a> Context<'a> {
    pub fn new(source: &'a dyn Source, options: &'a Options) -> Self {
        Self { source, options, cells: AtomicUsize::new(0) }
    }

    pub fn eval(&self, grid: Grid, expr: &Expr) -> Result<Vec<Row>> {
        self.check()?;
        self.charge(grid.len())?;
        match expr {
            Expr::Number(value) => Ok(number(grid, *value)),
            Expr::Duration(length) => Ok(number(grid, length.at(grid.step) as f64 / 1000.0)),
            Expr::Text(_) => Ok(number(grid, f64::NAN)),
            Expr::Selector(_) => self.rollup(grid, "default_rollup", &Rollup::of(expr.clone()), &[], false),
            Expr::Rollup(rollup) => self.rollup(grid, "default_rollup", rollup, &[], false),
            Expr::Call(call) if is_rollup(&call.name) => self.rollup_call(grid, call),
            Expr::Call(call) => self.transform(grid, call),
            Expr::Aggregate(aggregate) => self.aggregate(grid, aggregate),
            Expr::Binary(binary) => self.binary(grid, binary),
            Expr::Union(exprs) => self.union(grid, exprs),
        }
    }

    /// The rows of several expressions, of those with the same labels the first.
    fn union(&self, grid: Grid, exprs: &[Expr]) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for expr in exprs {
            let of_expr = self.eval(grid, expr)?;
            rows.extend(
                of_expr.into_iter().filter(|row| exprs.len() == 1 || seen.insert(row.labels.clone())),
            );
        }
        Ok(rows)
    }

    /// The number per step of an expression.
    fn scalar(&self, grid: Grid, expr: &Expr) -> Result<Vec<f64>> {
        let mut rows = self.eval(grid, expr)?;
        match rows.pop() {
            Some(row) if rows.is_empty() => Ok(row.values),
            _ => failed(format!("an argument must be one series, got {}", rows.len() + 1)),
        }
    }

    /// Counts numbers against the limit.
    fn charge(&self, cells: usize) -> Result<()> {
        let total = self.cells.fetch_add(cells, Relaxed).saturating_add(cells);
        if total > self.options.max_samples { Err(Error::TooManySamples) } else { Ok(()) }
    }

    /// Stops a query that took too long or that nobody wants any more.
    fn check(&self) -> Result<()> {
        if self.options.cancel.as_ref().is_some_and(|cancel| cancel.load(Relaxed)) {
            return Err(Error::Canceled);
        }
        if self.options.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::Timeout);
        }
        Ok(())
    }
}

/// A number at every step.
fn number(grid: Grid, value: f64) -> Vec<Row> {
    vec![Row { labels: Labels::default(), values: vec![value; grid.len()] }]
}

/// The text of an argument.
fn text<'e>(args: &'e [Expr], at: usize, function: &str) -> Result<&'e str> {
    match args.get(at) {
        Some(Expr::Text(text)) => Ok(text),
        _ => failed(format!("argument {} of {function} must be a text", at + 1)),
    }
}

/// The texts of arguments from one on.
fn texts<'e>(args: &'e [Expr], from: usize, function: &str) -> Result<Vec<&'e str>> {
    (from..args.len()).map(|at| text(args, at, function)).collect()
}
