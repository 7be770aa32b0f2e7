//! Statements in one form: what PostgreSQL writes in several ways is brought to the one that the
//! rest of the code knows.
//!
//! - `TABLE t` is `SELECT * FROM t`; `ABORT` is `ROLLBACK`.
//! - `SELECT … INTO t` is `CREATE TABLE t AS SELECT …`.
//! - `WITH … INSERT`, `UPDATE` and `DELETE` are these statements with the WITH queries in their
//!   places; WITH queries that change rows are parts that run before.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Query, SetExpr, Statement, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use luma_model::{Error, ErrorKind, Result};

use crate::names::identifier;
use crate::statement::Body;

fn word(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        Token::LParen => "(".to_owned(),
        Token::RParen => ")".to_owned(),
        Token::Comma => ",".to_owned(),
        _ => String::new(),
    }
}

/// What the query of CREATE TABLE … AS … WITH NO DATA is called inside of the one that gives no rows of it.
pub(crate) const WITHOUT_DATA: &str = "luma_query";

/// Where the query of a CREATE TABLE … AS begins.
fn created_as(words: &[String]) -> Option<usize> {
    let is = |at: usize, expected: &str| words.get(at).is_some_and(|word| word == expected);
    let table = (1..4).find(|at| is(*at, "TABLE"))?;
    let mut depth = 0;
    let opens = |at: usize| is(at, "SELECT") || is(at, "WITH") || is(at, "VALUES");
    for (at, word) in words.iter().enumerate().skip(table) {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "AS" if depth == 0 => {
                return (is(0, "CREATE") && (opens(at + 1) || is(at + 1, "("))).then_some(at + 1);
            }
            _ => {}
        }
    }
    None
}

/// CREATE TABLE … AS query WITH DATA is without these words; WITH NO DATA takes no row of the query.
fn data_clause(
    places: &[usize],
    words: &[String],
    query: usize,
    keyword: impl Fn(usize, &str) -> TokenWithSpan,
    instead: &mut Vec<(usize, Vec<TokenWithSpan>)>,
) {
    let ends = |tail: &[&str]| words.len() > tail.len() && words[words.len() - tail.len()..].iter().eq(tail);
    let dropped = if ends(&["WITH", "NO", "DATA"]) {
        3
    } else if ends(&["WITH", "DATA"]) {
        2
    } else {
        return;
    };
    let first = words.len() - dropped;
    instead.extend(places[first..].iter().map(|at| (*at, Vec::new())));
    if dropped == 3 {
        let at = places[query];
        let around = |token: Token| TokenWithSpan { token, span: keyword(at, "SELECT").span };
        let before = vec![
            keyword(at, "SELECT"),
            around(Token::Mul),
            keyword(at, "FROM"),
            around(Token::LParen),
            keyword(at, &words[query]),
        ];
        let opened = if words[query] == "(" {
            before[..4].iter().cloned().chain([around(Token::LParen)]).collect()
        } else {
            before
        };
        instead.push((at, opened));
        let after = [Token::RParen, Token::make_word(WITHOUT_DATA, None)].map(around);
        let none = [keyword(at, "WHERE"), keyword(at, "FALSE")];
        if let Some((_, end)) = instead.iter_mut().find(|(place, _)| *place == places[first]) {
            *end = after.into_iter().chain(none).collect();
        }
    }
}

/// Options of a view that are only named are true.
fn view_options(
    places: &[usize],
    words: &[String],
    keyword: impl Fn(usize, &str) -> TokenWithSpan,
    instead: &mut Vec<(usize, Vec<TokenWithSpan>)>,
) {
    let Some(with) = words.iter().position(|word| matches!(word.as_str(), "WITH" | "AS")) else { return };
    if words[with] == "AS" || words.get(with + 1).is_none_or(|word| word != "(") {
        return;
    }
    for at in with + 2..words.len() {
        let (before, after) = (words[at - 1].as_str(), words.get(at + 1).map_or("", String::as_str));
        if matches!(before, "(" | ",") && matches!(after, ")" | ",") {
            let sign = TokenWithSpan { token: Token::Eq, span: keyword(places[at], "AS").span };
            let name =
                TokenWithSpan { token: Token::make_word(&words[at].to_lowercase(), None), span: sign.span };
            instead.push((places[at], vec![name, sign, keyword(places[at], "TRUE")]));
        }
        if words[at] == ")" {
            break;
        }
    }
}

/// `WITH [LOCAL | CASCADED] CHECK OPTION` behind a view's query as the option that it is short for.
fn check_option(
    places: &[usize],
    words: &[String],
    keyword: impl Fn(usize, &str) -> TokenWithSpan,
    instead: &mut Vec<(usize, Vec<TokenWithSpan>)>,
) {
    let Some(with) = words.iter().rposition(|word| word == "WITH") else { return };
    let (option, length) = match words.get(with + 1..).unwrap_or_default() {
        [check, option] if check == "CHECK" && option == "OPTION" => ("CASCADED", 3),
        [which, check, option] if check == "CHECK" && option == "OPTION" => match which.as_str() {
            which @ ("LOCAL" | "CASCADED") => (which, 4),
            _ => return,
        },
        _ => return,
    };
    let mut depth = 0;
    let query = words.iter().position(|word| {
        depth += i32::from(word == "(") - i32::from(word == ")");
        depth == 0 && word == "AS"
    });
    let Some(query) = query.filter(|query| *query < with) else { return };
    let at = places[query];
    let span = keyword(at, "AS").span;
    let sign = |token| TokenWithSpan { token, span };
    let named = [
        sign(Token::make_word("check_option", None)),
        sign(Token::Eq),
        sign(Token::make_word(option, None)),
        sign(Token::RParen),
        keyword(at, "AS"),
    ];
    // A list of options that is there already ends before AS.
    let listed = words.iter().take(query).any(|word| word == "WITH") && words[query - 1] == ")";
    let begin = if listed {
        instead.push((places[query - 1], Vec::new()));
        vec![sign(Token::Comma)]
    } else {
        vec![keyword(at, "WITH"), sign(Token::LParen)]
    };
    instead.push((at, begin.into_iter().chain(named).collect()));
    instead.extend(places[with..with + length].iter().map(|at| (*at, Vec::new())));
}

/// The tokens with what sqlparser does not know spelled as it does.
pub(super) fn tokens(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let places: Vec<usize> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .map(|(at, _)| at)
        .collect();
    let words: Vec<String> = places.iter().map(|at| word(&tokens[*at])).collect();
    let is = |at: usize, expected: &str| words.get(at).is_some_and(|word| word == expected);
    // Replaced tokens keep their place in the text, so that errors point there.
    let keyword = |at: usize, keyword: &str| TokenWithSpan {
        token: if keyword == "*" { Token::Mul } else { Token::make_keyword(keyword) },
        span: tokens[at].span,
    };
    let mut instead: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
    if is(0, "TABLE") {
        let at = places[0];
        instead.push((at, vec![keyword(at, "SELECT"), keyword(at, "*"), keyword(at, "FROM")]));
    }
    if is(0, "MERGE") {
        super::merge::replace(&tokens, &places, &words, &mut instead);
    }
    if is(0, "CREATE") {
        super::like::replace(&tokens, &places, &words, &mut instead);
    }
    if is(0, "CREATE") && words.iter().take(4).any(|word| word == "VIEW") {
        view_options(&places, &words, keyword, &mut instead);
        check_option(&places, &words, keyword, &mut instead);
    }
    if let Some(query) = created_as(&words) {
        data_clause(&places, &words, query, keyword, &mut instead);
    }
    // What a materialized view lets itself be done, a table does, too.
    if is(0, "ALTER") && is(1, "MATERIALIZED") && is(2, "VIEW") {
        instead.push((places[1], vec![keyword(places[1], "TABLE")]));
        instead.push((places[2], Vec::new()));
    }
    // A view's names are changed as a table's are, and an index' name.
    if is(0, "ALTER") && (is(1, "VIEW") || is(1, "INDEX")) && words.iter().any(|word| word == "RENAME") {
        instead.push((places[1], vec![keyword(places[1], "TABLE")]));
    }
    if is(0, "ABORT") {
        instead.push((places[0], vec![keyword(places[0], "ROLLBACK")]));
    }
    for (order, at) in places.iter().enumerate() {
        let previous =
            |back: usize| order.checked_sub(back).and_then(|at| words.get(at)).map_or("", String::as_str);
        match words[order].as_str() {
            // No table has others below it.
            "ONLY" if matches!(previous(1), "FROM" | "JOIN" | "UPDATE") => instead.push((*at, Vec::new())),
            // Tables of this database are always logged.
            "UNLOGGED" if order == 1 && is(0, "CREATE") => instead.push((*at, Vec::new())),
            "INCREMENT" if !is(order + 1, "BY") && words.iter().any(|word| word == "IDENTITY") => {
                instead.push((*at, vec![keyword(*at, "INCREMENT"), keyword(*at, "BY")]));
            }
            // TRIM(TRAILING FROM x) is RTRIM(x).
            "TRIM" if is(order + 3, "FROM") => {
                let name = match words.get(order + 2).map(String::as_str) {
                    Some("BOTH") => "BTRIM",
                    Some("LEADING") => "LTRIM",
                    Some("TRAILING") => "RTRIM",
                    _ => continue,
                };
                instead.push((*at, vec![keyword(*at, name)]));
                instead.push((places[order + 2], Vec::new()));
                instead.push((places[order + 3], Vec::new()));
            }
            // A serializable transaction that only reads never waits; there is nothing to defer.
            "DEFERRABLE" if is(0, "BEGIN") || is(0, "START") || (is(0, "SET") && is(1, "TRANSACTION")) => {
                instead.push((*at, Vec::new()));
                let negated = usize::from(previous(1) == "NOT");
                if negated == 1 {
                    instead.push((places[order - 1], Vec::new()));
                }
                if previous(1 + negated) == "," {
                    instead.push((places[order - 1 - negated], Vec::new()));
                }
            }
            "OVERRIDING" if !is(0, "MERGE") => {
                super::overriding::replace(&tokens, &places, &words, order, &mut instead);
            }
            // FOR NO KEY UPDATE, FOR KEY SHARE: rows are locked as a whole.
            "NO" if previous(1) == "FOR" && is(order + 1, "KEY") => instead.push((*at, Vec::new())),
            "KEY" if previous(1) == "FOR" && is(order + 1, "SHARE") => instead.push((*at, Vec::new())),
            "KEY" if previous(1) == "NO" && previous(2) == "FOR" => instead.push((*at, Vec::new())),
            "(" if previous(1) == "CONFLICT" && previous(2) == "ON" => {
                if let Some((stands, end)) = super::conflict::replaced(&tokens, &places, &words, order) {
                    instead.push((*at, stands));
                    instead.extend(places[order + 1..end].iter().map(|at| (*at, Vec::new())));
                }
            }
            // LIMIT may come after the locking clause.
            "LIMIT" | "OFFSET" | "FETCH" => {
                if let Some(start) = locking_clause_before(&words, order) {
                    let end = limit_end(&words, order);
                    if instead.iter().any(|(place, _)| *place == places[start]) {
                        continue;
                    }
                    let moved = |range: std::ops::Range<usize>| {
                        range.filter_map(|order| places.get(order)).map(|at| tokens[*at].clone())
                    };
                    let both = moved(order..end).chain(moved(start..order)).collect();
                    instead.push((places[start], both));
                    instead.extend(places[start + 1..end].iter().map(|at| (*at, Vec::new())));
                }
            }
            _ => {}
        }
    }
    if instead.is_empty() {
        return tokens;
    }
    let mut rewritten = Vec::with_capacity(tokens.len() + 4);
    for (at, token) in tokens.iter().enumerate() {
        match instead.iter().find(|(place, _)| *place == at) {
            Some((_, other)) => rewritten.extend(other.iter().cloned()),
            None => rewritten.push(token.clone()),
        }
    }
    rewritten
}

/// Where the locking clause begins that ends before the word at `order`.
fn locking_clause_before(words: &[String], order: usize) -> Option<usize> {
    let start = words[..order].iter().rposition(|word| word == "FOR")?;
    let lock =
        words.get(start + 1).is_some_and(|word| matches!(word.as_str(), "UPDATE" | "SHARE" | "NO" | "KEY"));
    // A parenthesis ends the query; what stands between are names, commas and words of the clause.
    let whole = words[start..order].iter().all(|word| !matches!(word.as_str(), "(" | ")" | ";" | "SELECT"));
    (lock && whole).then_some(start)
}

/// Where the LIMIT, OFFSET or FETCH at `order`, and those after it, end.
fn limit_end(words: &[String], order: usize) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(order) {
        match word.as_str() {
            "(" => depth += 1,
            ")" if depth == 0 => return at,
            ")" => depth -= 1,
            "FOR" | "UNION" | "RETURNING" | ";" if depth == 0 => return at,
            _ => {}
        }
    }
    words.len()
}

/// A statement whose WITH queries change rows, or which locks rows inside of it.
#[derive(Clone, Debug)]
pub(crate) struct With {
    pub(crate) parts: Vec<Part>,
    pub(crate) main: Box<Statement>,
}

/// One of these WITH queries.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// New names for its columns.
    pub(crate) columns: Vec<String>,
    pub(crate) statement: Box<Statement>,
}

/// The INSERT, UPDATE or DELETE that stands in the place of a query.
fn changing(query: &Query) -> Option<&Statement> {
    match query.body.as_ref() {
        SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => Some(inner),
        _ => None,
    }
}

/// A statement in its plain form. What locks rows inside of it runs before it, as a part of its own.
pub(super) fn statement(mut statement: Statement) -> Result<Body> {
    let locking = take_locking(&mut statement);
    let body = without_locking(statement)?;
    if locking.is_empty() {
        return Ok(body);
    }
    Ok(Body::With(match body {
        Body::With(mut with) => {
            with.parts.splice(0..0, locking);
            with
        }
        Body::Sql(main) => With { parts: locking, main },
        other => return Ok(other),
    }))
}

/// Takes the queries with locking clauses out of a statement, apart from the statement itself; each leaves
/// a name behind.
fn take_locking(statement: &mut Statement) -> Vec<Part> {
    struct Taker {
        depth: usize,
        own: usize,
        parts: Vec<Part>,
    }
    impl VisitorMut for Taker {
        type Break = ();

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            if self.depth >= self.own && !query.locks.is_empty() {
                let name = format!("luma_locked_{}", self.parts.len());
                let rows = crate::execute::select_query(
                    vec![ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default())],
                    vec![crate::execute::table_named(&name)],
                    None,
                );
                let locking = std::mem::replace(query, rows);
                let statement = Box::new(Statement::Query(Box::new(locking)));
                self.parts.push(Part { name, columns: Vec::new(), statement });
            }
            ControlFlow::Continue(())
        }
    }
    if matches!(statement, Statement::Explain { .. }) {
        return Vec::new();
    }
    let own = usize::from(matches!(statement, Statement::Query(_) | Statement::Declare { .. }));
    let mut taker = Taker { depth: 0, own, parts: Vec::new() };
    let _ = statement.visit(&mut taker);
    taker.parts
}

fn without_locking(statement: Statement) -> Result<Body> {
    let plain = |statement| Ok(Body::Sql(Box::new(statement)));
    let Statement::Query(mut query) = statement else { return plain(statement) };
    if let Some(created) = created_by_select(&mut query) {
        return plain(created);
    }
    if !changes(&query) {
        return plain(Statement::Query(query));
    }
    let Some(with) = query.with.clone() else { return plain(Statement::Query(query)) };
    let mut main = changing(&query).cloned();
    if let (Some(Statement::Insert(insert)), true) = (&mut main, with.recursive)
        && !with.cte_tables.iter().any(|table| changes(&table.query))
    {
        if let Some(source) = &mut insert.source {
            source.with = Some(with);
        }
        return Ok(Body::Sql(Box::new(Statement::Insert(insert.clone()))));
    }
    let mut known: Vec<(String, Query, Option<TableAlias>)> = Vec::new();
    let mut parts = Vec::new();
    for table in &with.cte_tables {
        let name = identifier(&table.alias.name);
        let mut body = table.query.as_ref().clone();
        inline(&mut body, &known);
        let Some(change) = changing(&body) else {
            if changes(&body) {
                return Err(Error::new(
                    ErrorKind::FeatureNotSupported,
                    "WITH clause containing a data-modifying statement must be at the top level",
                ));
            }
            known.push((name, body, Some(table.alias.clone())));
            continue;
        };
        let columns = table.alias.columns.iter().map(|column| identifier(&column.name)).collect();
        parts.push(Part { name, columns, statement: Box::new(change.clone()) });
    }
    let main = match main {
        Some(mut main) => {
            inline(&mut main, &known);
            main
        }
        None => {
            if let Some(with) = &mut query.with {
                with.cte_tables.retain(|table| changing(&table.query).is_none());
            }
            query.with.take_if(|with| with.cte_tables.is_empty());
            Statement::Query(query)
        }
    };
    if parts.is_empty() {
        return plain(main);
    }
    Ok(Body::With(With { parts, main: Box::new(main) }))
}

/// Whether a query changes rows.
fn changes(query: &Query) -> bool {
    struct Finder(bool);
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.0 |= matches!(
                query.body.as_ref(),
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
            );
            ControlFlow::Continue(())
        }
    }
    let mut finder = Finder(false);
    let _ = query.visit(&mut finder);
    finder.0
}

/// Puts WITH queries in the places of their names.
fn inline<T: VisitMut>(node: &mut T, known: &[(String, Query, Option<TableAlias>)]) {
    struct Inliner<'a>(&'a [(String, Query, Option<TableAlias>)]);
    impl VisitorMut for Inliner<'_> {
        type Break = ();

        fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            let TableFactor::Table { name, alias, args: None, .. } = factor else {
                return ControlFlow::Continue(());
            };
            let [ast::ObjectNamePart::Identifier(part)] = name.0.as_slice() else {
                return ControlFlow::Continue(());
            };
            let wanted = identifier(part);
            if let Some((_, query, own)) = self.0.iter().rev().find(|(name, _, _)| *name == wanted) {
                let mut alias = alias.clone().or_else(|| own.clone());
                if let (Some(alias), Some(own)) = (&mut alias, own)
                    && alias.columns.is_empty()
                {
                    alias.columns.clone_from(&own.columns);
                }
                *factor = TableFactor::Derived {
                    lateral: false,
                    subquery: Box::new(query.clone()),
                    alias,
                    sample: None,
                };
            }
            ControlFlow::Continue(())
        }
    }
    let _ = node.visit(&mut Inliner(known));
}

/// `SELECT … INTO t` as the table's definition.
fn created_by_select(query: &mut Query) -> Option<Statement> {
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let into = select.into.take()?;
    let name = into.name.clone();
    let text = format!("CREATE TABLE {name} AS {query}");
    let dialect = crate::statement::dialect::Grammar::new();
    let mut parsed = datafusion::sql::sqlparser::parser::Parser::parse_sql(&dialect, &text).ok()?;
    parsed.pop()
}
