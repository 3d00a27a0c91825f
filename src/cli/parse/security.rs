//! `--cap-add`, `--cap-drop`, `--security-opt`.

use super::super::args::locate::not_yet;
use super::super::config::clean;
use super::switch;
use crate::base::{Error, Result};
use crate::spec::options::SecurityOptions;
use std::path::Path;

/// A capability in any spelling as `CAP_…`, or `ALL`.
pub(crate) fn capability(text: &str) -> Result<String> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    match name {
        "ALL" => Ok("ALL".to_owned()),
        name if crate::spec::caps::number(name).is_some() => Ok(format!("CAP_{name}")),
        _ => Err(Error::usage(format!("unknown capability `{text}`"))),
    }
}

/// All `--security-opt` together.
pub(crate) fn options(given: &[String], working_dir: &Path) -> Result<SecurityOptions> {
    let mut options = SecurityOptions::default();
    for text in given {
        // docker's first spelling had a colon: `seccomp:unconfined`.
        let (key, value) = match text.find(['=', ':']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text.as_str(), None),
        };
        let needed = || {
            value
                .filter(|v| !v.is_empty())
                .ok_or_else(|| Error::usage(format!("security option `{text}` needs a value")))
        };
        match key {
            "seccomp" => options.seccomp = Some(seccomp(needed()?, working_dir)),
            "no-new-privileges" => options.no_new_privileges = switch(value)?,
            "mask" => options.mask.extend(paths(needed()?)?),
            "unmask" if needed()?.eq_ignore_ascii_case("all") => options.unmask.push("ALL".to_owned()),
            "unmask" => options.unmask.extend(paths(needed()?)?),
            "systempaths" if needed()? == "unconfined" => options.other.push(text.clone()),
            // Kept for inspect: neither SELinux nor AppArmor lets an unprivileged process choose a label for another.
            "label" | "apparmor" => {
                needed()?;
                options.other.push(text.clone());
            }
            "proc-opts" => options.proc_options = proc_options(needed()?)?,
            "writable-cgroups" => return Err(not_yet(&format!("security option `{key}`"))),
            _ => return Err(Error::usage(format!("unknown security option `{text}`"))),
        }
    }
    Ok(options)
}

fn seccomp(value: &str, working_dir: &Path) -> String {
    match value {
        "unconfined" | "builtin" => value.to_owned(),
        file => clean(&working_dir.join(file)).to_string_lossy().into_owned(),
    }
}

/// Options of proc(5), and the words that every mount has.
fn proc_options(value: &str) -> Result<Vec<String>> {
    let known = |word: &&str| {
        matches!(word.split_once('='), Some(("hidepid" | "gid" | "subset", value)) if !value.is_empty())
            || ["ro", "rw", "suid", "nosuid", "exec", "noexec", "dev", "nodev"].contains(word)
    };
    match value.split(',').find(|word| !known(word)) {
        Some(word) => Err(Error::usage(format!("unknown option `{word}` of /proc"))
            .hint("use hidepid=, gid=, subset=, or ro, nosuid, noexec, nodev and their opposites")),
        None => Ok(value.split(',').map(str::to_owned).collect()),
    }
}

fn paths(value: &str) -> Result<Vec<String>> {
    let absolute = |p: &str| p.starts_with('/');
    if !value.split(':').all(absolute) {
        return Err(Error::usage(format!("invalid paths `{value}`: each must be absolute")));
    }
    Ok(value.split(':').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_in_every_spelling() {
        for (text, name) in [
            ("net_admin", "CAP_NET_ADMIN"),
            ("CAP_SYS_PTRACE", "CAP_SYS_PTRACE"),
            ("cap_chown", "CAP_CHOWN"),
            ("all", "ALL"),
        ] {
            assert_eq!(capability(text).unwrap(), name);
        }
        assert!(capability("shiny").is_err() && capability("").is_err() && capability("CAP_").is_err());
    }

    #[test]
    fn security_options() {
        let parsed = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|t| (*t).to_owned()).collect();
            options(&list, Path::new("/here"))
        };
        let all = parsed(&[
            "seccomp=p.json",
            "no-new-privileges",
            "mask=/a:/b",
            "unmask=all",
            "label=disable",
            "proc-opts=hidepid=2,exec",
            "systempaths=unconfined",
        ])
        .unwrap();
        assert_eq!(all.seccomp.as_deref(), Some("/here/p.json"));
        assert!(all.no_new_privileges);
        assert_eq!((all.mask.len(), all.unmask), (2, vec!["ALL".to_owned()]));
        assert_eq!(all.proc_options, ["hidepid=2", "exec"]);
        assert_eq!(all.other, ["label=disable", "systempaths=unconfined"]);
        assert_eq!(parsed(&["seccomp:unconfined"]).unwrap().seccomp.as_deref(), Some("unconfined"));
        assert!(!parsed(&["no-new-privileges:false"]).unwrap().no_new_privileges);
        for bad in [
            "shiny",
            "proc-opts=shiny",
            "proc-opts=hidepid=",
            "proc-opts",
            "seccomp",
            "seccomp=",
            "mask=a",
            "no-new-privileges=maybe",
            "systempaths=x",
        ] {
            assert!(parsed(&[bad]).is_err(), "{bad}");
        }
    }
}
