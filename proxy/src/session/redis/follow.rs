//! What a command that has passed changes, and what answers it.

use weir_parsers::redis::Command;

use super::judge::is_reply;
use super::pending::{Expect, Pending};
use super::special::{Special, Subscription, database};
use super::{Answers, Cx, Redis};
use crate::report::Transaction;

/// The longest user name that is kept for the log.
const MOST_USER: usize = 256;

impl Redis {
    /// A command has gone to the server. `command` is none where it was too big to be held.
    pub(super) fn follow(
        &mut self,
        special: Special,
        argc: usize,
        command: Option<&Command<'_>>,
        mut transaction: Transaction,
        cx: &mut Cx<'_>,
    ) {
        let answers = self.answers;
        if answers == Answers::Skip {
            self.answers = Answers::On;
        }
        let on = answers == Answers::On;
        let (expect, told) = match (special, command) {
            // Confirmations come even where replies are turned off; errors do not.
            (Special::Subscription(of), _) if !self.in_multi => {
                (Some(confirmations(of, argc, !on)), true)
            }
            (Special::Client, Some(command)) if self.obeys_reply(command) => {
                self.client_reply(command, answers)
            }
            (Special::Reset, Some(_)) if argc == 1 => (Some(self.reset(answers)), on),
            (_, Some(command)) => (self.expect(special, command, on), on),
            (_, None) => (Some(Expect::Reply), on),
        };
        // RESET turns replies on first.
        let told = told || matches!(expect, Some(Expect::Reset { .. })) && answers == Answers::Off;
        match expect {
            Some(expect) if told => self.push(Pending { transaction, expect }),
            unanswered => {
                if let Some(expect) = unanswered {
                    self.unanswered(expect, cx);
                }
                transaction.complete = true;
                cx.report.end(cx.now, transaction);
            }
        }
    }

    /// What answers a command where answers are `on`.
    fn expect(&mut self, special: Special, command: &Command<'_>, on: bool) -> Option<Expect> {
        let alone = command.argc() == 1;
        Some(match special {
            Special::Multi if alone => {
                self.in_multi = true;
                Expect::Multi
            }
            Special::Exec if alone => {
                self.in_multi = false;
                Expect::Exec
            }
            Special::Discard if alone => {
                self.in_multi = false;
                Expect::Discard
            }
            Special::Select => match command.arg(1).and_then(database) {
                Some(database) => {
                    let before = if on { self.databases.selecting(database) } else { 0 };
                    Expect::Select { database, before }
                }
                None => Expect::Reply,
            },
            Special::Hello => hello(command),
            Special::Auth => Expect::Auth(user(match command.argc() {
                3 => command.arg(1).unwrap_or_default(),
                _ => b"default",
            })),
            Special::Monitor if alone => Expect::Monitor,
            Special::Sync => Expect::Sync,
            Special::Replconf if is_ack(command) => return None,
            _ => Expect::Reply,
        })
    }

    /// RESET turns replies on, but for the one that is to be skipped.
    fn reset(&mut self, answers: Answers) -> Expect {
        self.in_multi = false;
        self.answers = Answers::On;
        let before = match answers {
            Answers::Skip => 0,
            Answers::On | Answers::Off => self.databases.selecting(0),
        };
        Expect::Reset { before }
    }

    /// CLIENT REPLY: what answers it, and whether that is told. Only ON is answered.
    fn client_reply(&mut self, command: &Command<'_>, answers: Answers) -> (Option<Expect>, bool) {
        let mode = command.arg(2).unwrap_or_default();
        if mode.eq_ignore_ascii_case(b"ON") {
            self.answers = Answers::On;
            return (Some(Expect::Reply), true);
        }
        if mode.eq_ignore_ascii_case(b"OFF") {
            self.answers = Answers::Off;
            return (None, false);
        }
        if mode.eq_ignore_ascii_case(b"SKIP") {
            if answers != Answers::Off {
                self.answers = Answers::Skip;
            }
            return (None, false);
        }
        // A syntax error, told where errors are told.
        (Some(Expect::Reply), answers == Answers::On)
    }

    /// Whether the command is CLIENT REPLY, and the server does it at once.
    fn obeys_reply(&self, command: &Command<'_>) -> bool {
        is_reply(command) && !self.in_multi && !self.is_restricted()
    }

    /// Whether the server takes nothing but subscriptions, PING, QUIT and RESET.
    fn is_restricted(&self) -> bool {
        let subscribes = |pending: &Pending| matches!(pending.expect, Expect::Confirmations { of, .. } if !of.leave);
        !self.replies.resp3 && (self.replies.is_subscribed() || self.pending.iter().any(subscribes))
    }

    /// Whether answers are on their way without which it cannot be told if the server will take
    /// CLIENT REPLY.
    pub(super) fn may_be_restricted(&self) -> bool {
        let subscribed = self.replies.is_subscribed();
        self.pending.iter().any(|pending| match pending.expect {
            Expect::Confirmations { .. } | Expect::Multi | Expect::Exec | Expect::Discard => true,
            Expect::Hello { .. } | Expect::Reset { .. } => subscribed,
            _ => false,
        })
    }

    /// Whether MONITOR is on, or may be by the time that the next command comes.
    pub(super) fn may_monitor(&self) -> bool {
        let asked = |pending: &Pending| matches!(pending.expect, Expect::Monitor);
        self.replies.monitoring || self.pending.iter().any(asked)
    }

    /// A command has passed that is never answered: what it does is taken for done, or, where
    /// both are possible, for possible.
    fn unanswered(&mut self, expect: Expect, cx: &mut Cx<'_>) {
        match expect {
            Expect::Select { database, .. } => self.databases.selecting_unanswered(database),
            Expect::Hello { resp3: Some(resp3), .. } => self.replies.resp3 = resp3,
            Expect::Multi | Expect::Exec | Expect::Discard => {
                self.replies.in_multi = self.in_multi;
            }
            Expect::Monitor => self.replies.monitoring = true,
            Expect::Reset { .. } => {
                self.databases.selecting_unanswered(0);
                self.was_reset(cx);
            }
            _ => {}
        }
    }

    /// The server has forgotten the connection's state.
    pub(super) fn was_reset(&mut self, cx: &mut Cx<'_>) {
        self.databases.transaction_over();
        self.replies.resp3 = false;
        self.replies.subscriptions = [0; 3];
        self.replies.monitoring = false;
        self.replies.in_multi = false;
        self.user = None;
        self.end_live(cx);
    }
}

/// How many confirmations a command has.
fn confirmations(of: Subscription, argc: usize, silent: bool) -> Expect {
    let named = u32::try_from(argc - 1).unwrap_or(u32::MAX);
    let left = match named {
        // Leaving everything: one for each, which their number at that time tells.
        0 if of.leave => None,
        // An error.
        0 => Some(1),
        _ => Some(named),
    };
    Expect::Confirmations { of, left, silent }
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
fn hello(command: &Command<'_>) -> Expect {
    let mut args = command.args().skip(1);
    let resp3 = args.next().map(|version| version == b"3");
    let mut name = None;
    while let Some(option) = args.next() {
        if option.eq_ignore_ascii_case(b"AUTH") {
            name = args.next().map(user);
            args.next();
        } else if option.eq_ignore_ascii_case(b"SETNAME") {
            args.next();
        }
    }
    Expect::Hello { resp3, user: name }
}

fn user(name: &[u8]) -> Box<[u8]> {
    name.get(..MOST_USER).unwrap_or(name).into()
}

/// REPLCONF ACK and GETACK are not answered. What comes before them is, if it is an error, and
/// so are options that do not come in pairs.
fn is_ack(command: &Command<'_>) -> bool {
    command.argc() % 2 == 1 && command.arg(1).is_some_and(acknowledges)
}

/// Whether REPLCONF has an ACK or GETACK among its options.
pub(super) fn has_ack(command: &Command<'_>) -> bool {
    command.args().skip(1).step_by(2).any(acknowledges)
}

fn acknowledges(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"ACK") || option.eq_ignore_ascii_case(b"GETACK")
}
