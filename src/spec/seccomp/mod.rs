//! Which system calls a container may make: the default policy, and profiles that users bring, both as the OCI runtime
//! spec's type. `runtime::seccomp` compiles them. Pure: files are read and the kernel is asked by the caller.

mod default;
mod docker;

pub use default::default_profile;
pub use docker::load;

use super::caps::CapSet;
use oci_spec::runtime::Arch;

/// What a profile's conditions are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The container's bounding set.
    pub caps: CapSet,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
}

/// The architecture this program runs on, and those whose programs its kernel runs besides.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: (Arch, &[Arch]) = (Arch::ScmpArchX86_64, &[Arch::ScmpArchX86, Arch::ScmpArchX32]);
/// The architecture this program runs on, and those whose programs its kernel runs besides.
#[cfg(target_arch = "aarch64")]
pub const NATIVE: (Arch, &[Arch]) = (Arch::ScmpArchAarch64, &[Arch::ScmpArchArm]);

/// The name that docker's profiles have for it.
#[cfg(target_arch = "x86_64")]
const NATIVE_NAME: &str = "amd64";
/// The name that docker's profiles have for it.
#[cfg(target_arch = "aarch64")]
const NATIVE_NAME: &str = "arm64";

/// Major and minor number at the start of a kernel release (`6.18.5-generic`) or a profile's `minKernel` (`4.8`).
pub fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::kernel_version;

    #[test]
    fn kernel_versions() {
        assert_eq!(kernel_version("6.18.5-generic"), Some((6, 18)));
        assert_eq!(kernel_version("4.8"), Some((4, 8)));
        assert_eq!(kernel_version("5.10+"), Some((5, 10)));
        for bad in ["", "6", "x.1", "99999999999.1", ".8"] {
            assert_eq!(kernel_version(bad), None, "{bad}");
        }
    }
}
