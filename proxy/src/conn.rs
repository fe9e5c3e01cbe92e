//! One connection, from the accepted socket to its end: admitted, dialled, relayed, reported.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use weir_policy::decide::{Admission, AdmissionVerdict, Violation};
use weir_policy::op::{Endpoint, Operation, Protocol};

use crate::budget::{Budget, ConnectionGuard};
use crate::dial;
use crate::inspect::Inspector;
use crate::intercept::{Arrival, Door, Way};
use crate::limits::Limits;
use crate::live::InForce;
use crate::net;
use crate::registry::{Control, Entry, Notice};
use crate::relay::Relay;
use crate::report::metrics::{ConnectionOutcome, DialResult};
use crate::report::{ConnReport, Metrics, Outcome, Reason, Verdict};
use crate::session::{Actions, Cx, Input, Leg, Session};
use crate::shared::Shared;

thread_local! {
    /// The list that sessions answer with: one for each thread, as it is empty between calls.
    static ACTIONS: Cell<Option<Actions>> = const { Cell::new(None) };
}

/// Serves one accepted connection to its end.
pub(crate) async fn serve(
    client: TcpStream,
    (client_address, door): (SocketAddr, Door),
    shared: Arc<Shared>,
    guard: ConnectionGuard,
) {
    let (way, arrival) = shared.intercept.receive(&client, client_address, door);
    if arrival == Arrival::Returned {
        net::reset_on_close(&client);
        return;
    }
    // Boxed: a future has room for a value before and after each move of it.
    let mut conn = Box::new(Conn::new(&way, shared, guard));
    if let Some(reason) = conn.refused_at_once(arrival) {
        conn.record(Verdict::Refused, reason);
        conn.ended(ConnectionOutcome::Refused, [0; 2]);
        net::reset_on_close(&client);
        return;
    }
    net::set_options(&client);
    let server = way.server;
    match dial::dial(server, conn.limits().dial_timeout, &conn.shared.ports, conn.metrics()).await {
        Ok(server) => {
            net::set_options(&server);
            conn.metrics().dial(DialResult::Connected);
            Relay::new(conn, client, server).await;
        }
        Err(error) => {
            // The kernel has completed the client's handshake: a reset is the nearest thing to
            // the refusal that it would have got without Weir.
            let result = DialResult::of(&error);
            conn.metrics().dial(result);
            tracing::debug!(%server, %error, "the server was not reached");
            conn.record(Verdict::Allowed, Reason::Dial(dial_label(result)));
            conn.ended(ConnectionOutcome::DialFailed, [0; 2]);
            net::reset_on_close(&client);
        }
    }
}

/// Whether a live connection may go on under a changed policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may.
    Good,
    /// The policy now forbids it, or wants it read and it is unread.
    Forbidden,
}

/// Everything about a connection but its sockets and buffers.
pub(crate) struct Conn {
    shared: Arc<Shared>,
    in_force: Arc<InForce>,
    endpoint: Endpoint,
    admission: Admission,
    judges: bool,
    goodbye: bool,
    session: Session,
    inspectors: Vec<Box<dyn Inspector>>,
    report: ConnReport,
    started: Instant,
    entry: Entry,
    _guard: ConnectionGuard,
}

impl Conn {
    fn new(way: &Way, shared: Arc<Shared>, guard: ConnectionGuard) -> Self {
        let endpoint = way.endpoint();
        // Before the snapshot is taken: of a change in between it is told.
        let entry = shared.registry.enter(&endpoint);
        let in_force = shared.live.load();
        let admission = in_force.policy.admit(&endpoint);
        let judges = in_force.judges(&admission);
        if admission.verdict == AdmissionVerdict::NoRule {
            shared.not_admitted(&in_force.policy, &endpoint);
        }
        let report = ConnReport::new(
            shared.reporter.clone(),
            in_force.policy.clone(),
            &endpoint,
            way.client,
            way.server,
            in_force.mode(&admission),
        );
        shared.reporter.metrics().connection_opened(endpoint.side);
        let session = Session::new(&admission, shared.session_options());
        let inspectors = shared.inspectors.iter().map(|factory| factory.inspector()).collect();
        Self {
            in_force,
            endpoint,
            admission,
            judges,
            goodbye: false,
            session,
            inspectors,
            report,
            started: Instant::now(),
            entry,
            _guard: guard,
            shared,
        }
    }

    /// Why nothing is dialled for this connection, if so.
    fn refused_at_once(&self, arrival: Arrival) -> Option<Reason> {
        let no_rule = self.judges && self.admission.verdict == AdmissionVerdict::NoRule;
        match arrival {
            Arrival::Refused(refusal) => Some(Reason::Redirect(refusal.label())),
            _ => no_rule.then_some(Reason::Policy(Violation::NoRule)),
        }
    }

    /// Writes one record of the connection as such.
    fn record(&mut self, verdict: Verdict, reason: Reason) {
        let outcome = Outcome { verdict, reason, entry: None };
        let operation = Operation::Connection;
        let now = Instant::now();
        self.report.connection_refused(self.started, now, Protocol::Opaque, &operation, outcome);
    }

    fn metrics(&self) -> &Metrics {
        self.shared.reporter.metrics()
    }

    /// Bytes were read from a leg.
    pub(crate) fn received(&mut self, leg: Leg, n: usize) {
        self.report.received(leg, n as u64);
    }

    /// Bytes were written to a leg.
    pub(crate) fn sent(&mut self, leg: Leg, n: usize) {
        self.report.sent(leg, n as u64);
    }

    /// What this connection can be told from outside.
    pub(crate) fn control(&self) -> &Control {
        &self.entry.control
    }

    /// The process's budget.
    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> &Limits {
        &self.in_force.limits
    }

    /// Whether bytes wait for their verdicts.
    pub(crate) fn judges(&self) -> bool {
        self.judges
    }

    /// How many bytes of one leg may be held for the session.
    pub(crate) fn most_held(&self) -> usize {
        let limits = &self.in_force.limits;
        // A head or command at its limit, and the byte that shows that it is longer.
        [limits.head_bytes, limits.judging_bytes, limits.detection_bytes, limits.http2_frame_bytes]
            .into_iter()
            .max()
            .unwrap_or_default()
            + (1 << 10)
    }

    /// The list for the session's answer.
    pub(crate) fn take_actions(&self) -> Actions {
        ACTIONS.take().unwrap_or_default()
    }

    /// Puts the list back for the next.
    pub(crate) fn put_actions(&self, actions: Actions) {
        ACTIONS.set(Some(actions));
    }

    /// Shows the session input. `totals`: the bytes read so far, of the client's leg and the
    /// server's.
    pub(crate) fn input(&mut self, input: Input<'_>, totals: [u64; 2], actions: &mut Actions) {
        let (session, mut cx) = self.session_and_cx(totals);
        session.input(input, &mut cx, actions);
    }

    /// The session's alarm. `stalled_until`: [`Cx::stalled_until`].
    pub(crate) fn wake(
        &mut self,
        totals: [u64; 2],
        stalled_until: [Option<Instant>; 2],
        actions: &mut Actions,
    ) {
        let (session, mut cx) = self.session_and_cx(totals);
        cx.stalled_until = stalled_until;
        session.wake(&mut cx, actions);
    }

    fn session_and_cx(&mut self, totals: [u64; 2]) -> (&mut Session, Cx<'_>) {
        let cx = Cx {
            now: Instant::now(),
            judge: self.judges,
            policy: &self.in_force.policy,
            admission: &self.admission,
            endpoint: &self.endpoint,
            limits: &self.in_force.limits,
            inspectors: &mut self.inspectors,
            report: &mut self.report,
            goodbye: self.goodbye,
            totals,
            stalled_until: [None; 2],
        };
        (&mut self.session, cx)
    }

    /// Bytes pass from here on without verdicts, for this reason.
    pub(crate) fn unread(&mut self, why: &'static str) {
        let outcome =
            Outcome { verdict: Verdict::Unread, reason: Reason::Unread(why), entry: None };
        let operation = Operation::Connection;
        self.report.connection_started(Instant::now(), Protocol::Opaque, &operation, outcome);
    }

    /// The session failed. It is not asked again.
    pub(crate) fn session_panicked(&mut self) {
        tracing::error!("a session panicked: this is a fault in weir, please report it");
        self.session.end();
        if self.judges {
            self.record(Verdict::Refused, Reason::Unread("panic"));
        } else {
            self.unread("panic");
        }
    }

    /// Writes the records that are due of what lives long. Answers when the next is.
    pub(crate) fn periodic(&mut self) -> Option<Instant> {
        self.report.periodic(Instant::now())
    }

    /// A limit ended something on this connection.
    pub(crate) fn limit_reached(&mut self, name: &'static str) {
        self.metrics().limit_reached(name);
    }

    /// Takes note of what others told the connection, and says whether it may go on.
    pub(crate) fn noticed(&mut self, notices: u8, opaque: bool) -> Standing {
        if notices & Notice::Goodbye as u8 != 0 {
            self.goodbye = true;
        }
        if notices & Notice::Changed as u8 == 0 {
            return Standing::Good;
        }
        self.in_force = self.shared.live.load();
        self.admission = self.in_force.policy.admit(&self.endpoint);
        self.judges = self.in_force.judges(&self.admission);
        let mode = self.in_force.mode(&self.admission);
        self.report.governed_by(self.in_force.policy.clone(), mode);
        if !self.judges {
            return Standing::Good;
        }
        let reason = if self.admission.verdict == AdmissionVerdict::NoRule {
            Reason::Policy(Violation::NoRule)
        } else if opaque && !self.opaque_stands() {
            Reason::Unread("policy_changed")
        } else {
            return Standing::Good;
        };
        self.record(Verdict::Refused, reason);
        Standing::Forbidden
    }

    fn opaque_stands(&mut self) -> bool {
        let (session, mut cx) = self.session_and_cx([0; 2]);
        session.stands(&mut cx)
    }

    /// The connection has ended: what is still under way is reported as it stands.
    pub(crate) fn ended(&mut self, end: ConnectionOutcome, totals: [u64; 2]) {
        let complete = end == ConnectionOutcome::Closed;
        let (session, mut cx) = self.session_and_cx(totals);
        session.closed(complete, &mut cx);
        self.report.connection_ended(Instant::now(), complete);
        self.metrics().connection_closed(self.endpoint.side, end);
    }
}

/// Why the server could not be reached, as the traffic log says it.
fn dial_label(result: DialResult) -> &'static str {
    match result {
        DialResult::Connected => "dial_connected",
        DialResult::Refused => "dial_refused",
        DialResult::Timeout => "dial_timeout",
        DialResult::Unreachable => "dial_unreachable",
        DialResult::Exhausted => "dial_exhausted",
        DialResult::Failed => "dial_failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function of these arguments makes.
    fn future_size<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// What an idle connection costs, beside its sockets: there are thousands of them.
    #[test]
    fn a_connection_is_small() {
        let (future, conn) = (future_size(serve), size_of::<Conn>());
        assert!(future <= 1024, "serving takes {future} bytes");
        assert!(conn <= 1536, "a connection takes {conn} bytes");
    }
}
