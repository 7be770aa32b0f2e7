//! sqlparser's PostgreSQL dialect with one mistake mended: `a IS DISTINCT FROM b AND c` is two conditions,
//! not one that compares with `b AND c`; with COLLATE after any expression, with BETWEEN SYMMETRIC, and with literals of any
//! type, `mood 'sad'`.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// The grammar of all SQL text here.
#[derive(Debug)]
pub(crate) struct Grammar(PostgreSqlDialect);

impl Grammar {
    pub(crate) const fn new() -> Self {
        Self(PostgreSqlDialect {})
    }
}

impl Grammar {
    /// `a BETWEEN SYMMETRIC b AND c`: between the two, whichever is less.
    fn parse_symmetric(&self, parser: &mut Parser<'_>, left: &Expr) -> Option<Result<Expr, ParserError>> {
        let word = |at: usize, expected: &str| match &parser.peek_nth_token_ref(at).token {
            Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected),
            _ => false,
        };
        let negated = word(0, "NOT");
        let at = usize::from(negated);
        if !word(at, "BETWEEN") || !word(at + 1, "SYMMETRIC") {
            return None;
        }
        (0..at + 2).for_each(|_| {
            parser.next_token();
        });
        let bounds = (|| {
            let low = parser.parse_subexpr(self.prec_value(Precedence::Between))?;
            parser.expect_keyword_is(Keyword::AND)?;
            Ok((low, parser.parse_subexpr(self.prec_value(Precedence::Between))?))
        })();
        Some(bounds.map(|(one, other)| {
            let between = |low: &Expr, high: &Expr| {
                let (low, high) = (Box::new(low.clone()), Box::new(high.clone()));
                Box::new(Expr::Between { expr: Box::new(left.clone()), negated, low, high })
            };
            let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
            let (left, right) = (between(&one, &other), between(&other, &one));
            Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
        }))
    }
}

/// What the dialect below says about itself.
macro_rules! as_postgresql {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            self.0.$name()
        })*
    };
}

impl Dialect for Grammar {
    /// Where the parser asks for the dialect by its type, it is PostgreSQL's.
    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }

    /// A name before a string is a type: nothing else stands so where an expression begins.
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        if let (Token::LParen, Token::Word(word), Token::RParen, Token::Period) = (
            &parser.peek_nth_token_ref(0).token,
            &parser.peek_nth_token_ref(1).token,
            &parser.peek_nth_token_ref(2).token,
            &parser.peek_nth_token_ref(3).token,
        ) {
            // `(t).a` is a column of the row t, and there are no other rows than those of FROM.
            let name = word.clone().into_ident(parser.peek_nth_token_ref(1).span);
            (0..3).for_each(|_| {
                parser.next_token();
            });
            return Some(Ok(Expr::Identifier(name)));
        }
        let is_name =
            |token: &Token| matches!(token, Token::Word(word) if word.keyword == Keyword::NoKeyword);
        let mut at = 0;
        while matches!(parser.peek_nth_token_ref(at).token, Token::Word(_))
            && parser.peek_nth_token_ref(at + 1).token == Token::Period
        {
            at += 2;
        }
        if !is_name(&parser.peek_nth_token_ref(at).token)
            || !matches!(parser.peek_nth_token_ref(at + 1).token, Token::SingleQuotedString(_))
        {
            return None;
        }
        let literal = parser.parse_object_name(false).and_then(|name| {
            let expr = Box::new(Expr::Value(parser.parse_value()?));
            let data_type = DataType::Custom(name, Vec::new());
            Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None })
        });
        Some(literal)
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        left: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if parser.parse_keyword(Keyword::COLLATE) {
            let collation = parser.parse_object_name(false);
            return Some(
                collation.map(|collation| Expr::Collate { expr: Box::new(left.clone()), collation }),
            );
        }
        if let Some(between) = self.parse_symmetric(parser, left) {
            return Some(between);
        }
        let same = parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]);
        if !same && !parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            return None;
        }
        let right = parser.parse_subexpr(self.prec_value(Precedence::Is));
        Some(right.map(|right| {
            let (left, right) = (Box::new(left.clone()), Box::new(right));
            if same { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) }
        }))
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.0.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        self.0.is_delimited_identifier_start(character)
    }

    fn is_identifier_start(&self, character: char) -> bool {
        self.0.is_identifier_start(character)
    }

    fn is_identifier_part(&self, character: char) -> bool {
        self.0.is_identifier_part(character)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        self.0.is_reserved_for_identifier(keyword)
    }

    fn is_custom_operator_part(&self, character: char) -> bool {
        self.0.is_custom_operator_part(character)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        self.0.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        self.0.prec_value(precedence)
    }

    as_postgresql! {
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_comment_optimizer_hint,
    }
}
