//! Scalar expressions evaluated row by row, with PostgreSQL's types and errors.
//!
//! The compiler takes what it knows exactly and answers `None` for the rest, which DataFusion then
//! evaluates. Every node has one type, found while compiling; evaluation never guesses.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, UnaryOperator};
use luma_model::{CastKind, DataType, Error, ErrorKind, Result, Value, ValueRef, cast, parse_text};

use crate::names::identifier;
use crate::session::SessionInfo;
use crate::types;

/// Deepest nesting that is compiled.
const DEPTH_MAX: usize = 64;

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) node: Node,
    pub(crate) data_type: DataType,
    /// A literal or parameter that takes whatever type its place wants.
    pub(crate) unknown: bool,
}

/// A node of the expression.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Constant(Value),
    Parameter(usize),
    /// Row source and ordinal.
    Column(usize, usize),
    Arithmetic(Arithmetic, Box<Typed>, Box<Typed>),
    Compare(Comparison, Box<Typed>, Box<Typed>),
    And(Box<Typed>, Box<Typed>),
    Or(Box<Typed>, Box<Typed>),
    Not(Box<Typed>),
    IsNull(Box<Typed>, bool),
    Negate(Box<Typed>),
    Cast(Box<Typed>, CastKind),
    Concat(Box<Typed>, Box<Typed>),
    Coalesce(Vec<Typed>),
    /// Is the first among the rest?
    In(Box<Typed>, Vec<Typed>, bool),
    Now,
    RandomUuid,
    NextValue(String),
}

/// `+ - * / %`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// `= <> < <= > >=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Finds a column by qualifier and name: source, ordinal and type.
pub(crate) type Resolve<'a> = dyn Fn(Option<&str>, &str) -> Option<(usize, usize, DataType)> + 'a;

/// What names mean while compiling, and what is learnt of parameters.
pub(crate) struct Compiler<'a> {
    /// Resolves a column: source, ordinal and type.
    pub(crate) resolve: &'a Resolve<'a>,
    /// Types of parameters, where they are known.
    pub(crate) parameters: &'a mut Vec<Option<DataType>>,
}

/// Where evaluation finds the values of columns.
pub(crate) trait Columns: Sync {
    /// The value of that source's column.
    fn value(&self, source: usize, ordinal: usize) -> Result<Value>;
}

/// No columns at all.
pub(crate) struct NoColumns;

impl Columns for NoColumns {
    fn value(&self, _source: usize, _ordinal: usize) -> Result<Value> {
        Err(Error::new(ErrorKind::Internal, "a constant expression read a column"))
    }
}

/// Rows as slices of values, one per source.
pub(crate) struct Rows<'a>(pub(crate) &'a [&'a [ValueRef<'a>]]);

impl Columns for Rows<'_> {
    fn value(&self, source: usize, ordinal: usize) -> Result<Value> {
        Ok(self.0[source][ordinal].to_owned())
    }
}

/// What evaluation depends on beside the row.
pub(crate) struct Environment<'a> {
    pub(crate) parameters: &'a [Value],
    pub(crate) columns: &'a dyn Columns,
    pub(crate) info: &'a Arc<SessionInfo>,
}

impl Typed {
    pub(crate) fn new(node: Node, data_type: DataType) -> Self {
        Self { node, data_type, unknown: false }
    }

    fn unknown(node: Node) -> Self {
        Self { node, data_type: DataType::Text, unknown: true }
    }
}

impl Compiler<'_> {
    /// Compiles an expression; `None` when it has something this evaluator does not know.
    ///
    /// # Errors
    /// What PostgreSQL finds wrong while analysing: literals that don't parse, types that don't fit.
    pub(crate) fn compile(&mut self, expr: &ast::Expr) -> Result<Option<Typed>> {
        self.expression(expr, 0)
    }

    fn expression(&mut self, expr: &ast::Expr, depth: usize) -> Result<Option<Typed>> {
        if depth > DEPTH_MAX {
            return Ok(None);
        }
        let depth = depth + 1;
        Ok(match expr {
            ast::Expr::Nested(inner) => self.expression(inner, depth)?,
            ast::Expr::Value(value) => self.literal(&value.value)?,
            ast::Expr::Identifier(name) => self.column(None, &identifier(name)),
            ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] => self.column(Some(&identifier(table)), &identifier(name)),
                _ => None,
            },
            ast::Expr::UnaryOp { op, expr } => {
                let Some(inner) = self.expression(expr, depth)? else { return Ok(None) };
                match op {
                    UnaryOperator::Plus if is_number(&inner.data_type) => Some(inner),
                    UnaryOperator::Minus if !inner.unknown && is_number(&inner.data_type) => {
                        Some(negate(inner)?)
                    }
                    UnaryOperator::Not => {
                        let Some(inner) = self.as_type(inner, &DataType::Bool)? else { return Ok(None) };
                        Some(Typed::new(Node::Not(Box::new(inner)), DataType::Bool))
                    }
                    _ => None,
                }
            }
            ast::Expr::BinaryOp { left, op, right } => {
                let (Some(left), Some(right)) =
                    (self.expression(left, depth)?, self.expression(right, depth)?)
                else {
                    return Ok(None);
                };
                self.binary(left, op, right)?
            }
            ast::Expr::IsNull(inner) => self.null_test(inner, false, depth)?,
            ast::Expr::IsNotNull(inner) => self.null_test(inner, true, depth)?,
            ast::Expr::Between { expr, negated: false, low, high } => {
                let (Some(value), Some(low), Some(high)) = (
                    self.expression(expr, depth)?,
                    self.expression(low, depth)?,
                    self.expression(high, depth)?,
                ) else {
                    return Ok(None);
                };
                let lower = self.binary(value.clone(), &BinaryOperator::GtEq, low)?;
                let upper = self.binary(value, &BinaryOperator::LtEq, high)?;
                match (lower, upper) {
                    (Some(lower), Some(upper)) => {
                        Some(Typed::new(Node::And(Box::new(lower), Box::new(upper)), DataType::Bool))
                    }
                    _ => None,
                }
            }
            ast::Expr::InList { expr, list, negated } => {
                let Some(value) = self.expression(expr, depth)? else { return Ok(None) };
                if value.unknown {
                    return Ok(None);
                }
                let mut items = Vec::with_capacity(list.len());
                for item in list {
                    let Some(item) = self.expression(item, depth)? else { return Ok(None) };
                    if !item.unknown && item.data_type != value.data_type {
                        return Ok(None);
                    }
                    let Some(item) = self.as_type(item, &value.data_type)? else { return Ok(None) };
                    items.push(item);
                }
                Some(Typed::new(Node::In(Box::new(value), items, *negated), DataType::Bool))
            }
            ast::Expr::Cast {
                kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
                expr,
                data_type,
                ..
            } => {
                let Some(inner) = self.expression(expr, depth)? else { return Ok(None) };
                let Ok(wanted) = types::data_type(data_type) else { return Ok(None) };
                self.explicit_cast(inner, wanted)?
            }
            ast::Expr::TypedString(typed) => {
                let Ok(wanted) = types::data_type(&typed.data_type) else { return Ok(None) };
                match self.literal(&typed.value.value)? {
                    Some(literal) => self.explicit_cast(literal, wanted)?,
                    None => None,
                }
            }
            ast::Expr::Function(function) => self.function(function, depth)?,
            _ => None,
        })
    }

    fn literal(&mut self, value: &ast::Value) -> Result<Option<Typed>> {
        Ok(Some(match value {
            ast::Value::Number(text, _) => number(text)?,
            ast::Value::SingleQuotedString(text) | ast::Value::EscapedStringLiteral(text) => {
                Typed::unknown(Node::Constant(Value::Text(text.clone())))
            }
            ast::Value::DollarQuotedString(text) => {
                Typed::unknown(Node::Constant(Value::Text(text.value.clone())))
            }
            ast::Value::Boolean(value) => Typed::new(Node::Constant(Value::Bool(*value)), DataType::Bool),
            ast::Value::Null => Typed::unknown(Node::Constant(Value::Null)),
            ast::Value::Placeholder(name) => {
                let Some(place) = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok())
                else {
                    return Ok(None);
                };
                if place == 0 {
                    return Ok(None);
                }
                if self.parameters.len() < place {
                    self.parameters.resize(place, None);
                }
                match self.parameters[place - 1].clone() {
                    Some(known) => Typed::new(Node::Parameter(place - 1), known),
                    None => Typed::unknown(Node::Parameter(place - 1)),
                }
            }
            _ => return Ok(None),
        }))
    }

    fn column(&self, table: Option<&str>, name: &str) -> Option<Typed> {
        let (source, ordinal, data_type) = (self.resolve)(table, name)?;
        Some(Typed::new(Node::Column(source, ordinal), data_type))
    }

    fn null_test(&mut self, inner: &ast::Expr, negated: bool, depth: usize) -> Result<Option<Typed>> {
        let inner = self.expression(inner, depth)?;
        Ok(inner.map(|inner| Typed::new(Node::IsNull(Box::new(inner), negated), DataType::Bool)))
    }

    fn function(&mut self, function: &ast::Function, depth: usize) -> Result<Option<Typed>> {
        if function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
            return Ok(None);
        }
        let Some(name) = function.name.0.last().and_then(ast::ObjectNamePart::as_ident).map(identifier)
        else {
            return Ok(None);
        };
        let arguments: Vec<&ast::Expr> = match &function.args {
            ast::FunctionArguments::None => Vec::new(),
            ast::FunctionArguments::Subquery(_) => return Ok(None),
            ast::FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return Ok(None);
                }
                let mut plain = Vec::new();
                for argument in &list.args {
                    match argument {
                        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => plain.push(expr),
                        _ => return Ok(None),
                    }
                }
                plain
            }
        };
        Ok(match (name.as_str(), arguments.as_slice()) {
            ("now" | "current_timestamp" | "transaction_timestamp", []) => {
                Some(Typed::new(Node::Now, DataType::TimestampTz))
            }
            ("current_date", []) => {
                let now = Box::new(Typed::new(Node::Now, DataType::TimestampTz));
                Some(Typed::new(Node::Cast(now, CastKind::Explicit), DataType::Date))
            }
            ("localtimestamp", []) => {
                let now = Box::new(Typed::new(Node::Now, DataType::TimestampTz));
                Some(Typed::new(Node::Cast(now, CastKind::Explicit), DataType::Timestamp))
            }
            ("gen_random_uuid" | "uuid_generate_v4", []) => {
                Some(Typed::new(Node::RandomUuid, DataType::Uuid))
            }
            ("nextval", [argument]) => {
                sequence_name(argument).map(|name| Typed::new(Node::NextValue(name), DataType::Int8))
            }
            ("coalesce", [_, ..]) => {
                let mut items = Vec::new();
                for argument in &arguments {
                    let Some(item) = self.expression(argument, depth)? else { return Ok(None) };
                    items.push(item);
                }
                let Some(wanted) = items.iter().find(|item| !item.unknown).map(|item| item.data_type.clone())
                else {
                    return Ok(None);
                };
                if items.iter().any(|item| !item.unknown && item.data_type != wanted) {
                    return Ok(None);
                }
                let mut typed = Vec::new();
                for item in items {
                    let Some(item) = self.as_type(item, &wanted)? else { return Ok(None) };
                    typed.push(item);
                }
                Some(Typed::new(Node::Coalesce(typed), wanted))
            }
            _ => None,
        })
    }

    fn binary(&mut self, left: Typed, op: &BinaryOperator, right: Typed) -> Result<Option<Typed>> {
        let arithmetic = match op {
            BinaryOperator::Plus => Some(Arithmetic::Add),
            BinaryOperator::Minus => Some(Arithmetic::Subtract),
            BinaryOperator::Multiply => Some(Arithmetic::Multiply),
            BinaryOperator::Divide => Some(Arithmetic::Divide),
            BinaryOperator::Modulo => Some(Arithmetic::Modulo),
            _ => None,
        };
        if let Some(arithmetic) = arithmetic {
            return self.arithmetic(arithmetic, left, right);
        }
        let comparison = match op {
            BinaryOperator::Eq => Some(Comparison::Equal),
            BinaryOperator::NotEq => Some(Comparison::NotEqual),
            BinaryOperator::Lt => Some(Comparison::Less),
            BinaryOperator::LtEq => Some(Comparison::LessOrEqual),
            BinaryOperator::Gt => Some(Comparison::Greater),
            BinaryOperator::GtEq => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparison) = comparison {
            let Some((left, right)) = self.common(left, right)? else { return Ok(None) };
            if !is_comparable(&left.data_type) {
                return Ok(None);
            }
            return Ok(Some(Typed::new(
                Node::Compare(comparison, Box::new(left), Box::new(right)),
                DataType::Bool,
            )));
        }
        match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let (Some(left), Some(right)) =
                    (self.as_type(left, &DataType::Bool)?, self.as_type(right, &DataType::Bool)?)
                else {
                    return Ok(None);
                };
                let (left, right) = (Box::new(left), Box::new(right));
                let node =
                    if *op == BinaryOperator::And { Node::And(left, right) } else { Node::Or(left, right) };
                Ok(Some(Typed::new(node, DataType::Bool)))
            }
            BinaryOperator::StringConcat => {
                let text = |side: &Typed| {
                    side.unknown || matches!(side.data_type, DataType::Text | DataType::Varchar(_))
                };
                if !text(&left) || !text(&right) || (left.unknown && right.unknown) {
                    return Ok(None);
                }
                let (Some(left), Some(right)) =
                    (self.as_type(left, &DataType::Text)?, self.as_type(right, &DataType::Text)?)
                else {
                    return Ok(None);
                };
                Ok(Some(Typed::new(Node::Concat(Box::new(left), Box::new(right)), DataType::Text)))
            }
            _ => Ok(None),
        }
    }

    fn arithmetic(&mut self, op: Arithmetic, left: Typed, right: Typed) -> Result<Option<Typed>> {
        // What another type's operator makes of a literal is not known here.
        let counts = |side: &Typed| side.unknown || is_number(&side.data_type);
        if left.unknown && right.unknown || !counts(&left) || !counts(&right) {
            return Ok(None);
        }
        let Some((left, right)) = self.common(left, right)? else { return Ok(None) };
        let data_type = match (&left.data_type, op) {
            (DataType::Int2 | DataType::Int4 | DataType::Int8, _) => left.data_type.clone(),
            (DataType::Float4 | DataType::Float8, op) if op != Arithmetic::Modulo => left.data_type.clone(),
            (DataType::Numeric(_), _) => DataType::Numeric(None),
            _ => return Ok(None),
        };
        Ok(Some(Typed::new(Node::Arithmetic(op, Box::new(left), Box::new(right)), data_type)))
    }

    /// Brings two sides to one type, as PostgreSQL's operators do.
    fn common(&mut self, left: Typed, right: Typed) -> Result<Option<(Typed, Typed)>> {
        if left.unknown && right.unknown {
            return Ok(None);
        }
        let wanted = if left.unknown {
            base_type(&right.data_type)
        } else if right.unknown {
            base_type(&left.data_type)
        } else {
            let (one, other) = (base_type(&left.data_type), base_type(&right.data_type));
            match (rank(&one), rank(&other)) {
                _ if one == other => one,
                (Some(a), Some(b)) => {
                    let wider = if a >= b { one.clone() } else { other.clone() };
                    // real meets every other number in double precision.
                    if wider == DataType::Float4 { DataType::Float8 } else { wider }
                }
                _ => return Ok(None),
            }
        };
        let (Some(left), Some(right)) = (self.as_type(left, &wanted)?, self.as_type(right, &wanted)?) else {
            return Ok(None);
        };
        Ok(Some((left, right)))
    }

    /// Makes `typed` of the wanted type: literals are parsed, parameters learn it, the rest is cast
    /// between numbers only.
    pub(crate) fn as_type(&mut self, typed: Typed, wanted: &DataType) -> Result<Option<Typed>> {
        if wanted.object_kind().is_some() && typed.data_type != *wanted {
            return Ok(None);
        }
        if typed.unknown {
            return Ok(Some(match typed.node {
                Node::Constant(Value::Text(text)) => {
                    let value = parse_text(wanted, &text, &luma_model::TextContext::default());
                    if matches!(
                        wanted,
                        DataType::TimestampTz | DataType::Date | DataType::Time | DataType::Timestamp
                    ) {
                        // Depends on the session's zone and clock: leave it to evaluation.
                        let literal = Typed::new(Node::Constant(Value::Text(text)), DataType::Text);
                        return Ok(Some(Typed::new(
                            Node::Cast(Box::new(literal), CastKind::Explicit),
                            wanted.clone(),
                        )));
                    }
                    Typed::new(Node::Constant(value?), wanted.clone())
                }
                Node::Parameter(place) => {
                    self.parameters[place] = Some(wanted.clone());
                    Typed::new(Node::Parameter(place), wanted.clone())
                }
                node => Typed::new(node, wanted.clone()),
            }));
        }
        if typed.data_type == *wanted {
            return Ok(Some(typed));
        }
        if base_type(&typed.data_type) == *wanted {
            return Ok(Some(Typed { data_type: wanted.clone(), ..typed }));
        }
        match (rank(&typed.data_type), rank(wanted)) {
            (Some(_), Some(_)) => {
                if let Node::Constant(value) = &typed.node {
                    let context = luma_model::TextContext::default();
                    let value = cast(value.as_ref(), &typed.data_type, wanted, CastKind::Explicit, &context)?;
                    return Ok(Some(Typed::new(Node::Constant(value), wanted.clone())));
                }
                Ok(Some(Typed::new(Node::Cast(Box::new(typed), CastKind::Explicit), wanted.clone())))
            }
            _ => Ok(None),
        }
    }

    fn explicit_cast(&mut self, inner: Typed, wanted: DataType) -> Result<Option<Typed>> {
        // What has which name is asked of the catalog that the statement sees.
        if wanted.object_kind().or(inner.data_type.object_kind()).is_some() {
            return Ok(None);
        }
        if let (true, Node::Parameter(_)) = (inner.unknown, &inner.node) {
            return self.as_type(inner, &wanted);
        }
        if inner.data_type == wanted && !inner.unknown {
            return Ok(Some(inner));
        }
        let inner = Typed { unknown: false, ..inner };
        Ok(Some(Typed::new(Node::Cast(Box::new(inner), CastKind::Explicit), wanted)))
    }

    /// Prepares a value for a column: PostgreSQL's assignment conversion.
    ///
    /// # Errors
    /// 42804 when a value of this type can't be assigned to the column.
    pub(crate) fn assign(&mut self, typed: Typed, column: &str, wanted: &DataType) -> Result<Typed> {
        if typed.unknown {
            if let Node::Parameter(place) = typed.node {
                self.parameters[place] = Some(wanted.clone());
                return Ok(Typed::new(Node::Parameter(place), wanted.clone()));
            }
            // A literal of the column's type, lengths and scales checked as an assignment.
            return Ok(Typed::new(Node::Cast(Box::new(typed), CastKind::Assignment), wanted.clone()));
        }
        if typed.data_type == *wanted && !has_modifier(wanted) {
            return Ok(typed);
        }
        if !assignable(&typed.data_type, wanted) {
            return Err(not_assignable(column, &typed.data_type, wanted));
        }
        Ok(Typed::new(Node::Cast(Box::new(typed), CastKind::Assignment), wanted.clone()))
    }
}

/// The error of a value that can't be put into a column.
pub(crate) fn not_assignable(column: &str, given: &DataType, wanted: &DataType) -> Error {
    Error::new(
        ErrorKind::DatatypeMismatch,
        format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            base_type(wanted).sql_name(),
            base_type(given).sql_name()
        ),
    )
    .hint("You will need to rewrite or cast the expression.")
    .column(column)
}

/// Whether PostgreSQL converts between the types without being asked when a value is stored.
pub(crate) fn assignable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Array, Bool, Bytea, Date, Json, Jsonb, Time, Timestamp, TimestampTz, Uuid};
    let (from, to) = (base_type(from), base_type(to));
    if from == to || (rank(&from).is_some() && rank(&to).is_some()) {
        return true;
    }
    match (&from, &to) {
        // Anything has a text form.
        (_, to) if is_text(to) => true,
        (Date, Timestamp | TimestampTz)
        | (Timestamp, Date | Time | TimestampTz)
        | (TimestampTz, Date | Time | Timestamp)
        | (Json, Jsonb)
        | (Jsonb, Json) => true,
        (from, to) if to.is_identifier() => from.is_integer() || from.is_identifier(),
        (from, DataType::Int4 | DataType::Int8) if from.is_identifier() => true,
        (Array(from), Array(to)) => assignable(from, to),
        (Bool | Bytea | Uuid, _) => false,
        _ => false,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Text | DataType::Varchar(_) | DataType::Char(_) | DataType::Name)
}

fn has_modifier(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Varchar(Some(_)) | DataType::Char(_) | DataType::Numeric(_))
}

/// The type without length or scale.
fn base_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Numeric(_) => DataType::Numeric(None),
        DataType::Varchar(_) | DataType::Name => DataType::Text,
        other => other.clone(),
    }
}

/// Place in the order in which numbers widen.
fn rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int2 => 1,
        DataType::Int4 => 2,
        DataType::Int8 => 3,
        DataType::Numeric(_) => 4,
        DataType::Float4 => 5,
        DataType::Float8 => 6,
        _ => return None,
    })
}

fn is_number(data_type: &DataType) -> bool {
    rank(data_type).is_some()
}

fn is_comparable(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Json | DataType::Jsonb | DataType::Array(_) | DataType::Char(_) | DataType::InternalChar
    )
}

/// A number as PostgreSQL types it: integer, bigint or numeric.
fn number(text: &str) -> Result<Typed> {
    if let Ok(small) = text.parse::<i32>() {
        return Ok(Typed::new(Node::Constant(Value::Int4(small)), DataType::Int4));
    }
    if let Ok(large) = text.parse::<i64>() {
        return Ok(Typed::new(Node::Constant(Value::Int8(large)), DataType::Int8));
    }
    let wanted = DataType::Numeric(None);
    let value = parse_text(&wanted, text, &luma_model::TextContext::default())?;
    Ok(Typed::new(Node::Constant(value), wanted))
}

fn negate(inner: Typed) -> Result<Typed> {
    if let Node::Constant(value) = &inner.node {
        let negated = match value {
            // -2147483648 and -9223372036854775808 were read as something wider.
            Value::Int8(number) if *number == -i64::from(i32::MIN) => {
                return Ok(Typed::new(Node::Constant(Value::Int4(i32::MIN)), DataType::Int4));
            }
            Value::Numeric(number) if number.to_string() == "9223372036854775808" => {
                return Ok(Typed::new(Node::Constant(Value::Int8(i64::MIN)), DataType::Int8));
            }
            value => negate_value(value)?,
        };
        return Ok(Typed::new(Node::Constant(negated), inner.data_type));
    }
    let data_type = inner.data_type.clone();
    Ok(Typed::new(Node::Negate(Box::new(inner)), data_type))
}

/// The name in `nextval('name')` or `nextval('name'::regclass)`.
pub(crate) fn sequence_name(argument: &ast::Expr) -> Option<String> {
    match argument {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        ast::Expr::Cast { expr, data_type, .. } if data_type.to_string().eq_ignore_ascii_case("regclass") => {
            sequence_name(expr)
        }
        ast::Expr::Nested(inner) => sequence_name(inner),
        _ => None,
    }
}

impl Typed {
    /// The value for one row.
    ///
    /// # Errors
    /// What PostgreSQL raises: overflow 22003, division by zero 22012, conversions.
    pub(crate) fn evaluate(&self, environment: &Environment<'_>) -> Result<Value> {
        Ok(match &self.node {
            Node::Constant(value) => value.clone(),
            Node::Parameter(place) => environment.parameters.get(*place).cloned().unwrap_or(Value::Null),
            Node::Column(source, ordinal) => environment.columns.value(*source, *ordinal)?,
            Node::Arithmetic(op, left, right) => {
                arithmetic(*op, &left.evaluate(environment)?, &right.evaluate(environment)?)?
            }
            Node::Compare(op, left, right) => {
                match compare(&left.evaluate(environment)?, &right.evaluate(environment)?) {
                    None => Value::Null,
                    Some(ordering) => Value::Bool(op.holds(ordering)),
                }
            }
            Node::And(left, right) => match left.evaluate(environment)? {
                Value::Bool(false) => Value::Bool(false),
                left => match (left, right.evaluate(environment)?) {
                    (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                    _ => Value::Null,
                },
            },
            Node::Or(left, right) => match left.evaluate(environment)? {
                Value::Bool(true) => Value::Bool(true),
                left => match (left, right.evaluate(environment)?) {
                    (_, Value::Bool(true)) => Value::Bool(true),
                    (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
                    _ => Value::Null,
                },
            },
            Node::Not(inner) => match inner.evaluate(environment)? {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            },
            Node::IsNull(inner, negated) => {
                Value::Bool(matches!(inner.evaluate(environment)?, Value::Null) != *negated)
            }
            Node::Negate(inner) => negate_value(&inner.evaluate(environment)?)?,
            Node::Cast(inner, kind) => match inner.evaluate(environment)? {
                Value::Null => Value::Null,
                value => {
                    let context = environment.info.text_context();
                    if inner.unknown
                        && let Value::Text(text) = &value
                    {
                        // An untyped literal is read as the type itself, then fitted to the column.
                        let read = parse_text(&base_type(&self.data_type), text, &context)?;
                        let from = base_type(&self.data_type);
                        cast(read.as_ref(), &from, &self.data_type, *kind, &context)?
                    } else {
                        cast(value.as_ref(), &inner.data_type, &self.data_type, *kind, &context)?
                    }
                }
            },
            Node::Concat(left, right) => match (left.evaluate(environment)?, right.evaluate(environment)?) {
                (Value::Text(left), Value::Text(right)) => Value::Text(left + &right),
                _ => Value::Null,
            },
            Node::Coalesce(items) => {
                let mut found = Value::Null;
                for item in items {
                    found = item.evaluate(environment)?;
                    if !matches!(found, Value::Null) {
                        break;
                    }
                }
                found
            }
            Node::In(value, items, negated) => {
                let value = value.evaluate(environment)?;
                let mut unknown = matches!(value, Value::Null);
                let mut found = false;
                for item in items {
                    match compare(&value, &item.evaluate(environment)?) {
                        None => unknown = true,
                        Some(Ordering::Equal) => found = true,
                        Some(_) => {}
                    }
                }
                match (found, unknown) {
                    (true, _) => Value::Bool(!negated),
                    (false, true) => Value::Null,
                    (false, false) => Value::Bool(*negated),
                }
            }
            Node::Now => Value::TimestampTz(environment.info.transaction_micros),
            Node::RandomUuid => Value::Uuid(*uuid::Uuid::new_v4().as_bytes()),
            Node::NextValue(name) => Value::Int8(environment.info.next_value(name)?),
        })
    }

    /// Whether the value is true (not false, not NULL).
    pub(crate) fn is_true(&self, environment: &Environment<'_>) -> Result<bool> {
        Ok(matches!(self.evaluate(environment)?, Value::Bool(true)))
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Compares two values of one type; `None` when either is NULL. NaN is the largest number.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    let floats = |left: f64, right: f64| {
        left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
    };
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Int2(left), Value::Int2(right)) => Some(left.cmp(right)),
        (Value::Int4(left), Value::Int4(right)) => Some(left.cmp(right)),
        (Value::Int8(left), Value::Int8(right)) => Some(left.cmp(right)),
        (Value::Float4(left), Value::Float4(right)) => Some(floats((*left).into(), (*right).into())),
        (Value::Float8(left), Value::Float8(right)) => Some(floats(*left, *right)),
        (Value::Numeric(left), Value::Numeric(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Bytea(left), Value::Bytea(right)) => Some(left.cmp(right)),
        (Value::Date(left), Value::Date(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right))
        | (Value::Timestamp(left), Value::Timestamp(right))
        | (Value::TimestampTz(left), Value::TimestampTz(right)) => Some(left.cmp(right)),
        (Value::Uuid(left), Value::Uuid(right)) => Some(left.cmp(right)),
        (Value::Oid(left), Value::Oid(right)) => Some(left.cmp(right)),
        (Value::Interval(left), Value::Interval(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn out_of_range(data_type: &str) -> Error {
    Error::new(ErrorKind::OutOfRange, format!("{data_type} out of range"))
}

fn division_by_zero() -> Error {
    Error::new(ErrorKind::DivisionByZero, "division by zero")
}

fn negate_value(value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::Int2(number) => Value::Int2(number.checked_neg().ok_or_else(|| out_of_range("smallint"))?),
        Value::Int4(number) => Value::Int4(number.checked_neg().ok_or_else(|| out_of_range("integer"))?),
        Value::Int8(number) => Value::Int8(number.checked_neg().ok_or_else(|| out_of_range("bigint"))?),
        Value::Float4(number) => Value::Float4(-number),
        Value::Float8(number) => Value::Float8(-number),
        Value::Numeric(number) => Value::Numeric(number.as_ref().neg()),
        _ => return Err(Error::new(ErrorKind::Internal, "a value that is no number was negated")),
    })
}

macro_rules! integer_arithmetic {
    ($op:expr, $left:expr, $right:expr, $variant:ident, $name:literal) => {{
        let (left, right) = (*$left, *$right);
        let result = match $op {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide if right == 0 => return Err(division_by_zero()),
            Arithmetic::Modulo if right == 0 => return Err(division_by_zero()),
            Arithmetic::Divide => left.checked_div(right),
            Arithmetic::Modulo => Some(left.wrapping_rem(right)),
        };
        Value::$variant(result.ok_or_else(|| out_of_range($name))?)
    }};
}

macro_rules! float_arithmetic {
    ($op:expr, $left:expr, $right:expr, $variant:ident) => {{
        let (left, right) = (*$left, *$right);
        let result = match $op {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide if right == 0.0 => return Err(division_by_zero()),
            Arithmetic::Divide => left / right,
            Arithmetic::Modulo => left % right,
        };
        if result.is_infinite() && left.is_finite() && right.is_finite() {
            return Err(Error::new(ErrorKind::OutOfRange, "value out of range: overflow"));
        }
        Value::$variant(result)
    }};
}

/// Combines two values of one type; NULL with anything is NULL.
fn arithmetic(op: Arithmetic, left: &Value, right: &Value) -> Result<Value> {
    Ok(match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Value::Null,
        (Value::Int2(left), Value::Int2(right)) => integer_arithmetic!(op, left, right, Int2, "smallint"),
        (Value::Int4(left), Value::Int4(right)) => integer_arithmetic!(op, left, right, Int4, "integer"),
        (Value::Int8(left), Value::Int8(right)) => integer_arithmetic!(op, left, right, Int8, "bigint"),
        (Value::Float4(left), Value::Float4(right)) => float_arithmetic!(op, left, right, Float4),
        (Value::Float8(left), Value::Float8(right)) => float_arithmetic!(op, left, right, Float8),
        (Value::Numeric(left), Value::Numeric(right)) => {
            let (left, right) = (left.as_ref(), right.as_ref());
            Value::Numeric(match op {
                Arithmetic::Add => left.add(right)?,
                Arithmetic::Subtract => left.sub(right)?,
                Arithmetic::Multiply => left.mul(right)?,
                Arithmetic::Divide => left.div(right)?,
                Arithmetic::Modulo => left.rem(right)?,
            })
        }
        _ => return Err(Error::new(ErrorKind::Internal, "values of two types met in arithmetic")),
    })
}
