//! Redis entries: `COMMAND[|SUBCOMMAND] KEYPATTERN… &CHANNELPATTERN…`, with `sha1:HEX` after
//! EVALSHA and its like, and a function's name after FCALL.

use std::fmt;

use super::{BadEntry, List, quoted, slot, write_literal};
use crate::pattern::{MAX_PARTS, Rest, Separators, Sequence, Token};

/// What a Redis entry covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisPattern {
    /// Upper-case; none: any command.
    pub command: Option<Box<str>>,
    /// What stands after `|`.
    pub subcommand: Subcommand,
    /// What code it may run.
    pub script: ScriptPattern,
    /// Every key must match one of these.
    pub keys: Vec<Sequence>,
    /// Every channel must match one of these.
    pub channels: Vec<Sequence>,
}

impl RedisPattern {
    /// No key and no channel pattern.
    pub(crate) fn takes_nothing(&self) -> bool {
        self.keys.is_empty() && self.channels.is_empty()
    }

    /// The commands that the entry covers; none: any. One that names a script covers every
    /// command that runs it.
    pub(crate) fn commands(&self) -> Option<Vec<&str>> {
        let name = self.command.as_deref()?;
        Some(match (name, &self.script) {
            (name, ScriptPattern::Unnamed) => vec![name],
            ("EVAL" | "EVALSHA", _) => vec!["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"],
            ("EVAL_RO" | "EVALSHA_RO", _) => vec!["EVAL_RO", "EVALSHA_RO"],
            ("FCALL", _) => vec!["FCALL", "FCALL_RO"],
            (name, _) => vec![name],
        })
    }
}

/// The subcommand of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subcommand {
    /// Not named: an allow entry covers the command without one, a deny entry all.
    Unnamed,
    /// `|*`: with any, or without.
    Any,
    /// This one, upper-case.
    Name(Box<str>),
}

/// The script or function of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptPattern {
    /// Not named.
    Unnamed,
    /// `sha1:*`, or `*` after FCALL.
    Any,
    /// The script with this SHA-1, lower-case.
    Sha1([u8; 40]),
    /// The function of this name.
    Function(Box<str>),
}

/// What kind of code a command runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    Nothing,
    Script,
    Function,
}

fn runs(command: Option<&str>) -> Runs {
    match command {
        Some("EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO") => Runs::Script,
        Some("FCALL" | "FCALL_RO") => Runs::Function,
        _ => Runs::Nothing,
    }
}

const FORM: &str = "COMMAND[|SUBCOMMAND] KEYPATTERN…, such as \"GET cart:{int}\"";

pub(super) fn read(
    text: &str,
    list: List,
    separators: Separators,
) -> Result<RedisPattern, BadEntry> {
    let mut words = words(text).into_iter().peekable();
    let Some((at, name)) = words.next() else {
        return Err(BadEntry::new(0, quoted(text), FORM));
    };
    let (command, subcommand) = read_name(name, at)?;
    let script = read_script(runs(command.as_deref()), list, &mut words, text.len())?;
    let (mut keys, mut channels) = (Vec::new(), Vec::new());
    for (at, word) in words {
        match word.strip_prefix('&') {
            Some(channel) => channels.push(read_pattern(channel, at + 1, separators)?),
            None => keys.push(read_pattern(word, at, separators)?),
        }
    }
    Ok(RedisPattern { command, subcommand, script, keys, channels })
}

/// Words with their offsets; `\` keeps a space in a word.
pub(crate) fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate() {
        match (b, start) {
            (b' ', Some(from)) if !escaped => {
                words.push((from, &text[from..i]));
                start = None;
            }
            (b' ', None) => {}
            (_, None) => start = Some(i),
            _ => {}
        }
        escaped = b == b'\\' && !escaped;
    }
    words.extend(start.map(|from| (from, &text[from..])));
    words
}

fn read_name(word: &str, at: usize) -> Result<(Option<Box<str>>, Subcommand), BadEntry> {
    let (command, sub) = match word.split_once('|') {
        Some((command, sub)) => (command, Some(sub)),
        None => (word, None),
    };
    let name = |text: &str, at: usize| -> Result<Box<str>, BadEntry> {
        let of_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if text.is_empty() || !text.bytes().all(of_name) {
            return Err(BadEntry::new(at, quoted(word), FORM));
        }
        Ok(text.to_ascii_uppercase().into())
    };
    let sub_at = at + command.len() + 1;
    let subcommand = match sub {
        None => Subcommand::Unnamed,
        Some("*") => Subcommand::Any,
        Some(_) if command == "*" => {
            return Err(BadEntry::new(sub_at, quoted(word), "* alone, or COMMAND|SUBCOMMAND"));
        }
        Some(sub) => Subcommand::Name(name(sub, sub_at)?),
    };
    match command {
        "*" => Ok((None, Subcommand::Any)),
        command => Ok((Some(name(command, at)?), subcommand)),
    }
}

fn read_script<'a>(
    runs: Runs,
    list: List,
    words: &mut std::iter::Peekable<impl Iterator<Item = (usize, &'a str)>>,
    end: usize,
) -> Result<ScriptPattern, BadEntry> {
    let expected = match runs {
        Runs::Nothing => return Ok(ScriptPattern::Unnamed),
        Runs::Script => "sha1: and 40 hex digits, or sha1:*",
        Runs::Function => "a function's name, or *",
    };
    let Some((at, word)) = words.peek().copied() else {
        return match list {
            List::Deny => Ok(ScriptPattern::Unnamed),
            List::Allow => Err(BadEntry::new(end, "the end", expected)),
        };
    };
    let bad = || BadEntry::new(at, quoted(word), expected);
    let script = match (runs, word) {
        (Runs::Function, "*") | (Runs::Script, "sha1:*") => ScriptPattern::Any,
        (Runs::Function, name) => {
            let of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if !name.bytes().all(of_name) {
                return Err(bad());
            }
            ScriptPattern::Function(name.into())
        }
        (_, word) => {
            let digits = word.strip_prefix("sha1:").ok_or_else(bad)?.to_ascii_lowercase();
            let digits: [u8; 40] = digits.as_bytes().try_into().map_err(|_| bad())?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(bad());
            }
            ScriptPattern::Sha1(digits)
        }
    };
    words.next();
    Ok(script)
}

/// Reads a key or channel pattern.
fn read_pattern(word: &str, at: usize, separators: Separators) -> Result<Sequence, BadEntry> {
    let mut pattern = Sequence::default();
    let mut literal = Vec::new();
    let mut separator = 0;
    let mut rest = word;
    loop {
        let here = at + (word.len() - rest.len());
        let Some(c) = rest.chars().next() else {
            pattern.parts.push((separator, Token::Literal(literal.into())));
            break;
        };
        match c {
            '*' => {
                if rest.len() > 1 {
                    let expected = r"* at the end only, {} for one part, or \*";
                    return Err(BadEntry::new(here, quoted(rest), expected));
                }
                pattern.rest = Some(Rest { separator, prefix: literal.into() });
                break;
            }
            '{' | '}' => {
                let whole = literal.is_empty() && c == '{';
                let (token, after) =
                    whole.then(|| rest[1..].split_once('}')).flatten().ok_or_else(|| {
                        let expected = format!(r"{} as a whole part, or \{c}", super::SLOTS);
                        BadEntry::new(here, quoted(rest), expected)
                    })?;
                let token = Token::Slot(slot(token, here)?);
                pattern.parts.push((separator, token));
                match after.bytes().next() {
                    None => break,
                    Some(b) if separators.contains(b) => {
                        separator = b;
                        rest = &after[1..];
                    }
                    Some(_) => {
                        let expected = "a separator or the end after }";
                        return Err(BadEntry::new(here, quoted(after), expected));
                    }
                }
            }
            '\\' => {
                let (byte, len) = escape(rest).ok_or_else(|| {
                    let expected = r"one of \{ \} \* \\ \& \xHH, or \ before a space";
                    BadEntry::new(here, quoted(rest), expected)
                })?;
                if separators.contains(byte) {
                    return Err(BadEntry::new(here, quoted(rest), "the separator unescaped"));
                }
                literal.push(byte);
                rest = &rest[len..];
            }
            c if c.is_ascii() && separators.contains(c as u8) => {
                let part = std::mem::take(&mut literal);
                pattern.parts.push((separator, Token::Literal(part.into())));
                separator = c as u8;
                rest = &rest[1..];
            }
            c => {
                literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if pattern.parts.len() > MAX_PARTS {
        return Err(BadEntry::new(at, "more parts", format!("at most {MAX_PARTS}")));
    }
    Ok(pattern)
}

/// The byte that an escape at the front stands for, and the escape's length.
fn escape(text: &str) -> Option<(u8, usize)> {
    match text.as_bytes() {
        [_, c @ (b'{' | b'}' | b'*' | b'\\' | b'&' | b' '), ..] => Some((*c, 2)),
        [_, b'x', ..] => {
            let digits = text.get(2..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(digits, 16).ok()?, 4))
        }
        _ => None,
    }
}

impl fmt::Display for RedisPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command.as_deref().unwrap_or("*"))?;
        match (&self.command, &self.subcommand) {
            (Some(_), Subcommand::Any) => f.write_str("|*")?,
            (Some(_), Subcommand::Name(name)) => write!(f, "|{name}")?,
            _ => {}
        }
        match &self.script {
            ScriptPattern::Unnamed => {}
            ScriptPattern::Any if runs(self.command.as_deref()) == Runs::Function => {
                f.write_str(" *")?;
            }
            ScriptPattern::Any => f.write_str(" sha1:*")?,
            ScriptPattern::Sha1(hex) => write!(f, " sha1:{}", hex.escape_ascii())?,
            ScriptPattern::Function(name) => write!(f, " {name}")?,
        }
        for key in &self.keys {
            f.write_str(" ")?;
            write_pattern(f, key)?;
        }
        for channel in &self.channels {
            f.write_str(" &")?;
            write_pattern(f, channel)?;
        }
        Ok(())
    }
}

fn write_pattern(f: &mut fmt::Formatter<'_>, pattern: &Sequence) -> fmt::Result {
    const ESCAPED: &[u8] = br"{}*\&";
    let separator = |f: &mut fmt::Formatter<'_>, s: u8| match s {
        0 => Ok(()),
        s => write_literal(f, &[s], b""),
    };
    for (before, token) in &pattern.parts {
        separator(f, *before)?;
        match token {
            Token::Literal(literal) => write_literal(f, literal, ESCAPED)?,
            Token::Slot(None) => f.write_str("{}")?,
            Token::Slot(Some(class)) => write!(f, "{class}")?,
        }
    }
    if let Some(rest) = &pattern.rest {
        separator(f, rest.separator)?;
        write_literal(f, &rest.prefix, ESCAPED)?;
        f.write_str("*")?;
    }
    Ok(())
}
