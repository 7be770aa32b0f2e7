//! `WITH (name = …, f(a) = …) …`: templates are put in as tokens before the query is parsed.
//!
//! What is put in stands in parentheses, unless it is one token, or stands within braces: then its own braces go. A template
//! may use those before it and, but for itself, those around it.

use std::collections::HashMap;

use crate::parser::Fault;
use crate::parser::lexer::{Kind, TOKENS_MAX, Token};

/// How deeply templates may use others.
const DEPTH_MAX: usize = 50;

#[derive(Debug, Clone)]
struct Template {
    parameters: Vec<String>,
    /// All templates of its own put in, but for its parameters.
    body: Vec<Token>,
}

type Templates = HashMap<String, Template>;

/// Templates that are always there: how much of a resource is used, and how many seconds are left until it is all.
const ALWAYS: &str = "\
    ru(freev, maxv) = clamp_min(maxv - clamp_min(freev, 0), 0) / clamp_min(maxv, 0) * 100, \
    ttf(freev) = smooth_exponential(clamp_max(clamp_max(-freev, 0) / clamp_max(deriv_fast(freev), 0), \
    365*24*3600), clamp_max(step()/300, 1))";

/// The tokens of a query without templates.
pub(crate) fn without_templates(tokens: &[Token]) -> Result<Vec<Token>, Fault> {
    let always = definitions(&super::lexer::tokens(ALWAYS)?, &Templates::new(), 0)?;
    expanded(tokens, &always, 0)
}

fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token.map(|token| &token.kind), Some(Kind::Word(own)) if own.eq_ignore_ascii_case(word))
}

fn is_sign(token: Option<&Token>, sign: &str) -> bool {
    token.is_some_and(|token| token.is(sign))
}

fn expanded(tokens: &[Token], outer: &Templates, depth: usize) -> Result<Vec<Token>, Fault> {
    let at = |token: Option<&Token>| token.map_or(0, |token| token.at);
    if depth > DEPTH_MAX {
        return Err(Fault::new(at(tokens.first()), "templates use each other too deeply"));
    }
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let (mut next, mut braces) = (0, 0usize);
    while let Some(token) = tokens.get(next) {
        if out.len() > TOKENS_MAX {
            return Err(Fault::new(token.at, "templates make the query too long"));
        }
        if is_word(Some(token), "with") && is_sign(tokens.get(next + 1), "(") && braces == 0 {
            let end = closing(tokens, next + 1)?;
            let templates = definitions(tokens.get(next + 2..end).unwrap_or_default(), outer, depth)?;
            // What is behind belongs to it up to the end of what it stands in.
            let rest = end_of_group(tokens, end + 1);
            let inner = expanded(tokens.get(end + 1..rest).unwrap_or_default(), &templates, depth + 1)?;
            out.extend(in_parens(inner));
            next = rest;
            continue;
        }
        match &token.kind {
            Kind::Sign("{") => braces += 1,
            Kind::Sign("}") => braces = braces.saturating_sub(1),
            _ => {}
        }
        // The name of a label is no template.
        let is_label = braces > 0
            && tokens.get(next + 1).is_some_and(|next| ["=", "!=", "=~", "!~"].iter().any(|op| next.is(op)));
        let template = match &token.kind {
            Kind::Word(word) if !is_label => outer.get(word),
            _ => None,
        };
        // With parameters it is one only where it is called.
        let is_called = is_sign(tokens.get(next + 1), "(");
        let Some(template) = template.filter(|template| template.parameters.is_empty() || is_called) else {
            out.push(token.clone());
            next += 1;
            continue;
        };
        next += 1;
        let mut body = template.body.clone();
        if !template.parameters.is_empty() {
            let end = closing(tokens, next)?;
            let args = split(tokens.get(next + 1..end).unwrap_or_default());
            if args.len() != template.parameters.len() {
                let (given, wanted) = (args.len(), template.parameters.len());
                return Err(Fault::new(
                    token.at,
                    format!("the template has {wanted} parameters, got {given}"),
                ));
            }
            let mut bound = Templates::new();
            for (name, arg) in template.parameters.iter().zip(args) {
                let body = expanded(arg, outer, depth + 1)?;
                bound.insert(name.clone(), Template { parameters: Vec::new(), body });
            }
            body = expanded(&body, &bound, depth + 1)?;
            next = end + 1;
        }
        put_in(body, braces > 0, is_sign(tokens.get(next), "{"), &mut next, &mut out);
    }
    Ok(out)
}

/// Puts a body where a template's name stood.
fn put_in(body: Vec<Token>, in_braces: bool, filters_follow: bool, next: &mut usize, out: &mut Vec<Token>) {
    if in_braces && is_sign(body.first(), "{") {
        out.extend(body.into_iter().skip(1));
        out.pop();
    } else if filters_follow && is_sign(body.last(), "}") {
        let at = body.last().map_or(0, |token| token.at);
        let is_empty = body.len() >= 2 && is_sign(body.get(body.len() - 2), "{");
        out.extend(body);
        out.pop();
        if !is_empty {
            out.push(Token { kind: Kind::Sign(","), at });
        }
        *next += 1;
    } else {
        out.extend(in_parens(body));
    }
}

/// Several tokens in parentheses.
fn in_parens(body: Vec<Token>) -> Vec<Token> {
    if body.len() <= 1 {
        return body;
    }
    let at = body.first().map_or(0, |token| token.at);
    let sign = |sign| Token { kind: Kind::Sign(sign), at };
    [vec![sign("(")], body, vec![sign(")")]].concat()
}

/// The templates that definitions add to others.
fn definitions(tokens: &[Token], outer: &Templates, depth: usize) -> Result<Templates, Fault> {
    let mut templates = outer.clone();
    for definition in split(tokens) {
        let Some(Token { kind: Kind::Word(name), at }) = definition.first() else {
            return Err(Fault::new(
                definition.first().map_or(0, |token| token.at),
                "expected a template's name",
            ));
        };
        let mut next = 1;
        let mut parameters = Vec::new();
        if is_sign(definition.get(next), "(") {
            let end = closing(definition, next)?;
            for parameter in split(definition.get(next + 1..end).unwrap_or_default()) {
                match parameter {
                    [Token { kind: Kind::Word(name), .. }] => parameters.push(name.clone()),
                    _ => return Err(Fault::new(*at, format!("a parameter of {name} is no name"))),
                }
            }
            next = end + 1;
        }
        if !is_sign(definition.get(next), "=") {
            return Err(Fault::new(*at, format!("expected = behind {name}")));
        }
        let body = definition.get(next + 1..).unwrap_or_default();
        let mut visible = templates.clone();
        for parameter in &parameters {
            visible.remove(parameter);
        }
        let body = expanded(body, &visible, depth + 1)?;
        templates.insert(name.clone(), Template { parameters, body });
    }
    Ok(templates)
}

/// Where what is opened at a place is closed.
fn closing(tokens: &[Token], open: usize) -> Result<usize, Fault> {
    let end = end_of_group(tokens, open + 1);
    if end < tokens.len() {
        Ok(end)
    } else {
        Err(Fault::new(tokens.get(open).map_or(0, |t| t.at), "unclosed"))
    }
}

/// The first token from a place on that closes what was opened before, or the end.
fn end_of_group(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match &token.kind {
            Kind::Sign("(" | "[" | "{") => depth += 1,
            Kind::Sign(")" | "]" | "}") if depth == 0 => return at,
            Kind::Sign(")" | "]" | "}") => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The parts between commas that stand in nothing.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut depth, mut start, mut parts) = (0usize, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match &token.kind {
            Kind::Sign("(" | "[" | "{") => depth += 1,
            Kind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            Kind::Sign(",") if depth == 0 => {
                parts.extend(tokens.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(tokens.get(start..).filter(|part| !part.is_empty()));
    parts
}
