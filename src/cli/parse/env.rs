//! `--env`, `--env-file`, `--env-host`, `--http-proxy`, `--label-file`: docker's words for variables.

use crate::base::{Error, Result};
use std::collections::BTreeMap;

/// The proxy variables that `--http-proxy` passes on, in both cases as programs differ in which they read.
const PROXY_NAMES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// One `--env`: `NAME=value`, `NAME` for the caller's value (nothing when it has none), `PREFIX*` for all with the prefix.
pub(crate) fn variable(text: &str, caller: &BTreeMap<String, String>) -> Result<Vec<String>> {
    if text.is_empty() || text.starts_with('=') || text.contains('\0') {
        return Err(Error::usage(format!("invalid environment variable: `{text}`")));
    }
    if text.contains('=') {
        return Ok(vec![text.to_owned()]);
    }
    if let Some(prefix) = text.strip_suffix('*') {
        return Ok(all(caller, |name| name.starts_with(prefix)));
    }
    Ok(caller.get(text).map(|value| format!("{text}={value}")).into_iter().collect())
}

/// Lines of an env file as docker reads them: `NAME=value`, the value as it stands; `NAME` alone for the caller's; blank lines
/// and lines that begin with `#` are skipped.
pub(crate) fn file(name: &str, bytes: &[u8], caller: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, value) in lines(name, bytes)? {
        match value.or_else(|| caller.get(&name).cloned()) {
            Some(value) => found.push(format!("{name}={value}")),
            None => continue,
        }
    }
    Ok(found)
}

/// Lines of a label file: the same form, a name alone has an empty value.
pub(crate) fn labels(name: &str, bytes: &[u8]) -> Result<Vec<(String, String)>> {
    Ok(lines(name, bytes)?.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

fn lines(file: &str, bytes: &[u8]) -> Result<Vec<(String, Option<String>)>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut found = Vec::new();
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let at = |what: &str| Error::usage(format!("`{file}` line {}: {what}", i + 1));
        let line = std::str::from_utf8(line).map_err(|_| at("not valid UTF-8"))?;
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(at(&format!("no variable name in `{line}`")));
        }
        if name.contains(char::is_whitespace) {
            return Err(at(&format!("variable `{name}` contains whitespace")));
        }
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

/// The caller's proxy variables.
pub(crate) fn proxies(caller: &BTreeMap<String, String>) -> Vec<String> {
    all(caller, |name| PROXY_NAMES.contains(&name.to_ascii_lowercase().as_str()))
}

/// Every variable of the caller.
pub(crate) fn host(caller: &BTreeMap<String, String>) -> Vec<String> {
    all(caller, |_| true)
}

fn all(caller: &BTreeMap<String, String>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    caller.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> BTreeMap<String, String> {
        [("HOME", "/h"), ("FOO_A", "1"), ("FOO_B", "2"), ("http_proxy", "p"), ("NO_PROXY", "n")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into()
    }

    #[test]
    fn variables() {
        for (text, found) in [
            ("A=b", &["A=b"][..]),
            ("A=", &["A="]),
            ("A=b=c", &["A=b=c"]),
            ("HOME", &["HOME=/h"]),
            ("NOT_SET", &[]),
            ("FOO_*", &["FOO_A=1", "FOO_B=2"]),
            ("A=*", &["A=*"]),
        ] {
            assert_eq!(variable(text, &caller()).unwrap(), found, "{text}");
        }
        assert!(variable("=x", &caller()).is_err() && variable("", &caller()).is_err());
        assert_eq!(proxies(&caller()), ["NO_PROXY=n", "http_proxy=p"]);
    }

    #[test]
    fn files_are_read_as_docker_reads_them() {
        let text = b"\xef\xbb\xbf# note\n\nA=b c \n  B='q'\nHOME\nNOT_SET\nC==x\r\nD=#no";
        assert_eq!(file("f", text, &caller()).unwrap(), ["A=b c ", "B='q'", "HOME=/h", "C==x", "D=#no"]);
        for (text, message) in [
            (&b"A b=c"[..], "`f` line 1: variable `A b` contains whitespace"),
            (b"\n=c", "`f` line 2: no variable name in `=c`"),
            (b"A=\xff", "`f` line 1: not valid UTF-8"),
        ] {
            assert_eq!(file("f", text, &caller()).unwrap_err().to_string(), message);
        }
        assert_eq!(labels("f", b"a=1\nb").unwrap(), [("a".into(), "1".into()), ("b".into(), String::new())]);
    }
}
