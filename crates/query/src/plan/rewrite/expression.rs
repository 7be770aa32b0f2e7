//! Expressions whose PostgreSQL meaning is a call of one of our functions.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, TimezoneInfo, TrimWhereField, UnaryOperator, Value,
};
use luma_model::{Error, ErrorKind, Result};

use crate::names::identifier;
use crate::plan::{deferred, whole_row};
use crate::types::without_precision;

use super::relation;

/// A call.
pub(crate) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}

pub(super) fn text(value: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(value.into()))
}

pub(super) fn cast(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Identifier(Ident::new("_")))
}

/// A string literal's text.
pub(super) fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text) => Some(text),
            Value::DollarQuotedString(text) => Some(&text.value),
            _ => None,
        },
        _ => None,
    }
}

/// Whether DataFusion would read the digits as something else than PostgreSQL does.
pub(super) fn is_beyond_literals(digits: &str) -> bool {
    digits.contains(['e', 'E'])
        || digits.len() > usize::from(luma_model::DECIMAL_DIGITS_MAX)
        || !digits.contains('.') && digits.parse::<i64>().is_err()
}

/// The digits of a number that was made a text by `rewrite`.
fn number_as_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Cast { expr, data_type: ast::DataType::Numeric(ast::ExactNumberInfo::None), .. } => {
            literal(expr)
        }
        _ => None,
    }
}

/// A number, or one that `rewrite` has given its type.
fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::Cast { expr, data_type: ast::DataType::Integer(None), .. } => {
            matches!(expr.as_ref(), Expr::Value(value) if matches!(value.value, Value::Number(..)))
        }
        _ => false,
    }
}

/// The offsets of a window's frame are DataFusion's own.
fn frame(spec: &mut ast::WindowSpec) {
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(frame.end_bound.as_mut()) {
        if let ast::WindowFrameBound::Preceding(Some(offset))
        | ast::WindowFrameBound::Following(Some(offset)) = bound
        {
            place(offset);
            let span = match offset.as_ref() {
                Expr::Cast { expr, data_type: ast::DataType::Interval { .. }, .. } => literal(expr),
                _ => None,
            };
            if let Some(span) = span {
                **offset = Expr::Interval(ast::Interval {
                    value: Box::new(text(span)),
                    leading_field: None,
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                });
            }
        }
    }
}

/// A number that names a column by its place stays a plain one.
pub(super) fn place(expr: &mut Expr) {
    if is_number(expr)
        && let Expr::Cast { expr: number, .. } = expr
    {
        *expr = take(number);
    }
}

/// Rewrites one expression whose parts are rewritten already.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Value(value) => {
            if let Value::UnicodeStringLiteral(text) = &value.value {
                value.value = Value::SingleQuotedString(text.clone());
            } else if let Value::Number(digits, _) = &value.value
                && is_beyond_literals(digits)
            {
                *expr = cast(text(digits.clone()), ast::DataType::Numeric(ast::ExactNumberInfo::None));
            } else if let Value::Number(digits, _) = &value.value
                && digits.parse::<i32>().is_ok()
            {
                let number = take(expr);
                *expr = cast(number, ast::DataType::Integer(None));
            }
        }
        Expr::UnaryOp { op, expr: inner } => rewrite_unary(*op, inner).map_or(Ok(()), |new| {
            *expr = new;
            Ok::<(), Error>(())
        })?,
        Expr::Extract { field, expr: inner, .. } => {
            let field = field.to_string();
            // The field may be given as a text, too.
            let field = field.trim_matches('\'').to_owned();
            *expr = call("luma_extract", vec![text(field), take(inner)]);
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("timezone", vec![take(time_zone), take(timestamp)]);
        }
        Expr::Substring { expr: inner, substring_from, substring_for, .. } => {
            let mut arguments = vec![take(inner)];
            match (substring_from, substring_for) {
                (Some(from), None) => arguments.push(take(from)),
                (Some(from), Some(count)) => arguments.extend([take(from), take(count)]),
                (None, Some(count)) => {
                    arguments.extend([Expr::value(Value::Number("1".into(), false)), take(count)]);
                }
                (None, None) => {}
            }
            *expr = call("substring", arguments);
        }
        Expr::Position { expr: inner, r#in } => *expr = call("strpos", vec![take(r#in), take(inner)]),
        Expr::Trim { trim_where, trim_what, expr: inner, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                _ => "btrim",
            };
            let mut arguments = vec![take(inner)];
            arguments.extend(trim_what.as_deref_mut().map(take));
            arguments.extend(trim_characters.take().unwrap_or_default());
            *expr = call(name, arguments);
        }
        Expr::Overlay { expr: inner, overlay_what, overlay_from, overlay_for } => {
            let mut arguments = vec![take(inner), take(overlay_what), take(overlay_from)];
            arguments.extend(overlay_for.as_deref_mut().map(take));
            *expr = call("overlay", arguments);
        }
        Expr::Array(array) if array.elem.iter().any(|item| matches!(item, Expr::Array(_))) => {
            return Err(crate::functions::keeping::nested_array());
        }
        Expr::Ceil { expr: inner, .. } => *expr = call("ceil", vec![take(inner)]),
        Expr::Floor { expr: inner, .. } => *expr = call("floor", vec![take(inner)]),
        Expr::Interval(interval) => *expr = interval_literal(interval)?,
        Expr::TypedString(typed) if without_precision(&typed.data_type).is_some() => {
            let value = Expr::Value(typed.value.clone());
            *expr = with_precision(value, &typed.data_type);
        }
        Expr::Cast { expr: inner, .. } if matches!(inner.as_ref(), Expr::Array(array) if array.elem.is_empty()) =>
        {
            **inner = text("{}");
        }
        Expr::Cast { expr: inner, data_type, .. } if without_precision(data_type).is_some() => {
            let value = take(inner);
            *expr = with_precision(value, data_type);
        }
        Expr::Cast {
            expr: inner,
            data_type:
                ast::DataType::Float(_)
                | ast::DataType::Real
                | ast::DataType::Double(_)
                | ast::DataType::DoublePrecision
                | ast::DataType::Float4
                | ast::DataType::Float8,
            ..
        } if number_as_text(inner).is_some() => {
            // A float of any size, not a number of 38 digits first.
            if let Some(digits) = number_as_text(inner).map(str::to_owned) {
                **inner = text(digits);
            }
        }
        Expr::BinaryOp { op, right, .. } if is_regex(op) => {
            // A dot matches line breaks, too; patterns without one stay as they are, for they are often
            // no more than a comparison.
            if let Some(pattern) = literal(right) {
                let spelled = crate::functions::regex::spelled(pattern);
                let dots = if pattern.contains('.') { "(?s)" } else { "" };
                if spelled != pattern || !dots.is_empty() {
                    **right = text(format!("{dots}{spelled}"));
                }
            }
        }
        Expr::BinaryOp { left, op, right } => {
            if let (Expr::Tuple(one), Expr::Tuple(other), BinaryOperator::Overlaps) =
                (left.as_ref(), right.as_ref(), &*op)
            {
                *expr = call("luma_overlaps", one.iter().chain(other).cloned().collect());
            }
        }
        Expr::IsNull(inner) | Expr::IsNotNull(inner) if super::row::parts(inner).is_some() => {
            let Some(parts) = super::row::parts(inner) else { return Ok(()) };
            let null = matches!(expr, Expr::IsNull(_));
            let each = parts.into_iter().map(|part| {
                let part = Box::new(part);
                if null { Expr::IsNull(part) } else { Expr::IsNotNull(part) }
            });
            if let Some(all) = each.reduce(|one, other| binary(one, BinaryOperator::And, other)) {
                *expr = Expr::Nested(Box::new(all));
            }
        }
        Expr::CompoundFieldAccess { root, access_chain } => subscripts(expr_parts(root, access_chain), expr)?,
        Expr::Like { any, negated, expr: inner, pattern, .. }
        | Expr::ILike { any, negated, expr: inner, pattern, .. }
            if *any || of_all(pattern).is_some() =>
        {
            let (all, negated) = (!*any, *negated);
            let patterns = of_all(pattern).unwrap_or_else(|| take(pattern));
            let op = if matches!(expr, Expr::Like { .. }) { "~~" } else { "~~*" };
            let inner = match expr {
                Expr::Like { expr: inner, .. } | Expr::ILike { expr: inner, .. } => take(inner),
                _ => return Ok(()),
            };
            *expr = matches_some(inner, op, negated, all, patterns);
        }
        Expr::AnyOp { left, compare_op, right, .. } if is_regex(compare_op) => {
            let (op, negated) = regex_sign(compare_op);
            *expr = matches_some(take(left), op, negated, false, take(right));
        }
        Expr::AllOp { left, compare_op, right } if is_regex(compare_op) => {
            let (op, negated) = regex_sign(compare_op);
            *expr = matches_some(take(left), op, negated, true, take(right));
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            escape_with_backslash(pattern, escape_char);
        }
        Expr::SimilarTo { negated, expr: inner, pattern, .. } => {
            let negated = *negated;
            if let Some(pattern) = literal(pattern) {
                let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
                let right = Box::new(text(similar_pattern(pattern)));
                *expr = Expr::BinaryOp { left: Box::new(take(inner)), op, right };
            }
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. }
            if !matches!(**right, Expr::Subquery(_)) =>
        {
            *expr = call("luma_any_equal", vec![take(left), take(right)]);
        }
        Expr::AnyOp { right, .. } if !matches!(**right, Expr::Subquery(_)) => {
            // Where none of the elements decides, a NULL among them might have.
            let open = call("luma_has_null", vec![right.as_ref().clone()]);
            let null = cast(Expr::value(Value::Null), ast::DataType::Boolean);
            let open = Expr::Nested(Box::new(binary(open, BinaryOperator::And, null)));
            *expr = Expr::Nested(Box::new(binary(take(expr), BinaryOperator::Or, open)));
        }
        Expr::Identifier(name) if name.quote_style.is_none() => {
            if let Some(now) = local_time(&name.value.to_ascii_lowercase(), None) {
                *expr = now;
            }
        }
        Expr::Case { .. } | Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => deferred::defer(expr),
        Expr::Function(function) => {
            if let Some(ast::WindowType::WindowSpec(spec)) = &mut function.over {
                frame(spec);
            }
            if let Some(new) = rewrite_function(function) {
                *expr = new;
            }
        }
        _ => {}
    }
    Ok(())
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// The array of `ALL (array)`, which sqlparser takes for a function after LIKE.
fn of_all(pattern: &Expr) -> Option<Expr> {
    let Expr::Function(function) = pattern else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))]
            if function.name.to_string().eq_ignore_ascii_case("all") =>
        {
            Some(array.clone())
        }
        _ => None,
    }
}

fn regex_sign(op: &BinaryOperator) -> (&'static str, bool) {
    match op {
        BinaryOperator::PGRegexMatch => ("~", false),
        BinaryOperator::PGRegexIMatch => ("~*", false),
        BinaryOperator::PGRegexNotMatch => ("~", true),
        _ => ("~*", true),
    }
}

/// Whether a text matches some or all of the patterns in an array.
fn matches_some(value: Expr, op: &str, negated: bool, all: bool, patterns: Expr) -> Expr {
    let truth = |value: bool| Expr::value(Value::Boolean(value));
    let patterns = match patterns {
        Expr::Nested(inner) => *inner,
        other => other,
    };
    call("luma_matches", vec![value, text(op), truth(negated), truth(all), patterns])
}

fn is_regex(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
    )
}

type Subscripts = (Expr, Vec<ast::AccessExpr>);

fn expr_parts(root: &mut Expr, chain: &mut Vec<ast::AccessExpr>) -> Subscripts {
    (take(root), std::mem::take(chain))
}

/// `a[1]`, `a[1:2]`.
fn subscripts((mut root, mut chain): Subscripts, expr: &mut Expr) -> Result<()> {
    // `t.a[1]` comes as a field of `t`.
    while chain.len() > 1
        && let [ast::AccessExpr::Dot(Expr::Identifier(column)), ..] = chain.as_slice()
    {
        let mut parts = match root {
            Expr::Identifier(name) => vec![name],
            Expr::CompoundIdentifier(parts) => parts,
            other => {
                root = other;
                break;
            }
        };
        parts.push(column.clone());
        root = Expr::CompoundIdentifier(parts);
        chain.remove(0);
    }
    if let [ast::AccessExpr::Dot(Expr::Identifier(field))] = chain.as_slice()
        && matches!(identifier(field).as_str(), "x" | "n")
    {
        // The only row type with fields is that of _pg_expandarray.
        let name = text(identifier(field));
        let op = BinaryOperator::LongArrow;
        let member = Expr::BinaryOp { left: Box::new(root), op, right: Box::new(name) };
        *expr = cast(Expr::Nested(Box::new(member)), ast::DataType::Integer(None));
        return Ok(());
    }
    if chain.iter().any(|access| matches!(access, ast::AccessExpr::Dot(_))) {
        *expr = Expr::CompoundFieldAccess { root: Box::new(root), access_chain: chain };
        return Ok(());
    }
    let null = || Expr::value(Value::Null);
    let mut value = root;
    for access in chain {
        value = match access {
            ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => {
                call("luma_element", vec![value, index])
            }
            ast::AccessExpr::Subscript(ast::Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                let bounds = [lower_bound.unwrap_or_else(null), upper_bound.unwrap_or_else(null)];
                let [low, high] = bounds;
                call("luma_slice", vec![value, low, high])
            }
            _ => {
                return Err(Error::new(ErrorKind::Syntax, "an array subscript has at most two bounds"));
            }
        };
    }
    *expr = value;
    Ok(())
}

fn rewrite_unary(op: UnaryOperator, inner: &mut Box<Expr>) -> Option<Expr> {
    match op {
        UnaryOperator::Minus => {
            if is_number(inner) {
                place(inner);
                let negative = Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner.clone() };
                let small =
                    inner.to_string().parse::<i64>().is_ok_and(|number| i32::try_from(-number).is_ok());
                return Some(if small { cast(negative, ast::DataType::Integer(None)) } else { negative });
            }
            // The sign binds closer than the power.
            if let Expr::BinaryOp { left, op: BinaryOperator::PGExp, right } = inner.as_mut()
                && is_number(left)
            {
                let negative = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(take(left)) };
                let left = Box::new(Expr::Nested(Box::new(negative)));
                return Some(Expr::BinaryOp {
                    left,
                    op: BinaryOperator::PGExp,
                    right: Box::new(take(right)),
                });
            }
            Some(call("negative", vec![take(inner)]))
        }
        UnaryOperator::Plus => Some(call("luma_plus", vec![take(inner)])),
        UnaryOperator::PGAbs => Some(call("abs", vec![take(inner)])),
        UnaryOperator::PGSquareRoot => Some(call("dsqrt", vec![take(inner)])),
        UnaryOperator::BitwiseNot => Some(call("luma_invert", vec![take(inner)])),
        UnaryOperator::PGCubeRoot => Some(call("cbrt", vec![take(inner)])),
        _ => None,
    }
}

fn with_precision(value: Expr, data_type: &ast::DataType) -> Expr {
    match without_precision(data_type) {
        Some((plain, digits)) => {
            let digits = Expr::value(Value::Number(digits.to_string(), false));
            call("luma_precision", vec![cast(value, plain), digits])
        }
        None => cast(value, data_type.clone()),
    }
}

/// `INTERVAL '1' DAY` is the span of the text `1 DAY`.
fn interval_literal(interval: &mut ast::Interval) -> Result<Expr> {
    let data_type = ast::DataType::Interval { fields: None, precision: None };
    let Some(written) = literal(&interval.value) else {
        return Err(Error::new(ErrorKind::Syntax, "an interval literal needs a text"));
    };
    let spelled = match (&interval.leading_field, &interval.last_field) {
        (Some(field), None) if written.trim().parse::<f64>().is_ok() => format!("{written} {field}"),
        (Some(field), _) => {
            // What is finer than the last field is cut off.
            let last = interval.last_field.as_ref().unwrap_or(field).to_string();
            return Ok(call("luma_interval_fields", vec![cast(text(written), data_type), text(last)]));
        }
        _ => written.to_owned(),
    };
    Ok(cast(text(spelled), data_type))
}

/// A LIKE pattern with another escape character as one with the backslash.
fn escape_with_backslash(pattern: &mut Box<Expr>, escape_char: &mut Option<ast::ValueWithSpan>) {
    let Some(Value::SingleQuotedString(escape)) = escape_char.as_ref().map(|escape| &escape.value) else {
        return;
    };
    if escape != "\\" {
        **pattern = match literal(pattern) {
            Some(written) => text(crate::functions::text::escaped_with_backslash(written, escape)),
            None => call("luma_like_pattern", vec![take(pattern), text(escape.clone())]),
        };
    }
    *escape_char = None;
}

/// A pattern of SIMILAR TO as a regular expression over the whole text.
fn similar_pattern(pattern: &str) -> String {
    let mut regex = String::from("^(?:");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => {
                regex.push('\\');
                regex.extend(characters.next());
            }
            '.' | '^' | '$' => {
                regex.push('\\');
                regex.push(character);
            }
            other => regex.push(other),
        }
    }
    regex.push_str(")$");
    regex
}

fn function_name(function: &Function) -> String {
    match function.name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] => crate::names::identifier(name),
        _ => String::new(),
    }
}

/// `lag` or `lead` with a default as a choice between the two, so that they meet in one type and the default may be any expression.
fn neighbour(function: &mut Function, forward: bool) -> Option<Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(offset)), FunctionArg::Unnamed(_)] =
        list.args.as_slice()
    else {
        return None;
    };
    if !is_number(offset) {
        return None;
    }
    let offset = offset.clone();
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(default))) = list.args.pop() else { return None };
    let over = function.over.clone();
    let called = |name: &str, arguments: Vec<Expr>, over: Option<ast::WindowType>| match call(name, arguments)
    {
        Expr::Function(function) => Expr::Function(Function { over, ..function }),
        other => other,
    };
    let number = cast(called("row_number", Vec::new(), over.clone()), ast::DataType::BigInt(None));
    let there = if forward {
        let mut whole = over;
        if let Some(ast::WindowType::WindowSpec(spec)) = &mut whole {
            spec.order_by.clear();
            spec.window_frame = None;
        }
        let rows = called("count", vec![Expr::value(Value::Number("1".into(), false))], whole);
        binary(binary(rows, BinaryOperator::Minus, number), BinaryOperator::GtEq, offset)
    } else {
        binary(number, BinaryOperator::Gt, offset)
    };
    let inner = Expr::Function(std::mem::replace(function, empty_function()));
    // The value comes last, as its type counts first there.
    let absent = Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(there))) };
    let mut case = Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition: absent, result: default }],
        else_result: Some(Box::new(inner)),
    };
    deferred::defer(&mut case);
    Some(case)
}

/// `localtime`, `localtimestamp` and `current_timestamp`, with so many digits of a second.
fn local_time(name: &str, digits: Option<u64>) -> Option<Expr> {
    let wanted = match name {
        "localtimestamp" => ast::DataType::Timestamp(digits, TimezoneInfo::None),
        "localtime" => ast::DataType::Time(digits, TimezoneInfo::None),
        "now" | "current_timestamp" | "transaction_timestamp" => {
            ast::DataType::Timestamp(digits, TimezoneInfo::WithTimeZone)
        }
        _ => return None,
    };
    // DataFusion's counts nanoseconds, which do not reach as far.
    let now = call("now", Vec::new());
    Some(match digits {
        Some(_) => with_precision(now, &wanted),
        None => cast(now, wanted),
    })
}

/// The one number that a call has.
fn only_number(function: &Function) -> Option<u64> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    let mut argument = argument.clone();
    place(&mut argument);
    match &argument {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments of a call that names some, by place; 0 for those left away. `None` where none has a name.
fn by_place(function: &mut Function, order: &[&str]) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    if list.args.iter().all(|argument| matches!(argument, FunctionArg::Unnamed(_))) {
        return None;
    }
    let mut given = vec![None; order.len()];
    for (at, argument) in list.args.iter().enumerate() {
        let (place, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (at, value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
            | FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                let name = identifier(name);
                (order.iter().position(|known| *known == name)?, value)
            }
            _ => return None,
        };
        *given.get_mut(place)? = Some(value.clone());
    }
    let zero = || cast(Expr::value(Value::Number("0".into(), false)), ast::DataType::Integer(None));
    Some(given.into_iter().map(|value| value.unwrap_or_else(zero)).collect())
}

/// Functions that stand for others.
fn rewrite_function(function: &mut Function) -> Option<Expr> {
    let name = function_name(function);
    let rename = |function: &mut Function, name: &str| {
        function.name = ObjectName::from(vec![Ident::new(name)]);
    };
    match name.as_str() {
        "every" => rename(function, "bool_and"),
        "localtimestamp" | "localtime" | "current_timestamp" | "now" | "transaction_timestamp"
            if function.over.is_none() =>
        {
            let digits = only_number(function);
            let none = match &function.args {
                FunctionArguments::None => true,
                FunctionArguments::List(list) => list.args.is_empty(),
                FunctionArguments::Subquery(_) => false,
            };
            if none || digits.is_some() && name != "now" && name != "transaction_timestamp" {
                return local_time(&name, digits);
            }
        }
        "make_interval" => {
            let order = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
            return Some(call(&name, by_place(function, &order)?));
        }
        // They count in numbers without a sign, which meet others in a type that is none of PostgreSQL's.
        "row_number" | "rank" | "dense_rank" if function.over.is_some() => {
            let inner = std::mem::replace(function, empty_function());
            return Some(cast(Expr::Function(inner), ast::DataType::BigInt(None)));
        }
        "ntile" if function.over.is_some() => {
            let inner = std::mem::replace(function, empty_function());
            return Some(cast(Expr::Function(inner), ast::DataType::Integer(None)));
        }
        "lag" | "lead" if function.over.is_some() => return neighbour(function, name == "lead"),
        // Functions that give arrays of the catalog's types give their text.
        "current_schemas" | "pg_blocking_pids" => {
            let (own, element) = match name.as_str() {
                "current_schemas" => ("luma_current_schemas", "name"),
                _ => ("luma_blocking_pids", "int4"),
            };
            rename(function, own);
            let list = std::mem::replace(function, empty_function());
            let element = ast::DataType::Custom(ObjectName::from(vec![Ident::new(element)]), Vec::new());
            let kind = ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(Box::new(element), None));
            return Some(cast(Expr::Function(list), kind));
        }
        "array_agg" => order_distinct(function),
        // They are about double precision only.
        "corr" | "regr_count" | "covar_pop" | "covar_samp" | "regr_avgx" | "regr_avgy" | "regr_intercept"
        | "regr_r2" | "regr_slope" | "regr_sxx" | "regr_sxy" | "regr_syy" => {
            let FunctionArguments::List(list) = &mut function.args else { return None };
            for argument in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                    *expr = cast(take(expr), ast::DataType::DoublePrecision);
                }
            }
        }
        "string_agg" => {
            order_distinct(function);
            return joined(function);
        }
        "percentile_disc" | "percentile_cont" | "mode" if !function.within_group.is_empty() => {
            return ordered_set(&name, function);
        }
        "int2" | "int4" | "int8" | "float4" | "float8" | "text" | "varchar" | "bool" | "date"
        | "timestamp" | "timestamptz" => return cast_by_name(&name, function),
        "character_length" => rename(function, "char_length"),
        "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg" => {
            let (part, whole) = match name.as_str() {
                "json_agg" => ("luma_json_text", "luma_json_list"),
                "jsonb_agg" => ("luma_json_text", "luma_jsonb_list"),
                "json_object_agg" => ("luma_json_pair", "luma_json_members"),
                _ => ("luma_json_pair", "luma_jsonb_members"),
            };
            let FunctionArguments::List(list) = &mut function.args else { return None };
            let arguments: Vec<Expr> = list
                .args
                .drain(..)
                .filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect();
            // PostgreSQL begins a line for each row.
            let rows = name == "json_agg" && arguments.first().is_some_and(whole_row::is_row);
            let whole = if rows { "luma_json_rows" } else { whole };
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(call(part, arguments)))];
            rename(function, "array_agg");
            let inner = std::mem::replace(function, empty_function());
            return Some(call(whole, vec![Expr::Function(inner)]));
        }
        _ => {
            let set = relation::set_function(&name)?;
            if set.columns.len() != 1 || function.over.is_some() {
                return None;
            }
            let FunctionArguments::List(list) = &mut function.args else { return None };
            let arguments: Vec<Expr> = list
                .args
                .drain(..)
                .filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect();
            let column = &set.columns[0];
            let unnested = call("unnest", vec![call(column.function, arguments)]);
            return Some(
                column.data_type.as_ref().map_or(unnested.clone(), |kind| cast(unnested, kind.clone())),
            );
        }
    }
    None
}

/// `string_agg(x, ',' ORDER BY y)`: the texts of an array, which several orders go with.
fn joined(function: &mut Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(separator))] = list.args.as_slice() else {
        return None;
    };
    if list.clauses.is_empty() || function.over.is_some() || literal(separator).is_none() {
        return None;
    }
    let separator = separator.clone();
    list.args.truncate(1);
    function.name = ObjectName::from(vec![Ident::new("array_agg")]);
    let gathered = Expr::Function(std::mem::replace(function, empty_function()));
    Some(call("luma_joined", vec![gathered, separator]))
}

/// Distinct values come in their order, as PostgreSQL finds them by sorting.
fn order_distinct(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
    if let (true, true, Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value)))) =
        (distinct, list.clauses.is_empty(), list.args.first())
    {
        let options = ast::OrderByOptions { asc: None, nulls_first: None };
        let order = ast::OrderByExpr { expr: value.clone(), options, with_fill: None };
        list.clauses = vec![ast::FunctionArgumentClause::OrderBy(vec![order])];
    }
}

/// `percentile_disc(p) WITHIN GROUP (ORDER BY x)`: the array of all x in their order, and a place in it.
fn ordered_set(name: &str, function: &mut Function) -> Option<Expr> {
    let order = std::mem::take(&mut function.within_group);
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let mut arguments: Vec<Expr> = list
        .args
        .drain(..)
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let mut order = order;
    if name == "percentile_cont" {
        // What lies between two values is no value of their type.
        for key in &mut order {
            key.expr = cast(take(&mut key.expr), ast::DataType::DoublePrecision);
        }
    }
    let value = order.first()?.expr.clone();
    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(value))];
    list.clauses = vec![ast::FunctionArgumentClause::OrderBy(order)];
    function.name = ObjectName::from(vec![Ident::new("array_agg")]);
    let inner = Expr::Function(std::mem::replace(function, empty_function()));
    arguments.insert(0, inner);
    Some(call(&format!("luma_{name}"), arguments))
}

/// `int4(x)` is a cast.
fn cast_by_name(name: &str, function: &mut Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = list.args.as_mut_slice() else { return None };
    let kind = match name {
        "int2" => ast::DataType::SmallInt(None),
        "int4" => ast::DataType::Integer(None),
        "int8" => ast::DataType::BigInt(None),
        "float4" => ast::DataType::Real,
        "float8" => ast::DataType::DoublePrecision,
        "text" => ast::DataType::Text,
        "varchar" => ast::DataType::Varchar(None),
        "bool" => ast::DataType::Boolean,
        "date" => ast::DataType::Date,
        "timestamp" => ast::DataType::Timestamp(None, TimezoneInfo::None),
        _ => ast::DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
    };
    Some(cast(take(value), kind))
}

fn empty_function() -> Function {
    match call("_", Vec::new()) {
        Expr::Function(function) => function,
        // Cannot be: that is what it makes.
        _ => Function {
            name: ObjectName::from(Vec::<Ident>::new()),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::None,
            within_group: Vec::new(),
            filter: None,
            null_treatment: None,
            over: None,
        },
    }
}
