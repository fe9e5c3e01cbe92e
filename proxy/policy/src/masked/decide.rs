//! What the rules say of a record, from what each entry says.

use std::net::{IpAddr, Ipv4Addr};

use super::fit::{Doubt, Fit, Short, Undecided};
use super::{Judgement, Kind, Masked, Place, Refused, Spoken};
use crate::compile::Snapshot;
use crate::decide::{Unread, Violation};
use crate::entry::{Entry, List, Pattern, SniPattern};
use crate::model::{Peer, Rule};
use crate::op::{Endpoint, Protocol};
use crate::path::Ambiguities;
use crate::peers::{number, ranges};

/// What `snapshot` says of a record: the same as [`Snapshot::decide`] and the session around it
/// say of every operation that it may stand for, where that is the same. Names of peers that
/// have no addresses in the snapshot are not taken for names without addresses: what depends on
/// them is undecidable.
pub fn decide(snapshot: &Snapshot, place: &Place, record: &Masked) -> Judgement {
    let mut governed = false;
    let mut rules = Vec::new();
    for policy in snapshot.policies() {
        let Some(of_side) = policy.rules(place.side) else { continue };
        governed = true;
        for rule in of_side.iter().filter(|r| r.ports.iter().any(|p| p.contains(&place.port))) {
            match applies(snapshot, rule, place) {
                Applies::No => {}
                Applies::Yes => rules.push((rule, None)),
                Applies::Perhaps(why) => rules.push((rule, Some(why))),
            }
        }
    }
    let Some((first, _)) = rules.first() else {
        return match governed {
            true => Judgement::Refused(Refused::Policy(Violation::NoRule)),
            false => Judgement::Ungoverned,
        };
    };
    // Rules of one port are of one protocol.
    let unread = unread(snapshot, place);
    match (first.protocol, &record.0) {
        (_, Kind::Substitute) | (Some(Protocol::Opaque), _) => admitted(&rules),
        (None, kind) => passing(kind, unread).unwrap_or_else(|| admitted(&rules)),
        (Some(Protocol::Http), Kind::Http(_) | Kind::Grpc(_))
        | (Some(Protocol::Grpc), Kind::Grpc(_))
        | (Some(Protocol::Redis), Kind::Redis(_))
        | (Some(Protocol::Tls), Kind::Tls(_)) => by_entries(snapshot, &rules, &record.0),
        // Requests to a rule of protocol `http` are logged as such, calls or not.
        (Some(Protocol::Grpc), Kind::Http(http)) if http.may_be_a_call() => {
            Judgement::Undecidable(Undecided::new(Doubt::Spoken, None))
        }
        (Some(_), Kind::Connection(Spoken::Untold)) => {
            Judgement::Undecidable(Undecided::new(Doubt::Spoken, None))
        }
        (Some(_), _) => Judgement::Refused(Refused::OtherProtocol),
    }
}

/// The ambiguities that the path of a record can have that was allowed by an entry which these
/// policies have too, in these words: those that it permits. `decided_by` as the log has it.
pub fn permitted(snapshot: &Snapshot, decided_by: &str) -> Option<Ambiguities> {
    for policy in snapshot.policies() {
        let Some(rest) = decided_by.strip_prefix(&policy.full_name()) else { continue };
        let Some((_, text)) = rest.strip_prefix(' ').and_then(|r| r.split_once(' ')) else {
            continue;
        };
        let sides = [&policy.inbound, &policy.outbound].into_iter().flatten().flatten();
        let mut same =
            sides.flat_map(|rule| &rule.allow).filter(|entry| format!("{:?}", entry.text) == text);
        let first = same.next()?;
        return same.all(|entry| entry.permit == first.permit).then_some(first.permit);
    }
    None
}

enum Applies {
    Yes,
    No,
    Perhaps(Undecided),
}

/// Whether the rule covers the peer.
fn applies(snapshot: &Snapshot, rule: &Rule, place: &Place) -> Applies {
    if rule.peers.iter().any(|peer| matches!(peer, Peer::Any)) {
        return Applies::Yes;
    }
    let Some(peer) = place.peer else {
        return Applies::Perhaps(Undecided::new(
            Doubt::Peer,
            Some("the log does not tell the peer".into()),
        ));
    };
    let addresses = snapshot.addresses();
    let peer = number(peer);
    if ranges(&rule.peers, addresses).iter().any(|(from, to)| (*from..=*to).contains(&peer)) {
        return Applies::Yes;
    }
    let unresolved = rule.peers.iter().find_map(|peer| match peer {
        Peer::Host(name) if addresses.get(name).is_empty() => Some(name),
        _ => None,
    });
    match unresolved {
        Some(name) => Applies::Perhaps(Undecided::new(
            Doubt::Peer,
            Some(format!("names are not resolved here: host {name} ({})", rule.at)),
        )),
        None => Applies::No,
    }
}

/// The side's `unread`, which is the same for all its connections.
fn unread(snapshot: &Snapshot, place: &Place) -> Unread {
    let peer = place.peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    snapshot.admit(&Endpoint { side: place.side, peer, port: place.port }).unread
}

type Applying<'a> = [(&'a Rule, Option<Undecided>)];

/// A connection as such, where some rule admits whatever is on it.
fn admitted(rules: &Applying<'_>) -> Judgement {
    match rules.iter().find(|(_, why)| why.is_none()) {
        Some(_) => Judgement::Allowed,
        None => undecided(rules.iter().find_map(|(_, why)| why.clone())),
    }
}

fn undecided(why: Option<Undecided>) -> Judgement {
    Judgement::Undecidable(why.unwrap_or_else(|| Undecided::new(Doubt::Peer, None)))
}

/// Under rules without a protocol: why it is not just admitted.
fn passing(kind: &Kind, unread: Unread) -> Option<Judgement> {
    let refused =
        |refuse: bool, field| refuse.then_some(Judgement::Refused(Refused::Unread(field)));
    match kind {
        Kind::Http(http) => match http.asks_for_other_than_websocket() {
            Some(false) => None,
            Some(true) => Some(Judgement::Refused(Refused::Policy(Violation::UpgradeNotPermitted))),
            None => Some(Judgement::Undecidable(Undecided::new(Doubt::Asked, None))),
        },
        Kind::Tls(_) => refused(unread.refuse_encrypted, "unread.encrypted"),
        Kind::Connection(Spoken::Unsupported) => {
            refused(unread.refuse_unsupported, "unread.unsupportedProtocol")
        }
        Kind::Connection(Spoken::Unknown) => {
            refused(unread.refuse_unknown, "unread.unknownProtocol")
        }
        Kind::Connection(Spoken::Untold) => {
            let any = unread.refuse_encrypted || unread.refuse_unsupported || unread.refuse_unknown;
            any.then(|| Judgement::Undecidable(Undecided::new(Doubt::Spoken, None)))
        }
        Kind::Grpc(_) | Kind::Redis(_) | Kind::Substitute => None,
    }
}

/// What the entries say together.
fn by_entries(snapshot: &Snapshot, rules: &Applying<'_>, kind: &Kind) -> Judgement {
    let mut found = Found::default();
    for (rule, why) in rules {
        for entry in &rule.deny {
            found.deny(covered(rule, List::Deny, entry, kind), entry, why.as_ref());
        }
        for entry in rule.allow.iter().filter(|entry| !snapshot.is_expired(entry)) {
            found.allow(covered(rule, List::Allow, entry, kind), entry, why.as_ref());
        }
    }
    found.judgement(kind)
}

#[derive(Default)]
struct Found {
    denied: bool,
    allowed: bool,
    may_deny: Option<Undecided>,
    may_allow: Option<Undecided>,
    /// What the entries lack that would else allow it: the worst.
    short: Option<Short>,
}

impl Found {
    fn deny(&mut self, fit: Fit, entry: &Entry, why: Option<&Undecided>) {
        match (fit, why) {
            (Fit::No(_), _) => {}
            (Fit::Yes, None) => self.denied = true,
            (fit, why) => {
                self.may_deny.get_or_insert_with(|| doubt(fit, List::Deny, entry, why));
            }
        }
    }

    fn allow(&mut self, fit: Fit, entry: &Entry, why: Option<&Undecided>) {
        match (fit, why) {
            (Fit::No(short), _) => self.short = self.short.max(Some(short)),
            (Fit::Yes, None) => self.allowed = true,
            (fit, why) => {
                self.may_allow.get_or_insert_with(|| doubt(fit, List::Allow, entry, why));
            }
        }
    }

    fn judgement(self, kind: &Kind) -> Judgement {
        let refused = |violation| Judgement::Refused(Refused::Policy(violation));
        if self.denied {
            return refused(Violation::Denied);
        }
        match (self.allowed, self.may_allow, self.may_deny) {
            (true, _, None) => Judgement::Allowed,
            (true, _, Some(why)) | (false, Some(why), _) => Judgement::Undecidable(why),
            (false, None, _) => refused(match self.short {
                Some(Short::Permit) => Violation::AmbiguousPath,
                Some(Short::Upgrade) => Violation::UpgradeNotPermitted,
                Some(Short::Override) => Violation::OverrideHeader,
                Some(Short::Host) => Violation::HostNotAllowed,
                Some(Short::Database) => Violation::DatabaseNotAllowed,
                _ if matches!(kind, Kind::Http(http) if http.is_ambiguous()) => {
                    Violation::AmbiguousPath
                }
                _ => Violation::NotAllowed,
            }),
        }
    }
}

/// What an entry's answer depends on: first whether its rule applies.
fn doubt(fit: Fit, list: List, entry: &Entry, why: Option<&Undecided>) -> Undecided {
    match (why, fit) {
        (Some(why), _) => why.clone(),
        (None, Fit::Maybe(doubt)) => Undecided::entry(doubt, list, entry),
        (None, _) => Undecided::entry(Doubt::Value, list, entry),
    }
}

fn covered(rule: &Rule, list: List, entry: &Entry, kind: &Kind) -> Fit {
    match (&entry.pattern, kind) {
        (Pattern::Http(pattern), Kind::Http(http)) => http.covered(rule, list, entry, pattern),
        (Pattern::Http(pattern), Kind::Grpc(grpc)) => {
            grpc.http().covered(rule, list, entry, pattern)
        }
        (Pattern::Grpc(pattern), Kind::Grpc(grpc)) => grpc.covered(rule, list, pattern),
        (Pattern::Redis(pattern), Kind::Redis(redis)) => redis.covered(rule, list, pattern),
        (Pattern::Tls(pattern), Kind::Tls(name)) => match (name.sni(), pattern) {
            (None, _) => Fit::Maybe(Doubt::Host),
            (Some(host), pattern) => {
                let covered = match pattern {
                    SniPattern::None => host.is_none(),
                    SniPattern::Any => host.is_some(),
                    SniPattern::Name(name) => host.is_some_and(|host| name.matches(&host)),
                };
                let of_rule = || {
                    rule.hosts.is_empty()
                        || host.is_some_and(|h| rule.hosts.iter().any(|p| p.matches(&h)))
                };
                Fit::of(covered).and(|| Fit::unless(of_rule(), Short::Host))
            }
        },
        _ => Fit::OTHER,
    }
}
