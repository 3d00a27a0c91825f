//! `--restart`, `--sdnotify`, `--personality`, `--env-merge`, `--passwd-entry`, `--group-entry`.

use crate::base::{Error, Result};
use crate::spec::options::{Personality, RestartPolicy, SdNotify};

/// `no`, `on-failure[:TIMES]`, `always`, `unless-stopped`; empty is `no`, as for docker.
pub(crate) fn restart_policy(text: &str) -> Result<RestartPolicy> {
    let (word, times) = text.split_once(':').map_or((text, None), |(word, times)| (word, Some(times)));
    let bad = |why: String| Error::usage(format!("--restart: {why}"));
    let policy = match word {
        "" | "no" => RestartPolicy::No,
        "on-failure" => {
            let number = |t: &str| {
                t.parse().map_err(|_| bad(format!("invalid policy `{text}`: `{t}` is not a number of restarts")))
            };
            return Ok(RestartPolicy::OnFailure(times.map_or(Ok(0), number)?));
        }
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        _ => return Err(bad(format!("unknown policy `{text}`: use no, on-failure, always or unless-stopped"))),
    };
    match times {
        None => Ok(policy),
        Some(_) => Err(bad(format!("invalid policy `{text}`: only on-failure takes a number of restarts"))),
    }
}

/// `container`, `conmon`, `healthy`, `ignore`.
pub(crate) fn sdnotify(text: &str) -> Result<SdNotify> {
    match text {
        "container" => Ok(SdNotify::Container),
        "conmon" => Ok(SdNotify::Conmon),
        "healthy" => Ok(SdNotify::Healthy),
        "ignore" => Ok(SdNotify::Ignore),
        _ => Err(Error::usage(format!("--sdnotify: unknown value `{text}`: use container, conmon, healthy or ignore"))),
    }
}

/// `--runtime`: `runr`, or the path of the executable that runs now.
pub(crate) fn runtime(text: &str) -> Result<()> {
    let own = || {
        text.contains('/') && std::fs::canonicalize(text).is_ok_and(|p| std::env::current_exe().is_ok_and(|o| o == p))
    };
    if matches!(text, "" | "runr") || own() {
        return Ok(());
    }
    let e = Error::unsupported(format!("--runtime {text}: runr is its own runtime and starts no other"));
    Err(e.hint("leave the flag out, or set it to runr"))
}

/// `LINUX` or `LINUX32`.
pub(crate) fn personality(text: &str) -> Result<Personality> {
    match text.to_ascii_uppercase().as_str() {
        "LINUX" => Ok(Personality::Linux),
        "LINUX32" => Ok(Personality::Linux32),
        _ => Err(Error::usage(format!("unknown execution domain `{text}`: use LINUX or LINUX32"))),
    }
}

/// `NAME=TEXT`.
pub(crate) fn env_merge(text: &str) -> Result<String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() && !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(Error::usage(format!("invalid value `{text}`: use NAME=TEXT"))),
    }
}

/// One line of /etc/passwd or /etc/group.
pub(crate) fn account_line(text: String) -> Result<String> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(Error::usage("the entry must be one line"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies() {
        use RestartPolicy::*;
        for (text, policy) in [
            ("", No),
            ("no", No),
            ("always", Always),
            ("unless-stopped", UnlessStopped),
            ("on-failure", OnFailure(0)),
            ("on-failure:3", OnFailure(3)),
        ] {
            assert_eq!(restart_policy(text).unwrap(), policy, "{text}");
        }
        for bad in ["Always", "always:3", "on-failure:", "on-failure:-1", "on-failure:x", "no:1", "shiny"] {
            assert!(restart_policy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_runtime_is_runr() {
        runtime("runr").unwrap();
        runtime(std::env::current_exe().unwrap().to_str().unwrap()).unwrap();
        for other in ["crun", "./runr", "/nonexistent/runr", "/bin/sh"] {
            let e = runtime(other).unwrap_err();
            assert_eq!(e.to_string(), format!("--runtime {other}: runr is its own runtime and starts no other"));
        }
    }

    #[test]
    fn small_values() {
        assert_eq!(sdnotify("healthy").unwrap(), SdNotify::Healthy);
        assert!(sdnotify("x").is_err() && personality("bsd").is_err());
        assert_eq!(personality("linux32").unwrap(), Personality::Linux32);
        assert!(env_merge("A=${A}:x").is_ok() && env_merge("A").is_err() && env_merge("=x").is_err());
        assert!(account_line("a\nb".into()).is_err());
    }
}
