//! The functions of a template: Go's own and docker's.

use super::printf::printf;
use super::value::{compare, json, plain, print, shown, truth, type_name};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A function's name and how many arguments it takes, at least and at most.
const FUNCTIONS: [(&str, usize, usize); 26] = [
    ("and", 1, usize::MAX),
    ("or", 1, usize::MAX),
    ("not", 1, 1),
    ("len", 1, 1),
    ("index", 1, usize::MAX),
    ("slice", 1, 4),
    ("print", 0, usize::MAX),
    ("println", 0, usize::MAX),
    ("printf", 1, usize::MAX),
    ("html", 0, usize::MAX),
    ("js", 0, usize::MAX),
    ("urlquery", 0, usize::MAX),
    ("eq", 2, usize::MAX),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("json", 1, 1),
    ("split", 2, 2),
    ("join", 2, 2),
    ("title", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("pad", 3, 3),
    ("truncate", 2, 2),
];

/// True when there is a function of this name.
pub(super) fn exists(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _, _)| *known == name)
}

/// Calls a function; the error is what stands behind the place.
pub(super) fn call(name: &str, arguments: Vec<Value>, header: bool) -> Result<Value, String> {
    let Some((_, least, most)) = FUNCTIONS.iter().find(|(known, _, _)| *known == name) else {
        return Err(format!("function {name:?} not defined"));
    };
    let got = arguments.len();
    if got < *least || got > *most {
        let want = if most == least { least.to_string() } else { format!("at least {least}") };
        return Err(format!("wrong number of args for {name}: want {want} got {got}"));
    }
    if header && matches!(name, "json" | "split" | "join" | "title" | "lower" | "upper" | "truncate" | "pad") {
        return Ok(arguments.into_iter().next().unwrap_or_default());
    }
    let arguments = if name == "json" { arguments } else { arguments.into_iter().map(plain).collect() };
    apply(name, &arguments).map_err(|text| format!("error calling {name}: {text}"))
}

fn apply(name: &str, args: &[Value]) -> Result<Value, String> {
    Ok(match name {
        "and" => args.iter().find(|v| !truth(v)).or(args.last()).cloned().unwrap_or_default(),
        "or" => args.iter().find(|v| truth(v)).or(args.last()).cloned().unwrap_or_default(),
        "not" => (!truth(&args[0])).into(),
        "len" => length(&args[0])?.into(),
        "index" => return index(&args[0], &args[1..]),
        "slice" => return slice(&args[0], &args[1..]),
        "print" => joined(args).into(),
        "println" => format!("{}\n", args.iter().map(print).collect::<Vec<_>>().join(" ")).into(),
        "printf" => printf(text(&args[0])?, &args[1..]).into(),
        "html" => escape(&joined(args), |c| match c {
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '&' => Some("&amp;"),
            '"' => Some("&#34;"),
            '\'' => Some("&#39;"),
            _ => None,
        })
        .into(),
        "js" => escape(&joined(args), |c| match c {
            '\\' => Some("\\\\"),
            '\'' => Some("\\'"),
            '"' => Some("\\\""),
            '<' => Some("\\u003C"),
            '>' => Some("\\u003E"),
            '&' => Some("\\u0026"),
            '=' => Some("\\u003D"),
            '\n' => Some("\\n"),
            _ => None,
        })
        .into(),
        "urlquery" => query_escape(&joined(args)).into(),
        "eq" => return equal(&args[0], &args[1..]),
        "ne" => Value::Bool(equal(&args[0], &args[1..])? != Value::Bool(true)),
        "lt" | "le" | "gt" | "ge" => ordered(name, &args[0], &args[1])?.into(),
        "json" => json(&args[0]).into(),
        "split" => text(&args[0])?.split(text(&args[1])?).map(str::to_owned).collect::<Vec<_>>().into(),
        "join" => match &args[0] {
            Value::Array(list) => list.iter().map(print).collect::<Vec<_>>().join(text(&args[1])?).into(),
            Value::Null => "".into(),
            other => return Err(format!("can't join a value of type {}", type_name(other))),
        },
        "title" => title(text(&args[0])?).into(),
        "lower" => text(&args[0])?.to_lowercase().into(),
        "upper" => text(&args[0])?.to_uppercase().into(),
        "pad" => match text(&args[0])? {
            "" => "".into(),
            source => format!("{}{source}{}", spaces(&args[1])?, spaces(&args[2])?).into(),
        },
        "truncate" => text(&args[0])?.chars().take(position(&args[1])?).collect::<String>().into(),
        _ => return Err("not defined".to_owned()),
    })
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("wrong type for value; expected string; got {}", type_name(value)))
}

fn position(value: &Value) -> Result<usize, String> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| format!("wrong value; expected a number from 0 on; got {}", print(value)))
}

fn spaces(value: &Value) -> Result<String, String> {
    Ok(" ".repeat(position(value)?.min(1000)))
}

/// Go's `fmt.Sprint`: a space between two operands when neither is a string.
fn joined(args: &[Value]) -> String {
    let mut text = String::new();
    for (i, value) in args.iter().enumerate() {
        if i > 0 && !value.is_string() && !args[i - 1].is_string() {
            text.push(' ');
        }
        text.push_str(&print(value));
    }
    text
}

fn escape(source: &str, special: impl Fn(char) -> Option<&'static str>) -> String {
    let mut text = String::with_capacity(source.len());
    for c in source.chars() {
        match special(c) {
            Some(escaped) => text.push_str(escaped),
            None => text.push(c),
        }
    }
    text
}

/// Go's `url.QueryEscape`; docker prints log details in it, too.
pub(crate) fn query_escape(source: &str) -> String {
    let mut text = String::new();
    for byte in source.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            b' ' => text.push('+'),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn title(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut inside = false;
    for c in source.chars() {
        if inside {
            text.push(c)
        } else {
            text.extend(c.to_uppercase())
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    text
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(s) => Ok(s.len()),
        Value::Array(a) => Ok(a.len()),
        Value::Object(o) => Ok(shown(o).count()),
        // Go prints a list or a map that nobody set as null, too.
        Value::Null => Ok(0),
        other => Err(format!("len of type {}", type_name(other))),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for key in keys {
        value = match &value {
            Value::Null if key.is_string() => "".into(),
            Value::Null => return Err("index of untyped nil".to_owned()),
            Value::Object(map) => map.get(text(key)?).cloned().unwrap_or_else(|| zero(map)),
            Value::Array(list) => {
                let at =
                    key.as_i64().ok_or_else(|| format!("cannot index slice/array with type {}", type_name(key)))?;
                let found = usize::try_from(at).ok().and_then(|at| list.get(at));
                found.cloned().ok_or_else(|| format!("index out of range: {at}"))?
            }
            Value::String(s) => {
                let at = position(key)?;
                s.as_bytes().get(at).copied().ok_or_else(|| format!("index out of range: {at}"))?.into()
            }
            other => return Err(format!("can't index item of type {}", type_name(other))),
        };
    }
    Ok(value)
}

/// What Go's map has for a missing key, the zero of its type: an empty text in one of texts, such as labels.
fn zero(map: &Map<String, Value>) -> Value {
    if shown(map).all(|(_, value)| value.is_string()) { "".into() } else { Value::Null }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = length(value)?;
    let bound = |i: usize, default: usize| bounds.get(i).map_or(Ok(default), position);
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to || to > length {
        return Err(format!("index out of range: {}", if to > length { to } else { from }));
    }
    match value {
        Value::Array(list) => Ok(list[from..to].to_vec().into()),
        Value::String(s) => Ok(String::from_utf8_lossy(&s.as_bytes()[from..to]).into_owned().into()),
        other => Err(format!("can't slice item of type {}", type_name(other))),
    }
}

fn equal(first: &Value, others: &[Value]) -> Result<Value, String> {
    for other in others {
        let same = match (first, other) {
            (Value::Null, _) | (_, Value::Null) => first.is_null() && other.is_null(),
            _ => {
                let order = compare(first, other).ok_or("incompatible types for comparison")?;
                order == Ordering::Equal
            }
        };
        if same {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn ordered(name: &str, a: &Value, b: &Value) -> Result<bool, String> {
    if a.is_null() || a.is_boolean() {
        return Err("invalid type for comparison".to_owned());
    }
    let order = compare(a, b).ok_or("incompatible types for comparison")?;
    Ok(match name {
        "lt" => order == Ordering::Less,
        "le" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}
