//! The one capability that Weir ever has a use for, NET_ADMIN: `weir init` raises it, `weir run`
//! gives it up.
//!
//! A file with `cap_net_admin=p` gets it as permitted and not effective. With `=ep` the same file
//! could not start where the capability is not in the bounding set (capabilities(7), "Safety
//! checking for capability-dumb binaries").

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Makes NET_ADMIN effective in this thread where it is permitted. Answers whether it is effective
/// now: `false` says that the program was not given it.
///
/// Source: capget(2). An error is the kernel's.
pub fn raise_net_admin() -> io::Result<bool> {
    let sets = capabilities(None)?;
    if sets.effective.contains(CapabilitySet::NET_ADMIN) {
        return Ok(true);
    }
    if !sets.permitted.contains(CapabilitySet::NET_ADMIN) {
        return Ok(false);
    }
    let effective = sets.effective | CapabilitySet::NET_ADMIN;
    set_capabilities(None, CapabilitySets { effective, ..sets })?;
    Ok(true)
}

/// Gives NET_ADMIN up, in every set that this thread has: permitted, effective, inheritable and
/// with them ambient. Threads that are started later have it no more; those that run already are
/// not changed, so this belongs before the first of them. Without the capability nothing happens.
///
/// Source: capget(2); capabilities(7) on the ambient set, which loses what the permitted or the
/// inheritable set loses. An error is the kernel's; giving up needs no right.
pub fn drop_net_admin() -> io::Result<()> {
    let sets = capabilities(None)?;
    let less = CapabilitySets {
        effective: sets.effective - CapabilitySet::NET_ADMIN,
        permitted: sets.permitted - CapabilitySet::NET_ADMIN,
        inheritable: sets.inheritable - CapabilitySet::NET_ADMIN,
    };
    if less != sets {
        set_capabilities(None, less)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::{capability_is_in_ambient_set, configure_capability_in_ambient_set};

    // Capabilities are a thread's own, and each test is a thread.

    #[test]
    fn net_admin_is_given_up_in_every_set_and_cannot_be_raised_again() {
        const IT: CapabilitySet = CapabilitySet::NET_ADMIN;
        let sets = capabilities(None).unwrap();
        let had = sets.permitted.contains(IT);
        if had {
            let inheritable = sets.inheritable | IT;
            set_capabilities(None, CapabilitySets { inheritable, ..sets }).unwrap();
            configure_capability_in_ambient_set(IT, true).unwrap();
        }
        drop_net_admin().unwrap();
        let after = capabilities(None).unwrap();
        assert!(!(after.permitted | after.effective | after.inheritable).contains(IT));
        assert!(!capability_is_in_ambient_set(IT).unwrap());
        assert!(!raise_net_admin().unwrap());
        assert_eq!(after.permitted, sets.permitted - IT);
    }

    #[test]
    fn net_admin_is_raised_where_it_is_permitted() {
        const IT: CapabilitySet = CapabilitySet::NET_ADMIN;
        let sets = capabilities(None).unwrap();
        let effective = sets.effective - IT;
        set_capabilities(None, CapabilitySets { effective, ..sets }).unwrap();
        let had = sets.permitted.contains(IT);
        assert_eq!(raise_net_admin().unwrap(), had);
        assert_eq!(capabilities(None).unwrap().effective.contains(IT), had);
    }
}
