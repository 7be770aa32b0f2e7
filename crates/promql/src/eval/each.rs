//! What is done with each series of a selector.

use crate::ast::VectorSelector;
use crate::error::{Error, Result};
use crate::parallel::each_series;
use crate::source::{Select, SeriesData};
use crate::value::{Series, Statistics};

use super::Context;

impl Context<'_> {
    /// Calls `f` with every series that matches; gives what it makes of them.
    pub(super) fn each_series(
        &self,
        selector: &VectorSelector,
        (start, end): (i64, i64),
        f: impl Fn(&Context<'_>, SeriesData) -> Result<Option<Series>> + Sync,
    ) -> Result<Vec<Series>> {
        let request = Select { matchers: &selector.matchers, start, end };
        let set = self.source.select(&request).map_err(Error::Source)?;
        each_series(
            set,
            self,
            || self.fork(),
            |forked| self.take_over(forked),
            |context, data| {
                context.check()?;
                let data = if context.only_statistics() { data.into_statistics() } else { data };
                f(context, data)
            },
        )
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
