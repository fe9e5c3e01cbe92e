//! The redirect of a network namespace to Weir: an nftables table of Weir's own, written to the
//! kernel over netlink in one step, without other programs.
//!
//! A [`Plan`] becomes a table of chains and rules, which is shown as text, written to the kernel
//! and compared with what the kernel has. docs/redirect.md goes through it rule by rule.

use std::io;

mod attributes;
mod build;
mod encode;
mod expr;
mod kernel;
mod netlink;
mod plan;
mod table;
mod text;
mod verify;

pub use plan::{Families, Other, Plan, Ports, Skips, range};
pub use verify::Drift;

use netlink::Kernel;

/// Why the kernel's rules could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program, or the network namespace, does not give the right.
    #[error(
        "no right to change or list the rules of this network namespace: CAP_NET_ADMIN is missing"
    )]
    NotPermitted,
    /// The kernel has no nf_tables at all.
    #[error("the kernel has no nf_tables")]
    NoNfTables,
    /// The kernel has nf_tables, and not a part of it that this needs.
    #[error("the kernel does not know what {what} needs: {source}")]
    Unsupported {
        /// The chain or rule.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused one change, and with it all of them.
    #[error("the kernel refused {what}: {source}; nothing was changed")]
    Refused {
        /// The chain or rule.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel could not be asked.
    #[error("cannot ask the kernel: {0}")]
    Netlink(io::Error),
}

impl Error {
    /// The kernel's answer about `what`, as errno(3).
    fn of(what: &str, errno: i32) -> Self {
        use rustix::io::Errno;
        let (what, source) = (what.to_owned(), io::Error::from_raw_os_error(errno));
        match Errno::from_raw_os_error(errno) {
            // Answered before anything is looked at (nfnetlink_rcv); later it is about a table that
            // a running program owns.
            Errno::PERM if what == netlink::WHOLE => Self::NotPermitted,
            // The kernel's answer for a subsystem that it does not have (nfnetlink_rcv_batch).
            Errno::OPNOTSUPP if what == netlink::WHOLE => Self::NoNfTables,
            // For a kind of chain or of step, the same as for a name that does not exist.
            Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => {
                Self::Unsupported { what, source }
            }
            _ => Self::Refused { what, source },
        }
    }
}

/// Makes the redirect in this network namespace. Whatever stood in a table of Weir's name, of
/// whatever version or half of it, is replaced in the same step: no packet sees a part of either.
///
/// Needs NET_ADMIN in the namespace, permitted or effective. After an error all is as it was.
pub fn apply(plan: &Plan) -> Result<(), Error> {
    kernel::replace(&Kernel::open()?, &build::table(plan))
}

/// Removes the redirect. Answers whether there was one; that there was none is no error.
pub fn remove() -> Result<bool, Error> {
    Ok(!kernel::remove(&Kernel::open()?)?.is_empty())
}

/// What the kernel's rules differ in from those of the plan, by meaning; nothing if they do not.
pub fn verify(plan: &Plan) -> Result<Vec<Drift>, Error> {
    Ok(verify::compare(&build::table(plan), &kernel::read(&Kernel::open()?)?))
}

/// The redirect in nft's syntax, for `nft -f`, which makes the same of it as [`apply`].
pub fn script(plan: &Plan) -> String {
    text::script(&build::table(plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answers_are_told_by_what_they_mean() {
        // The numbers are Linux's (errno(3)): EPERM, ENOENT, EINVAL, EOPNOTSUPP, EAFNOSUPPORT.
        let whole = netlink::WHOLE;
        assert!(matches!(Error::of(whole, 1), Error::NotPermitted));
        assert!(matches!(Error::of(whole, 95), Error::NoNfTables));
        for errno in [2, 95, 97] {
            let error = Error::of("the nat chain `output_nat`", errno);
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains("what the nat chain `output_nat` needs"), "{error}");
        }
        for errno in [1, 22] {
            let error = Error::of("the table `ip weir`", errno).to_string();
            assert!(error.starts_with("the kernel refused the table `ip weir`: "), "{error}");
        }
    }
}
