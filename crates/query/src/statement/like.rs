//! `LIKE table INCLUDING …` among the columns of CREATE TABLE: a column of a name of our own whose type is the
//! table and whose default lists what comes along.

use datafusion::sql::sqlparser::ast::{self, ColumnOption};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The name of such a column.
const NAME: &str = "luma like";
/// What may come along.
const PARTS: [&str; 9] = [
    "COMMENTS",
    "COMPRESSION",
    "CONSTRAINTS",
    "DEFAULTS",
    "GENERATED",
    "IDENTITY",
    "INDEXES",
    "STATISTICS",
    "STORAGE",
];

/// Replaces the LIKE clauses of a CREATE TABLE.
pub(super) fn replace(
    tokens: &[TokenWithSpan],
    places: &[usize],
    words: &[String],
    instead: &mut Vec<(usize, Vec<TokenWithSpan>)>,
) {
    let is = |at: usize, expected: &str| words.get(at).is_some_and(|word| word == expected);
    let Some(open) = words.iter().position(|word| word == "(") else { return };
    let Some(table) = (1..4).find(|at| is(*at, "TABLE")).filter(|table| *table < open) else { return };
    if words[table..open].iter().any(|word| word == "AS") {
        return;
    }
    let mut depth = 0;
    for order in open..words.len() {
        match words[order].as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
        let begins = matches!(words[order].as_str(), "(" | ",") && depth == 1;
        if begins && is(order + 1, "LIKE") {
            clause(tokens, places, words, order + 1, instead);
        }
    }
}

fn clause(
    tokens: &[TokenWithSpan],
    places: &[usize],
    words: &[String],
    like: usize,
    instead: &mut Vec<(usize, Vec<TokenWithSpan>)>,
) {
    let options = |word: &str| matches!(word, "INCLUDING" | "EXCLUDING" | "," | ")");
    let Some(after) = (like + 1..words.len()).find(|at| options(&words[*at])) else { return };
    let mut included: Vec<&str> = Vec::new();
    let mut at = after;
    while let Some(including) = words.get(at).map(String::as_str) {
        let part = words.get(at + 1).map_or("", String::as_str);
        let named: Vec<&str> = PARTS.into_iter().filter(|known| part == "ALL" || part == *known).collect();
        match including {
            "INCLUDING" if !named.is_empty() => included.extend(named),
            "EXCLUDING" if !named.is_empty() => included.retain(|part| !named.contains(part)),
            _ => break,
        }
        at += 2;
    }
    let spanned = |place: usize, token: Token| TokenWithSpan { token, span: tokens[place].span };
    instead.push((places[like], vec![spanned(places[like], Token::make_word(NAME, Some('"')))]));
    let last = places[after - 1];
    for place in &places[like + 1..after] {
        let mut name = vec![tokens[*place].clone()];
        if let Token::Word(word) = &tokens[*place].token
            && word.quote_style.is_none()
        {
            // Quoted, no name is that of a type.
            name = vec![spanned(*place, Token::make_word(&word.value.to_lowercase(), Some('"')))];
        }
        if *place == last {
            name.push(spanned(last, Token::make_keyword("DEFAULT")));
            name.push(spanned(last, Token::SingleQuotedString(included.join(","))));
        }
        instead.push((*place, name));
    }
    instead.extend(places[after..at].iter().map(|at| (*at, Vec::new())));
}

/// The table that a column stands for, and what comes along of it.
pub(crate) fn source(column: &ast::ColumnDef) -> Option<(&ast::ObjectName, Vec<&str>)> {
    let ast::DataType::Custom(table, _) = &column.data_type else { return None };
    let included = column.options.iter().find_map(|option| match &option.option {
        ColumnOption::Default(ast::Expr::Value(value)) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text.split(',').collect()),
            _ => None,
        },
        _ => None,
    });
    (column.name.value == NAME).then_some((table, included?))
}
