//! Profiles from a file (`--security-opt seccomp=FILE`): docker's format, which is the OCI runtime spec's plus conditions on
//! capabilities, architectures and kernels, and an architecture map.

use super::{Facts, NATIVE, NATIVE_NAME, kernel_version};
use crate::base::{Doing, Error, Result};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder, LinuxSeccompFilterFlag,
    LinuxSyscallBuilder,
};
use serde::Deserialize;

/// The file. Unknown fields are passed over, as docker does: profiles carry comments in many of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    #[serde(default)]
    syscalls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Reads a profile, keeping the rules whose conditions hold.
///
/// # Errors
/// `Usage` for what is not a profile, with the place in the text.
pub fn load(json: &str, facts: &Facts) -> Result<LinuxSeccomp> {
    let profile: Profile =
        serde_json::from_str(json).map_err(|e| Error::usage(format!("not a seccomp profile: {e}")))?;
    let mut builder = LinuxSeccompBuilder::default().default_action(profile.default_action);
    if let Some(errno) = profile.default_errno_ret {
        builder = builder.default_errno_ret(errno);
    }
    if let Some(architectures) = architectures(profile.architectures, profile.arch_map)? {
        builder = builder.architectures(architectures);
    }
    if let Some(flags) = profile.flags {
        builder = builder.flags(flags);
    }
    let mut calls = Vec::new();
    for call in profile.syscalls.into_iter().flatten() {
        if !applies(&call, facts)? {
            continue;
        }
        let names = match (call.name, call.names) {
            (Some(name), None) => vec![name],
            (None, Some(names)) => names,
            (None, None) => Vec::new(),
            (Some(name), Some(_)) => {
                return Err(Error::usage(format!("rule `{name}` has both `name` and `names`; use one of them")));
            }
        };
        let mut rule = LinuxSyscallBuilder::default().names(names).action(call.action);
        if let Some(errno) = call.errno_ret {
            rule = rule.errno_ret(errno);
        }
        if let Some(args) = call.args.filter(|args| !args.is_empty()) {
            rule = rule.args(args);
        }
        calls.push(rule.build().map_err(|e| Error::usage(e.to_string()))?);
    }
    builder.syscalls(calls).build().map_err(|e| Error::usage(e.to_string()))
}

/// The plain list, or the map's entry for this machine; neither means this architecture alone.
fn architectures(list: Option<Vec<Arch>>, map: Option<Vec<ArchMap>>) -> Result<Option<Vec<Arch>>> {
    let list = list.filter(|l| !l.is_empty());
    let map = map.filter(|m| !m.is_empty());
    match (list, map) {
        (Some(_), Some(_)) => Err(Error::usage("both `architectures` and `archMap` are given; use one of them")),
        (Some(list), None) => Ok(Some(list)),
        (None, Some(map)) => Ok(map.into_iter().find(|entry| entry.architecture == NATIVE.0).map(|entry| {
            let mut all = vec![entry.architecture];
            all.extend(entry.sub_architectures.into_iter().flatten());
            all
        })),
        (None, None) => Ok(None),
    }
}

/// True unless an exclude holds or an include does not: any one excludes, all must include.
fn applies(call: &Call, facts: &Facts) -> Result<bool> {
    let has = |cap: &String| facts.caps.contains_name(cap);
    let here = |arch: &String| arch == NATIVE_NAME;
    if let Some(f) = &call.excludes {
        let excluded = f.arches.iter().flatten().any(here)
            || f.caps.iter().flatten().any(has)
            || f.min_kernel.as_deref().map(|v| reached(v, facts)).transpose()?.unwrap_or(false);
        if excluded {
            return Ok(false);
        }
    }
    let Some(f) = &call.includes else { return Ok(true) };
    let arches = f.arches.as_deref().unwrap_or_default();
    Ok((arches.is_empty() || arches.iter().any(here))
        && f.caps.iter().flatten().all(has)
        && f.min_kernel.as_deref().map(|v| reached(v, facts)).transpose()?.unwrap_or(true))
}

/// True if this kernel is `version` or newer.
fn reached(version: &str, facts: &Facts) -> Result<bool> {
    kernel_version(version)
        .map(|v| facts.kernel >= v)
        .ok_or_else(|| Error::usage(format!("`{version}` is not a kernel version")))
        .doing(|| "read `minKernel`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::caps::CapSet;

    const FACTS: Facts = Facts { caps: CapSet::DEFAULT, kernel: (5, 10) };

    fn names(json: &str) -> String {
        let profile = load(json, &FACTS).unwrap();
        profile.syscalls().iter().flatten().flat_map(|c| c.names().clone()).collect::<Vec<_>>().join(" ")
    }

    fn rules(rules: &str) -> String {
        format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{rules}]}}"#)
    }

    #[test]
    fn conditions_choose_rules() {
        for (condition, kept) in [
            ("", true),
            (r#", "includes": {}, "excludes": {}"#, true),
            (r#", "includes": {"caps": ["CAP_CHOWN"]}"#, true),
            (r#", "includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}"#, false),
            (r#", "excludes": {"caps": ["CAP_SYS_ADMIN"]}"#, true),
            (r#", "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}"#, false),
            (r#", "includes": {"arches": ["s390"]}"#, false),
            (r#", "includes": {"arches": ["amd64", "arm64"]}"#, true),
            (r#", "excludes": {"arches": ["amd64", "arm64"]}"#, false),
            (r#", "includes": {"minKernel": "4.8"}"#, true),
            (r#", "includes": {"minKernel": "5.11"}"#, false),
            (r#", "excludes": {"minKernel": "4.8"}"#, false),
            (r#", "includes": null, "excludes": null, "comment": "x", "args": []"#, true),
        ] {
            let json = rules(&format!(r#"{{"names": ["kcmp"], "action": "SCMP_ACT_ALLOW"{condition}}}"#));
            assert_eq!(names(&json), if kept { "kcmp" } else { "" }, "{condition}");
        }
    }

    #[test]
    fn the_old_single_name_still_works() {
        assert_eq!(names(&rules(r#"{"name": "kcmp", "action": "SCMP_ACT_ALLOW", "args": null}"#)), "kcmp");
    }

    #[test]
    fn architectures_come_from_either_form() {
        let of = |json: &str| load(json, &FACTS).map(|p| p.architectures().clone());
        assert_eq!(of(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap(), None);
        let map = r#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [
            {"architecture": "SCMP_ARCH_S390X", "subArchitectures": null},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]}"#;
        assert_eq!(of(map).unwrap(), Some(vec![NATIVE.0, NATIVE.1[0]]));
        let both = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
            "archMap": [{"architecture": "SCMP_ARCH_S390X"}]}"#;
        assert!(of(both).unwrap_err().to_string().contains("use one of them"));
    }

    #[test]
    fn errors_name_the_fault() {
        for (json, want) in [
            ("[]", "not a seccomp profile"),
            (r#"{"defaultAction": "ALLOW"}"#, "unknown variant `ALLOW`"),
            (&rules(r#"{"name": "a", "names": [], "action": "SCMP_ACT_LOG"}"#), "both `name` and `names`"),
            (
                &rules(r#"{"name": "a", "action": "SCMP_ACT_LOG", "includes": {"minKernel": "new"}}"#),
                "read `minKernel`: `new` is not a kernel version",
            ),
        ] {
            let error = load(json, &FACTS).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
