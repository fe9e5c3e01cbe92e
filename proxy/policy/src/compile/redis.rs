//! Deciding Redis commands.

use super::rules::{Limits, RuleBits};
use crate::decide::{Decision, EntryRef, Violation};
use crate::entry::List;
use crate::entry::redis::{RedisPattern, ScriptPattern, Subcommand};
use crate::op::{Keys, RedisOp, Script};
use crate::pattern::{KeyText, Separators, Sequence, fixed_start};
use crate::trie::Trie;

/// The entries of the rules that share ports.
#[derive(Debug, Default)]
pub(crate) struct RedisMatcher {
    /// Upper-case names, sorted, with their place in `commands`.
    names: Vec<(Box<str>, u16)>,
    commands: Vec<Lists>,
    /// Entries for any command.
    any: Lists,
    entries: Vec<RedisEntry>,
    /// Entries by their patterns, apart by list and by the rules' separators.
    texts: Vec<Texts>,
    denies: bool,
}

/// Entries by their command.
#[derive(Debug, Default)]
struct Lists {
    allow: Vec<u32>,
    deny: Vec<u32>,
}

#[derive(Debug)]
struct Texts {
    list: List,
    separators: Separators,
    keys: Trie,
    channels: Trie,
}

#[derive(Debug)]
struct RedisEntry {
    rule: u32,
    reference: EntryRef,
    list: List,
    /// Empty: any command.
    commands: Vec<u16>,
    pattern: RedisPattern,
    separators: Separators,
}

impl RedisMatcher {
    pub(crate) fn insert(
        &mut self,
        rule: u32,
        reference: EntryRef,
        list: List,
        pattern: &RedisPattern,
        separators: Separators,
    ) {
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let names = pattern.commands().unwrap_or_default();
        let commands: Vec<u16> = names.into_iter().map(|n| self.command_index(n)).collect();
        for command in &commands {
            self.commands[usize::from(*command)].push(list, id);
        }
        if commands.is_empty() {
            self.any.push(list, id);
        }
        let texts = self.texts(list, separators);
        for key in &pattern.keys {
            texts.keys.insert(key, id);
        }
        for channel in &pattern.channels {
            texts.channels.insert(channel, id);
        }
        self.denies |= list == List::Deny;
        let pattern = pattern.clone();
        self.entries.push(RedisEntry { rule, reference, list, commands, pattern, separators });
    }

    fn command_index(&mut self, name: &str) -> u16 {
        match self.names.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(at) => self.names[at].1,
            Err(at) => {
                let index = u16::try_from(self.commands.len()).unwrap_or(u16::MAX);
                self.names.insert(at, (name.into(), index));
                self.commands.push(Lists::default());
                index
            }
        }
    }

    fn texts(&mut self, list: List, separators: Separators) -> &mut Texts {
        let known = self.texts.iter().position(|t| t.list == list && t.separators == separators);
        let at = known.unwrap_or_else(|| {
            let (keys, channels) = (Trie::default(), Trie::default());
            self.texts.push(Texts { list, separators, keys, channels });
            self.texts.len() - 1
        });
        &mut self.texts[at]
    }

    fn find_command(&self, name: &[u8]) -> Option<u16> {
        let upper = || name.iter().map(u8::to_ascii_uppercase);
        let at = self.names.binary_search_by(|(n, _)| n.bytes().cmp(upper())).ok()?;
        Some(self.names[at].1)
    }

    /// Decides a command on a connection that falls under `rules`.
    pub(crate) fn decide(&self, limits: &[Limits], rules: &RuleBits, op: &RedisOp<'_>) -> Decision {
        let command = self.find_command(op.command);
        let glob = op.command.eq_ignore_ascii_case(b"PSUBSCRIBE");
        let asked = Asked { matcher: self, limits, rules, op, command, glob };
        if let Some(entry) = self.denies.then(|| asked.denied()).flatten() {
            return Decision::Violation(Violation::Denied, Some(entry));
        }
        match asked.found() {
            Found { allowed: Some(entry), .. } => Decision::Allowed(entry),
            Found { elsewhere: Some(entry), .. } => {
                Decision::Violation(Violation::DatabaseNotAllowed, Some(entry))
            }
            Found { .. } => Decision::Violation(Violation::NotAllowed, None),
        }
    }
}

impl Lists {
    fn push(&mut self, list: List, id: u32) {
        match list {
            List::Allow => self.allow.push(id),
            List::Deny => self.deny.push(id),
        }
    }
}

/// What the search for allow entries brought.
#[derive(Default)]
struct Found {
    allowed: Option<EntryRef>,
    /// An entry that would allow it in another database.
    elsewhere: Option<EntryRef>,
}

/// A command that is being decided.
#[derive(Clone, Copy)]
struct Asked<'a> {
    matcher: &'a RedisMatcher,
    limits: &'a [Limits],
    rules: &'a RuleBits,
    op: &'a RedisOp<'a>,
    command: Option<u16>,
    /// Its channels are globs.
    glob: bool,
}

impl<'a> Asked<'a> {
    fn entry(&self, id: u32) -> &'a RedisEntry {
        &self.matcher.entries[id as usize]
    }

    /// The entries that name this command, then those for any.
    fn lists(&self) -> impl Iterator<Item = &'a Lists> {
        let matcher = self.matcher;
        let named = self.command.map(|c| &matcher.commands[usize::from(c)]);
        named.into_iter().chain([&matcher.any])
    }

    fn limits(&self, entry: &RedisEntry) -> &'a Limits {
        &self.limits[entry.rule as usize]
    }

    fn text<'k>(&self, key: &'k [u8], separators: Separators, glob: bool) -> KeyText<'k> {
        KeyText { key, separators, glob }
    }

    /// Calls `visit` with each entry of the list that has a pattern covering the key or channel.
    fn covering(
        &self,
        list: List,
        text: &[u8],
        channel: bool,
        visit: &mut impl FnMut(&'a RedisEntry) -> bool,
    ) -> bool {
        self.matcher.texts.iter().filter(|texts| texts.list == list).all(|texts| {
            let trie = if channel { &texts.channels } else { &texts.keys };
            let text = self.text(text, texts.separators, channel && self.glob);
            trie.all(&text, &mut |id| visit(self.entry(id)))
        })
    }

    /// Whether keys or channels cannot all be known.
    fn is_unknown(&self) -> bool {
        matches!(self.op.keys, Keys::Unknown) || matches!(self.op.channels, Keys::Unknown)
    }

    /// Whether the entry is of a rule in force and names the command, subcommand and script.
    fn names(&self, entry: &RedisEntry) -> bool {
        let command = entry.commands.is_empty()
            || self.command.is_some_and(|command| entry.commands.contains(&command));
        let subcommand = match (&entry.pattern.subcommand, self.op.subcommand) {
            (Subcommand::Any, _) | (Subcommand::Unnamed, None) => true,
            (Subcommand::Unnamed, Some(_)) => entry.list == List::Deny,
            (Subcommand::Name(name), Some(sub)) => name.as_bytes().eq_ignore_ascii_case(sub),
            // Of a command that is not in the table it is not known whether it has one.
            (Subcommand::Name(_), None) => entry.list == List::Deny && self.is_unknown(),
        };
        let script = match (&entry.pattern.script, &self.op.script) {
            (ScriptPattern::Unnamed | ScriptPattern::Any, _) => true,
            (ScriptPattern::Sha1(named), Script::Sha1(run)) => named == run,
            // The server finds functions without case.
            (ScriptPattern::Function(named), Script::Function(run)) => {
                named.as_bytes().eq_ignore_ascii_case(run)
            }
            _ => false,
        };
        command && subcommand && script && self.rules.contains(entry.rule)
    }

    /// The deny entry that matches: one without patterns by its name; one with patterns where
    /// any key or channel matches any of them, or where they cannot all be known.
    fn denied(&self) -> Option<EntryRef> {
        let unknown = self.is_unknown();
        let denies = |entry: &RedisEntry| {
            self.names(entry) && self.limits(entry).touches_databases(self.op.databases)
        };
        for id in self.lists().flat_map(|lists| &lists.deny) {
            let entry = self.entry(*id);
            let by_name = unknown || entry.pattern.takes_nothing();
            if by_name && denies(entry) {
                return Some(entry.reference);
            }
        }
        let mut found = self.denied_glob(&denies);
        if found.is_some() {
            return found;
        }
        for (source, channel) in [(&self.op.keys, false), (&self.op.channels, true)] {
            let Keys::Known(source) = source else { continue };
            source.all(&mut |text| {
                self.covering(List::Deny, text, channel, &mut |entry| {
                    if denies(entry) {
                        found = Some(entry.reference);
                    }
                    found.is_none()
                })
            });
        }
        found
    }

    /// The deny entry with a pattern for channels of which some may match a glob: text does not
    /// tell which channels that stands for.
    fn denied_glob(&self, denies: &impl Fn(&RedisEntry) -> bool) -> Option<EntryRef> {
        let (true, Keys::Known(source)) = (self.glob, &self.op.channels) else { return None };
        let mut found = None;
        source.all(&mut |glob| {
            let Some(fixed) = fixed_start(glob) else { return true };
            let ids = self.lists().flat_map(|lists| &lists.deny);
            found = ids.map(|id| self.entry(*id)).find(|entry| {
                entry.pattern.channels.iter().any(|pattern| pattern.may_begin(fixed))
                    && denies(entry)
            });
            found.is_none()
        });
        found.map(|entry| entry.reference)
    }

    /// Looks for an allow entry that covers the command whole.
    fn found(&self) -> Found {
        let mut found = Found::default();
        let unknown = self.is_unknown();
        let mut consider = |entry: &RedisEntry| {
            if !self.names(entry) || !self.covers(entry) {
                return true;
            }
            if self.limits(entry).covers_databases(self.op.databases) {
                found.allowed = Some(entry.reference);
            } else {
                found.elsewhere = Some(entry.reference);
            }
            found.allowed.is_none()
        };
        // Few entries cover the first key; each is then asked of the others.
        let first = self.first(&self.op.keys, false, &mut consider)
            || self.first(&self.op.channels, true, &mut consider);
        if unknown {
            let _ = self.lists().flat_map(|l| &l.allow).all(|id| consider(self.entry(*id)));
        } else if !first {
            // Without keys: the entries that name the command, and `*` if it has no patterns.
            let for_any =
                |entry: &RedisEntry| !entry.commands.is_empty() || entry.pattern.takes_nothing();
            let mut entries = self.lists().flat_map(|l| &l.allow).map(|id| self.entry(*id));
            let _ = entries.all(|entry| !for_any(entry) || consider(entry));
        }
        found
    }

    /// Considers the entries that cover the first key or channel. False: there is none.
    fn first(
        &self,
        source: &Keys<'_>,
        channel: bool,
        consider: &mut impl FnMut(&RedisEntry) -> bool,
    ) -> bool {
        let Keys::Known(source) = source else { return false };
        let mut some = false;
        source.all(&mut |text| {
            some = true;
            self.covering(List::Allow, text, channel, consider);
            false
        });
        some
    }

    /// Whether the entry covers every key and channel.
    fn covers(&self, entry: &RedisEntry) -> bool {
        let all = |source: &Keys<'_>, patterns: &[Sequence], glob: bool| match source {
            // What cannot be known must be allowed by name, and with all there may be.
            Keys::Unknown => !entry.commands.is_empty() && patterns.iter().any(Sequence::is_bare),
            Keys::Known(source) => source.all(&mut |text| {
                let text = self.text(text, entry.separators, glob);
                patterns.iter().any(|pattern| pattern.matches(&text))
            }),
        };
        all(&self.op.keys, &entry.pattern.keys, false)
            && all(&self.op.channels, &entry.pattern.channels, self.glob)
    }
}
