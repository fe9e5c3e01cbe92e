//! Rules whose ports overlap: they have one protocol and share one matcher.

use super::grpc::GrpcMatcher;
use super::http::HttpMatcher;
use super::redis::RedisMatcher;
use super::rules::{Limits, RuleBits};
use super::tls::TlsMatcher;
use crate::date::Date;
use crate::decide::{Decision, EntryRef, Violation};
use crate::entry::{List, Pattern};
use crate::model::Rule;
use crate::op::{Operation, Protocol};

/// A group of rules with their matcher.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) protocol: Option<Protocol>,
    limits: Vec<Limits>,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    Http(HttpMatcher),
    Grpc(GrpcMatcher),
    Redis(RedisMatcher),
    Tls(TlsMatcher),
    /// Opaque: connections only.
    Opaque,
    /// No protocol: whatever is spoken, as a connection.
    Any,
}

impl Group {
    /// Compiles rules of one protocol; each with its own reference, after which those of its
    /// allow and then its deny entries follow.
    pub(crate) fn new(
        protocol: Option<Protocol>,
        rules: &[(&Rule, EntryRef)],
        today: Date,
    ) -> Self {
        let limits = rules.iter().map(|(rule, reference)| Limits::new(rule, *reference)).collect();
        let mut http = HttpMatcher::default();
        let mut redis = RedisMatcher::default();
        let (mut grpc, mut tls) = (Vec::new(), Vec::new());
        for (index, (rule, reference)) in (0..).zip(rules) {
            let allow = rule.allow.iter().map(|e| (List::Allow, e));
            let deny = rule.deny.iter().map(|e| (List::Deny, e));
            for (offset, (list, entry)) in (1..).zip(allow.chain(deny)) {
                if entry.expires.is_some_and(|last| last < today) {
                    continue;
                }
                let reference = EntryRef(reference.0 + offset);
                match &entry.pattern {
                    Pattern::Http(pattern) => http.insert(index, reference, list, pattern, entry),
                    Pattern::Grpc(pattern) => grpc.push((index, reference, list, pattern.clone())),
                    Pattern::Redis(pattern) => {
                        redis.insert(index, reference, list, pattern, rule.separators);
                    }
                    Pattern::Tls(pattern) => tls.push((index, reference, list, pattern.clone())),
                }
            }
        }
        let matcher = match protocol {
            Some(Protocol::Http) => Matcher::Http(http),
            Some(Protocol::Grpc) => Matcher::Grpc(GrpcMatcher::new(grpc)),
            Some(Protocol::Redis) => Matcher::Redis(redis),
            Some(Protocol::Tls) => Matcher::Tls(TlsMatcher::new(tls)),
            Some(Protocol::Opaque) => Matcher::Opaque,
            None => Matcher::Any,
        };
        Self { protocol, limits, matcher }
    }

    /// Decides an operation on a connection that falls under `rules`.
    pub(crate) fn decide(&self, rules: &RuleBits, operation: &Operation<'_>) -> Decision {
        let first = rules.first().map(|rule| self.limits[rule as usize].reference);
        let decision = match (&self.matcher, operation) {
            (Matcher::Http(http), Operation::Http(op)) => http.decide(&self.limits, rules, op),
            (Matcher::Http(http), Operation::Grpc(op)) => {
                op.as_http(|op| http.decide(&self.limits, rules, op))
            }
            (Matcher::Grpc(grpc), Operation::Grpc(op)) => grpc.decide(&self.limits, rules, op),
            (Matcher::Redis(redis), Operation::Redis(op)) => redis.decide(&self.limits, rules, op),
            (Matcher::Tls(tls), Operation::Tls(op)) => tls.decide(&self.limits, rules, op),
            (Matcher::Any, _) | (Matcher::Opaque, Operation::Connection) => match first {
                Some(rule) => Decision::Allowed(rule),
                None => Decision::Violation(Violation::NoRule, None),
            },
            _ => Decision::Violation(Violation::NotAllowed, None),
        };
        match decision {
            Decision::Violation(violation, None) => Decision::Violation(violation, first),
            decision => decision,
        }
    }
}
