//! Writing a template out.

use std::collections::HashMap;

use super::Scope;
use super::functions::call;
use super::parse::{Command, GIVEN, Node, Operand, Pipeline};
use super::value::Value;

/// How much a template may write, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// How many parts of it may be looked at.
const STEPS_MAX: usize = 100_000;
/// How deep templates may be within one another.
const DEPTH_MAX: usize = 64;

pub(super) struct Expansion<'e> {
    scope: &'e Scope<'e>,
    defined: &'e HashMap<String, Vec<Node>>,
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
    depth: usize,
}

impl<'e> Expansion<'e> {
    pub fn new(scope: &'e Scope<'e>, defined: &'e HashMap<String, Vec<Node>>) -> Self {
        Self { scope, defined, variables: Vec::new(), out: String::new(), steps: 0, depth: 0 }
    }

    pub fn run(mut self, nodes: &'e [Node]) -> Result<String, String> {
        let Scope { labels, value, external_labels, external_url, .. } = self.scope;
        let data = [
            ("Labels", labels.clone()),
            ("Value", value.clone()),
            ("ExternalLabels", external_labels.clone()),
            ("ExternalURL", Value::Text((*external_url).to_owned())),
        ];
        let given = [
            ("labels", labels.clone()),
            ("value", value.clone()),
            ("externalLabels", external_labels.clone()),
            ("externalURL", Value::Text((*external_url).to_owned())),
        ];
        let dot = Value::Map(data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        self.variables.push((String::new(), dot.clone()));
        self.variables.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.nodes(nodes, &dot)?;
        Ok(self.out)
    }

    fn nodes(&mut self, nodes: &'e [Node], dot: &Value) -> Result<(), String> {
        let variables = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.variables.truncate(variables);
        Ok(())
    }

    fn node(&mut self, node: &'e Node, dot: &Value) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.out.len() > BYTES_MAX {
            return Err(format!(
                "the template writes or does too much: over {BYTES_MAX} bytes or {STEPS_MAX} steps"
            ));
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Output(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                value.print(&mut self.out);
            }
            Node::Set { name, declare, value } => {
                let value = self.pipeline(value, dot)?;
                match self.variables.iter_mut().rev().find(|(own, _)| own == name) {
                    Some((_, own)) if !declare => *own = value,
                    _ => self.variables.push((name.clone(), value)),
                }
            }
            Node::If { condition, then, otherwise } => {
                let is = self.pipeline(condition, dot)?.is_true();
                self.nodes(if is { then } else { otherwise }, dot)?;
            }
            Node::With { value, then, otherwise } => {
                let value = self.pipeline(value, dot)?;
                if value.is_true() {
                    self.nodes(then, &value)?;
                } else {
                    self.nodes(otherwise, dot)?;
                }
            }
            Node::Range { names, items, body, otherwise } => {
                let items = self.pipeline(items, dot)?;
                self.range(names, items, body, otherwise, dot)?;
            }
            Node::Template { name, argument } => {
                let argument = argument.as_ref().map_or(Ok(Value::Nil), |of| self.pipeline(of, dot))?;
                let defined = self.defined;
                let body = defined.get(name).ok_or_else(|| format!("template {name:?} not defined"))?;
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(format!("templates are too deep: over {DEPTH_MAX} within one another"));
                }
                // A template sees its argument and what is given, not variables of others.
                let own = self.variables.split_off(GIVEN.len().min(self.variables.len()));
                let outcome = self.nodes(body, &argument);
                self.variables.extend(own);
                self.depth -= 1;
                outcome?;
            }
        }
        Ok(())
    }

    fn range(
        &mut self,
        names: &[String],
        items: Value,
        body: &'e [Node],
        otherwise: &'e [Node],
        dot: &Value,
    ) -> Result<(), String> {
        let items: Vec<(Value, Value)> = match items {
            Value::List(items) => (0..).map(Value::Int).zip(items).collect(),
            Value::Map(items) => items.into_iter().map(|(name, item)| (Value::Text(name), item)).collect(),
            Value::Texts(items) => {
                items.into_iter().map(|(name, text)| (Value::Text(name), Value::Text(text))).collect()
            }
            Value::Nil => Vec::new(),
            other => return Err(format!("range can't iterate over {}", other.kind())),
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (place, item) in items {
            let variables = self.variables.len();
            match names {
                [one] => self.variables.push((one.clone(), item.clone())),
                [at, one] => {
                    self.variables.push((at.clone(), place));
                    self.variables.push((one.clone(), item.clone()));
                }
                _ => {}
            }
            self.nodes(body, &item)?;
            self.variables.truncate(variables);
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in pipeline {
            last = Some(self.command(command, dot, last)?);
        }
        last.ok_or_else(|| "missing value for command".to_owned())
    }

    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else {
            return Err("missing value for command".to_owned());
        };
        let Operand::Function(name) = first else {
            if !rest.is_empty() || last.is_some() {
                return Err("can't give arguments to what is no function".to_owned());
            }
            return self.operand(first, dot);
        };
        // These look at no more arguments than they have to.
        if matches!(name.as_str(), "and" | "or") {
            let mut value = None;
            for operand in rest {
                let given = self.operand(operand, dot)?;
                let decided = given.is_true() == (name == "or");
                value = Some(given);
                if decided {
                    return value.ok_or_else(String::new);
                }
            }
            return last.or(value).ok_or_else(|| format!("{name} needs arguments"));
        }
        let mut arguments =
            rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(last);
        call(name, arguments, self.scope).map_err(|what| format!("error calling {name}: {what}"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let (value, fields) = match operand {
            Operand::Value(value) => return Ok(value.clone()),
            Operand::Function(name) => return call(name, Vec::new(), self.scope),
            Operand::Dot(fields) => (dot.clone(), fields),
            Operand::Variable(name, fields) => {
                let own = self.variables.iter().rev().find(|(own, _)| own == name);
                let value = own.map(|(_, value)| value.clone());
                (value.ok_or_else(|| format!("undefined variable \"${name}\""))?, fields)
            }
            Operand::Group(pipeline, fields) => (self.pipeline(pipeline, dot)?, fields),
        };
        fields.iter().try_fold(value, |value, name| value.field(name))
    }
}
