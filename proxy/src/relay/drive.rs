//! Asking the session, and doing what it answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{Phase, Relay, Stall};
use crate::conn::Standing;
use crate::registry::Notice;
use crate::report::metrics::ConnectionOutcome;
use crate::session::{Action, Actions, Input, Leg};

impl Relay {
    /// Shows the session what one leg has brought, and does what it answers.
    pub(super) fn advance(&mut self, from: Leg) {
        if self.opaque || !self.conn.judges() {
            self.flow(from).clear_all();
        }
        if self.opaque {
            let held = self.flow(from).held();
            self.flow(from).forward(held);
            self.settle();
            return;
        }
        let mut actions = self.conn.take_actions();
        let totals = [self.up.total, self.down.total];
        let flow = match from {
            Leg::Client => &self.up,
            Leg::Server => &self.down,
        };
        let (data, sent) = flow.input();
        let input = Input { leg: from, data, sent, eof: flow.eof };
        let conn = &mut self.conn;
        match catch_unwind(AssertUnwindSafe(|| conn.input(input, totals, &mut actions))) {
            Ok(()) => self.carry_out(from, &mut actions),
            Err(_) => self.panicked(&mut actions),
        }
        self.conn.put_actions(actions);
    }

    /// A fault in the session ends a judged connection, and leaves an observed one unread.
    pub(super) fn panicked(&mut self, actions: &mut Actions) {
        actions.drain();
        self.conn.session_panicked();
        if self.conn.judges() {
            self.reset(Leg::Client);
            self.reset(Leg::Server);
            self.end = ConnectionOutcome::Fault;
        } else {
            self.go_opaque();
        }
    }

    pub(super) fn carry_out(&mut self, from: Leg, actions: &mut Actions) {
        for action in actions.drain() {
            match action {
                Action::Forward(n) => self.flow(from).forward(n),
                Action::Drop(n) => self.flow(from).discard(n),
                Action::Inject(to, bytes) => self.flow(to.other()).inject(&bytes),
                Action::Resume(leg) => self.resume[leg as usize] = true,
                Action::Finish(time) => {
                    self.end = ConnectionOutcome::Refused;
                    self.phase = self.phase.max(Phase::Finishing);
                    self.deadline = Some(Instant::now() + time);
                }
                Action::Close => self.begin_closing(),
                Action::Reset(leg) => {
                    self.reset(leg);
                    self.end = ConnectionOutcome::Refused;
                }
                Action::Opaque => self.go_opaque(),
                Action::Wake(at) => self.wake = at,
            }
        }
        self.settle();
    }

    /// Gives empty buffers back.
    pub(super) fn settle(&mut self) {
        let budget = self.conn.budget();
        self.up.settle(budget);
        self.down.settle(budget);
    }

    pub(super) fn go_opaque(&mut self) {
        self.opaque = true;
        self.wake = None;
        for flow in [&mut self.up, &mut self.down] {
            let held = flow.held();
            flow.forward(held);
        }
        self.wake = self.conn.periodic();
    }

    /// Handles what others told this connection.
    pub(super) fn notices(&mut self) {
        let notices = self.conn.control().take();
        if notices == 0 {
            return;
        }
        if notices & Notice::End as u8 != 0 {
            self.end = ConnectionOutcome::Drained;
            self.begin_closing();
            return;
        }
        let was_judging = self.conn.judges();
        if self.conn.noticed(notices, self.opaque) == Standing::Forbidden {
            self.reset(Leg::Client);
            self.reset(Leg::Server);
            self.end = ConnectionOutcome::Refused;
            return;
        }
        if was_judging != self.conn.judges() || notices & Notice::Goodbye as u8 != 0 {
            self.resume = [true; 2];
        }
    }

    pub(super) fn alarm(&mut self) {
        let totals = [self.up.total, self.down.total];
        if self.opaque {
            self.wake = self.conn.periodic();
            return;
        }
        let stalled_until = self.stalls.map(|stall| match stall {
            Stall::No => None,
            Stall::Now => Some(Instant::now()),
            Stall::Until(at) => Some(at),
        });
        let mut actions = self.conn.take_actions();
        let conn = &mut self.conn;
        match catch_unwind(AssertUnwindSafe(|| conn.wake(totals, stalled_until, &mut actions))) {
            Ok(()) => self.carry_out(Leg::Client, &mut actions),
            Err(_) => self.panicked(&mut actions),
        }
        self.conn.put_actions(actions);
    }
}
