//! What two sets of policies allow differently.
//!
//! Policies fall into grants: one entry (or rule without entries) for one peer, on ports that
//! neither side cuts further. Grants are compared as sets, spelling aside; a grant that is gone
//! or new is then looked for among wider ones of the other side. Where a difference cannot be
//! ruled out it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::cover::{entry_covers, host_covers};
use crate::decide::{Mode, Refusal, Unread};
use crate::entry::{Entry, List};
use crate::error::Origin;
use crate::host::HostPattern;
use crate::model::{Peer, Rule, TrafficPolicy};
use crate::op::{Protocol, Side};
use crate::path::Ambiguities;

/// Whether a change lets more or less through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Less is allowed.
    Narrower,
    /// More is allowed.
    Wider,
    /// The same is allowed: another entry covers it.
    Same,
}

/// One difference.
#[derive(Clone, Debug)]
pub struct Change {
    /// The side.
    pub side: Side,
    /// What it does.
    pub effect: Effect,
    /// It is in the new policies and not in the old.
    pub added: bool,
    /// What it is, in words: list, ports, peer, protocol, entry.
    pub what: String,
    /// Where it stands, in the file that has it.
    pub at: Origin,
    /// The wider grant of the other side that covers it.
    pub covered_by: Option<(Origin, String)>,
}

/// `+ inbound :8080 http from 10.0.0.0/8: GET /x`, with `(covered by …)` where so.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.added { '+' } else { '-' };
        write!(f, "{sign} {} {}", self.side, self.what)?;
        if let Some((at, by)) = &self.covered_by {
            write!(f, " (no difference: {at} has {by})")?;
        }
        Ok(())
    }
}

/// All differences, those that matter first.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// Entries and rules.
    pub changes: Vec<Change>,
    /// Modes, directions that are governed or not, refusals: in words.
    pub settings: Vec<String>,
}

impl Diff {
    /// Whether the same is allowed, and treated the same.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.changes.iter().all(|c| c.effect == Effect::Same)
    }
}

/// Compares two sets of policies. `mode` is for policies that name none.
pub fn diff(old: &[TrafficPolicy], new: &[TrafficPolicy], mode: Mode) -> Diff {
    let mut found = Diff::default();
    for side in [Side::Inbound, Side::Outbound] {
        settings(side, old, new, mode, &mut found.settings);
        if !governs(old, side) || !governs(new, side) {
            continue;
        }
        let cuts = cuts(old, side).chain(self::cuts(new, side)).collect();
        let (old, new) = (grants(old, side, &cuts), grants(new, side, &cuts));
        changes(side, &old, &new, false, &mut found.changes);
        changes(side, &new, &old, true, &mut found.changes);
    }
    found.changes.sort_by_key(|c| (c.effect == Effect::Same, c.side as u8, c.added));
    found
}

fn governs(policies: &[TrafficPolicy], side: Side) -> bool {
    policies.iter().any(|policy| policy.rules(side).is_some())
}

/// Ports at which some rule begins, or has just ended.
fn cuts(policies: &[TrafficPolicy], side: Side) -> impl Iterator<Item = u32> {
    let rules = policies.iter().flat_map(move |p| p.rules(side).unwrap_or_default());
    rules
        .flat_map(|rule| &rule.ports)
        .flat_map(|ports| [u32::from(*ports.start()), u32::from(*ports.end()) + 1])
}

/// What a grant is, spelling aside: two equal ones allow the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    first_port: u32,
    last_port: u32,
    protocol: Option<&'static str>,
    peer: String,
    hosts: BTreeSet<HostPattern>,
    databases: BTreeSet<u32>,
    separators: Vec<u8>,
    mode: Option<&'static str>,
    list: List,
    entry: Option<String>,
}

struct Grant<'a> {
    rule: &'a Rule,
    peer: &'a Peer,
    entry: Option<&'a Entry>,
}

fn grants<'a>(
    policies: &'a [TrafficPolicy],
    side: Side,
    cuts: &BTreeSet<u32>,
) -> BTreeMap<Key, Grant<'a>> {
    let mut grants = BTreeMap::new();
    for rule in policies.iter().flat_map(|p| p.rules(side).unwrap_or_default()) {
        let entries: Vec<(List, Option<&Entry>)> = match rule.protocol {
            None | Some(Protocol::Opaque) => vec![(List::Allow, None)],
            Some(_) => {
                let allow = rule.allow.iter().map(|e| (List::Allow, Some(e)));
                allow.chain(rule.deny.iter().map(|e| (List::Deny, Some(e)))).collect()
            }
        };
        for (first_port, last_port) in pieces(rule, cuts) {
            for peer in &rule.peers {
                for (list, entry) in &entries {
                    let key = Key {
                        first_port,
                        last_port,
                        protocol: rule.protocol.map(Protocol::as_str),
                        peer: peer.to_string(),
                        hosts: rule.hosts.iter().cloned().collect(),
                        databases: rule.databases.iter().copied().collect(),
                        separators: rule.separators.iter().collect(),
                        mode: rule.mode.map(Mode::as_str),
                        list: *list,
                        entry: entry.map(in_words),
                    };
                    grants.entry(key).or_insert(Grant { rule, peer, entry: *entry });
                }
            }
        }
    }
    grants
}

/// A rule's ports, cut where any rule begins or ends.
fn pieces(rule: &Rule, cuts: &BTreeSet<u32>) -> BTreeSet<(u32, u32)> {
    let mut pieces = BTreeSet::new();
    for ports in &rule.ports {
        let (mut from, end) = (u32::from(*ports.start()), u32::from(*ports.end()) + 1);
        for cut in cuts.range(from + 1..=end) {
            pieces.insert((from, cut - 1));
            from = *cut;
        }
    }
    pieces
}

/// An entry with its options, spelled one way.
fn in_words(entry: &Entry) -> String {
    let mut words = entry.pattern.to_string();
    if entry.upgrade {
        words.push_str(" upgrade: websocket");
    }
    if entry.permit != Ambiguities::NONE {
        words.push_str(&format!(" permit: [{}]", entry.permit));
    }
    let headers: BTreeSet<_> = entry.override_headers.iter().map(String::as_str).collect();
    if !headers.is_empty() {
        let headers: Vec<_> = headers.into_iter().collect();
        words.push_str(&format!(" overrideHeaders: [{}]", headers.join(", ")));
    }
    if let Some(last) = entry.expires {
        words.push_str(&format!(" expires: {last}"));
    }
    words
}

impl Key {
    fn describe(&self, side: Side) -> String {
        let ports = match (self.first_port, self.last_port) {
            (from, to) if from == to => format!(":{from}"),
            (from, to) => format!(":{from}-{to}"),
        };
        let toward = match side {
            Side::Inbound => "from",
            Side::Outbound => "to",
        };
        let mut words = format!("{ports} {}", self.protocol.unwrap_or("any protocol"));
        words.push_str(&format!(" {toward} {}", self.peer));
        if !self.hosts.is_empty() {
            let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
            words.push_str(&format!(" hosts {}", hosts.join(", ")));
        }
        if !self.databases.is_empty() {
            let databases: Vec<_> = self.databases.iter().map(ToString::to_string).collect();
            words.push_str(&format!(" databases {}", databases.join(", ")));
        }
        if let Some(mode) = self.mode {
            words.push_str(&format!(" mode {mode}"));
        }
        let list = if self.list == List::Deny { "deny " } else { "" };
        match &self.entry {
            Some(entry) => format!("{words}: {list}{entry}"),
            None => words,
        }
    }
}

/// What of `these` is not among `those`.
fn changes(
    side: Side,
    these: &BTreeMap<Key, Grant<'_>>,
    those: &BTreeMap<Key, Grant<'_>>,
    added: bool,
    out: &mut Vec<Change>,
) {
    for (key, grant) in these.iter().filter(|(key, _)| !those.contains_key(key)) {
        let cover = those.iter().find(|(other_key, other)| {
            other_key.list == key.list
                && other_key.first_port <= key.first_port
                && other_key.last_port >= key.last_port
                && other_key.mode == key.mode
                && covers(other, grant)
        });
        let effect = match (&cover, added, key.list) {
            (Some(_), _, _) => Effect::Same,
            (None, true, List::Allow) | (None, false, List::Deny) => Effect::Wider,
            (None, false, List::Allow) | (None, true, List::Deny) => Effect::Narrower,
        };
        out.push(Change {
            side,
            effect,
            added,
            what: key.describe(side),
            at: grant.at().clone(),
            covered_by: cover.map(|(key, grant)| (grant.at().clone(), key.describe(side))),
        });
    }
}

impl Grant<'_> {
    fn at(&self) -> &Origin {
        self.entry.map_or(&self.rule.at, |entry| &entry.at)
    }
}

/// Whether all that one grant covers on its ports, the other covers.
fn covers(wide: &Grant<'_>, narrow: &Grant<'_>) -> bool {
    let hosts = wide.rule.hosts.is_empty()
        || !narrow.rule.hosts.is_empty()
            && narrow.rule.hosts.iter().all(|n| wide.rule.hosts.iter().any(|w| host_covers(w, n)));
    let databases = wide.rule.databases.is_empty()
        || !narrow.rule.databases.is_empty()
            && narrow.rule.databases.iter().all(|d| wide.rule.databases.contains(d));
    wide.rule.protocol == narrow.rule.protocol
        && wide.rule.separators == narrow.rule.separators
        && hosts
        && databases
        && peer_covers(wide.peer, narrow.peer)
        && match (wide.entry, narrow.entry) {
            (Some(wide), Some(narrow)) => entry_covers(wide, narrow),
            (wide, narrow) => wide.is_none() && narrow.is_none(),
        }
}

fn peer_covers(wide: &Peer, narrow: &Peer) -> bool {
    match (wide, narrow) {
        (Peer::Any, _) => true,
        (Peer::Cidr { net, except }, Peer::Cidr { net: inner, except: holes }) => {
            let apart = |hole: &ipnet::IpNet| {
                !hole.contains(inner) && !inner.contains(hole)
                    || holes.iter().any(|inner_hole| inner_hole.contains(hole))
            };
            net.contains(inner) && except.iter().all(apart)
        }
        (wide, narrow) => wide == narrow,
    }
}

/// What changes about a side as a whole.
fn settings(
    side: Side,
    old: &[TrafficPolicy],
    new: &[TrafficPolicy],
    mode: Mode,
    out: &mut Vec<String>,
) {
    match (governs(old, side), governs(new, side)) {
        (true, false) => out.push(format!("{side} is no longer governed: everything passes")),
        (false, true) => {
            out.push(format!("{side} is now governed: what no entry allows is outside"))
        }
        (false, false) => {}
        (true, true) => {
            let (old, new) = (Settings::of(old, side, mode), Settings::of(new, side, mode));
            if old.mode != new.mode {
                out.push(format!("{side} mode: {} becomes {}", old.mode, new.mode));
            }
            if old.refusal != new.refusal {
                let word =
                    |refusal: Option<Refusal>| refusal.map_or("the default", Refusal::as_str);
                let (old, new) = (word(old.refusal), word(new.refusal));
                out.push(format!("{side} refusal: {old} becomes {new}"));
            }
            if old.unread != new.unread {
                out.push(format!(
                    "{side} unread: {} becomes {}",
                    unread(old.unread),
                    unread(new.unread)
                ));
            }
        }
    }
}

struct Settings {
    mode: Mode,
    refusal: Option<Refusal>,
    unread: Unread,
}

impl Settings {
    /// The strictest of the policies that govern the side.
    fn of(policies: &[TrafficPolicy], side: Side, default: Mode) -> Self {
        let mut governing = policies.iter().filter(|p| p.rules(side).is_some());
        let one = |p: &TrafficPolicy| Self {
            mode: p.mode.unwrap_or(default),
            refusal: p.refusal,
            unread: p.unread,
        };
        let first = governing.next().map(one).unwrap_or(Self {
            mode: default,
            refusal: None,
            unread: Unread::default(),
        });
        governing.map(one).fold(first, |a, b| Self {
            mode: a.mode.max(b.mode),
            refusal: Refusal::strictest(a.refusal, b.refusal),
            unread: a.unread.strictest(b.unread),
        })
    }
}

fn unread(unread: Unread) -> String {
    let word = |refuse| if refuse { "refuse" } else { "allow" };
    format!(
        "{{unknownProtocol: {}, unsupportedProtocol: {}, encrypted: {}}}",
        word(unread.refuse_unknown),
        word(unread.refuse_unsupported),
        word(unread.refuse_encrypted)
    )
}
