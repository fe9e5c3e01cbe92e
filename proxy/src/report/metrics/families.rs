//! Every metric: name, sort, labels and meaning. docs/metrics.md holds the same table; a test
//! compares them.

/// A metric with all its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, beginning with `weir_`.
    pub name: &'static str,
    /// Whether it only grows.
    pub sort: Sort,
    /// The names of its labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// The sorts of metrics in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
}

macro_rules! families {
    ($($id:ident = $sort:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) const $id: Family = Family {
            name: $name,
            sort: Sort::$sort,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// Every metric of the program.
        pub const FAMILIES: &[Family] = &[$($id),+];
    };
}

families! {
    BUILD_INFO = Gauge "weir_build_info" ["version"]
        "1, with the version of the program";
    MODE = Gauge "weir_mode" ["mode"]
        "1 for the mode in force where no rule has its own, 0 for the others";
    CONNECTIONS_OPEN = Gauge "weir_connections_open" ["side"]
        "Connections that are open";
    CONNECTIONS = Counter "weir_connections_total" ["side", "outcome"]
        "Connections that have ended, by how";
    DIALS = Counter "weir_dials_total" ["result"]
        "Attempts to reach a server, by result";
    DIAL_PORT_RETRIES = Counter "weir_dial_port_retries_total" []
        "Attempts to reach a server from a port that Weir chose, as the kernel found none free";
    BYTES = Counter "weir_bytes_total" ["leg", "direction"]
        "Bytes received from and sent to each leg";
    OPERATIONS = Counter "weir_operations_total" ["protocol", "verdict", "reason"]
        "Operations that have ended, by verdict and sort of reason";
    REFUSALS = Counter "weir_refusals_total" ["verdict", "kind"]
        "Operations and connections that were refused, or that enforce would refuse, by reason";
    UNREAD = Counter "weir_unread_total" ["kind"]
        "Operations and connections that passed without a verdict on the operation, by reason";
    LIMITS = Counter "weir_limit_reached_total" ["limit"]
        "How often a limit was reached";
    LOG_WRITTEN = Counter "weir_traffic_log_written_total" []
        "Records written to the traffic log";
    LOG_DROPPED = Counter "weir_traffic_log_dropped_total" []
        "Records that the traffic log does not have: its reader was slow or writing failed";
    LOG_ERRORS = Counter "weir_traffic_log_errors_total" []
        "Writes to the traffic log that failed";
    TAPS = Gauge "weir_taps" []
        "Taps that are attached (`weir tap`)";
    TAP_DROPPED = Counter "weir_tap_dropped_total" []
        "Records that a tap did not get, as it was read too slowly or there were too many to filter";
    POLICY_RELOADS = Counter "weir_policy_reloads_total" ["result"]
        "How often the policy was read again, by result";
    POLICY_GENERATION = Gauge "weir_policy_generation" []
        "Counts what came into force: policies, modes, addresses of names; what was read at start is 1";
    RESOLVE_FAILURES = Counter "weir_resolve_failures_total" []
        "Lookups of names in the policy that failed; the last addresses stand";
    ACCEPT_PAUSES = Counter "weir_accept_pauses_total" ["cause"]
        "How often accepting paused, by what was short";
    MEMORY_USED = Gauge "weir_memory_used_bytes" []
        "Memory taken from the process's budget";
    MEMORY_LIMIT = Gauge "weir_memory_limit_bytes" []
        "The process's memory budget, at which accepting pauses; 0: none";
    PROFILE_OPERATIONS = Counter "weir_profile_operations_total" ["result"]
        "Operations that the profile took in, by how they ended";
    PROFILE_DROPPED = Counter "weir_profile_dropped_total" ["cause"]
        "Operations that the profile does not have, or not by their shape, by what was short";
    PROFILE_WRITES = Counter "weir_profile_writes_total" ["result"]
        "Attempts to write the profile to its file, by result";
    PROFILE_NODES = Gauge "weir_profile_nodes" []
        "Shapes and their parts that the profile holds";
    ADMIN_REJECTED = Counter "weir_admin_rejected_total" ["cause"]
        "Connections to the admin endpoint or the socket that were turned away";
}
