//! Aggregates that give one of the values they were given, or all of them: DataFusion's own, with the type
//! of the argument where Arrow's type alone would lose it (`max` of an enum, `array_agg` of a `uuid`).

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType as ArrowType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};
use luma_model::arrow::{data_type, field};
use luma_model::{DataType, Error, ErrorKind, Result};

use crate::error::to_datafusion;
use crate::functions::extremes::{self, Extremes};

/// One of DataFusion's aggregates that keeps the type of its argument.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Keeping {
    inner: Arc<AggregateUDF>,
}

impl Keeping {
    /// Those whose types are kept.
    pub(crate) const NAMES: [&'static str; 5] = ["min", "max", "first_value", "last_value", "array_agg"];

    pub(crate) fn new(inner: Arc<AggregateUDF>) -> Self {
        Self { inner }
    }
}

/// The type of what the aggregate gives, if Arrow's type alone does not tell.
fn kept(name: &str, argument: &FieldRef) -> Option<DataType> {
    let given = data_type(argument).ok()?;
    match given {
        DataType::Array(_) if name == "array_agg" => None,
        given if name == "array_agg" => Some(given.array_of()),
        given if name == "min" || name == "max" => {
            match given {
                DataType::Enum(_) | DataType::Oid | DataType::Char(_) => Some(given),
                // What is the least of them is an identifier of no kind.
                DataType::Reg(_) => Some(DataType::Oid),
                _ => None,
            }
        }
        given => Some(given),
    }
}

/// Refuses what would give something else than PostgreSQL's answer: arrays of arrays, and the order of rows as values.
fn refuse(name: &str, given: &DataType) -> Result<()> {
    match (name, given) {
        ("array_agg", DataType::Array(_)) => Err(nested_array()),
        ("min" | "max", DataType::Record) => {
            Err(Error::new(ErrorKind::UndefinedFunction, format!("function {name}(record) does not exist")))
        }
        _ => Ok(()),
    }
}

/// The error for an array of arrays.
pub(crate) fn nested_array() -> Error {
    Error::new(ErrorKind::FeatureNotSupported, "arrays of more than one dimension are not supported")
        .hint("Make JSON of the inner ones with to_jsonb.")
}

impl AggregateUDFImpl for Keeping {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[ArrowType]) -> PlanResult<ArrowType> {
        self.inner.return_type(arguments)
    }

    fn return_field(&self, arguments: &[FieldRef]) -> PlanResult<FieldRef> {
        if let Some(given) = arguments.first().and_then(|argument| data_type(argument).ok()) {
            refuse(self.name(), &given).map_err(to_datafusion)?;
        }
        let found = self.inner.return_field(arguments)?;
        let Some(known) = arguments.first().and_then(|argument| kept(self.name(), argument)) else {
            return Ok(found);
        };
        let typed = field(found.name(), &known, found.is_nullable());
        // Only what is beside the Arrow type: that is the aggregate's own.
        Ok(Arc::new(found.as_ref().clone().with_metadata(typed.metadata().clone())))
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        extremes::applies(self.name(), args.return_field.data_type())
            || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn GroupsAccumulator>> {
        let given = args.return_field.data_type();
        if extremes::applies(self.name(), given) {
            return Ok(Box::new(Extremes::new(self.name() == "max", given)));
        }
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial_ordering: bool,
    ) -> PlanResult<Option<Arc<dyn AggregateUDFImpl>>> {
        let ordered = self.inner.as_ref().clone().with_beneficial_ordering(beneficial_ordering)?;
        Ok(ordered.map(|inner| Arc::new(Self::new(Arc::new(inner))) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(inner) => {
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::new_from_impl(Self::new(inner))))
            }
            other => other,
        }
    }

    fn coerce_types(&self, arguments: &[ArrowType]) -> PlanResult<Vec<ArrowType>> {
        self.inner.coerce_types(arguments)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.inner.value_from_stats(statistics)
    }

    fn default_value(&self, data_type: &ArrowType) -> PlanResult<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn set_monotonicity(&self, data_type: &ArrowType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}
