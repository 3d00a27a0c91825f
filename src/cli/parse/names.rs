//! Names of containers and hosts, and labels.

use crate::base::{Error, Result};

/// A container's name.
pub(crate) fn container(name: &str) -> Result<String> {
    crate::state::names::check(name).map(|()| name.to_owned())
}

/// A host name of RFC 1123 that fits the kernel's 64 bytes.
pub(crate) fn host(name: &str) -> Result<String> {
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 64 || !name.split('.').all(label) {
        return Err(Error::usage(format!("invalid host name `{name}`: use at most 64 letters, digits, `-` and `.`")));
    }
    Ok(name.to_owned())
}

/// `KEY=VALUE` or `KEY`, whose value is then empty.
pub(crate) fn label(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(Error::usage(format!("invalid label `{text}`: the key is empty")));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(
            host("web-1.example.com").is_ok()
                && host("").is_err()
                && host("-a").is_err()
                && host(&"a".repeat(65)).is_err()
        );
        assert_eq!(label("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(label("a").unwrap(), ("a".to_owned(), String::new()));
        assert!(label("=x").is_err());
    }
}
