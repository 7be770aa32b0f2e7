//! Parts of a template as a tree.

use std::collections::HashMap;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::functions;
use super::scan::{Piece, Word, pieces};
use super::value::Value;

/// How deep blocks and parentheses may be within one another.
const DEPTH_MAX: usize = 64;

/// What a template writes or does.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Output(Pipeline),
    /// A variable gets a value; a new one if it is declared.
    Set {
        name: String,
        declare: bool,
        value: Pipeline,
    },
    If {
        condition: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        value: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    /// Names of the place and the item come first.
    Range {
        names: Vec<String>,
        items: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Template {
        name: String,
        argument: Option<Pipeline>,
    },
}

/// Commands of which each gets what the one before gave.
pub(super) type Pipeline = Vec<Command>;

/// A value, or a function and its arguments.
pub(super) type Command = Vec<Operand>;

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Value(Value),
    Function(String),
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Group(Pipeline, Vec<String>),
}

type Defined = HashMap<String, Vec<Node>>;

/// Variables that are there from the beginning.
pub(super) const GIVEN: [&str; 5] = ["", "labels", "value", "externalLabels", "externalURL"];

/// Parses a template: its parts, and what it defines.
pub(super) fn parse(text: &str) -> Result<(Vec<Node>, Defined), String> {
    let mut parser = Parser {
        pieces: pieces(text)?.into_iter(),
        defined: Defined::new(),
        variables: GIVEN.map(str::to_owned).into(),
        depth: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        End::OfTemplate => Ok((nodes, parser.defined)),
        End::OfBlock => Err("unexpected {{end}}".to_owned()),
        End::Else(_) => Err("unexpected {{else}}".to_owned()),
    }
}

/// How a block ended; with what is behind `else`.
enum End {
    OfTemplate,
    OfBlock,
    Else(Vec<Word>),
}

struct Parser<'t> {
    pieces: IntoIter<Piece<'t>>,
    defined: Defined,
    variables: Vec<String>,
    depth: usize,
}

type Words = Peekable<IntoIter<Word>>;

impl Parser<'_> {
    /// Parts up to the end of the block, in which variables live.
    fn block(&mut self) -> Result<(Vec<Node>, End), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("the template is too deep: more than {DEPTH_MAX} blocks within one another"));
        }
        let variables = self.variables.len();
        let outcome = self.rest_of_block();
        self.variables.truncate(variables);
        self.depth -= 1;
        outcome
    }

    fn rest_of_block(&mut self) -> Result<(Vec<Node>, End), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let words = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.to_owned()));
                    continue;
                }
                Piece::Action(words) => words,
            };
            let mut words = words.into_iter().peekable();
            let keyword = match words.peek() {
                Some(Word::Name(name)) => name.clone(),
                Some(_) => String::new(),
                None => return Err("missing value for command".to_owned()),
            };
            match keyword.as_str() {
                "end" => return Ok((nodes, End::OfBlock)),
                "else" => {
                    words.next();
                    return Ok((nodes, End::Else(words.collect())));
                }
                "if" | "with" | "range" => {
                    words.next();
                    nodes.push(self.control(&keyword, words)?);
                }
                "define" => {
                    words.next();
                    let name = name_of(&mut words, "define")?;
                    let (body, end) = self.block()?;
                    must_end(&end, "define")?;
                    self.defined.insert(name, body);
                }
                "template" => {
                    words.next();
                    let name = name_of(&mut words, "template")?;
                    let argument =
                        if words.peek().is_some() { Some(self.pipeline(&mut words, 0)?) } else { None };
                    nothing_left(&mut words)?;
                    nodes.push(Node::Template { name, argument });
                }
                _ => {
                    nodes.push(self.statement(&mut words)?);
                    nothing_left(&mut words)?;
                }
            }
        }
        Ok((nodes, End::OfTemplate))
    }

    /// A value that is written, or that a variable gets.
    fn statement(&mut self, words: &mut Words) -> Result<Node, String> {
        if let Some(Word::Variable(name)) = words.peek().cloned() {
            let mut ahead = words.clone();
            ahead.next();
            let declare = match ahead.peek() {
                Some(Word::Declare) => true,
                Some(Word::Assign) => false,
                _ => return Ok(Node::Output(self.pipeline(words, 0)?)),
            };
            words.next();
            words.next();
            let value = self.pipeline(words, 0)?;
            if declare {
                self.variables.push(name.clone());
            } else {
                self.known(&name)?;
            }
            return Ok(Node::Set { name, declare, value });
        }
        Ok(Node::Output(self.pipeline(words, 0)?))
    }

    fn control(&mut self, keyword: &str, mut words: Words) -> Result<Node, String> {
        let variables = self.variables.len();
        let mut names = Vec::new();
        if matches!(words.peek(), Some(Word::Variable(_))) {
            // `$x := …` or `$i, $x := …`
            let mut ahead = words.clone();
            while let Some(Word::Variable(name)) = ahead.next() {
                names.push(name);
                match ahead.next() {
                    Some(Word::Comma) if keyword == "range" && names.len() == 1 => {}
                    Some(Word::Declare) => {
                        words = ahead;
                        break;
                    }
                    _ => {
                        names.clear();
                        break;
                    }
                }
            }
        }
        let value = self.pipeline(&mut words, 0)?;
        nothing_left(&mut words)?;
        self.variables.extend(names.iter().cloned());
        let (then, end) = self.block()?;
        let otherwise = match end {
            End::Else(rest) if rest.is_empty() => {
                let (otherwise, end) = self.block()?;
                must_end(&end, keyword)?;
                otherwise
            }
            End::Else(rest) => {
                // `else if` ends with the block it is in.
                let mut rest = rest.into_iter().peekable();
                match rest.next() {
                    Some(Word::Name(name)) if name == keyword && keyword != "range" => {
                        self.depth += 1;
                        if self.depth > DEPTH_MAX {
                            return Err("the template is too deep".to_owned());
                        }
                        let inner = self.control(keyword, rest)?;
                        self.depth -= 1;
                        vec![inner]
                    }
                    other => return Err(format!("unexpected {other:?} behind else")),
                }
            }
            end => {
                must_end(&end, keyword)?;
                Vec::new()
            }
        };
        self.variables.truncate(variables);
        let declared = |names: Vec<String>, then| match names.into_iter().next() {
            // The value has a name within the block.
            Some(name) => {
                let mut nodes = vec![Node::Set { name, declare: true, value: value.clone() }];
                nodes.extend::<Vec<Node>>(then);
                nodes
            }
            None => then,
        };
        Ok(match keyword {
            "if" => Node::If { condition: value.clone(), then: declared(names, then), otherwise },
            "with" => Node::With { value: value.clone(), then: declared(names, then), otherwise },
            _ => Node::Range { names, items: value, body: then, otherwise },
        })
    }

    fn known(&self, name: &str) -> Result<(), String> {
        if self.variables.iter().any(|own| own == name) {
            return Ok(());
        }
        Err(format!("undefined variable \"${name}\""))
    }

    fn pipeline(&mut self, words: &mut Words, depth: usize) -> Result<Pipeline, String> {
        if depth > DEPTH_MAX {
            return Err("the template is too deep: too many parentheses within one another".to_owned());
        }
        let mut commands = Vec::new();
        loop {
            let command = self.command(words, depth)?;
            if command.is_empty() {
                return Err("missing value for command".to_owned());
            }
            commands.push(command);
            match words.peek() {
                Some(Word::Pipe) => drop(words.next()),
                _ => return Ok(commands),
            }
        }
    }

    fn command(&mut self, words: &mut Words, depth: usize) -> Result<Command, String> {
        let mut operands = Command::new();
        while let Some(word) = words.peek() {
            if matches!(word, Word::Pipe | Word::Close) {
                break;
            }
            let Some(word) = words.next() else { break };
            let operand = match word {
                Word::Text(text) => Operand::Value(Value::Text(text)),
                Word::Int(value) => Operand::Value(Value::Int(value)),
                Word::Float(value) => Operand::Value(Value::Float(value)),
                Word::Name(name) => match name.as_str() {
                    "true" => Operand::Value(Value::Bool(true)),
                    "false" => Operand::Value(Value::Bool(false)),
                    "nil" => Operand::Value(Value::Nil),
                    _ if functions::exists(&name) => Operand::Function(name),
                    _ => return Err(format!("function {name:?} not defined")),
                },
                Word::Dot => Operand::Dot(Vec::new()),
                Word::Field { name, .. } => {
                    let mut fields = vec![name];
                    fields.extend(joined(words));
                    Operand::Dot(fields)
                }
                Word::Variable(name) => {
                    self.known(&name)?;
                    Operand::Variable(name, joined(words))
                }
                Word::Open => {
                    let inner = self.pipeline(words, depth + 1)?;
                    match words.next() {
                        Some(Word::Close) => Operand::Group(inner, joined(words)),
                        _ => return Err("unclosed left parenthesis".to_owned()),
                    }
                }
                other => return Err(format!("unexpected {other:?} in an action")),
            };
            operands.push(operand);
        }
        Ok(operands)
    }
}

fn must_end(end: &End, block: &str) -> Result<(), String> {
    match end {
        End::OfBlock => Ok(()),
        End::OfTemplate => Err(format!("unexpected end of the template in {{{{{block}}}}}")),
        End::Else(_) => Err(format!("unexpected {{{{else}}}} in {{{{{block}}}}}")),
    }
}

/// Fields right behind what they are of.
fn joined(words: &mut Words) -> Vec<String> {
    let mut fields = Vec::new();
    while let Some(Word::Field { name, joined: true }) = words.peek() {
        fields.push(name.clone());
        words.next();
    }
    fields
}

fn name_of(words: &mut Words, keyword: &str) -> Result<String, String> {
    match words.next() {
        Some(Word::Text(name)) => Ok(name),
        _ => Err(format!("{{{{{keyword}}}}} needs a name in quotes")),
    }
}

fn nothing_left(words: &mut Words) -> Result<(), String> {
    words.next().map_or(Ok(()), |word| Err(format!("unexpected {word:?} in an action")))
}
