//! From text to syntax tree.

mod lexer;
mod templates;

use luma_promql::{MatchOp, Matcher};

use crate::ast::{Aggregate, Binary, Call, Expr, Grouping, Join, Length, Op, Rollup};
use crate::eval::{is_aggregate, is_rollup, is_transform};
use lexer::{Kind, Token};

/// How deeply expressions may nest.
const DEPTH_MAX: usize = 100;

/// What is wrong with a query, and at which byte.
#[derive(Debug)]
pub(crate) struct Fault {
    pub at: usize,
    pub what: String,
}

impl Fault {
    pub fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

type Parsed<T> = Result<T, Fault>;

/// Reads a query.
pub(crate) fn parse(text: &str) -> Parsed<Expr> {
    let tokens = templates::without_templates(&lexer::tokens(text)?)?;
    let mut parser = Parser { tokens, next: 0, depth: 0, end: text.len() };
    if parser.peek().is_none() {
        return Err(Fault::new(0, "no expression found in input"));
    }
    let expr = parser.expression(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(unexpected(token)),
    }
}

fn unexpected(token: &Token) -> Fault {
    let what = match &token.kind {
        Kind::Word(word) => format!("unexpected {word:?}"),
        Kind::Number(number) => format!("unexpected number {number}"),
        Kind::Duration(_) => "unexpected duration".to_owned(),
        Kind::Text(text) => format!("unexpected text {text:?}"),
        Kind::Sign(sign) => format!("unexpected {sign:?}"),
    };
    Fault::new(token.at, what)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// Where the query ends.
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Parsed<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token.ok_or_else(|| Fault::new(self.end, "unexpected end of input"))
    }

    fn is(&self, sign: &str) -> bool {
        self.peek().is_some_and(|token| token.is(sign))
    }

    fn eat(&mut self, sign: &str) -> bool {
        let there = self.is(sign);
        self.next += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &'static str) -> Parsed<()> {
        if self.eat(sign) {
            return Ok(());
        }
        let fault = self.peek().map_or_else(|| Fault::new(self.end, "unexpected end of input"), unexpected);
        Err(Fault { what: format!("{}, expected {sign:?}", fault.what), ..fault })
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek().map(|token| &token.kind), Some(Kind::Word(own)) if own.eq_ignore_ascii_case(word))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        self.next += usize::from(there);
        there
    }

    fn expression(&mut self, least: u8) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let at = self.peek().map_or(self.end, |token| token.at);
            return Err(Fault::new(at, format!("expression nests deeper than {DEPTH_MAX} levels; split it")));
        }
        let mut left = self.operand()?;
        while let Some(op) = self.operator().filter(|op| op.precedence() >= least) {
            self.next += 1;
            left = self.binary(op, left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<Op> {
        match &self.peek()?.kind {
            Kind::Word(word) => Op::named(&word.to_ascii_lowercase()),
            Kind::Sign(sign) => Op::named(sign),
            _ => None,
        }
    }

    fn binary(&mut self, op: Op, left: Expr) -> Parsed<Expr> {
        let at = self.peek().map_or(self.end, |token| token.at);
        let as_bool = self.eat_word("bool");
        if as_bool && !op.is_comparison() {
            return Err(Fault::new(at, "bool modifier can only be used on comparison operators"));
        }
        let matching = match (self.is_word("on"), self.is_word("ignoring")) {
            (false, false) => None,
            (on, _) => {
                self.next += 1;
                Some((on, self.names()?))
            }
        };
        let join = match (self.is_word("group_left"), self.is_word("group_right")) {
            (true, _) => Join::Left,
            (_, true) => Join::Right,
            _ => Join::One,
        };
        let mut include = Vec::new();
        if join != Join::One {
            self.next += 1;
            if self.is("(") {
                include = self.names()?;
            }
        }
        let least = op.precedence() + u8::from(op != Op::Pow);
        let right = self.expression(least)?;
        if let (Op::Add, Expr::Text(left), Expr::Text(right)) = (op, &left, &right) {
            return Ok(Expr::Text(format!("{left}{right}")));
        }
        let keep_names = self.eat_word("keep_metric_names");
        // Of a comparison with a number or with the time the other side is what is given.
        let is_number = match &left {
            Expr::Number(_) => true,
            Expr::Call(call) => call.name == "time",
            _ => false,
        };
        let (op, left, right) = match right {
            Expr::Number(_) => (op, left, right),
            _ if is_number && op.is_comparison() => (op.turned(), right, left),
            _ => (op, left, right),
        };
        Ok(Expr::Binary(Box::new(Binary { op, left, right, as_bool, matching, join, include, keep_names })))
    }

    /// An operand with what stands behind it.
    fn operand(&mut self) -> Parsed<Expr> {
        if self.eat("-") {
            let right = self.nested_operand()?;
            if let Expr::Number(value) = right {
                return Ok(Expr::Number(-value));
            }
            return Ok(Expr::Binary(Box::new(Binary {
                op: Op::Sub,
                left: Expr::Number(0.0),
                right,
                as_bool: false,
                matching: None,
                join: Join::One,
                include: Vec::new(),
                keep_names: false,
            })));
        }
        if self.eat("+") {
            return self.nested_operand();
        }
        let expr = self.primary()?;
        self.rolled_up(expr)
    }

    fn nested_operand(&mut self) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let at = self.peek().map_or(self.end, |token| token.at);
            return Err(Fault::new(at, format!("expression nests deeper than {DEPTH_MAX} levels; split it")));
        }
        let operand = self.operand();
        self.depth -= 1;
        operand
    }

    fn primary(&mut self) -> Parsed<Expr> {
        if self.is("{") {
            return self.selector(None);
        }
        let token = self.take()?;
        match token.kind {
            Kind::Number(value) => Ok(Expr::Number(value)),
            Kind::Duration(length) => Ok(Expr::Duration(length)),
            Kind::Text(text) => Ok(Expr::Text(text)),
            Kind::Sign("(") => {
                let mut exprs = self.list()?;
                let keep_names = self.eat_word("keep_metric_names");
                if exprs.len() != 1 {
                    return Ok(Expr::Union(exprs));
                }
                let mut expr = exprs.remove(0);
                match &mut expr {
                    Expr::Binary(binary) => binary.keep_names |= keep_names,
                    Expr::Call(call) => call.keep_names |= keep_names,
                    _ => {}
                }
                Ok(expr)
            }
            Kind::Word(ref word) => {
                let lower = word.to_ascii_lowercase();
                let called = self.is("(");
                let grouped = self.is_word("by") || self.is_word("without");
                if is_aggregate(&lower) && (called || grouped) {
                    return self.aggregate(lower);
                }
                if called {
                    return self.call(lower, token.at);
                }
                if !self.is("{") && matches!(lower.as_str(), "inf" | "nan") {
                    return Ok(Expr::Number(if lower == "inf" { f64::INFINITY } else { f64::NAN }));
                }
                let word = word.clone();
                self.selector(Some(word))
            }
            Kind::Sign(_) => Err(unexpected(&token)),
        }
    }

    /// The expressions up to a closing parenthesis.
    fn list(&mut self) -> Parsed<Vec<Expr>> {
        let mut exprs = Vec::new();
        while !self.eat(")") {
            exprs.push(self.expression(0)?);
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(exprs)
    }

    fn call(&mut self, name: String, at: usize) -> Parsed<Expr> {
        self.expect("(")?;
        let args = self.list()?;
        if name != "union" && !is_rollup(&name) && !is_transform(&name) {
            return Err(Fault::new(at, format!("unknown function with name {name:?}")));
        }
        let keep_names = self.eat_word("keep_metric_names");
        if name == "union" {
            return Ok(Expr::Union(args));
        }
        Ok(Expr::Call(Box::new(Call { name, args, keep_names })))
    }

    fn aggregate(&mut self, name: String) -> Parsed<Expr> {
        let before = self.grouping()?;
        self.expect("(")?;
        let args = self.list()?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        let mut limit = 0;
        if self.eat_word("limit") {
            let token = self.take()?;
            match token.kind {
                Kind::Number(value) if value >= 0.0 => limit = value as usize,
                _ => return Err(unexpected(&token)),
            }
        }
        Ok(Expr::Aggregate(Box::new(Aggregate { name, args, grouping, limit })))
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(Grouping { without, labels: self.names()? }))
    }

    /// Names in parentheses.
    fn names(&mut self) -> Parsed<Vec<String>> {
        self.expect("(")?;
        let mut names = Vec::new();
        while !self.eat(")") {
            let token = self.take()?;
            match token.kind {
                Kind::Word(name) | Kind::Text(name) => names.push(name),
                _ => return Err(unexpected(&token)),
            }
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(names)
    }

    fn selector(&mut self, name: Option<String>) -> Parsed<Expr> {
        let of_name = |name: &str| Matcher::equal(luma_promql::METRIC_NAME, name);
        let named = || name.as_deref().map(of_name).into_iter().collect::<Vec<_>>();
        let mut lists = vec![named()];
        if self.eat("{") {
            while !self.eat("}") {
                if self.eat_word("or") {
                    lists.push(named());
                    continue;
                }
                let matcher = self.matcher()?;
                lists.last_mut().into_iter().for_each(|list| list.push(matcher.clone()));
                if !self.eat(",") && !self.is("}") && !self.is_word("or") {
                    self.expect("}")?;
                }
            }
        }
        Ok(Expr::Selector(lists))
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let token = self.take()?;
        let name = match token.kind {
            Kind::Word(ref name) | Kind::Text(ref name) => name.clone(),
            _ => return Err(unexpected(&token)),
        };
        let op = match self.peek().map(|token| &token.kind) {
            Some(Kind::Sign("=")) => MatchOp::Equal,
            Some(Kind::Sign("!=")) => MatchOp::NotEqual,
            Some(Kind::Sign("=~")) => MatchOp::Regex,
            Some(Kind::Sign("!~")) => MatchOp::NotRegex,
            _ if matches!(token.kind, Kind::Text(_)) => {
                return Ok(Matcher::equal(luma_promql::METRIC_NAME, &name));
            }
            _ => return Err(Fault::new(token.at, format!("expected an operator behind the label {name:?}"))),
        };
        self.next += 1;
        let at = self.peek().map_or(self.end, |token| token.at);
        match self.expression(Op::Add.precedence())? {
            Expr::Text(value) => Matcher::new(op, &name, &value).map_err(|what| Fault::new(at, what)),
            _ => Err(Fault::new(at, format!("the value of the label {name:?} is no text"))),
        }
    }

    /// `[window:step]`, `offset` and `@` behind an expression.
    fn rolled_up(&mut self, expr: Expr) -> Parsed<Expr> {
        let mut rollup = Rollup::of(expr);
        let mut any = false;
        if self.eat("[") {
            any = true;
            if !self.is(":") {
                rollup.window = Some(self.length()?);
            }
            if self.eat(":") {
                rollup.is_subquery = true;
                if !self.is("]") {
                    rollup.step = Some(self.length()?);
                }
            }
            self.expect("]")?;
        }
        loop {
            let at = self.peek().map_or(self.end, |token| token.at);
            if self.eat_word("offset") {
                if rollup.offset.is_some() {
                    return Err(Fault::new(at, "offset may not be set multiple times"));
                }
                rollup.offset = Some(self.length()?);
            } else if self.eat("@") {
                if rollup.at.is_some() {
                    return Err(Fault::new(at, "@ may not be set multiple times"));
                }
                rollup.at = Some(self.primary()?);
            } else {
                break;
            }
            any = true;
        }
        Ok(if any { Expr::Rollup(Box::new(rollup)) } else { rollup.expr })
    }

    fn length(&mut self) -> Parsed<Length> {
        let negative = self.eat("-");
        let token = self.take()?;
        let length = match token.kind {
            Kind::Duration(length) => length,
            Kind::Number(seconds) => Length { ms: seconds * 1000.0, steps: 0.0 },
            _ => return Err(unexpected(&token)),
        };
        let sign = if negative { -1.0 } else { 1.0 };
        Ok(Length { ms: sign * length.ms, steps: sign * length.steps })
    }
}
