//! The command's environment: runr's own variables, the image's, what is made from those, the user's.

use super::defaults;
use super::options::ContainerOptions;
use crate::image::config::Execution;

/// `NAME=value` for each variable; of one name the last value counts, at the first one's place.
pub(super) fn environment(image: &Execution, options: &ContainerOptions, hostname: Option<&str>) -> Vec<String> {
    let mut env: Vec<String> = vec![defaults::PATH.to_owned()];
    if let Some(name) = hostname {
        set(&mut env, &format!("HOSTNAME={name}"));
    }
    if options.tty {
        set(&mut env, defaults::TERM);
    }
    set(&mut env, defaults::CONTAINER);
    let kept = |pair: &&String| !options.unset_env.iter().any(|n| name(pair) == n);
    // As podman: its own ones go, too, but it sets HOSTNAME afterwards, as HOME. Without a PATH the command is still found.
    env.retain(|pair| if options.unset_env_all { name(pair) == "HOSTNAME" } else { kept(&pair) });
    if !options.unset_env_all {
        image.env.iter().filter(kept).for_each(|pair| set(&mut env, pair));
    }
    for pair in &options.env_merge {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let merged = format!("{name}={}", expand(text, &env));
        set(&mut env, &merged);
    }
    options.env.iter().for_each(|pair| set(&mut env, pair));
    env
}

fn name(pair: &str) -> &str {
    pair.split('=').next().unwrap_or(pair)
}

fn set(env: &mut Vec<String>, pair: &str) {
    match env.iter_mut().find(|e| name(e) == name(pair)) {
        Some(old) => *old = pair.to_owned(),
        None => env.push(pair.to_owned()),
    }
}

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`; a backslash takes the next character as it is. A `$`
/// that begins none of these stays.
fn expand(text: &str, env: &[String]) -> String {
    let value =
        |wanted: &str| env.iter().find(|e| name(e) == wanted).and_then(|e| e.split_once('=')).map_or("", |p| p.1);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        done.push_str(&rest[..at]);
        let marker = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if marker == "\\" {
            let next = rest.chars().next();
            done.extend(next);
            rest = &rest[next.map_or(0, char::len_utf8)..];
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            let (word, change) = inner.split_at(inner.find(|c| !is_name(c)).unwrap_or(inner.len()));
            let found = value(word);
            match (change.get(..2), found.is_empty()) {
                (Some(":-"), true) | (Some(":+"), false) => done.push_str(&change[2..]),
                (Some(":+"), true) => {}
                _ => done.push_str(found),
            }
            rest = after;
        } else {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            if end == 0 {
                done.push('$');
            }
            done.push_str(value(&rest[..end]));
            rest = &rest[end..];
        }
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Execution {
        Execution { env: vec!["PATH=/img".into(), "A=1".into()], ..Execution::default() }
    }

    #[test]
    fn the_environment_is_layered() {
        let own = ContainerOptions {
            env: vec!["A=2".into(), "B=3".into()],
            env_merge: vec!["PATH=${PATH}:/more".into(), "NEW=$A-$GONE".into()],
            tty: true,
            ..ContainerOptions::default()
        };
        assert_eq!(
            environment(&image(), &own, Some("web")),
            ["PATH=/img:/more", "HOSTNAME=web", "TERM=xterm", "container=oci", "A=2", "NEW=1-", "B=3"]
        );
        let own =
            ContainerOptions { env: vec!["B=3".into()], unset_env_all: true, tty: true, ..ContainerOptions::default() };
        assert_eq!(environment(&image(), &own, Some("web")), ["HOSTNAME=web", "B=3"]);
        let own = ContainerOptions { unset_env: vec!["A".into()], ..ContainerOptions::default() };
        assert_eq!(environment(&image(), &own, None), ["PATH=/img", "container=oci"]);
    }

    #[test]
    fn expansions() {
        let env = ["A=1".to_owned(), "E=".to_owned()];
        for (text, found) in [
            ("x", "x"),
            ("$A.${A}${A}", "1.11"),
            ("$AB", ""),
            ("${E:-d}${A:-d}${A:+o}${E:+o}", "d1o"),
            ("\\$A\\\\", "$A\\"),
            ("$ $", "$ $"),
            ("${A", "${A"),
            ("ä$A\\ö", "ä1ö"),
            ("\\", ""),
            ("${ä}", ""),
        ] {
            assert_eq!(expand(text, &env), found, "{text}");
        }
    }
}
