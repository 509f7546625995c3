//! The words of a template: text, and the tokens of its actions.

/// A piece of a template.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Piece {
    /// Text that is copied.
    Text(String),
    /// What stands between two pairs of braces.
    Action(Vec<Token>),
}

/// A token of an action.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where it begins, bytes.
    pub(super) at: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// It follows the one before without a space.
    pub(super) glued: bool,
}

/// What a token is.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind {
    /// `.`
    Dot,
    /// `.A.B`
    Field(Vec<String>),
    /// `$a.B`, the name without `$`
    Variable(String, Vec<String>),
    /// A word.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// A whole number, or a character.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
}

/// Where something is wrong, and what.
pub(super) struct Trouble {
    pub(super) at: usize,
    pub(super) text: String,
}

fn trouble<T>(at: usize, text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble {
        at,
        text: text.into(),
    })
}

/// Takes a template apart.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, Trouble> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut trim_left = false;
    while let Some(open) = text[at..].find("{{").map(|open| open + at) {
        let mut inside = open + 2;
        let trims = text[inside..].starts_with('-') && blank(text, inside + 1);
        let mut plain = &text[at..open];
        if trim_left {
            plain = plain.trim_start();
        }
        if trims {
            plain = plain.trim_end();
            inside += 1;
        }
        if !plain.is_empty() {
            found.push(Piece::Text(plain.to_owned()));
        }
        let comment = text[inside..].trim_start();
        if comment.starts_with("/*") {
            (at, trim_left) = skip_comment(text, text.len() - comment.len(), open)?;
            continue;
        }
        let mut lexer = Lexer {
            text,
            at: inside,
            open,
            tokens: Vec::new(),
        };
        trim_left = lexer.action()?;
        at = lexer.at;
        found.push(Piece::Action(lexer.tokens));
    }
    let rest = &text[at..];
    let rest = if trim_left { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        found.push(Piece::Text(rest.to_owned()));
    }
    Ok(found)
}

fn blank(text: &str, at: usize) -> bool {
    text[at..].starts_with([' ', '\t', '\r', '\n'])
}

/// The end of a comment, and whether it trims what follows.
fn skip_comment(text: &str, from: usize, open: usize) -> Result<(usize, bool), Trouble> {
    let Some(end) = text[from + 2..].find("*/").map(|end| end + from + 4) else {
        return trouble(open, "unclosed comment");
    };
    let rest = &text[end..];
    if rest.starts_with("}}") {
        return Ok((end + 2, false));
    }
    let spaced = rest.trim_start();
    if spaced.len() < rest.len() && spaced.starts_with("-}}") {
        return Ok((text.len() - spaced.len() + 3, true));
    }
    trouble(open, "comment ends before closing delimiter")
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    open: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Reads an action to its end; whether it trims what follows.
    fn action(&mut self) -> Result<bool, Trouble> {
        let mut spaced = true;
        loop {
            let before = self.at;
            self.at += self.rest().len() - self.rest().trim_start().len();
            spaced |= self.at > before;
            if self.at > before && self.rest().starts_with("-}}") {
                self.at += 3;
                return Ok(true);
            }
            if self.rest().starts_with("}}") {
                self.at += 2;
                return Ok(false);
            }
            let at = self.at;
            let kind = self.token()?;
            self.tokens.push(Token {
                kind,
                at,
                end: self.at,
                glued: !spaced,
            });
            spaced = false;
        }
    }

    fn token(&mut self) -> Result<Kind, Trouble> {
        let Some(first) = self.rest().chars().next() else {
            return trouble(self.open, "unclosed action");
        };
        let next = self.rest()[first.len_utf8()..].chars().next();
        let simple = match first {
            '|' => Some(Kind::Pipe),
            '(' => Some(Kind::Open),
            ')' => Some(Kind::Close),
            ',' => Some(Kind::Comma),
            '=' => Some(Kind::Assign),
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            return Ok(kind);
        }
        match first {
            ':' if next == Some('=') => {
                self.at += 2;
                Ok(Kind::Declare)
            }
            ':' => trouble(self.at, "expected :="),
            '"' => self.quoted(),
            '`' => self.raw(),
            '\'' => self.character(),
            '.' if next.is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '.' => Ok(match self.fields() {
                fields if fields.is_empty() => {
                    self.at += 1;
                    Kind::Dot
                }
                fields => Kind::Field(fields),
            }),
            '$' => {
                self.at += 1;
                let name = self.word();
                Ok(Kind::Variable(name, self.fields()))
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-') => self.number(),
            c if c.is_alphabetic() || c == '_' => Ok(Kind::Word(self.word())),
            c => trouble(
                self.at,
                format!("unexpected {:?} in command", c.to_string()),
            ),
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let word = rest[..end.unwrap_or(rest.len())].to_owned();
        self.at += word.len();
        word
    }

    /// `.A.B`; nothing is read where no name follows the dot.
    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while self.rest().starts_with('.') {
            self.at += 1;
            let word = self.word();
            if word.is_empty() {
                self.at -= 1;
                break;
            }
            fields.push(word);
        }
        fields
    }

    fn number(&mut self) -> Result<Kind, Trouble> {
        let at = self.at;
        let rest = self.rest();
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
        let end = rest.find(|c: char| !inner(c)).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        let digits = word.replace('_', "");
        let plain = digits.strip_prefix('+').unwrap_or(&digits);
        let radix = |prefix: &str, radix| {
            let digits = plain.strip_prefix(prefix)?;
            i64::from_str_radix(digits, radix).ok()
        };
        let whole = radix("0x", 16)
            .or_else(|| radix("0o", 8))
            .or_else(|| radix("0b", 2))
            .or_else(|| plain.parse().ok());
        match (whole, plain.parse::<f64>()) {
            (Some(number), _) => Ok(Kind::Int(number)),
            (None, Ok(number)) => Ok(Kind::Float(number)),
            _ => trouble(at, format!("bad number syntax: {word:?}")),
        }
    }

    fn raw(&mut self) -> Result<Kind, Trouble> {
        let from = self.at + 1;
        let Some(end) = self.text[from..].find('`') else {
            return trouble(self.at, "unterminated raw quoted string");
        };
        self.at = from + end + 1;
        Ok(Kind::Text(self.text[from..from + end].to_owned()))
    }

    fn quoted(&mut self) -> Result<Kind, Trouble> {
        let from = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.one()? {
                Some((_, '\n')) | None => return trouble(from, "unterminated quoted string"),
                Some((false, '"')) => return Ok(Kind::Text(text)),
                Some((_, c)) => text.push(c),
            }
        }
    }

    fn character(&mut self) -> Result<Kind, Trouble> {
        let from = self.at;
        self.at += 1;
        let value = self.one()?;
        let end = self.one()?;
        match (value, end) {
            (Some((_, value)), Some((false, '\''))) => Ok(Kind::Int(i64::from(u32::from(value)))),
            _ => trouble(from, "unterminated character constant"),
        }
    }

    /// One character of a quoted text, and whether it was written as an escape.
    fn one(&mut self) -> Result<Option<(bool, char)>, Trouble> {
        let from = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Ok(None);
        };
        self.at += first.len_utf8();
        if first != '\\' {
            return Ok(Some((false, first)));
        }
        let Some(escape) = self.rest().chars().next() else {
            return Ok(None);
        };
        self.at += escape.len_utf8();
        let hex = |digits: usize| {
            let word = self.text.get(self.at..self.at + digits)?;
            u32::from_str_radix(word, 16).ok().and_then(char::from_u32)
        };
        let (value, more) = match escape {
            'n' => (Some('\n'), 0),
            't' => (Some('\t'), 0),
            'r' => (Some('\r'), 0),
            '\\' | '"' | '\'' => (Some(escape), 0),
            'x' => (hex(2), 2),
            'u' => (hex(4), 4),
            _ => (None, 0),
        };
        match value {
            Some(value) => {
                self.at += more;
                Ok(Some((true, value)))
            }
            None => trouble(from, "invalid syntax"),
        }
    }
}
