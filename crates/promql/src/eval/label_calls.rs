//! `label_replace` and `label_join`: changes to labels only.

use crate::ast::Call;
use crate::error::{Error, Result, failed};
use crate::labels::METRIC_NAME;
use crate::matcher::anchored;
use crate::number::quoted;
use crate::value::Series;

use super::calls::{argument, text_argument};
use super::{Context, Grid, merged};

impl Context<'_> {
    pub(super) fn label_replace(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let (target, template) = (text_argument(call, 1)?, text_argument(call, 2)?);
        let (source, pattern) = (text_argument(call, 3)?, text_argument(call, 4)?);
        let invalid = || format!("invalid regular expression in label_replace(): {pattern}");
        let regex = anchored(pattern).map_err(|_| Error::Evaluation(invalid()))?;
        if target.is_empty() {
            return failed(format!("invalid destination label name in label_replace(): {target}"));
        }
        let mut series = self.series(grid, argument(call, 0)?)?;
        for s in &mut series {
            let Some(captures) = regex.captures(s.labels.get(source)) else { continue };
            let value = expanded(template, &captures);
            relabel(s, target, &value);
        }
        merged(series)
    }

    pub(super) fn label_join(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let (target, separator) = (text_argument(call, 1)?, text_argument(call, 2)?);
        let sources = (3..call.args.len()).map(|at| text_argument(call, at)).collect::<Result<Vec<_>>>()?;
        if let Some(empty) = sources.iter().find(|s| s.is_empty()) {
            return failed(format!("invalid source label name in label_join(): {empty}"));
        }
        if target.is_empty() {
            return failed(format!("invalid destination label name in label_join(): {}", quoted(target)));
        }
        let mut series = self.series(grid, argument(call, 0)?)?;
        for s in &mut series {
            let values: Vec<&str> = sources.iter().map(|name| s.labels.get(name)).collect();
            let value = values.join(separator);
            relabel(s, target, &value);
        }
        merged(series)
    }
}

fn relabel(series: &mut Series, target: &str, value: &str) {
    series.labels = series.labels.with(target, value);
    if target == METRIC_NAME {
        // A name given by hand stays.
        series.drop_name = false;
    }
}

/// A template with `$1`, `${1}`, `$name` and `${name}` replaced; `$$` is a dollar sign.
fn expanded(template: &str, captures: &regex::Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let (name, tail) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or(("", rest)),
            None => {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let word = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_alphanumeric());
        if !word {
            // Not a name: the dollar sign stands for itself.
            out.push('$');
            continue;
        }
        let group = match name.parse::<usize>() {
            Ok(number) => captures.get(number),
            Err(_) => captures.name(name),
        };
        out.push_str(group.map_or("", |m| m.as_str()));
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn templates_are_expanded_as_by_go() {
        let regex = anchored("(a+)-(?P<rest>b+)").unwrap();
        let captures = regex.captures("aa-bbb").unwrap();
        assert_eq!(expanded("$1", &captures), "aa");
        assert_eq!(expanded("${1}x${rest}", &captures), "aaxbbb");
        // The longest word counts: there is no group of that name.
        assert_eq!(expanded("$1x", &captures), "");
        assert_eq!(expanded("$$1 $ ${ $9", &captures), "$1 $ ${ ");
    }
}
