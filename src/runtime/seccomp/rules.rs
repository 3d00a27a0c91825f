//! From the profile's list of rules to one [`Section`] per kernel architecture: which range of call numbers has which
//! outcome. Here are the decisions; [`emit`](super::emit) only writes them down.

use super::table::{self, Abi, Row, X32_BIT};
use crate::base::{Error, Result};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};

/// `SECCOMP_RET_KILL_PROCESS`, for architectures that the profile does not have.
pub(super) const BAD_ARCH: u32 = 0x8000_0000;

/// One comparison of a 64-bit argument; other operators are reduced to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// Equal.
    Eq(u64),
    /// Greater.
    Gt(u64),
    /// Greater or equal.
    Ge(u64),
    /// `argument & mask == value`.
    Masked { mask: u64, value: u64 },
}

/// A condition: the test of an argument, perhaps reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) argument: u32,
    pub(super) test: Test,
    /// True if the test must fail: not equal, less or equal, less.
    pub(super) negated: bool,
}

impl Condition {
    /// Whether it holds for an argument of this value.
    pub(super) fn holds(&self, value: u64) -> bool {
        let passes = match self.test {
            Test::Eq(v) => value == v,
            Test::Gt(v) => value > v,
            Test::Ge(v) => value >= v,
            Test::Masked { mask, value: v } => value & mask == v,
        };
        passes != self.negated
    }
}

/// Conditions that must all hold for `action` (a `SECCOMP_RET_*` value).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A `SECCOMP_RET_*` value, whatever the arguments.
    Always(u32),
    /// The first rule that matches, else the last value.
    Rules(Vec<Rule>, u32),
}

/// What the calls of one `AUDIT_ARCH_*` value lead to: ranges by their first number, ascending, the first from 0.
pub(super) struct Section {
    pub(super) audit: u32,
    pub(super) ranges: Vec<(u32, Outcome)>,
}

/// A rule and the calls it is for.
struct Entry {
    calls: Vec<&'static Row>,
    rule: Rule,
    /// The rule repeats the default action.
    silent: bool,
}

/// The sections of a profile, this machine's own architecture first.
pub(super) fn sections(profile: &LinuxSeccomp) -> Result<Vec<Section>> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut entries = Vec::new();
    for call in profile.syscalls().iter().flatten() {
        split(call, default, &mut entries)?;
    }
    let mut abis = vec![Abi::NATIVE];
    for arch in profile.architectures().iter().flatten() {
        abis.extend(Abi::from_oci(*arch).filter(|abi| !abis.contains(abi)));
    }
    let mut numbered = number(&entries, &abis);
    let mut sections: Vec<Section> = Vec::new();
    for abi in abis.iter().filter(|abi| **abi != Abi::X32) {
        let mut ranges = Vec::new();
        let own = numbered.iter_mut().find(|(a, _)| a == abi).map(|(_, list)| std::mem::take(list));
        fill(&mut ranges, 0, own.unwrap_or_default(), &entries, default);
        // x32 programs run under the audit value of x86_64 and are told apart by bit 30 of the number.
        if *abi == Abi::X86_64 {
            match numbered.iter_mut().find(|(a, _)| *a == Abi::X32) {
                Some((_, list)) => fill(&mut ranges, X32_BIT, std::mem::take(list), &entries, default),
                None => push(&mut ranges, X32_BIT, Outcome::Always(BAD_ARCH)),
            }
        }
        sections.push(Section { audit: abi.audit(), ranges });
    }
    Ok(sections)
}

/// For each ABI the numbers that entries name, as (number, index of the entry).
fn number(entries: &[Entry], abis: &[Abi]) -> Vec<(Abi, Vec<(u32, usize)>)> {
    let mut all: Vec<_> = abis.iter().map(|abi| (*abi, Vec::with_capacity(table::rows().len()))).collect();
    for (index, entry) in entries.iter().enumerate() {
        for row in &entry.calls {
            for (abi, list) in &mut all {
                list.extend(row.number(*abi).map(|number| (number, index)));
            }
        }
    }
    for (_, list) in &mut all {
        // By number, then by the order in the profile.
        list.sort_unstable();
    }
    all
}

/// Adds the ranges from `start` on for one ABI.
fn fill(ranges: &mut Vec<(u32, Outcome)>, start: u32, numbered: Vec<(u32, usize)>, entries: &[Entry], default: u32) {
    let mut next = start;
    for group in numbered.chunk_by(|a, b| a.0 == b.0) {
        let number = group[0].0;
        if number > next {
            push(ranges, next, Outcome::Always(default));
        }
        push(ranges, number, outcome(group.iter().map(|(_, index)| &entries[*index]), default));
        next = number + 1;
    }
    // An ABI of which the profile names nothing has no newest call either.
    let newer = if numbered.is_empty() || passes(default) { default } else { errno(libc::ENOSYS as u32) };
    push(ranges, next, Outcome::Always(newer));
}

/// Adds a range unless it goes on with the outcome of the one before.
fn push(ranges: &mut Vec<(u32, Outcome)>, start: u32, outcome: Outcome) {
    if ranges.last().is_none_or(|(_, last)| *last != outcome) {
        ranges.push((start, outcome));
    }
}

/// The outcome of all entries that name one call; see the module page of `seccomp` for the order of precedence.
fn outcome<'a>(entries: impl Iterator<Item = &'a Entry> + Clone, default: u32) -> Outcome {
    let mut speaking = entries.filter(|e| !e.silent);
    if let Some(always) = speaking.clone().find(|e| e.rule.conditions.is_empty()) {
        return Outcome::Always(always.rule.action);
    }
    match speaking.next() {
        None => Outcome::Always(default),
        Some(first) => {
            Outcome::Rules(std::iter::once(first).chain(speaking).map(|e| e.rule.clone()).collect(), default)
        }
    }
}

/// The i386 calls that are numbers in the first argument of `socketcall`, from 1 on.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The i386 calls that are numbers in the low half of the first argument of `ipc`.
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// One entry per alternative of a profile's rule: two conditions on one argument are alternatives. A rule without
/// conditions for a call that i386 programs can also make through `socketcall` or `ipc` holds there as well; one with
/// conditions cannot, since the arguments lie behind a pointer.
fn split(call: &LinuxSyscall, default: u32, entries: &mut Vec<Entry>) -> Result<()> {
    let action = action(call.action(), call.errno_ret())?;
    let names = call.names();
    let conditions =
        call.args().iter().flatten().map(condition).collect::<Result<Vec<_>>>().map_err(|e| match names.first() {
            Some(name) => e.step(format!("compile the seccomp rule for `{name}`")),
            None => e,
        })?;
    let calls: Vec<_> = names.iter().filter_map(|name| table::find(name)).collect();
    let mut add = |calls: Vec<&'static Row>, conditions| {
        entries.push(Entry { calls, rule: Rule { conditions, action }, silent: action == default });
    };
    let repeats = |c: &Condition| conditions.iter().filter(|other| other.argument == c.argument).count() > 1;
    if conditions.iter().any(repeats) {
        conditions.iter().for_each(|condition| add(calls.clone(), vec![*condition]));
        return Ok(());
    }
    if conditions.is_empty() {
        for row in &calls {
            if let Some(test) = multiplexed(row.name) {
                let (through, test) = test;
                add(table::find(through).into_iter().collect(), vec![Condition { argument: 0, test, negated: false }]);
            }
        }
    }
    add(calls, conditions);
    Ok(())
}

/// The call through which i386 can make `name` too, and how its first argument tells.
fn multiplexed(name: &str) -> Option<(&'static str, Test)> {
    if let Some(index) = SOCKETCALL.iter().position(|n| *n == name) {
        return Some(("socketcall", Test::Eq(index as u64 + 1)));
    }
    let (_, value) = IPC.iter().find(|(n, _)| *n == name)?;
    Some(("ipc", Test::Masked { mask: 0xffff, value: *value }))
}

fn condition(arg: &LinuxSeccompArg) -> Result<Condition> {
    let argument = u32::try_from(arg.index()).ok().filter(|i| *i < 6);
    let argument =
        argument.ok_or_else(|| Error::usage(format!("argument {} does not exist, 5 is the last", arg.index())))?;
    let value = arg.value();
    let (test, negated) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpEq => (Test::Eq(value), false),
        LinuxSeccompOperator::ScmpCmpNe => (Test::Eq(value), true),
        LinuxSeccompOperator::ScmpCmpGt => (Test::Gt(value), false),
        LinuxSeccompOperator::ScmpCmpLe => (Test::Gt(value), true),
        LinuxSeccompOperator::ScmpCmpGe => (Test::Ge(value), false),
        LinuxSeccompOperator::ScmpCmpLt => (Test::Ge(value), true),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (Test::Masked { mask: value, value: arg.value_two().unwrap_or(0) }, false)
        }
    };
    Ok(Condition { argument, test, negated })
}

/// The `SECCOMP_RET_*` value of an action. Without a number, ERRNO and TRACE carry EPERM.
fn action(action: LinuxSeccompAction, number: Option<u32>) -> Result<u32> {
    let data = number.unwrap_or(libc::EPERM as u32);
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => 0,
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno if data <= 4095 => errno(data),
        LinuxSeccompAction::ScmpActTrace if data <= 0xffff => 0x7ff0_0000 | data,
        LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace => {
            return Err(Error::usage(format!("`errnoRet` {data} is too large")));
        }
        LinuxSeccompAction::ScmpActNotify => {
            return Err(Error::unsupported("seccomp user notification (`SCMP_ACT_NOTIFY`) is not supported yet"));
        }
        LinuxSeccompAction::ScmpActLog => 0x7ffc_0000,
        LinuxSeccompAction::ScmpActAllow => 0x7fff_0000,
    })
}

/// `SECCOMP_RET_ERRNO` with this error number.
pub(super) fn errno(number: u32) -> u32 {
    0x0005_0000 | number
}

/// True for the actions after which the call may go on: allow, log, trace.
fn passes(action: u32) -> bool {
    (0x7ff0_0000..0x8000_0000).contains(&action)
}
