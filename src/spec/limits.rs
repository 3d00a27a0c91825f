//! Limits by cgroup controllers: what was asked for, and the files of a cgroup2 group that say so. Pure.
//!
//! Numbers are kept as docker and podman take them, which is cgroup v1's language; [`Limits::settings`] translates them as
//! the OCI runtimes do (runtime-spec, config-linux.md; crun(1), "Cgroup v2").

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// docker's and podman's period of `--cpus`, in microseconds.
pub const CPU_PERIOD: u64 = 100_000;

/// What `run`, `create` and `update` can limit. Unset is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// `--memory`: bytes; 0 is none.
    pub memory: Option<u64>,
    /// `--memory-swap`: bytes of memory and swap together; -1 is without limit.
    pub memory_swap: Option<i64>,
    /// `--memory-reservation`: bytes.
    pub memory_reservation: Option<u64>,
    /// `--cpus` in billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// `--cpu-shares`: 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// `--cpu-period`: microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpu-quota`: microseconds of each period; -1 is without limit.
    pub cpu_quota: Option<i64>,
    /// `--cpuset-cpus`: `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--pids-limit`: -1 and 0 are without limit.
    pub pids: Option<i64>,
    /// `--blkio-weight`: 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// `--blkio-weight-device`.
    pub blkio_weight_devices: Vec<DeviceRate>,
    /// `--device-read-bps`: bytes a second.
    pub read_bps: Vec<DeviceRate>,
    /// `--device-write-bps`.
    pub write_bps: Vec<DeviceRate>,
    /// `--device-read-iops`: operations a second.
    pub read_iops: Vec<DeviceRate>,
    /// `--device-write-iops`.
    pub write_iops: Vec<DeviceRate>,
    /// `--cgroup-conf`: files of the group and what is written into them.
    pub conf: BTreeMap<String, String>,
}

/// A number for one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRate {
    /// Its node, such as `/dev/sda`.
    pub device: PathBuf,
    /// Bytes or operations a second, or a weight.
    pub rate: u64,
}

/// Where the container's cgroup is, and whether it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgroupOptions {
    /// `--cgroup-parent`: a path below the cgroup2 mount, or a slice of systemd's.
    pub parent: Option<String>,
    /// `--cgroups`.
    pub mode: CgroupMode,
}

/// `--cgroups`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupMode {
    /// The container has one where this user may make one.
    #[default]
    Enabled,
    /// It has none.
    Disabled,
    /// It has one, and the monitor stays where its caller is.
    NoConmon,
    /// Both are below the caller's own.
    Split,
}

impl CgroupMode {
    /// podman's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::NoConmon => "no-conmon",
            Self::Split => "split",
        }
    }
}

/// One file of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The controller that has it; empty for the group's own files.
    pub controller: String,
    /// Its name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The machine may lack the file; then nothing is lost that was asked for.
    pub optional: bool,
    /// Another file that is written instead where it exists, and its value.
    pub rather: Option<(&'static str, String)>,
}

impl Setting {
    fn new(file: &str, value: impl ToString) -> Self {
        let prefix = file.split('.').next().unwrap_or_default();
        let controller = if prefix == "cgroup" { "" } else { prefix };
        Self {
            controller: controller.to_owned(),
            file: file.to_owned(),
            value: value.to_string(),
            optional: false,
            rather: None,
        }
    }
}

impl Limits {
    /// True when nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes over what `newer` sets; a memory limit may come without the swap that goes with it.
    pub fn update(&mut self, newer: &Self) {
        fn take<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        fn rates(old: &mut Vec<DeviceRate>, new: &[DeviceRate]) {
            for rate in new {
                old.retain(|o| o.device != rate.device);
                old.push(rate.clone());
            }
        }
        // One of the two says how much processor time there is.
        if newer.nano_cpus.is_some() {
            (self.cpu_period, self.cpu_quota) = (None, None);
        }
        if newer.cpu_period.is_some() || newer.cpu_quota.is_some() {
            self.nano_cpus = None;
        }
        take(&mut self.memory, &newer.memory);
        take(&mut self.memory_swap, &newer.memory_swap);
        take(&mut self.memory_reservation, &newer.memory_reservation);
        take(&mut self.nano_cpus, &newer.nano_cpus);
        take(&mut self.cpu_shares, &newer.cpu_shares);
        take(&mut self.cpu_period, &newer.cpu_period);
        take(&mut self.cpu_quota, &newer.cpu_quota);
        take(&mut self.cpuset_cpus, &newer.cpuset_cpus);
        take(&mut self.cpuset_mems, &newer.cpuset_mems);
        take(&mut self.pids, &newer.pids);
        take(&mut self.blkio_weight, &newer.blkio_weight);
        rates(&mut self.blkio_weight_devices, &newer.blkio_weight_devices);
        rates(&mut self.read_bps, &newer.read_bps);
        rates(&mut self.write_bps, &newer.write_bps);
        rates(&mut self.read_iops, &newer.read_iops);
        rates(&mut self.write_iops, &newer.write_iops);
        self.conf.extend(newer.conf.clone());
    }

    /// Checks limits against each other, in docker's words.
    pub fn check(&self) -> Result<()> {
        let memory = self.memory.filter(|m| *m > 0);
        match (memory, self.memory_swap) {
            (None, Some(1..)) => {
                return Err(Error::usage(
                    "you should always set the memory limit when using the memory-swap limit, see usage",
                )
                .hint("give --memory as well"));
            }
            (Some(memory), Some(swap @ 1..)) if swap.unsigned_abs() < memory => {
                return Err(Error::usage("minimum memory-swap limit should be larger than memory limit, see usage")
                    .hint("--memory-swap counts memory and swap together; -1 is without limit"));
            }
            _ => {}
        }
        if let (Some(memory), Some(reservation)) = (memory, self.memory_reservation)
            && memory < reservation
        {
            return Err(Error::usage("minimum memory limit can not be less than memory reservation limit, see usage"));
        }
        for (given, what) in [(self.cpu_period.is_some(), "--cpu-period"), (self.cpu_quota.is_some(), "--cpu-quota")] {
            if given && self.nano_cpus.is_some() {
                return Err(Error::usage(format!("{what} and --cpus cannot be set together")));
            }
        }
        Ok(())
    }

    /// Bytes of memory and swap together, as docker shows them: twice the memory unless something else is said.
    pub fn memory_and_swap(&self) -> i64 {
        match (self.memory.unwrap_or(0), self.memory_swap.unwrap_or(0)) {
            (0, swap) => swap,
            (memory, 0) => i64::try_from(memory.saturating_mul(2)).unwrap_or(-1),
            (_, swap) => swap,
        }
    }

    /// The files that say all this, in the order in which they are to be written. `number` yields a device's numbers.
    ///
    /// Errors: those of `number`.
    pub fn settings(&self, number: &dyn Fn(&Path) -> Result<(u64, u64)>) -> Result<Vec<Setting>> {
        let mut list = Vec::new();
        self.memory_settings(&mut list);
        self.cpu_settings(&mut list);
        for (file, value) in [("cpuset.cpus", &self.cpuset_cpus), ("cpuset.mems", &self.cpuset_mems)] {
            list.extend(value.as_ref().map(|v| Setting::new(file, v)));
        }
        if let Some(pids) = self.pids {
            list.push(Setting::new("pids.max", if pids > 0 { pids.to_string() } else { "max".to_owned() }));
        }
        if let Some(weight) = self.blkio_weight.filter(|w| *w > 0) {
            list.push(weight_setting(None, u64::from(weight)));
        }
        for DeviceRate { device, rate } in &self.blkio_weight_devices {
            list.push(weight_setting(Some(number(device)?), *rate));
        }
        for (key, rates) in [
            ("rbps", &self.read_bps),
            ("wbps", &self.write_bps),
            ("riops", &self.read_iops),
            ("wiops", &self.write_iops),
        ] {
            for DeviceRate { device, rate } in rates {
                let (major, minor) = number(device)?;
                // docker's 0 takes a limit away.
                let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
                list.push(Setting::new("io.max", format!("{major}:{minor} {key}={rate}")));
            }
        }
        list.extend(self.conf.iter().map(|(file, value)| Setting::new(file, value)));
        Ok(list)
    }

    fn memory_settings(&self, list: &mut Vec<Setting>) {
        let limit = |bytes: u64| if bytes == 0 { "max".to_owned() } else { bytes.to_string() };
        if let Some(memory) = self.memory {
            list.push(Setting::new("memory.max", limit(memory)));
        }
        // v1 counts memory and swap together, v2 swap alone.
        let swap = match (self.memory, self.memory_swap) {
            (_, Some(swap)) if swap < 0 => Some(("max".to_owned(), false)),
            (Some(0), _) => Some(("max".to_owned(), true)),
            (Some(memory), Some(swap @ 1..)) => Some((swap.unsigned_abs().saturating_sub(memory).to_string(), false)),
            (Some(memory), _) => Some((memory.to_string(), true)),
            (None, _) => None,
        };
        if let Some((value, optional)) = swap {
            list.push(Setting { optional, ..Setting::new("memory.swap.max", value) });
        }
        if let Some(bytes) = self.memory_reservation {
            list.push(Setting::new("memory.low", bytes));
        }
    }

    fn cpu_settings(&self, list: &mut Vec<Setting>) {
        if let Some(shares) = self.cpu_shares.filter(|s| *s > 0) {
            list.push(Setting::new("cpu.weight", cpu_weight(shares)));
        }
        let (quota, period) = match self.nano_cpus {
            // Hundredths of a processor are docker's finest step; a quota below 1 ms the kernel refuses.
            Some(0) => (Some(-1), None),
            Some(nano) => (i64::try_from((nano / (1_000_000_000 / CPU_PERIOD)).max(1000)).ok(), None),
            None => (self.cpu_quota, self.cpu_period),
        };
        if quota.is_some() || period.is_some() {
            let quota = quota.filter(|q| *q > 0).map_or("max".to_owned(), |q| q.to_string());
            list.push(Setting::new("cpu.max", format!("{quota} {}", period.filter(|p| *p > 0).unwrap_or(CPU_PERIOD))));
        }
    }
}

/// v1's shares, 2 to 262144, to v2's weight, 1 to 10000 (crun(1): `1 + ((shares - 2) * 9999) / 262142`).
pub fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// v1's weight, 10 to 1000, to v2's, 1 to 10000 (crun(1): `1 + (weight - 10) * 9999 / 990`). The BFQ scheduler has a file
/// of its own with v1's numbers.
fn weight_setting(device: Option<(u64, u64)>, weight: u64) -> Setting {
    let place = device.map_or("default".to_owned(), |(major, minor)| format!("{major}:{minor}"));
    let value = 1 + (weight.clamp(10, 1000) - 10) * 9999 / 990;
    let bfq = if device.is_some() { format!("{place} {weight}") } else { weight.to_string() };
    Setting { rather: Some(("io.bfq.weight", bfq)), ..Setting::new("io.weight", format!("{place} {value}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(limits: &Limits) -> Vec<String> {
        let settings = limits.settings(&|_| Ok((8, 16))).unwrap();
        settings.iter().map(|s| format!("{}|{}={}", s.controller, s.file, s.value)).collect()
    }

    #[test]
    fn limits_become_files_of_the_unified_hierarchy() {
        let none = Limits::default;
        let rate = |rate| vec![DeviceRate { device: "/dev/x".into(), rate }];
        let megabyte = 1u64 << 20;
        for (limits, files) in [
            (none(), vec![]),
            (
                Limits { memory: Some(64 * megabyte), ..none() },
                vec!["memory|memory.max=67108864", "memory|memory.swap.max=67108864"],
            ),
            (
                Limits { memory: Some(megabyte), memory_swap: Some(3 << 20), ..none() },
                vec!["memory|memory.max=1048576", "memory|memory.swap.max=2097152"],
            ),
            (
                Limits { memory: Some(megabyte), memory_swap: Some(-1), memory_reservation: Some(9), ..none() },
                vec!["memory|memory.max=1048576", "memory|memory.swap.max=max", "memory|memory.low=9"],
            ),
            (Limits { memory: Some(0), ..none() }, vec!["memory|memory.max=max", "memory|memory.swap.max=max"]),
            (Limits { nano_cpus: Some(1_500_000_000), ..none() }, vec!["cpu|cpu.max=150000 100000"]),
            (Limits { nano_cpus: Some(1), ..none() }, vec!["cpu|cpu.max=1000 100000"]),
            (Limits { cpu_quota: Some(5000), cpu_period: Some(10_000), ..none() }, vec!["cpu|cpu.max=5000 10000"]),
            (Limits { cpu_period: Some(10_000), ..none() }, vec!["cpu|cpu.max=max 10000"]),
            (Limits { cpu_quota: Some(-1), ..none() }, vec!["cpu|cpu.max=max 100000"]),
            (Limits { cpu_shares: Some(1024), ..none() }, vec!["cpu|cpu.weight=39"]),
            (Limits { pids: Some(7), ..none() }, vec!["pids|pids.max=7"]),
            (Limits { pids: Some(-1), ..none() }, vec!["pids|pids.max=max"]),
            (
                Limits { cpuset_cpus: Some("0-1".into()), cpuset_mems: Some("0".into()), ..none() },
                vec!["cpuset|cpuset.cpus=0-1", "cpuset|cpuset.mems=0"],
            ),
            (
                Limits { blkio_weight: Some(1000), blkio_weight_devices: rate(10), ..none() },
                vec!["io|io.weight=default 10000", "io|io.weight=8:16 1"],
            ),
            (
                Limits { read_bps: rate(5), write_iops: rate(0), ..none() },
                vec!["io|io.max=8:16 rbps=5", "io|io.max=8:16 wiops=max"],
            ),
            (
                Limits {
                    conf: [("memory.high".into(), "9".into()), ("cgroup.max.depth".into(), "2".into())].into(),
                    ..none()
                },
                vec!["|cgroup.max.depth=2", "memory|memory.high=9"],
            ),
        ] {
            assert_eq!(shown(&limits), files, "{limits:?}");
        }
        assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(cpu_weight), [1, 1, 39, 10_000, 10_000]);
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let none = Limits::default;
        for good in [
            Limits { memory: Some(10), memory_swap: Some(10), ..none() },
            Limits { memory_swap: Some(-1), ..none() },
            Limits { memory: Some(10), memory_reservation: Some(10), ..none() },
        ] {
            good.check().unwrap();
        }
        for bad in [
            Limits { memory_swap: Some(10), ..none() },
            Limits { memory: Some(10), memory_swap: Some(9), ..none() },
            Limits { memory: Some(10), memory_reservation: Some(11), ..none() },
            Limits { nano_cpus: Some(1), cpu_period: Some(1000), ..none() },
            Limits { nano_cpus: Some(1), cpu_quota: Some(1000), ..none() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn newer_limits_replace_older_ones() {
        let rate = |rate| vec![DeviceRate { device: "/dev/x".into(), rate }];
        let mut limits = Limits { memory: Some(1), nano_cpus: Some(1), read_bps: rate(1), ..Limits::default() };
        limits.update(&Limits { cpu_quota: Some(2000), read_bps: rate(2), pids: Some(3), ..Limits::default() });
        let expected =
            Limits { memory: Some(1), cpu_quota: Some(2000), read_bps: rate(2), pids: Some(3), ..Limits::default() };
        assert_eq!(limits, expected);
        limits.update(&Limits { nano_cpus: Some(5), memory: Some(4), ..Limits::default() });
        assert_eq!((limits.cpu_quota, limits.nano_cpus, limits.memory_and_swap()), (None, Some(5), 8));
    }
}
