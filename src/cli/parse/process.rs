//! `--ulimit`, `--umask`, `--entrypoint`, `--stop-signal`, `--oom-score-adj`, `--workdir`, `--sysctl`.

use crate::base::{Error, Result};
use crate::spec::options::{Attach, Ulimit};

/// Names of getrlimit(2) in docker's spelling.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`, -1 or `unlimited` for no limit; `host` for the caller's own limits.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit> {
    let bad = |why: &str| Error::usage(format!("invalid ulimit `{text}`: {why}"));
    if text == "host" {
        return Ok(Ulimit { name: text.to_owned(), soft: 0, hard: 0 });
    }
    let (name, limits) = text.split_once('=').ok_or_else(|| bad("use NAME=SOFT[:HARD]"))?;
    let lower = name.to_ascii_lowercase();
    let name = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    if !ULIMITS.contains(&name) {
        return Err(bad(&format!("unknown limit `{name}`")));
    }
    let number = |t: &str| match t {
        "unlimited" => Ok(-1),
        t => t.parse::<i64>().ok().filter(|n| *n >= -1).ok_or_else(|| bad("a limit is a number, or -1 for none")),
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(bad("the soft limit is above the hard limit"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// An octal mask.
pub(crate) fn umask(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| Error::usage(format!("invalid umask `{text}`: use an octal number up to 0777")))
}

/// A JSON list of strings, or one program; empty clears the image's.
pub(crate) fn entrypoint(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()])
}

/// A signal by name, with or without `SIG`, or by number; returned without `SIG`, numbers as they are.
pub(crate) fn signal(text: &str) -> Result<String> {
    crate::sys::signal::number(text).ok_or_else(|| Error::usage(format!("unknown signal `{text}`")))?;
    let upper = text.to_ascii_uppercase();
    Ok(upper.strip_prefix("SIG").unwrap_or(&upper).to_owned())
}

/// All `--attach` together; without any, every stream is connected.
pub(crate) fn attach(given: &[String]) -> Result<Attach> {
    let all = given.is_empty();
    let mut attach = Attach { stdin: all, stdout: all, stderr: all };
    for word in given {
        match word.to_ascii_lowercase().as_str() {
            "stdin" => attach.stdin = true,
            "stdout" => attach.stdout = true,
            "stderr" => attach.stderr = true,
            _ => return Err(Error::usage(format!("--attach: unknown stream `{word}`: use stdin, stdout or stderr"))),
        }
    }
    Ok(attach)
}

/// -1000 to 1000 (proc_pid_oom_score_adj(5)).
pub(crate) fn oom_score_adj(text: &str) -> Result<i32> {
    text.parse()
        .ok()
        .filter(|n| (-1000..=1000).contains(n))
        .ok_or_else(|| Error::usage(format!("invalid score `{text}`: use a number from -1000 to 1000")))
}

/// An absolute path.
pub(crate) fn workdir(text: &str) -> Result<String> {
    if !text.starts_with('/') {
        return Err(Error::usage(format!("invalid working directory `{text}`: it must be an absolute path")));
    }
    Ok(text.to_owned())
}

/// `NAME=VALUE` with a name that belongs to a namespace; everything else would be this machine's setting.
pub(crate) fn sysctl(text: &str) -> Result<(String, String)> {
    let (name, value) = super::key_value(text)?;
    // sysctl(8) takes slashes, too.
    let name = if name.contains('/') { name.replace('/', ".") } else { name };
    let well_formed = name
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
    const OWNED: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    const NAMED: [&str; 2] = ["kernel.hostname", "kernel.domainname"];
    let owned = OWNED.contains(&name.as_str())
        || NAMED.contains(&name.as_str())
        || name.starts_with("net.")
        || name.starts_with("fs.mqueue.");
    if !well_formed || !owned {
        return Err(Error::usage(format!(
            "sysctl `{name}` does not belong to a container: it is a setting of this machine"
        )));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits() {
        for (text, soft, hard) in [
            ("nofile=1024", 1024, 1024),
            ("nofile=1024:2048", 1024, 2048),
            ("core=-1", -1, -1),
            ("RLIMIT_NPROC=5:unlimited", 5, -1),
            ("host", 0, 0),
        ] {
            let u = ulimit(text).unwrap();
            assert_eq!((u.soft, u.hard), (soft, hard), "{text}");
        }
        for bad in ["nofile", "nofile=", "nofile=2:1", "nofile=-1:5", "shiny=1", "nofile=1:2:3", "nofile=-2"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn small_values() {
        assert_eq!((umask("022").unwrap(), umask("0077").unwrap()), (0o22, 0o77));
        assert!(umask("1000").is_err() && umask("9").is_err());
        assert_eq!(entrypoint("/bin/sh -c"), ["/bin/sh -c"]);
        assert_eq!(entrypoint(r#"["a","b c"]"#), ["a", "b c"]);
        assert_eq!(entrypoint(""), [""; 0]);
        assert_eq!(entrypoint("[x"), ["[x"]);
        for (text, found) in
            [("SIGTERM", "TERM"), ("kill", "KILL"), ("9", "9"), ("rtmin+3", "RTMIN+3"), ("SIGRTMAX", "RTMAX")]
        {
            assert_eq!(signal(text).unwrap(), found);
        }
        for bad in ["", "SIG", "0", "65", "SIGSHINY", "RTMIN+31", "-1"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(attach(&[]).unwrap(), Attach { stdin: true, stdout: true, stderr: true });
        assert_eq!(attach(&words(&["STDOUT"])).unwrap(), Attach { stdin: false, stdout: true, stderr: false });
        assert!(attach(&words(&["stdlog"])).is_err());
        assert_eq!(oom_score_adj("-500").unwrap(), -500);
        assert!(oom_score_adj("1001").is_err());
    }

    #[test]
    fn only_namespaced_sysctls_pass() {
        assert!(sysctl("net.ipv4.ip_forward=1").is_ok());
        assert_eq!(sysctl("net/ipv4/ip_local_port_range=1 2").unwrap().0, "net.ipv4.ip_local_port_range");
        for bad in ["kernel.panic=1", "vm.swappiness=1", "net.ipv4", "net..x=1", "net.../../x=1", "=1"] {
            assert!(sysctl(bad).is_err(), "{bad}");
        }
    }
}
