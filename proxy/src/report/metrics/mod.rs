//! Metrics: counted with one atomic addition, rendered for Prometheus.
//!
//! Label values are words of this program (`&'static str`), never anything from traffic, so that
//! the number of series is bounded by the code.

mod families;
mod labels;

use std::sync::OnceLock;

use metrics::{Counter, Gauge, Key, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use weir_policy::decide::Mode;
use weir_policy::op::{Protocol, Side};

pub use families::{FAMILIES, Family, Sort};
pub use labels::{
    AdminRejection, ConnectionOutcome, DialResult, Flow, LearnedResult, NotLearned, ProfileWrite,
};

use super::reason::{Kind, VIOLATIONS, violation_label};
use super::{Reason, Verdict};
use crate::intercept::Refusal;
use crate::limits::Limits;
use crate::session::Leg;
use labels::{MODES, leg_label, mode_label, protocol_label, side_label};

pub(crate) use labels::{
    PROTOCOLS, SIDES, mode_label as mode_word, protocol_label as protocol_word,
    side_label as side_word,
};

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

/// The counters and gauges of one running sidecar.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    open: [Gauge; SIDES.len()],
    operations: [[[OnceLock<Counter>; Kind::ALL.len()]; Verdict::ALL.len()]; PROTOCOLS.len()],
    bytes: [[Counter; Flow::ALL.len()]; 2],
    log_written: Counter,
    log_dropped: Counter,
    log_errors: Counter,
    tap_dropped: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own with everything at zero.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        for family in FAMILIES {
            let (name, help) = (family.name.into(), family.help.into());
            match family.sort {
                Sort::Counter => recorder.describe_counter(name, None, help),
                Sort::Gauge => recorder.describe_gauge(name, None, help),
            }
        }
        let counter = |family, labels: &[_]| counter(&recorder, family, labels);
        let metrics = Self {
            open: SIDES.map(|side| {
                gauge(&recorder, &families::CONNECTIONS_OPEN, &[("side", side_label(side))])
            }),
            operations: Default::default(),
            bytes: [Leg::Client, Leg::Server].map(|leg| {
                Flow::ALL.map(|flow| {
                    let labels = [("leg", leg_label(leg)), ("direction", flow.label())];
                    counter(&families::BYTES, &labels)
                })
            }),
            log_written: counter(&families::LOG_WRITTEN, &[]),
            log_dropped: counter(&families::LOG_DROPPED, &[]),
            log_errors: counter(&families::LOG_ERRORS, &[]),
            tap_dropped: counter(&families::TAP_DROPPED, &[]),
            handle,
            recorder,
        };
        metrics.zero();
        metrics
    }

    /// Makes the series known whose labels are known beforehand, so that the first event is
    /// seen as an increase.
    fn zero(&self) {
        for side in SIDES {
            for outcome in ConnectionOutcome::ALL {
                let labels = [("side", side_label(side)), ("outcome", outcome.label())];
                self.counter(&families::CONNECTIONS, &labels).increment(0);
            }
        }
        for verdict in [Verdict::Refused, Verdict::WouldRefuse] {
            for violation in VIOLATIONS {
                let labels = [("verdict", verdict.label()), ("kind", violation_label(violation))];
                self.counter(&families::REFUSALS, &labels).increment(0);
            }
        }
        for refusal in Refusal::ALL {
            let labels = [("verdict", Verdict::Refused.label()), ("kind", refusal.label())];
            self.counter(&families::REFUSALS, &labels).increment(0);
        }
        self.counter(&families::DIAL_PORT_RETRIES, &[]).increment(0);
        for result in DialResult::ALL {
            self.counter(&families::DIALS, &[("result", result.label())]).increment(0);
        }
        for result in ["success", "failure"] {
            self.counter(&families::POLICY_RELOADS, &[("result", result)]).increment(0);
        }
        for cause in AdminRejection::ALL {
            self.counter(&families::ADMIN_REJECTED, &[("cause", cause.label())]).increment(0);
        }
        LearnedResult::ALL.into_iter().for_each(|result| self.learned(result, 0));
        NotLearned::ALL.into_iter().for_each(|cause| self.not_learned(cause, 0));
        for result in ProfileWrite::ALL {
            self.counter(&families::PROFILE_WRITES, &[("result", result.label())]).increment(0);
        }
        self.profile_nodes(0);
        for limit in Limits::TABLE {
            self.counter(&families::LIMITS, &[("limit", limit.label)]).increment(0);
        }
        self.counter(&families::RESOLVE_FAILURES, &[]).increment(0);
        self.policy_generation(0);
        self.taps(0);
        self.memory(0, 0);
        self.gauge(&families::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
    }

    fn counter(&self, family: &'static Family, labels: &[(&'static str, &'static str)]) -> Counter {
        counter(&self.recorder, family, labels)
    }

    fn gauge(&self, family: &'static Family, labels: &[(&'static str, &'static str)]) -> Gauge {
        gauge(&self.recorder, family, labels)
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// A connection was accepted.
    pub fn connection_opened(&self, side: Side) {
        self.open[side as usize].increment(1.0);
    }

    /// A connection is gone.
    pub fn connection_closed(&self, side: Side, outcome: ConnectionOutcome) {
        self.open[side as usize].decrement(1.0);
        let labels = [("side", side_label(side)), ("outcome", outcome.label())];
        self.counter(&families::CONNECTIONS, &labels).increment(1);
    }

    /// An operation, or a connection judged as one, has ended.
    pub fn operation(&self, protocol: Protocol, verdict: Verdict, reason: Reason) {
        let kind = reason.kind();
        self.operations[protocol as usize][verdict as usize][kind as usize]
            .get_or_init(|| {
                let labels = [
                    ("protocol", protocol_label(protocol)),
                    ("verdict", verdict.label()),
                    ("reason", kind.label()),
                ];
                self.counter(&families::OPERATIONS, &labels)
            })
            .increment(1);
        if verdict != Verdict::Allowed || matches!(kind, Kind::Limit | Kind::Timeout) {
            self.notable(verdict, reason);
        }
    }

    fn notable(&self, verdict: Verdict, reason: Reason) {
        match verdict {
            Verdict::Allowed => {}
            Verdict::Unread => {
                self.counter(&families::UNREAD, &[("kind", reason.label())]).increment(1);
            }
            Verdict::Refused | Verdict::WouldRefuse => {
                let labels = [("verdict", verdict.label()), ("kind", reason.label())];
                self.counter(&families::REFUSALS, &labels).increment(1);
            }
        }
        if let Reason::Limit(name) | Reason::Timeout(name) = reason {
            self.limit_reached(name);
        }
    }

    /// A limit was reached, by its name in the table of limits. Limits that are a transaction's
    /// reason are counted with it.
    pub fn limit_reached(&self, name: &'static str) {
        self.counter(&families::LIMITS, &[("limit", name)]).increment(1);
    }

    /// Bytes were read from a leg, or written to it.
    pub fn bytes(&self, leg: Leg, flow: Flow, bytes: u64) {
        self.bytes[leg as usize][flow as usize].increment(bytes);
    }

    /// An attempt to reach a server has ended.
    pub fn dial(&self, result: DialResult) {
        self.counter(&families::DIALS, &[("result", result.label())]).increment(1);
    }

    /// The kernel found no free port towards a server, and Weir tries one of its own choice.
    pub(crate) fn dial_port_retried(&self) {
        self.counter(&families::DIAL_PORT_RETRIES, &[]).increment(1);
    }

    /// Records were written to the traffic log.
    pub(crate) fn log_written(&self, records: u64) {
        self.log_written.increment(records);
    }

    /// Records were not written: the queue was full, or writing failed.
    pub(crate) fn log_dropped(&self, records: u64) {
        self.log_dropped.increment(records);
    }

    /// A write to the traffic log failed.
    pub(crate) fn log_error(&self) {
        self.log_errors.increment(1);
    }

    /// So many taps are attached.
    pub(crate) fn taps(&self, taps: usize) {
        set(&self.gauge(&families::TAPS, &[]), taps as u64);
    }

    /// Taps did not get records that they wanted.
    pub(crate) fn tap_dropped(&self, records: u64) {
        self.tap_dropped.increment(records);
    }

    /// The policy was read again: whether it is now in force, and the generation in force.
    pub fn policy_reloaded(&self, success: bool, generation: u64) {
        let result = if success { "success" } else { "failure" };
        self.counter(&families::POLICY_RELOADS, &[("result", result)]).increment(1);
        self.policy_generation(generation);
    }

    /// The generation of what is in force; what was read at start is 1.
    pub fn policy_generation(&self, generation: u64) {
        set(&self.gauge(&families::POLICY_GENERATION, &[]), generation);
    }

    /// Accepting paused, for this cause (`memory`, `descriptors`, `connections`).
    pub fn accept_paused(&self, cause: &'static str) {
        self.counter(&families::ACCEPT_PAUSES, &[("cause", cause)]).increment(1);
    }

    /// The process's memory budget, in bytes: what is used of it and what it is.
    pub fn memory(&self, used: u64, limit: u64) {
        set(&self.gauge(&families::MEMORY_USED, &[]), used);
        set(&self.gauge(&families::MEMORY_LIMIT, &[]), limit);
    }

    /// The mode in force where no rule has its own.
    pub fn mode(&self, mode: Mode) {
        for each in MODES {
            let value = if each == mode { 1.0 } else { 0.0 };
            self.gauge(&families::MODE, &[("mode", mode_label(each))]).set(value);
        }
    }

    /// A host of the policy did not resolve; its last addresses stand.
    pub fn resolve_failed(&self) {
        self.counter(&families::RESOLVE_FAILURES, &[]).increment(1);
    }

    /// The profile took operations in.
    pub(crate) fn learned(&self, result: LearnedResult, operations: u64) {
        self.counter(&families::PROFILE_OPERATIONS, &[("result", result.label())])
            .increment(operations);
    }

    /// The profile does not have operations, or not by their shape.
    pub(crate) fn not_learned(&self, cause: NotLearned, operations: u64) {
        self.counter(&families::PROFILE_DROPPED, &[("cause", cause.label())]).increment(operations);
    }

    /// The profile was to be written.
    pub(crate) fn profile_written(&self, result: ProfileWrite) {
        self.counter(&families::PROFILE_WRITES, &[("result", result.label())]).increment(1);
    }

    /// How much the profile holds.
    pub(crate) fn profile_nodes(&self, nodes: usize) {
        set(&self.gauge(&families::PROFILE_NODES, &[]), nodes as u64);
    }

    /// A connection to the admin endpoint or the socket was turned away.
    pub fn admin_rejected(&self, cause: AdminRejection) {
        self.counter(&families::ADMIN_REJECTED, &[("cause", cause.label())]).increment(1);
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are floats")]
fn set(gauge: &Gauge, value: u64) {
    gauge.set(value as f64);
}

fn key(family: &'static Family, labels: &[(&'static str, &'static str)]) -> Key {
    debug_assert!(labels.iter().map(|label| label.0).eq(family.labels.iter().copied()));
    let labels = labels.iter().map(|&(name, value)| Label::from_static_parts(name, value));
    Key::from_parts(family.name, labels.collect::<Vec<_>>())
}

fn counter(
    recorder: &PrometheusRecorder,
    family: &'static Family,
    labels: &[(&'static str, &'static str)],
) -> Counter {
    recorder.register_counter(&key(family, labels), &METADATA)
}

fn gauge(
    recorder: &PrometheusRecorder,
    family: &'static Family,
    labels: &[(&'static str, &'static str)],
) -> Gauge {
    recorder.register_gauge(&key(family, labels), &METADATA)
}

#[cfg(test)]
mod tests;
