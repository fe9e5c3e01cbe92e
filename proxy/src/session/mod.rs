//! The session: one value per connection that holds the protocol state of both directions.
//!
//! It is sans-I/O. It is handed the bytes of either leg and answers an ordered list of
//! [`Action`]s; the relay carries them out. Inside, the chain is always parser → borrowed
//! [`Operation`](weir_policy::op::Operation) → inspectors → verdict → actions.
//!
//! The verdict is a function of the bytes and of the limits reached, never of how reads were
//! cut: a session handed one byte at a time says the same as one handed the whole.

pub mod action;
mod cursor;
mod detect;
mod http1;
mod http2;
mod judge;
mod passing;
mod redis;
mod start;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Instant;

use weir_parsers::redis::Table;
use weir_policy::decide::{Admission, Snapshot};
use weir_policy::op::{Endpoint, Protocol};

pub use action::{Action, Actions, Input, Leg};

use crate::config::UnknownFrames;
use crate::inspect::Inspector;
use crate::limits::Limits;
use crate::report::Report;
use detect::{Detect, Detected};
use http1::Http1;
use http2::Http2;
use passing::{Kind, Passing};
use redis::Redis;
use start::Starting;

/// What a session may look at, and say, while it handles one input.
pub struct Cx<'a> {
    /// The time of this call.
    pub now: Instant,
    /// Enforce: nothing passes before its verdict. Otherwise bytes have passed already and the
    /// session only reads.
    pub judge: bool,
    /// The policy in force.
    pub policy: &'a Snapshot,
    /// What that policy says of this connection.
    pub admission: &'a Admission,
    /// Where the connection comes from and goes to.
    pub endpoint: &'a Endpoint,
    /// The limits in force.
    pub limits: &'a Limits,
    /// Inspectors besides the policy: signatures, tests.
    pub inspectors: &'a mut [Box<dyn Inspector>],
    /// Where transactions go.
    pub report: &'a mut dyn Report,
    /// Weir is about to stop: say goodbye at the next message boundary. When this becomes true
    /// each leg's input is handed in once more, empty or not.
    pub goodbye: bool,
    /// Bytes read so far, of the client's leg and of the server's, this input included.
    pub totals: [u64; 2],
    /// Until when the client's leg, and the server's, were last not read, because bytes waited
    /// that a peer did not take; the present, if that is so still. Only the alarm needs it.
    pub stalled_until: [Option<Instant>; 2],
}

impl Cx<'_> {
    /// From when on a leg's peer is to blame for what has begun, at `since`, and is not complete.
    /// While Weir did not read the leg the rest may have come, so the time starts anew then.
    fn blamed_since(&self, leg: Leg, since: Instant) -> Instant {
        self.stalled_until[leg as usize].map_or(since, |end| since.max(end))
    }
}

/// What a session needs to know before the first byte.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Redis commands and where their keys are.
    pub redis_table: &'static Table,
    /// Inline Redis commands need no confirmation by the server.
    pub redis_inline: bool,
    /// What becomes of HTTP/2 frames of unknown types where they are judged.
    pub unknown_frames: UnknownFrames,
    /// Random, for this connection alone: what a refused Redis command is replaced by.
    pub nonce: u64,
}

impl Default for Options {
    /// As a sidecar has them that was told nothing, but for the nonce, which is 0.
    fn default() -> Self {
        Self {
            redis_table: Table::builtin(),
            redis_inline: false,
            unknown_frames: UnknownFrames::Pass,
            nonce: 0,
        }
    }
}

/// A connection whose protocol is looked for.
#[derive(Debug)]
struct Detecting {
    detect: Detect,
    /// When its first byte came that is not yet certain.
    since: Option<Instant>,
}

/// The protocol state of one connection.
pub struct Session {
    state: State,
    options: Options,
    /// The server has spoken before it was known what the client speaks.
    answered: bool,
    /// The client's bytes are held until the server's have been read that came before them.
    client_waits: bool,
}

enum State {
    /// Not enough bytes have come to say what is spoken.
    Detect(Detecting),
    /// A rule wants HTTP or gRPC: the first bytes tell the version.
    Starting(Starting),
    Http1(Http1),
    Http2(Box<Http2>),
    /// Three times the size of the others.
    Redis(Box<Redis>),
    /// Decided once, and not read since.
    Passing(Passing),
    /// Over: every further byte is held.
    Done,
}

impl Session {
    /// A session for a connection with this admission. A rule's protocol is a requirement:
    /// detection runs only where there is none, and for the server name of TLS.
    pub fn new(admission: &Admission, options: Options) -> Self {
        let state = match admission.protocol {
            Some(Protocol::Http) => State::Starting(Starting::default()),
            Some(Protocol::Grpc) => State::Http2(Box::new(Http2::new(options.unknown_frames))),
            Some(Protocol::Redis) => State::Redis(Box::new(Redis::new(&options, true))),
            Some(Protocol::Opaque) => State::Passing(Passing::new(Kind::Opaque)),
            Some(Protocol::Tls) | None => {
                State::Detect(Detecting { detect: Detect::new(options.redis_inline), since: None })
            }
        };
        Self { state, options, answered: false, client_waits: false }
    }

    /// A session that asks for nothing any more.
    pub fn end(&mut self) {
        self.state = State::Done;
    }

    /// Reads what it can of `input`, and says what is to happen.
    pub fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        if self.client_waits {
            match input.leg {
                Leg::Client => return,
                Leg::Server => self.client_waits = false,
            }
            out.push(Action::Resume(Leg::Client));
        }
        if input.leg == Leg::Server && !input.data.is_empty() {
            self.answered |= matches!(self.state, State::Starting(_) | State::Detect(_));
        }
        match &mut self.state {
            State::Starting(_) => self.start(input, cx, out),
            State::Http1(http) => http.input(input, cx, out),
            State::Http2(http) => http.input(input, cx, out),
            State::Redis(redis) => redis.input(input, cx, out),
            State::Detect(_) => self.detect(input, cx, out),
            State::Passing(passing) => passing.decide(cx, out),
            State::Done => {}
        }
    }

    /// The time asked for with [`Action::Wake`] has come.
    pub fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        match &mut self.state {
            State::Http1(http) => http.wake(cx, out),
            State::Http2(http) => http.wake(cx, out),
            State::Redis(redis) => redis.wake(cx, out),
            State::Starting(_) | State::Detect(_) => self.undetected(cx, out),
            State::Passing(_) | State::Done => {}
        }
    }

    /// Whether a connection that has become opaque may live on under the policy in force.
    pub fn stands(&self, cx: &mut Cx<'_>) -> bool {
        match &self.state {
            State::Passing(passing) => passing.stands(cx),
            State::Http1(http) => http.stands(cx),
            State::Redis(redis) => redis.stands(cx),
            // Of HTTP/2 it can only be that the session has lost its way.
            State::Http2(_) | State::Done => false,
            State::Starting(_) | State::Detect(_) => true,
        }
    }

    /// The connection has ended; `complete`: in order. What is under way is reported as it is.
    pub fn closed(&mut self, complete: bool, cx: &mut Cx<'_>) {
        match &mut self.state {
            State::Http1(http) => http.closed(complete, cx),
            State::Http2(http) => http.closed(complete, cx),
            State::Redis(redis) => redis.closed(complete, cx),
            State::Passing(passing) => passing.closed(complete, cx),
            State::Starting(_) | State::Detect(_) | State::Done => {}
        }
    }

    /// Looks for the protocol, and hands over to its parser once it is certain.
    fn detect(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        let State::Detect(detecting) = &mut self.state else {
            return;
        };
        let unread = cx.admission.unread;
        let settings =
            detect::Settings { judge: cx.judge, unread, budget: cx.limits.detection_bytes };
        let known = detecting.detect.proxy_header().is_some();
        let look = detecting.detect.look(&input, settings);
        out.forward(look.pass);
        let header = detecting.detect.proxy_header().filter(|_| !known);
        if let Some(claimed) = header.and_then(|header| header.source) {
            cx.report.claimed(claimed);
        }
        let Some(found) = look.found else {
            if detecting.detect.waits_for_client() {
                // A client may be silent for as long as it likes.
                if detecting.since.take().is_some() {
                    out.push(Action::Wake(None));
                }
                return;
            }
            // The clock runs from the first byte of what is not certain; nobody waits for it
            // while nobody has spoken.
            if detecting.since.is_none() && input.data.len() > look.pass {
                detecting.since = Some(cx.now);
                out.push(Action::Wake(Some(cx.now + cx.limits.slow_head)));
            }
            return;
        };
        if detecting.since.is_some() {
            out.push(Action::Wake(None));
        }
        // A changed policy may require by now what was looked for before.
        let wrong = cx.admission.protocol.is_some_and(|required| !found.is(required));
        let kind = match found {
            _ if cx.admission.protocol == Some(Protocol::Opaque) => Kind::Opaque,
            Detected::Tls(hello) => Kind::Tls(hello.server_name),
            Detected::Malformed(label) => Kind::Malformed(label),
            Detected::Silent => return,
            found if wrong => Kind::Wrong(found.label()),
            Detected::Http2 => {
                let state = State::Http2(Box::new(Http2::new(self.options.unknown_frames)));
                return self.read(state, input, look.pass, cx, out);
            }
            Detected::Http1 => {
                return self.read(State::Http1(Http1::new()), input, look.pass, cx, out);
            }
            Detected::Redis => {
                let redis = match input.leg {
                    Leg::Client => Redis::new(&self.options, self.options.redis_inline),
                    Leg::Server => Redis::answered(&self.options, self.options.redis_inline),
                };
                return self.read(State::Redis(Box::new(redis)), input, look.pass, cx, out);
            }
            found if found.is_unsupported() => Kind::Unsupported(found.label()),
            found => Kind::Unknown(found.label()),
        };
        self.pass(kind, cx, out);
    }

    /// What has begun has not become certain in time. Either leg may have been waited for.
    fn undetected(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let stalled_until = cx.stalled_until.into_iter().flatten().max();
        match stalled_until.map(|end| end + cx.limits.slow_head) {
            Some(at) if at > cx.now => out.push(Action::Wake(Some(at))),
            _ => self.pass(Kind::Slow, cx, out),
        }
    }

    /// The connection is decided as such.
    fn pass(&mut self, kind: Kind, cx: &mut Cx<'_>, out: &mut Actions) {
        let mut passing = Passing::new(kind);
        passing.decide(cx, out);
        self.state = State::Passing(passing);
    }

    /// A parser takes over, from the held bytes of both legs on.
    fn read(
        &mut self,
        state: State,
        input: Input<'_>,
        passed: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        self.state = state;
        match input.leg {
            // The server answers what the client's leg holds: that is read first.
            Leg::Server => out.push(Action::Resume(Leg::Client)),
            // Or it has said what a client of HTTP/2 may answer already: how much of the client's
            // has come since then is chance.
            Leg::Client if self.answered && matches!(self.state, State::Http2(_)) => {
                self.client_waits = true;
            }
            Leg::Client => {
                let data = input.data.get(passed..).unwrap_or_default();
                let sent = input.sent.saturating_sub(passed);
                self.input(Input { data, sent, ..input }, cx, out);
            }
        }
        out.push(Action::Resume(Leg::Server));
    }
}
