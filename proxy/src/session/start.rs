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
    /// The server has spoken: its bytes are held.
    answered: bool,
}

impl Session {
    /// Looks at what comes first: `PRI` is no method that HTTP/1 may have (RFC 9113 §3.4).
    pub(super) fn start(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        let State::Starting(starting) = &mut self.state else { return };
        let data = input.data;
        let common = data.len().min(PREFACE.len());
        let begins = data.get(..common) == PREFACE.get(..common);
        let state = match input.leg {
            // A server of HTTP/2 may send its SETTINGS first, whose length is below 2^16.
            Leg::Server if data.first().is_none_or(|first| *first == 0) && !input.eof => {
                starting.answered |= !data.is_empty();
                return;
            }
            Leg::Client if common == PREFACE.len() && begins => {
                State::Http2(Box::new(Http2::new(self.options.unknown_frames)))
            }
            Leg::Client if begins && !input.eof && !(data.is_empty() && cx.goodbye) => {
                if !data.is_empty() && !std::mem::replace(&mut starting.waits, true) {
                    out.push(Action::Wake(Some(cx.now + cx.limits.slow_head)));
                }
                return;
            }
            _ => State::Http1(Http1::new()),
        };
        if starting.waits {
            out.push(Action::Wake(None));
        }
        let answered = starting.answered;
        self.state = state;
        if answered && input.leg == Leg::Client {
            // What was held comes first: how much of the client's has come by now is chance.
            self.client_waits = true;
            out.push(Action::Resume(Leg::Server));
            return;
        }
        self.input(input, cx, out);
        out.push(Action::Resume(input.leg.other()));
    }
}
