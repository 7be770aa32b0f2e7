//! Expressions that only make sense against the catalog, and forms that catalog queries use but
//! DataFusion does not plan.
//!
//! | written | becomes |
//! |---|---|
//! | `x::regclass`, `x::regtype`, … | a function that gives the identifier |
//! | the same as text or for the client | a function that gives the name of that |
//! | `ARRAY(SELECT …)` | `(SELECT array_agg(…) …)` |

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SelectItem,
    SetExpr, Value,
};

use crate::functions::reg;

/// Rewrites one expression whose parts are rewritten already.
pub(crate) fn rewrite_expression(expr: &mut Expr) {
    let replaced = match expr {
        Expr::Cast { expr: inner, data_type, .. } => cast(inner, data_type),
        Expr::Function(function) => function_call(function),
        Expr::Subquery(query) => nothing_of(query),
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

/// What a subquery comes to that is about what nothing here has: a column's own collation, the columns
/// of a publication, the base of a domain, the parts of a composite type. Their forms are nothing that
/// DataFusion plans.
fn nothing_of(query: &ast::Query) -> Option<Expr> {
    let text = query.to_string().to_lowercase();
    let composite = text.contains("c.reltype = t.oid");
    let data_type =
        if (text.contains("attcollation") && text.contains("typcollation")) || text.contains("prattrs") {
            return Some(Expr::Value(Value::Null.with_empty_span()));
        } else if query.with.is_some() && text.contains("typbasetype") {
            named_type("oid")
        } else if composite && text.contains("atttypid") {
            array_type("oid")
        } else if composite && text.contains("attname") {
            array_type("text")
        } else {
            return None;
        };
    Some(Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(Expr::Value(Value::Null.with_empty_span())),
        data_type,
        array: false,
        format: None,
    })
}

fn named_type(name: &str) -> ast::DataType {
    ast::DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new())
}

fn array_type(element: &str) -> ast::DataType {
    ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(Box::new(named_type(element)), None))
}
