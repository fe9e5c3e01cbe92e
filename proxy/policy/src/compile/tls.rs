//! Deciding TLS connections by their server name.

use super::rules::{Limits, RuleBits};
use crate::decide::{Decision, EntryRef, Violation};
use crate::entry::{List, SniPattern};
use crate::host::{Host, HostIndex, HostPattern};
use crate::op::TlsOp;

/// The entries of the rules that share ports.
#[derive(Debug, Default)]
pub(crate) struct TlsMatcher {
    names: HostIndex,
    without: Vec<u32>,
    any: Vec<u32>,
    entries: Vec<TlsEntry>,
}

#[derive(Debug)]
struct TlsEntry {
    rule: u32,
    reference: EntryRef,
    list: List,
}

impl TlsMatcher {
    pub(crate) fn new(entries: Vec<(u32, EntryRef, List, SniPattern)>) -> Self {
        let mut matcher = Self::default();
        let mut names: Vec<(HostPattern, u32)> = Vec::new();
        for (id, (rule, reference, list, pattern)) in (0..).zip(entries) {
            match pattern {
                SniPattern::None => matcher.without.push(id),
                SniPattern::Any => matcher.any.push(id),
                SniPattern::Name(host) => names.push((host, id)),
            }
            matcher.entries.push(TlsEntry { rule, reference, list });
        }
        matcher.names = HostIndex::new(names);
        matcher
    }

    /// Decides a ClientHello on a connection that falls under `rules`.
    pub(crate) fn decide(&self, limits: &[Limits], rules: &RuleBits, op: &TlsOp<'_>) -> Decision {
        let host = op.sni.and_then(Host::of_name);
        let (mut allowed, mut denied, mut elsewhere) = (None, None, None);
        let mut consider = |id: u32| {
            let entry = &self.entries[id as usize];
            if !rules.contains(entry.rule) {
                return true;
            }
            let place =
                match (limits[entry.rule as usize].covers_host(|| host.as_ref()), entry.list) {
                    (true, List::Deny) => &mut denied,
                    (false, List::Deny) => return true,
                    (true, List::Allow) => &mut allowed,
                    (false, List::Allow) => &mut elsewhere,
                };
            *place = place.or(Some(entry.reference));
            denied.is_none()
        };
        match &host {
            Some(host) => {
                let _ =
                    self.names.all(host, &mut consider) && self.any.iter().all(|id| consider(*id));
            }
            None => {
                let _ = self.without.iter().all(|id| consider(*id));
            }
        }
        match (denied, allowed, elsewhere) {
            (Some(entry), _, _) => Decision::Violation(Violation::Denied, Some(entry)),
            (_, Some(entry), _) => Decision::Allowed(entry),
            (_, _, Some(entry)) => Decision::Violation(Violation::HostNotAllowed, Some(entry)),
            _ => Decision::Violation(Violation::NotAllowed, None),
        }
    }
}
