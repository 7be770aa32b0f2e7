//! Expressions that only make sense against the catalog, and forms that catalog queries use but
//! DataFusion does not plan.
//!
//! | written | becomes |
//! |---|---|
//! | `'t'::regclass` | the identifier of `t` |
//! | `x::regclass`, `x::regtype`, … | a function that gives the name |
//! | `ARRAY(SELECT …)` | `(SELECT array_agg(…) …)` |
//! | a correlated subquery on a `pg_` table | the same with `max(…)`, which DataFusion can join |

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SelectItem, SetExpr,
    TableFactor, Value,
};

use crate::plan::context::Names;
use crate::session::parse_qualified;

/// Rewrites one expression whose parts are rewritten already.
pub(crate) fn rewrite_expression(expr: &mut Expr, names: &Names<'_>) {
    let replaced = match expr {
        Expr::Cast { expr: inner, data_type, .. } => cast(inner, data_type, names),
        Expr::Function(function) => function_call(function),
        Expr::Subquery(query) => {
            aggregate_subquery(query);
            None
        }
        _ => None,
    };
    if let Some(replaced) = replaced {
        *expr = replaced;
    }
}

fn cast(inner: &Expr, data_type: &ast::DataType, names: &Names<'_>) -> Option<Expr> {
    let wanted = data_type.to_string().to_lowercase();
    let wanted = wanted.strip_prefix("pg_catalog.").unwrap_or(&wanted);
    let function = match wanted {
        "regclass" => "luma_regclass",
        "regtype" => "luma_regtype",
        "regproc" | "regprocedure" | "regoper" | "regoperator" => "luma_regproc",
        "regnamespace" => "luma_regnamespace",
        "regrole" => "luma_regrole",
        _ => return None,
    };
    if let (Expr::Value(value), "regclass") = (inner, wanted)
        && let Value::SingleQuotedString(text) = &value.value
        && let Ok(name) = parse_qualified(text)
        && let Some(relation) = names.scope().find(&name)
    {
        return Some(number(relation.oid()));
    }
    Some(call(function, vec![inner.clone()]))
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
    // psql shows storage options, which there are none of.
    if name == "array_to_string" && function.args.to_string().contains("reloptions") {
        return Some(Expr::Value(Value::SingleQuotedString(String::new()).with_empty_span()));
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
    if select.selection.is_none() || grouped || !select.from.first().is_some_and(|from| system(&from.relation)) {
        return;
    }
    let [item] = select.projection.as_mut_slice() else { return };
    let text = item.to_string().to_lowercase();
    if ["array_agg(", "string_agg(", "count(", "max(", "min(", "sum("].iter().any(|known| text.starts_with(known)) {
        return;
    }
    wrap(item, "max");
    query.limit_clause = None;
    query.order_by = None;
}
