//! `--log-driver` and `--log-opt` as settings: what is checked before a container is made is what its monitor acts on.

use super::{journal, tag};
use crate::base::units::{parse_bool, parse_bytes};
use crate::base::{Doing, Error, Result};
use crate::spec::ContainerOptions;
use crate::state::record::ContainerRecord;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where output goes besides to whoever is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A file in the format of the container runtime interface; the default.
    K8sFile,
    /// A file of JSON objects, docker's format.
    JsonFile,
    /// docker's name for a file with rotation whose format is nobody's business: here that of `k8s-file`.
    Local,
    /// The system's journal.
    Journald,
    /// Nowhere.
    None,
    /// Nowhere, and nothing is relayed: the container has the caller's own descriptors.
    Passthrough,
}

/// How records of a file look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// See [`super::k8s`].
    K8s,
    /// See [`super::json`].
    Json,
}

/// All drivers, with the word of each.
const DRIVERS: [(&str, Driver); 6] = [
    ("k8s-file", Driver::K8sFile),
    ("json-file", Driver::JsonFile),
    ("local", Driver::Local),
    ("journald", Driver::Journald),
    ("none", Driver::None),
    ("passthrough", Driver::Passthrough),
];

/// Options that every driver takes, because docker or podman do: what does not concern a driver is kept for inspect.
const OPTIONS: [&str; 12] = [
    "compress",
    "env",
    "env-regex",
    "label",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "max-file",
    "max-size",
    "mode",
    "path",
    "tag",
];

/// Settings of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to.
    pub driver: Driver,
    /// When a file is full, in bytes; `None` is never.
    pub max_size: Option<u64>,
    /// How many files there may be, at least 1.
    pub max_files: u32,
    /// `compress`: older files are packed.
    pub compress: bool,
    /// `path`: the file, absolute, instead of the one in the container's folder.
    pub path: Option<PathBuf>,
    /// `tag`: a Go template, as given.
    pub tag: Option<String>,
    /// `labels`, `label`: names of labels, or `name=value` pairs, which `--details` shows.
    pub labels: Vec<String>,
    /// `env`: names of variables that `--details` shows.
    pub env: Vec<String>,
    /// `labels-regex`: a regular expression; the labels whose names it finds are shown as well.
    pub labels_regex: Option<String>,
    /// `env-regex`, likewise for variables.
    pub env_regex: Option<String>,
}

impl Driver {
    /// The driver of that name.
    pub fn parse(name: &str) -> Result<Self> {
        let known = DRIVERS.iter().find(|(word, _)| *word == name);
        known.map(|(_, driver)| *driver).ok_or_else(|| {
            Error::usage(format!("invalid log driver `{name}`"))
                .hint("use k8s-file, json-file, journald, none or passthrough")
        })
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        DRIVERS.iter().find(|(_, driver)| *driver == self).map_or("", |(word, _)| word)
    }

    /// The format of its file; `None` if it writes none.
    pub fn format(self) -> Option<Format> {
        match self {
            Self::K8sFile | Self::Local => Some(Format::K8s),
            Self::JsonFile => Some(Format::Json),
            Self::Journald | Self::None | Self::Passthrough => None,
        }
    }
}

impl Settings {
    /// The settings of a container that was made.
    pub fn of(options: &ContainerOptions) -> Result<Self> {
        Self::new(options.log_driver.as_deref(), &options.log_options)
    }

    /// Checks what was given.
    ///
    /// Errors: `Usage` for an unknown driver or option, or a value that means nothing.
    pub fn new(driver: Option<&str>, options: &BTreeMap<String, String>) -> Result<Self> {
        let driver = driver.filter(|d| !d.is_empty()).map_or(Ok(Driver::K8sFile), Driver::parse)?;
        if let Some(unknown) = options.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
            return Err(Error::usage(format!("invalid log option `{unknown}`"))
                .hint("use max-size, max-file, compress, path, tag, label, labels-regex, env, env-regex or mode"));
        }
        let get = |name: &str| options.get(name).map(String::as_str);
        let list = |name: &str| -> Vec<String> {
            let words = get(name).unwrap_or_default().split(',').map(str::trim);
            words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
        };
        check_mode(get("mode"), get("max-buffer-size"))?;
        for name in ["env-regex", "labels-regex"] {
            if options.contains_key(name) {
                expression(get(name)).map_err(|e| e.step(format!("log option `{name}`")))?;
            }
        }
        get("tag").map_or(Ok(()), tag::check).map_err(|e| e.step("log option `tag`"))?;
        let local = driver == Driver::Local;
        let max_size = get("max-size").map_or(Ok(local.then_some(20_000_000)), size)?;
        let max_files = get("max-file").map_or(Ok(if local { 5 } else { 1 }), count)?;
        Ok(Self {
            driver,
            max_size,
            max_files,
            compress: compress(get("compress"), local, max_size.is_some() && max_files > 1)?,
            path: get("path").map(path).transpose()?,
            tag: get("tag").filter(|t| !t.is_empty()).map(str::to_owned),
            labels: [list("label"), list("labels")].concat(),
            env: list("env"),
            labels_regex: get("labels-regex").filter(|r| !r.is_empty()).map(str::to_owned),
            env_regex: get("env-regex").filter(|r| !r.is_empty()).map(str::to_owned),
        })
    }

    /// What `--details` shows, and docker's format carries in every record: the chosen labels and variables, and the tag.
    pub fn attributes(&self, record: &ContainerRecord) -> BTreeMap<String, String> {
        let options = &record.options;
        let mut found = BTreeMap::new();
        for label in &self.labels {
            match label.split_once('=') {
                Some((name, value)) => found.insert(name.to_owned(), value.to_owned()),
                None => options.labels.get(label).and_then(|value| found.insert(label.clone(), value.clone())),
            };
        }
        let labels = expression(self.labels_regex.as_deref()).ok().flatten();
        let fits = |(name, _): &(&String, &String)| labels.as_ref().is_some_and(|r| r.is_match(name));
        found.extend(options.labels.iter().filter(fits).map(|(n, v)| (n.clone(), v.clone())));
        // Of two with one name the later one counts.
        let variables = expression(self.env_regex.as_deref()).ok().flatten();
        let fits =
            |name: &str| self.env.iter().any(|n| n == name) || variables.as_ref().is_some_and(|r| r.is_match(name));
        let pairs = options.env.iter().filter_map(|pair| pair.split_once('='));
        found.extend(pairs.filter(|(n, _)| fits(n)).map(|(n, v)| (n.to_owned(), v.to_owned())));
        found.extend(self.tag_of(record).map(|tag| ("tag".to_owned(), tag)));
        found
    }

    /// The tag with its fields filled in. One that makes no sense any more stays as it was given: a log never fails.
    pub fn tag_of(&self, record: &ContainerRecord) -> Option<String> {
        let template = self.tag.as_deref()?;
        Some(tag::render(template, record).unwrap_or_else(|_| template.to_owned()))
    }

    /// Checks what takes the container itself to be checked, before it is made.
    ///
    /// Errors: `Usage` for a tag with a field that there is none of.
    pub fn check_for(&self, record: &ContainerRecord) -> Result<()> {
        let Some(template) = &self.tag else { return Ok(()) };
        tag::render(template, record).map(drop).map_err(|e| e.step("log option `tag`"))
    }

    /// The log's file that is written now, for a container with this folder; `None` if the driver has none.
    pub fn file(&self, folder: &Path) -> Option<PathBuf> {
        self.driver.format()?;
        Some(self.path.clone().unwrap_or_else(|| folder.join("log").join("ctr.log")))
    }

    /// Checks that there is a place for the log before a container is made that would have none.
    ///
    /// Errors: `Io` for a missing folder of `path`; `Unsupported` for a journal that does not answer.
    pub fn check_place(&self) -> Result<()> {
        if let Some(path) = self.path.as_ref().filter(|_| self.driver.format().is_some()) {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let found = std::fs::metadata(folder).doing(|| format!("look at `{}`", folder.display()));
            let found = found.map_err(|e| e.step("log option `path`"))?;
            if !found.is_dir() || path.is_dir() {
                return Err(Error::usage(format!("log option `path`: `{}` cannot be a file", path.display())));
            }
        }
        if self.driver == Driver::Journald { journal::check() } else { Ok(()) }
    }

    /// When a file is full, and how many older ones are kept; `None` without rotation. With a single file allowed it is
    /// two of half the size: the disk holds no more, and a rotation does not take the last lines with it.
    pub fn rotation(&self) -> Option<(u64, u32)> {
        let size = self.max_size?;
        Some(if self.max_files < 2 { ((size / 2).max(1), 1) } else { (size, self.max_files - 1) })
    }
}

fn expression(text: Option<&str>) -> Result<Option<regex_lite::Regex>> {
    let compile =
        |text| regex_lite::Regex::new(text).map_err(|e| Error::usage(format!("invalid expression `{text}`: {e}")));
    text.filter(|t| !t.is_empty()).map(compile).transpose()
}

fn check_mode(mode: Option<&str>, buffer: Option<&str>) -> Result<()> {
    if let Some(other) = mode.filter(|m| !matches!(*m, "" | "blocking" | "non-blocking")) {
        return Err(Error::usage(format!("log option `mode`: invalid value `{other}`: use blocking or non-blocking")));
    }
    buffer.map_or(Ok(()), |b| parse_bytes(b).map(drop).map_err(|e| e.step("log option `max-buffer-size`")))
}

/// Whether older files are packed; `rotates` is true if there are any.
fn compress(given: Option<&str>, default: bool, rotates: bool) -> Result<bool> {
    match given {
        None | Some("") => Ok(default && rotates),
        Some(text) => match parse_bool(text) {
            Some(true) if !rotates => {
                Err(Error::usage("log option `compress`: it needs `max-size`, and a `max-file` of 2 or more")
                    .hint("only files that are full are packed"))
            }
            Some(wanted) => Ok(wanted),
            None => Err(Error::usage(format!("log option `compress`: invalid value `{text}`: use true or false"))),
        },
    }
}

/// docker and podman count in powers of 1000 here; -1 and 0 mean no limit.
fn size(text: &str) -> Result<Option<u64>> {
    if matches!(text, "-1" | "0" | "") {
        return Ok(None);
    }
    let bad = || Error::usage(format!("log option `max-size`: invalid size `{text}`: use a number with k, m or g"));
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        _ => return Err(bad()),
    };
    let number = digits.trim();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(bad());
    }
    let bytes = number.parse::<f64>().map_err(|_| bad())? * factor;
    if (1.0..=9e18).contains(&bytes) { Ok(Some(bytes as u64)) } else { Err(bad()) }
}

fn count(text: &str) -> Result<u32> {
    let count = text.parse().ok().filter(|n| (1..=1000).contains(n));
    count.ok_or_else(|| {
        Error::usage(format!("log option `max-file`: invalid value `{text}`: use a number from 1 to 1000"))
    })
}

fn path(text: &str) -> Result<PathBuf> {
    let path = PathBuf::from(text);
    if path.is_absolute() && path.file_name().is_some() {
        return Ok(path);
    }
    Err(Error::usage(format!("log option `path`: `{text}` is not the absolute path of a file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(driver: &str, options: &[(&str, &str)]) -> Result<Settings> {
        let options = options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Settings::new((!driver.is_empty()).then_some(driver), &options)
    }

    #[test]
    fn what_is_given_is_what_is_meant() {
        let plain = new("", &[]).unwrap();
        assert_eq!((plain.driver, plain.rotation()), (Driver::K8sFile, None));
        assert_eq!(plain.file(Path::new("/c")).unwrap(), Path::new("/c/log/ctr.log"));
        let s = new("json-file", &[("max-size", "10m"), ("max-file", "3"), ("labels", "a, b"), ("tag", "x")]).unwrap();
        assert_eq!((s.driver.format(), s.rotation()), (Some(Format::Json), Some((10_000_000, 2))));
        assert_eq!((s.labels.as_slice(), s.tag.as_deref()), (&["a".to_owned(), "b".to_owned()][..], Some("x")));
        assert_eq!(new("", &[("max-size", "1000")]).unwrap().rotation(), Some((500, 1)));
        assert_eq!(new("local", &[]).unwrap().rotation(), Some((20_000_000, 4)));
        let rotating = [("max-size", "1m"), ("max-file", "2")];
        for (driver, given, packs) in
            [("json-file", "", false), ("json-file", "true", true), ("local", "", true), ("local", "false", false)]
        {
            assert_eq!(new(driver, &[&rotating[..], &[("compress", given)]].concat()).unwrap().compress, packs);
        }
        assert_eq!(new("", &[("path", "/x/y")]).unwrap().file(Path::new("/c")).unwrap(), Path::new("/x/y"));
        assert_eq!(new("none", &[]).unwrap().file(Path::new("/c")), None);
        for (text, bytes) in [("1k", 1000), ("1.5kB", 1500), ("2MiB", 2_000_000), ("7", 7), ("1g", 1_000_000_000)] {
            assert_eq!(size(text).unwrap(), Some(bytes), "{text}");
        }
        assert_eq!(size("-1").unwrap(), None);
        for (word, driver) in DRIVERS {
            assert_eq!((Driver::parse(word).unwrap(), driver.word()), (driver, word));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (driver, option, message) in [
            ("syslog", ("tag", "x"), "invalid log driver `syslog`"),
            ("", ("shiny", "x"), "invalid log option `shiny`"),
            ("", ("max-size", "big"), "log option `max-size`: invalid size `big`: use a number with k, m or g"),
            ("", ("max-size", "-5"), "log option `max-size`: invalid size `-5`: use a number with k, m or g"),
            ("", ("max-file", "0"), "log option `max-file`: invalid value `0`: use a number from 1 to 1000"),
            ("", ("path", "x.log"), "log option `path`: `x.log` is not the absolute path of a file"),
            ("", ("path", "/"), "log option `path`: `/` is not the absolute path of a file"),
            ("", ("mode", "fast"), "log option `mode`: invalid value `fast`: use blocking or non-blocking"),
            (
                "",
                ("env-regex", "("),
                "log option `env-regex`: invalid expression `(`: found open group without closing ')'",
            ),
            (
                "json-file",
                ("compress", "true"),
                "log option `compress`: it needs `max-size`, and a `max-file` of 2 or more",
            ),
            ("", ("compress", "much"), "log option `compress`: invalid value `much`: use true or false"),
        ] {
            assert_eq!(new(driver, &[option]).unwrap_err().to_string(), message);
        }
    }
}
