//! What a session is handed, and what it asks the relay to do.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// One half of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// Between the client and Weir.
    Client,
    /// Between Weir and the server.
    Server,
}

impl Leg {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Leg::Client => Leg::Server,
            Leg::Server => Leg::Client,
        }
    }
}

/// The bytes of one leg that the session has not yet disposed of.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The leg that the bytes came from.
    pub leg: Leg,
    /// Everything received and not yet forwarded or dropped by an action, oldest first.
    pub data: &'a [u8],
    /// How many bytes at the start of `data` have been passed on already, because the
    /// connection was only observed when they came. A judged message of which a part is gone
    /// cannot be replaced any more: it is cut.
    pub sent: usize,
    /// Nothing comes after `data`.
    pub eof: bool,
}

/// What the relay shall do, in the order given. `Forward` and `Drop` speak of the next bytes
/// of the input; what they leave untouched is held and handed in again with what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The next n input bytes pass unchanged. (Observed bytes have passed already; then this
    /// only says that they are read.)
    Forward(usize),
    /// The next n input bytes do not pass.
    Drop(usize),
    /// These bytes go out towards this leg, after everything forwarded to it so far.
    Inject(Leg, Bytes),
    /// The held input of this leg is worth another look: hand it in again once this list is
    /// done.
    Resume(Leg),
    /// Nothing more is read from the client; what is queued to it is delivered, or this much
    /// time passes, then both legs close with the lingering close. The server's input is still
    /// handed in until `Close`, so that earlier answers pass.
    Finish(Duration),
    /// Deliver what is queued on both legs, then close both (FIN, lingering).
    Close,
    /// Reset this leg, after what is queued to it has gone as far as it goes without waiting; the
    /// other leg gets what is queued to it and is closed.
    Reset(Leg),
    /// The rest of the input, and all that follows on both legs, passes without the session.
    Opaque,
    /// Call [`wake`](super::Session::wake) at this time unless another `Wake` replaces it;
    /// `None` takes the alarm back.
    Wake(Option<Instant>),
}

/// The ordered answer of a session, a vector that its caller uses again and again.
#[derive(Debug, Default)]
pub struct Actions {
    list: Vec<Action>,
}

impl Actions {
    /// Asks for `n` bytes to pass; adjoining runs become one.
    pub fn forward(&mut self, n: usize) {
        match self.list.last_mut() {
            Some(Action::Forward(m)) => *m += n,
            _ if n == 0 => {}
            _ => self.list.push(Action::Forward(n)),
        }
    }

    /// Asks for `n` bytes to be dropped; adjoining runs become one.
    pub fn discard(&mut self, n: usize) {
        match self.list.last_mut() {
            Some(Action::Drop(m)) => *m += n,
            _ if n == 0 => {}
            _ => self.list.push(Action::Drop(n)),
        }
    }

    /// Asks for anything else.
    pub fn push(&mut self, action: Action) {
        self.list.push(action);
    }

    /// Takes the list, oldest first, leaving the room for the next.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Action> {
        self.list.drain(..)
    }

    /// The list so far.
    pub fn as_slice(&self) -> &[Action] {
        &self.list
    }
}
