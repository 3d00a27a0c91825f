//! `WWW-Authenticate` (RFC 9110, 11.6.1): how a registry asks who we are.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Longer headers, more challenges or more parameters than these are cut.
const MAX_HEADER: usize = 16 << 10;
const MAX_CHALLENGES: usize = 16;
const MAX_PARAMS: usize = 32;

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// `bearer`, `basic`, …: lower case.
    pub(super) scheme: String,
    /// Parameters, names in lower case, in the order given.
    pub(super) params: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of this name.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of an answer.
pub(super) fn of_answer(headers: &HeaderMap) -> Vec<Challenge> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    lines.flat_map(parse).take(MAX_CHALLENGES).collect()
}

/// The challenges of one header line. Never fails: what cannot be a challenge is skipped.
fn parse(line: &str) -> Vec<Challenge> {
    let mut rest = Scanner(line.get(..line.len().min(MAX_HEADER)).unwrap_or(""));
    let mut list: Vec<Challenge> = Vec::new();
    while list.len() <= MAX_CHALLENGES {
        rest.skip(" \t,");
        if rest.0.is_empty() {
            break;
        }
        let word = rest.token();
        if word.is_empty() {
            rest.skip_one();
            continue;
        }
        let mut after = Scanner(rest.0);
        after.skip(" \t");
        // A word with `=` behind it is a parameter of the last challenge, any other word begins a new one.
        match (after.0.strip_prefix('='), list.last_mut()) {
            (Some(value), Some(challenge)) => {
                rest = Scanner(value);
                rest.skip(" \t");
                let value = rest.value();
                if challenge.params.len() < MAX_PARAMS {
                    challenge.params.push((word.to_ascii_lowercase(), value));
                }
            }
            (Some(value), None) => rest = Scanner(value),
            (None, _) => list.push(Challenge { scheme: word.to_ascii_lowercase(), params: Vec::new() }),
        }
    }
    list
}

struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn skip(&mut self, what: &str) {
        self.0 = self.0.trim_start_matches(|c| what.contains(c));
    }

    fn skip_one(&mut self) {
        let mut chars = self.0.chars();
        chars.next();
        self.0 = chars.as_str();
    }

    fn token(&mut self) -> &'a str {
        let end = self.0.find(|c: char| !c.is_ascii_graphic() || "\",=()<>;".contains(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token
    }

    /// A token or a quoted string; an unfinished one ends with the line.
    fn value(&mut self) -> String {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().to_owned() };
        let mut text = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => text.extend(chars.next()),
                c => text.push(c),
            }
        }
        self.0 = chars.as_str();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(line: &str) -> String {
        let one = |c: &Challenge| {
            let params: Vec<String> = c.params.iter().map(|(k, v)| format!("{k}=<{v}>")).collect();
            format!("{} {}", c.scheme, params.join(" "))
        };
        parse(line).iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn what_registries_send_is_understood() {
        for (line, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                "bearer realm=<https://auth.docker.io/token> service=<registry.docker.io> scope=<repository:a/b:pull,push>",
            ),
            (
                r#"Basic realm="Registry \"x\"", Bearer realm="r" ,scope=s"#,
                "basic realm=<Registry \"x\"> | bearer realm=<r> scope=<s>",
            ),
            ("BASIC", "basic "),
            ("Negotiate, Basic realm=plain", "negotiate  | basic realm=<plain>"),
            (r#"Negotiate dG9rZW4=, Basic Realm = "a""#, "negotiate dg9rzw4=<> | basic realm=<a>"),
            (r#"Bearer realm="unfinished"#, "bearer realm=<unfinished>"),
            (r#"Bearer realm="r",error="insufficient_scope""#, "bearer realm=<r> error=<insufficient_scope>"),
            ("=,=, ;;; ,", ""),
            ("", ""),
        ] {
            assert_eq!(shape(line), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "([A-Za-z]{0,6}[ ,=\"\\\\]{0,3}\\PC{0,3}){0,20}") {
            prop_assert!(parse(&line).len() <= MAX_CHALLENGES + 1);
        }
    }
}
