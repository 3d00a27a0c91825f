//! What one cell of `top` shows of one process. Texts that the container chose are made safe for the caller's terminal.

use super::{Process, Scene, go_seconds, nanos};
use crate::base::units;
use crate::spec::caps::CapSet;
use crate::sys::{caps, procfs};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashMap};

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Arguments,
    Program,
    User,
    Uid,
    RealUser,
    RealUid,
    Group,
    Gid,
    RealGroup,
    RealGid,
    Groups,
    HostUser,
    HostGroup,
    HostGroups,
    HostPid,
    HostProcessGroup,
    Pid,
    Parent,
    ProcessGroup,
    Session,
    /// Share of one processor since its start, in percent, with so many decimals.
    Cpu(usize),
    /// Share of this machine's memory in percent.
    Memory,
    /// KiB.
    Virtual,
    /// KiB.
    Resident,
    Nice,
    Threads,
    /// One letter.
    State,
    /// With the marks that `ps` puts behind the letter.
    LongState,
    Terminal,
    /// `19:32` of today, `Nov24` of this year, `2025`.
    Start,
    /// `Tue Nov 24 19:32:57 2026`.
    LongStart,
    /// As Go prints a time.
    GoStart,
    /// `hh:mm:ss` of processor time.
    Time,
    /// As Go prints a duration.
    GoTime,
    /// `[[dd-]hh:]mm:ss` since its start.
    Age,
    AgeSeconds,
    GoAge,
    Label,
    Seccomp,
    /// One of `Status::capabilities`.
    Capabilities(usize),
}

impl Field {
    /// True when names of this machine's users are needed.
    pub(super) fn is_of_the_host(self) -> bool {
        matches!(self, Self::HostUser | Self::HostGroup | Self::HostGroups)
    }

    /// The cell. `inside` has the container's pids of its processes by the host's.
    pub(super) fn text(self, p: &Process<'_>, scene: &Scene, inside: &HashMap<i32, i32>) -> String {
        let (stat, status, names) = (p.stat, &p.status, &scene.names);
        let number = |id: Option<u32>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        let host = |id: u32, names: &BTreeMap<u32, String>| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        match self {
            Self::Arguments => arguments(p),
            Self::Program => safe(&stat.command),
            Self::User => names.user(status.uids[1]),
            Self::Uid => number(names.uid(status.uids[1])),
            Self::RealUser => names.user(status.uids[0]),
            Self::RealUid => number(names.uid(status.uids[0])),
            Self::Group => names.group(status.gids[1]),
            Self::Gid => number(names.gid(status.gids[1])),
            Self::RealGroup => names.group(status.gids[0]),
            Self::RealGid => number(names.gid(status.gids[0])),
            Self::Groups => status.groups.iter().map(|g| names.group(*g)).collect::<Vec<_>>().join(","),
            Self::HostUser => host(status.uids[1], &scene.host_users),
            Self::HostGroup => host(status.gids[1], &scene.host_groups),
            Self::HostGroups => {
                status.groups.iter().map(|g| host(*g, &scene.host_groups)).collect::<Vec<_>>().join(",")
            }
            Self::HostPid => stat.pid.to_string(),
            Self::HostProcessGroup => stat.group.to_string(),
            Self::Pid => p.number(&status.pids).to_string(),
            Self::Parent => inside.get(&stat.parent).copied().unwrap_or(0).to_string(),
            Self::ProcessGroup => p.number(&status.process_groups).to_string(),
            Self::Session => p.number(&status.sessions).to_string(),
            Self::Cpu(decimals) => format!("{:.decimals$}", percent(p.cpu_nanos(), scene.age_nanos(stat))),
            Self::Memory => {
                format!("{:.1}", percent(stat.resident_pages.saturating_mul(procfs::page_size()), scene.memory))
            }
            Self::Virtual => (stat.virtual_bytes / 1024).to_string(),
            Self::Resident => (stat.resident_pages.saturating_mul(procfs::page_size()) / 1024).to_string(),
            Self::Nice => stat.nice.to_string(),
            Self::Threads => stat.threads.to_string(),
            Self::State => stat.state.to_string(),
            Self::LongState => long_state(p),
            Self::Terminal => terminal(stat.terminal),
            Self::Start | Self::LongStart | Self::GoStart => self.start(scene, stat),
            Self::Time => clock(p.cpu_nanos() / 1_000_000_000, true),
            Self::GoTime => go_seconds(p.cpu_nanos()),
            Self::Age => clock(scene.age_nanos(stat) / 1_000_000_000, false),
            Self::AgeSeconds => (scene.age_nanos(stat) / 1_000_000_000).to_string(),
            Self::GoAge => units::go_duration(scene.age_nanos(stat)),
            Self::Label => match procfs::label(stat.pid) {
                Some(label) if !label.is_empty() => safe(&label),
                _ => "?".to_owned(),
            },
            Self::Seccomp => match status.seccomp {
                0 => "disabled",
                1 => "strict",
                _ => "filter",
            }
            .to_owned(),
            Self::Capabilities(set) => capability_names(status.capabilities.get(set).copied().unwrap_or(0)),
        }
    }

    fn start(self, scene: &Scene, stat: &procfs::Stat) -> String {
        let seconds = scene.boot_time.saturating_add((nanos(stat.start_ticks) / 1_000_000_000) as i64);
        let Ok(start) = Timestamp::from_second(seconds) else { return "?".to_owned() };
        let zone = TimeZone::system();
        let (start, now) = (start.to_zoned_datetime(zone.clone()), Timestamp::now().to_zoned_datetime(zone));
        let form = match self {
            Self::LongStart => "%a %b %e %H:%M:%S %Y",
            Self::GoStart => "%Y-%m-%d %H:%M:%S %z %Z",
            _ if start.date() == now.date() => "%H:%M",
            _ if start.year() == now.year() => "%b%d",
            _ => "%Y",
        };
        start.strftime(form).to_string()
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A kernel thread and a process that is gone have no arguments: their name stands in brackets, as in `ps`.
fn arguments(p: &Process<'_>) -> String {
    let words = procfs::arguments(p.stat.pid);
    if words.is_empty() { format!("[{}]", safe(&p.stat.command)) } else { safe(words.join(" ").trim_end()) }
}

/// A process of the container says what stands here, and a terminal must not obey it.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// ps(1), "PROCESS STATE CODES".
fn long_state(p: &Process<'_>) -> String {
    let stat = p.stat;
    let marks = [
        (stat.nice < 0, '<'),
        (stat.nice > 0, 'N'),
        (stat.session == stat.pid, 's'),
        (stat.threads > 1, 'l'),
        (stat.foreground == stat.group, '+'),
    ];
    let marks = marks.into_iter().filter(|(on, _)| *on).map(|(_, mark)| mark);
    std::iter::once(stat.state).chain(marks).collect()
}

/// `pts/0`: majors 136 to 143 are pseudo-terminals, 4 the console's (devices.txt of the kernel).
fn terminal(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if device != 0 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

/// `[dd-]hh:mm:ss`, and without hours where `ps` leaves them out.
fn clock(seconds: u64, always_hours: bool) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) if !always_hours => format!("{minutes:02}:{:02}", seconds % 60),
        (0, hours) => format!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
        (days, hours) => format!("{days}-{hours:02}:{minutes:02}:{:02}", seconds % 60),
    }
}

/// podman's words: `full`, `none`, or names without `CAP_`.
fn capability_names(bits: u64) -> String {
    let set = CapSet::from_bits(bits);
    if set.is_empty() {
        return "none".to_owned();
    }
    if CapSet::all(caps::last()).minus(set).is_empty() {
        return "full".to_owned();
    }
    set.names().map(|name| name.strip_prefix("CAP_").unwrap_or(name)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_worded_as_ps_words_them() {
        assert_eq!((clock(61, false), clock(61, true)), ("01:01".to_owned(), "00:01:01".to_owned()));
        assert_eq!((clock(3661, false), clock(90_061, false)), ("01:01:01".to_owned(), "1-01:01:01".to_owned()));
        assert_eq!((terminal(0), terminal(34_816), terminal(34_819)), ("?".into(), "pts/0".into(), "pts/3".into()));
        assert_eq!(safe("a\x1b[2Jb\nc"), "a?[2Jb?c");
        assert_eq!((capability_names(0), capability_names(0b11)), ("none".into(), "CHOWN,DAC_OVERRIDE".into()));
        assert_eq!(capability_names(u64::MAX), "full");
        assert_eq!((percent(1, 4), percent(1, 0)), (25.0, 0.0));
    }
}
