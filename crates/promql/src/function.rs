//! The functions of the language and the types of their arguments.

use crate::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments; the last one repeats if the function is variadic.
    pub args: &'static [ValueType],
    /// How many of the last argument may be there beyond none: 0 exactly one, -1 any number.
    pub variadic: i8,
    /// What it returns.
    pub returns: ValueType,
}

const fn function(
    name: &'static str,
    args: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
) -> Function {
    Function { name, args, variadic, returns }
}

/// All functions by name.
pub static FUNCTIONS: &[Function] = &[
    function("abs", &[Vector], 0, Vector),
    function("absent", &[Vector], 0, Vector),
    function("absent_over_time", &[Matrix], 0, Vector),
    function("acos", &[Vector], 0, Vector),
    function("acosh", &[Vector], 0, Vector),
    function("asin", &[Vector], 0, Vector),
    function("asinh", &[Vector], 0, Vector),
    function("atan", &[Vector], 0, Vector),
    function("atanh", &[Vector], 0, Vector),
    function("avg_over_time", &[Matrix], 0, Vector),
    function("ceil", &[Vector], 0, Vector),
    function("changes", &[Matrix], 0, Vector),
    function("clamp", &[Vector, Scalar, Scalar], 0, Vector),
    function("clamp_max", &[Vector, Scalar], 0, Vector),
    function("clamp_min", &[Vector, Scalar], 0, Vector),
    function("cos", &[Vector], 0, Vector),
    function("cosh", &[Vector], 0, Vector),
    function("count_over_time", &[Matrix], 0, Vector),
    function("day_of_month", &[Vector], 1, Vector),
    function("day_of_week", &[Vector], 1, Vector),
    function("day_of_year", &[Vector], 1, Vector),
    function("days_in_month", &[Vector], 1, Vector),
    function("deg", &[Vector], 0, Vector),
    function("delta", &[Matrix], 0, Vector),
    function("deriv", &[Matrix], 0, Vector),
    function("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector),
    function("end", &[], 0, Scalar),
    function("exp", &[Vector], 0, Vector),
    function("first_over_time", &[Matrix], 0, Vector),
    function("floor", &[Vector], 0, Vector),
    function("histogram_avg", &[Vector], 0, Vector),
    function("histogram_count", &[Vector], 0, Vector),
    function("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector),
    function("histogram_quantile", &[Scalar, Vector], 0, Vector),
    function("histogram_quantiles", &[Vector, String, Scalar, Scalar], 9, Vector),
    function("histogram_stddev", &[Vector], 0, Vector),
    function("histogram_stdvar", &[Vector], 0, Vector),
    function("histogram_sum", &[Vector], 0, Vector),
    function("hour", &[Vector], 1, Vector),
    function("idelta", &[Matrix], 0, Vector),
    function("increase", &[Matrix], 0, Vector),
    function("info", &[Vector, Vector], 1, Vector),
    function("irate", &[Matrix], 0, Vector),
    function("label_join", &[Vector, String, String, String], -1, Vector),
    function("label_replace", &[Vector, String, String, String, String], 0, Vector),
    function("last_over_time", &[Matrix], 0, Vector),
    function("ln", &[Vector], 0, Vector),
    function("log10", &[Vector], 0, Vector),
    function("log2", &[Vector], 0, Vector),
    function("mad_over_time", &[Matrix], 0, Vector),
    function("max_of", &[Scalar, Scalar], 0, Scalar),
    function("max_over_time", &[Matrix], 0, Vector),
    function("min_of", &[Scalar, Scalar], 0, Scalar),
    function("min_over_time", &[Matrix], 0, Vector),
    function("minute", &[Vector], 1, Vector),
    function("month", &[Vector], 1, Vector),
    function("pi", &[], 0, Scalar),
    function("predict_linear", &[Matrix, Scalar], 0, Vector),
    function("present_over_time", &[Matrix], 0, Vector),
    function("quantile_over_time", &[Scalar, Matrix], 0, Vector),
    function("rad", &[Vector], 0, Vector),
    function("range", &[], 0, Scalar),
    function("rate", &[Matrix], 0, Vector),
    function("resets", &[Matrix], 0, Vector),
    function("round", &[Vector, Scalar], 1, Vector),
    function("scalar", &[Vector], 0, Scalar),
    function("sgn", &[Vector], 0, Vector),
    function("sin", &[Vector], 0, Vector),
    function("sinh", &[Vector], 0, Vector),
    function("sort", &[Vector], 0, Vector),
    function("sort_by_label", &[Vector, String], -1, Vector),
    function("sort_by_label_desc", &[Vector, String], -1, Vector),
    function("sort_desc", &[Vector], 0, Vector),
    function("sqrt", &[Vector], 0, Vector),
    function("start", &[], 0, Scalar),
    function("start_timestamp", &[Vector], 0, Vector),
    function("stddev_over_time", &[Matrix], 0, Vector),
    function("stdvar_over_time", &[Matrix], 0, Vector),
    function("step", &[], 0, Scalar),
    function("sum_over_time", &[Matrix], 0, Vector),
    function("tan", &[Vector], 0, Vector),
    function("tanh", &[Vector], 0, Vector),
    function("time", &[], 0, Scalar),
    function("timestamp", &[Vector], 0, Vector),
    function("ts_of_first_over_time", &[Matrix], 0, Vector),
    function("ts_of_last_over_time", &[Matrix], 0, Vector),
    function("ts_of_max_over_time", &[Matrix], 0, Vector),
    function("ts_of_min_over_time", &[Matrix], 0, Vector),
    function("vector", &[Scalar], 0, Vector),
    function("year", &[Vector], 1, Vector),
];

/// The function of a name.
pub fn find(name: &str) -> Option<&'static Function> {
    let at = FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok()?;
    FUNCTIONS.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for function in FUNCTIONS {
            assert_eq!(find(function.name), Some(function), "{}", function.name);
        }
        assert_eq!(find("Rate"), None);
    }
}
