//! A point of a metric, of any kind, as it is sent.

use luma_telemetry::Exemplar;

use super::message::{Attributes, attribute, exemplar, milliseconds};
use crate::wire::{Field, Reader, WireError};

/// A point of any kind.
#[derive(Default)]
pub(super) struct Point {
    pub attributes: Attributes,
    pub start: i64,
    pub t: i64,
    pub flags: u64,
    pub value: f64,
    pub count: u64,
    pub sum: Option<f64>,
    pub buckets: Vec<u64>,
    pub bounds: Vec<f64>,
    pub scale: i64,
    pub zero: u64,
    pub zero_threshold: f64,
    pub sides: [(i64, Vec<u64>); 2],
    pub quantiles: Vec<(f64, f64)>,
    pub exemplars: Vec<Exemplar>,
}

impl Point {
    /// Reads a point of a metric whose data is in field `kind`.
    pub fn read(message: &[u8], kind: u32) -> Result<Self, WireError> {
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match (kind, field.number) {
                (_, 2) => point.start = milliseconds(field)?,
                (_, 3) => point.t = milliseconds(field)?,
                (5 | 7, _) => point.number_field(field)?,
                (9, _) => point.classic_field(field)?,
                (10, _) => point.native_field(field)?,
                _ => point.summary_field(field)?,
            }
        }
        Ok(point)
    }

    fn number_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            4 => self.value = field.double()?,
            5 => self.exemplars.push(exemplar(field.bytes()?)?),
            6 => self.value = field.fixed64()? as i64 as f64,
            7 => attribute(field.bytes()?, &mut self.attributes)?,
            8 => self.flags = field.unsigned()?,
            _ => {}
        }
        Ok(())
    }

    fn classic_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => field.each_fixed64(|count| self.buckets.push(count))?,
            7 => field.each_fixed64(|bits| self.bounds.push(f64::from_bits(bits)))?,
            8 => self.exemplars.push(exemplar(field.bytes()?)?),
            9 => attribute(field.bytes()?, &mut self.attributes)?,
            10 => self.flags = field.unsigned()?,
            _ => {}
        }
        Ok(())
    }

    fn native_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            1 => attribute(field.bytes()?, &mut self.attributes)?,
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => self.scale = field.zigzag()?,
            7 => self.zero = field.fixed64()?,
            number @ (8 | 9) => {
                let (offset, counts) = &mut self.sides[number as usize - 8];
                let mut reader = Reader::new(field.bytes()?);
                while let Some(field) = reader.next()? {
                    match field.number {
                        1 => *offset = field.zigzag()?,
                        2 => field.each_varint(|count| counts.push(count))?,
                        _ => {}
                    }
                }
            }
            10 => self.flags = field.unsigned()?,
            11 => self.exemplars.push(exemplar(field.bytes()?)?),
            14 => self.zero_threshold = field.double()?,
            _ => {}
        }
        Ok(())
    }

    fn summary_field(&mut self, field: Field<'_>) -> Result<(), WireError> {
        match field.number {
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => {
                let mut quantile = (0.0, 0.0);
                let mut reader = Reader::new(field.bytes()?);
                while let Some(field) = reader.next()? {
                    match field.number {
                        1 => quantile.0 = field.double()?,
                        2 => quantile.1 = field.double()?,
                        _ => {}
                    }
                }
                self.quantiles.push(quantile);
            }
            7 => attribute(field.bytes()?, &mut self.attributes)?,
            8 => self.flags = field.unsigned()?,
            _ => {}
        }
        Ok(())
    }
}
