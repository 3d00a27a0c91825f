//! JSON values as Go would see them: printed, compared, counted.

use serde_json::Value;
use std::cmp::Ordering;

/// Go's `%v`. Map keys come in order, as Go prints them.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(_) => {
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
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", Value::String(k.clone()), json(v))).collect();
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
        Value::Object(o) => !o.is_empty(),
    }
}

/// Keys and values to iterate over; `None` for what can't be.
pub(super) fn entries(value: &Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => Some(list.iter().enumerate().map(|(i, v)| (i.into(), v.clone())).collect()),
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
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
