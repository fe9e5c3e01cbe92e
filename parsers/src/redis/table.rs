//! The command table: which arguments of which command are keys and channels.

use std::sync::LazyLock;

use super::Command;

mod parse;

pub use parse::TableError;

/// The most key specifications that one command has.
pub const MAX_SPECS: usize = 4;

/// The longest name of a command or subcommand.
const MAX_NAME: usize = 64;

/// What is known of commands: their subcommands, keys and channels, by name without case.
///
/// The builtin table is generated from a real server's `COMMAND` and `COMMAND DOCS`
/// (`cargo run -p weir-parsers --example redis-commands -- ADDRESS`).
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By name, ascending.
    commands: Vec<CommandInfo>,
}

/// A command or subcommand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandInfo {
    /// Its name in lower case, without its container's.
    name: Box<str>,
    arity: i32,
    flags: Box<str>,
    pub(super) key_specs: Vec<KeySpec>,
    pub(super) channels: Option<Channels>,
    /// By name, ascending.
    subcommands: Vec<CommandInfo>,
}

/// Which arguments are channels or patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub(super) first: usize,
    /// All from the first on, otherwise it alone.
    pub(super) rest: bool,
}

/// Where some of a command's keys are
/// (<https://redis.io/docs/latest/develop/reference/key-specs/>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// It does not find all of the keys that it should.
    pub incomplete: bool,
    /// What it finds are no keys.
    pub not_key: bool,
    /// What is done to the keys depends on other arguments.
    pub variable_flags: bool,
    /// Where the search begins.
    pub begin: Begin,
    /// How keys are found from there on.
    pub find: Find,
}

/// Where the search for keys begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument; the name is 0.
    Index(usize),
    /// Behind this word, looked for without case from an argument on: forward from the start,
    /// or backward, counted from the end, where negative.
    Keyword(Box<str>, i32),
    /// It cannot be said.
    Unknown,
}

/// How keys are found from where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to a last one.
    Range {
        /// The last key, counted from the begin; negative: from the end of the arguments.
        last: i32,
        /// From one key to the next.
        step: usize,
        /// With `last` = -1: the keys are only this part of the arguments that follow (2: the
        /// first half). 0 and 1: all.
        limit: usize,
    },
    /// As many as an argument says.
    KeyNum {
        /// Where the number is, counted from the begin.
        number: usize,
        /// Where the first key is, counted from the begin.
        first: usize,
        /// From one key to the next.
        step: usize,
    },
    /// It cannot be said.
    Unknown,
}

/// A command found in the table.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'t, 'a> {
    /// The command's name as sent; empty for an empty command.
    pub name: &'a [u8],
    /// The subcommand as sent, where the command has subcommands.
    pub subcommand: Option<&'a [u8]>,
    /// What the table knows of it; of the subcommand, where there is one.
    pub info: Option<&'t CommandInfo>,
}

/// What a server and a Sentinel understand.
const COMMANDS: &str = concat!(include_str!("commands.txt"), include_str!("sentinel.txt"));

static BUILTIN: LazyLock<Table> = LazyLock::new(|| Table::parse(COMMANDS).unwrap_or_default());

impl Table {
    /// The table that is compiled in.
    pub fn builtin() -> &'static Table {
        &BUILTIN
    }

    /// Reads a table as the generator writes it: one command to a line, `#` begins a comment.
    ///
    /// ```text
    /// NAME[|SUBCOMMAND] ARITY FLAG[,FLAG…]|- [&INDEX[..]] [KEYSPEC…]
    /// ```
    ///
    /// `&1` says that argument 1 is a channel, `&1..` that it and all behind it are. A key
    /// specification is `ACCESS[,FLAG…]@BEGIN FIND` without the blank: BEGIN is an argument's
    /// index, `KEYWORD+N` or `KEYWORD-N` (looked for from argument N on, or backward from the
    /// Nth from the end), or `?`; FIND is `:LAST,STEP,LIMIT`, `#NUMBER,FIRST,STEP`, or `?`.
    ///
    /// # Errors
    /// The line, and what was expected there.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        parse::table(text)
    }

    /// Finds a command, or its subcommand where one is given, without case. A command that has
    /// subcommands is found without one too.
    pub fn lookup(&self, name: &[u8], subcommand: Option<&[u8]>) -> Option<&CommandInfo> {
        let command = find(&self.commands, name)?;
        match subcommand {
            Some(subcommand) => find(&command.subcommands, subcommand),
            None => Some(command),
        }
    }

    /// Tells a command's name and subcommand, and finds it.
    pub fn resolve<'a>(&self, command: &Command<'a>) -> Resolved<'_, 'a> {
        let mut args = command.args();
        let Some(name) = args.next() else {
            return Resolved { name: b"", subcommand: None, info: None };
        };
        let info = find(&self.commands, name);
        match (info, args.next()) {
            (Some(info), Some(subcommand)) if info.has_subcommands() => {
                let info = find(&info.subcommands, subcommand);
                Resolved { name, subcommand: Some(subcommand), info }
            }
            _ => Resolved { name, subcommand: None, info },
        }
    }

    /// All commands, by name.
    pub fn commands(&self) -> &[CommandInfo] {
        &self.commands
    }
}

impl CommandInfo {
    /// Its name in lower case, without its container's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many arguments it takes, its name included; negative: at least so many.
    pub fn arity(&self) -> i32 {
        self.arity
    }

    /// Whether the server gives it this flag (`write`, `blocking`, `pubsub`, …).
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(',').any(|f| f == flag)
    }

    /// Whether its first argument names a subcommand.
    pub fn has_subcommands(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Its subcommands, by name.
    pub fn subcommands(&self) -> &[CommandInfo] {
        &self.subcommands
    }

    /// Where its keys are.
    pub fn key_specs(&self) -> &[KeySpec] {
        &self.key_specs
    }
}

/// Finds a name without case, without allocating.
fn find<'t>(commands: &'t [CommandInfo], name: &[u8]) -> Option<&'t CommandInfo> {
    let mut lower = [0; MAX_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    // The first letter decides most comparisons, without a call.
    let order = |c: &CommandInfo| {
        let name = c.name.as_bytes();
        name.first().cmp(&lower.first()).then_with(|| name.cmp(lower))
    };
    let at = commands.binary_search_by(order).ok()?;
    commands.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_table_reads() {
        let table = Table::parse(COMMANDS).unwrap();
        assert!(table.commands().len() > 200);
        assert_eq!(Table::builtin().commands(), table.commands());
    }

    #[test]
    fn names_are_found_without_case() {
        let table = Table::builtin();
        assert_eq!(table.lookup(b"gEt", None).map(CommandInfo::name), Some("get"));
        assert_eq!(table.lookup(b"CONFIG", None).map(CommandInfo::name), Some("config"));
        let set = table.lookup(b"CONFIG", Some(b"SET")).unwrap();
        assert_eq!((set.name(), set.arity(), set.has_flag("admin")), ("set", -4, true));
        assert_eq!(table.lookup(b"CONFIG", Some(b"nothing")), None);
        assert_eq!(table.lookup(b"nothing", None), None);
        assert_eq!(table.lookup(&[b'x'; 1000], None), None);
        assert_eq!(table.lookup(b"", None), None);
    }

    #[test]
    fn a_command_is_resolved_with_its_subcommand() {
        let table = Table::builtin();
        let raw = b"*3\r\n$6\r\nConfig\r\n$3\r\nGET\r\n$1\r\n*\r\n";
        let found = table.resolve(&Command::new(raw).unwrap());
        assert_eq!((found.name, found.subcommand), (&b"Config"[..], Some(&b"GET"[..])));
        assert_eq!(found.info.map(CommandInfo::name), Some("get"));
        let raw = b"*2\r\n$6\r\nCONFIG\r\n$1\r\nx\r\n";
        let found = table.resolve(&Command::new(raw).unwrap());
        assert_eq!((found.subcommand, found.info), (Some(&b"x"[..]), None));
        let raw = b"*2\r\n$3\r\nGET\r\n$3\r\nset\r\n";
        assert_eq!(table.resolve(&Command::new(raw).unwrap()).subcommand, None);
        assert_eq!(table.resolve(&Command::new(b"*0\r\n").unwrap()).name, b"");
    }
}
