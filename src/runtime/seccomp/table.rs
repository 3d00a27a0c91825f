//! System call numbers: `syscalls.tsv`, read once per process, and which architectures there are.

use oci_spec::runtime::Arch;
use std::sync::OnceLock;

const TABLE: &str = include_str!("syscalls.tsv");

/// Set in the number of an x32 call.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A way to call the kernel, by its column in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    I386,
    Aarch64,
    Arm,
}

impl Abi {
    /// The spec's name for it; `None` for those this program has no numbers for.
    pub(super) fn from_oci(arch: Arch) -> Option<Self> {
        Some(match arch {
            Arch::ScmpArchX86_64 => Self::X86_64,
            Arch::ScmpArchX32 => Self::X32,
            Arch::ScmpArchX86 => Self::I386,
            Arch::ScmpArchAarch64 => Self::Aarch64,
            Arch::ScmpArchArm => Self::Arm,
            Arch::ScmpArchNative => Self::NATIVE,
            _ => return None,
        })
    }

    /// The one this program uses.
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    /// The one this program uses.
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;

    /// `AUDIT_ARCH_*` of linux/audit.h: what the kernel puts into `seccomp_data.arch`. x32 has that of x86_64.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    numbers: [Option<u32>; 5],
}

impl Row {
    /// The number as the kernel sees it, with [`X32_BIT`] for x32.
    pub(super) fn number(&self, abi: Abi) -> Option<u32> {
        let number = self.numbers[abi as usize];
        if abi == Abi::X32 { number.map(|n| n | X32_BIT) } else { number }
    }
}

/// All rows, sorted by name.
pub(super) fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| TABLE.lines().filter(|l| !l.starts_with('#')).filter_map(row).collect())
}

/// The row of `name`.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    let rows = rows();
    rows.binary_search_by(|row| row.name.cmp(name)).ok().map(|i| &rows[i])
}

fn row(line: &'static str) -> Option<Row> {
    let mut fields = line.split('\t');
    let name = fields.next()?;
    let mut numbers = [None; 5];
    for slot in &mut numbers {
        *slot = fields.next()?.parse().ok();
    }
    Some(Row { name, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_row_and_sorted() {
        let lines = TABLE.lines().filter(|l| !l.starts_with('#')).count();
        assert_eq!(rows().len(), lines);
        assert!(rows().windows(2).all(|w| w[0].name < w[1].name));
        for row in rows() {
            assert!(row.numbers.iter().any(Option::is_some), "{row:?}");
            assert_eq!(find(row.name).map(|r| r.name), Some(row.name));
        }
        assert_eq!(find("openat").and_then(|r| r.number(Abi::X86_64)), Some(257));
        assert_eq!(find("execve").and_then(|r| r.number(Abi::X32)), Some(X32_BIT | 520));
        assert!(find("nonesuch").is_none());
    }

    #[test]
    fn agrees_with_the_headers_of_this_machine() {
        let headers = [
            ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", Abi::X86_64),
            ("/usr/include/x86_64-linux-gnu/asm/unistd_x32.h", Abi::X32),
            ("/usr/include/x86_64-linux-gnu/asm/unistd_32.h", Abi::I386),
        ];
        for (path, abi) in headers {
            let Ok(header) = std::fs::read_to_string(path) else {
                eprintln!("skip: {path} is not installed");
                continue;
            };
            for line in header.lines() {
                let Some((name, number)) = line.strip_prefix("#define __NR_").and_then(|l| l.split_once(' ')) else {
                    continue;
                };
                let number = number.trim_matches(['(', ')', ' ']);
                let number = match number.strip_prefix("__X32_SYSCALL_BIT + ") {
                    Some(n) => n.parse::<u32>().unwrap() | X32_BIT,
                    None => number.parse().unwrap(),
                };
                let known = find(name).and_then(|r| r.number(abi));
                // A newer header may have calls that the table does not have yet: above all that it has.
                let newest = rows().iter().filter_map(|r| r.number(abi)).max();
                assert!(known == Some(number) || Some(number) > newest, "{path}: {name} {number}, table: {known:?}");
            }
        }
    }
}
