//! Redis commands as the log tells them.

use super::fit::{Doubt, Fit, Short};
use super::text::{Hole, Piece, Reading, Text, uncut};
use super::{BadRecord, KeysTold, Record, Told};
use crate::class::classify;
use crate::entry::List;
use crate::entry::redis::{RedisPattern, ScriptPattern, Subcommand};
use crate::model::Rule;
use crate::pattern::Sequence;

/// A command.
#[derive(Clone, Debug)]
pub(crate) struct Redis {
    databases: Databases,
    name: String,
    subcommand: Option<String>,
    script: Option<String>,
    keys: Vec<Text>,
    channels: Vec<Text>,
    told: KeysTold,
    glob: bool,
}

#[derive(Clone, Debug)]
enum Databases {
    /// These; none: it was not known.
    These(Vec<u32>),
    /// These, and perhaps others.
    Among(Vec<u32>),
}

/// The log shows no more databases than this.
const DATABASES: usize = 16;
/// It cuts names here.
const NAME: usize = 64;

impl Redis {
    pub(super) fn read(record: &Record<'_>) -> Result<Self, BadRecord> {
        let (op, cut) = match record.op.strip_suffix(" …") {
            Some(op) => (op, true),
            None => uncut(record.op),
        };
        let mut words = words(op);
        if cut && !record.op.ends_with(" …") && words.len() > 1 {
            words.pop();
        }
        let name = *words.first().ok_or(BadRecord("its op has no command"))?;
        let (name, subcommand) = match name.split_once('|') {
            Some((name, subcommand)) => (name, Some(subcommand.to_owned())),
            None => (name, None),
        };
        if name.is_empty() {
            return Err(BadRecord("its op has no command"));
        }
        let runs_function = matches!(name, "FCALL" | "FCALL_RO");
        let is_script = |word: &str| {
            runs_function || word.len() == 45 && word.starts_with("sha1:") && !word.contains('{')
        };
        let script = words.get(1).copied().filter(|word| is_script(word));
        let shown = &words[1 + usize::from(script.is_some())..];
        let (keys, channels) = self::shown(shown, op, record.detail.filter(|_| !cut));
        let told = if cut { KeysTold::Some } else { record.keys };
        Ok(Self {
            databases: Databases::read(record.database)?,
            glob: name == "PSUBSCRIBE",
            name: name.to_owned(),
            subcommand,
            script: script.map(str::to_owned),
            keys,
            channels,
            told,
        })
    }

    /// Whether the entry covers the command, as `miss::covers` says of what is known whole.
    pub(super) fn covered(&self, rule: &Rule, list: List, pattern: &RedisPattern) -> Fit {
        match self.told {
            KeysTold::NoneOrUnknown => {
                let known = Self { told: KeysTold::All, ..self.clone() };
                let unknown = Self { told: KeysTold::Unknown, ..self.clone() };
                let fits = [known, unknown].map(|op| op.covered(rule, list, pattern));
                match fits {
                    [Fit::No(a), Fit::No(b)] => Fit::No(a.max(b)),
                    [Fit::Yes, Fit::Yes] => Fit::Yes,
                    [Fit::Maybe(doubt), _] | [_, Fit::Maybe(doubt)] => Fit::Maybe(doubt),
                    _ => Fit::Maybe(Doubt::Keys),
                }
            }
            _ => self
                .named(list, pattern)
                .and(|| self.keys_covered(rule, list, pattern))
                .and(|| self.databases.covered(rule, list)),
        }
    }

    fn named(&self, list: List, pattern: &RedisPattern) -> Fit {
        let command = match pattern.commands() {
            None => Fit::Yes,
            Some(names) => {
                names.iter().fold(Fit::OTHER, |fit, name| fit.or(|| same_name(&self.name, name)))
            }
        };
        command
            .and(|| match (&pattern.subcommand, self.subcommand.as_deref()) {
                (Subcommand::Any, _) | (Subcommand::Unnamed, None) => Fit::Yes,
                (Subcommand::Unnamed, Some(_)) => Fit::of(list == List::Deny),
                (Subcommand::Name(name), Some(sub)) => same_name(sub, name),
                (Subcommand::Name(_), None) => {
                    Fit::of(list == List::Deny && self.told == KeysTold::Unknown)
                }
            })
            .and(|| match (&pattern.script, self.script.as_deref()) {
                (ScriptPattern::Unnamed | ScriptPattern::Any, _) => Fit::Yes,
                (ScriptPattern::Sha1(named), Some(run)) => {
                    Fit::of(run.strip_prefix("sha1:").is_some_and(|hex| hex.as_bytes() == named))
                }
                (ScriptPattern::Function(named), Some(run)) => same_name(run, named),
                _ => Fit::OTHER,
            })
    }

    fn keys_covered(&self, rule: &Rule, list: List, pattern: &RedisPattern) -> Fit {
        let unknown = self.told == KeysTold::Unknown;
        let more = (self.told == KeysTold::Some).then_some(Doubt::Keys);
        let sources = [
            (&self.keys, &pattern.keys, false, unknown),
            (&self.channels, &pattern.channels, self.glob, false),
        ];
        if list == List::Allow {
            let empty = self.keys.is_empty() && self.channels.is_empty() && !unknown;
            if empty && pattern.command.is_none() && !pattern.takes_nothing() {
                return match more {
                    Some(doubt) => Fit::Maybe(doubt),
                    None => Fit::OTHER,
                };
            }
            let all = sources.into_iter().fold(Fit::Yes, |fit, (keys, patterns, glob, unknown)| {
                fit.and(|| match unknown {
                    true => {
                        Fit::of(pattern.command.is_some() && patterns.iter().any(Sequence::is_bare))
                    }
                    false => all(keys, patterns, &reading(rule, glob)),
                })
            });
            return all.doubted(more.filter(|_| !self.takes_more(pattern)));
        }
        if pattern.takes_nothing() || unknown {
            return Fit::Yes;
        }
        let touched = sources.into_iter().fold(Fit::OTHER, |fit, (keys, patterns, glob, _)| {
            fit.or(|| touched(keys, patterns, &reading(rule, glob)))
        });
        match (touched, more) {
            (Fit::No(_), Some(doubt)) => Fit::Maybe(doubt),
            (fit, _) => fit,
        }
    }
}

impl Redis {
    /// Whether the pattern covers whatever keys there are beside those that are shown.
    fn takes_more(&self, pattern: &RedisPattern) -> bool {
        let patterns = match (self.keys.is_empty(), self.channels.is_empty()) {
            (false, true) => &pattern.keys,
            (true, false) => &pattern.channels,
            _ => return false,
        };
        patterns.iter().any(Sequence::is_bare)
    }
}

fn reading(rule: &Rule, glob: bool) -> Reading {
    Reading { separators: rule.separators, log: b':', first: 0, glob }
}

fn all(keys: &[Text], patterns: &[Sequence], reading: &Reading) -> Fit {
    keys.iter().fold(Fit::Yes, |fit, key| {
        fit.and(|| {
            let any = |fit: Fit, p| fit.or(|| key.covered(p, reading, false));
            patterns.iter().fold(Fit::OTHER, any)
        })
    })
}

fn touched(keys: &[Text], patterns: &[Sequence], reading: &Reading) -> Fit {
    let pairs = keys.iter().flat_map(|key| patterns.iter().map(move |pattern| (key, pattern)));
    pairs.fold(Fit::OTHER, |fit, (key, pattern)| {
        fit.or(|| key.covered(pattern, reading, false)).or(|| match reading.glob {
            true => key.may_be_touched(pattern),
            false => Fit::OTHER,
        })
    })
}

/// A name of the log against one of an entry, without case.
fn same_name(shown: &str, name: &str) -> Fit {
    let begins = name.get(..NAME).is_some_and(|start| start.eq_ignore_ascii_case(shown));
    match shown.len() >= NAME && begins {
        true => Fit::Maybe(Doubt::Cut),
        false => Fit::of(shown.eq_ignore_ascii_case(name)),
    }
}

impl Databases {
    fn read(told: Told<'_>) -> Result<Self, BadRecord> {
        let Told::This(text) = told else {
            let none = Vec::new();
            return Ok(match told {
                Told::Untold => Databases::Among(none),
                _ => Databases::These(none),
            });
        };
        let numbers: Option<Vec<u32>> = text.split(',').map(|n| n.parse().ok()).collect();
        let numbers = numbers.ok_or(BadRecord("its database is no number"))?;
        Ok(match numbers.len() >= DATABASES {
            true => Databases::Among(numbers),
            false => Databases::These(numbers),
        })
    }

    fn covered(&self, rule: &Rule, list: List) -> Fit {
        let in_rule = |database: &u32| rule.databases.contains(database);
        let (known, more) = match self {
            Databases::These(known) => (known, false),
            Databases::Among(known) => (known, true),
        };
        let doubt = Fit::Maybe(Doubt::Database);
        match list {
            _ if rule.databases.is_empty() => Fit::Yes,
            List::Allow if known.is_empty() && !more => Fit::No(Short::Database),
            List::Allow if !known.iter().all(in_rule) => Fit::No(Short::Database),
            List::Allow => {
                if more {
                    doubt
                } else {
                    Fit::Yes
                }
            }
            List::Deny if known.iter().any(in_rule) => Fit::Yes,
            List::Deny if more => doubt,
            List::Deny => Fit::unless(known.is_empty(), Short::Database),
        }
    }
}

/// The keys and channels that the op shows, or, where the detail is in full, those that were sent.
fn shown(words: &[&str], op: &str, detail: Option<&str>) -> (Vec<Text>, Vec<Text>) {
    let (channels, keys): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with('&'));
    let keys: Vec<Text> = keys.into_iter().map(key).collect();
    let channels: Vec<Text> = channels.into_iter().map(|word| key(&word[1..])).collect();
    let before = op.len() - words.iter().map(|word| word.len() + 1).sum::<usize>();
    let sent = detail.and_then(|detail| {
        let name = op.get(..before)?;
        sent(&keys, &channels, detail.strip_prefix(name)?.strip_prefix(' ')?)
    });
    match sent {
        Some(sent) if channels.is_empty() => (sent, channels),
        Some(sent) => (keys, sent),
        None => (keys, channels),
    }
}

/// The words of a detail in full: each has the mask of a word of the op, and each of these is
/// the mask of one.
fn sent(keys: &[Text], channels: &[Text], detail: &str) -> Option<Vec<Text>> {
    let shapes = match (keys, channels) {
        (shapes, []) | ([], shapes) => shapes,
        _ => return None,
    };
    let space = |shape: &Text| {
        shape.pieces.iter().any(|p| matches!(p, Piece::Text(t) if t.contains(&b' ')))
    };
    if uncut(detail).1 || detail.ends_with(" …") || shapes.iter().any(space) {
        return None;
    }
    let sent: Vec<&str> = detail.split(' ').collect();
    let is_shown = |word: &&str| shapes.iter().any(|shape| stands_for(shape, word));
    let is_sent = |shape: &Text| sent.iter().any(|word| stands_for(shape, word));
    if !sent.iter().all(is_shown) || !shapes.iter().all(is_sent) {
        return None;
    }
    Some(sent.into_iter().map(|word| Text::known(word.as_bytes())).collect())
}

/// Whether the mask of the key is the shape.
fn stands_for(shape: &Text, key: &str) -> bool {
    if key.contains(['\u{fffd}', '{']) {
        return false;
    }
    let mut parts = Vec::new();
    let mut part: Vec<&Piece> = Vec::new();
    let mut texts = Vec::new();
    for piece in &shape.pieces {
        match piece {
            Piece::Hole(_) => part.push(piece),
            Piece::Text(bytes) => {
                for (i, text) in bytes.split(|b| *b == b':').enumerate() {
                    if i > 0 {
                        parts.push((std::mem::take(&mut part), std::mem::take(&mut texts)));
                    }
                    texts.extend_from_slice(text);
                }
            }
        }
    }
    parts.push((part, texts));
    let sent: Vec<&[u8]> = key.as_bytes().split(|b| *b == b':').collect();
    parts.len() == sent.len()
        && parts.iter().zip(sent).all(|((holes, text), sent)| match holes.first() {
            Some(Piece::Hole(Hole::Class(class))) => classify(sent) == Some(*class),
            Some(_) => !sent.is_empty(),
            None => text == sent && classify(sent).is_none(),
        })
}

/// Words, set apart by single spaces; `\` keeps one in a word.
fn words(op: &str) -> Vec<&str> {
    let (mut words, mut from, mut escaped) = (Vec::new(), 0, false);
    for (i, byte) in op.bytes().enumerate() {
        if byte == b' ' && !escaped {
            words.push(&op[from..i]);
            from = i + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    words.push(&op[from..]);
    words
}

/// A key as the log shows it.
fn key(word: &str) -> Text {
    let mut text = Text::default();
    let bytes = word.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let begins = at == 0 || bytes[at - 1] == b':';
        let hole = match word[at..].strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((name, _)) if begins => Hole::named(name).map(|hole| (hole, name.len() + 2)),
            _ => None,
        };
        if let Some((hole, len)) = hole {
            text.pieces.push(Piece::Hole(hole));
            at += len;
            continue;
        }
        let (byte, len) = match (byte, bytes.get(at + 1)) {
            (b'\\', Some(b'x')) => match hex(bytes.get(at + 2..at + 4)) {
                Some(byte) => (byte, 4),
                None => (b'x', 2),
            },
            (b'\\', Some(escaped)) => (*escaped, 2),
            (byte, _) => (*byte, 1),
        };
        text.push(&[byte]);
        at += len;
        // What follows an escape is within a character no more than the escape itself.
        while !word.is_char_boundary(at) {
            text.push(&[bytes[at]]);
            at += 1;
        }
    }
    text
}

fn hex(digits: Option<&[u8]>) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok()
}
