//! Text by the rules of a language: the marker that a COLLATE clause becomes, and the keys that are compared.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use luma_model::arrow::{data_type, field};
use luma_model::{Collation, Collator, DataType, Error, ErrorKind, text_of_key};

use crate::error::to_datafusion;

/// The metadata key under which a field has the collation of its text.
const COLLATION_KEY: &str = "lumadb.collation";

/// Says which collation a text has, and gives the text back.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Collate {
    signature: Signature,
}

impl Collate {
    /// Its name; the arguments are a text and a collation as JSON.
    pub(crate) const NAME: &'static str = "luma_collate";

    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

/// The text with a collation.
pub(crate) fn collated(expr: Expr, collation: &Collation) -> Expr {
    let function = Arc::new(ScalarUDF::new_from_impl(Collate::new()));
    let spelled = Expr::Literal(ScalarValue::Utf8(Some(spelled(collation))), None);
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr, spelled]))
}

/// A collation as a field's metadata and the marker have it.
pub(crate) fn spelled(collation: &Collation) -> String {
    serde_json::to_string(collation).unwrap_or_default()
}

/// A collation of a field's metadata.
pub(crate) fn of_field(field: &Field) -> Option<Collation> {
    serde_json::from_str(field.metadata().get(COLLATION_KEY)?).ok()
}

/// Whether a field's metadata has a collation.
pub(crate) fn is_collated(field: &Field) -> bool {
    field.metadata().contains_key(COLLATION_KEY)
}

/// The field with a collation.
fn with_collation(field: Field, collation: &Collation) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(COLLATION_KEY.to_owned(), spelled(collation));
    field.with_metadata(metadata)
}

/// The field of a table's column: its type, and the collation of its text.
pub(crate) fn column_field(column: &luma_catalog::Column, nullable: bool) -> Field {
    let plain = field(&column.name, &column.data_type, nullable);
    match &column.collation {
        Some(known) => with_collation(plain, &known.collation),
        None => plain,
    }
}

impl ScalarUDFImpl for Collate {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        internal_err!("the type of {} depends on its argument's field", Self::NAME)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> PlanResult<FieldRef> {
        let [text, _] = args.arg_fields else { return exec_err!("{} has two arguments", Self::NAME) };
        let known = match text.data_type() {
            ArrowType::Null => DataType::Text,
            _ => data_type(text).map_err(to_datafusion)?,
        };
        if !known.is_string() {
            let message = format!("collations are not supported by type {}", known.base_name());
            return Err(to_datafusion(Error::new(ErrorKind::DatatypeMismatch, message)));
        }
        let field = field("", &known, true);
        let [_, Some(ScalarValue::Utf8(Some(spelled)) | ScalarValue::Utf8View(Some(spelled)))] =
            args.scalar_arguments
        else {
            return Ok(Arc::new(field));
        };
        let mut metadata = field.metadata().clone();
        metadata.insert(COLLATION_KEY.to_owned(), spelled.clone());
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let wanted = args.return_field.data_type().clone();
        let Some(text) = args.args.into_iter().next() else { return exec_err!("nothing to collate") };
        if text.data_type() == wanted { Ok(text) } else { text.cast_to(&wanted, None) }
    }
}

/// What keys of text are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Compared, and looked for in indexes.
    Compared,
    /// The text is read back from it.
    ReadBack,
    /// As text of hexadecimal digits, which may be what a window's rows are ordered by.
    Peers,
}

/// The key of a text by a collation with a locale.
pub(crate) fn sort_key(mut expr: Expr, collation: &Collation, purpose: Purpose) -> PlanResult<Expr> {
    if let Expr::ScalarFunction(marker) = &mut expr
        && marker.func.name() == Collate::NAME
        && !marker.args.is_empty()
    {
        expr = marker.args.swap_remove(0);
    }
    let mut collation = collation.clone();
    collation.deterministic |= purpose == Purpose::ReadBack;
    let Some(collator) = collation.collator().map_err(to_datafusion)? else { return Ok(expr) };
    let signature = Signature::any(1, Volatility::Immutable);
    let function = ScalarUDF::new_from_impl(SortKey { collation, collator, purpose, signature });
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![expr])))
}

/// See [`sort_key`].
#[derive(Debug)]
pub(crate) struct SortKey {
    collation: Collation,
    collator: Collator,
    purpose: Purpose,
    signature: Signature,
}

/// By which collation the text is read back that a key is made of, if that is what it is for.
pub(crate) fn read_back(key: &Expr) -> Option<&Collation> {
    let Expr::ScalarFunction(function) = key else { return None };
    let key = function.func.inner().as_ref().downcast_ref::<SortKey>()?;
    (key.purpose == Purpose::ReadBack).then_some(&key.collation)
}

impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.collation == other.collation && self.purpose == other.purpose
    }
}

impl Eq for SortKey {}

impl Hash for SortKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.collation.hash(state);
        self.purpose.hash(state);
    }
}

impl ScalarUDFImpl for SortKey {
    fn name(&self) -> &'static str {
        "luma_sort_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(if self.purpose == Purpose::Peers { ArrowType::Utf8View } else { ArrowType::Binary })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        by_row(args, |texts| {
            let texts = cast(texts, &ArrowType::Utf8View)?;
            let texts = texts.as_string_view();
            let mut key = Vec::new();
            if self.purpose == Purpose::Peers {
                let mut keys = StringViewBuilder::with_capacity(texts.len());
                for text in texts {
                    key.clear();
                    let digits = text.map(|text| {
                        self.collator.key(text, &mut key);
                        hexadecimal(&key)
                    });
                    keys.append_option(digits);
                }
                return Ok(Arc::new(keys.finish()) as ArrayRef);
            }
            let mut keys = BinaryBuilder::new();
            for text in texts {
                key.clear();
                if let Some(text) = text {
                    self.collator.key(text, &mut key);
                }
                keys.append_option(text.map(|_| key.as_slice()));
            }
            Ok(Arc::new(keys.finish()) as ArrayRef)
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The text that a key was made of, for it to be read back.
pub(crate) fn text_of(expr: Expr) -> Expr {
    let function = TextOfKey { signature: Signature::any(1, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextOfKey {
    signature: Signature,
}

impl ScalarUDFImpl for TextOfKey {
    fn name(&self) -> &'static str {
        "luma_text_of_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        Ok(ArrowType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        by_row(args, |keys| {
            let mut texts = StringViewBuilder::with_capacity(keys.len());
            for key in keys.as_binary::<i32>() {
                texts.append_option(key.map(text_of_key).transpose().map_err(to_datafusion)?);
            }
            Ok(Arc::new(texts.finish()) as ArrayRef)
        })
    }
}

/// Computes a function of one argument.
fn by_row(
    args: ScalarFunctionArgs,
    compute: impl FnOnce(&dyn Array) -> PlanResult<ArrayRef>,
) -> PlanResult<ColumnarValue> {
    let scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let arrays = ColumnarValue::values_to_arrays(&args.args)?;
    let [argument] = arrays.as_slice() else { return exec_err!("a key is made of one value") };
    let made = compute(argument.as_ref())?;
    if scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
    }
    Ok(ColumnarValue::Array(made))
}
