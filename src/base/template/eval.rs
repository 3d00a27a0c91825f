//! A tree and data to text.

use super::Fault;
use super::functions;
use super::parse::{Base, Branch, Command, Node, Operand, Pipeline};
use super::value::{Kind, entries, field, kind, method_map, nil, print, truth, type_name};
use serde_json::Value;

/// The most text that one template makes: `range` in `range` multiplies.
const MAX_OUTPUT: usize = 64 << 20;

/// Runs the template. `header` makes docker's functions leave their first argument as it is.
pub(super) fn run(nodes: &[Node], data: &Value, header: bool) -> Result<String, Fault> {
    let mut machine = Machine { output: String::new(), variables: vec![("$".to_owned(), data.clone())], header };
    machine.list(nodes, data)?;
    Ok(machine.output)
}

/// What a list of nodes tells the loop around it.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Machine {
    output: String,
    variables: Vec<(String, Value)>,
    header: bool,
}

impl Machine {
    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, Fault> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.output.push_str(text);
                    Flow::On
                }
                Node::Output(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        let text = if value.is_null() { "<no value>".to_owned() } else { print(&value) };
                        self.output.push_str(&text);
                    }
                    Flow::On
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if self.output.len() > MAX_OUTPUT {
                return Err(Fault::syntax(0, "the output is too long"));
            }
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, branch: &Branch, dot: &Value, with: bool) -> Result<Flow, Fault> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if truth(&value) {
            self.list(&branch.then, if with { &value } else { dot })
        } else {
            self.list(&branch.otherwise, dot)
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow, Fault> {
        let scope = self.variables.len();
        let pipeline = &branch.pipeline;
        let value = self.commands(pipeline, dot)?;
        let Some(entries) = entries(&value) else {
            let last = pipeline.commands.last().map(|c| (c.place, c.text.clone())).unwrap_or_default();
            return Err(fault(last.0, &last.1, format!("range can't iterate over {}", print(&value))));
        };
        if entries.is_empty() {
            return self.list(&branch.otherwise, dot);
        }
        for (key, item) in entries {
            match &pipeline.variables[..] {
                [one] => self.bind(one, item.clone(), pipeline.declares),
                [index, one] => {
                    self.bind(index, key, pipeline.declares);
                    self.bind(one, item.clone(), pipeline.declares);
                }
                _ => {}
            }
            let flow = self.list(&branch.then, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn bind(&mut self, name: &str, value: Value, declares: bool) {
        match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            Some(slot) if !declares => slot.1 = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    /// The pipeline's value, also put into its variable.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Fault> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Fault> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        Ok(piped.unwrap_or_default())
    }

    fn command(&mut self, command: &Command, dot: &Value, piped: Option<Value>) -> Result<Value, Fault> {
        let Some((first, rest)) = command.operands.split_first() else { return Ok(Value::Null) };
        let Base::Function(name) = &first.base else {
            let value = self.operand(first, dot)?;
            if method_map(&value).is_some() || (self.header && !first.fields.is_empty() && !rest.is_empty()) {
                let mut arguments = rest.iter().map(|o| self.operand(o, dot)).collect::<Result<Vec<_>, _>>()?;
                arguments.extend(piped);
                let name = first.fields.last().map_or("", String::as_str);
                return ask(name, &value, &arguments, self.header)
                    .map_err(|text| fault(first.place, &first.text, text));
            }
            if rest.is_empty() && piped.is_none() {
                return Ok(value);
            }
            let what = match first.fields.last() {
                Some(field) => format!("{field} is not a method but has arguments"),
                None => format!("can't give argument to non-function {}", first.text),
            };
            return Err(fault(first.place, &first.text, what));
        };
        if let Some(value) = self.shortcut(name, rest, piped.as_ref(), dot)? {
            return Ok(value);
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        let value =
            functions::call(name, arguments, self.header).map_err(|text| fault(command.place, &command.text, text))?;
        self.fields(&value, first)
    }

    /// `and` and `or` evaluate no further than they need.
    fn shortcut(
        &mut self,
        name: &str,
        rest: &[Operand],
        piped: Option<&Value>,
        dot: &Value,
    ) -> Result<Option<Value>, Fault> {
        if !matches!(name, "and" | "or") || (rest.is_empty() && piped.is_none()) {
            return Ok(None);
        }
        let mut value = Value::Null;
        for operand in rest {
            value = self.operand(operand, dot)?;
            if truth(&value) == (name == "or") {
                return Ok(Some(value));
            }
        }
        Ok(Some(piped.cloned().unwrap_or(value)))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Fault> {
        match &operand.base {
            Base::Dot => self.fields(dot, operand),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                self.fields(found.map_or(&Value::Null, |(_, value)| value), operand)
            }
            Base::Literal(value) => self.fields(value, operand),
            Base::Nil => self.fields(&Value::Null, operand),
            Base::Function(name) => {
                let value = functions::call(name, Vec::new(), self.header)
                    .map_err(|text| fault(operand.place, &operand.text, text))?;
                self.fields(&value, operand)
            }
            Base::Group(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(&value, operand)
            }
        }
    }

    /// Follows the fields behind an operand. Only what is found is copied, not the whole that it is found in.
    fn fields(&self, value: &Value, operand: &Operand) -> Result<Value, Fault> {
        let mut value = value;
        for name in &operand.fields {
            let wrong = match value {
                Value::Object(map) => match field(map, name) {
                    Some(found) => {
                        value = found;
                        continue;
                    }
                    None => match kind(map) {
                        // Whatever follows a value that is not there is not there either.
                        Some(Kind::Map | Kind::NilMap | Kind::NoValue) => return Ok(nil(Kind::NoValue)),
                        Some(Kind::NilPointer) => format!("nil pointer evaluating interface {{}}.{name}"),
                        Some(Kind::NilList) => format!("can't evaluate field {name} in type []interface {{}}"),
                        None => format!("map has no entry for key \"{name}\""),
                    },
                },
                Value::Null => format!("nil pointer evaluating interface {{}}.{name}"),
                other => format!("can't evaluate field {name} in type {}", type_name(other)),
            };
            // Which fields there are is found out by the first row, not by the head line.
            let last = operand.fields.last().unwrap_or(name);
            return if self.header { Ok(title(last).into()) } else { Err(fault(operand.place, &operand.text, wrong)) };
        }
        Ok(value.clone())
    }
}

/// Calls a method: one key, one text. Its column is named after the last part of the key, as docker names it.
fn ask(name: &str, method: &Value, arguments: &[Value], header: bool) -> Result<Value, String> {
    let [key] = arguments else {
        return Err(format!("wrong number of args for {name}: want 1 got {}", arguments.len()));
    };
    let key = key.as_str().ok_or_else(|| format!("expected string; found {}", print(key)))?;
    if header {
        return Ok(key.rsplit('.').next().unwrap_or(key).replace(['-', '_'], " ").into());
    }
    Ok(method_map(method).and_then(|map| map.get(key)).cloned().unwrap_or_else(|| "".into()))
}

/// The head of a column without a title of its own: `ExitCode` is `EXIT CODE`.
fn title(field: &str) -> String {
    let mut text = String::with_capacity(field.len() + 4);
    let mut before = ' ';
    for c in field.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push(' ');
        }
        text.extend(c.to_uppercase());
        before = c;
    }
    text
}

fn fault(place: usize, at: &str, text: impl Into<String>) -> Fault {
    Fault { place, at: Some(at.to_owned()), text: text.into() }
}
