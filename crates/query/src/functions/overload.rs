//! Functions with PostgreSQL's overloads: which one a call means, and what it gives.
//!
//! An argument fits exactly, by an implicit cast, or as a literal without a type. The overload whose
//! arguments fit best is called; none is PostgreSQL's 42883. Arguments are cast to what the overload
//! takes before it sees them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use luma_model::arrow::{CellReader, ColumnBuilder, data_type, field};
use luma_model::{
    CastKind, DataType, DateStyle, Error, ErrorKind, Result, Style, TextContext, Value, ValueRef, cast,
};

use crate::error::to_datafusion;
use crate::session::SessionExtension;

/// What an argument or a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Json,
    Jsonb,
    Record,
    /// Of any type; as a result the type of the first such argument.
    Any,
    /// An array; as a result the type of the first array.
    Array,
    /// What the array's elements are.
    Element,
    TextArray,
    Int4Array,
    /// An array of the first argument's type.
    ArrayOfFirst,
    TimestampArray,
    TimestampTzArray,
    NumericArray,
    Int8Array,
}

/// What a function may know about the session. Outside of one (the optimizer tries expressions out)
/// it is UTC, at the beginning of 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    context: TextContext,
    /// Microseconds since 1970: what now() says.
    pub(crate) transaction_micros: i64,
}

impl Surroundings {
    /// Those of values that only their forms matter of.
    pub(crate) fn of(context: &TextContext) -> Self {
        Self { context: context.clone(), ..Self::default() }
    }

    pub(crate) fn text_context(&self) -> &TextContext {
        &self.context
    }

    /// The text of a value as the session shows it.
    pub(crate) fn shown(&self, value: ValueRef<'_>, data_type: &DataType) -> String {
        let mut out = Vec::new();
        luma_model::format_text(value, data_type, &self.context, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// As [`Surroundings::shown`], with dates in the style of ISO whatever the session's is.
    pub(crate) fn shown_iso(&self, value: ValueRef<'_>, data_type: &DataType) -> String {
        if self.context.style.date == DateStyle::Iso {
            return self.shown(value, data_type);
        }
        let style = Style { date: DateStyle::Iso, ..self.context.style };
        let context = TextContext { style, ..self.context.clone() };
        let mut out = Vec::new();
        luma_model::format_text(value, data_type, &context, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// What an overload computes: the surroundings, the arguments and their types.
pub(crate) type Body = fn(&Surroundings, &[ValueRef<'_>], &[DataType]) -> Result<Value>;

/// One meaning of a function's name.
#[derive(Debug)]
pub(crate) struct Overload {
    takes: &'static [Kind],
    /// How many of them have to be given.
    fewest: usize,
    /// Whether the last one may come again and again.
    variadic: bool,
    returns: Kind,
    /// Whether a NULL argument makes the result NULL.
    strict: bool,
    body: Body,
}

impl Overload {
    pub(crate) const fn new(takes: &'static [Kind], returns: Kind, body: Body) -> Self {
        Self { takes, fewest: takes.len(), variadic: false, returns, strict: true, body }
    }

    /// The last arguments may be left away.
    pub(crate) const fn optional(mut self, count: usize) -> Self {
        self.fewest -= count;
        self
    }

    pub(crate) const fn variadic(mut self) -> Self {
        self.variadic = true;
        self.fewest -= 1;
        self
    }

    pub(crate) const fn takes_null(mut self) -> Self {
        self.strict = false;
        self
    }

    fn takes_count(&self, count: usize) -> bool {
        count >= self.fewest && (self.variadic || count <= self.takes.len())
    }

    fn kind(&self, at: usize) -> Kind {
        self.takes.get(at).or(self.takes.last()).copied().unwrap_or(Kind::Any)
    }

    /// How badly the arguments fit; `None` when they don't.
    fn cost(&self, given: &[Option<DataType>]) -> Option<u32> {
        if !self.takes_count(given.len()) {
            return None;
        }
        given.iter().enumerate().map(|(at, given)| distance(given.as_ref(), self.kind(at))).sum()
    }

    /// The array that these arguments are about.
    fn array_type(&self, given: &[Option<DataType>]) -> Option<DataType> {
        let known = |kind: Kind| {
            given
                .iter()
                .enumerate()
                .filter(move |(at, _)| self.kind(*at) == kind)
                .find_map(|(_, given)| given.clone())
        };
        known(Kind::Array).or_else(|| known(Kind::Element).map(|element| element.array_of()))
    }

    /// The type of the result for arguments of these types.
    fn result(&self, given: &[Option<DataType>]) -> DataType {
        let first = |kind: Kind| {
            given
                .iter()
                .enumerate()
                .find(|(at, _)| self.kind(*at) == kind)
                .and_then(|(_, given)| given.clone())
        };
        let array = || self.array_type(given);
        match self.returns {
            Kind::Any => first(Kind::Any).unwrap_or(DataType::Text),
            Kind::Array => array().unwrap_or_else(|| DataType::Text.array_of()),
            Kind::Element => array().and_then(|array| array.element().cloned()).unwrap_or(DataType::Text),
            Kind::ArrayOfFirst => given.first().cloned().flatten().unwrap_or(DataType::Text).array_of(),
            other => plain(other).unwrap_or(DataType::Text),
        }
    }
}

/// The type of a kind that is one.
fn plain(kind: Kind) -> Option<DataType> {
    Some(match kind {
        Kind::Bool => DataType::Bool,
        Kind::Int2 => DataType::Int2,
        Kind::Int4 => DataType::Int4,
        Kind::Int8 => DataType::Int8,
        Kind::Float4 => DataType::Float4,
        Kind::Float8 => DataType::Float8,
        Kind::Numeric => DataType::Numeric(None),
        Kind::Text => DataType::Text,
        Kind::Bytea => DataType::Bytea,
        Kind::Date => DataType::Date,
        Kind::Time => DataType::Time,
        Kind::Timestamp => DataType::Timestamp,
        Kind::TimestampTz => DataType::TimestampTz,
        Kind::Interval => DataType::Interval,
        Kind::Json => DataType::Json,
        Kind::Jsonb => DataType::Jsonb,
        Kind::Record => DataType::Record,
        Kind::TextArray => DataType::Text.array_of(),
        Kind::Int4Array => DataType::Int4.array_of(),
        Kind::Int8Array => DataType::Int8.array_of(),
        Kind::NumericArray => DataType::Numeric(None).array_of(),
        Kind::TimestampArray => DataType::Timestamp.array_of(),
        Kind::TimestampTzArray => DataType::TimestampTz.array_of(),
        Kind::Any | Kind::Array | Kind::Element | Kind::ArrayOfFirst => return None,
    })
}

/// Most bytes of a text that a function gives.
pub(crate) const VALUE_BYTES_MAX: usize = 256 << 20;
/// Most bytes of the texts of one batch of rows, which are in one array.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Counts a value's bytes among those of its batch.
///
/// # Errors
/// 54000 when they are too many.
fn count_bytes(value: ValueRef<'_>, sum: &mut usize) -> Result<()> {
    let bytes = match value {
        ValueRef::Text(text) => text.len(),
        ValueRef::Bytea(bytes) => bytes.len(),
        _ => 0,
    };
    *sum += bytes;
    if bytes <= VALUE_BYTES_MAX && *sum <= BATCH_BYTES_MAX {
        return Ok(());
    }
    Err(too_long())
}

/// A value, or the values of some rows together, would be longer than they may.
pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::ProgramLimit, "requested length too large").hint(
        "A value may take 256 MB, and the values of some thousand rows that are computed together 1 GB.",
    )
}

/// The distance of a whole number to a type that may turn out to be its own.
const NARROWED: u32 = 20;

/// How far an implicit cast goes; `None` when there is none.
fn distance(given: Option<&DataType>, wanted: Kind) -> Option<u32> {
    let Some(given) = given else {
        // A literal without a type is text where that is possible.
        return Some(match wanted {
            Kind::Text => 1,
            Kind::Any | Kind::Element => 3,
            _ => 2,
        });
    };
    let number = |data_type: &DataType| match data_type {
        DataType::Int2 => Some(0),
        DataType::Int4 => Some(1),
        DataType::Int8 => Some(2),
        DataType::Numeric(_) => Some(3),
        DataType::Float4 => Some(4),
        DataType::Float8 => Some(5),
        _ => None,
    };
    match wanted {
        Kind::Any => return Some(8),
        Kind::Element | Kind::ArrayOfFirst => return Some(if given.element().is_some() { 9 } else { 4 }),
        Kind::Array => return given.element().map(|_| 1),
        _ => {}
    }
    let wanted = plain(wanted)?;
    match (given, &wanted) {
        (DataType::Numeric(_), DataType::Numeric(_)) => Some(0),
        (given, wanted) if given == wanted => Some(0),
        (
            DataType::Varchar(_) | DataType::Char(_) | DataType::Name | DataType::InternalChar,
            DataType::Text,
        ) => Some(1),
        // The preferred type of the category.
        (DataType::Date | DataType::Timestamp, DataType::TimestampTz) => Some(1),
        (DataType::Date, DataType::Timestamp) => Some(2),
        (DataType::Time, DataType::Interval) => Some(2),
        (DataType::Array(one), DataType::Array(other)) if number(one).is_some() => {
            let narrows = **one == DataType::Int8 && **other == DataType::Int4;
            if narrows { Some(NARROWED) } else { (number(one)? <= number(other)?).then_some(1) }
        }
        (DataType::Array(one), DataType::Array(other)) if one.is_string() && other.is_string() => Some(1),
        (given, wanted) => match (number(given), number(wanted)) {
            // Among what an integer could be, the preferred type wins.
            (Some(from), Some(5)) if from < 3 => Some(2),
            (Some(from), Some(3)) if from < 3 => Some(3),
            (Some(from), Some(to)) if from < to => Some(to - from),
            // DataFusion calls every whole number in a statement a bigint until the types are settled.
            (Some(2), Some(0 | 1)) => Some(NARROWED),
            _ => None,
        },
    }
}

/// A function's name and meanings.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    overloads: &'static [Overload],
}

impl Function {
    pub(crate) const fn new(name: &'static str, overloads: &'static [Overload]) -> Self {
        Self { name, overloads }
    }

    fn choose(&self, given: &[Option<DataType>], returns: Option<&DataType>) -> Result<&'static Overload> {
        let mut best: Option<(u32, &'static Overload)> = None;
        for overload in self.overloads {
            if let (Some(cost), true) =
                (overload.cost(given), returns.is_none_or(|returns| same(&overload.result(given), returns)))
                && best.is_none_or(|(known, _)| cost < known)
            {
                best = Some((cost, overload));
            }
        }
        best.map(|(_, overload)| overload).ok_or_else(|| undefined(self.name, given))
    }
}

fn same(one: &DataType, other: &DataType) -> bool {
    luma_model::arrow::arrow_type(one) == luma_model::arrow::arrow_type(other)
}

/// The error of a call that no function fits.
pub(crate) fn undefined(name: &str, given: &[Option<DataType>]) -> Error {
    let types: Vec<String> = given
        .iter()
        .map(|given| given.as_ref().map_or_else(|| "unknown".into(), DataType::base_name))
        .collect();
    Error::new(ErrorKind::UndefinedFunction, format!("function {name}({}) does not exist", types.join(", ")))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// The types that arguments of unknown type have in a call, by place.
pub(crate) fn learnt(name: &str, given: &[Option<DataType>]) -> Option<Vec<DataType>> {
    let function = super::overloaded().find(|function| function.name == name)?;
    let overload = function.choose(given, None).ok()?;
    let array = overload.array_type(given);
    Some((0..given.len()).map(|at| wanted(overload.kind(at), given[at].as_ref(), array.as_ref())).collect())
}

/// A [`Function`] as DataFusion calls it.
#[derive(Debug)]
pub(crate) struct OverloadedFunction {
    function: &'static Function,
    signature: Signature,
}

impl OverloadedFunction {
    pub(crate) fn new(function: &'static Function) -> Self {
        let counts = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        Self { function, signature: Signature::one_of(counts, Volatility::Stable) }
    }
}

impl PartialEq for OverloadedFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for OverloadedFunction {}

impl Hash for OverloadedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

/// The type that PostgreSQL sees in an argument; `None` for a literal that has none.
pub(crate) fn argument_type(argument: &Field, literal: Option<&ScalarValue>) -> Result<Option<DataType>> {
    match (argument.data_type(), literal) {
        (ArrowType::Null, _) => return Ok(None),
        (ArrowType::Utf8, Some(_)) if argument.metadata().is_empty() => return Ok(None),
        _ => {}
    }
    data_type(argument).map(Some)
}

impl ScalarUDFImpl for OverloadedFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        internal_err!("the type of {} depends on its arguments' fields", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let given = args
            .arg_fields
            .iter()
            .zip(args.scalar_arguments)
            .map(|(argument, literal)| argument_type(argument, *literal))
            .collect::<Result<Vec<_>>>()
            .map_err(to_datafusion)?;
        let overload = self.function.choose(&given, None).map_err(to_datafusion)?;
        Ok(Arc::new(field(self.function.name, &overload.result(&given), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let session = args.config_options.extensions.get::<SessionExtension>();
        let info = session.map_or_else(Surroundings::default, |session| Surroundings {
            context: session.info.text_context(),
            transaction_micros: session.info.transaction_micros,
        });
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let given = args
            .arg_fields
            .iter()
            .zip(&args.args)
            .map(|(argument, value)| {
                let literal = match value {
                    ColumnarValue::Scalar(scalar) => Some(scalar),
                    ColumnarValue::Array(_) => None,
                };
                argument_type(argument, literal)
            })
            .collect::<Result<Vec<_>>>()
            .map_err(to_datafusion)?;
        let returns = data_type(&args.return_field).map_err(to_datafusion)?;
        let overload = self
            .function
            .choose(&given, Some(&returns))
            .or_else(|_| self.function.choose(&given, None))
            .map_err(to_datafusion)?;
        let context = info.text_context();
        let about = overload.array_type(&given);
        let mut arguments = Vec::with_capacity(args.args.len());
        let mut types = Vec::with_capacity(args.args.len());
        for (at, ((argument, given), own)) in args.args.iter().zip(given).zip(&args.arg_fields).enumerate() {
            let actual = data_type(own).map_err(to_datafusion)?;
            let wanted = wanted(overload.kind(at), given.as_ref(), about.as_ref());
            arguments.push(Given::new(argument, rows, actual, &wanted, context)?);
            types.push(wanted);
        }
        let mut builder = ColumnBuilder::new(&returns, rows);
        let mut sum = 0;
        let mut call = |values: &[ValueRef<'_>]| -> Result<()> {
            if overload.strict && values.iter().any(|value| matches!(value, ValueRef::Null)) {
                builder.append_null();
                return Ok(());
            }
            match (overload.body)(&info, values, &types)?.as_ref() {
                ValueRef::Null => builder.append_null(),
                value => {
                    count_bytes(value, &mut sum)?;
                    builder.append(value)?;
                }
            }
            Ok(())
        };
        if arguments.iter().any(|argument| matches!(argument, Given::Other(..))) {
            for row in 0..rows {
                let of_row = |(argument, wanted): (&Given, &DataType)| match argument {
                    Given::Other(reader, actual) => converted(reader.get(row)?, actual, wanted, context),
                    other => Ok(other.get(row)?.to_owned()),
                };
                let values = arguments.iter().zip(&types).map(of_row).collect::<Result<Vec<_>>>();
                let values = values.map_err(to_datafusion)?;
                let borrowed: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
                call(&borrowed).map_err(to_datafusion)?;
            }
        } else {
            // Nothing is made for a row: its values are where they were.
            let mut values = Vec::with_capacity(arguments.len());
            for row in 0..rows {
                values.clear();
                for argument in &arguments {
                    values.push(argument.get(row).map_err(to_datafusion)?);
                }
                call(&values).map_err(to_datafusion)?;
            }
        }
        let result = builder.finish();
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// An argument of a call.
enum Given {
    /// A constant, which was converted once.
    Constant(Value),
    /// A column of the type wanted.
    Plain(CellReader),
    /// A column of another type.
    Other(CellReader, DataType),
}

impl Given {
    fn new(
        argument: &ColumnarValue,
        rows: usize,
        actual: DataType,
        wanted: &DataType,
        context: &TextContext,
    ) -> PlanResult<Self> {
        let scalar = matches!(argument, ColumnarValue::Scalar(_));
        let array: ArrayRef = argument.to_array(if scalar { 1 } else { rows })?;
        let reader = CellReader::new(array.as_ref(), &actual).map_err(to_datafusion)?;
        if !scalar || rows == 0 {
            let same =
                actual == *wanted || matches!((&actual, wanted), (DataType::Varchar(_), DataType::Text));
            return Ok(if same { Self::Plain(reader) } else { Self::Other(reader, actual) });
        }
        let value = reader.get(0).and_then(|value| converted(value, &actual, wanted, context));
        value.map(Self::Constant).map_err(to_datafusion)
    }

    fn get(&self, row: usize) -> Result<ValueRef<'_>> {
        match self {
            Self::Constant(value) => Ok(value.as_ref()),
            Self::Plain(reader) | Self::Other(reader, _) => reader.get(row),
        }
    }
}

fn converted(
    value: ValueRef<'_>,
    actual: &DataType,
    wanted: &DataType,
    context: &TextContext,
) -> Result<Value> {
    if actual == wanted || matches!(value, ValueRef::Null) {
        return Ok(value.to_owned());
    }
    cast(value, actual, wanted, CastKind::Explicit, context)
}

/// What an argument is cast to.
fn wanted(kind: Kind, given: Option<&DataType>, array: Option<&DataType>) -> DataType {
    match kind {
        Kind::Numeric => match given {
            // Digits as they are.
            Some(numeric @ DataType::Numeric(_)) => numeric.clone(),
            _ => DataType::Numeric(None),
        },
        Kind::Array => array.cloned().unwrap_or_else(|| DataType::Text.array_of()),
        Kind::Element => array.and_then(|array| array.element().cloned()).unwrap_or(DataType::Text),
        Kind::ArrayOfFirst | Kind::Any => given.cloned().unwrap_or(DataType::Text),
        other => plain(other).unwrap_or(DataType::Text),
    }
}
