//! Which collation a text has, and comparisons by it.
//!
//! A field's metadata names the collation of a column; a COLLATE clause is a call of [`Collate`]. What an expression
//! has follows from its parts as in PostgreSQL: an explicit collation wins, two different ones contradict each other,
//! and the default one gives way to any other. Where text is compared or put in order by a collation with a
//! locale, its sort keys are, and equality looks at keys only where the collation is nondeterministic.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::functions::core::{greatest, least};
use datafusion::logical_expr::expr::{InSubquery, ScalarFunction, Sort, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Union,
};
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use luma_model::{Collation, Error, ErrorKind, Result};

use crate::error::to_datafusion;
use crate::functions::collation::{
    Collate, Purpose, collated, is_collated, of_field, read_back, sort_key, spelled, text_of,
};
use crate::names::{Scope, qualified};
use crate::plan::rewrite::call;
use crate::plan::typing::logical_type;

/// Functions that look for text in text.
const SEARCHES: [&str; 8] = [
    "strpos",
    "position",
    "replace",
    "split_part",
    "string_to_array",
    "starts_with",
    "regexp_split_to_array",
    "instr",
];

/// Gives COLLATE clauses their meaning.
///
/// # Errors
/// 42704 for a collation that does not exist.
pub(crate) fn resolve(scope: Scope<'_>, node: &mut impl VisitMut) -> Result<()> {
    let mut resolver = Resolver { scope, error: None };
    let _ = VisitMut::visit(node, &mut resolver);
    resolver.error.map_or(Ok(()), Err)
}

struct Resolver<'a> {
    scope: Scope<'a>,
    error: Option<Error>,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        let ast::Expr::Collate { expr: inner, collation } = expr else { return ControlFlow::Continue(()) };
        match qualified(collation).and_then(|name| self.scope.collation(&name)) {
            Ok(found) => {
                let placeholder = ast::Expr::Value(ast::Value::Null.with_empty_span());
                let inner = std::mem::replace(inner.as_mut(), placeholder);
                let spelled = ast::Expr::value(ast::Value::SingleQuotedString(spelled(&found)));
                *expr = call(Collate::NAME, vec![inner, spelled]);
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// What is known of an expression's collation.
#[derive(Clone, Debug, PartialEq)]
enum Derived {
    /// The default one, or it is no text.
    Default,
    /// That of a column.
    Implicit(Collation),
    /// That of a COLLATE clause.
    Explicit(Collation),
    /// Those of several columns.
    Unclear(Collation, Collation),
}

impl Derived {
    /// What two parts of an expression come to.
    fn with(self, other: Self) -> PlanResult<Self> {
        Ok(match (self, other) {
            (Self::Explicit(one), Self::Explicit(other)) if one.oid != other.oid => {
                return Err(contradiction("explicit", &one, &other));
            }
            (explicit @ Self::Explicit(_), _) | (_, explicit @ Self::Explicit(_)) => explicit,
            (unclear @ Self::Unclear(..), _) | (_, unclear @ Self::Unclear(..)) => unclear,
            (Self::Implicit(one), Self::Implicit(other)) if one.oid != other.oid => Self::Unclear(one, other),
            (Self::Default, known) | (known, _) => known,
        })
    }

    /// The collation to compare by.
    fn compared(self) -> PlanResult<Option<Collation>> {
        match self {
            Self::Default => Ok(None),
            Self::Implicit(known) | Self::Explicit(known) => Ok(Some(known)),
            Self::Unclear(..) => Err(to_datafusion(
                Error::new(
                    ErrorKind::IndeterminateCollation,
                    "could not determine which collation to use for string comparison",
                )
                .hint("Use the COLLATE clause to set the collation explicitly."),
            )),
        }
    }

    /// The collation of what is put in order or told apart.
    fn ordered(self) -> PlanResult<Option<Collation>> {
        match self {
            Self::Unclear(one, other) => Err(contradiction("implicit", &one, &other)),
            known => known.compared(),
        }
    }
}

fn contradiction(how: &str, one: &Collation, other: &Collation) -> DataFusionError {
    let message =
        format!("collation mismatch between {how} collations \"{}\" and \"{}\"", one.name, other.name);
    let error = Error::new(ErrorKind::CollationMismatch, message);
    to_datafusion(if how == "implicit" {
        error.hint("You can choose the collation by applying the COLLATE clause to one or both expressions.")
    } else {
        error
    })
}

/// The collation that the marker names.
fn marked(function: &ScalarFunction) -> Option<Collation> {
    if function.func.name() != Collate::NAME {
        return None;
    }
    match function.args.get(1) {
        Some(Expr::Literal(ScalarValue::Utf8(Some(spelled)) | ScalarValue::Utf8View(Some(spelled)), _)) => {
            serde_json::from_str(spelled).ok()
        }
        _ => None,
    }
}

fn all<'e>(parts: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> PlanResult<Derived> {
    parts.into_iter().try_fold(Derived::Default, |known, part| known.with(derive(part, schema)?))
}

fn derive(expr: &Expr, schema: &DFSchema) -> PlanResult<Derived> {
    let implicit = |known: Option<Collation>| known.map_or(Derived::Default, Derived::Implicit);
    let found = match expr {
        Expr::Alias(alias) => return derive(&alias.expr, schema),
        Expr::Column(column) => {
            return Ok(implicit(schema.field_from_column(column).ok().and_then(|field| of_field(field))));
        }
        Expr::OuterReferenceColumn(field, _) => return Ok(implicit(of_field(field))),
        Expr::ScalarSubquery(subquery) => {
            return Ok(implicit(
                subquery.subquery.schema().fields().first().and_then(|field| of_field(field)),
            ));
        }
        Expr::ScalarFunction(function) => match marked(function) {
            Some(collation) => return Ok(Derived::Explicit(collation)),
            None => all(&function.args, schema)?,
        },
        Expr::Cast(cast) => derive(&cast.expr, schema)?,
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            all(results.chain(case.else_expr.as_deref()), schema)?
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            derive(left, schema)?.with(derive(right, schema)?)?
        }
        Expr::AggregateFunction(function) => all(&function.params.args, schema)?,
        Expr::WindowFunction(function) => all(&function.params.args, schema)?,
        _ => return Ok(Derived::Default),
    };
    let text = found != Derived::Default && logical_type(expr, schema).is_some_and(|known| known.is_string());
    Ok(if text { found } else { Derived::Default })
}

/// The collation whose keys an expression is sorted by; `None` where its bytes are.
///
/// # Errors
/// 42P21 where its parts contradict each other.
pub(crate) fn order_of(expr: &Expr, schema: &DFSchema) -> PlanResult<Option<Collation>> {
    Ok(derive(expr, schema)?.ordered()?.filter(|known| known.locale.is_some()))
}

/// The collation by which the values of an expression that differ may be equal.
pub(crate) fn merging(expr: &Expr, schema: &DFSchema) -> Option<Collation> {
    derive(expr, schema).ok()?.ordered().ok()?.filter(Collation::merges)
}

/// Whether anything in the expression has a collation.
fn concerns(expr: &Expr, schema: &DFSchema) -> PlanResult<bool> {
    let any = |schema: &DFSchema| schema.fields().iter().any(|field| is_collated(field));
    if any(schema) {
        return Ok(true);
    }
    expr.exists(|part| {
        Ok(match part {
            Expr::ScalarFunction(function) => function.func.name() == Collate::NAME,
            Expr::OuterReferenceColumn(field, _) => is_collated(field),
            Expr::InSubquery(list) => any(list.subquery.subquery.schema()),
            Expr::ScalarSubquery(query) => any(query.subquery.schema()),
            _ => false,
        })
    })
}

/// Has comparisons in an expression go by the collations of what they compare. Markers inside of it go.
///
/// # Errors
/// 42P21 and 42P22 where it is not clear by which; 0A000 for what nondeterministic collations can't do.
pub(crate) fn apply(expr: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    if !concerns(&expr, schema)? {
        return Ok(expr);
    }
    let compared = expr.transform_up(|part| compare(part, schema))?.data;
    let (inner, outside) = match compared {
        Expr::Alias(mut alias) => {
            let inner = std::mem::replace(alias.expr.as_mut(), Expr::Literal(ScalarValue::Null, None));
            (inner, Some(alias))
        }
        other => (other, None),
    };
    let kept = match inner {
        Expr::ScalarFunction(function) if marked(&function).is_some() => {
            let ScalarFunction { func, mut args } = function;
            if let Some(text) = args.first_mut() {
                let taken = std::mem::replace(text, Expr::Literal(ScalarValue::Null, None));
                *text = unmarked(taken)?;
            }
            Expr::ScalarFunction(ScalarFunction { func, args })
        }
        other => unmarked(other)?,
    };
    Ok(match outside {
        Some(mut alias) => {
            *alias.expr = kept;
            Expr::Alias(alias)
        }
        None => kept,
    })
}

fn unmarked(expr: Expr) -> PlanResult<Expr> {
    let plain = expr.transform_up(|part| match part {
        Expr::ScalarFunction(function) if marked(&function).is_some() => {
            let text = function.args.into_iter().next().unwrap_or(Expr::Literal(ScalarValue::Null, None));
            Ok(Transformed::yes(text))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plain.data)
}

fn refused(what: &str) -> DataFusionError {
    to_datafusion(Error::new(
        ErrorKind::FeatureNotSupported,
        format!("nondeterministic collations are not supported for {what}"),
    ))
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
}

fn is_equality(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

fn compare(expr: Expr, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let key = |expr: Expr, by: &Collation| sort_key(expr, by, Purpose::Compared);
    let by_locale = |known: Derived| -> PlanResult<Option<Collation>> {
        Ok(known.compared()?.filter(|known| known.locale.is_some()))
    };
    let merging =
        |known: Derived| -> PlanResult<Option<Collation>> { Ok(known.compared()?.filter(Collation::merges)) };
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let known = || derive(&left, schema)?.with(derive(&right, schema)?);
            let by = match op {
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => by_locale(known()?)?,
                op if is_equality(op) => merging(known()?)?,
                Operator::LikeMatch | Operator::NotLikeMatch if merging(known()?)?.is_some() => {
                    return Err(refused("LIKE"));
                }
                Operator::ILikeMatch | Operator::NotILikeMatch if merging(known()?)?.is_some() => {
                    return Err(refused("ILIKE"));
                }
                Operator::RegexMatch
                | Operator::RegexIMatch
                | Operator::RegexNotMatch
                | Operator::RegexNotIMatch
                    if merging(known()?)?.is_some() =>
                {
                    return Err(refused("regular expressions"));
                }
                _ => None,
            };
            match by {
                Some(by) => Transformed::yes(binary(key(*left, &by)?, op, key(*right, &by)?)),
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        Expr::Like(like) => {
            if merging(derive(&like.expr, schema)?.with(derive(&like.pattern, schema)?)?)?.is_some() {
                return Err(refused(if like.case_insensitive { "ILIKE" } else { "LIKE" }));
            }
            Transformed::no(Expr::Like(like))
        }
        Expr::SimilarTo(like) => {
            if merging(derive(&like.expr, schema)?)?.is_some() {
                return Err(refused("regular expressions"));
            }
            Transformed::no(Expr::SimilarTo(like))
        }
        Expr::Between(mut between) => {
            match by_locale(all([&*between.expr, &*between.low, &*between.high], schema)?)? {
                Some(by) => {
                    for side in [&mut between.expr, &mut between.low, &mut between.high] {
                        **side = key(side.as_ref().clone(), &by)?;
                    }
                    Transformed::yes(Expr::Between(between))
                }
                None => Transformed::no(Expr::Between(between)),
            }
        }
        Expr::InList(mut list) => {
            match merging(all(std::iter::once(&*list.expr).chain(&list.list), schema)?)? {
                Some(by) => {
                    *list.expr = key(list.expr.as_ref().clone(), &by)?;
                    list.list =
                        list.list.into_iter().map(|item| key(item, &by)).collect::<PlanResult<_>>()?;
                    Transformed::yes(Expr::InList(list))
                }
                None => Transformed::no(Expr::InList(list)),
            }
        }
        Expr::InSubquery(list) => {
            let plan = list.subquery.subquery.as_ref();
            let Some(given) = plan.schema().columns().into_iter().next().map(Expr::Column) else {
                return Ok(Transformed::no(Expr::InSubquery(list)));
            };
            match merging(derive(&list.expr, schema)?.with(derive(&given, plan.schema())?)?)? {
                Some(by) => {
                    let keys =
                        LogicalPlanBuilder::from(plan.clone()).project(vec![key(given, &by)?])?.build()?;
                    Transformed::yes(Expr::InSubquery(InSubquery {
                        expr: Box::new(key(*list.expr, &by)?),
                        subquery: list.subquery.with_plan(Arc::new(keys)),
                        negated: list.negated,
                    }))
                }
                None => Transformed::no(Expr::InSubquery(list)),
            }
        }
        Expr::Case(Case { expr: Some(subject), when_then_expr, else_expr }) => {
            let whens = when_then_expr.iter().map(|(when, _)| when.as_ref());
            match merging(all(std::iter::once(&*subject).chain(whens), schema)?)? {
                Some(by) => {
                    let subject = key(*subject, &by)?;
                    let branches = when_then_expr.into_iter().map(|(when, then)| {
                        let when = binary(subject.clone(), Operator::Eq, key(*when, &by)?);
                        Ok((Box::new(when), then))
                    });
                    let when_then_expr = branches.collect::<PlanResult<_>>()?;
                    Transformed::yes(Expr::Case(Case { expr: None, when_then_expr, else_expr }))
                }
                None => Transformed::no(Expr::Case(Case { expr: Some(subject), when_then_expr, else_expr })),
            }
        }
        Expr::ScalarFunction(function) => called(function, schema)?,
        Expr::AggregateFunction(mut function) => {
            let mut changed = sorted(&mut function.params.order_by, schema, Purpose::Compared)?;
            let params = &mut function.params;
            let name = function.func.name();
            let (extreme, counted) = (matches!(name, "min" | "max"), name == "count" && params.distinct);
            if extreme || counted {
                let known = all(&params.args, schema)?.ordered()?;
                let by = known.filter(|known| if extreme { known.locale.is_some() } else { known.merges() });
                if let Some(by) = by {
                    let purpose = if extreme { Purpose::ReadBack } else { Purpose::Compared };
                    let keys = std::mem::take(&mut params.args).into_iter();
                    params.args =
                        keys.map(|value| sort_key(value, &by, purpose)).collect::<PlanResult<_>>()?;
                    changed = true;
                }
            }
            let function = Expr::AggregateFunction(function);
            if changed { Transformed::yes(function) } else { Transformed::no(function) }
        }
        Expr::WindowFunction(function) => windowed(function, schema)?,
        other => Transformed::no(other),
    })
}

/// Functions that compare or search.
fn called(function: ScalarFunction, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let name = function.func.name();
    let unchanged = |function| Ok(Transformed::no(Expr::ScalarFunction(function)));
    if SEARCHES.contains(&name) {
        if all(&function.args, schema)?.compared()?.is_some_and(|known| known.merges()) {
            return Err(refused("substring searches"));
        }
        return unchanged(function);
    }
    if !matches!(name, "greatest" | "least" | "nullif") {
        return unchanged(function);
    }
    let Some(by) = all(&function.args, schema)?.compared()?.filter(|known| known.locale.is_some()) else {
        return unchanged(function);
    };
    if name == "nullif" {
        let [value, unwanted] = function.args.as_slice() else { return unchanged(function) };
        if !by.merges() {
            return unchanged(function);
        }
        let key = |expr: &Expr| sort_key(expr.clone(), &by, Purpose::Compared);
        let when = binary(key(value)?, Operator::Eq, key(unwanted)?);
        let null = Expr::Literal(ScalarValue::Utf8View(None), None);
        let case = Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(when), Box::new(null))],
            else_expr: Some(Box::new(value.clone())),
        });
        return Ok(Transformed::yes(collated(case, &by)));
    }
    let inner = if name == "greatest" { greatest() } else { least() };
    let keys = function.args.into_iter().map(|argument| sort_key(argument, &by, Purpose::ReadBack));
    let chosen = Expr::ScalarFunction(ScalarFunction::new_udf(inner, keys.collect::<PlanResult<_>>()?));
    Ok(Transformed::yes(collated(text_of(chosen), &by)))
}

/// Keys for what is sorted by; says whether there are any.
pub(crate) fn sorted(order: &mut [Sort], schema: &DFSchema, purpose: Purpose) -> PlanResult<bool> {
    let mut changed = false;
    for item in order {
        if let Some(by) = order_of(&item.expr, schema)? {
            item.expr = sort_key(item.expr.clone(), &by, purpose)?;
            changed = true;
        }
    }
    Ok(changed)
}

fn windowed(mut function: Box<WindowFunction>, schema: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let params = &mut function.params;
    let mut changed = sorted(&mut params.order_by, schema, Purpose::Peers)?;
    for expr in &mut params.partition_by {
        if let Some(by) = merging(expr, schema) {
            *expr = sort_key(expr.clone(), &by, Purpose::Peers)?;
            changed = true;
        }
    }
    if matches!(function.fun.name(), "min" | "max")
        && all(&function.params.args, schema)?.ordered()?.is_some_and(|known| known.locale.is_some())
    {
        let message =
            format!("{} of text with a collation is not supported as a window function", function.fun.name());
        return Err(to_datafusion(
            Error::new(ErrorKind::FeatureNotSupported, message)
                .hint("Use first_value over rows in the order of the text."),
        ));
    }
    let function = Expr::WindowFunction(function);
    Ok(if changed { Transformed::yes(function) } else { Transformed::no(function) })
}

/// Has a projection's columns carry the collations of what they are computed from.
pub(crate) fn projected(expr: Expr, schema: &DFSchema) -> PlanResult<Expr> {
    let known = match &expr {
        Expr::Column(_) => return Ok(expr),
        Expr::Alias(alias) if matches!(alias.expr.as_ref(), Expr::Column(_)) => return Ok(expr),
        other => match derive(other, schema)? {
            Derived::Implicit(known) | Derived::Explicit(known) => known,
            _ => return Ok(expr),
        },
    };
    if expr.to_field(schema).ok().is_some_and(|(_, field)| is_collated(&field)) {
        return Ok(expr);
    }
    Ok(match expr {
        Expr::Alias(mut alias) => {
            *alias.expr = collated(alias.expr.as_ref().clone(), &known);
            Expr::Alias(alias)
        }
        other => collated(other, &known),
    })
}

/// Begins the name of the least or largest key.
const EXTREME: &str = "luma_extreme_";

/// By which collation a text is read back from what an aggregate gives.
fn read_back_of(expr: &Expr) -> Option<&Collation> {
    match expr {
        // It is done already.
        Expr::Alias(alias) if alias.name.starts_with(EXTREME) => None,
        Expr::Alias(alias) => read_back_of(&alias.expr),
        Expr::AggregateFunction(function) => read_back(function.params.args.first()?),
        _ => None,
    }
}

/// `min` and `max` of text with a collation are those of its keys, from which the text is read back above.
pub(crate) fn extremes(aggregate: Aggregate) -> PlanResult<LogicalPlan> {
    let found: Vec<Option<Collation>> =
        aggregate.aggr_expr.iter().map(|expr| read_back_of(expr).cloned()).collect();
    if found.iter().all(Option::is_none) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let name = |place: usize| format!("{EXTREME}{place}");
    let keys = aggregate.aggr_expr.iter().zip(&found).enumerate().map(|(place, (expr, by))| match by {
        Some(_) => expr.clone().unalias().alias(name(place)),
        None => expr.clone(),
    });
    let keys: Vec<Expr> = keys.collect();
    let before = aggregate.schema.columns();
    let groups = before.len().saturating_sub(found.len());
    let keyed = Aggregate::try_new(aggregate.input, aggregate.group_expr, keys)?;
    let named = before.into_iter().enumerate().map(|(at, column)| {
        let by = at.checked_sub(groups).and_then(|place| Some((place, found.get(place)?.as_ref()?)));
        let given = match by {
            Some((place, by)) => collated(text_of(Expr::Column(Column::new_unqualified(name(place)))), by),
            None => Expr::Column(column.clone()),
        };
        given.alias_qualified(column.relation, column.name)
    });
    let named: Vec<Expr> = named.collect();
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(keyed)).project(named)?.build()
}

/// Refuses a UNION of columns whose collations contradict each other.
///
/// # Errors
/// 42P21.
pub(crate) fn union(union: &Union) -> PlanResult<()> {
    for at in 0..union.schema.fields().len() {
        let mut known = Derived::Default;
        for input in &union.inputs {
            let Some(field) = input.schema().fields().get(at) else { continue };
            if let Some(collation) = of_field(field) {
                known = known.with(Derived::Implicit(collation))?;
            }
        }
        known.ordered()?;
    }
    Ok(())
}
