//! Functions in FROM: each is a table of what its arrays hold.

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, Ident, SelectItem, TableAlias, TableAliasColumnDef,
    TableFactor, TableWithJoins,
};
use luma_model::{Error, ErrorKind, Result};

use super::expression::{call, cast};
use crate::execute::table_factor;
use crate::metrics::function;
use crate::names::identifier;

/// A column that a function in FROM gives: the function of its values, and their type beside text.
pub(super) struct SetColumn {
    pub(super) function: &'static str,
    name: &'static str,
    pub(super) data_type: Option<ast::DataType>,
}

/// A function that gives rows.
pub(super) struct SetFunction {
    pub(super) columns: Vec<SetColumn>,
    /// Whether the alias names the only column.
    named_by_alias: bool,
}

/// What a function that gives rows is made of.
pub(super) fn set_function(name: &str) -> Option<SetFunction> {
    let column = |function, name, data_type: Option<ast::DataType>| SetColumn { function, name, data_type };
    let one =
        |function, name| SetFunction { columns: vec![column(function, name, None)], named_by_alias: true };
    let typed = |function, name, data_type| SetFunction {
        columns: vec![column(function, name, Some(data_type))],
        named_by_alias: true,
    };
    let pair = |values, data_type| SetFunction {
        columns: vec![column("luma_json_keys", "key", None), column(values, "value", data_type)],
        named_by_alias: false,
    };
    let (json, jsonb) = (ast::DataType::JSON, ast::DataType::JSONB);
    let texts =
        || ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(Box::new(ast::DataType::Text), None));
    Some(match name {
        "generate_series" => one("luma_generate_series", "generate_series"),
        "generate_subscripts" => one("luma_generate_subscripts", "generate_subscripts"),
        "regexp_split_to_table" => one("regexp_split_to_array", "regexp_split_to_table"),
        "regexp_matches" => typed("luma_regexp_matches", "regexp_matches", texts()),
        "string_to_table" => one("luma_string_to_table", "string_to_table"),
        "jsonb_path_query" => typed("luma_json_path_items", "jsonb_path_query", jsonb),
        "jsonb_array_elements" => typed("luma_json_items", "value", jsonb),
        "json_array_elements" => typed("luma_json_items", "value", json),
        "jsonb_array_elements_text" | "json_array_elements_text" => one("luma_json_items_text", "value"),
        "jsonb_object_keys" => one("luma_json_keys", "jsonb_object_keys"),
        "json_object_keys" => one("luma_json_keys", "json_object_keys"),
        "jsonb_each" => pair("luma_json_values", Some(jsonb)),
        "json_each" => pair("luma_json_values", Some(json)),
        // Rows of x, an element, and n, its place; drivers ask for indexes' columns with it.
        "_pg_expandarray" => typed("luma_expand_array", "_pg_expandarray", jsonb),
        "jsonb_each_text" | "json_each_text" => pair("luma_json_values_text", None),
        _ => return None,
    })
}

fn column(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', name))
}

fn alias_of(name: &str, columns: &[String]) -> TableAlias {
    TableAlias {
        explicit: true,
        name: Ident::with_quote('"', name),
        columns: columns
            .iter()
            .map(|column| TableAliasColumnDef { name: Ident::with_quote('"', column), data_type: None })
            .collect(),
        at: None,
    }
}

/// `(SELECT … FROM inner) AS alias`.
fn derived(projection: Vec<SelectItem>, inner: TableFactor, alias: TableAlias) -> TableFactor {
    let from = vec![TableWithJoins { relation: inner, joins: Vec::new() }];
    let query = crate::execute::select_query(projection, from, None);
    TableFactor::Derived { lateral: true, subquery: Box::new(query), alias: Some(alias), sample: None }
}

fn item(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
}

/// Gives a named argument of a reader of files the form that the reader takes.
fn reader_option(argument: &mut FunctionArg) {
    let (name, value) = match argument {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (identifier(name), value),
        FunctionArg::ExprNamed {
            name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), ..
        } => (identifier(name), value),
        _ => return,
    };
    let option = crate::external::function::option(&name, value);
    *argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(option));
}

/// Rewrites a function in FROM.
pub(super) fn rewrite(factor: &mut TableFactor) -> Result<()> {
    let (name, arguments, alias, ordinality) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            (name.clone(), args.args.clone(), alias.clone(), *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            (name.clone(), args.clone(), alias.clone(), *with_ordinality)
        }
        TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
            let columns: Vec<(Expr, String, Option<ast::DataType>)> =
                array_exprs.iter().map(|array| (array.clone(), "unnest".to_owned(), None)).collect();
            let (alias, ordinality) = (alias.clone(), *with_ordinality);
            let single = columns.len() == 1;
            *factor = table(columns, alias, "unnest", single, ordinality);
            return Ok(());
        }
        _ => return Ok(()),
    };
    let Some(ast::ObjectNamePart::Identifier(last)) = name.0.last() else { return Ok(()) };
    let name = identifier(last);
    if crate::external::function::format(&name).is_some() {
        if let TableFactor::Table { args: Some(args), .. } = factor {
            args.args.iter_mut().for_each(reader_option);
        }
        return Ok(());
    }
    let arguments: Vec<Expr> = arguments
        .into_iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    if let "json_to_recordset" | "jsonb_to_recordset" | "json_to_record" | "jsonb_to_record" = name.as_str() {
        *factor = record(&name, arguments, alias)?;
        return Ok(());
    }
    if name == "unnest" {
        let single = arguments.len() == 1;
        let columns = arguments.into_iter().map(|array| (array, name.clone(), None)).collect();
        *factor = table(columns, alias, &name, single, ordinality);
        return Ok(());
    }
    if name == "promql" {
        *factor = promql(arguments, alias)?;
        return Ok(());
    }
    if name == "pg_get_keywords" {
        *factor = system_table("pg_get_keywords", alias);
        return Ok(());
    }
    let Some(function) = set_function(&name) else {
        // Any other function gives one row.
        let shown = alias.as_ref().map_or_else(|| name.clone(), |alias| identifier(&alias.name));
        let column = alias.as_ref().and_then(|alias| alias.columns.first());
        let column = column.map_or_else(|| shown.clone(), |column| identifier(&column.name));
        let mut projection = vec![item(call(&name, arguments), &column)];
        if ordinality {
            let one = Expr::Value(ast::Value::Number("1".into(), false).with_empty_span());
            projection.push(item(cast(one, ast::DataType::BigInt(None)), "ordinality"));
        }
        let query = crate::execute::select_query(projection, Vec::new(), None);
        let alias = Some(alias_of(&shown, &[]));
        *factor = TableFactor::Derived { lateral: true, subquery: Box::new(query), alias, sample: None };
        return Ok(());
    };
    let single = function.named_by_alias;
    let columns = function
        .columns
        .into_iter()
        .map(|column| (call(column.function, arguments.clone()), column.name.to_owned(), column.data_type))
        .collect();
    *factor = table(columns, alias, &name, single, ordinality);
    Ok(())
}

/// Functions that RIGHT and FULL JOIN join, which can't be of the rows beside them: DataFusion refuses all that might be.
pub(super) fn beside(joins: &mut [ast::Join]) {
    for join in joins {
        let whole = matches!(
            join.join_operator,
            ast::JoinOperator::Right(_) | ast::JoinOperator::RightOuter(_) | ast::JoinOperator::FullOuter(_)
        );
        if !whole {
            continue;
        }
        if let TableFactor::Derived { lateral, .. } = &mut join.relation {
            *lateral = false;
        } else if let TableFactor::UNNEST { alias: Some(alias), .. } = &join.relation {
            let outer = TableAlias { columns: Vec::new(), ..alias.clone() };
            let all = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
            let mut alone = derived(vec![all], join.relation.clone(), outer);
            if let TableFactor::Derived { lateral, .. } = &mut alone {
                *lateral = false;
            }
            join.relation = alone;
        }
    }
}

/// `promql(query [, time | start, end, step])`: the records of its answer as columns.
fn promql(arguments: Vec<Expr>, alias: Option<TableAlias>) -> Result<TableFactor> {
    let count = arguments.len();
    if !matches!(count, 1 | 2 | 4) {
        let message = format!("function promql with {count} arguments does not exist");
        return Err(Error::new(ErrorKind::UndefinedFunction, message)
            .hint("It takes a query alone, with a time, or with a start, an end and a step."));
    }
    let mut arguments = arguments.into_iter();
    let mut next = |data_type: ast::DataType| {
        let null = || Expr::value(ast::Value::Null);
        cast(arguments.next().unwrap_or_else(null), data_type)
    };
    let time = || ast::DataType::Timestamp(None, ast::TimezoneInfo::WithTimeZone);
    let interval = ast::DataType::Interval { fields: None, precision: None };
    let mut arguments = vec![next(ast::DataType::Text), next(time()), next(time()), next(interval)];
    if count == 1 {
        arguments[1] = call("now", Vec::new());
    }
    let shown = alias.as_ref().map_or_else(|| "promql".to_owned(), |alias| identifier(&alias.name));
    let given = alias.map(|alias| alias.columns).unwrap_or_default();
    let projection = function::COLUMNS.iter().enumerate().map(|(at, (name, _))| {
        let part = call(function::FIELD, vec![column("record"), super::expression::text(*name)]);
        let shown = given.get(at).map_or_else(|| (*name).to_owned(), |column| identifier(&column.name));
        item(part, &shown)
    });
    let records = TableFactor::UNNEST {
        alias: Some(alias_of("luma_rows", &["record".to_owned()])),
        array_exprs: vec![call(function::NAME, arguments)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    Ok(derived(projection.collect(), records, alias_of(&shown, &[])))
}

/// A function of the system that is a table here.
fn system_table(name: &str, alias: Option<TableAlias>) -> TableFactor {
    table_factor(ast::ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(name)]), alias)
}

/// The table of some arrays beside each other, under the names that an alias gives.
fn table(
    columns: Vec<(Expr, String, Option<ast::DataType>)>,
    alias: Option<TableAlias>,
    function: &str,
    named_by_alias: bool,
    ordinality: bool,
) -> TableFactor {
    let table_name = alias.as_ref().map_or_else(|| function.to_owned(), |alias| identifier(&alias.name));
    let given: Vec<String> =
        alias.iter().flat_map(|alias| &alias.columns).map(|column| identifier(&column.name)).collect();
    let mut names: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, (_, name, _))| match given.get(at) {
            Some(given) => given.clone(),
            None if named_by_alias && alias.is_some() => table_name.clone(),
            None => name.clone(),
        })
        .collect();
    if columns.len() > 1 && !named_by_alias && names.windows(2).any(|pair| pair[0] == pair[1]) {
        // unnest(a, b) names both columns alike; one of them gets a number to stand apart.
        for (at, name) in names.iter_mut().enumerate().skip(1) {
            if given.get(at).is_none() {
                name.push_str(&format!("\u{1}{at}"));
            }
        }
    }
    let mut columns = columns;
    if ordinality {
        // The numbers are one array more, so that the function may still take columns of other tables.
        let lengths = columns.iter().map(|(array, ..)| call("cardinality", vec![array.clone()])).collect();
        let one = Expr::Value(ast::Value::Number("1".into(), false).with_empty_span());
        let longest = cast(call("greatest", lengths), ast::DataType::BigInt(None));
        let numbers = call("luma_generate_series", vec![cast(one, ast::DataType::BigInt(None)), longest]);
        names.push(given.get(names.len()).cloned().unwrap_or_else(|| "ordinality".to_owned()));
        columns.push((numbers, String::new(), None));
    }
    let casts = columns.iter().any(|(_, _, data_type)| data_type.is_some());
    let kinds: Vec<Option<ast::DataType>> = columns.iter().map(|(_, _, kind)| kind.clone()).collect();
    let unnest = |alias| TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs: columns.iter().map(|(array, _, _)| array.clone()).collect(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    if !casts {
        return unnest(alias_of(&table_name, &names));
    }
    let projection: Vec<SelectItem> = names
        .iter()
        .zip(&kinds)
        .map(|(name, kind)| match kind {
            Some(kind) => item(cast(column(name), kind.clone()), name),
            None => item(column(name), name),
        })
        .collect();
    derived(projection, unnest(alias_of("luma_rows", &names)), alias_of(&table_name, &[]))
}

/// `json_to_recordset(x) AS t(a int, b text)`: members of each element as columns.
fn record(name: &str, mut arguments: Vec<Expr>, alias: Option<TableAlias>) -> Result<TableFactor> {
    let missing = || {
        Error::new(
            ErrorKind::Syntax,
            "a column definition list is required for functions returning \"record\"",
        )
    };
    let (Some(argument), Some(alias)) = (arguments.pop(), alias) else { return Err(missing()) };
    if alias.columns.is_empty() {
        return Err(missing());
    }
    let array = if name.ends_with("set") {
        call("luma_json_items", vec![argument])
    } else {
        call("luma_json_items", vec![call("jsonb_build_array", vec![cast(argument, ast::DataType::JSONB)])])
    };
    let element = cast(column("element"), ast::DataType::JSONB);
    let projection = alias
        .columns
        .iter()
        .map(|definition| {
            let name = identifier(&definition.name);
            let value = Expr::BinaryOp {
                left: Box::new(element.clone()),
                op: ast::BinaryOperator::LongArrow,
                right: Box::new(super::expression::text(name.clone())),
            };
            let kind = definition.data_type.clone().ok_or_else(missing)?;
            let value = Expr::Nested(Box::new(value));
            let value = match kind {
                ast::DataType::Array(_) => call("luma_json_array_text", vec![value]),
                _ => value,
            };
            Ok(item(cast(value, kind), &name))
        })
        .collect::<Result<Vec<_>>>()?;
    let inner = TableFactor::UNNEST {
        alias: Some(alias_of("luma_rows", &["element".to_owned()])),
        array_exprs: vec![array],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    Ok(derived(projection, inner, alias_of(&identifier(&alias.name), &[])))
}
