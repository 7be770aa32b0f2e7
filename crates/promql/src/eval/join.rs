//! Operators between two vectors: series find each other by labels, step by step.
//!
//! Which series can meet is found once; a step costs a look at every series and no hashing of labels.

use std::collections::HashMap;

use crate::ast::{Binary, BinaryOp, Cardinality, Matching};
use crate::error::{Result, failed};
use crate::labels::Labels;
use crate::value::{Sample, Series};

use super::{Assembly, Context, Grid};

/// A side of an operation, walked step by step.
struct Side {
    series: Vec<Series>,
    /// Which signature each series has.
    signatures: Vec<usize>,
    positions: Vec<(usize, usize)>,
}

impl Side {
    fn new(series: Vec<Series>, matching: &Matching, known: &mut HashMap<Labels, usize>) -> Self {
        let signatures = series
            .iter()
            .map(|s| {
                let next = known.len();
                *known.entry(s.labels.matching(matching.on, &matching.labels)).or_insert(next)
            })
            .collect();
        let positions = vec![(0, 0); series.len()];
        Self { series, signatures, positions }
    }

    /// The series with a sample at a time, and the samples. Times must come in order.
    fn at(&mut self, t: i64) -> Vec<(usize, Sample)> {
        let mut there = Vec::new();
        for (at, (s, (float, histogram))) in self.series.iter().zip(&mut self.positions).enumerate() {
            if let Some(point) = s.floats.get(*float).filter(|p| p.t == t) {
                *float += 1;
                there.push((at, Sample::Float(point.v)));
            } else if let Some(point) = s.histograms.get(*histogram).filter(|p| p.t == t) {
                *histogram += 1;
                there.push((at, Sample::Histogram(point.h.clone())));
            }
        }
        there
    }
}

impl Context<'_> {
    /// `and`, `or`, `unless`.
    pub(super) fn set_operation(
        &self,
        grid: Grid,
        binary: &Binary,
        left: Vec<Series>,
        right: Vec<Series>,
    ) -> Result<Vec<Series>> {
        let mut known = HashMap::new();
        let mut left = Side::new(left, &binary.matching, &mut known);
        let mut right = Side::new(right, &binary.matching, &mut known);
        let mut assembly = Assembly::new(grid);
        let place_all = |side: &Side, assembly: &mut Assembly| -> Vec<usize> {
            side.series.iter().map(|s| assembly.place(&s.labels, s.drop_name)).collect()
        };
        let left_places = place_all(&left, &mut assembly);
        let right_places =
            if binary.op == BinaryOp::Or { place_all(&right, &mut assembly) } else { Vec::new() };
        let mut present = vec![false; known.len()];
        for t in grid.times() {
            self.check()?;
            let (on_left, on_right) = (left.at(t), right.at(t));
            present.fill(false);
            let (deciding, side) =
                if binary.op == BinaryOp::Or { (&on_left, &left) } else { (&on_right, &right) };
            for (at, _) in deciding {
                present[side.signatures[*at]] = true;
            }
            for (at, sample) in on_left {
                let met = present[left.signatures[at]];
                if binary.op == BinaryOp::Or || met == (binary.op == BinaryOp::And) {
                    assembly.push(left_places[at], t, sample)?;
                }
            }
            if binary.op == BinaryOp::Or {
                for (at, sample) in on_right {
                    if !present[right.signatures[at]] {
                        assembly.push(right_places[at], t, sample)?;
                    }
                }
            }
        }
        assembly.finish(self)
    }

    /// Any other operator.
    pub(super) fn join(
        &self,
        grid: Grid,
        binary: &Binary,
        left: Vec<Series>,
        right: Vec<Series>,
    ) -> Result<Vec<Series>> {
        let swapped = binary.matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let mut known = HashMap::new();
        let many = Side::new(many, &binary.matching, &mut known);
        let one = Side::new(one, &binary.matching, &mut known);
        let join = Join {
            context: self,
            grid,
            binary,
            swapped,
            last_pairs: vec![None; many.series.len()],
            places: HashMap::new(),
            assembly: Assembly::new(grid),
            step: 0,
            met: vec![0; known.len()],
            results: Vec::new(),
        };
        join.run(many, one)
    }
}

/// Which series of either side make a pair; none stands for one that is filled in.
type Pair = (Option<usize>, Option<usize>);

struct Join<'j> {
    context: &'j Context<'j>,
    grid: Grid,
    binary: &'j Binary,
    swapped: bool,
    /// The last partner of each series of the "many" side and the place of their result: hardly ever
    /// another one comes.
    last_pairs: Vec<Option<(Option<usize>, usize)>>,
    /// The place of the result of any pair.
    places: HashMap<Pair, usize>,
    assembly: Assembly,
    /// The current step, from 1.
    step: usize,
    /// The last step at which each signature has met.
    met: Vec<usize>,
    /// The last step at which each place got a result, and by which signature.
    results: Vec<(usize, usize)>,
}

impl Join<'_> {
    fn run(mut self, mut many: Side, mut one: Side) -> Result<Vec<Series>> {
        let matching = &self.binary.matching;
        // A missing sample of the "one" side is filled for the series of the "many" side.
        let (fill_one, fill_many) = if self.swapped {
            (matching.fill_left, matching.fill_right)
        } else {
            (matching.fill_right, matching.fill_left)
        };
        // By signature: the step it was last there at, and the series and sample.
        let mut present: Vec<(usize, usize, Sample)> = vec![(0, 0, Sample::Float(0.0)); self.met.len()];
        for t in self.grid.times() {
            self.context.check()?;
            self.step += 1;
            let (on_many, on_one) = (many.at(t), one.at(t));
            if (on_many.is_empty() || on_one.is_empty()) && fill_one.is_none() && fill_many.is_none() {
                continue;
            }
            for (at, sample) in on_one {
                let there = &mut present[one.signatures[at]];
                if there.0 == self.step {
                    return self.duplicate(&one.series[at].labels, &one.series[there.1].labels);
                }
                *there = (self.step, at, sample);
            }
            for (at, sample) in on_many {
                let signature = many.signatures[at];
                let own = (Some(at), &many.series[at], sample);
                let (step, other, theirs) = &present[signature];
                if *step == self.step {
                    let other = (Some(*other), &one.series[*other], theirs.clone());
                    self.pair(t, signature, own, other)?;
                } else if let Some(fill) = fill_one {
                    let filled = self.filled(own.1);
                    self.pair(t, signature, own, (None, &filled, Sample::Float(fill)))?;
                }
            }
            let Some(fill) = fill_many else { continue };
            for (signature, (step, at, sample)) in present.iter().enumerate() {
                if *step == self.step && self.met[signature] != self.step {
                    let filled = self.filled(&one.series[*at]);
                    let other = (Some(*at), &one.series[*at], sample.clone());
                    self.pair(t, signature, (None, &filled, Sample::Float(fill)), other)?;
                }
            }
        }
        self.assembly.finish(self.context)
    }

    /// What a missing series would be called.
    fn filled(&self, of: &Series) -> Series {
        let matching = &self.binary.matching;
        Series { labels: of.labels.matching(matching.on, &matching.labels), ..Series::default() }
    }

    fn duplicate<T>(&self, a: &Labels, b: &Labels) -> Result<T> {
        let matching = &self.binary.matching;
        let group = a.matching(matching.on, &matching.labels);
        let side = if self.swapped { "left" } else { "right" };
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        failed(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    fn pair(
        &mut self,
        t: i64,
        signature: usize,
        (many_at, many, many_sample): (Option<usize>, &Series, Sample),
        (one_at, one, one_sample): (Option<usize>, &Series, Sample),
    ) -> Result<()> {
        let binary = self.binary;
        let span = binary.left.span().to(binary.right.span());
        let (left, right) =
            if self.swapped { (&one_sample, &many_sample) } else { (&many_sample, &one_sample) };
        let Some((value, keep)) = self.context.of_samples(binary.op, left, right, span) else {
            return Ok(());
        };
        let place = self.place((many_at, many), (one_at, one));
        if std::mem::replace(&mut self.met[signature], self.step) == self.step {
            if binary.matching.cardinality == Cardinality::OneToOne {
                return failed(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                );
            }
            if self.results[place] == (self.step, signature) {
                return failed("multiple matches for labels: grouping labels must ensure unique matches");
            }
        }
        self.results[place] = (self.step, signature);
        if binary.return_bool {
            self.assembly.push(place, t, Sample::Float(f64::from(u8::from(keep))))
        } else if keep {
            self.assembly.push(place, t, value)
        } else {
            Ok(())
        }
    }

    /// The place of the result of a pair.
    fn place(
        &mut self,
        (many_at, many): (Option<usize>, &Series),
        (one_at, one): (Option<usize>, &Series),
    ) -> usize {
        if let Some((partner, place)) = many_at.and_then(|at| self.last_pairs[at])
            && partner == one_at
        {
            return place;
        }
        let place = match self.places.get(&(many_at, one_at)) {
            Some(place) => *place,
            None => {
                let labels = result_labels(self.binary, &many.labels, &one.labels);
                let place = self.assembly.place(&labels, many.drop_name || self.binary.return_bool);
                self.places.insert((many_at, one_at), place);
                self.results.resize(self.assembly.series.len(), (0, 0));
                place
            }
        };
        if let Some(at) = many_at {
            self.last_pairs[at] = Some((one_at, place));
        }
        place
    }
}

fn result_labels(binary: &Binary, many: &Labels, one: &Labels) -> Labels {
    let matching = &binary.matching;
    let mut labels = if binary.op.changes_metric() { many.without_metadata() } else { many.clone() };
    if matching.cardinality == Cardinality::OneToOne {
        let named = |name: &str| matching.labels.iter().any(|l| l == name);
        labels = labels.filtered(|name| named(name) == matching.on);
    }
    for name in &matching.include {
        // An empty value removes the label.
        labels = labels.with(name, one.get(name));
    }
    labels
}
