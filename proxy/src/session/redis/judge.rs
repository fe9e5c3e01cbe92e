//! What policy and inspectors say of a command, and inspectors of content.

use sha1::{Digest, Sha1};
use weir_parsers::redis::{Command, KeyArgs, Keys as Found, Resolved, channels, keys};
use weir_policy::op::{KeySource, Keys, Operation, Protocol, RedisOp, Script};

use super::follow::has_ack;
use super::refuse::is_substitute;
use super::special::{Special, database};
use super::{Answers, Cx, Redis};
use crate::inspect::{self, Part};
use crate::report::{Outcome, Reason, Transaction, Verdict};
use crate::session::judge::{judge, refused};

/// A command's keys, or channels, as the policy asks for them.
struct List<'a>(KeyArgs<'a>);

impl KeySource for List<'_> {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.clone().all(visit)
    }
}

impl Redis {
    /// Judges a command that is at hand whole.
    pub(super) fn judge_held(
        &mut self,
        command: &Command<'_>,
        found: &Resolved<'_, '_>,
        special: Special,
        cx: &mut Cx<'_>,
    ) -> Transaction {
        let mut named = 0;
        let obstacle = self.obstacle(special, command, &mut named);
        let key_list;
        let keys = match keys(found.info, command) {
            Found::Known(args) => {
                key_list = List(args);
                Keys::Known(&key_list)
            }
            Found::Unknown => Keys::Unknown,
        };
        let operation = Operation::Redis(RedisOp {
            databases: self.databases.with_named(named),
            command: found.name,
            subcommand: found.subcommand,
            keys,
            channels: Keys::Known(&List(channels(found.info, command))),
            script: script(special, command.arg(1)),
        });
        let mut outcome = match obstacle {
            Some(reason) => refused(reason, cx.judge),
            // Refused here, its error would be this sidecar's, and the other would not know it.
            None if found.info.is_none() && is_substitute(command) => {
                Outcome { verdict: Verdict::Allowed, reason: Reason::Substitute, entry: None }
            }
            None => judge(&operation, cx),
        };
        if outcome.verdict == Verdict::Allowed && !cx.inspectors.is_empty() {
            for arg in command.args() {
                if let Err((_, name)) = inspect::data(cx.inspectors, Part::Request, arg) {
                    outcome = refused(Reason::Inspector(name), cx.judge);
                    break;
                }
            }
        }
        inspect::end(cx.inspectors, Part::Request);
        cx.report.begin(cx.now, Protocol::Redis, Some(&operation), &self.detail(), outcome)
    }

    /// Why a command could not be followed, whatever the policy says of it. Adds the databases
    /// that it names.
    fn obstacle(
        &mut self,
        special: Special,
        command: &Command<'_>,
        named: &mut usize,
    ) -> Option<Reason> {
        let in_multi = self.in_multi || self.replies.in_multi;
        let mut room = true;
        match special {
            // Their answers come inside of EXEC's, out of step with its length, or not at all; or
            // EXEC switches the protocol in the midst of its own answer.
            Special::Subscription(_) | Special::Sync | Special::Hello | Special::Replconf
                if in_multi =>
            {
                return Some(Reason::Malformed("in_transaction"));
            }
            Special::Client if in_multi && is_reply(command) => {
                return Some(Reason::Malformed("in_transaction"));
            }
            Special::Client if is_reply(command) && self.may_be_restricted() => {
                return Some(Reason::Malformed("unanswered"));
            }
            // Whether they succeed would not be told.
            Special::Sync | Special::Hello if self.answers != Answers::On => {
                return Some(Reason::Malformed("unanswered"));
            }
            // The server answers no ACK, but may answer that it takes none: subscribed, not
            // authenticated. A replica sends them when the connection is its own.
            Special::Replconf if has_ack(command) => {
                return Some(Reason::Malformed("unanswered"));
            }
            // The server answers neither MONITOR nor SYNC a second time, and a script's answer
            // can look like a line of MONITOR, so that an answer to SELECT could not be told.
            Special::Monitor | Special::Sync | Special::Select if self.may_monitor() => {
                return Some(Reason::Malformed("monitoring"));
            }
            Special::Select => {
                if let Some(database) = command.arg(1).and_then(database) {
                    room =
                        self.databases.has_room(database) && self.databases.name(database, named);
                }
            }
            Special::OtherDatabases(other) => {
                other.named(command.args(), |database| {
                    room &= self.databases.name(database, named);
                });
            }
            _ => {}
        }
        (!room).then_some(Reason::Limit("pipeline_depth"))
    }
}

/// Whether a CLIENT command is CLIENT REPLY.
pub(super) fn is_reply(command: &Command<'_>) -> bool {
    command.argc() == 3 && command.arg(1).is_some_and(|sub| sub.eq_ignore_ascii_case(b"REPLY"))
}

/// The code that a command runs, by its first argument.
fn script<'a>(special: Special, arg: Option<&'a [u8]>) -> Script<'a> {
    match (special, arg) {
        (Special::Eval, Some(text)) => Script::Sha1(hex(Sha1::digest(text).as_ref())),
        (Special::EvalSha, Some(digest)) => named_script(digest),
        (Special::Function, Some(name)) => Script::Function(name),
        _ => Script::None,
    }
}

/// A script named by its digest, which the server takes in either case. Of what is no digest it
/// makes an error.
pub(super) fn named_script(digest: &[u8]) -> Script<'static> {
    match <[u8; 40]>::try_from(digest) {
        Ok(digest) if digest.iter().all(u8::is_ascii_hexdigit) => {
            Script::Sha1(digest.map(|byte| byte.to_ascii_lowercase()))
        }
        _ => Script::None,
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(digest: &[u8]) -> [u8; 40] {
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut text = [b'0'; 40];
    for (slot, digit) in text.iter_mut().zip(digits) {
        *slot = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_told_by_their_digest() {
        let Script::Sha1(text) = script(Special::Eval, Some(b"return 1")) else { panic!() };
        assert_eq!(&text, b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        let upper = text.to_ascii_uppercase();
        let Script::Sha1(same) = script(Special::EvalSha, Some(&upper)) else { panic!() };
        assert_eq!(same, text);
        assert!(matches!(script(Special::EvalSha, Some(b"x")), Script::None));
        assert!(matches!(script(Special::Function, Some(b"f")), Script::Function(b"f")));
        assert!(matches!(script(Special::Plain, Some(b"x")), Script::None));
    }
}
