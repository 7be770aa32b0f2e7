//! The syntax tree of a query. Templates are gone from it.

use luma_promql::Matcher;

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Length {
    /// Milliseconds.
    pub ms: f64,
    /// And so many steps of the query.
    pub steps: f64,
}

impl Length {
    /// Milliseconds with a step of so many.
    pub fn at(self, step: i64) -> i64 {
        (self.ms + self.steps * step as f64) as i64
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Number(f64),
    /// `5m` where a number may stand: seconds.
    Duration(Length),
    Text(String),
    /// Series that fulfil all matchers of one of the lists.
    Selector(Vec<Vec<Matcher>>),
    Rollup(Box<Rollup>),
    Call(Box<Call>),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    /// `(a, b)`
    Union(Vec<Expr>),
}

impl Expr {
    /// Whether it asks what time it is.
    pub fn asks_the_clock(&self) -> bool {
        let any = |exprs: &[Self]| exprs.iter().any(Self::asks_the_clock);
        match self {
            Self::Number(_) | Self::Duration(_) | Self::Text(_) | Self::Selector(_) => false,
            Self::Rollup(rollup) => {
                rollup.expr.asks_the_clock() || rollup.at.as_ref().is_some_and(Self::asks_the_clock)
            }
            Self::Call(call) => call.name == "now" || any(&call.args),
            Self::Aggregate(aggregate) => any(&aggregate.args),
            Self::Binary(binary) => binary.left.asks_the_clock() || binary.right.asks_the_clock(),
            Self::Union(exprs) => any(exprs),
        }
    }
}

/// `expr[window:step] offset d @ t`
#[derive(Debug, Clone)]
pub(crate) struct Rollup {
    pub expr: Expr,
    pub window: Option<Length>,
    pub step: Option<Length>,
    /// Whether there was a colon without a step.
    pub is_subquery: bool,
    pub offset: Option<Length>,
    pub at: Option<Expr>,
}

impl Rollup {
    pub fn of(expr: Expr) -> Self {
        Self { expr, window: None, step: None, is_subquery: false, offset: None, at: None }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// In lower case.
    pub name: String,
    pub args: Vec<Expr>,
    pub keep_names: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub name: String,
    pub args: Vec<Expr>,
    pub grouping: Grouping,
    /// How many series there may be, 0 for all.
    pub limit: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Default,
    If,
    IfNot,
    Or,
    And,
    Unless,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Atan2,
    Pow,
}

impl Op {
    pub fn named(text: &str) -> Option<Self> {
        Some(match text {
            "default" => Self::Default,
            "if" => Self::If,
            "ifnot" => Self::IfNot,
            "or" => Self::Or,
            "and" => Self::And,
            "unless" => Self::Unless,
            "==" => Self::Eq,
            "!=" => Self::Ne,
            ">" => Self::Gt,
            "<" => Self::Lt,
            ">=" => Self::Ge,
            "<=" => Self::Le,
            "+" => Self::Add,
            "-" => Self::Sub,
            "*" => Self::Mul,
            "/" => Self::Div,
            "%" => Self::Mod,
            "atan2" => Self::Atan2,
            "^" => Self::Pow,
            _ => return None,
        })
    }

    /// How tightly it binds.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Default => 0,
            Self::If | Self::IfNot => 1,
            Self::Or => 2,
            Self::And | Self::Unless => 3,
            Self::Eq | Self::Ne | Self::Gt | Self::Lt | Self::Ge | Self::Le => 4,
            Self::Add | Self::Sub => 5,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 6,
            Self::Pow => 7,
        }
    }

    /// The comparison that says the same with its sides exchanged.
    pub fn turned(self) -> Self {
        match self {
            Self::Gt => Self::Lt,
            Self::Lt => Self::Gt,
            Self::Ge => Self::Le,
            Self::Le => Self::Ge,
            other => other,
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Gt | Self::Lt | Self::Ge | Self::Le)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Join {
    #[default]
    One,
    Left,
    Right,
}

#[derive(Debug, Clone)]
pub(crate) struct Binary {
    pub op: Op,
    pub left: Expr,
    pub right: Expr,
    pub as_bool: bool,
    /// The labels of `on` (true) or `ignoring`.
    pub matching: Option<(bool, Vec<String>)>,
    pub join: Join,
    /// Labels that come from the side of which there is one.
    pub include: Vec<String>,
    pub keep_names: bool,
}
