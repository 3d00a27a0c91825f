//! What /proc tells about processes (proc_pid_stat(5), proc_pid_status(5), proc_pid_io(5)). A process may end between any two
//! reads, so everything here is an `Option`: `None` is "gone, or not for this user to see".

use std::os::unix::fs::MetadataExt;

/// `/proc/pid/stat`: times in clock ticks, sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// Its pid, as this process sees it.
    pub pid: i32,
    /// Name of the program, at most 15 bytes.
    pub command: String,
    /// `R`, `S`, `D`, `Z`, `T` …
    pub state: char,
    /// Pid of its parent, as this process sees it.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Device number of its controlling terminal; 0 without one.
    pub terminal: u64,
    /// The terminal's foreground process group.
    pub foreground: i32,
    /// Time in user mode.
    pub user_ticks: u64,
    /// Time in the kernel.
    pub system_ticks: u64,
    /// Time in both modes of children that have ended and were waited for, and of theirs.
    pub children_ticks: u64,
    /// -20 to 19.
    pub nice: i64,
    /// How many threads it has.
    pub threads: u64,
    /// When it started, since the boot.
    pub start_ticks: u64,
    /// Address space in bytes.
    pub virtual_bytes: u64,
    /// Resident memory in pages.
    pub resident_pages: u64,
}

/// `/proc/pid/status`: what `Stat` does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Real, effective, saved and file system user id, as this process's user namespace numbers them.
    pub uids: [u32; 4],
    /// The same of the group.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Its pid in each pid namespace, from this process's own inwards.
    pub pids: Vec<i32>,
    /// Its process group, likewise.
    pub process_groups: Vec<i32>,
    /// Its session, likewise.
    pub sessions: Vec<i32>,
    /// Inheritable, permitted, effective, bounding and ambient capabilities.
    pub capabilities: [u64; 5],
    /// 0 without a seccomp filter, 1 strict, 2 filtered.
    pub seccomp: u32,
}

/// Every process that this one can see.
pub fn pids() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The process's `stat`.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&read(pid, "stat")?)
}

/// The process's `status`.
pub fn status(pid: i32) -> Option<Status> {
    Some(parse_status(&read(pid, "status")?))
}

/// Its arguments; none for a kernel thread or a process that has ended.
pub fn arguments(pid: i32) -> Vec<String> {
    let text = read(pid, "cmdline").unwrap_or_default();
    let text = text.strip_suffix('\0').unwrap_or(&text);
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
}

/// The inode of one of its namespaces: `pid`, `net`, `user`, …
pub fn namespace(pid: i32, name: &str) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/{name}")).ok().map(|meta| meta.ino())
}

/// Bytes that it caused to be read from and written to storage.
pub fn storage_bytes(pid: i32) -> Option<(u64, u64)> {
    let text = read(pid, "io")?;
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok());
    Some((field("read_bytes:")?, field("write_bytes:")?))
}

/// Bytes received and sent by all interfaces but the loopback of its network namespace.
pub fn network_bytes(pid: i32) -> Option<(u64, u64)> {
    Some(parse_network(&read(pid, "net/dev")?))
}

/// Its security label.
pub fn label(pid: i32) -> Option<String> {
    let text = read(pid, "attr/current")?;
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}

/// Proportional share of memory, in bytes (`smaps_rollup`, Linux 4.14): what several processes share is counted once in all.
pub fn proportional_bytes(pid: i32) -> Option<u64> {
    let text = read(pid, "smaps_rollup")?;
    let kib: u64 = text.lines().find_map(|l| l.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())?;
    kib.checked_mul(1024)
}

/// Memory of this machine in bytes.
pub fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = text.lines().find_map(|l| l.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())?;
    kib.checked_mul(1024)
}

/// Seconds since 1970 at which this machine started.
pub fn boot_time() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok())
}

/// Clock ticks in a second.
pub fn ticks_per_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|t| u64::try_from(t).ok()).filter(|t| *t > 0).unwrap_or(100)
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|s| u64::try_from(s).ok()).unwrap_or(4096)
}

/// Names and arguments are the process's own choice and need not be UTF-8.
fn read(pid: i32, file: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name may hold spaces and parentheses itself.
    let (head, rest) = text.rsplit_once(')')?;
    let (pid, command) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |at: usize| field(at).and_then(|f| f.parse::<i64>().ok());
    let unsigned = |at: usize| number(at).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let small = |at: usize| number(at).and_then(|n| i32::try_from(n).ok());
    Some(Stat {
        pid: pid.trim().parse().ok()?,
        command: command.to_owned(),
        state: field(3)?.chars().next()?,
        parent: small(4)?,
        group: small(5)?,
        session: small(6)?,
        terminal: unsigned(7),
        foreground: small(8).unwrap_or(-1),
        user_ticks: unsigned(14),
        system_ticks: unsigned(15),
        children_ticks: unsigned(16).saturating_add(unsigned(17)),
        nice: number(19).unwrap_or(0),
        threads: unsigned(20),
        start_ticks: unsigned(22),
        virtual_bytes: unsigned(23),
        resident_pages: unsigned(24),
    })
}

fn parse_status(text: &str) -> Status {
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
    let numbers = |name: &str| field(name).split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>();
    let pids = |name: &str| field(name).split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<i32>>();
    let four = |name: &str| {
        let all = numbers(name);
        std::array::from_fn(|i| all.get(i).copied().unwrap_or(0))
    };
    let set = |name: &str| u64::from_str_radix(field(name).trim(), 16).unwrap_or(0);
    Status {
        uids: four("Uid"),
        gids: four("Gid"),
        groups: numbers("Groups"),
        pids: pids("NSpid"),
        process_groups: pids("NSpgid"),
        sessions: pids("NSsid"),
        capabilities: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(set),
        seccomp: field("Seccomp").trim().parse().unwrap_or(0),
    }
}

fn parse_network(text: &str) -> (u64, u64) {
    let interfaces = text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    interfaces.fold((0, 0), |(received, sent), (_, fields)| {
        let fields: Vec<u64> = fields.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or(0);
        (received.saturating_add(field(0)), sent.saturating_add(field(8)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stat_is_read_whatever_the_program_calls_itself() {
        let text = "31 (a) S 9 (b) R 7 31 31 34816 31 4194304 1 2 3 4 50 60 5 6 20 -5 3 0 4242 8192000 77 18446744073709551615 1";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.pid, stat.command.as_str(), stat.state, stat.parent), (31, "a) S 9 (b", 'R', 7));
        assert_eq!((stat.terminal, stat.foreground, stat.user_ticks, stat.system_ticks), (34816, 31, 50, 60));
        assert_eq!((stat.children_ticks, stat.nice, stat.threads, stat.start_ticks), (11, -5, 3, 4242));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (8_192_000, 77));
        assert_eq!(parse_stat("31 a"), None);
    }

    #[test]
    fn status_has_the_ids_of_every_namespace() {
        let text = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t10 11 \nNSpid:\t4711\t1\nNSpgid:\t4711\t1\nNSsid:\t4700\t0\n\
            CapInh:\t0\nCapPrm:\t00000000a80425fb\nCapEff:\t1\nCapBnd:\t2\nCapAmb:\t3\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let status = parse_status(text);
        assert_eq!((status.uids, status.gids, status.groups), ([1, 2, 3, 4], [5, 6, 7, 8], vec![10, 11]));
        assert_eq!((status.pids, status.sessions), (vec![4711, 1], vec![4700, 0]));
        assert_eq!((status.capabilities, status.seccomp), ([0, 0xa804_25fb, 1, 2, 3], 2));
    }

    #[test]
    fn this_process_is_seen() {
        let me = std::process::id() as i32;
        assert!(pids().contains(&me));
        assert_eq!(stat(me).unwrap().pid, me);
        assert_eq!(status(me).unwrap().uids[1], nix::unistd::geteuid().as_raw());
        assert!(!arguments(me).is_empty() && namespace(me, "pid").is_some());
        assert!(machine_memory().unwrap() > 1 << 20);
        assert_eq!(parse_network("h\n lo: 5 0 0 0 0 0 0 0 6\n eth0: 7 0 0 0 0 0 0 0 8 0\n"), (7, 8));
    }

    proptest! {
        #[test]
        fn nothing_in_proc_makes_it_panic(text in "[ 0-9()A-Za-z:\\n\\t-]{0,200}") {
            drop(parse_stat(&text));
            drop(parse_status(&text));
            parse_network(&text);
        }
    }
}
