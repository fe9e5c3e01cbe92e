//! Deciding HTTP requests.

use super::rules::{Limits, RuleBits};
use crate::decide::{Decision, EntryRef, Violation};
use crate::entry::http::{HttpPattern, HttpTarget};
use crate::entry::{Entry, List};
use crate::host::{Authority, HostPattern};
use crate::op::HttpOp;
use crate::path::{Ambiguities, scan};
use crate::pattern::PathText;
use crate::trie::Trie;

/// The entries of the rules that share ports.
#[derive(Debug, Default)]
pub(crate) struct HttpMatcher {
    paths: Trie,
    /// Entries for `OPTIONS *`.
    asterisk: Vec<u32>,
    /// Entries for `CONNECT`.
    tunnels: Vec<(Option<(HostPattern, u16)>, u32)>,
    methods: Vec<Box<str>>,
    entries: Vec<HttpEntry>,
    /// Some entry denies: an allow entry is not the last word.
    denies: bool,
}

#[derive(Debug)]
struct HttpEntry {
    rule: u32,
    reference: EntryRef,
    /// Index into `methods`; none: any.
    method: Option<u16>,
    list: List,
    upgrade: bool,
    permit: Ambiguities,
    override_headers: Box<[Box<str>]>,
}

impl HttpMatcher {
    pub(crate) fn insert(
        &mut self,
        rule: u32,
        reference: EntryRef,
        list: List,
        pattern: &HttpPattern,
        entry: &Entry,
    ) {
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let method = pattern.method.as_deref().map(|method| self.method_index(method));
        match &pattern.target {
            HttpTarget::Path(path) => self.paths.insert(path, id),
            HttpTarget::Asterisk => self.asterisk.push(id),
            HttpTarget::Connect(to) => self.tunnels.push((to.clone(), id)),
        }
        self.denies |= list == List::Deny;
        self.entries.push(HttpEntry {
            rule,
            reference,
            method,
            list,
            upgrade: entry.upgrade,
            permit: entry.permit,
            override_headers: entry.override_headers.iter().map(|h| h.as_str().into()).collect(),
        });
    }

    fn method_index(&mut self, method: &str) -> u16 {
        let index = self.methods.iter().position(|m| **m == *method).unwrap_or_else(|| {
            self.methods.push(method.into());
            self.methods.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// Decides a request on a connection that falls under `rules`.
    pub(crate) fn decide(&self, limits: &[Limits], rules: &RuleBits, op: &HttpOp<'_>) -> Decision {
        let connect = op.method == b"CONNECT";
        // An absolute-form target without a path asks for the root (RFC 9110 §4.2.3).
        let path = if op.path.is_empty() && !connect { b"/" } else { op.path };
        let look = scan(path);
        let mut judge = Judge {
            matcher: self,
            limits,
            rules,
            op,
            authority: Authority::new(op.authority),
            method: self.methods.iter().position(|m| m.as_bytes() == op.method),
            ambiguities: look.ambiguities,
            allowed: None,
            denied: None,
            short: None,
        };
        if path.first() == Some(&b'/') {
            let text = PathText { path, plain: look.plain };
            self.paths.all(&text, &mut |id| judge.consider(id));
        } else if path == b"*" {
            let _ = self.asterisk.iter().all(|id| judge.consider(*id));
        } else if connect && path.is_empty() {
            // Not the judge's own, which is borrowed to consider them.
            let asked = Authority::new(op.authority);
            let tunnels = self.tunnels.iter().filter(|(to, _)| match (to, asked.host_and_port()) {
                (None, _) => true,
                (Some((pattern, port)), Some((host, Some(asked)))) => {
                    port == asked && pattern.matches(host)
                }
                _ => false,
            });
            let _ = tunnels.map(|(_, id)| id).all(|id| judge.consider(*id));
        }
        judge.decision()
    }
}

/// Weighs the entries whose pattern covers the path.
struct Judge<'a> {
    matcher: &'a HttpMatcher,
    limits: &'a [Limits],
    rules: &'a RuleBits,
    op: &'a HttpOp<'a>,
    authority: Authority<'a>,
    method: Option<usize>,
    ambiguities: Ambiguities,
    allowed: Option<EntryRef>,
    denied: Option<EntryRef>,
    /// An entry that would have allowed but for this; the worst fault wins.
    short: Option<(Short, EntryRef)>,
}

/// What an allow entry lacks, from the least to the most that has to be said of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Short {
    Host,
    Override,
    Upgrade,
    Permit,
}

impl Judge<'_> {
    /// Takes one entry. False: nothing can change the decision any more.
    fn consider(&mut self, id: u32) -> bool {
        let entry = &self.matcher.entries[id as usize];
        let method = entry.method.is_none_or(|m| self.method == Some(usize::from(m)));
        if !method || !self.rules.contains(entry.rule) {
            return true;
        }
        let limits = &self.limits[entry.rule as usize];
        let host = limits.covers_host(|| self.authority.host());
        if entry.list == List::Deny {
            // A request that names no host is answered as for whichever the server takes.
            let host = host || self.authority.host().is_none();
            if host {
                self.denied = Some(entry.reference);
            }
            return !host;
        }
        match self.lacks(entry, host) {
            None => {
                self.allowed = self.allowed.or(Some(entry.reference));
                self.matcher.denies
            }
            Some(short) => {
                if self.short.is_none_or(|(worst, _)| short > worst) {
                    self.short = Some((short, entry.reference));
                }
                true
            }
        }
    }

    fn lacks(&self, entry: &HttpEntry, host: bool) -> Option<Short> {
        if !self.ambiguities.is_empty() && !self.ambiguities.without(entry.permit).is_empty() {
            return Some(Short::Permit);
        }
        let websocket = |token: &[u8]| token.eq_ignore_ascii_case(b"websocket");
        if self.op.upgrade.is_some_and(|token| !(entry.upgrade && websocket(token))) {
            return Some(Short::Upgrade);
        }
        let named = |name: &[u8]| {
            entry.override_headers.iter().any(|h| h.as_bytes().eq_ignore_ascii_case(name))
        };
        if self.op.override_header.is_some_and(|name| !named(name)) {
            return Some(Short::Override);
        }
        (!host).then_some(Short::Host)
    }

    fn decision(self) -> Decision {
        if let Some(entry) = self.denied {
            return Decision::Violation(Violation::Denied, Some(entry));
        }
        if let Some(entry) = self.allowed {
            return Decision::Allowed(entry);
        }
        match self.short {
            Some((short, entry)) => {
                let violation = match short {
                    Short::Permit => Violation::AmbiguousPath,
                    Short::Upgrade => Violation::UpgradeNotPermitted,
                    Short::Override => Violation::OverrideHeader,
                    Short::Host => Violation::HostNotAllowed,
                };
                Decision::Violation(violation, Some(entry))
            }
            None if !self.ambiguities.is_empty() => {
                Decision::Violation(Violation::AmbiguousPath, None)
            }
            None => Decision::Violation(Violation::NotAllowed, None),
        }
    }
}
