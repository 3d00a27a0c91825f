//! What the environment and the global flags say, gathered once into [`Config`]. The only reader of environment variables.

use crate::base::{Doing, Error, Kind, Result};
use crate::registry;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// How much runr says on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Errors only.
    Error,
    /// Warnings too.
    #[default]
    Warn,
    /// Notes about what is done, too.
    Info,
}

/// Settings of one invocation, from flags, environment and the places that the XDG base directory specification names.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder: `--root`, `$RUNR_ROOT`, `$XDG_DATA_HOME/runr`, `~/.local/share/runr`. Absolute.
    pub root: PathBuf,
    /// The user's home folder, absolute.
    pub home: PathBuf,
    /// `$XDG_RUNTIME_DIR`, if it is set.
    pub runtime_dir: Option<PathBuf>,
    /// `--config`: takes the place of `$DOCKER_CONFIG`. Absolute.
    pub docker_config: Option<PathBuf>,
    /// The folder runr was called in.
    pub working_dir: PathBuf,
    /// `--log-level`.
    pub verbosity: Verbosity,
    /// Everything else, for `--env NAME`, `--env-host`, `--http-proxy` and the proxies of the registry client. Variables
    /// that are not UTF-8 are left out: a container's environment is text here.
    pub env: BTreeMap<String, String>,
}

/// Global flags, as given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// `--root`.
    pub root: Option<OsString>,
    /// `--config`.
    pub docker_config: Option<OsString>,
    /// `--log-level`.
    pub verbosity: Verbosity,
}

impl Config {
    /// Reads the environment.
    pub fn load(globals: Globals) -> Result<Self> {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let working_dir = std::env::current_dir().doing(|| "find the current folder").or_else(|e| {
            // A script may stand in a folder that was deleted: only relative paths need it.
            if e.is_missing() { Ok(PathBuf::from("/")) } else { Err(e) }
        })?;
        let passwd = || std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let home = home(&env, passwd, nix::unistd::geteuid().as_raw());
        Self::from_parts(globals, env, working_dir, home)
    }

    fn from_parts(
        globals: Globals,
        env: BTreeMap<String, String>,
        working_dir: PathBuf,
        home: Option<PathBuf>,
    ) -> Result<Self> {
        let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let given = |name: &str| env.get(name).filter(|v| !v.is_empty()).map(|v| working_dir.join(v));
        let root = match (globals.root.map(PathBuf::from), given("RUNR_ROOT")) {
            (Some(flag), _) => Some(working_dir.join(flag)),
            (None, variable) => variable,
        };
        // The specification says to ignore relative values.
        let data_home = absolute("XDG_DATA_HOME").or_else(|| Some(home.as_ref()?.join(".local/share")));
        let root = root.or_else(|| Some(data_home?.join("runr"))).ok_or_else(homeless)?;
        let home = home.unwrap_or_else(|| PathBuf::from("/"));
        Ok(Self {
            root: clean(&root),
            runtime_dir: absolute("XDG_RUNTIME_DIR"),
            docker_config: globals.docker_config.map(|dir| working_dir.join(dir)),
            verbosity: globals.verbosity,
            home,
            working_dir,
            env,
        })
    }

    /// Settings of the registry client, before flags of a command are laid over them.
    pub fn registry(&self) -> registry::Config {
        let get = |name: &str| match (name, &self.docker_config) {
            ("DOCKER_CONFIG", Some(dir)) => Some(dir.clone().into_os_string()),
            _ => self.env.get(name).map(OsString::from),
        };
        registry::Config::from_environment(&get, Some(&self.home))
    }

    /// True when progress may be drawn: stderr is a terminal that can move its cursor.
    pub fn draws_progress(&self) -> bool {
        self.env.get("TERM").is_none_or(|t| t != "dumb") && std::io::stderr().is_terminal()
    }
}

/// False with `NO_COLOR` (no-color.org) or a terminal that has none. Apart from [`Config`], because an error may come before it.
pub fn colour() -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|v| v.is_empty());
    unset("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

fn homeless() -> Error {
    Error::new(Kind::Unsupported, "find a place for images and containers: this user has no home folder")
        .hint("set HOME, XDG_DATA_HOME or RUNR_ROOT, or use --root DIR")
}

/// `$HOME`, else the home folder in /etc/passwd: cron, CI runners and `env -i` often leave HOME unset. Not by getpwuid, which
/// a static program must not call.
fn home(env: &BTreeMap<String, String>, passwd: impl FnOnce() -> String, uid: u32) -> Option<PathBuf> {
    let named = env.get("HOME").filter(|home| Path::new(home).is_absolute());
    if named.is_some() {
        // The library looks at the same variable; without it, it would ask the user database.
        return directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    }
    let passwd = passwd();
    let of_user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| PathBuf::from(fields.get(5).copied().unwrap_or_default()))
    };
    passwd.lines().find_map(of_user).filter(|home| home.is_absolute())
}

/// Resolves `.` and `..` by words alone, as shells do for `cd`: the path need not exist.
pub(crate) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            part => cleaned.push(part),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(globals: Globals, env: &[(&str, &str)], home: Option<&str>) -> Result<Config> {
        let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Config::from_parts(globals, env, PathBuf::from("/here/dir"), home.map(PathBuf::from))
    }

    #[test]
    fn the_data_folder_is_found_in_order() {
        let root = |flag: Option<&str>, env: &[(&str, &str)]| {
            let globals = Globals { root: flag.map(OsString::from), ..Globals::default() };
            config(globals, env, Some("/home/ana")).unwrap().root
        };
        assert_eq!(root(None, &[]), Path::new("/home/ana/.local/share/runr"));
        assert_eq!(root(None, &[("XDG_DATA_HOME", "/data")]), Path::new("/data/runr"));
        assert_eq!(root(None, &[("XDG_DATA_HOME", "relative")]), Path::new("/home/ana/.local/share/runr"));
        assert_eq!(root(None, &[("XDG_DATA_HOME", "/data"), ("RUNR_ROOT", "/r")]), Path::new("/r"));
        assert_eq!(root(Some("../x"), &[("RUNR_ROOT", "/r")]), Path::new("/here/x"));
    }

    #[test]
    fn without_a_home_only_an_explicit_folder_works() {
        assert!(config(Globals::default(), &[], None).unwrap_err().hints()[0].contains("--root"));
        assert_eq!(config(Globals::default(), &[("RUNR_ROOT", "/r")], None).unwrap().root, Path::new("/r"));
    }

    #[test]
    fn home_comes_from_passwd_when_the_variable_is_unset() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nana:x:1001:1001::/home/ana:/bin/sh\n";
        assert_eq!(home(&BTreeMap::new(), || passwd.to_owned(), 1001), Some(PathBuf::from("/home/ana")));
        assert_eq!(home(&BTreeMap::new(), || passwd.to_owned(), 5), None);
    }
}
