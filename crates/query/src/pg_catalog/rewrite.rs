//! Expressions that only make sense against the catalog, and forms that catalog queries use but
//! DataFusion does not plan.
//!
//! | written | becomes |
//! |---|---|
//! | `vector[0]` | `vector[0 + 1]`: vectors count from 0 |
//! | `ARRAY(SELECT …)` | `(SELECT array_agg(…) …)` |

use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SelectItem,
    SetExpr, Value,
};

use crate::functions::arrays::FROM_ZERO;
use crate::plan::rewrite::is_aggregate;

/// Rewrites one expression whose parts are rewritten already.
pub(crate) fn rewrite_expression(expr: &mut Expr) {
    let replaced = match expr {
        Expr::Function(function) => function_call(function),
        Expr::Subquery(query) => nothing_of(query),
        Expr::CompoundFieldAccess { root, access_chain } => {
            from_zero(root, access_chain);
            first_letter(root, access_chain)
        }
        _ => None,
    };
    if let Some(replaced) = replaced {
        *expr = replaced;
    }
}

/// `indoption[0]`: vectors of numbers count from 0, and arrays from 1.
fn from_zero(root: &Expr, chain: &mut [ast::AccessExpr]) {
    let vector = match root {
        Expr::Identifier(name) => is_vector(name),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(is_vector),
        _ => false,
    };
    let (vector, subscript) = match chain {
        [ast::AccessExpr::Dot(Expr::Identifier(name)), subscript] => (is_vector(name), subscript),
        [subscript] => (vector, subscript),
        _ => return,
    };
    if let (true, ast::AccessExpr::Subscript(ast::Subscript::Index { index })) = (vector, subscript) {
        let place = Box::new(Expr::Nested(Box::new(index.clone())));
        *index = Expr::BinaryOp { left: place, op: ast::BinaryOperator::Plus, right: Box::new(number(1)) };
    }
}

/// `typname[0]`: pg_dump asks which types are called as arrays are.
fn first_letter(root: &Expr, chain: &[ast::AccessExpr]) -> Option<Expr> {
    let (Expr::Identifier(name), [ast::AccessExpr::Subscript(ast::Subscript::Index { index })]) =
        (root, chain)
    else {
        return None;
    };
    let first = name.value == "typname" && index.to_string().matches(|c: char| c.is_ascii_digit()).eq(["0"]);
    first.then(|| call("left", vec![root.clone(), number(1)]))
}

/// Columns of the system's tables that are `int2vector` or `oidvector` in PostgreSQL.
fn is_vector(name: &Ident) -> bool {
    // The last one is what the JDBC driver calls indoption in a query around its own.
    let vectors = ["indkey", "indoption", "indclass", "indcollation", "proargtypes", "i_indoption"];
    vectors.iter().any(|known| name.value.eq_ignore_ascii_case(known))
}

/// The identifier of the relation of that name, as `'name'::regclass::oid` says it.
pub(crate) fn class_of(name: &str) -> Expr {
    let text = Expr::Value(Value::SingleQuotedString(name.to_owned()).with_empty_span());
    cast(cast(text, named_type("regclass")), named_type("oid"))
}

fn cast(expr: Expr, data_type: ast::DataType) -> Expr {
    let (kind, expr) = (ast::CastKind::DoubleColon, Box::new(expr));
    Expr::Cast { kind, expr, data_type, array: false, format: None }
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
    // psql and pg_dump show options and policies' roles, which there are none of.
    let arguments = function.args.to_string();
    if name == "array_to_string"
        && arguments.contains("pg_options_to_table(ftoptions)")
        && let FunctionArguments::List(list) = &function.args
        && let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(between))] = list.args.as_slice()
    {
        let options = Expr::Identifier(Ident::new("ftoptions"));
        return Some(call(super::foreign::OPTIONS, vec![options, between.clone()]));
    }
    let nothing = ["reloptions", "polroles", "pg_options_to_table"];
    if name == "array_to_string" && nothing.iter().any(|word| arguments.contains(word)) {
        return Some(Expr::Value(Value::SingleQuotedString(String::new()).with_empty_span()));
    }
    if name == "generate_subscripts"
        && let FunctionArguments::List(list) = &mut function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(array)), dimension] = list.args.as_mut_slice()
        && matches!(array, Expr::Identifier(name) if is_vector(name))
            | matches!(array, Expr::CompoundIdentifier(parts) if parts.last().is_some_and(is_vector))
    {
        // Vectors of numbers count from 0.
        *dimension = FunctionArg::Unnamed(FunctionArgExpr::Expr(number(FROM_ZERO)));
        return None;
    }
    // The one function that sees that a literal has no type yet.
    if name == "pg_typeof"
        && let FunctionArguments::List(list) = &function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice()
        && (literal(argument).is_some()
            || matches!(argument, Expr::Value(value) if value.value == Value::Null))
    {
        let unknown = Expr::Value(Value::SingleQuotedString("unknown".to_owned()).with_empty_span());
        return Some(cast(unknown, named_type("regtype")));
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
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(ast::OrderByKind::Expressions(order)) => order.clone(),
        _ => Vec::new(),
    };
    let whole = query.limit_clause.is_some() || query.fetch.is_some();
    match query.body.as_mut() {
        SetExpr::Select(select) if !whole && is_plain(select) => {
            if let Some(item) = select.projection.first_mut() {
                wrap(item, "array_agg", order);
            }
            query.order_by = None;
            Some(call("luma_gathered", vec![Expr::Subquery(query.clone())]))
        }
        // What is limited, grouped or put together is gathered as it comes.
        _ => Some(call("luma_gathered", vec![Expr::Subquery(Box::new(gathered(query.clone())))])),
    }
}

/// A SELECT of which each row gives one element.
fn is_plain(select: &ast::Select) -> bool {
    let grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(list, _) if list.is_empty());
    !grouped && select.distinct.is_none() && !select.projection.iter().any(is_aggregate)
}

/// `SELECT array_agg(element) FROM (query) AS elements (element)`.
fn gathered(query: Box<ast::Query>) -> ast::Query {
    let element = || Ident::new("luma_element");
    let columns = vec![ast::TableAliasColumnDef { name: element(), data_type: None }];
    let alias = ast::TableAlias { explicit: true, name: Ident::new("luma_elements"), columns, at: None };
    let relation =
        ast::TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None };
    let gathered = call("array_agg", vec![Expr::Identifier(element())]);
    crate::execute::select_query(
        vec![SelectItem::UnnamedExpr(gathered)],
        vec![ast::TableWithJoins { relation, joins: Vec::new() }],
        None,
    )
}

fn wrap(item: &mut SelectItem, function: &str, order: Vec<ast::OrderByExpr>) {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
        let inner = std::mem::replace(expr, Expr::Identifier(Ident::new("_")));
        *expr = call(function, vec![inner]);
        if !order.is_empty()
            && let Expr::Function(function) = expr
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.clauses = vec![ast::FunctionArgumentClause::OrderBy(order)];
        }
    }
}

/// What a subquery comes to that is about a column's own collation, or what nothing here has: the columns
/// of a publication, a partition's trigger, the base of a domain, the parts of a composite type. Their forms are nothing that
/// DataFusion plans.
fn nothing_of(query: &ast::Query) -> Option<Expr> {
    let text = query.to_string().to_lowercase();
    let composite = text.contains("c.reltype = t.oid");
    let data_type = if text.contains("attcollation") && text.contains("typcollation") {
        let column = ["a", "attcollation"].map(Ident::new).to_vec();
        return Some(call("luma_collation_name", vec![Expr::CompoundIdentifier(column)]));
    } else if text.contains("prattrs") {
        return Some(Expr::Value(Value::Null.with_empty_span()));
    } else if text.contains("tgparentid") || query.with.is_some() && text.contains("typbasetype") {
        named_type("oid")
    } else if composite && text.contains("atttypid") {
        array_type("oid")
    } else if composite && text.contains("attname") {
        array_type("text")
    } else {
        return None;
    };
    Some(cast(Expr::Value(Value::Null.with_empty_span()), data_type))
}

fn named_type(name: &str) -> ast::DataType {
    ast::DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new())
}

fn array_type(element: &str) -> ast::DataType {
    ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(Box::new(named_type(element)), None))
}
