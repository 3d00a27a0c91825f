//! `--volume`, `--mount`, `--tmpfs`, `--device`.

use super::super::config::clean;
use super::{csv, switch};
use crate::base::{Error, Result, units};
use crate::spec::options::{Device, Mount, MountKind};
use crate::store::volumes::check_name;
use std::path::{Path, PathBuf};

/// `[SOURCE:]TARGET[:OPTIONS]`; a source that begins with `/`, `.` or `~/` is a path, another one a volume's name.
pub(crate) fn volume(text: &str, working_dir: &Path, home: &Path) -> Result<Mount> {
    let bad = |why: &str| Error::usage(format!("invalid volume `{text}`: {why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        // podman's form for an anonymous volume with options has no source, but its target is absolute and its tail is not.
        [target, options] if target.starts_with('/') && !options.starts_with('/') && is_options(options) => {
            ("", target, options)
        }
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(bad("use SOURCE:TARGET[:OPTIONS]")),
    };
    if parts.len() > 1 && source.is_empty() && parts[0].is_empty() {
        return Err(bad("the source is empty"));
    }
    let target = target_path(target).map_err(|why| bad(&why))?;
    let mut mount = Mount { kind: MountKind::Tmpfs, target, read_only: false, options: Vec::new() };
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            "rw" => mount.read_only = false,
            known if VOLUME_OPTIONS.contains(&known) => mount.options.push(known.to_owned()),
            other => return Err(bad(&format!("unknown option `{other}`"))),
        }
    }
    mount.kind = if let Some(below_home) = source.strip_prefix("~/") {
        MountKind::Bind { source: clean(&home.join(below_home)), create: true }
    } else if source.starts_with(['/', '.']) {
        MountKind::Bind { source: clean(&working_dir.join(source)), create: true }
    } else {
        named_volume(source).map_err(|why| bad(&why))?
    };
    Ok(mount)
}

/// What may stand behind the second colon, besides `ro` and `rw`.
const VOLUME_OPTIONS: [&str; 28] = [
    "z",
    "Z",
    "U",
    "O",
    "nocopy",
    "copy",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "unbindable",
    "runbindable",
    "bind",
    "rbind",
    "exec",
    "noexec",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "idmap",
    "noatime",
    "cached",
    "delegated",
    "consistent",
    "norecurse",
];

/// `U` gives a whole tree away, which a machine, or a user, does not recover from everywhere (podman's list).
pub(crate) fn check_gift(mount: &Mount, home: &Path) -> Result<()> {
    let MountKind::Bind { source, .. } = &mount.kind else { return Ok(()) };
    if !mount.options.iter().any(|o| o == "U") {
        return Ok(());
    }
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let place = real(source);
    if KEPT.iter().any(|kept| Path::new(kept) == place) || real(home) == place {
        return Err(Error::usage(format!("mount option `U`: `{}` cannot be given away", source.display()))
            .hint("mount a folder below it"));
    }
    Ok(())
}

/// Folders that nobody gives away.
const KEPT: [&str; 24] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
];

/// `--driver` of volumes.
pub(crate) fn volume_driver(driver: &str) -> Result<()> {
    if matches!(driver, "local" | "") {
        return Ok(());
    }
    Err(Error::unsupported(format!("volume driver `{driver}`: there are no plugins")).hint("use the driver local"))
}

fn is_options(text: &str) -> bool {
    !text.is_empty() && text.split(',').all(|o| matches!(o, "ro" | "rw") || VOLUME_OPTIONS.contains(&o))
}

/// Without a name it is one of the container's own.
fn named_volume(name: &str) -> std::result::Result<MountKind, String> {
    if name.is_empty() || check_name(name).is_ok() {
        return Ok(MountKind::Volume { name: name.to_owned(), anonymous: name.is_empty() });
    }
    Err(format!("`{name}` is no volume name; a path begins with `/` or `./`"))
}

pub(super) fn target_path(text: &str) -> std::result::Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("the target `{text}` is not an absolute path"));
    }
    match clean(Path::new(text)).to_string_lossy().into_owned() {
        root if root == "/" => Err("the target is the root of the container".to_owned()),
        path => Ok(path),
    }
}

/// `--tmpfs TARGET[:OPTIONS]`, options as tmpfs(5) has them.
pub(crate) fn tmpfs(text: &str) -> Result<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = target_path(target).map_err(|why| Error::usage(format!("invalid tmpfs `{text}`: {why}")))?;
    let mut mount = Mount { kind: MountKind::Tmpfs, target, read_only: false, options: Vec::new() };
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            other => mount.options.push(other.to_owned()),
        }
    }
    Ok(mount)
}

/// What the keys of one `--mount` said.
#[derive(Default)]
struct Keys {
    kind: String,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    options: Vec<String>,
    tmpfs_only: Option<String>,
    bind_only: Option<String>,
    devpts_only: Option<String>,
}

/// `--mount type=bind|tmpfs|volume|devpts,source=…,target=…[,…]`.
pub(crate) fn mount(text: &str, working_dir: &Path) -> Result<Mount> {
    let bad = |why: String| Error::usage(format!("invalid mount `{text}`: {why}"));
    let mut keys = Keys { kind: "volume".to_owned(), ..Keys::default() };
    for part in csv(text)? {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (part.to_ascii_lowercase(), None),
        };
        keys.take(&key, value).map_err(|e| bad(e.to_string()))?;
    }
    let target = keys.target.ok_or_else(|| bad("the target is missing".to_owned()))?;
    let target = target_path(&target).map_err(bad)?;
    let foreign = match keys.kind.as_str() {
        "bind" => keys.tmpfs_only.as_ref().or(keys.devpts_only.as_ref()),
        "tmpfs" => keys.bind_only.as_ref().or(keys.devpts_only.as_ref()),
        "devpts" => keys.bind_only.as_ref().or(keys.tmpfs_only.as_ref()),
        _ => keys.devpts_only.as_ref(),
    };
    if let Some(key) = foreign {
        return Err(bad(format!("`{key}` does not go with type={}", keys.kind)));
    }
    let kind = match (keys.kind.as_str(), keys.source) {
        ("bind", Some(source)) => MountKind::Bind {
            source: clean(&working_dir.join(source)),
            create: keys.options.iter().any(|o| o == CREATE),
        },
        ("bind", None) => return Err(bad("the source is missing".to_owned())),
        ("tmpfs", None) => MountKind::Tmpfs,
        ("tmpfs", Some(_)) => return Err(bad("a tmpfs has no source".to_owned())),
        ("devpts", None) => MountKind::Devpts,
        ("devpts", Some(_)) => return Err(bad("a devpts has no source".to_owned())),
        ("volume", source) => named_volume(&source.unwrap_or_default()).map_err(bad)?,
        (other @ ("image" | "glob" | "ramfs" | "artifact" | "cluster" | "npipe"), _) => {
            return Err(super::super::args::locate::not_yet(&format!("mount type `{other}`")));
        }
        (other, _) => return Err(bad(format!("unknown type `{other}`"))),
    };
    keys.options.retain(|o| o != CREATE);
    Ok(Mount { kind, target, read_only: keys.read_only, options: keys.options })
}

/// Marks a bind whose missing source is to be created; never leaves this file.
const CREATE: &str = "create-mountpoint";

impl Keys {
    fn take(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        let needed = || value.filter(|v| !v.is_empty()).ok_or_else(|| Error::usage(format!("`{key}` needs a value")));
        match key {
            "type" => self.kind = needed()?.to_ascii_lowercase(),
            "source" | "src" => self.source = Some(needed()?.to_owned()),
            "target" | "destination" | "dst" => self.target = Some(needed()?.to_owned()),
            "readonly" | "ro" => self.read_only = switch(value)?,
            "rw" => self.read_only = !switch(value)?,
            "bind-propagation" => {
                let mode = needed()?;
                if !["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"]
                    .contains(&mode)
                {
                    return Err(Error::usage(format!("unknown propagation `{mode}`")));
                }
                self.bind_only = Some(key.to_owned());
                self.options.push(mode.to_owned());
            }
            "bind-nonrecursive" => {
                self.bind_only = Some(key.to_owned());
                if switch(value)? {
                    self.options.push("bind".to_owned());
                }
            }
            "bind-recursive" => {
                self.bind_only = Some(key.to_owned());
                if needed()? == "disabled" {
                    self.options.push("bind".to_owned());
                }
            }
            "bind-create-src" | CREATE => {
                if switch(value)? {
                    self.options.push(CREATE.to_owned());
                }
            }
            "relabel" => self.options.push(if needed()? == "shared" { "z" } else { "Z" }.to_owned()),
            "u" | "chown" => {
                if switch(value)? {
                    self.options.push("U".to_owned());
                }
            }
            "tmpfs-size" => {
                self.tmpfs_only = Some(key.to_owned());
                let size = needed()?;
                // tmpfs takes a share of memory, too.
                let bytes = if size.ends_with('%') { size.to_owned() } else { units::parse_bytes(size)?.to_string() };
                self.options.push(format!("size={bytes}"));
            }
            "tmpfs-mode" => {
                self.tmpfs_only = Some(key.to_owned());
                self.options.push(format!("mode={}", octal(needed()?, 0o7777)?));
            }
            "uid" | "gid" | "max" => {
                self.devpts_only = Some(key.to_owned());
                let number = needed()?;
                let parsed = number.parse::<u32>();
                parsed.map_err(|_| Error::usage(format!("`{number}` is no number")))?;
                self.options.push(format!("{key}={number}"));
            }
            "mode" => {
                self.devpts_only = Some(key.to_owned());
                self.options.push(format!("mode={}", octal(needed()?, 0o777)?));
            }
            "tmpcopyup" | "notmpcopyup" | "exec" | "noexec" | "dev" | "nodev" | "suid" | "nosuid" => {
                self.options.push(key.to_owned());
            }
            "volume-nocopy" => {
                if switch(value)? {
                    self.options.push("nocopy".to_owned());
                }
            }
            // Meaningful on macOS only; docker accepts it everywhere.
            "consistency" => {}
            "idmap" => self.options.push(value.map_or_else(|| "idmap".to_owned(), |v| format!("idmap={v}"))),
            other => return Err(Error::usage(format!("unknown key `{other}`"))),
        }
        Ok(())
    }
}

fn octal(mode: &str, highest: u32) -> Result<&str> {
    let parsed = u32::from_str_radix(mode, 8).ok().filter(|m| *m <= highest);
    parsed.map(|_| mode).ok_or_else(|| Error::usage(format!("`{mode}` is no octal mode")))
}

/// `--device HOST[:CONTAINER][:PERMISSIONS]`.
pub(crate) fn device(text: &str) -> Result<Device> {
    let bad = |why: &str| Error::usage(format!("invalid device `{text}`: {why}"));
    if !text.starts_with('/') && text.contains('=') {
        return Err(super::super::args::locate::not_yet(&format!("CDI device `{text}`")));
    }
    let modes = |t: &str| !t.is_empty() && t.len() <= 3 && t.bytes().all(|b| b"rwm".contains(&b));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, permissions] if modes(permissions) => (host, host, permissions),
        [host, container] => (host, container, "rwm"),
        [host, container, permissions] if modes(permissions) => (host, container, permissions),
        [_, _, _] => return Err(bad("permissions are letters of `rwm`")),
        _ => return Err(bad("use HOST[:CONTAINER[:rwm]]")),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(bad("both paths must be absolute"));
    }
    Ok(Device { host: PathBuf::from(host), container: container.to_owned(), permissions: permissions.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(m: Result<Mount>) -> String {
        match m {
            Err(e) => e.to_string(),
            Ok(m) => {
                let source = match &m.kind {
                    MountKind::Bind { source, create } => {
                        format!("{}{}", source.display(), if *create { "+" } else { "" })
                    }
                    MountKind::Volume { name, .. } => format!("volume {name}"),
                    MountKind::Tmpfs => "tmpfs".to_owned(),
                    MountKind::Devpts => "devpts".to_owned(),
                };
                format!("{source} -> {}{} {}", m.target, if m.read_only { " ro" } else { "" }, m.options.join(","))
            }
        }
    }

    #[test]
    fn volumes() {
        for (text, shown) in [
            ("/a:/b", "/a+ -> /b "),
            ("/a/../c/:/b/", "/c+ -> /b "),
            (".:/src", "/here+ -> /src "),
            ("./x/..//y:/src:ro,Z", "/here/y+ -> /src ro Z"),
            ("~/x:/src:rw", "/home/ana/x+ -> /src "),
            ("name:/data", "volume name -> /data "),
            ("/data", "volume  -> /data "),
            ("/data:ro", "volume  -> /data ro "),
            ("/a:/b:rslave,ro", "/a+ -> /b ro rslave"),
            ("/a:b", "invalid volume `/a:b`: the target `b` is not an absolute path"),
            ("/a:/", "invalid volume `/a:/`: the target is the root of the container"),
            (":/b", "invalid volume `:/b`: the source is empty"),
            ("/a:/b:shiny", "invalid volume `/a:/b:shiny`: unknown option `shiny`"),
            ("a/b:/c", "invalid volume `a/b:/c`: `a/b` is no volume name; a path begins with `/` or `./`"),
            ("/a:/b:ro:x", "invalid volume `/a:/b:ro:x`: use SOURCE:TARGET[:OPTIONS]"),
        ] {
            assert_eq!(show(volume(text, Path::new("/here"), Path::new("/home/ana"))), shown, "{text}");
        }
    }

    #[test]
    fn mounts() {
        for (text, shown) in [
            ("type=bind,source=/a,target=/b", "/a -> /b "),
            ("type=bind,src=x,dst=/b,readonly", "/here/x -> /b ro "),
            ("type=bind,src=/a,destination=/b,ro=false,bind-propagation=rslave", "/a -> /b rslave"),
            (r#"type=bind,"src=/a,b",dst=/b"#, "/a,b -> /b "),
            ("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777", "tmpfs -> /t size=67108864,mode=1777"),
            ("target=/v,source=name", "volume name -> /v "),
            ("type=bind,target=/b", "invalid mount `type=bind,target=/b`: the source is missing"),
            ("type=bind,source=/a", "invalid mount `type=bind,source=/a`: the target is missing"),
            ("type=bind,src=/a,dst=/b,x=y", "invalid mount `type=bind,src=/a,dst=/b,x=y`: unknown key `x`"),
            (
                "type=bind,src=/a,dst=/b,tmpfs-size=1",
                "invalid mount `type=bind,src=/a,dst=/b,tmpfs-size=1`: `tmpfs-size` does not go with type=bind",
            ),
            ("type=devpts,dst=/b,uid=1,gid=5,mode=0620,max=3", "devpts -> /b uid=1,gid=5,mode=0620,max=3"),
            ("type=devpts,dst=/b,src=/a", "invalid mount `type=devpts,dst=/b,src=/a`: a devpts has no source"),
            ("type=devpts,dst=/b,mode=9", "invalid mount `type=devpts,dst=/b,mode=9`: `9` is no octal mode"),
            ("type=devpts,dst=/b,max=-1", "invalid mount `type=devpts,dst=/b,max=-1`: `-1` is no number"),
            ("type=tmpfs,dst=/b,max=1", "invalid mount `type=tmpfs,dst=/b,max=1`: `max` does not go with type=tmpfs"),
            ("type=shiny,dst=/b", "invalid mount `type=shiny,dst=/b`: unknown type `shiny`"),
            ("type=image,src=x,dst=/b", "mount type `image`: not supported yet"),
        ] {
            assert_eq!(show(mount(text, Path::new("/here"))), shown, "{text}");
        }
        assert_eq!(show(tmpfs("/t:size=1m,ro")), "tmpfs -> /t ro size=1m");
        assert!(tmpfs("t").is_err());
    }

    #[test]
    fn devices() {
        let shown = |text| device(text).map(|d| format!("{} {} {}", d.host.display(), d.container, d.permissions));
        for (text, found) in [
            ("/dev/a", "/dev/a /dev/a rwm"),
            ("/dev/a:r", "/dev/a /dev/a r"),
            ("/dev/a:/dev/b", "/dev/a /dev/b rwm"),
            ("/dev/a:/dev/b:rw", "/dev/a /dev/b rw"),
        ] {
            assert_eq!(shown(text).unwrap(), found);
        }
        for bad in ["a", "/dev/a:b", "/dev/a:/dev/b:x", "/a:/b:r:w", "vendor.com/gpu=all"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
