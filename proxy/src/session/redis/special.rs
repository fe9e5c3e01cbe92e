//! Commands that change how the connection is to be read, or what an operation is.

use weir_parsers::redis::{Args, INLINE_LIMIT};

/// The longest name below.
const LONGEST: usize = 12;

/// What a command is to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// A command like any other: one reply, nothing to remember.
    Plain,
    Multi,
    Exec,
    Discard,
    Select,
    /// Works on the databases that its arguments name.
    OtherDatabases(Databases),
    Hello,
    Auth,
    Subscription(Subscription),
    Monitor,
    Reset,
    /// CLIENT, of which REPLY matters.
    Client,
    /// SYNC and PSYNC.
    Sync,
    /// REPLCONF, of which ACK and GETACK are not answered.
    Replconf,
    /// Runs the script that is its first argument.
    Eval,
    /// Runs the script whose SHA-1 is its first argument.
    EvalSha,
    /// Runs the function that its first argument names.
    Function,
}

/// Where a command names databases besides the selected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Databases {
    /// MOVE: argument 2.
    Move,
    /// COPY: behind each DB.
    Copy,
    /// SWAPDB: both arguments.
    Swap,
}

/// What is subscribed to, and whether it is rather left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) topic: Topic,
    pub(super) leave: bool,
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Channel,
    Pattern,
    Shard,
}

impl Special {
    /// Tells by the command's name.
    pub(super) fn of(name: &[u8]) -> Self {
        let mut lower = [0; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else { return Self::Plain };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"multi" => Self::Multi,
            b"exec" => Self::Exec,
            b"discard" => Self::Discard,
            b"select" => Self::Select,
            b"move" => Self::OtherDatabases(Databases::Move),
            b"copy" => Self::OtherDatabases(Databases::Copy),
            b"swapdb" => Self::OtherDatabases(Databases::Swap),
            b"hello" => Self::Hello,
            b"auth" => Self::Auth,
            b"monitor" => Self::Monitor,
            b"reset" => Self::Reset,
            b"client" => Self::Client,
            b"sync" | b"psync" => Self::Sync,
            b"replconf" => Self::Replconf,
            b"eval" | b"eval_ro" => Self::Eval,
            b"evalsha" | b"evalsha_ro" => Self::EvalSha,
            b"fcall" | b"fcall_ro" => Self::Function,
            other => Subscription::of(other).map_or(Self::Plain, Self::Subscription),
        }
    }

    /// Whether the session must read its arguments, so that it cannot follow one that is too
    /// big to be held.
    pub(super) fn needs_arguments(self) -> bool {
        match self {
            Self::Plain | Self::Eval | Self::EvalSha | Self::Function | Self::Subscription(_) => {
                false
            }
            Self::Multi
            | Self::Exec
            | Self::Discard
            | Self::Select
            | Self::OtherDatabases(_)
            | Self::Hello
            | Self::Auth
            | Self::Monitor
            | Self::Reset
            | Self::Client
            | Self::Sync
            | Self::Replconf => true,
        }
    }
}

impl Subscription {
    /// Tells by the lower-case name of a command, or the first word of its confirmation.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let (topic, leave) = match name {
            b"subscribe" => (Topic::Channel, false),
            b"unsubscribe" => (Topic::Channel, true),
            b"psubscribe" => (Topic::Pattern, false),
            b"punsubscribe" => (Topic::Pattern, true),
            b"ssubscribe" => (Topic::Shard, false),
            b"sunsubscribe" => (Topic::Shard, true),
            _ => return None,
        };
        Some(Self { topic, leave })
    }
}

impl Databases {
    /// Hands the named databases to `put`. Of what is no number the server makes an error.
    pub(super) fn named(self, args: Args<'_>, mut put: impl FnMut(u32)) {
        let mut put = |arg: Option<&[u8]>| arg.and_then(database).into_iter().for_each(&mut put);
        let mut args = args.skip(1);
        match self {
            Self::Move => put(args.nth(1)),
            Self::Swap => args.take(2).for_each(|arg| put(Some(arg))),
            // Options come behind both keys.
            Self::Copy => {
                let mut options = args.skip(2);
                while let Some(option) = options.next() {
                    if option.eq_ignore_ascii_case(b"DB") {
                        put(options.next());
                    }
                }
            }
        }
    }
}

/// The number of a database, read as the server reads it.
pub(super) fn database(arg: &[u8]) -> Option<u32> {
    let canonical = arg == b"0" || (!arg.is_empty() && arg[0] != b'0');
    if !canonical || !arg.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(arg).ok()?.parse().ok()
}

/// What browsers and other HTTP clients send to a port that they take for a web server's. The
/// server cuts them too.
pub(super) fn is_cross_protocol(line: &[u8]) -> bool {
    let starts =
        |with: &[u8]| line.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    starts(b"POST ") || starts(b"Host:")
}

/// How long an inline command may be while `judging_bytes` can be held.
pub(super) fn inline_limit(judging_bytes: usize) -> usize {
    INLINE_LIMIT.min(judging_bytes)
}

#[cfg(test)]
mod tests {
    use weir_parsers::redis::{Command, inline};

    use super::*;

    #[test]
    fn names_are_told_without_case() {
        assert_eq!(Special::of(b"mUlTi"), Special::Multi);
        assert_eq!(Special::of(b"GET"), Special::Plain);
        assert_eq!(Special::of(b""), Special::Plain);
        assert_eq!(Special::of(&[b'x'; 99]), Special::Plain);
        let leave = Subscription { topic: Topic::Pattern, leave: true };
        assert_eq!(Special::of(b"PUNSUBSCRIBE"), Special::Subscription(leave));
    }

    #[test]
    fn databases_are_read_as_the_server_reads_them() {
        for (arg, expected) in [("0", Some(0)), ("15", Some(15)), ("4294967296", None)] {
            assert_eq!(database(arg.as_bytes()), expected);
        }
        for arg in ["", "01", "+1", "-1", "1 ", "x", "00"] {
            assert_eq!(database(arg.as_bytes()), None, "{arg:?}");
        }
    }

    #[test]
    fn commands_name_other_databases() {
        let cases: [(&str, &[u32]); 5] = [
            ("MOVE k 5", &[5]),
            ("SWAPDB 1 2", &[1, 2]),
            ("COPY a b DB 3 REPLACE db 4", &[3, 4]),
            ("COPY DB DB REPLACE", &[]),
            ("MOVE k x", &[]),
        ];
        for (line, expected) in cases {
            let mut raw = Vec::new();
            inline(format!("{line}\n").as_bytes(), &mut raw).unwrap();
            let command = Command::new(&raw).unwrap();
            let name = command.arg(0).unwrap();
            let Special::OtherDatabases(databases) = Special::of(name) else { panic!("{line}") };
            let mut named = Vec::new();
            databases.named(command.args(), |n| named.push(n));
            assert_eq!(named, expected, "{line}");
        }
    }

    #[test]
    fn http_is_noticed() {
        assert!(is_cross_protocol(b"POST / HTTP/1.1\r\n"));
        assert!(is_cross_protocol(b"host: x\r\n"));
        assert!(!is_cross_protocol(b"POSTPONE x\r\n"));
    }
}
