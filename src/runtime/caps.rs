//! Capabilities of the container's process: gives the calling thread the sets of the OCI runtime spec.
//!
//! The order is the kernel's: the bounding set first, while CAP_SETPCAP is still effective ([`limit_bounding`]); then the
//! change of user with the permitted set kept; last the other four ([`apply`]). It runs between clone and exec, so the
//! sets are turned into masks before, in [`CapSets::from_oci`], and nothing here allocates unless it fails.

use crate::base::Result;
use crate::spec::caps::CapSet;
use crate::sys;
use oci_spec::runtime::LinuxCapabilities;

/// The five sets as masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSets {
    /// What any program run later can gain at most.
    pub bounding: CapSet,
    /// May be made effective.
    pub permitted: CapSet,
    /// In force.
    pub effective: CapSet,
    /// Kept by execve for files with matching capabilities.
    pub inheritable: CapSet,
    /// Kept by execve of any ordinary program.
    pub ambient: CapSet,
}

impl CapSets {
    /// From the OCI runtime spec; absent sets are empty.
    pub fn from_oci(caps: &LinuxCapabilities) -> Self {
        Self {
            bounding: CapSet::from_oci(caps.bounding().as_ref()),
            permitted: CapSet::from_oci(caps.permitted().as_ref()),
            effective: CapSet::from_oci(caps.effective().as_ref()),
            inheritable: CapSet::from_oci(caps.inheritable().as_ref()),
            ambient: CapSet::from_oci(caps.ambient().as_ref()),
        }
    }
}

/// Takes out of the bounding set whatever is not in `keep`, also capabilities newer than this program, and makes the
/// permitted set survive the change of user that follows.
pub fn limit_bounding(keep: CapSet) -> Result<()> {
    for number in 0..64 {
        match sys::caps::in_bounding(number) {
            Some(true) if !keep.contains(number) => sys::caps::drop_bounding(number)?,
            Some(_) => {}
            None => break,
        }
    }
    sys::caps::keep_over_setuid(true)
}

/// Sets the other four after the change of user. What the caller does not have itself it cannot give: such bits are left
/// out of all sets, so that `--privileged` inside another container gives what there is.
pub fn apply(sets: &CapSets) -> Result<()> {
    let own = CapSet::from_bits(sys::caps::get()?.permitted);
    let permitted = sets.permitted.intersection(own);
    sys::caps::clear_ambient()?;
    sys::caps::set(sys::caps::Caps {
        effective: sets.effective.intersection(permitted).bits(),
        permitted: permitted.bits(),
        inheritable: sets.inheritable.intersection(own).bits(),
    })?;
    for number in sets.ambient.intersection(permitted).intersection(sets.inheritable).numbers() {
        sys::caps::raise_ambient(number)?;
    }
    sys::caps::keep_over_setuid(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::caps::{Request, sets};

    #[test]
    fn masks_are_those_of_the_spec() {
        let request = Request { add: &["NET_ADMIN".to_owned()], drop: &[], privileged: false, last: 40, uid: 1000 };
        let masks = CapSets::from_oci(&sets(&request).unwrap());
        assert_eq!(masks.bounding, CapSet::DEFAULT.union(CapSet::from_bits(1 << 12)));
        for set in [masks.permitted, masks.effective, masks.inheritable, masks.ambient] {
            assert_eq!(set.bits(), 1 << 12);
        }
    }
}
