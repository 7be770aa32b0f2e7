//! Expressions that only make sense against the catalog, and forms that catalog queries use but
//! DataFusion does not plan.
//!
//! | written | becomes |
//! |---|---|
//! | `x::regclass`, `x::regtype`, … | a function that gives the identifier |
//! | the same as text or for the client | a function that gives the name of that |
//! | `ARRAY(SELECT …)` | `(SELECT array_agg(…) …)` |
//! | a correlated subquery on a `pg_` table | the same with `max(…)`, which DataFusion can join |

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SelectItem,
    SetExpr, TableFactor, Value,
};

use crate::functions::reg;

/// Rewrites one expression whose parts are rewritten already.
pub(crate) fn rewrite_expression(expr: &mut Expr) {
    let replaced = match expr {
        Expr::Cast { expr: inner, data_type, .. } => cast(inner, data_type),
        Expr::Function(function) => function_call(function),
        Expr::Subquery(query) if asks_for_nothing(query) => Some(Expr::Value(Value::Null.with_empty_span())),
        Expr::Subquery(query) => {
            aggregate_subquery(query);
            outer_conditions(query)
        }
        _ => None,
    };
    if let Some(replaced) = replaced {
        *expr = replaced;
    }
}

fn cast(inner: &Expr, data_type: &ast::DataType) -> Option<Expr> {
    let wanted = data_type.to_string().to_lowercase();
    let wanted = wanted.strip_prefix("pg_catalog.").unwrap_or(&wanted);
    match wanted {
        "regproc" | "regprocedure" | "regoper" | "regoperator" => {
            Some(call("luma_regproc", vec![inner.clone()]))
        }
        "text" | "varchar" | "name" => {
            let named = name_of(inner)?;
            Some(Expr::Cast {
                kind: ast::CastKind::DoubleColon,
                expr: Box::new(named),
                data_type: data_type.clone(),
                array: false,
                format: None,
            })
        }
        wanted => reg::cast_function(wanted).map(|function| call(function, vec![inner.clone()])),
    }
}

/// The name of what an expression identifies, if it is one that a client sees as a name.
fn name_of(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Function(function) => {
            let name = reg::name_function(&function.name.to_string().to_lowercase())?;
            Some(call(name, vec![expr.clone()]))
        }
        Expr::Nested(inner) => name_of(inner),
        _ => None,
    }
}

/// Lets the client see names where a query selects identifiers that print as such.
pub(crate) fn show_names(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                    && let Some(named) = name_of(expr)
                {
                    *expr = named;
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            show_names(left);
            show_names(right);
        }
        _ => {}
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn number(value: u32) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).with_empty_span())
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments
                .into_iter()
                .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)))
                .collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn function_call(function: &mut Function) -> Option<Expr> {
    let name = function.name.to_string().to_lowercase();
    // psql shows storage options and policies' roles, which there are none of.
    let arguments = function.args.to_string();
    if name == "array_to_string" && (arguments.contains("reloptions") || arguments.contains("polroles")) {
        return Some(Expr::Value(Value::SingleQuotedString(String::new()).with_empty_span()));
    }
    // Nothing is partitioned: a table is its only ancestor.
    if name == "pg_partition_ancestors"
        && let FunctionArguments::List(list) = &function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(table))] = list.args.as_slice()
        && let Some(oid) = literal(table).and_then(|text| text.parse::<u32>().ok())
    {
        return Some(number(oid));
    }
    let FunctionArguments::Subquery(query) = &mut function.args else { return None };
    if name != "array" {
        return None;
    }
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(item) = select.projection.first_mut()
    {
        wrap(item, "array_agg");
    }
    Some(Expr::Subquery(query.clone()))
}

fn wrap(item: &mut SelectItem, function: &str) {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
        let inner = std::mem::replace(expr, Expr::Identifier(Ident::new("_")));
        *expr = call(function, vec![inner]);
    }
}

/// Whether a subquery is about what nothing here has: a column's own collation, the columns of a
/// publication, the base of a domain, the parts of a composite type. Their forms are nothing that
/// DataFusion plans.
fn asks_for_nothing(query: &ast::Query) -> bool {
    let text = query.to_string().to_lowercase();
    (text.contains("attcollation") && text.contains("typcollation"))
        || text.contains("prattrs")
        || (query.with.is_some() && text.contains("typbasetype"))
        || (text.contains("atttypid") || text.contains("attname")) && text.contains("c.reltype = t.oid")
}

/// Conditions of a subquery that only name the outer row become a CASE around it, because they are
/// nothing to join on.
fn outer_conditions(query: &mut ast::Query) -> Option<Expr> {
    let whole = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let own: Vec<String> = select
        .from
        .iter()
        .filter_map(|from| match &from.relation {
            TableFactor::Table { alias: Some(alias), .. } => Some(alias.name.value.clone()),
            TableFactor::Table { name, alias: None, .. } => name.0.last().map(ToString::to_string),
            _ => None,
        })
        .collect();
    let outer = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) => parts.first().is_some_and(|table| !own.contains(&table.value)),
        _ => false,
    };
    let (mut inside, mut outside) = (None, None);
    let mut conjuncts = Vec::new();
    split(select.selection.take()?, &mut conjuncts);
    for conjunct in conjuncts {
        let side = if outer(&conjunct) { &mut outside } else { &mut inside };
        *side = Some(match side.take() {
            None => conjunct,
            Some(before) => Expr::BinaryOp {
                left: Box::new(before),
                op: ast::BinaryOperator::And,
                right: Box::new(conjunct),
            },
        });
    }
    select.selection = inside;
    let Some(condition) = outside else {
        *query = whole;
        return None;
    };
    Some(Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition, result: Expr::Subquery(Box::new(query.clone())) }],
        else_result: None,
    })
}

fn split(expr: Expr, conjuncts: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            split(*left, conjuncts);
            split(*right, conjuncts);
        }
        Expr::Nested(inner) => split(*inner, conjuncts),
        other => conjuncts.push(other),
    }
}

/// A subquery on a system table gives at most one row by its nature; DataFusion wants to see that.
fn aggregate_subquery(query: &mut ast::Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let system = |factor: &TableFactor| match factor {
        TableFactor::Table { name, .. } => {
            let name = name.to_string().to_lowercase();
            name.starts_with("pg_")
        }
        _ => false,
    };
    let grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(list, _) if list.is_empty());
    if select.selection.is_none()
        || grouped
        || !select.from.first().is_some_and(|from| system(&from.relation))
    {
        return;
    }
    let [item] = select.projection.as_mut_slice() else { return };
    let text = item.to_string().to_lowercase();
    if ["array_agg(", "string_agg(", "count(", "max(", "min(", "sum("]
        .iter()
        .any(|known| text.starts_with(known))
    {
        return;
    }
    wrap(item, "max");
    query.limit_clause = None;
    query.order_by = None;
}
