//! Which arguments of a command are keys, and which are channels.

use super::table::{Begin, CommandInfo, Find, KeySpec, MAX_SPECS};
use super::{Args, Command};

/// The keys of a complete command.
#[derive(Clone, Debug)]
pub enum Keys<'a> {
    /// All of them, in the order of the arguments.
    Known(KeyArgs<'a>),
    /// They cannot all be known.
    Unknown,
}

/// The arguments of a command that are keys, or channels. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyArgs<'a> {
    args: Args<'a>,
    index: usize,
    spans: Spans,
}

impl<'a> Iterator for KeyArgs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.index <= self.spans.last && self.spans.count > 0 {
            let arg = self.args.next()?;
            let index = self.index;
            self.index += 1;
            if self.spans.hold(index) {
                return Some(arg);
            }
        }
        None
    }
}

/// Finds the keys of `command`, which `info` describes; `None` stands for a command that the
/// table does not know.
///
/// The keys are unknown where the table says so, where the arguments do not fit the key
/// specifications (the server answers an error then), and where the word that keys are looked
/// for behind occurs twice: the server takes the last `STORE` of a `GEORADIUS`, while its own
/// key specifications find the first.
pub fn keys<'a>(info: Option<&CommandInfo>, command: &Command<'a>) -> Keys<'a> {
    let argc = command.argc();
    let mut spans = Spans::default();
    for spec in info.map_or(&[][..], |info| &info.key_specs) {
        match span(spec, argc, command) {
            Ok(Some(span)) => spans.push(span),
            Ok(None) => {}
            Err(Unknown) => return Keys::Unknown,
        }
    }
    match info {
        Some(_) => Keys::Known(KeyArgs { args: command.args(), index: 0, spans }),
        None => Keys::Unknown,
    }
}

/// The channels or patterns that `command` publishes or subscribes to. Empty for commands
/// outside of that family.
pub fn channels<'a>(info: Option<&CommandInfo>, command: &Command<'a>) -> KeyArgs<'a> {
    let mut spans = Spans::default();
    if let Some(channels) = info.and_then(|info| info.channels) {
        let last = if channels.rest { command.argc() } else { channels.first };
        spans.push(Span { first: channels.first, last, step: 1 });
    }
    KeyArgs { args: command.args(), index: 0, spans }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgRole {
    /// A key.
    Key,
    /// A channel or pattern.
    Channel,
    /// Neither.
    Other,
    /// It says how many keys there are: its content must be given.
    NeedContent,
    /// The keys of this command cannot all be known.
    Unknown,
}

/// Tells keys among the arguments of a command that comes piece by piece.
///
/// Keys that are looked for behind a word are unknown here: to find them, every argument would
/// have to be held.
#[derive(Clone, Copy, Debug)]
pub struct KeyWalker {
    spans: Spans,
    channels: Spans,
    /// Key counts still to be read: the argument, and the specification's numbers.
    counts: [Option<Count>; MAX_SPECS],
    argc: usize,
    unknown: bool,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    at: usize,
    first: usize,
    step: usize,
}

impl KeyWalker {
    /// For a command of `argc` arguments that `info` describes.
    pub fn new(info: Option<&CommandInfo>, argc: usize) -> Self {
        let mut walker = Self {
            spans: Spans::default(),
            channels: Spans::default(),
            counts: [None; MAX_SPECS],
            argc,
            unknown: info.is_none(),
        };
        if let Some(info) = info {
            for (spec, count) in info.key_specs.iter().zip(&mut walker.counts) {
                match walk(spec, argc) {
                    Ok(Walk::Span(Some(span))) => walker.spans.push(span),
                    Ok(Walk::Span(None)) => {}
                    Ok(Walk::Count(c)) => *count = Some(c),
                    Err(Unknown) => walker.unknown = true,
                }
            }
            if let Some(channels) = info.channels {
                let last = if channels.rest { argc } else { channels.first };
                walker.channels.push(Span { first: channels.first, last, step: 1 });
            }
        }
        walker
    }

    /// Whether the keys cannot all be known.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether no argument behind the one at `index` can change what has been said: none is a
    /// key or channel, and none says how many keys there are.
    pub fn is_settled(&self, index: usize) -> bool {
        let counted = self.counts.iter().all(Option::is_none);
        let last = self.spans.last.max(self.channels.last);
        self.unknown || (counted && last <= index)
    }

    /// What the argument at `index` is. Arguments must be asked for in order; one whose answer
    /// was [`ArgRole::NeedContent`] must be asked for again with its content before the next.
    pub fn arg(&mut self, index: usize, content: Option<&[u8]>) -> ArgRole {
        for slot in &mut self.counts {
            if let Some(count) = slot.filter(|count| count.at == index) {
                let Some(content) = content else { return ArgRole::NeedContent };
                *slot = None;
                match counted(content, count.first, count.step, self.argc) {
                    Ok(Some(span)) => self.spans.push(span),
                    Ok(None) => {}
                    Err(Unknown) => self.unknown = true,
                }
            }
        }
        if self.unknown {
            ArgRole::Unknown
        } else if self.spans.hold(index) {
            ArgRole::Key
        } else if self.channels.hold(index) {
            ArgRole::Channel
        } else {
            ArgRole::Other
        }
    }
}

/// Evenly spaced arguments, both ends included.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    first: usize,
    last: usize,
    step: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spans {
    list: [Span; MAX_SPECS],
    count: usize,
    /// The last argument of any.
    last: usize,
}

impl Spans {
    fn push(&mut self, span: Span) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = span;
            self.count += 1;
            self.last = self.last.max(span.last);
        }
    }

    fn hold(&self, index: usize) -> bool {
        self.list[..self.count].iter().any(|s| {
            // Most specifications step by one: a division costs more than all the rest.
            s.first <= index
                && index <= s.last
                && (s.step == 1 || (index - s.first).is_multiple_of(s.step))
        })
    }
}

/// The keys cannot be known.
struct Unknown;

/// What a specification says before any argument has come.
enum Walk {
    Span(Option<Span>),
    Count(Count),
}

/// Applies a specification as far as it goes without content.
fn walk(spec: &KeySpec, argc: usize) -> Result<Walk, Unknown> {
    if spec.not_key {
        return Ok(Walk::Span(None));
    }
    match (&spec.begin, spec.find) {
        _ if spec.incomplete => Err(Unknown),
        (Begin::Index(begin), Find::Range { last, step, limit }) => {
            range(*begin, last, step, limit, argc).map(|span| Walk::Span(Some(span)))
        }
        (Begin::Index(begin), Find::KeyNum { number, first, step }) if begin + number < argc => {
            Ok(Walk::Count(Count { at: begin + number, first: begin + first, step }))
        }
        _ => Err(Unknown),
    }
}

/// Applies a specification to a complete command.
fn span(spec: &KeySpec, argc: usize, command: &Command<'_>) -> Result<Option<Span>, Unknown> {
    if spec.not_key {
        return Ok(None);
    }
    let begin = match &spec.begin {
        _ if spec.incomplete => return Err(Unknown),
        Begin::Index(begin) => *begin,
        Begin::Keyword(word, from) => match keyword(word, *from, command)? {
            Some(at) => at + 1,
            None => return Ok(None),
        },
        Begin::Unknown => return Err(Unknown),
    };
    match spec.find {
        Find::Range { last, step, limit } => range(begin, last, step, limit, argc).map(Some),
        Find::KeyNum { number, first, step } => {
            let content = command.arg(begin + number).ok_or(Unknown)?;
            counted(content, begin + first, step, argc)
        }
        Find::Unknown => Err(Unknown),
    }
}

/// Where `word` is, if it is there once among the arguments that may hold it.
fn keyword(word: &str, from: i32, command: &Command<'_>) -> Result<Option<usize>, Unknown> {
    let distance = usize::try_from(from.unsigned_abs()).map_err(|_| Unknown)?;
    let mut found = None;
    for (index, arg) in command.args().enumerate().skip(1) {
        let within = if from > 0 { index >= distance } else { index + distance <= command.argc() };
        if within && arg.eq_ignore_ascii_case(word.as_bytes()) && found.replace(index).is_some() {
            return Err(Unknown);
        }
    }
    Ok(found)
}

/// The span from `first` that a range describes.
fn range(first: usize, last: i32, step: usize, limit: usize, argc: usize) -> Result<Span, Unknown> {
    let back = usize::try_from(last.unsigned_abs()).map_err(|_| Unknown)?;
    let last = if last >= 0 {
        first + back
    } else if limit > 1 {
        let following = argc.checked_sub(first).ok_or(Unknown)?;
        if !following.is_multiple_of(limit) {
            return Err(Unknown);
        }
        (first + following / limit).checked_sub(1).ok_or(Unknown)?
    } else {
        argc.checked_sub(back).ok_or(Unknown)?
    };
    if first > last || last >= argc {
        return Err(Unknown);
    }
    Ok(Span { first, last, step })
}

/// The span of as many keys as `number` says, which is read as the server reads it.
fn counted(number: &[u8], first: usize, step: usize, argc: usize) -> Result<Option<Span>, Unknown> {
    let zeros = number.len() > 1 && number.starts_with(b"0");
    if number.is_empty() || zeros || !number.iter().all(u8::is_ascii_digit) {
        return Err(Unknown);
    }
    let number: usize =
        std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).ok_or(Unknown)?;
    let Some(more) = number.checked_sub(1) else { return Ok(None) };
    let last = more.checked_mul(step).and_then(|n| n.checked_add(first)).ok_or(Unknown)?;
    if last >= argc {
        return Err(Unknown);
    }
    Ok(Some(Span { first, last, step }))
}

#[cfg(test)]
mod tests {
    use super::super::{Table, inline};
    use super::*;

    fn words(iterator: KeyArgs<'_>) -> String {
        let words: Vec<_> = iterator.map(String::from_utf8_lossy).collect();
        words.join(" ")
    }

    /// The keys of a command line, and what the walker says of the same.
    fn keys_of(line: &str) -> Option<String> {
        let mut raw = Vec::new();
        inline(format!("{line}\r\n").as_bytes(), &mut raw).unwrap();
        let command = Command::new(&raw).unwrap();
        let info = Table::builtin().resolve(&command).info;
        let mut walker = KeyWalker::new(info, command.argc());
        let mut walked = Some(Vec::new());
        for (index, arg) in command.args().enumerate() {
            let mut role = walker.arg(index, None);
            if role == ArgRole::NeedContent {
                role = walker.arg(index, Some(arg));
            }
            match role {
                ArgRole::Key => {
                    walked.iter_mut().for_each(|w| w.push(String::from_utf8_lossy(arg)))
                }
                ArgRole::Unknown => walked = None,
                _ => {}
            }
        }
        let walked = walked.map(|w| w.join(" "));
        match keys(info, &command) {
            Keys::Known(keys) => {
                let keys = words(keys);
                assert!(walked.is_none() || walked.as_ref() == Some(&keys), "{line}: {walked:?}");
                Some(keys)
            }
            Keys::Unknown => {
                assert_eq!(walked, None, "{line}");
                None
            }
        }
    }

    #[test]
    fn keys_are_found() {
        let cases = [
            ("PING", ""),
            ("GET a", "a"),
            ("set a b EX 10", "a"),
            ("MSET a 1 b 2", "a b"),
            ("DEL a b c", "a b c"),
            ("BLPOP a b 0", "a b"),
            ("EVAL script 2 a b c", "a b"),
            ("EVAL script 0 a", ""),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
            ("XREAD COUNT 1 STREAMS a b 0 0", "a b"),
            ("XREADGROUP GROUP STREAMS c STREAMS a >", "a"),
            ("GEORADIUS k 0 0 1 m STORE d", "k d"),
            ("GEORADIUS k 0 0 1 m", "k"),
            ("OBJECT ENCODING a", "a"),
            ("CONFIG GET *", ""),
            ("SUBSCRIBE a", ""),
            ("SPUBLISH a b", ""),
        ];
        for (line, expected) in cases {
            assert_eq!(keys_of(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_unknown() {
        let cases = [
            "NOSUCH a",
            "CONFIG nothing",
            "SORT a BY x STORE d",
            "MIGRATE h 1 a 0 10",
            "GET",
            "EVAL script 3 a b",
            "EVAL script 01 a",
            "EVAL script +1 a",
            "EVAL script -1 a",
            "EVAL script x a",
            "EVAL script 18446744073709551617 a",
            "XREAD STREAMS a b 0",
            "XREAD STREAMS",
            "GEORADIUS k 0 0 1 m STORE d STORE e",
        ];
        for line in cases {
            assert_eq!(keys_of(line), None, "{line}");
        }
    }

    #[test]
    fn channels_are_found() {
        let cases = [
            ("PUBLISH a b", "a"),
            ("SPUBLISH a b", "a"),
            ("SUBSCRIBE a b", "a b"),
            ("PSUBSCRIBE a* b", "a* b"),
            ("SSUBSCRIBE a", "a"),
            ("UNSUBSCRIBE", ""),
            ("PUNSUBSCRIBE a", "a"),
            ("GET a", ""),
        ];
        for (line, expected) in cases {
            let mut raw = Vec::new();
            inline(format!("{line}\r\n").as_bytes(), &mut raw).unwrap();
            let command = Command::new(&raw).unwrap();
            let info = Table::builtin().resolve(&command).info;
            assert_eq!(words(channels(info, &command)), expected, "{line}");
        }
    }
}
