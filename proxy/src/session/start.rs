//! The beginning of a connection on which a rule wants HTTP: its first bytes tell the version.

use weir_parsers::http2::PREFACE;

use super::http1::Http1;
use super::http2::Http2;
use super::{Action, Actions, Cx, Input, Leg, Session, State};

/// A connection that may yet become HTTP/1 or HTTP/2.
#[derive(Debug, Default)]
pub(super) struct Starting {
    /// The clock of what has come of a preface runs.
    waits: bool,
    /// The client has ended without a byte: what the server says tells the version.
    silent: bool,
}

impl Starting {
    /// Whether a server's first bytes say that it is HTTP/2; none: the client will say.
    fn of_server(&self, input: &Input<'_>) -> Option<bool> {
        match input.data.first() {
            None => input.eof.then_some(false),
            // The SETTINGS of HTTP/2, whose length is below 2^16; no answer of HTTP/1.
            Some(0) => (self.silent || input.eof).then_some(true),
            Some(_) => Some(false),
        }
    }

    /// Whether a client's first bytes say that it speaks HTTP/2; none: more are needed.
    /// `answered`: the server has spoken already.
    fn of_client(&mut self, input: &Input<'_>, answered: bool, goodbye: bool) -> Option<bool> {
        let common = input.data.len().min(PREFACE.len());
        if input.data.is_empty() && (input.eof || goodbye) {
            self.silent = input.eof;
            return (answered || goodbye).then_some(answered);
        }
        if input.data.get(..common) != PREFACE.get(..common) {
            return Some(false);
        }
        (common == PREFACE.len() || input.eof).then_some(common == PREFACE.len())
    }
}

impl Session {
    /// Looks at what comes first: `PRI` is no method that HTTP/1 may have (RFC 9113 §3.4).
    pub(super) fn start(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        let State::Starting(starting) = &mut self.state else { return };
        let is_http2 = match input.leg {
            Leg::Server => starting.of_server(&input),
            Leg::Client => starting.of_client(&input, self.answered, cx.goodbye),
        };
        let Some(is_http2) = is_http2 else {
            let begun = input.leg == Leg::Client && !input.data.is_empty();
            if begun && !std::mem::replace(&mut starting.waits, true) {
                out.push(Action::Wake(Some(cx.now + cx.limits.slow_head)));
            }
            return;
        };
        if starting.waits {
            out.push(Action::Wake(None));
        }
        self.state = match is_http2 {
            true => State::Http2(Box::new(Http2::new(self.options.unknown_frames))),
            false => State::Http1(Http1::new()),
        };
        if self.answered && input.leg == Leg::Client {
            // What was held comes first: how much of the client's has come by now is chance.
            self.client_waits = true;
            out.push(Action::Resume(Leg::Server));
            return;
        }
        self.input(input, cx, out);
        out.push(Action::Resume(input.leg.other()));
    }
}
