//! Functions given as a plain function over one row's values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::{ScalarValue, exec_datafusion_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use luma_model::arrow::{CellReader, ColumnBuilder, data_type, field};
use luma_model::{DataType, Result, Value, ValueRef};

use crate::error::to_datafusion;
use crate::session::{SessionExtension, SessionInfo};

/// What a function computes for one row: the session, the arguments and their types.
pub(crate) type Compute = fn(&Arc<SessionInfo>, &[ValueRef<'_>], &[DataType]) -> Result<Value>;

/// A function's description.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// Fewest and most arguments.
    pub(crate) arguments: (usize, usize),
    pub(crate) returns: DataType,
    /// Whether each call may give something else.
    pub(crate) volatile: bool,
    /// Whether a NULL argument makes the result NULL.
    pub(crate) strict: bool,
    pub(crate) compute: Compute,
}

impl Definition {
    pub(crate) const fn new(
        name: &'static str,
        arguments: (usize, usize),
        returns: DataType,
        compute: Compute,
    ) -> Self {
        Self { name, aliases: &[], arguments, returns, volatile: false, strict: true, compute }
    }

    pub(crate) const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    pub(crate) const fn takes_null(mut self) -> Self {
        self.strict = false;
        self
    }
}

/// A [`Definition`] as DataFusion calls it.
#[derive(Debug)]
pub(crate) struct RowFunction {
    definition: &'static Definition,
    aliases: Vec<String>,
    signature: Signature,
}

impl RowFunction {
    pub(crate) fn new(definition: &'static Definition) -> Self {
        let (fewest, most) = definition.arguments;
        let volatility = if definition.volatile { Volatility::Volatile } else { Volatility::Stable };
        let counts = (fewest..=most)
            .map(|count| if count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(count) })
            .collect();
        let aliases = definition.aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Self { definition, aliases, signature: Signature::one_of(counts, volatility) }
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(field("", &self.definition.returns, true).data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        Ok(Arc::new(field(self.definition.name, &self.definition.returns, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let session = args.config_options.extensions.get::<SessionExtension>();
        let info = session.map(|session| Arc::clone(&session.info)).ok_or_else(|| {
            exec_datafusion_err!("{} was called outside of a session", self.definition.name)
        })?;
        // A volatile function without arguments still gives a value per row.
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)))
            && !self.definition.volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let mut readers = Vec::with_capacity(args.args.len());
        let mut types = Vec::with_capacity(args.args.len());
        for (argument, given) in args.args.iter().zip(&args.arg_fields) {
            let given = data_type(given).map_err(to_datafusion)?;
            let array: ArrayRef = argument.to_array(rows)?;
            readers.push(CellReader::new(array.as_ref(), &given).map_err(to_datafusion)?);
            types.push(given);
        }
        let mut builder = ColumnBuilder::new(&self.definition.returns, rows);
        let mut values = Vec::with_capacity(readers.len());
        for row in 0..rows {
            values.clear();
            for reader in &readers {
                values.push(reader.get(row).map_err(to_datafusion)?);
            }
            if self.definition.strict && values.iter().any(|value| matches!(value, ValueRef::Null)) {
                builder.append_null();
                continue;
            }
            match (self.definition.compute)(&info, &values, &types).map_err(to_datafusion)?.as_ref() {
                ValueRef::Null => builder.append_null(),
                value => builder.append(value).map_err(to_datafusion)?,
            }
        }
        let result = builder.finish();
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The text of an argument; of anything that is no text its text form.
pub(crate) fn text(value: ValueRef<'_>, data_type: &DataType) -> String {
    if let ValueRef::Text(text) = value {
        return text.to_owned();
    }
    let mut out = Vec::new();
    luma_model::format_text(value, data_type, &luma_model::TextContext::default(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// An argument as an integer; `None` when it is none.
pub(crate) fn integer(value: ValueRef<'_>) -> Option<i64> {
    Some(match value {
        ValueRef::Int2(number) => i64::from(number),
        ValueRef::Int4(number) => i64::from(number),
        ValueRef::Int8(number) => number,
        ValueRef::Oid(number) => i64::from(number),
        ValueRef::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    })
}
