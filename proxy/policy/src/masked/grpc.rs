//! gRPC calls as the log tells them.

use super::fit::{Doubt, Fit};
use super::http::Http;
use super::text::uncut;
use super::{BadRecord, Record};
use crate::entry::grpc::is_name;
use crate::entry::{GrpcPattern, List};
use crate::model::Rule;

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    service: Name,
    method: Name,
    /// The request that it is.
    http: Http,
}

/// A service or method.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    This(String),
    /// No entry can name it, whatever it is.
    Odd,
    /// Seen too seldom to be shown.
    Hidden,
}

impl Grpc {
    pub(super) fn read(record: &Record<'_>) -> Result<Self, BadRecord> {
        let (op, cut) = uncut(record.op);
        // What the shape hides a detail in full shows.
        let sent = record.detail.map(uncut).filter(|(detail, cut)| !cut && stands_for(op, detail));
        let (text, cut) = sent.unwrap_or((op, cut));
        let (service, method) = match text.split_once('/') {
            Some((service, method)) if !cut => (Name::of(service), Name::of(method)),
            // What is cut is longer than any two names in an entry.
            _ if cut => (Name::Odd, Name::Odd),
            _ => return Err(BadRecord("its op is not SERVICE/METHOD")),
        };
        let path = match cut {
            true => format!("{text}…"),
            false => text.split('/').map(segment).collect::<Vec<_>>().join("/"),
        };
        let op = format!("POST /{path}");
        let http = Http::read(&Record { op: &op, detail: None, ..*record })?;
        Ok(Self { service, method, http })
    }

    /// The request that it is to a rule of protocol `http`.
    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Whether the entry covers the call, as `miss::covers` says of what is known whole.
    pub(super) fn covered(&self, rule: &Rule, list: List, pattern: &GrpcPattern) -> Fit {
        self.service
            .is(Some(&pattern.service))
            .and(|| self.method.is(pattern.method.as_deref()))
            .and(|| self.http.host_covered(rule, list))
    }
}

impl Name {
    fn of(text: &str) -> Self {
        match text {
            "{new}" => Name::Hidden,
            text if is_name(text.as_bytes()) => Name::This(text.to_owned()),
            _ => Name::Odd,
        }
    }

    /// Whether it is this one; none: any.
    fn is(&self, name: Option<&str>) -> Fit {
        match (self, name) {
            (Name::Odd, _) => Fit::OTHER,
            (Name::This(_) | Name::Hidden, None) => Fit::Yes,
            (Name::This(this), Some(name)) => Fit::of(this == name),
            (Name::Hidden, Some(_)) => Fit::Maybe(Doubt::Value),
        }
    }
}

/// Whether the detail may be the names that the shape has hidden.
fn stands_for(op: &str, detail: &str) -> bool {
    let (mut shown, mut sent) = (op.split('/'), detail.split('/'));
    let same = shown
        .by_ref()
        .zip(sent.by_ref())
        .all(|(shown, sent)| shown == sent || shown == "{new}" && is_name(sent.as_bytes()));
    same && shown.next().is_none() && sent.next().is_none()
}

/// A name as a segment of a path in normal form.
fn segment(name: &str) -> &str {
    if name.is_empty() || name == "{new}" || is_name(name.as_bytes()) { name } else { "{}" }
}
