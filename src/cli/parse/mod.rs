//! Values of flags to `spec` types: pure functions, each with a table of what docker and podman accept. Messages name the
//! value in backticks; [`create`] puts the flag's name in front.

mod addresses;
pub(crate) mod create;
pub(crate) mod env;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod keys;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod mount;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod security;

use crate::base::{Error, Result, units};

/// `KEY=VALUE`, where the value may hold further `=`.
fn key_value(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("invalid value `{text}`: use KEY=VALUE"))),
    }
}

/// Splits one line of comma-separated values; a part in double quotes may hold commas, `""` in it is a quote (RFC 4180,
/// which docker reads `--mount` with).
fn csv(line: &str) -> Result<Vec<String>> {
    let bad = || Error::usage(format!("invalid value `{line}`: a quote is not closed or stands in a value"));
    let mut parts = Vec::new();
    let mut rest = line;
    loop {
        let part;
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            loop {
                let end = quoted.find('"').ok_or_else(bad)?;
                text.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        quoted = more;
                    }
                    None => break,
                }
            }
            (part, rest) = (text, quoted);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(bad());
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            part = rest[..end].to_owned();
            if part.contains('"') {
                return Err(bad());
            }
            rest = &rest[end..];
        }
        parts.push(part);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(parts),
        }
    }
}

/// A switch inside a value: `readonly`, `readonly=true`.
fn switch(value: Option<&str>) -> Result<bool> {
    value.map_or(Ok(true), |text| {
        units::parse_bool(text).ok_or_else(|| Error::usage(format!("invalid value `{text}`: use true or false")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_knows_quotes() {
        assert_eq!(csv("a=1,b").unwrap(), ["a=1", "b"]);
        assert_eq!(csv(r#""a=1,2","b""c""#).unwrap(), ["a=1,2", "b\"c"]);
        assert_eq!(csv("").unwrap(), [""]);
        for bad in ["\"a", "\"a\"b", "a\"b"] {
            assert!(csv(bad).is_err(), "{bad}");
        }
    }
}
