//! The closed sets of label values.

use weir_policy::decide::Mode;
use weir_policy::op::{Protocol, Side};

use crate::session::Leg;

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident, $count:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$variant),+];

            /// The label's value.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

labels! {
    /// How a connection ended.
    ConnectionOutcome, 7 {
        /// Both directions were closed in order.
        Closed = "closed",
        /// A leg was reset, and that was passed on.
        Reset = "reset",
        /// The policy did not let it in, or a refusal closed it.
        Refused = "refused",
        /// The server could not be reached.
        DialFailed = "dial_failed",
        /// A clock or another limit ended it.
        Limit = "limit",
        /// Weir stopped.
        Drained = "drained",
        /// A fault of Weir ended it.
        Fault = "fault",
    }
}

labels! {
    /// How an attempt to reach a server ended.
    DialResult, 6 {
        /// Connected.
        Connected = "connected",
        /// Nobody listens.
        Refused = "refused",
        /// No answer in time.
        Timeout = "timeout",
        /// No route, or the network says no.
        Unreachable = "unreachable",
        /// Out of descriptors, ports or memory.
        Exhausted = "exhausted",
        /// Anything else.
        Failed = "failed",
    }
}

impl DialResult {
    /// Sorts a failed attempt.
    pub fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        match error.kind() {
            E::ConnectionRefused => Self::Refused,
            E::TimedOut => Self::Timeout,
            E::HostUnreachable | E::NetworkUnreachable | E::NetworkDown => Self::Unreachable,
            E::AddrNotAvailable | E::OutOfMemory => Self::Exhausted,
            _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => Self::Exhausted,
                Some(rustix::io::Errno::NOBUFS) => Self::Exhausted,
                _ => Self::Failed,
            },
        }
    }
}

labels! {
    /// How an operation ended, as the profile has it.
    LearnedResult, 3 {
        /// The server accepted it.
        Accepted = "accepted",
        /// The server answered with an error, or not at all.
        Rejected = "rejected",
        /// It was outside the policy, in monitor or enforce.
        Outside = "outside",
    }
}

labels! {
    /// Why the profile does not have an operation, or not by its shape.
    NotLearned, 4 {
        /// A worker had too many sorts of operations to tell apart.
        Keys = "keys",
        /// The learner did not keep up at the end.
        Queue = "queue",
        /// The operation has no text that an entry could hold.
        Unlearnable = "unlearnable",
        /// The profile is full: it is counted without its shape.
        Bounded = "bounded",
    }
}

labels! {
    /// How an attempt to write the profile ended.
    ProfileWrite, 3 {
        /// It is written.
        Success = "success",
        /// It could not be written; the file is as it was.
        Failure = "failure",
        /// What lies there is no profile: it was not overwritten.
        Broken = "broken",
    }
}

labels! {
    /// Which way bytes went, as Weir sees it.
    Flow, 2 {
        /// Read from the leg.
        Received = "received",
        /// Written to the leg.
        Sent = "sent",
    }
}

labels! {
    /// Why a connection to the admin endpoint or the socket was turned away.
    AdminRejection, 2 {
        /// The socket's peer is neither the same user nor root.
        User = "user",
        /// Too many connections at once.
        Busy = "busy",
    }
}

/// All sides, in the order of their discriminants.
pub(crate) const SIDES: [Side; 2] = [Side::Inbound, Side::Outbound];
/// All protocols, in the order of their discriminants.
pub(crate) const PROTOCOLS: [Protocol; 5] =
    [Protocol::Http, Protocol::Grpc, Protocol::Redis, Protocol::Tls, Protocol::Opaque];
/// All modes.
pub(super) const MODES: [Mode; 3] = [Mode::Learn, Mode::Monitor, Mode::Enforce];

/// The word for a side in log and metrics.
pub(crate) fn side_label(side: Side) -> &'static str {
    match side {
        Side::Inbound => "inbound",
        Side::Outbound => "outbound",
    }
}

/// The word for a protocol in log and metrics.
pub(crate) fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Grpc => "grpc",
        Protocol::Redis => "redis",
        Protocol::Tls => "tls",
        Protocol::Opaque => "opaque",
    }
}

/// The word for a mode in log and metrics.
pub(crate) fn mode_label(mode: Mode) -> &'static str {
    match mode {
        Mode::Learn => "learn",
        Mode::Monitor => "monitor",
        Mode::Enforce => "enforce",
    }
}

pub(super) fn leg_label(leg: Leg) -> &'static str {
    match leg {
        Leg::Client => "client",
        Leg::Server => "server",
    }
}
