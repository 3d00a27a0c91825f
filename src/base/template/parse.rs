//! Tokens to a tree.

use super::Fault;
use super::functions;
use super::lex::{Kind, Token};
use serde_json::Value;

/// How deep actions and parentheses may nest: the evaluator recurses as deep.
const MAX_DEPTH: usize = 100;

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// `{{pipeline}}`: its value is printed, unless it goes into a variable.
    Output(Pipeline),
    /// `{{if}}`.
    If(Branch),
    /// `{{with}}`.
    With(Branch),
    /// `{{range}}`.
    Range(Branch),
    /// `{{break}}`.
    Break,
    /// `{{continue}}`.
    Continue,
}

/// `{{if|with|range pipeline}} then {{else}} otherwise {{end}}`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands of which each gets the one before as its last argument, and the variables that take the result.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `:=` rather than `=`.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
    pub(super) place: usize,
    pub(super) text: String,
}

/// One word of a command, and the fields behind it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
    pub(super) place: usize,
    pub(super) text: String,
}

/// What an operand begins with.
#[derive(Debug)]
pub(super) enum Base {
    /// `.`.
    Dot,
    /// `$x`; `$` is the data.
    Variable(String),
    /// A constant.
    Literal(Value),
    /// `nil`.
    Nil,
    /// A function's name.
    Function(String),
    /// `( … )`.
    Group(Box<Pipeline>),
}

/// Parses all of it.
pub(super) fn parse(source: &str, tokens: Vec<Token>) -> Result<Vec<Node>, Fault> {
    let mut parser = Parser { source, tokens, at: 0, variables: vec!["$".to_owned()], ranges: 0, depth: 0 };
    let (nodes, end) = parser.list()?;
    match end {
        Stop::Source => Ok(nodes),
        Stop::End(place) => Err(Fault::syntax(place, "unexpected {{end}}")),
        Stop::Else(place) => Err(Fault::syntax(place, "unexpected {{else}}")),
    }
}

/// What ended a list of nodes.
enum Stop {
    Source,
    End(usize),
    Else(usize),
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    /// Names in scope.
    variables: Vec<String>,
    /// How many `range` we are in.
    ranges: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.source.len(), |t| t.start)
    }

    fn fault<T>(&self, text: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::syntax(self.place(), text))
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == MAX_DEPTH {
            return self.fault("nested too deeply");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Nodes up to an `{{else}}` (its `{{else` consumed), an `{{end}}` (consumed) or the end of the source.
    fn list(&mut self) -> Result<(Vec<Node>, Stop), Fault> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.get(self.at).cloned() {
            self.at += 1;
            if let Kind::Text(text) = token.kind {
                nodes.push(Node::Text(text));
                continue;
            }
            let word = match self.peek() {
                Some(Kind::Word(word)) => word.clone(),
                _ => String::new(),
            };
            match word.as_str() {
                "end" => {
                    self.at += 1;
                    self.close("end")?;
                    return Ok((nodes, Stop::End(token.start)));
                }
                "else" => {
                    self.at += 1;
                    return Ok((nodes, Stop::Else(token.start)));
                }
                "if" | "with" | "range" => {
                    self.at += 1;
                    let branch = self.deeper(|p| p.branch(&word))?;
                    nodes.push(match word.as_str() {
                        "if" => Node::If(branch),
                        "with" => Node::With(branch),
                        _ => Node::Range(branch),
                    });
                }
                "break" | "continue" => {
                    if self.ranges == 0 {
                        return self.fault(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                    }
                    self.at += 1;
                    self.close(&word)?;
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                "template" | "define" | "block" => {
                    return self.fault(format!("{{{{{word}}}}} is not supported"));
                }
                _ => {
                    let pipeline = self.pipeline()?;
                    self.close("command")?;
                    nodes.push(Node::Output(pipeline));
                }
            }
        }
        Ok((nodes, Stop::Source))
    }

    fn close(&mut self, context: &str) -> Result<(), Fault> {
        match self.peek() {
            Some(Kind::Close) => {
                self.at += 1;
                Ok(())
            }
            Some(Kind::CloseParen) => self.fault("unexpected right paren"),
            None => self.fault("unclosed action"),
            Some(_) => {
                let token = &self.tokens[self.at];
                let text = self.source.get(token.start..token.end).unwrap_or_default();
                self.fault(format!("unexpected {text:?} in {context}"))
            }
        }
    }

    /// Behind `if`, `with` or `range`.
    fn branch(&mut self, word: &str) -> Result<Branch, Fault> {
        let scope = self.variables.len();
        let pipeline = self.pipeline()?;
        self.close(word)?;
        self.ranges += usize::from(word == "range");
        let then = self.list()?;
        self.ranges -= usize::from(word == "range");
        let branch = match then {
            (_, Stop::Source) => return self.fault("unexpected EOF"),
            (then, Stop::End(_)) => Branch { pipeline, then, otherwise: Vec::new() },
            (then, Stop::Else(_)) => {
                let otherwise = self.otherwise(word)?;
                Branch { pipeline, then, otherwise }
            }
        };
        self.variables.truncate(scope);
        Ok(branch)
    }

    /// Behind `{{else`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>, Fault> {
        // `{{else if x}}` is `{{else}}{{if x}}` with one `{{end}}` for both.
        if let Some(Kind::Word(next)) = self.peek().cloned()
            && next == word
            && word != "range"
        {
            self.at += 1;
            let branch = self.deeper(|p| p.branch(word))?;
            return Ok(vec![if word == "if" { Node::If(branch) } else { Node::With(branch) }]);
        }
        self.close("else")?;
        match self.list()? {
            (nodes, Stop::End(_)) => Ok(nodes),
            (_, Stop::Else(place)) => Err(Fault::syntax(place, "unexpected {{else}}")),
            (_, Stop::Source) => self.fault("unexpected EOF"),
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Fault> {
        self.deeper(|p| {
            let (variables, declares) = p.targets()?;
            let mut commands = vec![p.command()?];
            while p.peek() == Some(&Kind::Pipe) {
                p.at += 1;
                commands.push(p.command()?);
            }
            if declares {
                p.variables.extend(variables.iter().cloned());
            }
            Ok(Pipeline { variables, declares, commands })
        })
    }

    /// `$x :=`, `$i, $x :=`, `$x =`, or nothing.
    fn targets(&mut self) -> Result<(Vec<String>, bool), Fault> {
        let start = self.at;
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek().cloned() {
            names.push(name);
            self.at += 1;
            match self.peek() {
                Some(Kind::Comma) if names.len() == 1 => self.at += 1,
                Some(Kind::Declare) => {
                    self.at += 1;
                    return Ok((names, true));
                }
                Some(Kind::Assign) => {
                    if let Some(unknown) = names.iter().find(|n| !self.variables.contains(n)) {
                        return self.fault(format!("undefined variable {unknown:?}"));
                    }
                    self.at += 1;
                    return Ok((names, false));
                }
                _ => break,
            }
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self) -> Result<Command, Fault> {
        let first = self.at;
        let mut operands = Vec::new();
        while !matches!(self.peek(), None | Some(Kind::Pipe | Kind::Close | Kind::CloseParen)) {
            operands.push(self.operand()?);
        }
        let (Some(start), Some(end)) = (operands.first(), self.tokens.get(self.at.saturating_sub(1))) else {
            return match self.peek() {
                None => self.fault("unclosed action"),
                _ => self.fault("missing value for command"),
            };
        };
        let source = self.source.get(self.tokens[first].start..end.end).unwrap_or_default();
        let (place, text) = (start.place, source.to_owned());
        Ok(Command { operands, place, text })
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        let token = self.tokens[self.at].clone();
        self.at += 1;
        let mut fields = Vec::new();
        let base = match token.kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Kind::Variable(name) if self.variables.contains(&name) => Base::Variable(name),
            Kind::Variable(name) => return Err(Fault::syntax(token.start, format!("undefined variable {name:?}"))),
            Kind::Literal(value) => Base::Literal(value),
            Kind::Word(word) => match word.as_str() {
                "true" => Base::Literal(Value::Bool(true)),
                "false" => Base::Literal(Value::Bool(false)),
                "nil" => Base::Nil,
                name if functions::exists(name) => Base::Function(word),
                _ => return Err(Fault::syntax(token.start, format!("function {word:?} not defined"))),
            },
            Kind::OpenParen => {
                let pipeline = self.pipeline()?;
                if self.peek() != Some(&Kind::CloseParen) {
                    return self.fault("unclosed left paren");
                }
                self.at += 1;
                Base::Group(Box::new(pipeline))
            }
            _ => {
                let text = self.source.get(token.start..token.end).unwrap_or_default();
                return Err(Fault::syntax(token.start, format!("unexpected {text:?} in operand")));
            }
        };
        let mut place = token.start;
        let mut chained = false;
        let mut end = self.tokens[self.at - 1].end;
        while let Some(Token { kind: Kind::Field(name), start, end: field_end }) = self.tokens.get(self.at).cloned()
            && start == end
        {
            // Go reports a chain at its second part.
            if !std::mem::replace(&mut chained, true) {
                place = start;
            }
            fields.push(name);
            end = field_end;
            self.at += 1;
        }
        let text = self.source.get(token.start..end).unwrap_or_default().to_owned();
        Ok(Operand { base, fields, place, text })
    }
}
