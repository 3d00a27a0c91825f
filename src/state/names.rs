//! Container names: which are allowed, and one for a container that was given none.

use crate::base::{Error, Result};

/// Checks a name: a letter or digit, then letters, digits, `_`, `.` and `-`. One character is enough, as for podman.
pub fn check(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if first && rest && name.len() <= 255 {
        return Ok(());
    }
    Err(Error::usage(format!(
        "invalid container name `{name}`: use letters, digits, `_`, `.` and `-`, beginning with a letter or digit"
    )))
}

/// A name made from a random number: two words and, as they repeat sooner or later, a number where `salt` asks for one.
pub fn generate(random: u64, salt: u32) -> String {
    let pick = |words: &[&'static str], n: u64| words[(n % words.len() as u64) as usize];
    let name = format!("{}_{}", pick(&QUALITIES, random), pick(&THINGS, random / QUALITIES.len() as u64));
    if salt == 0 { name } else { format!("{name}{}", (random >> 32) % 1000) }
}

const QUALITIES: [&str; 64] = [
    "amber", "ample", "avid", "bold", "brave", "brisk", "calm", "candid", "clear", "clever", "cosy", "crisp", "daring",
    "deft", "eager", "early", "earnest", "fair", "fleet", "fond", "frank", "gentle", "glad", "golden", "grand",
    "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "light", "lively", "loyal", "lucid", "mellow",
    "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "plain", "proud", "quick", "quiet", "rapid",
    "ready", "royal", "serene", "sharp", "silver", "sincere", "smart", "snug", "steady", "sunny", "swift", "tidy",
    "vivid", "warm", "wise",
];

const THINGS: [&str; 64] = [
    "anchor", "aspen", "badger", "beacon", "birch", "bison", "brook", "canyon", "cedar", "comet", "coral", "crane",
    "dolphin", "dune", "eagle", "ember", "falcon", "fern", "finch", "fjord", "forest", "fox", "gale", "glacier",
    "grove", "harbor", "hazel", "heron", "island", "ivy", "juniper", "kelp", "lagoon", "lark", "lotus", "lynx",
    "maple", "meadow", "moss", "oak", "orca", "osprey", "otter", "owl", "pebble", "pine", "prairie", "quartz", "raven",
    "reef", "ridge", "river", "robin", "sparrow", "spruce", "stone", "summit", "swan", "thistle", "tide", "valley",
    "walrus", "willow", "wren",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_generated_ones_pass() {
        for good in ["web", "a", "a1", "A_b.c-d", "00"] {
            check(good).unwrap();
        }
        for bad in ["", "-a", ".x", "a/b", "a b", "é1", "../x"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for random in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            check(&generate(random, 0)).unwrap();
            check(&generate(random, 3)).unwrap();
        }
    }
}
