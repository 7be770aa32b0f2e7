//! The syntax tree of a query.
//!
//! Every node knows where it stands in the text (in bytes), for errors and annotations.

use crate::function::Function;
use crate::matcher::Matcher;

/// A range of bytes of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl Span {
    /// From the start of one to the end of another.
    pub(crate) fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end }
    }
}

/// What an expression yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// A number per step.
    Scalar,
    /// A text.
    String,
    /// At most one sample per series and step.
    Vector,
    /// A range of samples per series.
    Matrix,
}

impl ValueType {
    /// The name in error texts.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

/// An expression.
#[derive(Debug, Clone)]
pub enum Expr {
    /// `sum by (a) (x)`
    Aggregate(Box<Aggregate>),
    /// `a + b`
    Binary(Box<Binary>),
    /// `rate(x[5m])`
    Call(Box<Call>),
    /// `x[5m]`
    Matrix(Box<MatrixSelector>),
    /// `42` or `5m`
    Number(f64, Span),
    /// `(a)`
    Paren(Box<Expr>, Span),
    /// `"a"`
    String(String, Span),
    /// `a[5m:1m]`
    Subquery(Box<Subquery>),
    /// `-a`
    Unary(Box<Unary>),
    /// `x{a="b"}`
    Vector(Box<VectorSelector>),
}

impl Expr {
    /// What the expression yields.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Aggregate(_) | Self::Vector(_) => ValueType::Vector,
            Self::Binary(b) => {
                let scalar = |e: &Self| e.value_type() == ValueType::Scalar;
                if scalar(&b.left) && scalar(&b.right) { ValueType::Scalar } else { ValueType::Vector }
            }
            Self::Call(call) => call.function.returns,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Number(..) => ValueType::Scalar,
            Self::Paren(inner, _) => inner.value_type(),
            Self::String(..) => ValueType::String,
            Self::Unary(u) => u.operand.value_type(),
        }
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Aggregate(a) => a.span,
            Self::Binary(b) => b.left.span().to(b.right.span()),
            Self::Call(call) => call.span,
            Self::Matrix(m) => m.span,
            Self::Number(_, span) | Self::Paren(_, span) | Self::String(_, span) => *span,
            Self::Subquery(s) => s.span,
            Self::Unary(u) => u.span,
            Self::Vector(v) => v.span,
        }
    }

    /// All selectors in it, in the order of the text.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        let mut found = Vec::new();
        self.collect_selectors(&mut found);
        found
    }

    fn collect_selectors<'e>(&'e self, found: &mut Vec<&'e VectorSelector>) {
        match self {
            Self::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    param.collect_selectors(found);
                }
                aggregate.operand.collect_selectors(found);
            }
            Self::Binary(binary) => {
                binary.left.collect_selectors(found);
                binary.right.collect_selectors(found);
            }
            Self::Call(call) => call.args.iter().for_each(|arg| arg.collect_selectors(found)),
            Self::Matrix(matrix) => found.push(&matrix.selector),
            Self::Paren(inner, _) => inner.collect_selectors(found),
            Self::Subquery(subquery) => subquery.operand.collect_selectors(found),
            Self::Unary(unary) => unary.operand.collect_selectors(found),
            Self::Vector(selector) => found.push(selector),
            Self::Number(..) | Self::String(..) => {}
        }
    }

    /// The expression within any parentheses around it.
    pub fn without_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(inner, _) = expr {
            expr = inner;
        }
        expr
    }
}

/// An aggregation.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What is computed.
    pub op: AggregateOp,
    /// What is aggregated.
    pub operand: Expr,
    /// The k of `topk`, the q of `quantile`, the label of `count_values`.
    pub param: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether the labels are those to leave out.
    pub without: bool,
    /// Where it stands.
    pub span: Span,
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$item:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type { $($(#[$item])* $variant,)* }

        impl $type {
            /// As it is written.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

names! {
    /// The aggregations.
    AggregateOp {
        /// The sum.
        Sum = "sum",
        /// The mean.
        Avg = "avg",
        /// How many there are.
        Count = "count",
        /// The smallest.
        Min = "min",
        /// The largest.
        Max = "max",
        /// One for every group.
        Group = "group",
        /// The standard deviation.
        Stddev = "stddev",
        /// The variance.
        Stdvar = "stdvar",
        /// The k largest.
        Topk = "topk",
        /// The k smallest.
        Bottomk = "bottomk",
        /// How often each value is there.
        CountValues = "count_values",
        /// A quantile.
        Quantile = "quantile",
        /// The first k.
        Limitk = "limitk",
        /// A share of the series.
        LimitRatio = "limit_ratio",
    }
}

impl AggregateOp {
    /// Whether it takes a parameter.
    pub fn has_param(self) -> bool {
        use AggregateOp::*;
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }
}

names! {
    /// The operators between two operands.
    BinaryOp {
        /// Addition.
        Add = "+",
        /// Subtraction.
        Sub = "-",
        /// Multiplication.
        Mul = "*",
        /// Division.
        Div = "/",
        /// The rest of a division.
        Mod = "%",
        /// Power.
        Pow = "^",
        /// The angle.
        Atan2 = "atan2",
        /// Equal.
        Eq = "==",
        /// Not equal.
        Ne = "!=",
        /// Greater.
        Gt = ">",
        /// Less.
        Lt = "<",
        /// Greater or equal.
        Ge = ">=",
        /// Less or equal.
        Le = "<=",
        /// The part of a histogram below a value.
        TrimUpper = "</",
        /// The part of a histogram above a value.
        TrimLower = ">/",
        /// In both.
        And = "and",
        /// In either.
        Or = "or",
        /// In the left only.
        Unless = "unless",
    }
}

impl BinaryOp {
    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Gt | Lt | Ge | Le)
    }

    /// Whether it takes samples from its sides as they are.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Whether the result is another metric than the operands.
    pub fn changes_metric(self) -> bool {
        use BinaryOp::*;
        matches!(self, Add | Sub | Mul | Div | Mod | Pow | Atan2)
    }

    /// How tightly it binds.
    pub(crate) fn precedence(self) -> u8 {
        use BinaryOp::*;
        match self {
            Or => 1,
            And | Unless => 2,
            Eq | Ne | Gt | Lt | Ge | Le | TrimUpper | TrimLower => 3,
            Add | Sub => 4,
            Mul | Div | Mod | Atan2 => 5,
            Pow => 6,
        }
    }
}

/// An operation on two operands.
#[derive(Debug, Clone)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand.
    pub left: Expr,
    /// The right operand.
    pub right: Expr,
    /// Whether a comparison yields 0 and 1.
    pub return_bool: bool,
    /// How series find each other.
    pub matching: Matching,
}

/// How many series of either side belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One of each.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

/// How series of two sides find each other.
#[derive(Debug, Clone, Default)]
pub struct Matching {
    /// How many belong together.
    pub cardinality: Cardinality,
    /// Whether the labels are those to compare, or those to leave out.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels that come from the "one" side.
    pub include: Vec<String>,
    /// The value of a missing left sample.
    pub fill_left: Option<f64>,
    /// The value of a missing right sample.
    pub fill_right: Option<f64>,
}

/// A function call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

impl Call {
    /// Whether an argument is a range.
    pub(crate) fn takes_range(&self) -> bool {
        self.args.iter().any(|arg| matches!(arg.without_parens(), Expr::Matrix(_) | Expr::Subquery(_)))
    }
}

/// A sign before an expression.
#[derive(Debug, Clone)]
pub struct Unary {
    /// Whether the sign is a minus.
    pub negative: bool,
    /// What it stands before.
    pub operand: Expr,
    /// Where it stands.
    pub span: Span,
}

/// A point in time that `@` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Timestamp(i64),
    /// The query's start.
    Start,
    /// The query's end.
    End,
}

/// `offset` and `@`.
#[derive(Debug, Clone, Default)]
pub struct Shift {
    /// How far back.
    pub offset: Option<DurationExpr>,
    /// Which time instead of the step's.
    pub at: Option<At>,
}

/// How the samples at a range's ends are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Boundary {
    /// They are those within the range.
    #[default]
    Plain,
    /// The last sample before the range counts as its start.
    Anchored,
    /// Values at the ends are interpolated.
    Smoothed,
}

/// A selector of series.
#[derive(Debug, Clone)]
pub struct VectorSelector {
    /// The metric's name if it stands before the braces.
    pub name: Option<String>,
    /// All conditions, that on the name included.
    pub matchers: Vec<Matcher>,
    /// When.
    pub shift: Shift,
    /// What happens at the ends.
    pub boundary: Boundary,
    /// Where it stands.
    pub span: Span,
}

/// A selector of ranges of samples.
#[derive(Debug, Clone)]
pub struct MatrixSelector {
    /// Which series, and when.
    pub selector: VectorSelector,
    /// How long a range.
    pub range: DurationExpr,
    /// Where it stands.
    pub span: Span,
}

/// An expression evaluated over a range.
#[derive(Debug, Clone)]
pub struct Subquery {
    /// What is evaluated.
    pub operand: Expr,
    /// Over how long.
    pub range: DurationExpr,
    /// How often.
    pub step: Option<DurationExpr>,
    /// When.
    pub shift: Shift,
    /// Where it stands.
    pub span: Span,
}

/// A length of time.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// Seconds.
    Literal(f64),
    /// The query's step.
    Step,
    /// The query's length.
    Range,
    /// The negative of another.
    Negative(Box<DurationExpr>),
    /// `+ - * / % ^` of two.
    Arithmetic(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// The shorter of two.
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// The longer of two.
    Max(Box<DurationExpr>, Box<DurationExpr>),
}
