//! Days compared with moments.
//!
//! `day < date '2026-01-01' + interval '1 month'` compares a moment, as PostgreSQL has it. As a comparison of days it
//! needs no conversion of the column, and minima and maxima of row groups say what it leaves out.

use datafusion::arrow::datatypes::{DataType as ArrowType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use luma_model::MICROS_PER_DAY;

/// A comparison of a column of days with a moment as one with a day; other expressions as they are.
pub(super) fn compared(expr: Expr, schema: &Schema) -> Transformed<Expr> {
    match days(&expr, schema) {
        Some(days) => Transformed::yes(days),
        None => Transformed::no(expr),
    }
}

fn days(expr: &Expr, schema: &Schema) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (Expr::Cast(Cast { expr: inner, field }), moment) = (left.as_ref(), right.as_ref()) else {
        return None;
    };
    let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), None), _) = moment else { return None };
    let Expr::Column(column) = inner.as_ref() else { return None };
    let is_date =
        schema.field_with_name(&column.name).is_ok_and(|field| *field.data_type() == ArrowType::Date32);
    if !is_date || *field.data_type() != ArrowType::Timestamp(TimeUnit::Microsecond, None) {
        return None;
    }
    let day = micros.div_euclid(MICROS_PER_DAY);
    let within = micros.rem_euclid(MICROS_PER_DAY) > 0;
    // A day is before a moment within a day just where it is not after that day.
    let (op, day) = match op {
        Operator::Lt if within => (Operator::LtEq, day),
        Operator::GtEq if within => (Operator::Gt, day),
        Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => (*op, day),
        Operator::Eq | Operator::NotEq if !within => (*op, day),
        _ => return None,
    };
    let day = Expr::Literal(ScalarValue::Date32(Some(i32::try_from(day).ok()?)), None);
    Some(Expr::BinaryExpr(BinaryExpr { left: inner.clone(), op, right: Box::new(day) }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Array, AsArray, Date32Array, RecordBatch};
    use datafusion::arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::execution_props::ExecutionProps;
    use datafusion::physical_expr::create_physical_expr;
    use std::sync::Arc;

    #[test]
    fn a_comparison_of_days_is_that_of_moments() {
        let schema = Arc::new(Schema::new(vec![Field::new("d", ArrowType::Date32, true)]));
        let days: Vec<Option<i32>> = (-3..=3).map(Some).chain([None]).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Date32Array::from(days))]).unwrap();
        let moment = Arc::new(Field::new("", ArrowType::Timestamp(TimeUnit::Microsecond, None), true));
        let evaluate = |expr: &Expr| {
            let named = DFSchema::try_from(Arc::clone(&schema)).unwrap();
            let physical =
                create_physical_expr(expr, &named, &ExecutionProps::new(), &Arc::default()).unwrap();
            let given = physical.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
            given.as_boolean().clone()
        };
        for op in [Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq, Operator::Eq, Operator::NotEq]
        {
            for micros in [0, 1, -1, MICROS_PER_DAY, -MICROS_PER_DAY, MICROS_PER_DAY + 1, -MICROS_PER_DAY - 1]
            {
                let cast = Cast::new_from_field(
                    Box::new(Expr::Column(datafusion::common::Column::new_unqualified("d"))),
                    Arc::clone(&moment),
                );
                let expr = Expr::BinaryExpr(BinaryExpr {
                    left: Box::new(Expr::Cast(cast)),
                    op,
                    right: Box::new(Expr::Literal(
                        ScalarValue::TimestampMicrosecond(Some(micros), None),
                        None,
                    )),
                });
                let rewritten = compared(expr.clone(), &schema);
                let changes = !matches!(op, Operator::Eq | Operator::NotEq) || micros % MICROS_PER_DAY == 0;
                assert_eq!(rewritten.transformed, changes, "{op} {micros}");
                assert_eq!(evaluate(&rewritten.data), evaluate(&expr), "{op} {micros}");
                assert!(evaluate(&expr).is_null(7));
            }
        }
    }
}
