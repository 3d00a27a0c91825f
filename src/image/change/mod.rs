//! Instructions that change how an image is run: the values of `commit --change`, in a Containerfile's words.
//!
//! `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `HEALTHCHECK`, `LABEL`, `ONBUILD`, `STOPSIGNAL`, `USER`, `VOLUME`, `WORKDIR`, as docker's
//! builder reads them. Between word and value podman also takes a `=`.

mod words;

use super::config::{Execution, Healthcheck};
use super::ports::Ports;
use crate::base::moment::duration_nanos;
use crate::base::{Error, Result};
use serde_json::json;
use words::{expand, words};

/// The words that are taken, for messages.
const KNOWN: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR";

/// Applies instructions in order.
///
/// Errors: `Usage` for an instruction that is unknown, not one of these, or malformed.
pub fn apply(execution: &mut Execution, changes: &[String]) -> Result<()> {
    let mut command_given = false;
    let mut entrypoint_given = false;
    for change in changes {
        let (word, value) = split(change);
        apply_one(execution, &word, value).map_err(|e| e.step(format!("change `{change}`")))?;
        command_given |= word == "CMD";
        entrypoint_given |= word == "ENTRYPOINT";
    }
    if entrypoint_given && !command_given {
        // The arguments were for the entrypoint that is replaced.
        execution.cmd = None;
    }
    Ok(())
}

/// The instruction in upper case, and what follows it.
fn split(change: &str) -> (String, &str) {
    let change = change.trim();
    let end = change.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(change.len());
    let rest = &change[end..];
    (change[..end].to_ascii_uppercase(), rest.strip_prefix('=').unwrap_or(rest).trim())
}

fn apply_one(execution: &mut Execution, word: &str, value: &str) -> Result<()> {
    let needed = || {
        if value.is_empty() { Err(Error::usage(format!("`{word}` needs a value"))) } else { Ok(()) }
    };
    let expanded = |execution: &Execution, text: &str| expand(text, &execution.env);
    match word {
        "CMD" => execution.cmd = Some(command(execution, value)),
        "ENTRYPOINT" => execution.entrypoint = Some(command(execution, value)).filter(|list| !list.is_empty()),
        "ENV" => {
            needed()?;
            for (name, value) in pairs(value, &execution.env)? {
                set(&mut execution.env, &name, &value);
            }
        }
        "LABEL" => {
            needed()?;
            execution.labels.extend(pairs(value, &execution.env)?);
        }
        "EXPOSE" => {
            needed()?;
            for word in words(value, &execution.env)? {
                let ports: Ports = word.parse()?;
                execution.exposed_ports.extend(ports.keys().map(|port| (port, json!({}))));
            }
        }
        "VOLUME" => {
            needed()?;
            let list = match json_list(value) {
                Some(list) => list,
                None => words(value, &execution.env)?,
            };
            for path in list {
                if path.trim().is_empty() {
                    return Err(Error::usage("a volume's path is empty"));
                }
                execution.volumes.insert(path, json!({}));
            }
        }
        "USER" => {
            needed()?;
            execution.user = expanded(execution, value)?;
        }
        "STOPSIGNAL" => {
            needed()?;
            execution.stop_signal = Some(expanded(execution, value)?);
        }
        "WORKDIR" => {
            needed()?;
            let dir = expanded(execution, value)?;
            execution.working_dir = joined(&execution.working_dir, &dir);
        }
        "ONBUILD" => {
            needed()?;
            let (inner, _) = split(value);
            if matches!(inner.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
                return Err(Error::usage(format!("`ONBUILD {inner}` is not allowed")));
            }
            execution.on_build.push(value.to_owned());
        }
        "HEALTHCHECK" => {
            needed()?;
            execution.healthcheck = Some(healthcheck(value)?);
        }
        _ => {
            return Err(
                Error::usage(format!("`{word}` cannot be used here")).hint(format!("instructions that can: {KNOWN}"))
            );
        }
    }
    Ok(())
}

/// A JSON list of strings, as the exec forms have it.
fn json_list(value: &str) -> Option<Vec<String>> {
    value.starts_with('[').then(|| serde_json::from_str(value).ok()).flatten()
}

/// The exec form as it is, anything else through the image's shell.
fn command(execution: &Execution, value: &str) -> Vec<String> {
    if value.is_empty() {
        return Vec::new();
    }
    json_list(value).unwrap_or_else(|| {
        let shell = execution.shell.clone().filter(|shell| !shell.is_empty());
        let mut list = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        list.push(value.to_owned());
        list
    })
}

/// `NAME=value …`, or the older form `NAME value with blanks`.
fn pairs(value: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    // A name in quotes may have blanks. Elsewhere a quote may be part of the older form's text: `LABEL note it's old`.
    let first = if value.starts_with(['"', '\'']) {
        words(value, env)?.into_iter().next().unwrap_or_default()
    } else {
        value.split_whitespace().next().unwrap_or_default().to_owned()
    };
    if !first.contains('=') {
        let (name, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
        if rest.trim().is_empty() {
            return Err(Error::usage(format!("`{name}` needs a value: use {name}=VALUE")));
        }
        return Ok(vec![(name.to_owned(), expand(rest.trim(), env)?)]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("`{word}` is not of the form NAME=VALUE"))),
    };
    words(value, env)?.into_iter().map(pair).collect()
}

/// Sets a variable at the place of an earlier one of that name.
pub fn set(env: &mut Vec<String>, name: &str, value: &str) {
    let pair = format!("{name}={value}");
    match env.iter_mut().find(|e| e.split('=').next() == Some(name)) {
        Some(old) => *old = pair,
        None => env.push(pair),
    }
}

/// A folder, relative ones below the present one.
fn joined(present: &str, dir: &str) -> String {
    let whole = if dir.starts_with('/') { dir.to_owned() } else { format!("{present}/{dir}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn healthcheck(value: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::default();
    let mut rest = value;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, tail) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, text) =
            flag.split_once('=').ok_or_else(|| Error::usage(format!("flag `--{flag}` needs a value")))?;
        let bad = || Error::usage(format!("invalid value `{text}` for `--{name}`"));
        let span = || duration_nanos(text).and_then(|n| i64::try_from(n).ok()).filter(|n| *n >= 0).ok_or_else(bad);
        match name {
            "interval" => check.interval = span()?,
            "timeout" => check.timeout = span()?,
            "start-period" => check.start_period = span()?,
            "start-interval" => check.start_interval = span()?,
            "retries" => check.retries = text.parse().ok().filter(|n| *n >= 0).ok_or_else(bad)?,
            _ => return Err(Error::usage(format!("unknown flag `--{name}`"))),
        }
        rest = tail.trim_start();
    }
    let (kind, text) = split(rest);
    check.test = match kind.as_str() {
        "NONE" if text.is_empty() => vec!["NONE".to_owned()],
        "CMD" if !text.is_empty() => match json_list(text) {
            Some(list) => std::iter::once("CMD".to_owned()).chain(list).collect(),
            None => vec!["CMD-SHELL".to_owned(), text.to_owned()],
        },
        _ => return Err(Error::usage("use `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`")),
    };
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(changes: &[&str]) -> Result<Execution> {
        let mut execution = Execution {
            env: vec!["PATH=/bin".to_owned(), "A=1".to_owned()],
            cmd: Some(vec!["old".to_owned()]),
            working_dir: "/w".to_owned(),
            ..Execution::default()
        };
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        apply(&mut execution, &changes).map(|()| execution)
    }

    fn list(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|w| (*w).to_owned()).collect())
    }

    #[test]
    fn commands_in_both_forms() {
        assert_eq!(changed(&["CMD [\"a\", \"b c\"]"]).unwrap().cmd, list(&["a", "b c"]));
        assert_eq!(changed(&["cmd echo $HOME"]).unwrap().cmd, list(&["/bin/sh", "-c", "echo $HOME"]));
        assert_eq!(changed(&["CMD=/bin/bash"]).unwrap().cmd, list(&["/bin/sh", "-c", "/bin/bash"]));
        assert_eq!(changed(&["CMD []"]).unwrap().cmd, list(&[]));
        let both = changed(&["CMD [\"x\"]", "ENTRYPOINT [\"/e\"]"]).unwrap();
        assert_eq!((both.entrypoint, both.cmd), (list(&["/e"]), list(&["x"])));
        let one = changed(&["ENTRYPOINT /e x"]).unwrap();
        assert_eq!((one.entrypoint, one.cmd), (list(&["/bin/sh", "-c", "/e x"]), None));
        assert_eq!(changed(&["ENTRYPOINT []"]).unwrap().entrypoint, None);
    }

    #[test]
    fn environment_and_labels() {
        for (change, expected) in [
            ("ENV B=2 C=\"3 4\" A=5", &["PATH=/bin", "A=5", "B=2", "C=3 4"][..]),
            ("ENV B two words", &["PATH=/bin", "A=1", "B=two words"]),
            (
                "ENV PATH=$PATH:/x B=${A}0 C=${none:-d} D='$A' E=\\$A",
                &["PATH=/bin:/x", "A=1", "B=10", "C=d", "D=$A", "E=$A"],
            ),
        ] {
            assert_eq!(changed(&[change]).unwrap().env, expected, "{change}");
        }
        let labels = changed(&["LABEL a=b \"c d\"=\"e f\" blue=image", "LABEL x y z"]).unwrap().labels;
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(labels, ["a=b", "blue=image", "c d=e f", "x=y z"]);
    }

    #[test]
    fn the_others() {
        let image = changed(&[
            "EXPOSE 80 443/TCP 8000-8002/udp",
            "VOLUME [\"/a\", \"/b c\"]",
            "VOLUME /d /e",
            "USER app:app",
            "STOPSIGNAL SIGQUIT",
            "WORKDIR sub/../x",
            "ONBUILD RUN make",
            "HEALTHCHECK --interval=1m30s --retries=3 --timeout=1s --start-period=2s CMD curl -f localhost",
        ])
        .unwrap();
        let keys = |map: &std::collections::BTreeMap<String, serde_json::Value>| {
            map.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(&image.exposed_ports), "443/tcp 80/tcp 8000/udp 8001/udp 8002/udp");
        assert_eq!(keys(&image.volumes), "/a /b c /d /e");
        assert_eq!((&image.user[..], &image.working_dir[..]), ("app:app", "/w/x"));
        assert_eq!(
            (image.stop_signal.as_deref(), &image.on_build[..]),
            (Some("SIGQUIT"), &["RUN make".to_owned()][..])
        );
        let check = image.healthcheck.unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "curl -f localhost"]);
        assert_eq!((check.interval, check.retries), (90_000_000_000, 3));
        assert_eq!(changed(&["HEALTHCHECK NONE"]).unwrap().healthcheck.unwrap().test, ["NONE"]);
        assert_eq!(changed(&["WORKDIR /"]).unwrap().working_dir, "/");
    }

    #[test]
    fn refusals_name_the_change() {
        for (change, text) in [
            ("RUN make", "change `RUN make`: `RUN` cannot be used here"),
            ("FROM x", "change `FROM x`: `FROM` cannot be used here"),
            ("", "change ``: `` cannot be used here"),
            ("ENV", "change `ENV`: `ENV` needs a value"),
            ("ENV A", "change `ENV A`: `A` needs a value: use A=VALUE"),
            ("LABEL a=\"b", "change `LABEL a=\"b`: a quote is not closed"),
            ("EXPOSE 0", "change `EXPOSE 0`: invalid port `0`: use a number from 1 to 65535"),
            ("EXPOSE 9-8", "change `EXPOSE 9-8`: invalid range `9-8`: its end is before its beginning"),
            ("EXPOSE 80/xyz", "change `EXPOSE 80/xyz`: invalid protocol `xyz`: use tcp, udp or sctp"),
            ("ONBUILD FROM x", "change `ONBUILD FROM x`: `ONBUILD FROM` is not allowed"),
            (
                "HEALTHCHECK --interval=x CMD a",
                "change `HEALTHCHECK --interval=x CMD a`: invalid value `x` for `--interval`",
            ),
            ("HEALTHCHECK a", "change `HEALTHCHECK a`: use `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"),
        ] {
            assert_eq!(changed(&[change]).unwrap_err().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(word in "(CMD|ENV|LABEL|EXPOSE|VOLUME|HEALTHCHECK|WORKDIR|USER|ONBUILD)", rest in "\\PC{0,60}") {
            drop(changed(&[&format!("{word} {rest}")]));
        }
    }
}
