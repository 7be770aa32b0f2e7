//! The order in which tables are joined.
//!
//! DataFusion joins as the statement has it. Here inner joins of up to [`TABLES_MAX`] tables are put into the order that
//! makes the fewest rows on the way, found by looking at every pair of connected parts. Equalities are classes: from
//! `a = b AND b = c` follows `a = c`, so that `a` may meet `c` first. Nothing changes where a table says nothing of its
//! rows, and where the order that is there is about as good.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, JoinConstraint, JoinType, LogicalPlan, Projection,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::plan::estimate::{Estimate, estimate};

/// Most tables whose orders are looked at; there are 3 to this power of them.
const TABLES_MAX: usize = 10;
/// An order is changed for one that costs less than this share.
const WORTH_IT: f64 = 0.8;
/// The share of pairs that pass a condition that is no equality.
const OTHER_SHARE: f64 = 1.0 / 3.0;
/// What a row costs that a join keeps, and one that it looks up, where one that it makes costs 1.
const KEPT_COST: f64 = 1.0;
const LOOKED_UP_COST: f64 = 0.3;

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct JoinOrder;

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &'static str {
        "join_order"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> PlanResult<Transformed<LogicalPlan>> {
        let Some(region) = Region::of(&plan) else { return Ok(Transformed::no(plan)) };
        let orders = Orders::of(&region);
        let Some(best) = orders.get(region.all()) else { return Ok(Transformed::no(plan)) };
        if region.written.cost(&orders).is_some_and(|cost| best.cost >= cost * WORTH_IT) {
            return Ok(Transformed::no(plan));
        }
        let joined = region.build(&orders, region.all())?;
        let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?)))
    }
}

/// A set of tables, a bit for each.
type Tables = u32;

/// Expressions that are equal; one for a table at most.
type Class = Vec<Member>;

/// One of several equal expressions.
#[derive(Clone, PartialEq)]
struct Member {
    table: usize,
    expr: Expr,
    /// How many different values it has.
    distinct: f64,
}

/// The joins as they are written.
enum Written {
    Table(usize),
    Join(Box<Written>, Box<Written>),
}

impl Written {
    fn tables(&self) -> Tables {
        match self {
            Self::Table(place) => 1 << place,
            Self::Join(left, right) => left.tables() | right.tables(),
        }
    }

    /// What this order costs; `None` where it has pairs of tables that nothing connects.
    fn cost(&self, orders: &Orders) -> Option<f64> {
        let Self::Join(left, right) = self else { return Some(0.0) };
        let (one, other) = (orders.get(left.tables())?, orders.get(right.tables())?);
        let made = orders.get(self.tables())?.rows;
        Some(left.cost(orders)? + right.cost(orders)? + step(one.rows, other.rows, made))
    }
}

/// What joining two parts costs.
fn step(one: f64, other: f64, made: f64) -> f64 {
    made + one.min(other) * KEPT_COST + one.max(other) * LOOKED_UP_COST
}

/// Tables that inner joins join.
struct Region {
    tables: Vec<(LogicalPlan, Estimate)>,
    classes: Vec<Class>,
    /// Conditions on several tables that are no equalities of two.
    others: Vec<(Tables, Expr)>,
    written: Written,
}

/// What flattening found so far.
#[derive(Default)]
struct Found {
    tables: Vec<LogicalPlan>,
    equal: Vec<(Expr, Expr)>,
    others: Vec<Expr>,
}

fn as_inner(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner
                && join.null_equality == NullEquality::NullEqualsNothing
                && !join.null_aware =>
        {
            Some(join)
        }
        _ => None,
    }
}

impl Found {
    fn take(&mut self, plan: &LogicalPlan) -> Written {
        if let Some(join) = as_inner(plan) {
            self.equal.extend(join.on.iter().cloned());
            self.others.extend(join.filter.iter().flat_map(|filter| split_conjunction_owned(filter.clone())));
            let left = self.take(&join.left);
            return Written::Join(Box::new(left), Box::new(self.take(&join.right)));
        }
        // Columns left out between two joins will be left out again.
        if let LogicalPlan::Projection(projection) = plan
            && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)))
            && as_inner(&projection.input).is_some()
        {
            return self.take(&projection.input);
        }
        self.tables.push(plan.clone());
        Written::Table(self.tables.len() - 1)
    }

    /// The tables whose columns an expression names; `None` where one of them is nowhere, or may be in several.
    fn named(&self, expr: &Expr) -> Option<Tables> {
        expr.column_refs().into_iter().try_fold(0, |tables, column: &Column| {
            let mut having =
                self.tables.iter().enumerate().filter(|(_, table)| table.schema().has_column(column));
            let (Some((place, _)), None) = (having.next(), having.next()) else { return None };
            Some(tables | 1 << place)
        })
    }
}

/// The only table of a set.
fn only(tables: Tables) -> Option<usize> {
    tables.is_power_of_two().then(|| tables.trailing_zeros() as usize)
}

impl Region {
    /// The joins at the top of a plan, if their order may be changed.
    fn of(plan: &LogicalPlan) -> Option<Self> {
        as_inner(plan)?;
        let mut found = Found::default();
        let written = found.take(plan);
        if !(3..=TABLES_MAX).contains(&found.tables.len()) {
            return None;
        }
        let conditions = found.equal.iter().flat_map(|(one, other)| [one, other]).chain(&found.others);
        if conditions.into_iter().any(Expr::is_volatile) {
            return None;
        }
        let mut classes: Vec<Class> = Vec::new();
        let mut others = Vec::new();
        for (one, other) in &found.equal {
            match (only(found.named(one)?), only(found.named(other)?)) {
                (Some(first), Some(second)) => {
                    let member = |table, expr: &Expr| Member { table, expr: expr.clone(), distinct: 1.0 };
                    unite(&mut classes, member(first, one), member(second, other));
                }
                _ => others.push(one.clone().eq(other.clone())),
            }
        }
        let others: Option<Vec<(Tables, Expr)>> = others
            .into_iter()
            .chain(found.others.iter().cloned())
            .map(|expr| Some((found.named(&expr).filter(|tables| tables.count_ones() > 1)?, expr)))
            .collect();
        let tables: Option<Vec<(LogicalPlan, Estimate)>> =
            found.tables.into_iter().map(|table| estimate(&table).map(|known| (table, known))).collect();
        let (tables, others) = (tables?, others?);
        // Two of a table in one class would be a condition of their own, and types have to be one.
        for class in &mut classes {
            let mut seen = 0;
            let mut known_type = None;
            for member in class {
                let (plan, known) = tables.get(member.table)?;
                let data_type = member.expr.get_type(plan.schema()).ok()?;
                if seen & 1 << member.table != 0
                    || known_type.as_ref().is_some_and(|known| *known != data_type)
                {
                    return None;
                }
                seen |= 1 << member.table;
                known_type = Some(data_type);
                member.distinct = known.distinct(plan, &member.expr).unwrap_or(known.rows).max(1.0);
            }
        }
        Some(Self { tables, classes, others, written })
    }

    fn all(&self) -> Tables {
        (1 << self.tables.len()) - 1
    }

    /// For each class that has members on both sides, one of each.
    fn meeting(&self, one: Tables, other: Tables) -> impl Iterator<Item = (&Class, &Member, &Member)> {
        let member = |class: &'_ Class, tables: Tables| {
            class.iter().position(|member| tables & 1 << member.table != 0)
        };
        self.classes.iter().filter_map(move |class| {
            let (left, right) = (member(class, one)?, member(class, other)?);
            Some((class, class.get(left)?, class.get(right)?))
        })
    }

    /// Conditions that can be asked as soon as both sides are there.
    fn asked(&self, one: Tables, other: Tables) -> impl Iterator<Item = &Expr> {
        let both = one | other;
        let applies = move |tables: Tables| tables & !both == 0 && tables & !one != 0 && tables & !other != 0;
        self.others.iter().filter(move |(tables, _)| applies(*tables)).map(|(_, expr)| expr)
    }

    /// How many rows joining two parts makes; `None` where nothing connects them.
    fn rows(&self, (one, one_rows): (Tables, f64), (other, other_rows): (Tables, f64)) -> Option<f64> {
        // Several columns of one table together have no more values than it has rows.
        let mut together = [[1.0; TABLES_MAX]; 2];
        let mut most: f64 = 1.0;
        let mut connected = 0;
        for (class, left, right) in self.meeting(one, other) {
            connected += 1;
            let members = class.iter().filter(|member| (one | other) & 1 << member.table != 0);
            most = members.map(|member| member.distinct).fold(most, f64::max);
            for (side, member) in together.iter_mut().zip([left, right]) {
                if let Some(values) = side.get_mut(member.table) {
                    *values *= member.distinct;
                }
            }
        }
        let values = |side: &[f64]| -> f64 {
            side.iter()
                .zip(&self.tables)
                .map(|(values, (_, known))| values.min(known.before.max(1.0)))
                .product()
        };
        let [left, right] = &together;
        let apart = match connected {
            0 => return None,
            1 => most,
            _ => values(left).min(values(right)).max(most),
        };
        let others = OTHER_SHARE.powi(self.asked(one, other).count() as i32);
        Some((one_rows * other_rows / apart * others).max(1.0))
    }

    /// The joins of these tables in the best order.
    fn build(&self, orders: &Orders, tables: Tables) -> PlanResult<LogicalPlan> {
        let missing = || datafusion::common::internal_datafusion_err!("an order of joins has a gap");
        let part = orders.get(tables).ok_or_else(missing)?;
        let Some((one, other)) = part.split else {
            let place = only(tables).and_then(|place| self.tables.get(place));
            return place.map(|(plan, _)| plan.clone()).ok_or_else(missing);
        };
        let rows = |side| orders.get(side).map_or(0.0, |part| part.rows);
        let (one, other) = if rows(one) <= rows(other) { (one, other) } else { (other, one) };
        let on = self
            .meeting(one, other)
            .map(|(_, left, right)| (left.expr.clone(), right.expr.clone()))
            .collect();
        let filter = conjunction(self.asked(one, other).cloned());
        let (left, right) = (Arc::new(self.build(orders, one)?), Arc::new(self.build(orders, other)?));
        let null = NullEquality::NullEqualsNothing;
        Join::try_new(left, right, on, filter, JoinType::Inner, JoinConstraint::On, null, false)
            .map(LogicalPlan::Join)
    }
}

/// Puts two equal expressions into one class.
fn unite(classes: &mut Vec<Class>, one: Member, other: Member) {
    let mut united: Class = Vec::new();
    classes.retain(|class| {
        let touches = class.contains(&one) || class.contains(&other);
        if touches {
            united.extend(class.iter().cloned());
        }
        !touches
    });
    for member in [one, other] {
        if !united.contains(&member) {
            united.push(member);
        }
    }
    classes.push(united);
}

/// The best way to join a set of tables.
#[derive(Clone, Copy)]
struct Part {
    rows: f64,
    cost: f64,
    /// The two sets that are joined last; none for a table.
    split: Option<(Tables, Tables)>,
}

/// For each set of tables that is connected the best way.
struct Orders(Vec<Option<Part>>);

impl Orders {
    fn of(region: &Region) -> Self {
        let mut orders = Self(vec![None; 1 << region.tables.len()]);
        for tables in 1..=region.all() {
            let part = match only(tables).and_then(|place| region.tables.get(place)) {
                Some((_, known)) => Some(Part { rows: known.rows, cost: 0.0, split: None }),
                None => orders.best(region, tables),
            };
            if let Some(place) = orders.0.get_mut(tables as usize) {
                *place = part;
            }
        }
        orders
    }

    fn get(&self, tables: Tables) -> Option<Part> {
        *self.0.get(tables as usize)?
    }

    fn best(&self, region: &Region, tables: Tables) -> Option<Part> {
        let mut ways: Vec<(Tables, Tables, f64, f64, f64)> = Vec::new();
        // Every way to cut the set in two, each once.
        let mut one = (tables - 1) & tables;
        while one > 0 {
            let other = tables & !one;
            if one < other
                && let (Some(left), Some(right)) = (self.get(one), self.get(other))
                && let Some(made) = region.rows((one, left.rows), (other, right.rows))
            {
                ways.push((
                    one,
                    other,
                    left.cost + right.cost,
                    left.rows.min(right.rows) * KEPT_COST + left.rows.max(right.rows) * LOOKED_UP_COST,
                    made,
                ));
            }
            one = (one - 1) & tables;
        }
        // All ways make the same rows; estimates of which differ, and the highest is the least daring.
        let rows = ways.iter().map(|way| way.4).fold(0.0, f64::max);
        ways.into_iter()
            .map(|(one, other, before, joining, _)| Part {
                rows,
                cost: before + joining + rows,
                split: Some((one, other)),
            })
            .min_by(|one, other| one.cost.total_cmp(&other.cost))
    }
}
