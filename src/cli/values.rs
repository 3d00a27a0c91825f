//! Values that completion offers behind a flag, or as an argument, when they are words of ours.

use super::commands::container_filter::{self, WORDS};
use super::commands::volume;
use crate::ops::{events, image_list};
use crate::spec::caps::CapSet;
use crate::sys::{caps, signal};

/// Of flags by name, whichever command has them.
const VALUES: [(&str, &[&str]); 19] = [
    ("network", &["host", "none", "container:"]),
    ("pid", &["private", "host", "container:"]),
    ("ipc", &["private", "shareable", "none", "host", "container:"]),
    ("uts", &["private", "host", "container:"]),
    ("userns", &["host", "keep-id", "nomap"]),
    ("cgroupns", &["private", "host"]),
    ("cgroups", &["enabled", "disabled", "no-conmon", "split"]),
    ("pull", &["missing", "always", "newer", "never"]),
    ("policy", &["missing", "always", "newer", "never"]),
    ("log_driver", &["k8s-file", "json-file", "local", "journald", "none", "passthrough"]),
    ("security_opt", &["no-new-privileges", "seccomp=", "mask=", "unmask=", "label=disable", "proc-opts="]),
    ("platform", &["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"]),
    ("attach", &["stdin", "stdout", "stderr"]),
    ("type", &["container", "image", "volume"]),
    ("image_volume", &["anonymous", "tmpfs", "ignore"]),
    ("restart", &["no", "on-failure", "on-failure:", "always", "unless-stopped"]),
    ("health_on_failure", &["none", "kill", "restart", "stop"]),
    (
        "condition",
        &["not-running", "next-exit", "removed", "created", "running", "paused", "exited", "healthy", "unhealthy"],
    ),
    ("shell", &["bash", "zsh", "fish"]),
];

/// What fits in the place of the argument `id` of `command`; `None` when it is nothing of ours. `current` is the word that is
/// being typed.
pub(super) fn of(id: &str, command: &str, current: &str) -> Option<Vec<String>> {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    Some(match id {
        "signal" | "stop_signal" => signal::names().map(str::to_owned).collect(),
        "cap_add" | "cap_drop" => {
            let names = CapSet::all(caps::last()).names().map(|name| name.trim_start_matches("CAP_"));
            std::iter::once("ALL").chain(names).map(str::to_owned).collect()
        }
        "filter" => filters(command, current),
        _ => words(VALUES.iter().find(|(name, _)| *name == id)?.1),
    })
}

/// The keys of `--filter`; once one stands there, its values.
fn filters(command: &str, current: &str) -> Vec<String> {
    let typed = current.strip_prefix("--filter=").unwrap_or(current);
    let (keys, values): (&[&str], &[Words]) = match command {
        "images" => (&image_list::FILTERS, &SWITCHES),
        "image prune" | "system prune" => (&["until", "label", "label!", "dangling", "reference"], &SWITCHES),
        "volume ls" => (&volume::FILTERS, &SWITCHES),
        "volume prune" => (&volume::PRUNE_FILTERS, &SWITCHES),
        "container prune" => (&["until", "label", "label!"], &[]),
        "events" => (&events::FILTERS, &[("type", &["container", "image", "volume", "system"])]),
        _ => (&container_filter::FILTERS, &WORDS),
    };
    let known = values.iter().find(|(key, _)| typed.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')));
    match known {
        Some((key, words)) => words.iter().map(|word| format!("{key}={word}")).collect(),
        None => keys.iter().map(|key| format!("{key}=")).collect(),
    }
}

type Words = (&'static str, &'static [&'static str]);

const SWITCHES: [Words; 7] = [
    ("dangling", &["true", "false"]),
    ("anonymous", &["true", "false"]),
    ("all", &["true", "false"]),
    ("containers", &["true", "false"]),
    ("readonly", &["true", "false"]),
    ("intermediate", &["true", "false"]),
    ("manifest", &["true", "false"]),
];
