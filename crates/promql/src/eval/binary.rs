//! Operators between two samples, and between a vector and a scalar.

use std::sync::Arc;

use crate::ast::{Binary, BinaryOp, Expr, Span, ValueType};
use crate::error::Result;
use crate::histogram::{FloatHistogram, ResetHint};
use crate::value::{Sample, Series};

use super::calls::value_at;
use super::{Context, Evaluated, Grid, points};

impl Context<'_> {
    pub(super) fn binary(&self, grid: Grid, binary: &Binary) -> Result<Evaluated> {
        // Comparing and trimming need the buckets.
        let op = binary.op;
        let buckets = op.is_comparison() || matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        if buckets { self.with_buckets(|| self.operated(grid, binary)) } else { self.operated(grid, binary) }
    }

    fn operated(&self, grid: Grid, binary: &Binary) -> Result<Evaluated> {
        let scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
        match (scalar(&binary.left), scalar(&binary.right)) {
            (true, true) => {
                let left = self.scalar(grid, &binary.left)?;
                let right = self.scalar(grid, &binary.right)?;
                let values = left.into_iter().zip(right).map(|(l, r)| of_scalars(binary.op, l, r));
                Ok(Evaluated::Scalar(values.collect()))
            }
            (false, false) => {
                let left = self.series(grid, &binary.left)?;
                let right = self.series(grid, &binary.right)?;
                self.release(points(&left) + points(&right));
                let joined = if binary.op.is_set() {
                    self.set_operation(grid, binary, left, right)
                } else {
                    self.join(grid, binary, left, right)
                };
                joined.map(Evaluated::Series)
            }
            (left_is_scalar, _) => {
                let (vector, scalar) = if left_is_scalar {
                    (&binary.right, &binary.left)
                } else {
                    (&binary.left, &binary.right)
                };
                let scalar = self.scalar(grid, scalar)?;
                let series = self.series(grid, vector)?;
                self.release(points(&series));
                self.with_scalar(grid, binary, series, &scalar, left_is_scalar).map(Evaluated::Series)
            }
        }
    }

    fn with_scalar(
        &self,
        grid: Grid,
        binary: &Binary,
        series: Vec<Series>,
        scalar: &[f64],
        scalar_is_left: bool,
    ) -> Result<Vec<Series>> {
        let span = binary.left.span().to(binary.right.span());
        let mut out = Vec::with_capacity(series.len());
        for s in series {
            let mut result = Series {
                drop_name: s.drop_name || binary.op.changes_metric() || binary.return_bool,
                ..Series::default()
            };
            let floats = s.floats.iter().map(|p| (p.t, Sample::Float(p.v)));
            let histograms = s.histograms.iter().map(|p| (p.t, Sample::Histogram(p.h.clone())));
            for (t, sample) in floats.chain(histograms) {
                let other = Sample::Float(value_at(scalar, grid, t));
                let outcome = if scalar_is_left {
                    self.of_samples(binary.op, &other, &sample, span)
                } else {
                    self.of_samples(binary.op, &sample, &other, span)
                };
                let Some((value, keep)) = outcome else { continue };
                if binary.return_bool {
                    result.push(t, Sample::Float(f64::from(u8::from(keep))));
                } else if keep {
                    // A comparison keeps the vector's value, whichever side that is.
                    result.push(t, if binary.op.is_comparison() { sample } else { value });
                }
            }
            if !result.is_empty() {
                self.charge(result.samples())?;
                result.labels = s.labels;
                out.push(result);
            }
        }
        Ok(out)
    }

    /// The value of an operation and whether a comparison holds; `None` if the operator does not
    /// know such operands.
    pub(super) fn of_samples(
        &self,
        op: BinaryOp,
        left: &Sample,
        right: &Sample,
        span: Span,
    ) -> Option<(Sample, bool)> {
        let unknown = |left: &str, right: &str| {
            self.note(|notes| notes.incompatible_types(left, op.name(), right, span));
            None
        };
        let scaled = |h: &FloatHistogram, f: &dyn Fn(&mut FloatHistogram)| {
            let mut h = h.clone();
            f(&mut h);
            Some((Sample::Histogram(Arc::new(h.compacted())), true))
        };
        match (left, right) {
            (Sample::Float(_), Sample::Float(_))
                if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) =>
            {
                unknown("float", "float")
            }
            (Sample::Float(l), Sample::Float(r)) => {
                if op.is_comparison() {
                    return Some((left.clone(), of_scalars(op, *l, *r) == 1.0));
                }
                Some((Sample::Float(of_scalars(op, *l, *r)), true))
            }
            (Sample::Float(l), Sample::Histogram(r)) => match op {
                BinaryOp::Mul => scaled(r, &|h| h.scale(*l)),
                _ => unknown("float", "histogram"),
            },
            (Sample::Histogram(l), Sample::Float(r)) => match op {
                BinaryOp::Mul => scaled(l, &|h| h.scale(*r)),
                BinaryOp::Div => scaled(l, &|h| h.divide(*r)),
                BinaryOp::TrimUpper => Some((Sample::Histogram(Arc::new(l.trimmed(*r, true))), true)),
                BinaryOp::TrimLower => Some((Sample::Histogram(Arc::new(l.trimmed(*r, false))), true)),
                _ => unknown("histogram", "float"),
            },
            (Sample::Histogram(l), Sample::Histogram(r)) => match op {
                BinaryOp::Add | BinaryOp::Sub => self.of_histograms_combined(op, l, r, span),
                BinaryOp::Eq => Some((left.clone(), l.same_data(r))),
                BinaryOp::Ne => Some((left.clone(), !l.same_data(r))),
                _ => unknown("histogram", "histogram"),
            },
        }
    }

    fn of_histograms_combined(
        &self,
        op: BinaryOp,
        left: &FloatHistogram,
        right: &FloatHistogram,
        span: Span,
    ) -> Option<(Sample, bool)> {
        let mut result = left.clone();
        let adding = op == BinaryOp::Add;
        let combined = if adding { result.add(right) } else { result.subtract(right) };
        let operation = if adding { "addition" } else { "subtraction" };
        let Ok(noticed) = combined else {
            self.note(|notes| notes.incompatible_layout(op.name(), span));
            return None;
        };
        if noticed.reset_collision {
            self.note(|notes| notes.reset_collision(operation, span));
        }
        if noticed.bounds_reconciled {
            self.note(|notes| notes.bounds_reconciled(operation, span));
        }
        if !adding {
            result.hint = ResetHint::Gauge;
        }
        Some((Sample::Histogram(Arc::new(result.compacted())), true))
    }
}

/// The value of an operation on numbers; a comparison yields 0 and 1.
fn of_scalars(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Eq => truth(left == right),
        BinaryOp::Ne => truth(left != right),
        BinaryOp::Gt => truth(left > right),
        BinaryOp::Lt => truth(left < right),
        BinaryOp::Ge => truth(left >= right),
        BinaryOp::Le => truth(left <= right),
        // The types allow no such operator between scalars.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimLower | BinaryOp::TrimUpper => {
            f64::NAN
        }
    }
}
