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

impl Session {
    /// Looks at what comes first: `PRI` is no method that HTTP/1 may have (RFC 9113 §3.4). Of a
    /// server it may be the SETTINGS of HTTP/2, whose length is below 2^16.
    pub(super) fn start(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        let State::Starting(starting) = &mut self.state else { return };
        let data = input.data;
        let common = data.len().min(PREFACE.len());
        let begins = data.get(..common) == PREFACE.get(..common);
        let is_http2 = match input.leg {
            Leg::Server if data.is_empty() && !input.eof => return,
            Leg::Server if data.first() == Some(&0) && starting.silent => true,
            Leg::Server if data.first() == Some(&0) && !input.eof => return,
            Leg::Server => false,
            Leg::Client if data.is_empty() && (input.eof || cx.goodbye) => {
                starting.silent = input.eof;
                if input.eof && !self.answered && !cx.goodbye {
                    return;
                }
                self.answered
            }
            Leg::Client if begins && common < PREFACE.len() && !input.eof => {
                if !data.is_empty() && !std::mem::replace(&mut starting.waits, true) {
                    out.push(Action::Wake(Some(cx.now + cx.limits.slow_head)));
                }
                return;
            }
            Leg::Client => begins && common == PREFACE.len(),
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
