//! The default policy: `policy.txt` plus the calls whose arguments matter, for given capabilities.

use super::{Facts, NATIVE};
use crate::spec::caps;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

const POLICY: &str = include_str!("policy.txt");

/// Flags of clone(2) that make namespaces: NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS. Namespaces open
/// up kernel code that was written for root (CVE-2022-0185 and its like).
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// What personality(2) may be set to: Linux, Linux with a 32-bit uname (each also without address randomisation, which
/// debuggers ask for), and the value that only asks.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Address families that socket(2) may have, by the numbers of include/linux/socket.h. Left out are those that talk to
/// the host whatever the network namespace is (40, vsock), that lead deep into the kernel without need (38, the crypto
/// interface), and those that kernels have dropped (12, 19, 20, 23, 25, 34, 37).
const FAMILIES: [u64; 37] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36,
    39, 41, 42, 43, 44, 45,
];

/// docker's default profile for a container with these capabilities on this kernel: everything not listed fails with
/// EPERM, clone3 with ENOSYS, since its flags lie behind a pointer and C libraries fall back to clone.
pub fn default_profile(facts: &Facts) -> LinuxSeccomp {
    let mut calls = Vec::new();
    let mut allowed = Vec::with_capacity(400);
    for (group, names) in groups() {
        let applies = match group {
            "any" => true,
            "linux-4.8" => facts.kernel >= (4, 8),
            _ => caps::number(group).is_some_and(|n| facts.caps.contains(n)),
        };
        if applies {
            allowed.extend(names.map(str::to_owned));
        }
    }
    calls.extend(call(allowed, LinuxSeccompAction::ScmpActAllow, None, Vec::new()));
    for family in FAMILIES {
        calls.extend(allow_if("socket", argument(LinuxSeccompOperator::ScmpCmpEq, family, None)));
    }
    for value in PERSONALITIES {
        calls.extend(allow_if("personality", argument(LinuxSeccompOperator::ScmpCmpEq, value, None)));
    }
    if !facts.caps.contains_name("CAP_SYS_ADMIN") {
        let no_namespaces = argument(LinuxSeccompOperator::ScmpCmpMaskedEq, NAMESPACE_FLAGS, Some(0));
        calls.extend(allow_if("clone", no_namespaces));
        let clone3 = vec!["clone3".to_owned()];
        calls.extend(call(clone3, LinuxSeccompAction::ScmpActErrno, Some(libc::ENOSYS as u32), Vec::new()));
    }
    let mut architectures = vec![NATIVE.0];
    architectures.extend_from_slice(NATIVE.1);
    let profile = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::EPERM as u32)
        .architectures(architectures)
        .syscalls(calls)
        .build();
    #[expect(clippy::expect_used, reason = "the builder has no rule that can fail")]
    profile.expect("no rule can fail")
}

/// The policy's groups: name, system calls.
fn groups() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    let mut rest = POLICY;
    std::iter::from_fn(move || {
        // Skip to the next line that opens a group, then take the indented ones after it.
        loop {
            let line = rest.lines().next()?;
            if line.starts_with('#') || line.is_empty() {
                rest = &rest[(line.len() + 1).min(rest.len())..];
            } else {
                break;
            }
        }
        let end = rest.match_indices('\n').find(|(i, _)| rest.as_bytes().get(i + 1) != Some(&b' '));
        let (group, after) = rest.split_at(end.map_or(rest.len(), |(i, _)| i + 1));
        rest = after;
        let (name, names) = group.split_once(':')?;
        Some((name, names.split_ascii_whitespace()))
    })
}

fn argument(op: LinuxSeccompOperator, value: u64, value_two: Option<u64>) -> Option<LinuxSeccompArg> {
    let builder = LinuxSeccompArgBuilder::default().index(0usize).value(value).op(op);
    match value_two {
        Some(two) => builder.value_two(two).build().ok(),
        None => builder.build().ok(),
    }
}

fn allow_if(name: &str, argument: Option<LinuxSeccompArg>) -> Option<LinuxSyscall> {
    call(vec![name.to_owned()], LinuxSeccompAction::ScmpActAllow, None, vec![argument?])
}

fn call(
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno: Option<u32>,
    args: Vec<LinuxSeccompArg>,
) -> Option<LinuxSyscall> {
    let mut builder = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(errno) = errno {
        builder = builder.errno_ret(errno);
    }
    if !args.is_empty() {
        builder = builder.args(args);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::caps::CapSet;
    use std::collections::BTreeSet;

    fn names(facts: &Facts) -> BTreeSet<String> {
        let profile = default_profile(facts);
        profile.syscalls().iter().flatten().filter(|c| c.args().is_none()).flat_map(|c| c.names().clone()).collect()
    }

    #[test]
    fn policy_groups_parse() {
        let groups: Vec<_> = groups().map(|(name, names)| (name, names.count())).collect();
        assert!(groups.iter().all(|(_, count)| *count > 0), "{groups:?}");
        for (name, _) in &groups {
            assert!(["any", "linux-4.8", "arguments"].contains(name) || caps::number(name).is_some(), "{name}");
        }
        assert_eq!(groups.iter().map(|(_, count)| count).sum::<usize>(), 428);
    }

    #[test]
    fn a_capability_opens_its_calls() {
        let default = Facts { caps: CapSet::DEFAULT, kernel: (6, 1) };
        let base = names(&default);
        assert!(base.contains("chroot") && base.contains("ptrace"), "default capabilities and a new kernel");
        for closed in ["mount", "unshare", "setns", "bpf", "keyctl", "add_key", "kexec_load", "io_uring_setup"] {
            assert!(!base.contains(closed), "{closed}");
        }
        let admin = Facts { caps: CapSet::from_bits(CapSet::DEFAULT.bits() | 1 << 21), ..default };
        let more = names(&admin);
        for open in ["mount", "unshare", "clone", "clone3"] {
            assert!(more.contains(open), "{open}");
        }
        assert!(!names(&Facts { caps: CapSet::EMPTY, kernel: (4, 7) }).contains("ptrace"));
    }
}
