//! JSON values as Go would see them: printed, compared, counted.

use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Key of an object's further fields: found by name, shown by no function. No text from outside can be an object here.
const ALSO: &str = "\0also";
/// Key of the map behind a method.
const METHOD: &str = "\0method";

/// Key of what a Go type says of an object beyond its entries, a [`Kind`] as a number: no text from outside can be one here.
const KIND: &str = "\0kind";

/// What JSON does not tell of a Go value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A map: a key that is not there has no value, which is no mistake as a wrong field is.
    Map,
    /// A map that nobody made.
    NilMap,
    /// A list that nobody made.
    NilList,
    /// A pointer to nothing.
    NilPointer,
    /// What a map has for a missing key.
    NoValue,
}

const KINDS: [Kind; 5] = [Kind::Map, Kind::NilMap, Kind::NilList, Kind::NilPointer, Kind::NoValue];

/// Marks an object as a map.
pub(crate) fn mark_map(object: &mut Map<String, Value>) {
    object.insert(KIND.to_owned(), (Kind::Map as u8).into());
}

/// A value of `kind` without entries: `null` as JSON, and what Go prints for it in a template.
pub(crate) fn nil(kind: Kind) -> Value {
    Value::Object(Map::from_iter([(KIND.to_owned(), (kind as u8).into())]))
}

/// What is known of an object's type.
pub(super) fn kind(object: &Map<String, Value>) -> Option<Kind> {
    KINDS.get(usize::try_from(object.get(KIND)?.as_u64()?).ok()?).copied()
}

/// The value as functions take it: what nobody made is empty.
pub(super) fn plain(value: Value) -> Value {
    match value.as_object().and_then(kind) {
        None | Some(Kind::Map) => value,
        Some(Kind::NilMap) => Value::Object(Map::new()),
        Some(Kind::NilList) => Value::Array(Vec::new()),
        Some(Kind::NilPointer | Kind::NoValue) => Value::Null,
    }
}

/// `shown` with fields that are only found when a template names them, as what a Go type has beside what it marshals.
pub(crate) fn with_fields(mut shown: Map<String, Value>, also: Map<String, Value>) -> Value {
    add_fields(&mut shown, also);
    Value::Object(shown)
}

/// Adds further fields to an object.
pub(crate) fn add_fields(object: &mut Map<String, Value>, also: Map<String, Value>) {
    match object.get_mut(ALSO) {
        Some(Value::Object(present)) => present.extend(also),
        _ => drop(object.insert(ALSO.to_owned(), Value::Object(also))),
    }
}

/// A method that takes a key and gives what `map` has for it, or an empty text: `{{.Label "x"}}`.
pub(crate) fn method(map: Map<String, Value>) -> Value {
    Value::Object(Map::from_iter([(METHOD.to_owned(), Value::Object(map))]))
}

/// The field of an object, further ones included.
pub(super) fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.get(ALSO)?.as_object()?.get(name))
}

/// The map behind a method; `None` for other values.
pub(super) fn method_map(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()?.get(METHOD)?.as_object()
}

/// What of an object is shown, as it comes.
pub(super) fn shown(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let is_hidden = |key: &str, value: &Value| match key {
        ALSO => value.is_object(),
        KIND => value.is_number(),
        _ => false,
    };
    map.iter().filter(move |(key, value)| !is_hidden(key, value))
}

/// The object without what is not shown, its keys in order, as Go marshals a map.
pub(crate) fn sorted(object: &Value) -> Value {
    let Value::Object(map) = object else { return object.clone() };
    let mut pairs: Vec<_> = shown(map).collect();
    pairs.sort_by_key(|(key, _)| *key);
    Value::Object(pairs.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// Go's `%v`. Map keys come in order, as Go prints them.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            match kind(map) {
                Some(Kind::NilList) => return "[]".to_owned(),
                Some(Kind::NilPointer) => return "<nil>".to_owned(),
                Some(Kind::NoValue) => return "<no value>".to_owned(),
                _ => {}
            }
            let pairs = entries(value).unwrap_or_default();
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}:{}", print(k), print(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// Compact JSON with keys as they come and no HTML escapes, as docker's `json` function makes it.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(json).collect::<Vec<_>>().join(",")),
        Value::Object(map) if !matches!(kind(map), None | Some(Kind::Map)) => "null".to_owned(),
        Value::Object(map) => {
            let pairs: Vec<String> =
                shown(map).map(|(k, v)| format!("{}:{}", Value::String(k.clone()), json(v))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        other => other.to_string(),
    }
}

/// What counts as true: everything but false, 0, nothing, and what is empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => o.contains_key(ALSO) || shown(o).next().is_some(),
    }
}

/// Keys and values to iterate over; `None` for what can't be.
pub(super) fn entries(value: &Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => Some(list.iter().enumerate().map(|(i, v)| (i.into(), v.clone())).collect()),
        Value::Object(map) => {
            let mut pairs: Vec<_> = shown(map).collect();
            pairs.sort_by_key(|(k, _)| *k);
            Some(pairs.into_iter().map(|(k, v)| (k.clone().into(), v.clone())).collect())
        }
        Value::Number(n) => {
            let count = n.as_i64().filter(|n| *n <= 1_000_000)?;
            Some((0..count).map(|i| (i.into(), i.into())).collect())
        }
        _ => None,
    }
}

/// Go's name of the type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// How two values of one basic type compare; `None` for other pairs.
pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => Some(x.cmp(&y)),
            _ => x.as_f64()?.partial_cmp(&y.as_f64()?),
        },
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}
