//! `--network`, `--pid`, `--ipc`, `--uts`, `--cgroupns`, `--userns`: which words each takes.

use super::super::args::locate::not_yet;
use crate::base::{Error, Result};

/// A namespace's mode out of `words`, or `container:ID`, or `ns:PATH`.
pub(crate) fn mode(flag: &str, text: &str, words: &[&str]) -> Result<String> {
    let joins = |prefix: &str| text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    if words.contains(&text) || joins("container:") {
        return Ok(text.to_owned());
    }
    if let Some(path) = text.strip_prefix("ns:") {
        if path.starts_with('/') {
            return Ok(text.to_owned());
        }
        return Err(Error::usage(format!("--{flag}: `{text}`: the path must be absolute")));
    }
    Err(Error::usage(format!("--{flag}: unknown mode `{text}`: use {}, container:ID or ns:PATH", words.join(", "))))
}

/// `--network`: what this version has. Other words name kinds of networks, or networks, that come later.
pub(crate) fn network(text: &str) -> Result<String> {
    if matches!(text, "host" | "none") || text.starts_with("container:") || text.starts_with("ns:") {
        return mode("network", text, &["host", "none"]);
    }
    let missing = not_yet(&format!("--network {text}"));
    Err(Error::unsupported(format!("{missing}: there is no private network yet"))
        .hint("use `host`, `none`, `container:ID` or `ns:PATH`"))
}

/// `--userns`: `host`, `keep-id[:uid=N,gid=N]`, `nomap`.
pub(crate) fn user(text: &str) -> Result<String> {
    let (word, options) = text.split_once(':').unwrap_or((text, ""));
    let bad = |why: String| Error::usage(format!("--userns: {why}"));
    match word {
        "" | "host" | "nomap" | "private" if options.is_empty() => Ok(text.to_owned()),
        "keep-id" => {
            for option in options.split(',').filter(|o| !o.is_empty()) {
                let number = option.split_once('=').filter(|(key, _)| matches!(*key, "uid" | "gid" | "size"));
                if number.and_then(|(_, value)| value.parse::<u32>().ok()).is_none() {
                    return Err(bad(format!("invalid option `{option}` of keep-id: use uid=NUMBER, gid=NUMBER")));
                }
            }
            Ok(text.to_owned())
        }
        "container" | "ns" => mode("userns", text, &["host", "keep-id", "nomap"]),
        "auto" => Err(not_yet(&format!("--userns {text}"))),
        _ => Err(bad(format!("unknown mode `{text}`: use host, keep-id or nomap"))),
    }
}

/// One `--uidmap` or `--gidmap`: `INSIDE:OUTSIDE[:COUNT]`.
pub(crate) fn id_map(flag: &str, text: &str) -> Result<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let numbers = parts.iter().enumerate().all(|(i, part)| {
        // `@` before the second one: an id of the host.
        let digits = if i == 1 { part.strip_prefix('@').unwrap_or(part) } else { part };
        digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u32>().is_ok()
    });
    if !numbers || !(2..=3).contains(&parts.len()) || parts.get(2) == Some(&"0") {
        return Err(Error::usage(format!("--{flag}: invalid map `{text}`: use INSIDE:OUTSIDE:COUNT")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, good) in [
            ("host", true),
            ("private", true),
            ("container:x", true),
            ("container:", false),
            ("ns:/proc/1/ns/pid", true),
            ("ns:relative", false),
            ("shiny", false),
            ("", false),
        ] {
            assert_eq!(mode("pid", text, &["host", "private"]).is_ok(), good, "{text}");
        }
        for (text, good) in [("host", true), ("none", true), ("container:x", true), ("bridge", false), ("mine", false)]
        {
            assert_eq!(network(text).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("host", true),
            ("keep-id", true),
            ("keep-id:uid=5,gid=6", true),
            ("keep-id:uid=x", false),
            ("keep-id:x=1", false),
            ("nomap", true),
            ("nomap:x", false),
            ("auto", false),
        ] {
            assert_eq!(user(text).is_ok(), good, "{text}");
        }
        assert!(id_map("uidmap", "0:@1:2").is_ok() && id_map("uidmap", "@0:1:2").is_err());
        assert!(id_map("uidmap", "0:1:2").is_ok() && id_map("uidmap", "0:1").is_ok());
        assert!(
            id_map("uidmap", "0:1:0").is_err() && id_map("uidmap", "0").is_err() && id_map("uidmap", "a:b:c").is_err()
        );
    }
}
