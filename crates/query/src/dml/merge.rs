//! MERGE: each pair of a source row and a target row is updated, deleted, inserted or left alone.
//!
//! The statement is planned as a join that gives, beside the target row's key and stored image, the number of
//! the clause that applies and the values that it asks for, computed for its rows alone. Rows are then changed
//! as UPDATE, DELETE and INSERT change them: locked first, and if one changed since the statement's snapshot
//! the whole statement starts over on a newer one.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BinaryArray, RecordBatch};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CaseWhen, Expr, Ident, MergeAction, MergeClauseKind, SelectItem, TableWithJoins,
};
use futures::StreamExt;
use lightning::LockMode;
use luma_catalog::{Identity, Table};
use luma_model::arrow::{CellReader, data_type};
use luma_model::{CastKind, DataType, Error, ErrorKind, Result, Value, ValueRef, cast};
use luma_rows::{ConflictTarget, Writer};

use crate::dml::insert::{assigned_columns, insert_row, is_default, ordinal};
use crate::dml::modify::{ATTEMPTS_MAX, apply, hidden, is_literal, target_table};
use crate::dml::target::Target;
use crate::dml::written::{Command, Written};
use crate::execute;
use crate::expression::TableExpressions;
use crate::fast::scalar::{assignable, not_assignable};
use crate::names::qualified;
use crate::outcome::{Column, CommandTag, Outcome};
use crate::plan::provider::{IMAGE_COLUMN, KEY_COLUMN};
use crate::session::Session;
use crate::statement::merge::{DEFAULT_VALUES, NOTHING};

/// The column with the number of the clause that applies.
const CLAUSE_COLUMN: &str = "__luma_clause";
/// Columns before those with values: key, image, clause.
const FIXED_COLUMNS: usize = 3;

/// What a clause does.
enum Action<'e> {
    Nothing,
    Delete,
    /// Ordinals and their new expressions; `None` is DEFAULT.
    Update(Vec<(usize, Option<&'e Expr>)>),
    Insert(Vec<(usize, Option<&'e Expr>)>),
}

impl<'e> Action<'e> {
    fn values(&self) -> &[(usize, Option<&'e Expr>)] {
        match self {
            Self::Nothing | Self::Delete => &[],
            Self::Update(values) | Self::Insert(values) => values,
        }
    }
}

struct Clause<'e> {
    matched: bool,
    condition: Option<&'e Expr>,
    action: Action<'e>,
}

struct Plan<'e> {
    table: Arc<Table>,
    query: ast::Query,
    clauses: Vec<Clause<'e>>,
}

/// For each value of a clause its ordinal and the column that has it.
type Places = Vec<(usize, Option<usize>)>;

/// Runs MERGE.
pub(crate) async fn merge(
    session: &mut Session,
    merge: &ast::Merge,
    types: &[DataType],
    parameters: &[Value],
) -> Result<Outcome> {
    if merge.output.is_some() {
        return Err(Error::new(ErrorKind::FeatureNotSupported, "MERGE … RETURNING is not supported"));
    }
    let plan = plan(session, merge)?;
    let target = Target::open(session, &plan.table).await?;
    let place = session.active()?.engine.savepoint();
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            let transaction = session.active()?;
            transaction.engine.rollback_to(&place).map_err(luma_catalog::engine_error)?;
            transaction.engine.refresh();
            if session.frozen.is_some() {
                session.frozen = Some(session.active()?.engine.reader());
            }
        }
        if let Some(rows) = plan.attempt(session, &target, types, parameters).await? {
            return Ok(Outcome::Complete(CommandTag::Merge(rows)));
        }
    }
    Err(Error::new(
        ErrorKind::SerializationFailure,
        "could not serialize access due to concurrent updates of the same rows",
    )
    .hint("Run the transaction again."))
}

/// The table a statement changes, and the name it goes by.
///
/// # Errors
/// 42P01 for one that does not exist, 0A000 for what is no table.
pub(crate) fn target(session: &Session, merge: &ast::Merge) -> Result<(Arc<Table>, String)> {
    let from = TableWithJoins { relation: merge.table.clone(), joins: Vec::new() };
    let refused =
        |message: String| Error::new(ErrorKind::FeatureNotSupported, message).hint("MERGE changes tables.");
    match target_table(session, &from, Command::Update) {
        Ok((written, alias)) if !written.is_view() => Ok((written.table, alias)),
        Ok((written, _)) => {
            Err(refused(format!("cannot execute MERGE on view \"{}\"", written.columns.name)))
        }
        Err(error) => match error.kind {
            ErrorKind::WrongObjectType | ErrorKind::ObjectNotInPrerequisiteState => {
                Err(refused(error.message.clone()))
            }
            _ => Err(error),
        },
    }
}

fn plan<'e>(session: &Session, merge: &'e ast::Merge) -> Result<Plan<'e>> {
    if merge.clauses.is_empty() {
        return Err(Error::new(ErrorKind::Syntax, "MERGE needs a WHEN clause"));
    }
    let (table, alias) = target(session, merge)?;
    let clauses = clauses(&table, merge)?;
    let joined = TableWithJoins {
        relation: merge.source.clone(),
        joins: vec![ast::Join {
            relation: merge.table.clone(),
            global: false,
            join_operator: if clauses.iter().any(|clause| !clause.matched) {
                ast::JoinOperator::LeftOuter(ast::JoinConstraint::On(merge.on.as_ref().clone()))
            } else {
                ast::JoinOperator::Inner(ast::JoinConstraint::On(merge.on.as_ref().clone()))
            },
        }],
    };
    let query = query(&alias, &clauses, joined);
    Ok(Plan { table, query, clauses })
}

/// The expressions that a statement assigns or inserts, with the ordinals of their columns.
///
/// # Errors
/// As the statement itself, when it is analysed.
pub(crate) fn values<'e>(table: &Table, merge: &'e ast::Merge) -> Result<Vec<(usize, &'e Expr)>> {
    let clauses = clauses(table, merge)?;
    let values = clauses.iter().flat_map(|clause| clause.action.values());
    Ok(values.filter_map(|(ordinal, expr)| Some((*ordinal, (*expr)?))).collect())
}

fn clauses<'e>(table: &Table, merge: &'e ast::Merge) -> Result<Vec<Clause<'e>>> {
    let mut clauses = Vec::new();
    // By whether they are about matched rows.
    let mut unconditional = [false, false];
    for clause in &merge.clauses {
        let matched = match clause.clause_kind {
            MergeClauseKind::Matched => true,
            MergeClauseKind::NotMatched => false,
            MergeClauseKind::NotMatchedByTarget | MergeClauseKind::NotMatchedBySource => {
                let message = "WHEN NOT MATCHED BY is not supported";
                return Err(Error::new(ErrorKind::FeatureNotSupported, message)
                    .hint("WHEN NOT MATCHED is about source rows without a target row."));
            }
        };
        if unconditional[usize::from(matched)] {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(Error::new(ErrorKind::Syntax, message));
        }
        unconditional[usize::from(matched)] |= clause.predicate.is_none();
        let action = match &clause.action {
            MergeAction::Delete { .. } => Action::Delete,
            MergeAction::Update(update) => updated(table, update)?,
            MergeAction::Insert(insert) => inserted(table, insert)?,
        };
        clauses.push(Clause { matched, condition: clause.predicate.as_ref(), action });
    }
    Ok(clauses)
}

fn updated<'e>(table: &Table, update: &'e ast::MergeUpdateExpr) -> Result<Action<'e>> {
    if update.update_predicate.is_some() || update.delete_predicate.is_some() {
        return Err(Error::new(
            ErrorKind::Syntax,
            "the condition of a MERGE clause stands behind WHEN … AND",
        ));
    }
    let mut values: Vec<(usize, Option<&Expr>)> = Vec::new();
    for assignment in &update.assignments {
        if assignment.target.to_string().trim_matches('"') == NOTHING {
            return Ok(Action::Nothing);
        }
        for (ordinal, expr) in assigned_columns(assignment, table)? {
            let column = &table.columns[ordinal];
            if values.iter().any(|(known, _)| *known == ordinal) {
                let message = format!("multiple assignments to same column \"{}\"", column.name);
                return Err(Error::new(ErrorKind::Syntax, message));
            }
            let computed = column.generated.is_some() || column.identity == Some(Identity::Always);
            if computed && !is_default(expr) {
                let message = format!("column \"{}\" can only be updated to DEFAULT", column.name);
                return Err(Error::new(ErrorKind::GeneratedAlways, message));
            }
            values.push((ordinal, Some(expr).filter(|expr| !is_default(expr))));
        }
    }
    Ok(Action::Update(values))
}

fn inserted<'e>(table: &Table, insert: &'e ast::MergeInsertExpr) -> Result<Action<'e>> {
    let ast::MergeInsertKind::Values(rows) = &insert.kind else {
        return Err(Error::new(ErrorKind::Syntax, "MERGE inserts VALUES"));
    };
    let [row] = rows.rows.as_slice() else {
        return Err(Error::new(ErrorKind::Syntax, "MERGE inserts one row of values"));
    };
    let names = insert.columns.iter().map(|name| Ok(qualified(name)?.name)).collect::<Result<Vec<_>>>()?;
    match names.first().map(String::as_str) {
        Some(NOTHING) => return Ok(Action::Nothing),
        Some(DEFAULT_VALUES) => return Ok(Action::Insert(Vec::new())),
        _ => {}
    }
    let columns: Vec<usize> = if names.is_empty() {
        table.live_columns().map(|column| usize::from(column.number) - 1).collect()
    } else {
        names.iter().map(|name| ordinal(table, name)).collect::<Result<_>>()?
    };
    if row.content.len() > columns.len() {
        return Err(Error::new(ErrorKind::Syntax, "INSERT has more expressions than target columns"));
    }
    if row.content.len() < columns.len() && !names.is_empty() {
        return Err(Error::new(ErrorKind::Syntax, "INSERT has more target columns than expressions"));
    }
    let mut values: Vec<(usize, Option<&Expr>)> = Vec::new();
    for (ordinal, expr) in columns.into_iter().zip(&row.content) {
        let column = &table.columns[ordinal];
        if values.iter().any(|(known, _)| *known == ordinal) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(Error::new(ErrorKind::DuplicateColumn, message));
        }
        let computed = column.generated.is_some() || column.identity == Some(Identity::Always);
        if computed && !is_default(expr) {
            let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
            return Err(Error::new(ErrorKind::GeneratedAlways, message).column(&column.name));
        }
        values.push((ordinal, Some(expr).filter(|expr| !is_default(expr))));
    }
    Ok(Action::Insert(values))
}

fn case(branches: Vec<(Expr, Expr)>, other: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: branches.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect(),
        else_result: other.map(Box::new),
    }
}

fn number(number: usize) -> Expr {
    Expr::value(ast::Value::Number(number.to_string(), false))
}

fn both(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// The join with the clause that applies, counted from 1, and the values of each; 0 is none.
fn query(alias: &str, clauses: &[Clause<'_>], from: TableWithJoins) -> ast::Query {
    let key =
        Expr::CompoundIdentifier(vec![Ident::with_quote('"', alias), Ident::with_quote('"', KEY_COLUMN)]);
    let branches = clauses.iter().enumerate().map(|(place, clause)| {
        let key = Box::new(key.clone());
        let side = if clause.matched { Expr::IsNotNull(key) } else { Expr::IsNull(key) };
        let condition = match clause.condition {
            Some(condition) => both(side, BinaryOperator::And, Expr::Nested(Box::new(condition.clone()))),
            None => side,
        };
        (condition, number(place + 1))
    });
    let applies = case(branches.collect(), Some(number(0)));
    let mut projection = vec![
        hidden(alias, KEY_COLUMN),
        hidden(alias, IMAGE_COLUMN),
        SelectItem::ExprWithAlias { expr: applies.clone(), alias: Ident::with_quote('"', CLAUSE_COLUMN) },
    ];
    for (place, clause) in clauses.iter().enumerate() {
        for expr in clause.action.values().iter().filter_map(|(_, expr)| *expr) {
            let own = both(applies.clone(), BinaryOperator::Eq, number(place + 1));
            projection.push(SelectItem::ExprWithAlias {
                expr: case(vec![(own, expr.clone())], None),
                alias: Ident::with_quote('"', format!("__luma_value_{}", projection.len())),
            });
        }
    }
    execute::select_query(projection, vec![from], None)
}

impl Plan<'_> {
    fn written(&self) -> Written {
        Written::table(Arc::clone(&self.table))
    }

    /// For each clause the places of its values, after checking that they can be assigned.
    fn places(&self, columns: &[Column]) -> Result<Vec<Places>> {
        let mut next = FIXED_COLUMNS;
        let mut all = Vec::with_capacity(self.clauses.len());
        for clause in &self.clauses {
            let mut places = Vec::new();
            for (ordinal, expr) in clause.action.values() {
                let Some(expr) = expr else {
                    places.push((*ordinal, None));
                    continue;
                };
                let column = &self.table.columns[*ordinal];
                let given = &columns[next].data_type;
                if !is_literal(expr) && !assignable(given, &column.data_type) {
                    return Err(not_assignable(&column.name, given, &column.data_type));
                }
                places.push((*ordinal, Some(next)));
                next += 1;
            }
            all.push(places);
        }
        Ok(all)
    }

    /// Runs the statement once; `None` when a row had changed, and it must start over.
    async fn attempt(
        &self,
        session: &mut Session,
        target: &Target,
        types: &[DataType],
        parameters: &[Value],
    ) -> Result<Option<u64>> {
        let (columns, mut batches) =
            execute::run_modify_query(session, &self.query, types, parameters, &target.info, &self.written())
                .await?;
        let places = self.places(&columns)?;
        let expressions = target.info.shared.expressions(&target.table.definition, &target.info)?;
        let mut writer = target.writer(session)?;
        let mut changed: HashSet<Vec<u8>> = HashSet::new();
        let mut rows = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let (keys, images) = (binary(&batch, 0)?, binary(&batch, 1)?);
            let readers = (FIXED_COLUMNS - 1..batch.num_columns())
                .map(|place| {
                    let given = data_type(batch.schema().field(place))?;
                    Ok((CellReader::new(batch.column(place).as_ref(), &given)?, given))
                })
                .collect::<Result<Vec<_>>>()?;
            for at in 0..batch.num_rows() {
                let clause = match readers[0].0.get(at)? {
                    ValueRef::Int4(number) => number as usize,
                    ValueRef::Int8(number) => number as usize,
                    _ => 0,
                };
                let Some(place) = clause.checked_sub(1) else { continue };
                let row = Row { target, expressions: &expressions, readers: &readers, at };
                match &self.clauses[place].action {
                    Action::Nothing => continue,
                    Action::Insert(_) => {
                        let values = row.inserted(&places[place])?;
                        insert_row(&mut writer, &target.table, &values, &ConflictTarget::None).await?;
                    }
                    action => {
                        let key = keys.value(at);
                        if !changed.insert(key.to_vec()) {
                            return Err(second_time());
                        }
                        let assigned = matches!(action, Action::Update(_)).then(|| &places[place]);
                        if !row.change(&mut writer, key, images.value(at), assigned).await? {
                            return Ok(None);
                        }
                    }
                }
                rows += 1;
            }
            target.check_size(&writer)?;
        }
        writer.finish().await?;
        Ok(Some(rows))
    }
}

fn second_time() -> Error {
    Error::new(ErrorKind::CardinalityViolation, "MERGE command cannot affect row a second time")
        .hint("Ensure that not more than one source row matches any one target row.")
}

/// One row of the join.
struct Row<'a> {
    target: &'a Target,
    expressions: &'a TableExpressions,
    /// The clause's number, then the values.
    readers: &'a [(CellReader, DataType)],
    at: usize,
}

impl Row<'_> {
    fn value(&self, ordinal: usize, place: Option<usize>) -> Result<Value> {
        let Some(place) = place else { return self.target.evaluator.default_of(self.expressions, ordinal) };
        let (reader, from) = &self.readers[place + 1 - FIXED_COLUMNS];
        let value = reader.get(self.at)?;
        if value.is_null() {
            return Ok(Value::Null);
        }
        let wanted = self.target.table.data_type(ordinal);
        let kind = if assignable(from, wanted) { CastKind::Assignment } else { CastKind::Explicit };
        cast(value, from, wanted, kind, &self.target.info.text_context())
    }

    fn inserted(&self, places: &Places) -> Result<Vec<Value>> {
        let target = self.target;
        let mut values = vec![Value::Null; target.table.columns().len()];
        for (ordinal, value) in values.iter_mut().enumerate() {
            *value = match places.iter().find(|(known, _)| *known == ordinal) {
                Some((_, place)) => self.value(ordinal, *place)?,
                None => target.evaluator.default_of(self.expressions, ordinal)?,
            };
        }
        if target.table.is_collection() {
            crate::collection::complete(&mut values, &target.table, &target.info, None)?;
        }
        self.expressions.complete(&mut values, &target.info)?;
        Ok(values)
    }

    /// Updates or, without assignments, deletes the target row; `false` when it is no longer as it was.
    async fn change(
        &self,
        writer: &mut Writer<'_>,
        key: &[u8],
        image: &[u8],
        assigned: Option<&Places>,
    ) -> Result<bool> {
        let target = self.target;
        if !writer.lock_seen(&target.table, key, image, LockMode::Exclusive).await? {
            return Ok(false);
        }
        let old = target.table.row(image)?.values()?;
        let Some(places) = assigned else {
            apply(writer, target, key, &old, None).await?;
            return Ok(true);
        };
        let mut new = old.clone();
        for (ordinal, place) in places {
            new[*ordinal] = self.value(*ordinal, *place)?;
        }
        self.expressions.complete(&mut new, &target.info)?;
        if target.table.is_collection() {
            crate::collection::complete(&mut new, &target.table, &target.info, Some(&old))?;
        }
        apply(writer, target, key, &old, Some(&new)).await?;
        Ok(true)
    }
}

fn binary(batch: &RecordBatch, place: usize) -> Result<&BinaryArray> {
    let column = batch.column(place).as_any().downcast_ref::<BinaryArray>();
    column.ok_or_else(|| Error::new(ErrorKind::Internal, "the rows to merge came without their keys"))
}
