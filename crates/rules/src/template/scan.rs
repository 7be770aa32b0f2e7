//! Texts and actions of a template, and the words of an action.

/// A part of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Action(Vec<Word>),
}

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A keyword or a function.
    Name(String),
    /// `$x`, without the sign.
    Variable(String),
    /// `.x`, which belongs to what is right before it if there is no space.
    Field {
        name: String,
        joined: bool,
    },
    Dot,
    Text(String),
    Int(i64),
    Float(f64),
    Pipe,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Open,
    Close,
}

/// Cuts a template into its parts.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some(at) = rest.find("{{") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let trims_before = after.strip_prefix('-').is_some_and(|next| next.starts_with(char::is_whitespace));
        let mut before = if trim { before.trim_start() } else { before };
        if trims_before {
            before = before.trim_end();
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let body = if trims_before { &after[1..] } else { after };
        let (words, end) = match body.trim_start().strip_prefix("/*") {
            Some(comment) => {
                let end = comment.find("*/").ok_or("unclosed comment")?;
                let end = body.len() - comment.len() + end + 2;
                (None, end)
            }
            None => {
                let (words, end) = words(body)?;
                (Some(words), end)
            }
        };
        let tail = &body[end..];
        let (tail, trims_after) = match tail.trim_start().strip_prefix("-}}") {
            Some(tail) => (tail, true),
            None => (tail.trim_start().strip_prefix("}}").ok_or("unclosed action")?, false),
        };
        if let Some(words) = words {
            pieces.push(Piece::Action(words));
        }
        (rest, trim) = (tail, trims_after);
    }
    let rest = if trim { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words up to the end of an action, and where that is.
fn words(body: &str) -> Result<(Vec<Word>, usize), String> {
    let mut words = Vec::new();
    let mut rest = body;
    let mut spaced = true;
    loop {
        let trimmed = rest.trim_start();
        spaced |= trimmed.len() < rest.len();
        rest = trimmed;
        if rest.starts_with("}}") || (rest.starts_with("-}}") && spaced) {
            return Ok((words, body.len() - rest.len()));
        }
        let (word, length) = word(rest, !spaced)?;
        words.push(word);
        rest = &rest[length..];
        spaced = false;
    }
}

/// The first word of a text, and its length.
fn word(text: &str, joined: bool) -> Result<(Word, usize), String> {
    let name_of = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let first = text.chars().next().ok_or("unclosed action")?;
    let symbol = |word| Ok((word, first.len_utf8()));
    match first {
        '|' => symbol(Word::Pipe),
        ',' => symbol(Word::Comma),
        '(' => symbol(Word::Open),
        ')' => symbol(Word::Close),
        '=' => symbol(Word::Assign),
        ':' if text.starts_with(":=") => Ok((Word::Declare, 2)),
        '"' => quoted(text),
        '`' => {
            let end = text[1..].find('`').ok_or("unterminated raw quoted string")?;
            Ok((Word::Text(text[1..=end].to_owned()), end + 2))
        }
        '\'' => {
            let end = text[1..].find('\'').ok_or("unterminated character constant")?;
            let letter = text[1..=end].chars().next().ok_or("an empty character constant")?;
            Ok((Word::Int(i64::from(u32::from(letter))), end + 2))
        }
        '$' => {
            let length = name_of(&text[1..]);
            Ok((Word::Variable(text[1..=length].to_owned()), length + 1))
        }
        '.' => {
            let length = name_of(&text[1..]);
            if length == 0 {
                return symbol(Word::Dot);
            }
            let name = text[1..=length].to_owned();
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                return number(text);
            }
            Ok((Word::Field { name, joined }, length + 1))
        }
        '+' | '-' | '0'..='9' => number(text),
        _ if is_name(first) => {
            let length = name_of(text);
            Ok((Word::Name(text[..length].to_owned()), length))
        }
        other => Err(format!("unexpected {other:?} in an action")),
    }
}

fn number(text: &str) -> Result<(Word, usize), String> {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let after_exponent = text[..at].ends_with(['e', 'E']) && !text.starts_with("0x");
        if !(c.is_ascii_alphanumeric()
            || c == '.'
            || c == '_'
            || (matches!(c, '+' | '-') && (at == 0 || after_exponent)))
        {
            break;
        }
        end = at + c.len_utf8();
    }
    let digits = &text[..end];
    let plain = digits.replace('_', "");
    let word = match plain.parse() {
        Ok(value) => Word::Int(value),
        Err(_) => {
            Word::Float(luma_promql::parse_number(&plain).ok_or_else(|| format!("bad number {digits:?}"))?)
        }
    };
    Ok((word, end))
}

fn quoted(text: &str) -> Result<(Word, usize), String> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let inner = &text[..=at];
                let plain = luma_promql::unquote(inner).map_err(|_| format!("bad text {inner}"))?;
                return Ok((Word::Text(plain), at + 1));
            }
            '\n' => break,
            _ => {}
        }
    }
    Err("unterminated quoted string".to_owned())
}
