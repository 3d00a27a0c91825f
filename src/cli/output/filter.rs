//! `--filter KEY=VALUE`: values of one key are alternatives, different keys must all hold, labels must all be there.

use crate::base::{Error, Result};
use std::collections::BTreeMap;

/// The filters of one command.
#[derive(Debug, Default)]
pub(crate) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads the flags; only `keys` are known.
    pub(crate) fn parse(given: &[String], keys: &[&str]) -> Result<Self> {
        let parse = |text: &String| {
            let (key, value) =
                text.split_once('=').ok_or_else(|| Error::usage(format!("invalid filter `{text}`: use KEY=VALUE")))?;
            let key = key.trim().to_ascii_lowercase();
            if !keys.contains(&key.as_str()) {
                return Err(Error::usage(format!("invalid filter `{key}`"))
                    .hint(format!("filters of this command: {}", keys.join(", "))));
            }
            Ok((key, value.trim().to_owned()))
        };
        Ok(Self(given.iter().map(parse).collect::<Result<_>>()?))
    }

    /// True when everything passes.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a key.
    pub(crate) fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// True when the key was not given, or `holds` for one of its values.
    pub(crate) fn any(&self, key: &str, mut holds: impl FnMut(&str) -> bool) -> bool {
        let mut values = self.values(key).peekable();
        values.peek().is_none() || values.any(&mut holds)
    }

    /// True when every `label=KEY[=VALUE]` is among `labels`, and no `label!=…` is.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(has) && !self.values("label!").any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let parse = |list: &[&str]| {
            Filters::parse(&list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>(), &["name", "label", "dangling"])
        };
        let filters = parse(&["name=a", "name=b", "label=x", "label=y=1", "dangling=true"]).unwrap();
        assert!(
            filters.any("name", |v| v == "b") && !filters.any("name", |v| v == "c") && filters.any("other", |_| false)
        );
        let labels = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(filters.labels(&labels(&[("x", "0"), ("y", "1")])));
        assert!(!filters.labels(&labels(&[("x", "0"), ("y", "2")])));
        assert_eq!(parse(&["shiny=1"]).unwrap_err().to_string(), "invalid filter `shiny`");
        assert!(parse(&["name"]).is_err());
    }
}
