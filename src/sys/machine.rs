//! Which machine this is and since which boot: what tells a file written before a power cut from one of another machine on
//! a shared home.

use serde::{Deserialize, Serialize};

/// Where and during which boot something was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `/etc/machine-id` (machine-id(5)); the host's name where that file is empty, as in many container images.
    pub machine: String,
    /// `/proc/sys/kernel/random/boot_id`: new at every boot.
    pub boot: String,
}

impl Origin {
    /// This machine, this boot.
    pub fn here() -> Self {
        let first_line = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.lines().next().unwrap_or_default().trim().to_owned()
        };
        let mut machine = first_line("/etc/machine-id");
        if machine.is_empty() || machine == "uninitialized" {
            machine = format!("host:{}", first_line("/proc/sys/kernel/hostname"));
        }
        Self { machine, boot: first_line("/proc/sys/kernel/random/boot_id") }
    }

    /// True when it was written on this machine before its last boot, so that a power cut may lie between.
    pub fn is_before_boot_of(&self, here: &Self) -> bool {
        self.machine == here.machine && self.boot != here.boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_boot_of_this_machine_is_before_this_boot() {
        let at = |machine: &str, boot: &str| Origin { machine: machine.into(), boot: boot.into() };
        let here = at("a", "2");
        for (origin, before) in [(at("a", "2"), false), (at("a", "1"), true), (at("b", "1"), false)] {
            assert_eq!(origin.is_before_boot_of(&here), before, "{origin:?}");
        }
        assert!(!Origin::here().boot.is_empty());
    }
}
