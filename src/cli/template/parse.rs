//! The tree of a template (Go's text/template, as far as formats use it).

use super::functions;
use super::lex::{Kind, Piece, Token, Trouble, pieces};

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Copied as it is.
    Text(String),
    /// Evaluated and printed.
    Print(Pipe),
    /// `if`, `with`, `range`.
    Block(Block),
    /// `{{break}}`
    Break,
    /// `{{continue}}`
    Continue,
}

/// What kind of block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BlockKind {
    If,
    With,
    Range,
}

/// A block with its two branches.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, the value of each being the last argument of the next.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Variables that get the value.
    pub(super) variables: Vec<String>,
    /// They exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// One word of a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) kind: OperandKind,
    /// Where it begins, bytes.
    pub(super) at: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Where Go says that it is: a chain of fields at its second one.
    pub(super) column: usize,
}

/// What a word is.
#[derive(Debug)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>, Vec<String>),
}

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Trouble> {
    let mut parser = Parser {
        pieces: pieces(text)?.into_iter(),
        end: text.len(),
        at: 0,
        variables: Vec::new(),
        ranges: 0,
    };
    let (nodes, ended) = parser.nodes()?;
    match ended {
        Ended::Text => Ok(nodes),
        Ended::End(at) => trouble(at, "unexpected {{end}}"),
        Ended::Else(at, _) => trouble(at, "unexpected {{else}}"),
    }
}

fn trouble<T>(at: usize, text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble {
        at,
        text: text.into(),
    })
}

/// Why a list of nodes ended.
enum Ended {
    Text,
    End(usize),
    /// With the rest of `else if`.
    Else(usize, Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    end: usize,
    /// Where the action begins that is being read.
    at: usize,
    variables: Vec<String>,
    ranges: usize,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Ended), Trouble> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let Some(first) = tokens.first() else {
                return trouble(self.at, "missing value for command");
            };
            self.at = first.at;
            let (at, word) = match &first.kind {
                Kind::Word(word) => (first.at, word.as_str()),
                _ => (first.at, ""),
            };
            match word {
                "end" if tokens.len() == 1 => return Ok((nodes, Ended::End(at))),
                "else" => return Ok((nodes, Ended::Else(at, tokens[1..].to_vec()))),
                "if" | "with" | "range" => nodes.push(self.block(&tokens)?),
                "break" | "continue" if self.ranges == 0 => {
                    return trouble(at, format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "define" | "template" | "block" | "end" => {
                    return trouble(at, format!("unexpected {{{{{word}}}}}"));
                }
                _ => nodes.push(Node::Print(self.pipe(&tokens, "command")?)),
            }
        }
        Ok((nodes, Ended::Text))
    }

    fn block(&mut self, tokens: &[Token]) -> Result<Node, Trouble> {
        let (kind, context) = match &tokens[0].kind {
            Kind::Word(word) if word == "if" => (BlockKind::If, "if"),
            Kind::Word(word) if word == "with" => (BlockKind::With, "with"),
            _ => (BlockKind::Range, "range"),
        };
        let known = self.variables.len();
        let pipe = self.pipe(&tokens[1..], context)?;
        let is_range = usize::from(kind == BlockKind::Range);
        self.ranges += is_range;
        let (body, ended) = self.nodes()?;
        self.ranges -= is_range;
        let otherwise = match ended {
            Ended::Text => return trouble(self.end, "unexpected EOF"),
            Ended::End(_) => Vec::new(),
            Ended::Else(_, rest) if rest.is_empty() => match self.nodes()? {
                (nodes, Ended::End(_)) => nodes,
                (_, Ended::Else(at, _)) => return trouble(at, "expected end; found {{else}}"),
                (_, Ended::Text) => return trouble(self.end, "unexpected EOF"),
            },
            // `else if`: one `end` closes both.
            Ended::Else(at, rest) => match &rest[0].kind {
                Kind::Word(word) if word == context && kind != BlockKind::Range => {
                    vec![self.block(&rest)?]
                }
                _ => return trouble(at, format!("unexpected <{context}> in else")),
            },
        };
        self.variables.truncate(known);
        Ok(Node::Block(Block {
            kind,
            pipe,
            body,
            otherwise,
        }))
    }

    fn pipe(&mut self, tokens: &[Token], context: &str) -> Result<Pipe, Trouble> {
        let mut rest = tokens;
        let (variables, assigns) = self.declarations(&mut rest, context)?;
        let pipe = self.commands(&mut rest, context)?;
        if let Some(token) = rest.first() {
            return trouble(token.at, "unexpected right paren");
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe {
            variables,
            assigns,
            ..pipe
        })
    }

    /// `$a := `, `$a, $b := ` and the same with `=`.
    fn declarations(
        &self,
        rest: &mut &[Token],
        context: &str,
    ) -> Result<(Vec<String>, bool), Trouble> {
        let name = |token: &Token| match &token.kind {
            Kind::Variable(name, fields) if fields.is_empty() && !name.is_empty() => {
                Some(name.clone())
            }
            _ => None,
        };
        let kinds: Vec<&Kind> = rest.iter().take(4).map(|token| &token.kind).collect();
        let (names, sign) = match kinds[..] {
            [_, sign @ (Kind::Declare | Kind::Assign), ..] => (vec![&rest[0]], sign),
            [_, Kind::Comma, _, sign @ (Kind::Declare | Kind::Assign)] if context == "range" => {
                (vec![&rest[0], &rest[2]], sign)
            }
            _ => return Ok((Vec::new(), false)),
        };
        let Some(variables) = names
            .iter()
            .map(|token| name(token))
            .collect::<Option<Vec<_>>>()
        else {
            return trouble(rest[0].at, "unexpected \":=\" in operand");
        };
        let assigns = *sign == Kind::Assign;
        if assigns && let Some(unknown) = variables.iter().find(|name| !self.knows(name)) {
            return trouble(rest[0].at, format!("undefined variable \"${unknown}\""));
        }
        *rest = &rest[names.len() * 2..];
        Ok((variables, assigns))
    }

    fn knows(&self, variable: &str) -> bool {
        variable.is_empty() || self.variables.iter().any(|known| known == variable)
    }

    /// Commands until the end, or the `)` that closes them.
    fn commands(&mut self, rest: &mut &[Token], context: &str) -> Result<Pipe, Trouble> {
        let mut commands = vec![Vec::new()];
        while let Some(token) = rest.first() {
            if token.kind == Kind::Close {
                break;
            }
            *rest = &rest[1..];
            if token.kind == Kind::Pipe {
                if commands.last().is_some_and(Vec::is_empty) {
                    return trouble(token.at, format!("missing value for {context}"));
                }
                commands.push(Vec::new());
                continue;
            }
            let operand = self.operand(token, rest)?;
            let command = commands.last_mut().expect("there is one from the start");
            command.push(operand);
        }
        if commands.iter().any(Vec::is_empty) {
            return trouble(self.at, format!("missing value for {context}"));
        }
        for command in &commands[1..] {
            let first = &command[0];
            if !matches!(
                first.kind,
                OperandKind::Function(_) | OperandKind::Field(_) | OperandKind::Variable(..)
            ) {
                return trouble(first.at, "non executable command in pipeline stage 2");
            }
        }
        Ok(Pipe {
            variables: Vec::new(),
            assigns: false,
            commands,
        })
    }

    fn operand(&mut self, token: &Token, rest: &mut &[Token]) -> Result<Operand, Trouble> {
        let mut end = token.end;
        let kind = match &token.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field(names) => OperandKind::Field(names.clone()),
            Kind::Variable(name, _) if !self.knows(name) => {
                return trouble(token.at, format!("undefined variable \"${name}\""));
            }
            Kind::Variable(name, names) => OperandKind::Variable(name.clone(), names.clone()),
            Kind::Text(text) => OperandKind::Text(text.clone()),
            Kind::Int(number) => OperandKind::Int(*number),
            Kind::Float(number) => OperandKind::Float(*number),
            Kind::Word(word) => match word.as_str() {
                "true" | "false" => OperandKind::Bool(word == "true"),
                "nil" => OperandKind::Nil,
                name if functions::exists(name) => OperandKind::Function(name.to_owned()),
                name => return trouble(token.at, format!("function {name:?} not defined")),
            },
            Kind::Open => {
                let pipe = self.commands(rest, "parenthesized pipeline")?;
                let Some(close) = rest.first() else {
                    return trouble(token.at, "unclosed left paren");
                };
                end = close.end;
                *rest = &rest[1..];
                let mut names = Vec::new();
                if let Some(next) = rest.first()
                    && let (Kind::Field(more), true) = (&next.kind, next.glued)
                {
                    names = more.clone();
                    end = next.end;
                    *rest = &rest[1..];
                }
                OperandKind::Pipe(Box::new(pipe), names)
            }
            Kind::Close | Kind::Pipe => return trouble(token.at, "unexpected right paren"),
            Kind::Declare => return trouble(token.at, "unexpected \":=\" in operand"),
            Kind::Assign => return trouble(token.at, "unexpected \"=\" in operand"),
            Kind::Comma => return trouble(token.at, "unexpected \",\" in operand"),
        };
        let column = match &kind {
            OperandKind::Field(names) if names.len() > 1 => token.at + 1 + names[0].len(),
            OperandKind::Variable(name, names) if !names.is_empty() => token.at + 1 + name.len(),
            _ => token.at,
        };
        Ok(Operand {
            kind,
            at: token.at,
            end,
            column,
        })
    }
}
