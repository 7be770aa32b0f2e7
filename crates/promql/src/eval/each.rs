//! What is done with each series of a selector.
//!
//! Who needs a series only once, as an aggregation does, gets one after another as they are computed; nobody holds all of them.

use std::sync::atomic::AtomicUsize;

use crate::ast::{Expr, VectorSelector};
use crate::error::{Error, Result};
use crate::parallel::each_series_into;
use crate::query::release;
use crate::source::{Select, SeriesData};
use crate::value::{Series, Statistics};

use super::selector::Aspect;
use super::{Context, Grid, is_fixed};

/// Who gets series, one after another. They count as samples in memory until that is taken back.
pub(super) type Sink<'s> = &'s mut (dyn FnMut(Series) -> Result<()> + Send);

/// All series that something hands out.
pub(super) fn collected(each: impl FnOnce(Sink<'_>) -> Result<()>) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    each(&mut |series| {
        all.push(series);
        Ok(())
    })?;
    Ok(all)
}

impl Context<'_> {
    /// Calls `f` with every series that matches; hands what it makes of them to `sink`.
    pub(super) fn each_series(
        &self,
        selector: &VectorSelector,
        (start, end): (i64, i64),
        f: impl Fn(&Context<'_>, SeriesData) -> Result<Option<Series>> + Sync,
        sink: Sink<'_>,
    ) -> Result<()> {
        let request = Select { matchers: &selector.matchers, start, end };
        let set = self.source.select(&request).map_err(Error::Source)?;
        each_series_into(
            set,
            self,
            || self.fork(),
            |forked| self.take_over(forked),
            |context, data| {
                context.check()?;
                let data = if context.only_statistics() { data.into_statistics() } else { data };
                f(context, data)
            },
            sink,
        )
    }

    /// Hands the series of an expression to `sink`, which has none of them in memory afterwards.
    pub(super) fn drained(
        &self,
        grid: Grid,
        expr: &Expr,
        mut sink: impl FnMut(Series) -> Result<()> + Send,
    ) -> Result<()> {
        let samples: &AtomicUsize = &self.samples;
        let mut sink = |series: Series| {
            release(samples, series.samples());
            sink(series)
        };
        // What is the same at all steps is computed once.
        let once = grid.len() > 1 && is_fixed(expr);
        match expr {
            Expr::Vector(selector) if !once => self.instant_each(grid, selector, Aspect::Value, &mut sink),
            Expr::Call(call) if !once && call.takes_range() => self.range_each(grid, call, &mut sink),
            _ => self.series(grid, expr)?.into_iter().try_for_each(sink),
        }
    }

    /// A context of the same query for another thread.
    fn fork(&self) -> Self {
        let forked = Self::new(self.source, self.options, self.query, self.step, self.is_range);
        forked.statistics.set(self.statistics.get());
        forked.subqueries.set(self.subqueries.get());
        Self { samples: self.samples.clone(), ..forked }
    }

    /// Takes over what another thread counted and noted.
    fn take_over(&self, forked: Self) {
        let (own, counted) = (self.counted.get(), forked.counted.get());
        self.counted.set(Statistics {
            peak_samples: own.peak_samples.max(counted.peak_samples),
            read_samples: own.read_samples.saturating_add(counted.read_samples),
        });
        let of_steps = forked.of_steps.into_inner();
        of_steps.into_iter().enumerate().for_each(|(step, samples)| self.used_at(step, samples));
        self.note(|own| own.merge(forked.notes.into_inner()));
    }
}
