//! Flags that limit a container by cgroup controllers, and those that say where its cgroup is.

use clap::Args;

/// Limits: shared by `run`, `create`, `update` and `container clone`.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Memory that it may use, such as 512m
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Memory and swap together; -1 is without limit, twice --memory is the default
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_swap: Option<String>,
    /// Memory that the kernel takes back from it last
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_reservation: Option<String>,
    /// Accepted as -1 only: cgroup v2 has no such setting
    #[arg(long, value_name = "PERCENT")]
    pub(crate) memory_swappiness: Option<String>,
    /// Processors that it may use, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Its share of the processors where they are short, beside others with 1024
    #[arg(short, long, value_name = "SHARES")]
    pub(crate) cpu_shares: Option<String>,
    /// Microseconds in which --cpu-quota is used up
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<String>,
    /// Microseconds of processor time in each period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_quota: Option<String>,
    /// Accepted as 0 only: cgroup v2 has no such setting
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_period: Option<String>,
    /// Accepted as 0 only: cgroup v2 has no such setting
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_rt_runtime: Option<String>,
    /// Processors that it may run on, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that it may use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Its share of storage where that is short, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<String>,
    /// The same for one device
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    pub(crate) blkio_weight_device: Vec<String>,
    /// Bytes a second that it may read from a device
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_read_bps: Vec<String>,
    /// Bytes a second that it may write to a device
    #[arg(long, value_name = "DEVICE:SIZE")]
    pub(crate) device_write_bps: Vec<String>,
}

/// Those that `container clone` does not have.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct CountArgs {
    /// Processes and threads that it may have; -1 is without limit
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pids_limit: Option<String>,
    /// Reads a second from a device
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_read_iops: Vec<String>,
    /// Writes a second to a device
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_write_iops: Vec<String>,
}

/// Its cgroup: shared by `run` and `create`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct CgroupArgs {
    /// Where its cgroup is made: a path, or a slice of systemd
    #[arg(long, value_name = "GROUP")]
    pub(crate) cgroup_parent: Option<String>,
    /// Which cgroups are made: enabled, disabled, no-conmon, split
    #[arg(long, value_name = "MODE")]
    pub(crate) cgroups: Option<String>,
    /// Write a value into a file of its cgroup, such as memory.high=1073741824
    #[arg(long, value_name = "FILE=VALUE", value_delimiter = ',')]
    pub(crate) cgroup_conf: Vec<String>,
    /// Refused: only root outside of user namespaces can set it
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Refused: cgroup v2 cannot switch the killing off
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Accepted for scripts: the kernel has no such limit any more
    #[arg(long, value_name = "SIZE", hide = true)]
    pub(crate) kernel_memory: Option<String>,
}
