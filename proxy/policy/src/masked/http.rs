//! HTTP requests as the log tells them.

use super::fit::{Doubt, Fit, Short};
use super::path::Path;
use super::text::{Reading, Text, uncut};
use super::{BadRecord, Known, Record};
use crate::entry::http::{HttpPattern, HttpTarget};
use crate::entry::{Entry, List};
use crate::host::Host;
use crate::model::Rule;
use crate::path::{AMBIGUITIES, Ambiguities, Ambiguity};
use crate::pattern::Separators;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    method: String,
    target: Target,
    authority: Known,
    upgrade: Known,
    override_header: Known,
    /// What is ambiguous in the path for certain, and what may be.
    certain: Ambiguities,
    possible: Ambiguities,
}

#[derive(Clone, Debug)]
enum Target {
    /// Without its first slash.
    Path(Text),
    Asterisk,
    Connect,
    Other,
    /// The log has cut the method or the beginning of the path.
    Cut,
}

impl Http {
    pub(super) fn read(record: &Record<'_>) -> Result<Self, BadRecord> {
        let (op, cut) = uncut(record.op);
        let (method, shape) = op.split_once(' ').unwrap_or((op, ""));
        if method.is_empty() {
            return Err(BadRecord("its op has no method"));
        }
        let mut path = Path::default();
        let target = match shape {
            _ if cut && !shape.starts_with('/') => Target::Cut,
            _ if method == "CONNECT" => Target::Connect,
            "" => Target::Path(Text::default()),
            "*" => Target::Asterisk,
            shape if shape.starts_with('/') => {
                path = Path::read(shape, cut, record.detail);
                Target::Path(path.text())
            }
            _ => Target::Other,
        };
        let (certain, mut possible) = path.ambiguities();
        if let Some(most) = record.ambiguities {
            AMBIGUITIES.into_iter().filter(|kind| !most.contains(*kind)).for_each(|kind| {
                possible = possible.without(only(kind));
            });
        }
        Ok(Self {
            method: method.to_owned(),
            target,
            authority: Known::of_name(record.host),
            upgrade: Known::of_name(record.upgrade),
            override_header: Known::of_name(record.override_header),
            certain,
            possible,
        })
    }

    /// The path is ambiguous for certain.
    pub(super) fn is_ambiguous(&self) -> bool {
        !self.certain.is_empty()
    }

    /// Whether it may be a gRPC call.
    pub(super) fn may_be_a_call(&self) -> bool {
        self.method == "POST" && matches!(self.target, Target::Path(_) | Target::Cut)
    }

    /// Whether it asks to switch to something that nothing can permit; none: not told.
    pub(super) fn asks_for_other_than_websocket(&self) -> Option<bool> {
        match &self.upgrade {
            Known::None => Some(false),
            Known::This(token) => Some(!token.eq_ignore_ascii_case("websocket")),
            Known::Untold => None,
        }
    }

    /// The host as rules see it; none: not told.
    fn host(&self) -> Option<Option<(Host<'_>, Option<u16>)>> {
        match &self.authority {
            Known::None => Some(None),
            Known::This(authority) => Some(Host::of_authority(authority.as_bytes())),
            Known::Untold => None,
        }
    }

    /// Whether the entry covers the request, as `miss::covers` says of what is known whole.
    pub(super) fn covered(
        &self,
        rule: &Rule,
        list: List,
        entry: &Entry,
        pattern: &HttpPattern,
    ) -> Fit {
        let method = pattern.method.as_deref().is_none_or(|method| method == self.method);
        Fit::of(method)
            .and(|| self.target_covered(&pattern.target))
            .and(|| match list {
                List::Allow => self.permitted(entry),
                List::Deny => Fit::Yes,
            })
            .and(|| self.host_covered(rule, list))
    }

    fn target_covered(&self, target: &HttpTarget) -> Fit {
        match (target, &self.target) {
            (_, Target::Cut) => Fit::Maybe(Doubt::Cut),
            (HttpTarget::Path(pattern), Target::Path(path)) => {
                let separators = Separators::new(b"/");
                let reading = Reading { separators, log: b'/', first: b'/', glob: false };
                path.covered(pattern, &reading, true)
            }
            (HttpTarget::Asterisk, Target::Asterisk)
            | (HttpTarget::Connect(None), Target::Connect) => Fit::Yes,
            (HttpTarget::Connect(Some((pattern, port))), Target::Connect) => match self.host() {
                None => Fit::Maybe(Doubt::Host),
                Some(Some((host, asked))) => {
                    Fit::of(asked == Some(*port) && pattern.matches(&host))
                }
                Some(None) => Fit::OTHER,
            },
            _ => Fit::OTHER,
        }
    }

    /// Whether an allow entry permits what is odd about the request.
    fn permitted(&self, entry: &Entry) -> Fit {
        let upgrade = |token: &str| entry.upgrade && token.eq_ignore_ascii_case("websocket");
        let named = |name: &str| {
            entry.override_headers.iter().any(|header| header.eq_ignore_ascii_case(name))
        };
        let asked = |known: &Known, permitted: &dyn Fn(&str) -> bool, short| match known {
            Known::None => Fit::Yes,
            Known::This(what) => Fit::unless(permitted(what), short),
            Known::Untold => Fit::Maybe(Doubt::Asked),
        };
        Fit::unless(self.certain.without(entry.permit).is_empty(), Short::Permit)
            .and(|| match self.possible.without(entry.permit).is_empty() {
                true => Fit::Yes,
                false => Fit::Maybe(Doubt::Ambiguity),
            })
            .and(|| asked(&self.upgrade, &upgrade, Short::Upgrade))
            .and(|| asked(&self.override_header, &named, Short::Override))
    }

    pub(super) fn host_covered(&self, rule: &Rule, list: List) -> Fit {
        if rule.hosts.is_empty() {
            return Fit::Yes;
        }
        match self.host() {
            None => Fit::Maybe(Doubt::Host),
            Some(None) => Fit::unless(list == List::Deny, Short::Host),
            Some(Some((host, _))) => {
                Fit::unless(rule.hosts.iter().any(|p| p.matches(&host)), Short::Host)
            }
        }
    }
}

fn only(kind: Ambiguity) -> Ambiguities {
    let mut set = Ambiguities::NONE;
    set.insert(kind);
    set
}
