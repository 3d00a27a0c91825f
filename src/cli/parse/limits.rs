//! `--memory`, `--cpus` and their like: values in docker's and podman's forms, refused in their words.

use super::super::args::limits::{CgroupArgs, CountArgs, LimitArgs};
use crate::base::{Error, Result, units};
use crate::spec::limits::{CgroupMode, CgroupOptions, DeviceRate, Limits};
use std::path::{Component, Path};

/// All limits of a command line, checked one by one; against each other they are checked by [`Limits::check`].
pub(crate) fn limits(args: &LimitArgs, counts: &CountArgs) -> Result<Limits> {
    only(&args.memory_swappiness, "memory-swappiness", &["-1"], "memory swappiness")?;
    only(&args.cpu_rt_period, "cpu-rt-period", &["0"], "realtime period")?;
    only(&args.cpu_rt_runtime, "cpu-rt-runtime", &["0"], "realtime runtime")?;
    let bytes = |name: &str, text: &Option<String>| {
        text.as_deref().map(|t| units::parse_bytes(t).map_err(|e| e.step(format!("--{name}")))).transpose()
    };
    let swap = match args.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        _ => bytes("memory-swap", &args.memory_swap)?.map(|b| i64::try_from(b).unwrap_or(i64::MAX)),
    };
    Ok(Limits {
        memory: bytes("memory", &args.memory)?,
        memory_swap: swap,
        memory_reservation: bytes("memory-reservation", &args.memory_reservation)?,
        nano_cpus: args.cpus.as_deref().map(nano_cpus).transpose()?,
        cpu_shares: number(&args.cpu_shares, "cpu-shares")?,
        cpu_period: period(number(&args.cpu_period, "cpu-period")?)?,
        cpu_quota: quota(number(&args.cpu_quota, "cpu-quota")?)?,
        cpuset_cpus: args.cpuset_cpus.as_deref().map(|v| set("cpuset cpus", v)).transpose()?,
        cpuset_mems: args.cpuset_mems.as_deref().map(|v| set("cpuset mems", v)).transpose()?,
        pids: number(&counts.pids_limit, "pids-limit")?,
        blkio_weight: weight(number(&args.blkio_weight, "blkio-weight")?)?,
        blkio_weight_devices: each(&args.blkio_weight_device, "blkio-weight-device", device_weight)?,
        read_bps: each(&args.device_read_bps, "device-read-bps", units::parse_bytes)?,
        write_bps: each(&args.device_write_bps, "device-write-bps", units::parse_bytes)?,
        read_iops: each(&counts.device_read_iops, "device-read-iops", operations)?,
        write_iops: each(&counts.device_write_iops, "device-write-iops", operations)?,
        conf: Default::default(),
    })
}

/// Where the cgroup is; adds `--cgroup-conf` to the limits.
pub(crate) fn cgroup(args: &CgroupArgs, limits: &mut Limits) -> Result<CgroupOptions> {
    if let Some(rule) = args.device_cgroup_rule.first() {
        device_rule(rule)?;
        return Err(Error::unsupported(
            "device cgroup rules are not supported in rootless mode or in a user namespace",
        ));
    }
    if args.oom_kill_disable {
        return Err(Error::unsupported("cannot disable OOM killer with cgroup v2").hint("see --oom-score-adj"));
    }
    if let Some(size) = &args.kernel_memory {
        units::parse_bytes(size).map_err(|e| e.step("--kernel-memory"))?;
    }
    for pair in &args.cgroup_conf {
        let (file, value) = conf(pair)?;
        limits.conf.insert(file, value);
    }
    let mode = match args.cgroups.as_deref() {
        None | Some("" | "enabled") => CgroupMode::Enabled,
        Some("disabled") => CgroupMode::Disabled,
        Some("no-conmon") => CgroupMode::NoConmon,
        Some("split") => CgroupMode::Split,
        Some(other) => {
            return Err(Error::usage(format!(
                "--cgroups: unknown mode `{other}`: use enabled, disabled, no-conmon or split"
            )));
        }
    };
    let parent = args.cgroup_parent.as_deref().filter(|p| !p.is_empty()).map(parent).transpose()?;
    if mode == CgroupMode::Disabled && parent.is_some() {
        return Err(Error::usage("--cgroup-parent cannot be used together with --cgroups disabled"));
    }
    if mode == CgroupMode::Disabled && !limits.is_empty() {
        return Err(Error::usage("limits cannot be used together with --cgroups disabled"));
    }
    if mode == CgroupMode::Split && parent.is_some() {
        return Err(Error::usage("--cgroup-parent cannot be used together with --cgroups split"));
    }
    Ok(CgroupOptions { parent, mode })
}

/// What only cgroup v1 has: just the word that means "nothing" there is accepted.
fn only(value: &Option<String>, flag: &str, words: &[&str], what: &str) -> Result<()> {
    match value.as_deref() {
        None => Ok(()),
        Some(word) if words.contains(&word) => Ok(()),
        Some(word) => {
            word.parse::<i64>()
                .map_err(|_| Error::usage(format!("--{flag}: invalid value `{word}`: use a whole number")))?;
            Err(Error::unsupported(format!("cannot set {what} with cgroup v2")).hint(format!("leave out --{flag}")))
        }
    }
}

fn number<T: std::str::FromStr>(value: &Option<String>, flag: &str) -> Result<Option<T>> {
    let parse = |text: &String| {
        text.parse().map_err(|_| Error::usage(format!("--{flag}: invalid value `{text}`: use a whole number")))
    };
    value.as_ref().map(parse).transpose()
}

/// docker's decimal: `1.5`, `.25`, at most nine digits behind the point.
fn nano_cpus(text: &str) -> Result<u64> {
    let bad = || Error::usage(format!("--cpus: failed to parse `{text}` as a rational number"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return Err(bad());
    }
    if part.trim_end_matches('0').len() > 9 {
        return Err(Error::usage("--cpus: value is too precise"));
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let part: u64 = format!("{part:0<9}")[..9].parse().map_err(|_| bad())?;
    whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(part)).filter(|n| *n < 1 << 50).ok_or_else(bad)
}

fn period(value: Option<u64>) -> Result<Option<u64>> {
    match value {
        Some(n) if n != 0 && !(1000..=1_000_000).contains(&n) => {
            Err(Error::usage("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"))
        }
        other => Ok(other.filter(|n| *n != 0)),
    }
}

fn quota(value: Option<i64>) -> Result<Option<i64>> {
    match value {
        Some(1..1000) => Err(Error::usage("CPU cfs quota can not be less than 1ms (i.e. 1000)")),
        other => Ok(other.filter(|n| *n != 0)),
    }
}

fn weight(value: Option<u16>) -> Result<Option<u16>> {
    match value {
        Some(n) if n != 0 && !(10..=1000).contains(&n) => Err(Error::usage("range of blkio weight is from 10 to 1000")),
        other => Ok(other.filter(|n| *n != 0)),
    }
}

/// `0-3,7`.
fn set(what: &str, text: &str) -> Result<String> {
    let id = |t: &str| t.parse::<u16>().ok();
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => matches!((id(first), id(last)), (Some(a), Some(b)) if a <= b),
        None => id(part).is_some(),
    };
    if text.split(',').all(range) {
        Ok(text.to_owned())
    } else {
        Err(Error::usage(format!("invalid value `{text}` for {what}: use a list such as 0-3,7")))
    }
}

fn each(values: &[String], flag: &str, rate: impl Fn(&str) -> Result<u64>) -> Result<Vec<DeviceRate>> {
    let parse = |text: &String| {
        let bad = || Error::usage(format!("--{flag}: bad format: `{text}`: use DEVICE:NUMBER"));
        let (device, number) = text.rsplit_once(':').ok_or_else(bad)?;
        if !device.starts_with("/dev/") || Path::new(device).components().any(|c| c == Component::ParentDir) {
            return Err(Error::usage(format!("--{flag}: bad format for device path: `{text}`: it begins with /dev/")));
        }
        let rate = rate(number).map_err(|e| e.step(format!("--{flag}")))?;
        Ok(DeviceRate { device: device.into(), rate })
    };
    values.iter().map(parse).collect()
}

fn device_weight(text: &str) -> Result<u64> {
    let weight = text.parse().ok().filter(|n| (10..=1000).contains(n));
    weight.ok_or_else(|| Error::usage(format!("invalid weight `{text}`: use a number from 10 to 1000")))
}

fn operations(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::usage(format!("invalid rate `{text}`: use a whole number")))
}

/// A file of the container's own group, and no way out of it.
fn conf(pair: &str) -> Result<(String, String)> {
    let bad =
        || Error::usage(format!("--cgroup-conf: invalid `{pair}`: use FILE=VALUE, such as memory.high=1073741824"));
    let (file, value) = pair.split_once('=').ok_or_else(bad)?;
    let plain = file.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain || file.starts_with('.') || !file.contains('.') || value.contains(['\0', '\n']) {
        return Err(bad());
    }
    if matches!(file, "cgroup.procs" | "cgroup.threads" | "cgroup.freeze" | "cgroup.kill" | "cgroup.type") {
        return Err(Error::usage(format!("--cgroup-conf: `{file}` is runr's to write")));
    }
    Ok((file.to_owned(), value.to_owned()))
}

/// docker's form: `c 1:3 rwm`.
fn device_rule(text: &str) -> Result<()> {
    let number = |t: &str| t == "*" || t.parse::<u32>().is_ok();
    let mut words = text.split(' ');
    let form = (words.next(), words.next(), words.next(), words.next());
    let good = match form {
        (Some("a" | "b" | "c"), Some(numbers), Some(access), None) => {
            numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&access.len())
                && access.bytes().all(|b| b"rwm".contains(&b))
        }
        _ => false,
    };
    if good { Ok(()) } else { Err(Error::usage(format!("invalid device cgroup format `{text}`: use `c 1:3 rwm`"))) }
}

fn parent(text: &str) -> Result<String> {
    let path = Path::new(text);
    let up = path.components().any(|c| matches!(c, Component::ParentDir));
    if up || text.contains('\0') || (text.ends_with(".slice") && text.contains('/')) {
        return Err(Error::usage(format!(
            "--cgroup-parent: invalid `{text}`: use a path without `..`, or the name of a slice"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: impl FnOnce(&mut LimitArgs)) -> Result<Limits> {
        let mut args = LimitArgs::default();
        set(&mut args);
        limits(&args, &CountArgs::default())
    }

    #[test]
    fn values_in_all_forms() {
        for (text, nano) in
            [("1", 1_000_000_000), ("1.5", 1_500_000_000), (".25", 250_000_000), ("0", 0), ("2.", 2_000_000_000)]
        {
            assert_eq!(with(|a| a.cpus = Some(text.into())).unwrap().nano_cpus, Some(nano), "{text}");
        }
        for bad in ["", ".", "-1", "x", "1e3", "0.0000000001", "99999999999"] {
            assert!(with(|a| a.cpus = Some(bad.into())).is_err(), "{bad}");
        }
        assert_eq!(with(|a| a.memory = Some("1.5g".into())).unwrap().memory, Some(3 << 29));
        assert_eq!(with(|a| a.memory_swap = Some("-1".into())).unwrap().memory_swap, Some(-1));
        assert_eq!(with(|a| a.cpuset_cpus = Some("0-1,3".into())).unwrap().cpuset_cpus, Some("0-1,3".into()));
        for bad in ["", "a", "1-", "3-1", "0,,1", "1-2-3", "99999"] {
            assert!(with(|a| a.cpuset_cpus = Some(bad.into())).is_err(), "{bad}");
        }
        let rates = with(|a| a.device_read_bps = vec!["/dev/sda:1mb".into()]).unwrap().read_bps;
        assert_eq!(rates, [DeviceRate { device: "/dev/sda".into(), rate: 1 << 20 }]);
        for bad in ["/dev/sda", "sda:1", "/dev/../etc:1", "/dev/sda:x", ""] {
            assert!(with(|a| a.device_read_bps = vec![bad.into()]).is_err(), "{bad}");
        }
        let counts = CountArgs { pids_limit: Some("-1".into()), ..CountArgs::default() };
        assert_eq!(limits(&LimitArgs::default(), &counts).unwrap().pids, Some(-1));
        assert!(with(|a| a.blkio_weight = Some("9".into())).is_err());
        assert!(with(|a| a.cpu_period = Some("999".into())).is_err());
        assert!(with(|a| a.cpu_quota = Some("999".into())).is_err());
        assert!(with(|a| a.memory_swappiness = Some("-1".into())).is_ok());
        assert_eq!(
            with(|a| a.memory_swappiness = Some("60".into())).unwrap_err().kind(),
            crate::base::Kind::Unsupported
        );
    }

    #[test]
    fn names_of_groups_and_files_stay_inside() {
        assert_eq!(conf("memory.high=1").unwrap(), ("memory.high".into(), "1".into()));
        for bad in ["memory.high", "../x.y=1", "memory=1", "cgroup.procs=1", ".x=1", "a/b.c=1"] {
            assert!(conf(bad).is_err(), "{bad}");
        }
        for (text, good) in [("/a/b", true), ("a", true), ("x.slice", true), ("a/../b", false), ("/a/x.slice", false)] {
            assert_eq!(parent(text).is_ok(), good, "{text}");
        }
        for (rule, good) in
            [("c 1:3 rwm", true), ("a *:* r", true), ("d 1:3 r", false), ("c 1 r", false), ("c 1:3 x", false)]
        {
            assert_eq!(device_rule(rule).is_ok(), good, "{rule}");
        }
    }
}
