//! Evaluates a template over a value, as Go's text/template does.

use std::borrow::Cow;

use super::functions;
use super::parse::{Block, BlockKind, Node, Operand, OperandKind, Pipe};
use super::value::Value;

/// Where evaluation failed, and why.
pub(super) struct Failure {
    pub(super) at: usize,
    pub(super) end: usize,
    /// Where Go says that it is.
    pub(super) column: usize,
    pub(super) text: String,
}

type Shared<'v> = Cow<'v, Value>;

/// Evaluates all nodes; what is printed is added to `out`.
pub(super) fn render(nodes: &[Node], data: &Value, out: &mut String) -> Result<(), Failure> {
    let data = Cow::Borrowed(data);
    let mut run = Run {
        root: data.clone(),
        variables: Vec::new(),
        out,
    };
    run.nodes(nodes, &data).map(drop)
}

/// Whether a loop goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'v, 'o> {
    root: Shared<'v>,
    variables: Vec<(String, Shared<'v>)>,
    out: &'o mut String,
}

impl<'v> Run<'v, '_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Shared<'v>) -> Result<Flow, Failure> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
                Node::Print(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.out.push_str(&value.show());
                    }
                    Flow::On
                }
                Node::Block(block) => self.block(block, dot)?,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn block(&mut self, block: &Block, dot: &Shared<'v>) -> Result<Flow, Failure> {
        let known = self.variables.len();
        let flow = match block.kind {
            BlockKind::Range => self.range(block, dot),
            BlockKind::If | BlockKind::With => {
                let value = self.pipe(&block.pipe, dot)?;
                if !value.is_true() {
                    self.nodes(&block.otherwise, dot)
                } else if block.kind == BlockKind::With {
                    self.nodes(&block.body, &value)
                } else {
                    self.nodes(&block.body, dot)
                }
            }
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, block: &Block, dot: &Shared<'v>) -> Result<Flow, Failure> {
        let value = self.evaluate(&block.pipe, dot)?;
        let Some(items) = items(&value) else {
            let (at, end) = place(&block.pipe);
            let text = format!("range can't iterate over {}", value.show());
            let column = at;
            return Err(Failure {
                at,
                end,
                column,
                text,
            });
        };
        if items.is_empty() {
            return self.nodes(&block.otherwise, dot);
        }
        let known = self.variables.len();
        for (key, item) in items {
            match &block.pipe.variables[..] {
                [] => {}
                [one] => self.set(one, item.clone(), block.pipe.assigns),
                [first, second, ..] => {
                    self.set(first, Cow::Owned(key), block.pipe.assigns);
                    self.set(second, item.clone(), block.pipe.assigns);
                }
            }
            let flow = self.nodes(&block.body, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Shared<'v>, assigns: bool) {
        let known = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name);
        match known {
            Some(variable) if assigns => variable.1 = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    /// The value of a pipe, which its variables get.
    fn pipe(&mut self, pipe: &Pipe, dot: &Shared<'v>) -> Result<Shared<'v>, Failure> {
        let value = self.evaluate(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn evaluate(&mut self, pipe: &Pipe, dot: &Shared<'v>) -> Result<Shared<'v>, Failure> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.expect("a pipe has a command"))
    }

    fn command(
        &mut self,
        command: &[Operand],
        dot: &Shared<'v>,
        last: Option<Shared<'v>>,
    ) -> Result<Shared<'v>, Failure> {
        let (first, rest) = command.split_first().expect("a command has a word");
        if let OperandKind::Function(name) = &first.kind {
            return self.call(name, command, dot, last);
        }
        let value = self.operand(first, dot)?;
        if let Value::Heading(text) = &*value {
            return Ok(Cow::Owned((*text).into()));
        }
        if let Value::Lookup(map) = &*value {
            let key = match (rest, last) {
                ([key], None) => self.operand(key, dot)?,
                ([], Some(key)) => key,
                _ => return Err(of(first, "wrong number of args for Label: want 1 got 0")),
            };
            let found = map.get(&key.show()).cloned().unwrap_or_default();
            return Ok(Cow::Owned(Value::Str(found)));
        }
        if rest.is_empty() && last.is_none() {
            return Ok(value);
        }
        let text = match &first.kind {
            OperandKind::Field(names) => format!(
                "{} has arguments but cannot be invoked as function",
                names.last().map_or("", String::as_str)
            ),
            OperandKind::Nil => "nil is not a command".to_owned(),
            _ => format!("can't give argument to non-function {}", value.show()),
        };
        Err(of(first, text))
    }

    fn call(
        &mut self,
        name: &str,
        command: &[Operand],
        dot: &Shared<'v>,
        last: Option<Shared<'v>>,
    ) -> Result<Shared<'v>, Failure> {
        let rest = &command[1..];
        let stops = match name {
            "and" => Some(false),
            "or" => Some(true),
            _ => None,
        };
        let mut values = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            let value = self.argument(operand, dot)?;
            if stops == Some(value.is_true()) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        let end = command.last().expect("it has a word").end;
        let failed = |text| Failure {
            at: command[0].at,
            end,
            column: command[0].at,
            text,
        };
        let count = functions::check_count(name, values.len());
        count.map_err(|text| of(&command[0], text))?;
        if stops.is_some() {
            return Ok(values.pop().expect("they have at least one argument"));
        }
        let values: Vec<&Value> = values.iter().map(AsRef::as_ref).collect();
        functions::call(name, &values)
            .map(Cow::Owned)
            .map_err(|text| failed(format!("error calling {name}: {text}")))
    }

    /// A word that stands as an argument: a function without arguments is called.
    fn argument(&mut self, operand: &Operand, dot: &Shared<'v>) -> Result<Shared<'v>, Failure> {
        match &operand.kind {
            OperandKind::Function(name) => {
                self.call(name, std::slice::from_ref(operand), dot, None)
            }
            _ => self.operand(operand, dot),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Shared<'v>) -> Result<Shared<'v>, Failure> {
        let owned = |value: Value| Ok(Cow::Owned(value));
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => owned(Value::Null),
            OperandKind::Bool(on) => owned(Value::Bool(*on)),
            OperandKind::Int(number) => owned(Value::Int(*number)),
            OperandKind::Float(number) => owned(Value::Float(*number)),
            OperandKind::Text(text) => owned(Value::Str(text.clone())),
            OperandKind::Field(names) => fields(dot.clone(), names, operand),
            OperandKind::Variable(name, names) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known.map_or_else(|| self.root.clone(), |(_, value)| value.clone());
                fields(value, names, operand)
            }
            OperandKind::Pipe(pipe, names) => {
                let value = self.evaluate(pipe, dot)?;
                fields(value, names, operand)
            }
            OperandKind::Function(name) => {
                self.call(name, std::slice::from_ref(operand), dot, None)
            }
        }
    }
}

fn of(operand: &Operand, text: impl Into<String>) -> Failure {
    Failure {
        at: operand.at,
        end: operand.end,
        column: operand.column,
        text: text.into(),
    }
}

fn place(pipe: &Pipe) -> (usize, usize) {
    let first = pipe.commands.first().and_then(|command| command.first());
    let last = pipe.commands.last().and_then(|command| command.last());
    (
        first.map_or(0, |operand| operand.at),
        last.map_or(0, |operand| operand.end),
    )
}

/// What a loop goes over, with keys; none: it is nothing to loop over.
fn items<'v>(value: &Shared<'v>) -> Option<Vec<(Value, Shared<'v>)>> {
    let numbered = |at: usize| Value::Int(at as i64);
    Some(match value {
        Cow::Borrowed(Value::List(items)) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (numbered(at), Cow::Borrowed(item)))
            .collect(),
        Cow::Borrowed(Value::Map(items)) => items
            .iter()
            .map(|(key, item)| (Value::Str(key.clone()), Cow::Borrowed(item)))
            .collect(),
        Cow::Owned(Value::List(items)) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (numbered(at), Cow::Owned(item.clone())))
            .collect(),
        Cow::Owned(Value::Map(items)) => items
            .iter()
            .map(|(key, item)| (Value::Str(key.clone()), Cow::Owned(item.clone())))
            .collect(),
        other => match &**other {
            Value::Null | Value::Missing => Vec::new(),
            Value::Int(count) => (0..*count)
                .map(|at| (Value::Int(at), Cow::Owned(Value::Int(at))))
                .collect(),
            _ => return None,
        },
    })
}

fn fields<'v>(
    mut value: Shared<'v>,
    names: &[String],
    operand: &Operand,
) -> Result<Shared<'v>, Failure> {
    for name in names {
        value = match value {
            Cow::Borrowed(value) => {
                Cow::Borrowed(field(value, name).map_err(|text| of(operand, text))?)
            }
            Cow::Owned(value) => Cow::Owned(
                field(&value, name)
                    .map_err(|text| of(operand, text))?
                    .clone(),
            ),
        };
    }
    Ok(value)
}

/// One step down. Podman's structs have Go names and JSON names, which differ in the case of `ID` and of a first letter.
fn field<'v>(value: &'v Value, name: &str) -> Result<&'v Value, String> {
    match value {
        Value::Map(items) => Ok(items.get(name).unwrap_or(&Value::Missing)),
        Value::Struct(of) => {
            let by = |wanted: &str| of.fields.iter().find(|(key, _)| *key == wanted);
            let found = by(name).or_else(|| match name {
                "ID" => by("Id"),
                "Id" => by("ID"),
                "SdNotifyMode" => by("sdNotifyMode"),
                _ => None,
            });
            found
                .map(|(_, value)| value)
                .ok_or_else(|| format!("can't evaluate field {name} in type {}", of.name))
        }
        Value::Null | Value::Missing => {
            Err(format!("nil pointer evaluating interface {{}}.{name}"))
        }
        other => Err(format!(
            "can't evaluate field {name} in type {}",
            other.type_name()
        )),
    }
}
