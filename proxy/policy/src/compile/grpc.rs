//! Deciding gRPC calls.

use super::rules::{Limits, RuleBits};
use crate::decide::{Decision, EntryRef, Violation};
use crate::entry::{GrpcPattern, List};
use crate::hash::Hash;
use crate::host::Authority;
use crate::op::GrpcOp;

/// The entries of the rules that share ports.
#[derive(Debug, Default)]
pub(crate) struct GrpcMatcher {
    /// Sorted by hash; the pattern decides, the hash only finds.
    entries: Vec<GrpcEntry>,
}

#[derive(Debug)]
struct GrpcEntry {
    hash: u64,
    rule: u32,
    reference: EntryRef,
    list: List,
    pattern: GrpcPattern,
}

impl GrpcMatcher {
    pub(crate) fn new(entries: Vec<(u32, EntryRef, List, GrpcPattern)>) -> Self {
        let entry = |(rule, reference, list, pattern): (u32, EntryRef, List, GrpcPattern)| {
            let method = pattern.method.as_deref().map(str::as_bytes);
            let hash = hash(pattern.service.as_bytes(), method);
            GrpcEntry { hash, rule, reference, list, pattern }
        };
        let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.hash);
        Self { entries }
    }

    /// Decides a call on a connection that falls under `rules`.
    pub(crate) fn decide(&self, limits: &[Limits], rules: &RuleBits, op: &GrpcOp<'_>) -> Decision {
        let authority = Authority::new(op.authority);
        let (mut allowed, mut denied, mut elsewhere) = (None, None, None);
        let named = self.bucket(hash(op.service, Some(op.method)));
        let entries = named.chain(self.bucket(hash(op.service, None)));
        let covering = entries.filter(|e| rules.contains(e.rule) && e.covers(op));
        for entry in covering {
            let within = limits[entry.rule as usize].covers_host(|| authority.host());
            let place = match (entry.list, within) {
                // A call that names no host is answered as for whichever the server takes.
                (List::Deny, within) if within || authority.host().is_none() => &mut denied,
                (List::Deny, _) => continue,
                (List::Allow, true) => &mut allowed,
                (List::Allow, false) => &mut elsewhere,
            };
            *place = place.or(Some(entry.reference));
        }
        match (denied, allowed, elsewhere) {
            (Some(entry), _, _) => Decision::Violation(Violation::Denied, Some(entry)),
            (_, Some(entry), _) => Decision::Allowed(entry),
            (_, _, Some(entry)) => Decision::Violation(Violation::HostNotAllowed, Some(entry)),
            _ => Decision::Violation(Violation::NotAllowed, None),
        }
    }

    fn bucket(&self, hash: u64) -> impl Iterator<Item = &GrpcEntry> {
        let from = self.entries.partition_point(|entry| entry.hash < hash);
        self.entries[from..].iter().take_while(move |entry| entry.hash == hash)
    }
}

impl GrpcEntry {
    fn covers(&self, op: &GrpcOp<'_>) -> bool {
        self.pattern.matches(op.service, op.method)
    }
}

/// Of a service with this method, or with any.
fn hash(service: &[u8], method: Option<&[u8]>) -> u64 {
    let of_service = crate::hash::bytes(1, service);
    let Some(method) = method else { return of_service };
    let mut hash = Hash::new(2);
    of_service.to_le_bytes().into_iter().for_each(|byte| hash.push(byte));
    hash.finish() ^ crate::hash::bytes(3, method)
}
