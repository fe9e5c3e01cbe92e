//! Commands that wait for their answers.

use weir_parsers::redis::Kind;

use super::special::Subscription;
use crate::report::Transaction;

/// A command that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    pub(super) expect: Expect,
}

/// What answers a command, and what follows from it.
#[derive(Debug)]
pub(super) enum Expect {
    /// One reply.
    Reply,
    Multi,
    Exec,
    Discard,
    /// The database becomes the selected one; `before` is for
    /// [`Databases::selected`](super::databases::Databases::selected).
    Select {
        database: u32,
        before: u32,
    },
    /// As a SELECT of 0.
    Reset {
        before: u32,
    },
    /// The protocol is switched, and the user, where HELLO says so.
    Hello {
        resp3: Option<bool>,
        user: Option<Box<[u8]>>,
    },
    /// The user is switched.
    Auth(Box<[u8]>),
    /// So many confirmations; how many is not known before their turn where a command leaves
    /// everything. `silent`: replies are off, so that an error would not be told.
    Confirmations {
        of: Subscription,
        left: Option<u32>,
        silent: bool,
    },
    Monitor,
    /// Everything behind an answer that is no error is replication.
    Sync,
    /// The server's error for the substitute, in whose place a refusal goes out.
    Substitute,
    /// Nothing from the server: this goes out at its turn, then the connection ends.
    Told(Told),
}

/// Weir's last words.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) text: Vec<u8>,
    /// The server has a part of a command that must not become whole.
    pub(super) cut_server: bool,
}

/// A reply that is coming in.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) kind: Kind,
    /// The first word of its first element, or of its line: enough to tell messages from
    /// confirmations and to name an error.
    word: [u8; 16],
    word_len: usize,
    /// Its last integer, which in a confirmation counts subscriptions.
    pub(super) integer: i64,
    /// Elements that have begun.
    pub(super) elements: u32,
    pub(super) bytes: u64,
}

impl Reply {
    /// One that begins with this line.
    pub(super) fn new(kind: Kind, line: &[u8]) -> Self {
        let mut reply =
            Self { kind, word: [0; 16], word_len: 0, integer: 0, elements: 0, bytes: 0 };
        if matches!(kind, Kind::Simple | Kind::Error) {
            let end = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
            reply.word_bytes(&line[..end]);
        }
        reply
    }

    /// Content of its first element has come.
    pub(super) fn word_bytes(&mut self, bytes: &[u8]) {
        let room = &mut self.word[self.word_len..];
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.word_len += n;
    }

    /// The first word; cut at 16 bytes.
    pub(super) fn word(&self) -> &[u8] {
        &self.word[..self.word_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_kept() {
        let mut reply = Reply::new(Kind::Error, b"WRONGTYPE Operation");
        assert_eq!(reply.word(), b"WRONGTYPE");
        reply = Reply::new(Kind::Array(2), b"2");
        reply.word_bytes(b"subs");
        reply.word_bytes(b"cribe");
        assert_eq!(reply.word(), b"subscribe");
        reply.word_bytes(&[b'x'; 99]);
        assert_eq!(reply.word().len(), 16);
    }
}
