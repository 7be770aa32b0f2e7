//! Functions on numbers, exact where PostgreSQL's are exact.

use luma_model::{DataType, Error, ErrorKind, Interval, NumericRef, Result, Value, ValueRef};

use crate::functions::arithmetic::out_of_range;
use crate::functions::overload::Kind::{Any, Float8, Int2, Int4, Int8, Numeric as N, Text};
use crate::functions::overload::{Function, Overload, Surroundings};

pub(super) fn number(value: ValueRef<'_>) -> NumericRef<'_> {
    match value {
        ValueRef::Numeric(number) => number,
        other => NumericRef::new(int(other).into(), 0),
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

/// Places that `round` and `trunc` may name; more are as many as these.
fn places(value: ValueRef<'_>) -> i32 {
    let (most, least) = (luma_model::NUMERIC_SCALE_MAX, luma_model::NUMERIC_INTEGER_DIGITS_MAX);
    int(value).clamp(-i64::from(least) - 1, most.into()) as i32
}

/// A function of one exact number.
const fn exact(body: super::overload::Body) -> Overload {
    Overload::new(&[N], N, body)
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

/// Digits after the point; NULL for what is not finite.
fn scale_of(number: NumericRef<'_>) -> Value {
    number.scale().map_or(Value::Null, |scale| Value::Int4(scale as i32))
}

/// Which of `count` equal parts of a range a value is in.
fn bucket(value: f64, low: f64, high: f64, count: i64) -> Result<Value> {
    let refused = |message: &str| Err(Error::new(ErrorKind::InvalidWidthBucketArgument, message));
    if count <= 0 {
        return refused("count must be greater than zero");
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return refused("operand, lower bound, and upper bound cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return refused("lower and upper bounds must be finite");
    }
    if low == high {
        return refused("lower bound cannot equal upper bound");
    }
    let part = (value - low) / (high - low);
    as_int4(if part < 0.0 {
        0
    } else if part >= 1.0 {
        i128::from(count) + 1
    } else {
        (part * count as f64) as i128 + 1
    })
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
        exact(|_, values, _| Ok(Value::Numeric(number(values[0]).neg()))),
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

fn same(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    Ok(values[0].to_owned())
}

/// `+x`.
static PLUS: Function = Function::new(
    "luma_plus",
    &[
        Overload::new(&[Int2], Int2, same),
        Overload::new(&[Int4], Int4, same),
        Overload::new(&[Int8], Int8, same),
        Overload::new(&[N], N, same),
        Overload::new(&[super::overload::Kind::Float4], super::overload::Kind::Float4, same),
        Overload::new(&[Float8], Float8, same),
    ],
);

fn exact_average(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    if int(values[1]) == 0 {
        return Ok(Value::Null);
    }
    number(values[0]).div(number(values[1])).map(Value::Numeric)
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
                ValueRef::Interval(span) => super::operators::parted(span, int(values[1]) as f64),
                _ => Ok(Value::Null),
            },
        ),
    ],
);

fn numeric_power(_: &Surroundings, values: &[ValueRef<'_>], _: &[DataType]) -> Result<Value> {
    number(values[0]).power(number(values[1])).map(Value::Numeric)
}

pub(crate) static POWER: Function = Function::new(
    "power",
    &[
        Overload::new(&[Float8, Float8], Float8, |_, values, _| {
            float_power(float(values[0]), float(values[1]))
        }),
        Overload::new(&[N, N], N, numeric_power),
    ],
);

/// `%` of numbers that have it.
pub(crate) static SQUARE_ROOT: Function = Function::new(
    "sqrt",
    &[
        Overload::new(&[Float8], Float8, |_, values, _| {
            if float(values[0]) < 0.0 { Err(negative_root()) } else { of_float(values[0], f64::sqrt) }
        }),
        exact(|_, values, _| number(values[0]).sqrt().map(Value::Numeric)),
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
        exact(|_, values, _| Ok(Value::Numeric(number(values[0]).abs()))),
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
    Overload::new(&[N, N], N, |_, values, _| number(values[0]).rem(number(values[1])).map(Value::Numeric)),
];

fn remainder(values: &[ValueRef<'_>]) -> Result<i64> {
    match int(values[1]) {
        0 => Err(Error::new(ErrorKind::DivisionByZero, "division by zero")),
        divisor => Ok(int(values[0]).wrapping_rem(divisor)),
    }
}

const CEILING: &[Overload] = &[
    exact(|_, values, _| number(values[0]).ceil().map(Value::Numeric)),
    Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::ceil)),
];

pub(crate) static FUNCTIONS: &[&Function] = &[
    &NEGATE,
    &PLUS,
    &AVERAGE,
    &POWER,
    &Function::new(
        "pow",
        &[
            Overload::new(&[Float8, Float8], Float8, |_, values, _| {
                float_power(float(values[0]), float(values[1]))
            }),
            Overload::new(&[N, N], N, numeric_power),
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
            exact(|_, values, _| number(values[0]).floor().map(Value::Numeric)),
            Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::floor)),
        ],
    ),
    &Function::new(
        "round",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::round_ties_even)),
            exact(|_, values, _| number(values[0]).round(0).map(Value::Numeric)),
            Overload::new(&[N, Int4], N, |_, values, _| {
                number(values[0]).round(places(values[1])).map(Value::Numeric)
            }),
        ],
    ),
    &Function::new(
        "trunc",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| of_float(values[0], f64::trunc)),
            exact(|_, values, _| number(values[0]).trunc(0).map(Value::Numeric)),
            Overload::new(&[N, Int4], N, |_, values, _| {
                number(values[0]).trunc(places(values[1])).map(Value::Numeric)
            }),
        ],
    ),
    &Function::new(
        "sign",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                of_float(values[0], |value| if value == 0.0 { 0.0 } else { value.signum() })
            }),
            exact(|_, values, _| {
                let number = number(values[0]);
                Ok(Value::Numeric(if number.is_nan() { number.to_owned() } else { number.signum().into() }))
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
            number(values[0]).div_whole(number(values[1])).map(Value::Numeric)
        })],
    ),
    &Function::new(
        "gcd",
        &[
            Overload::new(&[Int4, Int4], Int4, |_, values, _| as_int4(integer_gcd(values))),
            Overload::new(&[Int8, Int8], Int8, |_, values, _| as_int8(integer_gcd(values))),
            Overload::new(&[N, N], N, |_, values, _| {
                luma_model::gcd(number(values[0]), number(values[1])).map(Value::Numeric)
            }),
        ],
    ),
    &Function::new(
        "lcm",
        &[
            Overload::new(&[Int4, Int4], Int4, |_, values, _| as_int4(integer_lcm(values))),
            Overload::new(&[Int8, Int8], Int8, |_, values, _| as_int8(integer_lcm(values))),
            Overload::new(&[N, N], N, |_, values, _| {
                luma_model::lcm(number(values[0]), number(values[1])).map(Value::Numeric)
            }),
        ],
    ),
    &Function::new(
        "factorial",
        &[Overload::new(&[Int8], N, |_, values, _| {
            luma_model::factorial(int(values[0])).map(Value::Numeric)
        })],
    ),
    &Function::new(
        "exp",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| finite(float(values[0]).exp())),
            exact(|_, values, _| number(values[0]).exp().map(Value::Numeric)),
        ],
    ),
    &Function::new(
        "ln",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                check_logarithm(float(values[0])).map(|value| Value::Float8(value.ln()))
            }),
            exact(|_, values, _| number(values[0]).ln().map(Value::Numeric)),
        ],
    ),
    &Function::new(
        "log",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                check_logarithm(float(values[0])).map(|value| Value::Float8(value.log10()))
            }),
            exact(|_, values, _| number(values[0]).log(NumericRef::new(10, 0)).map(Value::Numeric)),
            Overload::new(&[N, N], N, |_, values, _| {
                number(values[1]).log(number(values[0])).map(Value::Numeric)
            }),
        ],
    ),
    &Function::new(
        "log10",
        &[
            Overload::new(&[Float8], Float8, |_, values, _| {
                check_logarithm(float(values[0])).map(|value| Value::Float8(value.log10()))
            }),
            exact(|_, values, _| number(values[0]).log(NumericRef::new(10, 0)).map(Value::Numeric)),
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
                let (operand, low, high) = (number(values[0]), number(values[1]), number(values[2]));
                luma_model::width_bucket(operand, low, high, int(values[3]) as i32).map(Value::Int4)
            }),
            Overload::new(&[Float8, Float8, Float8, Int4], Int4, |_, values, _| {
                bucket(float(values[0]), float(values[1]), float(values[2]), int(values[3]))
            }),
        ],
    ),
    &Function::new("scale", &[Overload::new(&[N], Int4, |_, values, _| Ok(scale_of(number(values[0]))))]),
    &Function::new(
        "min_scale",
        &[Overload::new(&[N], Int4, |_, values, _| Ok(scale_of(number(values[0]).trim_scale().as_ref())))],
    ),
    &Function::new(
        "trim_scale",
        &[Overload::new(&[N], N, |_, values, _| Ok(Value::Numeric(number(values[0]).trim_scale())))],
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
