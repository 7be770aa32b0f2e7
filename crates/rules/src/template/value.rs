//! Values of templates, and how they are printed.

use std::collections::BTreeMap;

use luma_promql::format_general;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
    /// Texts by name; one that is not there is empty.
    Texts(BTreeMap<String, String>),
}

impl Value {
    /// Texts by name.
    pub fn texts<'t>(pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        Self::Texts(pairs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    /// Whether a condition on it is true: it is not zero and not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(items) => !items.is_empty(),
            Self::Texts(items) => !items.is_empty(),
        }
    }

    /// The name of its type, as Go has it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "map[string]interface {}",
            Self::Texts(_) => "map[string]string",
        }
    }

    /// It as it is printed.
    pub(super) fn print(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<no value>"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Float(value) => out.push_str(&format_general(*value)),
            Self::Text(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    item.print(out);
                }
                out.push(']');
            }
            Self::Map(items) => {
                named(items.iter(), out, Self::print);
            }
            Self::Texts(items) => {
                named(items.iter(), out, |text, out| out.push_str(text));
            }
        }
    }

    pub(super) fn printed(&self) -> String {
        let mut out = String::new();
        self.print(&mut out);
        out
    }

    /// It as a number, as functions of Prometheus take it.
    pub(super) fn number(&self) -> Result<f64, String> {
        match self {
            Self::Float(value) => Ok(*value),
            Self::Int(value) => Ok(*value as f64),
            Self::Text(text) => {
                luma_promql::parse_number(text).ok_or_else(|| format!("{text:?} is no number"))
            }
            other => Err(format!("can't convert {} to float", other.kind())),
        }
    }

    /// The value of a field.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Map(items) => items.get(name).cloned().ok_or_else(|| self.has_no(name)),
            Self::Texts(items) => Ok(Self::Text(items.get(name).cloned().unwrap_or_default())),
            _ => Err(self.has_no(name)),
        }
    }

    fn has_no(&self, name: &str) -> String {
        format!("can't evaluate field {name} in type {}", self.kind())
    }
}

fn named<'i, T: 'i>(
    items: impl Iterator<Item = (&'i String, &'i T)>,
    out: &mut String,
    print: impl Fn(&T, &mut String),
) {
    out.push_str("map[");
    for (at, (name, item)) in items.enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(name);
        out.push(':');
        print(item, out);
    }
    out.push(']');
}
