//! Text to tokens with their places in the source.

use super::Fault;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Text outside of actions.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `.` alone.
    Dot,
    /// `.Name`, without the dot.
    Field(String),
    /// `$` or `$name`, with the dollar.
    Variable(String),
    /// A word: a keyword or a function.
    Word(String),
    /// A string or a character's number, as its value.
    Literal(serde_json::Value),
    /// `|`.
    Pipe,
    /// `(`.
    OpenParen,
    /// `)`.
    CloseParen,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
    /// `,`.
    Comma,
}

/// A token, from byte `start` to before byte `end`.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// All tokens of `source`.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    let mut trim_next = false;
    while lexer.at < source.len() {
        let text_start = lexer.at;
        let open = source[text_start..].find("{{").map(|i| text_start + i);
        let text_end = open.unwrap_or(source.len());
        let trim_this = open.is_some_and(|o| {
            let rest = &source[o + 2..];
            rest.starts_with('-') && rest[1..].starts_with(char::is_whitespace)
        });
        let mut text = &source[text_start..text_end];
        if trim_next {
            text = text.trim_start();
        }
        if trim_this {
            text = text.trim_end();
        }
        if !text.is_empty() {
            lexer.push(Kind::Text(text.to_owned()), text_start, text_end);
        }
        let Some(open) = open else { break };
        lexer.at = open + 2 + usize::from(trim_this);
        trim_next = lexer.action(open)?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.tokens.push(Token { kind, start, end });
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    /// Reads up to and with the action's end; true when text behind it loses its leading space.
    fn action(&mut self, open: usize) -> Result<bool, Fault> {
        if self.rest().trim_start().starts_with("/*") {
            return self.comment();
        }
        self.push(Kind::Open, open, self.at);
        loop {
            let spaces = self.rest().len() - self.rest().trim_start().len();
            if spaces > 0 && self.rest().trim_start().starts_with("-}}") {
                self.at += spaces + 3;
                self.push(Kind::Close, self.at - 2, self.at);
                return Ok(true);
            }
            self.at += spaces;
            if self.rest().starts_with("}}") {
                self.at += 2;
                self.push(Kind::Close, self.at - 2, self.at);
                return Ok(false);
            }
            self.token()?;
        }
    }

    fn comment(&mut self) -> Result<bool, Fault> {
        let fault = |text: &str| Fault::syntax(self.at, text);
        let end = self.rest().find("*/").ok_or_else(|| fault("unclosed comment"))?;
        let after = &self.rest()[end + 2..];
        let (trim, length) = match after {
            a if a.starts_with("}}") => (false, 2),
            a if a.trim_start().starts_with("-}}") && a.starts_with(char::is_whitespace) => {
                (true, a.len() - a.trim_start().len() + 3)
            }
            _ => return Err(fault("comment ends before closing delimiter")),
        };
        self.at += end + 2 + length;
        Ok(trim)
    }

    fn token(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let Some(c) = self.rest().chars().next() else { return Err(Fault::syntax(start, "unclosed action")) };
        let kind = match c {
            '|' => self.take(1, Kind::Pipe),
            '(' => self.take(1, Kind::OpenParen),
            ')' => self.take(1, Kind::CloseParen),
            ',' => self.take(1, Kind::Comma),
            '=' => self.take(1, Kind::Assign),
            ':' if self.rest().starts_with(":=") => self.take(2, Kind::Declare),
            '"' => Kind::Literal(self.quoted()?.into()),
            '`' => Kind::Literal(self.raw()?.into()),
            '\'' => Kind::Literal(self.character()?.into()),
            '$' => {
                self.at += 1;
                Kind::Variable(format!("${}", self.word()))
            }
            '.' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
            '.' => {
                self.at += 1;
                match self.word() {
                    name if name.is_empty() => Kind::Dot,
                    name => Kind::Field(name),
                }
            }
            '+' | '-' | '0'..='9' => self.number()?,
            c if c.is_alphabetic() || c == '_' => Kind::Word(self.word()),
            c => return Err(Fault::syntax(start, format!("unexpected {c:?} in command"))),
        };
        self.push(kind, start, self.at);
        Ok(())
    }

    fn take(&mut self, bytes: usize, kind: Kind) -> Kind {
        self.at += bytes;
        kind
    }

    fn word(&mut self) -> String {
        let end = self.rest().find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        let end = self
            .rest()
            .char_indices()
            .find(|(i, c)| {
                let sign = matches!(c, '+' | '-') && (*i == 0 || self.rest()[..*i].ends_with(['e', 'E']));
                !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || sign)
            })
            .map_or(self.rest().len(), |(i, _)| i);
        let text = self.rest()[..end].to_owned();
        self.at += end;
        number(&text).map(Kind::Literal).ok_or_else(|| Fault::syntax(start, format!("bad number syntax: {text:?}")))
    }

    fn raw(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let end = self.rest()[1..].find('`').ok_or_else(|| Fault::syntax(start, "unterminated raw quoted string"))?;
        let text = self.rest()[1..=end].to_owned();
        self.at += end + 2;
        Ok(text)
    }

    fn character(&mut self) -> Result<u32, Fault> {
        let start = self.at;
        let text = self.delimited('\'', "unterminated character constant")?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(u32::from(c)),
            _ => Err(Fault::syntax(start, "malformed character constant")),
        }
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        self.delimited('"', "unterminated quoted string")
    }

    /// A Go string or character with its escapes; stands on the opening quote.
    fn delimited(&mut self, quote: char, unterminated: &str) -> Result<String, Fault> {
        let start = self.at;
        let fault = |text: &str| Fault::syntax(start, text);
        let mut text = String::new();
        let mut chars = self.source[start + 1..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at = start + 1 + i + 1;
                    return Ok(text);
                }
                '\n' => break,
                '\\' => {
                    let Some((_, escape)) = chars.next() else { break };
                    let mut hex = |digits: usize| {
                        let code: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                        u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)
                    };
                    let unescaped = match escape {
                        'n' => Some('\n'),
                        't' => Some('\t'),
                        'r' => Some('\r'),
                        'a' => Some('\x07'),
                        'b' => Some('\x08'),
                        'f' => Some('\x0c'),
                        'v' => Some('\x0b'),
                        '\\' | '"' | '\'' => Some(escape),
                        'x' => hex(2),
                        'u' => hex(4),
                        'U' => hex(8),
                        _ => None,
                    };
                    text.push(unescaped.ok_or_else(|| fault("invalid syntax"))?);
                }
                c => text.push(c),
            }
        }
        Err(fault(unterminated))
    }
}

/// A Go number: decimal, `0x`, `0o`, `0b`, with `_`, or a float.
fn number(text: &str) -> Option<serde_json::Value> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            let n = i64::from_str_radix(rest, radix).ok()?;
            return Some(if negative { n.checked_neg()? } else { n }.into());
        }
    }
    if let Ok(n) = plain.parse::<i64>() {
        return Some(n.into());
    }
    let n: f64 = plain.parse().ok().filter(|n: &f64| n.is_finite())?;
    // A float that is a whole number may stand where an integer is wanted (Go's ideal constants).
    if n.fract() == 0.0 && n.abs() < 1e15 { Some((n as i64).into()) } else { Some(n.into()) }
}
