//! Functions on numbers, exact where PostgreSQL's are exact.
//!
//! Roots, logarithms and powers of `numeric` are computed with floats and rounded to the digits that
//! PostgreSQL shows; their last digits may differ from its.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, LargeBinaryArray};
use datafusion::arrow::datatypes::DataType as ArrowType;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use luma_model::{DataType, Error, ErrorKind, Interval, Numeric, Result, Value, ValueRef};

use crate::functions::arithmetic::{Operation, numeric_operation, out_of_range};
use crate::functions::overload::Kind::{Any, Float8, Int2, Int4, Int8, Numeric as N, Text};
use crate::functions::overload::{Function, Overload, Surroundings};

/// Digits after the point that PostgreSQL gives at least to what it cannot compute exactly.
const DIGITS: i32 = 16;

/// A number's bytes without what does not count when numbers are compared.
pub(crate) fn comparison_key(expr: Expr) -> Expr {
    let function = ComparisonKey { signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ComparisonKey {
    signature: Signature,
}

impl ScalarUDFImpl for ComparisonKey {
    fn name(&self) -> &'static str {
        "numeric_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers: &LargeBinaryArray = arrays[0].as_binary::<i64>();
        let keys: datafusion::arrow::array::BinaryArray =
            numbers.iter().map(|bytes| bytes.map(luma_model::arrow::canonical_numeric)).collect();
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&keys, 0)?));
        }
        debug_assert_eq!(keys.len(), numbers.len());
        Ok(ColumnarValue::Array(Arc::new(keys)))
    }
}

pub(super) fn number(value: ValueRef<'_>) -> Numeric {
    match value {
        ValueRef::Numeric(number) => number,
        ValueRef::Int2(number) => i64::from(number).into(),
        ValueRef::Int4(number) => number.into(),
        ValueRef::Int8(number) => number.into(),
        _ => Numeric::ZERO,
    }
}

pub(super) fn float(value: ValueRef<'_>) -> f64 {
    match value {
        ValueRef::Float8(number) => number,
        ValueRef::Float4(number) => number.into(),
        ValueRef::Numeric(number) => number.to_f64(),
        other => super::row::integer(other).unwrap_or(0) as f64,
    }
}

pub(super) fn int(value: ValueRef<'_>) -> i64 {
    super::row::integer(value).unwrap_or(0)
}

fn too_large() -> Error {
    Error::new(ErrorKind::OutOfRange, "numeric value has more than 38 digits")
}

/// A float with that many digits after the point.
fn rounded(value: f64, scale: i32) -> Result<Value> {
    let scale = scale.clamp(0, 37) as usize;
    Numeric::parse(&format!("{value:.scale$}")).map(Value::Numeric).map_err(|_| too_large())
}

/// A float's result, which must not have left the range.
fn finite(value: f64) -> Result<Value> {
    if value.is_infinite() {
        return Err(Error::new(ErrorKind::OutOfRange, "value out of range: overflow"));
    }
    Ok(Value::Float8(value))
}

fn of_float(value: ValueRef<'_>, compute: fn(f64) -> f64) -> Result<Value> {
    Ok(Value::Float8(compute(float(value))))
}

/// The number rounded to a place before or after the point.
fn round_to(number: Numeric, places: i64, round: fn(Numeric, u8) -> Option<Numeric>) -> Result<Value> {
    if let Ok(scale) = u8::try_from(places) {
        return round(number, scale.min(37)).map(Value::Numeric).ok_or_else(too_large);
    }
    let shift = u8::try_from(-places).unwrap_or(u8::MAX);
    if shift > 38 {
        return Ok(Value::Numeric(Numeric::ZERO));
    }
    // 1234.5 to the hundreds: 12.345, rounded, times a hundred.
    let unit = Numeric::new(10i128.pow(u32::from(shift)), 0);
    let moved = Numeric::new(number.unscaled, number.scale + shift);
    let whole = round(moved, 0).ok_or_else(too_large)?;
    whole.checked_mul(unit).map(Value::Numeric).ok_or_else(too_large)
}

fn truncate(number: Numeric, scale: u8) -> Option<Numeric> {
    number.truncate(scale).rescale(scale)
}

fn whole(number: Numeric, up: bool) -> Result<Value> {
    let cut = number.truncate(0);
    let step = match number.cmp(&cut) {
        std::cmp::Ordering::Greater if up => 1,
        std::cmp::Ordering::Less if !up => -1,
        _ => 0,
    };
    cut.checked_add(Numeric::new(step, 0)).map(Value::Numeric).ok_or_else(too_large)
}

fn gcd(mut one: u128, mut other: u128) -> u128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

fn integer_gcd(values: &[ValueRef<'_>]) -> i128 {
    gcd(int(values[0]).unsigned_abs().into(), int(values[1]).unsigned_abs().into()) as i128
}

fn integer_lcm(values: &[ValueRef<'_>]) -> i128 {
    let (one, other) = (int(values[0]), int(values[1]));
    if one == 0 || other == 0 {
        return 0;
    }
    (i128::from(one) / integer_gcd(values) * i128::from(other)).abs()
}

fn as_int4(value: i128) -> Result<Value> {
    i32::try_from(value).map(Value::Int4).map_err(|_| out_of_range(&DataType::Int4))
}

fn as_int8(value: i128) -> Result<Value> {
    i64::try_from(value).map(Value::Int8).map_err(|_| out_of_range(&DataType::Int8))
}

fn check_logarithm(value: f64) -> Result<f64> {
    if value == 0.0 {
        return Err(Error::new(ErrorKind::InvalidLogarithmArgument, "cannot take logarithm of zero"));
    }
    if value < 0.0 {
        return Err(Error::new(
            ErrorKind::InvalidLogarithmArgument,
            "cannot take logarithm of a negative number",
        ));
    }
    Ok(value)
}

/// A logarithm with PostgreSQL's digits.
fn logarithm(value: Numeric, compute: fn(f64) -> f64) -> Result<Value> {
    let result = compute(check_logarithm(value.to_f64())?);
    rounded(result, DIGITS.max(i32::from(value.scale)))
}

fn square_root(value: Numeric) -> Result<Value> {
    if value.unscaled < 0 {
        return Err(negative_root());
    }
    let groups = (value.integer_digits().max(1) as i32 + 3) / 4;
    let scale = (DIGITS - (groups * 2 - 1)).max(i32::from(value.scale));
    rounded(value.to_f64().sqrt(), scale)
}

fn negative_root() -> Error {
    Error::new(ErrorKind::InvalidPowerArgument, "cannot take square root of a negative number")
}

fn float_power(one: f64, other: f64) -> Result<Value> {
    if one == 0.0 && other < 0.0 {
        return Err(Error::new(
            ErrorKind::InvalidPowerArgument,
            "zero raised to a negative power is undefined",
        ));
    }
    if one < 0.0 && other.fract() != 0.0 {
        return Err(Error::new(
            ErrorKind::InvalidPowerArgument,
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    finite(one.powf(other))
}

fn numeric_power(one: Numeric, other: Numeric) -> Result<Value> {
    let scale = DIGITS.max(i32::from(one.scale)).max(i32::from(other.scale));
    if other == other.truncate(0)
        && let Some(exponent) = other.to_i64()
        && (0..=1000).contains(&exponent)
    {
        let mut power = Numeric::new(1, 0);
        for _ in 0..exponent {
            power = power.checked_mul(one).ok_or_else(too_large)?;
        }
        return Ok(Value::Numeric(power.rescale(scale as u8).unwrap_or(power)));
    }
    match float_power(one.to_f64(), other.to_f64())? {
        Value::Float8(power) => rounded(power, scale),
        other => Ok(other),
    }
}

/// Which of `count` equal parts of a range a value is in.
fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<Value> {
    if count <= 0 {
        return Err(Error::new(ErrorKind::InvalidParameterValue, "count must be greater than zero"));
    }
    let part = (value - low) / (high - low);
    Ok(Value::Int4(if part < 0.0 {
        0
    } else if part >= 1.0 {
        count as i32 + 1
    } else {
        (part * count as f64) as i32 + 1
    }))
}

macro_rules! float_function {
    ($name:literal, $compute:expr) => {
        Function::new(
            $name,
            &[Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], $compute))],
        )
    };
}

/// `-x`.
pub(crate) static NEGATE: Function = Function::new(
    "negative",
    &[
        Overload::new(&[Int2], Int2, |_, values, _| {
            as_int4(-i128::from(int(values[0]))).map(|value| match value {
                Value::Int4(value) => Value::Int2(value as i16),
                other => other,
            })
        }),
        Overload::new(&[Int4], Int4, |_, values, _| as_int4(-i128::from(int(values[0])))),
        Overload::new(&[Int8], Int8, |_, values, _| as_int8(-i128::from(int(values[0])))),
        Overload::new(&[N], N, |_, values, _| {
            number(values[0]).checked_neg().map(Value::Numeric).ok_or_else(too_large)
        }),
        Overload::new(&[super::overload::Kind::Float4], super::overload::Kind::Float4, |_, values, _| {
            Ok(Value::Float4(-(float(values[0]) as f32)))
        }),
        Overload::new(&[Float8], Float8, |_, values, _| Ok(Value::Float8(-float(values[0])))),
        Overload::new(&[super::overload::Kind::Interval], super::overload::Kind::Interval, |_, values, _| {
            match values[0] {
                ValueRef::Interval(span) => span
                    .checked_neg()
                    .map(Value::Interval)
                    .ok_or_else(|| Error::new(ErrorKind::DatetimeOverflow, "interval out of range")),
                _ => Ok(Value::Null),
            }
        }),
    ],
);

fn exact_average(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    if int(values[1]) == 0 {
        return Ok(Value::Null);
    }
    numeric_operation(Operation::Divide, number(values[0]), number(values[1])).map(Value::Numeric)
}

/// A sum divided by a count, as `avg` gives it.
pub(crate) static AVERAGE: Function = Function::new(
    "luma_average",
    &[
        Overload::new(&[N, Int8], N, exact_average),
        Overload::new(&[Int8, Int8], N, exact_average),
        Overload::new(&[Float8, Int8], Float8, |_, values, _| {
            Ok(Value::Float8(float(values[0]) / int(values[1]) as f64))
        }),
        Overload::new(
            &[super::overload::Kind::Interval, Int8],
            super::overload::Kind::Interval,
            |_, values, _| match values[0] {
                ValueRef::Interval(span) => super::operators::scale(span, 1.0 / int(values[1]) as f64),
                _ => Ok(Value::Null),
            },
        ),
    ],
);

pub(crate) static POWER: Function = Function::new(
    "power",
    &[
        Overload::new(&[Float8, Float8], Float8, |_, values, _| {
            float_power(float(values[0]), float(values[1]))
        }),
        Overload::new(&[N, N], N, |_, values, _| numeric_power(number(values[0]), number(values[1]))),
    ],
);

/// `%` of numbers that have it.
pub(crate) static SQUARE_ROOT: Function = Function::new(
    "sqrt",
    &[
        Overload::new(&[Float8], Float8, |_, values, _| {
            if float(values[0]) < 0.0 { Err(negative_root()) } else { of_float(values[0], f64::sqrt) }
        }),
        Overload::new(&[N], N, |_, values, _| square_root(number(values[0]))),
    ],
);

pub(crate) static CUBE_ROOT: Function = float_function!("cbrt", f64::cbrt);

pub(crate) static ABSOLUTE: Function = Function::new(
    "abs",
    &[
        Overload::new(&[Int2], Int2, |_, values, _| {
            i16::try_from(int(values[0]).abs()).map(Value::Int2).map_err(|_| out_of_range(&DataType::Int2))
        }),
        Overload::new(&[Int4], Int4, |_, values, _| as_int4(i128::from(int(values[0])).abs())),
        Overload::new(&[Int8], Int8, |_, values, _| as_int8(i128::from(int(values[0])).abs())),
        Overload::new(&[N], N, |_, values, _| {
            number(values[0]).checked_abs().map(Value::Numeric).ok_or_else(too_large)
        }),
        Overload::new(&[super::overload::Kind::Float4], super::overload::Kind::Float4, |_, values, _| {
            Ok(Value::Float4(float(values[0]).abs() as f32))
        }),
        Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::abs)),
    ],
);

const MODULO: &[Overload] = &[
    Overload::new(&[Int2, Int2], Int2, |_, values, _| remainder(values).map(|rest| Value::Int2(rest as i16))),
    Overload::new(&[Int4, Int4], Int4, |_, values, _| remainder(values).map(|rest| Value::Int4(rest as i32))),
    Overload::new(&[Int8, Int8], Int8, |_, values, _| remainder(values).map(Value::Int8)),
    Overload::new(&[N, N], N, |_, values, _| {
        numeric_operation(Operation::Remainder, number(values[0]), number(values[1])).map(Value::Numeric)
    }),
];

fn remainder(values: &[ValueRef<'_>]) -> Result<i64> {
    match int(values[1]) {
        0 => Err(Error::new(ErrorKind::DivisionByZero, "division by zero")),
        divisor => Ok(int(values[0]).wrapping_rem(divisor)),
    }
}

const CEILING: &[Overload] = &[
    Overload::new(&[N], N, |_, values, _| whole(number(values[0]), true)),
    Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::ceil)),
];

pub(crate) static FUNCTIONS: &[&Function] = &[
    &NEGATE,
    &AVERAGE,
    &POWER,
    &Function::new(
        "pow",
        &[
            Overload::new(&[Float8, Float8], Float8, |_, values, _| {
                float_power(float(values[0]), float(values[1]))
            }),
            Overload::new(&[N, N], N, |_, values, _| numeric_power(number(values[0]), number(values[1]))),
        ],
    ),
    &SQUARE_ROOT,
    &CUBE_ROOT,
    &ABSOLUTE,
    &Function::new("ceil", CEILING),
    &Function::new("ceiling", CEILING),
    &Function::new(
        "floor",
        &[
            Overload::new(&[N], N, |_, values, _| whole(number(values[0]), false)),
            Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::floor)),
        ],
    ),
    &Function::new(
        "round",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::round_ties_even)),
            Overload::new(&[N], N, |_, values, _| round_to(number(values[0]), 0, Numeric::rescale)),
            Overload::new(&[N, Int4], N, |_, values, _| {
                round_to(number(values[0]), int(values[1]), Numeric::rescale)
            }),
        ],
    ),
    &Function::new(
        "trunc",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::trunc)),
            Overload::new(&[N], N, |_, values, _| round_to(number(values[0]), 0, truncate)),
            Overload::new(&[N, Int4], N, |_, values, _| {
                round_to(number(values[0]), int(values[1]), truncate)
            }),
        ],
    ),
    &Function::new(
        "sign",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                of_float(values[0], |value| if value == 0.0 { 0.0 } else { value.signum() })
            }),
            Overload::new(&[N], N, |_, values, _| {
                Ok(Value::Numeric(Numeric::new(number(values[0]).unscaled.signum(), 0)))
            }),
        ],
    ),
    &Function::new("mod", MODULO),
    // `|/ x` and `~x`.
    &Function::new(
        "dsqrt",
        &[Overload::new(&[Float8], Float8, |_, values, _| {
            if float(values[0]) < 0.0 { Err(negative_root()) } else { of_float(values[0], f64::sqrt) }
        })],
    ),
    &Function::new(
        "luma_invert",
        &[
            Overload::new(&[Int2], Int2, |_, values, _| Ok(Value::Int2(!int(values[0]) as i16))),
            Overload::new(&[Int4], Int4, |_, values, _| Ok(Value::Int4(!int(values[0]) as i32))),
            Overload::new(&[Int8], Int8, |_, values, _| Ok(Value::Int8(!int(values[0])))),
        ],
    ),
    &Function::new(
        "div",
        &[Overload::new(&[N, N], N, |_, values, _| {
            let (one, other) = (number(values[0]), number(values[1]));
            let rest = numeric_operation(Operation::Remainder, one, other)?;
            let exact = numeric_operation(Operation::Subtract, one, rest)?;
            exact.checked_div_scale(other, 0).map(Value::Numeric).ok_or_else(too_large)
        })],
    ),
    &Function::new(
        "gcd",
        &[
            Overload::new(&[Int4, Int4], Int4, |_, values, _| as_int4(integer_gcd(values))),
            Overload::new(&[Int8, Int8], Int8, |_, values, _| as_int8(integer_gcd(values))),
        ],
    ),
    &Function::new(
        "lcm",
        &[
            Overload::new(&[Int4, Int4], Int4, |_, values, _| as_int4(integer_lcm(values))),
            Overload::new(&[Int8, Int8], Int8, |_, values, _| as_int8(integer_lcm(values))),
        ],
    ),
    &Function::new(
        "factorial",
        &[Overload::new(&[Int8], N, |_, values, _| {
            let number = int(values[0]);
            if number < 0 {
                return Err(Error::new(ErrorKind::OutOfRange, "factorial of a negative number is undefined"));
            }
            let mut product = Numeric::new(1, 0);
            for factor in 2..=number {
                product = product.checked_mul(factor.into()).ok_or_else(too_large)?;
            }
            Ok(Value::Numeric(product))
        })],
    ),
    &Function::new(
        "exp",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| finite(float(values[0]).exp())),
            Overload::new(&[N], N, |_, values, _| {
                let power = number(values[0]).to_f64();
                let digits = DIGITS - (power * std::f64::consts::LOG10_E) as i32;
                rounded(power.exp(), digits.max(i32::from(number(values[0]).scale)))
            }),
        ],
    ),
    &Function::new(
        "ln",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                check_logarithm(float(values[0])).map(|value| Value::Float8(value.ln()))
            }),
            Overload::new(&[N], N, |_, values, _| logarithm(number(values[0]), f64::ln)),
        ],
    ),
    &Function::new(
        "log",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                check_logarithm(float(values[0])).map(|value| Value::Float8(value.log10()))
            }),
            Overload::new(&[N], N, |_, values, _| logarithm(number(values[0]), f64::log10)),
            Overload::new(&[N, N], N, |_, values, _| {
                let base = check_logarithm(float(values[0]))?;
                rounded(check_logarithm(float(values[1]))?.log(base), DIGITS)
            }),
        ],
    ),
    &Function::new(
        "log10",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                check_logarithm(float(values[0])).map(|value| Value::Float8(value.log10()))
            }),
            Overload::new(&[N], N, |_, values, _| logarithm(number(values[0]), f64::log10)),
        ],
    ),
    &Function::new("pi", &[Overload::new(&[], Float8, |_, _, _| Ok(Value::Float8(std::f64::consts::PI)))]),
    &float_function!("degrees", f64::to_degrees),
    &float_function!("radians", f64::to_radians),
    &float_function!("sind", |value| degrees(value, f64::sin)),
    &float_function!("cosd", |value| degrees(value, f64::cos)),
    &float_function!("tand", |value| degrees(value, f64::tan)),
    &Function::new(
        "width_bucket",
        &[
            Overload::new(&[N, N, N, Int4], Int4, |_, values, _| {
                bucket(float(values[0]), float(values[1]), float(values[2]), int(values[3]))
            }),
            Overload::new(&[Float8, Float8, Float8, Int4], Int4, |_, values, _| {
                bucket(float(values[0]), float(values[1]), float(values[2]), int(values[3]))
            }),
        ],
    ),
    &Function::new(
        "scale",
        &[Overload::new(&[N], Int4, |_, values, _| Ok(Value::Int4(number(values[0]).scale.into())))],
    ),
    &Function::new(
        "min_scale",
        &[Overload::new(&[N], Int4, |_, values, _| {
            Ok(Value::Int4(number(values[0]).normalized().scale.into()))
        })],
    ),
    &Function::new(
        "trim_scale",
        &[Overload::new(&[N], N, |_, values, _| Ok(Value::Numeric(number(values[0]).normalized())))],
    ),
    &Function::new(
        "to_hex",
        &[
            Overload::new(&[Int4], Text, |_, values, _| {
                Ok(Value::Text(format!("{:x}", int(values[0]) as i32)))
            }),
            Overload::new(&[Int8], Text, |_, values, _| Ok(Value::Text(format!("{:x}", int(values[0]))))),
        ],
    ),
    &Function::new("num_nonnulls", &[Overload::new(&[Any], Int4, count_values).variadic().takes_null()]),
    &Function::new("num_nulls", &[Overload::new(&[Any], Int4, count_nulls).variadic().takes_null()]),
    &Function::new(
        "justify_days",
        &[Overload::new(
            &[super::overload::Kind::Interval],
            super::overload::Kind::Interval,
            |_, values, _| Ok(justified(values[0], true, false)),
        )],
    ),
    &Function::new(
        "justify_hours",
        &[Overload::new(
            &[super::overload::Kind::Interval],
            super::overload::Kind::Interval,
            |_, values, _| Ok(justified(values[0], false, true)),
        )],
    ),
    &Function::new(
        "justify_interval",
        &[Overload::new(
            &[super::overload::Kind::Interval],
            super::overload::Kind::Interval,
            |_, values, _| Ok(justified(values[0], true, true)),
        )],
    ),
];

/// An angle in degrees, exact where the result is a simple number.
fn degrees(value: f64, compute: fn(f64) -> f64) -> f64 {
    let result = compute(value.to_radians());
    let simple = (result * 2.0).round() / 2.0;
    if (result - simple).abs() < 1e-15 { simple } else { result }
}

fn count_values(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Int4(values.iter().filter(|value| !value.is_null()).count() as i32))
}

fn count_nulls(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(Value::Int4(values.iter().filter(|value| value.is_null()).count() as i32))
}

/// Days as months, or hours as days, and one sign for all that was moved.
fn justified(value: ValueRef<'_>, months: bool, days: bool) -> Value {
    let ValueRef::Interval(span) = value else { return Value::Null };
    let Interval { months: mut m, days: mut d, micros: mut u } = span;
    if days {
        let whole = u / luma_model::MICROS_PER_DAY;
        d += whole as i32;
        u -= whole * luma_model::MICROS_PER_DAY;
    }
    if months {
        m += d / 30;
        d %= 30;
        if m > 0 && (d < 0 || (d == 0 && u < 0 && days)) {
            d += 30;
            m -= 1;
        } else if m < 0 && (d > 0 || (d == 0 && u > 0 && days)) {
            d -= 30;
            m += 1;
        }
    }
    if days && d > 0 && u < 0 {
        u += luma_model::MICROS_PER_DAY;
        d -= 1;
    } else if days && d < 0 && u > 0 {
        u -= luma_model::MICROS_PER_DAY;
        d += 1;
    }
    Value::Interval(Interval::new(m, d, u))
}
