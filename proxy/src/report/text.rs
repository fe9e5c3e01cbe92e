//! The texts of a record, rendered while the message is at hand.

use std::sync::Arc;

use weir_policy::Snapshot;
use weir_policy::decide::{EntryRef, Mode};
use weir_policy::op::{GrpcOp, HttpOp, Operation, RedisOp};

use super::entries::Entries;
use super::{Detail, json, mask};
use crate::config::LogDetail;
use crate::learn::Known;

/// How much of a text from traffic a record holds, in bytes.
const TEXT: usize = 1024;
/// How much of a host or user name.
const NAME: usize = 256;
/// How many databases.
const DATABASES: usize = 16;
/// How much of the token of `Upgrade`, or of the name of an override field.
const ASKED: usize = 64;
/// The length of a `traceparent` (W3C Trace Context §3.2.2.1).
const TRACEPARENT: usize = 55;

/// What the record of a transaction will say of its message: JSON members, kept from `begin`
/// to `end`. Empty where neither the log nor a tap will have the record.
#[derive(Debug, Default)]
pub struct Text {
    /// `host`, `database`, `user`, `op`, `detail`, `upgrade` and `override`, then `traceparent`,
    /// then `decided_by`, each with a leading comma.
    bytes: Vec<u8>,
    /// Where the value of `op` lies, quotes included.
    op: (u16, u16),
    /// Where `traceparent` begins.
    trace: u16,
    /// It has `upgrade` or `override`.
    asks: bool,
    /// Where `decided_by` begins.
    decided: u16,
    /// The entry that `decided_by` names.
    entry: Option<EntryRef>,
    /// The mode in force by then.
    mode: Mode,
}

impl Text {
    /// Without texts: nobody reads them now, though a tap may attach before the end.
    pub(super) fn bare(mode: Mode, entry: Option<EntryRef>) -> Self {
        Self { mode, entry, ..Self::default() }
    }

    /// `host` to `override`, each with a leading comma.
    pub(super) fn message(&self) -> &[u8] {
        self.part(0, self.trace)
    }

    /// `traceparent`, with a leading comma.
    pub(super) fn trace(&self) -> &[u8] {
        self.part(self.trace, self.decided)
    }

    /// The value of `op` with its quotes; empty where there is none.
    pub(super) fn op_value(&self) -> &[u8] {
        self.part(self.op.0, self.op.1)
    }

    /// Whether the request asks for more than its shape tells.
    pub(super) fn asks(&self) -> bool {
        self.asks
    }

    /// The mode in force when it was decided.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// `decided_by`, with a leading comma, if it names this entry: it was described while the
    /// policy that decided was in force.
    pub(super) fn decided_by(&self, entry: Option<EntryRef>) -> Option<&[u8]> {
        let text = self.bytes.get(usize::from(self.decided)..).unwrap_or(&[]);
        (entry == self.entry).then_some(text)
    }

    fn part(&self, from: u16, to: u16) -> &[u8] {
        self.bytes.get(usize::from(from)..usize::from(to)).unwrap_or(&[])
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity()
    }

    /// The memory, to be used again.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// In room that is kept for it; answers that in which it was rendered, empty.
    pub(super) fn kept(self, keep: impl FnOnce(&[u8]) -> Vec<u8>) -> (Self, Vec<u8>) {
        let kept = Self { bytes: keep(&self.bytes), ..self };
        let mut room = self.bytes;
        room.clear();
        (kept, room)
    }

    /// A copy, for what lives long.
    pub(super) fn copy(&self) -> Self {
        Self { bytes: self.bytes.clone(), ..*self }
    }
}

/// Renders one text.
pub(super) struct Render<'a> {
    text: Text,
    scratch: &'a mut Vec<u8>,
    detail: LogDetail,
    known: Option<&'a Known>,
    /// `op`, as it was rendered before.
    shown: Option<&'a [u8]>,
}

impl<'a> Render<'a> {
    /// Into `bytes`, which is empty; `scratch` is room for shapes.
    pub(super) fn new(
        bytes: Vec<u8>,
        scratch: &'a mut Vec<u8>,
        detail: LogDetail,
        mode: Mode,
    ) -> Self {
        Self {
            text: Text { bytes, mode, ..Text::default() },
            scratch,
            detail,
            known: None,
            shown: None,
        }
    }

    /// Shows these words alone, and not all.
    pub(super) fn knowing(self, known: Option<&'a Known>) -> Self {
        Self { known, ..self }
    }

    /// With this for `op`, if there is one.
    pub(super) fn showing(self, shown: Option<&'a [u8]>) -> Self {
        Self { shown, ..self }
    }

    /// `host` to `override`.
    pub(super) fn message(&mut self, operation: Option<&Operation<'_>>, detail: &Detail<'_>) {
        match operation {
            Some(Operation::Http(http)) => self.http(http, detail),
            Some(Operation::Grpc(grpc)) => self.grpc(grpc, detail),
            Some(Operation::Redis(redis)) => self.redis(redis, detail),
            Some(Operation::Tls(tls)) => self.name("host", tls.sni),
            Some(Operation::Connection) | None => {}
        }
    }

    /// `traceparent` and `decided_by`.
    pub(super) fn finish(
        mut self,
        trace: Option<&[u8]>,
        entry: Option<EntryRef>,
        policy: &Arc<Snapshot>,
        entries: &mut Entries,
    ) -> Text {
        self.text.trace = offset(&self.text.bytes);
        if let Some(trace) = trace.and_then(traceparent) {
            self.member("traceparent", trace, TRACEPARENT);
        }
        self.text.decided = offset(&self.text.bytes);
        self.text.entry = entry;
        if let Some(entry) = entry {
            entries.write(policy, entry, &mut self.text.bytes);
        }
        self.text
    }

    fn http(&mut self, http: &HttpOp<'_>, detail: &Detail<'_>) {
        self.request(http, detail);
        for (name, what) in [("upgrade", http.upgrade), ("override", http.override_header)] {
            if let Some(what) = what {
                self.text.asks = true;
                self.member(name, what, ASKED);
            }
        }
    }

    fn request(&mut self, http: &HttpOp<'_>, detail: &Detail<'_>) {
        let http = &HttpOp { authority: http.authority.map(without_userinfo), ..http.clone() };
        self.name("host", http.authority);
        self.name("user", detail.user);
        let known = self.known;
        self.op(|out| mask::http_shape(http, known, out));
        let full = self.detail;
        if full == LogDetail::Masked && detail.query.is_none() && self.detail_from_op(http.method) {
            return;
        }
        self.detail(|out| mask::target(http.path, detail.query, full, known, out));
    }

    fn grpc(&mut self, grpc: &GrpcOp<'_>, detail: &Detail<'_>) {
        self.name("host", grpc.authority.map(without_userinfo));
        self.name("user", detail.user);
        let known = self.known;
        self.op(|out| mask::call(grpc, known, out));
        match self.detail {
            LogDetail::Masked => self.detail_is_op(),
            LogDetail::Full => self.detail(|out| mask::full_call(grpc, out)),
        }
    }

    fn redis(&mut self, redis: &RedisOp<'_>, detail: &Detail<'_>) {
        if !redis.databases.is_empty() {
            self.databases(redis.databases);
        }
        self.name("user", detail.user);
        let known = self.known;
        self.op(|out| mask::redis_shape(redis, known, out));
        let full = self.detail;
        let same = self.shown.is_some() || mask::has_one_key(redis);
        if full == LogDetail::Masked && same {
            return self.detail_is_op();
        }
        self.detail(|out| mask::command(redis, full, known, TEXT, out));
    }

    fn databases(&mut self, databases: &[u32]) {
        let (out, mut number) = (&mut self.text.bytes, itoa::Buffer::new());
        out.extend_from_slice(b",\"database\":\"");
        for (i, &database) in databases.iter().take(DATABASES).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(number.format(database).as_bytes());
        }
        out.push(b'"');
    }

    fn op(&mut self, shape: impl FnOnce(&mut Vec<u8>)) {
        self.text.bytes.extend_from_slice(b",\"op\":");
        self.text.op.0 = offset(&self.text.bytes);
        if let Some(shown) = self.shown {
            self.text.bytes.extend_from_slice(shown);
        } else {
            self.scratch.clear();
            shape(self.scratch);
            json::string(self.scratch, TEXT, &mut self.text.bytes);
        }
        self.text.op.1 = offset(&self.text.bytes);
    }

    /// Copies `op` to `detail`.
    fn detail_is_op(&mut self) {
        let text = &mut self.text;
        text.bytes.extend_from_slice(b",\"detail\":");
        let op = usize::from(text.op.0)..usize::from(text.op.1);
        text.bytes.extend_from_within(op);
    }

    /// Copies the path in `op` to `detail`, unless something in it is escaped.
    fn detail_from_op(&mut self, method: &[u8]) -> bool {
        let text = &mut self.text;
        let path = usize::from(text.op.0) + 1 + method.len() + 1..usize::from(text.op.1);
        let plain = |path: &[u8]| path.starts_with(b"/") && memchr::memchr(b'\\', path).is_none();
        if path.len() > TEXT || !text.bytes.get(path.clone()).is_some_and(plain) {
            return false;
        }
        text.bytes.extend_from_slice(b",\"detail\":\"");
        text.bytes.extend_from_within(path);
        true
    }

    fn detail(&mut self, detail: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        detail(self.scratch);
        if !self.scratch.is_empty() {
            member("detail", self.scratch, TEXT, &mut self.text.bytes);
        }
    }

    fn name(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.member(name, value, NAME);
        }
    }

    fn member(&mut self, name: &str, value: &[u8], limit: usize) {
        member(name, value, limit, &mut self.text.bytes);
    }
}

fn member(name: &str, value: &[u8], limit: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    json::string(value, limit, out);
}

/// The texts together are far shorter than 64 KiB: their sources are cut, and a byte becomes six
/// at most.
fn offset(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX)
}

/// An authority without `user:password@`.
fn without_userinfo(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b'@', authority) {
        Some(at) => &authority[at + 1..],
        None => authority,
    }
}

/// The part of the value that every version has.
fn traceparent(value: &[u8]) -> Option<&[u8]> {
    let value = value.get(..TRACEPARENT)?;
    value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')).then_some(value)
}
