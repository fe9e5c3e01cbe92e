//! Policies, compiled: laid out so that admitting a connection and deciding an operation take
//! neither allocation nor time that grows with the number of entries.

mod build;
mod group;
mod grpc;
mod http;
mod places;
mod redis;
mod rules;
mod tls;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use crate::date::Date;
use crate::decide::{Admission, Decision, EntryRef, Mode, RuleSet};
use crate::entry::{Entry, List};
use crate::error::{Errors, Origin, Warning};
use crate::model::{Addresses, Rule, TrafficPolicy};
use crate::op::{Endpoint, Operation, Side};

use build::Compiled;
use places::Places;

/// What compiling needs to know besides the policies.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// `--mode`: for policies that name none.
    pub mode: Mode,
    /// Entries whose `expires` is before this day allow nothing.
    pub today: Date,
}

/// An immutable, compiled set of policies.
#[derive(Debug, Default)]
pub struct Snapshot {
    compiled: Arc<Compiled>,
    addresses: Addresses,
    places: Places,
}

/// An entry or rule in words.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The policy.
    pub policy: &'a TrafficPolicy,
    /// The rule; [`Rule::field`] names it.
    pub rule: &'a Rule,
    /// The side of the rule.
    pub side: Side,
    /// The entry and its list; none: the rule itself.
    pub entry: Option<(List, &'a Entry)>,
}

impl Described<'_> {
    /// The entry as written.
    pub fn text(&self) -> Option<&str> {
        self.entry.map(|(_, entry)| entry.text.as_str())
    }

    /// Where it stands.
    pub fn at(&self) -> &Origin {
        self.entry.map_or(&self.rule.at, |(_, entry)| &entry.at)
    }
}

/// `shop/cart spec.inbound[0] "GET /carts/{int}"`.
impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.policy.full_name(), self.rule.field)?;
        self.text().map_or(Ok(()), |text| write!(f, " {text:?}"))
    }
}

impl Snapshot {
    /// Compiles the policies of all files together.
    ///
    /// # Errors
    /// Two rules with different protocols on one port of one side, or two policies of one name.
    pub fn compile(
        policies: Vec<TrafficPolicy>,
        defaults: &Defaults,
        addresses: &Addresses,
    ) -> Result<Self, Errors> {
        let compiled = Arc::new(Compiled::new(policies, defaults)?);
        let places = Places::new(&compiled, addresses);
        Ok(Self { compiled, addresses: addresses.clone(), places })
    }

    /// The same policies where names resolve to other addresses.
    #[must_use]
    pub fn with_addresses(&self, addresses: &Addresses) -> Self {
        Self {
            compiled: self.compiled.clone(),
            addresses: addresses.clone(),
            places: Places::new(&self.compiled, addresses),
        }
    }

    /// The policies, in order.
    pub fn policies(&self) -> &[TrafficPolicy] {
        &self.compiled.policies
    }

    /// What loads and is probably not meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.compiled.warnings
    }

    /// The names that the policies want resolved, each once.
    pub fn hosts(&self) -> &[String] {
        &self.compiled.hosts
    }

    /// The same policies on another day, if that makes a difference: entries have expired, or
    /// are in force again. `defaults` are those that they were compiled with, but for the day.
    ///
    /// # Errors
    /// None that the policies did not have before.
    pub fn on(&self, defaults: &Defaults) -> Result<Option<Self>, Errors> {
        let differs = |entry: &Entry| {
            let expired = entry.expires.is_some_and(|last| last < defaults.today);
            expired != self.is_expired(entry)
        };
        let rules = |policy: &TrafficPolicy| {
            let rules = [Side::Inbound, Side::Outbound].map(|side| policy.rules(side));
            rules.into_iter().flatten().flatten().any(|rule| rule.allow.iter().any(differs))
        };
        if !self.policies().iter().any(rules) {
            return Ok(None);
        }
        Self::compile(self.policies().to_vec(), defaults, &self.addresses).map(Some)
    }

    /// Whether an entry's last day is over.
    pub(crate) fn is_expired(&self, entry: &Entry) -> bool {
        entry.expires.zip(self.compiled.today).is_some_and(|(last, today)| last < today)
    }

    /// The day that the policies were compiled for.
    pub(crate) fn today(&self) -> Option<Date> {
        self.compiled.today
    }

    /// What names resolve to here.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What the policy says of a connection to or from `endpoint`.
    pub fn admit(&self, endpoint: &Endpoint) -> Admission {
        let (handle, set) = self.places.find(endpoint);
        Admission {
            mode: set.mode,
            protocol: set.protocol,
            refusal: set.refusal,
            unread: set.unread,
            verdict: set.verdict,
            rules: handle,
        }
    }

    /// What the policy says of `operation` on a connection admitted under `rules`. Where another
    /// snapshot admitted it, the rules are looked up anew.
    pub fn decide(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        operation: &Operation<'_>,
    ) -> Decision {
        let set = match self.places.get(*rules) {
            Some(set) => set,
            None => self.places.find(endpoint).1,
        };
        set.decide(&self.compiled.groups, operation)
    }

    /// The entry or rule that a decision names; none where another snapshot made it.
    pub fn describe(&self, entry: EntryRef) -> Option<Described<'_>> {
        self.compiled.describe(entry)
    }
}
